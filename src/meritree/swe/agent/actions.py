"""What an agent can do: typed actions, their tool schemas, and parsing with precise complaints.

Plain data; knows neither what an action does to a repository nor which model asked for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar

from meritree.respond.data import Tool, ToolCall

_LABEL = 90


def _about(text: str, **default: Any) -> Any:
    return field(metadata={"about": text}, **default)


_PATH = "file, relative to the repository's root, with / separators"


@dataclass(frozen=True, slots=True)
class ListFiles:
    """List the files of a folder (all files when empty), optionally by a glob pattern."""

    category: ClassVar[str] = "search"
    folder: str = _about("folder relative to the repository's root; empty: everything", default="")
    pattern: str = _about("glob such as *.py; empty: every file", default="")


@dataclass(frozen=True, slots=True)
class FindClass:
    """Find where a class is defined."""

    category: ClassVar[str] = "search"
    name: str = _about("the class's name")


@dataclass(frozen=True, slots=True)
class FindFunction:
    """Find where a function or method is defined."""

    category: ClassVar[str] = "search"
    name: str = _about("the function's name")
    class_name: str = _about("only methods of this class; empty: anywhere", default="")


@dataclass(frozen=True, slots=True)
class FindText:
    """Find the lines that hold an exact text."""

    category: ClassVar[str] = "search"
    text: str = _about("the text, as it stands in the file")
    path: str = _about("only in this file or folder; empty: everywhere", default="")


@dataclass(frozen=True, slots=True)
class Search:
    """Search the code for what a question describes, best passages first."""

    category: ClassVar[str] = "search"
    query: str = _about("what is looked for, in words and names")


@dataclass(frozen=True, slots=True)
class View:
    """Show a file with line numbers: all of it, some lines, or one class or function."""

    category: ClassVar[str] = "view"
    path: str = _about(_PATH)
    start: int = _about("first line, 1-based; 0: from the beginning", default=0)
    end: int = _about("last line; 0: to the end", default=0)
    symbol: str = _about("a function or class instead of lines, such as Cart.total", default="")


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace a text that occurs exactly once in a file by another one."""

    category: ClassVar[str] = "edit"
    path: str = _about(_PATH)
    old: str = _about("the text to replace, exactly as in the file, indentation included")
    new: str = _about("what stands there afterwards; may be empty")


@dataclass(frozen=True, slots=True)
class Insert:
    """Insert lines after a line of a file."""

    category: ClassVar[str] = "edit"
    path: str = _about(_PATH)
    line: int = _about("after this line; 0: at the beginning")
    text: str = _about("the lines, with their indentation")


@dataclass(frozen=True, slots=True)
class Create:
    """Create a new file."""

    category: ClassVar[str] = "edit"
    path: str = _about(_PATH)
    text: str = _about("its whole content")


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a file."""

    category: ClassVar[str] = "edit"
    path: str = _about(_PATH)


@dataclass(frozen=True, slots=True)
class RunTests:
    """Run tests on the code as it is now and show how they fail."""

    category: ClassVar[str] = "test"
    tests: tuple[str, ...] = _about("ids of tests; empty: those that must pass", default=())


@dataclass(frozen=True, slots=True)
class WriteTest:
    """Write a test file that fails because of the issue and will pass once it is mended.

    It is kept apart from the patch.
    """

    category: ClassVar[str] = "test"
    text: str = _about("the whole test file: pytest functions and their imports")


@dataclass(frozen=True, slots=True)
class Plan:
    """Write down what is known and what to do next; changes nothing."""

    category: ClassVar[str] = "plan"
    text: str = _about("findings, suspicion, next steps")


@dataclass(frozen=True, slots=True)
class Finish:
    """Declare that the issue is mended."""

    category: ClassVar[str] = "end"
    summary: str = _about("what was changed and why it mends the issue")


@dataclass(frozen=True, slots=True)
class Reject:
    """Give this line of work up."""

    category: ClassVar[str] = "end"
    reason: str = _about("why nothing will come of it")


Action = (
    ListFiles | FindClass | FindFunction | FindText | Search | View | Replace | Insert | Create
    | Delete | RunTests | WriteTest | Plan | Finish | Reject
)  # fmt: skip

_KINDS: tuple[type[Any], ...] = (
    ListFiles, FindClass, FindFunction, FindText, Search, View, Replace, Insert, Create,
    Delete, RunTests, WriteTest, Plan, Finish, Reject,
)  # fmt: skip


def _verb(kind: type[Any]) -> str:
    name = kind.__name__
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


KINDS: Mapping[str, type[Any]] = MappingProxyType({_verb(kind): kind for kind in _KINDS})
"""Actions by the name of their tool."""

EDITS = frozenset({"replace", "insert", "create", "delete"})

_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "tuple[str, ...]": {"type": "array", "items": {"type": "string"}},
}
_IN_WORDS: Mapping[str, str] = {
    "str": "a text",
    "int": "a whole number",
    "tuple[str, ...]": "a list of texts",
}


class Malformed(ValueError):
    """A call that is no action; the message is for the model."""


@cache
def tools() -> tuple[Tool, ...]:
    """The tool of every action."""
    return tuple(_tool(name, kind) for name, kind in KINDS.items())


def _tool(name: str, kind: type[Any]) -> Tool:
    properties = {
        f.name: {**_SCHEMAS[str(f.type)], "description": f.metadata["about"]} for f in fields(kind)
    }
    required = [f.name for f in fields(kind) if not _optional(f)]
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return Tool(name, " ".join((kind.__doc__ or "").split()), schema)


def _optional(one: Field[Any]) -> bool:
    return one.default is not MISSING


def name_of(action: Action) -> str:
    """The name of the action's tool."""
    return _verb(type(action))


