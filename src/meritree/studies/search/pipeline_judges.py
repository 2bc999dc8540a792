"""Who proposes and judges pipelines before they are run: rules, noise of a set size, a model.

`ModelJudge` is the seam for language models: any `respond.Model`, a rubric, a number and reasons.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from types import MappingProxyType
from typing import Any

from meritree.respond import Model, Request, system, user
from meritree.respond.lenient_json import lenient_loads
from meritree.search.worlds import Proposal, Step, View
from meritree.studies.search.pipeline_options import STAGES, Kind, Option, Plan, source, whole
from meritree.studies.search.pipelines import Scores
from meritree.value.estimate import Cost, Estimate

GAP = 0.05  # training above validation score: overfit
FAVOUR = 3.0

RUBRIC: Mapping[str, int] = MappingProxyType(
    {
        "understanding of the problem": 15,
        "data and features": 20,
        "model and validation": 20,
        "training": 15,
        "post-processing": 10,
        "documentation": 10,
        "innovation": 10,
    }
)
"""Criteria and their points, as in the released code."""


@dataclass(frozen=True, slots=True)
class Introspective:
    """Proposes an option of the next stage: none that a sibling has, rather of another family.

    The parent's report moves the odds: a plan that scores better on its training data by more
    than `GAP` calls for simpler options, any other for richer ones.
    """

    seed: int

    async def propose(self, view: View[Plan, str], k: int) -> Sequence[Proposal[str]]:
        if view.depth == len(STAGES):
            return ()
        stage = STAGES[view.depth]
        taken = {proposal.action for proposal in view.proposed}
        families = {stage.option(name).family for name in taken}
        left = [option for option in stage.options if option.name not in taken]
        if not left:
            return ()
        wanted = _wanted(view.report)
        weights = [_odds(option, families, wanted) for option in left]
        rng = random.Random(f"{self.seed}:{view.state}:{len(taken)}")
        return [Proposal(rng.choices(left, weights)[0].name)]


@dataclass(frozen=True, slots=True)
class StaticPool:
    """Proposes from the stage's pool by chance, blind to siblings and report (SELA's insights)."""

    seed: int

    async def propose(self, view: View[Plan, str], k: int) -> Sequence[Proposal[str]]:
        if view.depth == len(STAGES):
            return ()
        rng = random.Random(f"{self.seed}:{view.state}:{len(view.proposed)}")
        return [Proposal(rng.choice(STAGES[view.depth].options).name)]


def _wanted(report: Estimate | None) -> int:
    if report is None or not {"train", "dev"} <= report.channels.keys():
        return 0
    return -1 if report.channels["train"] - report.channels["dev"] > GAP else 1


def _odds(option: Option, families: set[str], wanted: int) -> float:
    fresh = FAVOUR if option.family not in families else 1.0
    return fresh * (FAVOUR if wanted and option.lean == wanted else 1.0)


@dataclass(frozen=True, slots=True)
class NoisyJudge:
    """The true score, blurred until its rank correlation with the truth is ``rho``.

    A Gaussian copula: the true score's normal score z among ``known`` becomes
    r z + sqrt(1 - r^2) e with r = 2 sin(pi rho / 6), which has Spearman correlation rho with z;
    read back through the scores of ``known``, so that judgements are spread as scores are. The
    same judge says the same of the same program.

    Attributes:
        scores: the truth.
        known: scores of a sample of the plans that may be judged, ascending.
        rho: in [0, 1].
        seed: of the noise.
    """

    scores: Scores
    known: Sequence[float]
    rho: float
    seed: int

    async def __call__(self, step: Step[Plan]) -> Estimate:
        return Estimate(self.judge(step.state))

    def judge(self, plan: Plan) -> float:
        """What the judge says of a plan."""
        noise = random.Random(f"{self.seed}:{whole(plan)}").gauss(0.0, 1.0)
        r = 2.0 * math.sin(math.pi * self.rho / 6.0)
        blurred = r * self._normal(self.scores(plan).dev) + math.sqrt(1.0 - r * r) * noise
        return self._quantile(NormalDist().cdf(blurred))

    def _normal(self, score: float) -> float:
        rank = (bisect_left(self.known, score) + bisect_right(self.known, score)) / 2.0
        return NormalDist().inv_cdf((rank + 0.5) / (len(self.known) + 1.0))

    def _quantile(self, share: float) -> float:
        """Between neighbours, so that judgements hardly ever tie."""
        place = share * (len(self.known) - 1)
        low = min(int(place), len(self.known) - 2)
        return self.known[low] + (place - low) * (self.known[low + 1] - self.known[low])


@dataclass(frozen=True, slots=True)
class ModelJudge:
    """A language model that reads the program and gives points for each criterion of a rubric.

    The value is the points' sum over the most there are, whatever total the model claims; a
    criterion's points are cut to its range. A reply without readable points is asked for again;
    after ``attempts`` the value is 0, as in the released code, and the reason says so.

    Attributes:
        model: who judges.
        task: the problem in words.
        kind: classification or regression.
        rubric: criteria and points.
        attempts: >= 1.
    """

    model: Model
    task: str
    kind: Kind
    rubric: Mapping[str, int] = field(default_factory=lambda: RUBRIC)
    attempts: int = 3

    async def __call__(self, step: Step[Plan]) -> Estimate:
        request = Request((system(self._instruction()), user(self._question(step.state))))
        cost = Cost()
        for _ in range(self.attempts):
            reply = await asyncio.to_thread(self.model.ask, request)
            cost = cost + Cost(tokens=reply.usage.total, usd=reply.usd or 0.0)
            points = self._points(reply.text)
            if points is not None:
                return self._estimate(points, cost)
        said = f"no readable points in {self.attempts} replies of {self.model.name}"
        return Estimate(0.0, reasons={"judge": said}, cost=cost)

    def _instruction(self) -> str:
        criteria = "\n".join(f"- {name}: 0 to {most}" for name, most in self.rubric.items())
        return (
            "You judge machine-learning programs before they are run. Give points for each "
            f"criterion:\n{criteria}\n\nAnswer with one JSON object only: "
            '{"CRITERION": {"points": NUMBER, "reason": "one sentence"}, ...}'
        )

    def _question(self, plan: Plan) -> str:
        return f"{self.task}\n\n```python\n{source(plan, self.kind)}```"

    def _points(self, text: str) -> dict[str, tuple[float, str]] | None:
        """Points and reason by criterion; None unless every criterion has a finite number."""
        fenced = re.search(r"```(?:json)?\s*(\{.*\})\s*```", text, flags=re.S)
        start = text.find("{")
        if start < 0:
            return None
        try:
            found = lenient_loads(fenced[1] if fenced else text[start:])
        except ValueError:
            return None
        if not isinstance(found, dict):
            return None
        points = {name: _read_points(found.get(name)) for name in self.rubric}
        return None if None in points.values() else points  # type: ignore[return-value]

    def _estimate(self, points: Mapping[str, tuple[float, str]], cost: Cost) -> Estimate:
        cut = {n: min(max(points[n][0], 0.0), most) for n, most in self.rubric.items()}
        return Estimate(
            sum(cut.values()) / sum(self.rubric.values()),
            channels={name: cut[name] / most for name, most in self.rubric.items()},
            reasons={name: reason for name, (_, reason) in points.items() if reason},
            cost=cost,
        )


def _read_points(found: Any) -> tuple[float, str] | None:
    reason = ""
    if isinstance(found, dict):
        reason, found = str(found.get("reason", "")), found.get("points")
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return float(found), reason
