"""Judges of known quality: programs that look at what is true of an answer and err.

A look has the same noise whether it goes to one criterion or to the whole answer. Replies are text
in the form that the prompts ask for. Knows nothing of the study's claims.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from random import Random
from statistics import NormalDist

from meritree.respond.data import Request
from meritree.respond.model import Model
from meritree.respond.rubric import Rubric
from meritree.respond.scripted import FunctionModel
from meritree.studies.align.queries import Answer

_ASKED = re.compile(r"^([\w-]+): SCORE", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a judge sees.

    Attributes:
        right: how often it is right about one yes-or-no criterion, in (0.5, 1).
        shared: share of the error's variance that all its looks at one answer have in common,
            in [0, 1] (a first impression that colours everything).
        weighing: spread of the logarithm of the weights that it gives criteria of its own accord.
    """

    right: float
    shared: float = 0.0
    weighing: float = 0.5

    @property
    def noise(self) -> float:
        """Standard deviation of a look at something between 0 and 1: P(error < 1/2) = right."""
        return 0.5 / NormalDist().inv_cdf(self.right)

    @property
    def words(self) -> str:
        """For names of data."""
        told = f"judge right {100 * self.right:g} %"
        return f"{told}, {100 * self.shared:g} % of its error shared" if self.shared else told


class Judge:
    """One judge's looks at one answer.

    Args:
        answer: what is judged.
        quality: how well it sees.
        rng: of all its looks; the first number drawn is the impression that they share.
    """

    def __init__(self, answer: Answer, quality: Quality, rng: Random) -> None:
        self._answer = answer
        self._quality = quality
        self._rng = rng
        self._impression = rng.gauss(0.0, 1.0)

    def by_criteria(self) -> Model:
        """Says of each criterion whether it is met."""

        def said(request: Request) -> str:
            names = dict.fromkeys(_ASKED.findall(request.messages[-1].text))
            return "\n".join(f"{name}: {int(self._meets(name))} - seen" for name in names)

        return FunctionModel(said, "judge-by-criteria")

    def by_rubric(self, rubric: Rubric) -> Model:
        """Looks at every criterion, weighs them by its own lights, and gives one number."""

        def said(_: Request) -> str:
            spread = self._quality.weighing
            weights = [
                one.weight * self._rng.lognormvariate(0.0, spread) for one in rubric.criteria
            ]
            met = [
                w for w, one in zip(weights, rubric.criteria, strict=True) if self._meets(one.name)
            ]
            return _number(math.fsum(met) / math.fsum(weights))

        return FunctionModel(said, "judge-by-rubric")

    def at_a_glance(self, times: float = 1.0) -> Model:
        """One look at the whole answer, on a scale of 1 to 10.

        Args:
            times: how much noisier it is than a look at one criterion.
        """

        def said(_: Request) -> str:
            return _number(self._look(self._answer.gold, times))

        return FunctionModel(said, "judge-at-a-glance")

    def _meets(self, name: str) -> bool:
        return self._look(float(self._answer.facts[name])) > 0.5

    def _look(self, truth: float, times: float = 1.0) -> float:
        shared = self._quality.shared
        error = math.sqrt(shared) * self._impression
        error += math.sqrt(1.0 - shared) * self._rng.gauss(0.0, 1.0)
        return truth + times * self._quality.noise * error


def _number(share: float) -> str:
    return f"overall: {1 + round(9 * min(1.0, max(0.0, share)))} - seen"
