"""Environments by name, and games of pgx from one seat."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("gymnax")
pytest.importorskip("pgx")

import jax.numpy as jnp  # noqa: E402

from meritree.errors import BadInput  # noqa: E402
from meritree.rl.envs import (  # noqa: E402
    FourRooms,
    FruitCollection,
    Gymnax,
    HostVector,
    Pgx,
    list_envs,
    make_env,
    vectorise,
)
from meritree.rl.envs.make import OWN  # noqa: E402
from meritree.rl.envs.pgx import illegal_is_random, illegal_loses  # noqa: E402


def test_names_lead_to_environments_of_every_library() -> None:
    assert make_env("CartPole-v1", max_steps_in_episode=9) == Gymnax(
        "CartPole-v1", (("max_steps_in_episode", 9),)
    )
    assert make_env("meritree:four-rooms", size=7, goal=[0, 4]) == FourRooms(7, goal=(0, 4))
    assert make_env("meritree:fruit-collection") == FruitCollection()
    assert make_env("Breakout-MinAtar").spec.obs_shape == (10, 10, 4)
    game = make_env("pgx:tic_tac_toe", correct=illegal_is_random)
    assert game.spec.name == "pgx:tic_tac_toe"
    worlds = make_env("gymnasium:CartPole-v1", n=3)
    assert isinstance(worlds, HostVector)
    assert worlds.n == 3


def test_every_listed_name_of_our_own_and_of_gymnax_can_be_made() -> None:
    names = list_envs()
    assert len(set(names)) == len(names) > 100
    assert "pgx:minatar-breakout" not in names  # that needs a package of its own
    for name in names:
        if not name.startswith(("pgx:", "gymnasium:")):
            env = make_env(name)
            assert env.spec.channels >= 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fourrooms", {}, "did you mean meritree:four-rooms or FourRooms-misc"),
        ("cartpole-v1", {}, "did you mean CartPole-v1 or gymnasium:CartPole-v1"),
        ("pgx:tictactoe", {}, "did you mean pgx:tic_tac_toe"),
        ("meritree:", {}, "names all"),
        ("pgx:minatar-breakout", {}, "did you mean Breakout-MinAtar|names all"),
        ("meritree:four-rooms", {"sizes": 7}, "no option 'sizes'; it knows size, start, goal"),
        ("CartPole-v1", {"wind": 7}, "options .'wind'.; its parameters are force_mag"),
        ("gymnasium:Nope-v1", {}, "`Nope` doesn't exist"),
    ],
)
def test_a_wrong_name_or_option_is_met_with_near_ones(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        make_env(name, **options)


def run(program: Callable[..., Any], *args: Any) -> Any:
    """One run of a program as arrays, compiled without much ado."""
    compiled = jax.jit(program).lower(*args).compile({"xla_backend_optimization_level": "0"})
    return jax.tree.map(np.asarray, compiled(*args))


LINES = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]]


@cache
def random_play(board: tuple[int, ...], mover: int) -> tuple[float, float]:
    """Probability that the first and that the second player wins, all moves being random."""
    if any(all(board[i] == 3 - mover for i in line) for line in LINES):
        return (0.0, 1.0) if mover == 1 else (1.0, 0.0)
    free = [i for i in range(9) if board[i] == 0]
    if not free:
        return 0.0, 0.0
    after = [random_play((*board[:i], mover, *board[i + 1 :]), 3 - mover) for i in free]
    return tuple(np.mean(after, axis=0))  # type: ignore[return-value]


def test_random_play_from_a_random_seat_wins_as_often_as_enumeration_says() -> None:
    """Half of the worlds choose free cells only, half any: those lose by the rule of pgx."""
    n, steps = 256, 40
    worlds = vectorise(Pgx("tic_tac_toe"), n)
    legal_only = jnp.arange(n) < n // 2

    def step(carry: Any, key: Any) -> Any:
        world, obs = carry
        choosing, going = jax.random.split(key)
        taken = obs.any(axis=-1).reshape(n, 9)
        odds = jnp.where(taken & legal_only[:, None], -jnp.inf, 0.0)
        action = jax.random.categorical(choosing, odds)
        world, out = worlds.step(going, world, action)
        illegal = taken[jnp.arange(n), action]
        began = ~taken.any(axis=1)
        return (world, out.obs), (began, illegal, out.reward[:, 0], out.terminated)

    def play(key: Any) -> Any:
        return jax.lax.scan(step, worlds.reset(key), jax.random.split(key, steps))[1]

    began, illegal, reward, ended = run(play, jax.random.key(0))
    assert not illegal[:, : n // 2].any()
    assert (reward[illegal] == -1.0).all()
    assert ended[illegal].all()
    assert (reward[~ended] == 0.0).all()
    assert set(np.unique(reward)) == {-1.0, 0.0, 1.0}
    # Games of the first half by who began; a game begins on the board that is empty, or with one
    # stone where the other player began.
    first_wins, second_wins = random_play((0,) * 9, 1)
    assert abs(first_wins - 0.585) < 1e-3
    won = {True: [], False: []}  # type: ignore[var-annotated]
    for world in range(n // 2):
        start = 0
        for t in np.flatnonzero(ended[:, world]):
            won[bool(began[start, world])].append(reward[t, world])
            start = t + 1
    total = len(won[True]) + len(won[False])
    assert abs(len(won[True]) / total - 0.5) < 0.1
    for first, results in won.items():
        mean = first_wins - second_wins if first else second_wins - first_wins
        spread = np.std(results) / np.sqrt(len(results))
        # Games that are still going on when time is up are the longer ones: a small bias.
        assert abs(np.mean(results) - mean) < 4.0 * spread + 0.02


def test_what_is_illegal_can_be_played_at_random_instead() -> None:
    legal = jnp.asarray([False, True, False, True])
    chosen = jnp.arange(80) % 4
    keys = jax.random.split(jax.random.key(0), 80)
    played = run(jax.vmap(illegal_is_random, (0, 0, None)), keys, chosen, legal)
    assert (played[1::2] == chosen[1::2]).all()
    assert set(played[::2].tolist()) == {1, 3}
    assert illegal_loses(keys[0], chosen, legal) is chosen


def test_every_example_of_the_page_is_right() -> None:
    page = Path(__file__).parents[2] / "docs" / "environments.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried > 15
    assert failed == 0


def test_the_page_names_every_environment_of_our_own() -> None:
    page = (Path(__file__).parents[2] / "docs" / "environments.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", page, flags=re.M)) == set(OWN)


def test_an_unknown_game_is_refused() -> None:
    with pytest.raises(BadInput, match=r"pgx has no game 'draughts'; it has 2048, animal_shogi"):
        Pgx("draughts")
