"""`meritree fix`: from a repository with a failing test to a verified patch.

Reads as the algorithm: prepare, search, verify, report. Each part is in a module of its own;
this one only puts them together, keeps the journal and says what came out.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from meritree.errors import BadInput, MeritreeError
from meritree.run.journal import Journal
from meritree.run.ledger import Ledger, Limits
from meritree.search.terms import next_priors
from meritree.swe.apply import apply_files
from meritree.swe.calibration import acceptance
from meritree.swe.code_search import CodeSearch, SearchLimits
from meritree.swe.prepare import Ended, Prepared, prepare
from meritree.swe.result import Candidate, FixOptions, FixResult, Listener, Progress, TestOutcome
from meritree.swe.run_folder import RunFolder, create, decode_options, encode_options
from meritree.swe.search_setup import new_search
from meritree.swe.verify import rank_and_verify
from meritree.value.estimate import Cost

JOURNAL_KIND = "fix"
_SEARCH_EVENTS = frozenset({"step", "outcome", "alias", "exhausted"})


def fix(options: FixOptions, listener: Listener | None = None) -> FixResult:
    """Search for a patch that makes the failing tests of a repository pass.

    The repository is not changed unless ``options.apply``; everything is written to the
    run's folder (`FixResult.out`).

    Raises:
        BadInput: the request cannot be carried out; nothing was changed, nothing is left.
        MeritreeError: the run failed; its folder is kept.
    """
    check_options(options)
    folder = create(options)
    run: _Run | None = None
    try:
        journal = Journal.create(
            folder.journal, {"kind": JOURNAL_KIND, "options": encode_options(options)}
        )
        with journal:
            run = _Run(options, folder, journal, listener)
            return run.go()
    except BadInput:
        if run is None or run.prepared is None:
            folder.discard()
        raise
    finally:
        folder.clear_work()


def resume(
    out: Path,
    listener: Listener | None = None,
    *,
    apply: bool = False,
) -> FixResult:
    """Continue an interrupted run where it stood; a finished one is only reported again.

    With one worker the tree is the one that an uninterrupted run would have made.

    Raises:
        BadInput: the folder holds no run of `meritree fix`.
        JournalError: the journal is of a newer version, in use, or damaged.
    """
    folder = RunFolder(out.expanduser().resolve())
    if not folder.journal.is_file():
        raise BadInput(f"{out} holds no run (no run.db); give the --out folder of a run")
    folder.clear_work()
    try:
        with Journal.open(folder.journal) as journal:
            meta = journal.meta
            if meta.get("kind") != JOURNAL_KIND:
                raise BadInput(f"{folder.journal} is not the journal of a `meritree fix` run")
            options = replace(decode_options(meta["options"]), out=folder.root)
            if apply:
                options = replace(options, apply=True)
            return _Run(options, folder, journal, listener).go()
    finally:
        folder.clear_work()


def check_options(options: FixOptions) -> None:
    """Refuse values that make no sense, naming option, value and what is allowed.

    Raises:
        BadInput: see above.
    """
    from meritree.search import STRATEGIES

    if options.strategy not in STRATEGIES:
        known = ", ".join(sorted(STRATEGIES))
        raise BadInput(f"--strategy {options.strategy}: unknown; choose one of {known}")
    if options.policy not in ("auto", "repair", "model"):
        raise BadInput(f"--policy {options.policy}: unknown; choose auto, repair or model")
    if options.policy == "model":
        raise BadInput(
            "--policy model: no language-model policy is configured in this version; "
            "--policy repair needs no model"
        )
    for name, value, least in (
        ("--budget-tests", options.budget_tests, 1),
        ("--workers", options.workers, 1),
        ("--seed", options.seed, 0),
    ):
        if value < least:
            raise BadInput(f"{name} {value}: must be at least {least}")
    if options.workers > 64:
        raise BadInput(f"--workers {options.workers}: at most 64 on one machine")
    if not 0 < options.budget_seconds < float("inf"):
        raise BadInput(f"--budget-seconds {options.budget_seconds}: must be a positive number")
    if not 0 <= options.budget_usd < float("inf"):
        raise BadInput(f"--budget-usd {options.budget_usd}: must be 0 or more")
    acceptance(options.calibration)  # a journal that cannot be read is found before the search


class _Run:
    """One run from its journal's state to its result."""

    def __init__(
        self, options: FixOptions, folder: RunFolder, journal: Journal, listener: Listener | None
    ) -> None:
        self.options = options
        self.folder = folder
        self.journal = journal
        self.listener = listener
        self.started = time.monotonic()
        self.earlier = 0.0  # seconds of earlier parts of a resumed run
        self.search: CodeSearch | None = None
        self.ledger = Ledger(Limits())
        self.prepared: Prepared | None = None

    def go(self) -> FixResult:
        """Prepare, search, verify; write patch, result and report."""
        events = [(e.kind, e.payload) for e in self.journal.events()]
        self.earlier = max((p.get("seconds_so_far", 0.0) for _, p in events), default=0.0)
        try:
            with _sigterm_as_interrupt():
                result = self._result(events)
        except KeyboardInterrupt:
            result = self._interrupted()
        except Ended as end:
            result = self._base(end.status, str(end))
            result = replace(result, tests_before=end.tests, warnings=end.warnings)
        finally:
            if self.prepared is not None:
                self.prepared.close()
        self._finish(result)
        if result.status == "verified" and self.options.apply:
            self._apply(result)
            result = replace(result, applied=True)
            self.folder.write_result(result)
        return result

    def _result(self, events: list[tuple[str, dict[str, Any]]]) -> FixResult:
        known = next((p for kind, p in events if kind == "prepared"), None)
        self.prepared = prepare(self.options, self.folder, self._say, known)
        if known is None:
            self.journal.append("prepared", self.prepared.evidence())
        search = self._search(events)
        verdicts = {p["key"]: p for kind, p in events if kind == "verdict"}
        candidates, after = rank_and_verify(
            self.prepared, search, self._note_verdict, self._say, verdicts, self._seconds_left,
            acceptance(self.options.calibration),
        )  # fmt: skip
        return self._answer(search, candidates, after)

    def _search(self, events: list[tuple[str, dict[str, Any]]]) -> CodeSearch:
        assert self.prepared is not None
        limits = Limits(
            evaluations=self.options.budget_tests, seconds=self.options.budget_seconds,
            usd=self.options.budget_usd,
        )  # fmt: skip
        ledger = Ledger(limits)
        past = [(k, p) for k, p in events if k in _SEARCH_EVENTS]
        spent = sum(1 for kind, _ in past if kind == "step")
        ledger.restore(Cost(evaluations=spent, seconds=min(self.earlier, 1e9)))
        search = new_search(
            self.prepared,
            strategy=self.options.strategy,
            seed=self.options.seed,
            workers=self.options.workers,
            ledger=ledger,
            limits=SearchLimits(),
            events=self.journal,
            on_step=self._on_step,
        )
        self.search = search
        if not past:  # for whoever reads the journal
            self.journal.append("root", {"estimate": {"mean": search.states[0].estimate.mean}})
        ended = next((payload for kind, payload in events if kind == "search-ended"), None)
        if ended is not None:
            search.replay(iter(past))
            search.stopped_because = str(ended["because"])
            return search
        self._say(Progress("search", "searching", budget_tests=self.options.budget_tests))
        search.finish_waiting(search.replay(iter(past)))
        search.run()
        self.journal.append(
            "search-ended",
            {
                "because": search.stopped_because,
                "seconds_so_far": self._seconds(),
                "next_priors": next_priors(search.tree),
            },
        )
        return search

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
                )
            )

    def _on_step(self, search: CodeSearch, node: int) -> None:
        state = search.states[node]
        if search.evaluations % 50 == 0:
            self.journal.append("clock", {"seconds_so_far": self._seconds()})
        if self.listener is None:
            return
        best = search.best()
        edit = state.edit
        words = edit.rationale if edit else ""
        parent = state.parent if state.parent is not None else -1
        self._say(
            Progress(
                "search",
                f"{edit.path}:{edit.line} {words}" if edit else "",
                nodes=len(search.states),
                best=search.states[best].estimate.mean,
                best_line=tuple(e.rationale for e in search.path(best)),
                found=len(search.found),
                node=(node, parent, words, state.estimate.mean),
            )
        )

    def _note_verdict(self, key: str, verdict: dict[str, Any]) -> None:
        self.journal.append("verdict", {"key": key, **verdict, "seconds_so_far": self._seconds()})

    # ---- what comes out --------------------------------------------------------------

    def _base(self, status: Any, message: str) -> FixResult:
        prepared, search = self.prepared, self.search
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
        search: CodeSearch,
        candidates: tuple[Candidate, ...],
        after: tuple[TestOutcome, ...],
    ) -> FixResult:
        verified = [c for c in candidates if c.verified]
        targets = len(self.prepared.targets) if self.prepared else 0
        if verified:
            others = f"; {len(verified) - 1} more verified, see the report" if verified[1:] else ""
            status, message = (
                "verified",
                f"verified: {targets} target test{'s' if targets != 1 else ''} pass, nothing that "
                f"passed before fails, twice, in fresh processes{others}. "
                "Passing tests is evidence, not proof.",
            )
        elif candidates:
            status = "unverified"
            message = (
                f"a patch passed in the search but not the final check: {candidates[0].verdict}"
            )
        else:
            status = "not-found"
            message = (
                f"no patch found in {search.evaluations} candidate evaluations "
                f"({search.stopped_because}); try a larger --budget-tests, another --seed or "
                "--strategy, or name the failing test with --failing"
            )
        result = self._base(status, message)
        return replace(result, candidates=candidates, tests_after=after)

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


__all__ = ["MeritreeError", "check_options", "fix", "resume"]
