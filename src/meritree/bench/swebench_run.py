"""One SWE-bench instance from its problem to a prediction, and the files of a whole run.

`attempt` is given a `Problem`, which holds no answer. Folders of a run: `preds.json`,
`runs.jsonl`, `judged.jsonl`, and for each instance `ID/ID.traj.json` and `ID/run`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from meritree.bench.swebench_data import Problem
from meritree.bench.swebench_repos import Environments, materialise
from meritree.errors import BadInput, MeritreeError
from meritree.swe.export import mini_trajectory, prediction
from meritree.swe.result import FixOptions, FixResult


@dataclass(frozen=True, slots=True)
class InstanceRun:
    """What became of one instance; costs are those of the run's ledger.

    Attributes:
        status: as `FixResult.status`, or ``error``.
        patch: the prediction, empty where there is none.
    """

    id: str
    status: str
    message: str = ""
    patch: str = ""
    evaluations: int = 0
    tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether it need not be tried again."""
        return self.status != "error"


@dataclass(frozen=True, slots=True)
class Work:
    """What every attempt shares; can be sent to another process.

    Attributes:
        options: of `fix`, without repository, issue, interpreter, test command and folder.
        repos: the clones.
        out: the folder of all instances.
    """

    options: FixOptions
    repos: Path
    environments: Environments
    out: Path
    name: str

    def run_folder(self, problem_id: str) -> Path:
        """Where the run of an instance is kept."""
        return self.out / problem_id / "run"


def attempt(work: Work, problem: Problem) -> InstanceRun:
    """Prepare the repository, run `fix` on the problem statement, write the trajectory.

    A run that was killed before goes on where it stood.
    """
    folder = work.out / problem.id
    repo = folder / "repo"
    shutil.rmtree(repo, ignore_errors=True)
    try:
        materialise(work.repos, problem, repo)
        result = _fixed(work, problem, repo)
    except MeritreeError as error:
        return InstanceRun(problem.id, "error", f"{type(error).__name__}: {error}")
    finally:
        shutil.rmtree(repo, ignore_errors=True)
    best = result.candidates[0] if result.candidates else None
    if result.status != "interrupted":
        trajectory = mini_trajectory(work.run_folder(problem.id), instance=problem.id)
        _write_json(folder / f"{problem.id}.traj.json", trajectory)
    return InstanceRun(
        problem.id,
        result.status,
        result.message,
        best.patch if best else "",
        result.evaluations,
        result.tokens,
        result.usd,
        round(result.seconds, 3),
    )


def _fixed(work: Work, problem: Problem, repo: Path) -> FixResult:
    from meritree.swe.fix import fix
    from meritree.swe.resuming import resume

    run = work.run_folder(problem.id)
    if (run / "run.db").is_file():
        return resume(run)
    shutil.rmtree(run, ignore_errors=True)
    environment = work.environments.of(problem)
    return fix(
        replace(
            work.options,
            repo=repo,
            issue=problem.statement,
            python=environment.python,
            test_command=environment.test or None,
            out=run,
        )
    )


# ---- the files of a run --------------------------------------------------------------------


def same_settings(out: Path, mine: Mapping[str, Any]) -> None:
    """Refuse to mix predictions made in different ways.

    Raises:
        BadInput: the folder holds runs with other settings; they are named.
    """
    path = out / "settings.json"
    if path.exists():
        theirs = _read_json(path)
        names = {**mine, **theirs}
        changed = sorted(name for name in names if theirs.get(name) != mine.get(name))
        if changed:
            raise BadInput(
                f"--out {out} holds predictions made with other settings ({', '.join(changed)}); "
                "give another --out, or the same settings"
            )
        return
    _write_json(path, mine)


def known_runs(out: Path) -> dict[str, InstanceRun]:
    """The latest run of every instance."""
    return {row["id"]: InstanceRun(**row) for row in _rows(out / "runs.jsonl")}


def known_verdicts(out: Path, judge: str) -> dict[str, dict[str, Any]]:
    """The latest verdict of this judge on every instance, with the patch that it was about."""
    return {row["id"]: row for row in _rows(out / "judged.jsonl") if row["judge"] == judge}


def note_run(out: Path, run: InstanceRun) -> None:
    """Append a run."""
    _append(out / "runs.jsonl", asdict(run))


def note_verdict(out: Path, row: Mapping[str, Any]) -> None:
    """Append a verdict."""
    _append(out / "judged.jsonl", row)


def write_predictions(out: Path, runs: Iterable[InstanceRun], name: str) -> dict[str, Any]:
    """Write `preds.json` with every ended run; return what is in it."""
    found = {
        run.id: prediction(run.id, name, run.patch)
        for run in sorted(runs, key=lambda run: run.id)
        if run.ended
    }
    _write_json(out / "preds.json", found)
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a file; a last line cut off by a kill is removed.

    Raises:
        BadInput: a line is no row of ours.
    """
    if not path.exists():
        return []
    text = path.read_text("utf-8")
    whole, _, cut = text.rpartition("\n")
    if cut:
        path.write_text(whole + "\n" if whole else "", "utf-8")
    try:
        rows = [json.loads(line) for line in whole.splitlines()]
        return [row for row in rows if row["id"]]
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{path} is damaged ({error!r}); give another --out") from None


def _append(path: Path, row: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}); give another --out") from None
    return document if isinstance(document, dict) else {}


def _write_json(path: Path, document: Any) -> None:
    """Nobody sees half a file."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
