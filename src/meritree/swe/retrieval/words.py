"""Text and code as words: identifiers whole and in their parts.

Knows no language but that identifiers are written in camelCase, snake_case or both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_NAME = re.compile(r"[^\W\d]\w*|\d+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_RUN = re.compile(r"[^\W\d_]+|\d+")
_LONGEST = 80  # characters of a word that anybody searches; longer ones are data

# Function words of English and of test reports: they say how it is told, not what.
_STOP = """
    a an and are as at be been but by can could did do does for from had has have if in into is it
    its may more no not of on only or should so some such than that the their then there these they
    this to was we were when where which while will with would you your
    traceback recent call last file line py failed failures short summary info passed
"""
STOP = frozenset(_STOP.split())


@lru_cache(maxsize=200_000)
def parts(name: str) -> tuple[str, ...]:
    """Lower-case words of one identifier: its parts, and the whole where there are several.

    >>> parts("parseHTTPHeader_2")
    ('parse', 'http', 'header', '2', 'parsehttpheader_2')
    """
    found = tuple(_stem(part.lower()) for part in _humps(name))
    whole = name.lower().strip("_")
    return (*found, whole) if len(found) > 1 else found


def words(text: str) -> Iterator[str]:
    """All words of a text, in order, with repetitions."""
    for name in _NAME.findall(text):
        if len(name) <= _LONGEST:
            yield from parts(name)


def _humps(name: str) -> list[str]:
    if name.isascii():
        return _PART.findall(name)
    # No class of regular expressions holds the capitals of all alphabets.
    found = []
    for run in _RUN.findall(name):
        start = 0
        for i in range(1, len(run)):
            if run[i].isupper() and run[i - 1].islower():
                found.append(run[start:i])
                start = i
        found.append(run[start:])
    return found


def _stem(word: str) -> str:
    """Plurals as singulars; more is not worth its mistakes in code."""
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
