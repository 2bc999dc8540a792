"""Judges candidates: by hot swap where that is safe, by importing anew where it is not.

One evaluator serves one thread; open as many as there are workers. What it is asked is only
files and their new texts; where they come from it does not know.
"""

from __future__ import annotations

import hashlib
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from meritree.errors import BadInput, HarnessError
from meritree.swe.harness.answers import fine
from meritree.swe.harness.wire import difference_of, read
from meritree.swe.testing import decode
from meritree.swe.testing.server import Server
from meritree.swe.testing.session import TestSession
from meritree.swe.testing.types import (
    Amendment,
    Baseline,
    Coverage,
    EvaluatorStats,
    Outcome,
    TestLimits,
    TestResult,
)

_ANSWER_SECONDS = 60.0


class Evaluator:
    """Evaluates candidates against target tests (must pass) and guards (must go on passing).

    Args:
        session: the open session; its baseline must have been taken.
        targets: tests that fail now and shall pass.
        passing: tests that pass now and shall go on passing.
        covering: coverage of the session; says which guards a change needs.
        baseline: what the tests did before any change; the session's when None.
        limits: of this evaluator's processes; the session's when None.
    """

    def __init__(
        self,
        session: TestSession,
        targets: Sequence[str],
        passing: Sequence[str],
        covering: Coverage,
        *,
        baseline: Baseline | None = None,
        limits: TestLimits | None = None,
    ) -> None:
        if not targets:
            raise BadInput("no failing test to judge candidates by; name one with --failing")
        known = baseline or session.known_baseline()
        self._session = session
        self._limits = limits or session.limits
        self._known = known
        self._covering = covering
        self._usual = _usual_seconds(known, session.files_of)
        self.targets = _ordered(targets, known)
        self.passing = tuple(passing)
        self.stats = EvaluatorStats()
        self._lock = threading.Lock()
        self._hot: Server | None = None
        self._cold: Server | None = None
        self._cache: dict[str, Outcome] = {}
        self._originals: dict[str, str] = {}
        self._asked: dict[int, Mapping[str, str]] = {}
        self._signatures = {r.signature for r in known.results.values()}

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End this evaluator's processes."""
        with self._lock:
            self._drop_hot()
            if self._cold is not None:
                self._cold.close()
                self._cold = None

    def evaluate(self, files: Mapping[str, str], *, functions: Sequence[str] = ()) -> Outcome:
        """What the tests say when ``files`` (path -> whole new text) replace the originals.

        Targets run first (a failing candidate runs at most ``limits.target_cap`` of them, all
        for partial credit); only when all pass, the passing tests that cover a changed
        function. Equal candidates are judged once.

        Args:
            files: relative paths and texts; files not named are unchanged.
            functions: hint at the functions changed; the texts decide.
        """
        with self._lock:
            key = _key(files)
            known = self._cache.get(key)
            if known is not None:
                self.stats.cached += 1
                return replace(known, how="cached", seconds=0.0, amended=(), new_signatures=())
            started = time.monotonic()
            outcome = self._judge(files)
            outcome = replace(outcome, seconds=time.monotonic() - started)
            self._cache[key] = replace(outcome, amended=())
            for amendment in outcome.amended:
                self._cache[_key(amendment.files)] = amendment.outcome
            return outcome

    # ---- kinds of processes

    def _judge(self, files: Mapping[str, str]) -> Outcome:
        if self._session.command.kind == "plain":
            return self._fresh(files)
        answer = self._ask_hot(files)
        try:
            return self._understood(files, answer)
        except HarnessError as error:
            # Only code that forges answers sends such a thing: believe nothing of that process.
            self._drop_hot()
            self.stats.restarts += 1
            return self._judge_cold(files, f"the live process cannot be trusted: {error}")

    def _understood(self, files: Mapping[str, str], answer: Mapping[str, Any]) -> Outcome:
        amended = self._amendments(answer.get("amended", []))
        if "invalid" in answer:
            self.stats.invalid += 1
            return Outcome(False, invalid=str(answer["invalid"]), amended=amended)
        if "not_hot" in answer:
            self.stats.cold += 1
            return replace(self._judge_cold(files, str(answer["not_hot"])), amended=amended)
        self.stats.hot += 1
        with decode.reading("answer"):
            self._asked[int(answer["number"])] = dict(files)
        if len(self._asked) > 4 * max(1, self._limits.canary_every):
            del self._asked[min(self._asked)]
        return replace(self._outcome(answer), amended=amended)

    def _ask_hot(self, files: Mapping[str, str]) -> dict[str, Any]:
        seconds = self._patience
        try:
            return self._hot_server().ask(
                {"op": "evaluate", "files": self._differences(files)}, seconds
            )
        except HarnessError as error:
            # The conductor itself died (out of memory, killed): the next one starts clean.
            self._drop_hot()
            self.stats.restarts += 1
            return {"not_hot": f"the live process was lost: {error}", "amended": []}

    def _differences(self, files: Mapping[str, str]) -> dict[str, Any]:
        """Path -> what differs from the original (whole texts of large files are slow to send)."""
        found: dict[str, Any] = {}
        for path, text in files.items():
            original = self._originals.get(path)
            if original is None:
                file = self._session.setting.pristine / path
                original = read(str(file)) if file.is_file() else ""
                self._originals[path] = original
            found[path] = difference_of(original, text)
        return found

    def _hot_server(self) -> Server:
        if self._hot is None:
            self._hot = self._session.server("hot", limits=self._limits)
            self._counted: dict[str, float] = {}
            self._hot.ask(self._setup(), self._patience)
        return self._hot

    def _drop_hot(self) -> None:
        if self._hot is not None:
            self._hot.close()
            self._hot = None

    def _setup(self) -> dict[str, Any]:
        covered = self._covering
        spawning = self._session.spawning
        seen = {**covered.functions, **covered.lines}
        for test in {*covered.lost, *spawning}:  # they also ran what was not seen
            seen.pop(test, None)
        return {
            "op": "setup",
            "targets": [[t, self.limit(t)] for t in self.targets],
            "passing": [[t, self.limit(t)] for t in self.passing],
            "cap": self._cap(),
            "covering": _by_path(self.passing, seen),
            "untraced": [i for i, test in enumerate(self.passing) if test not in seen],
            "target_covering": _by_path(self.targets, seen),
            "lost": [i for i, test in enumerate(self.targets) if test not in seen],
            "known": {t: _known_result(self._known, t) for t in self.targets},
            "on_disk": bool(spawning & {*self.targets, *self.passing}),
            "isolated": False,
        }

    def limit(self, test: str) -> float:
        """CPU seconds that a candidate may spend on a test.

        A test that fails tells little about how long it takes when it passes, one that hangs
        nothing: the tests of its file that pass are asked as well.
        """
        limits, known = self._limits, self._known.results
        if test not in known:
            return max(limits.floor_seconds, limits.factor)
        result = known[test]
        if result.ok:
            return max(limits.floor_seconds, limits.factor * result.seconds)
        usual = self._usual.get(self._session.files_of.get(test, ""))
        if result.status != "timeout":
            return max(limits.floor_seconds, limits.factor * max(result.seconds, usual or 0.0))
        guess = 1.0 if usual is None else max(2 * limits.floor_seconds, limits.factor * usual)
        return min(limits.baseline_seconds, guess)

    def _cap(self) -> int:
        """How many targets a failing candidate is graded by: no more than are quickly run."""
        spent, count = 0.0, 0
        for test in self.targets[: self._limits.target_cap]:
            spent += self._known.results[test].seconds if test in self._known.results else 0.0
            if count and spent > self._limits.grading_seconds:
                break
            count += 1
        return count

    @cached_property
    def _patience(self) -> float:
        total = sum(self.limit(t) for t in [*self.targets, *self.passing])
        return 3 * total + _ANSWER_SECONDS + 4 * self._limits.grace_seconds

    def _judge_cold(self, files: Mapping[str, str], reason: str) -> Outcome:
        if self._cold is None:
            self._cold = self._session.server("cold", limits=self._limits)
        spans = {t: self.limit(t) for t in [*self.targets, *self.passing]}
        ask = self._session.request
        try:
            answer = self._cold.ask(ask(self.targets, (), spans, "failure", files), self._patience)
            with decode.reading("answer"):
                if answer["results"] and _all_fine(answer["results"], self.targets):
                    guards = self._cold_guards(files)
                    again = ask((), guards, spans, "failure", files)
                    done = self._cold.ask(again, self._patience)["guards"] if guards else []
                    answer["guards"] = done
                bad = [r for r in answer["guards"] if not fine(r)]
                count = len(answer["results"]) + len(answer["guards"])
            plain = {"results": answer["results"], "regressions": bad, "ran": count}
            return replace(self._outcome(plain), how="cold", reason_not_hot=reason)
        except HarnessError as error:
            self._cold.close()
            self._cold = None
            return Outcome(False, how="cold", reason_not_hot=f"{reason}; {error}")

    def _cold_guards(self, files: Mapping[str, str]) -> tuple[str, ...]:
        """Import-time code reaches every test that touches the file, and untraced ones."""
        lines = {**self._covering.functions, **self._covering.lines}
        importing = any(path in self._covering.import_lines for path in files)
        return tuple(
            t for t in self.passing
            if importing or t not in lines or any(path in lines[t] for path in files)
        )  # fmt: skip

    def _fresh(self, files: Mapping[str, str]) -> Outcome:
        self.stats.fresh += 1
        results = self._session.fresh_results(self.targets, files)
        records = {t: results[t] for t in self.targets if t in results}
        passed = bool(records) and all(r.ok for r in records.values())
        reason = "the test command is a program of its own"
        return Outcome(
            passed, records, ran=len(records), how="fresh", reason_not_hot=reason,
            new_signatures=self._new(records),
        )  # fmt: skip

    # ---- answers

    def _outcome(self, answer: Mapping[str, Any]) -> Outcome:
        with decode.reading("answer"):
            results = decode.results(answer["results"])
            regressions = decode.results(answer["regressions"])
            ran = int(answer["ran"])
            for name, count in answer.get("stats", {}).items():
                if not isinstance(count, int | float):
                    raise TypeError(f"{name} {count!r}"[:200])
                before = self._counted.get(name, 0)
                setattr(self.stats, name, getattr(self.stats, name) + count - before)
                self._counted[name] = count
        complete = all(t in results and results[t].ok for t in self.targets)
        return Outcome(
            passed_all=complete and not regressions,
            results=results,
            regressions=tuple(regressions),
            ran=ran,
            new_signatures=self._new(results),
            regression_results=regressions,
        )

    def _new(self, results: Mapping[str, TestResult]) -> tuple[str, ...]:
        seen = dict.fromkeys(r.signature for r in results.values() if r.signature)
        new = tuple(s for s in seen if s not in self._signatures)
        self._signatures.update(new)
        return new

    def _amendments(self, entries: Sequence[Any]) -> tuple[Amendment, ...]:
        found = []
        with decode.reading("amendment"):
            for number, answer in entries:
                files = self._asked.get(int(number))
                if files is not None and "results" in answer:
                    found.append(Amendment(files, self._outcome(answer)))
        return tuple(found)


