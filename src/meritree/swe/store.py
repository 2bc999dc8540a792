"""The object store of a run: states of the repository as git trees, beside it, never in it.

A state is named by the hash that `git write-tree` would give it. Hashing a candidate is done
in memory; only states that are worth keeping are written. Knows nothing of tests or search.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meritree.errors import BadInput, MeritreeError
from meritree.swe.folder_scan import scan_folder
from meritree.swe.git_diff import FileVersion, file_patch
from meritree.swe.git_objects import (
    BLOB,
    EMPTY_TREE,
    FOLDER,
    Entry,
    GitTree,
    Objects,
    Unwritten,
    object_name,
    path_parts,
    raw_entry,
)
from meritree.swe.source_text import read_source, write_source

_LINK = 0o120000
_REGULAR = 0o100644
_REMEMBERED = 65_536  # candidate states whose changes are remembered until kept
_BATCH_BYTES = 32_000_000  # of file contents held in memory while a folder is stored


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `ObjectStore.snapshot_folder` stored.

    Attributes:
        tree: the state's name: 40 hexadecimal digits, equal to `git write-tree`'s.
        files: how many files it has.
        skipped: path -> why a file is not in it (too large, unreadable, special).
    """

    tree: str
    files: int
    skipped: Mapping[str, str]


_Changes = dict[str, str | None]
_Nested = dict[bytes, Any]  # name -> (path, text); folder name with "/" -> _Nested
_File = tuple[Entry, bytes | None]


