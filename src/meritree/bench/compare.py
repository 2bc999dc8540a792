"""Compare search strategies on the same tasks at equal numbers of candidate evaluations.

Asks a solver for one attempt per task, setting and seed, judges its patch by the held-out
tests, and appends one line per attempt. It does not know how a solver searches.
"""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from meritree.bench.injected import SECONDS
from meritree.bench.layout_run import run_suite
from meritree.bench.tasks import Task, inject, unhide
from meritree.errors import BadInput, HarnessError

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """What is compared: a strategy, perhaps with parts of value or policy switched off."""

    strategy: str
    ablate: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """``puct`` or ``puct -graded -prior``."""
        return " ".join([self.strategy, *(f"-{part}" for part in sorted(self.ablate))])


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a solver brings back from one search.

    Attributes:
        found_at: evaluations spent when the first plausible patch was judged; None: none.
        evaluations: spent in all.
        files: changed files of that patch, path -> text.
        seconds: wall clock.
    """

    found_at: int | None
    evaluations: int
    files: Mapping[str, str]
    seconds: float


class Case(Protocol):
    """One task made ready for many searches."""

    def attempt(self, setting: Setting, seed: int, budget: int) -> Attempt: ...

    def close(self) -> None: ...


class Solver(Protocol):
    """Opens a task's repository; whatever is the same for all searches is done here."""

    def open(self, repo: Path, task: Task) -> Case: ...


