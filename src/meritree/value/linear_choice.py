"""Linear social choice: aggregating rankings where only rankings by a linear reward can be output.

Candidates have features x; a ranking is feasible if ``theta . x`` orders the candidates so for some
theta (Ge et al. 2024, arXiv 2405.14758). Rules take a test of feasibility, so that they also work
where everything is feasible. Needs SciPy (extra ``values``), imported on first use.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal

from meritree.errors import BadInput
from meritree.value.aggregate import (
    Candidate,
    Pair,
    Profile,
    Ranking,
    copeland,
    majority_graph,
    pairwise,
    plurality,
    ranked,
    unanimous,
)

Feasible = Callable[[Collection[Pair[Candidate]]], bool]
"""Whether some ranking that can be output has, for every pair (a, b), a above b."""

Loss = Literal["btl", "hinge"]


@dataclass(frozen=True)
class LinearRankings(Generic[Candidate]):
    """The rankings that a linear reward can induce.

    Attributes:
        features: [d] by candidate.
    """

    features: Mapping[Candidate, Sequence[float]]
    _known: dict[frozenset[Pair[Candidate]], tuple[float, ...] | None] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        sizes = {len(x) for x in self.features.values()}
        if len(sizes) != 1 or 0 in sizes:
            raise BadInput(
                f"linear rankings: features of {len(self.features)} candidates have lengths "
                f"{sorted(sizes)}; give each the same number, at least one"
            )
        for candidate, x in self.features.items():
            if not all(map(math.isfinite, x)):
                raise BadInput(f"linear rankings: features[{candidate!r}] = {x} are not all finite")

    def theta(self, pairs: Collection[Pair[Candidate]]) -> tuple[float, ...] | None:
        """A theta with ``theta . (x_a - x_b) >= 1`` for every pair (a, b), None if there is none.

        A margin of 1 loses nothing, as theta can be scaled (footnote 4 of the paper).
        """
        asked = frozenset(pairs)
        if asked not in self._known:
            self._known[asked] = self._solve(asked)
        return self._known[asked]

    def __call__(self, pairs: Collection[Pair[Candidate]]) -> bool:
        return self.theta(pairs) is not None

    def rank(self, theta: Sequence[float], candidates: Sequence[Candidate]) -> Ranking[Candidate]:
        """The ranking that ``theta`` induces, ties in the order of ``candidates``."""
        rewards = {
            c: math.fsum(t * v for t, v in zip(theta, self.features[c], strict=True))
            for c in candidates
        }
        return ranked(rewards, candidates)

    def induced(
        self, theta: Sequence[float], candidates: Sequence[Candidate]
    ) -> Ranking[Candidate]:
        """A feasible ranking that ``theta`` induces: equal rewards are ordered as some other can.

        The first such in the lexicographic order of ``candidates`` (footnote 4 of the paper).
        """
        ranking = self.rank(theta, candidates)
        rewards = [
            math.fsum(t * v for t, v in zip(theta, self.features[c], strict=True)) for c in ranking
        ]
        close = 1e-12 * max(map(abs, rewards))
        strict = [
            (ranking[i], b)
            for i, reward in enumerate(rewards)
            for b, other in zip(ranking[i + 1 :], rewards[i + 1 :], strict=True)
            if reward - other > close
        ]
        if len(strict) == len(ranking) * (len(ranking) - 1) // 2:
            return ranking
        return next(feasible_rankings(candidates, self, strict))

    def _solve(self, pairs: frozenset[Pair[Candidate]]) -> tuple[float, ...] | None:
        optimize = _scipy()
        width = len(next(iter(self.features.values())))
        if not pairs:
            return (0.0,) * width
        rows = [
            [q - p for p, q in zip(self.features[a], self.features[b], strict=True)]
            for a, b in pairs
        ]
        found = optimize.linprog(
            [0.0] * width, A_ub=rows, b_ub=[-1.0] * len(rows), bounds=(None, None), method="highs"
        )
        if found.status not in (0, 2):
            raise BadInput(
                f"linear rankings: the linear program failed ({found.message}); "
                "scale the features to similar sizes"
            )
        return tuple(map(float, found.x)) if found.status == 0 else None


def any_order(pairs: Collection[Pair[Candidate]]) -> bool:
    """Feasibility where every ranking can be output: the pairs must not go round in a circle."""
    above: dict[Candidate, set[Candidate]] = {}
    for a, b in pairs:
        above.setdefault(b, set()).add(a)
        above.setdefault(a, set())
    while above:
        tops = [c for c, dominators in above.items() if not dominators]
        if not tops:
            return False
        for top in tops:
            del above[top]
        for dominators in above.values():
            dominators.difference_update(tops)
    return True


def among(rankings: Iterable[Ranking[Candidate]]) -> Feasible[Candidate]:
    """Feasibility by a list of all rankings that can be output (see `feasible_rankings`)."""
    places = [{c: i for i, c in enumerate(ranking)} for ranking in rankings]

    def feasible(pairs: Collection[Pair[Candidate]]) -> bool:
        return any(all(place[a] < place[b] for a, b in pairs) for place in places)

    return feasible


def feasible_rankings(
    candidates: Sequence[Candidate],
    feasible: Feasible[Candidate],
    required: Collection[Pair[Candidate]] = (),
) -> Iterator[Ranking[Candidate]]:
    """All rankings that can be output with the required pairs, in lexicographic order."""
    yield from _extend((), tuple(candidates), feasible, frozenset(required))


def leximax(
    scores: Mapping[Candidate, float],
    candidates: Sequence[Candidate],
    feasible: Feasible[Candidate],
    required: Collection[Pair[Candidate]] = (),
) -> Ranking[Candidate]:
    """Fills places from the top, each with the highest score for which a ranking is feasible.

    Section 4 of the paper; at most m (m + 1) / 2 questions. Equal scores: the order of
    ``candidates``, which must not depend on the votes (with ties broken by the profile the paper's
    Theorem 4.3 fails).

    Raises:
        BadInput: no ranking is feasible with the required pairs.
    """
    fixed: tuple[Candidate, ...] = ()
    left = list(ranked(scores, candidates))
    needed = frozenset(required)
    while left:
        for candidate in left:
            rest = [c for c in left if c != candidate]
            if feasible(_implied((*fixed, candidate), rest, needed)):
                break
        else:
            raise BadInput(
                f"leximax: no feasible ranking begins with {fixed!r} and has the {len(needed)} "
                "required pairs; voters' own rankings must be feasible"
            )
        fixed, left = (*fixed, candidate), rest
    return fixed


def lcpo(profile: Profile[Candidate], feasible: Feasible[Candidate]) -> Ranking[Candidate]:
    """Leximax Copeland subject to Pareto optimality.

    Satisfies Pareto optimality, pairwise majority consistency, majority consistency and winner
    monotonicity (Theorem 4.3), not separability (Theorem C.2).
    """
    return leximax(copeland(profile), profile.candidates, feasible, unanimous(profile))


def leximax_copeland(
    profile: Profile[Candidate], feasible: Feasible[Candidate]
) -> Ranking[Candidate]:
    """Leximax by Copeland scores; as every rule that sees majorities only, not Pareto optimal."""
    return leximax(copeland(profile), profile.candidates, feasible)


def leximax_plurality(
    profile: Profile[Candidate], feasible: Feasible[Candidate]
) -> Ranking[Candidate]:
    """Leximax by first places: majority consistent, winner monotone, separable (Theorem C.6)."""
    return leximax(plurality(profile), profile.candidates, feasible)


def linear_kemeny(
    profile: Profile[Candidate],
    feasible: Feasible[Candidate],
    required: Collection[Pair[Candidate]] = (),
) -> Ranking[Candidate]:
    """The feasible ranking with the least disagreement, by branch and bound; exponential time.

    Satisfies pairwise majority consistency and separability (Theorem C.3), neither Pareto
    optimality nor majority consistency (Theorem C.4); with ``required=unanimous(profile)``, Pareto
    optimality but no longer separability (Theorem C.5). Of several, the first in the lexicographic
    order of the candidates.
    """
    counts = pairwise(profile)
    needed = frozenset(required)
    best: tuple[float, Ranking[Candidate]] | None = None

    place = {c: i for i, c in enumerate(profile.candidates)}

    def places(ranking: Ranking[Candidate]) -> list[int]:
        return [place[c] for c in ranking]

    def at_least(left: Sequence[Candidate]) -> float:
        return math.fsum(
            min(counts[a, b], counts[b, a]) for i, a in enumerate(left) for b in left[i + 1 :]
        )

    def visit(fixed: Ranking[Candidate], left: Sequence[Candidate], cost: float) -> None:
        nonlocal best
        if not left:
            if (
                best is None
                or cost < best[0] - 1e-9
                or (cost <= best[0] + 1e-9 and places(fixed) < places(best[1]))
            ):
                best = (cost, fixed)
            return
        options = []
        for candidate in left:
            rest = [c for c in left if c != candidate]
            now = cost + math.fsum(counts[other, candidate] for other in rest)
            options.append((now + at_least(rest), now, candidate, rest))
        for bound, now, candidate, rest in sorted(options, key=lambda option: option[0]):
            if best is not None and bound > best[0] + 1e-9:
                continue
            if feasible(_implied((*fixed, candidate), rest, needed)):
                visit((*fixed, candidate), rest, now)

    visit((), profile.candidates, 0.0)
    if best is None:
        raise BadInput("linear_kemeny: no feasible ranking has the required pairs")
    return best[1]


def loss_rule(
    profile: Profile[Candidate],
    rankings: LinearRankings[Candidate],
    loss: Loss = "btl",
    *,
    majority: bool = False,
    ridge: float = 1e-6,
) -> tuple[float, ...]:
    """The theta that minimises ``sum_{a != b} n_ab loss(theta . (x_b - x_a))`` (section 3).

    What learning a reward from human feedback does. Where some theta agrees with every pair that
    counts, the infimum is not attained and such a theta is returned (any comes as near as one
    likes once scaled: equation 1). Every such rule with a convex loss fails Pareto
    optimality and pairwise majority consistency (Theorem 3.1); with ``majority`` (only the side of
    each majority counts, n_ab in {0, 1}) it satisfies the latter (Theorem 3.6).

    Args:
        profile: the voters.
        rankings: the candidates' features.
        loss: ``btl``: log(1 + e^z); ``hinge``: max(0, 1 + z).
        majority: see above.
        ridge: of ``btl``, x |theta|^2 / 2 with the pairs' weights scaled to sum 1: gives theta a
            minimum where it has none in some direction.

    Raises:
        BadInput: candidates without features.
    """
    missing = [c for c in profile.candidates if c not in rankings.features]
    if missing:
        raise BadInput(f"loss_rule: no features for {missing[0]!r}; give each candidate its own")
    counts = (
        dict.fromkeys(majority_graph(profile), 1.0)
        if majority
        else {pair: n for pair, n in pairwise(profile).items() if n > 0.0}
    )
    if not counts:
        return (0.0,) * len(next(iter(rankings.features.values())))
    agreeing = rankings.theta(counts)
    if agreeing is not None:
        return agreeing
    differences = [
        [p - q for p, q in zip(rankings.features[a], rankings.features[b], strict=True)]
        for a, b in counts
    ]
    if loss == "btl":
        from meritree.value.bradley_terry import logistic

        return tuple(map(float, logistic(differences, list(counts.values()), ridge)))
    return _hinge(differences, list(counts.values()))


def _hinge(differences: list[list[float]], weights: list[float]) -> tuple[float, ...]:
    """min sum_i w_i s_i with s_i >= 1 - theta . d_i, s_i >= 0."""
    width, pairs = len(differences[0]), len(differences)
    slack = [[-1.0 if i == j else 0.0 for j in range(pairs)] for i in range(pairs)]
    found = _scipy().linprog(
        [0.0] * width + weights,
        A_ub=[[-v for v in d] + s for d, s in zip(differences, slack, strict=True)],
        b_ub=[-1.0] * pairs,
        bounds=[(None, None)] * width + [(0.0, None)] * pairs,
        method="highs",
    )
    if found.status:
        raise BadInput(f"hinge rule: the linear program failed ({found.message})")
    return tuple(map(float, found.x[:width]))


def _implied(
    fixed: Sequence[Candidate], rest: Sequence[Candidate], required: frozenset[Pair[Candidate]]
) -> frozenset[Pair[Candidate]]:
    """Pairs that say: ``fixed`` in this order at the top, the rest anyhow below, and required."""
    chain = set(itertools.pairwise(fixed))
    return required | chain | {(fixed[-1], below) for below in rest}


def _extend(
    fixed: Ranking[Candidate],
    left: tuple[Candidate, ...],
    feasible: Feasible[Candidate],
    required: frozenset[Pair[Candidate]],
) -> Iterator[Ranking[Candidate]]:
    if not left:
        yield fixed
        return
    for candidate in left:
        rest = tuple(c for c in left if c != candidate)
        if feasible(_implied((*fixed, candidate), rest, required)):
            yield from _extend((*fixed, candidate), rest, feasible, required)


def _scipy() -> Any:
    try:
        from scipy import optimize
    except ImportError as error:
        raise BadInput(
            "linear programs need the package scipy: pip install 'meritree[values]'"
        ) from error
    return optimize
