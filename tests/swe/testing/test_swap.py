"""Which edits are judged by hot swap, and that each kind of function really is swapped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_repos import Bench, write

SOURCE = """
from __future__ import annotations
import asyncio, contextlib, functools

LIMIT = 10


def plain(a, b):
    return a - b


def default(a, b=0):
    return a + b


def keyword(a, *, step=LIMIT):
    return a + step


def outer(x):
    def inner(y):
        return x - y
    return inner


held = outer(10)


def decorate(f):
    @functools.wraps(f)
    def wrapper(*args):
        return f(*args) - 1
    return wrapper


@decorate
def decorated(a):
    return a * 3


class Base:
    def area(self):
        return 2


class Shape(Base):
    __secret = 5
    sides = 4

    def __init__(self, n=1):
        self.n = n

    @property
    def double(self):
        return self.n * 3

    @classmethod
    def make(cls, n):
        return cls(n - 1)

    @staticmethod
    def unit():
        return 2

    def area(self):
        return super().area() * self.n - 1

    def secret(self):
        return self.__secret - 1


def numbers(n):
    for i in range(n):
        yield i


async def later(n):
    await asyncio.sleep(0)
    return n - 1


@contextlib.contextmanager
def opened(n):
    yield n - 1


@functools.lru_cache(maxsize=None)
def cached(n):
    return n - 1


def built():
    return {"k": 1}


TABLE = built()

if LIMIT > 5:
    def branch():
        return "wrong"
else:
    def branch():
        return "other"
