"""Signatures of installed third-party functions, read from their source; nothing is imported.

Knows folders of packages and syntax; nothing of projects, tests or edits.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

from meritree.swe.repair.context import SourceFile, load
from meritree.swe.repair.signatures import Signature, signature_of

_LARGEST = 400_000  # bytes of a file that is still parsed
_HOPS = 4  # re-exports followed from a package to the file that defines a name


def site_packages(python: Path) -> tuple[Path, ...]:
    """Folders in which an interpreter of a virtual environment finds third-party packages."""
    return tuple(sorted((python.parent.parent / "lib").glob("python3*/site-packages")))


@lru_cache(maxsize=512)
def installed_signature(folders: tuple[Path, ...], module: str, name: str) -> Signature | None:
    """Signature of ``module.name`` if it is a function or class written in Python there.

    Names that a package only re-exports are followed to where they are defined.
    """
    for folder in folders:
        found = _find(folder, module, name, _HOPS)
        if found is not None:
            return found
    return None


def _find(folder: Path, module: str, name: str, hops: int) -> Signature | None:
    path = _file(folder, module)
    source = None if path is None else _parsed(path)
    if path is None or source is None:
        return None
    found = _defined(source, name)
    if found is not None or hops == 0:
        return found
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if (alias.asname or alias.name) in (name, "*"):
                target = _absolute(package, node.level, node.module or "")
                wanted = name if alias.name == "*" else alias.name
                if target and (deeper := _find(folder, target, wanted, hops - 1)):
                    return deeper
    return None


def _defined(source: SourceFile, name: str) -> Signature | None:
    """The function or class of this name outside of any other definition."""
    stack: list[ast.AST] = [source.tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == name:
                return signature_of(node, source)
        elif isinstance(node, ast.ClassDef):
            if node.name == name:
                made = (each for each in node.body if isinstance(each, ast.FunctionDef))
                start = next((each for each in made if each.name == "__init__"), None)
                return signature_of(start, source) if start else None
        elif isinstance(node, ast.Module | ast.If | ast.Try):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))
    return None


def _absolute(package: str, level: int, module: str) -> str:
    if not level:
        return module
    parts = package.split(".")
    base = parts[: len(parts) - level + 1]
    return ".".join([*base, module] if module else base)


def _file(folder: Path, module: str) -> Path | None:
    base = folder.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_name(base.name + ".py")):
        if path.is_file() and path.stat().st_size <= _LARGEST:
            return path
    return None


@lru_cache(maxsize=64)
def _parsed(path: Path) -> SourceFile | None:
    try:
        return load(str(path), path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
