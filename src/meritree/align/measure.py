"""How often a policy is right: pass@k over drawn answers. Knows no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from meritree.align._torch import Module
from meritree.align.prompts import Prompts, answered
from meritree.align.rewards import Reward
from meritree.stats import pass_at_k


@dataclass(frozen=True)
class Solved:
    """What was drawn and how much of it was right.

    Attributes:
        right: right answers to each prompt.
        n: answers drawn to each.
        reward: mean reward.
        length: mean tokens of an answer, its end token included.
    """

    right: tuple[int, ...]
    n: int
    reward: float
    length: float

    def at(self, k: int) -> float:
        """pass@k: mean over prompts of 1 - C(n - right, k) / C(n, k).

        Raises:
            BadInput: k above the number drawn.
        """
        return fmean(pass_at_k(self.n, correct, k) for correct in self.right)

    def at_each(self, ks: Sequence[int]) -> dict[str, float]:
        """pass@k by name, ``pass@1`` and so on."""
        return {f"pass@{k}": self.at(k) for k in ks}


def solved(
    policy: Module,
    data: Prompts,
    reward: Reward,
    *,
    n: int,
    longest: int,
    end: int,
    temperature: float = 1.0,
    seed: int = 0,
) -> Solved:
    """Draw ``n`` answers to each prompt and judge them; right is a reward above 0.

    Raises:
        BadInput: as `meritree.align.sample.sample`, or a reward that is not finite.
    """
    rows, score = answered(
        policy, data, reward, n=n, longest=longest, end=end, temperature=temperature, seed=seed
    )
    right = [sum(x > 0.0 for x in score[i : i + n]) for i in range(0, len(score), n)]
    return Solved(tuple(right), n, fmean(score), fmean(len(row.response) for row in rows))
