"""One ranking, one answer or one number from several voters or judges.

Voters give complete rankings (a `Profile`); rules give scores or a ranking. Plain Python; which
rankings a model can express is `linear_choice`'s business, which axioms a rule keeps `axioms`'.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Generic, TypeVar

from meritree.errors import BadInput

Candidate = TypeVar("Candidate", bound=Hashable)
Pair = tuple[Candidate, Candidate]  # (a, b): a stands above b
Ranking = tuple[Candidate, ...]  # best first
KEMENY_AT_MOST = 16


@dataclass(frozen=True, slots=True)
class Profile(Generic[Candidate]):
    """Rankings of the same candidates by several voters.

    Attributes:
        candidates: all of them; their order is the priority by which rules break ties.
        rankings: one a kind of voter, best first, complete and without ties.
        weights: > 0, how many voters (or what share of them) each ranking stands for.
    """

    candidates: tuple[Candidate, ...]
    rankings: tuple[Ranking[Candidate], ...]
    weights: tuple[float, ...]

    @classmethod
    def of(
        cls,
        rankings: Sequence[Sequence[Candidate]],
        weights: Sequence[float] | None = None,
        candidates: Sequence[Candidate] | None = None,
    ) -> Profile[Candidate]:
        """A profile; ballots of weight 0 are left out.

        Args:
            rankings: complete, best first.
            weights: >= 0, not all 0; default: 1 each.
            candidates: in the order that breaks ties; default: by their ``repr``.

        Raises:
            BadInput: no ranking, a ranking that is not one of all candidates, impossible weights.
        """
        if not rankings or not rankings[0]:
            raise BadInput(f"profile: {len(rankings)} rankings; give at least one, not empty")
        order = tuple(candidates if candidates is not None else sorted(rankings[0], key=repr))
        known = set(order)
        if len(known) != len(order):
            raise BadInput(f"profile: candidates {order!r} name one twice")
        for position, ranking in enumerate(rankings):
            if len(ranking) != len(order) or set(ranking) != known:
                raise BadInput(
                    f"profile: rankings[{position}] = {tuple(ranking)!r} is not an order of the "
                    f"{len(order)} candidates; every voter must rank each of them once"
                )
        counts = tuple(weights) if weights is not None else (1.0,) * len(rankings)
        if len(counts) != len(rankings):
            raise BadInput(f"profile: {len(counts)} weights for {len(rankings)} rankings")
        for position, weight in enumerate(counts):
            if not 0.0 <= weight < math.inf:
                raise BadInput(f"profile: weights[{position}] is {weight}: must be finite and >= 0")
        kept = [(tuple(r), w) for r, w in zip(rankings, counts, strict=True) if w > 0.0]
        if not kept:
            raise BadInput("profile: all weights are 0; give one ranking a weight above 0")
        return cls(order, tuple(r for r, _ in kept), tuple(w for _, w in kept))

    @property
    def total(self) -> float:
        """Weight of all voters."""
        return math.fsum(self.weights)

    def __add__(self, other: Profile[Candidate]) -> Profile[Candidate]:
        """The voters of both; candidates keep this profile's priority."""
        return Profile.of(
            self.rankings + other.rankings, self.weights + other.weights, self.candidates
        )


def pairwise(profile: Profile[Candidate]) -> dict[Pair[Candidate], float]:
    """``n_ab``: weight of the voters who rank a above b, for every ordered pair."""
    counts = {(a, b): 0.0 for a in profile.candidates for b in profile.candidates if a != b}
    for ranking, weight in zip(profile.rankings, profile.weights, strict=True):
        for i, a in enumerate(ranking):
            for b in ranking[i + 1 :]:
                counts[a, b] += weight
    return counts


def majority_graph(profile: Profile[Candidate]) -> frozenset[Pair[Candidate]]:
    """Pairs (a, b) where more weight ranks a above b than b above a."""
    counts = pairwise(profile)
    return frozenset((a, b) for (a, b), n in counts.items() if n > counts[b, a])


def unanimous(profile: Profile[Candidate]) -> frozenset[Pair[Candidate]]:
    """Pairs (a, b) where every voter ranks a above b."""
    counts = pairwise(profile)
    return frozenset(pair for pair, n in counts.items() if not counts[pair[1], pair[0]] and n)


def plurality(profile: Profile[Candidate]) -> dict[Candidate, float]:
    """Weight of the voters who rank a candidate first."""
    scores = dict.fromkeys(profile.candidates, 0.0)
    for ranking, weight in zip(profile.rankings, profile.weights, strict=True):
        scores[ranking[0]] += weight
    return scores


def borda(profile: Profile[Candidate]) -> dict[Candidate, float]:
    """Weighted number of candidates ranked below, summed over voters."""
    scores = dict.fromkeys(profile.candidates, 0.0)
    for ranking, weight in zip(profile.rankings, profile.weights, strict=True):
        for below, candidate in enumerate(reversed(ranking)):
            scores[candidate] += weight * below
    return scores


def copeland(profile: Profile[Candidate], tie: float = 0.0) -> dict[Candidate, float]:
    """How many others a candidate beats by majority, plus ``tie`` for each tied one.

    Ge et al. 2024 (arXiv 2405.14758) count wins only; 1/2 for a tie is as usual.

    Raises:
        BadInput: ``tie`` outside [0, 1].
    """
    if not 0.0 <= tie <= 1.0:
        raise BadInput(f"copeland: tie={tie}: must lie in [0, 1]")
    counts = pairwise(profile)
    scores = dict.fromkeys(profile.candidates, 0.0)
    for (a, b), n in counts.items():
        scores[a] += 1.0 if n > counts[b, a] else tie if n == counts[b, a] else 0.0
    return scores


