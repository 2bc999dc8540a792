from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.swe.repair.priors import (
    HAND_SET_RULES,
    FailureSigns,
    KnownFix,
    PriorTable,
    Rule,
    fit,
    shipped,
)
from meritree.swe.repair.templates import TEMPLATES

TABLE = PriorTable({"var": 5.0, "cmp_op": 4.0, "guard_ins": 1.5, "drop_arg": 0.6})


def factor(template: str, **signs: tuple[str, ...]) -> float:
    return TABLE.factors(FailureSigns(**signs)).get(template, (1.0, ""))[0]


@pytest.mark.parametrize(
    ("template", "exception", "message", "expected"),
    [
        ("guard_ins", "AttributeError", "'NoneType' object has no attribute 'x'", 4.0),
        ("swap_args", "TypeError", "bad operand", 2.5),
        ("drop_arg", "TypeError", "bad operand", 2.5),
        ("drop_arg", "TypeError", "f() got an unexpected keyword argument 'x'", 4.0),
        ("attr", "AttributeError", "'A' object has no attribute 'x'", 2.0),
        ("off_by_one", "IndexError", "list index out of range", 2.0),
        ("var", "NameError", "name 'x' is not defined", 4.0),
        ("try_wrap", "KeyError", "'x'", 3.0),
        ("except_widen", "ValueError", "x", 3.0),
        ("except_widen", "TypeError", "'NoneType' object is not iterable", 4.0),
        ("cmp_op", "AssertionError", "assert 3 == 2", 1.0),
    ],
)
def test_exceptions_raise_the_templates_that_repair_them(
    template: str, exception: str, message: str, expected: float
) -> None:
    assert factor(template, exceptions=(exception,), messages=(message,)) == expected


def test_an_expected_truth_value_raises_returns_and_guards() -> None:
    assert factor("ret_replace", expected=("None",)) == 2.0
    assert factor("ret_replace", expected=("7",)) == 1.0


def test_where_rules_meet_the_largest_factor_wins_in_either_order() -> None:
    rules = (Rule("a", {"t": 2.0}, exceptions=("E",)), Rule("b", {"t": 3.0}, message="m"))
    signs = FailureSigns(("E",), ("m",))
    for order in (rules, rules[::-1]):
        assert PriorTable({"t": 1.0}, order).factors(signs)["t"] == (3.0, "b")


def test_weights_times_factors_and_the_default_for_unknown_templates() -> None:
    weights = TABLE.weigh(["var", "new"], FailureSigns(("NameError",)))
    assert weights == {"var": 20.0, "new": 1.0}


def test_the_json_form_gives_the_same_table_back() -> None:
    table = PriorTable({"x": 0.25}, (Rule("r", {"x": 3.0}, ("E",), "m", ("None",)),), 2.0, "mine")
    assert PriorTable.from_json(table.to_json()) == table
    assert PriorTable.from_json(TABLE.to_json()) == TABLE


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1}'])
def test_other_documents_are_refused_in_words(text: str) -> None:
    with pytest.raises(BadInput, match="prior table"):
        PriorTable.from_json(text)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_weights_must_be_positive_numbers(weight: float) -> None:
    with pytest.raises(BadInput, match="'t'"):
        PriorTable({"t": weight})


def test_without_any_fix_the_table_stays_as_it_is() -> None:
    assert fit([], TABLE).weights == TABLE.weights


def test_with_every_template_present_fitting_is_counting_with_additive_smoothing() -> None:
    fixes = [KnownFix("guard_ins")] * 6 + [KnownFix("var")] * 2
    fitted = fit(fixes, TABLE, strength=11.1)
    total = sum(TABLE.weights.values())
    for name, weight in TABLE.weights.items():
        count = {"guard_ins": 6, "var": 2}.get(name, 0)
        smoothed = (count + 11.1 * weight / total) / (8 + 11.1) * total
        assert fitted.weights[name] == pytest.approx(smoothed, rel=1e-6)


def test_only_the_choice_that_was_there_counts_against_a_template() -> None:
    table = PriorTable({"a": 1.0, "b": 1.0, "c": 1.0})
    fixes = [KnownFix("a", frozenset("ab"))] * 30
    weights = fit(fixes, table, strength=3.0).weights
    assert weights["a"] > weights["c"] > weights["b"]


def test_a_choice_that_the_failure_explains_moves_the_weight_less() -> None:
    table = PriorTable({"a": 1.0, "b": 1.0}, (Rule("r", {"a": 10.0}, exceptions=("E",)),))
    plain = fit([KnownFix("a")] * 10, table).weights["a"]
    explained = fit([KnownFix("a", signs=FailureSigns(("E",)))] * 10, table).weights["a"]
    assert plain > explained > 1.0


@given(st.lists(st.sampled_from(["var", "cmp_op", "guard_ins", "drop_arg"]), max_size=20))
def test_fitting_ignores_the_order_of_fixes_and_keeps_the_total(names: list[str]) -> None:
    one = fit([KnownFix(name) for name in names], TABLE).weights
    two = fit([KnownFix(name) for name in reversed(names)], TABLE).weights
    assert one == pytest.approx(two)
    assert sum(one.values()) == pytest.approx(sum(TABLE.weights.values()))
    assert min(one.values()) > 0


def test_a_template_that_the_table_did_not_know_is_learnt() -> None:
    assert fit([KnownFix("brand_new")] * 20, TABLE).weights["brand_new"] > TABLE.default


def test_the_table_that_comes_with_meritree_knows_every_template_and_its_source() -> None:
    table = shipped({name: each.weight for name, each in TEMPLATES.items()} | {"later": 7.0})
    assert set(table.weights) == {*TEMPLATES, "later"}
    assert 7.0 / 3 <= table.weights["later"] < 7.0  # as the fit lowers wide templates
    assert "injected faults" in table.source
    assert {rule.name for rule in table.rules} == {rule.name for rule in HAND_SET_RULES}
    assert PriorTable.from_json(table.to_json()) == table
    signs = FailureSigns(("UnboundLocalError",), ("cannot access local variable 'x'",))
    assert table.weigh(["swap_stmt"], signs)["swap_stmt"] > table.weights["swap_stmt"]
