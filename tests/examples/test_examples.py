"""Every file of examples/ runs as a process of its own and says what it found."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
NEEDS = {
    "agent_of_three_papers.py": "optax",
    "objective_in_trl.py": "trl",
    "search_a_pipeline.py": "sklearn",
}
SAYS = {
    "agent_of_three_papers.py": "without exploration: opened 100% of the time",
    "fix_with_own_channel.py": "own channels prices: verified",
    "objective_in_trl.py": "step 30: loss",
    "own_selector.py": "Levin  opens with state",
    "search_a_pipeline.py": "of 58 states judged",
    "search_a_puzzle.py": "best-first best value 1.00",
    "tests_and_a_judge.py": "careful is ahead by {'tests': 0.1875",
}


def test_every_example_has_what_it_must_say_and_stays_on_a_screen() -> None:
    files = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.py")}
    assert set(files) == set(SAYS)
    assert max(len(text.splitlines()) for text in files.values()) <= 70


@pytest.mark.parametrize("name", sorted(SAYS))
def test_an_example_runs_and_says_what_it_found(name: str, tmp_path: Path) -> None:
    needed = NEEDS.get(name)
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(FOLDER / name)],
        cwd=tmp_path,
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert run.returncode == 0, run.stderr
    assert SAYS[name] in run.stdout
