"""Bonuses in closed form: what each pays, how they fuse, and what learners make of them (S026)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.exact import models
from meritree.exact.curiosity import KINDS, STRATEGIES, Curiosity, Fusion, Settings
from meritree.exact.learning import q_learning

MDP = models.garnet(6, 2, 3, np.random.default_rng(0))


def curiosity(*fusions: Fusion | None, seed: int = 1, **settings: Any) -> Curiosity:
    return Curiosity(MDP, fusions, np.random.default_rng(seed), Settings(**settings))


def walk(part: Curiosity, *steps: tuple[int, int, int]) -> list[list[float]]:
    """What each step pays every learner."""
    B = len(part.fusions)
    ones, alive = np.ones(B, dtype=int), np.ones(B, dtype=bool)
    return [part.pay(s * ones, a * ones, z * ones, alive).tolist() for s, a, z in steps]


def worths(part: Curiosity, kind: str, *steps: tuple[int, int, int]) -> list[float]:
    """One bonus before scaling, by a part of one learner."""
    found = []
    for s, a, z in steps:
        at = np.array([s]), np.array([a]), np.array([z])
        found.append(float(part.worth(*at)[KINDS.index(kind), 0]))
        walk(part, (s, a, z))
    return found


def test_the_episodic_bonuses_are_what_counts_of_the_episode_say() -> None:
    part = curiosity(None, ridge=0.1)
    steps = [(0, 0, 1), (1, 0, 1), (1, 1, 2)]
    assert worths(part, "E3B", *steps) == pytest.approx([10.0, 1.0 / 1.1, 10.0])
    part.begin()
    assert worths(part, "E3B", (2, 0, 1)) == pytest.approx([10.0])
    ngu = curiosity(None, cap=1.0)  # nothing but the count
    assert worths(ngu, "NGU", *[(1, 0, 1)] * 3) == pytest.approx([1.0, 2**-0.5, 3**-0.5])


def test_ngu_pays_up_to_its_cap_for_what_the_run_has_not_seen() -> None:
    part = curiosity(None, cap=2.0, rate=0.5)
    common = [(0, 0, 1)] * 30
    worths(part, "NGU", *common)
    part.begin()
    old = worths(part, "NGU", (0, 0, 1))[0]
    part.begin()
    new = worths(part, "NGU", (1, 0, 2))[0]
    assert old == 1.0
    assert new == 2.0


def test_icm_is_the_squared_error_of_the_model_of_counts() -> None:
    part = curiosity(None)
    steps = [(0, 0, 1), (0, 0, 1), (0, 0, 2), (0, 1, 2), (0, 0, 2)]
    model, expected = np.zeros((6, 2, 6)), []
    for s, a, z in steps:
        guess = model[s, a] / (model[s, a].sum() + 1.0)
        expected.append(((np.eye(6)[z] - guess) ** 2).sum())
        model[s, a, z] += 1.0
    assert worths(part, "ICM", *steps) == pytest.approx(expected)


def test_re3_pays_the_distance_to_the_kth_visit() -> None:
    part = curiosity(None, k=2, latent=3)
    codes = np.random.default_rng(1).standard_normal((6, 3))
    visits, places, expected = [], [1, 1, 2, 1, 5, 5, 5], []
    for place in places:
        gaps = sorted(float(np.linalg.norm(codes[place] - codes[v])) for v in visits)
        expected.append(np.log1p(gaps[1]) if len(gaps) >= 2 else 0.0)
        visits.append(place)
    assert worths(part, "RE3", *[(0, 0, z) for z in places]) == pytest.approx(expected)
    assert expected[0] == expected[1] == 0.0
    assert expected[-1] == 0.0  # seen twice before


def test_fusions_are_what_they_are_called() -> None:
    each = np.array([1.0, 2.0, 6.0])
    found = {how: [Fusion(how, KINDS[:3]).fused(each, t) for t in range(6)] for how in STRATEGIES}
    assert found["sum"] == [3.0] * 6
    assert found["product"] == [12.0] * 6
    assert found["max"] == [6.0] * 6
    assert found["cycle"] == [1.0, 2.0, 6.0] * 2  # each equally often
    assert Fusion("product", KINDS[:2]).fused(np.array([0.0, 9.0]), 0) == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_all_fusions_of_one_bonus_learn_the_same(kind: Any) -> None:
    rooms = models.key_door(5, gamma=0.95)
    rng = np.random.default_rng(2)
    part = Curiosity(rooms, [Fusion(how, (kind,)) for how in STRATEGIES], rng, Settings(0.05))
    runs = q_learning(
        rooms, np.broadcast_to(rooms.rewards, (4, *rooms.P.shape)), rng, bonus=part,
        episodes=12, most=40,
    )  # fmt: skip
    assert np.abs(runs.Q).max() > 0.01
    for b in range(1, 4):
        np.testing.assert_array_equal(runs.Q[b], runs.Q[0])
    np.testing.assert_array_equal(part.t, runs.lengths.sum(axis=1))
    np.testing.assert_array_equal(part.visits.sum(axis=1), part.t)


def test_values_are_scaled_to_spread_one_and_fade() -> None:
    part = curiosity(Fusion("sum", ("ICM",)), beta=0.5, kappa=0.1, shift=-0.25)
    raw = curiosity(None)
    steps = [(0, 0, 1), (0, 0, 1), (0, 0, 2), (1, 0, 2)]
    values = worths(raw, "ICM", *steps)
    for t, (paid, value) in enumerate(zip(walk(part, *steps), values, strict=True)):
        spread = np.std(values[: t + 1]) or 1.0
        assert paid[0] == pytest.approx(0.5 * 0.9**t * value / spread - 0.25)


def test_who_is_done_earns_nothing_and_remembers_nothing() -> None:
    both = curiosity(Fusion("sum", KINDS), Fusion("sum", KINDS), shift=-0.1)
    at = np.array([0, 0]), np.array([1, 1]), np.array([2, 2])
    first = both.pay(*at, np.array([True, False]))
    assert first[0] != 0.0
    assert first[1] == 0.0
    assert both.t.tolist() == [1, 0]
    assert both.visits.sum(axis=1).tolist() == [1.0, 0.0]
    assert both.pay(*at, np.array([True, True]))[1] == first[0]  # as if it were the first


def test_a_shift_alone_is_learning_from_a_start_as_much_higher() -> None:
    """Without bonuses the part is S047's shift: the same actions, values c/(1 - gamma) apart."""
    rooms, c = models.key_door(5, gamma=0.95), -0.02
    away = c / (1.0 - rooms.gamma)
    tables = np.broadcast_to(rooms.rewards, (1, *rooms.P.shape))
    part = Curiosity(rooms, [None], np.random.default_rng(9), Settings(shift=c))
    shifted = q_learning(
        rooms, tables, np.random.default_rng(3), bonus=part, end_value=away, episodes=30, most=60
    )
    started = q_learning(rooms, tables, np.random.default_rng(3), q0=-away, episodes=30, most=60)
    assert np.array_equal(shifted.lengths, started.lengths)
    assert np.abs(shifted.Q - started.Q - away).max() < 1e-12
    assert (shifted.returns == shifted.finished).all()  # what is reported has no shift


