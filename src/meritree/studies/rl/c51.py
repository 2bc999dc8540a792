"""S091: is learning the law of returns a contraction, where not, and does it learn better?

The operators are applied exactly to random reward processes and to the paper's counter-examples;
heads of the value trainer are compared on Catch and CartPole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from meritree.studies.checks import Bound
from meritree.studies.rl import minatar
from meritree.studies.rl.contest import (
    AUC,
    FINAL,
    IqmBetter,
    System,
    cartpole,
    catch,
    dots,
    learn,
)
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROCESSES, TIED, CATCH, CARTPOLE = "reward processes", "tied actions", "Catch", "CartPole-v1"
OPERATOR, PROJECTED, GREEDY = "evaluation", "projected evaluation", "greedy backup"
DQN, C51, FEW, QUANTILE, HLG = "DQN", "C51", "C51 with 5 atoms", "quantiles", "HL-Gauss"
MAIN = (DQN, C51, QUANTILE, HLG)
GAMMA = 0.8
# Step sizes of Adam with the best score over the run on seeds 1000 to 1002, see the notes.
RATES = {
    CATCH: {DQN: 5e-3, C51: 5e-3, FEW: 5e-3, QUANTILE: 5e-3, HLG: 5e-3},
    CARTPOLE: {DQN: 1.5e-3, C51: 1.5e-4, FEW: 1.5e-4, QUANTILE: 1.5e-3, HLG: 5e-4},
}


class Process(NamedTuple):
    """A Markov reward process with rewards that depend on where it goes."""

    p: Any  # [S, S]
    r: Any  # [S, S]


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Operators on processes of the seed, the two counter-examples, then learning."""
    yield from _operators(seed, settings["processes"])
    yield from _counter_examples()
    for dataset in settings["tasks"]:
        task = {CATCH: catch, CARTPOLE: cartpole}[dataset](settings[dataset])
        for name in settings["heads"]:
            curve = learn(heads(dataset)[name], task, seed, RATES[dataset][name])
            yield from curve.rows(name, dataset)


def heads(dataset: str) -> dict[str, System]:
    """The trainer's heads, with supports that leave room beyond what values can be."""
    from meritree.value.heads import Categorical, HLGauss, Quantile

    low, high = {CATCH: (-1.5, 1.5), CARTPOLE: (0.0, 150.0)}[dataset]
    return {
        DQN: System(),
        C51: System(Categorical(low, high)),
        FEW: System(Categorical(low, high, 5)),
        QUANTILE: System(Quantile(32)),
        HLG: System(HLGauss(low, high)),
    }


def process(rng: Any) -> Process:
    """Three to six states, transitions from a flat Dirichlet law, normal rewards."""
    size = int(rng.integers(3, 7))
    return Process(rng.dirichlet([1.0] * size, size=size), rng.normal(size=(size, size)))


def backed_up(process: Process, z: Any, weights: Any) -> tuple[Any, Any]:
    """Laws of R + gamma Z(X'), atoms and weights [S, S N]; z [S, N] or [N], weights [S, N]."""
    import numpy as np

    size = len(process.p)
    atoms = process.r[:, :, None] + GAMMA * np.broadcast_to(z, weights.shape)[None]
    chance = process.p[:, :, None] * weights[None]
    return atoms.reshape(size, -1), chance.reshape(size, -1)


def distance(x: Any, p: Any, y: Any, q: Any, order: float = 1.0) -> float:
    """(int |F - G|^order)^(1/order): Wasserstein for order 1, Cramer for order 2."""
    import numpy as np

    places = np.concatenate([x, y])
    at = np.argsort(places, kind="stable")
    gap = np.abs(np.cumsum(np.concatenate([p, -q])[at])[:-1])
    return float((gap**order @ np.diff(places[at])) ** (1.0 / order))


def _operators(seed: int, count: int) -> Iterator[Row]:
    """The worst ratios over so many processes, each with two pairs of random laws."""
    import numpy as np

    rng = np.random.default_rng([seed, 91])
    wasserstein, cramer, variation, means = [], [], [], []
    for _ in range(count):
        one = process(rng)
        wasserstein.append(_contraction(one, rng))
        variation.append(_total_variation(one))
        ratio, gap = _projected(one, rng)
        cramer.append(ratio)
        means.append(gap)
    yield Row(OPERATOR, PROCESSES, "Wasserstein ratio over gamma", max(wasserstein) / GAMMA)
    yield Row(OPERATOR, PROCESSES, "total variation ratio", min(variation))
    yield Row(PROJECTED, PROCESSES, "Cramer ratio over sqrt(gamma)", max(cramer) / GAMMA**0.5)
    yield Row(PROJECTED, PROCESSES, "gap of the mean to scalar evaluation", max(means))


