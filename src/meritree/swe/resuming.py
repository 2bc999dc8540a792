"""Going on with a run: where it stood, with more budget, or not at all where it has ended.

Reads the journal and the stored result; the run itself is `fix.Run`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from meritree.errors import BadInput, JournalError
from meritree.run.journal import Journal
from meritree.swe.fix import JOURNAL_KIND, Run, check_options
from meritree.swe.fix_search import BUDGET, Past, since_budget
from meritree.swe.result import FixOptions, FixResult, Listener
from meritree.swe.run_folder import RunFolder, decode_options

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


def resume(
    out: Path,
    listener: Listener | None = None,
    *,
    apply: bool = False,
    budget: Budget | None = None,
) -> FixResult:
    """Continue a run where it stood; one that has ended is only reported again.

    With one worker the tree is the one that an uninterrupted run would have made. A ``budget``
    takes the place of the run's own; the search goes on under it, also one that had ended, and
    makes the tree of one run with that budget.

    Raises:
        BadInput: the folder holds no run of `meritree fix`, or the budget is spent already.
        JournalError: the journal is of a newer version, in use, or damaged.
    """
    folder = _folder_of(out)
    more = (budget or Budget()).given
    if not more and not apply and (done := ended(folder.root)) is not None:
        return done
    with folder.disk_errors(), Journal.open(folder.journal) as journal:
        events = [(e.kind, e.payload) for e in journal.events()]
        options = replace(_options(folder, journal.meta), **_budgets(events))
        _check_spent(more, events)
        options = replace(options, **more, out=folder.root, apply=options.apply or apply)
        check_options(options)
        if more:
            journal.append(BUDGET, more)
        folder.clear_work()
        try:
            return Run(options, folder, journal, listener).go()
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


def _folder_of(out: Path) -> RunFolder:
    folder = RunFolder(out.expanduser().resolve())
    if not folder.journal.is_file():
        raise BadInput(f"{out} holds no run (no run.db); give the --out folder of a run")
    return folder


def _options(folder: RunFolder, meta: Mapping[str, Any]) -> FixOptions:
    if meta.get("kind") != JOURNAL_KIND:
        raise BadInput(f"{folder.journal} is not the journal of a `meritree fix` run")
    return decode_options(meta.get("options", {}))


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


def _check_spent(more: Mapping[str, Any], events: Past) -> None:
    spent = {
        "budget_tests": sum(1 for kind, _ in events if kind == "step"),
        "budget_seconds": max((p.get("seconds_so_far", 0.0) for _, p in events), default=0.0),
    }
    for name, (option, words) in _NAMES.items():
        if name in more and more[name] <= spent[name]:
            raise BadInput(
                f"{option} {more[name]:g}: {spent[name]:g} {words} already, and a budget is of "
                "the whole run; give more"
            )


__all__ = ["Budget", "ended", "resume"]
