"""S114: which distance between reward functions foretells the regret of optimising the wrong one?

Random decision processes, pairs of random rewards and rewards on the way from one to the other,
as in the authors' experiment; the regret is computed exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from meritree.studies.checks import Better, Bound
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from meritree.value.comparison import Dynamics

VAL, MINIMAL, EPIC, DARD, PLAIN = (
    "STARC value", "STARC minimal", "EPIC", "DARD", "not canonical"
)  # fmt: skip
DATA = "random processes"
STATES, ACTIONS, DISCOUNT = 32, 4, 0.95


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """One process a seed: correlation of each distance with the regret over all its pairs."""
    import numpy as np

    from meritree.value.comparison import regret, standardised

    rng = np.random.default_rng([seed, 114])
    dynamics = random_process(rng)
    regrets: list[float] = []
    distances: dict[str, list[float]] = {}
    for _ in range(settings["pairs"]):
        one, other = random_reward(rng, dynamics), random_reward(rng, dynamics)
        first = _canonicals(one, dynamics)
        for step in range(1, settings["steps"] + 1):
            between = one + (other - one) * step / settings["steps"]
            regrets.append(max(regret(one, between, dynamics), regret(between, one, dynamics)))
            for name, table in _canonicals(between, dynamics).items():
                gap = standardised(first[name]) - standardised(table)
                distances.setdefault(name, []).append(float(np.linalg.norm(gap)) / 2.0)
    for name, values in distances.items():
        yield Row(name, DATA, "correlation", _correlation(values, regrets))
        ranks = [np.argsort(np.argsort(column)).tolist() for column in (values, regrets)]
        yield Row(name, DATA, "rank correlation", _correlation(*ranks))
        near = [r for d, r in zip(values, regrets, strict=True) if d <= 0.1]
        if near:
            yield Row(name, DATA, "worst regret within 0.1", max(near))


def random_process(rng: Any) -> Dynamics:
    """Transitions: softmax of Gaussians of which only those above 1 count (the authors' recipe)."""
    import numpy as np

    from meritree.value.comparison import Dynamics

    draws = rng.normal(size=(STATES, ACTIONS, STATES))
    weights = np.exp(np.where(draws > 1.0, draws, -20.0))
    return Dynamics(weights / weights.sum(axis=2, keepdims=True), DISCOUNT)


def random_reward(rng: Any, dynamics: Dynamics) -> NDArray[Any]:
    """Gaussian; sometimes sparse, scaled, moved, shaped (the authors' recipe)."""
    import numpy as np

    reward = rng.normal(size=dynamics.transition.shape)
    if rng.random() > 0.8:
        reward = np.where(reward > 3.0, reward, 0.0)
    if rng.random() > 0.3:
        reward = reward * 10.0 * rng.random()
    if rng.random() > 0.7:
        reward = reward + 10.0 * rng.random()
    if rng.random() > 0.5:
        phi = rng.normal(size=STATES) * 10.0 * rng.random() + rng.random()
        reward = reward + DISCOUNT * phi[None, None, :] - phi[:, None, None]
    return reward  # type: ignore[no-any-return]


def _canonicals(reward: NDArray[Any], dynamics: Dynamics) -> Mapping[str, NDArray[Any]]:
    from meritree.value import comparison as c

    return {
        VAL: c.value_canonical(reward, dynamics),
        MINIMAL: c.minimal_canonical(reward, dynamics),
        EPIC: c.epic_canonical(reward, dynamics),
        DARD: c.dard_canonical(reward, dynamics),
        PLAIN: reward,
    }


def _correlation(one: list[float], other: list[float]) -> float:
    from statistics import correlation

    return correlation(one, other)


def draw(rows: Rows, figure: Figure) -> str:
    """Correlations and worst regrets of every distance."""
    from meritree.studies.figure import bars

    for axes, metric in zip(
        figure.subplots(1, 2), ("correlation", "worst regret within 0.1"), strict=True
    ):
        bars(axes, rows, metric)
    return (
        "Left: Pearson correlation of each distance with the larger of both regrets, over all "
        "pairs of a process. Right: the worst regret among pairs at distance at most 0.1. Means "
        f"over {len(rows.seeds)} random processes (32 states, 4 actions), 95 % intervals."
    )


STUDY = Study(
    id="S114",
    name="starc",
    paper=Paper(
        "STARC: A General Framework For Quantifying Differences Between Reward Functions",
        "J. Skalse, L. Farnik, S. R. Motwani, E. Jenner, A. Gleave, A. Abate",
        2024,
        "2309.15257",
        read="released code (canonical forms, norms, experiment) and abstract",
    ),
    claim=(
        "STARC distances foretell the regret of optimising another reward better than EPIC and "
        "DARD do, and a small one excludes a large regret."
    ),
    parts=(
        "meritree.value.comparison.starc_distance",
        "meritree.value.comparison.value_canonical",
        "meritree.value.comparison.minimal_canonical",
        "meritree.value.comparison.regret",
    ),
    data=(Data(DATA, "the authors' recipe", "8 pairs x 16 steps in each of 32 processes"),),
    baselines=(EPIC, DARD, PLAIN),
    measure=measure,
    checks=(
        Better("value canonical form: closer to the regret than EPIC", "correlation", VAL, EPIC),
        Better("value canonical form: closer to the regret than DARD", "correlation", VAL, DARD),
        Better("minimal canonical form: closer than EPIC", "correlation", MINIMAL, EPIC),
        Better("minimal canonical form: closer than DARD", "correlation", MINIMAL, DARD),
        Bound(
            "a value distance of at most 0.1 leaves at most a tenth of the return to lose",
            "worst regret within 0.1",
            VAL,
            at_most=0.1,
        ),
    ),
    scales={
        "smoke": Scale(2, {"pairs": 1, "steps": 6}),
        "full": Scale(32, {"pairs": 8, "steps": 16}),
    },
    draw=draw,
    notes=(
        "The distances are half the L2 norm of the difference of standardised rewards: in [0, 1].",
        "The minimal form is solved in closed form (weighted least squares); the released code "
        "descends a gradient and sometimes does not converge.",
        "The authors use 128 processes and many norms; here 32 processes and the L2 norm. The "
        "continuous experiment (Reacher) is not repeated.",
    ),
)
