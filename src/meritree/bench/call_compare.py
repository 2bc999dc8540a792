"""Compare versions of functions on the calls that a test run makes; runs in a case's interpreter.

Stands alone: it must import nothing but the standard library and pytest, because the
interpreter that runs it need not have this package.

While the tests run on the developer's version, every call of a chosen function is caught; on
deep copies of its arguments, and on seeded small changes of them, the developer's version and
the others are run, and their results, exceptions and changed arguments compared.
Usage: python call_compare.py JOB.json OUT.json [pytest arguments]
"""

from __future__ import annotations

import copy
import json
import os
import random
import signal
import sys
import types
from collections.abc import Iterator
from itertools import islice
from typing import Any

MAX_CALLS = 400  # calls of the tests that are compared
VARIANTS = 6  # changed argument lists per call
MAX_ITEMS = 200  # items taken from a generator
SECONDS = 0.5  # per execution of one version


_Cells = dict[str, types.CellType]


class OutOfTime(BaseException):
    """One version ran too long on one input."""


def describe(value: Any, depth: int = 6, seen: tuple[int, ...] = ()) -> Any:
    """A comparable description of a value: structure and contents, never an address."""
    if isinstance(value, (int, float, complex, str, bytes, bool, type(None))):
        return (type(value).__name__, repr(value))
    if depth == 0 or id(value) in seen:
        return type(value).__name__
    seen = (*seen, id(value))
    name = type(value).__name__
    if isinstance(value, (list, tuple)):
        return (name, [describe(item, depth - 1, seen) for item in islice(value, MAX_ITEMS)])
    if isinstance(value, (set, frozenset)):
        return (name, sorted(repr(describe(item, depth - 1, seen)) for item in value))
    if isinstance(value, dict):
        pairs = islice(value.items(), MAX_ITEMS)
        found = [(describe(k, depth - 1, seen), describe(v, depth - 1, seen)) for k, v in pairs]
        return (name, found)
    if isinstance(value, (types.FunctionType, types.MethodType, type, types.ModuleType)):
        return (name, getattr(value, "__qualname__", name))
    state = getattr(value, "__dict__", None)
    if isinstance(state, dict):
        inner = sorted(state.items(), key=lambda pair: str(pair[0]))
        return (name, [(str(k), describe(v, depth - 1, seen)) for k, v in inner])
    return name


def varied(value: Any, chance: random.Random) -> Any:
    """One small change of a plain value, or the value itself where none is known."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        # Halves too: `n + 1 <= m` and `n < m` differ only between whole numbers.
        return chance.choice([value + 1, value - 1, 0, -value, value * 2, value + 0.5, value - 0.5])
    if isinstance(value, float):
        return chance.choice([value + 1.0, -value, 0.0, value / 2])
    if type(value) in (str, bytes) and value:
        at = chance.randrange(len(value))
        double = value[:at] + value[at : at + 1] + value[at:]
        return chance.choice([value[:at] + value[at + 1 :], value[:at], value[at:], double])
    if type(value) in (list, tuple) and value:
        at = chance.randrange(len(value))
        one = type(value)([varied(value[at], chance)])
        return chance.choice(
            [
                value[:at] + value[at + 1 :],
                value + value[at : at + 1],
                value[:at] + one + value[at + 1 :],
            ]
        )
    if type(value) is dict and value:
        key = chance.choice(list(value))
        if chance.random() < 0.5:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: varied(value[key], chance)}
    return value


def find_code(module_code: types.CodeType, qualname: str) -> types.CodeType | None:
    """The code object with this qualified name inside a module's code, or None."""
    todo = [module_code]
    while todo:
        code = todo.pop()
        if code.co_qualname == qualname:
            return code
        todo += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return None


def shown(value: Any) -> str:
    """The beginning of a value's ``repr``; its kind where that raises, as half-made objects do."""
    try:
        return repr(value)[:300]
    except Exception:  # noqa: BLE001 - the value's own method may raise anything
        return f"<{type(value).__name__}>"


