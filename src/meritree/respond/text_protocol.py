"""Tool calls in plain text, for models that have no tool calls of their own.

The format that is taught stands in ``text_format.txt``; what is understood is wider: JSON in the
block, ``<tool_call>`` tags, other fences, wrong case, a fence that is not closed. Any text gives
either calls or a complaint to send back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import islice

from meritree.respond.codec import well_formed
from meritree.respond.data import Tool, ToolCall
from meritree.respond.schema import complaint_about, properties_of, types_of
from meritree.respond.text_block import ARGUMENT, json_call, marker, read_block, same_name

_MOST_CALLS = 20
_MOST_CHARACTERS = 400_000
_MOST_WRAPPINGS = 50
_MOST_OBJECTS = 5
_LONGEST_OBJECT = 100_000
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[ \t]*(.*)$")
_TAG = re.compile(r"<(tool_call|function_call|call)>(.*?)(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)
_OBJECT = re.compile(
    r"\{\s*[\"']?(name|tool|tool_name|action|function|command|type|id)\b", re.IGNORECASE
)
_REACT = re.compile(r"^[ \t]*\**action\**[ \t]*:[ \t]*(.+)$", re.IGNORECASE | re.MULTILINE)
_CALLED = ("call", "tool", "tool_call", "action", "tool_code", "function", "function_call")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text holds.

    Attributes:
        calls: well-formed calls, in order; their arguments have the types of the schema.
        complaint: what is wrong, for the model; calls are then empty. Empty where nothing is
            wrong, also where the text holds no call at all.
        prose: the text without its calls.
    """

    calls: tuple[ToolCall, ...] = ()
    complaint: str = ""
    prose: str = ""


@cache
def text_format() -> str:
    """How models are told to write calls."""
    return resources.files("meritree.respond").joinpath("text_format.txt").read_text("utf-8")


def describe_tools(tools: Sequence[Tool]) -> str:
    """The instructions to add to a system message: the format and each tool."""
    return f"{text_format()}\nThe tools:\n\n" + "\n".join(_described(tool) for tool in tools)


def write_call(call: ToolCall) -> str:
    """A call in the format that is taught."""
    lines = ["```call", call.name]
    for name, value in call.arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if _fits_a_line(text):
            lines.append(f"{name}: {text}")
        else:
            size = next(n for n in range(3, len(text) + 5) if f"{'>' * n}" not in text)
            lines += [f"{name}:", "<" * size, *text.split("\n"), ">" * size]
    return "\n".join([*lines, "```"])


def _fits_a_line(text: str) -> bool:
    special = text[:1] in ('"', "'", "`", "<", "|", ">", "")
    return "\n" not in text and text == text.strip() and not special


def parse_calls(text: str, tools: Sequence[Tool]) -> Parsed:
    """Read the calls that a model wrote.

    Never raises: any text gives calls, a complaint, or neither (plain prose).
    """
    if len(text) > _MOST_CHARACTERS:
        return Parsed((), f"Your reply is longer than {_MOST_CHARACTERS} characters.", text)
    text = well_formed(text.replace("\r\n", "\n"))
    calls: list[ToolCall] = []
    prose: list[str] = []
    for is_call, part in _parts(text, tools):
        if not is_call:
            prose.append(part)
            continue
        if len(calls) == _MOST_CALLS:
            return Parsed((), f"More than {_MOST_CALLS} calls in one reply; make fewer.", text)
        try:
            call = read_block(part, tools, len(calls))
        except ValueError as error:
            return Parsed((), f"The call cannot be read: {error}. {_reminder()}", text)
        problem = complaint_about(call, tools)
        if problem:
            return Parsed((), f"{problem} {_reminder()}", text)
        calls.append(call)
    return Parsed(tuple(calls), "", "".join(prose).strip())


def _reminder() -> str:
    return "Write the call again:\n\n```call\ntool_name\nargument: value\n```"


# ---- where calls stand ------------------------------------------------------------------


