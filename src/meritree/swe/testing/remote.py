"""Judging candidates on other machines: everything an evaluator needs, as data that travels.

The tests run there as they run here: in the same kind of sandbox, on a private copy. Knows
nothing about searches; what Ray is stands in `run.engines`.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meritree.errors import HarnessError
from meritree.run.engines import connected
from meritree.run.sandbox import choose
from meritree.swe.testing.evaluator import Evaluator
from meritree.swe.testing.session import TestSession
from meritree.swe.testing.types import (
    Baseline,
    Coverage,
    Outcome,
    TestCommand,
    TestLimits,
)


@dataclass(frozen=True, slots=True)
class Kit:
    """An evaluator ready to travel.

    Attributes:
        archive: the repository as a tar file.
        python: the interpreter that runs the tests; must be at this path everywhere.
        sandbox: the kind; must work everywhere.
        spawning: tests known to start processes.
    """

    archive: bytes
    command: TestCommand
    python: str
    sandbox: str
    limits: TestLimits
    seed: int
    baseline: Baseline
    coverage: Coverage
    targets: tuple[str, ...]
    guards: tuple[str, ...]
    spawning: frozenset[str]


def pack(
    session: TestSession,
    sandbox: str,
    baseline: Baseline,
    coverage: Coverage,
    targets: tuple[str, ...],
    guards: tuple[str, ...],
) -> Kit:
    """What `unpack` needs to judge the same candidates in the same way elsewhere."""
    setting = session.setting
    return Kit(
        _archived(setting.pristine), setting.command, str(setting.python), sandbox,
        setting.limits, setting.seed, baseline, coverage, targets, guards,
        frozenset(session.spawning),
    )  # fmt: skip


def unpack(kit: Kit, folder: Path) -> tuple[TestSession, Evaluator]:
    """A session below ``folder`` and an evaluator in it; close both.

    Raises:
        BadInput: the interpreter or the kind of sandbox is missing on this machine.
        HarnessError: other tests are collected here than where the kit was packed.
    """
    pristine = folder / "pristine"
    pristine.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(kit.archive)) as archive:
        archive.extractall(pristine, filter="tar")
    session = TestSession.open(
        pristine, kit.command, Path(kit.python), choose(kit.sandbox), kit.limits, kit.seed,
        scratch=folder / "copies",
    )  # fmt: skip
    missing = [test for test in kit.targets if test not in session.collected]
    if missing:
        session.close()
        raise HarnessError(f"{os.uname().nodename} does not find the test {missing[0]}")
    session.spawning |= kit.spawning
    baseline, coverage = kit.baseline, kit.coverage
    return session, Evaluator(session, kit.targets, kit.guards, coverage, baseline=baseline)


def _archived(folder: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for entry in sorted(folder.iterdir()):
            archive.add(entry, arcname=entry.name)
    return stream.getvalue()


class _Worker:
    """Lives in a worker of the cluster and owns one evaluator."""

    def __init__(self, kit: Kit) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="meritree-ray-")
        self._session, self._evaluator = unpack(kit, Path(self._folder.name))

    def evaluate(self, files: Mapping[str, str]) -> Outcome:
        return self._evaluator.evaluate(files)

    def process(self) -> int:
        return os.getpid()

    def stop(self) -> None:
        self._evaluator.close()
        self._session.close()
        self._folder.cleanup()


class RayTester:
    """A tester of `CodeSearch` whose tests run on a Ray cluster.

    A worker that dies is started again and its candidate judged again; what was judged before is
    not lost. Answers are those of a local `Evaluator`.

    Args:
        kit: see `pack`; ``ray.put(kit)`` where several testers share it.
        address: see `run.engines.Ray`.
        tries: how often one candidate is begun before its evaluation is an error.
    """

    def __init__(self, kit: Any, address: str | None = None, tries: int = 3) -> None:
        self._ray = connected(address)
        made = self._ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=tries - 1)(_Worker)
        self._worker = made.remote(kit)

    def evaluate(self, files: Mapping[str, str]) -> Outcome:
        """As `Evaluator.evaluate`.

        Raises:
            HarnessError: the worker died with this candidate as often as it is tried.
        """
        ray = self._ray
        try:
            outcome: Outcome = ray.get(self._worker.evaluate.remote(dict(files)))
        except ray.exceptions.RayActorError as error:
            raise HarnessError(f"a Ray worker was lost again and again: {error}") from None
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        return outcome

    def process(self) -> int:
        """Process id of the worker, on its own machine."""
        number: int = self._ray.get(self._worker.process.remote())
        return number

    def close(self) -> None:
        """End the worker with its processes and copies."""
        ray = self._ray
        with contextlib.suppress(ray.exceptions.RayError):  # gone, or hanging: it is killed
            ray.get(self._worker.stop.remote(), timeout=30)
        ray.kill(self._worker)


def ray_testers(kit: Kit, count: int, address: str | None = None) -> list[RayTester]:
    """Testers that share one copy of the kit in the cluster's object store."""
    shared = connected(address).put(kit)
    return [RayTester(shared, address) for _ in range(count)]