def test_a_bonus_keeps_a_learner_that_starts_at_zero_where_it_has_been_and_a_shift_frees_it() -> (
    None
):
    rooms = models.key_door(8, gamma=0.98)
    seen = {}
    for shift in (0.0, -0.01):
        rng = np.random.default_rng(4)
        part = Curiosity(rooms, [None, Fusion("sum", KINDS)], rng, Settings(0.01, shift=shift))
        runs = q_learning(
            rooms, np.broadcast_to(rooms.rewards, (2, *rooms.P.shape)), rng, bonus=part,
            end_value=shift / 0.02, episodes=25, most=80,
        )  # fmt: skip
        seen[shift] = runs.visited
    assert seen[0.0][1] < 0.7 * seen[0.0][0]
    assert seen[-0.01][1] > 1.5 * seen[0.0][1]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Fusion("mean", KINDS), "'mean'"),  # type: ignore[arg-type]
        (lambda: Fusion("sum", ()), "one at least"),
        (lambda: Fusion("sum", ("RND",)), "RND"),  # type: ignore[arg-type]
        (lambda: Settings(beta=-1.0), "beta=-1.0"),
        (lambda: Settings(kappa=1.0), "kappa=1.0"),
        (lambda: Settings(ridge=0.0), "ridge=0.0"),
        (lambda: models.key_door(3), "size = 3"),
    ],
)
def test_impossible_numbers_are_refused(make: Any, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        make()
