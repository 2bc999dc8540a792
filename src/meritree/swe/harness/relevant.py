"""Which tests can notice a change: those that ran the changed function, and those not traced.

Knows test numbers and lines; runs nothing.
"""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Iterable, List, Tuple

Tests = List[List[Any]]
Span = Tuple[str, int, int]  # path, first and last line of a changed function


class Relevant:
    """Tests in a fixed order, and which of them concern a span of lines.

    ``covering`` is path -> ``[test number, lines]``; tests in ``always`` concern everything.
    """

    def __init__(
        self, tests: Tests, covering: Dict[str, List[List[Any]]], always: Iterable[int]
    ) -> None:
        self.tests = tests
        self._always = frozenset(always)
        self._covering = {
            path: [(int(number), frozenset(lines)) for number, lines in entries]
            for path, entries in covering.items()
        }
        self._known: Dict[Span, FrozenSet[int]] = {}

    def to(self, spans: Iterable[Span]) -> Tests:
        """The tests that may behave differently when the functions at ``spans`` change."""
        chosen = set(self._always)
        for span in spans:
            chosen |= self._of(span)
        return [self.tests[number] for number in sorted(chosen)]

    def _of(self, span: Span) -> FrozenSet[int]:
        known = self._known.get(span)
        if known is None:
            path, first, last = span
            lines = range(first, last + 1)
            known = self._known[span] = frozenset(
                number
                for number, seen in self._covering.get(path, ())
                if any(line in lines for line in seen)
            )
        return known
