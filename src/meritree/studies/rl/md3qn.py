"""S003: do joint particles learn how several rewards depend on each other, and does it pay?

Evaluation: returns of the random policy in two mazes against Monte Carlo, beside what their
margins alone can say. Control: gates at which only the joint law tells the better way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from meritree.stats import Interval
from meritree.studies.checks import Better, Bound, Outcome, Own
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JOINT, MARGINS, TRUTH = "MD3QN", "margins of MD3QN", "Monte Carlo"
TRUE_MARGINS = "margins of Monte Carlo"
BY_JOINT, BY_MARGINS, BEST = "joint judge", "margins judge", "best possible"
MAPS = ("exclusive", "inclusive")
GATES = "gates"
GAMMA = 0.99
PARTICLES = 20
EPISODES = 2000  # of Monte Carlo, and of judging control


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """The two mazes, then the gates."""
    for name in settings["maps"]:
        yield from _evaluation(seed, name, settings["steps"])
    yield from _control(seed, settings["control_steps"])


class Learned(NamedTuple):
    """What was learned of the random policy.

    Attributes:
        run: key to final state.
        particles: state to joint particles of the first state, ``[A N, C]``.
        sample: key to Monte-Carlo returns of the first state, ``[EPISODES, C]``.
    """

    run: Any
    particles: Any
    sample: Any


def maze_trainer(name: str, steps: int) -> Any:
    """Joint particles of the uniformly random policy."""
    import optax

    from meritree.rl.envs import RewardMaze
    from meritree.rl.nets import MLP
    from meritree.rl.value_based import act, bootstrap
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.trainer import value_trainer

    env = RewardMaze(name)  # type: ignore[arg-type]
    return value_trainer(
        env, head=_head(env.spec.channels), net=MLP((128, 128)), bootstrap=bootstrap.any_action,
        act=act.uniformly, chain=TargetChain(shift=40),
        optimizer=optax.adam(optax.cosine_decay_schedule(1e-3, steps // 8)), steps=steps, n_env=8,
        warmup=2000, gamma=GAMMA, windows=4,
    )  # fmt: skip


def _head(channels: int) -> Any:
    from meritree.value.heads import Particles

    return Particles(PARTICLES, channels)


@cache
def _maze(name: str, steps: int) -> Learned:
    import jax

    from meritree.rl.envs import RewardMaze, vectorise
    from meritree.rl.nets import MLP, network
    from meritree.rl.trainer import fit

    made = maze_trainer(name, steps)
    env = RewardMaze(name)  # type: ignore[arg-type]
    head = _head(env.spec.channels)
    net = network(MLP((128, 128)), head.features(env.spec.actions))

    def particles(state: Any) -> Any:
        """Of all actions alike: the mixture under the random policy."""
        online = jax.tree.map(lambda leaf: leaf[0], state.learned.members.online["net"])
        _, first = env.reset(jax.random.key(0))
        _, raw = net.apply(online, first[None], None)
        return head.value(raw)[0].reshape(-1, env.spec.channels)

    worlds = vectorise(env, EPISODES)
    return Learned(lambda seed: fit(made, seed)[0], particles, jax.jit(_returns(worlds, env.limit)))


def _returns(worlds: Any, limit: int) -> Any:
    """key to discounted returns [n, C] of each world's first episode, acting at random."""
    import jax
    import jax.numpy as jnp

    def step(carry: Any, key: Any) -> Any:
        state, gains, factor = carry
        choosing, going = jax.random.split(key)
        action = jax.random.randint(choosing, (worlds.n,), 0, worlds.spec.actions)
        state, out = worlds.step(going, state, action)
        gains = gains + factor[:, None] * out.reward
        over = out.terminated | out.truncated
        return (state, gains, jnp.where(over, 0.0, GAMMA * factor)), None

    def returns(key: Any) -> Any:
        first, rest = jax.random.split(key)
        state, _ = worlds.reset(first)
        carry = (state, jnp.zeros((worlds.n, worlds.spec.channels)), jnp.ones(worlds.n))
        return jax.lax.scan(step, carry, jax.random.split(rest, limit))[0][1]

    return returns


