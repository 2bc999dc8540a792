"""How natural a changed line looks to the project: a token trigram model of its own sources.

After Ray et al. 2016, "On the naturalness of buggy code" (arXiv 1506.01159). Knows text
only; no syntax trees, no templates, no tests.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from meritree.swe.edits import Edit, apply_splices
from meritree.value.sums import in_order

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<string>[rbfuRBFU]{0,2}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''
                   |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
      | (?P<word>[^\W\d]\w*)
      | (?P<number>\d[\w.]*)
      | (?P<operator>\*\*=?|//=?|<<=?|>>=?|[<>=!+\-*/%@&|^:]=|->|\.\.\.|[^\w\s])
      | (?P<newline>\n)""",
    re.VERBOSE | re.DOTALL,
)
_NEWLINE = "\n"
# Jelinek-Mercer weights of trigram, bigram, unigram and the uniform floor.
_WEIGHTS = (0.5, 0.3, 0.19, 0.01)
_CHARACTERS = 2_000_000  # of sources read; about 3 s per 10 MB is not worth more


def tokens(text: str) -> list[str]:
    """Tokens of a piece of Python, identifiers kept, long strings reduced to ``""``.

    Works on fragments that do not parse. Comments and blank lines give nothing.
    """
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "comment":
            continue
        if kind == "string" and len(token) > 12:
            token = '""'
        if token != _NEWLINE or (found and found[-1] != _NEWLINE):
            found.append(token)
    return found


@dataclass(frozen=True, slots=True)
class Shift:
    """How an edit changes the surprise of the lines that it touches.

    Attributes:
        before: mean bits per token of the original lines (of the project if none).
        after: mean bits per token of the new lines (``before`` if there are none).
    """

    before: float
    after: float

    @property
    def naturalness(self) -> float:
        """In [0, 1]: 0.5 for no change, above when the new text is less surprising."""
        more = min(50.0, max(-50.0, self.after - self.before))
        return 1.0 / (1.0 + math.pow(2.0, more))


class TokenModel:
    """Trigram model with interpolated back-off over a project's sources.

    The lines that are judged are part of the sources; their own counts are taken out
    before they are judged, else every original line would look natural.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        """Count the n-grams of ``sources`` (path -> text), up to about 2 MB in path order."""
        self._one: Counter[str] = Counter()
        self._two: Counter[tuple[str, str]] = Counter()
        self._three: Counter[tuple[str, str, str]] = Counter()
        room = _CHARACTERS
        for path in sorted(sources):
            self._count(tokens(sources[path][:room]))
            room -= len(sources[path])
            if room <= 0:
                break
        self._total = sum(self._one.values())
        self._floor = _WEIGHTS[3] / (len(self._one) + 1)
        self._typical = self._mean_bits()
        self._line = lru_cache(maxsize=4096)(self._line_of)

    def _count(self, stream: Sequence[str]) -> None:
        self._one.update(stream)
        self._two.update(pairwise(stream))
        self._three.update(zip(stream, stream[1:], stream[2:], strict=False))

    def _mean_bits(self) -> float:
        """Mean surprise of a token of the project (each n-gram judged without itself)."""
        bits = weight = 0.0
        for number, ((a, b, c), count) in enumerate(self._three.items()):
            if number >= 20_000:
                break
            bits += count * self._bits(a, b, c, _OWN_ONCE)
            weight += count
        return bits / weight if weight else 8.0

    def bits(self, text: str, *, seen: bool = False) -> float:
        """Mean surprise of the tokens of ``text`` in bits.

        Args:
            text: some lines.
            seen: the lines are part of the sources; their own counts do not help them.
        """
        return self._mean(tokens(text), tokens(text) if seen else ())

    def _mean(self, stream: Sequence[str], own: Sequence[str]) -> float:
        framed = [_NEWLINE, _NEWLINE, *stream]
        if len(framed) == 2:
            return self._typical
        out = _Own(own) if own else _NOTHING
        total = in_order(
            self._bits(a, b, c, out)
            for a, b, c in zip(framed, framed[1:], framed[2:], strict=False)
        )
        return total / (len(framed) - 2)

    def _bits(self, a: str, b: str, c: str, own: _Own) -> float:
        three, two, one, context = own.take(a, b, c)
        ab = self._two.get((a, b), 0) - context
        abc = self._three.get((a, b, c), 0) - three
        bc = self._two.get((b, c), 0) - two
        b_ = self._one.get(b, 0) - own.single(b)
        c_ = self._one.get(c, 0) - one
        p = self._floor
        if ab > 0 and abc > 0:
            p += _WEIGHTS[0] * min(1.0, abc / ab)
        if b_ > 0 and bc > 0:
            p += _WEIGHTS[1] * min(1.0, bc / b_)
        if c_ > 0:
            p += _WEIGHTS[2] * c_ / max(1, self._total)
        return -math.log2(p)

    def shift(self, edit: Edit, text: str) -> Shift:
        """Surprise of the touched lines before and after ``edit`` of a file's ``text``."""
        start = text.rfind("\n", 0, edit.splices[0].start) + 1
        end = text.find("\n", edit.splices[-1].end)
        end = len(text) if end < 0 else end
        old = text[start:end]
        local = tuple(type(s)(s.start - start, s.end - start, s.replacement) for s in edit.splices)
        new = apply_splices(old, local)
        own, before = self._line(old)
        changed = tokens(new)
        if not changed or len(changed) > 400:
            return Shift(before, before)
        return Shift(before, self._mean(changed, own))

    def _line_of(self, old: str) -> tuple[tuple[str, ...], float]:
        stream = tuple(tokens(old))
        if len(stream) > 400:
            return (), self._typical
        return stream, self._mean(stream, stream)

    def naturalness(self, edit: Edit, text: str) -> float:
        """`Shift.naturalness` of an edit."""
        return self.shift(edit, text).naturalness

    def bias(self, power: float = 1.0) -> NaturalBias:
        """A factor on an edit's prior: (2 x naturalness) ** power, in (0, 2 ** power]."""
        return NaturalBias(self, power)


@dataclass(frozen=True, slots=True)
class NaturalBias:
    """Callable form for `policy.RepairPolicy`."""

    model: TokenModel
    power: float

    def __call__(self, edit: Edit, text: str) -> float:
        return float(max(1e-3, 2.0 * self.model.naturalness(edit, text)) ** self.power)


class _Own:
    """n-grams of the judged lines themselves, to be taken out of the counts."""

    def __init__(self, stream: Iterable[str]) -> None:
        framed = [_NEWLINE, _NEWLINE, *stream]
        self._one = Counter(framed[2:])
        self._two = Counter(pairwise(framed[1:]))
        self._three = Counter(zip(framed, framed[1:], framed[2:], strict=False))

    def take(self, a: str, b: str, c: str) -> tuple[int, int, int, int]:
        """Own counts of abc, bc, c and ab."""
        return (
            self._three.get((a, b, c), 0),
            self._two.get((b, c), 0),
            self._one.get(c, 0),
            self._two.get((a, b), 0),
        )

    def single(self, b: str) -> int:
        return self._one.get(b, 0)


class _Once(_Own):
    """Each n-gram counts itself exactly once (for the project's mean)."""

    def __init__(self) -> None:
        super().__init__(())

    def take(self, a: str, b: str, c: str) -> tuple[int, int, int, int]:
        return 1, 1, 1, 1

    def single(self, b: str) -> int:
        return 1


_NOTHING = _Own(())
_OWN_ONCE = _Once()
