"""S018: does a value from a prior computation help a policy gradient as its baseline?

The prior is the maximum over actions of Q-networks that our value trainer learned and wrote to a
checkpoint: one for the same task, one for a goal in another room. PPO then starts from scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from meritree.stats import Interval
from meritree.studies.checks import Better, Outcome, Own
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NONE, SAME, WRONG = "no prior", "same task", "wrong room"
GOALS = {SAME: (-1, -1), WRONG: (0, -1)}
MIXTURES = ("constant", "decaying", "adaptive", "initial")
EARLY, WHOLE, ERROR = "success, first quarter", "success, whole run", "RMSE of the prior"
SIZE, LIMIT, GAMMA, WORLDS, ROLLOUT = 11, 100, 0.95, 16, 32
WHERE = "FourRooms"


def named(prior: str, mixture: str) -> str:
    """How a system is called."""
    return f"{prior}, {mixture}"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Learning curves with every prior and mixture, from the same random numbers."""
    import jax
    import numpy as np

    key, steps = jax.random.key(seed), settings["steps"]

    def rows(system: str, log: Any) -> Iterator[Row]:
        won = np.nan_to_num(np.asarray(log["return"]), nan=0.0)
        yield Row(system, WHERE, EARLY, float(won[: len(won) // 4].mean()))
        yield Row(system, WHERE, WHOLE, float(won.mean()))

    priors = {name: prior_table(name, settings["q_steps"]) for name in settings["priors"]}
    yield from rows(NONE, learner("constant", steps)(key, priors[SAME], 0.0, 0.0))
    for name, table in priors.items():
        off = np.asarray(table) - exact_values(GOALS[SAME])
        yield Row(
            name, WHERE, ERROR, float(np.sqrt(np.mean(off[exact_values(GOALS[SAME]) > 0] ** 2)))
        )
        for mixture in settings["mixtures"]:
            # A constant mixture is one that decays with slope 0: one program for both.
            alpha, slope = (0.5, 0.0) if mixture == "constant" else (1.0, 2.0)
            kind = "constant" if mixture == "decaying" else mixture
            yield from rows(named(name, mixture), learner(kind, steps)(key, table, alpha, slope))


@cache
def learner(kind: str, steps: int) -> Callable[..., Any]:
    """(key, prior of each cell, alpha, slope) to the log of a PPO run, one entry an iteration."""
    import jax
    import jax.numpy as jnp

    from meritree.rl.envs.grids import FourRooms
    from meritree.rl.on_policy import (
        AdamEpochs,
        Adaptive,
        Epochs,
        InitFromPrior,
        Mix,
        PpoClip,
        on_policy_trainer,
    )

    env = FourRooms(SIZE, goal=GOALS[SAME], limit=LIMIT)
    epochs = Epochs(rate=1e-3, annealed=False)

    def run(key: Any, table: Any, alpha: Any, slope: Any) -> Any:
        def prior(obs: Any, ctx: Any) -> Any:
            return jnp.sum(obs[..., 0].reshape(len(obs), -1) * table, axis=-1)

        parts: dict[str, Callable[[], Any]] = {
            "constant": lambda: Mix(prior, lambda p: alpha * jnp.clip(1.0 - slope * p, 0.0, 1.0)),
            "adaptive": lambda: Adaptive(prior),
            "initial": lambda: InitFromPrior(prior, _everywhere(GOALS[SAME])),
        }
        trainer = on_policy_trainer(
            env, baseline=parts[kind](), policy_step=PpoClip(epochs), gamma=GAMMA, steps=steps,
            value_step=AdamEpochs(epochs), n_env=WORLDS, rollout=ROLLOUT, windows=steps,
        )  # fmt: skip
        return trainer.run(key)[1]

    compiled: Callable[..., Any] = jax.jit(run)
    return compiled


@cache
def prior_table(name: str, steps: int) -> Any:
    """max_a Q of every cell [SIZE^2], by a value trainer read back from its checkpoint."""
    from tempfile import TemporaryDirectory

    import optax

    from meritree.rl.envs.grids import FourRooms
    from meritree.rl.nets import MLP, network
    from meritree.rl.on_policy import from_q, value_params
    from meritree.rl.trainer import fit
    from meritree.rl.value_based.trainer import value_trainer
    from meritree.value.heads import Scalar

    env = FourRooms(SIZE, start=None, goal=GOALS[name], limit=LIMIT)
    trainer = value_trainer(
        env, steps=steps, n_env=8, batch=64, gamma=GAMMA, windows=2, optimizer=optax.adam(1e-3)
    )
    with TemporaryDirectory() as folder:
        fit(trainer, 0, out=folder)
        state, _ = fit(trainer, 0, out=folder)  # nothing left to do: the checkpoint is read
    net, head = network(MLP(), Scalar().features(4)), Scalar()
    return from_q(net, head, value_params(state))(_everywhere(GOALS[name]), None)


def _everywhere(goal: tuple[int, int]) -> Any:
    """Observations [SIZE^2, SIZE, SIZE, 2] of an agent in every cell, walls among them."""
    import jax.numpy as jnp

    agent = jnp.eye(SIZE * SIZE).reshape(-1, SIZE, SIZE)
    there = jnp.zeros((SIZE, SIZE)).at[goal].set(1.0)
    return jnp.stack([agent, jnp.broadcast_to(there, agent.shape)], axis=-1)


@cache
def exact_values(goal: tuple[int, int]) -> Any:
    """Best values of every cell [SIZE^2] by value iteration; 0 in walls and at the goal."""
    import numpy as np

    from meritree.rl.envs.grids import FourRooms

    env = FourRooms(SIZE, goal=goal)
    tables = env.tables()
    gain = np.sum(tables.P * tables.R, axis=-1)
    going = tables.P * ~tables.ends[:, None, None]
    v = np.zeros(len(gain))
    for _ in range(4 * SIZE):  # longer than any shortest path
        v = np.max(gain + GAMMA * going @ v, axis=-1)
    found = np.zeros(env.open.shape)
    found[env.open] = v
    return found.reshape(-1)


def gain_of_same(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """Whether a prior of the same task gives 1.3 times the early success, decaying."""
    system = named(SAME, "decaying")
    if not rows.where(system=system):
        return "inconclusive", "not measured", None
    ratio = rows.mean(EARLY, system) / max(rows.mean(EARLY, NONE), 1e-9)
    text = f"{rows.mean(EARLY, system):.3f} / {rows.mean(EARLY, NONE):.3f} = {ratio:.2f}"
    return ("holds" if ratio >= 1.3 else "does not hold"), text, None


def draw(rows: Rows, figure: Figure) -> str:
    """Success early and over the whole run."""
    from meritree.studies.figure import bars

    left, right = figure.subplots(1, 2, sharey=True)
    bars(left, rows, EARLY)
    bars(right, rows, WHOLE)
    return (
        f"PPO in four rooms of side {SIZE}, episodes of {LIMIT} steps: share of episodes that "
        "reach the goal in the first quarter and in the whole run, by prior and mixture; "
        f"{len(rows.seeds)} seeds, 95 % intervals."
    )


STUDY = Study(
    id="S018",
    name="prior-value",
    paper=Paper(
        "Accelerating Policy Gradient by Estimating Value Function from Prior Computation in Deep "
        "Reinforcement Learning",
        "Rahman and Xue",
        2023,
        arxiv="2302.01399",
        read="abstract",
    ),
    claim=(
        "Value estimates from a prior computation (a DQN, or a related task), combined with the "
        "critic being learned and used as the baseline, make policy gradients need fewer samples."
    ),
    parts=(
        "meritree.rl.on_policy.baseline.Mix",
        "meritree.rl.on_policy.baseline.Adaptive",
        "meritree.rl.on_policy.baseline.InitFromPrior",
        "meritree.objectives.advantages.mixed_baseline",
    ),
    data=(Data(WHERE, f"FourRooms({SIZE}), corner to corner, 1 at the goal", "see the settings"),),
    baselines=(NONE,),
    measure=measure,
    checks=(
        *(
            Better(f"a prior of the same task helps early, {mixture}", EARLY, named(SAME, mixture),
                   NONE)
            for mixture in ("constant", "decaying", "adaptive")
        ),
        Own("decaying, it gives 1.3 times the early success", gain_of_same),
        Better("the adaptive mixture loses less than 0.05 by a wrong prior", WHOLE,
               named(WRONG, "adaptive"), NONE, by=-0.05),
    ),
    scales={
        "smoke": Scale(1, {"steps": 2048, "q_steps": 2000, "priors": (SAME, WRONG),
                           "mixtures": ("constant", "decaying", "adaptive")}),
        "full": Scale(10, {"steps": 25_600, "q_steps": 40_000, "priors": (SAME, WRONG),
                           "mixtures": MIXTURES}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "jax", "flax", "optax"),
    extra="rl",
    notes=(
        "The paper's rule for the weight of the prior could not be read: a constant 1/2, a line "
        "from 1 to 0 over the first half, and the least-squares weight of earlier rollouts are "
        "ours. Advantages are standardised in every minibatch.",
        "A constant or decaying weight of the wrong prior costs most of the success; fitting the "
        "weight to returns, or only starting from the prior, does not.",
        "Both Q-networks are trained once, from seed 0 with random starts, and are the same for "
        "all seeds. The paper's Atari and Procgen are not measured.",
    ),
)  # fmt: skip
