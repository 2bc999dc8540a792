"""A benchmark of our own in SWE-bench's schema: one tiny repository with a history."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BASE = {
    "shop/__init__.py": "",
    "shop/price.py": "def price(n):\n    return n - 1\n\n\ndef double(n):\n    return 2 * n\n",
    "tests/test_price.py": (
        "from shop.price import double\n\n\ndef test_double():\n    assert double(2) == 4\n"
    ),
    "conftest.py": "",
}
FIXED = "def price(n):\n    return n + 1  # GOLD-MARK\n\n\ndef double(n):\n    return 2 * n\n"
TESTED = (
    "import pytest\n\nfrom shop.price import double, price\n\n\n"
    "def test_double():\n    assert double(2) == 4\n\n\n"
    "def test_price_SECRET_MARK():\n    assert price(2) == 3\n\n\n"
    '@pytest.mark.parametrize("text", ["a b", "a c"])\n'
    "def test_words(text):\n    assert price(len(text)) == 4\n"
)


@dataclass(frozen=True)
class Bench:
    """Where the clone, its commits and the rows are."""

    repos: Path
    clone: Path
    base: str
    row: dict[str, Any]

    def write(self, path: Path, *changes: dict[str, Any]) -> Path:
        """One row for each of ``changes`` (at least the row itself) as JSON."""
        rows = [{**self.row, **change} for change in changes or ({},)]
        path.write_text(json.dumps(rows))
        return path

    def commit(self, path: str, text: str) -> str:
        """A commit beside the history: the base with one file changed."""
        git(self.clone, "checkout", "-q", self.base)
        (self.clone / path).write_text(text)
        git(self.clone, "add", "-A")
        git(self.clone, "commit", "-q", "-m", "aside")
        return git(self.clone, "rev-parse", "HEAD").strip()


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody."""
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
           "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null"}  # fmt: skip
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True,
        env={**os.environ, **who},
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def swebench(tmp_path: Path) -> Bench:
    """A clone whose second commit is the fix and whose third are its tests."""
    clone = tmp_path / "clones" / "corner__shop"
    for path, text in BASE.items():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(text)
    git(clone, "init", "-q")
    commits = []
    for message in ("base", "fix GOLD-MARK", "tests SECRET_MARK"):
        if message.startswith("fix"):
            (clone / "shop/price.py").write_text(FIXED)
        elif message.startswith("tests"):
            (clone / "tests/test_price.py").write_text(TESTED)
        git(clone, "add", "-A")
        git(clone, "commit", "-q", "-m", message)
        commits.append(git(clone, "rev-parse", "HEAD").strip())
    words = ["tests/test_price.py::test_words[a", "tests/test_price.py::test_price_SECRET_MARK"]
    row = {
        "repo": "corner/shop",
        "instance_id": "corner__shop-1",
        "base_commit": commits[0],
        "patch": git(clone, "diff", commits[0], commits[1]),
        "test_patch": git(clone, "diff", commits[1], commits[2]),
        "problem_statement": "price(2) is 1, but it should be 3: one is to be added.",
        "hints_text": "HINT-MARK: the sign is wrong",
        "created_at": "2026-01-01T00:00:00Z",
        "version": "1.0",
        "FAIL_TO_PASS": json.dumps(words),
        "PASS_TO_PASS": json.dumps(["tests/test_price.py::test_double"]),
        "environment_setup_commit": commits[0],
    }
    return Bench(tmp_path / "clones", clone, commits[0], row)