def _all_fine(records: Sequence[Mapping[str, Any]], targets: Sequence[str]) -> bool:
    good = {r["id"] for r in records if fine(r)}
    return all(t in good for t in targets)


def _ordered(targets: Sequence[str], known: Baseline) -> tuple[str, ...]:
    """Slow tests last, one of each way of failing before the second of any.

    A way of failing is the kind of exception and the function that raised it; the message
    often holds values, so that every test would be a way of its own. Only orders of
    magnitude count (a tenth of a second, a second): finer timings would make the order, and
    with it the search tree, differ from run to run.
    """
    rank: dict[tuple[str, ...], int] = {}
    keyed = []
    quick = sorted(targets, key=lambda t: _slowness(known, t))
    for test in quick:
        way: tuple[str, ...] = ()
        if test in known.results:
            result = known.results[test]
            last = result.frames[-1:]
            way = (result.status, result.exception, *(f"{f.path}:{f.function}" for f in last))
        rank[way] = rank.get(way, 0) + 1
        keyed.append(((_slowness(known, test), rank[way]), test))
    return tuple(test for _, test in sorted(keyed, key=lambda pair: pair[0]))


def _by_path(
    tests: Sequence[str], seen: Mapping[str, Mapping[str, frozenset[int]]]
) -> dict[str, list[Any]]:
    """Path -> [number of a test, lines of that file that it ran]."""
    found: dict[str, list[Any]] = {}
    for number, test in enumerate(tests):
        for path, lines in seen.get(test, {}).items():
            found.setdefault(path, []).append([number, sorted(lines)])
    return found


def _known_result(known: Baseline, test: str) -> list[Any]:
    """Status, signature and credit of a test before any change; nothing where it was not run."""
    result = known.results.get(test)
    return [] if result is None else [result.status, result.signature, round(result.graded, 6)]


def _slowness(known: Baseline, test: str) -> int:
    seconds = known.results[test].seconds if test in known.results else 0.0
    return (seconds >= 0.1) + (seconds >= 1.0)


def _usual_seconds(known: Baseline, files_of: Mapping[str, str]) -> dict[str, float]:
    """Median seconds of the passing tests of every test file."""
    spans: dict[str, list[float]] = {}
    for test, result in known.results.items():
        if result.ok:
            spans.setdefault(files_of.get(test, ""), []).append(result.seconds)
    return {path: statistics.median(seconds) for path, seconds in spans.items()}


def _key(files: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        for part in (path, files[path]):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data))
            digest.update(data)
    return digest.hexdigest()
