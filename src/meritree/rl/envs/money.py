"""Bets, hedges and a mean-reverting price: small worlds in which risk matters and much is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from meritree.errors import BadInput
from meritree.rl.envs.env import Array, Box, Discrete, EnvSpec, Key, Outcome
from meritree.rl.envs.tables import Tables, blank, finish

Bet: TypeAlias = tuple[tuple[float, float], ...]
BETS: tuple[Bet, ...] = (((1.0, 0.7), (-6.0, 0.3)), ((1.0, 0.4), (-1.0, 0.6)),
                         ((6.0, 0.8), (-6.0, 0.2)))  # fmt: skip


class Round(NamedTuple):
    """Rounds played, and which payment the last one brought."""

    t: Array
    k: Array


@dataclass(frozen=True)
class BettingGame:
    """In each of a number of rounds one bet is taken; the reward is what it pays (S039).

    Observes the round one-hot. What was won so far is no part of it: an objective of the whole
    return needs the stock as a context.

    Attributes:
        rounds: at least 1; the last one ends.
        bets: for each action its payments and their probabilities.

    Raises:
        BadInput: no rounds or bets, probabilities that do not sum to 1.
    """

    rounds: int = 5
    bets: tuple[Bet, ...] = BETS

    def __post_init__(self) -> None:
        if self.rounds < 1 or not self.bets:
            raise BadInput(f"rounds={self.rounds}, {len(self.bets)} bets: at least one of each")
        for bet in self.bets:
            odds = [p for _, p in bet]
            if min(odds, default=-1.0) < 0 or not math.isclose(sum(odds), 1.0, abs_tol=1e-9):
                raise BadInput(f"bet {bet}: its probabilities must sum to 1, none below 0")

    @property
    def payments(self) -> list[float]:
        """[K] the different payments, in order."""
        return sorted({payment for bet in self.bets for payment, _ in bet})

    @property
    def law(self) -> Any:
        """[A, K] probability of each payment."""
        payments = self.payments
        law = np.zeros((len(self.bets), len(payments)))
        for a, bet in enumerate(self.bets):
            for payment, p in bet:
                law[a, payments.index(payment)] += p
        return law

    @property
    def limit(self) -> None:
        return None

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("betting-game", (self.rounds,), Discrete(len(self.bets)))

    def reset(self, key: Key) -> tuple[Round, Array]:
        return Round(jnp.int32(0), jnp.int32(0)), self._seen(0)

    def step(self, key: Key, state: Round, action: Array) -> tuple[Round, Outcome]:
        k = jax.random.categorical(key, jnp.log(jnp.asarray(self.law))[action])
        t = state.t + 1
        paid = jnp.asarray(self.payments)[k]
        after = Round(t, k.astype(jnp.int32))
        return finish(after, self._seen(t), paid, t >= self.rounds, self)

    def index(self, state: Round) -> Array:
        return jnp.where(state.t == 0, 0, 1 + (state.t - 1) * len(self.payments) + state.k)

    def tables(self) -> Tables:
        """State 0 begins; 1 + t K + k: payment k came in round t."""
        K = len(self.payments)
        out = blank(1 + self.rounds * K, len(self.bets))
        last = len(out.mu0) - K
        for s in range(last):
            first = 1 if s == 0 else 1 + ((s - 1) // K + 1) * K
            out.P[s, :, first : first + K] = self.law
            out.R[s, :, first : first + K] = self.payments
        for s in range(last, last + K):
            out.P[s, :, s] = 1.0
            out.ends[s] = True
        out.mu0[0] = 1.0
        return out

    def _seen(self, t: Any) -> Array:
        return jax.nn.one_hot(t, self.rounds)


Claim: TypeAlias = Callable[[Array], Array]


def no_claim(x: Array) -> Array:
    """Nothing is owed: plain trading."""
    return 0.0 * x


def quadratic(x: Array) -> Array:
    """x^2/2 is owed, x = S_T - S_0."""
    return 0.5 * x**2


def call(x: Array) -> Array:
    """max(x, 0) is owed: a call at the money."""
    return jnp.maximum(x, 0.0)


class Market(NamedTuple):
    """Time and the price's move so far."""

    t: Array
    x: Array  # S_t - S_0


@dataclass(frozen=True)
class BachelierHedge:
    """A price S' = S + Z, Z normal, is traded to cover a claim at the end (S016).

    The action is the position held over a step and earns position x Z; the last step also pays
    minus the claim, and ends. Observes (t/T, S_t - S_0).

    Attributes:
        steps: T.
        mu: mean of Z.
        sigma: its standard deviation, above 0.
        claim: what is owed as a function of S_T - S_0.
        most: positions lie in [-most, most]; others are cut.
    """

    steps: int = 5
    mu: float = 0.0
    sigma: float = 0.3
    claim: Claim = quadratic
    most: float = 3.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.sigma <= 0 or self.most <= 0:
            raise BadInput(
                f"steps={self.steps}, sigma={self.sigma}, most={self.most}: all must be positive"
            )

    @property
    def limit(self) -> None:
        return None

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("bachelier-hedge", (2,), Box((1,), -self.most, self.most))

    def reset(self, key: Key) -> tuple[Market, Array]:
        state = Market(jnp.int32(0), jnp.zeros(()))
        return state, self._seen(state)

    def step(self, key: Key, state: Market, action: Array) -> tuple[Market, Outcome]:
        z = self.mu + self.sigma * jax.random.normal(key)
        held = jnp.clip(jnp.asarray(action).reshape(()), -self.most, self.most)
        state = Market(state.t + 1, state.x + z)
        over = state.t >= self.steps
        reward = held * z - jnp.where(over, self.claim(state.x), 0.0)
        return finish(state, self._seen(state), reward, over, self)

    def _seen(self, state: Market) -> Array:
        return jnp.stack([state.t / self.steps, state.x])


