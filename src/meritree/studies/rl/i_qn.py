"""S029: do several Bellman steps learned at once come nearer to the optimum than one?

Exactly on garnets, where the optimal values are known, and on CartPole against a target network
of the same and of a shorter period and an ensemble without a chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from meritree.studies.checks import Better, Bound
from meritree.studies.rl import minatar
from meritree.studies.rl.contest import (
    AUC,
    COLOURS,
    IqmBetter,
    System,
    Task,
    cartpole,
    dots,
    learn,
)
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATES, ACTIONS, BRANCHES, GAMMA = 20, 4, 5, 0.95
SHIFT, SYNC, STEP = 50, 5, 0.02  # T and D in updates, share of the way to the target
GARNET, CARTPOLE = "garnet", "CartPole-v1"
ONE, SHORT = "K=1", "K=1, period T/5"
CHAINS = {ONE: 1, "K=2": 2, "K=5": 5, "K=10": 10}
ENSEMBLE = "5 without a chain"
DQN, DQN_SHORT, IQN, ENSEMBLE3 = "DQN", "DQN, period T/3", "i-DQN, K=3", "3 without a chain"
RATE = 5e-4  # of Adam, for all, as in the paper: the same hyper-parameters
FIRST, LAST = "sup error, first network", "sup error, last network"
SHARE = "error of the last network as a share of K=1's"


class Garnet(NamedTuple):
    """A random decision process: every pair leads to a few states."""

    p: Any  # [S, A, S]
    r: Any  # [S, A]


def garnet(seed: int) -> Garnet:
    """Transition laws over BRANCHES states drawn for each pair, rewards uniform in [0, 1]."""
    import numpy as np

    rng = np.random.default_rng([seed, 29])
    p = np.zeros((STATES, ACTIONS, STATES))
    for s in range(STATES):
        for a in range(ACTIONS):
            reached = rng.choice(STATES, size=BRANCHES, replace=False)
            p[s, a, reached] = rng.dirichlet(np.ones(BRANCHES))
    return Garnet(p, rng.uniform(size=(STATES, ACTIONS)))


def optimum(process: Garnet) -> Any:
    """Q* [S, A] by value iteration to rounding."""
    import numpy as np

    q = np.zeros((STATES, ACTIONS))
    for _ in range(2000):
        q = process.r + GAMMA * process.p @ q.max(axis=1)
    return q


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Garnets and CartPole."""
    yield from _garnet_rows(seed, settings["updates"])
    yield from _control(cartpole(settings["steps"]), CARTPOLE, seed)


