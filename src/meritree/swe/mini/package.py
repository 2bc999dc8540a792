"""The package mini-swe-agent, imported when asked for and no earlier."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import Any

from meritree.errors import BadInput


def check_installed() -> None:
    """Refuse where the package is missing.

    Raises:
        BadInput: with the command that installs it.
    """
    if importlib.util.find_spec("minisweagent") is None:
        raise BadInput("--policy mini needs mini-swe-agent: pip install 'meritree[mini]'")


def module(name: str) -> Any:
    """A module of the package, such as ``agents.default``; imported without its banner.

    Raises:
        BadInput: the package is not installed.
    """
    check_installed()
    os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
    return importlib.import_module(f"minisweagent.{name}")


@cache
def settings(name: str = "mini.yaml") -> dict[str, Any]:
    """One of the package's own configuration files: prompts and templates.

    Raises:
        BadInput: the package is not installed, or has no such file.
    """
    config = module("config")
    try:
        found: dict[str, Any] = config.get_config_from_spec(name)
    except (OSError, ValueError) as error:
        raise BadInput(f"mini-swe-agent has no configuration {name}: {error}") from None
    return found