def _contraction(one: Process, rng: Any) -> float:
    """sup_x W1 of two laws after the backup over sup_x W1 before."""
    import numpy as np

    size = len(one.p)
    z = [rng.normal(scale=3.0, size=(size, 7)) for _ in range(2)]
    w = [rng.dirichlet(np.ones(7), size=size) for _ in range(2)]
    before = max(distance(z[0][x], w[0][x], z[1][x], w[1][x]) for x in range(size))
    (a, p), (b, q) = (backed_up(one, *law) for law in zip(z, w, strict=True))
    return max(distance(a[x], p[x], b[x], q[x]) for x in range(size)) / before


def _total_variation(one: Process) -> float:
    """The ratio for two sure returns 0 and 1 everywhere: all weight stays apart."""
    import numpy as np

    size = len(one.p)
    sure = np.ones((size, 1))
    (a, p), (b, q) = (backed_up(one, np.full((size, 1), z), sure) for z in (0.0, 1.0))
    apart = []
    for x in range(size):
        places = np.unique(np.concatenate([a[x], b[x]]))
        mass = [np.asarray([w[x][v[x] == at].sum() for at in places]) for v, w in ((a, p), (b, q))]
        apart.append(0.5 * np.abs(mass[0] - mass[1]).sum())
    return float(max(apart))


def _projected(one: Process, rng: Any) -> tuple[float, float]:
    """(Cramer ratio of one projected backup, gap of the mean after 50 of them)."""
    import numpy as np

    from meritree.objectives.projections import categorical

    top = float(np.abs(one.r).max()) / (1.0 - GAMMA)
    support = np.linspace(-top, top, 51)  # nothing is ever clipped
    laws = [rng.dirichlet(np.ones(51), size=len(one.p)) for _ in range(2)]
    before = max(distance(support, p, support, q, 2.0) for p, q in zip(*laws, strict=True))

    def step(law: Any) -> Any:
        atoms, weights = backed_up(one, support, law)
        return categorical(weights, atoms, support)

    after = [step(law) for law in laws]
    ratio = max(distance(support, p, support, q, 2.0) for p, q in zip(*after, strict=True))
    law, v = laws[0], laws[0] @ support
    for _ in range(50):
        law = step(law)
        v = (one.p * (one.r + GAMMA * v[None])).sum(axis=1)
    return ratio / before, float(np.abs(law @ support - v).max())


def _counter_examples() -> Iterator[Row]:
    """Control: a distance that grows fivefold, and backups that never settle."""
    yield Row(GREEDY, TIED, "Wasserstein ratio, optimum nearby", expansion(0.1))
    laws = alternating(101)
    steps = [
        distance(law.values, law.weights, after.values, after.weights)
        for law, after in zip(laws[-5:-1], laws[-4:], strict=True)
    ]
    yield Row(GREEDY, TIED, "Wasserstein step after 100 backups", min(steps))
    means = [float(law.values @ law.weights) for law in laws]
    yield Row(GREEDY, TIED, "spread of the mean over 100 backups", max(means) - min(means))


def expansion(epsilon: float) -> float:
    """How far a greedy backup throws a law that begins 2 epsilon from the optimal one.

    In the second state action 1 pays 0, action 2 epsilon + 1 or epsilon - 1. Judging action 2 by
    -epsilon +- 1 makes action 1 greedy. Source: arXiv:1707.06887, section 3.4, gamma = 1.
    """
    import numpy as np

    coin, sure, half = np.asarray([-1.0, 1.0]), np.zeros(1), np.full(2, 0.5)
    wrong, right = -epsilon + coin, epsilon + coin
    chosen = [(sure, np.ones(1)) if law.mean() < 0.0 else (law, half) for law in (wrong, right)]
    before = distance(wrong, half, right, half)
    return distance(*chosen[0], *chosen[1]) / before


