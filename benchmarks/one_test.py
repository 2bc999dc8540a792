"""Bugs that one test shows: is the patch that `fix` ranks first right? A list for tuning.

    python benchmarks/one_test.py --work FOLDER [--faults 3] [--report OUT.json]

Every program of `small_programs` gets seeded faults; of each faulty program one failing test is
shown, beside at most two passing ones. The search is that of `meritree fix`. A patch is right if
the function then does on 200 seeded calls what it did before the fault. An interrupted collection
goes on where it stood.
"""

from __future__ import annotations

import argparse
import copy
import json
import pickle
import random
import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from small_programs import CALLS, SOURCES, inputs

from meritree.bench.mutate import apply, draw, mutations
from meritree.errors import MeritreeError
from meritree.run.ledger import Ledger, Limits
from meritree.swe.passing import SearchLimits
from meritree.swe.prepare import prepare
from meritree.swe.repair.ranking import PlausiblePatch, rank
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import create
from meritree.swe.search_setup import new_search
from meritree.swe.targets import Ended
from meritree.swe.verify import plausible_patch

COMPARED = 200
SECONDS = 2  # of all compared calls of one patch
EVALUATIONS = 600


@dataclass(frozen=True)
class Fault:
    """A faulty program, the test that shows it and tests that pass.

    Attributes:
        name: of the program; with ``number`` the fault's own name.
        kept: calls of tests that pass.
    """

    name: str
    number: int
    kind: str
    text: str
    shown: tuple[Any, ...]
    kept: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Found:
    """What the search found for one fault, in the order of finding."""

    fault: Fault
    patches: tuple[PlausiblePatch, ...]
    right: tuple[bool, ...]


def behaviour(name: str, text: str, calls: Sequence[tuple[Any, ...]]) -> list[str]:
    """What a version of the program does on each call; empty where it takes too long."""
    scope: dict[str, Any] = {}

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        exec(compile(text, name, "exec"), scope)
        return [_one(scope[name], copy.deepcopy(call)) for call in calls]
    except TimeoutError:
        return []
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _one(function: Any, call: tuple[Any, ...]) -> str:
    try:
        return repr(function(*call))
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever a faulty program raises is what it does)
        return type(error).__name__


def faults(name: str, count: int) -> Iterator[Fault]:
    """Seeded faults of a program that a test shows."""
    rng = random.Random(f"one test:{name}")
    text, calls = SOURCES[name], CALLS[name]
    expected = behaviour(name, text, calls)
    pool, used = mutations(text, f"{name}.py"), []
    while count and (fault := draw(rng, pool, used)) is not None:
        used.append(fault)
        changed = apply({fault.path: text}, [fault])
        does = behaviour(name, changed[fault.path], calls) if changed else []
        wrong = [c for c, a, b in zip(calls, expected, does, strict=False) if a != b]
        if wrong and changed:
            kept = [c for c in calls if c not in wrong]
            some = tuple(rng.sample(kept, min(len(kept), rng.randrange(3))))
            yield Fault(name, len(used), fault.kind, changed[fault.path], rng.choice(wrong), some)
            count -= 1


def lay_out(fault: Fault, folder: Path) -> None:
    """The faulty program and its tests as a repository."""
    name = fault.name
    calls = [fault.shown, *fault.kept]
    tests = [f"from {name} import {name}\n"]
    for number, (call, does) in enumerate(
        zip(calls, behaviour(name, SOURCES[name], calls), strict=True)
    ):
        arguments = ", ".join(map(repr, call))
        tests.append(f"\n\ndef test_{number}():\n    assert {name}({arguments}) == {does}\n")
    (folder / f"{name}.py").write_text(fault.text)
    (folder / f"test_{name}.py").write_text("".join(tests))


def found(fault: Fault) -> Found:
    """Search as `meritree fix` does; judge what passes.

    Raises:
        MeritreeError, Ended: the tests cannot judge a patch.
    """
    name = fault.name
    calls = inputs(name, COMPARED, 1)
    wanted = behaviour(name, SOURCES[name], calls)
    with tempfile.TemporaryDirectory(prefix="meritree-one-") as scratch:
        repo = Path(scratch) / "repo"
        repo.mkdir()
        lay_out(fault, repo)
        options = FixOptions(repo, out=Path(scratch) / "run", sandbox="rlimits")
        prepared = prepare(options, create(options), lambda _: None)
        try:
            ledger = Ledger(Limits(evaluations=EVALUATIONS))
            search = new_search(
                prepared, strategy=options.strategy, seed=0, ledger=ledger, limits=SearchLimits()
            )
            search.run()
            patches = tuple(plausible_patch(prepared, search, node) for node in search.found)
        finally:
            prepared.close()
    right = (behaviour(name, patch.after[f"{name}.py"], calls) == wanted for patch in patches)
    return Found(fault, patches, tuple(right))


def collect(work: Path, count: int) -> list[Found]:
    """Everything that is found; one file a fault below ``work``."""
    work.mkdir(parents=True, exist_ok=True)
    results = []
    for name in SOURCES:
        for fault in faults(name, count):
            file = work / f"{name}-{fault.number}.pickle"
            if not file.exists():
                try:
                    file.write_bytes(pickle.dumps(found(fault)))
                except (MeritreeError, Ended) as error:
                    print(f"{file.stem}: left out: {error}", flush=True)
                    continue
                one = pickle.loads(file.read_bytes())
                print(f"{file.stem}: {len(one.patches)} pass, {sum(one.right)} right", flush=True)
            results.append(pickle.loads(file.read_bytes()))
    return results


def figures(results: Sequence[Found]) -> dict[str, int]:
    """How often the first patch is right: the first found and the first ranked."""
    mixed = [one for one in results if len(set(one.right)) == 2]
    first = 0
    for one in mixed:
        best = rank(one.patches)[0].patch
        first += one.right[one.patches.index(best)]
    return {
        "faults": len(results),
        "with a passing patch": sum(bool(one.patches) for one in results),
        "with a right patch": sum(any(one.right) for one in results),
        "with right and wrong patches": len(mixed),
        "first found is right": sum(one.right[0] for one in mixed),
        "first ranked is right": first,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="what was found, kept")
    parser.add_argument("--faults", type=int, default=3, help="of each program")
    parser.add_argument("--report", type=Path, help="figures to write")
    given = parser.parse_args()
    report = figures(collect(given.work, given.faults))
    print(json.dumps(report, indent=1))
    if given.report:
        given.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
