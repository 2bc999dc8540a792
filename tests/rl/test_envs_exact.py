"""What is known of our environments in closed form, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from meritree.errors import BadInput  # noqa: E402
from meritree.rl.envs.chains import ComboLock, LayeredChain, RiverSwim  # noqa: E402
from meritree.rl.envs.collect import RANGES, FruitCollection, RewardMaze  # noqa: E402
from meritree.rl.envs.env import Discrete, EnvSpec, Outcome  # noqa: E402
from meritree.rl.envs.grids import FourRooms, KeyDoor, PitfallMaze  # noqa: E402
from meritree.rl.envs.money import (  # noqa: E402
    BachelierHedge,
    BettingGame,
    OUArbitrage,
    call,
    free_arbitrage_value,
    no_claim,
    quadratic_solution,
    trading_solution,
)
from meritree.rl.envs.tables import Tables, Tabular  # noqa: E402
from meritree.rl.envs.wrap import (  # noqa: E402
    ChannelRewards,
    Discretised,
    NoisyReward,
    StickyActions,
    TimeLimit,
    summed,
)


def best_values(tables: Tables, gamma: float, sweeps: int = 400) -> Any:
    """[S] largest expected discounted return, by repeated sweeps."""
    value = np.zeros(len(tables.mu0))
    for _ in range(sweeps):
        value = np.einsum("sat,sat->sa", tables.P, tables.R + gamma * value).max(axis=1)
    return value


def test_the_shortest_way_through_four_rooms_goes_through_two_doors() -> None:
    env = FourRooms(11)
    assert env.open.sum() == 104
    value = best_values(env.tables(), 0.9)
    assert np.isclose(value[0], 0.9**19)  # 20 moves: 10 down and 10 to the right
    assert value[-1] == 0.0
    near = FourRooms(11, goal=(0, 3)).tables()
    assert np.isclose(best_values(near, 0.9)[0], 0.9**2)


def test_the_key_is_fetched_before_the_door() -> None:
    env = KeyDoor(8)
    # To the key 7, up and over to the door 3 + 4, on to the goal 3 + 3: 20 moves.
    value = best_values(env.tables(), 0.9)
    assert np.isclose(value[0], 0.9**19)
    blind = env.tables()
    blind.P[: len(value) // 2, :, len(value) // 2 :] = 0.0  # nobody can take the key
    assert best_values(blind, 0.9)[0] == 0.0


def test_fruits_are_eaten_along_the_shortest_tour() -> None:
    places = ((0, 0), (1, 2), (2, 2))
    env = FruitCollection(3, places, 2)
    tables = env.tables()

    def distance(a: Any, b: Any) -> int:
        return abs(a[0] - b[0]) + abs(a[1] - b[1])

    # With discount 1 and -1 a step, the value is minus the length of the shortest tour.
    steps = tables._replace(R=-np.where(tables.ends[:, None, None], 0.0, np.ones_like(tables.P)))
    value = best_values(steps, 1.0, 50)
    for chosen in combinations(range(3), 2):
        for start in ((0, 1), (1, 0), (2, 0)):
            tours = []
            for order in permutations(chosen):
                stops = [start, *(places[k] for k in order)]
                tours.append(sum(map(distance, stops[:-1], stops[1:])))
            s = sum(1 << k for k in chosen) * 9 + start[0] * 3 + start[1]
            assert value[s] == -min(tours)


def test_each_channel_of_the_fruits_has_its_own_mask_and_worth() -> None:
    env = FruitCollection(worth=(1.0, 10.0, 100.0))
    assert env.spec.channels == 10
    assert env.worths.tolist() == [1.0, 10.0, 100.0] * 3 + [1.0]
    assert env.masks.shape == (10, *env.spec.obs_shape)
    assert (env.masks.sum(axis=1) == 101.0).all()
    assert np.array_equal(env.masks[:, 100:], np.eye(10))


def test_moves_in_the_pitfall_maze_go_wrong_as_often_as_said() -> None:
    tables = PitfallMaze(0.1, size=5, pitfalls=0).tables()
    middle = 12  # all five moves are possible there
    assert np.allclose(tables.P[middle, 1, [7, 13, 17, 11, 12]], [0.1, 0.6, 0.1, 0.1, 0.1])
    # In the corner two moves and staying are possible; a wall keeps what was chosen there.
    assert np.allclose(tables.P[0, 0, [1, 5, 0]], [0.1, 0.1, 0.8])
    sure = PitfallMaze(0.0, size=5, pitfalls=4, seed=1)
    assert sure.pits.sum() == 4
    assert not sure.pits[:2, :2].any()
    assert np.isclose(best_values(sure.tables(), 0.5)[0], 0.5**8 / (1 - 0.5))  # 8 moves to the goal


def best_rate(tables: Tables) -> float:
    """Largest average reward, by relative value iteration with damping."""
    bias = np.zeros(len(tables.mu0))
    for _ in range(3000):
        ahead = np.einsum("sat,sat->sa", tables.P, tables.R + bias).max(axis=1)
        bias = 0.5 * (bias + ahead)
        rate, bias = ahead[0], bias - bias[0]
    return float(rate)


def test_the_river_of_five_places_pays_three_sevenths_a_step() -> None:
    assert abs(best_rate(RiverSwim(5).tables()) - 0.429) < 1e-3


def test_values_of_layers_and_locks() -> None:
    value = best_values(LayeredChain(3, 4, 0.3).tables(), 1.0, 10)
    assert np.allclose(value[:12], 0.3)
    assert np.allclose(value[12:], 0.0)
    lock = best_values(ComboLock((2, 0, 1), 3).tables(), 0.5, 10)
    assert np.allclose(lock, [0.25, 0.5, 1.0, 0.0])


def test_the_mean_of_the_betting_game_is_that_of_its_best_bet() -> None:
    env = BettingGame(5)
    assert np.isclose(best_values(env.tables(), 1.0, 10)[0], 5 * (0.8 * 6.0 - 0.2 * 6.0))


def run(program: Callable[..., Any], *args: Any) -> Any:
    """One run of a program as arrays, compiled without much ado."""
    compiled = jax.jit(program).lower(*args).compile({"xla_backend_optimization_level": "0"})
    return jax.tree.map(np.asarray, compiled(*args))


def played(env: Any, policy: Callable[[Any], Any], steps: int, n: int) -> Any:
    """[n, steps] rewards and [n, steps + 1, ...] observations of one episode of each world."""

    def step(carry: Any, key: Any) -> Any:
        state, obs = carry
        state, out = env.step(key, state, policy(obs))
        return (state, out.obs), (out.reward[0], out.obs)

    def episode(key: Any) -> Any:
        state, obs = env.reset(key)
        _, (rewards, seen) = jax.lax.scan(step, (state, obs), jax.random.split(key, steps))
        return rewards, jnp.concatenate([obs[None], seen])

    return run(jax.vmap(episode), jax.random.split(jax.random.key(0), n))


def certainty_equivalent(gains: Any, a: float) -> tuple[float, float]:
    """-ln E exp(-a G)/a of samples, and its standard error."""
    terms = np.exp(-a * gains)
    return -np.log(terms.mean()) / a, terms.std() / terms.mean() / a / np.sqrt(len(gains))


def test_the_best_hedge_leaves_exactly_what_cannot_be_hedged() -> None:
    env, a = BachelierHedge(steps=5, sigma=0.3), 1.0
    rewards, seen = played(env, lambda obs: obs[1:], 5, 20_000)
    moves = np.diff(seen[..., 1], axis=1)
    gains = rewards.sum(axis=1)
    assert np.allclose(gains, -0.5 * (moves**2).sum(axis=1), atol=1e-5)  # path by path
    position, value = quadratic_solution(env, jnp.asarray(0.0), jnp.asarray(0.0), a)
    mean, error = certainty_equivalent(gains, a)
    assert float(position) == 0.0
    assert abs(mean - float(value)) < 4.0 * error
    assert abs(float(value) - 5 * np.log(1 - 0.09) / 2) < 1e-6


def test_the_best_position_is_worth_what_the_closed_form_says() -> None:
    env, a = BachelierHedge(steps=4, mu=0.1, sigma=0.5, claim=no_claim), 2.0
    position, value = trading_solution(env, jnp.asarray(0.0), a)
    rewards, _ = played(env, lambda obs: position[None], 4, 20_000)
    mean, error = certainty_equivalent(rewards.sum(axis=1), a)
    assert np.isclose(position, 0.1 / (2.0 * 0.25))
    assert abs(mean - float(value)) < 4.0 * error


def test_a_call_costs_the_price_of_bachelier() -> None:
    x = 0.3 * np.sqrt(5.0) * np.random.default_rng(0).standard_normal(200_000)
    price = 0.3 * np.sqrt(5.0 / (2.0 * np.pi))
    assert abs(float(call(jnp.asarray(x)).mean()) - price) < 4.0 * x.std() / np.sqrt(len(x))


def test_arbitrage_earns_what_the_closed_form_says_less_what_trading_costs() -> None:
    env = OUArbitrage(12, most=2, cost=0.25, start=0.5)
    rewards, seen = played(env, lambda obs: jnp.where(obs[1] > 0, 0, 4), 12, 20_000)
    held = np.where(seen[:, :-1, 1] > 0, -2, 2)  # and sold at the end
    traded = np.abs(np.diff(held, axis=1, prepend=0, append=0)).sum(axis=1)
    gains = rewards.sum(axis=1) + 0.25 * traded
    wanted = free_arbitrage_value(replace(env, cost=0.0), 0.5)
    assert abs(gains.mean() - wanted) < 4.0 * gains.std() / np.sqrt(len(gains))
    assert np.array_equal(seen[:, 1:-1, 2], held[:, :-1] / 2)
    assert (seen[:, -1, 2] == 0.0).all()
    with pytest.raises(BadInput, match=r"cost=0.25: the closed form needs cost=0"):
        free_arbitrage_value(env, 0.5)


@pytest.mark.parametrize("kind", ["exclusive", "inclusive", "four"])
def test_rewards_of_the_maze_are_where_and_what_the_map_says(kind: Any) -> None:
    """A walk by hand along one way of each map; cells close behind it."""
    env = RewardMaze(kind)
    up, right, down, left = range(4)
    ways = {
        "exclusive": ([right, down, down, right, left, right, down, right, down, right], "abaa"),
        "inclusive": (
            [right, right, right, down, right, down, down, left, down, left, left, left, down],
            "ababab",
        ),
        "four": ([right, up, right, down, up, right, up, right], "c"),
    }
    moves, letters = ways[kind]

    def walk(keys: Any) -> Any:
        state, obs = env.reset(keys[0])
        step = lambda state, given: env.step(given[0], state, given[1])  # noqa: E731
        return obs, jax.lax.scan(step, state, (keys, jnp.asarray(moves)))[1]

    obs, out = run(walk, jax.random.split(jax.random.key(0), len(moves)))
    count = {"exclusive": 8, "inclusive": 6, "four": 4}[kind]
    assert obs[..., 2:].sum() == env.kinds.sum() == count
    assert "".join("abcd"[k] for k in np.nonzero(out.reward)[1]) == letters
    for k, (low, high) in enumerate(RANGES[kind]):
        paid = out.reward[:, k][out.reward[:, k] > 0.0]
        assert ((low <= paid) & (paid <= high)).all()
    assert out.terminated.tolist() == [False] * (len(moves) - 1) + [True]
    assert out.obs[-1, ..., 2:].sum() == count - len(letters)


def test_channels_are_added_up_by_their_weights() -> None:
    class Paying:
        spec = EnvSpec("paying", (1,), Discrete(2), (1.0, 0.5, -2.0))

        def reset(self, key: Any) -> Any:
            return 0, np.zeros(1)

        def step(self, key: Any, state: Any, action: Any) -> Any:
            return 1, Outcome(np.ones(1), np.asarray([3.0, 4.0, 1.0]), False, False)

    env = summed(Paying())
    state, _ = env.reset(None)
    assert env.spec.weights == (1.0,)
    assert env.step(None, state, 0)[1].reward.tolist() == [3.0]
    wrong = ChannelRewards(Paying(), lambda obs, action, out: out.reward, (1.0,))
    with pytest.raises(BadInput, match=r"rewards of shape \(3,\) for 1 weights"):
        wrong.step(None, wrong.reset(None)[0], 0)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: FourRooms(8), r"size=8: must be odd"),
    (lambda: FourRooms(7, goal=(3, 0)), r"goal=\(3, 0\): not a free cell"),
    (lambda: FourRooms(7, start=(0, 9)), r"start=\(0, 9\): not a free cell"),
    (lambda: FourRooms(7, goal=None).tables(), r"tables need a fixed goal"),
    (lambda: KeyDoor(3), r"size=3: must be at least 4"),
    (lambda: PitfallMaze(0.3), r"noise=0.3: must lie in \[0, 0.2\]"),
    (lambda: PitfallMaze(size=5, pitfalls=18), r"17 cells may be pitfalls"),
    (lambda: FruitCollection(5), r"inside the 5 x 5"),
    (lambda: FruitCollection(fruits=11), r"fruits=11: between 1 and the 10 places"),
    (lambda: FruitCollection().tables(), r"at most 5000 states have tables"),
    (lambda: RewardMaze("seven"), r"there are exclusive, inclusive, four"),  # type: ignore[arg-type]
    (lambda: BettingGame(bets=(((1.0, 0.5),),)), r"must sum to 1"),
    (lambda: BachelierHedge(sigma=0.0), r"all must be positive"),
    (lambda: OUArbitrage(speed=0.0), r"in \(0, 1\]"),
    (lambda: RiverSwim(1), r"two banks"),
    (lambda: ComboLock((0, 3)), r"all in 0 .. 2"),
    (lambda: LayeredChain(p=1.5), r"in \[0, 1\]"),
    (lambda: Tabular(np.ones((2, 1, 2)), np.zeros((2, 1))), r"must hold probabilities"),
    (lambda: Tabular(np.ones((2, 1, 3)), np.zeros((2, 1))), r"expected \[S, A, S\]"),
    (lambda: TimeLimit(RiverSwim(), 0), r"limit=0"),
    (lambda: StickyActions(RiverSwim(), 2.0), r"p=2.0: must lie in \[0, 1\]"),
    (lambda: NoisyReward(RiverSwim(), -1.0), r"std=-1.0: must not be negative"),
    (lambda: Discretised(RiverSwim()), r"no bounded real numbers"),
    (lambda: Discretised(BachelierHedge(), 1), r"each=1"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_impossible_worlds_are_refused_with_the_reason(
    make: Callable[[], Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        make()


def test_tables_agree_with_those_of_the_exact_room() -> None:
    models = pytest.importorskip("meritree.exact.models")
    pairs = [
        (RiverSwim(6), models.river_swim(6)),
        (LayeredChain(3, 2, 0.3), models.layered_chain(3, 2, p=0.3)),
        (FourRooms(9), models.four_rooms(9)),
        (KeyDoor(5), models.key_door(5)),
        (KeyDoor(6), models.key_door(6)),
        (ComboLock((0, 2, 1), 3), models.combination_lock((0, 2, 1), 3)),
        (BettingGame(4), models.betting_game(4, BettingGame().bets)),
    ]
    for env, mdp in pairs:
        tables, R = env.tables(), mdp.R if mdp.R.ndim == 3 else mdp.R[..., None]
        assert np.allclose(tables.P, mdp.P)
        assert np.allclose((tables.P * tables.R).sum(axis=2), (mdp.P * R).sum(axis=2))
        assert np.allclose(tables.mu0, mdp.first)
