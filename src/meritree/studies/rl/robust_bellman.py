"""S065: are robust losses of the expected Bellman error better, and is learning by them robust?

Exact: minimisers on random reward processes. Sampled: the trainer's saddle points against them,
and a bandit whose clipped errors mislead. Control: a sweep of step sizes on Catch and CartPole.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from meritree.stats import Interval
from meritree.studies.checks import FEWEST, Better, Bound, Outcome, Own
from meritree.studies.rl import sweeps
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TD, CLIPPED, QRC, HUBER = "TD", "clipped TD", "QRC", "QRC-Huber"
WIDE = "QRC-Huber, tau 10"
MSBE, MHBE, MABE = "MSBE", "MHBE", "MABE"
ODD_VALUE, ODD_REWARD, BANDIT = "odd value", "odd reward", "skewed bandit"
STEP_SIZES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
TASKS = {"Catch": ("Catch-bsuite", -1.0, 1.0), "CartPole": ("CartPole-v1", 0.0, 500.0)}
CHANCE = 0.05


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Exact minimisers, then what the trainer finds from samples, then the sweep."""
    for i in range(settings["processes"]):
        yield from _exact(seed * settings["processes"] + i, str(i))
    yield from _bandit(seed, settings["bandit_steps"])
    if settings["sampled_steps"]:
        yield from _sampled(seed, settings["sampled_steps"])
    for task, steps, systems in settings["sweep"]:
        for system in systems:
            yield from _sweep(seed, task, steps, system)


def _exact(seed: int, unit: str) -> Iterator[Row]:
    from meritree.studies.rl import reward_process as rp

    minimisers = {
        TD: rp.td_fixed_point, MSBE: rp.least_squares, MHBE: rp.least_huber,
        MABE: rp.least_absolute,
    }  # fmt: skip
    for name, make in ((ODD_VALUE, rp.odd_value), (ODD_REWARD, rp.odd_reward)):
        process = make(seed)
        for system, minimiser in minimisers.items():
            yield Row(system, name, "RMSE of values", process.rmse(minimiser(process)), unit)


