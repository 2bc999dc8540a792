"""Reward transforms, shaping and contexts: what they keep of values, exactly."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.value.contexts import (
    advance,
    auxiliary,
    code,
    relabel,
    side_by_side,
    stock,
    stock_score,
    terminal_reward,
)
from meritree.value.risk import ExpectedShortfall, as_score, shortfall_score
from meritree.value.shaping import potential, shaping_reward, unshaped_value
from meritree.value.transforms import (
    RewardTransform,
    Step,
    added,
    bins,
    cascade,
    chain,
    channels,
    clip,
    count_bonus,
    intrinsic,
    polar,
    scale_and_shift,
    shift,
    total,
    unshifted_value,
)

GAMMA, S, A = 0.9, 5, 3
RNG = np.random.default_rng(11)
P = RNG.dirichlet(np.ones(S), size=(S, A))
R = RNG.normal(size=(S, A, S))
ENDS = np.asarray([False, False, False, False, True])  # reaching state 4 ends the episode


def everything() -> Step:
    """All transitions of the process at once, leading axes [S, A, S]."""
    boot = np.broadcast_to(np.where(ENDS, 0.0, GAMMA), R.shape)
    s, a, t = np.meshgrid(*map(np.arange, R.shape), indexing="ij")
    return Step(R[..., None], boot, boot == 0.0, obs=s, action=a, next_obs=t)


def best_values(reward: Any) -> Any:
    """Q*, by value iteration on given rewards [S, A, S]; nothing follows an end."""
    boot = np.where(ENDS, 0.0, GAMMA)
    q = np.zeros((S, A))
    for _ in range(1500):
        q = (P * (reward + boot * q.max(axis=1))).sum(axis=-1)
    return q


def relabelled(transform: RewardTransform) -> Any:
    return transform.sample(transform.init(None), everything())[..., 0]


def test_a_shift_with_absorbing_ends_moves_every_value_alike() -> None:
    q = best_values(R)
    for c, k in ((-0.7, 1.0), (2.0, 1.0), (0.5, 3.0)):
        moved = best_values(relabelled(shift(c, GAMMA, k)))
        np.testing.assert_allclose(moved, k * q + c / (1 - GAMMA), atol=1e-9)
        np.testing.assert_allclose(unshifted_value(moved, c, GAMMA, k), q, atol=1e-9)


def test_a_plain_shift_can_change_the_best_policy() -> None:
    # Two ways: end now for 0, or walk one step more and end for 1.
    def step_value(c: float) -> tuple[float, float]:
        plain = scale_and_shift(1.0, c)
        now = Step(np.asarray([[0.0], [0.0], [1.0]]), np.asarray([0.0, 0.9, 0.0]), None)
        end, walk, then = plain.sample((), now)[:, 0]
        return float(end), float(walk + 0.9 * then)

    assert step_value(0.0)[0] < step_value(0.0)[1]
    assert step_value(-2.0)[0] > step_value(-2.0)[1]  # ending early is what is rewarded
    absorbing = shift(-2.0, 0.9)
    now = Step(np.asarray([[0.0], [0.0], [1.0]]), np.asarray([0.0, 0.9, 0.0]), None)
    end, walk, then = absorbing.sample((), now)[:, 0]
    assert end < walk + 0.9 * then


def test_shaping_lowers_every_value_by_the_potential_and_keeps_the_policy() -> None:
    phi = RNG.normal(size=S)
    q, shaped = best_values(R), best_values(relabelled(potential(lambda s: phi[s])))
    np.testing.assert_allclose(shaped, q - phi[:, None], atol=1e-9)
    np.testing.assert_allclose(unshaped_value(shaped, phi), q, atol=1e-9)
    assert (shaped.argmax(axis=1) == q.argmax(axis=1)).all()


def test_a_constant_potential_is_the_absorbing_shift() -> None:
    c = -0.4
    constant = potential(lambda s: np.full(s.shape, -c / (1 - GAMMA)))
    np.testing.assert_allclose(relabelled(constant), relabelled(shift(c, GAMMA)))


@given(st.integers(0, 1000), st.integers(1, 6))
def test_shaping_telescopes_over_any_path(seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=length + 1)
    one = shaping_reward(phi[:-1], phi[1:], np.full(length, GAMMA))
    paid = sum(GAMMA**t * f for t, f in enumerate(one))
    assert paid == pytest.approx(GAMMA**length * phi[-1] - phi[0])
    many = shaping_reward(phi[:1], phi[-1:], np.full(1, GAMMA**length))  # one n-step transition
    assert paid == pytest.approx(many[0])


@given(st.floats(-1000.0, 1000.0, allow_subnormal=False))
def test_splits_add_up_to_the_reward(r: float) -> None:
    step = Step(np.asarray([[r]]), np.asarray([0.9]), np.asarray([False]))
    for split, exact in (
        (polar(), abs(r) <= 1.0),
        (polar(math.inf), True),
        (bins(4), 0.0 <= r <= 1000.0),
        (cascade(4), 0.0 <= r <= 1000.0),
    ):
        parts = split.transform.sample((), step)
        assert parts.shape == (1, len(split.weights)) == (1, split.transform.channels(1))
        back = chain(split.transform, total(split.weights))
        if exact:
            assert back.sample(back.init(None), step)[0, 0] == pytest.approx(r, abs=1e-9)
        if split.weights != (1.0, -1.0):
            assert ((parts >= 0.0) & (parts <= 1.0)).all()


def test_splits_put_a_reward_where_its_size_says() -> None:
    step = Step(np.asarray([[0.5], [5.0], [50.0]]), np.full(3, 0.9), np.zeros(3, bool))
    np.testing.assert_allclose(
        bins(3).transform.sample((), step), [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    )
    np.testing.assert_allclose(
        cascade(3).transform.sample((), step),
        [[0.5, 0, 0], [1.0, 4 / 9, 0], [1.0, 1.0, 40 / 90]],
    )
    np.testing.assert_allclose(
        polar().transform.sample((), step._replace(reward=-step.reward)),
        [[0, 0.5], [0, 1], [0, 1]],
    )


def test_values_of_channels_add_up_to_the_value_of_the_sum() -> None:
    sources = channels([lambda s: s.reward[..., 0] ** 2, lambda s: s.obs * 1.0], [1.0, -0.5])
    parts = sources.transform.sample((), everything())
    whole = total(sources.weights).sample((), everything()._replace(reward=parts))[..., 0]
    boot, policy = np.where(ENDS, 0.0, GAMMA), RNG.dirichlet(np.ones(A), size=S)

    def value(reward: Any) -> Any:
        v = np.zeros(S)
        for _ in range(800):
            v = (policy * (P * (reward + boot * v)).sum(-1)).sum(-1)
        return v

    added_up = value(parts[..., 0]) - 0.5 * value(parts[..., 1])
    np.testing.assert_allclose(added_up, value(whole), atol=1e-9)


def visit(*states: int) -> Step:
    n = len(states)
    return Step(np.zeros((n, 1)), np.full(n, GAMMA), np.zeros(n, bool), next_obs=np.asarray(states))


def test_counts_grow_online_and_stay_in_replay() -> None:
    bonus = count_bonus(4, lambda s: s.next_obs, np.zeros(1))
    state = bonus.init(None)
    state, first = bonus.online(state, visit(2, 2, 0))  # three environments at once
    np.testing.assert_allclose(first[:, 0], [1 / math.sqrt(2), 1 / math.sqrt(2), 1.0])
    np.testing.assert_allclose(state, [1, 0, 2, 0])
    state, again = bonus.online(state, visit(2))
    assert again[0, 0] == pytest.approx(1 / math.sqrt(3))
    np.testing.assert_allclose(bonus.sample(state, visit(1, 2))[:, 0], [1.0, 1 / math.sqrt(3)])


def test_an_intrinsic_reward_is_never_positive_and_what_is_unknown_is_best() -> None:
    bonus = count_bonus(4, lambda s: s.next_obs, np.zeros(1))
    both = intrinsic(bonus, 0.5, upper=1.0, gamma=GAMMA)
    state = both.init(None)
    for _ in range(10):
        state, reward = both.online(state, visit(1))
        assert (reward <= 1e-12).all()
    known, unknown = both.sample(state, visit(1, 3))[:, 0]
    assert known < unknown <= 0.0
    plain = added(bonus, 0.5)
    assert plain.sample(plain.init(None), visit(3))[0, 0] == 0.5


def test_every_array_library_gives_the_same_rewards(backend: Any) -> None:
    pieces = chain(
        clip(-2.0, 5.0), shift(-0.5, GAMMA, 2.0), cascade(2).transform, total([1.0, 9.0])
    )
    step = Step(R[..., None], everything().boot, everything().last)
    want = pieces.sample(pieces.init(None), step)
    got = pieces.sample(pieces.init(None), Step(*map(backend.array, step[:3])))
    np.testing.assert_allclose(backend.numpy(got), want)


def test_a_chain_runs_under_jit_and_vmap() -> None:
    jax = pytest.importorskip("jax")
    pieces = chain(shift(-0.5, GAMMA), polar().transform)
    step = Step(*(jax.numpy.asarray(each) for each in (R[..., None], everything().boot)), None)
    got = jax.jit(jax.vmap(lambda s: pieces.sample(((), ()), s)))(step)
    want = pieces.sample(((), ()), Step(R[..., None], everything().boot, None))
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-5)


def ep(rewards: Any, t: int) -> Step:
    last = t == len(rewards) - 1
    return Step(np.asarray([[rewards[t]]]), np.asarray([GAMMA]), np.asarray([last]))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8), st.floats(-5, 5))
def test_stock_and_coming_return_are_one_number_all_along(rewards: list[float], c: float) -> None:
    kept = stock(GAMMA, lambda key: np.asarray([[c]]))
    ctx = kept.reset(None)
    returns = [sum(GAMMA**k * r for k, r in enumerate(rewards[t:])) for t in range(len(rewards))]
    for t in range(len(rewards)):
        assert GAMMA**t * (ctx[0, 0] + returns[t]) == pytest.approx(c + returns[0], abs=1e-6)
        ctx = kept.step(ctx, ep(rewards, t).reward)
    assert GAMMA ** len(rewards) * ctx[0, 0] == pytest.approx(c + returns[0], abs=1e-6)


def test_an_episodes_last_step_draws_the_context_anew() -> None:
    kept = stock(GAMMA, lambda key: np.asarray([[7.0]]))
    rewards = [1.0, 2.0]
    ctx = advance(kept, np.asarray([[0.0]]), ep(rewards, 0), kept.reset(None))
    assert ctx[0, 0] == pytest.approx(1.0 / GAMMA)
    assert advance(kept, ctx, ep(rewards, 1), kept.reset(None))[0, 0] == 7.0


def test_a_relabelled_step_is_the_step_under_another_context() -> None:
    kept = stock(GAMMA, lambda key: np.asarray([[0.0]]))
    step = relabel(kept, np.asarray([[3.0]]), ep([2.0, 0.0], 0))
    np.testing.assert_allclose(step.ctx, [[3.0]])
    np.testing.assert_allclose(step.next_ctx, [[5.0 / GAMMA]])
    np.testing.assert_allclose(step.reward, [[2.0]])


def test_the_terminal_reward_of_the_auxiliary_context_is_the_scoring_function() -> None:
    score, v = shortfall_score(0.8), 1.5
    pair = auxiliary(lambda key: np.asarray([[0.0, v]]))
    totals = []
    for rewards in itertools.product((-2.0, 1.0), repeat=3):
        ctx = pair.reset(None)
        for t in range(3):
            ctx = pair.step(ctx, ep(rewards, t).reward)
        assert ctx[0, 1] == v
        totals.append((ctx[0, 0], float(terminal_reward(score.f, ctx)[0, 0])))
    costs = -np.asarray([each for each, _ in totals])
    expected = -np.mean([each for _, each in totals])
    assert expected == pytest.approx(score.at(np.asarray(v), costs))
    assert expected >= score(costs) - 1e-12


def test_shortfall_is_the_best_stock_objective() -> None:
    returns, tau = RNG.normal(size=400), 0.25
    score = stock_score(lambda x: np.minimum(x, 0.0))
    # CVaR_tau = max_b b + E min(G - b, 0)/tau, the kinks are at the returns.
    best = max(
        b + score(returns[None, None, :], None, np.asarray([[-b]]))[0, 0] / tau for b in returns
    )
    assert best == pytest.approx(as_score(ExpectedShortfall(1 - tau))(returns))


def test_contexts_stand_side_by_side() -> None:
    both = side_by_side(
        stock(0.5, lambda key: np.asarray([[1.0]])), code(2, lambda key: np.asarray([[8.0, 9.0]]))
    )
    assert both.dim == 3
    np.testing.assert_allclose(both.step(both.reset(None), np.asarray([[1.0]])), [[4.0, 8.0, 9.0]])


BAD = {
    "gamma=1.0": lambda: shift(0.1, 1.0),
    "c=nan": lambda: scale_and_shift(1.0, math.nan),
    "need low < high": lambda: clip(1.0, 1.0),
    "count=0": lambda: bins(0),
    "base=1.0": lambda: cascade(2, 1.0),
    "bound=0.0": lambda: polar(0.0),
    "a split takes one channel": lambda: polar().transform.sample(
        (), Step(np.ones((2, 3)), np.ones(2), None)
    ),
    "one entry a weight": lambda: total([1.0, 2.0]).sample((), everything()),
    "2 functions but 1 weights": lambda: channels([lambda s: s, lambda s: s], [1.0]),
    "functions is empty": lambda: channels([]),
    "must be equal": lambda: shaping_reward(np.ones(2), np.ones(3), np.ones(2)),
    "one axis": lambda: unshaped_value(np.ones((2, 2, 2)), np.ones(2)),
    "gamma=0.0": lambda: stock(0.0, lambda key: key),
    "last axis must have length 2": lambda: relabel(
        auxiliary(lambda key: key), np.ones((1, 1)), ep([1.0], 0)
    ),
    r"need \[..., 1\]": lambda: stock_score(abs)(np.ones((2, 3, 4)), None, np.ones(2)),
    "dim=0": lambda: code(0, lambda key: key),
    "states=0": lambda: count_bonus(0, lambda s: s, np.ones(1)),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named_with_the_way_out(message: str) -> None:
    with pytest.raises(BadInput, match=message):
        BAD[message]()
