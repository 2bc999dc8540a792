"""Injected faults made ready for many searches at equal budgets, judged by hidden tests.

Opens a task once a process, keeps outcomes for all strategies and seeds. Knows the two policies
(edits of the repair policy, actions of a model) but no strategy by name and no claim.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from meritree.bench.compare import Verdicts
from meritree.bench.fix_solver import FixCase, FixSolver
from meritree.bench.outcome_cache import OutcomeCache
from meritree.bench.packages import cache_folder
from meritree.bench.repair import task_layout
from meritree.bench.tasks import Task, inject, list_hash
from meritree.errors import BadInput
from meritree.run.ledger import Ledger, Limits
from meritree.search import Strategy
from meritree.swe.choosing import told_of
from meritree.swe.code_search import CodeSearch, Tester
from meritree.swe.edits import Edit
from meritree.swe.passing import SearchLimits
from meritree.swe.repair.ranking import rank
from meritree.swe.search_setup import flags, new_search
from meritree.swe.testing.types import Outcome, TestLimits
from meritree.swe.verify import Searched, plausible_patch
from meritree.value.estimate import Estimate

if TYPE_CHECKING:
    from meritree.swe.agent.search import AgentSearch
    from meritree.swe.agent.setup import Models
    from meritree.swe.agent.steps import AgentLimits
    from meritree.swe.agent.value_agent import AgentWeights

TASKS = "tasks.json"
Distort = Callable[[Estimate, str], Estimate]
"""A value and which patch it is of, to the value that the search is told."""


@dataclass(frozen=True, slots=True)
class AgentSetting:
    """What a model's search is made of and may spend.

    Attributes:
        strategy: where it goes on.
        models: who proposes, and who judges.
        limits: when it ends before its budget does.
        weights: of the channels of its values.
        tests: budget of candidate evaluations.
        tokens: budget of tokens.
        temperature: of the model that proposes; its own when None.
    """

    strategy: Strategy
    models: Models
    limits: AgentLimits
    weights: AgentWeights
    tests: int
    tokens: int
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One search.

    Attributes:
        right: its first patch that passes the shown tests also passes the hidden ones.
        passed: there is such a patch.
        tests: candidate evaluations until then, or spent in all.
        tokens: of the model until then, or spent in all; 0 without one.
    """

    right: bool
    passed: bool
    tests: int
    tokens: int = 0


def with_one_test(task: Task, seed: int) -> Task:
    """The same fault, of which one failing test is shown, drawn by the seed."""
    failing = (*task.shown, *task.held_out)
    shown = Random(f"{task.id}:{seed}").choice(failing)
    return replace(task, shown=(shown,), held_out=tuple(one for one in failing if one != shown))


@dataclass(frozen=True, slots=True)
class Passing:
    """A patch that passes the shown tests.

    Attributes:
        key: of its state.
        patch: a unified diff.
        files: changed files, path -> new text.
        right: it also passes the hidden ones, or is the original.
    """

    key: str
    patch: str
    files: Mapping[str, str]
    right: bool


@cache
def task_named(name: str) -> Task:
    """A task of the list that comes with the study.

    Raises:
        BadInput: there is none of that name.
    """
    text = (files("meritree.studies.swe") / TASKS).read_text("utf-8")
    tasks = {task["id"]: task for task in json.loads(text)["tasks"]}
    if name not in tasks:
        raise BadInput(f"task {name!r}: unknown; there are {', '.join(tasks)}")
    return Task.from_json(tasks[name])


@cache
def opened(name: str, keep: bool) -> OpenTask:
    """The task, opened once a process and closed at its end.

    Args:
        keep: outcomes go to the user's cache folder, for later runs and other processes.
    """
    made = OpenTask(task_named(name), keep)
    atexit.register(made.close)
    return made


