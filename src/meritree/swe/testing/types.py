"""What running a repository's tests tells us: results, baselines, coverage, outcomes, verdicts.

Plain data; knows nothing about processes, pytest or the search that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple

Status = Literal["passed", "failed", "error", "timeout", "skipped", "crashed"]
"""failed: an assertion; error: any other exception; crashed: the process died."""

How = Literal["hot", "cold", "fresh", "cached"]
"""hot: function code swapped in a live process; cold: modules imported anew in a fork;
fresh: a new interpreter; cached: an equal candidate was judged before."""

CommandKind = Literal["pytest", "unittest", "plain"]

_NO_RESULTS: Mapping[str, TestResult] = MappingProxyType({})
_NO_LINES: Mapping[str, frozenset[int]] = MappingProxyType({})
_NO_FUNCTIONS: Mapping[str, Mapping[str, frozenset[int]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TestCommand:
    """How the tests of a repository are run.

    Attributes:
        kind: ``pytest`` and ``unittest`` run inside the harness; ``plain`` is any other
            command, judged by its exit code (one pseudo-test named by the command).
        arguments: what follows the runner's name (``plain``: the whole argument vector).
        text: the command in words, for people and as the pseudo-test's name.
        roots: folders to put on ``sys.path``, relative to the repository (``"src"``, ``"."``).
        addopts: the configured pytest ``addopts`` without the options that would start
            other processes, write files or change the order; None when none is configured.
        inifile: the pytest configuration file, relative to the repository, or None.
    """

    __test__: ClassVar[bool] = False

    kind: CommandKind
    arguments: tuple[str, ...] = ()
    text: str = "pytest"
    roots: tuple[str, ...] = (".",)
    addopts: tuple[str, ...] | None = None
    inifile: str | None = None


@dataclass(frozen=True, slots=True)
class TestLimits:
    """Hard limits of test runs.

    Attributes:
        baseline_seconds: limit of one test while nothing is known about it. Limits of tests
            are CPU time; a test that waits gets one second of wall time more.
        collect_seconds: wall limit of importing and collecting everything.
        floor_seconds: a candidate's test gets ``max(floor_seconds, factor * baseline)``; where
            the baseline ran into its limit, the slowest test that ended stands for it.
        factor: see above.
        grace_seconds: added to the sum of limits before a silent process is killed.
        memory_bytes: address space a test process may use beyond nothing loaded.
        candidates_per_process: a persistent evaluator is replaced after so many.
        canary_every: the original code is re-run after so many candidates; 0: never (what
            candidates leave behind then goes unnoticed, except by those that pass).
        target_cap: at most so many target tests are run to grade a failing candidate,
        grading_seconds: and no more than the baseline ran in this time (at least one).
        traced_passing: at most so many passing tests are traced line by line.
        entered_passing: of at most so many others the functions they enter are noted.
    """

    __test__: ClassVar[bool] = False

    baseline_seconds: float = 10.0
    collect_seconds: float = 120.0
    floor_seconds: float = 0.15
    factor: float = 8.0
    grace_seconds: float = 15.0
    memory_bytes: int = 3 << 30
    candidates_per_process: int = 400
    canary_every: int = 25
    target_cap: int = 5
    grading_seconds: float = 0.3
    traced_passing: int = 150
    entered_passing: int = 2000


class Frame(NamedTuple):
    """One traceback entry inside the repository, outermost first in ``TestResult.frames``."""

    path: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class TestResult:
    """What happened to one test.

    Attributes:
        id: the test's name as the framework gives it (pytest node id, unittest dotted name).
        status: see ``Status``; an expected failure (xfail) counts as skipped.
        seconds: wall seconds, set-up and teardown included.
        graded: partial credit in [0, 1]; 1 for passed and skipped (spec: value of a state).
        similarity: how near the actual value came to the expected one in [0, 1]; None when
            the failure was not an equality.
        signature: exception type and first 80 characters of its message with addresses,
            paths and times normalised; empty when passed. Stable between runs.
        exception: exception type name, empty when passed.
        message: first lines of the message.
        frames: traceback inside the repository, outermost first.
        actual: short ``repr`` of the actual value, when known.
        expected: short ``repr`` of the expected value, when known.
        outside: it failed in a fixture or another part around the test's own body.
    """

    __test__: ClassVar[bool] = False

    id: str
    status: Status
    seconds: float = 0.0
    graded: float = 0.0
    similarity: float | None = None
    signature: str = ""
    exception: str = ""
    message: str = ""
    frames: tuple[Frame, ...] = ()
    actual: str | None = None
    expected: str | None = None
    outside: bool = False

    def called(self, kind: CommandKind) -> str:
        """The status in the test framework's own words: to pytest any exception of a test's body
        is a failure, and any of a fixture an error."""
        if kind != "pytest" or self.status not in ("failed", "error"):
            return self.status
        return "error" if self.outside else "failed"

    @property
    def ok(self) -> bool:
        """Whether the test raises no objection (passed or skipped)."""
        return self.status in ("passed", "skipped")


@dataclass(frozen=True, slots=True)
class CollectionError:
    """A test file that could not be imported or collected.

    Attributes:
        path: the test file (or folder) that failed to collect, relative to the repository.
        exception: type name (``ModuleNotFoundError``, ``SyntaxError``...).
        message: the exception's message.
        file: where it was raised, relative to the repository when inside it.
        line: 1-based line there, 0 when unknown.
    """

    path: str
    exception: str
    message: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file or self.path
        return f"{self.path}: {self.exception}: {self.message} ({place})"


@dataclass(frozen=True, slots=True)
class Baseline:
    """All tests on the unchanged repository.

    Attributes:
        results: by test id, in collection order.
        flaky: tests whose status changes from run to run of the same code.
        unstable: tests whose status depends on the process they run in (in-process status
            differs from a fresh process); they are neither targets nor guards.
        seconds: wall seconds of everything.
    """

    results: Mapping[str, TestResult]
    flaky: tuple[str, ...] = ()
    unstable: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def failing(self) -> tuple[str, ...]:
        """Ids that fail for certain, in collection order."""
        odd = {*self.flaky, *self.unstable}
        return tuple(i for i, r in self.results.items() if not r.ok and i not in odd)

    @property
    def passing(self) -> tuple[str, ...]:
        """Ids that pass (skipped ones are not guards), in collection order."""
        odd = {*self.flaky, *self.unstable}
        return tuple(i for i, r in self.results.items() if r.status == "passed" and i not in odd)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which project lines each test executes (test files excluded).

    Attributes:
        lines: test id -> path -> 1-based lines executed while the test ran.
        import_lines: path -> lines executed while the failing tests' modules were imported.
        untraced: passing tests whose lines were not traced (too many, too slow).
        lost: tests whose code replaced the trace hook; their traceback lines are included,
            the rest of their coverage is incomplete.
        functions: of untraced tests, test id -> path -> first lines of the functions entered;
            a test that is in neither must be assumed to cover everything.
    """

    lines: Mapping[str, Mapping[str, frozenset[int]]]
    import_lines: Mapping[str, frozenset[int]] = field(default_factory=lambda: _NO_LINES)
    untraced: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    functions: Mapping[str, Mapping[str, frozenset[int]]] = field(
        default_factory=lambda: _NO_FUNCTIONS
    )


