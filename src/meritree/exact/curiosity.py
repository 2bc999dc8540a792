"""HIRE's bonuses where they are exact: closed forms of visit counts, fused, for tabular learners.

States are told apart perfectly, so that nothing is encoded and nothing is trained. What networks
make of the same bonuses is `rl.bonuses`; knows neither networks nor learners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from meritree.errors import BadInput
from meritree.exact.mdp import MDP, Array, Ints

Kind: TypeAlias = Literal["RE3", "NGU", "ICM", "E3B"]
Strategy: TypeAlias = Literal["sum", "product", "cycle", "max"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


@dataclass(frozen=True, slots=True)
class Fusion:
    """Which bonuses a learner pays itself, and how they become one."""

    strategy: Strategy
    bonuses: tuple[Kind, ...]

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise BadInput(f"strategy {self.strategy!r}: there are {', '.join(STRATEGIES)}")
        if not self.bonuses or not set(self.bonuses) <= set(KINDS):
            raise BadInput(f"bonuses {self.bonuses}: one at least, of {', '.join(KINDS)}")

    def fused(self, each: Array, t: int) -> float:
        """sum_i I_i / n, prod_i I_i, I_(t mod n) or max_i I_i of [n] values at step t."""
        if self.strategy == "sum":
            return float(each.mean())
        if self.strategy == "product":
            return float(each.prod())
        return float(each[t % len(each)] if self.strategy == "cycle" else each.max())


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers of the bonuses.

    Attributes:
        beta: beta_0, weight of the fused bonus.
        kappa: the weight falls to beta_0 (1 - kappa)^t after t steps.
        shift: added to every reward; minus an upper bound of the bonus keeps what is new best for
            values that start at 0.
        k: which neighbour RE3 asks for.
        latent: length of RE3's random codes.
        ridge: lambda of E3B.
        cap: largest factor of NGU.
        rate: share of what NGU's predictor still lacks that it learns at a visit.
    """

    beta: float = 0.1
    kappa: float = 0.0
    shift: float = 0.0
    k: int = 5
    latent: int = 16
    ridge: float = 0.1
    cap: float = 5.0
    rate: float = 0.1

    def __post_init__(self) -> None:
        if not (self.beta >= 0.0 and 0.0 <= self.kappa < 1.0 and 0.0 < self.rate < 1.0):
            raise BadInput(
                f"beta={self.beta} must be >= 0, kappa={self.kappa} in [0, 1) and "
                f"rate={self.rate} in (0, 1)"
            )
        if min(self.k, self.latent) < 1 or self.ridge <= 0.0 or self.cap < 1.0:
            raise BadInput(
                f"k={self.k} and latent={self.latent} must be >= 1, ridge={self.ridge} > 0 and "
                f"cap={self.cap} >= 1"
            )


