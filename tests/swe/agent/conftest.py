"""A small real repository, prepared once, and searches over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from meritree.respond.data import Reply, ToolCall
from meritree.respond.model import Model
from meritree.run.ledger import Ledger, Limits
from meritree.swe.agent.search import AgentSearch
from meritree.swe.agent.setup import Models, new_agent_search
from meritree.swe.agent.steps import AgentLimits
from meritree.swe.agent.trials import Desk
from meritree.swe.prepare import prepare
from meritree.swe.prepared import Prepared
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import create

FILES = {
    "half.py": "def half(n):\n    return n // 3\n\n\ndef twice(n):\n    return n * 2\n",
    "spare.py": "UNUSED = 1\n",
    "tests/test_half.py": (
        "from half import half, twice\n\n\ndef test_half():\n    assert half(8) == 4\n\n\n"
        "def test_twice():\n    assert twice(2) == 4\n"
    ),
}


def write(root: Path, files: dict[str, str] = FILES) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def says(name: str, said: str = "", **given: Any) -> Reply:
    """A reply with one call."""
    return Reply(said, (ToolCall("call", name, given),))


MEND = says("replace", path="half.py", old="n // 3", new="n // 2")
VIEW = says("view", path="half.py")


class Events(list[tuple[str, dict[str, Any]]]):
    """A journal in memory."""

    def append(self, kind: str, payload: dict[str, Any]) -> int:  # type: ignore[override]
        super().append((kind, payload))
        return len(self)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self]


@dataclass
class Lab:
    """Makes searches over the prepared repository."""

    prepared: Prepared
    folder: Path
    desks: list[Desk] = field(default_factory=list)

    def search(
        self, model: Model, *, value: Model | None = None, workers: int = 1,
        strategy: str = "best-first", limits: AgentLimits | None = None,
        budget: Limits | None = None, events: Events | None = None, seed: int = 0,
    ) -> AgentSearch:  # fmt: skip
        self.ledger = Ledger(budget or Limits(evaluations=200, tokens=10_000_000))
        search = new_agent_search(
            self.prepared, self.folder, models=Models(model, value), strategy=strategy, seed=seed,
            ledger=self.ledger, workers=workers, limits=limits or AgentLimits(patience=0),
            events=events,
        )  # fmt: skip
        # Test processes are shared by all searches: starting them takes seconds.
        self.desks = self.desks or [search.part.trials.desk() for _ in range(3)]
        search.part.expander.trials = self.desks[0].trials
        search.workers = self.desks[:workers]
        return search

    def close(self) -> None:
        for desk in self.desks[:1]:
            desk.trials.close()
        self.prepared.close()


def steps(search: AgentSearch, *nodes: int) -> None:
    """Expand these nodes, one after the other."""
    for node in nodes:
        ticket = search.tree.ask_at(node)
        search.finish(search.part.expand(search.task(ticket), search.workers[0]))


def open_lab(root: Path, out: Path, **options: Any) -> Lab:
    given = FixOptions(repo=root, out=out, policy="model", sandbox="rlimits", **options)
    folder = create(given)
    return Lab(prepare(given, folder, lambda progress: None), folder.work)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    base = tmp_path_factory.mktemp("lab")
    made = open_lab(write(base / "repo"), base / "out")
    yield made
    made.close()


@pytest.fixture
def tree_of() -> Callable[[AgentSearch], Any]:
    """What two searches must have in common to be the same."""

    def dump(search: AgentSearch) -> Any:
        return (
            search.tree.tree.dump(),
            [(n, s.key, s.observation.text, s.estimate.mean) for n, s in search.states.items()],
            search.found,
            search.evaluations,
        )

    return dump
