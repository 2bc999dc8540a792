"""What the failing tests say, as material for edits: exceptions, expected and found values.

Reads texts that the test runs reported; knows neither templates nor priors.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache

from meritree.swe.guards.literals import telling

QUOTED = re.compile(r"`([^`\n]{1,60})`|'([^'\n]{0,60})'|\"([^\"\n]{0,60})\"")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the failing tests say, as far as it can serve as material for edits.

    Attributes:
        exceptions: (type name, message) pairs raised by failing tests, most frequent first.
        expected: expected values of failed equality assertions, as Python literals.
        actual: the values found instead, as Python literals.
        names: functions and variables named in the tracebacks.
    """

    exceptions: tuple[tuple[str, str], ...] = ()
    expected: tuple[str, ...] = ()
    actual: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def usual(self) -> tuple[str, ...]:
        """Expected values that could stand in any code (see `telling`): material for repairs."""
        return tuple(text for text in self.expected if not _is_telling(text))

    @property
    def particular(self) -> tuple[str, ...]:
        """The others: whoever writes one of them in as a whole answers the test, as a rule."""
        return tuple(text for text in self.expected if _is_telling(text))

    @property
    def raised(self) -> tuple[str, ...]:
        """Distinct bare type names of the exceptions, without assertion failures."""
        kinds = (kind.rpartition(".")[2] for kind, _ in self.exceptions)
        return tuple(
            dict.fromkeys(kind for kind in kinds if kind not in ("AssertionError", "Failed", ""))
        )

    def quoted(self) -> tuple[str, ...]:
        """Names quoted in exception messages (``no attribute 'x'``, ``name 'y'``)."""
        found = (match for _, message in self.exceptions for match in QUOTED.finditer(message))
        return tuple(dict.fromkeys(next((g for g in match.groups() if g), "") for match in found))


@lru_cache(maxsize=256)
def _is_telling(text: str) -> bool:
    try:
        return telling(ast.literal_eval(text))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return True  # the value of no literal stands in code by chance
