"""Arguments are checked on entry, by shape and dtype only."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.objectives import checks, special
from meritree.objectives._namespace import check, namespace, take
from meritree.objectives._scan import reverse_linear

Q = np.zeros((2, 3))


def test_importing_the_room_imports_no_framework() -> None:
    code = (
        "import sys, pkgutil, importlib, meritree.objectives as room\n"
        "for m in pkgutil.iter_modules(room.__path__):\n"
        "    importlib.import_module(f'meritree.objectives.{m.name}')\n"
        "print(*sorted({'torch', 'jax', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_equal_leading_axes_are_accepted_and_the_library_is_returned(backend: Any) -> None:
    q, a, r = (
        backend.array(x) for x in (np.zeros((2, 3, 4)), np.zeros((2, 3), int), [[0.0] * 3] * 2)
    )
    xp = check("f", q=(q, "... A"), a=(a, "int ..."), r=(r, "..."), discount=(0.9, "... or number"))
    assert xp.__name__.split(".")[-1] in (backend.name, "numpy")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"q": (Q, "... A"), "r": (np.zeros((2, 1)), "...")}, ["r has shape (2, 1)", "with q"]),
        ({"q": (Q, "... A"), "p": (np.zeros((2, 4)), "... A")}, ["axis A", "A is 3"]),
        ({"v": (Q, "T+1 ..."), "r": (Q, "T ...")}, ["r has shape (2, 3)", "T is 1"]),
        ({"a": (np.zeros(2), "int ...")}, ["a has dtype float64", "integral"]),
        ({"q": (np.zeros(2, int), "...")}, ["q has dtype int64", "floating"]),
        ({"q": (np.zeros(()), "... A")}, ["q has shape ()"]),
        ({"q": (Q, "..."), "r": (np.zeros(()), "...")}, ["r has shape ()"]),
        ({"q": (Q, "..."), "r": (1.0, "...")}, ["r is the number 1.0", "[...]"]),
        ({"q": (np.zeros((2, 2)), "N")}, ["q has shape (2, 2)", "[N]"]),
        ({"q": (np.zeros(2), "... A"), "p": (1.0, "... A")}, ["p is the number 1.0"]),
        ({"q": (np.zeros((2, 2)), "... 3")}, ["axis 3"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_shape(arguments: Any, words: list[str]) -> None:
    with pytest.raises(BadInput) as error:
        check("td.some_function", **arguments)
    for word in ["td.some_function", *words]:
        assert word in str(error.value)


def test_arrays_of_two_libraries_and_plain_numbers_are_refused() -> None:
    import torch

    with pytest.raises(BadInput, match=r"numpy\.ndarray, torch\.Tensor"):
        namespace(np.zeros(1), torch.zeros(1))
    with pytest.raises(BadInput, match="only numbers"):
        namespace(1.0, None)


def test_take_picks_one_entry_of_an_inner_axis(backend: Any) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    index = np.array([2, 0])
    xp = namespace(backend.array(x))
    got = take(xp, backend.array(x), backend.array(index), trailing=1)
    np.testing.assert_array_equal(backend.numpy(got), x[[0, 1], [2, 0]])
    last = take(xp, backend.array(x[:, 0]), backend.array(index))
    np.testing.assert_array_equal(backend.numpy(last), [2.0, 12.0])


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 13])
def test_the_reverse_recursion_equals_a_plain_loop(backend: Any, steps: int) -> None:
    rng = np.random.default_rng(steps)
    x, decay, last = rng.normal(size=(steps, 2)), rng.uniform(0, 1, (steps, 2)), rng.normal(size=2)
    decay[steps // 2, 0] = 0.0
    expected, later = np.empty_like(x), last
    for t in reversed(range(steps)):
        later = expected[t] = x[t] + decay[t] * later
    x, decay, last = backend.array(x), backend.array(decay), backend.array(last)
    got = backend.numpy(reverse_linear(namespace(x), x, decay, last))
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-13)


SPECIAL = {
    "erf": ([-1.0, 0.0, 0.5], [-0.8427007929497149, 0.0, 0.5204998778130465]),
    "normal_cdf": ([-1.0, 0.0, 1.96], [0.15865525393145707, 0.5, 0.9750021048517795]),
    "log_normal_cdf": ([-20.0, 0.0], [-203.91715537109727, -0.6931471805599453]),
    "softmax": ([0.0, np.log(3.0), 0.0], [0.2, 0.6, 0.2]),
    "log_softmax": ([1000.0, 1000.0], [-np.log(2.0)] * 2),
    "logsumexp": ([1000.0, 1000.0 + np.log(3.0), -np.inf], 1000.0 + np.log(4.0)),
    "softplus": ([-1000.0, 0.0, 1000.0], [0.0, np.log(2.0), 1000.0]),
    "log_sigmoid": ([-1000.0, 0.0, 1000.0], [-1000.0, -np.log(2.0), 0.0]),
    "sigmoid": ([-1000.0, np.log(3.0), 1000.0], [0.0, 0.75, 1.0]),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions_have_their_known_values(backend: Any, name: str) -> None:
    at, value = SPECIAL[name]
    got = backend.numpy(getattr(special, name)(backend.array(at)))
    np.testing.assert_allclose(got, value, rtol=1e-10, atol=1e-15)


def test_special_functions_reduce_along_the_axis_they_are_told(backend: Any) -> None:
    x = backend.array(np.log([[1.0, 2.0], [3.0, 6.0]]))
    np.testing.assert_allclose(backend.numpy(special.logsumexp(x, axis=0)), np.log([4.0, 8.0]))
    np.testing.assert_allclose(backend.numpy(special.softmax(x, axis=0))[:, 0], [0.25, 0.75])
    np.testing.assert_allclose(
        backend.numpy(special.log_softmax(x, axis=0))[:, 1], np.log([0.25, 0.75])
    )


def test_values_are_checked_where_asked(backend: Any) -> None:
    good = backend.array([0.25, 0.75])
    assert checks.finite("p", good) is checks.probabilities("p", good) is good
    assert checks.increasing("p", good) is good
    with pytest.raises(BadInput, match=r"x \(2,\) has 1 entries"):
        checks.finite("x", backend.array([np.nan, 1.0]))
    with pytest.raises(BadInput, match=r"p has the entry -0\.5"):
        checks.probabilities("p", backend.array([-0.5, 1.5]))
    with pytest.raises(BadInput, match=r"p sums to 1 only within 0\.5"):
        checks.probabilities("p", backend.array([0.75, 0.75]))
    with pytest.raises(BadInput, match="smallest step is 0"):
        checks.increasing("support", backend.array([0.0, 1.0, 1.0]))


def test_a_tracer_passes_the_value_checks() -> None:
    import jax

    bad = jax.jit(lambda x: checks.probabilities("p", checks.finite("p", x)))(np.array([2.0, 3.0]))
    np.testing.assert_array_equal(np.asarray(bad), [2.0, 3.0])
