"""Write a verified patch into the user's repository: only on request, all or nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from meritree.errors import BadInput

Contents = Mapping[str, bytes | None]  # path -> bytes, None: no such file


def apply_files(root: Path, before: Contents, after: Contents) -> None:
    """Replace the files ``after`` below ``root``, if they still are as in ``before``.

    None stands for a file that is not there: before, it is made; after, it is removed.

    Every file is compared first and written beside its place second, so that a change made
    meanwhile, or a full disk, leaves the repository as it was.

    Raises:
        BadInput: a file differs from the state the search started from, or cannot be written.
    """
    for path in after:
        _check_unchanged(root / path, path, before[path])
    staged: list[tuple[Path, Path]] = []
    try:
        for path, content in after.items():
            if content is not None:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                staged.append((_write_beside(root / path, content), root / path))
        for new, target in staged:
            os.replace(new, target)
        for path, content in after.items():
            if content is None:
                (root / path).unlink()
    except OSError as error:
        raise BadInput(f"--apply: cannot write {error.filename}: {error.strerror}") from error
    finally:
        for new, _ in staged:
            new.unlink(missing_ok=True)


def _check_unchanged(target: Path, path: str, before: bytes | None) -> None:
    try:
        current: bytes | None = target.read_bytes() if os.path.lexists(target) else None
    except OSError as error:
        raise BadInput(
            f"--apply: {path} cannot be read any more ({error.strerror}); nothing was "
            "changed, the patch is in the run folder"
        ) from error
    if current is None and before is not None:
        raise BadInput(
            f"--apply: {path} cannot be read any more (it is gone); nothing was changed, "
            "the patch is in the run folder"
        )
    if current != before:
        raise BadInput(
            f"--apply: the patch no longer applies, {path} was changed since the run "
            "started; nothing was changed, apply patch.diff by hand (git apply --3way)"
        )


def _write_beside(target: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(name, target.stat().st_mode & 0o7777 if target.exists() else 0o644)
    return Path(name)
