"""How much the name of a function has in common with the names of failing tests.

Knows names as plain strings; nothing about coverage or files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from meritree.value.sums import in_order

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_COMMON = frozenset(
    ("test", "tests", "get", "set", "the", "and", "with", "not", "for", "from", "when", "should")
)


def name_likeness(
    tests: Sequence[str], functions: Collection[tuple[str, str]]
) -> dict[tuple[str, str], float]:
    """How much each function's name has in common with the names of tests, in [0, 1].

    Shared words count 1 / (number of functions that have the word), so that rare words
    decide; the largest sum becomes 1. Functions without a shared word are left out.
    """
    words = {key: _words(key[1]) for key in functions}
    rarity = Counter(word for found in words.values() for word in found)
    wanted = {word for name in tests for word in _words(name.split("[")[0])}
    sums = {
        key: in_order(1.0 / rarity[word] for word in sorted(found & wanted))
        for key, found in words.items()
        if found & wanted
    }
    largest = max(sums.values(), default=1.0)
    return {key: value / largest for key, value in sums.items()}


def _words(name: str) -> frozenset[str]:
    """Words of a dotted name in snake or camel case, in lower case, plurals cut."""
    found = (each.lower() for each in _WORD.findall(name))
    return frozenset(each.rstrip("s") for each in found if each not in _COMMON and len(each) > 2)
