"""What both trainers refuse in the same words, before anything is compiled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

from meritree.errors import BadInput
from meritree.rl.trainer import Trainer
from meritree.value.transforms import RewardTransform


def check_counts(**numbers: int) -> None:
    """Raises BadInput that names a number below 1."""
    for name, value in numbers.items():
        if value < 1:
            raise BadInput(f"{name}={value}: must be at least 1")


def check_kinds(**parts: Any) -> None:
    """Raises BadInput where a name or a class was given for the thing itself."""
    for name, part in parts.items():
        if isinstance(part, type | str):
            kind = part if isinstance(part, str) else part.__name__
            raise BadInput(f"{name}={kind}: give the thing itself, {kind}(...), no name or class")


def check_discounts(gamma: Any, rewards: Iterable[RewardTransform]) -> None:
    """Raises BadInput where a reward part reckons with another discount than the learner.

    Traced numbers are not compared.
    """
    for own in (each for part in rewards for each in part.discounts):
        plain = isinstance(own, Real) and isinstance(gamma, Real)
        if plain and not math.isclose(own, gamma, rel_tol=0.0, abs_tol=1e-6):
            raise BadInput(
                f"reward: it pays true ends with gamma={own}, but the trainer discounts with "
                f"gamma={gamma}; give both the same, such as shift(c, gamma={gamma})"
            )


def tried_out(trainer: Trainer) -> Trainer:
    """The trainer, traced once, so that parts that do not fit are refused here with the reason."""
    try:
        trainer.trace()
    except BadInput as error:
        raise BadInput(f"these parts do not go together: {error}") from None
    return trainer
