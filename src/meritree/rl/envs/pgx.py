"""Games of pgx for one learner: the other seats are played by a policy that is given.

What an illegal move does is a part as well; the rule of pgx is that it loses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.envs.env import Array, Discrete, EnvSpec, Key, Outcome

# (key, observation of the player to move, legal [A] bool) to an action
Opponent: TypeAlias = Callable[[Key, Array, Array], Array]
# (key, chosen action, legal [A] bool) to the action that is played
Correct: TypeAlias = Callable[[Key, Array, Array], Array]


def random_player(key: Key, obs: Array, legal: Array) -> Array:
    """Any legal action, all alike."""
    return jax.random.categorical(key, jnp.where(legal, 0.0, -jnp.inf)).astype(jnp.int32)


def illegal_loses(key: Key, action: Array, legal: Array) -> Array:
    """Plays what was chosen; pgx ends the game with reward -1 where that was illegal."""
    return action


def illegal_is_random(key: Key, action: Array, legal: Array) -> Array:
    """Plays a random legal action in the place of an illegal one."""
    return jnp.where(legal[action], action, random_player(key, action, legal))


class Seat(NamedTuple):
    """A game and the seat of the learner."""

    game: Any
    me: Array


@dataclass(frozen=True)
class Pgx:
    """A game seen from one seat, which is drawn anew in each game.

    A step is the learner's move and those of the others until it is the learner's turn again;
    the reward is what all of them brought the learner. Games of one player are taken as they are.

    Attributes:
        name: as pgx registers it (``tic_tac_toe``, ``connect_four``, ``2048``).
        opponent: who plays the other seats.
        correct: what becomes of an illegal choice.

    Raises:
        BadInput: no such game, or one that needs a further package.
    """

    name: str
    opponent: Opponent = random_player
    correct: Correct = illegal_loses

    def __post_init__(self) -> None:
        _ = self._made

    @cached_property
    def _made(self) -> Any:
        import pgx

        if self.name not in pgx.available_envs():
            raise BadInput(
                f"pgx has no game {self.name!r}; it has {', '.join(sorted(pgx.available_envs()))}"
            )
        try:
            return pgx.make(self.name)
        except ImportError as error:
            raise BadInput(
                f"pgx {self.name}: needs a package that is not installed ({error.name})"
            ) from None

    @cached_property
    def spec(self) -> EnvSpec:
        env = self._made
        shape = jax.eval_shape(env.init, jax.random.key(0)).observation
        dtype = jnp.bool_ if shape.dtype == jnp.bool_ else jnp.float32
        return EnvSpec(f"pgx:{self.name}", shape.shape, Discrete(env.num_actions), obs_dtype=dtype)

    def reset(self, key: Key) -> tuple[Seat, Array]:
        beginning, seating, playing = jax.random.split(key, 3)
        me = jax.random.randint(seating, (), 0, self._made.num_players)
        game, _ = self._others(playing, self._made.init(beginning), me)
        return Seat(game, me), self._seen(game)

    def step(self, key: Key, state: Seat, action: Array) -> tuple[Seat, Outcome]:
        mending, moving, playing = jax.random.split(key, 3)
        action = self.correct(mending, action, state.game.legal_action_mask)
        game = self._made.step(state.game, action, moving)
        game, gained = self._others(playing, game, state.me)
        cut = game.truncated & ~game.terminated
        return Seat(game, state.me), Outcome(
            self._seen(game), gained.astype(jnp.float32).reshape(1), game.terminated, cut
        )

    def _others(self, key: Key, game: Any, me: Array) -> tuple[Any, Array]:
        """Others move until it is the learner's turn; with what the learner gained meanwhile."""
        if self._made.num_players == 1:
            return game, game.rewards[me]

        def waits(carry: Any) -> Array:
            _, game, _ = carry
            return (game.current_player != me) & ~game.terminated & ~game.truncated

        def move(carry: Any) -> Any:
            key, game, gained = carry
            key, choosing, moving = jax.random.split(key, 3)
            action = self.opponent(choosing, self._seen(game), game.legal_action_mask)
            game = self._made.step(game, action, moving)
            return key, game, gained + game.rewards[me]

        _, game, gained = jax.lax.while_loop(waits, move, (key, game, game.rewards[me]))
        return game, gained

    def _seen(self, game: Any) -> Array:
        return game.observation.astype(self.spec.obs_dtype)