@dataclass(frozen=True, slots=True)
class Trial:
    """One line of the results.

    Attributes:
        task, package, slips, setting, seed, budget: what was run.
        found_at, evaluations, seconds: see `Attempt`.
        held_out: all held-out tests pass with the patch; None without patch or such tests.
        kept: nothing that passed before the fault fails with the patch, held-out tests
            included; None without patch.
        original: the patched files equal the originals but for layout and comments.
        error: why the search could not be run; such a trial counts as not solved.
    """

    task: str
    package: str
    slips: int
    setting: str
    seed: int
    budget: int
    found_at: int | None
    evaluations: int
    seconds: float
    held_out: bool | None
    kept: bool | None
    original: bool
    error: str = ""

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What makes a trial one of its own."""
        return self.task, self.setting, self.seed, self.budget

    @property
    def correct(self) -> bool:
        """A patch that also satisfies everything it could not see."""
        return self.found_at is not None and (self.original or bool(self.kept))


def compare(
    tasks: Sequence[Task],
    settings: Sequence[Setting],
    *,
    seeds: Sequence[int],
    budget: int,
    solver: Solver,
    lay_out: Callable[[Task, Path], None],
    results: Path,
    say: Say = lambda _: None,
) -> tuple[Trial, ...]:
    """Run what ``results`` does not hold yet; return all trials asked for, in order.

    Args:
        tasks: the list; order matters only for progress.
        settings: strategies and ablations.
        seeds: search seeds, the same for every setting (this is what pairs them).
        budget: candidate evaluations of each search.
        solver: does the searches.
        lay_out: writes a task's package, without its fault, to an empty folder.
        results: JSON lines, appended to; one process at a time.
        say: progress in words.

    Raises:
        BadInput: ``results`` is not such a file or is in use by another process.
    """
    if budget < 1 or not seeds or not settings:
        raise BadInput("a comparison needs a budget of 1 or more, a seed and a strategy")
    with _sole_writer(results):
        done = {trial.key: trial for trial in read_trials(results)}
        for number, task in enumerate(tasks, 1):
            missing = [
                (setting, seed)
                for setting in settings
                for seed in seeds
                if (task.id, setting.label, seed, budget) not in done
            ]
            if missing:
                for trial in _run_task(task, missing, budget, solver, lay_out):
                    done[trial.key] = trial
                    _append(results, trial)
            solved = [
                done[task.id, s.label, seed, budget].found_at for s in settings for seed in seeds
            ]
            count = sum(found is not None for found in solved)
            say(f"{number}/{len(tasks)} {task.id} ({task.kinds}): {count} of {len(solved)} solved")
    return tuple(
        done[task.id, setting.label, seed, budget]
        for task in tasks
        for setting in settings
        for seed in seeds
    )


def read_trials(path: Path) -> tuple[Trial, ...]:
    """All complete trials of a results file; a torn last line is left out.

    Raises:
        BadInput: a line is not a trial.
    """
    if not path.is_file():
        return ()
    complete = path.read_text(encoding="utf-8").rpartition("\n")[0]
    try:
        return tuple(Trial(**json.loads(line)) for line in complete.splitlines())
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path}: not a results file of this version ({error})") from error


def _run_task(
    task: Task,
    missing: Sequence[tuple[Setting, int]],
    budget: int,
    solver: Solver,
    lay_out: Callable[[Task, Path], None],
) -> Iterator[Trial]:
    with tempfile.TemporaryDirectory(prefix="meritree-task-") as scratch:
        clean, repo = Path(scratch) / "clean", Path(scratch) / "repo"
        clean.mkdir()
        lay_out(task, clean)
        shutil.copytree(clean, repo)
        inject(task, repo)
        verdict = Verdicts(task, clean, repo)
        try:
            case = solver.open(repo, task)
        except (BadInput, HarnessError) as error:
            for setting, seed in missing:
                yield _failed(task, setting, seed, budget, str(error))
            return
        try:
            for setting, seed in missing:
                yield _one(task, case, setting, seed, budget, verdict)
        finally:
            case.close()


def _one(
    task: Task, case: Case, setting: Setting, seed: int, budget: int, verdict: Verdicts
) -> Trial:
    try:
        attempt = case.attempt(setting, seed, budget)
    except HarnessError as error:
        return _failed(task, setting, seed, budget, str(error))
    held_out, kept, original = None, None, False
    if attempt.found_at is not None:
        held_out, kept, original = verdict.of(attempt.files)
    return Trial(
        task=task.id,
        package=task.package,
        slips=len(task.faults),
        setting=setting.label,
        seed=seed,
        budget=budget,
        found_at=attempt.found_at,
        evaluations=attempt.evaluations,
        seconds=round(attempt.seconds, 4),
        held_out=held_out,
        kept=kept,
        original=original,
    )


def _failed(task: Task, setting: Setting, seed: int, budget: int, error: str) -> Trial:
    return Trial(
        task=task.id,
        package=task.package,
        slips=len(task.faults),
        setting=setting.label,
        seed=seed,
        budget=budget,
        found_at=None,
        evaluations=0,
        seconds=0.0,
        held_out=None,
        kept=None,
        original=False,
        error=error,
    )


class Verdicts:
    """Judges patches by everything the search could not see; each distinct patch once."""

    def __init__(self, task: Task, clean: Path, repo: Path) -> None:
        self.task = task
        self.clean = clean
        self.repo = repo
        self._known: dict[str, tuple[bool | None, bool, bool]] = {}
        self._passing: frozenset[str] | None = None

    def of(self, files: Mapping[str, str]) -> tuple[bool | None, bool, bool]:
        """Held-out tests pass; everything that passes without the fault passes; original."""
        digest = hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()
        if digest not in self._known:
            self._known[digest] = self._judge(files)
        return self._known[digest]

    def _judge(self, files: Mapping[str, str]) -> tuple[bool | None, bool, bool]:
        original = self._is_original(files)
        with tempfile.TemporaryDirectory(prefix="meritree-verdict-") as scratch:
            copy = Path(scratch) / "repo"
            shutil.copytree(self.repo, copy)
            for path, text in files.items():
                (copy / path).write_bytes(text.encode())
            unhide(copy, self.clean, self.task.hidden)
            run = run_suite(copy, seconds=SECONDS)
        passed = run.with_status("passed") if run else frozenset()
        held_out = set(self.task.held_out) <= passed if self.task.held_out else None
        return held_out, self._good() <= passed, original

    def _good(self) -> frozenset[str]:
        if self._passing is None:
            run = run_suite(self.clean, seconds=SECONDS)
            passed = run.with_status("passed") if run else frozenset()
            self._passing = passed - set(self.task.broken_before)
        return self._passing

    def _is_original(self, files: Mapping[str, str]) -> bool:
        for path in {*files, *self.task.edits}:
            now = files.get(path)
            if now is None:
                now = (self.repo / path).read_text(encoding="utf-8")
            before = self.clean / path
            if not before.is_file() or not same_program(before.read_text(encoding="utf-8"), now):
                return False
        return True


def same_program(old: str, new: str) -> bool:
    """Whether two texts are the same program but for layout and comments."""
    try:
        return ast.dump(ast.parse(old)) == ast.dump(ast.parse(new))
    except SyntaxError:
        return False


@contextmanager
def _sole_writer(results: Path) -> Iterator[None]:
    import fcntl

    results.parent.mkdir(parents=True, exist_ok=True)
    with results.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInput(f"{results} is being written by another process; wait for it") from error
        _drop_torn_line(results)
        yield


def _drop_torn_line(path: Path) -> None:
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        complete, end, torn = text.rpartition("\n")
        if torn:
            path.write_text(complete + end, encoding="utf-8")


def _append(path: Path, trial: Trial) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(trial)) + "\n")
