from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.swe.edits import Edit, Splice
from meritree.swe.repair.patch_facts import patch_facts
from meritree.swe.repair.ranking import (
    WEIGHTS,
    LabelledPatch,
    PlausiblePatch,
    all_features,
    fit,
    rank,
)

BEFORE = "def f(x, y):\n    if x.size < y:\n        return g(x)\n    return y\n"


def patch(key: str, after: str, template: str = "t", **more: object) -> PlausiblePatch:
    edit = Edit("m.py", (Splice(0, 0, ""),), template, 1.0, 2, "f")
    before, new = {"m.py": BEFORE}, {"m.py": after}
    return PlausiblePatch(key, (edit,), before, new, **more)  # type: ignore[arg-type]


def evidence(after: str, **more: object) -> dict[str, float]:
    return {f.name: f.value for f in all_features([patch("k", after, **more)])[0]}


@pytest.mark.parametrize(
    ("feature", "old", "new"),
    [
        ("exit_added", "    if x.size", "    if not x:\n        return y\n    if x.size"),
        ("literal_returned", "    return y", "    return 7"),
        ("constant_condition", "x.size < y", "True"),
        ("constant_condition", "x.size < y", "x.size < y or True"),
        ("attribute_dropped", "x.size", "x"),
        ("call_dropped", "g(x)", "x"),
        ("statement_removed", "        return g(x)\n", "        pass\n"),
        ("swallowed", "        return g(x)\n",
         "        try:\n            return g(x)\n        except KeyError:\n            pass\n"),
    ],
)  # fmt: skip
def test_bypassed_behaviour_is_seen(feature: str, old: str, new: str) -> None:
    changed = BEFORE.replace(old, new)
    assert changed != BEFORE
    if feature == "statement_removed":
        changed = BEFORE.replace("    return y\n", "")
    assert evidence(changed)[feature] == 1.0
    assert evidence(BEFORE.replace("<", "<="))[feature] == 0.0


def test_a_constant_of_the_test_written_into_the_code_is_seen() -> None:
    changed = BEFORE.replace("x.size < y", "x.size < 41")
    assert evidence(changed, test_literals=frozenset({"41"}))["test_literal"] == 1.0
    assert evidence(changed, test_literals=frozenset({"42"}))["test_literal"] == 0.0


def test_an_ordinary_correction_comes_before_bypasses_of_equal_probability() -> None:
    right = patch("right", BEFORE.replace("<", "<="), "cmp_op")
    guarded = BEFORE.replace("    if x", "    if not y:\n        return 0\n    if x")
    wrong = [
        patch("guard", guarded, "guard_ins"),
        patch("constant", BEFORE.replace("x.size < y", "True"), "cond_const"),
        patch("attribute", BEFORE.replace("x.size", "x"), "drop_attr"),
    ]  # fmt: skip
    best = rank([*wrong, right])[0]
    assert best.patch.key == "right"
    assert any("ordinary" in reason for reason in best.reasons(WEIGHTS))


@pytest.mark.parametrize(
    ("written", "odd"),
    [
        ("x < x", 1), ("x < y", 0), ("4 == x", 1), ("x == 4", 0), ("4 in x", 0), ("x or x", 1),
        ("x - x", 1), ("x - 1", 0), ("x + 0", 1), ("7 % x", 1), ("x % 7", 0), ("'%s' % x", 0),
        ("x.append(x)", 1), ("x.append(y)", 0), ("- -x", 1), ("f() == f()", 0),
        ("-x * 1", 1), ("1 * x", 1), ("x * 2", 0), ("x / 1", 1), ("x ** 1", 1), ("1 / x", 0),
        ("x // 1", 0), ("0 + x", 1), ("0 - x", 0), ("x or False", 1), ("x and True", 1),
        ("x or True", 0), ("x or None", 0), ("y if x else y", 1), ("not not x", 1), ("x *= 1", 1),
        ("x *= 2", 0),
    ],
)  # fmt: skip
def test_code_that_nobody_means_speaks_against_who_makes_it_and_for_who_mends_it(
    written: str, odd: int
) -> None:
    changed = {"m.py": BEFORE + f"    {written}\n"}
    assert patch_facts({"m.py": BEFORE}, changed).oddities == odd
    assert patch_facts(changed, {"m.py": BEFORE}).oddities == -odd


