"""Partial credit: closed forms of the similarity of values, and signatures that stay."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.swe.harness import grade

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (3, 3.0, 1.0),
        (3, 4, 0.9 / (1 + math.log(2))),
        ("abcd", "abcd", 0.95),
        ("abcd", "abxy", 0.95 * 0.5),
        ("x" * 2001, "x", 0.3),
        ([], (), 1.0),
        ([1, 2], [1, 2], 0.95),
        ([0] * 301, [0] * 301, 0.2),
        ({"a": 1, "b": 2}, {"a": 1}, 0.95 * 0.5),
        ({1}, {2}, 0.2),
        (None, "x", 0.05),
        (pytest.approx(4.0), 4.0, 1.0),
    ],
)
def test_similarity_has_the_value_of_its_formula(a: object, b: object, expected: float) -> None:
    assert grade.similarity(a, b) == pytest.approx(expected)


@given(values, values)
def test_similarity_lies_between_0_and_1(a: object, b: object) -> None:
    near = grade.similarity(a, b)
    assert near is None or 0.0 <= near <= 1.0


@given(st.integers(), st.integers(0, 1000), st.integers(1, 1000))
def test_nearer_numbers_are_more_similar(a: int, gap: int, more: int) -> None:
    near, far = grade.similarity(a, a + gap), grade.similarity(a, a + gap + more)
    assert near is not None
    assert far is not None
    assert near >= far


def test_values_whose_methods_raise_are_not_similar() -> None:
    class Bad(list):  # type: ignore[type-arg]
        def __len__(self) -> int:
            raise OSError

    assert grade.similarity(Bad([1]), [1]) == 0.0


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        ("passed", None, 1.0),
        ("skipped", None, 1.0),
        ("failed", AssertionError(), 0.3),
        ("error", ValueError(), 0.05),
        ("error", RecursionError(), 0.02),
        ("error", MemoryError(), 0.0),
        ("timeout", None, 0.0),
        ("crashed", None, 0.0),
    ],
)
def test_credit_by_status(status: str, error: BaseException | None, expected: float) -> None:
    assert grade.credit(status, error, None)[0] == expected


def test_a_failed_equality_gets_a_tenth_and_nine_tenths_of_the_similarity() -> None:
    graded, near = grade.credit("failed", AssertionError(), (3, 4))
    assert graded == pytest.approx(0.1 + 0.9 * near)


def test_signatures_do_not_depend_on_addresses_paths_and_numbers_of_processes() -> None:
    one = grade.signature("E", "<A at 0x7f00aa> in /w/r/a.py /tmp/x-1/y 123456789", "/w/r")
    two = grade.signature("E", "<A at 0x7f11bb> in /w/r/a.py /tmp/z-2/y 987654321", "/w/r")
    assert one == two
    assert len(grade.signature("E", "x" * 500, "/w")) == len("E: ") + 80
