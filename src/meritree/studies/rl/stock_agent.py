"""Deep agents of study S039: QR-DQN over state and stock, without the stock, and DQN.

What an agent has learned is judged exactly: its greedy choice at every pair of state and stock,
and the law of the return that follows. Must not know the study's random games.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

UNIT = 10.0  # payments, stocks and targets as the networks see them are this many times smaller
RANGE = 20.0  # first stocks are drawn from [-RANGE, RANGE]
QUANTILES, WIDTHS, TAU = 32, (64, 64), 0.25
KAPPA = 0.02  # small against a payment: nearly the pinball loss, which quantiles minimise
SHORTFALL, TARGET = "shortfall", "target"
Bets = tuple[tuple[tuple[float, float], ...], ...]
Scores = Callable[[Any, Any], Any]  # (rounds played [N], stocks [N]) -> scores [N, A]


class Agent(NamedTuple):
    """What is learned.

    Attributes:
        stock: whether it sees the stock, and is judged on stock + return to come.
        goal: ``shortfall`` (CVaR_tau), ``target`` (E -(G - target)^2), or empty: the mean.
    """

    stock: bool
    goal: str = ""


SAFE, NEAR = "agent with the stock, CVaR", "agent with the stock, target"
SAFE_ALONE, NEAR_ALONE = "agent without the stock, CVaR", "agent without the stock, target"
MEAN = "risk-neutral agent"
AGENTS = {
    SAFE: Agent(True, SHORTFALL),
    NEAR: Agent(True, TARGET),
    SAFE_ALONE: Agent(False, SHORTFALL),
    NEAR_ALONE: Agent(False, TARGET),
    MEAN: Agent(False),
}


def realised(agent: Agent, seed: int, bets: Bets, rounds: int, target: float, steps: int) -> Any:
    """The law of the return of an agent trained from a seed.

    An agent with the stock that minds shortfall begins with minus the whole number in [-RANGE,
    RANGE] with which it does best, as playing often enough with each would tell.
    """
    import jax
    import numpy as np

    from meritree.exact import models
    from meritree.value.risk import ExpectedShortfall, as_score

    learn, scores = trained(agent, bets, rounds, target, steps)
    params = learn(jax.random.key(seed))
    outer = agent.stock and agent.goal == SHORTFALL
    first = np.arange(-RANGE, RANGE + 1.0) if outer else np.array([-target])
    laws = laws_by(partial(scores, params), models.betting_game(rounds, bets), rounds, first)
    cvar = as_score(ExpectedShortfall(1.0 - TAU))
    return max(laws, key=lambda law: float(cvar(*law)))


def laws_by(scores: Scores, game: Any, rounds: int, first: Any) -> list[Any]:
    """The laws of the return of what is greedy in ``scores``, one for each first stock."""
    import numpy as np

    from meritree.exact.stock import StockPlan, law_of, reachable

    points = reachable(game, first, rounds)
    played = np.concatenate([np.full(len(at.stock), t) for t, at in enumerate(points[:-1])])
    stocks = np.concatenate([at.stock for at in points[:-1]])
    greedy = np.asarray(scores(played, stocks)).argmax(axis=1)
    ends = np.cumsum([len(at.stock) for at in points[:-1]])[:-1]
    plan = StockPlan(points, (), tuple(np.split(greedy, ends)), first, np.zeros(len(first)))
    return [law_of(game, plan, i) for i in range(len(first))]


@cache
def trained(
    agent: Agent, bets: Bets, rounds: int, target: float, steps: int
) -> tuple[Callable[[Any], Any], Callable[[Any, Any, Any], Any]]:
    """(random key to parameters, (parameters, rounds played, stocks) to scores), both compiled."""
    import jax
    import jax.numpy as jnp
    import optax

    from meritree.rl.envs.money import BettingGame
    from meritree.rl.nets import MLP, network
    from meritree.rl.value_based import act
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.trainer import value_trainer
    from meritree.value import contexts

    small = tuple(tuple((paid / UNIT, p) for paid, p in bet) for bet in bets)
    env, head, torso = BettingGame(rounds, small), head_of(agent, target), MLP(WIDTHS)
    context = None
    if agent.stock:
        most = RANGE / UNIT
        context = contexts.stock(
            1.0, lambda key: jax.random.uniform(key, (1,), minval=-most, maxval=most)
        )
    trainer = value_trainer(
        env, head=head, net=torso, context=context, relabel_context=agent.stock,
        chain=TargetChain(shift=50), act=act.epsilon_greedy(act.decayed(1.0, 0.2, steps // 2)),
        optimizer=optax.adam(optax.cosine_decay_schedule(2e-3, steps // 16)),
        steps=steps, n_env=16, batch=128, gamma=1.0, windows=1,
    )  # fmt: skip
    net = network(torso, head.features(len(bets)))

    def scores(params: Any, played: Any, stocks: Any) -> Any:
        seen = jax.nn.one_hot(jnp.asarray(played), rounds)
        ctx = jnp.asarray(stocks, jnp.float32)[:, None] / UNIT if agent.stock else None
        return head.score(head.value(net.apply(params, seen, ctx)[1]), ctx)

    def learn(key: Any) -> Any:
        online = trainer.run(key)[0].learned.members.online["net"]
        return jax.tree.map(lambda leaf: leaf[0], online)

    return jax.jit(learn), jax.jit(scores)


def head_of(agent: Agent, target: float) -> Any:
    """Quantiles with what the agent maximises of them, or a mean."""
    import jax.numpy as jnp

    from meritree.value.heads import Quantile, Scalar
    from meritree.value.risk import ExpectedShortfall, as_score

    if not agent.goal:
        return Scalar()
    if not agent.stock and agent.goal == SHORTFALL:
        return Quantile(QUANTILES, KAPPA, as_score(ExpectedShortfall(1.0 - TAU)))
    away = 0.0 if agent.stock else target / UNIT  # with the stock, -target is in its first value

    def judge(values: Any, weights: Any) -> Any:
        if agent.goal == SHORTFALL:
            return jnp.sum(weights * jnp.minimum(values, 0.0), axis=-1)
        return -jnp.sum(weights * (values - away) ** 2, axis=-1)

    return Quantile(QUANTILES, KAPPA, judge)
