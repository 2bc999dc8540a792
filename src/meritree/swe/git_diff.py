"""The differences of files as a patch in git's format, which `git apply` accepts.

Works on bytes in memory; knows nothing of where they are stored.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from meritree.errors import MeritreeError

_CONTEXT = 3
_REGULAR = 0o100000
_KIND = 0o170000


class FileVersion(NamedTuple):
    """One file of one tree: ``mode`` as git writes it (0o100644, 0o100755, 0o120000)."""

    mode: int
    sha: str
    data: bytes


def file_patch(path: str, old: FileVersion | None, new: FileVersion | None) -> str:
    """Return the patch that turns ``old`` into ``new`` (None: the file is not there).

    The patch is text in which bytes that are not UTF-8 are kept as lone surrogates: write it
    with `patch_bytes`.

    Raises:
        MeritreeError: the file is binary (it holds NUL bytes).
    """
    if old is not None and new is not None and old.mode & _KIND != new.mode & _KIND:
        return file_patch(path, old, None) + file_patch(path, None, new)
    if old == new:
        return ""
    before, after = _side("a/", path), _side("b/", path)
    lines = [f"diff --git {before} {after}\n", *_mode_lines(old, new)]
    old_data, new_data = (old.data if old else b""), (new.data if new else b"")
    if old_data != new_data or old is None or new is None:
        for data in (old_data, new_data):
            if b"\0" in data:
                raise MeritreeError(
                    f"{path} is a binary file (it holds NUL bytes); a text patch cannot show its "
                    "change, so leave it as it is"
                )
        short_old = old.sha[:10] if old else "0" * 10
        short_new = new.sha[:10] if new else "0" * 10
        same_mode = f" {old.mode:06o}" if old and new and old.mode == new.mode else ""
        lines.append(f"index {short_old}..{short_new}{same_mode}\n")
    if old_data != new_data:
        lines.append(f"--- {before if old else '/dev/null'}{_tab(before, old)}\n")
        lines.append(f"+++ {after if new else '/dev/null'}{_tab(after, new)}\n")
        lines.extend(_hunks(_lines(old_data), _lines(new_data)))
    return "".join(lines)


def patch_bytes(patch: str) -> bytes:
    """The bytes of a patch file: those of the files themselves, whatever their encoding."""
    return patch.encode("utf-8", "surrogateescape")


def _mode_lines(old: FileVersion | None, new: FileVersion | None) -> Iterator[str]:
    if old is None and new is not None:
        yield f"new file mode {new.mode:06o}\n"
    elif new is None and old is not None:
        yield f"deleted file mode {old.mode:06o}\n"
    elif old is not None and new is not None and old.mode != new.mode:
        yield f"old mode {old.mode:06o}\nnew mode {new.mode:06o}\n"


def _side(prefix: str, path: str) -> str:
    """The path as git writes it: quoted like a C string when it holds unusual bytes."""
    raw = (prefix + path).encode("utf-8", "surrogateescape")
    if all(0x20 <= byte < 0x7F and byte not in b'"\\' for byte in raw):
        return raw.decode("ascii")
    return '"' + "".join(_quoted(byte) for byte in raw) + '"'


def _quoted(byte: int) -> str:
    if byte in b'"\\':
        return "\\" + chr(byte)
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"


def _tab(side: str, version: FileVersion | None) -> str:
    """git ends a name that holds blanks with a tab, so that none is taken for a time stamp."""
    return "\t" if version is not None and " " in side and not side.startswith('"') else ""


def _lines(data: bytes) -> list[str]:
    """Split at line feeds only: a carriage return or form feed is content."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    last = lines.pop()
    lines = [line + "\n" for line in lines]
    return [*lines, last + "\n\\ No newline at end of file\n"] if last else lines


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    for group in _groups(_changes(old, new)):
        i1, j1 = max(0, group[0][0] - _CONTEXT), max(0, group[0][2] - _CONTEXT)
        i2 = min(len(old), group[-1][1] + _CONTEXT)
        j2 = min(len(new), group[-1][3] + _CONTEXT)
        yield f"@@ -{_range(i1, i2)} +{_range(j1, j2)} @@\n"
        position = i1
        for start, end, new_start, new_end in group:
            yield from (" " + line for line in old[position:start])
            yield from ("-" + line for line in old[start:end])
            yield from ("+" + line for line in new[new_start:new_end])
            position = end
        yield from (" " + line for line in old[position:i2])


def _range(start: int, end: int) -> str:
    count = end - start
    return f"{start + 1 if count else start},{count}"


_Change = tuple[int, int, int, int]  # old[i1:i2] becomes new[j1:j2]


def _changes(old: Sequence[str], new: Sequence[str]) -> list[_Change]:
    """What differs, after cutting the common head and tail (edits are small, files are not)."""
    head = 0
    shorter = min(len(old), len(new))
    while head < shorter and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shorter - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle = difflib.SequenceMatcher(
        None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False
    )
    return [
        (i1 + head, i2 + head, j1 + head, j2 + head)
        for tag, i1, i2, j1, j2 in middle.get_opcodes()
        if tag != "equal"
    ]


def _groups(changes: Sequence[_Change]) -> Iterator[list[_Change]]:
    """Changes whose contexts touch share a hunk."""
    group: list[_Change] = []
    for change in changes:
        if group and change[0] - group[-1][1] > 2 * _CONTEXT:
            yield group
            group = []
        group.append(change)
    if group:
        yield group
