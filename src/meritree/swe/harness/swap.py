"""Hot swap: give live functions the code of a candidate, and give it back afterwards.

Only code and default arguments can be swapped; whatever else a candidate changes must be
noticed here and named, because it needs its modules imported anew.
"""

from __future__ import annotations

import ast
import functools
import types
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from . import source
from .live import Index
from .record import Places


class NotSwappable(Exception):
    """Why a change cannot be made in a live process."""


class Swap(NamedTuple):
    """One function to be replaced: its place in the original and its candidate text."""

    path: str
    old: source.Unit
    new: source.Unit
    old_text: str
    new_text: str
    flags: int

    def packed(self) -> List[Any]:
        return [self.path, list(self.old), list(self.new), self.old_text, self.new_text, self.flags]

    @staticmethod
    def unpacked(data: List[Any]) -> "Swap":
        path, old, new, old_text, new_text, flags = data
        return Swap(path, _unit(old), _unit(new), old_text, new_text, flags)


def _unit(data: List[Any]) -> source.Unit:
    name, line, start, end, headers = data
    return source.Unit(name, line, start, end, tuple(headers))


class Assignment(NamedTuple):
    """New code (and defaults, when they change) for one live function object."""

    function: types.FunctionType
    code: types.CodeType
    defaults: Optional[Tuple[Optional[Tuple[Any, ...]], Optional[Dict[str, Any]]]]


class Prepared(NamedTuple):
    """A swap worked out: what to assign, and whether it writes where nobody wrote before."""

    assignments: List[Assignment]
    risky: bool


def prepare(swap: Swap, index: Index, look: bool = False) -> Prepared:
    """Work out one swap without touching anything yet.

    Args:
        look: whether to look for writes that the original did not make (``risky``).

    Raises:
        NotSwappable: it needs a new import; the message says why.
        SyntaxError: the candidate does not compile.
    """
    name = swap.old.name.rsplit(".", 1)[-1]
    functions = index.by_place.get((swap.path, swap.old.line, name), [])
    if not functions:
        raise NotSwappable("%s has no live function object" % swap.old.name)
    old_node = _old_node(swap.old, swap.old_text, swap.flags)
    tree = source.parse_unit(swap.new, swap.new_text, swap.flags)
    node = source.function_node(swap.new, tree)
    defaults_differ = False
    if not _same_header(swap, old_node, node):
        _same_outside(old_node, node)
        defaults_differ = _signature_change(old_node, node)
    closes = "super" in swap.new_text or "__class__" in swap.new_text
    if (
        closes
        and swap.new.headers
        and any(h.lstrip().startswith("class ") for h in swap.new.headers)
    ):
        _same_class_cell(functions[0], old_node, node)
    code = source.function_code(swap.new, tree, functions[0].__code__.co_filename, swap.flags)
    # Compiled in the same surroundings as the new code: alone, a function may come out otherwise.
    rebuilt = _old_code(swap.old, swap.old_text, swap.flags)
    assignments = []
    for function in functions:
        old_code = function.__code__
        if old_code.co_freevars != code.co_freevars:
            raise NotSwappable("free variables of %s differ" % swap.old.name)
        if id(old_code) in index.executed.codes and not _same_own_code(rebuilt, code):
            raise NotSwappable("%s runs at import" % swap.old.name)
        fresh = _defaults(node, function, swap.old.name) if defaults_differ else None
        assignments.append(Assignment(function, code, fresh))
        assignments += _closures((old_code, rebuilt, code), index, swap.old.name)
    lines = (swap.old.line, swap.new.line)
    risky = look and source.writes_more(old_node, node, swap.old_text, swap.new_text, lines)
    return Prepared(assignments, risky)


@functools.lru_cache(maxsize=256)
def _old_node(unit: source.Unit, text: str, flags: int) -> Any:
    return source.function_node(unit, source.parse_unit(unit, text, flags))


@functools.lru_cache(maxsize=256)
def _old_code(unit: source.Unit, text: str, flags: int) -> types.CodeType:
    return source.function_code(unit, source.parse_unit(unit, text, flags), "<original>", flags)


