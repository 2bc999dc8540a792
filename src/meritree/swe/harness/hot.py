"""The conductor of a live session: everything collected once, candidates judged in forks.

It never runs a test itself. Swapped-in candidates go to one persistent child; what may leak
goes to a child of its own; the original code is re-run now and then (the canary), and when it
no longer gives its own results the child is replaced and its last candidates run again.
"""

from __future__ import annotations

import os
import resource
import time
from typing import Any, Dict, List, Optional, Tuple

from . import source, swap
from .answers import any_fails, blamed, coarse, kind_of, paired, passed, seen
from .children import Child, Lost
from .disk import Workspace
from .judge import World, serve_jobs, serve_one, serve_run
from .record import lost
from .relevant import Relevant, Span, Tests
from .wire import Channel, read, text_of

_ISOLATE_AFTER = 5
_PROBED = 2  # targets to run before a candidate that changed none of them is left alone
_CHECKED = 30  # guards of a candidate that mends some targets but not all
_COMPARED = 40  # targets that are tried both ways before the short cut is trusted


class Conductor:
    """Answers the requests of one client about one collected session."""

    def __init__(self, world: World, client: Channel, settings: Dict[str, Any]) -> None:
        self.world = world
        self.client = client
        self.grace = float(settings["grace"])
        self.recycle_after = int(settings["candidates_per_process"])
        self.canary_every = int(settings["canary_every"])
        self.workspace = Workspace(settings["root"], settings["pristine"])
        self.tables: Dict[str, source.Tables] = {}
        self.evaluator: Optional[Child] = None
        self.served = 0
        self.since_canary: List[Tuple[int, Dict[str, Any]]] = []
        self.number = 0
        self.isolated = False
        self.on_disk = False
        self.known_classes: set = set()  # type: ignore[type-arg]
        self.reference: Dict[str, Tuple[str, ...]] = {}
        self.targets: Tests = []
        self.canary_targets: Tests = []
        self.passing: Tests = []
        self.concerned = self.guarding = Relevant([], {}, ())
        self.cap = 8
        self.rotation = 0
        self.persistent_cpu = 0.0
        self.stats: Dict[str, Any] = dict.fromkeys(
            ("forks", "canaries", "canary_failures", "requeued", "restarts", "refreshed"), 0
        )

    # ---- plain runs

    def run(self, tests: Tests, traced: str) -> Dict[str, Any]:
        """Run tests on the code as it is; a test that kills its process costs only itself."""
        answers: List[Dict[str, Any]] = []
        while len(answers) < len(tests):
            rest = tests[len(answers) :]
            child = self._fork(serve_run(self.world, rest, traced))
            try:
                for _ in rest:
                    answers.append(child.answer())  # noqa: PERF401  (kept when the child dies)
                child.answer()
                child.end()
            except Lost as error:
                if len(answers) < len(tests):
                    test = tests[len(answers)][0]
                    answers.append({"record": lost(test, error.status, error.reason)})
        self.stats["refreshed"] += self.workspace.refresh()
        return {
            "results": [a["record"] for a in answers],
            "lines": [a.get("lines", {}) for a in answers] if traced else [],
            "lost": [a["record"]["id"] for a in answers if a.get("lost")],
            "spawned": [a["record"]["id"] for a in answers if a.get("spawned")],
        }

    # ---- candidates

    def setup(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Take targets, guards and their coverage; learn what the original code gives."""
        self.targets, self.passing = request["targets"], request["passing"]
        self.cap = int(request["cap"])
        self.concerned = Relevant(self.targets, request["target_covering"], request["lost"])
        self.guarding = Relevant(self.passing, request["covering"], request["untraced"])
        self.world.unchanged = {t: tuple(known) for t, known in request["known"].items()}
        self.on_disk = bool(request["on_disk"])
        self.isolated = bool(request["isolated"])
        self._learn_reference()
        return {"isolated": self.isolated, "canary": sorted(self.reference)}

    def _learn_reference(self) -> None:
        self.canary_targets = self.targets[: self.cap]
        first, second = self._both_ways(self.targets[:_COMPARED])
        canary = {t for t, _ in self.canary_targets}
        for a, b in paired(first["results"], second["results"]):
            if seen(a) != seen(b):
                self.world.suite.framework_only |= {a["id"]}
            if a["id"] in canary and coarse(a) == coarse(b):
                fine = a["signature"] == b["signature"]
                self.reference[a["id"]] = (
                    (a["status"], a["signature"]) if fine else (a["status"], a["exception"])
                )
            self.known_classes.add(kind_of(a))
        compared = {record["id"] for record in second["results"]}
        self.world.suite.framework_only |= {t for t, _ in self.targets if t not in compared}
        # Tests that hang without any change would make every canary cost a whole time limit.
        ended = {t for t, expected in self.reference.items() if expected[0] != "timeout"}
        self.canary_targets = [t for t in self.canary_targets if t[0] in ended]
        self.evaluator = None
        for _ in range(2 if self.canary_every else 0):
            if not self.isolated and not self._canary_holds():
                self.isolated = True
                self._restart()

    def _both_ways(self, tests: Tests) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        """What the original code gives, run by the framework and by the short cut."""
        job = {"swaps": [], "targets": tests, "guards": [], "short": False}
        return self._alone(job), self._alone(dict(job, short=True))

    def evaluate(self, files: Dict[str, List[Any]]) -> Dict[str, Any]:
        """Judge one candidate; the answer may amend earlier ones (numbers as given then)."""
        self.number += 1
        number = self.number
        try:
            swaps, risky, spans = self._swaps(files)
        except swap.NotSwappable as error:
            return {"not_hot": str(error), "number": number, "amended": []}
        except (SyntaxError, ValueError) as error:
            return {"invalid": str(error), "number": number, "amended": []}
        job, full = self._jobs(swaps, spans)
        if self.on_disk:
            self.workspace.write(
                {p: text_of(self._tables(p).original.text, d) for p, d in files.items()}
            )
        try:
            answer, amended = self._judged(number, job, full, risky or self.isolated)
        finally:
            if self.on_disk:
                self.workspace.restore(list(files))
        answer["number"] = number
        answer["amended"] = amended
        answer["stats"] = dict(self.stats, cpu_seconds=self._cpu_seconds())
        return answer

    def _jobs(
        self, swaps: List[swap.Swap], spans: List[Span]
    ) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        """What a candidate is asked first, and what it must stand when it passes that.

        First only targets that ran a changed function, by the short cut; as long as the first
        few fail exactly as before, the rest is spared. Some targets mended is progress only if
        nothing breaks: then some guards are run as well, since deleting a check or returning
        early mends tests too. In full, the framework runs everything.
        """
        packed = [s.packed() for s in swaps]
        targets = self.concerned.to(spans) or self.targets
        chosen = {t for t, _ in targets}
        others = [pair for pair in self.targets if pair[0] not in chosen]
        guards = self.guarding.to(spans)
        first = {
            "targets": targets[: self.cap],
            "guards": [],
            "short": True,
            "probed": _PROBED,
        }
        full = {
            "targets": targets + others,
            "needed": len(targets),
            "guards": guards,
            "short": False,
        }
        both = {"swaps": packed, "on_progress": guards[:_CHECKED]}
        return dict(first, **both), dict(full, **both)

    def _judged(
        self, number: int, job: Dict[str, Any], full: Dict[str, Any], alone: bool
    ) -> Tuple[Dict[str, Any], List[Any]]:
        if alone:
            return self._alone_in_full(job, full), []
        before = list(self.since_canary)
        answer = self._persistent(job)
        if "not_hot" in answer:
            return answer, []
        if answer.get("died"):
            return answer, self._requeue(before)
        self.since_canary.append((number, {"job": job, "full": full}))
        if passed(answer, job):
            confirmed = self._alone_in_full(None, full)
            self.since_canary.pop()
            if any_fails(confirmed, job):  # the persistent process said otherwise: it is poisoned
                self.stats["canary_failures"] += 1
                self._restart()
                return confirmed, self._requeue(before)
            return confirmed, []
        return answer, self._checked(answer)

    def _alone_in_full(self, job: Optional[Dict[str, Any]], full: Dict[str, Any]) -> Dict[str, Any]:
        """Judge in children of their own: the first targets, then everything if they pass."""
        if job is not None:
            answer = self._alone(job)
            if "not_hot" in answer or not passed(answer, job):
                return answer
        answer = self._alone(full)
        if job is not None:
            answer["ran"] = answer.get("ran", 0) + len(job["targets"])
        return answer

    def _checked(self, answer: Dict[str, Any]) -> List[Any]:
        """Run the canary when it is due; returns the amendments it leads to."""
        kinds = {kind_of(r) for r in answer["results"]} - self.known_classes
        self.known_classes |= kinds
        timed_out = any(r["status"] == "timeout" for r in answer["results"])
        old = self.served >= self.recycle_after
        if not self.canary_every:
            self.since_canary = []
            if timed_out or answer["left"] or old:
                self._restart()
            return []
        due = kinds or timed_out or answer["left"] or old
        if not due and len(self.since_canary) < self.canary_every:
            return []
        holds = self._canary_holds()
        window, self.since_canary = self.since_canary, []
        if not holds:
            self.stats["canary_failures"] += 1
            if self.stats["canary_failures"] >= _ISOLATE_AFTER:
                often = self.stats["canaries"] < 5 * self.stats["canary_failures"]
                self.isolated = self.isolated or often
            self._restart()
            return self._requeue(window)
        if timed_out or answer["left"] or old:
            self._restart()
        return []

    def _requeue(self, window: List[Tuple[int, Dict[str, Any]]]) -> List[Any]:
        self.since_canary = []
        amended = []
        for number, entry in window:
            self.stats["requeued"] += 1
            amended.append([number, self._alone_in_full(entry["job"], entry["full"])])
        return amended

    def _canary_job(self, guards: Tests) -> Dict[str, Any]:
        targets = self.canary_targets + guards
        return {"swaps": [], "targets": targets, "guards": [], "short": True}

    def _canary_holds(self) -> bool:
        """Whether the persistent process still gives the original code's own results."""
        self.stats["canaries"] += 1
        quick = self.passing[self.rotation : self.rotation + 3]
        self.rotation = self.rotation + 3 if self.rotation + 3 < len(self.passing) else 0
        answer = self._persistent(self._canary_job(quick), count=False)
        self.stats["refreshed"] += self.workspace.refresh()
        if answer.get("died") or "results" not in answer:
            return False
        for record in answer["results"]:
            expected = self.reference.get(record["id"])
            if expected is None:
                if record["id"] in {t for t, _ in quick} and record["status"] != "passed":
                    return False
            elif expected not in (
                (record["status"], record["signature"]),
                (record["status"], record["exception"]),
            ):
                return False
        return True

    def _cpu_seconds(self) -> float:
        """Processor time of this process, of its ended children and of the persistent one."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + ended.ru_utime + ended.ru_stime + self.persistent_cpu

    # ---- children

    def _fork(self, serve: Any) -> Child:
        others = [self.client] + ([self.evaluator.channel] if self.evaluator else [])
        return Child(serve, others, self.grace)

    def _alone(self, job: Dict[str, Any]) -> Dict[str, Any]:
        self.stats["forks"] += 1
        child = self._fork(serve_one(self.world, job))
        try:
            answer = child.answer()
            child.end()
        except Lost as error:
            answer = blamed(job, error)
        self.stats["refreshed"] += self.workspace.refresh()
        return answer

    def _persistent(self, job: Dict[str, Any], count: bool = True) -> Dict[str, Any]:
        if self.evaluator is None:
            self.evaluator = self._fork(serve_jobs(self.world))
            self.served = 0
        self.served += 1 if count else 0
        try:
            answer = self.evaluator.ask(job)
            self.persistent_cpu = float(answer.get("cpu", self.persistent_cpu))
            return answer
        except Lost as error:
            self.evaluator = None
            self.persistent_cpu = 0.0
            self.stats["restarts"] += 1
            self.stats["refreshed"] += self.workspace.refresh()
            return dict(blamed(job, error), died=True)

    def _restart(self) -> None:
        if self.evaluator is not None:
            self.evaluator.end()
            self.evaluator = None
            self.persistent_cpu = 0.0
            self.stats["restarts"] += 1

    def close(self) -> None:
        """End the persistent child."""
        if self.evaluator is not None:
            self.evaluator.end()
            self.evaluator = None

    # ---- what changed, and who guards it

    def _swaps(self, files: Dict[str, List[Any]]) -> Tuple[List[swap.Swap], bool, List[Span]]:
        swaps: List[swap.Swap] = []
        spans: List[Span] = []
        risky = False
        for path, difference in files.items():
            if path in self.world.test_files:
                raise swap.NotSwappable("%s is a test file" % path)
            tables = self._tables(path)
            text = self._text(path, difference)
            different = source.difference(tables.original, tables.of(text))
            if different.beyond:
                raise swap.NotSwappable("%s: %s" % (path, different.beyond))
            for change in different.changes:
                one = swap.Swap(path, *change, different.flags)
                risky = swap.prepare(one, self.world.index, look=True).risky or risky
                swaps.append(one)
                last = change.old.line + change.old_text.count("\n")
                spans.append((path, change.old.line, last))
        return swaps, risky, spans

    def _text(self, path: str, difference: List[Any]) -> str:
        return text_of(self._tables(path).original.text, difference)

    def _tables(self, path: str) -> source.Tables:
        tables = self.tables.get(path)
        if tables is None:
            full = os.path.join(self.workspace.pristine, path)
            if not os.path.isfile(full):
                raise swap.NotSwappable("%s is a new file" % path)
            tables = self.tables[path] = source.Tables(read(full))
        return tables


def serve(conductor: Conductor) -> None:
    """Answer the client until it says goodbye or goes away."""
    while True:
        request = conductor.client.receive()
        operation = request["op"]
        started = time.perf_counter()
        if operation == "bye":
            conductor.close()
            return
        if operation == "run":
            answer = conductor.run(request["tests"], str(request["traced"]))
        elif operation == "setup":
            answer = conductor.setup(request)
        else:
            answer = conductor.evaluate(request["files"])
        answer["elapsed"] = time.perf_counter() - started
        conductor.client.send(answer)
