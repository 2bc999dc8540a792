"""From a repository to everything the search needs: tests, baseline, suspicion, policy.

Done once a run; what was measured here is journalled as evidence, so that a resumed run
searches from the same facts. Knows nothing of the search tree.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meritree.errors import BadInput
from meritree.run.sandbox import Sandbox, choose
from meritree.swe.guards import Seen, seen_in_tests
from meritree.swe.outcome_codec import (
    decode_baseline,
    decode_coverage,
    encode_baseline,
    encode_coverage,
)
from meritree.swe.repair.evidence import Evidence
from meritree.swe.repair.ingredients import RepoIndex
from meritree.swe.repair.installed import site_packages
from meritree.swe.repair.localize import CoveredTest, Suspicion, localize
from meritree.swe.repair.policy import PolicyOptions, RepairPolicy
from meritree.swe.repair.priors import FailureSigns, PriorTable, shipped
from meritree.swe.repair.templates import EditCatalogue
from meritree.swe.repository import SKIPPED_FOLDERS, Repository, judged_by, open_repository
from meritree.swe.result import FixOptions, Progress, TestOutcome
from meritree.swe.run_folder import RunFolder
from meritree.swe.store import ObjectStore
from meritree.swe.targets import choose_targets, outcomes
from meritree.swe.testing import (
    Baseline,
    Coverage,
    Evaluator,
    TestCommand,
    TestLimits,
    TestSession,
    detect_command,
    detect_python,
    parse_command,
)
from meritree.swe.traceback_text import Frame
from meritree.swe.wording import counted

if TYPE_CHECKING:
    from meritree.swe.testing.remote import RayTester

Say = Callable[[Progress], None]


@dataclass(slots=True)
class Prepared:
    """A repository whose failing tests are known and whose code can be judged.

    Attributes:
        options: what was asked.
        repository: its Python files.
        store: states as git trees; ``base`` is the hash of the starting state.
        pristine: an untouched copy that test processes are started from.
        session: the open test session.
        baseline, coverage: what the tests said of the unchanged code.
        targets: failing tests that a patch must make pass.
        guards: passing tests that it must not break.
        warnings: what the user should know.
        seen: constants of the failing tests, which a patch should not write in.
    """

    options: FixOptions
    repository: Repository
    store: ObjectStore
    base: str
    pristine: Path
    command: TestCommand
    python: Path
    sandbox: Sandbox
    session: TestSession
    baseline: Baseline
    coverage: Coverage
    targets: tuple[str, ...]
    guards: tuple[str, ...]
    warnings: tuple[str, ...]
    suspicion: Suspicion
    catalogue: EditCatalogue
    signs: FailureSigns
    seen: Seen = field(default_factory=Seen)
    evaluators: list[Evaluator] = field(default_factory=list)
    remote: list[RayTester] = field(default_factory=list)

    @property
    def sandbox_kind(self) -> str:
        return self.sandbox.kind

    def tests_before(self) -> tuple[TestOutcome, ...]:
        """Every test on the unchanged code."""
        return outcomes(self.baseline.results, self.command.kind)

    def evidence(self) -> dict[str, Any]:
        """What a resumed run must not measure again, as JSON data."""
        return {
            "base": self.base,
            "targets": list(self.targets),
            "baseline": encode_baseline(self.baseline),
            "coverage": encode_coverage(self.coverage),
            "warnings": list(self.warnings),
        }

    def evaluator(self, limits: TestLimits | None = None) -> Evaluator:
        """A new judge of candidates with processes of its own."""
        made = Evaluator(
            self.session,
            self.targets,
            self.guards,
            self.coverage,
            baseline=self.baseline,
            limits=limits,
        )
        self.evaluators.append(made)
        return made

    def testers(self) -> list[Evaluator] | list[RayTester]:
        """As many judges as the options ask for, where they ask for them."""
        options = self.options
        if options.engine == "local":
            return [self.evaluator() for _ in range(options.workers)]
        from meritree.swe.testing.remote import pack, ray_testers

        kit = pack(
            self.session, self.sandbox.kind, self.baseline, self.coverage, self.targets, self.guards
        )
        made = ray_testers(kit, options.workers, options.ray_address)
        self.remote.extend(made)
        return made

    def policy(
        self,
        seed: int,
        *,
        priors: PriorTable | None = None,
        options: PolicyOptions | None = None,
    ) -> RepairPolicy:
        """A fresh repair policy over the starting state.

        Args:
            priors: template weights and factors; those that come with meritree when None.
            options: what else decides the order; the usual when None.
        """
        return RepairPolicy(
            self.catalogue,
            self.repository.sources,
            self.suspicion,
            priors or shipped(self.catalogue.templates),
            signs=self.signs,
            root=self.base,
            seed=seed,
            options=options,
            relocalize=self._relocalize,
        )

    def contents(
        self, changed: Mapping[str, str | None]
    ) -> tuple[dict[str, bytes | None], dict[str, bytes | None]]:
        """Bytes of the changed files before and after, in the files' own encoding.

        None: the file is not there.
        """
        new = self.store.tree_with(self.base, changed)
        there = set(self.store.paths(self.base))
        before = {p: self.store.read(self.base, p) if p in there else None for p in changed}
        after = {p: None if t is None else self.store.read(new, p) for p, t in changed.items()}
        return before, after

    def _relocalize(self, failing: frozenset[str]) -> Suspicion:
        tests = covered_tests(self.baseline, self.coverage, sorted(failing), self.guards)
        return _localize(self.repository, tests, self.coverage, self.options)

    def close(self) -> None:
        """End all test processes."""
        for evaluator in self.evaluators:
            evaluator.close()
        self.evaluators.clear()
        for tester in self.remote:
            tester.close()
        self.remote.clear()
        self.session.close()


def prepare(
    options: FixOptions, folder: RunFolder, say: Say, known: Mapping[str, Any] | None = None
) -> Prepared:
    """Collect, run and trace the tests; find where the fault may be.

    Args:
        known: `Prepared.evidence` of the same run, when it is resumed.

    Raises:
        BadInput: the tests cannot judge a patch (none found, import errors, all flaky...).
        Ended: no test fails, or only a text says what is wrong.
    """
    repository = open_repository(options.repo, any_language=options.by_model)
    sandbox = choose(options.sandbox)
    pristine = folder.work / "pristine"
    _copy(repository.root, pristine, folder.root)
    store = ObjectStore(folder.objects)
    base = store.snapshot_folder(repository.root).tree
    if known is not None and known["base"] != base:
        raise BadInput(
            f"{repository.root} was changed since the run started; start a new run "
            "(the old one can still be shown with `meritree show`)"
        )
    python = detect_python(repository.root, options.python)
    command = (
        parse_command(options.test_command, pristine)
        if options.test_command
        else detect_command(pristine)
    )
    repository = judged_by(repository, command.text)
    say(Progress("collect", command.text))
    session = TestSession.open(
        pristine,
        command,
        python,
        sandbox,
        TestLimits(),
        options.seed,
        scratch=folder.work / "copies",
    )
    try:
        measured = _Measured.of(known) if known else _measure(session, options, say)
        return _assemble(
            options, repository, store, base, pristine, command, python, sandbox, session, measured
        )
    except BaseException:
        session.close()
        raise


@dataclass(frozen=True, slots=True)
class _Measured:
    baseline: Baseline
    coverage: Coverage
    targets: tuple[str, ...]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> _Measured:
        return cls(
            decode_baseline(known["baseline"]),
            decode_coverage(known["coverage"]),
            tuple(known["targets"]),
            tuple(known["warnings"]),
        )


def _measure(session: TestSession, options: FixOptions, say: Say) -> _Measured:
    errors = session.collection_errors
    if not session.collected:
        raise BadInput(f"the tests cannot be imported: {errors[0]}; mend this first")
    say(Progress("baseline", f"running {counted(len(session.collected), 'test')}"))
    baseline = session.baseline()
    warnings = [*session.notes, *(f"not collected: {error}" for error in errors)]
    warnings += [f"flaky, ignored: {test}" for test in baseline.flaky]
    warnings += [f"differs in a fresh process, ignored: {test}" for test in baseline.unstable]
    targets, hopeless = choose_targets(session, baseline, options, tuple(warnings))
    warnings += [f"left out, no edit of the code can mend it: {said}" for said in hopeless]
    others = len(set(baseline.failing) - set(targets)) - len(hopeless)
    if options.failing_tests and others:
        warnings.append(
            f"{others} other test{'s fail' if others > 1 else ' fails'} too and may go on failing: "
            "a target is what was named with --failing"
        )
    warnings += [
        f"runs into its time limit: {t}" for t in targets if baseline.results[t].status == "timeout"
    ]
    if not targets:  # only a text says what is wrong: the model will write a test
        return _Measured(baseline, Coverage({}), (), tuple(warnings))
    say(Progress("localise", f"tracing {counted(len(targets), 'failing test')}"))
    coverage = session.coverage(targets, baseline.passing)
    return _Measured(baseline, coverage, targets, tuple(warnings))


def covered_tests(
    baseline: Baseline, coverage: Coverage, failing: Sequence[str], passing: Sequence[str]
) -> list[CoveredTest]:
    """What localisation reads of the baseline."""
    tests = []
    for name in (*failing, *(t for t in passing if t in coverage.lines)):
        result = baseline.results[name]
        tests.append(
            CoveredTest(
                name,
                not result.ok,
                coverage.lines.get(name, {}),
                tuple(Frame(f.path, f.line, f.function) for f in result.frames),
                result.message,
            )
        )
    return tests


def _localize(
    repository: Repository,
    tests: Sequence[CoveredTest],
    coverage: Coverage,
    options: FixOptions,
) -> Suspicion:
    return localize(
        repository.sources,
        tests,
        imported=coverage.import_lines,
        issue=options.issue,
        seed=options.seed,
    )


def _assemble(
    options: FixOptions,
    repository: Repository,
    store: ObjectStore,
    base: str,
    pristine: Path,
    command: TestCommand,
    python: Path,
    sandbox: Sandbox,
    session: TestSession,
    measured: _Measured,
) -> Prepared:
    failing = [measured.baseline.results[t] for t in measured.targets]
    guards = tuple(t for t in measured.baseline.passing if t not in measured.targets)
    tests = covered_tests(measured.baseline, measured.coverage, measured.targets, guards)
    expected = tuple(r.expected for r in failing if r.expected is not None)
    actual = tuple(r.actual for r in failing if r.actual is not None)
    exceptions = tuple(dict.fromkeys(r.exception for r in failing if r.exception))
    messages = tuple(r.message for r in failing if r.message)
    raised = tuple(dict.fromkeys((r.exception, r.message) for r in failing if r.exception))
    index = RepoIndex(repository.sources, installed=site_packages(python)).with_hints(
        test_sources(repository, measured.targets), options.issue
    )
    notes = tuple(f"sandbox {sandbox.kind}: {note}" for note in sandbox.notes)
    warnings = (
        notes
        + measured.warnings
        + tuple(f"not repaired: {path} {why}" for path, why in repository.skipped.items())
    )
    return Prepared(
        options,
        repository,
        store,
        base,
        pristine,
        command,
        python,
        sandbox,
        session,
        measured.baseline,
        measured.coverage,
        measured.targets,
        guards,
        warnings,
        _localize(repository, tests, measured.coverage, options),
        EditCatalogue(index, Evidence(raised, expected, actual)),
        FailureSigns(exceptions, messages, expected),
        seen_in_tests(repository.tests, measured.targets, expected),
    )


def test_sources(repository: Repository, targets: Sequence[str]) -> list[str]:
    """Source of the failing test functions (the whole file where one cannot be found)."""
    import ast

    segments: list[str] = []
    for target in targets[:20]:
        path, *names = target.split("::")
        text = repository.tests.get(path)
        if text is None or not names:
            continue
        wanted = names[-1].split("[")[0]
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue
        segments += [
            ast.get_source_segment(text, node) or ""
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == wanted
        ]
    return segments


def _copy(root: Path, target: Path, out: Path) -> None:
    """Copy a working tree without caches, virtual environments and the run's own folder."""

    def skip(folder: str, names: list[str]) -> set[str]:
        here = Path(folder)
        return {
            n
            for n in names
            if n in SKIPPED_FOLDERS - {"build", "dist"}
            or n.endswith(".pyc")
            or here / n == out
            or (here / n / "pyvenv.cfg").exists()
        }

    try:
        shutil.copytree(root, target, symlinks=True, ignore=skip)
    except shutil.Error as error:
        first = error.args[0][0]
        raise BadInput(f"{first[0]} cannot be copied: {first[2]}") from error
    except OSError as error:
        raise BadInput(f"cannot copy {root} to {target}: {error.strerror}") from error
