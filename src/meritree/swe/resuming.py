"""Going on with a run: where it stood, with more budget, or not at all where it has ended.

Reads the journal and the stored result; the run itself is `fix.Run`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from meritree.errors import BadInput, JournalError
from meritree.run.journal import Journal
from meritree.swe.asked import check_options
from meritree.swe.fix import JOURNAL_KIND, Run
from meritree.swe.fix_search import BUDGET, ENDPOINT, Past, since_budget
from meritree.swe.own_channels import Channel, named
from meritree.swe.result import FixOptions, FixResult, Listener
from meritree.swe.run_folder import RunFolder, decode_options

SO_FAR = "seconds_so_far"  # without pauses; said by many events
_NAMES = {
    "budget_tests": ("--budget-tests", "evaluations are spent"),
    "budget_seconds": ("--budget-seconds", "seconds have passed"),
}


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of the whole run, earlier parts included, as for `fix`; None: as they were."""

    budget_tests: int | None = None
    budget_seconds: float | None = None
    budget_usd: float | None = None
    budget_tokens: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """Those that are not None, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the run's models are asked from now on, and which one proposes; empty: as it was."""

    base_url: str = ""
    model: str = ""

    @property
    def given(self) -> bool:
        """Whether anything is to be changed."""
        return bool(self.base_url or self.model)


def resume(
    out: Path,
    listener: Listener | None = None,
    *,
    apply: bool = False,
    budget: Budget | None = None,
    endpoint: Endpoint | None = None,
    channels: Sequence[Channel] = (),
) -> FixResult:
    """Continue a run where it stood; one that has ended is only reported again.

    With one worker the tree is the one that an uninterrupted run would have made. A ``budget``
    takes the place of the run's own; the search goes on under it, also one that had ended, and
    makes the tree of one run with that budget. An ``endpoint`` is asked once whether it is there,
    and recorded. ``channels`` are those of the run, by name and weight.

    Raises:
        BadInput: the folder holds no run of `meritree fix`, the budget is spent already, or the
            endpoint or the channels do not fit the run.
        JournalError: the journal is of a newer version, in use, or damaged.
    """
    folder = _folder_of(out)
    more = (budget or Budget()).given
    refuse_idle(endpoint or Endpoint(), more, out)
    if not more and not apply and (done := ended(folder.root)) is not None:
        return done
    with folder.disk_errors(), Journal.open(folder.journal) as journal:
        _check_channels(journal.meta, channels)
        events = [(e.kind, e.payload) for e in journal.events()]
        options = replace(_options(folder, journal.meta), **_budgets(events), **_endpoints(events))
        _check_spent(more, events)
        elsewhere = _elsewhere(endpoint or Endpoint(), options, events)
        options = replace(options, **more, out=folder.root, apply=options.apply or apply)
        options = replace(options, **elsewhere)
        check_options(options)
        if elsewhere:
            from meritree.swe.agent.setup import check_endpoints

            check_endpoints(options)
            journal.append(ENDPOINT, {**elsewhere, SO_FAR: _seconds(events)})
        if more:
            journal.append(BUDGET, {**more, SO_FAR: _seconds(events)})
        folder.clear_work()
        try:
            return Run(options, folder, journal, listener, channels).go()
        finally:
            folder.clear_work()


