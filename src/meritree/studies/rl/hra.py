"""S002: does one value per reward channel collect fruits sooner than one value of their sum?

Exact: values of single fruits, added up, for two kinds of bootstrap. Learned: the value trainer
on FruitCollection, networks of equal width in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from meritree.studies.checks import Better, Bound, Where
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HRA, HRA1, HRA_MAX = "HRA", "HRA+1", "HRA+1 with max"
DQN, DQN1 = "DQN", "DQN+1"
EXACT_MEAN, EXACT_MAX = "exact HRA, mean", "exact HRA, max"
EXACT, LEARNED = "exact values", "learned values"
FINAL, AUC = "steps to clear, greedy", "steps of an episode while learning"
WIDTH = 250  # hidden units in all, as in the release
LIMIT = 300


class Variant(NamedTuple):
    """One of the release's variants."""

    channels: bool  # one value per fruit, or one of their sum
    masked: bool  # each of ten small networks sees one fruit only
    mean: bool  # bootstraps from the mean over actions, or from the best
    gamma: float
    step: float  # of Adam


VARIANTS = {
    HRA: Variant(True, False, True, 0.99, 2e-3),
    HRA1: Variant(True, True, True, 0.99, 2e-3),
    HRA_MAX: Variant(True, True, False, 0.99, 2e-3),
    DQN: Variant(False, False, False, 0.85, 1e-3),
    DQN1: Variant(False, True, False, 0.85, 1e-3),
}


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Episodes with exact values, then what each variant learns."""
    for system, mean in ((EXACT_MEAN, True), (EXACT_MAX, False)):
        steps = exact_steps(seed, settings["episodes"], mean)
        yield Row(system, EXACT, FINAL, steps)
    for system in settings["systems"]:
        curve, final = _run(system, settings["steps"], settings["episodes"])(seed)
        yield Row(system, LEARNED, FINAL, final)
        yield Row(system, LEARNED, AUC, sum(curve) / len(curve))
        for place, value in enumerate(curve):
            yield Row(system, LEARNED, "curve", value, str(place))


@cache
def place_values(mean: bool, gamma: float = 0.99) -> tuple[Any, Any]:
    """Q of reaching each place alone, [C, S, A], and where moves lead, [S, A].

    ``mean``: of the uniformly random policy; else of the best one.
    """
    import numpy as np

    from meritree.rl.envs import FruitCollection
    from meritree.rl.envs.grids import walk_table

    env = FruitCollection()
    after = walk_table(np.ones((env.size, env.size), bool)).argmax(axis=2)
    found = []
    for row, column in env.places:
        there = after == row * env.size + column
        v, q = np.zeros(len(after)), np.zeros(after.shape)
        while True:
            q = np.where(there, 1.0, gamma * v[after])
            new = q.mean(axis=1) if mean else q.max(axis=1)
            if np.abs(new - v).max() < 1e-13:
                break
            v = new
        found.append(q)
    return np.stack(found), after


def exact_steps(seed: int, episodes: int, mean: bool) -> float:
    """Steps until all fruits are eaten, greedy in the sum of those left; ties by lot."""
    import numpy as np

    from meritree.rl.envs import FruitCollection

    rng = np.random.default_rng([seed, 2])
    env, (values, after) = FruitCollection(), place_values(mean)
    fruit = np.asarray(env.places) @ [env.size, 1]
    starts = np.setdiff1d(np.arange(env.size**2), fruit)
    total = 0
    for _ in range(episodes):
        left = np.isin(np.arange(len(fruit)), rng.permutation(len(fruit))[: env.fruits])
        at, steps = rng.choice(starts), 0
        while left.any() and steps < LIMIT:
            q = values[left, at].sum(axis=0)
            # Values of far fruits differ by little, so ties are told apart in relative terms.
            at = after[at, rng.choice(np.flatnonzero(q >= q.max() * (1.0 - 1e-9)))]
            left &= fruit != at
            steps += 1
        total += steps
    return total / episodes


def trainer(system: str, steps: int, windows: int = 20) -> Any:
    """The value trainer of a variant: 250 hidden units in all, 64 rows every eighth step."""
    import optax

    from meritree.rl.envs import FruitCollection
    from meritree.rl.nets import MLP, ChannelReadout, ChannelTorsos
    from meritree.rl.value_based import act
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.data import Uniform
    from meritree.rl.value_based.trainer import value_trainer
    from meritree.value.heads import Channels, Scalar
    from meritree.value.transforms import total

    env, variant = FruitCollection(limit=LIMIT), VARIANTS[system]
    count = env.spec.channels
    net: Any = MLP((WIDTH,))
    if variant.channels or variant.masked:
        masks = env.masks if variant.masked else None
        net = ChannelTorsos(MLP((WIDTH // count,)), count, masks)
    readout: Any = ChannelReadout if variant.channels else None
    return value_trainer(
        env,
        head=Channels(env.spec.weights) if variant.channels else Scalar(),
        net=net,
        readout=readout or _summed_readout(count if variant.masked else 0),
        reward=None if variant.channels else total(env.spec.weights),
        bootstrap=_bootstrap(variant),
        chain=TargetChain(shift=100),
        act=act.epsilon_greedy(act.decayed(1.0, 0.1, steps // 2)),
        data=Uniform(6250),
        optimizer=optax.adam(variant.step),
        steps=steps, n_env=8, batch=64, warmup=1000, gamma=variant.gamma, windows=windows,
    )  # fmt: skip


def _bootstrap(variant: Variant) -> Any:
    from meritree.rl.value_based import bootstrap

    if variant.mean:
        return bootstrap.uniform
    return bootstrap.own_best if variant.channels else bootstrap.greedy


def _summed_readout(channels: int) -> Any:
    """A dense layer; with channels, the sum of one layer each: DQN+1's ten networks, one value."""
    import flax.linen as nn

    from meritree.rl.nets import ChannelReadout

    if not channels:
        return nn.Dense

    class Summed(nn.Module):
        outputs: int

        @nn.compact
        def __call__(self, features: Any) -> Any:
            each = ChannelReadout(channels * self.outputs)(features)
            return each.reshape(channels, self.outputs).sum(axis=0)

    return Summed


