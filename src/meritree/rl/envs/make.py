"""Environments by name: our own, and those of gymnax, pgx and Gymnasium."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from meritree.errors import BadInput
from meritree.rl.envs.chains import ComboLock, LayeredChain, RiverSwim
from meritree.rl.envs.collect import FruitCollection, RewardMaze
from meritree.rl.envs.env import Env, VectorEnv
from meritree.rl.envs.grids import FourRooms, KeyDoor, PitfallMaze
from meritree.rl.envs.gymnax import Gymnax
from meritree.rl.envs.host import host_vector, known_to_gymnasium
from meritree.rl.envs.money import BachelierHedge, BettingGame, OUArbitrage
from meritree.rl.envs.pgx import Pgx

OWN: dict[str, Callable[..., Env]] = {
    "bachelier-hedge": BachelierHedge,
    "betting-game": BettingGame,
    "combo-lock": ComboLock,
    "four-rooms": FourRooms,
    "fruit-collection": FruitCollection,
    "key-door": KeyDoor,
    "layered-chain": LayeredChain,
    "ou-arbitrage": OUArbitrage,
    "pitfall-maze": PitfallMaze,
    "reward-maze": RewardMaze,
    "river-swim": RiverSwim,
}
DOWNLOADS = frozenset({"MNISTBandit-bsuite"})  # fetches its data when it is made


def list_envs() -> tuple[str, ...]:
    """Names that `make_env` takes; some of Gymnasium's need further packages."""
    import gymnax

    return (
        *(f"meritree:{name}" for name in OWN),
        *sorted(set(gymnax.registered_envs) - DOWNLOADS),
        *(f"pgx:{name}" for name in _games()),
        *(f"gymnasium:{name}" for name in known_to_gymnasium()),
    )


def make_env(name: str, **options: Any) -> Env | VectorEnv:
    """An environment by its name.

    Args:
        name: ``CartPole-v1`` or another of gymnax, ``meritree:four-rooms``, ``pgx:tic_tac_toe``,
            ``gymnasium:Pendulum-v1``; `list_envs` has them all.
        options: fields of our own environments and of `Pgx`; parameters of gymnax; for Gymnasium
            those of `host_vector`, where ``n``, the number of worlds, is 8 unless given.

    Raises:
        BadInput: no such name, with names near it; an option that it does not know.
    """
    import gymnax

    room, _, rest = name.partition(":")
    if room == "meritree" and rest in OWN:
        return _made(name, OWN[rest], options)
    if room == "pgx" and rest in _games():
        return _made(name, Pgx, {"name": rest, **options})
    if room == "gymnasium" and rest:
        return host_vector(rest, **{"n": 8, **options})
    if name in gymnax.registered_envs:
        return _of_gymnax(name, options)
    raise BadInput(f"no environment is called {name!r}; {hint(name)}")


def _made(name: str, make: Callable[..., Env], options: dict[str, Any]) -> Env:
    known = [field.name for field in fields(make)]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise BadInput(f"{name}: no option {option!r}; it knows {', '.join(known)}")
    return make(**{key: _tuples(value) for key, value in options.items()})


def _of_gymnax(name: str, options: dict[str, Any]) -> Env:
    params = vars(Gymnax(name).settings)
    given = tuple((key, value) for key, value in options.items() if key in params)
    others = tuple((key, value) for key, value in options.items() if key not in params)
    try:
        return Gymnax(name, given, others)
    except TypeError:
        raise BadInput(
            f"{name}: options {[key for key, _ in others]}; its parameters are "
            f"{', '.join(sorted(params))}"
        ) from None


def _tuples(value: Any) -> Any:
    """Lists, as a settings file has them, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def hint(name: str) -> str:
    """Names near one that does not exist, or where to find all of them."""
    names = list_envs()
    plain: dict[str, list[str]] = {}
    for each in names:
        plain.setdefault(each.rpartition(":")[2].lower().replace("_", "-"), []).append(each)
    wanted = name.rpartition(":")[2].lower().replace("_", "-")
    near = [full for key in get_close_matches(wanted, plain, 3, 0.6) for full in plain[key]]
    if near:
        return f"did you mean {' or '.join(near[:4])}?"
    return f"list_envs() names all {len(names)}"


def _games() -> list[str]:
    """The games of pgx, without those that it lists but takes from another package."""
    import pgx

    bare = find_spec("pgx_minatar") is None
    return sorted(x for x in pgx.available_envs() if not (bare and x.startswith("minatar-")))