class ObjectStore:
    """States of one repository in a bare git repository of our own.

    Safe to share between threads. Paths are relative with ``/``; bytes in names that are not
    UTF-8 appear as lone surrogates, as in `os.fsdecode`.
    """

    def __init__(self, path: Path) -> None:
        """Open the store at ``path``, creating it when there is none.

        Raises:
            MeritreeError: the folder cannot be created or is something else.
        """
        self.path = Path(path)
        self._objects = Objects(self.path)
        self._mutex = threading.RLock()
        self._forms: dict[bytes, tuple[str, str]] = {}
        # Candidates: hash -> (hash of a stored tree, path -> new text). Texts are shared with
        # the caller's states, so remembering one costs little more than its dictionary.
        self._derived: OrderedDict[str, tuple[str, _Changes]] = OrderedDict()

    # -- making states -------------------------------------------------------------------

    def snapshot_folder(self, root: Path, ignore: Iterable[str] = ()) -> Snapshot:
        """Store a working folder as it is on disk, uncommitted changes included.

        Args:
            root: the folder; read only.
            ignore: patterns to leave out beyond the usual, in the language of ``.gitignore``.

        Raises:
            BadInput: no such folder.
            MeritreeError: the store cannot be written (full disk).
        """
        root = Path(root)
        if not root.is_dir():
            raise BadInput(f"no such folder: {root}")
        found, reasons = scan_folder(root, ignore)
        skipped = dict(reasons)
        entries: dict[str, Entry] = {}
        batch: Unwritten = []
        size = 0
        with self._mutex:
            for file in found:
                try:
                    data = _content(root / file.path, file.mode)
                except OSError as error:
                    skipped[file.path] = f"cannot be read: {error.strerror}"
                    continue
                sha = object_name(BLOB, data)
                entries[file.path] = Entry(file.mode, sha)
                batch.append((BLOB, sha, data))
                size += len(data)
                if size > _BATCH_BYTES:
                    self._objects.write(batch)
                    batch, size = [], 0
            tree = self._store_tree(entries, batch)
            self._objects.write(batch)
        return Snapshot(tree.hex(), len(entries), skipped)

    def _store_tree(self, entries: Mapping[str, Entry], sink: Unwritten) -> bytes:
        nested: dict[str, dict[str, Entry]] = {}
        here: dict[bytes, Entry] = {}
        for path, entry in entries.items():
            head, slash, rest = path.partition("/")
            if slash:
                nested.setdefault(head, {})[rest] = entry
            else:
                here[os.fsencode(head)] = entry
        for name, inner in nested.items():
            here[os.fsencode(name) + b"/"] = Entry(FOLDER, self._store_tree(inner, sink))
        keys = sorted(here)
        return self._objects.emit(GitTree(keys, [raw_entry(key, here[key]) for key in keys]), sink)

    def tree_with(self, base: str, changed: Mapping[str, str | None]) -> str:
        """Name the state that ``base`` becomes when files get new texts (None: deleted).

        Nothing is written; `keep` does that. Texts are encoded as the file was in ``base``
        (encoding, byte order mark, line ends), new files as UTF-8.

        Raises:
            MeritreeError: ``base`` is unknown, a path is impossible, or a text cannot be
                written in its file's encoding.
        """
        with self._mutex:
            root, earlier = self._origin(base)
            changes = {**earlier, **changed}
            name = self._apply_all(root, changes, None).hex()
            if name != root:
                self._derived[name] = (root, changes)
                self._derived.move_to_end(name)
                if len(self._derived) > _REMEMBERED:
                    self._derived.popitem(last=False)
            return name

    def keep(self, state: str) -> None:
        """Write a state to disk; after that it survives this process.

        Raises:
            MeritreeError: the state is unknown here, or the disk is full.
        """
        with self._mutex:
            root, changes = self._origin(state)
            if changes:
                sink: Unwritten = []
                self._apply_all(root, changes, sink)
                self._objects.write(sink)
                del self._derived[state]

    def _origin(self, state: str) -> tuple[str, _Changes]:
        """A stored tree and the changes that lead from it to ``state``."""
        derived = self._derived.get(state)
        if derived is not None:
            return derived
        try:
            self._objects.tree(bytes.fromhex(state))
        except ValueError as error:
            raise MeritreeError(f"{state!r} is no tree hash (40 hexadecimal digits)") from error
        return state, {}

    def _apply_all(self, root: str, changes: _Changes, sink: Unwritten | None) -> bytes:
        """Hash (and, given a sink, collect) the trees and files that ``changes`` make of a tree."""
        base = bytes.fromhex(root)
        nested: _Nested = {}
        for path, text in changes.items():
            *folders, name = path_parts(path)
            level = nested
            for folder in folders:
                inner = level.setdefault(folder + b"/", {})
                if not isinstance(inner, dict):
                    raise MeritreeError(
                        f"{path} cannot be written: {os.fsdecode(folder)} is a file"
                    )
                level = inner
            level[name] = (path, text)
        return self._apply(base, nested, sink) or self._objects.emit(EMPTY_TREE, sink)

    def _apply(self, base: bytes | None, level: _Nested, sink: Unwritten | None) -> bytes | None:
        """The hash of one folder after its changes; None when nothing is left in it."""
        tree = EMPTY_TREE if base is None else self._objects.tree(base)
        for key, change in level.items():
            old = tree.find(key)
            if isinstance(change, dict):
                if old is None and tree.find(key[:-1]) is not None:
                    raise MeritreeError(f"{os.fsdecode(key)} cannot be a folder: it is a file")
                sha = self._apply(old.sha if old else None, change, sink)
                entry = None if sha is None else Entry(FOLDER, sha)
            else:
                path, text = change
                if tree.find(key + b"/") is not None:
                    raise MeritreeError(f"{path} cannot be written: it is a folder")
                entry = None if text is None else self._file_entry(path, text, old, sink)
            tree = tree.with_entry(key, entry)
        return self._objects.emit(tree, sink) if tree.keys else None

    def _file_entry(self, path: str, text: str, old: Entry | None, sink: Unwritten | None) -> Entry:
        data = self._encode(path, text, old)
        sha = object_name(BLOB, data)
        if sink is not None:
            sink.append((BLOB, sha, data))
        return Entry(_REGULAR if old is None else old.mode, sha)

    def _encode(self, path: str, text: str, old: Entry | None) -> bytes:
        """The bytes of a new text, in the encoding and with the line ends of the old file."""
        if old is not None and old.mode == _LINK:
            raise MeritreeError(f"{path} is a symbolic link; change the file that it points to")
        encoding, newline = ("utf-8", "\n") if old is None else self._form(path, old.sha)
        try:
            return write_source(text, encoding, newline)
        except UnicodeEncodeError as error:
            raise MeritreeError(
                f"{path} is written in {encoding}, which lacks {text[error.start]!r}; use other "
                "characters or convert the file to UTF-8"
            ) from error

    def _form(self, path: str, sha: bytes) -> tuple[str, str]:
        form = self._forms.get(sha)
        if form is None:
            try:
                form = self._forms[sha] = read_source(self._objects.blob(sha))[1:]
            except (SyntaxError, UnicodeDecodeError, LookupError) as error:
                raise MeritreeError(f"{path} cannot be changed as text: {error}") from error
        return form

    # -- reading states ------------------------------------------------------------------

    def read(self, state: str, path: str) -> bytes:
        """The content of a file (for a symbolic link: where it points) in a state.

        Raises:
            MeritreeError: the state is unknown or has no such file.
        """
        with self._mutex:
            root, changes = self._origin(state)
            entry = self._objects.find(bytes.fromhex(root), path)
            text = changes.get(path)
            if text is not None:
                return self._encode(path, text, entry)
            if entry is None or path in changes:
                raise MeritreeError(f"no file {path} in state {state}")
            return self._objects.blob(entry.sha)

    def paths(self, state: str) -> list[str]:
        """The paths of all files of a state, sorted."""
        with self._mutex:
            return sorted(self._flat(state))

    def materialise(self, state: str, folder: Path) -> None:
        """Write a state into a new or empty folder: contents, executable bits, symbolic links.

        Raises:
            MeritreeError: the state is unknown, the folder holds something, or the disk is full.
        """
        folder = Path(folder)
        with self._mutex:
            files = self._flat(state)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if any(folder.iterdir()):
                    raise MeritreeError(f"{folder} is not empty; give a new folder")
                made = {""}
                for path, (entry, fresh) in files.items():
                    _make_parents(folder, path, made)
                    data = self._objects.blob(entry.sha) if fresh is None else fresh
                    _write_file(os.path.join(folder, path), entry.mode, data)
            except OSError as error:
                raise MeritreeError(
                    f"cannot write state {state[:10]} to {folder}: {error.strerror} "
                    f"({error.filename}); make room or choose another disk"
                ) from error

    def diff(self, base: str, new: str) -> str:
        """The change from one state to another as a patch that `git apply` accepts.

        Bytes that are not UTF-8 are lone surrogates in it: write it with `patch_bytes`.

        Raises:
            MeritreeError: a state is unknown, or a binary file differs.
        """
        with self._mutex:
            before, after = self._flat(base), self._flat(new)
            differ = [
                path
                for path in before.keys() | after.keys()
                if _named(before.get(path)) != _named(after.get(path))
            ]
            return "".join(
                file_patch(path, self._version(before.get(path)), self._version(after.get(path)))
                for path in sorted(differ)
            )

    def _version(self, file: _File | None) -> FileVersion | None:
        if file is None:
            return None
        entry, fresh = file
        return FileVersion(
            entry.mode, entry.sha.hex(), self._objects.blob(entry.sha) if fresh is None else fresh
        )

    def _flat(self, state: str) -> dict[str, _File]:
        """Path -> (entry, content if it is not stored) of every file of a state."""
        root, changes = self._origin(state)
        files: dict[str, _File] = {
            path: (entry, None) for path, entry in self._objects.walk(bytes.fromhex(root), "")
        }
        for path, text in changes.items():
            old = files.pop(path, None)
            if text is not None:
                data = self._encode(path, text, old[0] if old else None)
                mode = old[0].mode if old else _REGULAR
                files[path] = (Entry(mode, object_name(BLOB, data)), data)
        return files


def _named(file: _File | None) -> Entry | None:
    return None if file is None else file[0]


def _content(path: Path, mode: int) -> bytes:
    if mode == _LINK:
        return os.fsencode(os.readlink(path))
    return path.read_bytes()


def _make_parents(folder: Path, path: str, made: set[str]) -> None:
    parent = path.rpartition("/")[0]
    if parent not in made:
        os.makedirs(os.path.join(folder, parent), exist_ok=True)
        made.add(parent)


def _write_file(path: str, mode: int, data: bytes) -> None:
    if mode == _LINK:
        os.symlink(os.fsdecode(data), path)
        return
    permissions = 0o777 if mode & 0o100 else 0o666
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, permissions)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)