def _garnet_rows(seed: int, updates: int) -> Iterator[Row]:
    import numpy as np

    process = garnet(seed)
    best = optimum(process)
    alone = None
    systems: list[tuple[str, int, int, bool]] = [
        (name, count, SHIFT, True) for name, count in CHAINS.items()
    ]
    systems += [(SHORT, 1, SHIFT // 5, True), (ENSEMBLE, 5, SHIFT, False)]
    for name, count, shift, chained in systems:
        q = np.asarray(learned(process, seed, count, shift, chained, updates))
        errors = np.abs(q - best).max(axis=(1, 2))
        alone = errors[-1] if alone is None else alone
        yield Row(name, GARNET, FIRST, errors[0])
        yield Row(name, GARNET, LAST, errors[-1])
        yield Row(name, GARNET, SHARE, errors[-1] / alone)


def learned(process: Garnet, seed: int, count: int, shift: int, chained: bool, updates: int) -> Any:
    """[K, S, A] tables after so many updates of all pairs, a fresh next state for each."""
    import jax
    import jax.numpy as jnp

    run = _tables(count, shift, chained, updates)
    cumulative = jnp.asarray(process.p.cumsum(axis=-1), jnp.float32)
    return run(cumulative, jnp.asarray(process.r, jnp.float32), jax.random.key(seed))


@cache
def _tables(count: int, shift: int, chained: bool, updates: int) -> Any:
    """The trainer's own update of K tables, compiled."""
    import jax
    import jax.numpy as jnp
    import optax

    from meritree.rl.nets import Network
    from meritree.rl.value_based.bootstrap import greedy
    from meritree.rl.value_based.chain import Members, TargetChain
    from meritree.rl.value_based.parts import Unweighted
    from meritree.rl.value_based.update import Learned, Learning, update
    from meritree.value.heads import Scalar
    from meritree.value.transforms import Step

    pairs = STATES * ACTIONS
    state, action = jnp.arange(pairs) // ACTIONS, jnp.arange(pairs) % ACTIONS
    chain = TargetChain(count, shift=shift, sync=SYNC, chained=chained)
    table = Network(
        lambda key, obs, ctx: jnp.zeros((STATES, ACTIONS)),
        lambda q, obs, ctx: (jax.nn.one_hot(obs, STATES), q[obs]),
    )
    # The loss is a mean over pairs: times their number, each cell goes STEP of its way.
    parts = Learning(table, Scalar(), greedy, chain, Unweighted(), None, optax.sgd(STEP * pairs))

    def run(cumulative: Any, reward: Any, key: Any) -> Any:
        def one(learned: Any, key: Any) -> tuple[Any, None]:
            drawing, updating = jax.random.split(key)
            toss = jax.random.uniform(drawing, (pairs, 1))
            after = jnp.minimum(
                jnp.sum(toss > cumulative.reshape(pairs, STATES), axis=1), STATES - 1
            )
            rewards = reward.reshape(pairs, 1)
            batch = Step(
                rewards, jnp.full(pairs, GAMMA), jnp.zeros(pairs, bool), state, action, after
            )
            each = jnp.broadcast_to(rewards, (count, pairs, 1))
            return update(parts, learned, batch, each, jnp.ones(pairs), updating)[0], None

        params = {"net": jnp.zeros((count, STATES, ACTIONS))}
        members = Members.new(chain, params, jax.vmap(parts.optimizer.init)(params))
        start = Learned(members, (), jnp.zeros((), jnp.int32))
        end, _ = jax.lax.scan(one, start, jax.random.split(key, updates))
        return end.members.online["net"]

    return jax.jit(run)


def contestants() -> dict[str, System]:
    """DQN with T and T/3, a chain of three, three without a chain (act: a random member)."""
    from meritree.rl.value_based.act import random_member
    from meritree.rl.value_based.chain import TargetChain

    return {
        DQN: System(),
        DQN_SHORT: System(chain=TargetChain(shift=66)),
        IQN: System(chain=TargetChain(3), act=random_member),
        ENSEMBLE3: System(chain=TargetChain(3, chained=False), act=random_member),
    }


def _control(task: Task, dataset: str, seed: int) -> Iterator[Row]:
    for name, system in contestants().items():
        yield from learn(system, task, seed, RATE).rows(name, dataset)


def draw(rows: Rows, figure: Figure) -> str:
    """Errors of first and last networks on garnets; returns on CartPole."""
    left, right = figure.subplots(1, 2)
    names: Sequence[str] = rows.where(dataset=GARNET).systems
    for metric, colour, mark in ((FIRST, COLOURS[0], "o"), (LAST, COLOURS[1], "s")):
        found = [rows.interval(metric, name, GARNET) for name in names]
        left.errorbar(
            range(len(names)), [i.mean for i in found],
            [[i.mean - i.low for i in found], [i.high - i.mean for i in found]],
            fmt=mark, color=colour, capsize=3, label=metric,
        )  # fmt: skip
    left.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=8)
    left.set_ylabel("largest |Q - Q*|")
    left.set_ylim(bottom=0.0)
    left.legend(fontsize=8)
    dots(right, rows, AUC, [d for d in rows.datasets if d != GARNET])
    return (
        f"Left: distance to the optimal values of {len(rows.seeds)} garnets ({STATES} states, "
        f"{ACTIONS} actions), first and last network of the chain, equal updates. Right: mean "
        "return while learning as a share of the best. 95 % intervals over seeds."
    )


STUDY = Study(
    id="S029",
    name="i-qn",
    paper=Paper(
        "Iterated Q-Network: Beyond One-Step Bellman Updates in Deep Reinforcement Learning",
        "T. Vincent, D. Palenicek, B. Belousov, J. Peters, C. D'Eramo",
        2025,
        "2403.02107",
        read="abstract and released code (shift, synchronisation, acting)",
    ),
    claim=(
        "Networks that each learn the Bellman image of the one before learn several Bellman steps "
        "at once, which brings values and returns forward at equal numbers of updates."
    ),
    parts=(
        "meritree.rl.value_based.chain.TargetChain",
        "meritree.rl.value_based.act.random_member",
        "meritree.rl.value_based.update.update",
        "meritree.rl.value_based.trainer.value_trainer",
    ),
    data=(
        Data(
            GARNET,
            f"random decision processes, {STATES} states, {ACTIONS} actions, {BRANCHES} branches, "
            f"discount {GAMMA}",
            "one a seed; every pair is updated at once with a drawn next state",
        ),
        Data(CARTPOLE, "gymnax", "40 000 steps, 10 000 updates a network, 4 worlds"),
    ),
    baselines=(ONE, SHORT, ENSEMBLE, DQN, DQN_SHORT, ENSEMBLE3),
    measure=measure,
    checks=(
        Bound(
            "garnet: the last of five networks is at most 0.6 times as far from Q* as one network",
            SHARE,
            "K=5",
            GARNET,
            at_most=0.6,
        ),
        Better(
            "garnet: the chain is what helps, not the number of networks",
            LAST,
            "K=5",
            ENSEMBLE,
            higher=False,
            dataset=GARNET,
        ),
        Better(
            "garnet: five networks beat one whose target is renewed five times as often",
            LAST,
            "K=5",
            SHORT,
            higher=False,
            dataset=GARNET,
        ),
        IqmBetter("CartPole: K=3 learns faster than DQN", AUC, IQN, DQN, datasets=(CARTPOLE,)),
        IqmBetter(
            "CartPole: K=3 learns faster than DQN with a target renewed three times as often",
            AUC,
            IQN,
            DQN_SHORT,
            datasets=(CARTPOLE,),
        ),
    ),
    scales={
        "smoke": Scale(2, {"updates": 300, "steps": 1200}),
        "full": Scale(10, {"updates": 3000, "steps": 40_000}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "jax", "flax", "gymnax", "optax"),
    extra="rl",
    # Sums in another order (another processor) change which action is best, and all after it.
    repeatable=False,
    notes=(
        "Equal updates per network; K networks cost K times the computation of one.",
        "The release starts every network from its own random numbers; here networks of a chain "
        "start equal, so that a chain of Bellman steps starts as one. The release leaves Adam's "
        "moments where they are when networks move up; here they move along "
        "(`TargetChain(shift_optimizer=False)` is the release).",
        "Networks share nothing; the paper's Atari networks share their convolutions.",
        "The paper's Atari and MuJoCo experiments need GPUs. MinAtar at full length: `--scale "
        "minatar --set steps=5000000`; a chain of three costs up to three times what DQN does.",
        "What the chain gains on garnets a single network gains too when its target is renewed "
        "five times as often (third check): tables have no projection error and nothing diverges, "
        "which is what long periods guard against.",
    ),
    further={
        "minatar": minatar.further(
            minatar.IQN,
            about="A chain of three against one network on games.",
        )
    },
)
