"""S003: do joint particles learn how several rewards depend on each other, and does it pay?

Evaluation: returns of the random policy in two mazes against Monte Carlo, beside what their
margins alone can say. Control: gates at which only the joint law tells the better way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from meritree.stats import Interval
from meritree.studies.checks import FEWEST, Better, Outcome, Own, decide, show
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
EPISODES = 1000  # of Monte Carlo, and of judging control


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


def _closer(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """MMD^2 of joint particles over that of the true margins, on the exclusive maze."""
    import numpy as np

    joint = np.asarray(rows.values("MMD^2", JOINT, "exclusive"))
    apart = np.asarray(rows.values("MMD^2", TRUE_MARGINS, "exclusive"))
    drawn = np.random.default_rng(0).integers(len(joint), size=(2000, len(joint)))
    low, high = np.quantile(joint[drawn].mean(axis=1) / apart[drawn].mean(axis=1), [0.025, 0.975])
    ratio = Interval(joint.mean() / apart.mean(), float(low), float(high), 0.95, len(joint))
    outcome = decide(ratio, high=0.2) if len(joint) >= FEWEST else "inconclusive"
    return outcome, f"ratio {show(ratio)}, asked <= 0.2", ratio


def _correlated(rows: Rows, name: str) -> tuple[Outcome, str, Interval | None]:
    """|learned - true correlation| < 0.1, mean over seeds of the signed difference."""
    if name not in rows.datasets:
        return "inconclusive", f"{name} not run at this scale", None
    gap = rows.difference("correlation", JOINT, TRUTH, name)
    learned, truth = (rows.mean("correlation", system, name) for system in (JOINT, TRUTH))
    outcome = decide(gap, -0.1, 0.1) if gap.n >= FEWEST else "inconclusive"
    return outcome, f"learned {learned:.2f}, true {truth:.2f}, difference {show(gap)}", gap


def draw(rows: Rows, figure: Figure) -> str:
    """Correlations in both mazes, MMD^2 on a log scale, and success at the gates."""
    first, second, third = figure.subplots(1, 3, width_ratios=(2, 2, 1.2))
    names = [name for name in MAPS if name in rows.datasets]
    for axes, metric, systems in (
        (first, "correlation", (TRUTH, JOINT, MARGINS)),
        (second, "MMD^2", (JOINT, MARGINS, TRUE_MARGINS)),
    ):
        for place, system in enumerate(systems):
            found = [rows.interval(metric, system, name) for name in names]
            error = [
                [max(0.0, each.mean - each.low) for each in found],
                [max(0.0, each.high - each.mean) for each in found],
            ]
            spots = [i + 0.27 * place for i in range(len(names))]
            axes.bar(spots, [each.mean for each in found], 0.25, yerr=error, label=system)
        axes.set_xticks([i + 0.27 for i in range(len(names))], names)
        axes.set_ylabel(metric)
        axes.legend(fontsize=7)
    second.set_yscale("log")
    judges = (BY_JOINT, BY_MARGINS, BEST)
    third.bar(judges, [rows.mean("both constraints hold", judge, GATES) for judge in judges])
    third.tick_params(axis="x", rotation=60, labelsize=8)
    third.set_ylabel("both constraints hold")
    return (
        "Left, middle: returns of the random policy from the first cell, joint particles against "
        f"{EPISODES} Monte-Carlo episodes, and what the same margins say without their "
        "dependence. Right: episodes in which both constraints hold, by what is maximised. "
        f"{len(rows.seeds)} seeds."
    )


STUDY = Study(
    id="S003",
    name="md3qn",
    paper=Paper(
        "Distributional Reinforcement Learning for Multi-Dimensional Reward Functions",
        "P. Zhang et al.",
        2021,
        "2110.13578",
        read="released code (agent, kernel, mazes) and abstract",
    ),
    claim=(
        "Particles of all reward channels together, fitted by MMD, learn how returns depend on "
        "each other, and constraints on several of them are met more often than by their margins."
    ),
    parts=(
        "meritree.value.heads.Particles",
        "meritree.objectives.distributional.mmd2",
        "meritree.value.contexts.stock_each",
        "meritree.rl.value_based.bootstrap.any_action",
        "meritree.rl.envs.RewardMaze",
    ),
    data=(
        Data("exclusive", "RewardMaze: a reward of one kind costs one of the other", "see steps"),
        Data("inclusive", "RewardMaze: both kinds lie on one way", "see steps"),
        Data(GATES, "two chance gates with two choices each, ours", "see control_steps"),
    ),
    baselines=(MARGINS, TRUE_MARGINS, BY_MARGINS),
    measure=measure,
    checks=(
        Own(
            "the learned correlation is within 0.1 of the true one, exclusive maze",
            lambda rows: _correlated(rows, "exclusive"),
        ),
        Own(
            "the same, inclusive maze", lambda rows: _correlated(rows, "inclusive")
        ),
        Own("MMD^2 to Monte Carlo is at most 0.2 times that of its own margins", _closer),
        Better(
            "joint particles are nearer to Monte Carlo than their own margins, exclusive maze",
            "MMD^2", JOINT, MARGINS, higher=False, dataset="exclusive",
        ),
        Better(
            "judging joint particles meets both constraints more often than judging margins",
            "both constraints hold", BY_JOINT, BY_MARGINS, dataset=GATES,
        ),
    ),
    scales={
        "smoke": Scale(2, {"maps": ("exclusive",), "steps": 1600, "control_steps": 1600}),
        "full": Scale(5, {"maps": MAPS, "steps": 32_000, "control_steps": 8_000}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "jax", "flax", "optax", "gymnax"),
    extra="rl",
    repeatable=False,
    notes=(
        "Kernel, particles' index and tie-breaking as in the release, except that ties of actions "
        "are broken by taking one (the release averages tied actions' particles, which blurs the "
        f"joint law). {PARTICLES} particles an action where the release has 200.",
        "The released constraint mazes have cells from which chance decides where to go; their "
        "maps are not copied. The gates here keep the point: a common coin (0.5 for both kinds) "
        "or a coin each (0.6), a unit of both kinds asked at both. Margins prefer 0.36 to 0.25 "
        "at a gate, the truth is 0.5 against 0.36.",
        "A constraint is a stock of its own in the context, minus its threshold at first.",
        "Runs of networks repeat only to the last digits of a machine's arithmetic, so stored "
        "rows are compared by outcome.",
        "A larger run: 200 particles and ten times the steps (settings ``steps``); Atari with "
        "several reward sources is not here.",
    ),
)  # fmt: skip