def process_trainer(
    world: Any, width: int, system: str, steps: int, gamma: float, step: float = 0.02
) -> Any:
    """Linear values of the first ``width`` observed numbers; h may read all of them.

    The values' step size falls to 0 along a cosine, that of h is five times as large.
    """
    import flax.linen as nn
    import optax

    from meritree.rl.nets import MLP
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.extras import SaddleCorrection, corrected, own_step_size
    from meritree.rl.value_based.trainer import value_trainer

    class FirstNumbers(nn.Module):
        outputs: int

        @nn.compact
        def __call__(self, features: Any) -> Any:
            start = nn.initializers.zeros
            return nn.Dense(self.outputs, use_bias=False, kernel_init=start)(features[:width])

    falling = optax.cosine_decay_schedule(step, steps // 8)
    extra = None
    optimizer = optax.adam(falling)
    if system == HUBER:
        extra = SaddleCorrection(corrected(1.0))
        optimizer = own_step_size(optimizer, optax.adam(lambda count: 5.0 * falling(count)))
    return value_trainer(
        world, head=_head(system), net=MLP(()), readout=FirstNumbers, extra=extra,
        chain=TargetChain(polyak=1.0), optimizer=optimizer, steps=steps, n_env=8, batch=64,
        warmup=1000, gamma=gamma, windows=2,
    )  # fmt: skip


def _head(system: str) -> Any:
    from meritree.objectives import regression
    from meritree.value.heads import Scalar

    return Scalar(regression.huber) if system == CLIPPED else Scalar()


@cache
def _bandit_run(system: str, steps: int) -> Any:
    import jax
    import jax.numpy as jnp

    from meritree.studies.rl.reward_process import RewardProcess

    one = jnp.ones(1)
    trainer = process_trainer(RewardProcess(one[None], one, one[None], CHANCE), 1, system, steps, 0)
    return jax.jit(lambda key: _weights(trainer.run(key)[0])[0])


def _bandit(seed: int, steps: int) -> Iterator[Row]:
    """Pays 20 with probability 0.05: worth 1."""
    import jax

    for system in (CLIPPED, HUBER):
        found = float(_bandit_run(system, steps)(jax.random.key(seed)))
        yield Row(system, BANDIT, "value (true: 1)", found)


def _weights(state: Any) -> Any:
    """[d] of the linear values."""
    return state.learned.members.online["net"]["readout"]["Dense_0"]["kernel"][0, :, 0]


@cache
def _sampled_run(steps: int) -> Any:
    import jax

    from meritree.studies.rl.reward_process import RewardProcess

    def run(key: Any, P: Any, reward: Any, features: Any) -> Any:
        world = RewardProcess(P, reward, features)
        trainer = process_trainer(world, features.shape[1], HUBER, steps, 0.9)
        return _weights(trainer.run(key)[0])

    return jax.jit(run)


def _sampled(seed: int, steps: int) -> Iterator[Row]:
    """How far the trainer's values are from the exact minimiser, in its distance to MSBE's."""
    import jax
    import numpy as np

    from meritree.studies.rl import reward_process as rp

    process = rp.odd_value(seed)
    found = _sampled_run(steps)(jax.random.key(seed), process.P, process.reward, process.features)
    wanted, squares = rp.least_huber(process), rp.least_squares(process)
    scale = np.linalg.norm(process.features @ (squares - wanted))
    gap = np.linalg.norm(process.features @ (np.asarray(found) - wanted))
    yield Row(HUBER, ODD_VALUE, "distance to exact", float(gap / scale))


@cache
def _sweep_run(task: str, steps: int, system: str) -> Any:
    """(key, step sizes [L]) to returns [L, windows], all in one program."""
    import jax

    from meritree.rl.envs import Gymnax
    from meritree.rl.value_based import bootstrap
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.extras import SaddleCorrection, corrected, saddle_optimizer
    from meritree.rl.value_based.trainer import value_trainer

    extras = {
        QRC: SaddleCorrection(), HUBER: SaddleCorrection(corrected(1.0)),
        WIDE: SaddleCorrection(corrected(10.0)),
    }  # fmt: skip

    def one(key: Any, step: Any) -> Any:
        import optax

        extra = extras.get(system)
        trainer = value_trainer(
            Gymnax(TASKS[task][0]), head=_head(system), extra=extra,
            chain=TargetChain(polyak=1.0), bootstrap=bootstrap.expected(0.05),
            optimizer=optax.adam(step) if extra is None else saddle_optimizer(step),
            steps=steps, n_env=8, warmup=1000,
        )  # fmt: skip
        return trainer.run(key)[1]["return"]

    return jax.jit(lambda key, sizes: jax.lax.map(lambda step: one(key, step), sizes))


def _sweep(seed: int, task: str, steps: int, system: str) -> Iterator[Row]:
    import jax
    import jax.numpy as jnp
    import numpy as np

    _, low, high = TASKS[task]
    returns = _sweep_run(task, steps, system)(jax.random.key(seed), jnp.asarray(STEP_SIZES))
    scores = (np.asarray(returns) - low) / (high - low)
    for size, score in zip(STEP_SIZES, scores, strict=True):
        # A window in which no episode ended has no return: long episodes, where it happens.
        yield Row(system, task, "AUC", float(np.nanmean(score)), f"{size:g}")
        yield Row(system, task, "final", float(np.nanmean(score[-4:])), f"{size:g}")


def _wider(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """QRC-Huber against TD, on each task that was run."""
    tasks = [task for task in TASKS if rows.where(metric="AUC", dataset=task)]
    texts, outcomes = [], []
    for task in tasks:
        first, second = (sweeps.table(rows, task, each, STEP_SIZES) for each in (HUBER, TD))
        gap = sweeps.wider(first, second)
        outcomes.append("holds" if gap.low > 0.0 else "no" if gap.high <= 0.0 else "open")
        texts.append(
            f"{task}: {sweeps.width(first):.2f} of the step sizes against "
            f"{sweeps.width(second):.2f}, difference [{gap.low:.2g}, {gap.high:.2g}]"
        )
    outcome: Outcome = "inconclusive"
    if len(rows.seeds) >= FEWEST and len(set(outcomes)) == 1 and outcomes[0] != "open":
        outcome = "holds" if outcomes[0] == "holds" else "does not hold"
    return outcome, "; ".join(texts), None


def ratio(
    rows: Rows, dataset: str, system: str, at_most: float
) -> tuple[Outcome, str, Interval | None]:
    """Mean error of a system over that of MSBE, processes of a seed drawn together."""
    import numpy as np

    def by_seed(name: str) -> Any:
        chosen = rows.where(metric="RMSE of values", system=name, dataset=dataset)
        return np.asarray(
            [np.mean([row.value for row in chosen if row.seed == seed]) for seed in rows.seeds]
        )

    first, second = by_seed(system), by_seed(MSBE)
    drawn = np.random.default_rng(0).integers(len(first), size=(2000, len(first)))
    low, high = np.quantile(first[drawn].mean(axis=1) / second[drawn].mean(axis=1), [0.025, 0.975])
    interval = Interval(first.mean() / second.mean(), float(low), float(high), 0.95, len(first))
    outcome: Outcome = "holds" if high <= at_most else "inconclusive"
    if low > at_most:
        outcome = "does not hold"
    text = f"ratio {interval.mean:.3g} [{low:.3g}, {high:.3g}], asked <= {at_most:g}"
    return outcome, text, interval


def _found(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    if not rows.where(metric="distance to exact"):
        return "inconclusive", "not run at this scale", None
    found = Bound("", "distance to exact", HUBER, ODD_VALUE, at_most=0.1)(rows)
    return found.outcome, found.figures, found.interval


def draw(rows: Rows, figure: Figure) -> str:
    """Exact errors, the bandit, and return over step size for each task."""
    tasks = [task for task in TASKS if rows.where(metric="AUC", dataset=task)]
    axes = figure.subplots(1, 1 + len(tasks))
    first, rest = axes[0], axes[1:]
    for place, name in enumerate((ODD_VALUE, ODD_REWARD)):
        found = [rows.interval("RMSE of values", system, name) for system in (TD, MSBE, MHBE, MABE)]
        first.bar([i + 0.4 * place for i in range(4)], [i.mean for i in found], 0.38, label=name)
    first.set_xticks([i + 0.2 for i in range(4)], (TD, MSBE, MHBE, MABE))
    first.set_ylabel("RMSE of values")
    first.legend(fontsize=8)
    for each, task in zip(rest, tasks, strict=True):
        for system in rows.where(metric="AUC", dataset=task).systems:
            mean = sweeps.table(rows, task, system, STEP_SIZES).mean(axis=0)
            each.plot(STEP_SIZES, mean, "o-", markersize=3, label=system)
        each.set_xscale("log")
        each.set_title(task, fontsize=9)
        each.set_xlabel("step size")
        each.set_ylabel("mean return while learning, 0 to 1")
        each.legend(fontsize=8)
    return (
        "Left: error of values at the exact minimisers on random reward processes of 30 states, "
        "where one value is out of reach of the features (judged elsewhere) and where one reward "
        "is large and real (judged everywhere). Right: mean return over the whole run for each "
        f"step size, {len(rows.seeds)} seeds."
    )


STUDY = Study(
    id="S065",
    name="robust-bellman",
    paper=Paper(
        "Robust Losses for Learning Value Functions",
        "A. Patterson, V. Liao, M. White",
        2022,
        "2205.08464",
        read=(
            "abstract; released code of the squared case (EQRC); conjugate forms derived and tested"
        ),
    ),
    claim=(
        "Huber and absolute losses of the expected Bellman error, minimised by a saddle point with "
        "a second head, have better solutions than the squared one where a value is out of reach, "
        "and control by them is less sensitive to the step size."
    ),
    parts=(
        "meritree.rl.value_based.extras.SaddleCorrection",
        "meritree.rl.value_based.extras.saddle_optimizer",
        "meritree.objectives.saddle.corrected",
    ),
    data=(
        Data(ODD_VALUE, "30 states, 6 features, one value 30 off their span", "processes a seed"),
        Data(ODD_REWARD, "the same, one reward really 30 larger", "processes a seed"),
        Data(BANDIT, "reward 20 with probability 0.05", "bandit_steps pulls a seed"),
        Data("Catch", "gymnax Catch-bsuite", "steps: see settings"),
        Data("CartPole", "gymnax CartPole-v1", "steps: see settings"),
    ),
    baselines=(TD, CLIPPED, QRC, MSBE),
    measure=measure,
    checks=(
        Own(
            "the Huber minimiser has at most 0.3 times the squared one's error, one value odd",
            lambda rows: ratio(rows, ODD_VALUE, MHBE, at_most=0.3),
        ),
        Own(
            "the absolute minimiser has at most 0.05 times the squared one's error there",
            lambda rows: ratio(rows, ODD_VALUE, MABE, at_most=0.05),
        ),
        Better(
            "where the odd reward is real the absolute minimiser errs more than the squared one",
            "RMSE of values", MABE, MSBE, higher=True, dataset=ODD_REWARD,
        ),
        Bound(
            "clipping sampled errors misses the mean of skewed rewards",
            "value (true: 1)", CLIPPED, BANDIT, at_most=0.2,
        ),
        Bound(
            "the saddle point of the Huber loss finds it",
            "value (true: 1)", HUBER, BANDIT, at_least=0.9, at_most=1.1,
        ),
        Own(
            "from samples the trainer finds the Huber minimiser (a tenth of the way to MSBE's)",
            _found,
        ),
        Own("QRC-Huber does well with more of the step sizes than TD", _wider),
    ),
    scales={
        "smoke": Scale(
            2,
            {
                "processes": 3, "bandit_steps": 16_000, "sampled_steps": 0,
                "sweep": (("Catch", 800, (TD, HUBER)),),
            },
        ),
        "full": Scale(
            8,
            {
                "processes": 5, "bandit_steps": 40_000, "sampled_steps": 100_000,
                "sweep": (
                    ("Catch", 12_000, (TD, CLIPPED, QRC, HUBER)),
                    ("CartPole", 40_000, (TD, CLIPPED, QRC, HUBER, WIDE)),
                ),
            },
        ),
    },
    draw=draw,
    needs=("numpy", "scipy", "matplotlib", "jax", "flax", "optax", "gymnax"),
    extra="rl",
    repeatable=False,
    notes=(
        "Patterson et al. give saddle points for prediction and control; only the squared control "
        "algorithm (QRC) was found in released code. The Huber form here applies their conjugate "
        "to it: beyond tau the sampled error is replaced by tau times the sign of h.",
        "None of the four control systems has a target network, as in the release; h has the "
        "values' step size and decay 1. The step sizes are six, half a decade apart.",
        "Runs of networks repeat on one machine only to the last digits of its arithmetic, so "
        "stored rows are compared by outcome.",
        "tau = 1 means what it does relative to the rewards. On Catch, errors seldom exceed 1, so "
        "that QRC-Huber is QRC. On CartPole values reach 100 and falling over is itself the rare "
        "large error: tau = 1 all but ignores it, clipped TD wholly; tau = 10 was added for this.",
        "A larger run: MinAtar (five games, some million steps, 30 seeds), see ``sweep``.",
    ),
)  # fmt: skip
