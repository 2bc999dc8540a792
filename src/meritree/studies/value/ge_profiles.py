"""The profiles by which Ge et al. 2024 (arXiv 2405.14758) prove what rules break."""

from __future__ import annotations

from meritree.value.aggregate import Profile
from meritree.value.linear_choice import LinearRankings

Case = tuple[Profile[str], LinearRankings[str]]


def near_copies(p: float = 0.6, delta: float = 0.5, eps: float = 0.01) -> Case:
    """Theorem 3.1: three candidates and near copies (capitals); convex losses rank c above C."""
    features = {
        "a": (2.0, 1.0), "b": (1.0, 1.0), "c": (0.0, 0.0),
        "A": (2.0 - eps, 1.0), "B": (1.0 - eps, 1.0), "C": (-eps, delta * eps),
    }  # fmt: skip
    profile = Profile.of(["aAbBCc", "CcBbAa"], [p, 1.0 - p], "abcABC")
    return profile, LinearRankings(features)


# Appendix A.6, Table 1: (voters, order of the candidates +1 to +4), one profile a line.
_HIDDEN = (
    ((1, "2134"), (1, "3124"), (1, "3241"), (2, "4123")),
    ((2, "1234"), (2, "3241"), (1, "4123")),
    ((2, "1234"), (2, "2341"), (1, "4123")),
    ((2, "1234"), (2, "2413"), (1, "3412")),
)


def hidden_centre() -> tuple[list[Profile[str]], LinearRankings[str]]:
    """Theorem 3.7: profiles with the same majorities; no reward ranks the centre first.

    Whoever a rule that sees only majorities puts above the centre is dominated by it in one of
    the profiles.
    """
    features: dict[str, tuple[float, ...]] = {"*": (0.2,) * 4}
    for i in range(4):
        for sign in (1.0, -1.0):
            unit = tuple(sign * (i == j) for j in range(4))
            features[f"{'+' if sign > 0 else '-'}{i + 1}"] = unit
    names = list(features)
    profiles = []
    for ballots in _HIDDEN:
        rankings = [
            (f"+{order[0]}", "*", *(f"+{i}" for i in order[1:]), *(f"-{i}" for i in order[::-1]))
            for _, order in ballots
        ]
        profiles.append(Profile.of(rankings, [float(n) for n, _ in ballots], names))
    return profiles, LinearRankings(features)


def infeasible_order() -> Case:
    """Appendix B: the majorities are an order that no reward induces (the centre is first)."""
    features: dict[str, tuple[float, ...]] = {"*": (0.25,) * 3}
    for i in range(3):
        features[f"+{i}"] = tuple(float(i == j) for j in range(3))
        features[f"-{i}"] = tuple(-float(i == j) for j in range(3))
    rankings = LinearRankings(features)
    thetas = [(1.0, 0.2, 0.1), (0.2, 1.0, 0.1), (0.2, 0.1, 1.0)]
    names = list(features)
    return Profile.of([rankings.rank(t, names) for t in thetas], None, names), rankings


def copeland_groups() -> tuple[Profile[str], Profile[str]]:
    """Theorem C.2: two groups with one Copeland order, together with another; all feasible."""
    return (
        Profile.of(["agdefbc", "bacedfg", "baedfgc", "cefgbad", "dcfgbea"]),
        Profile.of(["adbfcge", "baedcgf", "caebfgd"]),
    )


# Theorem C.4: the entries of the candidates 1 to 20, as (coordinate, value).
_TWENTY = (
    [(0, 2e6)], [(1, 2e6)], [(1, 2e5)], [(1, 1e5), (2, 1e5)], [(2, 2e5)], [(2, 2e4)],
    [(2, 1e4), (3, 1e4)], [(3, 2e4)], [(3, 2e3)], [(3, 1e3), (4, 1e3)], [(4, 2e3)], [(4, 2e2)],
    [(4, 1e2), (5, 1e2)], [(5, 2e2)], [(5, 2e1)], [(5, 1e1), (6, 1e1)], [(6, 2e1)], [(6, 2.0)],
    [(0, 1.0), (6, 1.0)], [(0, 2.0)],
)  # fmt: skip


def twenty() -> tuple[Profile[int], LinearRankings[int]]:
    """Theorem C.4: linear Kemeny ranks 2 above 1, whom all six voters rank first."""
    features = LinearRankings(
        {
            candidate: tuple(dict(entries).get(i, 0.0) for i in range(7))
            for candidate, entries in enumerate(_TWENTY, start=1)
        }
    )
    thetas = [(*range(k, 0, -1), *range(7, k, -1)) for k in range(2, 8)]
    names = range(1, 21)
    return Profile.of([features.rank(t, names) for t in thetas], None, names), features
