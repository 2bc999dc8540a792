"""Learning from a fixed data set: what CQL and discrete BCQ do, and what they become in limits."""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from meritree.errors import BadInput
from meritree.rl.bonuses import rnd
from meritree.rl.envs import Discrete, EnvSpec
from meritree.rl.nets import network
from meritree.rl.trainer import evaluate
from meritree.rl.value_based import bootstrap as bootstraps
from meritree.rl.value_based.act import uniformly
from meritree.rl.value_based.chain import Members, TargetChain
from meritree.rl.value_based.conservative import Conservative, among, imitate, likely
from meritree.rl.value_based.offline import offline_trainer, play
from meritree.rl.value_based.parts import Unweighted
from meritree.rl.value_based.update import Learned, Learning, update
from meritree.value.heads import Categorical, Scalar
from meritree.value.transforms import Step, clip, intrinsic, shift
from meritree.value.transforms import chain as in_turn

KEY = jax.random.key(0)


class Table(nn.Module):
    """One-hot observations as they are: values are a table."""

    @nn.compact
    def __call__(self, obs: Any, ctx: Any) -> Any:
        return obs


def zeros(outputs: int) -> nn.Module:
    return nn.Dense(outputs, use_bias=False, kernel_init=nn.initializers.zeros)


@pytest.fixture(scope="module")
def walked(corridor: Any) -> Step:
    """Random moves in the corridor of five places, 4 worlds of 200 steps."""

    def act(key: Any, obs: Any) -> Any:
        return uniformly(key, jnp.zeros((1, len(obs), 2)), jnp.zeros(len(obs), int), jnp.zeros(()))

    return play(corridor, act, jax.random.key(3), steps=200, n_env=4, gamma=0.9)


def learned(corridor: Any, data: Step, **parts: Any) -> Any:
    """[5, 2] the table that is learned from a data set."""
    trainer = offline_trainer(
        corridor.spec, data, net=Table(), readout=zeros, optimizer=optax.sgd(4.0),
        chain=TargetChain(shift=20), windows=1, **{"updates": 800} | parts,
    )  # fmt: skip
    state, _ = jax.jit(trainer.run)(KEY)
    kernel = state.learned.members.online["net"]["readout"]["kernel"]
    return np.asarray(kernel[0])


def test_a_data_set_is_what_the_world_did(walked: Step) -> None:
    assert walked.reward.shape == (800, 1)
    before, after = np.argmax(walked.obs, 1), np.argmax(walked.next_obs, 1)
    assert (after == np.clip(before + 2 * np.asarray(walked.action) - 1, 0, 4)).all()
    ended = after == 4
    np.testing.assert_array_equal(walked.reward[:, 0], ended)
    np.testing.assert_allclose(walked.boot, np.where(ended, 0.0, 0.9), rtol=1e-6)
    assert 10 < ended.sum() <= walked.last.sum()
    assert (before[1:][np.asarray(walked.last)[:-1]] <= 4).all()
    # A new episode begins on the left: the step after an end, of the same world, is 4 rows on.
    np.testing.assert_array_equal(before[4:][ended[:-4]], 0)


def test_from_data_of_all_actions_the_true_values_are_learned(corridor: Any, walked: Step) -> None:
    found = learned(corridor, walked)
    right = 0.9 ** np.arange(3, -1, -1)  # one step less each place
    np.testing.assert_allclose(found[:4, 1], right, atol=2e-3)
    np.testing.assert_allclose(found[1:4, 0], 0.81 * right[1:], atol=2e-3)
    np.testing.assert_allclose(found[0, 0], 0.9 * right[0], atol=2e-3)


def test_without_weight_or_threshold_nothing_changes(corridor: Any, walked: Step) -> None:
    few = partial(learned, corridor, walked, updates=60)
    np.testing.assert_array_equal(few(extra=Conservative(0.0)), few())
    anything = likely(lambda obs, ctx: jax.nn.log_softmax(40.0 * obs[:, :2]), 0.0)
    np.testing.assert_array_equal(
        few(support=anything, bootstrap=bootstraps.double), few(bootstrap=bootstraps.double)
    )
    assert np.abs(few(extra=Conservative(0.5)) - few()).max() > 1e-2


