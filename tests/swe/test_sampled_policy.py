"""Proposals drawn from a policy's distribution: which, how often, and that none is lost."""

from __future__ import annotations

from collections import Counter

import pytest

from meritree.swe.code_search import Proposed
from meritree.swe.edits import Edit
from meritree.swe.sampled_policy import SampledPolicy


class Ordered:
    """Five edits with falling probabilities, then nothing."""

    probabilities = (0.5, 0.25, 0.15, 0.06, 0.04)

    def __init__(self) -> None:
        self.made = 0

    def propose(self, key: str, files: object) -> Proposed | None:
        if self.made == len(self.probabilities):
            return None
        edit = Edit("a.py", (), "", 1.0, 1, "f", rationale=str(self.made))
        self.made += 1
        return Proposed(edit, self.probabilities[self.made - 1])

    def peek(self, key: str) -> float:
        return self.probabilities[self.made] if self.made < len(self.probabilities) else 0.0

    def allows(self, key: str) -> bool:
        return True

    def tell(self, *_: object) -> None:
        pass


def drawn(seed: int, temperature: float = 1.0, window: int = 64) -> list[str]:
    policy = SampledPolicy(Ordered(), seed, temperature, window)
    names = []
    while (proposed := policy.propose("s", {})) is not None:
        names.append(proposed.edit.rationale)
    assert policy.peek("s") == 0.0
    return names


def test_every_proposal_is_made_once_in_an_order_that_the_seed_decides() -> None:
    orders = [drawn(seed) for seed in range(30)]
    assert all(sorted(order) == list("01234") for order in orders)
    assert len({tuple(order) for order in orders}) > 10
    assert drawn(3) == drawn(3)


def test_first_draws_follow_the_probabilities() -> None:
    first = Counter(drawn(seed)[0] for seed in range(2000))
    for name, probability in zip("01234", Ordered.probabilities, strict=True):
        assert first[name] / 2000 == pytest.approx(probability, abs=0.05)


def test_a_cold_policy_takes_the_most_probable_first() -> None:
    assert drawn(1, temperature=0.01) == list("01234")
    assert drawn(1, window=1) == list("01234")
