"""Git trees and blobs: hashed in memory, read from and written to a bare repository of our own.

What `store` builds its states from. Knows nothing of candidates.
"""

from __future__ import annotations

import os
import weakref
import zlib
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from meritree.errors import MeritreeError

if TYPE_CHECKING:
    from dulwich.object_store import BaseObjectStore

BLOB, TREE = 3, 2  # object types as git numbers them
FOLDER = 0o040000
_CACHED_BLOB_BYTES = 64_000_000
_PACK_FROM = 64  # this many new objects at once are written as one pack

Unwritten = list[tuple[int, bytes, bytes]]
"""Objects that may have to be written: (type, hash, content)."""


class Entry(NamedTuple):
    """What a tree says of one name: the mode of a file or folder, and its hash."""

    mode: int
    sha: bytes  # 20 bytes


class GitTree:
    """A decoded tree object: entries as git sorts and writes them."""

    __slots__ = ("keys", "raws")

    def __init__(self, keys: list[bytes], raws: list[bytes]) -> None:
        self.keys = keys  # name, with "/" after a folder's: git's sort order
        self.raws = raws  # b"<octal mode> <name>\0<20 byte hash>"

    @classmethod
    def decode(cls, data: bytes) -> GitTree:
        """From the content of a tree object."""
        keys, raws, start = [], [], 0
        while start < len(data):
            space = data.index(b" ", start)
            nul = data.index(b"\0", space)
            end = nul + 21
            folder = data[start:space] == b"40000"
            keys.append(data[space + 1 : nul] + (b"/" if folder else b""))
            raws.append(data[start:end])
            start = end
        return cls(keys, raws)

    def find(self, key: bytes) -> Entry | None:
        """The entry of a name (a folder's ends with "/"), None if there is none."""
        at = bisect_left(self.keys, key)
        if at == len(self.keys) or self.keys[at] != key:
            return None
        return entry_of(self.raws[at])

    def with_entry(self, key: bytes, entry: Entry | None) -> GitTree:
        """Another tree, in which the name has this entry (None: is not there)."""
        keys, raws = self.keys, self.raws.copy()
        at = bisect_left(keys, key)
        there = at < len(keys) and keys[at] == key
        if entry is None:
            if there:
                keys = keys[:at] + keys[at + 1 :]
                del raws[at]
            return GitTree(keys, raws)
        raw = raw_entry(key, entry)
        if there:
            raws[at] = raw
        else:
            keys = [*keys[:at], key, *keys[at:]]
            raws.insert(at, raw)
        return GitTree(keys, raws)

    def encode(self) -> bytes:
        """The content of the tree object."""
        return b"".join(self.raws)


def entry_of(raw: bytes) -> Entry:
    """Mode and hash from an entry as git writes it."""
    return Entry(int(raw[: raw.index(b" ")], 8), raw[-20:])


def raw_entry(key: bytes, entry: Entry) -> bytes:
    """An entry as git writes it."""
    return b"%o %s\0%s" % (entry.mode, key.rstrip(b"/"), entry.sha)


EMPTY_TREE = GitTree([], [])


def object_name(kind: int, data: bytes) -> bytes:
    """The name that git gives an object."""
    name = b"blob" if kind == BLOB else b"tree"
    return sha1(b"%s %d\0%s" % (name, len(data), data), usedforsecurity=False).digest()


def path_parts(path: str) -> tuple[bytes, ...]:
    """The names along a path relative to the root.

    Raises:
        MeritreeError: the path is absolute, climbs or enters ``.git``.
    """
    parts = tuple(os.fsencode(path).split(b"/"))
    if any(part in (b"", b".", b"..") or part.lower() == b".git" for part in parts):
        raise MeritreeError(f"impossible path {path!r}; give one relative to the repository's root")
    return parts