class Curiosity:
    """What B learners pay themselves for where they get; all B share RE3's and NGU's codes.

    Every bonus judges the state reached, s', by the visits before this one: n(s') in the run,
    m(s') in the episode, N(s, a) and N(s, a, s') of the transition.

    - RE3: log(1 + distance to the k-th nearest visit), between random codes; 0 before k visits.
    - NGU: 1/sqrt(m + 1) min(max(alpha, 1), cap), alpha = 1 + (error - mean)/std over the run; the
      error is that of a predictor that starts at 0: (1 - rate)^(2 n) times the mean square of
      its random target.
    - ICM: squared error of the model p(s'|s, a) = N(s, a, s')/(N(s, a) + 1).
    - E3B: 1/(lambda + m), which phi' C^-1 phi is for one-hot phi.

    Each is divided by the standard deviation of its values so far. Sources: `rl.bonuses`; fusions
    of Yuan et al. (2025), arXiv:2501.12627, system S026.
    """

    def __init__(
        self,
        mdp: MDP,
        fusions: Sequence[Fusion | None],
        rng: Generator,
        settings: Settings | None = None,
    ) -> None:
        """``fusions``: one a learner, None for a learner without a bonus (but with the shift)."""
        self.settings = settings or Settings()
        self.fusions = tuple(fusions)
        B, S = len(self.fusions), mdp.S
        codes = rng.standard_normal((S, self.settings.latent))
        apart = np.linalg.norm(codes[:, None] - codes[None], axis=2)
        self._nearest: Ints = apart.argsort(axis=1, kind="stable")  # [S, S]
        self._distance: Array = np.take_along_axis(apart, self._nearest, axis=1)
        self._target = (rng.standard_normal((S, self.settings.latent)) ** 2).mean(axis=1)
        self._rows = np.arange(B)
        self.visits = np.zeros((B, S))
        self.of_episode = np.zeros((B, S))
        self._moves = np.zeros((B, S, mdp.A, S), dtype=np.float32)
        self._squares = np.zeros((B, S, mdp.A))
        self._pairs = np.zeros((B, S, mdp.A))
        self._errors = _Moments(B)
        self._spread = [_Moments(B) for _ in KINDS]
        self.t = np.zeros(B, dtype=int)
        self._wanted = [_positions(fusion) for fusion in self.fusions]

    def begin(self) -> None:
        """A new episode of all learners."""
        self.of_episode[:] = 0.0

    def pay(self, state: Ints, action: Ints, after: Ints, alive: NDArray[np.bool_]) -> Array:
        """[B] what one step earns beside the reward: beta_t f(I_1 ... I_n) + shift.

        Args:
            state, action, after: [B] the step of each learner.
            alive: [B] who took it; others earn 0 and see nothing.
        """
        each = self._scaled(self.worth(state, action, after, alive), alive)
        weight = self.settings.beta * (1.0 - self.settings.kappa) ** self.t
        fused = np.zeros(len(self._rows))
        for b, (fusion, where) in enumerate(zip(self.fusions, self._wanted, strict=True)):
            if fusion is not None:
                fused[b] = fusion.fused(each[where, b], int(self.t[b]))
        self._count(state, action, after, alive)
        return np.where(alive, weight * fused + self.settings.shift, 0.0)

    def worth(
        self, state: Ints, action: Ints, after: Ints, alive: NDArray[np.bool_] | None = None
    ) -> Array:
        """[4, B] the bonuses of `KINDS` before scaling; NGU's mean error learns of ``alive``."""
        rows, own = self._rows, self.settings
        near = np.take_along_axis(self.visits, self._nearest[after], axis=1).cumsum(axis=1)
        place = (near < own.k).sum(axis=1)  # S where fewer than k visits are known
        known = place < near.shape[1]
        re3 = np.where(
            known, np.log1p(self._distance[after, np.minimum(place, near.shape[1] - 1)]), 0.0
        )
        m = self.of_episode[rows, after]
        error = (1.0 - own.rate) ** (2.0 * self.visits[rows, after]) * self._target[after]
        if alive is not None:
            self._errors.add(error, alive)
        alpha = 1.0 + (error - self._errors.mean) / self._errors.std()
        ngu = np.clip(alpha, 1.0, own.cap) / np.sqrt(m + 1.0)
        many = self._pairs[rows, state, action] + 1.0
        hit = self._moves[rows, state, action, after]
        icm = 1.0 - 2.0 * hit / many + self._squares[rows, state, action] / many**2
        return np.stack([re3, ngu, icm, 1.0 / (own.ridge + m)])

    def _scaled(self, each: Array, alive: NDArray[np.bool_]) -> Array:
        for moments, values in zip(self._spread, each, strict=True):
            moments.add(values, alive)
        return each / np.stack([moments.std() for moments in self._spread])

    def _count(self, state: Ints, action: Ints, after: Ints, alive: NDArray[np.bool_]) -> None:
        rows, one = self._rows, alive.astype(float)
        self.visits[rows, after] += one
        self.of_episode[rows, after] += one
        # The sum of squared counts grows by (n + 1)^2 - n^2.
        grown = 2.0 * self._moves[rows, state, action, after] + 1.0
        self._squares[rows, state, action] += one * grown
        self._moves[rows, state, action, after] += one
        self._pairs[rows, state, action] += one
        self.t += alive


class _Moments:
    """Running mean and spread of a number of each learner (Welford)."""

    def __init__(self, learners: int) -> None:
        self.count = np.zeros(learners)
        self.mean = np.zeros(learners)
        self.squares = np.zeros(learners)

    def add(self, values: Array, alive: NDArray[np.bool_]) -> None:
        self.count += alive
        gap = np.where(alive, values - self.mean, 0.0)
        self.mean += gap / np.maximum(self.count, 1.0)
        self.squares += gap * (values - self.mean)

    def std(self) -> Array:
        """[B], 1 where nothing varied yet."""
        variance = self.squares / np.maximum(self.count, 1.0)
        return np.sqrt(np.where(variance > 1e-12, variance, 1.0))


def _positions(fusion: Fusion | None) -> list[int]:
    return [] if fusion is None else [KINDS.index(kind) for kind in fusion.bonuses]
