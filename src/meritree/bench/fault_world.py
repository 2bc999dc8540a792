"""A small deterministic search over a journal, made to be killed and resumed.

Search, replay, journal and ledger are the real ones; only edits and tests are made up: a state
is a word of eight digits. It must not know how it is killed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meritree.errors import MeritreeError
from meritree.run.journal import Journal
from meritree.run.ledger import Ledger, Limits
from meritree.search import SearchTree, make_strategy
from meritree.swe.code_search import CodeSearch, Files, Proposed
from meritree.swe.edits import Edit, Splice
from meritree.swe.testing.types import Outcome, TestResult
from meritree.value.estimate import Cost, Estimate

EVALUATIONS = 40
_FILE, _START = "word.txt", "01234567"
_MOST_EDITS = 3  # of one state; then it is exhausted
_PLACES = 3  # few places and digits, so that different ways lead to equal words

Story = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Ending:
    """What a search came to.

    Attributes:
        story: the journal's events.
        tree: node -> key, parent and mean.
    """

    story: Story
    tree: dict[int, tuple[str, int | None, float]]

    def digest(self) -> str:
        """Equal for equal endings."""
        return hashlib.sha256(repr((self.story, sorted(self.tree.items()))).encode()).hexdigest()


class Acknowledging:
    """A journal's events, each told to whoever reads the descriptor once it is safe."""

    def __init__(self, journal: Journal, descriptor: int) -> None:
        self._journal = journal
        self._descriptor = descriptor

    def append(self, kind: str, payload: dict[str, Any]) -> int:
        """As `Journal.append`."""
        number = self._journal.append(kind, payload)
        os.write(self._descriptor, number.to_bytes(4, "big"))
        return number


@dataclass(slots=True)
class _Policy:
    """Proposes changed digits; what it proposes depends on everything it was told."""

    told: int = 0
    tried: dict[str, int] = field(default_factory=dict)

    def propose(self, key: str, files: Files) -> Proposed | None:
        text = files.get(_FILE, _START)
        number = self.tried.get(key, 0)
        if number >= _MOST_EDITS:
            return None
        self.tried[key] = number + 1
        chance = _number(f"{key} {number} {self.told % 7}")
        at = chance % _PLACES
        digit = str(chance // 8 % 3)
        edit = Edit(_FILE, (Splice(at, at + 1, digit),), "digit", 1.0, 1, "", 1.0, f"{text} {at}")
        return Proposed(edit, 1.0 / (number + 2))

    def peek(self, key: str) -> float:
        return 1.0 / (self.tried.get(key, 0) + 2)

    def allows(self, key: str) -> bool:
        return _number(f"allows {key}") % 9 > 0

    def tell(self, key: str, edit: Edit, child_key: str, outcome: Outcome) -> None:
        self.told += 1 + len(outcome.results)


class _Tester:
    """Judges a word by its digits."""

    def evaluate(self, files: Files) -> Outcome:
        text = files.get(_FILE, _START)
        graded = _number(f"value {text}") % 1000 / 1001
        result = TestResult("t", "failed", 0.25, graded, message=f"{text} é \u2028")
        return Outcome(False, {"t": result}, (), 1, 0.25, "hot")


def run(path: Path, descriptor: int, evaluations: int = EVALUATIONS) -> Ending:
    """Search until the budget ends, from the beginning or from where a journal stands.

    Args:
        path: of the journal.
        descriptor: gets four bytes for each acknowledged event, its number.

    Raises:
        MeritreeError: the journal cannot be used.
    """
    known = path.exists()
    with Journal.open(path) if known else Journal.create(path, {"kind": "faults"}) as journal:
        if journal.meta != {"kind": "faults"}:
            raise MeritreeError("not this world's journal")
        past = [(event.kind, event.payload) for event in journal.events()]
        search = new_search(Acknowledging(journal, descriptor), evaluations)
        steps = sum(kind == "step" for kind, _ in past)
        search.ledger.restore(Cost(evaluations=steps))
        waiting = search.replay(iter(e for e in past if e[0] in ("step", "outcome", "alias")
                                     or e[0] == "exhausted"))  # fmt: skip
        kinds = [kind for kind, _ in past]
        if "ended" not in kinds:
            search.finish_waiting(waiting)
            search.run()
            Acknowledging(journal, descriptor).append("ended", {"why": search.stopped_because})
        if "verdict" not in kinds:
            numbers = journal.append_many([("verdict", {"place": n}) for n in range(3)])
            os.write(descriptor, numbers[-1].to_bytes(4, "big"))
        story = [(event.kind, event.payload) for event in journal.events()]
    tree = {n: (s.key, s.parent, s.estimate.mean) for n, s in search.states.items()}
    return Ending(story, tree)


def story_of(path: Path) -> Story:
    """The events of a journal, read beside or after its writer."""
    with Journal.open(path, read_only=True) as journal:
        return [(event.kind, event.payload) for event in journal.events()]


def new_search(events: Acknowledging | None, evaluations: int) -> CodeSearch:
    """A search that has not begun; ``events`` are told its steps."""
    search = CodeSearch(
        tree=SearchTree(make_strategy("puct"), 0),
        policy=_Policy(),
        judge=_judge,
        testers=[_Tester()],
        base={_FILE: _START},
        key_of=_key,
        ledger=Ledger(Limits(evaluations=evaluations)),
        events=events,
    )
    search.start(_key({}), Estimate(0.5))
    return search


def _judge(outcome: Outcome, edits: Sequence[Edit], probability: float) -> Estimate:
    return Estimate(outcome.results["t"].graded)


def _key(files: Mapping[str, str]) -> str:
    return hashlib.sha1(files.get(_FILE, _START).encode(), usedforsecurity=False).hexdigest()


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")
