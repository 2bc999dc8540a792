"""The on-policy trainer as a whole: ends of episodes, heads, real actions, utility, CartPole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.objectives import regression
from meritree.rl.envs import Box, Discrete, EnvSpec, Gymnax, Outcome, vectorise
from meritree.rl.on_policy import (
    MONTE_CARLO,
    AdamEpochs,
    Epochs,
    Gaussian,
    InitFromPrior,
    LeastSquares,
    Mix,
    PpoClip,
    Reinforce,
    Trpo,
    TrustRegion,
    gae,
    n_step,
    on_policy_trainer,
)
from meritree.rl.trainer import evaluate, fit
from meritree.value.contexts import stock
from meritree.value.heads import Categorical, Channels, HLGauss, Particles, Quantile, Scalar, TwoHot
from meritree.value.transforms import polar

HEADS: dict[str, Any] = {
    "squares": Scalar(),
    "Itakura-Saito": Scalar(partial(regression.itakura_saito, alpha=0.5)),
    "HL-Gauss": HLGauss(-2.0, 6.0, 41),
    "two-hot": TwoHot(-2.0, 6.0, 41),
    "C51": Categorical(-2.0, 6.0, 41),
    "quantiles": Quantile(8),
    "particles": Particles(8),
}


class Still(nn.Module):
    """The observation itself as features."""

    @nn.compact
    def __call__(self, obs: Any, ctx: Any = None) -> Any:
        return obs if ctx is None else jnp.concatenate([obs, ctx])


@dataclass(frozen=True)
class Clock:
    """Pays 1 a step, for three steps; then the task ends, or its time is only up."""

    cut: Any
    spec = EnvSpec("clock", (3,), Discrete(2))

    def reset(self, key: Any) -> tuple[Any, Any]:
        return jnp.int32(0), jax.nn.one_hot(0, 3)

    def step(self, key: Any, state: Any, action: Any) -> tuple[Any, Outcome]:
        state = state + 1
        over = state >= 3
        # The last state looks like the first one: if only time is up, life goes on there.
        seen = jax.nn.one_hot(state % 3, 3)
        cut = jnp.asarray(self.cut)
        return state, Outcome(seen, jnp.ones(1), over & ~cut, over & cut)


def test_time_that_is_up_is_bootstrapped_and_the_end_of_the_task_is_not() -> None:
    def learned(cut: Any) -> Any:
        trainer = on_policy_trainer(
            Clock(cut), critic=Still(), actor=Still(), value_step=LeastSquares(ridge=1e-6),
            policy_step=Reinforce(), gamma=0.5, steps=320, n_env=2, rollout=8, windows=1,
        )  # fmt: skip
        state, log = trainer.run(jax.random.key(0))
        readout = state.critic["readout"]
        return readout["kernel"][:, 0] + readout["bias"], log["length"]

    run = jax.jit(learned)
    for cut, values in ((True, [2.0, 2.0, 2.0]), (False, [1.75, 1.5, 1.0])):
        found, length = run(cut)
        np.testing.assert_allclose(found, values, atol=1e-3)
        assert float(length[0]) == 3.0


@pytest.mark.parametrize("name", HEADS)
def test_any_head_of_one_action_can_be_the_critic(name: str) -> None:
    """Its target for a lambda-return has that number as its mean; three are traced as a whole."""
    head = HEADS[name]
    if name in ("HL-Gauss", "C51", "quantiles"):
        on_policy_trainer(Clock(True), head=head, critic=Still(), actor=Still(), n_env=2, rollout=2)
    raw = jnp.asarray(np.random.default_rng(0).normal(size=(5, head.features(1))), jnp.float32)
    goal, first = jnp.asarray([-1.0, 0.0, 0.7, 2.0, 4.0]), jnp.zeros(5, jnp.int32)
    v1 = head.take(head.value(raw), first)
    target = head.target(v1, goal[:, None], jnp.zeros(5), v1)
    error = head.error(head.pick(raw, first), target)
    np.testing.assert_allclose(error, goal - head.score(head.value(raw))[:, 0], atol=1e-3)


@dataclass(frozen=True)
class Aim:
    """One step; the reward is minus the squared distance to 0.5."""

    spec = EnvSpec("aim", (1,), Box((1,), -2.0, 2.0))

    def reset(self, key: Any) -> tuple[Any, Any]:
        return jnp.zeros(()), jnp.ones(1)

    def step(self, key: Any, state: Any, action: Any) -> tuple[Any, Outcome]:
        reward = -((action - 0.5) ** 2)
        return state, Outcome(jnp.ones(1), reward, jnp.asarray(True), jnp.asarray(False))


def test_trpo_finds_a_real_action_and_keeps_its_kl() -> None:
    trainer = on_policy_trainer(
        Aim(), policy_step=Trpo(kl=0.02), value_step=TrustRegion(), actor=Still(), critic=Still(),
        steps=64 * 40, n_env=16, rollout=4, windows=40,
    )  # fmt: skip
    state, log = jax.jit(trainer.run)(jax.random.key(0))
    action = trainer.act(state, jax.random.key(1), jnp.ones((1, 1)), None)
    assert float(action[0, 0]) == pytest.approx(0.5, abs=0.25)
    assert float(jnp.max(log["kl"])) <= 1.5 * 0.02
    assert float(state.actor["free"][0]) < 0.0  # it has become surer


@dataclass(frozen=True)
class Bet:
    """0.4 for sure, or 1 with probability 1/2."""

    spec = EnvSpec("bet", (1,), Discrete(2))

    def reset(self, key: Any) -> tuple[Any, Any]:
        return jnp.zeros(()), jnp.ones(1)

    def step(self, key: Any, state: Any, action: Any) -> tuple[Any, Outcome]:
        won = jax.random.bernoulli(key).astype(jnp.float32)
        reward = jnp.where(action == 0, 0.4, won)[None]
        return state, Outcome(jnp.ones(1), reward, jnp.asarray(True), jnp.asarray(False))


def test_a_utility_of_the_stock_changes_what_is_best() -> None:
    """Shortfall below 0.4 prefers the sure thing, though the bet has the larger mean."""

    def shortfall(x: Any) -> Any:
        return jnp.minimum(x, 0.0)

    head = Quantile(8, judge=lambda z, w: jnp.sum(w * shortfall(z), axis=-1))
    fast = Epochs(rate=0.02, annealed=False, minibatches=1)
    trainer = on_policy_trainer(
        Bet(), head=head, utility=shortfall,
        context=stock(1.0, lambda key: jnp.full(1, -0.4)), advantage=MONTE_CARLO, gamma=1.0,
        actor=Still(), critic=Still(), policy_step=PpoClip(fast), value_step=AdamEpochs(fast),
        steps=64 * 60, n_env=64, rollout=1, windows=1,
    )  # fmt: skip
    state, _ = jax.jit(trainer.run)(jax.random.key(0))
    choice = trainer.act(state, jax.random.key(0), jnp.ones((1, 1)), jnp.full((1, 1), -0.4))
    assert int(choice[0]) == 0


def test_ppo_learns_cartpole_and_a_finished_run_is_read_back(tmp_path: Path) -> None:
    env = Gymnax("CartPole-v1")
    epochs = Epochs(rate=1e-3, annealed=False)
    trainer = on_policy_trainer(
        env, policy_step=PpoClip(epochs), value_step=AdamEpochs(epochs), steps=30_000, n_env=8,
        windows=5,
    )  # fmt: skip
    state, log = fit(trainer, 1, out=tmp_path)
    assert log["return"][0] < 80.0
    assert np.nanmax(log["return"]) > 150.0
    again, same = fit(trainer, 1, out=tmp_path)
    for name in log:
        np.testing.assert_array_equal(log[name], same[name])
    kept, found = jax.tree.leaves(state.actor), jax.tree.leaves(again.actor)
    assert all(bool(jnp.all(a == b)) for a, b in zip(kept, found, strict=True))
    gains = evaluate(trainer, again, vectorise(env, 4), jax.random.key(0), limit=300)
    assert float(jnp.mean(gains)) > 100.0  # a random policy: about 20


def _made(**parts: Any) -> Any:
    return lambda: on_policy_trainer(
        parts.pop("env", Clock(True)), actor=Still(), critic=Still(), n_env=2, rollout=8, **parts
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_made(gamma=1.2), "gamma=1.2"),
        (_made(steps=0), "steps=0"),
        (_made(weights=(1.0, 2.0)), "2 numbers for 1 reward channels"),
        (_made(law=Gaussian(Box((1,), -1.0, 1.0))), "finite set"),
        (_made(reward_batches=3), "reward_batches=3"),
        (_made(policy_step=PpoClip(Epochs(minibatches=5))), "16 rows .* 5 minibatches"),
        (_made(value_step=AdamEpochs(clip=0.2), head=HEADS["HL-Gauss"]), "HLGauss is not one"),
        (_made(value_step=LeastSquares(), head=HEADS["C51"]), "Categorical is not one"),
        (_made(channels=True), "lambda-return is one number"),
        (_made(channels=True, head=Channels((1.0, -1.0)), advantage=n_step(2)), "2 channels"),
        (_made(head=Channels((1.0,)), reward=polar().transform, channels=True,
               advantage=n_step(2)), "1 channels"),
        (_made(utility=abs), "needs a context"),
        (_made(utility=abs, context=stock(0.99, lambda key: jnp.zeros(1))), "law of returns"),
        (_made(utility=abs, context=stock(0.99, lambda key: jnp.zeros(1)), advantage=n_step(2),
               baseline=Mix(lambda obs, ctx: obs[:, 0])), "a prior is a value of rewards"),
        (_made(context=stock(0.99, lambda key: jnp.zeros(1)),
               baseline=InitFromPrior(lambda obs, ctx: obs[:, 0], jnp.eye(3))), "observations"),
    ],
)  # fmt: skip
def test_parts_that_do_not_go_together_are_refused_with_the_reason(make: Any, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        make()


def test_channels_reach_a_head_that_has_them() -> None:
    trainer = on_policy_trainer(
        Clock(False), head=Channels((1.0, -1.0)), reward=polar().transform, weights=(1.0, -1.0),
        channels=True, advantage=gae(0.9, target=2), actor=Still(), critic=Still(), n_env=2,
        rollout=8,
    )  # fmt: skip
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    assert state.critic["readout"]["kernel"].shape == (3, 2)


def test_the_log_has_a_point_for_each_iteration_where_there_are_few() -> None:
    trainer = on_policy_trainer(Clock(True), actor=Still(), critic=Still(), n_env=2, rollout=8,
                                steps=70, windows=20)  # fmt: skip
    assert (trainer.windows, trainer.window_steps) == (5, 16)
    assert trainer.windows * trainer.window_steps >= 70 > math.prod((4, 16))
