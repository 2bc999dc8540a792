"""Checks the arguments of a call against its tool's JSON schema, in words for a model.

Knows the part of JSON schema that tools use: type, properties, required, enum, items,
additionalProperties, minimum, maximum, minLength.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from meritree.respond.data import Tool, ToolCall

_NAMES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_SHOWN = 60


def complaint_about(call: ToolCall, tools: Sequence[Tool]) -> str:
    """What is wrong with a call, to be sent back to the model; empty where nothing is."""
    tool = find_tool(call.name, tools)
    if tool is None:
        names = ", ".join(one.name for one in tools) or "none"
        return f"There is no tool {call.name[:_SHOWN]!r}. The tools are: {names}."
    if call.error:
        return f"{tool.name}: {call.error}. {usage_of(tool)}"
    problems = list(_problems(call.arguments, tool.parameters, ""))
    return f"{tool.name}: {'; '.join(problems)}. {usage_of(tool)}" if problems else ""


def find_tool(name: str, tools: Sequence[Tool]) -> Tool | None:
    """The tool of that very name."""
    return next((one for one in tools if one.name == name), None)


def usage_of(tool: Tool) -> str:
    """The tool's arguments on one line."""
    required = tool.parameters.get("required", [])
    parts = [
        f"{name}: {_NAMES.get(_first_type(schema), 'anything')}"
        + ("" if name in required else " (optional)")
        for name, schema in properties_of(tool.parameters).items()
    ]
    return f"Its arguments are: {', '.join(parts)}." if parts else "It takes no arguments."


def properties_of(schema: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The schemas of an object's fields."""
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def types_of(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The types that a schema allows; none where it does not say."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return (kind,)
    return tuple(kind) if isinstance(kind, list | tuple) else ()


def _first_type(schema: Mapping[str, Any]) -> str:
    return next(iter(types_of(schema)), "")


def _problems(value: Any, schema: Mapping[str, Any], where: str) -> list[str]:
    named = where or "the arguments"
    kinds = types_of(schema)
    if kinds and not any(_is(value, kind) for kind in kinds):
        wanted = " or ".join(_NAMES.get(kind, kind) for kind in kinds)
        return [f"{named} must be {wanted}, not {_shown(value)}"]
    found: list[str] = []
    allowed = schema.get("enum")
    if isinstance(allowed, list | tuple) and value not in allowed:
        options = ", ".join(json.dumps(one) for one in allowed)
        found.append(f"{named} must be one of {options}, not {_shown(value)}")
    if _is(value, "number"):
        if "minimum" in schema and value < schema["minimum"]:
            found.append(f"{named} must be at least {schema['minimum']}, not {value}")
        if "maximum" in schema and value > schema["maximum"]:
            found.append(f"{named} must be at most {schema['maximum']}, not {value}")
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        found.append(f"{named} must not be empty")
    if isinstance(value, Mapping):
        found += _object_problems(value, schema, where)
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for number, one in enumerate(value):
            found += _problems(one, schema["items"], f"{named}[{number}]")
    return found


def _object_problems(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> list[str]:
    prefix = f"{where}." if where else ""
    known = properties_of(schema)
    found = [
        f"{prefix}{name} is missing" for name in schema.get("required", ()) if name not in value
    ]
    for name, one in value.items():
        if name in known:
            found += _problems(one, known[name], prefix + name)
        elif schema.get("additionalProperties") is False:
            found.append(f"there is no argument {(prefix + name)[:_SHOWN]!r}")
    return found


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            whole = isinstance(value, float) and value.is_integer()
            return (isinstance(value, int) or whole) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, Mapping)
        case "null":
            return value is None
        case _:
            return True


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " ..."
