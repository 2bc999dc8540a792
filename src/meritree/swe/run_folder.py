"""The folder of one run: where it is, what lies in it, how it is made and cleared.

`patch.diff` (or `partial.diff`), `run.db` (the journal), `report.html` and `result.json` are for
people; `objects` (states as git objects) and `work` (scratch copies, removed at the end) are ours.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from meritree.errors import BadInput, JournalError, MeritreeError
from meritree.swe.result import FixOptions, FixResult

_PATHS = ("repo", "python", "calibration", "out", "price_file")
# What a run leaves that was killed before it had a journal.
_KILLED_EARLY = frozenset(("run.db.lock", ".run.db.new", ".run.db.new-journal", ".run.db.new-wal"))
_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of one run's files; ``made`` lists the folders this process made for it."""

    root: Path
    made: tuple[Path, ...] = ()

    @property
    def journal(self) -> Path:
        return self.root / "run.db"

    @property
    def patch(self) -> Path:
        return self.root / "patch.diff"

    @property
    def partial(self) -> Path:
        return self.root / "partial.diff"

    @property
    def result(self) -> Path:
        return self.root / "result.json"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def clear_work(self) -> None:
        """Remove the scratch copies (also those that a killed process left)."""
        shutil.rmtree(self.work, ignore_errors=True)

    def discard(self) -> None:
        """Undo `create` once the journal is deleted: the request turned out to be bad input."""
        self.clear_work()
        shutil.rmtree(self.objects, ignore_errors=True)
        for folder in self.made:
            try:
                folder.rmdir()
            except OSError:
                return  # something of the user's is in it: leave it

    def write_result(self, result: FixResult) -> None:
        """Write patch.diff or partial.diff (when there is such a patch) and result.json."""
        best = result.candidates[0] if result.candidates else None
        if best is not None:
            _write_whole(self.patch, best.patch.encode("utf-8", "surrogateescape"))
            for path, text in best.own_tests.items():
                target = self.root / "own-tests" / Path(path).name
                target.parent.mkdir(exist_ok=True)
                _write_whole(target, text.encode("utf-8", "backslashreplace"))
        if result.partial is not None:
            _write_whole(self.partial, result.partial.patch.encode("utf-8", "surrogateescape"))
        else:  # of an earlier part of the run
            self.partial.unlink(missing_ok=True)
        document = json.dumps(result.to_json(), indent=2, ensure_ascii=False)
        _write_whole(self.result, document.encode("utf-8", "backslashreplace"))

    @contextmanager
    def disk_errors(self) -> Iterator[None]:
        """Say what a full, read-only or failing disk means for the run.

        Raises:
            MeritreeError: the disk refused; the run can be resumed.
        """
        try:
            yield
        except OSError as error:
            copying = isinstance(error, shutil.Error)  # collects messages, has no errno
            if not copying and error.errno not in _DISK:
                raise
            said = str(error.args[0][0][2]) if copying else str(error)
            raise MeritreeError(
                f"the run in {self.root} cannot go on: {said}; make room on that disk (or make it "
                f"writable), then `meritree resume {self.root}`"
            ) from error


def _write_whole(path: Path, content: bytes) -> None:
    """Nobody sees half a file, also if the disk is full or the process is killed."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def default_folder(repo: Path) -> Path:
    """A new folder below the user's state directory: the repository stays untouched."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    stem = f"{repo.resolve().name or 'root'}-{time.strftime('%Y%m%d-%H%M%S')}"
    base = Path(state) / "meritree" / "runs"
    folder, number = base / stem, 1
    while folder.exists():
        number += 1
        folder = base / f"{stem}-{number}"
    return folder


def create(options: FixOptions) -> RunFolder:
    """Make the folder of a new run.

    Raises:
        BadInput: it exists and is not an empty folder, or cannot be written.
    """
    root = (options.out or default_folder(options.repo)).expanduser().resolve()
    made = tuple(folder for folder in (root, *root.parents) if not folder.exists())
    if not made:
        if not root.is_dir():
            raise BadInput(f"--out {root} is a file; give a new or empty folder")
        if (root / "run.db").exists():
            raise BadInput(
                f"--out {root} holds an earlier run; continue it with `meritree resume {root}` "
                "or give another folder"
            )
        if any(entry.name not in _KILLED_EARLY for entry in root.iterdir()):
            raise BadInput(f"--out {root} is not empty; give a new or empty folder")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"--out {root} cannot be made: {error.strerror}; give a folder that you may write"
        ) from error
    if not os.access(root, os.W_OK):
        raise BadInput(f"--out {root} cannot be written; give a folder that you may write")
    return RunFolder(root, made)


def encode_options(options: FixOptions) -> dict[str, Any]:
    """Options as JSON data for the journal, which is read from whatever folder people are in."""
    data = asdict(options)
    for name in _PATHS:
        data[name] = None if data[name] is None else str(data[name])
    data["repo"] = os.path.abspath(options.repo.expanduser())
    return data


def decode_options(data: Mapping[str, Any]) -> FixOptions:
    """Inverse of `encode_options`; unknown keys of other versions are ignored.

    Raises:
        JournalError: it is something else.
    """
    try:
        return _decode_options(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalError(
            f"the journal does not say what was asked for ({error!r}); start a new run"
        ) from error


def _decode_options(data: Mapping[str, Any]) -> FixOptions:
    known = {f.name for f in fields(FixOptions)}
    values = {key: value for key, value in data.items() if key in known}
    for name in _PATHS:
        values[name] = None if values.get(name) is None else Path(values[name])
    values["failing_tests"] = tuple(values.get("failing_tests", ()))
    return FixOptions(**values)