"""

CASES = {
    "plain": ("assert plain(5, 2) == 7", "return a - b", "return a + b", "hot"),
    "default": ("assert default(5) == 6", "def default(a, b=0)", "def default(a, b=1)", "hot"),
    "keyword": ("assert keyword(5) == 16", "step=LIMIT)", "step=LIMIT + 1)", "hot"),
    "closure": ("assert held(3) == 13", "return x - y", "return x + y", "hot"),
    "wrapper": ("assert decorated(2) == 7", "f(*args) - 1", "f(*args) + 1", "hot"),
    "decorated": ("assert decorated(1) == 4", "return a * 3", "return a * 5", "hot"),
    "property": ("assert Shape(2).double == 4", "self.n * 3", "self.n * 2", "hot"),
    "classmethod": ("assert Shape.make(3).n == 3", "cls(n - 1)", "cls(n)", "hot"),
    "staticmethod": (
        "assert Shape.unit() == 3",
        "def unit():\n        return 2",
        "def unit():\n        return 3",
        "hot",
    ),
    "super": ("assert Shape(3).area() == 6", "* self.n - 1", "* self.n", "hot"),
    "mangled": ("assert Shape().secret() == 5", "self.__secret - 1", "self.__secret", "hot"),
    "generator": ("assert list(numbers(2)) == [1, 2]", "yield i", "yield i + 1", "hot"),
    "async": ("assert asyncio.run(later(2)) == 2", "return n - 1\n\n\n@ctx", "", "hot"),
    "context": ("assert entered(3) == 3", "yield n - 1", "yield n", "hot"),
    "cached": ("assert cached(4) == 4", "(maxsize=None)\ndef cached(n):\n    return n - 1",
               "(maxsize=None)\ndef cached(n):\n    return n", "hot"),
    "branch": ("assert branch() == 'right'", 'return "wrong"', 'return "right"', "hot"),
    "import-time function": ("assert TABLE == {'k': 2}", '{"k": 1}', '{"k": 2}', "cold"),
    "module constant": ("assert LIMIT == 11", "LIMIT = 10", "LIMIT = 11", "cold"),
    "class body": ("assert Shape.sides == 3", "sides = 4", "sides = 3", "cold"),
    "decorator": ("assert decorated(1) == 3", "@decorate\n", "", "cold"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("swap")
    tests = ["import asyncio", "from pkg.code import *", "from pkg.code import held, TABLE, LIMIT"]
    tests += ["def entered(n):", "    with opened(n) as x:", "        return x"]
    for number, (check, *_rest) in enumerate(CASES.values()):
        tests += [f"def test_{number}():", f"    {check}"]
    write(root, {"pkg/__init__.py": "", "pkg/code.py": SOURCE})
    (root / "test_code.py").write_text("\n".join(tests) + "\n")
    with Bench(root) as opened:
        yield opened


@pytest.mark.parametrize("name", CASES)
def test_the_edit_takes_effect_by_the_expected_way(bench: Bench, name: str) -> None:
    _check, old, new, how = CASES[name]
    if name == "async":
        old, new = (
            "await asyncio.sleep(0)\n    return n - 1",
            "await asyncio.sleep(0)\n    return n",
        )
    outcome = bench.try_("pkg/code.py", (old, new))
    test = f"test_code.py::test_{list(CASES).index(name)}"
    evaluator = bench.evaluator
    assert outcome.how == how, outcome.reason_not_hot
    if test not in outcome.results:  # beyond the cap of graded targets: ask for it alone
        from meritree.swe.testing import Evaluator

        with Evaluator(bench.session, [test], (), bench.coverage) as evaluator:
            text = (bench.root / "pkg/code.py").read_text().replace(old, new, 1)
            outcome = evaluator.evaluate({"pkg/code.py": text})
    assert outcome.results[test].status == "passed", outcome.results[test]


def test_every_case_fails_on_the_original(bench: Bench) -> None:
    assert len(bench.baseline.failing) == len(CASES)
    assert bench.baseline.flaky == ()
    assert bench.baseline.unstable == ()


def test_after_a_swap_the_original_is_back(bench: Bench) -> None:
    bench.try_("pkg/code.py", ("def default(a, b=0)", "def default(a, b=1)"))
    same = bench.evaluator.evaluate({"pkg/code.py": (bench.root / "pkg/code.py").read_text()})
    for test, result in same.results.items():
        assert result.signature == bench.baseline.results[test].signature


def test_why_an_edit_is_not_hot_is_said(bench: Bench) -> None:
    reason = bench.try_("pkg/code.py", ('{"k": 1}', '{"k": 3}')).reason_not_hot
    assert "built" in reason
    assert "import" in reason


def test_two_functions_may_change_at_once(bench: Bench) -> None:
    outcome = bench.try_(
        "pkg/code.py", ("return a - b", "return (a +\n        b)"), ("self.n * 3", "self.n * 2")
    )
    assert outcome.how == "hot"


def test_code_that_does_not_compile_is_invalid_and_runs_nothing(bench: Bench) -> None:
    outcome = bench.try_("pkg/code.py", ("return a - b", "return a -"))
    assert outcome.invalid
    assert outcome.ran == 0


def test_an_equal_candidate_is_judged_once(bench: Bench) -> None:
    first = bench.try_("pkg/code.py", ("return a - b", "return a % b"))
    again = bench.try_("pkg/code.py", ("return a - b", "return a % b"))
    assert again.how == "cached"
    assert again.results == first.results


def test_mending_some_targets_is_no_progress_if_something_breaks(tmp_path: Path) -> None:
    """Deleting the check mends one target of two; the guard of the check says what it cost."""
    code = """
        def check(n):
            if n >= 10:
                raise ValueError("too long")
            return n // 3
    """
    tests = """
        import pytest
        from code_ import check

        def test_the_limit_itself_is_allowed():
            check(10)

        def test_half():
            assert check(4) == 2

        def test_beyond_the_limit():
            with pytest.raises(ValueError):
                check(11)
    """
    root = write(tmp_path, {"code_.py": code, "test_code.py": tests})
    with Bench(root) as bench:
        assert len(bench.baseline.failing) == 2
        deleted = bench.try_("code_.py", ('raise ValueError("too long")', "pass"))
        assert not deleted.passed_all
        assert deleted.regressions == ("test_code.py::test_beyond_the_limit",)
        right = bench.try_("code_.py", (">= 10", "> 10"))
        assert right.regressions == ()
        assert right.ran == 3
        neither = bench.try_("code_.py", (">= 10", ">= 9"))
        assert neither.regressions == ()
        assert neither.ran == 2
