"""Deep parts of studies S039 and S047: how agents are judged, and what they are trained with."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from meritree.exact import best_shortfall, models, stock_dp
from meritree.exact.laws import dist_dp_without_stock
from meritree.rl.envs import Discrete, EnvSpec
from meritree.rl.nets import MLP, network
from meritree.rl.value_based.bootstrap import greedy
from meritree.rl.value_based.chain import Members, TargetChain
from meritree.rl.value_based.parts import Unweighted
from meritree.rl.value_based.update import Learned, Learning, update
from meritree.studies.rl import reward_shift, shift_agent, shift_offline, stock_agent
from meritree.studies.rl.reward_shift import CURIOUS, RND, RRS, learner_of
from meritree.studies.rl.shift_agent import Learner
from meritree.studies.rl.stock_agent import SHORTFALL, TARGET, Agent, head_of, laws_by
from meritree.studies.rl.stock_augmented_dp import FIRST
from meritree.value.heads import Scalar
from meritree.value.risk import ExpectedShortfall, as_score
from meritree.value.transforms import Step, shift

SPEC, KEY = EnvSpec("four places", (4,), Discrete(2)), jax.random.key(0)
CVAR = as_score(ExpectedShortfall(0.75))


def test_an_optimal_plan_is_judged_to_be_worth_its_optimum() -> None:
    game = models.betting_game(3, FIRST)
    plan = stock_dp(game, lambda x: -np.abs(x), -6.0)
    # What the plan does at every stock in the states of each round: 0, then 4 for each payment.
    table = [
        {
            round(float(c), 6): int(a)
            for s, c, a in zip(at.state, at.stock, act, strict=True)
            if (s + 3) // 4 == t
        }
        for t, (at, act) in enumerate(zip(plan.points, plan.action, strict=False))
    ]

    def scores(played: Any, stocks: Any) -> Any:
        return np.eye(3)[
            [table[t].get(round(float(c), 6), 0) for t, c in zip(played, stocks, strict=True)]
        ]

    (law,) = laws_by(scores, game, 3, np.array([-6.0]))
    assert (law.weights * -np.abs(law.values - 6.0)).sum() == pytest.approx(plan.best[0])
    assert law.weights.sum() == pytest.approx(1.0)


def test_one_bet_in_every_round_gives_the_law_of_their_sum() -> None:
    game = models.betting_game(2, FIRST)
    laws = laws_by(
        lambda t, c: np.tile([0.0, 1.0, 0.0], (len(t), 1)), game, 2, np.array([0.0, 3.0])
    )
    for law in laws:  # such a policy does not mind the stock
        assert dict(zip(law.values, law.weights, strict=True)) == pytest.approx(
            {-2.0: 0.36, 0.0: 0.48, 2.0: 0.16}
        )


@pytest.mark.parametrize(
    ("agent", "score"),
    [
        (Agent(True, SHORTFALL), -0.25),  # E min(c + Z, 0)
        (Agent(True, TARGET), -2.75),  # E -(c + Z)^2
        (Agent(False, SHORTFALL), -1.0),  # the worst quarter
        (Agent(False, TARGET), -2.25),  # E -(Z - 0.5)^2, the target being 5
    ],
)
def test_each_goal_has_its_score(agent: Agent, score: float) -> None:
    head = head_of(agent, 5.0)
    z = np.tile([-1.0, 0.0, 1.0, 3.0], 8).astype(np.float32).reshape(1, 1, 32)
    ctx = np.zeros((1, 1), np.float32) if agent.stock else None
    assert float(head.score(z, ctx)[0, 0]) == pytest.approx(score)
    if ctx is not None:  # the stock moves the law
        assert float(head.score(z - 1.0, ctx + 1.0)[0, 0]) == pytest.approx(score)


@pytest.mark.smoke
def test_an_agent_with_the_stock_beats_what_is_best_without_in_a_short_game() -> None:
    law = stock_agent.realised(Agent(True, SHORTFALL), 7, FIRST, 3, 6.0, 6400)
    game = models.betting_game(3, FIRST)
    assert float(CVAR(*law)) > dist_dp_without_stock(game, CVAR).score + 1e-6
    assert float(CVAR(*law)) <= best_shortfall(game, 0.25).value + 1e-9


def test_networks_learn_the_same_under_a_shift_and_from_a_start_as_much_higher() -> None:
    gamma, dose = 0.9, -0.5
    net = network(MLP((8,)), 3)
    parts = Learning(
        net, Scalar(), greedy, TargetChain(shift=2), Unweighted(), None, optax.adam(1e-2)
    )
    rng = np.random.default_rng(5)
    batch = Step(
        jnp.asarray(rng.normal(size=(64, 1)), jnp.float32),
        jnp.asarray(gamma * (rng.random(64) < 0.7), jnp.float32), jnp.zeros(64, bool),
        *(jnp.asarray(x) for x in (
            rng.normal(size=(64, 4)).astype(np.float32), rng.integers(0, 3, 64),
            rng.normal(size=(64, 4)).astype(np.float32),
        )),
    )  # fmt: skip
    params = net.init(jax.random.key(0), batch.obs[0], None)
    step = jax.jit(partial(update, parts))

    def learned(start: float, reward: Any) -> Any:
        own = {**params, "readout": {**params["readout"], "bias": jnp.full(3, start)}}
        one = {"net": jax.tree.map(lambda leaf: leaf[None], own)}
        optimizer = jax.vmap(parts.optimizer.init)(one)
        state = Learned(Members.new(parts.chain, one, optimizer), (), jnp.zeros((), jnp.int32))
        for _ in range(6):
            state, _, _ = step(state, batch, reward[None], jnp.ones(64), jax.random.key(1))
        first = jax.tree.map(lambda leaf: leaf[0], state.members.online["net"])
        return net.apply(first, batch.next_obs, None)[1]

    moved = shift(dose * (1.0 - gamma), gamma).sample((), batch)
    shifted, started = learned(0.0, moved), learned(-dose, batch.reward)
    np.testing.assert_allclose(started - shifted, -dose, atol=1e-4)
    assert not np.allclose(started, learned(0.0, batch.reward), atol=1e-2)


def test_success_counts_parts_of_a_run_without_an_end_as_failures_and_unshifts_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    won = np.array([np.nan, 0.0] + [0.5] * 13 + [1.0] * 5)
    log = {"return": won, "value": np.linspace(0.0, 0.4, 20)}
    monkeypatch.setattr(shift_agent, "runner", lambda learner, steps: lambda key: log)
    found = shift_agent.run(Learner((-0.5,)), 0, 100)
    assert found.success == pytest.approx((6.5 + 5.0) / 20)
    assert found.final == 1.0
    assert found.value == pytest.approx(0.9)


def test_a_bonus_with_its_shift_is_a_cost_of_what_is_known_and_pays_nothing_above_zero() -> None:
    """The agent's transform: w (RND - 1) a step, the shift going on at ends, beside the reward."""
    learner = learner_of(CURIOUS)
    assert learner.doses == (reward_shift.BEST,)
    assert learner.bonus == -reward_shift.BEST
    part = shift_agent.rewards_of(learner, SPEC)[0]
    step = Step(
        jnp.asarray([[0.0], [0.0], [1.0]]), jnp.asarray([0.98, 0.98, 0.0]), jnp.zeros(3, bool),
        jnp.eye(3, 4), jnp.zeros(3, jnp.int32), jnp.eye(3, 4),
    )  # fmt: skip
    bonus = shift_agent.rewards_of(learner_of(RND), SPEC)[0]
    state = part.init(KEY)
    alone = np.asarray(bonus.sample(bonus.init(KEY), step))[:, 0] - [0.0, 0.0, 1.0]
    assert (alone >= 0.0).all()
    assert alone.max() <= 0.01 + 1e-9
    away = np.array([-0.01, -0.01, -0.5])
    found = np.asarray(part.sample(state, step))[:, 0]
    np.testing.assert_allclose(found, alone + away + [0.0, 0.0, 1.0], atol=1e-6)
    assert len(shift_agent.rewards_of(learner_of(RRS), SPEC)) == 3


def test_returns_from_data_are_those_of_first_episodes() -> None:
    reward, last = jnp.asarray([[1.0, 2.0], [1.0, 2.0], [5.0, 2.0]]), jnp.zeros((3, 2), bool)
    last = last.at[1, 0].set(True)  # the first world's episode ends after two steps
    flat = Step(reward.reshape(-1, 1), jnp.zeros(6), last.reshape(-1))
    gain, worth = shift_offline.returns(flat, 2)
    g = shift_offline.GAMMA
    assert float(gain) == pytest.approx((2.0 + 6.0) / 2)
    assert float(worth) == pytest.approx((1.0 + g + 2.0 * (1 + g + g * g)) / 2, rel=1e-6)


def test_the_rules_that_make_the_data_push_the_way_they_say() -> None:
    falling = jnp.asarray([[0.0, 0.0, 0.1, 0.0], [0.0, 0.0, 0.0, -1.0]])
    assert shift_offline.controller("CartPole-v1", falling).tolist() == [1, 0]
    swinging = jnp.zeros((2, 6)).at[:, 5].set(jnp.asarray([1.0, -1.0]))
    assert shift_offline.controller("Acrobot-v1", swinging).tolist() == [2, 0]
