"""Learning curves of value-based systems on the same tasks and seeds, for several studies.

One compiled program a system and task; seed and step size are its arguments. Scores are the
episodes' returns while learning, exploration included, as shares of what can be reached. Knows no
claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from meritree.studies.checks import FEWEST, Outcome
from meritree.studies.rows import Rows
from meritree.studies.study import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from meritree.stats import Interval

AUC, FINAL = "score over the run", "score in the last fifth"
COLOURS = ("#4c78a8", "#e45756", "#54a24b", "#f58518", "#b279a2", "#72b7b2", "#9d755d", "#bab0ac")


@dataclass(frozen=True)
class Task:
    """An environment and how long it is learned.

    Attributes:
        env: gymnax's name.
        steps: environment steps, warm-up not counted.
        worst, best: returns that count as 0 and 1.
        n_env: worlds side by side; one update after each step of all.
        batch: rows of an update.
        warmup: environment steps before the first update.
        gamma: discount.
        windows: points of the curve.
    """

    env: str
    steps: int
    worst: float
    best: float
    n_env: int = 4
    batch: int = 32
    warmup: int = 500
    gamma: float = 0.99
    windows: int = 20


@dataclass(frozen=True)
class System:
    """Slots of the trainer that differ from plain DQN; ``None`` is DQN's own part."""

    head: Any = None
    net: Any = None
    chain: Any = None
    act: Any = None


class Curve(NamedTuple):
    """One run.

    Attributes:
        auc: mean score over all windows.
        final: mean score over the last fifth of them.
        scores: [windows]; a window in which no episode ended repeats the one before.
        state: of the trainer at the end.
    """

    auc: float
    final: float
    scores: tuple[float, ...]
    state: Any

    def rows(self, system: str, dataset: str) -> Iterator[Row]:
        """Both numbers."""
        yield Row(system, dataset, AUC, self.auc)
        yield Row(system, dataset, FINAL, self.final)


def catch(steps: int) -> Task:
    """bsuite's Catch: returns -1 or 1."""
    return Task("Catch-bsuite", steps, -1.0, 1.0)


def cartpole(steps: int) -> Task:
    """CartPole: 1 a step, 500 at most."""
    return Task("CartPole-v1", steps, 0.0, 500.0)


def learn(system: System, task: Task, seed: int, rate: float) -> Curve:
    """One run of a system from a seed, Adam with step size ``rate``."""
    import jax
    import numpy as np

    state, log = _program(system, task)(jax.random.key(seed), rate)
    returns = np.asarray(log["return"], np.float64)
    scores = (_filled(returns, task.worst) - task.worst) / (task.best - task.worst)
    last = max(1, task.windows // 5)
    return Curve(float(scores.mean()), float(scores[-last:].mean()), tuple(scores), state)


@cache
def trainer(system: System, task: Task) -> Any:
    """The trainer of a system; its step size is a part of the optimiser's state."""
    import optax

    from meritree.rl.envs import Gymnax
    from meritree.rl.value_based.act import decayed, epsilon_greedy
    from meritree.rl.value_based.trainer import value_trainer

    explore = decayed(1.0, 0.05, max(1, task.steps // 4))
    return value_trainer(
        Gymnax(task.env), head=system.head, net=system.net, chain=system.chain,
        act=epsilon_greedy(explore, system.act),
        optimizer=optax.inject_hyperparams(optax.adam)(learning_rate=0.0),
        steps=task.steps, n_env=task.n_env, batch=task.batch, warmup=task.warmup,
        gamma=task.gamma, windows=task.windows,
    )  # fmt: skip


@cache
def _program(system: System, task: Task) -> Any:
    import jax

    made = trainer(system, task)

    def run(key: Any, rate: Any) -> Any:
        state = made.init(key)
        members = state.learned.members
        rates = members.optimizer.hyperparams["learning_rate"]
        optimizer = members.optimizer._replace(
            hyperparams={"learning_rate": jax.numpy.full_like(rates, rate)}
        )
        learned = state.learned._replace(members=members._replace(optimizer=optimizer))
        state, log = jax.lax.scan(
            lambda state, _: made.window(state), state._replace(learned=learned),
            length=made.windows,
        )  # fmt: skip
        return state, log

    return jax.jit(run)


def _filled(returns: Any, first: float) -> Any:
    """NaN (no episode ended) becomes the value before it."""
    import numpy as np

    filled, before = [], first
    for value in returns:
        before = float(value) if np.isfinite(value) else before
        filled.append(before)
    return np.asarray(filled)


@dataclass(frozen=True, slots=True)
class IqmBetter:
    """The interquartile mean of paired differences lies above ``by``, its 95 % interval too.

    Attributes:
        claim: the statement, in words.
        metric: what is compared.
        system, than: the two systems, paired by data set and seed.
        by: the margin; negative: "not worse by more than".
        datasets: on which; empty: all that have both.
    """

    claim: str
    metric: str
    system: str
    than: str
    by: float = 0.0
    datasets: tuple[str, ...] = ()

    def __call__(self, rows: Rows) -> Any:
        from meritree.studies.checks import Finding, show

        interval = iqm_difference(rows, self.metric, self.system, self.than, self.datasets)
        outcome: Outcome = "inconclusive"
        if len(rows.seeds) >= FEWEST:
            if interval.low > self.by:
                outcome = "holds"
            elif interval.high <= self.by:
                outcome = "does not hold"
        text = (
            f"{self.metric}: IQM of {self.system} - {self.than} = {show(interval)}, asked > "
            f"{self.by:g}, {interval.n} pairs"
        )
        return Finding(self.claim, outcome, text, interval)


def iqm_difference(
    rows: Rows, metric: str, system: str, than: str, datasets: Sequence[str] = ()
) -> Interval:
    """Interquartile mean of ``system - than`` over all pairs, seeds drawn within data sets."""
    from meritree.stats.runs import stratified_interval

    pairs = []
    for dataset in datasets or rows.where(metric=metric, system=than).datasets:
        here = [
            {row.seed: row.value for row in rows.where(metric=metric, system=one, dataset=dataset)}
            for one in (system, than)
        ]
        common = sorted(here[0].keys() & here[1].keys())
        pairs.append([here[0][seed] - here[1][seed] for seed in common])
    return stratified_interval([pair for pair in pairs if pair])


def dots(axes: Axes, rows: Rows, metric: str, datasets: Sequence[str]) -> None:
    """A dot with its interval for each system, a group for each data set."""
    systems = list(dict.fromkeys(rows.where(metric=metric).systems))
    for at, system in enumerate(systems):
        for group, dataset in enumerate(datasets):
            if not rows.where(metric=metric, system=system, dataset=dataset):
                continue
            found = rows.interval(metric, system, dataset)
            place = group + 0.8 * (at / max(1, len(systems) - 1) - 0.5)
            axes.errorbar(
                place, found.mean, [[found.mean - found.low], [found.high - found.mean]],
                fmt="o", capsize=3, color=COLOURS[at % len(COLOURS)],
                label=system if group == 0 else None,
            )  # fmt: skip
    axes.set_xticks(range(len(datasets)), list(datasets))
    axes.set_ylabel(metric)
    axes.grid(axis="y", alpha=0.3)
    axes.set_xlim(-0.6, len(datasets) - 0.4)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))  # room for the legend
    axes.legend(fontsize=7, ncols=2, loc="upper left")