def ranked(
    scores: Mapping[Candidate, float], candidates: Sequence[Candidate]
) -> Ranking[Candidate]:
    """Candidates by descending score, ties in the order of ``candidates``."""
    return tuple(sorted(candidates, key=lambda candidate: -scores[candidate]))


def disagreement(ranking: Sequence[Candidate], profile: Profile[Candidate]) -> float:
    """Weighted number of pairs that voters order the other way (Kemeny's score)."""
    counts = pairwise(profile)
    return math.fsum(counts[b, a] for i, a in enumerate(ranking) for b in ranking[i + 1 :])


def kemeny(profile: Profile[Candidate]) -> Ranking[Candidate]:
    """The ranking with the least `disagreement`, by dynamic programming over sets (2^m m steps).

    Of several, the first in the lexicographic order of ``candidates``.

    Raises:
        BadInput: more than 16 candidates.
    """
    names = profile.candidates
    m = len(names)
    if m > KEMENY_AT_MOST:
        raise BadInput(f"kemeny: {m} candidates; exact up to {KEMENY_AT_MOST}")
    counts = pairwise(profile)
    against = [[counts.get((b, a), 0.0) for b in names] for a in names]  # b above a
    best = [0.0] * (1 << m)
    first = [0] * (1 << m)
    for remaining in range(1, 1 << m):
        members = [i for i in range(m) if remaining >> i & 1]
        costs = [
            math.fsum(against[i][j] for j in members) + best[remaining & ~(1 << i)] for i in members
        ]
        best[remaining] = min(costs)
        first[remaining] = members[costs.index(best[remaining])]
    remaining, chosen = (1 << m) - 1, []
    while remaining:
        chosen.append(names[first[remaining]])
        remaining &= ~(1 << first[remaining])
    return tuple(chosen)


def weighted_median(values: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """The value with at most half the weight on either side; midway where two share that.

    One judge with less than half the weight cannot move it beyond the others' values.

    Raises:
        BadInput: no value, unequal numbers, a number that is not finite, a negative weight, all 0.
    """
    chosen = tuple(weights) if weights is not None else (1.0,) * len(values)
    if not values or len(chosen) != len(values):
        raise BadInput(
            f"weighted_median: {len(values)} values and {len(chosen)} weights; "
            "give one weight for each value, and at least one value"
        )
    for position, (value, weight) in enumerate(zip(values, chosen, strict=True)):
        if not (math.isfinite(value) and 0.0 <= weight < math.inf):
            raise BadInput(
                f"weighted_median: values[{position}] = {value} with weight {weight}: "
                "values must be finite, weights finite and >= 0"
            )
    half = math.fsum(chosen) / 2.0
    if not half > 0.0:
        raise BadInput("weighted_median: all weights are 0; give one value a weight above 0")
    ordered = sorted((v, w) for v, w in zip(values, chosen, strict=True) if w > 0.0)
    below = 0.0
    for position, (value, weight) in enumerate(ordered):
        below += weight
        if math.isclose(below, half) and position + 1 < len(ordered):
            return 0.5 * value + 0.5 * ordered[position + 1][0]
        if below >= half:
            return value
    return ordered[-1][0]


@dataclass(frozen=True, slots=True)
class Vote:
    """The answer that most voters gave.

    Attributes:
        answer: as its first voter wrote it.
        share: of the weight, in (0, 1].
        lead: share minus the next answer's share, in [0, 1]; 0 for a tie.
        votes: weight by normalised answer, in order of appearance.
    """

    answer: str
    share: float
    lead: float
    votes: Mapping[str, float]


def plain(answer: str) -> str:
    """An answer without what does not change its meaning: case, spaces, end marks, number style.

    ``" The Answer. "`` and ``"the answer"`` are one, so are ``1,000``, ``1000.0`` and ``1e3``.
    """
    text = unicodedata.normalize("NFKC", answer).casefold()
    text = " ".join(text.split()).strip("\"'`$*").rstrip(".!;,").strip("\"'`$* ")
    number = re.sub(r"(?<=\d),(?=\d{3}(\D|$))", "", text)
    try:
        value = Decimal(number)
    except InvalidOperation:
        return text
    return f"{value.normalize() + 0:f}" if value.is_finite() else text


def majority(
    answers: Sequence[str],
    weights: Sequence[float] | None = None,
    normalise: Callable[[str], str] = plain,
) -> Vote:
    """The answer with most weight once `normalise` has made equal what means the same.

    Ties go to the answer given first.

    Raises:
        BadInput: no answers, or impossible weights.
    """
    chosen = tuple(weights) if weights is not None else (1.0,) * len(answers)
    if not answers or len(chosen) != len(answers):
        raise BadInput(f"majority: {len(answers)} answers and {len(chosen)} weights; give both")
    if not all(0.0 <= w < math.inf for w in chosen) or not any(chosen):
        raise BadInput(f"majority: weights {chosen}: must be finite and >= 0, not all 0")
    votes: dict[str, float] = {}
    written: dict[str, str] = {}
    for answer, weight in zip(answers, chosen, strict=True):
        key = normalise(answer)
        votes[key] = votes.get(key, 0.0) + weight
        written.setdefault(key, answer)
    total = math.fsum(votes.values())
    best = max(votes, key=lambda key: votes[key])
    second = max((w for key, w in votes.items() if key != best), default=0.0)
    return Vote(written[best], votes[best] / total, (votes[best] - second) / total, votes)