def test_a_change_wrapped_in_one_that_does_nothing_comes_after_the_plain_one() -> None:
    plain, wrapped = BEFORE.replace("return y", "return -y"), ("return -y * 1", "return 0 + -y")
    likelier = [patch(w, BEFORE.replace("return y", w), "bin_op", probability=0.1) for w in wrapped]
    simple = patch("plain", plain, "unary_ins", probability=0.05)
    assert rank([*likelier, simple])[0].patch.key == "plain"


def test_of_equal_scores_the_smaller_change_comes_first() -> None:
    small, large = (
        patch(key, BEFORE.replace("return y", f"return {key}")) for key in ("x", "g(y, x)")
    )
    alike = dict.fromkeys(WEIGHTS, 0.0)
    assert [one.patch.key for one in rank([large, small], alike)] == ["x", "g(y, x)"]


def test_a_variable_mended_comes_before_a_negation_that_leaves_the_slip() -> None:
    before = {"m.py": "def clamp(value, low):\n    if value < value:\n        return low\n"}
    negated, mended = (
        PlausiblePatch(
            key, (Edit("m.py", (Splice(0, 0, ""),), key, 1.0, 2, "clamp"),), before,
            {"m.py": before["m.py"].replace("value < value", new)}, chance,
        )
        for key, new, chance in (("negate", "value >= value", 0.5), ("var", "value < low", 0.03))
    )  # fmt: skip
    assert [one.patch.key for one in rank([negated, mended])] == ["var", "negate"]


def test_a_constant_returned_is_no_ordinary_correction() -> None:
    returned = {
        f.name: f.value
        for f in all_features([patch("k", BEFORE.replace("return y", "return 7"), "const")])[0]
    }
    assert (returned["literal_returned"], returned["ordinary"]) == (1.0, 0.0)
    assert evidence(BEFORE.replace("return g(x)", "return g(y)"))["ordinary"] == 0.0
    named = all_features([patch("k", BEFORE.replace("g(x)", "g(y)"), "var")])[0]
    assert {f.name: f.value for f in named}["ordinary"] == 1.0


def test_patches_that_behave_alike_support_each_other() -> None:
    alike = [patch(k, BEFORE.replace("<", op), "cmp_op", behaviour="same")
             for k, op in (("a", "<="), ("b", "!="))]  # fmt: skip
    alone = patch("alone", BEFORE.replace("<", ">"), "cmp_op", behaviour="other")
    assert rank([alone, *alike])[-1].patch.key == "alone"


@given(st.permutations(["<=", ">", ">=", "!="]))
def test_the_order_of_the_input_decides_nothing_but_ties(operators: list[str]) -> None:
    prior = {"<=": 0.1, ">": 0.05, ">=": 0.01, "!=": 0.001}
    patches = [patch(o, BEFORE.replace("<", o), "cmp_op", probability=prior[o]) for o in operators]
    assert [item.patch.key for item in rank(patches)] == ["<=", ">", ">=", "!="]


def test_nothing_to_rank_gives_nothing() -> None:
    assert rank([]) == ()


def test_fitting_learns_which_feature_tells_right_from_wrong() -> None:
    task = [LabelledPatch({"exit_added": 0.0}, False), LabelledPatch({"exit_added": 1.0}, True)]
    weights = fit([task] * 40, {"exit_added": -1.0, "natural": 1.5})
    assert weights["exit_added"] > 0
    assert weights["natural"] == pytest.approx(1.5)


def test_fitting_reaches_the_stationary_point_of_the_penalised_likelihood() -> None:
    from math import exp

    task = [LabelledPatch({"a": 2.0}, True), LabelledPatch({"a": 0.5}, False)]
    w = fit([task] * 3, {"a": 0.2}, strength=2.0)["a"]
    assert 2.0 * (w - 0.2) == pytest.approx(3 * 1.5 / (1 + exp(1.5 * w)), abs=1e-4)


def test_without_wrong_patches_the_weights_stay_and_a_prior_is_demanded() -> None:
    assert fit([[LabelledPatch({"a": 1.0}, True)]], {"a": 0.3}) == {"a": 0.3}
    with pytest.raises(BadInput, match="strength"):
        fit([], strength=0)
