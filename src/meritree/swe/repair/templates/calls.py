"""Templates for calls: arguments, confusable names, wrapping and unwrapping."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations

from meritree.swe.repair.ast_text import ATOM, OR
from meritree.swe.repair.installed import installed_signature
from meritree.swe.repair.signatures import Signature, stdlib_signature
from meritree.swe.repair.templates.base import Site, is_called, template
from meritree.swe.repair.templates.draft import Draft, Replace, replace
from meritree.swe.repair.templates.roles import CONTAINER, NUMBER, fits, kind

CONFUSABLE: tuple[tuple[str, ...], ...] = (
    ("any", "all"),
    ("min", "max"),
    ("append", "extend", "add", "insert"),
    ("pop", "popleft", "get", "popitem"),
    ("appendleft", "append", "extendleft"),
    ("sorted", "reversed", "list"),
    ("set", "list", "tuple", "frozenset"),
    ("int", "float", "str", "bool"),
    ("ceil", "floor", "round", "trunc"),
    ("startswith", "endswith"),
    ("strip", "lstrip", "rstrip"),
    ("removeprefix", "removesuffix", "lstrip", "rstrip", "strip"),
    ("find", "rfind", "index", "rindex"),
    ("split", "rsplit", "splitlines", "partition", "rpartition"),
    ("partition", "rpartition"),
    ("keys", "values", "items"),
    ("heappush", "heappop", "heappushpop", "heapreplace"),
    ("union", "intersection", "difference", "symmetric_difference"),
    ("issubset", "issuperset", "isdisjoint"),
    ("match", "search", "fullmatch"),
    ("findall", "finditer"),
    ("encode", "decode"),
    ("isinstance", "issubclass", "hasattr"),
    ("len", "sum"),
    ("update", "setdefault"),
    ("remove", "discard", "pop"),
    ("lower", "upper", "casefold", "title", "capitalize"),
    ("isdigit", "isdecimal", "isnumeric", "isalnum", "isalpha"),
    ("enumerate", "range", "zip"),
    ("repr", "str", "format"),
    ("dumps", "dump"),
    ("loads", "load"),
    ("read", "readline", "readlines"),
    ("bisect_left", "bisect_right"),
    ("copy", "deepcopy"),
    ("first", "last"),
    ("left", "right"),
    ("parent", "children", "child"),
    ("join", "split"),
    ("dict", "OrderedDict", "defaultdict"),
    ("dirname", "basename", "abspath", "normpath", "realpath"),
    ("isfile", "isdir", "exists"),
    ("utcnow", "now"),
    ("seconds", "total_seconds"),
)
_WRAPPERS = (
    *("len", "list", "str", "int", "sorted", "set", "tuple", "reversed", "abs", "sum"),
    *("dict", "bool", "float"),
)
_OF_CONTAINERS = ("len", "list", "sorted", "set", "tuple", "reversed", "sum", "dict")
_METHODS = ("lower", "strip", "copy", "items", "keys", "values")
_VALUES = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.BinOp, ast.Constant)


def confused(name: str) -> Iterator[str]:
    seen = {name}
    for family in CONFUSABLE:
        if name in family:
            for other in family:
                if other not in seen:
                    seen.add(other)
                    yield other


def _name(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")


def call_text(site: Site, node: ast.Call, without: object = None, added: str = "") -> str:
    """The call as text, one argument or keyword left out or one added at the end."""
    positional = [(site.source.span(e)[0], site.text(e)) for e in node.args if e is not without]
    keywords = [
        (
            site.source.span(each.value)[0],
            f"{each.arg}={site.text(each.value)}" if each.arg else f"**{site.text(each.value)}",
        )
        for each in node.keywords
        if each is not without
    ]
    if added and "=" not in added and not added.startswith("*"):  # goes before the keywords
        texts = [text for _, text in positional] + [added] + [text for _, text in keywords]
    else:
        texts = [text for _, text in sorted(positional + keywords)] + [added] * bool(added)
    return f"{site.text(node.func)}({', '.join(texts)})"


@template("swap_args", 3, ast.Call)
def swap_args(site: Site) -> Iterator[Draft]:
    """Two arguments exchanged, or three rotated."""
    for node in site.expressions(ast.Call):
        plain = [each for each in node.args if not isinstance(each, ast.Starred)][:5]
        for first, second in combinations(plain, 2):
            changes = Replace(first, site.text(second)), Replace(second, site.text(first))
            yield Draft(changes, 2.0)
        if len(plain) == 3:
            for shift in (1, 2):
                rotated = [plain[(at + shift) % 3] for at in range(3)]
                pairs = zip(plain, rotated, strict=True)
                yield Draft(tuple(Replace(a, site.text(b)) for a, b in pairs), 0.5)
        values = [each.value for each in node.keywords if each.arg][:4]
        for first, second in combinations(values, 2):
            changes = Replace(first, site.text(second)), Replace(second, site.text(first))
            yield Draft(changes, 0.5)


@template("drop_arg", 0.6, ast.Call)
def drop_arg(site: Site) -> Iterator[Draft]:
    """A call without one of its arguments."""
    unexpected = set(site.evidence.quoted())
    for node in site.expressions(ast.Call):
        for each in node.args:
            yield replace(node, call_text(site, node, each), 0.5)
        for keyword in node.keywords:
            prior = 2.4 if keyword.arg in unexpected else 0.6
            yield replace(node, call_text(site, node, keyword), prior)


@template("add_arg", 0.3, ast.Call)
def add_arg(site: Site) -> Iterator[Draft]:
    """A further positional argument: a variable, or a constant if there was none."""
    for node in site.expressions(ast.Call):
        if len(node.args) > 3 or any(isinstance(each, ast.Starred) for each in node.args):
            continue
        given = {site.text(each) for each in node.args}
        if _name(node.func) == "range" and len(node.args) == 1:
            for start in ("1", "2", *site.variables(node)[:5]):
                yield replace(node, f"range({start}, {site.text(node.args[0])})", 1.5)
        for name in site.variables(node)[:12]:
            if name not in given:
                yield replace(node, call_text(site, node, added=name))
        for text in ("None", "True", "False", "0", "1", "''"):
            yield replace(node, call_text(site, node, added=text), 0.4)


@template("add_kw", 0.8, ast.Call)
def add_kw(site: Site) -> Iterator[Draft]:
    """A keyword that the callee is known to take, with a constant or the variable of its name."""
    for node in site.expressions(ast.Call):
        given = {each.arg for each in node.keywords}
        visible = site.variables(node)
        offered: dict[str, str | None] = {}
        for signature in signatures(site, node)[:4]:
            for name in signature.keywords:
                if name not in given and name not in signature.positional[: len(node.args)]:
                    offered.setdefault(name, signature.defaults.get(name))
        for name, default in list(offered.items())[:16]:
            if name in visible:
                yield replace(node, call_text(site, node, added=f"{name}={name}"), 1.0)
            for text in _keyword_values(default):
                yield replace(node, call_text(site, node, added=f"{name}={text}"), 0.5)
        for name in site.index.tests.keywords[:6]:
            if name in visible and name not in given and name not in offered:
                yield replace(node, call_text(site, node, added=f"{name}={name}"), 0.3)


def _keyword_values(default: str | None) -> tuple[str, ...]:
    if default in ("True", "False"):
        return ("False",) if default == "True" else ("True",)
    return tuple(text for text in ("True", "False", "None", "0", "1", "''") if text != default)[:4]


def signatures(site: Site, node: ast.Call) -> list[Signature]:
    """Signatures that a call may have: of the project by bare name, else of the library."""
    name = _name(node.func)
    found = list(site.index.signatures(name)) if name else []
    imported = site.index.imported(site.source)
    dotted = ""
    if isinstance(node.func, ast.Name):
        origin = imported.get(name, "")
        dotted = origin or f"builtins.{name}"
    elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        origin = imported.get(node.func.value.id, "")
        dotted = f"{origin}.{name}" if origin else ""
    module, _, attribute = dotted.rpartition(".")
    library = stdlib_signature(module, attribute) if module and attribute else None
    if library is None and module and not module.startswith(".") and not found:
        library = installed_signature(site.index.installed, module, attribute)
    return [*found, *([library] if library else [])]


@template("call_family", 2.5, ast.Call)
def call_family(site: Site) -> Iterator[Draft]:
    """Another function or method that is easily confused with the one called."""
    for node in site.expressions(ast.Call):
        for rank, name in enumerate(confused(_name(node.func))):
            prior = 2.0 if rank < 2 else 1.5
            if isinstance(node.func, ast.Name):
                yield replace(node.func, name, prior)
            elif isinstance(node.func, ast.Attribute):
                base = site.source.fitted(node.func.value, ATOM)
                yield replace(node.func, f"{base}.{name}", prior)


@template("call_other", 0.5, ast.Call)
def call_other(site: Site) -> Iterator[Draft]:
    """Another callable of the function or of the module."""
    for node in site.expressions(ast.Call):
        if isinstance(node.func, ast.Name):
            near = [*site.scope(node).called, *site.index.module_names(site.source)]
            for name in list(dict.fromkeys(near))[:14]:
                if name != node.func.id:
                    yield replace(node.func, name)


@template("unwrap_call", 1.2, ast.Call)
def unwrap_call(site: Site) -> Iterator[Draft]:
    """``f(x)`` becomes ``x``, ``x.f()`` becomes ``x``; superfluous calls go."""
    for node in site.expressions(ast.Call):
        single = len(node.args) == 1 and not node.keywords
        for each in node.args:
            if not isinstance(each, ast.Starred):
                yield replace(node, site.text(each), 1.2 if single else 0.6)
        if isinstance(node.func, ast.Attribute):
            yield replace(node, site.text(node.func.value), 0.8)
        if not node.args and not node.keywords:
            yield replace(node, site.text(node.func), 0.6)


@template("wrap_call", 0.8, ast.expr)
def wrap_call(site: Site) -> Iterator[Draft]:
    """An expression inside a built-in conversion or a function of the module."""
    for node in site.expressions(*_VALUES):
        if not _movable(site, node):
            continue
        own = [
            name
            for name in site.index.module_names(site.source)
            if name.islower() and site.index.signatures(name)
        ]
        callables = dict.fromkeys((*_WRAPPERS, *site.scope(node).called[:8], *own[:8]))
        outer = site.source.parent(node)
        around = _name(outer.func) if isinstance(outer, ast.Call) else ""
        found = kind(site.source, site.scope(node), node)
        for name in callables:
            if name != around:
                yield replace(node, f"{name}({site.text(node)})", 0.3 * _takes(name, found))


def _takes(name: str, found: str) -> float:
    """How well a function goes with an argument of a kind."""
    if found == NUMBER:
        return 0.05 if name in _OF_CONTAINERS else 1.0
    if found == CONTAINER:
        return 0.05 if name in ("abs", "int", "float") else 1.0
    return 0.6 if name in ("dict", "bool", "float") else 1.0


def _movable(site: Site, node: ast.expr) -> bool:
    if is_called(site, node) or (
        isinstance(node, ast.Constant) and not isinstance(node.value, str)
    ):
        return False
    parent = site.source.parent(node)
    return not isinstance(parent, ast.Expr | ast.JoinedStr | ast.Attribute)


@template("method_wrap", 0.5, ast.expr)
def method_wrap(site: Site) -> Iterator[Draft]:
    """A method without arguments, or with one constant, called on an expression."""
    for node in site.expressions(ast.Name, ast.Attribute, ast.Call, ast.Subscript):
        if not _movable(site, node):
            continue
        base = site.source.fitted(node, ATOM)
        sure = fits(site.source, site.scope(node), node, CONTAINER, 0.05)
        for name in _METHODS:
            yield replace(node, f"{base}.{name}()", 0.25 * sure)
        for text in _constant_methods(site):
            yield replace(node, f"{base}.{text}", 0.15 * sure)


def _constant_methods(site: Site) -> tuple[str, ...]:
    """Method calls with constant arguments of the file, then a few common ones."""
    known = site.source.memo.get("constant_methods")
    if not isinstance(known, tuple):
        found: dict[str, None] = {}
        for line in range(1, site.source.line_count + 1):
            for node in site.source.expressions(line):
                constant = (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and len(node.args) == 1
                    and not node.keywords
                    and isinstance(node.args[0], ast.Constant)
                )
                if constant and isinstance(node, ast.Call):
                    text = f"{_name(node.func)}({site.text(node.args[0])})"
                    if len(text) <= 30:
                        found.setdefault(text)
        common = ("strip(' ')", "encode('utf-8')", "decode('utf-8')", "rstrip('\\n')")
        known = tuple(dict.fromkeys((*list(found)[:10], *common)))
        site.source.memo["constant_methods"] = known
    return known


@template("or_default", 0.8, ast.expr)
def or_default(site: Site) -> Iterator[Draft]:
    """``e`` becomes ``e or`` an empty value."""
    for node in site.expressions(ast.Name, ast.Attribute, ast.Call, ast.Subscript):
        if _movable(site, node) and not isinstance(site.source.parent(node), ast.BoolOp):
            text = site.source.fitted(node, OR)
            defaults = ("0", "''", "None", "[]", "{}", "1", "()", "b''")
            sure = fits(site.source, site.scope(node), node, CONTAINER)
            for default in defaults:
                prior = 0.2 if default in ("()", "1") else 0.4
                weight = 1.0 if default in ("0", "1", "None") else sure
                yield replace(node, f"{text} or {default}", prior * weight)


@template("await_missing", 0.8, ast.Call, ast.Await)
def await_missing(site: Site) -> Iterator[Draft]:
    """A missing ``await`` inside a coroutine, or a superfluous one."""
    for node in site.expressions(ast.Call):
        inside = isinstance(site.source.function_of(node), ast.AsyncFunctionDef)
        if inside and not isinstance(site.source.parent(node), ast.Await):
            yield replace(node, f"await {site.text(node)}")
    for waiting in site.expressions(ast.Await):
        yield replace(waiting, site.text(waiting.value), 0.6)


@template("sort_flags", 0.8, ast.Call)
def sort_flags(site: Site) -> Iterator[Draft]:
    """``key`` and ``reverse`` of a sort, or ``key`` of an extreme."""
    for node in site.expressions(ast.Call):
        name = _name(node.func)
        given = {each.arg for each in node.keywords}
        if name in ("sorted", "sort") and "reverse" not in given:
            yield replace(node, call_text(site, node, added="reverse=True"))
        if name in ("min", "max") and len(node.args) == 1 and "default" not in given:
            for text in ("0", "None"):
                yield replace(node, call_text(site, node, added=f"default={text}"), 0.8)
        if name in ("sorted", "sort", "min", "max") and "key" not in given:
            for key in ("len", "str", "str.lower", "abs", "lambda x: x[0]", "lambda x: x[1]"):
                yield replace(node, call_text(site, node, added=f"key={key}"), 0.4)
