"""Bonuses and their fusions: what each pays, forgets and learns (system hire, S026)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.exact import models
from meritree.exact.curiosity import KINDS, Curiosity, Fusion, Settings
from meritree.rl.bonuses import (
    STRATEGIES,
    e3b,
    faded,
    fuse,
    hire,
    icm,
    ngu,
    pseudo_counts,
    re3,
    rnd,
)
from meritree.rl.bonuses.elliptical import sherman_morrison
from meritree.rl.bonuses.fuse import scaled
from meritree.rl.envs import Discrete, EnvSpec
from meritree.value.transforms import RewardTransform, Step, stateless

SPEC = EnvSpec("four places", (4,), Discrete(2))
KEY = jax.random.key(0)


def step(place: list[int], last: bool = False, reward: float = 0.0) -> Step:
    """All worlds step to these places from place 0, by action 1."""
    n = len(place)
    return Step(
        jnp.full((n, 1), reward), jnp.full(n, 0.9), jnp.full(n, last),
        jax.nn.one_hot(jnp.zeros(n, int), 4), jnp.ones(n, jnp.int32),
        jax.nn.one_hot(jnp.asarray(place), 4),
    )  # fmt: skip


def paid(part: RewardTransform, *steps: Step) -> list[list[float]]:
    """What each step brings, one after the other."""
    state, found, online = part.init(KEY), [], jax.jit(part.online)
    for one in steps:
        state, reward = online(state, one)
        found.append([float(x) for x in reward[:, 0]])
    return found


def fixed(value: float) -> RewardTransform:
    return stateless(lambda step: jnp.full_like(step.reward, value), lambda count: 1)


def test_re3_pays_the_distance_to_the_kth_neighbour_and_nothing_for_what_is_common() -> None:
    part = re3(SPEC, k=2, memory=8)
    first, _, third, new = paid(part, step([1]), step([1]), step([1]), step([2]))
    assert first == [0.0]  # nothing is known yet
    assert third == [0.0]  # two neighbours in the same place
    encoder = part.init(KEY).params["Dense_0"]["kernel"]
    gap = float(jnp.linalg.norm(encoder[1] - encoder[2]))
    assert new[0] == pytest.approx(np.log1p(gap), rel=1e-5)


def test_re3_forgets_the_oldest() -> None:
    part = re3(SPEC, k=1, memory=2)
    _, _, again, back = paid(part, step([1]), step([2]), step([2]), step([1]))
    assert again == [0.0]
    assert back[0] > 0.0


def test_pseudo_counts_fall_with_visits_and_begin_anew_with_the_episode() -> None:
    part = pseudo_counts(SPEC, 1, k=3, memory=8)
    first, second, third, _, fresh = paid(
        part, step([1]), step([1]), step([1]), step([1], last=True), step([1])
    )
    assert first[0] > 5.0 * second[0] > 5.0 * third[0] > 0.0
    assert second[0] == pytest.approx(1.0, abs=0.01)  # one neighbour in the same place
    assert third[0] == pytest.approx(2**-0.5, abs=0.01)
    assert fresh == first


def test_sherman_morrison_is_the_inverse() -> None:
    rng = np.random.default_rng(1)
    phi = rng.normal(size=(3, 4))
    c = 0.1 * np.eye(4)
    inverse = jnp.asarray(np.linalg.inv(c))
    for row in phi:
        b, inverse = sherman_morrison(inverse, jnp.asarray(row))
        assert float(b) == pytest.approx(row @ np.linalg.inv(c) @ row, rel=1e-3)
        c = c + np.outer(row, row)
    np.testing.assert_allclose(inverse, np.linalg.inv(c), rtol=1e-2, atol=1e-3)


def test_e3b_pays_less_for_the_same_place_and_keeps_worlds_apart() -> None:
    part = e3b(SPEC, 2, ridge=0.1)
    first, second, _, fresh = paid(
        part, step([1, 2]), step([1, 3]), step([1, 1], last=True), step([1, 2])
    )
    # phi' phi / ridge at first; then b / (1 + b).
    assert second[0] == pytest.approx(first[0] / (1.0 + first[0]), rel=1e-4)
    assert second[1] > second[0]
    np.testing.assert_allclose(fresh, first, rtol=1e-5)


@pytest.mark.parametrize("make", [rnd, icm])
def test_a_predictor_is_no_longer_surprised_by_what_it_learned(make: Any) -> None:
    part = make(SPEC, rate=3e-3)
    batch = step([1] * 8)
    learn = jax.jit(part.fit)
    state = part.init(KEY)
    before = float(part.sample(state, batch)[0, 0])
    for _ in range(150):
        state, _ = learn(state, batch, KEY)
    assert float(part.sample(state, batch)[0, 0]) < 0.1 * before
    if make is rnd:
        assert float(part.sample(state, step([3]))[0, 0]) > 3.0 * float(
            part.sample(state, batch)[0, 0]
        )


def test_ngu_multiplies_the_count_by_what_the_whole_run_finds_new() -> None:
    part, plain = ngu(SPEC, 1, cap=5.0), pseudo_counts(SPEC, 1)
    state = part.init(KEY)
    _, reward = part.online(state, step([1]))
    _, alone = plain.online(state.episodic, step([1]))
    assert 1.0 <= float(reward[0, 0] / alone[0, 0]) <= 5.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_bonus_is_its_own_fusion(strategy: Any) -> None:
    assert paid(fuse(strategy, [fixed(3.0)]), step([1]), step([2])) == [[3.0], [3.0]]


def test_the_fusions_are_what_they_are_called() -> None:
    parts, steps = [fixed(1.0), fixed(2.0), fixed(6.0)], [step([1])] * 6
    assert paid(fuse("sum", parts), *steps)[0] == pytest.approx([3.0])
    assert paid(fuse("sum", parts, [1.0, 0.0, 0.5]), *steps)[0] == pytest.approx([4.0])
    assert paid(fuse("product", parts), *steps)[0] == [12.0]
    assert paid(fuse("product", [*parts, fixed(0.0)]), *steps)[0] == [0.0]
    assert paid(fuse("max", parts), *steps) == paid(fuse("max", parts[::-1]), *steps)
    # Each in turn, all equally often.
    assert [row[0] for row in paid(fuse("cycle", parts), *steps)] == [1.0, 2.0, 6.0] * 2


def test_a_faded_bonus_falls_by_kappa_a_step_and_leaves_the_reward() -> None:
    found = paid(faded(fixed(2.0), beta=0.5, kappa=0.1), *[step([1], reward=1.0)] * 3)
    np.testing.assert_allclose([row[0] for row in found], [2.0, 1.9, 1.81], rtol=1e-5)


def test_a_scaled_bonus_has_spread_one() -> None:
    part = scaled(stateless(lambda step: 7.0 * step.reward, lambda count: 1))
    draws = np.random.default_rng(2).normal(1.0, 3.0, size=300)
    state = part.init(KEY)
    run = jax.jit(part.online)
    for x in draws:
        state, _ = run(state, step([1], reward=float(x)))
    _, last = run(state, step([1], reward=float(draws.std())))
    assert float(last[0, 0]) == pytest.approx(1.0, rel=0.02)


def test_bonuses_of_networks_pay_what_the_closed_forms_of_a_table_say() -> None:
    """RE3, whose encoder is linear in one-hot observations, along a walk, scaled and faded."""
    chain = models.garnet(4, 2, 2, np.random.default_rng(0))
    places = [1, 2, 1, 1, 3, 2, 0, 2]
    part = hire("cycle", [re3(SPEC, k=2, memory=16, latent=5)], 0.3, 0.05)
    codes = np.asarray(part.init(KEY).inner.inner[0].inner.params["Dense_0"]["kernel"], float)

    class Drawn:
        """Hands out the network's codes where the table's would be drawn."""

        def standard_normal(self, shape: tuple[int, ...]) -> Any:
            return codes

    table = Curiosity(
        chain, [Fusion("cycle", ("RE3",))], Drawn(),  # type: ignore[arg-type]
        Settings(0.3, 0.05, k=2, latent=5),
    )  # fmt: skip
    alive, zero = np.ones(1, bool), np.zeros(1, int)
    exact = [table.pay(zero, zero, np.array([place]), alive)[0] for place in places]
    found = [row[0] for row in paid(part, *[step([place]) for place in places])]
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)
    assert np.count_nonzero(exact) > 3


def test_an_ellipsoid_of_one_hot_codes_is_the_closed_form_of_a_table() -> None:
    chain = models.garnet(4, 2, 2, np.random.default_rng(0))
    table = Curiosity(chain, [None], np.random.default_rng(1), Settings(ridge=0.2))
    alive, zero, inverse = np.ones(1, bool), np.zeros(1, int), jnp.eye(4) / 0.2
    for place in (1, 1, 3, 1, 3):
        at = np.array([place])
        wanted = table.worth(zero, zero, at)[KINDS.index("E3B"), 0]
        table.pay(zero, zero, at, alive)
        found, inverse = sherman_morrison(inverse, jax.nn.one_hot(place, 4))
        assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_all_four_learn_together_in_one_transform() -> None:
    parts = [re3(SPEC, memory=8), ngu(SPEC, 2, memory=16), icm(SPEC), e3b(SPEC, 2)]
    part = hire("sum", parts, 0.1, 0.01)
    assert part.fit is not None
    state = jax.eval_shape(part.init, KEY)
    state, reward = jax.eval_shape(part.online, state, step([1, 2]))
    assert reward.shape == (2, 1)
    _, log = jax.eval_shape(part.fit, state, step([1, 2]), KEY)
    assert {"icm_loss_2", "rnd_error_1", "inverse_loss_1", "inverse_loss_3"} <= set(log)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: re3(SPEC, k=0), "k=0"),
        (lambda: e3b(SPEC, 1, ridge=0.0), "ridge=0.0"),
        (lambda: fuse("mean", [fixed(1.0)]), "'mean'"),  # type: ignore[arg-type]
        (lambda: fuse("max", [fixed(1.0)], [1.0]), "weights"),
        (lambda: faded(fixed(1.0), -1.0), "beta=-1.0"),
    ],
)
def test_impossible_bonuses_are_refused(make: Any, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        make()
