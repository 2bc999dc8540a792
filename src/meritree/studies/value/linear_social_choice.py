"""S060: which rule for learning a reward from many voters breaks which axiom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from meritree.stats import Interval
from meritree.studies.checks import Outcome, Own
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PO, PMC, MC, WM, SEP = (
    "breaks Pareto optimality",
    "breaks pairwise majority",
    "breaks majority consistency",
    "breaks winner monotonicity",
    "breaks separability",
)
AXIOMS = (PO, PMC, MC, WM, SEP)
INFEASIBLE = "output no reward induces"
KEPT: Mapping[str, tuple[str, ...]] = {
    "LCPO": (PO, PMC, MC, WM),
    "majority BTL": (PMC,),
    "leximax Copeland": (PMC,),
    "linear Kemeny": (PMC, SEP),
    "Kemeny subject to PO": (PO,),
    "leximax plurality": (MC, WM, SEP),
}
BROKEN: Mapping[str, tuple[str, ...]] = {
    "BTL": (PO, PMC),
    "hinge": (PO, PMC),
    "majority BTL": (PO,),
    "leximax Copeland": (PO,),
    "LCPO": (SEP,),
    "linear Kemeny": (PO, MC),
    "Kemeny subject to PO": (SEP, MC),
}
Rules = Mapping[str, Callable[[Any], Any]]


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Rows of one seed: random profiles of two kinds; in seed 0 also the paper's own profiles."""
    if seed == 0:
        yield from _constructions()
    for dataset in ("random features", "near copies"):
        yield from _searched(dataset, seed, settings["profiles"])


def rules(features: Any, feasible: Any) -> Rules:
    """Every rule by name; the last three may output what no reward induces."""
    from meritree.value import aggregate, linear_choice

    def learned(profile: Any, **how: Any) -> Any:
        theta = linear_choice.loss_rule(profile, features, **how)
        return features.induced(theta, profile.candidates)

    def careful_kemeny(profile: Any) -> Any:
        return linear_choice.linear_kemeny(profile, feasible, aggregate.unanimous(profile))

    def by(scores: Callable[[Any], Any], profile: Any) -> Any:
        return aggregate.ranked(scores(profile), profile.candidates)

    return {
        "BTL": learned,
        "hinge": partial(learned, loss="hinge"),
        "majority BTL": partial(learned, majority=True),
        "leximax Copeland": partial(linear_choice.leximax_copeland, feasible=feasible),
        "LCPO": partial(linear_choice.lcpo, feasible=feasible),
        "leximax plurality": partial(linear_choice.leximax_plurality, feasible=feasible),
        "linear Kemeny": partial(linear_choice.linear_kemeny, feasible=feasible),
        "Kemeny subject to PO": careful_kemeny,
        "Borda": partial(by, aggregate.borda),
        "Copeland": partial(by, aggregate.copeland),
        "Kemeny": aggregate.kemeny,
    }


def _searched(dataset: str, seed: int, count: int) -> Iterator[Row]:
    import numpy as np

    from meritree.value.linear_choice import LinearRankings, among, feasible_rankings

    rng = np.random.default_rng([seed, dataset == "near copies"])
    points = rng.standard_normal((5, 2))
    if dataset == "near copies":
        points[3:] = points[:2] + 0.02 * rng.standard_normal((2, 2))
    features = LinearRankings({c: tuple(map(float, x)) for c, x in enumerate(points)})
    rankings = tuple(feasible_rankings(range(5), features))
    feasible = among(rankings)
    pairs = [_two_groups(rng, rankings) for _ in range(count)]
    for name, rule in rules(features, feasible).items():
        broken = dict.fromkeys(AXIOMS, 0)
        outside = 0
        for first, second in pairs:
            found, out = _judged(rule, first, second, feasible)
            outside += out
            for axiom in found:
                broken[axiom] += 1
        for axiom in AXIOMS:
            yield Row(name, dataset, axiom, broken[axiom] / count)
        yield Row(name, dataset, INFEASIBLE, outside / count)