@cache
def _run(system: str, steps: int, episodes: int) -> Any:
    """A seed to (steps of an episode in each window, steps to clear at the end)."""
    import jax
    import numpy as np

    from meritree.rl.envs import FruitCollection, vectorise
    from meritree.rl.envs.wrap import ChannelRewards
    from meritree.rl.trainer import evaluate, fit

    made = trainer(system, steps)
    # The same world, paying 1 a step: its return is the number of steps.
    clock = vectorise(
        ChannelRewards(
            FruitCollection(limit=LIMIT),
            lambda obs, action, out: 0.0 * out.reward[:1] + 1.0,
            (1.0,),
        ),
        episodes,
    )
    judged = jax.jit(lambda state, key: evaluate(made, state, clock, key, limit=LIMIT))

    def run(seed: int) -> tuple[list[float], float]:
        state, log = fit(made, seed)
        # A window in which no episode ended counts as the longest there can be.
        curve = np.nan_to_num(log["length"], nan=float(LIMIT))
        return curve.tolist(), float(np.mean(judged(state, jax.random.key(seed + 10_000))))

    return run


def draw(rows: Rows, figure: Figure) -> str:
    """Learning curves, and steps to clear at the end beside those of exact values."""
    left, right = figure.subplots(1, 2)
    learned = [system for system in VARIANTS if rows.where(system=system, metric="curve")]
    for system in learned:
        chosen = rows.where(system=system, metric="curve")
        places = sorted({int(row.unit) for row in chosen})
        means = []
        for place in places:
            values = [row.value for row in chosen if row.unit == str(place)]
            means.append(sum(values) / len(values))
        left.plot([100 * (place + 1) / len(places) for place in places], means, label=system)
    left.set_xlabel("percent of the training steps")
    left.set_ylabel(AUC)
    left.legend(fontsize=8)
    names = [EXACT_MEAN, EXACT_MAX, *learned]
    found = [rows.interval(FINAL, system) for system in names]
    below = [max(0.0, each.mean - each.low) for each in found]
    above = [max(0.0, each.high - each.mean) for each in found]
    right.barh(names, [each.mean for each in found], xerr=[below, above], capsize=3)
    right.invert_yaxis()
    right.set_xlabel(f"{FINAL} (limit {LIMIT})")
    return (
        "Left: length of episodes while learning, epsilon from 1 to 0.1 over the first half. "
        "Right: steps until five fruits are eaten, acting greedily, by exact values of single "
        f"fruits and by those learned, mean and 95 % interval over {len(rows.seeds)} seeds."
    )


