"""Slips in small algorithms: does `fix` find the right program within 200 and 1000 evaluations?

    python benchmarks/classic_slips.py --out FOLDER [--slip N | --all] [--places] [--only TEXT]

A list for tuning (`benchmarks/classics`). Every faulty program becomes a repository with eight
seeded tests, and `fix` is called as `meritree bench quixbugs` calls it. A patch is right if the
program then does on 200 other seeded calls what the right one does. `--places` runs no candidate:
it says at which place of the policy's first order an edit gives the right program. An interrupted
measurement goes on where it stood.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import random
import signal
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from classics import PROGRAMS, Program, Slip

from meritree.bench.judging import patched_texts
from meritree.errors import MeritreeError
from meritree.swe.edits import apply_splices
from meritree.swe.fix import fix
from meritree.swe.prepare import prepare
from meritree.swe.result import Candidate, FixOptions
from meritree.swe.run_folder import create

TESTS = 8
COMPARED = 200
ITEMS = 500  # most items taken from a generator
CHECKPOINTS = (200, 1000)
CALL_SECONDS = 0.5
Call = tuple[Any, ...]


@dataclass(frozen=True)
class Row:
    """What became of one slip.

    Attributes:
        plausible, correct: by evaluations ("200", "1000"): whether a verified patch was known by
            then, and whether the best ranked of them is right.
        right_at: evaluations when the first right patch was found, 0 without one.
    """

    name: str
    kind: str
    plausible: dict[str, bool]
    correct: dict[str, bool]
    right_at: int = 0
    evaluations: int = 0
    verified: int = 0
    seconds: float = 0.0
    message: str = ""
    first: str = ""
    template: str = ""


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def behaviour(name: str, text: str, calls: Sequence[Call]) -> list[str]:
    """What a version of a program does on each call, as the source of its result; stops early
    where a call takes too long."""
    scope: dict[str, Any] = {}
    try:
        exec(compile(text, name, "exec"), scope)
    except Exception as error:  # noqa: BLE001 (a candidate's text may do anything)
        return [type(error).__name__]
    found = []
    for call in calls:
        try:
            with _limit(CALL_SECONDS):
                answer = scope[name](*copy.deepcopy(call))
                if isinstance(answer, types.GeneratorType):
                    answer = list(islice(answer, ITEMS))
                found.append(repr(answer))
        except TimeoutError:
            return [*found, "TimeoutError"]
        except (Exception, RecursionError) as error:  # noqa: BLE001 (what it raises is what it does)
            found.append(type(error).__name__)
    return found


def calls_for(program: Program, label: str, count: int) -> list[Call]:
    """Seeded calls, none twice while there are others."""
    rng = random.Random(f"{program.name}:{label}")
    found: dict[str, Call] = {}
    for _ in range(20 * count):
        call = program.draw(rng)
        found.setdefault(repr(call), call)
        if len(found) == count:
            break
    return list(found.values())


def tests_for(program: Program, faulty: str) -> list[Call]:
    """Calls of the tests: at least one shows the fault.

    Raises:
        ValueError: no call shows it.
    """
    for attempt in range(200):
        calls = calls_for(program, f"tests {attempt}", TESTS)
        right = behaviour(program.name, program.text, calls)
        if right != behaviour(program.name, faulty, calls):
            return calls
    raise ValueError(f"no call tells a slip in {program.name}:\n{faulty}")


def lay_out(program: Program, slip: Slip, folder: Path) -> Path:
    """The faulty program and its tests as a repository."""
    folder.mkdir(parents=True)
    faulty = slip.applied(program.text)
    calls = tests_for(program, faulty)
    name = program.name
    lines = [f"import types\n\nfrom {name} import {name}\n"]
    lines.append(
        f"\n\ndef answer(*arguments):\n    found = {name}(*arguments)\n"
        "    return list(found) if isinstance(found, types.GeneratorType) else found\n"
    )
    for number, (call, does) in enumerate(
        zip(calls, behaviour(name, program.text, calls), strict=True)
    ):
        arguments = ", ".join(map(repr, call))
        lines.append(f"\n\ndef test_{number}():\n    assert answer({arguments}) == {does}\n")
    (folder / f"{name}.py").write_text(faulty)
    (folder / f"test_{name}.py").write_text("".join(lines))
    return folder


def right(program: Program, text: str) -> bool:
    """Whether a version does what the right program does."""
    calls = calls_for(program, "compared", COMPARED)
    return behaviour(program.name, text, calls) == behaviour(program.name, program.text, calls)


def measure(program: Program, slip: Slip, seed: int) -> Row:
    """Call `fix` and judge what it verified."""
    no = {str(point): False for point in CHECKPOINTS}
    plausible, correct = dict(no), dict(no)
    path = f"{program.name}.py"
    with tempfile.TemporaryDirectory(prefix="meritree-classic-") as scratch:
        folder = lay_out(program, slip, Path(scratch) / "repo")
        options = FixOptions(
            folder,
            python=Path(sys.executable),
            budget_tests=CHECKPOINTS[-1],
            budget_seconds=600,
            seed=seed,
            final_checks=CHECKPOINTS[-1],
            out=Path(scratch) / "run",
        )
        try:
            result = fix(options)
        except MeritreeError as error:
            return Row(program.name, slip.kind, no, no, message=f"{type(error).__name__}: {error}")
        verified = [c for c in result.candidates if c.verified]

        def is_right(candidate: Candidate) -> bool:
            return right(program, patched_texts(folder, candidate.patch, (path,))[path])

        good = {c.patch: is_right(c) for c in verified}
        for point in CHECKPOINTS:
            by_then = [c for c in verified if c.evaluations <= point]
            if by_then:
                best = min(by_then, key=lambda candidate: candidate.rank)
                plausible[str(point)], correct[str(point)] = True, good[best.patch]
    best_patch = min(verified, key=lambda c: c.rank).patch if verified else ""
    return Row(
        program.name, slip.kind, plausible, correct,
        right_at=min((c.evaluations for c in verified if good[c.patch]), default=0),
        evaluations=result.evaluations, verified=len(verified), seconds=round(result.seconds, 1),
        message=result.message, first=best_patch,
    )  # fmt: skip


def place(program: Program, slip: Slip, most: int) -> tuple[int, str]:
    """Place of the first edit of the unchanged program that gives the right one, and what made it;
    0 without one among the first ``most``."""
    wanted = ast.dump(ast.parse(program.text))
    path = f"{program.name}.py"
    with tempfile.TemporaryDirectory(prefix="meritree-classic-") as scratch:
        folder = lay_out(program, slip, Path(scratch) / "repo")
        options = FixOptions(folder, python=Path(sys.executable), out=Path(scratch) / "run")
        prepared = prepare(options, create(options), lambda _: None)
        try:
            policy, text = prepared.policy(0), prepared.repository.sources[path]
            for number in range(1, most + 1):
                proposal = policy.propose({}, prepared.base)
                if proposal is None:
                    break
                edit = proposal.edit
                changed = apply_splices(text, edit.splices) if edit.path == path else text
                if ast.dump(ast.parse(changed)) == wanted:
                    return number, edit.template
        finally:
            prepared.close()
    return 0, ""


def chosen(which: int | None, only: Sequence[str]) -> list[tuple[Program, Slip, int]]:
    """One slip of every program (which one, by turns), or all of them."""
    found = []
    for turn, program in enumerate(PROGRAMS.values()):
        if only and not any(text in program.name for text in only):
            continue
        for number, slip in enumerate(program.slips):
            if which is None or number == (turn + which) % len(program.slips):
                found.append((program, slip, number))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, help="a folder; what it holds is not measured again")
    add("--slip", type=int, default=0, help="which slip of every program, by turns (0)")
    add("--all", action="store_true", help="all slips")
    add("--places", action="store_true", help="run no candidate")
    add("--most", type=int, default=3000, help="places looked at")
    add("--only", action="append", default=[], help="programs whose name has this text")
    add("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    slips = chosen(None if given.all else given.slip, given.only)
    file = given.out / ("places.json" if given.places else "rows.json")
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for program, slip, number in slips:
        key = f"{program.name}-{number}"
        if key not in known:
            if given.places:
                known[key] = [slip.kind, *place(program, slip, given.most)]
            else:
                known[key] = asdict(measure(program, slip, given.seed))
            shown = (
                {k: v for k, v in known[key].items() if k != "first"}
                if isinstance(known[key], dict)
                else known[key]
            )
            print(key, json.dumps(shown), flush=True)
            file.write_text(json.dumps(known, indent=1) + "\n")
    wanted = [known[f"{program.name}-{number}"] for program, _, number in slips]
    print(json.dumps(_places(wanted) if given.places else _figures(wanted), indent=1))


def _places(rows: Sequence[Any]) -> dict[str, int]:
    counts = {str(n): sum(0 < row[1] <= n for row in rows) for n in (10, 50, 200, 1000, 3000)}
    return {"slips": len(rows), **counts}


def _figures(rows: Sequence[Any]) -> dict[str, int]:
    found = {"slips": len(rows)}
    for point in map(str, CHECKPOINTS):
        for kind in ("plausible", "correct"):
            found[f"{kind} @{point}"] = sum(row[kind][point] for row in rows)
    found["a right patch among the verified"] = sum(row["right_at"] > 0 for row in rows)
    found["evaluations"] = sum(row["evaluations"] for row in rows)
    found["seconds"] = round(sum(row["seconds"] for row in rows))
    return found


if __name__ == "__main__":
    main()