class Comparer:
    """Catches the calls and counts agreement of the other versions with the developer's."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.path = os.path.realpath(job["path"])
        self.chance = random.Random(job["seed"])
        self.versions: dict[str, dict[str, types.CodeType | None]] = {}
        for name, text in job["versions"].items():
            code = compile(text, self.path, "exec")
            self.versions[name] = {q: find_code(code, q) for q in job["functions"]}
        self.functions = set(job["functions"])
        zero = {"recorded": 0, "recorded_differ": 0, "varied": 0, "varied_differ": 0}
        self.counts = {name: dict(zero) for name in self.versions}
        self.examples: dict[str, list[list[str]]] = {name: [] for name in self.versions}
        self.calls = 0
        self.busy = False

    def __call__(self, frame: types.FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or self.busy or code.co_qualname not in self.functions:
            return
        if self.calls >= MAX_CALLS or os.path.realpath(code.co_filename) != self.path:
            return
        if code.co_flags & 0x380:  # coroutines and asynchronous generators need a loop
            return
        self.calls += 1
        self.busy = True
        try:
            self.compare(frame)
        finally:
            self.busy = False

    def compare(self, frame: types.FrameType) -> None:
        code = frame.f_code
        cells = {
            n: types.CellType(frame.f_locals[n]) for n in code.co_freevars if n in frame.f_locals
        }
        count = code.co_argcount + code.co_kwonlyargcount
        count += bool(code.co_flags & 4) + bool(code.co_flags & 8)
        names = code.co_varnames[:count]
        given = {name: frame.f_locals[name] for name in names if name in frame.f_locals}
        if len(given) != len(names):
            return  # an argument lives in a cell that is not readable yet
        self.judge(frame, cells, given, "recorded")
        for _ in range(VARIANTS):
            changed = self.change(given)
            if changed is not None:
                self.judge(frame, cells, changed, "varied")

    def change(self, given: dict[str, Any]) -> dict[str, Any] | None:
        names = [name for name in given if name not in ("self", "cls")] or list(given)
        if not names:
            return None
        name = self.chance.choice(names)
        try:
            value = varied(copy.deepcopy(given[name]), self.chance)
            same = value is given[name] or describe(value) == describe(given[name])
        except Exception:  # noqa: BLE001 - the arguments' own methods may raise anything
            return None
        return None if same else {**given, name: value}

    def judge(
        self, frame: types.FrameType, cells: _Cells, given: dict[str, Any], kind: str
    ) -> None:
        code = frame.f_code
        expected = self.run(frame, code, cells, given)
        if expected is None:
            return
        if kind == "varied" and expected[0] in ("TypeError", "AttributeError", "late"):
            return  # not an input of this function
        for name, codes in self.versions.items():
            other = codes[code.co_qualname]
            if other is None or set(other.co_freevars) - set(cells):
                continue
            actual = self.run(frame, other, cells, given)
            if actual is None:
                continue
            counts = self.counts[name]
            counts[kind] += 1
            if actual != expected:
                counts[kind + "_differ"] += 1
                known = self.examples[name]
                if sum(example[0] == kind for example in known) < 5:  # of each kind: both decide
                    known.append([kind, shown(given), shown(expected), shown(actual)])

    def run(
        self, frame: types.FrameType, code: types.CodeType, cells: _Cells, given: dict[str, Any]
    ) -> tuple[Any, ...] | None:
        """(kind, result, arguments afterwards) of one version on copies, None if uncopyable."""
        try:
            copies = copy.deepcopy(given)
        except Exception:  # noqa: BLE001 - whatever an object's copy hooks raise
            return None
        original = frame.f_code
        closure = tuple(cells[name] for name in code.co_freevars)
        function = types.FunctionType(code, frame.f_globals, closure=closure or None)
        names = list(copies)
        positional = [copies[n] for n in names[: original.co_argcount]]
        rest = names[original.co_argcount :]
        only = {n: copies[n] for n in rest[: original.co_kwonlyargcount]}
        rest = rest[original.co_kwonlyargcount :]
        if original.co_flags & 4:
            positional += list(copies[rest.pop(0)])
        if original.co_flags & 8:
            only.update(copies[rest.pop(0)])
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            result = function(*positional, **only)
            if isinstance(result, types.GeneratorType):
                result = list(islice(result, MAX_ITEMS))
            answer = ("returned", describe(result))
        except OutOfTime:
            return ("late", None, None)
        except Exception as error:  # noqa: BLE001 - any exception is a result to compare
            answer = (type(error).__name__, None)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            return (*answer, describe(copies))
        except Exception:  # noqa: BLE001 - properties of the arguments may raise anything
            return None


def out_of_time(*_: object) -> None:
    raise OutOfTime


def main(argv: list[str]) -> None:
    """Run pytest with ``argv[2:]`` and write the counts to ``argv[1]``."""
    import pytest

    with open(argv[0], encoding="utf-8") as stream:
        comparer = Comparer(json.load(stream))

    class Plugin:
        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_call(self) -> Iterator[None]:
            sys.setprofile(comparer)
            yield
            sys.setprofile(None)

    signal.signal(signal.SIGALRM, out_of_time)
    pytest.main(argv[2:], plugins=[Plugin()])
    with open(argv[1], "w", encoding="utf-8") as stream:
        document = {
            "calls": comparer.calls,
            "counts": comparer.counts,
            "examples": comparer.examples,
        }
        json.dump(document, stream)


if __name__ == "__main__":
    # As `python -m pytest` does: the working directory, not this file's folder, comes first.
    sys.path[0] = os.getcwd()
    main(sys.argv[1:])
