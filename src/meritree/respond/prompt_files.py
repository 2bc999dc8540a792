"""Prompts as plain files with ``{{slots}}``, and strangers' texts fenced inside them.

A value that is filled in is never expanded again. Knows no model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

_SLOT = re.compile(r"\{\{(\w+)\}\}")
# Control characters and marks that turn the direction of writing: a person who reads a transcript
# must see what the model saw.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@cache
def template(package: str, name: str) -> str:
    """The text of ``prompts/<name>.md`` of a package."""
    folder = resources.files(package) / "prompts"
    return (folder / f"{name}.md").read_text("utf-8").strip()


def filled(package: str, name: str, **values: object) -> str:
    """A template with its slots filled in.

    Raises:
        KeyError: a slot got no value.
    """
    return _SLOT.sub(lambda slot: str(values[slot[1]]), template(package, name))


def mark_for(texts: Iterable[str], seed: int = 0) -> str:
    """A mark of 12 hex digits that none of ``texts`` contains, nor could have foreseen.

    The same texts and seed give the same mark, so that recordings are found again.
    """
    texts = list(texts)
    for turn in range(1000):
        digest = hashlib.sha256(f"{seed} {turn}".encode())
        for text in texts:
            digest.update(b"\0" + text.encode("utf-8", "surrogatepass"))
        mark = digest.hexdigest()[:12]
        if not any(mark in text for text in texts):
            return mark
    raise AssertionError("unreachable: a text would have to hold a thousand of its own digests")


def fenced(name: str, text: str, mark: str) -> str:
    """``text`` between two lines that it cannot contain."""
    return f"<<< {name} {mark}\n{seen(text)}\n>>> {name} {mark}"


def seen(text: str) -> str:
    """``text`` without characters that show nothing, and of valid Unicode."""
    return _UNSEEN.sub("", text).encode("utf-8", "replace").decode("utf-8")