def parse(call: ToolCall) -> Action:
    """The action that a call asks for.

    Raises:
        Malformed: there is no such tool, or an argument is missing, unknown or of another type;
            the message names the field, what was given and what is wanted.
    """
    kind = KINDS.get(call.name)
    if kind is None:
        known = ", ".join(KINDS)
        raise Malformed(f"there is no tool {_cut(repr(call.name))}; the tools are {known}")
    if call.error:
        raise Malformed(f"{call.name}: {_cut(call.error)}")
    return _built(call.name, kind, call.arguments)


def _built(name: str, kind: type[Any], given: Mapping[str, Any]) -> Action:
    known = {f.name: f for f in fields(kind)}
    for key in given:
        if key not in known:
            raise Malformed(
                f"{name}: there is no argument {_cut(repr(key))}; it takes "
                f"{', '.join(known) or 'none'}"
            )
    values: dict[str, Any] = {}
    for key, one in known.items():
        if given.get(key) is not None:
            values[key] = _value(name, one, given[key])
        elif not _optional(one):
            raise Malformed(f"{name}: the argument {key!r} ({_IN_WORDS[str(one.type)]}) is missing")
    action: Action = kind(**values)
    return action


def _value(name: str, one: Field[Any], value: Any) -> Any:
    kind = str(one.type)
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "int" and not isinstance(value, bool):
        if isinstance(value, int) and abs(value) < 1 << 31:
            return value
        if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 31:
            return int(value)
    is_list = kind.startswith("tuple") and isinstance(value, list | tuple)
    if is_list and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise Malformed(
        f"{name}: the argument {one.name!r} must be {_IN_WORDS[kind]}, not {_cut(repr(value))}"
    )


def arguments(action: Action) -> dict[str, Any]:
    """The action's arguments as JSON data, without those at their defaults."""
    values: dict[str, Any] = {}
    for one in fields(action):
        value = getattr(action, one.name)
        if not _optional(one) or value != one.default:
            values[one.name] = list(value) if isinstance(value, tuple) else value
    return values


def encode(action: Action) -> dict[str, Any]:
    """As JSON data, for the journal."""
    return {"name": name_of(action), "arguments": arguments(action)}


def decode(document: Mapping[str, Any]) -> Action:
    """Inverse of `encode`.

    Raises:
        Malformed: it is no action.
    """
    name = str(document.get("name"))
    given = document.get("arguments")
    return parse(ToolCall("", name, given if isinstance(given, dict) else {}))


def as_call(action: Action, identity: str) -> ToolCall:
    """The call that asks for the action."""
    given = arguments(action)
    return ToolCall(identity, name_of(action), given, json.dumps(given, ensure_ascii=False))


def label(action: Action) -> str:
    """The action on one line, for people."""
    match action:
        case View(path=path, symbol=symbol) if symbol:
            words = f"view {symbol} in {path}"
        case View(path=path, start=start, end=end) if start or end:
            words = f"view {path}:{max(start, 1)}-{end or 'end'}"
        case Replace(path=path, old=old, new=new):
            words = f"`{_snippet(old, new)}` becomes `{_snippet(new, old)}` in {path}"
        case Insert(path=path, line=line, text=text):
            words = f"insert `{_line(text)}` after {path}:{line}"
        case RunTests(tests=tests):
            words = f"run {', '.join(tests) or 'the tests'}"
        case WriteTest():
            words = "write a test"
        case Plan(text=text) | Finish(summary=text) | Reject(reason=text):
            words = f"{name_of(action)}: {_line(text)}"
        case _:
            shown = ", ".join(str(v) for v in arguments(action).values() if v)
            words = f"{name_of(action).replace('_', ' ')} {shown}".rstrip()
    return _cut(" ".join(words.split()), 2 * _LABEL)


def _snippet(text: str, other: str) -> str:
    """The first line in which two texts differ."""
    mine, theirs = text.splitlines() or [""], other.splitlines() or [""]
    for place, line in enumerate(mine):
        if place >= len(theirs) or theirs[place] != line:
            return _line(line)
    return _line(mine[-1])


def _line(text: str) -> str:
    return _cut(" ".join(text.split()), 60)


def _cut(text: str, most: int = _LABEL) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