STUDY = Study(
    id="S002",
    name="hra",
    paper=Paper(
        "Hybrid Reward Architecture for Reinforcement Learning",
        "H. van Seijen et al.",
        2017,
        "1706.04208",
        read="released code (networks, targets, settings, fruit collection) and abstract",
    ),
    claim=(
        "One value per reward channel, each of the uniformly random policy, collects all fruits "
        "sooner than a DQN of the summed reward; each channel maximising for itself does not."
    ),
    parts=(
        "meritree.value.heads.Channels",
        "meritree.rl.nets.ChannelTorsos",
        "meritree.rl.nets.ChannelReadout",
        "meritree.rl.value_based.bootstrap.uniform",
        "meritree.rl.envs.FruitCollection",
    ),
    data=(
        Data(EXACT, "FruitCollection: 10 x 10, ten places, five fruits", "episodes: see settings"),
        Data(LEARNED, "the same, 300 steps at most", "steps: see settings"),
    ),
    baselines=(DQN, DQN1, HRA_MAX),
    measure=measure,
    checks=(
        Bound("exact mean values clear it in 40 steps", FINAL, EXACT_MEAN, at_most=40.0),
        Better(
            "exact best values, added up, take more than 40 steps longer (attractors)",
            FINAL, EXACT_MEAN, EXACT_MAX, higher=False, by=40.0,
        ),
        Better("HRA+1 learns sooner than DQN", AUC, HRA1, DQN, higher=False),
        Better("HRA+1 clears it sooner than DQN at the end", FINAL, HRA1, DQN, higher=False),
        Where(
            Better("HRA+1 learns sooner than DQN+1", AUC, HRA1, DQN1, higher=False), (DQN1,)
        ),
        Where(
            Better("HRA without masks learns sooner than DQN", AUC, HRA, DQN, higher=False), (HRA,)
        ),
        Where(
            Better("the mean learns sooner than the maximum", AUC, HRA1, HRA_MAX, higher=False),
            (HRA_MAX,),
        ),
    ),
    scales={
        "smoke": Scale(2, {"steps": 4_000, "episodes": 8, "systems": (HRA1, DQN)}),
        "full": Scale(5, {"steps": 48_000, "episodes": 64, "systems": tuple(VARIANTS)}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "jax", "flax", "optax", "gymnax"),
    extra="rl",
    repeatable=False,
    notes=(
        "As in the release: 250 hidden units in all, discount 0.99 for HRA and 0.85 for DQN, twice "
        "the step size for HRA, targets copied every 100 updates, losses added over channels. "
        "Otherwise than there: Adam (2e-3 and 1e-3) instead of RMSprop, 64 rows every eighth step "
        "instead of 32 every fourth, and epsilon falls from 1 to 0.1 over the first half where "
        "the release behaves wholly at random; chosen on seeds that are not reported.",
        "A greedy policy that is not yet exact can go round in circles until the limit, so the "
        "steps at the end are more than those of episodes with some random moves.",
        "Ms. Pac-Man, the paper's second experiment, needs Atari ROMs and is not repeated.",
        "Runs of networks repeat only to the last digits of a machine's arithmetic, so stored "
        "rows are compared by outcome.",
        "A larger run: 400 000 steps and 30 seeds, ``steps`` and ``--seeds``.",
    ),
)  # fmt: skip
