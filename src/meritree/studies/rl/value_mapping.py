"""S010: do values stored through maps, for rewards split by size, learn what plain values miss?

Exact: what averaging in log space converges to. Learned: chains whose differences of value are
tiny, and fruits whose rewards differ a hundredfold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from meritree.studies.checks import Better, Bound
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN, LOG = "identity", "log"
CASCADE, CLIPPED = "cascade and log-linear", "DQN, clipped rewards"
UNCLIPPED, HYPERBOLIC = "DQN", "signed hyperbolic"
AVERAGE, FRUITS = "average of 0.1 and 1.9", "fruits worth 1, 10, 100"
GAMMAS = (0.3, 0.5, 0.9)
CHAIN = 12
WORTH = (1.0, 10.0, 100.0)
SHARE = "share of what could be had"


def chain_name(gamma: float) -> str:
    """How rows call the chain of a discount."""
    return f"chain, discount {gamma:g}"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """The average, the chains, the fruits."""
    for beta in settings["betas"]:
        found = averaged(seed, beta, settings["average_steps"])
        yield Row(f"log, beta_reg {beta:g}", AVERAGE, "converges to", found)
    for system in (PLAIN, LOG):
        right = _chains(system, settings["chain_steps"])(seed)
        for gamma, share in zip(GAMMAS, right, strict=True):
            yield Row(system, chain_name(gamma), "states where greedy is right", share)
    for system in settings["systems"]:
        curve = _fruits(system, settings["steps"])(seed)
        yield Row(system, FRUITS, f"{SHARE}, whole run", sum(curve) / len(curve))
        yield Row(system, FRUITS, f"{SHARE}, end", sum(curve[-4:]) / len(curve[-4:]))
        for place, value in enumerate(curve):
            yield Row(system, FRUITS, "curve", value, str(place))


def averaged(seed: int, beta_reg: float, steps: int, beta_f: float = 0.1) -> float:
    """Where a value stored as its log settles, targets 0.1 and 1.9 alike: the mean is 1.

    Steps of size beta_f in mapped space towards the head's target; what is stored is averaged over
    the last half, then mapped back.
    """
    import numpy as np

    from meritree.value.heads import Log, Mapped

    head = Mapped((Log(),), (1.0,), beta_reg=beta_reg, floor=1e-8)
    targets = np.random.default_rng([seed, 10]).choice([0.1, 1.9], size=steps)
    raw, seen = np.log(np.ones(1)), []
    nothing = np.zeros(())
    for target in targets:
        current = head.value(raw)[0]
        goal = head.target(current, np.asarray([target]), nothing, current)
        raw = raw + beta_f * (goal - raw)
        seen.append(raw[0])
    return float(head.value(np.mean(seen[steps // 2 :], keepdims=True))[0, 0])


@dataclass(frozen=True)
class Chain:
    """States in a row; one action leads on, one back; passing the last one pays 1 and ends.

    Begins anywhere. Observes bumps, so that neighbouring states share features; which of the two
    actions leads on differs from state to state, so that they cannot share it.

    Attributes:
        length: number of states.
        limit: steps of an episode.
    """

    length: int = CHAIN
    limit: int = 50

    @property
    def spec(self) -> Any:
        from meritree.rl.envs import Discrete, EnvSpec

        return EnvSpec("chain", (self.length,), Discrete(2))

    def reset(self, key: Any) -> tuple[Any, Any]:
        import jax
        import jax.numpy as jnp

        place = jax.random.randint(key, (), 0, self.length)
        return (place, jnp.int32(0)), self.seen(place)

    def step(self, key: Any, state: Any, action: Any) -> tuple[Any, Any]:
        import jax.numpy as jnp

        from meritree.rl.envs import Outcome

        place, t = state
        place = jnp.maximum(place + jnp.where(action == self.onward[place], 1, -1), 0)
        over = place >= self.length
        cut = (t + 1 >= self.limit) & ~over
        return (place, t + 1), Outcome(self.seen(place), 1.0 * over[None], over, cut)

    @property
    def onward(self) -> Any:
        """[length] the action that leads on: runs of one and two alike."""
        import jax.numpy as jnp

        return jnp.asarray([(place * 5 // 3) % 2 for place in range(self.length)])

    def seen(self, place: Any) -> Any:
        """[length]: how near each state is."""
        import jax.numpy as jnp

        return jnp.exp(-0.5 * (jnp.arange(self.length) - place) ** 2)


def chain_trainer(system: str, gamma: Any, steps: int) -> Any:
    """Random behaviour; one channel, stored as it is or as its log."""
    import optax

    from meritree.rl.nets import MLP
    from meritree.rl.value_based import act
    from meritree.rl.value_based.trainer import value_trainer
    from meritree.value.heads import Identity, Log, Mapped

    # The smallest value told apart is below 0.3^12.
    head = Mapped((Identity(),), (1.0,), beta_reg=1.0)
    if system == LOG:
        head = Mapped((Log(),), (1.0,), beta_reg=0.1, floor=1e-8, ceiling=1.0)
    return value_trainer(
        Chain(), head=head, net=MLP((64, 64)), act=act.uniformly, steps=steps, n_env=8, batch=64,
        optimizer=optax.adam(optax.cosine_decay_schedule(1e-3, steps // 8)), warmup=1000,
        gamma=gamma, windows=2,
    )  # fmt: skip


@cache
def _chains(system: str, steps: int) -> Any:
    """A seed to the share of states where the greedy action is right, for each discount."""
    import jax
    import jax.numpy as jnp

    env = Chain()
    places = jax.vmap(env.seen)(jnp.arange(env.length))

    def right(key: Any, gamma: Any) -> Any:
        trainer = chain_trainer(system, gamma, steps)
        state, _ = trainer.run(key)
        return jnp.mean(trainer.act(state, key, places, None) == env.onward)

    run = jax.jit(lambda key: jax.lax.map(lambda g: right(key, g), jnp.asarray(GAMMAS)))
    return lambda seed: [float(share) for share in run(jax.random.key(seed))]


def fruit_world(limit: int = 12) -> Any:
    """A small collection in which there is no time for everything."""
    from meritree.rl.envs import FruitCollection

    places = ((0, 0), (0, 3), (2, 5), (3, 1), (5, 2), (5, 5))
    return FruitCollection(size=6, places=places, fruits=6, worth=WORTH, limit=limit)


def fruit_trainer(system: str, steps: int) -> Any:
    """Four ways to learn from rewards of three sizes; networks and all else alike."""
    import optax

    from meritree.objectives import regression
    from meritree.rl.nets import MLP
    from meritree.rl.value_based.trainer import value_trainer
    from meritree.value.heads import LogLin, Mapped, Scalar, SignedHyperbolic
    from meritree.value.transforms import cascade, chain, clip, total

    env, split = fruit_world(), cascade(3)
    summed = total(env.spec.weights)
    head: Any = Scalar(regression.huber)
    reward = summed
    if system == CASCADE:
        # As released: c = 0.5, floor 0.96^100, ceiling 1/(1 - gamma).
        head = Mapped((LogLin(),) * 3, split.weights, 0.1, 0.01687, 1.0 / (1.0 - 0.96))
        reward = chain(summed, split.transform)
    elif system == HYPERBOLIC:
        head = Mapped((SignedHyperbolic(),), (1.0,), beta_reg=1.0)
    elif system == CLIPPED:
        reward = chain(summed, clip(-1.0, 1.0))
    return value_trainer(
        env, head=head, net=MLP((128, 128)), reward=reward, steps=steps, n_env=8, batch=64,
        optimizer=optax.adam(1e-3), warmup=1000, gamma=0.96, windows=20,
    )  # fmt: skip


@cache
def _fruits(system: str, steps: int) -> Any:
    """A seed to the return in each window, as a share of all fruits together."""
    from meritree.rl.trainer import fit

    trainer = fruit_trainer(system, steps)
    most = float(fruit_world().worths.sum())
    return lambda seed: (fit(trainer, seed)[1]["return"] / most).tolist()


def draw(rows: Rows, figure: Figure) -> str:
    """The average, the chains and the learning curves side by side."""
    first, second, third = figure.subplots(1, 3)
    settled = rows.where(dataset=AVERAGE)
    names = settled.systems
    values = [settled.mean("converges to", name) for name in names]
    first.bar([name.split()[-1] for name in names], values)
    first.axhline(1.0, color="k", linestyle="--", linewidth=1)
    first.set_xlabel("beta_reg")
    first.set_ylabel("converges to (mean: 1)")
    for place, system in enumerate((PLAIN, LOG)):
        shares = [
            rows.mean("states where greedy is right", system, chain_name(gamma)) for gamma in GAMMAS
        ]
        second.bar([i + 0.4 * place for i in range(3)], shares, 0.38, label=system)
    second.set_xticks([i + 0.2 for i in range(3)], [f"{gamma:g}" for gamma in GAMMAS])
    second.set_xlabel("discount")
    second.set_ylabel("states where greedy is right")
    second.legend(fontsize=8)
    curves = rows.where(metric="curve")
    for system in curves.systems:
        chosen = curves.where(system=system)
        places = sorted({int(row.unit) for row in chosen})
        means = [
            sum(row.value for row in chosen if row.unit == str(place)) / len(rows.seeds)
            for place in places
        ]
        third.plot([100 * (p + 1) / len(places) for p in places], means, label=system)
    third.set_xlabel("percent of the training steps")
    third.set_ylabel(SHARE)
    third.legend(fontsize=7)
    return (
        "Left: what a value stored as a log converges to. Middle: chains of 12 states, random "
        "behaviour. Right: return of episodes with exploration, as a share of all fruits. "
        f"{len(rows.seeds)} seeds."
    )


STUDY = Study(
    id="S010",
    name="value-mapping",
    paper=Paper(
        "Orchestrated Value Mapping for Reinforcement Learning",
        "M. Fatemi, A. Tavakoli",
        2022,
        "2203.07171",
        read="released code (agent, models, settings)",
    ),
    claim=(
        "A value may be stored through a map and a reward split into channels; with two step "
        "sizes averaging is unbiased, logs tell actions apart at low discounts, and splitting "
        "rewards by size learns what clipping them forgets."
    ),
    parts=(
        "meritree.value.heads.Mapped",
        "meritree.value.heads.LogLin",
        "meritree.value.transforms.cascade",
        "meritree.rl.value_based.trainer.value_trainer",
    ),
    data=(
        Data(AVERAGE, "two targets alike, steps of 0.1 in mapped space", "average_steps a seed"),
        Data("chains", "12 states, 1 at the end, discounts 0.3, 0.5, 0.9", "chain_steps a run"),
        Data(FRUITS, "FruitCollection 6 x 6, six fruits, 12 steps", "steps a run"),
    ),
    baselines=(PLAIN, CLIPPED, UNCLIPPED, HYPERBOLIC),
    measure=measure,
    checks=(
        Bound(
            "with beta_reg 0.1 the average is off by less than 5 %",
            "converges to", "log, beta_reg 0.1", AVERAGE, at_least=0.95, at_most=1.05,
        ),
        Bound(
            "with beta_reg 1 it is the geometric mean, 0.44, within 5 %",
            "converges to", "log, beta_reg 1", AVERAGE, at_least=0.414, at_most=0.458,
        ),
        Bound(
            "logs are right in all states at discount 0.3",
            "states where greedy is right", LOG, chain_name(0.3), at_least=1.0,
        ),
        Bound(
            "logs are right in all states at discount 0.5",
            "states where greedy is right", LOG, chain_name(0.5), at_least=1.0,
        ),
        Better(
            "plain values are right in fewer states at discount 0.3",
            "states where greedy is right", LOG, PLAIN, dataset=chain_name(0.3),
        ),
        Better(
            "plain values are right in fewer states at discount 0.5",
            "states where greedy is right", LOG, PLAIN, dataset=chain_name(0.5),
        ),
        Better(
            "cascade and log-linear collect more than clipped rewards over the whole run",
            f"{SHARE}, whole run", CASCADE, CLIPPED,
        ),
    ),
    scales={
        "smoke": Scale(
            2,
            {
                "betas": (1.0, 0.1), "average_steps": 2000, "chain_steps": 800, "steps": 4800,
                "systems": (CASCADE, CLIPPED),
            },
        ),
        "full": Scale(
            5,
            {
                "betas": (1.0, 0.1, 0.01), "average_steps": 20_000, "chain_steps": 60_000,
                "steps": 40_000, "systems": (CASCADE, CLIPPED, UNCLIPPED, HYPERBOLIC),
            },
        ),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "jax", "flax", "optax", "gymnax"),
    extra="rl",
    repeatable=False,
    notes=(
        "The two step sizes multiply to that of plain learning: the one in ordinary space averages "
        "before the map bends.",
        "A first chain, on which the same action was right everywhere, was learned in full by "
        "plain values too, since states learn an action from each other; so here it differs. That "
        "changed nothing: moves and rewards are certain, every state is a first state and the step "
        "size falls to 0, so that plain values tell differences of a millionth apart. With 8000 "
        "steps (three other seeds) plain values are right in 0.68, logs in 0.61 of the states: "
        "beta_reg slows them down.",
        "On the chains all values lie below 1, where log-linear is log; it is not run twice.",
        "The log's outputs start near 0, that is near value 1: it begins optimistic.",
        "Runs of networks repeat only to the last digits of a machine's arithmetic, so stored "
        "rows are compared by outcome.",
        "A larger run: the fruits on the paper's 10 x 10, or MinAtar with unclipped rewards "
        "(200 000 to some million steps); Atari is not here.",
    ),
)  # fmt: skip