def alternating(backups: int) -> list[Any]:
    """Laws of the first state: both actions are optimal, ties go to the one unlike the last law.

    Every backup is greedy, and the mean is right at once; the law changes for ever. Goes through
    the C51 head with atoms -1, 0, 1.
    """
    import numpy as np

    from meritree.value.heads import Atoms, Categorical

    head = Categorical(-1.0, 1.0, 3)
    support = np.asarray([-1.0, 0.0, 1.0])
    actions = np.asarray([[[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]])  # [1, A, m]: sure, a coin
    score = head.score(actions)[0]
    law, seen = actions[0, 0], []
    for _ in range(backups):
        best = np.flatnonzero(score == score.max())
        unlike = [distance(support, actions[0, a], support, law) for a in best]
        taken = np.asarray([best[int(np.argmax(unlike))]])
        law = head.target(head.take(actions, taken), np.zeros((1, 1)), np.ones(1))[0]
        seen.append(Atoms(support, law))
    return seen


def draw(rows: Rows, figure: Figure) -> str:
    """Scores over the run and at its end."""
    left, right = figure.subplots(1, 2)
    tasks = [d for d in rows.datasets if d not in (PROCESSES, TIED)]
    dots(left, rows, AUC, tasks)
    dots(right, rows, FINAL, tasks)
    return (
        "Return while learning as a share of the best: mean over the run (left) and over its last "
        f"fifth (right); {len(rows.seeds)} seeds, 95 % intervals."
    )


STUDY = Study(
    id="S091",
    name="c51",
    paper=Paper(
        "A Distributional Perspective on Reinforcement Learning",
        "M. G. Bellemare, W. Dabney, R. Munos",
        2017,
        "1707.06887",
        read="abstract, released code of Dopamine (projection), accounts of its theory",
    ),
    claim=(
        "Policy evaluation of laws of returns is a gamma-contraction in the largest Wasserstein "
        "distance, the greedy backup is one in no metric, and learning laws on 51 atoms gives "
        "better policies than learning means."
    ),
    parts=(
        "meritree.value.heads.Categorical",
        "meritree.value.heads.Quantile",
        "meritree.value.heads.HLGauss",
        "meritree.objectives.projections.categorical",
        "meritree.objectives.distributional.cross_entropy",
        "meritree.rl.value_based.trainer.value_trainer",
    ),
    data=(
        Data(PROCESSES, f"random, 3 to 6 states, discount {GAMMA}", "20 a seed, 100 in all"),
        Data(TIED, "the paper's counter-example; two tied actions", "exact"),
        Data(CATCH, "gymnax, bsuite", "12 000 steps, 3000 updates, 4 worlds"),
        Data(CARTPOLE, "gymnax", "40 000 steps, 10 000 updates, 4 worlds"),
    ),
    baselines=(DQN, QUANTILE, HLG),
    measure=measure,
    checks=(
        Bound(
            "evaluation contracts in Wasserstein distance by gamma",
            "Wasserstein ratio over gamma",
            at_most=1.0 + 1e-9,
        ),
        Bound(
            "with the projection it contracts in Cramer distance by the root of gamma",
            "Cramer ratio over sqrt(gamma)",
            at_most=1.0 + 1e-9,
        ),
        Bound(
            "not in total variation: sure returns stay wholly apart",
            "total variation ratio",
            at_least=1.0 - 1e-9,
        ),
        Bound(
            "C51 keeps the mean of ordinary evaluation where nothing is clipped",
            "gap of the mean to scalar evaluation",
            at_most=1e-9,
        ),
        Bound(
            "a greedy backup can throw laws apart",
            "Wasserstein ratio, optimum nearby",
            at_least=4.9,
        ),
        Bound(
            "greedy backups of tied actions can alternate for ever",
            "Wasserstein step after 100 backups",
            at_least=0.999,
        ),
        IqmBetter(
            "Catch and CartPole: at the end C51 is not worse than DQN by 5 points",
            FINAL,
            C51,
            DQN,
            by=-0.05,
            datasets=(CATCH, CARTPOLE),
        ),
        IqmBetter(
            "Catch and CartPole: C51 scores more than DQN over the run",
            AUC,
            C51,
            DQN,
            datasets=(CATCH, CARTPOLE),
        ),
    ),
    scales={
        "smoke": Scale(
            2,
            {"processes": 3, "heads": MAIN, "tasks": (CATCH,), CATCH: 1200, CARTPOLE: 1200},
        ),
        "full": Scale(
            5,
            {"processes": 20, "heads": MAIN}
            | {"tasks": (CATCH, CARTPOLE), CATCH: 12_000, CARTPOLE: 40_000},
        ),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "jax", "flax", "gymnax", "optax", "array_api_compat"),
    extra="rl",
    # Sums in another order (another processor) change which action is best, and all after it.
    repeatable=False,
    notes=(
        "Step sizes were chosen on seeds 1000 to 1002 among three per task (5e-4, 1.5e-3, 5e-3 on "
        "Catch; 1.5e-4, 5e-4, 1.5e-3 on CartPole) by the score over the run. On CartPole that was "
        "DQN 0.24, 0.44, 0.44; C51 0.42, 0.35, 0.30; quantiles 0.09, 0.34, 0.43; HL-Gauss 0.24, "
        "0.56, 0.42.",
        "A support of five atoms joins with `--set 'heads=DQN,C51,C51 with 5 atoms'`.",
        "Supports are -1.5 to 1.5 on Catch and 0 to 150 on CartPole, where no value is above 100: "
        "at the ends of a tight support values are biased inwards.",
        "The alternating backup breaks ties towards the action unlike the law so far: greedy at "
        "every step, but not a fixed rule of ties, which would settle here.",
        "The paper's Atari suite needs GPUs. MinAtar at full length: `--scale minatar --set "
        "steps=5000000`, about 17 processor minutes a run.",
    ),
    further={
        "minatar": minatar.further(
            minatar.C51,
            about="C51 against DQN on games, HL-Gauss beside them.",
            others=(minatar.HLG,),
        )
    },
)
