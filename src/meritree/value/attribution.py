"""Who contributed how much: Shapley values of any game, and of a hybrid value's channels.

A game says what a coalition of players is worth; players may be features, judges or channels.
Plain operators only, so that a game may return numbers or arrays (one entry a row). The games
made of a model and data are in `games`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Any, Generic, Literal, TypeVar

from meritree.errors import BadInput
from meritree.value.estimate import Estimate
from meritree.value.hybrid import Combiner
from meritree.value.sums import in_order

Player = TypeVar("Player", bound=Hashable)
Value = Any  # a number, or an array with one entry for each thing that is explained
Game = Callable[[frozenset[Player]], Value]
Method = Literal["exact", "permutation", "antithetic"]
EXACT_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Attribution(Generic[Player]):
    """How a game's gain is shared.

    Attributes:
        values: share of every player; they sum to ``total`` (efficiency), sampled ones too.
        std_errors: of the sampling, by player; 0 where nothing was sampled.
        base: value of the empty coalition.
        total: value of all players minus ``base``.
        evaluations: how many coalitions were asked for their value.
    """

    values: Mapping[Player, Value]
    std_errors: Mapping[Player, Value]
    base: Value
    total: Value
    evaluations: int


def shapley(
    game: Game[Player],
    players: Sequence[Player],
    method: Method = "exact",
    *,
    samples: int = 256,
    seed: int = 0,
) -> Attribution[Player]:
    """Shapley value: the mean over orders of arrival of what a player adds to those before it.

    ``phi_i = 1/n! sum_R (v(S_R,i + i) - v(S_R,i))`` (Shapley 1953; Chen et al. 2020, arXiv
    2006.16234, equation 1).

    - ``exact``: over all 2^n coalitions, at most 20 players.
    - ``permutation``: mean over ``samples`` random orders; unbiased.
    - ``antithetic``: random orders, each together with its reverse; unbiased, and exact where the
      value of a coalition is a sum over its pairs of players.

    Args:
        game: value of a coalition; asked once for each.
        players: distinct.
        method: how.
        samples: number of orders, at least 2 (``antithetic``: even, at least 4).
        seed: of the random orders.

    Raises:
        BadInput: no or equal players, too many of them for ``exact``, too few samples.
    """
    if not players or len(set(players)) != len(players):
        raise BadInput(f"shapley: players {list(players)!r}; give at least one, each once")
    known = _Remembered(game)
    if method == "exact":
        values = _exact(known, players)
        errors = {player: 0.0 * values[player] for player in players}
    elif method in ("permutation", "antithetic"):
        values, errors = _sampled(known, players, method, samples, seed)
    else:
        raise BadInput(f"shapley: method={method!r}; it is exact, permutation or antithetic")
    base, everyone = known(frozenset()), known(frozenset(players))
    return Attribution(values, errors, base, everyone - base, known.asked)


def channel_shares(
    combiner: Combiner, estimate: Estimate, baseline: Mapping[str, float]
) -> Attribution[str]:
    """What each channel adds to a hybrid value, compared with a baseline.

    The game: channels of the coalition have the estimate's value, the others the baseline's (that
    of the unchanged code, say). The shares sum to the difference of the two hybrid values.

    Args:
        combiner: the hybrid value.
        estimate: its channels are the players; parts' own channels (``name.part``) are not. Every
            channel gets the estimate's n, which only a `Schedule` reads (of its evidence).
        baseline: value in [0, 1] of each of these channels.

    Raises:
        BadInput: no channels, or a channel that the baseline lacks.
    """
    own = {name: value for name, value in estimate.channels.items() if "." not in name}
    missing = [name for name in own if name not in baseline]
    if not own or missing:
        raise BadInput(
            f"channel_shares: the baseline has no value for {', '.join(missing) or 'any channel'}; "
            f"give one for each of {', '.join(own) or 'the channels (the estimate has none)'}"
        )

    def worth(present: frozenset[str]) -> float:
        return combiner(
            {
                name: Estimate(value if name in present else baseline[name], n=estimate.n)
                for name, value in own.items()
            }
        ).mean

    return shapley(worth, list(own), _method(len(own)), samples=2048)


def _method(players: int) -> Method:
    return "exact" if players <= 12 else "antithetic"


class _Remembered(Generic[Player]):
    """A game whose coalitions are valued once."""

    def __init__(self, game: Game[Player]) -> None:
        self._game = game
        self._known: dict[frozenset[Player], Value] = {}

    @property
    def asked(self) -> int:
        return len(self._known)

    def __call__(self, coalition: frozenset[Player]) -> Value:
        if coalition not in self._known:
            self._known[coalition] = self._game(coalition)
        return self._known[coalition]


def _exact(game: Game[Player], players: Sequence[Player]) -> dict[Player, Value]:
    n = len(players)
    if n > EXACT_AT_MOST:
        raise BadInput(
            f"shapley: {n} players have 2^{n} coalitions, too many to ask; "
            "use method='permutation' or 'antithetic'"
        )
    values: dict[Player, Value] = {}
    for player in players:
        others = [one for one in players if one != player]
        total: Value = 0.0
        for size in range(n):
            weight = 1.0 / (n * math.comb(n - 1, size))
            for chosen in combinations(others, size):
                before = frozenset(chosen)
                total = total + weight * (game(before | {player}) - game(before))
        values[player] = total
    return values


def _sampled(
    game: Game[Player], players: Sequence[Player], method: Method, samples: int, seed: int
) -> tuple[dict[Player, Value], dict[Player, Value]]:
    least = 4 if method == "antithetic" else 2
    if samples < least or (method == "antithetic" and samples % 2):
        raise BadInput(
            f"shapley: samples={samples} for method={method!r}; "
            f"give an {'even ' if least == 4 else ''}integer of at least {least}"
        )
    rng = Random(seed)
    if method == "permutation":
        draws = [_gains(game, _shuffled(players, rng)) for _ in range(samples)]
    else:
        draws = []
        for _ in range(samples // 2):
            order = _shuffled(players, rng)
            there, back = _gains(game, order), _gains(game, order[::-1])
            draws.append({player: 0.5 * (there[player] + back[player]) for player in players})
    means = {player: in_order(draw[player] for draw in draws) / len(draws) for player in players}
    errors = {
        player: (
            in_order((draw[player] - means[player]) ** 2 for draw in draws)
            / (len(draws) * (len(draws) - 1))
        )
        ** 0.5
        for player in players
    }
    return means, errors


def _shuffled(players: Sequence[Player], rng: Random) -> list[Player]:
    order = list(players)
    rng.shuffle(order)
    return order


def _gains(game: Game[Player], order: Sequence[Player]) -> dict[Player, Value]:
    return dict(_arrivals(game, order))


def _arrivals(game: Game[Player], order: Sequence[Player]) -> Iterator[tuple[Player, Value]]:
    coalition: frozenset[Player] = frozenset()
    before = game(coalition)
    for player in order:
        coalition = coalition | {player}
        after = game(coalition)
        yield player, after - before
        before = after
