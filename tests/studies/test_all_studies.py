"""Every study of the package: declared soundly, runs small, agrees with what is kept."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import sys
from pathlib import Path

import pytest

from meritree.studies.figure import draw
from meritree.studies.registry import study_named, system_named, systems
from meritree.studies.result import differences, stored
from meritree.studies.runner import run

ROOT = Path(__file__).parents[2]
STUDIES = [system.name for system in systems() if system.study]


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_the_one_of_its_system(name: str) -> None:
    study, system = study_named(name), system_named(name)
    assert (study.id, study.name) == (system.id, system.name)


@pytest.mark.parametrize("name", STUDIES)
def test_the_parts_that_a_study_names_exist(name: str) -> None:
    for part in study_named(name).parts:
        module, _, attribute = part.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), part


def part_of(names: list[str]) -> list[str]:
    """The share named by SMOKE_PART=i/n: several processes can measure side by side."""
    which, _, of = os.environ.get("SMOKE_PART", "0/1").partition("/")
    return names[int(which) :: int(of)]


@pytest.mark.smoke
@pytest.mark.parametrize("name", part_of(STUDIES))
def test_a_study_runs_at_smoke_scale_as_it_is_stored(name: str, tmp_path: Path) -> None:
    study = study_named(name)
    result = run(study, "smoke")
    assert draw(study, result.rows, tmp_path / "figure.png")
    kept = stored(name)
    assert "smoke" in kept, f"store it: meritree study {name} --scale smoke --store"
    assert differences(study, result, kept["smoke"]) == []
    if "jax" in sys.modules:  # compiled programs of all studies together fill gigabytes
        sys.modules["jax"].clear_caches()


@pytest.mark.parametrize("name", STUDIES)
def test_a_stored_full_result_has_its_provenance(name: str) -> None:
    full = stored(name).get("full")
    if full is None:
        assert system_named(name).state == "part"
        return
    made = full.provenance
    assert made.command.startswith(f"meritree study {name}")
    assert re.fullmatch(r"[0-9a-f]{10}", made.commit), "store results from a clean checkout"
    assert set(made.seeds) == {row.seed for row in full.rows}
    assert full.caption


def test_the_pages_are_what_the_declarations_give() -> None:
    pages = runpy.run_path(str(ROOT / "docs" / "draw_pages.py"))["pages"]
    for path, text in pages():
        assert path.read_text("utf-8") == text, "write them anew: python docs/draw_pages.py"


def test_the_example_of_the_guide_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "add-a-system.md").read_text("utf-8")
    code = re.search(r"```python\n(.*?)```", text, flags=re.S)
    assert code is not None
    names: dict[str, object] = {}
    source = tmp_path / "example.py"
    source.write_text(code[1], "utf-8")
    names = runpy.run_path(str(source))
    result = run(names["STUDY"], "full", seeds=100)  # type: ignore[arg-type]
    assert result.verdict == "holds"
    assert draw(names["STUDY"], result.rows, tmp_path / "f.png")  # type: ignore[arg-type]