class Objects:
    """The objects of one bare repository, with what was read of them.

    Not safe to share between threads.
    """

    def __init__(self, path: Path) -> None:
        """Open the repository, creating it where there is none.

        Raises:
            MeritreeError: the folder cannot be created or is something else.
        """
        self.path = path
        self._objects = _open_objects(path)
        self._finalizer = weakref.finalize(self, self._objects.close)
        self._trees: dict[bytes, GitTree] = {}
        self._blobs: OrderedDict[bytes, bytes] = OrderedDict()
        self._blob_bytes = 0

    def emit(self, tree: GitTree, sink: Unwritten | None) -> bytes:
        """The hash of a tree, which a sink collects to be written."""
        data = tree.encode()
        sha = object_name(TREE, data)
        if sink is not None:
            sink.append((TREE, sha, data))
            self._trees[sha] = tree
        return sha

    def walk(self, sha: bytes, below: str) -> Iterator[tuple[str, Entry]]:
        """Path and entry of every file below a tree, each path preceded by ``below``."""
        tree = self.tree(sha)
        for key, raw in zip(tree.keys, tree.raws, strict=True):
            entry = entry_of(raw)
            path = below + os.fsdecode(key)
            if entry.mode == FOLDER:
                yield from self.walk(entry.sha, path)
            else:
                yield path, entry

    def find(self, root: bytes, path: str) -> Entry | None:
        """The entry at a path below a tree."""
        *folders, name = path_parts(path)
        for folder in folders:
            entry = self.tree(root).find(folder + b"/")
            if entry is None:
                return None
            root = entry.sha
        return self.tree(root).find(name)

    def tree(self, sha: bytes) -> GitTree:
        """A tree that was read or written before, else read now.

        Raises:
            MeritreeError: it is not there, damaged, or a file.
        """
        tree = self._trees.get(sha)
        if tree is None:
            kind, data = self._raw(sha)
            if kind != TREE:
                raise MeritreeError(f"{sha.hex()} in {self.path} is a file, not a state")
            tree = self._trees[sha] = GitTree.decode(data)
        return tree

    def blob(self, sha: bytes) -> bytes:
        """The content of a file.

        Raises:
            MeritreeError: it is not there or damaged.
        """
        data = self._blobs.get(sha)
        if data is None:
            data = self._raw(sha)[1]
            self._blobs[sha] = data
            self._blob_bytes += len(data)
            while self._blob_bytes > _CACHED_BLOB_BYTES:
                self._blob_bytes -= len(self._blobs.popitem(last=False)[1])
        return data

    def _raw(self, sha: bytes) -> tuple[int, bytes]:
        try:
            kind, data = self._objects.get_raw(_object_id(sha))
            return kind, data
        except KeyError:
            raise MeritreeError(
                f"no state or file {sha.hex()} in {self.path}: it was never kept, or is of another "
                "store; make it again with tree_with"
            ) from None
        except (OSError, zlib.error, AssertionError, ValueError) as error:
            raise MeritreeError(f"object {sha.hex()} in {self.path} is damaged: {error}") from error

    def write(self, objects: Unwritten) -> None:
        """Store what is not there yet: many objects as one pack, few as files of their own."""
        from dulwich.objects import ShaFile

        fresh = {
            sha: ShaFile.from_raw_string(kind, data)
            for kind, sha, data in objects
            if _object_id(sha) not in self._objects
        }
        try:
            if len(fresh) > _PACK_FROM:
                self._objects.add_objects([(item, None) for item in fresh.values()])
            else:
                for item in fresh.values():
                    self._objects.add_object(item)
        except OSError as error:
            raise MeritreeError(
                f"cannot write to the object store {self.path}: {error.strerror}; make room on "
                "that disk, then resume the run"
            ) from error


def _open_objects(path: Path) -> BaseObjectStore:
    from dulwich.errors import NotGitRepository
    from dulwich.repo import Repo

    try:
        if (path / "HEAD").is_file():
            repo = Repo(str(path))
        else:
            path.mkdir(parents=True, exist_ok=True)
            repo = Repo.init_bare(str(path))
            config = repo.get_config()
            for section, name in (("core", "looseCompression"), ("pack", "compression")):
                config.set((section.encode(),), name.encode(), b"1")  # speed before size
            config.write_to_path()
            repo.close()
            repo = Repo(str(path))
    except (NotGitRepository, OSError) as error:
        raise MeritreeError(
            f"cannot open an object store at {path}: {error}; give `--out` a new, writable folder"
        ) from error
    return repo.object_store


def _object_id(sha: bytes) -> Any:
    """A hash as dulwich names it (a type of its own in some versions, bytes in others)."""
    return sha.hex().encode()
