"""Repair tasks by fault injection: draw a slip, keep it when tests notice, hide half of them.

Every package is worked through alone, in slot order, with random numbers that depend only on
list seed, package and slot: any number of workers gives the same list, and a list that was
interrupted goes on where it stood.
"""

from __future__ import annotations

import difflib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from meritree.bench.layout_run import SuiteRun, run_suite
from meritree.bench.mutate import Mutation, apply, draw, draw_pair, mutations
from meritree.bench.packages import Package, fetch, lay_out, source_files
from meritree.bench.tasks import Fault, Task
from meritree.errors import BadInput

TRIES = 40
LARGEST_SHARE = 0.5  # a fault that breaks more of the suite than this is no puzzle
SECONDS = 120.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A package ready for injection.

    Attributes:
        package: its entry.
        root: a clean layout; changed and restored while faults are tried.
        texts: source files.
        passing, broken: tests that pass and fail without a fault.
        pool: possible mutations on lines that tests run.
        seconds: time limit of one run of the suite.
    """

    package: Package
    root: Path
    texts: Mapping[str, str]
    passing: frozenset[str]
    broken: tuple[str, ...]
    pool: tuple[Mutation, ...]
    seconds: float


def generate(
    packages: Sequence[Package],
    *,
    singles: int,
    doubles: int,
    seed: int,
    progress_file: Path,
    workers: int = 1,
    data: Path | None = None,
    say: Say = lambda _: None,
    lay_out_with: Callable[[Package, Path], None] | None = None,
) -> tuple[Task, ...]:
    """A task list: per package ``singles`` one-slip and ``doubles`` two-slip faults.

    Args:
        packages: from the catalogue.
        singles, doubles: wanted per package; fewer where `TRIES` draws find none.
        seed: of all draws.
        progress_file: JSON lines, one per finished slot; an interrupted list resumes here.
        workers: packages worked on at once.
        data: folder with source distributions placed by hand.
        say: progress in words.
        lay_out_with: how a layout is made (for tests and the bundled sample).

    Raises:
        BadInput: a package cannot be fetched, or its tests do not run here.
    """
    done = _finished(progress_file, seed)

    def prepare(package: Package, root: Path) -> None:
        if lay_out_with is not None:
            lay_out_with(package, root)
        else:
            lay_out(package, fetch(package, data=data), root)

    def work(package: Package) -> list[Task]:
        slots = [(number, 1) for number in range(singles)]
        slots += [(number, 2) for number in range(doubles)]
        known = done.setdefault(package.key, {})
        if all(_slot(*slot) in known for slot in slots):
            return [task for slot in slots if (task := known[_slot(*slot)])]
        with tempfile.TemporaryDirectory(prefix="meritree-inject-") as scratch:
            root = Path(scratch) / "repo"
            root.mkdir()
            prepare(package, root)
            subject = examine(package, root)
            say(f"{package.key}: {len(subject.passing)} tests, {len(subject.pool)} places")
            return list(_fill(subject, slots, seed, known, progress_file, say))

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        lists = list(pool.map(work, packages))
    return tuple(task for tasks in lists for task in tasks)


def examine(package: Package, root: Path) -> Subject:
    """Run the clean suite (twice plain, once for coverage) and list possible mutations.

    Raises:
        BadInput: the suite hangs, cannot be collected, or nothing passes.
    """
    started = time.monotonic()
    plain = run_suite(root, seconds=SECONDS)
    took = time.monotonic() - started
    again = run_suite(root, seconds=SECONDS, hash_seed=1)
    covered = run_suite(root, seconds=10 * SECONDS, cover=True)
    if plain is None or again is None or covered is None or plain.broken:
        raise BadInput(f"{package.key}: its tests cannot be run here; leave it out")
    passing = plain.with_status("passed") & again.with_status("passed")
    if not passing:
        raise BadInput(f"{package.key}: no test passes here; leave it out")
    broken = plain.with_status("failed") | again.with_status("failed")
    texts = {path: _read(root / path) for path in source_files(package, root)}
    lines = covered.lines or {}
    pool = tuple(
        mutation
        for path, text in texts.items()
        if path in lines
        for mutation in mutations(text, path, lines[path])
    )
    limit = max(10.0, 5.0 * took)
    return Subject(package, root, texts, passing, tuple(sorted(broken)), pool, limit)


def find_task(subject: Subject, rng: Random, name: str, slips: int, seed: int) -> Task | None:
    """Draw until a fault is noticed by stable test failures; None after `TRIES` draws."""
    tried: list[Mutation] = []
    for _ in range(TRIES):
        if slips == 1:
            single = draw(rng, subject.pool, tried)
            faults: tuple[Mutation, ...] | None = None if single is None else (single,)
        else:
            faults = draw_pair(rng, subject.pool, tried)
        if faults is None:
            return None
        tried.extend(faults[:1])
        failing = _noticed(subject, faults)
        if failing is None:
            continue
        needed = _both_needed(subject, faults, failing) if slips == 2 else ()
        if needed is None:
            continue
        shown, held_out = split(sorted(failing), rng, keep=needed)
        return _task(subject, faults, name, shown, held_out, seed)
    return None


def split(
    failing: Sequence[str], rng: Random, keep: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Shown half (the larger, with all of ``keep``) and held-out half of the failing tests."""
    rest = [test for test in failing if test not in keep]
    rng.shuffle(rest)
    ordered = [*dict.fromkeys(keep), *rest]
    count = max(len(set(keep)), (len(ordered) + 1) // 2)
    return tuple(sorted(ordered[:count])), tuple(sorted(ordered[count:]))


def _noticed(subject: Subject, faults: Sequence[Mutation]) -> frozenset[str] | None:
    changed = apply(subject.texts, faults)
    if changed is None:
        return None
    failing = _failing(subject, changed, hash_seed=0)
    if not failing or len(failing) > LARGEST_SHARE * len(subject.passing):
        return None
    again = _failing(subject, changed, hash_seed=1)
    return failing if again == failing else None


def _failing(
    subject: Subject, changed: Mapping[str, str], *, hash_seed: int
) -> frozenset[str] | None:
    """Tests that passed and now fail; None where the suite hangs or cannot be collected."""
    for path, text in changed.items():
        (subject.root / path).write_bytes(text.encode())
    try:
        run: SuiteRun | None = run_suite(subject.root, seconds=subject.seconds, hash_seed=hash_seed)
    finally:
        for path in changed:
            (subject.root / path).write_bytes(subject.texts[path].encode())
    if run is None or run.broken or not subject.passing <= run.outcomes.keys():
        return None
    return run.with_status("failed") & subject.passing


def _both_needed(
    subject: Subject, faults: Sequence[Mutation], failing: frozenset[str]
) -> tuple[str, ...] | None:
    """One failing test that only each slip's own repair can mend; None where there is none."""
    needed = []
    for fault in faults:
        alone = _noticed(subject, [fault])
        common = sorted(alone & failing) if alone else []
        if not common:
            return None
        needed.append(common[0])
    return tuple(dict.fromkeys(needed))


def _task(
    subject: Subject,
    faults: Sequence[Mutation],
    name: str,
    shown: tuple[str, ...],
    held_out: tuple[str, ...],
    seed: int,
) -> Task:
    changed = apply(subject.texts, faults)
    assert changed is not None
    edits = {
        path: tuple(
            sorted(
                (s.start, s.end, s.replacement) for f in faults if f.path == path for s in f.splices
            )
        )
        for path in changed
    }
    diff = "".join(
        line
        for path, text in changed.items()
        for line in difflib.unified_diff(
            subject.texts[path].splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"a/{path}",
            f"b/{path}",
        )
    )
    return Task(
        id=f"{subject.package.key}/{name}",
        package=subject.package.name,
        version=subject.package.version,
        faults=tuple(Fault(f.kind, f.path, f.line, f.function, f.words) for f in faults),
        edits=edits,
        diff=diff,
        shown=shown,
        held_out=held_out,
        broken_before=subject.broken,
        seed=seed,
    )


def _fill(
    subject: Subject,
    slots: Sequence[tuple[int, int]],
    seed: int,
    known: dict[str, Task | None],
    progress_file: Path,
    say: Say,
) -> Iterator[Task]:
    for number, slips in slots:
        name = _slot(number, slips)
        if name not in known:
            rng = Random(f"{seed}/{subject.package.key}/{name}")
            task = find_task(subject, rng, name, slips, seed)
            if task is not None and task.diff in {t.diff for t in known.values() if t}:
                task = None  # the same fault twice would count twice
            known[name] = task
            _append(progress_file, seed, subject.package.key, name, task)
        task = known[name]
        if task is not None:
            say(f"{task.id}: {task.kinds}, {len(task.shown)} shown, {len(task.held_out)} held out")
            yield task


def _slot(number: int, slips: int) -> str:
    return f"{'single' if slips == 1 else 'double'}-{number:03d}"


def _append(path: Path, seed: int, package: str, slot: str, task: Task | None) -> None:
    line = {"seed": seed, "package": package, "slot": slot, "task": task and task.to_json()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:  # one write of one line: safe between threads
        file.write(json.dumps(line) + "\n")


def _finished(path: Path, seed: int) -> dict[str, dict[str, Task | None]]:
    done: dict[str, dict[str, Task | None]] = {}
    if not path.is_file():
        return done
    text = path.read_text(encoding="utf-8")
    complete, _, torn = text.rpartition("\n")
    if torn:  # the last line of an interrupted run: drop it, its slot is done again
        shutil.copyfile(path, path.with_suffix(".torn"))
        path.write_text(complete + "\n" if complete else "", encoding="utf-8")
    for line in complete.splitlines():
        entry = json.loads(line)
        if entry["seed"] == seed:
            task = Task.from_json(entry["task"]) if entry["task"] else None
            done.setdefault(entry["package"], {})[entry["slot"]] = task
    return done


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()
