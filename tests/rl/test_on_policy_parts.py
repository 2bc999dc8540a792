"""Parts of the on-policy trainer: advantages, windows, laws, baselines, trust regions."""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from meritree.errors import BadInput
from meritree.objectives import td
from meritree.rl.envs import Box
from meritree.rl.nets import MLP, network, orthogonal
from meritree.rl.on_policy import (
    MONTE_CARLO,
    Adaptive,
    Categorical,
    Gaussian,
    LeastSquares,
    Mix,
    Npg,
    Trpo,
    TrustRegion,
    decay,
    gae,
    n_step,
)
from meritree.rl.on_policy.advantage import Path, window
from meritree.rl.on_policy.parts import Actor, Choices, Critic, Judgements
from meritree.value.heads import Scalar

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def path() -> Path:
    """Seven steps of three worlds with ends of both kinds."""
    shape = (7, 3)
    terminated = RNG.uniform(size=shape) < 0.2
    truncated = (RNG.uniform(size=shape) < 0.2) & ~terminated
    last = terminated | truncated
    values = RNG.normal(size=(8, 3))
    reached = np.where(last, RNG.normal(size=shape), values[1:])
    reward, discount = RNG.normal(size=shape), 0.9 * (1.0 - terminated)
    floats = [jnp.asarray(x, jnp.float32) for x in (reward, discount, values[:-1], reached)]
    return Path(floats[0], floats[1], jnp.asarray(last), floats[2], floats[3])


def test_lambda_0_is_the_td_error_and_lambda_1_monte_carlo(path: Path) -> None:
    one_step = path.reward + path.discount * path.v_t - path.v_tm1
    np.testing.assert_allclose(gae(0.0).estimate(path), one_step, atol=1e-6)
    np.testing.assert_allclose(n_step(1).estimate(path), one_step, atol=1e-6)
    np.testing.assert_allclose(gae(1.0).estimate(path), MONTE_CARLO.estimate(path), atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 7, None])
def test_a_window_holds_what_an_n_step_return_is_made_of(path: Path, n: int | None) -> None:
    seen = window(path.reward[..., None], path.discount, path.last, n)
    bootstrapped = seen.boot * jnp.take_along_axis(path.v_t, seen.at, axis=0)
    expected = td.n_step_returns(path.reward, path.discount, path.v_t, path.last, n or 7)
    np.testing.assert_allclose(seen.reward[..., 0] + bootstrapped, expected, atol=1e-5)


def test_a_window_ends_where_its_episode_does(path: Path) -> None:
    seen = window(path.reward[..., None], path.discount, path.last, None)
    for world in range(3):
        ends = [t for t in range(7) if bool(path.last[t, world])] + [6]
        expected = [next(end for end in ends if end >= t) for t in range(7)]
        assert [int(t) for t in seen.at[:, world]] == expected


def test_the_gaussian_law_is_that_of_scipy_and_is_cut_only_for_the_world() -> None:
    law = Gaussian(Box((2,), -1.0, 1.0), log_std=-0.5)
    raw = jnp.asarray([[0.3, -0.2, -0.5, -0.5]])
    action = jnp.asarray([[1.7, 0.1]])
    spread = np.exp(-0.5)
    expected = stats.norm.logpdf([1.7, 0.1], [0.3, -0.2], spread).sum()
    assert float(law.log_prob(raw, action)[0]) == pytest.approx(expected, abs=1e-5)
    assert float(law.entropy(raw)[0]) == pytest.approx(2 * stats.norm(0, spread).entropy(), 1e-5)
    np.testing.assert_allclose(law.played(action), [[1.0, 0.1]])
    np.testing.assert_allclose(law.best(raw), [[0.3, -0.2]])
    assert float(law.kl(raw, raw)[0]) == 0.0


def test_a_mixture_lies_between_critic_and_prior() -> None:
    v, obs = jnp.asarray([0.0, 2.0]), jnp.zeros((2, 1))

    def prior(obs: Any, ctx: Any) -> Any:
        return jnp.full(len(obs), 4.0)

    for alpha, expected in ((0.0, [0.0, 2.0]), (0.25, [1.0, 2.5]), (1.0, [4.0, 4.0])):
        np.testing.assert_allclose(Mix(prior, alpha).value((), v, obs, None, 0.0), expected)
    fading = Mix(prior, decay(1.0, over=0.5))
    np.testing.assert_allclose(fading.value((), v, obs, None, 0.25), [2.0, 3.0])
    np.testing.assert_allclose(fading.value((), v, obs, None, 0.75), v)


