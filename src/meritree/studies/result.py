"""The outcome of a study: rows, findings, verdict and where they come from, as one document.

Stored results travel with the package (`results/NAME.json`), one section a scale.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from meritree.errors import BadInput
from meritree.stats import Interval
from meritree.studies.checks import Finding
from meritree.studies.rows import Rows, SeedRow
from meritree.studies.study import ScaleName, Study, Verdict, verdict_of

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where figures come from.

    Attributes:
        command: what repeats them.
        commit: of the code that measured, with ``+changes`` if files differed from it; the
            version number outside a checkout.
        seeds: the seeds measured.
        settings: of the scale.
        machine: system, processor kind, cores.
        versions: of Python and of the modules that the study needs.
        date: day of the measurement, ISO 8601.
        seconds: wall-clock time of the seeds, summed.
        load: one-minute load average at the start; other work makes times longer.
    """

    command: str
    commit: str
    seeds: tuple[int, ...]
    settings: Mapping[str, Any]
    machine: str
    versions: Mapping[str, str]
    date: str
    seconds: float
    load: float


@dataclass(frozen=True, slots=True)
class Result:
    """A study that was run.

    Attributes:
        id, name: of the system.
        scale: ``smoke``, ``full`` or a further one; only a full run's verdict is the system's.
        verdict: of the checks together.
        findings: one a check.
        rows: what was measured.
        provenance: where it comes from.
        caption: of the figure.
        part: what exactly works, where only a part of the system does.
    """

    id: str
    name: str
    scale: ScaleName
    verdict: Verdict
    findings: tuple[Finding, ...]
    rows: Rows
    provenance: Provenance
    caption: str = ""
    part: str = ""

    def to_json(self) -> dict[str, Any]:
        """The documented JSON object."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "name": self.name,
            "scale": self.scale,
            "part": self.part,
            "verdict": self.verdict,
            "checks": [asdict(finding) for finding in self.findings],
            "caption": self.caption,
            "provenance": asdict(self.provenance),
            "rows": [list(row) for row in self.rows],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Result:
        """Read what `to_json` wrote.

        Raises:
            BadInput: written by a newer version, or not such a document.
        """
        if not isinstance(document, Mapping):
            raise BadInput(f"study result: {type(document).__name__} is no JSON object")
        if document.get("schema") != SCHEMA:
            raise BadInput(
                f"study result: schema {document.get('schema')!r} is not {SCHEMA}; it was written "
                "by another version of meritree: run the study again"
            )
        try:
            return cls._from_fields(document)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BadInput(
                f"study result: not as `meritree study` writes it ({error!r}); run the study again"
            ) from error

    @classmethod
    def _from_fields(cls, document: Mapping[str, Any]) -> Result:
        provenance = dict(document["provenance"])
        provenance["seeds"] = tuple(provenance["seeds"])
        return cls(
            document["id"],
            document["name"],
            document["scale"],
            cast("Verdict", document["verdict"]),
            tuple(_finding(check) for check in document["checks"]),
            Rows.of(SeedRow(*row) for row in document["rows"]),
            Provenance(**provenance),
            document["caption"],
            document["part"],
        )


def judge(study: Study, rows: Rows) -> tuple[Verdict, tuple[Finding, ...]]:
    """Ask every check; the verdict follows from their outcomes."""
    findings = tuple(check(rows) for check in study.checks)
    return verdict_of([finding.outcome for finding in findings]), findings


def stored(name: str) -> dict[ScaleName, Result]:
    """The results kept with the package for one study, by scale; empty if there are none."""
    path = files("meritree.studies") / "results" / f"{name}.json"
    if not path.is_file():
        return {}
    document = json.loads(path.read_text("utf-8"))
    return {scale: Result.from_json(one) for scale, one in document.items()}


def store(result: Result, folder: Path) -> Path:
    """Keep a result in ``folder/NAME.json``; sections of other scales stay as they are.

    Rows stand one a line, so that a change of figures is a readable difference.
    """
    path = folder / f"{result.name}.json"
    folder.mkdir(exist_ok=True)
    document = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    document[result.scale] = result.to_json()
    path.write_text(write(document), "utf-8")
    return path


def figure_name(name: str, scale: ScaleName) -> str:
    """File of a stored figure: ``NAME.png`` of the full scale, ``NAME-SCALE.png`` of others."""
    return f"{name}.png" if scale == "full" else f"{name}-{scale}.png"


def write(document: Mapping[str, Any]) -> str:
    """JSON with one line a row."""
    text = json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False, sort_keys=True)
    lines: list[str] = []
    row: list[str] | None = None
    for line in text.splitlines():
        # Only rows are lists inside lists.
        if row is None and line.strip() == "[":
            row = [line]
        elif row is not None:
            row.append(line.strip())
            if line.strip() in ("]", "],"):
                lines.append(row[0] + " ".join(row[1:-1]) + row[-1])
                row = None
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def differences(study: Study, fresh: Result, kept: Result, tolerance: float = 1e-6) -> list[str]:
    """Where a fresh run contradicts the stored one; empty if it agrees.

    Repeatable studies must give the same rows for the seeds both have, within a relative
    tolerance (libraries differ in the last digits). Where processor time is measured, or training
    makes much of the last digits, rows cannot repeat: then the same things must be measured, and
    at full scale each check's outcome must not turn into its opposite.
    """
    found = _row_differences(fresh.rows, kept.rows, tolerance if study.repeatable else math.inf)
    if not study.repeatable and "smoke" in (fresh.scale, kept.scale):
        return found
    before = {finding.claim: finding for finding in kept.findings}
    for finding in fresh.findings:
        old = before.get(finding.claim)
        if old is None:
            found.append(f"check {finding.claim!r} is not in the stored result")
        elif {finding.outcome, old.outcome} == {"holds", "does not hold"}:
            found.append(f"{finding.claim}: {old.outcome} before, now {finding.outcome}")
    return found


def _row_differences(fresh: Rows, kept: Rows, tolerance: float) -> list[str]:
    common = {row.seed for row in fresh} & {row.seed for row in kept}
    old = {(*row[:4], row.unit): row.value for row in kept if row.seed in common}
    new = {(*row[:4], row.unit): row.value for row in fresh if row.seed in common}
    if not common:
        return ["no seed in common with the stored result"]
    found = [f"only in one of the runs: {key}" for key in sorted(old.keys() ^ new.keys())]
    found += [
        f"{key}: {old[key]!r} before, now {new[key]!r}"
        for key in old.keys() & new.keys()
        if tolerance < math.inf
        and not math.isclose(old[key], new[key], rel_tol=tolerance, abs_tol=tolerance)
    ]
    return sorted(found)


def _finding(check: Mapping[str, Any]) -> Finding:
    interval = check["interval"]
    return Finding(
        check["claim"],
        check["outcome"],
        check["figures"],
        None if interval is None else Interval(**interval),
    )


def table(rows: Rows) -> tuple[Sequence[str], list[list[str]]]:
    """Head and lines of a table: a line a data set and system, a column a metric."""
    from meritree.studies.checks import show

    metrics = rows.metrics
    head = ["data", "system", *metrics]
    lines = []
    for dataset in rows.datasets:
        for system in rows.where(dataset=dataset).systems:
            own = rows.where(dataset=dataset, system=system)
            cells = [
                show(own.interval(metric)) if metric in own.metrics else "-" for metric in metrics
            ]
            lines.append([dataset, system, *cells])
    return head, lines
