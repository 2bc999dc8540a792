"""Answers of one step: drawn, judged and laid out as rows. Knows no loss."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meritree.align._torch import Module, Tensor, torch
from meritree.align.data import Answer, Dataset, Ids, answers
from meritree.align.mixes import Mix
from meritree.align.prompts import Prompts
from meritree.align.rewards import Reward, Rewards, Sample, rewards_of
from meritree.align.sample import sample
from meritree.align.sources import units_of
from meritree.errors import BadInput


@dataclass(frozen=True)
class Asked:
    """How answers are drawn.

    Attributes:
        longest: most tokens.
        end: token that ends an answer.
        temperature: of drawing.
        batch: prompts a step.
        seed: of prompts and draws.
    """

    longest: int
    end: int
    temperature: float
    batch: int
    seed: int


@dataclass(frozen=True)
class Rollout:
    """The rows of a step.

    Attributes:
        data: tokens and columns, rows of one prompt side by side.
        reward: [B], as it was given.
        ended: [B] booleans: the answer has its end token.
        aspects: [B, K], or None.
    """

    data: Dataset
    reward: Tensor
    ended: Tensor
    aspects: Tensor | None


class Rollouts:
    """Draws the answers of each step; the same step gives the same answers of the same policy.

    Attributes:
        counts: what the reward counted (failures of a verifier by reason), over all steps.
    """

    def __init__(
        self, policy: Module, data: Prompts, reward: Reward, mix: Mix, size: int, asked: Asked
    ) -> None:
        self.policy, self.data, self.reward = policy, data, reward
        self.mix, self.size, self.asked = mix, size, asked
        self.counts: Counter[str] = Counter()

    def draw(self, step: int) -> Rollout:
        """The rows of that step.

        Raises:
            BadInput: the reward is not finite, or not one number a row.
        """
        asked = self.asked
        units = units_of(self.data.size, asked.batch, step - 1, asked.seed).tolist()
        seed = asked.seed * 1_000_003 + step

        def answer(prefixes: Sequence[Ids], n: int) -> list[list[list[int]]]:
            return sample(
                self.policy, prefixes, n=n, longest=asked.longest, end=asked.end,
                temperature=asked.temperature, seed=seed,
            )  # fmt: skip

        rows = self.mix.rows(answer, self.data, units, self.size, asked.end)
        found = rewards_of(self.reward, rows)
        self.counts.update(found.counts)
        failed = {k: n for k, n in found.counts.items() if k != "remembered"}
        if sum(failed.values()) >= len(rows):
            why = ", ".join(f"{n} {reason}" for reason, n in failed.items())
            warnings.warn(
                f"step {step}: the reward failed on all {len(rows)} answers ({why}); every one has "
                "the score of a failure",
                stacklevel=2,
            )
        return self._laid_out(rows, found)

    def _laid_out(self, rows: list[Sample], found: Rewards) -> Rollout:
        score = torch.tensor(found.score, dtype=torch.float32)
        made = [
            Answer(row.prompt, row.response, {name: row.columns[name] for name in self.mix.gives})
            for row in rows
        ]
        data = answers(made)
        index = torch.tensor([row.index for row in rows])
        columns = {name: column[index] for name, column in self.data.columns.items()}
        columns = {**columns, **data.columns}
        aspects = None
        if found.aspects is not None:
            aspects = torch.tensor(found.aspects, dtype=torch.float32)
        return Rollout(
            Dataset(data.ids, data.start, data.end, columns, 1),
            score,
            torch.tensor([row.ended for row in rows]),
            aspects,
        )


def check_prompts(policy: Module, data: Prompts, longest: int, end: int) -> None:
    """Whether the model has places and words for these prompts and their answers.

    Raises:
        BadInput: names the prompt.
    """
    if not hasattr(policy, "generate"):
        raise BadInput(
            f"fit_rlvr: a {type(policy).__name__} cannot generate; give a causal model of "
            "transformers, or a module with generate(...)"
        )
    config: Any = getattr(policy, "config", None)
    places = getattr(config, "max_position_embeddings", None)
    words = getattr(config, "vocab_size", None)
    for number, row in enumerate(data.ids):
        if isinstance(places, int) and len(row) + longest > places:
            raise BadInput(
                f"prompt {number} has {len(row)} tokens; with answers of {longest} that is more "
                f"than the {places} the model reads: leave it out, or lower longest"
            )
        if isinstance(words, int) and max(*row, end) >= words:
            raise BadInput(
                f"prompt {number} or the end token has the token {max(*row, end)}, the model's "
                f"vocabulary ends at {words - 1}: was it made by another tokenizer?"
            )
