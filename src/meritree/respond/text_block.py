"""One call in the text protocol: from the inside of its block to a name and typed arguments.

Reads the format that is taught and what models write instead; where the block stood is not its
business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from meritree.respond.data import Tool, ToolCall
from meritree.respond.lenient_json import lenient_loads
from meritree.respond.schema import properties_of, types_of

ARGUMENT = re.compile(r"^[ \t]*[-*]?[ \t]*[\"'`]?([A-Za-z_][\w-]*)[\"'`]?[ \t]*[:=](.*)$")


def read_block(block: str, tools: Sequence[Tool], number: int) -> ToolCall:
    """The call that a block says; its arguments have the spelling and types of the schema.

    Raises:
        ValueError: it cannot be made out; the message is for the model.
    """
    stripped = block.strip()
    if not stripped:
        raise ValueError("the block is empty")
    if stripped.startswith(("{", "[")):
        named = json_call(stripped, tools)
        if named is None:
            raise ValueError('the object names no tool; write {"name": ..., "arguments": {...}}')
        name, arguments = named
    else:
        name, arguments = _named_block(block.strip("\n"), tools)
    tool = same_name(name, tools)
    if tool is None:
        return _made(number, name.strip(), arguments)
    return _made(number, tool.name, _typed(arguments, tool))


def _made(number: int, name: str, arguments: Mapping[str, Any]) -> ToolCall:
    raw = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(f"text_{number}", name, dict(arguments), raw)


def json_call(text: str, tools: Sequence[Tool]) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a JSON object, in the spellings that models use."""
    try:
        value = lenient_loads(text)
    except ValueError:
        return None
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    lowered = {str(key).lower(): one for key, one in value.items()}
    if isinstance(lowered.get("function"), dict):
        lowered = {str(key).lower(): one for key, one in lowered["function"].items()}
    for key in ("name", "tool", "tool_name", "action", "function", "command"):
        name = lowered.get(key)
        if not isinstance(name, str):
            continue
        for inner in ("arguments", "args", "parameters", "params", "input", "action_input"):
            if inner in lowered:
                return name, _object(lowered[inner])
        if same_name(name, tools) is not None:
            return name, {k: v for k, v in value.items() if str(k).lower() != key}
    return None


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = lenient_loads(value) if value.strip() else {}
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _named_block(block: str, tools: Sequence[Tool]) -> tuple[str, dict[str, Any]]:
    """A block whose first line names the tool; arguments as lines or as a JSON object."""
    first, _, rest = block.lstrip().partition("\n")
    first = re.sub(r"(?i)^\s*(tool|name|action)\s*[:=]\s*", "", first)
    called = re.match(r"[\s*`\"']*([A-Za-z_][\w.-]*)[*`\"']*[ \t]*[:(]?[ \t]*(.*)$", first)
    if called is None:
        raise ValueError(f"the first line, {first[:40]!r}, is no name of a tool")
    name, beside = called.group(1), called.group(2).strip()
    if beside.startswith("{") or (not beside and rest.lstrip().startswith("{")):
        value = lenient_loads(beside + "\n" + rest if beside else rest.lstrip())
        return name, value if isinstance(value, dict) else {}
    lines = rest.split("\n") if rest else []
    tool = same_name(name, tools)
    arguments: dict[str, Any] = dict(_arguments(lines, tool))
    if beside.strip("()") and tool is not None:
        arguments = _beside(beside, tool) | arguments
    return name, arguments


def _beside(text: str, tool: Tool) -> dict[str, Any]:
    """Arguments on the line of the name: ``path=a.py`` or just the value of the first one."""
    text = text.removesuffix(")").strip()
    pairs = re.findall(r"([A-Za-z_]\w*)\s*=\s*(\"[^\"]*\"|'[^']*'|[^,\s]+)", text)
    known = properties_of(tool.parameters)
    if pairs and all(name in known for name, _ in pairs):
        return {name: value.strip("\"'") for name, value in pairs}
    first = next(iter(known), None)
    return {} if first is None else {first: text.strip("\"'")}


