"""Axioms of rules that make one ranking of many: each checker returns a counter-example or None.

Definitions of Ge et al. 2024 (arXiv 2405.14758): Pareto optimality 2.1, pairwise majority
consistency 2.2, majority consistency 4.1, winner monotonicity 4.2, separability C.1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

from meritree.value.aggregate import (
    Candidate,
    Profile,
    Ranking,
    majority_graph,
    plurality,
    unanimous,
)
from meritree.value.linear_choice import Feasible

Rule = Callable[[Profile[Candidate]], Ranking[Candidate]]


@dataclass(frozen=True, slots=True)
class Violation(Generic[Candidate]):
    """A counter-example.

    Attributes:
        axiom: which one is broken.
        why: what is wrong, in words.
        profiles: where: the profile, or the several that the axiom compares.
    """

    axiom: str
    why: str
    profiles: tuple[Profile[Candidate], ...]


def pareto(
    profile: Profile[Candidate], ranking: Sequence[Candidate]
) -> Violation[Candidate] | None:
    """Whoever all voters rank above another stands above it."""
    place = {c: i for i, c in enumerate(ranking)}
    for a, b in sorted(unanimous(profile), key=repr):
        if place[a] > place[b]:
            why = f"every voter ranks {a!r} above {b!r}, the output does not"
            return Violation("Pareto optimality", why, (profile,))
    return None


def pairwise_majority(
    profile: Profile[Candidate],
    ranking: Sequence[Candidate],
    feasible: Feasible[Candidate] | None = None,
) -> Violation[Candidate] | None:
    """If the majorities are a ranking (and it is feasible), it is the output."""
    wanted = majority_ranking(profile)
    if wanted is None or wanted == tuple(ranking):
        return None
    if feasible is not None and not feasible(tuple(itertools.pairwise(wanted))):
        return None
    why = f"the majorities are the ranking {wanted!r}, the output is {tuple(ranking)!r}"
    return Violation("pairwise majority consistency", why, (profile,))


def majority_ranking(profile: Profile[Candidate]) -> Ranking[Candidate] | None:
    """The ranking in which every pair stands as a majority wants, None if there is none."""
    graph = majority_graph(profile)
    wins = dict.fromkeys(profile.candidates, 0)
    for a, _ in graph:
        wins[a] += 1
    # A tournament is an order if and only if the numbers of wins are m - 1, ..., 0.
    order = tuple(sorted(profile.candidates, key=lambda c: -wins[c]))
    m = len(order)
    return order if [wins[c] for c in order] == list(range(m - 1, -1, -1)) else None


def majority_consistency(
    profile: Profile[Candidate], ranking: Sequence[Candidate]
) -> Violation[Candidate] | None:
    """A candidate whom more than half of the voters rank first stands first."""
    for candidate, first in plurality(profile).items():
        if first > profile.total / 2 and ranking[0] != candidate:
            why = f"a majority ranks {candidate!r} first, the output begins with {ranking[0]!r}"
            return Violation("majority consistency", why, (profile,))
    return None


def winner_monotonicity(
    rule: Rule[Candidate],
    profile: Profile[Candidate],
    feasible: Feasible[Candidate] | None = None,
) -> Violation[Candidate] | None:
    """Raising the winner in one ballot (to any feasible one) leaves it the winner."""
    winner = rule(profile)[0]
    for raised in lifts(profile, winner, feasible):
        now = rule(raised)[0]
        if now != winner:
            why = f"{winner!r} wins; raised by one voter, it loses to {now!r}"
            return Violation("winner monotonicity", why, (profile, raised))
    return None


def lifts(
    profile: Profile[Candidate], candidate: Candidate, feasible: Feasible[Candidate] | None = None
) -> Iterator[Profile[Candidate]]:
    """All profiles in which one ballot has the candidate higher and the others in their order.

    With ``feasible``, only those whose new ballot is feasible.
    """
    for position, ballot in enumerate(profile.rankings):
        others = [c for c in ballot if c != candidate]
        for place in range(ballot.index(candidate)):
            new = (*others[:place], candidate, *others[place:])
            if feasible is None or feasible(tuple(itertools.pairwise(new))):
                ballots = list(profile.rankings)
                ballots[position] = new
                yield Profile(profile.candidates, tuple(ballots), profile.weights)


def separability(
    rule: Rule[Candidate], first: Profile[Candidate], second: Profile[Candidate]
) -> Violation[Candidate] | None:
    """If two groups of voters get one ranking, both together get it too."""
    apart = rule(first)
    if apart != rule(second):
        return None
    together = rule(first + second)
    if together == apart:
        return None
    why = f"both groups get {apart!r}, together they get {together!r}"
    return Violation("separability", why, (first, second))