def ended(out: Path) -> FixResult | None:
    """The result of a run that has ended; None where there is something to go on with.

    Raises:
        BadInput: the folder holds no run of `meritree fix`.
        JournalError: the journal is of a newer version or damaged.
    """
    folder = _folder_of(out)
    with Journal.open(folder.journal, read_only=True) as journal:
        _options(folder, journal.meta)
        events = since_budget([(e.kind, e.payload) for e in journal.events()])
    status = next((p.get("status") for kind, p in events if kind == "finished"), None)
    if status is None:
        return None
    try:
        result = FixResult.from_json(json.loads(folder.result.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # stopped before it was written: the journal has all it was made of
    return result if result.status == status else None


def refuse_idle(endpoint: Endpoint, more: Mapping[str, Any], out: Path) -> None:
    """An endpoint for a run that has ended would never be asked.

    Raises:
        BadInput: nothing is left to ask; the message says how to go on.
    """
    if endpoint.given and not more and ended(out) is not None:
        option = (
            f"--model {endpoint.model}" if endpoint.model else f"--base-url {endpoint.base_url}"
        )
        raise BadInput(
            f"{option}: the run in {out} has ended, no model is asked any more; leave it out to "
            "see the result, or give a larger budget too (--budget-tests N) to go on"
        )


def _folder_of(out: Path) -> RunFolder:
    folder = RunFolder(out.expanduser().resolve())
    if not folder.journal.is_file():
        raise BadInput(f"{out} holds no run (no run.db); give the --out folder of a run")
    return folder


def _options(folder: RunFolder, meta: Mapping[str, Any]) -> FixOptions:
    if meta.get("kind") != JOURNAL_KIND:
        raise BadInput(f"{folder.journal} is not the journal of a `meritree fix` run")
    return decode_options(meta.get("options", {}))


def _check_channels(meta: Mapping[str, Any], channels: Sequence[Channel]) -> None:
    judged = meta.get("channels", [])
    if judged == named(channels).get("channels", []):
        return
    if not judged:
        raise BadInput("channels: the run was judged without channels of your own; leave them out")
    listed = ", ".join(f"{name} (weight {weight:g})" for name, weight in judged)
    raise BadInput(
        f"the run was judged by channels of your own: {listed}; go on from Python, with the same "
        "ones: meritree.swe.resuming.resume(folder, channels=...)"
    )


def _budgets(events: Past) -> dict[str, Any]:
    """The budgets that earlier parts of the run were given, the latest of each kind."""
    known = {field.name for field in fields(Budget)}
    found: dict[str, Any] = {}
    for kind, payload in events:
        if kind == BUDGET:
            found.update({name: value for name, value in payload.items() if name in known})
    if not all(isinstance(value, int | float) for value in found.values()):
        raise JournalError("the journal does not say which budget was given; start a new run")
    return found


def _answered(options: FixOptions, events: Past) -> bool:
    if options.policy == "mini":  # it notes a reply also where none came; a step is of one
        return any(kind == "step" for kind, _ in events)
    return any(kind == "reply" and payload.get("reply") for kind, payload in events)


_ASKED = ("base_url", "model", "value_model", "judge_model")


def _endpoints(events: Past) -> dict[str, Any]:
    """Where earlier parts of the run were told to ask, the latest of each kind."""
    found: dict[str, Any] = {}
    for kind, payload in events:
        if kind == ENDPOINT:
            found.update({name: value for name, value in payload.items() if name in _ASKED})
    if not all(isinstance(value, str) for value in found.values()):
        raise JournalError("the journal does not say which model was asked; start a new run")
    return found


def _elsewhere(wanted: Endpoint, options: FixOptions, events: Past) -> dict[str, Any]:
    """The options that an endpoint changes.

    Raises:
        BadInput: the run asks no model, or the replayed steps are another model's.
    """
    if not wanted.given:
        return {}
    option = f"--model {wanted.model}" if wanted.model else f"--base-url {wanted.base_url}"
    asks = options.by_model if wanted.model else options.by_model or options.judge_model
    if not asks:
        raise BadInput(f"{option}: no model proposes in this run; leave it out")
    if wanted.model and wanted.model != options.model and _answered(options, events):
        raise BadInput(
            f"{option}: the steps so far are replayed and belong to {options.model}, which has "
            "answered already; leave --model out, or start a new run with `meritree fix`"
        )
    changed: dict[str, Any] = {"model": wanted.model} if wanted.model else {}
    if not wanted.base_url:
        return changed
    # A model that was named by its address alone is named by the new one.
    names = {name: changed.get(name, getattr(options, name)) for name in _ASKED[1:]}
    urls = ("http://", "https://")
    moved = {name: wanted.base_url for name, old in names.items() if old.startswith(urls)}
    return {**changed, **moved} if moved else {**changed, "base_url": wanted.base_url}


def _seconds(events: Past) -> float:
    """What earlier parts of the run took."""
    return max((p.get(SO_FAR, 0.0) for _, p in events), default=0.0)


def _check_spent(more: Mapping[str, Any], events: Past) -> None:
    spent = {
        "budget_tests": sum(1 for kind, _ in events if kind == "step"),
        "budget_seconds": _seconds(events),
    }
    for name, (option, words) in _NAMES.items():
        if name in more and more[name] <= spent[name]:
            raise BadInput(
                f"{option} {more[name]:g}: {spent[name]:g} {words} already, and a budget is of "
                "the whole run; give more"
            )


__all__ = ["Budget", "Endpoint", "ended", "refuse_idle", "resume"]