def _same_header(swap: Swap, old: Any, new: Any) -> bool:
    """Whether everything before the body is written alike (most edits are in the body)."""
    count = old.body[0].lineno - swap.old.line
    if count <= 0 or count != new.body[0].lineno - swap.new.line or type(old) is not type(new):
        return False
    return swap.old_text.split("\n", count)[:count] == swap.new_text.split("\n", count)[:count]


def _same_outside(old: Any, new: Any) -> None:
    if type(old) is not type(new) and old.decorator_list:
        raise NotSwappable("a decorated function became async or ceased to be")
    if _dump(old.decorator_list) != _dump(new.decorator_list):
        raise NotSwappable("decorators changed")
    if _dump(getattr(old, "type_params", [])) != _dump(getattr(new, "type_params", [])):
        raise NotSwappable("type parameters changed")
    if _annotations(old) != _annotations(new):
        raise NotSwappable("annotations changed")


def _dump(nodes: List[Any]) -> List[str]:
    return [ast.dump(node) for node in nodes]


def _parameters(node: Any) -> List[Any]:
    args = node.args
    every = list(getattr(args, "posonlyargs", [])) + list(args.args) + list(args.kwonlyargs)
    return every + [a for a in (args.vararg, args.kwarg) if a is not None]


def _annotations(node: Any) -> List[str]:
    kept = [a.arg + ast.dump(a.annotation) for a in _parameters(node) if a.annotation is not None]
    return kept + ([ast.dump(node.returns)] if node.returns is not None else [])


_PLAIN_DECORATORS = frozenset(
    [
        "staticmethod",
        "classmethod",
        "property",
        "setter",
        "getter",
        "deleter",
        "contextmanager",
        "abstractmethod",
        "lru_cache",
        "cache",
        "cached_property",
        "wraps",
        "override",
        "final",
        "asynccontextmanager",
    ]
)


def _signature_change(old: Any, new: Any) -> bool:
    """Whether defaults must be evaluated anew; refuses what a decorator may have looked at."""
    if ast.dump(old.args) == ast.dump(new.args):
        return False
    for decorator in old.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = getattr(called, "attr", getattr(called, "id", ""))
        if name not in _PLAIN_DECORATORS:
            raise NotSwappable("parameters of a decorated function changed")
    return True


def _same_class_cell(function: types.FunctionType, old: Any, new: Any) -> None:
    """A method that begins or ceases to use super() needs another closure: say so early."""
    had = "__class__" in function.__code__.co_freevars
    uses = any(isinstance(n, ast.Name) and n.id in ("super", "__class__") for n in ast.walk(new))
    if uses and not had:
        raise NotSwappable("the method begins to use super()")


def _defaults(
    node: Any, function: types.FunctionType, name: str
) -> Tuple[Optional[Tuple[Any, ...]], Optional[Dict[str, Any]]]:
    positional = tuple(_evaluate(d, function, name) for d in node.args.defaults)
    keyword = {}
    for i, argument in enumerate(node.args.kwonlyargs):
        default = node.args.kw_defaults[i]
        if default is not None:
            keyword[argument.arg] = _evaluate(default, function, name)
    return positional or None, keyword or None


def _evaluate(node: Any, function: types.FunctionType, name: str) -> Any:
    expression = ast.fix_missing_locations(ast.Expression(body=node))
    namespace: Dict[str, Any] = dict(_class_namespace(function, name))
    try:
        return eval(compile(expression, "<default>", "eval"), function.__globals__, namespace)
    except Exception as error:  # noqa: BLE001 (the expression is the candidate's)
        raise NotSwappable("a default cannot be evaluated: %r" % (error,)) from None


def _class_namespace(function: types.FunctionType, name: str) -> Dict[str, Any]:
    holder: Any = function.__globals__
    for part in name.split(".")[:-1]:
        holder = vars(holder).get(part) if isinstance(holder, type) else holder.get(part)
        if not isinstance(holder, type):
            return {}
    return dict(vars(holder)) if isinstance(holder, type) else {}


def _nested(code: types.CodeType) -> Iterator[Tuple[Tuple[str, int], types.CodeType]]:
    seen: Dict[str, int] = {}
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            count = seen.get(const.co_name, 0)
            seen[const.co_name] = count + 1
            yield (const.co_name, count), const


