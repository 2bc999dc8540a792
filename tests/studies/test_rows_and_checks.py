"""Rows are averaged and paired as told; checks decide by whole intervals."""

from __future__ import annotations

import pytest

from meritree.errors import BadInput
from meritree.stats import Interval
from meritree.studies.checks import Better, Bound, Where, decide, show
from meritree.studies.rows import Rows, SeedRow
from meritree.studies.study import verdict_of


def rows_of(values: dict[str, list[float]], dataset: str = "d") -> Rows:
    return Rows.of(
        SeedRow(seed, system, dataset, "m", value)
        for system, column in values.items()
        for seed, value in enumerate(column)
    )


def test_a_mean_is_over_all_matching_rows() -> None:
    rows = rows_of({"A": [1.0, 2.0], "B": [5.0, 7.0]})
    assert rows.mean("m", "A") == 1.5
    assert rows.mean("m") == 3.75


def test_an_unknown_row_is_refused_with_what_there_is() -> None:
    with pytest.raises(BadInput, match="systems: A, B"):
        rows_of({"A": [1.0], "B": [2.0]}).mean("m", "C")


def test_a_constant_difference_has_an_interval_of_no_width() -> None:
    rows = rows_of({"A": [1.0, 9.0, 4.0], "B": [2.0, 10.0, 5.0]})
    interval = rows.difference("m", "B", "A")
    assert (interval.mean, interval.low, interval.high, interval.n) == (1.0, 1.0, 1.0, 3)


def test_rows_without_a_partner_cannot_be_paired() -> None:
    with pytest.raises(BadInput, match="cannot be paired"):
        rows_of({"A": [1.0, 2.0], "B": [1.0]}).difference("m", "A", "B")


def test_differences_between_data_sets_do_not_widen_an_interval() -> None:
    near = rows_of({"A": [1.0, 1.0, 1.0]}, "near")
    far = rows_of({"A": [101.0, 101.0, 101.0]}, "far")
    interval = Rows(near.all + far.all).interval("m", "A")
    assert (interval.mean, interval.low, interval.high) == (51.0, 51.0, 51.0)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(0.1, 0.2, "holds"), (-0.1, 0.2, "inconclusive"), (-0.2, -0.1, "does not hold")],
)
def test_a_bound_is_decided_by_the_whole_interval(low: float, high: float, outcome: str) -> None:
    assert decide(Interval(0.0, low, high), low=0.0) == outcome
    assert decide(Interval(0.0, -high, -low), high=0.0) == outcome


def test_a_comparison_needs_three_pairs() -> None:
    better = Better("B beats A", "m", "B", "A")
    assert better(rows_of({"A": [1.0, 2.0], "B": [2.0, 3.0]})).outcome == "inconclusive"
    assert better(rows_of({"A": [1.0, 2.0, 3.0], "B": [2.0, 3.0, 4.0]})).outcome == "holds"


def test_equal_systems_are_not_better() -> None:
    same = rows_of({"A": [1.0, 2.0, 3.0], "B": [1.0, 2.0, 3.0]})
    assert Better("B beats A", "m", "B", "A")(same).outcome == "does not hold"
    assert Better("B is not worse", "m", "B", "A", by=-0.1)(same).outcome == "holds"


def test_lower_is_better_turns_the_comparison_round() -> None:
    rows = rows_of({"A": [2.0, 3.0, 4.0], "B": [1.0, 2.0, 3.0]})
    assert Better("B costs less", "m", "B", "A", higher=False)(rows).outcome == "holds"
    assert Better("B is higher", "m", "B", "A")(rows).outcome == "does not hold"


def test_a_bound_without_ends_is_refused() -> None:
    with pytest.raises(BadInput, match="at_least, at_most"):
        Bound("nothing", "m")


def test_an_interval_of_no_width_is_shown_as_one_number() -> None:
    assert show(Interval(1.5, 1.5, 1.5)) == "1.5"
    assert show(Interval(1.5, 1.0, 2.0)) == "1.5 [1, 2]"


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "does not hold"], "holds in part"),
        (["holds", "inconclusive"], "holds in part"),
        (["does not hold", "inconclusive"], "inconclusive"),
        (["does not hold", "does not hold"], "does not hold"),
    ],
)
def test_the_verdict_follows_from_the_outcomes(outcomes: list[str], verdict: str) -> None:
    assert verdict_of(outcomes) == verdict


def test_a_check_of_systems_that_were_left_out_is_inconclusive_and_names_them() -> None:
    rows = Rows.of(SeedRow(seed, "A", "d", "m", 1.0) for seed in range(4))
    check = Where(Bound("A is 1", "m", "A", at_least=1.0), ("A", "B"))
    found = check(rows)
    assert (found.claim, found.outcome) == ("A is 1", "inconclusive")
    assert "B not run" in found.figures
    assert Where(check.check, ("A",))(rows).outcome == "holds"
    assert Where(check.check, ("A",), "d")(rows).outcome == "holds"
    assert "A not run" in Where(check.check, ("A",), "another")(rows).figures
