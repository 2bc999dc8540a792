"""The texts for models, read from plain files beside this module."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_SLOT = re.compile(r"\{\{(\w+)\}\}")


@cache
def template(name: str) -> str:
    """The text of ``prompts/<name>.md``."""
    folder = resources.files("meritree.swe.agent") / "prompts"
    return (folder / f"{name}.md").read_text("utf-8").strip()


def filled(name: str, **values: object) -> str:
    """A template with its ``{{slots}}`` filled in, in one pass: values are never expanded.

    Raises:
        KeyError: a slot of the template got no value.
    """
    return _SLOT.sub(lambda slot: str(values[slot[1]]), template(name))
