"""Runs for the viewer's tests: a journal written step by step, with hostile texts in it."""

from __future__ import annotations

from typing import Any

from meritree.run.journal import Journal

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
)
OPTIONS = {"repo": "/code/shop", "strategy": "best-first", "seed": 0, "budget_tests": 500}


def begin(journal: Journal) -> None:
    journal.append("prepared", {"base": "base", "targets": ["t.py::a"]})
    journal.append("root", {"estimate": {"mean": 0.1}})


def grow(journal: Journal, first: int, end: int, passed: int = -1) -> None:
    """Nodes ``first`` to ``end - 1``; node ``passed`` passes the tests."""
    events: list[tuple[str, dict[str, Any]]] = []
    for number in range(first, end):
        edit = {
            "path": f"a{HOSTILE}.py" if number == 2 else "a.py",
            "line": number,
            "template": "cmp_op" if number % 3 else "var",
            "rationale": f"edit {number} {HOSTILE if number == 2 else ''}",
            "splices": [[0, 0, f"# {HOSTILE}\n"]],
        }
        value = 1.0 if number == passed else (number * 37 % 100) / 120
        reasons = {"targets": f"why {number} {HOSTILE}"}
        estimate = {"mean": value, "channels": {"targets": value}, "reasons": reasons}
        results = [{"id": "t.py::a", "status": "failed", "message": f"assert {number} {HOSTILE}"}]
        step = {"ticket": number, "node": (number - 1) // 4, "key": f"k{number}", "edit": edit}
        events += [
            ("step", {**step, "probability": 0.1, "next_prior": 0.2}),
            ("outcome", {"ticket": number, "estimate": estimate, "results": results,
                         "passed_all": number == passed, "seconds": 0.1}),
        ]  # fmt: skip
    journal.append_many(events)