@dataclass(frozen=True, slots=True)
class Amendment:
    """A correction: an earlier outcome came from a poisoned process and was run again."""

    files: Mapping[str, str]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the tests said about one candidate.

    Attributes:
        passed_all: every target passed and no covering passing test failed. Such an
            outcome has been confirmed in a process of its own.
        results: the target tests that were run, by id.
        regressions: passing tests that now fail (at most one: running stops there).
        ran: number of tests run, confirmations included.
        seconds: wall seconds this outcome took.
        how: which kind of process judged it.
        reason_not_hot: why the code could not be swapped into a live process, or empty.
        new_signatures: failure signatures never seen before by this evaluator.
        invalid: the candidate does not compile (the message); nothing was run.
        amended: earlier outcomes of this evaluator that are hereby replaced.
        regression_results: what the regressions looked like.
    """

    passed_all: bool
    results: Mapping[str, TestResult] = field(default_factory=lambda: _NO_RESULTS)
    regressions: tuple[str, ...] = ()
    ran: int = 0
    seconds: float = 0.0
    how: How = "hot"
    reason_not_hot: str = ""
    new_signatures: tuple[str, ...] = ()
    invalid: str = ""
    amended: tuple[Amendment, ...] = ()
    regression_results: Mapping[str, TestResult] = field(default_factory=lambda: _NO_RESULTS)


@dataclass(frozen=True, slots=True)
class FinalVerdict:
    """The judgement of a patch in fresh processes and fresh copies.

    Attributes:
        verified: in every run all targets passed and nothing that must pass failed.
        failing_targets: targets that failed in some run.
        broken: tests that must pass and did not, in some run.
        missing: targets or guards that could no longer be collected.
        runs: results of each run, by test id.
        reason: in words, why it is not verified; empty when it is.
        seconds: wall seconds of all runs.
        notes: edits of tests and of configuration that were left out of the judgement, in words.
    """

    verified: bool
    failing_targets: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    runs: tuple[Mapping[str, TestResult], ...] = ()
    reason: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class EvaluatorStats:
    """Counts of what an evaluator did since it was opened.

    Attributes:
        hot, cold, fresh, cached: candidates by the kind of process that judged them.
        invalid: candidates that do not compile.
        forks: candidates (or repetitions) that got a forked process of their own.
        canaries: times the original code was re-run to see whether state has leaked.
        canary_failures: times it had.
        requeued: candidates run again because of that.
        restarts: persistent processes replaced (leak, hang, death, age).
        refreshed: files of the scratch copy restored because a run had changed them.
        cpu_seconds: processor time of the hot processes, collection included.
    """

    hot: int = 0
    cold: int = 0
    fresh: int = 0
    cached: int = 0
    invalid: int = 0
    forks: int = 0
    canaries: int = 0
    canary_failures: int = 0
    requeued: int = 0
    restarts: int = 0
    refreshed: int = 0
    cpu_seconds: float = 0.0
