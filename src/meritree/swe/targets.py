"""Which failing tests a run must mend: named, chosen, or left out with the reason.

Reads what the tests did on the unchanged code; runs nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from meritree.errors import BadInput
from meritree.swe.result import FixOptions, Status, TestOutcome
from meritree.swe.testing import Baseline, TestResult, TestSession
from meritree.swe.testing.types import CommandKind
from meritree.swe.wording import counted


class Ended(Exception):
    """The run is over before a search: nothing to fix, or nothing to judge a patch by."""

    def __init__(
        self,
        status: Status,
        message: str,
        tests: tuple[TestOutcome, ...],
        warnings: tuple[str, ...],
    ) -> None:
        super().__init__(message)
        self.status: Status = status
        self.tests = tests
        self.warnings = warnings


def outcomes(results: Mapping[str, TestResult], kind: CommandKind) -> tuple[TestOutcome, ...]:
    """Results in the form of the answer, in the words of the test framework."""
    return tuple(TestOutcome(r.id, r.called(kind), _message(r)) for r in results.values())


def _message(result: TestResult) -> str:
    """The message; the exception's name before it where it is no failed assertion."""
    named = result.status == "error" and not result.message.startswith(result.exception)
    return f"{result.exception}: {result.message}".rstrip(": ") if named else result.message


def choose_targets(
    session: TestSession, baseline: Baseline, options: FixOptions, warnings: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The failing tests to repair; and those that no edit of the code can mend, with the reason.

    Raises:
        BadInput: the tests cannot judge a patch (unknown names, all flaky, import errors...).
        Ended: no test fails, or only a text says what is wrong.
    """
    if not options.trust_failing and options.issue and options.by_model:
        return (), ()
    failing = baseline.failing
    if options.failing_tests:
        wanted = named(options.failing_tests, session.collected)
        flaky = [t for t in wanted if t in baseline.flaky or t in baseline.unstable]
        if flaky and not any(t in failing for t in wanted):
            raise BadInput(_flaky(flaky))
        others, failing = failing, tuple(t for t in failing if t in wanted)
        if others and not failing and not options.issue:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            raise BadInput(
                f"--failing: {counted(len(wanted), 'named test passes', 'named tests pass')} "
                f"already; failing now: {', '.join(others[:3])}{more}; name one of these, or leave "
                "--failing out"
            )
    elif not failing and baseline.flaky:
        raise BadInput(_flaky(baseline.flaky))
    if not failing and session.collection_errors:
        raise BadInput(
            f"tests fail at import: {session.collection_errors[0]}; mend this import first "
            "(no collected test fails)"
        )
    if not failing:
        tests = outcomes(baseline.results, session.command.kind)
        if options.issue and options.by_model:
            return (), ()
        if options.issue:
            raise Ended(
                "no-judge",
                "the issue describes a problem, but every test passes, so nothing can judge a "
                "patch: add a test that fails because of the issue (and name it with --failing)",
                tests,
                warnings,
            )
        raise Ended(
            "already-passing",
            f"nothing to fix: no test fails ({len(baseline.passing)} pass)",
            tests,
            warnings,
        )
    hopeless = [t for t in failing if _outside(baseline.results[t], session)]
    said = tuple(_in_itself(baseline.results[t]) for t in hopeless)
    if len(hopeless) == len(failing):
        raise BadInput(f"{said[0]}; mend the test, or name others with --failing")
    return tuple(t for t in failing if t not in hopeless), said


def _outside(result: TestResult, session: TestSession) -> bool:
    """Whether a test hangs or dies in the test file itself: no edit of the code can help."""
    if session.command.kind == "plain" or result.status not in ("timeout", "crashed"):
        return False
    return bool(result.frames) and all(f.path in session.test_files for f in result.frames)


def _in_itself(result: TestResult) -> str:
    what = "hangs" if result.status == "timeout" else "dies"
    why = result.message or result.status
    return f"{result.id} {what} ({why}) before it reaches the repository's code"


def named(wanted: Sequence[str], collected: Sequence[str]) -> set[str]:
    """The tests that are meant by ids, parts of ids, files or classes.

    Raises:
        BadInput: one names no test; the message names near ones, or some that there are.
    """
    found: set[str] = set()
    for name in wanted:
        hits = [t for t in collected if t == name or t.startswith((f"{name}::", f"{name}["))]
        hits = hits or [t for t in collected if t.endswith(f"::{name}") or name in t.split("::")]
        if not hits:
            raise BadInput(f"--failing {name}: no such test; {_near(name, collected)}")
        found.update(hits)
    return found


def _near(name: str, collected: Sequence[str]) -> str:
    """The tests that may have been meant, by id or by its last part; else what there is."""
    short = {t.split("::")[-1].split("[")[0]: t for t in reversed(collected)}
    tail = name.split("::")[-1]
    close = difflib.get_close_matches(name, collected, 3, 0.6)
    close += [short[n] for n in difflib.get_close_matches(tail, short, 3, 0.6)]
    close += [t for t in collected if tail.lower() in t.lower()]
    near = list(dict.fromkeys(close))[:3]
    if near:
        return f"did you mean {', '.join(near)}?"
    some = ", ".join(collected[:3])
    if len(collected) <= 3:
        return f"there is {some}" if len(collected) == 1 else f"there are {some}"
    return f"there are {len(collected)}, among them {some}; leave --failing out for all that fail"


def _flaky(tests: Sequence[str]) -> str:
    return (
        f"flaky: {', '.join(tests[:5])} pass and fail without any change, so they cannot judge a "
        "patch; make them deterministic, or name other tests with --failing"
    )
