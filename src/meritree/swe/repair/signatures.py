"""Signatures of callables: of project functions as written, of the standard library by looking.

Project and third-party code is never imported; the standard library only from an allow list
of modules whose import does nothing but define things.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType

from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.links import FunctionNode

# Standard library modules whose import does nothing but define things.
_SAFE = """
    abc argparse array ast asyncio base64 binascii bisect calendar cmath codecs collections
    collections.abc configparser contextlib contextvars copy csv ctypes dataclasses datetime
    decimal difflib email email.utils enum errno fnmatch fractions functools gc getpass
    gettext glob gzip hashlib heapq hmac html html.parser http http.client http.cookies
    importlib inspect io ipaddress itertools json keyword linecache locale logging lzma math
    mimetypes numbers operator os os.path pathlib pickle pkgutil platform posixpath pprint
    queue quopri random re reprlib sched secrets select shlex shutil signal socket sqlite3
    ssl stat statistics string struct subprocess sys tarfile tempfile textwrap threading
    time timeit token tokenize traceback types typing unicodedata urllib urllib.error
    urllib.parse urllib.request uuid warnings weakref xml.etree.ElementTree xml.sax.saxutils
    zipfile zlib zoneinfo
"""
SAFE_MODULES = frozenset(_SAFE.split())


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameters of a callable as far as calls need them."""

    name: str
    positional: tuple[str, ...]  # names that may be given by position, self and cls left out
    keywords: tuple[str, ...]  # names that may be given by keyword
    defaults: Mapping[str, str] = field(default_factory=dict)  # source text of default values
    open: bool = False  # takes *args or **kwargs


def signatures_in(source: SourceFile, name: str) -> list[Signature]:
    """Signatures of all functions, methods and constructors called ``name`` in one file."""
    found = [signature_of(node, source) for node in source.functions if node.name == name]
    for node in source.functions:
        parent = source.parent(node)
        if node.name == "__init__" and isinstance(parent, ast.ClassDef) and parent.name == name:
            found.append(signature_of(node, source))
    return found


def signature_of(node: FunctionNode, source: SourceFile) -> Signature:
    """Signature of a function as written; the first parameter of a method is left out."""
    spec = node.args
    ordered = [*spec.posonlyargs, *spec.args]
    defaults = {
        each.arg: source.segment(value)
        for each, value in zip(
            ordered[len(ordered) - len(spec.defaults) :], spec.defaults, strict=True
        )
    }
    for each, given in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
        if given is not None:
            defaults[each.arg] = source.segment(given)
    method = isinstance(source.parent(node), ast.ClassDef) and not any(
        isinstance(each, ast.Name) and each.id == "staticmethod" for each in node.decorator_list
    )
    names = [each.arg for each in ordered][1 if method else 0 :]
    only = {each.arg for each in spec.posonlyargs}
    return Signature(
        name=node.name,
        positional=tuple(names),
        keywords=tuple(each for each in names if each not in only)
        + tuple(each.arg for each in spec.kwonlyargs),
        defaults=defaults,
        open=spec.vararg is not None or spec.kwarg is not None,
    )


# -- standard library -------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _module(name: str) -> ModuleType | None:
    if name not in SAFE_MODULES:
        return None
    try:
        return importlib.import_module(name)
    except ImportError:  # not built on this platform
        return None


def stdlib_attributes(module: str) -> tuple[str, ...]:
    """Public attribute names of a standard library module; empty for any other module."""
    found = _module(module)
    return tuple(name for name in dir(found) if not name.startswith("_")) if found else ()


@lru_cache(maxsize=256)
def stdlib_constants(module: str) -> Mapping[str, str | int | float]:
    """Public strings and numbers of a standard library module, by name."""
    found = _module(module)
    names = stdlib_attributes(module)
    values = {name: getattr(found, name, None) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, str | int | float)}


@lru_cache(maxsize=1024)
def stdlib_signature(module: str, dotted: str) -> Signature | None:
    """Signature of ``module.dotted`` of the standard library (``builtins`` too), if it has one."""
    target: object = builtins if module == "builtins" else _module(module)
    for part in dotted.split("."):
        if target is None:
            return None
        target = getattr(target, part, None)
    if not callable(target):
        return None
    try:
        spec = inspect.signature(target)
    except (ValueError, TypeError):
        return None
    return _from_inspect(dotted, spec)


def _from_inspect(name: str, spec: inspect.Signature) -> Signature:
    given = list(spec.parameters.values())
    positional = [
        each for each in given if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    keywords = [
        each for each in given if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    return Signature(
        name=name,
        positional=tuple(each.name for each in positional),
        keywords=tuple(each.name for each in keywords),
        defaults={
            each.name: repr(each.default)
            for each in given
            if isinstance(each.default, bool | int | float | str | bytes | None)
        },
        open=any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in given),
    )
