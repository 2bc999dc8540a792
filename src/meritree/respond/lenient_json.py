"""JSON as weak models write it: single quotes, trailing commas, comments, an end that is missing.

One forgiving pass over the text. Whatever it is given, it returns a value or raises ValueError.
"""

from __future__ import annotations

import math
from typing import Any

from meritree.respond.codec import loads, well_formed

_CLOSE = {"{": "}", "[": "]"}
_WORDS = {
    "true": True, "false": False, "null": None, "none": None, "undefined": None,
}  # fmt: skip
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’"}
_DEEPEST = 50


def lenient_loads(text: str) -> Any:
    """The value that ``text`` was meant to be; strict JSON is read strictly.

    What comes after the first whole value is ignored.

    Raises:
        ValueError: no value can be made out.
    """
    try:
        return loads(text)
    except ValueError:
        return _Reader(well_formed(text)).value(0)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def value(self, depth: int) -> Any:
        self.skip()
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        start = self.peek()
        if start == "{":
            return self.object(depth)
        if start == "[":
            return self.array(depth)
        if self.triple() or start in _QUOTES:
            return self.string()
        return self.word()

    def object(self, depth: int) -> dict[str, Any]:
        self.at += 1
        found: dict[str, Any] = {}
        while True:
            self.skip(",;")
            if self.peek() in ("}", ""):
                self.at += 1
                return found
            if self.peek() in "])":
                raise ValueError(f"a {self.peek()!r} at character {self.at} closes nothing")
            key = self.string() if self.peek() in _QUOTES else self.bare(":=,}\n")
            self.skip()
            if self.peek() not in (":", "="):
                raise ValueError(f"a ':' is missing after {key[:40]!r}")
            self.at += 2 if self.text.startswith("=>", self.at) else 1
            found[key] = self.value(depth + 1)

    def array(self, depth: int) -> list[Any]:
        self.at += 1
        found: list[Any] = []
        while True:
            self.skip(",;")
            if self.peek() in ("]", ""):
                self.at += 1
                return found
            if self.peek() in "})":
                raise ValueError(f"a {self.peek()!r} at character {self.at} closes nothing")
            found.append(self.value(depth + 1))

    def string(self) -> str:
        triple = self.triple()
        opening = triple or self.peek()
        closing = triple or _QUOTES[opening]
        self.at += len(opening)
        out: list[str] = []
        while self.at < len(self.text):
            if self.text.startswith(closing, self.at) and (triple or self.ends_here(closing)):
                self.at += len(closing)
                return "".join(out)
            one = self.text[self.at]
            self.at += 1
            out.append(self.escape() if one == "\\" else one)
        return "".join(out)  # the end is missing

    def ends_here(self, closing: str) -> bool:
        """Whether a quote closes: what follows must be able to follow a text. (Models forget to
        escape quotes inside texts.)"""
        rest = self.text[self.at + len(closing) : self.at + len(closing) + 40].lstrip()
        return not rest or rest[0] in ",:}])=;#/"

    def escape(self) -> str:
        one = self.text[self.at : self.at + 1]
        self.at += 1
        if one == "u":
            digits = self.text[self.at : self.at + 4]
            try:
                code = int(digits, 16)
            except ValueError:
                return "\\u"
            self.at += 4
            return well_formed(chr(code))
        if one in _ESCAPES:
            return _ESCAPES[one]
        return one if one in "\"'`\\/\n" else "\\" + one

    def word(self) -> Any:
        text = self.bare(",}]):\n")
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        try:
            return int(text)
        except ValueError:
            pass
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
        if not text:
            raise ValueError(f"a value is missing at character {self.at}")
        return text

    def bare(self, ends: str) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in ends:
            self.at += 1
        if self.at == start:
            raise ValueError(f"unexpected {self.peek() or 'end'!r} at character {self.at}")
        return self.text[start : self.at].strip()

    def triple(self) -> str:
        three = self.text[self.at : self.at + 3]
        return three if three in ('"""', "'''") else ""

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def skip(self, also: str = "") -> None:
        """Pass over blanks, comments and the characters of ``also``."""
        while self.at < len(self.text):
            one = self.text[self.at]
            if one.isspace() or one in also:
                self.at += 1
            elif one == "#" or self.text.startswith("//", self.at):
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text.startswith("/*", self.at):
                end = self.text.find("*/", self.at + 2)
                self.at = len(self.text) if end < 0 else end + 2
            else:
                return