def _arguments(lines: Sequence[str], tool: Tool | None) -> dict[str, str]:
    """``name: value`` lines, and values of several lines between <<< and >>>.

    A value that begins on the line after its name may do without <<<; it ends where a line names
    another argument of the tool.
    """
    known = {folded(name) for name in properties_of(tool.parameters)} if tool else set()
    found: dict[str, str] = {}
    name, open_ended = "", False
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        matched = ARGUMENT.match(line)
        if matched and open_ended and folded(matched.group(1)) not in known:
            matched = None  # a line of the value that only looks like an argument
        closing = marker(matched.group(2) if matched else line)
        if matched:
            name = matched.group(1)
        if closing:
            if not name:
                raise ValueError("a value between <<< and >>> has no name before it")
            found[name], at = _quoted(lines, at, closing)
            open_ended = False
        elif matched and matched.group(2).strip() in ("|", ">", "|-"):  # YAML
            found[name], at = _indented(lines, at)
            open_ended = False
        elif matched:
            found[name] = _unquoted(matched.group(2).strip())
            open_ended = not found[name]
        elif open_ended:
            found[name] = f"{found[name]}\n{line}" if found[name] else line
        elif line.strip():
            raise ValueError(
                f"the line {line.strip()[:40]!r} is no 'name: value'; a value of several lines "
                "stands between a line <<< and a line >>>"
            )
    # Blank lines at the end of an open-ended value are layout.
    return {**found, name: found[name].rstrip()} if open_ended else found


def marker(text: str) -> str:
    """What ends the value that ``text`` opens, such as >>> for <<<; empty if it opens none."""
    opening = text.strip()
    return ">" * len(opening) if len(opening) >= 3 and not opening.strip("<") else ""


def _quoted(lines: Sequence[str], start: int, closing: str) -> tuple[str, int]:
    """The value that begins at ``start``; an end that is missing is the end of the block."""
    for at in range(start, len(lines)):
        if lines[at].strip() == closing:
            return "\n".join(lines[start:at]), at + 1
    return "\n".join(lines[start:]), len(lines)


def _indented(lines: Sequence[str], start: int) -> tuple[str, int]:
    at = start
    while at < len(lines) and (not lines[at].strip() or lines[at][:1] in " \t"):
        at += 1
    block = lines[start:at]
    margin = min((len(one) - len(one.lstrip()) for one in block if one.strip()), default=0)
    return "\n".join(one[margin:] for one in block), at


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'`":
        return value[1:-1]
    return value


def _typed(arguments: Mapping[str, Any], tool: Tool) -> dict[str, Any]:
    """Arguments with the spelling and, where a text can be read so, the types of the schema."""
    known = properties_of(tool.parameters)
    spelt = {folded(name): name for name in known}
    return {
        (right := name if name in known else spelt.get(folded(name), name)): _converted(
            value, known.get(right, {})
        )
        for name, value in ((str(key), one) for key, one in arguments.items())
    }


def _converted(value: Any, schema: Mapping[str, Any]) -> Any:
    kinds = types_of(schema)
    if not kinds or not isinstance(value, str):
        if kinds == ("string",) and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if "array" in kinds and value is not None and not isinstance(value, list):
            return [value]
        return value
    if "string" in kinds:
        return value
    stripped = value.strip()
    if not stripped.startswith(("[", "{")):
        if "array" in kinds:
            return [_unquoted(part.strip()) for part in re.split(r"[,\n]", value) if part.strip()]
        if "," in stripped:
            return value  # several values where one is wanted
    try:
        return lenient_loads(stripped)
    except ValueError:
        return value


def same_name(name: str, tools: Sequence[Tool]) -> Tool | None:
    """The tool that is meant, whatever the case and whether words are joined by _, - or not."""
    wanted = folded(name)
    return next((tool for tool in tools if folded(tool.name) == wanted), None) if wanted else None


def folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
