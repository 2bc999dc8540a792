"""Defaults of `fix` from ``[tool.meritree]`` of the repository's pyproject.toml.

The repository may be a stranger's, so its settings cannot weaken what protects the user:
they choose neither a weaker sandbox nor to write the patch back.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.swe.result import DEFAULT_TOKENS, DEFAULT_USD

TYPES: Mapping[str, str] = {
    "issue": "a string",
    "test": "a string",
    "failing": "a list of strings",
    "python": "a string",
    "policy": "a string",
    "strategy": "a string",
    "budget-tests": "a whole number",
    "budget-seconds": "a number",
    "budget-usd": "a number",
    "budget-tokens": "a whole number",
    "model": "a string",
    "value-model": "a string",
    "temperature": "a number",
    "context-tokens": "a whole number",
    "tools": "a string",
    "final-checks": "a whole number",
    "workers": "a whole number",
    "seed": "a whole number",
    "sandbox": "a string",
    "out": "a string",
    "json": "true or false",
    "quiet": "true or false",
    "prices": "a table",
}
ONLY_ON_COMMAND_LINE: Mapping[str, str] = {
    "apply": "a repository cannot ask to be changed; give --apply on the command line",
    "engine": "a repository cannot send itself to a cluster; give --engine on the command line",
    "ray-address": "a repository cannot choose a cluster; give --ray-address instead",
    "calibration": "a repository cannot vouch for its own patches; give --calibration instead",
    "judge-model": "a repository cannot have a model asked and paid; give --judge-model instead",
    "base-url": "a repository cannot choose where your code and key go; give --base-url instead",
    "price-file": "a repository states prices in [tool.meritree.prices]; give --price-file instead",
}
_PATHS = ("python", "out")
_AT_MOST: Mapping[str, float] = {
    "budget-usd": DEFAULT_USD,
    "budget-tokens": DEFAULT_TOKENS,
}


def read_settings(repo: Path) -> dict[str, Any]:
    """Return the settings below ``[tool.meritree]``, keys with dashes, paths absolute.

    Raises:
        BadInput: the file is not TOML, a key is unknown or a value has the wrong type.
    """
    file = repo / "pyproject.toml"
    if not file.is_file():
        return {}
    try:
        table = tomllib.loads(file.read_bytes().decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{file} is not valid TOML: {error}; mend it first") from error
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from error
    section = table.get("tool", {})
    section = section.get("meritree", {}) if isinstance(section, dict) else {}
    if not isinstance(section, dict):
        raise BadInput(f"{file}: tool.meritree must be a table, not {section!r}")
    return {key: _path(repo, key, value) for key, value in _checked(file, section)}


def _checked(file: Path, section: Mapping[str, Any]) -> list[tuple[str, Any]]:
    pairs = []
    for raw, value in section.items():
        key = raw.replace("_", "-")
        if key in ONLY_ON_COMMAND_LINE:
            raise BadInput(f"{file}: [tool.meritree] {raw}: {ONLY_ON_COMMAND_LINE[key]}")
        if key not in TYPES:
            raise BadInput(
                f"{file}: [tool.meritree] {raw} = {value!r}: no such setting; "
                f"known are {', '.join(sorted(TYPES))}"
            )
        if not _fits(TYPES[key], value):
            raise BadInput(f"{file}: [tool.meritree] {raw} = {value!r} must be {TYPES[key]}")
        if key == "sandbox" and value in ("none", "rlimits"):
            raise BadInput(
                f"{file}: [tool.meritree] {raw} = {value!r}: a repository cannot switch its own "
                "sandbox off; give --sandbox rlimits on the command line"
            )
        if key == "prices":
            _check_prices(file, value)
        if key == "policy" and value in ("model", "mini"):
            raise BadInput(
                f"{file}: [tool.meritree] {raw} = {value!r}: a repository cannot have models paid; "
                f"give --policy {value} on the command line"
            )
        most = _AT_MOST.get(key)
        if most is not None and value > most:
            raise BadInput(
                f"{file}: [tool.meritree] {raw} = {value!r}: a repository can only lower what "
                f"models may cost ({most:g}); give --{key} on the command line"
            )
        pairs.append((key, value))
    return pairs


def _check_prices(file: Path, stated: Mapping[str, Any]) -> None:
    from meritree.respond.prices import Prices

    Prices().extended_by_repository(stated, f"{file}: [tool.meritree.prices]")


def _fits(kind: str, value: Any) -> bool:
    match kind:
        case "a string":
            return isinstance(value, str)
        case "true or false":
            return isinstance(value, bool)
        case "a whole number":
            return isinstance(value, int) and not isinstance(value, bool)
        case "a number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "a table":
            return isinstance(value, dict)
        case _:
            return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _path(repo: Path, key: str, value: Any) -> Any:
    """Paths in the file are relative to it, not to where the command is run."""
    if key in _PATHS and "\0" in value:
        raise BadInput(f"{repo / 'pyproject.toml'}: [tool.meritree] {key} = {value!r} is no path")
    if key in _PATHS:
        # As os.path has it, `~nobody` is left as it is where there is no such user.
        return str((repo / os.path.expanduser(value)).absolute())
    if key == "issue" and "\n" not in value and os.path.isfile(repo / value):
        return str((repo / value).absolute())
    return value
