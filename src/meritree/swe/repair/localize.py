"""Where the fault may be: a suspicion for every line, with its reasons in words.

Reads coverage, tracebacks and the issue text as plain data. It knows nothing about edits,
about how tests are run or about the search.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from meritree.swe.repair.naming import name_likeness
from meritree.swe.repair.shape import FileShape, file_shape
from meritree.swe.repair.suspicion import CoveredTest, LineSuspicion, Suspicion
from meritree.swe.traceback_text import Frame, Mentions, mentions, parse_tracebacks, resolve

_NAME = re.compile(r"[A-Za-z_]\w*")
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")


@dataclass(frozen=True, slots=True)
class Boosts:
    """Factors on a line's suspicion; 1 switches a refinement off.

    Hand-set: frames (2 and 6) as in a measured prototype, the rest by reasoning, unmeasured.
    """

    last_frame: float = 6.0  # last project frame of a failing test
    frame: float = 2.0  # any other project frame
    near_frame: float = 2.0  # same function as the last frame, at distance 0; falls with distance
    all_failing: float = 1.5  # executed by every failing test
    method: float = 2.0  # function-level suspicion 1 against 0
    asserted: float = 2.0  # function called in the failed assertion
    callee: float = 1.3  # function called by such a function
    mention: float = 2.0  # function or class named in the issue
    mention_file: float = 1.3
    quoted: float = 4.0  # the line itself stands in the issue
    neighbour: float = 0.5  # on s: not executed, within 3 lines of executed code
    constant: float = 0.6  # on s: module or class constant that a suspicious function reads
    imported: float = 0.05  # s of any other line that only runs at import
    header: float = 0.4  # on s of its function: a signature, whose code ran at import
    at_last: float = 1.0  # added: last project frame, however many passing tests run it
    at_frame: float = 0.5  # added: its caller; halved with every frame further out
    at_near: float = 0.3  # added: same function as the last frame, falls with distance
    named: float = 3.0  # function whose name shares its rarest words with the failing tests'


def ochiai(failed_covering: float, passed_covering: float, failed_total: float) -> float:
    """s = ef / sqrt(F (ef + ep)), in [0, 1]; 0 when no failing test covers the line."""
    if failed_covering <= 0 or failed_total <= 0:
        return 0.0
    return failed_covering / math.sqrt(failed_total * (failed_covering + passed_covering))


def localize(
    sources: Mapping[str, str],
    tests: Sequence[CoveredTest],
    *,
    imported: Mapping[str, Collection[int]] | None = None,
    issue: str = "",
    boosts: Boosts | None = None,
    head: int = 120,
    seed: int = 0,
) -> Suspicion:
    """Rank the lines of ``sources`` by how likely the fault is there.

    Args:
        sources: text of every file that may be edited (no tests), by repository path.
        tests: failing and passing tests with their coverage, in any order.
        imported: lines executed while modules were imported, by path.
        issue: the issue's text; its tracebacks count as those of one more failing test.
        boosts: the refinements' factors.
        head: lines with their full factor; whole ties and whole functions stay together.
        seed: decides exact ties only.

    Returns:
        The suspicion. Works with coverage, with tracebacks only and with a text only.
    """
    work = _Localizer(sources, tests, imported or {}, issue, boosts or Boosts())
    return _cut(work.lines(), head, seed)


class _Localizer:
    """Holds what the refinements share; one instance per call."""

    def __init__(
        self,
        sources: Mapping[str, str],
        tests: Sequence[CoveredTest],
        imported: Mapping[str, Collection[int]],
        issue: str,
        boosts: Boosts,
    ) -> None:
        self.sources = sources
        self.boosts = boosts
        self.imported = imported
        self.said: Mentions = mentions(issue) if issue else Mentions()
        self.failing = [test for test in tests if test.failed]
        told = _frames_of_issue(issue, sources)
        self.traces = [_project(test.frames, sources) for test in self.failing]
        if told:
            self.traces.append(told)
        self.shapes: dict[str, FileShape] = {}
        self.ef, self.ep = self._counts(tests, told)
        self.total = max(1, len(self.failing) + (1 if told and not self.failing else 0))
        self.functions = self._function_scores(tests, told)
        self.called, self.callees = self._asserted_functions()
        names = [test.id.partition("::")[2] for test in self.failing]
        self.likeness = name_likeness(names, self.functions)

    def shape(self, path: str) -> FileShape:
        if path not in self.shapes:
            self.shapes[path] = file_shape(self.sources[path])
        return self.shapes[path]

    def _counts(
        self, tests: Sequence[CoveredTest], told: tuple[Frame, ...]
    ) -> tuple[dict[str, Counter[int]], dict[str, Counter[int]]]:
        """How many failing and passing tests execute each unit (by its first line)."""
        failing: dict[str, Counter[int]] = defaultdict(Counter)
        passing: dict[str, Counter[int]] = defaultdict(Counter)
        for test in tests:
            side = failing if test.failed else passing
            for path, units in self._units(test).items():
                side[path].update(units)
        if told and not self.failing:
            for frame in told:
                failing[frame.path].update({self.shape(frame.path).start(frame.line)})
        return failing, passing

    def _units(self, test: CoveredTest) -> dict[str, set[int]]:
        """Units a test executed; the frames of its traceback ran even if untraced."""
        units: dict[str, set[int]] = {}
        for path, lines in test.covered.items():
            if path in self.sources:
                start = self.shape(path).start
                units[path] = {start(line) for line in lines}
        if test.failed:
            for frame in _project(test.frames, self.sources):
                units.setdefault(frame.path, set()).add(self.shape(frame.path).start(frame.line))
        return units

    def _function_scores(
        self, tests: Sequence[CoveredTest], told: tuple[Frame, ...]
    ) -> dict[tuple[str, str], float]:
        """Ochiai of whole functions: a test covers one if it executed a line of its body."""
        failing: Counter[tuple[str, str]] = Counter()
        passing: Counter[tuple[str, str]] = Counter()
        for test in tests:
            touched = {
                (path, name)
                for path, units in self._units(test).items()
                for name in self.shape(path).functions_of(units)
            }
            (failing if test.failed else passing).update(touched)
        if told and not self.failing:
            failing.update({(f.path, self.shape(f.path).function(f.line)) for f in told})
        return {key: ochiai(n, passing[key], self.total) for key, n in failing.items() if key[1]}

    def _asserted_functions(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names called in the failed assertions, and names called inside those functions."""
        text = "\n".join(test.asserted for test in self.failing)
        called = frozenset(_CALL.findall(text)) | (frozenset(_NAME.findall(text)) & self._names())
        inner: set[str] = set()
        for path, name in self.functions:
            if name.rsplit(".", 1)[-1] in called:
                inner.update(_CALL.findall(self.shape(path).text_of(name)))
        return called, frozenset(inner) - called

    def _names(self) -> frozenset[str]:
        return frozenset(name.rsplit(".", 1)[-1] for _, name in self.functions)

    def lines(self) -> list[LineSuspicion]:
        paths = set(self.ef) | {path for path in self.imported if path in self.sources}
        paths |= {frame.path for trace in self.traces for frame in trace}
        paths |= self._mentioned_paths()
        return [item for path in sorted(paths) for item in self._file(path)]

    def _mentioned_paths(self) -> set[str]:
        """Files the issue speaks of: by name, or because they define a name it uses."""
        found = {path for path in self.sources if self._names_file(path)}
        wanted = {name for name in self.said.identifiers if len(name) > 2}
        if wanted:
            pattern = re.compile(
                r"^\s*(?:async\s+)?(?:def|class)\s+(?:" + "|".join(map(re.escape, wanted)) + r")\b",
                re.MULTILINE,
            )
            found |= {path for path, text in self.sources.items() if pattern.search(text)}
        return found

    def _names_file(self, path: str) -> bool:
        return any(path == said or path.endswith("/" + said) for said in self.said.paths)

    def _file(self, path: str) -> Iterable[LineSuspicion]:
        shape = self.shape(path)
        raw = self._raw_scores(path, shape)
        for line in shape.code_lines:
            start = shape.start(line)
            score, reason = self._score(path, shape, line, start, raw)
            boost, reasons = self._boost(path, shape, line, start)
            boost *= self.boosts.named ** self.likeness.get((path, shape.function(line)), 0.0)
            factor = (score * score + 1e-4) * boost + self._added(path, shape, line, start)
            if score > 0 or boost > 1:
                yield LineSuspicion(
                    path, line, factor, score, shape.function(line), (reason, *reasons)
                )

    def _raw_scores(self, path: str, shape: FileShape) -> dict[int, float]:
        ep = self.ep.get(path, Counter())
        return {
            start: ochiai(count, ep[start], self.total)
            for start, count in self.ef.get(path, Counter()).items()
        }

    def _score(
        self, path: str, shape: FileShape, line: int, start: int, raw: Mapping[int, float]
    ) -> tuple[float, str]:
        """s of a line and where it comes from."""
        ef, ep = self.ef.get(path, Counter())[start], self.ep.get(path, Counter())[start]
        if ef:
            return raw[start], f"run by {ef} of {self.total} failing and {ep} passing tests"
        function = shape.function(line)
        own = self.functions.get((path, function), 0.0)
        if shape.is_header(line) and own:
            return own * self.boosts.header, "signature of a function that failing tests run"
        if not ep:
            near = max((raw.get(start + d, 0.0) for d in range(-3, 4)), default=0.0)
            near = max([near, *(raw.get(s, 0.0) for s in shape.adjacent(start))])
            if near and function:
                return near * self.boosts.neighbour, "never run, next to suspicious code"
        if not function:
            return self._import_score(path, shape, start)
        return self._text_score(path, function)

    def _import_score(self, path: str, shape: FileShape, start: int) -> tuple[float, str]:
        """Code that runs at import: suspicious when suspicious functions read its names."""
        readers = [(self.functions.get((path, name), 0.0), name) for name in shape.readers(start)]
        score, name = max(readers, default=(0.0, ""))
        if score:
            return score * self.boosts.constant, f"constant read by {name}"
        if start in self.imported.get(path, ()) or self.ef.get(path):
            return self.boosts.imported, "runs at import only"
        return 0.0, "not run by a failing test"

    def _text_score(self, path: str, function: str) -> tuple[float, str]:
        """Without any coverage a function named in a traceback or issue is all we have."""
        if self.ef and any(test.covered for test in self.failing):
            return 0.0, "not run by a failing test"
        if any(f.path == path and self._in(f, function) for t in self.traces for f in t):
            return 0.5, "in a function of the traceback"
        if self._names_function(function):
            return 0.4, "in a function that the issue names"
        if self._names_file(path):
            return 0.1, "in a file that the issue names"
        return 0.0, "not run by a failing test"

    def _in(self, frame: Frame, function: str) -> bool:
        return self.shape(frame.path).function(frame.line) == function

    def _names_function(self, function: str) -> bool:
        last = function.rsplit(".", 1)[-1]
        return bool(function) and (
            function in self.said.identifiers or (len(last) > 2 and last in self.said.identifiers)
        )

    def _boost(self, path: str, shape: FileShape, line: int, start: int) -> tuple[float, list[str]]:
        boost, reasons = self._frame_boost(path, shape, line, start)
        function = shape.function(line)
        ef = self.ef.get(path, Counter())[start]
        if ef == self.total and self.total > 1:
            boost *= self.boosts.all_failing
            reasons.append("run by all failing tests")
        own = self.functions.get((path, function), 0.0)
        if own:
            boost *= self.boosts.method**own
        last = function.rsplit(".", 1)[-1]
        if last and last in self.called:
            boost *= self.boosts.asserted
            reasons.append(f"the failed assertion calls {last}")
        elif last and last in self.callees:
            boost *= self.boosts.callee
            reasons.append(f"a function of the failed assertion calls {last}")
        return self._text_boost(path, shape, line, boost, reasons)

    def _frame_boost(
        self, path: str, shape: FileShape, line: int, start: int
    ) -> tuple[float, list[str]]:
        best, reason = 1.0, ""
        for trace in self.traces:
            for place, frame in enumerate(trace):
                if frame.path != path:
                    continue
                is_last = place == len(trace) - 1
                value, why = 1.0, ""
                if shape.start(frame.line) == start:
                    value = self.boosts.last_frame if is_last else self.boosts.frame
                    why = "last project frame" if is_last else "frame of a traceback"
                elif is_last and shape.function(frame.line) == shape.function(line) != "":
                    distance = abs(line - frame.line)
                    value = self.boosts.near_frame ** math.exp(-distance / 8)
                    why = f"{distance} lines from the last project frame"
                if value > best:
                    best, reason = value, why
        return best, [reason] if reason else []

    def _added(self, path: str, shape: FileShape, line: int, start: int) -> float:
        """What an exception's way through the code says by itself; 0 off that way."""
        best = 0.0
        for trace in self.traces:
            for up, frame in enumerate(reversed(trace)):
                if frame.path != path:
                    continue
                if shape.start(frame.line) == start:
                    value = self.boosts.at_frame * 0.5 ** (up - 1) if up else self.boosts.at_last
                elif up == 0 and shape.function(frame.line) == shape.function(line) != "":
                    value = self.boosts.at_near * math.exp(-abs(line - frame.line) / 8)
                else:
                    continue
                best = max(best, value)
        return best

    def _text_boost(
        self, path: str, shape: FileShape, line: int, boost: float, reasons: list[str]
    ) -> tuple[float, list[str]]:
        if not (self.said.identifiers or self.said.quoted or self.said.paths):
            return boost, reasons
        function = shape.function(line)
        if self._names_function(function):
            boost *= self.boosts.mention
            reasons.append(f"the issue names {function.rsplit('.', 1)[-1]}")
        if self._names_file(path):
            boost *= self.boosts.mention_file
            reasons.append("the issue names the file")
        text = shape.texts[line - 1].strip()
        if len(text) > 5 and any(text == quote or quote in text for quote in self._long_quotes):
            boost *= self.boosts.quoted
            reasons.append("the issue quotes the line")
        return boost, reasons

    @cached_property
    def _long_quotes(self) -> tuple[str, ...]:
        return tuple(quote for quote in self.said.quoted if len(quote) > 12)