def _parts(text: str, tools: Sequence[Tool]) -> Iterator[tuple[bool, str]]:
    """Pieces of the text in order; True marks the inside of a call."""
    pieces = list(_fenced(text, tools))
    if not any(is_call for is_call, _ in pieces) and _TAG.search(text):
        pieces, last = [], 0
        for found in _TAG.finditer(text):
            pieces += [(False, text[last : found.start()]), (True, found.group(2))]
            last = found.end()
        pieces.append((False, text[last:]))
    if not any(is_call for is_call, _ in pieces):
        bare = _bare(text, tools)
        if bare is not None:
            pieces = [(False, text[: bare[0]]), (True, bare[1])]
    yield from pieces


def _fenced(text: str, tools: Sequence[Tool]) -> Iterator[tuple[bool, str]]:
    lines = text.split("\n")
    at = wrappings = 0
    while at < len(lines):
        opened = _FENCE.match(lines[at])
        if opened is None:
            yield False, lines[at] + "\n"
            at += 1
            continue
        inside, end = _inside(lines, at + 1, opened.group(1))
        label, rest = opened.group(2), opened.group(3)
        content = "\n".join([rest, *inside] if rest else inside)
        if label.lower() in _CALLED:
            yield True, content
        elif same_name(label, tools) is not None:  # ```view ... : the label is the tool
            yield True, f"{label}\n{content}"
        elif _looks_like_call(content, tools):
            yield True, content
        elif wrappings < _MOST_WRAPPINGS and any(map(_opens_call, inside)):
            wrappings += 1  # a block around the call: look inside it
            end = at + 1
        else:
            yield False, "\n".join(lines[at:end]) + "\n"
        at = end


def _opens_call(line: str) -> bool:
    opened = _FENCE.match(line)
    return opened is not None and opened.group(2).lower() in _CALLED


def _inside(lines: Sequence[str], start: int, fence: str) -> tuple[list[str], int]:
    """The lines of a fence that was opened before ``start``, and where the text goes on.

    Fences between <<< and >>> belong to a value; a fence that is never closed ends with the text.
    """
    closing = ""
    for at in range(start, len(lines)):
        if closing:
            closing = "" if lines[at].strip() == closing else closing
            continue
        closing = marker(lines[at].rpartition(":")[2])
        if not closing and _closes(lines[at], fence):
            return list(lines[start:at]), at + 1
    if closing:  # <<< was not closed: then the last fence closes
        for at in range(len(lines) - 1, start - 1, -1):
            if _closes(lines[at], fence):
                return list(lines[start:at]), at + 1
    return list(lines[start:]), len(lines)


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return stripped.startswith(fence) and not stripped.strip(fence[0])


def _looks_like_call(content: str, tools: Sequence[Tool]) -> bool:
    """Whether an unlabelled or oddly labelled block is a call: a tool's name stands first, or a
    JSON object names a tool."""
    stripped = content.strip()
    if stripped.startswith(("{", "[")):
        return json_call(stripped, tools) is not None
    first, _, rest = stripped.partition("\n")
    if same_name(first, tools) is None:
        return False
    following = rest.strip().partition("\n")[0]
    return not following or following[0] == "{" or ARGUMENT.match(following) is not None


def _bare(text: str, tools: Sequence[Tool]) -> tuple[int, str] | None:
    """A call outside of any block: ``Action: name`` and what follows, or a JSON object."""
    for found in _REACT.finditer(text):
        if same_name(re.split(r"[\s({]", found.group(1).strip("*` "))[0], tools) is not None:
            rest = re.split(r"^\W*observation\W*:", text[found.start(1) :], flags=re.I | re.M)[0]
            return found.start(), re.sub(r"(?im)^\W*action[ _]?input\W*:\**", "", rest, count=1)
    for found in islice(_OBJECT.finditer(text), _MOST_OBJECTS):
        rest = text[found.start() : found.start() + _LONGEST_OBJECT]
        if json_call(rest, tools) is not None:
            return found.start(), rest
    return None


def _described(tool: Tool) -> str:
    required = tool.parameters.get("required", ())
    lines = [f"{tool.name}: {tool.description}".rstrip(": ")]
    for name, schema in properties_of(tool.parameters).items():
        kind = " or ".join(types_of(schema)) or "any"
        marks = kind if name in required else f"{kind}, optional"
        about = schema.get("description", "")
        lines.append(f"  {name} ({marks}){': ' if about else ''}{about}")
    return "\n".join(lines)