def _evaluation(seed: int, name: str, steps: int) -> Iterator[Row]:
    import jax
    import numpy as np

    from meritree.studies.rl.gates import margins_apart

    maze = _maze(name, steps)
    truth = np.asarray(maze.sample(jax.random.key(10_000 + seed)))
    learned = np.asarray(maze.particles(maze.run(seed)))
    apart = np.random.default_rng(seed)
    shuffled = np.stack([truth[:, 0], apart.permutation(truth[:, 1])], axis=1)
    few = margins_apart(learned)[apart.integers(len(learned) ** 2, size=EPISODES)]
    for system, points in (
        (TRUTH, truth), (JOINT, learned), (MARGINS, few), (TRUE_MARGINS, shuffled),
    ):  # fmt: skip
        yield Row(system, name, "correlation", float(np.corrcoef(points.T)[0, 1]))
        if system != TRUTH:
            yield Row(system, name, "MMD^2", distance(points, truth))


def distance(points: Any, truth: Any) -> float:
    """Squared MMD of two samples under the kernel of the release."""
    import numpy as np

    from meritree.objectives.distributional import mmd2

    return float(mmd2(np.asarray(points, np.float32), np.asarray(truth, np.float32)))


def joint_judge(particles: Any, weights: Any) -> Any:
    """Probability that all constraints hold, ``[..., N, C]`` with stocks to ``[...]``.

    Stocks start at minus the thresholds: a constraint holds where the sum is above 0.
    """
    import jax.numpy as jnp

    return jnp.sum(weights * jnp.all(particles > 0.0, axis=-1), axis=-1)


def margins_judge(particles: Any, weights: Any) -> Any:
    """The product of each constraint's own probability: right only if they are independent."""
    import jax.numpy as jnp

    return jnp.prod(jnp.sum(weights[..., None] * (particles > 0.0), axis=-2), axis=-1)


@cache
def _gates(judge_name: str, steps: int) -> Any:
    """A seed to the share of episodes in which both constraints hold."""
    import jax
    import jax.numpy as jnp

    from meritree.rl.envs import vectorise
    from meritree.rl.nets import MLP
    from meritree.rl.trainer import fit
    from meritree.rl.value_based import act
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.trainer import value_trainer
    from meritree.studies.rl.gates import Gates
    from meritree.value.contexts import stock_each
    from meritree.value.heads import Particles

    env = Gates()
    judge = joint_judge if judge_name == BY_JOINT else margins_judge
    # A unit of each kind at every gate; half a unit of room, since particles are not exact.
    context = stock_each(1.0, 2, lambda key: jnp.full(2, 0.5 - env.gates))
    made = value_trainer(
        env, head=Particles(PARTICLES, 2, judge=judge), net=MLP((64, 64)), context=context,
        chain=TargetChain(shift=100), act=act.epsilon_greedy(act.decayed(steps=steps // 2)),
        steps=steps, n_env=8, warmup=1000, gamma=1.0, windows=4,
    )  # fmt: skip
    worlds = vectorise(env, EPISODES)

    @jax.jit
    def success(state: Any, key: Any) -> Any:
        world, obs = worlds.reset(key)
        ctx = jax.vmap(context.reset)(jax.random.split(key, worlds.n))
        for gate in range(env.gates):
            action = made.act(state, key, obs, ctx)
            world, out = worlds.step(jax.random.fold_in(key, gate), world, action)
            obs, ctx = out.obs, context.step(ctx, out.reward)
        return jnp.mean(jnp.all(ctx > 0.0, axis=-1))

    return lambda seed: float(success(fit(made, seed)[0], jax.random.key(seed + 10_000)))


def _control(seed: int, steps: int) -> Iterator[Row]:
    from meritree.studies.rl.gates import Gates

    for judge in (BY_JOINT, BY_MARGINS):
        yield Row(judge, GATES, "both constraints hold", _gates(judge, steps)(seed))
    yield Row(BEST, GATES, "both constraints hold", Gates().chances()["joint"])