def test_the_gradient_of_the_penalty_is_the_softmax_less_what_was_done() -> None:
    """One step of plain gradient descent on rows without an error moves by the penalty alone."""
    net = network(Table(), 3, zeros)
    rng = np.random.default_rng(4)
    table, actions = rng.normal(size=(2, 3)).astype(np.float32), np.array([2, 0, 2])
    places = np.array([0, 1, 0])
    obs = jnp.eye(2)[places]
    batch = Step(
        jnp.asarray(table[places, actions])[:, None], jnp.zeros(3), jnp.ones(3, bool), obs,
        jnp.asarray(actions), obs,
    )  # fmt: skip
    params = {"net": {"readout": {"kernel": jnp.asarray(table)[None]}}, "extra": {}}
    parts = Learning(
        net, Scalar(), bootstraps.greedy, TargetChain(), Unweighted(), Conservative(0.7),
        optax.sgd(1.0),
    )  # fmt: skip
    members = Members.new(parts.chain, params, jax.vmap(parts.optimizer.init)(params))
    state = Learned(members, (), jnp.zeros((), jnp.int32))
    after, error, log = update(parts, state, batch, batch.reward[None], jnp.ones(3), KEY)
    np.testing.assert_allclose(error, 0.0, atol=1e-6)
    soft = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
    gradient = np.zeros((2, 3))
    for place, action in zip(places, actions, strict=True):
        gradient[place] += 0.7 * (soft[place] - np.eye(3)[action]) / 3
    moved = after.members.online["net"]["readout"]["kernel"][0] - table
    np.testing.assert_allclose(moved, -gradient, rtol=1e-4, atol=1e-6)
    own = np.log(np.exp(table).sum(axis=1))[places] - table[places, actions]
    assert float(log["conservative"]) == pytest.approx(own.mean(), rel=1e-5)


def test_the_penalty_reads_laws_of_returns_by_their_mean() -> None:
    head = Categorical(-1.0, 1.0, 3)
    raw = jnp.asarray(np.random.default_rng(5).normal(size=(4, head.features(2))), jnp.float32)
    out: Any = type("O", (), {"head": head, "raw": raw})()
    none = jnp.zeros(4)
    batch = Step(none[:, None], none, none > 0, raw, jnp.zeros(4, jnp.int32), raw)
    rows, _ = Conservative(2.0).loss({}, batch, out, KEY)
    mean = np.asarray(head.score(head.value(raw), None))
    np.testing.assert_allclose(rows, 2.0 * (np.log(np.exp(mean).sum(1)) - mean[:, 0]), rtol=1e-5)


def test_a_bootstrap_among_some_actions_takes_the_best_of_those() -> None:
    judged = bootstraps.Judged(
        jnp.asarray([[1.0, 5.0, 2.0], [0.0, 1.0, 3.0]]),
        jnp.asarray([[3.0, 9.0, 2.0], [7.0, 1.0, 3.0]]), jnp.zeros((2, 3)),
    )  # fmt: skip
    batch: Any = type("B", (), {"next_obs": None, "next_ctx": None})()
    shares = jnp.log(jnp.asarray([[0.5, 0.1, 0.4], [0.0, 0.5, 0.5]]))
    for threshold, by, wanted in (
        (0.3, bootstraps.double, [2, 2]), (0.3, bootstraps.greedy, [0, 2]),
        (0.9, bootstraps.greedy, [0, 2]), (0.0, bootstraps.greedy, [1, 2]),
    ):  # fmt: skip
        support = likely(lambda obs, ctx: shares, threshold)
        assert among(support, by)(judged, batch, KEY).action.tolist() == wanted