class OpenTask:
    """A task's repository with everything that is the same for all searches."""

    def __init__(self, task: Task, keep: bool) -> None:
        self.task = task
        self._scratch = Path(tempfile.mkdtemp(prefix="meritree-study-"))
        clean, repo = self._scratch / "clean", self._scratch / "repo"
        clean.mkdir()
        try:
            task_layout()(task, clean)
            shutil.copytree(clean, repo)
            inject(task, repo)
            place = cache_folder() / "studies" if keep else self._scratch
            self._cache = OutcomeCache(place / "swe-search.db")
            self._case: FixCase = FixSolver(self._cache).open(repo, task)
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        self._key = f"{task.id} {list_hash([task])}"
        self._verdicts = Verdicts(task, clean, repo)

    @property
    def tester(self) -> Tester:
        """Judges a candidate, once for all searches."""
        return self._case.tester(TestLimits())

    def right(self, changed: Mapping[str, str]) -> bool:
        """Whether a patch passes what it could not see, or is the original."""
        digest = f"verdict {json.dumps(sorted(changed.items()))}"
        known = self._cache.read(self._key, digest)
        if known is None:
            _, kept, original = self._verdicts.of(changed)
            known = json.dumps(original or kept)
            self._cache.write(self._key, digest, known)
        return bool(json.loads(known))

    def by_repair(
        self, strategy: Strategy, seed: int, tests: int, distort: Distort | None = None
    ) -> Tried:
        """A search over the repair policy's edits, ended by its first passing patch.

        Args:
            tests: budget of candidate evaluations.
            distort: what becomes of the value of a patch that does not pass.
        """
        search = self._repair_search(strategy, seed, tests, SearchLimits(stop_at_first=True))
        if distort is not None:
            plain, told = search.judge, distort

            def judge(outcome: Outcome, edits: Sequence[Edit], probability: float) -> Estimate:
                value = plain(outcome, edits, probability)
                patch = repr([(edit.path, edit.splices) for edit in edits])
                return value if value.mean == 1.0 else told(value, patch)

            search.judge = judge
        search.run()
        if not search.found:
            return Tried(False, False, search.evaluations)
        found = search.found[0]
        spent = search.states[found].found_at
        return Tried(self.right(dict(search.files(found))), True, spent)

    def by_agent(self, setting: AgentSetting, seed: int) -> Tried:
        """A search by a model's actions, ended by its first passing patch or by its budgets."""
        search, ledger = self._agent_search(setting, seed)
        spent = ledger.snapshot().spent.tokens
        if not search.found:
            return Tried(False, False, search.evaluations, spent)
        right = self._right(search.files(search.found[0]))
        return Tried(right, True, search.evaluations, spent)

    def passing_by_repair(self, strategy: Strategy, seed: int, tests: int) -> list[Passing]:
        """Every passing patch of a search that goes on after the first, best ranked first."""
        search = self._repair_search(strategy, seed, tests, SearchLimits())
        search.run()
        return self._ranked(search)

    def passing_by_agent(self, setting: AgentSetting, seed: int) -> list[Passing]:
        """The same of a model's search; its limits say how many patches it goes on for."""
        search, _ = self._agent_search(setting, seed)
        return self._ranked(search)

    @property
    def told(self) -> str:
        """The fault as debaters are told of it."""
        return told_of(self._case.prepared)

    def _repair_search(
        self, strategy: Strategy, seed: int, tests: int, limits: SearchLimits
    ) -> CodeSearch:
        return new_search(
            self._case.prepared,
            strategy=strategy,
            seed=seed,
            ledger=Ledger(Limits(evaluations=tests)),
            limits=limits,
            testers=[self.tester],
        )

    def _agent_search(self, setting: AgentSetting, seed: int) -> tuple[AgentSearch, Ledger]:
        """A search that ran, and its books."""
        from meritree.swe.agent.setup import new_agent_search

        ledger = Ledger(Limits(evaluations=setting.tests, tokens=setting.tokens))
        search = new_agent_search(
            self._case.prepared,
            self._scratch,
            models=setting.models,
            strategy=setting.strategy,
            seed=seed,
            ledger=ledger,
            limits=setting.limits,
            weights=setting.weights,
            temperature=setting.temperature,
            tester=self.tester,
        )
        search.run()
        search.part.trials.close()
        return search, ledger

    def _ranked(self, search: Searched) -> list[Passing]:
        """As `meritree fix` ranks them: what looks made for the tests comes last."""
        prepared = self._case.prepared
        nodes = {search.states[node].key: node for node in search.found}
        ranked = rank([plausible_patch(prepared, search, node) for node in search.found])
        keys = [item.patch.key for item in ranked]
        keys.sort(key=lambda key: bool(flags(prepared, search.path(nodes[key]))))
        return [self._passing(search, nodes[key]) for key in keys]

    def _passing(self, search: Searched, node: int) -> Passing:
        store, base, files = self._case.prepared.store, self._case.prepared.base, search.files(node)
        patch = store.diff(base, store.tree_with(base, files))
        texts = {path: text for path, text in files.items() if text is not None}
        return Passing(search.states[node].key, patch, texts, self._right(files))

    def _right(self, changed: Mapping[str, str | None]) -> bool:
        texts = {path: text for path, text in changed.items() if text is not None}
        return len(texts) == len(changed) and self.right(texts)

    def close(self) -> None:
        """End the processes that hold the task's tests, and remove all copies."""
        self._case.close()
        self._cache.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def distorted(bias: float, noise: float, seed: int) -> Distort:
    """Values with a bias and Gaussian noise, cut to [0, 0.99]; the same for the same patch."""

    def distort(value: Estimate, patch: str) -> Estimate:
        mean = value.mean + bias + Random(f"{seed}:{patch}").gauss(0.0, noise)
        return Estimate(min(0.99, max(0.0, mean)), n=value.n, channels=value.channels)

    return distort
