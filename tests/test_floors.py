"""The house keeps its floors: a room imports only from lower floors and from itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "meritree"
FLOORS = {
    "cli": 5,
    "view": 4, "studies": 4, "bench": 4, "demo": 4,
    "swe": 3, "rl": 3,
    "search": 2, "respond": 2, "exact": 2,
    "value": 1, "objectives": 1, "run": 1, "stats": 1,
}  # fmt: skip
EVERYWHERE = {"errors", "__version__", "typing"}
# Imports between rooms of a floor: heads of values are made of losses, studies measure on the
# benchmark's faults.
SAME_FLOOR = {("value", "objectives"), ("studies", "bench")}
# The harness runs inside the user's interpreter: it may import nothing of ours but itself.
HARNESS = ("swe", "harness")
FILES = [
    file
    for file in sorted(PACKAGE.rglob("*.py"))
    if "sample" not in file.parts and file.parent != PACKAGE
]


def imported(file: Path) -> Iterator[str]:
    """Dotted names of our own modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("meritree"))
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if node.module == "meritree":
                yield from (f"meritree.{name.name}" for name in node.names)
            elif node.module and node.module.startswith("meritree."):
                yield node.module


def test_every_room_has_a_floor() -> None:
    rooms = {file.relative_to(PACKAGE).parts[0] for file in FILES}
    assert rooms <= set(FLOORS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_from_lower_floors(file: Path) -> None:
    room = file.relative_to(PACKAGE).parts[0]
    for name in imported(file):
        other = name.split(".")[1]
        if other in EVERYWHERE or other == room:
            continue
        assert other in FLOORS, f"{name} is no room"
        if (room, other) in SAME_FLOOR:
            continue
        assert FLOORS[other] < FLOORS[room], f"{room} may not import {name}"


def test_the_harness_imports_nothing_of_ours_but_itself() -> None:
    for file in (PACKAGE.joinpath(*HARNESS)).rglob("*.py"):
        for name in imported(file):
            assert name.startswith("meritree.swe.harness"), f"{file.name} imports {name}"


@pytest.mark.parametrize(
    "module", ["meritree", "meritree.search", "meritree.value", "meritree.respond"]
)
def test_importing_the_engine_imports_no_framework(module: str) -> None:
    heavy = ["typer", "rich", "dulwich", "numpy", "matplotlib", "pytest", "torch", "sqlite3"]
    heavy.append("httpx")
    code = f"import sys, {module}; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_starting_the_command_line_imports_no_room_that_does_the_work() -> None:
    lazy = ["meritree.swe.fix", "meritree.search.engine", "dulwich", "numpy", "pytest", "sqlite3"]
    code = (
        "import sys; from meritree.cli.app import app; "
        f"print(*sorted(set({lazy!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_repair_policy_starts_without_what_only_models_need() -> None:
    look = (
        "import sys, meritree.swe.fix; "
        "parts = ('respond', 'swe.agent', 'swe.mini', 'swe.retrieval', 'swe.discriminator'); "
        "print([m for m in sys.modules if m.startswith(tuple('meritree.' + p for p in parts))])"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
