"""From a repository to everything the search needs: tests, baseline, suspicion, policy.

Done once a run; what was measured here is journalled as evidence, so that a resumed run
searches from the same facts. Knows nothing of the search tree.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.run.sandbox import Sandbox, choose
from meritree.swe.guards import seen_in_tests
from meritree.swe.outcome_codec import (
    decode_baseline,
    decode_coverage,
)
from meritree.swe.prepared import Prepared, covered_tests, localized
from meritree.swe.repair.evidence import Evidence
from meritree.swe.repair.ingredients import RepoIndex
from meritree.swe.repair.installed import site_packages
from meritree.swe.repair.priors import FailureSigns
from meritree.swe.repair.templates import EditCatalogue
from meritree.swe.repository import SKIPPED_FOLDERS, Repository, judged_by, open_repository
from meritree.swe.result import FixOptions, Progress
from meritree.swe.run_folder import RunFolder
from meritree.swe.store import ObjectStore
from meritree.swe.targets import choose_targets
from meritree.swe.testing import (
    Baseline,
    Coverage,
    TestCommand,
    TestLimits,
    TestSession,
    detect_command,
    detect_python,
    parse_command,
)
from meritree.swe.wording import counted

Say = Callable[[Progress], None]


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
        localized(repository, tests, measured.coverage, options),
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
