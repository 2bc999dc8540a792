"""`meritree fix`: from a repository with a failing test to a verified patch.

Reads as the algorithm: prepare, search, verify, report. Each part is in a module of its own;
this one only puts them together, keeps the journal and says what came out.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from meritree.errors import BadInput, MeritreeError
from meritree.run.journal import Journal
from meritree.run.ledger import Ledger, Limits
from meritree.search.terms import next_priors
from meritree.swe import answer
from meritree.swe.answer import Ending
from meritree.swe.apply import apply_files
from meritree.swe.asked import check_options
from meritree.swe.calibration import acceptance
from meritree.swe.code_search import CodeSearch
from meritree.swe.fix_search import (
    Past,
    Search,
    go_on,
    lengthens_nothing,
    recorded_events,
    since_budget,
    started_search,
)
from meritree.swe.own_channels import Channel, named, with_channels
from meritree.swe.partial import PARTIAL, partial_patch
from meritree.swe.prepare import prepare
from meritree.swe.prepared import Prepared
from meritree.swe.result import Candidate, FixOptions, FixResult, Listener, Progress, TestOutcome
from meritree.swe.run_folder import RunFolder, create, encode_options
from meritree.swe.setting_aside import SET_ASIDE, keys_set_aside, keys_standing, set_aside
from meritree.swe.targets import Ended
from meritree.swe.value import ValueWeights
from meritree.swe.verify import Checks, rank_and_verify

if TYPE_CHECKING:  # what models need is loaded when one is named
    from meritree.swe.choosing import Chooser

JOURNAL_KIND = "fix"


def fix(
    options: FixOptions, listener: Listener | None = None, *, channels: Sequence[Channel] = ()
) -> FixResult:
    """Search for a patch that makes the failing tests of a repository pass.

    The repository is not changed unless ``options.apply``; everything is written to the
    run's folder (`FixResult.out`). ``channels`` of one's own judge candidates beside the tests;
    a run that has them is resumed with them (`resuming.resume`).

    Raises:
        BadInput: the request cannot be carried out; nothing was changed, nothing is left.
        MeritreeError: the run failed; its folder is kept.
    """
    check_options(options, channels)
    if options.by_model or options.judge_model:
        from meritree.swe.agent.setup import check_endpoints

        check_endpoints(options)  # not in `resume`, which may have nothing left to ask
    folder = create(options)
    meta = {"kind": JOURNAL_KIND, "options": encode_options(options), **named(channels)}
    # Only whoever holds the journal may touch the folder: another process may run in it.
    with folder.disk_errors(), Journal.create(folder.journal, meta) as journal:
        run = Run(options, folder, journal, listener, channels)
        try:
            return run.go()
        except BadInput:
            if run.prepared is None:
                journal.delete()
                folder.discard()
            raise
        finally:
            folder.clear_work()


class Run:
    """One run from its journal's state to its result."""

    def __init__(
        self,
        options: FixOptions,
        folder: RunFolder,
        journal: Journal,
        listener: Listener | None,
        channels: Sequence[Channel] = (),
    ) -> None:
        self.options = options
        self.channels = channels
        self.folder = folder
        self.journal = journal
        self.listener = listener
        self.started = time.monotonic()
        self.earlier = 0.0  # seconds of earlier parts of a resumed run
        self.search: Search | None = None
        self.ledger = Ledger(Limits())
        self.prepared: Prepared | None = None
        self.chooser: Chooser | None = None
        self.fruitless = False  # a larger budget did not lengthen the search
        self.verdicts: dict[str, Mapping[str, Any]] = {}  # of the final check, by key
        self.partials: dict[str, Mapping[str, Any]] = {}  # of patches for some targets, by key

    def go(self) -> FixResult:
        """Prepare, search, verify; write patch, result and report."""
        events = [(e.kind, e.payload) for e in self.journal.events()]
        self.earlier = max((p.get("seconds_so_far", 0.0) for _, p in events), default=0.0)
        try:
            with _sigterm_as_interrupt():
                self._say(Progress("read", "reading the repository"))
                result = self._result(events)
        except KeyboardInterrupt:
            result = self._interrupted()
        except Ended as end:
            result = self._base(end.status, str(end))
            result = replace(result, tests_before=end.tests, warnings=end.warnings)
        finally:
            if self.search is not None and not isinstance(self.search, CodeSearch):
                self.search.part.trials.close()
            if self.prepared is not None:
                self.prepared.close()
        self._finish(result)
        honest = not (result.candidates and result.candidates[0].flags)
        if result.status == "verified" and self.options.apply and honest:
            self._apply(result)
            result = replace(result, applied=True)
            self.folder.write_result(result)
        return result

    def _result(self, events: list[tuple[str, dict[str, Any]]]) -> FixResult:
        known = next((p for kind, p in events if kind == "prepared"), None)
        self.prepared = prepare(self.options, self.folder, self._say, known)
        if known is None:
            evidence = {**self.prepared.evidence(), "seconds_so_far": self._seconds()}
            self.journal.append("prepared", evidence)
        search = self._search(events)
        self.verdicts.update({p["key"]: p for kind, p in events if kind == "verdict"})
        self.partials.update({p["key"]: p for kind, p in events if kind == PARTIAL})
        check = None
        if not isinstance(search, CodeSearch):
            from meritree.swe.agent.setup import final_verdict, with_steps

            check = partial(final_verdict, search)
        checks = Checks(self._enough(), self._seconds_left, check)
        chooser = self._chooser(search, events)
        while True:
            candidates, after = rank_and_verify(
                self.prepared, search, self._note_verdict, self._say, self.verdicts, checks,
                acceptance(self.options.calibration), chooser,
                with_channels(ValueWeights(), self.channels),
            )  # fmt: skip
            fallen = keys_standing(search)
            if not fallen or not self._is_worth_going_on(candidates):
                break
            self.journal.append(SET_ASIDE, {"keys": fallen, "seconds_so_far": self._seconds()})
            self._say(Progress("search", "no patch holds: searching on"))
            self._go_on(search, [], fallen)
            self.fruitless = self.fruitless and lengthens_nothing(events, search)
        if not isinstance(search, CodeSearch):
            candidates = with_steps(candidates, search)
        return self._answer(search, candidates, after)

    def _enough(self) -> int:
        if not self.options.judge_model:
            return self.options.final_checks
        from meritree.swe.choosing import MOST

        return max(self.options.final_checks, MOST)

    def _chooser(self, search: Search, events: list[tuple[str, dict[str, Any]]]) -> Chooser | None:
        if not self.options.judge_model or self.prepared is None:
            return None
        from meritree.swe.choosing import Chooser

        known = next((p for kind, p in since_budget(events) if kind == "choice"), None)
        self.chooser = Chooser(
            self.prepared, self.options, self.ledger, search, known,
            self._note_choice,
        )  # fmt: skip
        return self.chooser

    def _search(self, events: list[tuple[str, dict[str, Any]]]) -> Search:
        assert self.prepared is not None
        past = recorded_events(self.options, events)
        search, self.ledger = started_search(
            self.prepared, self.options, self.folder, self.journal, past, self.earlier,
            self._on_step, self.channels,
        )  # fmt: skip
        self.search = search
        if not any(kind == "root" for kind, _ in events):  # for whoever reads the journal
            self.journal.append("root", {"estimate": {"mean": search.states[0].estimate.mean}})
            if not isinstance(search, CodeSearch) and search.part.opening:
                self.journal.append("conversation", {"messages": search.part.opening})
        overtaken = since_budget(events, SET_ASIDE)
        ended = next((p for kind, p in overtaken if kind == "search-ended"), None)
        if past:
            self._say(Progress("replay", "so that it goes on where it stood"))
        if ended is not None:
            search.replay(iter(past))
            set_aside(search, keys_set_aside(events))
            search.stopped_because = str(ended["because"])
            return search
        if not past:
            self._say(Progress("search", "searching"))
        self._go_on(search, past, keys_set_aside(events))
        self.fruitless = lengthens_nothing(events, search)
        return search

    def _go_on(self, search: Search, past: Past, aside: Collection[str]) -> None:
        go_on(search, past, self.folder, aside)
        self.journal.append(
            "search-ended",
            {
                "because": search.stopped_because,
                "seconds_so_far": self._seconds(),
                "next_priors": next_priors(search.tree),
            },
        )

    def _is_worth_going_on(self, candidates: Sequence[Candidate]) -> bool:
        """There are tests to pass, no candidate passed them honestly, and the budget lasts."""
        assert self.prepared is not None
        assert self.search is not None
        if any(c.verified and not c.flags for c in candidates) or not self.prepared.targets:
            return False
        return self._seconds_left() > 0 and self.search.evaluations < self.options.budget_tests

    # ---- what is said on the way -----------------------------------------------------

    def _seconds(self) -> float:
        return round(self.earlier + time.monotonic() - self.started, 3)

    def _seconds_left(self) -> float:
        return self.options.budget_seconds - self._seconds()

    def _say(self, progress: Progress) -> None:
        if self.listener is not None:
            search = self.search
            self.listener(
                replace(
                    progress,
                    evaluations=search.evaluations if search else 0,
                    budget_tests=self.options.budget_tests,
                    seconds=self._seconds(),
                    budget_seconds=self.options.budget_seconds,
                    usd=self.ledger.snapshot().spent.usd,
                    budget_usd=self.options.budget_usd or 0.0,
                    folder=str(self.folder.root),
                )
            )

    def _on_step(self, search: Search, node: int) -> None:
        state = search.states[node]
        if search.evaluations % 50 == 0:
            self.journal.append("clock", {"seconds_so_far": self._seconds()})
        if self.listener is None:
            return
        best = search.best()
        edit, words = state.edit, state.words
        parent = state.parent if state.parent is not None else -1
        self._say(
            Progress(
                "search",
                f"{edit.path}:{edit.line} {words}" if edit else words,
                nodes=len(search.states),
                best=search.states[best].estimate.mean,
                best_line=search.labels(best),
                found=len(search.found),
                node=(node, parent, words, state.estimate.mean),
            )
        )

    def _note_verdict(self, key: str, verdict: dict[str, Any]) -> None:
        self.verdicts[key] = verdict
        self.journal.append("verdict", {"key": key, **verdict, "seconds_so_far": self._seconds()})

    def _note_partial(self, verdict: dict[str, Any]) -> None:
        self.journal.append(PARTIAL, {**verdict, "seconds_so_far": self._seconds()})

    def _note_choice(self, said: dict[str, Any]) -> None:
        self.journal.append("choice", {**said, "seconds_so_far": self._seconds()})

    # ---- what comes out --------------------------------------------------------------

    def _base(self, status: Any, message: str) -> FixResult:
        prepared, search = self.prepared, self.search
        spent = self.ledger.snapshot().spent
        return FixResult(
            status=status,
            message=message,
            evaluations=search.evaluations if search else 0,
            seconds=self._seconds(),
            tests_before=prepared.tests_before() if prepared else (),
            targets=prepared.targets if prepared else (),
            flaky=prepared.baseline.flaky if prepared else (),
            warnings=prepared.warnings if prepared else (),
            nodes=len(search.states) if search else 0,
            transpositions=search.transpositions if search else 0,
            seed=self.options.seed,
            strategy=self.options.strategy,
            sandbox=prepared.sandbox_kind if prepared else "",
            test_command=prepared.command.text if prepared else "",
            python=str(prepared.python) if prepared else "",
            out=str(self.folder.root),
            model=self.options.model if self.options.by_model else "",
            tokens=spent.tokens,
            usd=spent.usd,
            choice=self.chooser.said if self.chooser else None,
            settings=encode_options(self.options),
        )

    def _interrupted(self) -> FixResult:
        self.journal.append("interrupted", {"seconds_so_far": self._seconds()})
        return self._base(
            "interrupted",
            f"interrupted; nothing is lost: `meritree resume {self.folder.root}` continues",
        )

    def _answer(
        self,
        search: Search,
        candidates: tuple[Candidate, ...],
        after: tuple[TestOutcome, ...],
    ) -> FixResult:
        assert self.prepared is not None
        targets = len(self.prepared.targets)
        over, out = self._seconds_left() <= 0, str(self.folder.root)
        end = Ending(search.stopped_because, search.evaluations, targets, over, out)
        partial = None
        if any(c.verified for c in candidates):
            status, message = (
                "verified",
                answer.verified(candidates, targets, apply=self.options.apply),
            )
        else:
            partial = partial_patch(
                self.prepared, search, self._say, self._note_partial, self.partials
            )
            if candidates:
                status, message = "unverified", answer.unverified(candidates[0], partial, end)
            else:
                status, message = "not-found", answer.not_found(self.options, partial, end)
        result = self._base(status, message)
        if self.fruitless:
            note = f"more budget changed nothing: {search.stopped_because}"
            result = replace(result, warnings=(*result.warnings, note))
        return replace(result, candidates=candidates, tests_after=after, partial=partial)

    def _apply(self, result: FixResult) -> None:
        assert self.prepared is not None
        assert self.search is not None
        changed = self.search.files(result.candidates[0].node)
        before, after = self.prepared.contents(changed)
        apply_files(self.prepared.repository.root, before, after)

    def _finish(self, result: FixResult) -> None:
        if result.status != "interrupted":
            self.journal.append(
                "finished", {"status": result.status, "seconds_so_far": self._seconds()}
            )
        self.folder.write_result(result)
        self._say(Progress("done", result.message))


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """A polite kill is an interruption like Ctrl-C (only the main thread may say so)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


__all__ = ["JOURNAL_KIND", "MeritreeError", "Run", "fix"]