def test_imitation_finds_the_shares_of_actions(corridor: Any, walked: Step) -> None:
    rng = np.random.default_rng(6)
    place = rng.integers(0, 2, 4000)
    action = np.where(rng.random(4000) < np.where(place == 0, 0.9, 0.25), 1, 0)
    data = walked._replace(
        obs=jnp.eye(5)[place], action=jnp.asarray(action), last=jnp.zeros(4000, bool)
    )
    found = jnp.exp(imitate(data, 2, KEY, flatness=0.0, updates=600)(jnp.eye(5)[:2], None))
    np.testing.assert_allclose(found[:, 1], [0.9, 0.25], atol=0.06)


def test_what_the_data_never_did_is_believed_without_a_shift_and_not_with_one(
    corridor: Any, walked: Step
) -> None:
    """Each step costs 1 and nobody ever went left: 0, where tables begin, is too good."""
    right = np.flatnonzero(np.asarray(walked.action) == 1)
    data = jax.tree.map(lambda leaf: leaf[right], walked)
    data = data._replace(reward=-jnp.ones_like(data.reward))
    plain = learned(corridor, data)
    assert (plain[:4, 0] == 0.0).all()
    assert (plain[:4].argmax(axis=1) == 0).all()
    cautious = learned(corridor, data, reward=shift(2.0, 0.9)) - 20.0
    assert (cautious[:4].argmax(axis=1) == 1).all()
    np.testing.assert_allclose(cautious[:4, 1], -(1 - 0.9 ** np.arange(4, 0, -1)) * 10, atol=0.1)

    def behaviour(obs: Any, ctx: Any) -> Any:
        return jnp.broadcast_to(jnp.asarray([-jnp.inf, 0.0]), (len(obs), 2))

    trainer = offline_trainer(
        corridor.spec, data, net=Table(), readout=zeros, updates=20, windows=1,
        support=likely(behaviour), optimizer=optax.sgd(4.0),
    )  # fmt: skip
    state, log = jax.jit(trainer.run)(KEY)
    assert log["steps"].tolist() == [20]
    assert evaluate(trainer, state, corridor, KEY, n_env=2, limit=10).tolist() == [[1.0], [1.0]]


def test_a_shifted_bonus_is_worst_where_one_has_been_and_never_above_zero() -> None:
    spec = EnvSpec("four places", (4,), Discrete(2))
    bonus = in_turn(rnd(spec, rate=3e-3), clip(0.0, 1.0))
    part = intrinsic(bonus, 0.5, 1.0, 0.9)
    assert part.fit is not None
    here = Step(jnp.zeros((4, 1)), jnp.full(4, 0.9), jnp.zeros(4, bool), jnp.eye(4),
                jnp.zeros(4, jnp.int32), jnp.eye(4)[jnp.zeros(4, int)])  # fmt: skip
    everywhere = here._replace(next_obs=jnp.eye(4))
    state, learn = part.init(KEY), jax.jit(part.fit)
    before = np.asarray(part.sample(state, everywhere))[:, 0]
    for _ in range(200):
        state, _ = learn(state, here, KEY)
    after = np.asarray(part.sample(state, everywhere))[:, 0]
    assert (before <= 0.0).all()
    assert (after <= 0.0).all()
    assert after[0] == pytest.approx(-0.5, abs=1e-3)
    assert after[1:].min() > -0.49
    ended = everywhere._replace(boot=jnp.zeros(4))  # the shift goes on: -0.5 / (1 - 0.9) in all
    np.testing.assert_allclose(
        np.asarray(part.sample(state, ended))[:, 0] - after, -0.5 / 0.1 + 0.5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda env, data: Conservative(-1.0), "alpha=-1.0"),
        (lambda env, data: likely(lambda obs, ctx: obs, 1.0), "threshold=1.0"),
        (lambda env, data: offline_trainer(env.spec, data, updates=0), "updates=0"),
        (lambda env, data: offline_trainer(env.spec, data, reward=rnd(env.spec)), "learns"),
        (
            lambda env, data: offline_trainer(env.spec, jax.tree.map(lambda x: x[:0], data)),
            "N >= 1",
        ),
    ],
)
def test_impossible_parts_are_refused(corridor: Any, walked: Step, make: Any, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        make(corridor, walked)
