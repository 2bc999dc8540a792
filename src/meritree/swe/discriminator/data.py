"""What choosing among patches takes and gives, as plain data. Knows no stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from meritree.run.ledger import Spending

Stage = Literal["only", "tests", "majority", "agreement", "judge", "votes", "order"]
_NOTHING = Spending()
STAGES: tuple[Stage, ...] = ("only", "tests", "majority", "agreement", "judge", "votes", "order")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What tests said of a patch.

    Attributes:
        passed, failed: of the tests that it is meant to mend.
        regressions: other tests that passed before and do not with it.
    """

    passed: int
    failed: int
    regressions: int = 0

    @property
    def solves(self) -> bool:
        """Everything that it is meant to mend passes and nothing else broke."""
        return self.passed > 0 and not self.failed and not self.regressions


@dataclass(frozen=True, slots=True)
class Candidate:
    """A patch to choose or not.

    Attributes:
        id: unique among the candidates.
        patch: a unified diff.
        files: text of every changed file with the patch in it, if at hand: two patches are then
            compared by the syntax trees of whole files, else by the lines of the diff.
        verdict: of its tests, None where none ran.
        behaviour: a fingerprint of what the patched code does (of outputs on chosen inputs, for
            example); equal ones count as the same patch. Empty: unknown.
    """

    id: str
    patch: str
    files: Mapping[str, str] = field(default_factory=dict)
    verdict: Verdict | None = None
    behaviour: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One speech of a debate.

    Attributes:
        round: from 1; 0 for the judge.
        speaker: ``agent 1``, ... or ``judge``.
        shown: ids in the order in which this speaker saw the patches.
        vote: id of the candidate, None: abstained.
        argument: in words, without the ballot.
        note: what went wrong: a vote that had to be asked for again, a model that failed.
        spent: tokens, money and seconds, failed attempts included.
    """

    round: int
    speaker: str
    shown: tuple[str, ...]
    vote: str | None
    argument: str = ""
    note: str = ""
    spent: Spending = _NOTHING


@dataclass(frozen=True, slots=True)
class OrderBias:
    """Whether the order in which patches were shown decided (first round and judge).

    Attributes:
        votes: votes cast.
        first, last: how many of them went to the patch shown first, last.
        expected: how many would go to the first if its place did not matter.
        pairs: judgements that were asked in both orders.
        flips: how many of them changed with the order.
    """

    votes: int = 0
    first: int = 0
    last: int = 0
    expected: float = 0.0
    pairs: int = 0
    flips: int = 0

    def __add__(self, other: OrderBias) -> OrderBias:
        return OrderBias(
            self.votes + other.votes,
            self.first + other.first,
            self.last + other.last,
            self.expected + other.expected,
            self.pairs + other.pairs,
            self.flips + other.flips,
        )

    @property
    def excess(self) -> float:
        """Share of votes for the patch shown first, beyond what chance gives; 0 without votes."""
        return (self.first - self.expected) / self.votes if self.votes else 0.0


_UNBIASED = OrderBias()


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen patch and how it came to that.

    Attributes:
        candidate: id.
        stage: what decided.
        reasons: in words, in the order of the stages.
        picks: what each stage (and ``first votes``, the agents before any debate) would choose on
            its own, where it had an opinion; `stage_accuracy` compares them.
        same: ids of all candidates that are the chosen patch in other words, itself included.
        transcript: every speech.
        spending: of the debate.
        bias: of the order of presentation.
    """

    candidate: str
    stage: Stage
    reasons: tuple[str, ...] = ()
    picks: Mapping[str, str] = field(default_factory=dict)
    same: tuple[str, ...] = ()
    transcript: tuple[Turn, ...] = ()
    spending: Spending = _NOTHING
    bias: OrderBias = _UNBIASED
