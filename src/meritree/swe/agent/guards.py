"""Which files an agent may not touch: paths that are none, and whatever judges its work."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from meritree.swe.repository import is_test_path

_CONFIGURES_TESTS = frozenset(
    ["pytest.ini", ".pytest.ini", "pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml",
     "conftest.py", ".coveragerc"]
)  # fmt: skip
_IMPORTED_BY_ITSELF = frozenset({"sitecustomize", "usercustomize", "pytest", "_pytest", "pluggy"})
_LONGEST = 300  # bytes of a path
_LONGEST_NAME = 200


def impossible(path: str) -> str:
    """Why a text is no path inside a repository; empty when it is one."""
    parts = path.split("/")
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        return "it cannot be written as UTF-8"
    if not path:
        return "it is empty"
    if path.startswith("/") or "\\" in path:
        return "give it relative to the repository's root, with / separators"
    if not path.isprintable():
        return "it holds characters that cannot be shown"
    if any(part in ("", ".", "..") for part in parts):
        return "it may not hold empty parts, . or .."
    if any(part.lower() == ".git" for part in parts):
        return "git's own folder is not part of the code"
    if size > _LONGEST or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        return f"it is longer than {_LONGEST} bytes"
    return ""


def judges(path: str, test_files: Collection[str]) -> str:
    """Why a file may not be edited because it judges the patch; empty when it may."""
    if path in test_files or is_test_path(path):
        return "test files judge the patch and cannot be edited; use write_test for a test of yours"
    if PurePosixPath(path).name in _CONFIGURES_TESTS:
        return "this file configures the tests, which judge the patch; it cannot be edited"
    return ""


def shadows(path: str, roots: Sequence[str]) -> str:
    """Why a new file may not be made because it would be imported instead of another module."""
    pure = PurePosixPath(path)
    if pure.suffix == ".pth":
        return "a .pth file would be run by the interpreter"
    for root in roots:
        prefix = "" if root == "." else f"{root}/"
        if not path.startswith(prefix):
            continue
        first = path[len(prefix) :].split("/")[0]
        name = first.removesuffix(".py")
        if name in _IMPORTED_BY_ITSELF or (
            pure.suffix == ".py" and name in sys.stdlib_module_names
        ):
            return f"it would hide the module {name!r} from the tests; choose another name"
    return ""
