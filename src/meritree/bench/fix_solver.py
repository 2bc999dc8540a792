"""The solver that the repair benchmark measures: the search of `meritree fix` itself.

Collection, baseline and localisation happen once a task; every search starts from them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from meritree.bench.ablations import parts_without
from meritree.bench.compare import Attempt, Setting
from meritree.bench.outcome_cache import OutcomeCache, TaskOutcomes
from meritree.bench.tasks import Task
from meritree.errors import BadInput
from meritree.run.ledger import Ledger, Limits
from meritree.swe.code_search import Tester
from meritree.swe.passing import SearchLimits
from meritree.swe.prepare import prepare
from meritree.swe.prepared import Prepared
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import RunFolder, create
from meritree.swe.search_setup import new_search
from meritree.swe.targets import Ended
from meritree.swe.testing.types import Outcome, TestLimits


class FixSolver:
    """Opens tasks for the search of `meritree fix`; outcomes are shared through ``cache``.

    ``cache=None`` keeps outcomes only as long as a task is open.
    """

    def __init__(self, cache: OutcomeCache | None) -> None:
        self._cache = cache

    def open(self, repo: Path, task: Task) -> FixCase:
        """Collect, run the baseline and localise.

        Raises:
            BadInput: the task's tests cannot judge a patch here.
        """
        options = FixOptions(
            repo=repo, failing_tests=task.shown, policy="repair", out=repo.parent / "run"
        )
        folder = create(options)
        try:
            prepared = prepare(options, folder, lambda _: None)
        except Ended as end:
            raise BadInput(f"{task.id}: nothing to search: {end}") from end
        return FixCase(prepared, folder, task.id, self._cache)


class FixCase:
    """One prepared task; all its searches use the same test processes."""

    def __init__(
        self, prepared: Prepared, folder: RunFolder, task: str, cache: OutcomeCache | None
    ) -> None:
        self.prepared = prepared
        self.folder = folder
        self._task = task
        self._cache = cache
        self._testers: dict[TestLimits, Tester] = {}

    def tester(self, limits: TestLimits) -> Tester:
        """One judge for all searches with these limits; others' outcomes are not theirs."""
        if limits not in self._testers:
            tester: Tester = self.prepared.evaluator(limits)
            if self._cache is not None:
                usual = limits == TestLimits()
                name = self._task if usual else f"{self._task} {limits}"
                tester = _Remembering(tester, self._cache.for_task(name), self.prepared)
            self._testers[limits] = tester
        return self._testers[limits]

    def attempt(self, setting: Setting, seed: int, budget: int) -> Attempt:
        """One search, ended by its first plausible patch or by its budget."""
        started = time.monotonic()
        parts = parts_without(setting.ablate)
        search = new_search(
            self.prepared,
            strategy=setting.strategy,
            seed=seed,
            ledger=Ledger(Limits(evaluations=budget)),
            limits=SearchLimits(stop_at_first=True),
            weights=parts.weights,
            policy=self.prepared.policy(seed, priors=parts.priors, options=parts.options),
            testers=[self.tester(parts.limits)],
        )
        search.run()
        found = search.found[0] if search.found else None
        return Attempt(
            found_at=None if found is None else search.states[found].found_at,
            evaluations=search.evaluations,
            files={} if found is None else dict(search.files(found)),
            seconds=time.monotonic() - started,
        )

    def close(self) -> None:
        """End the processes that hold the task's tests."""
        self.prepared.close()
        self.folder.clear_work()


class _Remembering:
    """A tester that runs no candidate twice, not even in another run of the benchmark."""

    def __init__(self, tester: Tester, outcomes: TaskOutcomes, prepared: Prepared) -> None:
        self._tester = tester
        self._outcomes = outcomes
        self._prepared = prepared

    def evaluate(self, files: Mapping[str, str]) -> Outcome:
        key = self._key(files)
        known = self._outcomes.get(key)
        if known is not None:
            return known
        outcome = self._tester.evaluate(files)
        self._outcomes.put(key, outcome)
        for amendment in outcome.amended:
            self._outcomes.put(self._key(amendment.files), amendment.outcome)
        return outcome

    def _key(self, files: Mapping[str, str]) -> str:
        return self._prepared.store.tree_with(self._prepared.base, files)
