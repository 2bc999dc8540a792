"""The solver that the repair benchmark measures: the search of `meritree fix` itself.

Collection, baseline and localisation happen once a task; every search starts from them.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from meritree.bench.compare import Attempt, Setting
from meritree.bench.outcome_cache import OutcomeCache
from meritree.bench.tasks import Task
from meritree.swe.result import FixOptions


class FixSolver:
    """Opens tasks for `meritree.swe.fix`; outcomes are shared through ``cache``.

    ``cache=None`` runs every candidate anew (for timing).
    """

    def __init__(self, cache: OutcomeCache | None) -> None:
        self._cache = cache

    def open(self, repo: Path, task: Task) -> FixCase:
        """Collect, run the baseline and localise; raises `BadInput` where that fails."""
        # Typed Any: the benchmark relies on two names only, `prepare` and `search_prepared`.
        entry: Any = import_module("meritree.swe.fix")
        prepared = entry.prepare(FixOptions(repo=repo, failing_tests=task.shown), None)
        outcomes = None if self._cache is None else self._cache.for_task(task.id)
        return FixCase(entry, prepared, outcomes)


class FixCase:
    """One prepared task."""

    def __init__(self, entry: Any, prepared: Any, outcomes: Any) -> None:
        self._entry = entry
        self._prepared = prepared
        self._outcomes = outcomes

    def attempt(self, setting: Setting, seed: int, budget: int) -> Attempt:
        """One search from the prepared task, ended by its first plausible patch."""
        outcome = self._entry.search_prepared(
            self._prepared,
            strategy=setting.strategy,
            seed=seed,
            budget_tests=budget,
            ablate=setting.ablate,
            outcome_cache=self._outcomes,
            stop_at_first=True,
        )
        files = dict(outcome.candidates[0]) if outcome.candidates else {}
        return Attempt(outcome.found_at, outcome.evaluations, files, outcome.seconds)

    def close(self) -> None:
        """End the processes that hold the task's tests."""
        self._prepared.close()
