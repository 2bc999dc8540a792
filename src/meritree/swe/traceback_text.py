"""Read Python tracebacks, pytest reports and code mentions out of free text.

Used on issue texts and on test output alike; it knows nothing about a repository except
the list of its paths, and nothing about repair.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from meritree.swe.testing.types import Frame

__all__ = [
    "Frame",
    "Mentions",
    "TracebackText",
    "clean",
    "match_path",
    "mentions",
    "parse_tracebacks",
    "resolve",
]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*\x07")
# What loggers, mail quoting and process managers put before a line. Applied repeatedly.
_PREFIX = re.compile(
    r"""^(?:
        \s*>(?=\s|$|>)\s?                                     # quoted mail, Markdown
      | \s*\|(?=\s)\s?                                        # exception groups, tables
      | [\w.-]+\s*\|\s                                        # docker compose: web_1  |
      | \[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?[ ]?
      | \[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?[ ]?
      | \[[A-Za-z][\w. -]*\][ ]?                               # [worker 1]
      | (?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s*[:|-]?\s(?=\S*\s*(?:File|Traceback))
    )""",
    re.VERBOSE,
)
_FRAME = re.compile(
    r'File\s+"(?P<path>[^"]+)",\s*line\s+(?P<line>\d{1,9})(?!\d)(?:,\s*in\s+(?P<function>[^\s,]+))?'
)
# `path.py:12: in f` and `path.py:12: ValueError` of pytest; `path.py:12:5: ` of linters: what
# follows the path. The path is read backwards from there (a pattern for both is cubic in time).
_SHORT = re.compile(
    r"(?<=[\w-])\.py:(?P<line>\d{1,9})(?::\d{1,9})?:"
    r"(?:[ ]in[ ](?P<function>\S+)|[ ](?P<exception>[A-Za-z_][\w.]*)|(?=\s|$))"
)
_BACKWARDS = re.compile(r"[\w./\\+@~ -]*(?::[A-Za-z])?")
_EXCEPTION = re.compile(
    r"^(?P<type>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(?::\s?(?P<message>.*)|(?P<bare>)\s*)$"
)
_PYTEST_E = re.compile(r"^E(?:\s{2,}(?P<rest>.*))?$")
_SUMMARY = re.compile(r"^(?:FAILED|ERROR)\s+(?P<test>\S+?::.+?)(?:\s+-\s+(?P<rest>.*))?$")
_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_TICKS = re.compile(r"``([^`]+)``|`([^`\n]+)`")
_WORD = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_CODE_LOOK = re.compile(r"_|\.|[a-z][A-Z]|\d")
_PATH_LIKE = re.compile(r"(?:[A-Za-z]:)?[\w.\\/+-]+")
_PY = re.compile(r"(?<=[\w-])\.py\b")
_LONGEST = 4000  # characters of a line that can belong to a traceback
_KNOWN_EXCEPTIONS = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
)
_ENGLISH = frozenset(["e.g", "i.e", "etc", "vs"])


@dataclass(frozen=True, slots=True)
class TracebackText:
    """One traceback: frames outermost first, exception type and message.

    A frame's path is as the text has it (``/`` separated; see `resolve`), its line is 0 when
    the text names a file only, its function empty when the text does not say.
    ``exception`` is empty when the text breaks off before it.
    """

    frames: tuple[Frame, ...]
    exception: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Mentions:
    """What a text says about code, without any traceback.

    Attributes:
        identifiers: names that look like code (dotted names also by their parts).
        quoted: pieces of code between back-ticks or in fenced blocks, one per line.
        paths: names of Python files, with ``/`` separators.
    """

    identifiers: frozenset[str] = frozenset()
    quoted: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


def clean(text: str) -> str:
    """Drop ANSI colours and the prefixes of quoting, logging and process managers."""
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(_strip_prefix(line) for line in text.split("\n"))


def parse_tracebacks(text: str) -> tuple[TracebackText, ...]:
    """All tracebacks in ``text``, in order: Python's own and pytest's three styles.

    Chained exceptions give one entry each. Wrapped lines are joined where a frame broke.
    """
    lines = _join_wrapped([line[:_LONGEST] for line in clean(text).split("\n")])
    found: list[TracebackText] = []
    collector = _Collector(found)
    for line in lines:
        collector.feed(line)
    collector.flush()
    return tuple(found)


class _Collector:
    """Gathers frames until the line that names the exception closes a traceback."""

    def __init__(self, found: list[TracebackText]) -> None:
        self._found = found
        self._frames: list[Frame] = []
        self._indent = 0
        self._exception = ""
        self._message: list[str] = []

    def feed(self, line: str) -> None:
        if line.lstrip().startswith("Traceback (most recent call last"):
            self.flush()
        elif frame := _FRAME.search(line):
            self._add_long(line, frame)
        elif short := _SHORT.search(line):
            self._add_short(line, short)
        elif marked := _PYTEST_E.match(line):
            self._add_marked(marked.group("rest") or "")
        elif summary := _SUMMARY.match(line.strip()):
            self._add_summary(summary)
        elif self._exception and line.strip():
            self.flush()  # anything but the place of the raise ends pytest's block
        elif self._frames and not self._exception:
            self._close(line)

    def _add_long(self, line: str, match: re.Match[str]) -> None:
        if self._exception:
            self.flush()
        self._indent = len(line) - len(line.lstrip())
        self._frames.append(_frame(match.group("path"), match))

    def _add_short(self, line: str, match: re.Match[str]) -> None:
        exception = match.group("exception")
        if exception is not None and not _looks_like_exception(exception):
            return
        if self._exception and exception is None and not self._message:
            self.flush()
        before = _BACKWARDS.match(line[: match.start()][::-1])
        path = (before.group()[::-1] if before else "") + ".py"
        self._frames.append(_frame(path, match))
        if exception is not None:
            # pytest writes the place of the raise after the message: it ends the report.
            self._exception = self._exception or exception
            self.flush()

    def _add_marked(self, rest: str) -> None:
        """A line of pytest's `E   ...` block: the first names the exception."""
        stripped = rest.strip()
        if not self._exception:
            match = _EXCEPTION.match(stripped)
            if match and _looks_like_exception(match.group("type")):
                self._exception = match.group("type")
                self._message = [match.group("message") or ""]
            elif stripped.startswith("assert "):
                self._exception, self._message = "AssertionError", [stripped]
        elif stripped:
            self._message.append(stripped)

    def _add_summary(self, match: re.Match[str]) -> None:
        self.flush()
        rest = match.group("rest") or ""
        named = _EXCEPTION.match(rest)
        path = match.group("test").split("::", 1)[0]
        function = match.group("test").rsplit("::", 1)[-1].split("[", 1)[0]
        frames = (Frame(path.replace("\\", "/"), 0, function),)
        if named and _looks_like_exception(named.group("type")):
            message = named.group("message") or ""
            self._found.append(TracebackText(frames, named.group("type"), message))
        elif rest.startswith("assert "):
            self._found.append(TracebackText(frames, "AssertionError", rest))

    def _close(self, line: str) -> None:
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        # The source line of a frame is indented deeper than the frame itself.
        if not stripped or indent > self._indent or set(stripped) <= set("^~ _.|"):
            return
        match = _EXCEPTION.match(stripped)
        if match and (match.group("message") is not None or _looks_like_exception(stripped)):
            self._exception = match.group("type")
            self._message = [match.group("message") or ""]
            self.flush()

    def flush(self) -> None:
        if self._frames or self._exception:
            message = "\n".join(self._message).strip()
            self._found.append(TracebackText(tuple(self._frames), self._exception, message))
        self._frames, self._exception, self._message, self._indent = [], "", [], 0


def match_path(reported: str, paths: Iterable[str]) -> str | None:
    """The repository path with the longest common suffix, in whole path components.

    Args:
        reported: a path as some machine wrote it (any separators, any root).
        paths: the repository's files, ``/`` separated.

    Returns:
        The best path; None when not even the file name agrees, or when two paths share
        the longest suffix without being named in full (ambiguous).
    """
    wanted = _components(reported)
    best: list[str] = []
    length = 0
    for path in paths:
        common = _common_suffix(wanted, path.split("/"))
        if common > length:
            best, length = [path], common
        elif common == length and common:
            best.append(path)
    if len(best) == 1:
        return best[0]
    whole = [path for path in best if len(path.split("/")) == length]
    return whole[0] if len(whole) == 1 else None


def resolve(frames: Iterable[Frame], paths: Collection[str]) -> tuple[Frame, ...]:
    """The frames that lie in the repository, with repository paths, in order."""
    known: dict[str, str | None] = {}
    kept: list[Frame] = []
    for frame in frames:
        if frame.path not in known:
            known[frame.path] = match_path(frame.path, paths)
        path = known[frame.path]
        if path is not None:
            kept.append(Frame(path, frame.line, frame.function))
    return tuple(kept)


def mentions(text: str) -> Mentions:
    """Identifiers, quoted code and file names that an issue text mentions."""
    text = _ANSI.sub("", text)
    quoted = [piece for pair in _TICKS.findall(_FENCE.sub("", text)) for piece in pair if piece]
    fenced = [line.strip() for block in _FENCE.findall(text) for line in block.split("\n")]
    fenced += [line.strip() for line in text.split("\n") if line.lstrip().startswith(">>> ")]
    code = [piece.strip() for piece in quoted + fenced if piece.strip()]
    names: set[str] = set()
    for piece in code:
        names.update(_names(piece))
    names.update(name for name in _names(text) if _CODE_LOOK.search(name))
    parts = {part for name in names for part in name.split(".")}
    paths = dict.fromkeys(p.replace("\\", "/") for p in _python_files(text))
    return Mentions(
        frozenset(n for n in names | parts if not keyword.iskeyword(n) and len(n) > 1),
        tuple(dict.fromkeys(_without_prompt(piece) for piece in code)),
        tuple(paths),
    )


def _strip_prefix(line: str) -> str:
    for _ in range(4):
        match = _PREFIX.match(line)
        if not match or not match.group(0):
            return line
        line = line[match.end() :]
    return line


def _join_wrapped(lines: list[str]) -> list[str]:
    """Join a frame that a mail client or terminal broke over up to three lines."""
    joined: list[str] = []
    skip = 0
    for i, line in enumerate(lines):
        if skip:
            skip -= 1
            continue
        start = line.find('File "')
        if start >= 0 and not _complete(line):
            for extra in (1, 2):
                candidate = line + _glue(line, lines[i + 1 : i + 1 + extra])
                if _complete(candidate):
                    line, skip = candidate, extra
                    break
        joined.append(line)
    return joined


def _complete(line: str) -> bool:
    match = _FRAME.search(line)
    return bool(match) and not line.rstrip().endswith((",", " in"))


def _glue(first: str, rest: list[str]) -> str:
    """The continuation of a broken line: no space where the break fell inside the path."""
    text, inside = "", first.count('"') % 2 == 1
    for line in rest:
        text += ("" if inside else " ") + line.strip()
        inside = (first + text).count('"') % 2 == 1
    return text


def _frame(path: str, match: re.Match[str]) -> Frame:
    path = path.strip().replace("\\", "/")
    return Frame(path, int(match.group("line")), match.group("function") or "")


def _looks_like_exception(name: str) -> bool:
    last = name.strip().rsplit(".", 1)[-1]
    return last in _KNOWN_EXCEPTIONS or last.endswith(
        ("Error", "Exception", "Warning", "Failed", "Exit", "Interrupt", "Timeout")
    )


def _components(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def _common_suffix(left: list[str], right: list[str]) -> int:
    count = 0
    for a, b in zip(reversed(left), reversed(right), strict=False):
        if a != b:
            break
        count += 1
    return count


def _python_files(text: str) -> Iterator[str]:
    for run in _PATH_LIKE.findall(text):
        ends = [match.end() for match in _PY.finditer(run)]
        if ends:
            yield run[: ends[-1]]


def _names(text: str) -> list[str]:
    return [
        name
        for name in _WORD.findall(text)
        if name.lower() not in _ENGLISH and not name.endswith(".py")
    ]


def _without_prompt(piece: str) -> str:
    return piece[4:].strip() if piece.startswith((">>> ", "... ")) else piece
