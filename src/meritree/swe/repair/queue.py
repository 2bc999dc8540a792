"""The untried edits of one state in order of their score, opened as late as possible.

Lines are grouped by function; a line opens one template at a time, when the bound on that
template's best edit is the highest bound of all. Nothing is ever enumerated in full.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from meritree.swe.edits import Edit
from meritree.swe.repair.learning import Learner, Site
from meritree.swe.repair.suspicion import LineSuspicion
from meritree.value.sums import in_order

EditFactory = Callable[[str, str, int, str], Iterator[Edit]]
Bias = Callable[[Edit, str], float]

_CHUNK = 24  # edits drawn at a time to be sorted, where a bias changes the generator's own order
_PRESENT = 0.3  # share of (line, template) pairs that have an edit, to scale probabilities
_MASS = 3.0  # sum of the shares of the edits of such a pair, likewise


@dataclass(frozen=True, slots=True)
class Schedule:
    """How templates and lines share the early places.

    The k-th edit (k = 0, 1, ...) of a template on a line has the share
    ``(prior_k / prior_0) ** power * (1 + k / wide) ** -fall``; the n-th edit taken from a
    line is worth ``(1 + n / line_wide) ** -line_fall`` of the first.

    The likelihood would have ``fall`` at 0.9 and ``power`` at 1.4 (benchmarks/fit_slips.py); at 0.5
    and 1 as many right edits come within 200 and 1000 places, and wide templates come earlier.

    Attributes:
        fall: 0 lets wide templates flood a line, 1 makes their total grow like a logarithm.
        wide: edits of a template before the fall is felt.
        power: how much edit priors count inside a template.
        line_fall, line_wide: the same for all edits of a line together.
    """

    fall: float = 0.5
    wide: float = 1.0
    power: float = 1.0
    line_fall: float = 0.0
    line_wide: float = 8.0

    def share(self, relative_prior: float, place: int) -> float:
        return float(relative_prior**self.power * (1.0 + place / self.wide) ** -self.fall)

    def tired(self, taken: int) -> float:
        return float((1.0 + taken / self.line_wide) ** -self.line_fall)


class _Arm:
    """One opened template on one line."""

    __slots__ = ("best", "buffer", "edits", "place", "template", "top", "weight")

    def __init__(self, template: str, weight: float, edits: Iterator[Edit]) -> None:
        self.template = template
        self.weight = weight
        self.edits = edits
        self.buffer: list[tuple[float, Edit]] = []
        self.place = 0
        self.best = 0.0  # largest (biased) prior of the first chunk
        self.top = 0.0  # w m x share of the next edit


class _Line:
    """One suspected line: its opened arms and the next template to open."""

    __slots__ = ("arms", "bound", "factor", "next", "site", "suspicion", "taken")

    def __init__(self, suspicion: LineSuspicion, site: Site) -> None:
        self.suspicion = suspicion
        self.site = site
        self.factor = suspicion.factor
        self.arms: list[tuple[float, int, _Arm]] = []  # heap by -top
        self.next = 0
        self.taken = 0
        self.bound = 0.0


class _Function:
    """The lines of one function (or of a file's import-time code)."""

    __slots__ = ("bound", "lines", "top")

    def __init__(self) -> None:
        self.lines: list[_Line] = []
        self.bound = 0.0
        self.top: _Line | None = None

    def settle(self) -> None:
        self.top = max(self.lines, key=lambda line: line.bound)
        self.bound = self.top.bound


@lru_cache(maxsize=64)  # states, of which thousands live at once, share what they have in common
def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n"))


def _stripped(lines: Sequence[str], line: int) -> str:
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


class StateQueue:
    """Edits of one state, best first; scores may be changed while it runs."""

    def __init__(
        self,
        files: Mapping[str, str],
        lines: Sequence[LineSuspicion],
        weights: Sequence[tuple[str, float]],
        factory: EditFactory,
        schedule: Schedule,
        learner: Learner | None = None,
        bias: Bias | None = None,
    ) -> None:
        """
        Args:
            files: text of every suspected file in this state, by path.
            lines: most suspicious first (the order decides ties).
            weights: w m by template, largest first.
            factory: ``(path, text, line, template) -> edits``.
            schedule: see `Schedule`.
            learner: relevance of lines and templates, shared between states.
            bias: factor on an edit's prior, given its file's text.
        """
        self._files = files
        self._weights = tuple(weights)
        self._factory = factory
        self._schedule = schedule
        self._learner = learner
        self._bias = bias
        self._functions: dict[tuple[str, str], _Function] = {}
        self._lines: dict[tuple[str, int], _Line] = {}
        self._seen: set[tuple[str, tuple[tuple[int, int, str], ...]]] = set()
        self._serial = 0
        self.opened = 0  # generators opened so far
        # Held while the lines are added: the cache may be smaller than the number of files.
        texts = {path: _split(files[path]) for path in {x.path for x in lines} & set(files)}
        for item in lines:
            if item.path in texts:
                self._add(item, _stripped(texts[item.path], item.line))
        for function in self._functions.values():
            function.settle()
        mass = in_order(line.factor for line in self._lines.values())
        self._scale = mass * in_order(w for _, w in self._weights) * _PRESENT * _MASS or 1.0

    def _add(self, item: LineSuspicion, text: str) -> None:
        if (item.path, item.line) in self._lines:
            return
        site = Site(item.path, item.function, text)
        line = _Line(item, site)
        self._lines[item.path, item.line] = line
        self._weigh(line)
        self._functions.setdefault((item.path, item.function), _Function()).lines.append(line)

    def site(self, edit: Edit) -> Site:
        """Where an edit of this state acts."""
        line = self._lines.get((edit.path, edit.line))
        if line:
            return line.site
        text = self._files.get(edit.path, "")
        return Site(edit.path, edit.function, _stripped(_split(text), edit.line))

    def peek(self) -> tuple[Edit, float] | None:
        """The next edit with its probability, without taking it."""
        found = self._find()
        if found is None:
            return None
        function, _, arm = found
        return arm.buffer[-1][1], min(1.0, function.bound / self._scale)

    def pop(self) -> tuple[Edit, float] | None:
        """Take the next edit; None when the state has no more."""
        found = self._find()
        if found is None:
            return None
        function, line, arm = found
        probability = min(1.0, function.bound / self._scale)
        _, edit = arm.buffer.pop()
        arm.place += 1
        line.taken += 1
        heapq.heappop(line.arms)
        self._push(line, arm)
        self._weigh(line)
        function.settle()
        return edit, probability

    def refresh(self, site: Site) -> None:
        """Score a function's lines anew after the learner has changed its mind about it."""
        function = self._functions.get((site.path, site.function))
        if function:
            for line in function.lines:
                self._weigh(line)
            function.settle()

    def _find(self) -> tuple[_Function, _Line, _Arm] | None:
        """Open generators until the highest bound belongs to an edit."""
        while self._functions:
            function = max(self._functions.values(), key=lambda f: f.bound)
            line = function.top
            if line is None or function.bound <= 0.0:
                return None
            arm = self._ready(line)
            if arm is not None:
                return function, line, arm
            self._weigh(line)
            function.settle()
        return None

    def _ready(self, line: _Line) -> _Arm | None:
        """The line's best arm if no unopened template could beat it; else do one step."""
        unopened = self._weights[line.next][1] if line.next < len(self._weights) else 0.0
        if line.arms:
            stored, _, arm = line.arms[0]
            top = self._arm_top(line, arm)
            if top < -stored:  # the learner has lowered it since it was stored
                heapq.heapreplace(line.arms, (-top, self._number(), arm))
                return None
            if top >= unopened:
                return arm if top > 0.0 else None
        if line.next < len(self._weights):
            self._open(line)
        return None

    def _open(self, line: _Line) -> None:
        template, weight = self._weights[line.next]
        line.next += 1
        self.opened += 1
        path = line.suspicion.path
        edits = self._factory(path, self._files[path], line.suspicion.line, template)
        self._push(line, _Arm(template, weight, edits))

    def _push(self, line: _Line, arm: _Arm) -> None:
        """Put an arm back with the score of its next edit; drop it when it has none."""
        if not arm.buffer and not self._fill(arm):
            return
        relative = min(1.0, arm.buffer[-1][0] / arm.best)
        arm.top = arm.weight * self._schedule.share(relative, arm.place)
        heapq.heappush(line.arms, (-self._arm_top(line, arm), self._number(), arm))

    def _fill(self, arm: _Arm) -> bool:
        """Draw the next chunk of new edits into the buffer, least likely first."""
        while not arm.buffer:
            chunk = list(islice(arm.edits, _CHUNK if self._bias else 1))
            if not chunk:
                return False
            fresh = [(self._prior(edit), edit) for edit in chunk if self._new(edit)]
            fresh.sort(key=lambda pair: -pair[0])
            arm.buffer = fresh[::-1]
        arm.best = arm.best or arm.buffer[-1][0]
        return True

    def _prior(self, edit: Edit) -> float:
        bias = self._bias(edit, self._files[edit.path]) if self._bias else 1.0
        return max(1e-9, edit.prior * bias)

    def _new(self, edit: Edit) -> bool:
        """Whether no earlier edit of this state gives the same text."""
        key = (edit.path, _canonical(edit, self._files[edit.path]))
        if not key[1] or key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _arm_top(self, line: _Line, arm: _Arm) -> float:
        if self._learner is None:
            return arm.top
        return arm.top * self._learner.template_factor(line.site, arm.template)

    def _weigh(self, line: _Line) -> None:
        """The line's bound: the best of its opened arms and of what it has not opened."""
        best = -line.arms[0][0] if line.arms else 0.0
        if line.next < len(self._weights):
            best = max(best, self._weights[line.next][1])
        relevance = self._learner.relevance(line.site) if self._learner else 1.0
        line.bound = line.factor * relevance * self._schedule.tired(line.taken) * best

    def _number(self) -> int:
        self._serial += 1
        return self._serial


def _canonical(edit: Edit, text: str) -> tuple[tuple[int, int, str], ...]:
    """Splices without their unchanged ends, so that equal results compare equal."""
    trimmed: list[tuple[int, int, str]] = []
    for splice in edit.splices:
        old, new, start = text[splice.start : splice.end], splice.replacement, splice.start
        ahead = 0
        limit = min(len(old), len(new))
        while ahead < limit and old[ahead] == new[ahead]:
            ahead += 1
        behind = 0
        while behind < limit - ahead and old[-1 - behind] == new[-1 - behind]:
            behind += 1
        if ahead + behind < max(len(old), len(new)):
            end = splice.end - behind
            trimmed.append((start + ahead, end, new[ahead : len(new) - behind]))
    return tuple(trimmed)