def _closures(
    codes: Tuple[types.CodeType, types.CodeType, types.CodeType], index: Index, name: str
) -> List[Assignment]:
    """New code for live functions that were made by earlier calls of the swapped function.

    ``codes`` are the live code, the original compiled again, and the candidate's.
    """
    live_code, rebuilt, new = codes
    assignments: List[Assignment] = []
    same, fresh = dict(_nested(rebuilt)), dict(_nested(new))
    for key, inner in _nested(live_code):
        live = index.by_code.get(id(inner), [])
        twin, before = fresh.get(key), same.get(key)
        if twin is None or before is None:
            if live:
                raise NotSwappable("%s lost a nested function that is in use" % name)
            continue
        if id(inner) in index.executed.codes and not _same_own_code(before, twin):
            raise NotSwappable("%s runs at import" % key[0])
        if live and inner.co_freevars != twin.co_freevars:
            raise NotSwappable("free variables of %s differ" % key[0])
        if live and inner.co_varnames[: _arity(inner)] != twin.co_varnames[: _arity(twin)]:
            raise NotSwappable("parameters of the nested function %s changed" % key[0])
        assignments += [Assignment(function, twin, None) for function in live]
        assignments += _closures((inner, before, twin), index, name)
    return assignments


def _arity(code: types.CodeType) -> int:
    star = bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    return code.co_argcount + code.co_kwonlyargcount + star


def _same_own_code(a: types.CodeType, b: types.CodeType) -> bool:
    """Whether two code objects do the same, nested functions and line numbers left aside."""
    return (
        a.co_code == b.co_code
        and a.co_names == b.co_names
        and a.co_varnames == b.co_varnames
        and a.co_freevars == b.co_freevars
        and a.co_cellvars == b.co_cellvars
        and _plain_constants(a) == _plain_constants(b)
    )


def _plain_constants(code: types.CodeType) -> List[Tuple[str, str]]:
    return [
        (type(c).__name__, repr(c)) for c in code.co_consts if not isinstance(c, types.CodeType)
    ]


class Swapped:
    """Context in which a candidate's code is live; on leaving everything is as before."""

    def __init__(self, assignments: List[Assignment]) -> None:
        self._assignments = assignments
        self._before: List[Tuple[types.FunctionType, types.CodeType, Any, Any]] = []
        self.codes: Set[int] = set()

    def __enter__(self) -> "Swapped":
        for function, code, defaults in self._assignments:
            before = (function, function.__code__, function.__defaults__, function.__kwdefaults__)
            try:
                function.__code__ = code
            except ValueError as error:
                self.__exit__()
                raise NotSwappable(str(error)) from None
            self._before.append(before)
            if defaults is not None:
                function.__defaults__, function.__kwdefaults__ = defaults
            self.codes.update(id(c) for c in _all_codes(code))
        return self

    def __exit__(self, *_: Any) -> None:
        for function, code, defaults, keyword in reversed(self._before):
            function.__code__ = code
            function.__defaults__ = defaults
            function.__kwdefaults__ = keyword
        self._before = []


def _all_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for _, inner in _nested(code):
        for deeper in _all_codes(inner):
            yield deeper


Shift = Callable[[str, int], int]


def shifts(swaps: List[Swap]) -> Dict[str, List[Tuple[int, int]]]:
    """Per file: (last original line of a changed function, lines it grew by), in order."""
    found: Dict[str, List[Tuple[int, int]]] = {}
    for swap in sorted(swaps, key=lambda s: (s.path, s.old.line)):
        last = swap.old.line + swap.old_text.count("\n") - (swap.old_text.endswith("\n"))
        grew = swap.new_text.count("\n") - swap.old_text.count("\n")
        found.setdefault(swap.path, []).append((last, grew))
    return found


def locator(swaps: List[Swap], swapped: Swapped, places: Places) -> Any:
    """Translate a live code object's line to the line in the candidate's text."""
    moved = shifts(swaps)

    def locate(code: types.CodeType, line: int) -> int:
        if id(code) in swapped.codes:
            return line
        path = places.relative(code.co_filename) or ""
        return line + sum(grew for last, grew in moved.get(path, ()) if line > last)

    return locate
