"""From trials to a summary: shares with intervals, paired differences, a Markdown table.

Pure functions of trials; provenance is passed in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from meritree.bench.compare import Trial
from meritree.errors import BadInput
from meritree.stats import Interval, stratified_bootstrap
from meritree.value.runtime import Exponential, Uniform, Utility

RESAMPLES = 4000
Score = Callable[[Trial], float]


def plausible(trial: Trial) -> float:
    """1 if a patch passed every test that the search could see."""
    return float(trial.found_at is not None)


def correct(trial: Trial) -> float:
    """1 if the patch also passed everything it could not see."""
    return float(trial.correct)


def patient(trial: Trial) -> float:
    """Worth of the trial when the evaluations one can pay for are uniform up to its budget."""
    return _worth(trial, Uniform(trial.budget))


def impatient(trial: Trial) -> float:
    """Worth of the trial when they are exponential with a tenth of its budget as mean."""
    return _worth(trial, Exponential(trial.budget / 10))


def _worth(trial: Trial, utility: Utility) -> float:
    """u(evaluations to the correct patch); a search without one is censored and counts 0."""
    if trial.found_at is None or not trial.correct:
        return 0.0
    return utility(trial.found_at)


def share(trials: Sequence[Trial], score: Score) -> Interval:
    """Mean score with its interval: tasks resampled inside packages, seeds kept together."""
    return stratified_bootstrap(_by_package(trials, score), resamples=RESAMPLES)


def paired_difference(
    trials: Sequence[Trial], reference: Sequence[Trial], score: Score
) -> Interval:
    """Mean of score minus the reference's score on the same task and seed, with interval.

    Raises:
        BadInput: the two were not run on the same tasks and seeds.
    """
    other = {(t.task, t.seed): score(t) for t in reference}
    if {(t.task, t.seed) for t in trials} != other.keys():
        raise BadInput("a paired comparison needs the same tasks and seeds on both sides")
    return stratified_bootstrap(
        _by_package(trials, lambda t: score(t) - other[t.task, t.seed]), resamples=RESAMPLES
    )


def summarise(
    trials: Sequence[Trial], reference: str, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON summary: per setting shares, intervals, differences, medians; provenance.

    Raises:
        BadInput: no trials, or none of the reference setting.
    """
    by_setting: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_setting[trial.setting].append(trial)
    if reference not in by_setting:
        raise BadInput(f"the reference {reference!r} was not run; ran: {sorted(by_setting)}")
    rows = []
    for label, own in by_setting.items():
        found = [t.found_at for t in own if t.found_at is not None]
        row: dict[str, Any] = {
            "setting": label,
            "trials": len(own),
            "errors": sum(bool(t.error) for t in own),
            "plausible": asdict(share(own, plausible)),
            "correct": asdict(share(own, correct)),
            "patient": asdict(share(own, patient)),
            "impatient": asdict(share(own, impatient)),
            "median_found_at": median(found) if found else None,
            "same_as_original": sum(t.original for t in own) / len(own),
            "seconds": round(sum(t.seconds for t in own), 1),
        }
        for slips, name in ((1, "one_slip"), (2, "two_slips")):
            part = [t for t in own if t.slips == slips]
            row[name] = sum(map(correct, part)) / len(part) if part else None
        if label != reference:
            row["difference"] = asdict(paired_difference(own, by_setting[reference], correct))
        rows.append(row)
    return {"reference": reference, "settings": rows, "provenance": dict(provenance)}


def markdown(summary: Mapping[str, Any]) -> str:
    """The summary as a Markdown table, best first.

    Columns ``patient`` and ``impatient``: expected utility of the evaluations to a correct patch,
    for a budget uniform up to the one given, and exponential with a tenth of it as mean (S073).
    """
    head = (
        "| setting | plausible % | correct % (95 %) | one slip | two slips | "
        f"minus {summary['reference']} (95 %) | median evaluations | "
        "patient | impatient | errors |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
    )
    rows = sorted(summary["settings"], key=lambda row: -row["correct"]["mean"])
    return head + "".join(_row(row) for row in rows)


def _row(row: Mapping[str, Any]) -> str:
    difference = row.get("difference")
    cells = [
        row["setting"],
        _percent(row["plausible"]["mean"]),
        _with_ends(row["correct"]),
        _percent(row["one_slip"]),
        _percent(row["two_slips"]),
        _with_ends(difference, signed=True) if difference else "reference",
        "-" if row["median_found_at"] is None else f"{row['median_found_at']:.0f}",
        f"{row['patient']['mean']:.3f}",
        f"{row['impatient']['mean']:.3f}",
        str(row["errors"]),
    ]
    return "| " + " | ".join(cells) + " |\n"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _with_ends(interval: Mapping[str, float], *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    mean, low, high = (100 * interval[name] for name in ("mean", "low", "high"))
    return f"{mean:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def _by_package(trials: Sequence[Trial], score: Score) -> list[list[list[float]]]:
    groups: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        groups[trial.package][trial.task].append(score(trial))
    return [list(tasks.values()) for tasks in groups.values()]
