"""Keys: read from the environment when a call is made, and nowhere else.

A key is never kept on an object, so no repr, pickle, journal or traceback can hold it.
"""

from __future__ import annotations

import os

from meritree.respond.errors import WrongKey

MASK = "[key]"


class Secret(str):
    """A text that does not show itself in a repr, such as that of a traceback's locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


def read_key(variable: str | None) -> Secret | None:
    """The key that stands in ``variable``, None where there is none.

    Raises:
        WrongKey: it holds what cannot be sent in a header; the message does not show it.
    """
    key = Secret(os.environ.get(variable, "").strip()) if variable else Secret()
    if not key:
        return None
    if not key.isascii() or not key.isprintable():
        raise WrongKey(
            f"the key in {variable} has characters that no key has; set {variable} again"
        )
    return key


def masked(text: str, variable: str | None) -> str:
    """``text`` without the key, should an endpoint have repeated it."""
    key = os.environ.get(variable, "").strip() if variable else ""
    return text.replace(key, MASK) if len(key) >= 4 else text