def test_adaptive_trust_follows_the_returns_of_earlier_rollouts_only() -> None:
    def prior(obs: Any, ctx: Any) -> Any:
        return obs[:, 0]

    part, obs = Adaptive(prior, first=0.5, rate=1.0), jnp.asarray([[1.0], [3.0]])
    v, returns = jnp.zeros(2), jnp.asarray([1.0, 3.0])
    np.testing.assert_allclose(part.value(part.init(), v, obs, None, 0.0), [0.5, 1.5])
    right, log = part.update(part.init(), v, obs, None, returns)
    assert float(log["alpha"]) == 1.0
    np.testing.assert_allclose(part.value(right, v, obs, None, 0.0), [1.0, 3.0])
    wrong, _ = part.update(part.init(), v, obs, None, -returns)
    np.testing.assert_allclose(part.value(wrong, v, obs, None, 0.0), v)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_at_lambda_1_a_prior_leaves_the_expected_gradient_alone(alpha: float) -> None:
    """Two steps, two actions each: all paths, weighed by their probability."""
    logits = jnp.asarray([[0.3, -0.2], [0.5, 0.1]])
    pi = jax.nn.softmax(logits)
    v, prior = jnp.asarray([0.7, -0.4]), jnp.asarray([2.0, 1.0])
    used = v + alpha * (prior - v)
    total, plain = np.zeros((2, 2)), np.zeros((2, 2))
    for a in range(2):
        for b in range(2):
            reward = jnp.asarray([[1.0 * a], [2.0 * a * b - 1.0 * b]])
            last, discount = jnp.asarray([[False], [True]]), jnp.asarray([[1.0], [0.0]])
            v_t = jnp.asarray([[used[1]], [0.0]])
            chance = float(pi[0, a] * pi[1, b])
            score = np.stack([np.eye(2)[a] - pi[0], np.eye(2)[b] - pi[1]])
            for found, value in ((total, used), (plain, jnp.zeros(2))):
                one = Path(
                    reward, discount, last, value[:, None], v_t if found is total else 0 * v_t
                )
                found += chance * np.asarray(gae(1.0).estimate(one)) * score
    np.testing.assert_allclose(total, plain, atol=1e-6)


def _net(outputs: int, scale: float, width: int = 16) -> Any:
    readout = partial(nn.Dense, kernel_init=orthogonal(scale))
    return network(MLP((width,), nn.tanh, orthogonal()), outputs, readout)


@pytest.fixture(scope="module")
def judged() -> tuple[Critic, Any, Judgements]:
    critic = Critic(_net(1, 1.0), Scalar())
    obs = jnp.asarray(RNG.normal(size=(64, 3)), jnp.float32)
    params = critic.init(jax.random.key(0), obs[0], None)
    target = 3.0 + obs[:, 0] + jnp.asarray(RNG.normal(size=64), jnp.float32)
    return critic, params, Judgements(obs, None, critic.raw(params, obs, None), target)


def test_the_value_trust_region_is_met_with_equality(judged: Any) -> None:
    critic, params, data = judged
    step = TrustRegion(epsilon=0.1)
    new, _, log = jax.jit(lambda p: step.step(critic, p, (), data, None, 0.0))(params)
    moved = critic.raw(new, data.obs, None)[:, 0] - data.raw[:, 0]
    sigma2 = jnp.mean((data.raw[:, 0] - data.target) ** 2)
    assert float(jnp.mean(moved**2) / (2.0 * sigma2)) == pytest.approx(0.1, rel=1e-3)
    assert float(log["value_constraint"]) == pytest.approx(0.1, rel=1e-3)
    assert float(log["value_loss"]) < float(jnp.mean(critic.loss(data.raw, data.target)))


def test_a_region_that_holds_the_minimum_is_not_filled(judged: Any) -> None:
    critic, params, data = judged
    step = TrustRegion(epsilon=10.0)
    _, _, log = jax.jit(lambda p: step.step(critic, p, (), data, None, 0.0))(params)
    assert 0.0 < float(log["value_constraint"]) < 1.0
    assert float(log["value_loss"]) < 0.3 * float(jnp.mean(critic.loss(data.raw, data.target)))