def _two_groups(rng: Any, rankings: Any) -> tuple[Any, Any]:
    """Two groups of up to five kinds of voters, the second with the same ballots more or less."""
    from meritree.value.aggregate import Profile

    chosen = [rankings[i] for i in rng.integers(0, len(rankings), rng.integers(2, 6))]
    weights = rng.integers(1, 5, (2, len(chosen))).astype(float)
    first, second = (Profile.of(chosen, list(map(float, w)), range(5)) for w in weights)
    return first, second


def _judged(rule: Any, first: Any, second: Any, feasible: Any) -> tuple[list[str], bool]:
    """Axioms that a rule breaks on one profile (separability: on both), and: is it infeasible?"""
    from itertools import islice, pairwise

    from meritree.value import axioms

    ranking = rule(first)
    raised = islice(axioms.lifts(first, ranking[0], feasible), 3)
    found = {
        PO: axioms.pareto(first, ranking) is not None,
        PMC: axioms.pairwise_majority(first, ranking, feasible) is not None,
        MC: axioms.majority_consistency(first, ranking) is not None,
        WM: any(rule(profile)[0] != ranking[0] for profile in raised),
        SEP: axioms.separability(rule, first, second) is not None,
    }
    return [axiom for axiom, broken in found.items() if broken], not feasible(
        tuple(pairwise(ranking))
    )


def _constructions() -> Iterator[Row]:
    """The paper's own counter-examples."""
    from meritree.studies.value import ge_profiles
    from meritree.value import axioms
    from meritree.value.aggregate import Profile
    from meritree.value.linear_choice import any_order

    profile, features = ge_profiles.near_copies(p=0.75)
    by_name: Any = rules(features, features)
    for name in ("BTL", "hinge", "LCPO"):
        ranking = by_name[name](profile)
        yield _found(name, PO, axioms.pareto(profile, ranking))
        yield _found(name, PMC, axioms.pairwise_majority(profile, ranking, features))
    profiles, features = ge_profiles.hidden_centre()
    by_name = rules(features, features)
    for name in ("majority BTL", "leximax Copeland"):
        broken = [axioms.pareto(profile, by_name[name](profile)) for profile in profiles]
        yield _found(name, PO, next(filter(None, broken), None))
    first, second = ge_profiles.copeland_groups()
    yield _found("LCPO", SEP, axioms.separability(rules(None, any_order)["LCPO"], first, second))
    voters, reals = ge_profiles.twenty()
    by_name = rules(reals, reals)
    ranking = by_name["linear Kemeny"](voters)
    yield _found("linear Kemeny", PO, axioms.pareto(voters, ranking))
    yield _found("linear Kemeny", MC, axioms.majority_consistency(voters, ranking))
    rule = by_name["Kemeny subject to PO"]
    alone = rule(voters)
    other = reals.rank((1, 7, 6, 5, 4, 3, 2), voters.candidates)
    more = Profile.of([alone, alone, other], None, voters.candidates)
    yield _found("Kemeny subject to PO", PO, axioms.pareto(voters, alone))
    yield _found("Kemeny subject to PO", SEP, axioms.separability(rule, voters, more))
    both = voters + more
    yield _found("Kemeny subject to PO", MC, axioms.majority_consistency(both, rule(both)))


def _found(name: str, axiom: str, violation: Any) -> Row:
    return Row(name, "the paper's profiles", axiom, float(violation is not None))


def keeps(name: str) -> Own:
    """No counter-example in the search or among the paper's profiles."""

    def decide(rows: Rows) -> tuple[Outcome, str, Interval | None]:
        worst = {axiom: max(rows.values(axiom, name)) for axiom in KEPT[name]}
        text = ", ".join(f"{a.removeprefix('breaks ')}: {'broken' if w else 'never broken'}"
                         for a, w in worst.items())  # fmt: skip
        return "does not hold" if any(worst.values()) else "holds", text, None

    axioms = ", ".join(axiom.removeprefix("breaks ") for axiom in KEPT[name])
    return Own(f"{name} keeps {axioms}", decide)