def _project(frames: Iterable[Frame], sources: Mapping[str, str]) -> tuple[Frame, ...]:
    return tuple(frame for frame in frames if frame.path in sources and frame.line > 0)


def _frames_of_issue(issue: str, sources: Mapping[str, str]) -> tuple[Frame, ...]:
    """Project frames of the last traceback in the issue that has any."""
    if not issue:
        return ()
    for parsed in reversed(parse_tracebacks(issue)):
        frames = _project(resolve(parsed.frames, sources.keys()), sources)
        if frames:
            return frames
    return ()


def _cut(lines: list[LineSuspicion], head: int, seed: int) -> Suspicion:
    """Order the lines; after the head (kept whole at ties and functions) let L fall."""

    def order(item: LineSuspicion) -> tuple[float, int]:
        return -item.factor, zlib.crc32(f"{seed}:{item.path}:{item.line}".encode())

    ordered = sorted(lines, key=order)
    if len(ordered) <= head:
        return Suspicion(tuple(ordered), len(ordered))
    edge = ordered[head - 1].factor
    inside = {(item.path, item.function) for item in ordered[:head] if item.function}
    kept = [x for x in ordered if x.factor >= edge or (x.path, x.function) in inside]
    chosen = {(item.path, item.line) for item in kept}
    rest = [item for item in ordered if (item.path, item.line) not in chosen]
    tail = [
        LineSuspicion(
            x.path, x.line, x.factor * head / (head + place), x.score, x.function, x.reasons
        )
        for place, x in enumerate(rest, 1)
    ]
    return Suspicion(tuple(sorted([*kept, *tail], key=order)), len(kept))