def test_least_squares_is_ridge_regression_on_the_features(judged: Any) -> None:
    critic, params, data = judged
    new, _, _ = LeastSquares(ridge=1e-4).step(critic, params, (), data, None, 0.0)
    features = np.asarray(critic.network.apply(params, data.obs, None)[0])
    x = np.concatenate([features, np.ones((64, 1))], axis=1)
    w = np.linalg.solve(x.T @ x / 64 + 1e-4 * np.eye(17), x.T @ np.asarray(data.target) / 64)
    np.testing.assert_allclose(critic.raw(new, data.obs, None)[:, 0], x @ w, atol=2e-2)


@pytest.fixture(scope="module", params=["finite", "real"])
def chosen(request: pytest.FixtureRequest) -> tuple[Actor, Any, Choices]:
    law: Any = Categorical(3) if request.param == "finite" else Gaussian(Box((2,), -1.0, 1.0))
    actor = Actor(_net(law.outputs, 1.0), law)
    obs = jnp.asarray(RNG.normal(size=(96, 3)), jnp.float32)
    params = actor.init(jax.random.key(0), obs[0], None)
    raw = actor.raw(params, obs, None)
    action = law.sample(jax.random.key(1), raw)
    advantage = jnp.asarray(RNG.normal(size=96), jnp.float32)
    return actor, params, Choices(obs, None, action, raw, law.log_prob(raw, action), advantage)


def test_trpo_keeps_the_kl_and_improves_the_surrogate(chosen: Any) -> None:
    actor, params, data = chosen
    # The larger limit is far beyond where the quadratic model holds.
    for limit in (1e-3, 0.3) if isinstance(actor.law, Categorical) else (0.3,):
        step = Trpo(kl=limit)
        run = jax.jit(lambda p, step=step: step.step(actor, p, (), data, None, 0.0))
        new, _, log = run(params)
        kl = float(jnp.mean(actor.law.kl(data.raw, actor.raw(new, data.obs, None))))
        assert 0.0 < kl <= 1.5 * limit
        assert float(log["kl"]) == pytest.approx(kl, rel=1e-4)
        assert float(log["policy_loss"]) < 0.0  # it was 0 for standardised advantages


def test_the_natural_direction_solves_the_fisher_system() -> None:
    """One state, three actions: the Fisher matrix is diag(pi) - pi pi'."""
    actor = Actor(_Table(), Categorical(3))  # type: ignore[arg-type]
    logits = jnp.asarray([0.5, -0.3, 0.1])
    params = {"net": logits}
    action = jnp.asarray([0, 1, 2, 2, 1, 0, 0, 2])
    raw = jnp.broadcast_to(logits, (8, 3))
    data = Choices(
        jnp.zeros((8, 1)), None, action, raw, actor.law.log_prob(raw, action),
        jnp.asarray(RNG.normal(size=8), jnp.float32),
    )  # fmt: skip
    direction, loss, promised = Npg(kl=0.02, damping=1e-2).direction(actor, params, data)
    pi = np.asarray(jax.nn.softmax(logits))
    fisher = np.diag(pi) - np.outer(pi, pi) + 1e-2 * np.eye(3)
    natural = np.linalg.solve(fisher, -np.asarray(jax.grad(loss)(params)["net"]))
    expected = natural * np.sqrt(2 * 0.02 / (natural @ fisher @ natural))
    np.testing.assert_allclose(direction["net"], expected, rtol=1e-3)
    assert float(promised) > 0.0


class _Table:
    """A network of one state: its parameters are its outputs."""

    def apply(self, params: Any, obs: Any, ctx: Any) -> Any:
        return obs, jnp.broadcast_to(params, (len(obs), len(params)))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: gae(1.5), "lambda_=1.5"),
        (lambda: n_step(0), "n=0"),
        (lambda: Mix(lambda obs, ctx: obs, 2.0), "alpha=2.0"),
        (lambda: Trpo(kl=0.0), "kl=0.0"),
        (lambda: TrustRegion(epsilon=-1.0), "epsilon=-1.0"),
        (lambda: LeastSquares(ridge=0.0), "ridge=0.0"),
    ],
)  # fmt: skip
def test_impossible_numbers_are_refused_by_name(make: Any, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        make()