def breaks(name: str) -> Own:
    """A counter-example in the search or among the paper's profiles for every axiom."""

    def decide(rows: Rows) -> tuple[Outcome, str, Interval | None]:
        where = {
            axiom: [d for d in rows.datasets
                    if any(r.value for r in rows.where(metric=axiom, system=name, dataset=d))]
            for axiom in BROKEN[name]
        }  # fmt: skip
        text = "; ".join(f"{a}: {', '.join(d) or 'no counter-example'}" for a, d in where.items())
        return "holds" if all(where.values()) else "inconclusive", text, None

    axioms = ", ".join(axiom.removeprefix("breaks ") for axiom in BROKEN[name])
    return Own(f"{name} breaks {axioms}", decide)


def draw(rows: Rows, figure: Figure) -> str:
    """Rates of violation on random profiles as a table of colours."""
    axes = figure.subplots()
    searched = rows.where(dataset="random features")
    names, columns = searched.systems, (*AXIOMS, INFEASIBLE)
    table = [[100 * searched.mean(axiom, name) for axiom in columns] for name in names]
    axes.imshow(table, cmap="Reds", vmin=0, vmax=30, aspect="auto")
    for i, line in enumerate(table):
        for j, rate in enumerate(line):
            text = f"{rate:.2g} %" if rate else "never"
            axes.text(j, i, text, ha="center", va="center", color="white" if rate > 15 else "black")
    short = [column.removeprefix("breaks ").replace(" ", "\n", 1) for column in columns]
    axes.set_xticks(range(len(columns)), short)
    axes.set_yticks(range(len(names)), names)
    return (
        "Share of random profiles (5 candidates with 2 random features, 2 to 5 weighted kinds of "
        f"voters) on which a rule breaks an axiom, {len(rows.seeds)} feature sets. 'never' means "
        "not once here; the paper's own profiles break more (see the table)."
    )


STUDY = Study(
    id="S060",
    name="linear-social-choice",
    paper=Paper(
        "Axioms for AI Alignment from Human Feedback",
        "Ge, Halpern, Micha, Procaccia, Shapira, Vorobeychik and Wu",
        2024,
        "2405.14758",
        read="full text with appendices",
    ),
    claim=(
        "Learning a linear reward with a convex loss (BTL) breaks Pareto optimality and pairwise "
        "majority consistency; leximax Copeland subject to Pareto optimality (LCPO) keeps both, "
        "and majority consistency and winner monotonicity; other rules keep and break axioms as "
        "in the paper's theorems."
    ),
    parts=(
        "meritree.value.linear_choice.lcpo",
        "meritree.value.linear_choice.loss_rule",
        "meritree.value.linear_choice.linear_kemeny",
        "meritree.value.aggregate.copeland",
        "meritree.value.axioms.pareto",
    ),
    data=(
        Data("random features", "5 candidates, normal features in 2 dimensions", "1 set a seed"),
        Data("near copies", "as above, 2 candidates are copies of others moved by 0.02", "1 set"),
        Data("the paper's profiles", "Theorems 3.1, 3.7, C.2, C.4, C.5", "8 profiles"),
    ),
    baselines=("BTL", "hinge", "majority BTL", "Borda", "Copeland", "Kemeny"),
    measure=measure,
    checks=(*map(keeps, KEPT), *map(breaks, BROKEN)),
    scales={
        "smoke": Scale(2, {"profiles": 8}),
        "full": Scale(60, {"profiles": 25}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "scipy"),
    notes=(
        "That an axiom is kept is a theorem; here no counter-example is found in a search, with "
        "exact linear programs. That one is broken is shown by a counter-example.",
        "Ties between scores go to the candidate with the lower number, whatever the votes: the "
        "paper leaves this open, and with ties broken by the profile Theorem 4.3 would fail.",
        "Where a theta agrees with every pair that counts, a loss has no minimum; the rule then "
        "outputs the ranking that all pairs ask for (equation 1).",
        "Footnote 7 of the paper names (1, 1) as the voters' parameter in Theorem 3.1; that gives "
        "another ranking. (delta, 2) gives the one intended.",
        "Borda, Copeland and Kemeny without regard to feasibility often output a ranking that no "
        "linear reward induces; that is why rules of linear social choice are needed.",
    ),
)
