"""The task and what tests said, in words for a model. Reads plain data; runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from meritree.swe.agent.prompts import filled
from meritree.swe.prepare import test_sources
from meritree.swe.prepared import Prepared
from meritree.swe.testing.types import Outcome, TestResult

PLACES = 60  # suspicious lines that are told
_TESTS = 10
_FILES = 120
_SOURCE = 6000  # characters of the failing tests' source
_MESSAGE = 600


def task_text(prepared: Prepared) -> str:
    """What is wrong, how the failing tests fail, where they lead, what the repository holds."""
    issue = prepared.options.issue.strip()
    return filled(
        "task",
        issue=issue or "No description: make the failing tests pass.",
        tests=_tests(prepared),
        places=_places(prepared) or "nothing is known",
        overview=_overview(prepared),
    )


def _tests(prepared: Prepared) -> str:
    guards = f"{len(prepared.guards)} other tests pass and must go on passing."
    if not prepared.targets:
        return f"No failing test is given: write one with write_test. {guards}"
    results = prepared.baseline.results
    told = [f"- {result_words(results[t])}" for t in prepared.targets[:_TESTS]]
    if len(prepared.targets) > _TESTS:
        told.append(f"- and {len(prepared.targets) - _TESTS} more")
    source = "\n\n".join(test_sources(prepared.repository, prepared.targets))[:_SOURCE]
    shown = f"\nTheir code:\n```python\n{source}\n```" if source else ""
    return "\n".join([f"These must come to pass. {guards}", *told]) + shown


def result_words(result: TestResult) -> str:
    """One result on a few lines: status, exception, message, place, values."""
    said = " ".join(result.message.split())[:_MESSAGE]
    line = f"{result.id}: {result.status}"
    if not result.ok:
        line += f" {result.exception}: {said}" if result.exception else f" {said}"
        if result.expected is not None and result.actual is not None:
            line += f"\n  expected {result.expected[:200]}, got {result.actual[:200]}"
        for frame in result.frames[-6:]:
            line += f"\n  at {frame.path}:{frame.line} in {frame.function}"
    return line


def _places(prepared: Prepared) -> str:
    lines = []
    top = max((item.factor for item in prepared.suspicion.lines), default=0.0)
    for item in prepared.suspicion.lines[:PLACES]:
        text = prepared.repository.sources.get(item.path, "").splitlines()
        code = text[item.line - 1].strip()[:120] if item.line <= len(text) else ""
        share = item.factor / top if top else 0.0
        lines.append(f"- {item.path}:{item.line} {share:.4f} {code}")
    return "\n".join(lines)


def _overview(prepared: Prepared) -> str:
    paths = [p for p in prepared.store.paths(prepared.base) if not p.startswith(".")]
    shown = paths[:_FILES]
    more = f"\n... and {len(paths) - _FILES} more files" if len(paths) > _FILES else ""
    return "\n".join(shown) + more


def outcome_words(
    outcome: Outcome, targets: Sequence[str], before: Mapping[str, TestResult]
) -> str:
    """What the tests say of the files as they are now."""
    if outcome.invalid:
        return f"Tests: the code cannot be loaded: {outcome.invalid[:_MESSAGE]}"
    if outcome.passed_all:
        return f"Tests: all {len(targets)} target tests pass and nothing that passed before fails."
    now = {t: outcome.results.get(t) or before.get(t) for t in targets}
    passing = sum(r is not None and r.ok for r in now.values())
    lines = [f"Tests: {passing} of {len(targets)} target tests pass."]
    lines += _failing(outcome.results.values())
    if outcome.regressions:
        lines.append(f"It breaks tests that passed before: {', '.join(outcome.regressions[:5])}")
        lines += _failing(outcome.regression_results.values())
    if passing < len(targets) and not _differs(outcome, before):
        lines.append("They fail exactly as before.")
    return "\n".join(lines)


def _failing(results: Iterable[TestResult]) -> list[str]:
    return [f"- {result_words(one)}" for one in results if not one.ok][:5]


def _differs(outcome: Outcome, before: Mapping[str, TestResult]) -> bool:
    return any(
        name in before
        and (one.status, one.signature) != (before[name].status, before[name].signature)
        for name, one in outcome.results.items()
    )


def results_words(results: Mapping[str, TestResult]) -> str:
    """Results of tests that were named."""
    good = sum(one.ok for one in results.values())
    return "\n".join([f"{good} of {len(results)} pass.", *_failing(results.values())])
