"""A trajectory of mini-swe-agent taken over: run again in the sandbox, its patch judged by tests.

As strict as with our own patches: fresh copies, fresh processes, the repository's own tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from meritree.errors import MeritreeError
from meritree.swe.agent.guards import judges, shadows
from meritree.swe.agent.situation import Changes, Files, Situation
from meritree.swe.agent.trials import Trials
from meritree.swe.git_diff import patch_bytes
from meritree.swe.mini.shell import Shell, Template
from meritree.swe.mini.trajectory import Replayed, Trajectory, replay
from meritree.swe.prepare import prepare
from meritree.swe.prepared import Prepared
from meritree.swe.result import FixOptions, Progress
from meritree.swe.run_folder import RunFolder, create
from meritree.swe.verify import RUNS
from meritree.swe.wording import passing

Status = Literal["verified", "refused", "unjudged", "empty"]
EXIT_CODES = {"verified": 0, "refused": 1, "unjudged": 1, "empty": 1}


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a trajectory.

    Attributes:
        status: ``verified``: every target passes and nothing else fails; ``unjudged``: no test
            fails before, so none can judge; ``empty``: the commands change nothing.
        reason: in words.
        tree: git hash of the files.
        left_out: changed files that are no part of the patch, and why.
    """

    status: Status
    reason: str
    patch: str
    tree: str
    replayed: Replayed
    left_out: tuple[str, ...]

    def to_json(self, trajectory: Trajectory) -> dict[str, Any]:
        """As written to `imported.json`."""
        return {
            "status": self.status,
            "reason": self.reason,
            "patch": self.patch,
            "tree": self.tree,
            "source": self.replayed.source,
            "problem": self.replayed.problem,
            "commands": len(trajectory.commands),
            "run": len(self.replayed.ran),
            "ended_otherwise": list(self.replayed.otherwise),
            "left_out": list(self.left_out),
            "instance": trajectory.instance,
            "model": trajectory.model,
            "cost": trajectory.cost,
            "calls": trajectory.calls,
        }


def import_trajectory(
    trajectory: Trajectory,
    options: FixOptions,
    say: Callable[[Progress], None] | None = None,
    *,
    seconds: float = 60.0,
) -> Imported:
    """Run a trajectory's commands on a copy of ``options.repo`` and judge what they lead to.

    Writes `patch.diff`, `imported.json` and the git objects to the folder ``options.out``.

    Args:
        options: repository, tests, interpreter, sandbox, folder; the rest is not read.
        seconds: wall clock of one command.

    Raises:
        BadInput: the repository has no tests that can be run, or the folder is not empty.
    """
    folder = create(options)
    prepared: Prepared | None = None
    try:
        prepared = prepare(options, folder, say or (lambda _: None))
        files = Files(prepared.store, prepared.base)
        shell = Shell(
            Template(files, folder.work / "start"), folder.work / "replay", prepared.sandbox,
            prepared.python, seconds,
        )  # fmt: skip
        found = _judged(prepared, files, replay(trajectory, shell), folder)
    except BaseException:
        if prepared is None:
            folder.discard()
        raise
    finally:
        if prepared is not None:
            prepared.close()
        folder.clear_work()
    (folder.root / "patch.diff").write_bytes(patch_bytes(found.patch))
    text = json.dumps(found.to_json(trajectory), indent=2)
    (folder.root / "imported.json").write_text(text + "\n", "utf-8")
    return found


def _judged(prepared: Prepared, files: Files, replayed: Replayed, folder: RunFolder) -> Imported:
    changes, left_out = _patch_files(prepared, files, replayed)
    tree, real = files.named(changes)
    prepared.store.keep(tree)
    patch = prepared.store.diff(prepared.base, tree)

    def said(status: Status, reason: str) -> Imported:
        return Imported(status, reason, patch, tree, replayed, left_out)

    if not real:
        return said("empty", "the commands change no file that a patch may hold")
    trials = Trials(prepared, Path(folder.work))
    verdict = trials.final_check(Situation(tree, real), RUNS)
    if not verdict.verified:
        return said("refused", verdict.reason)
    kept = f"{len(prepared.guards)} tests that passed before still pass"
    if not prepared.targets:
        return said("unjudged", f"no test failed before, so none judges the patch; {kept}")
    return said("verified", f"{passing(len(prepared.targets), 'target test')}, {kept}")


def _patch_files(
    prepared: Prepared, files: Files, replayed: Replayed
) -> tuple[Changes, tuple[str, ...]]:
    left_out = list(replayed.left.dropped)
    changes: dict[str, str | None] = {}
    known = set(prepared.store.paths(prepared.base))
    for path, text in replayed.left.changes.items():
        if judges(path, prepared.session.test_files):
            left_out.append(f"{path} (it judges the patch, or configures the tests)")
        elif path not in known and (why := shadows(path, prepared.command.roots)):
            left_out.append(f"{path} ({why})")
        else:
            try:
                files.named({path: text})
            except MeritreeError as error:
                left_out.append(f"{path} ({error})")
                continue
            changes[path] = text
    return changes, tuple(left_out)