def trading_solution(env: BachelierHedge, t: Array, a: float) -> tuple[Array, Array]:
    """(position, value) of the certainty equivalent with risk aversion a, nothing owed.

    pi = mu/(a sigma^2), V = mu^2 (T - t)/(2 a sigma^2); positions are taken to be free.
    """
    pi = env.mu / (a * env.sigma**2)
    return pi + 0.0 * t, 0.5 * pi * env.mu * (env.steps - t)


def quadratic_solution(env: BachelierHedge, t: Array, x: Array, a: float) -> tuple[Array, Array]:
    """(position, value) of the certainty equivalent with risk aversion a for `quadratic`, mu = 0.

    pi = x, V = -x^2/2 + (T - t) ln(1 - a sigma^2)/(2 a): what cannot be hedged is the sum of
    Z^2/2.

    Raises:
        BadInput: a sigma^2 is not below 1 (the value is minus infinity), or mu is not 0.
    """
    if env.mu != 0.0 or not 0.0 < a * env.sigma**2 < 1.0:
        raise BadInput(
            f"mu={env.mu}, a sigma^2={a * env.sigma**2}: the closed form needs mu=0 and a sigma^2 "
            "in (0, 1)"
        )
    rest = (env.steps - t) * math.log1p(-a * env.sigma**2) / (2.0 * a)
    return x, -0.5 * x**2 + rest


class Book(NamedTuple):
    """Time, price and inventory."""

    t: Array
    price: Array
    held: Array  # int


@dataclass(frozen=True)
class OUArbitrage:
    """A price that reverts to its mean is traded within limits of inventory (S071).

    x' = x + speed (mean - x) + sigma N(0, 1). Action i sets the inventory to i - most, which costs
    ``cost`` for each unit traded and earns inventory x (x' - x); the last step sells everything.
    Observes (t/T, x - mean, inventory/most).

    Attributes:
        steps: T.
        speed: share of the distance that is expected to close in a step, in (0, 1].
        sigma: above 0.
        mean: where the price reverts to; it also starts there unless ``start`` is given.
        most: largest inventory, long or short.
        cost: of a unit traded.
        start: first price; None: drawn from the stationary law.
    """

    steps: int = 20
    speed: float = 0.2
    sigma: float = 0.3
    mean: float = 0.0
    most: int = 2
    cost: float = 0.02
    start: float | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.most < 1 or not 0.0 < self.speed <= 1.0:
            raise BadInput(
                f"steps={self.steps}, most={self.most}, speed={self.speed}: at least 1, at least "
                "1, in (0, 1]"
            )
        if self.sigma <= 0.0 or self.cost < 0.0:
            raise BadInput(f"sigma={self.sigma}, cost={self.cost}: above 0, at least 0")

    @property
    def limit(self) -> None:
        return None

    @property
    def spread(self) -> float:
        """Standard deviation of the stationary law."""
        return self.sigma / math.sqrt(1.0 - (1.0 - self.speed) ** 2)

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("ou-arbitrage", (3,), Discrete(2 * self.most + 1))

    def reset(self, key: Key) -> tuple[Book, Array]:
        drawn = self.mean + self.spread * jax.random.normal(key)
        price = drawn if self.start is None else jnp.asarray(self.start, jnp.float32)
        state = Book(jnp.int32(0), price, jnp.int32(0))
        return state, self._seen(state)

    def step(self, key: Key, state: Book, action: Array) -> tuple[Book, Outcome]:
        held = jnp.asarray(action, jnp.int32) - self.most
        move = self.speed * (self.mean - state.price) + self.sigma * jax.random.normal(key)
        over = state.t + 1 >= self.steps
        traded = jnp.abs(held - state.held) + over * jnp.abs(held)
        reward = held * move - self.cost * traded
        state = Book(state.t + 1, state.price + move, jnp.where(over, 0, held))
        return finish(state, self._seen(state), reward, over, self)

    def _seen(self, state: Book) -> Array:
        return jnp.stack([state.t / self.steps, state.price - self.mean, state.held / self.most])


def free_arbitrage_value(env: OUArbitrage, price: float) -> float:
    """Largest expected return from a first price when trading costs nothing.

    The sign of mean - x is held in full: the sum over t of most speed E|x_t - mean|, where x_t is
    normal.

    Raises:
        BadInput: trading costs something.
    """
    if env.cost:
        raise BadInput(f"cost={env.cost}: the closed form needs cost=0")
    total, away, spread = 0.0, price - env.mean, 0.0
    keep = 1.0 - env.speed
    for _ in range(env.steps):
        if spread == 0.0:
            total += abs(away)
        else:  # mean of a folded normal
            total += spread * math.sqrt(2.0 / math.pi) * math.exp(-0.5 * (away / spread) ** 2)
            total += away * math.erf(away / (spread * math.sqrt(2.0)))
        away, spread = keep * away, math.hypot(keep * spread, env.sigma)
    return env.most * env.speed * total
