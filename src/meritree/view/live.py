"""A run that is watched: its journal read on by sequence number, told on as messages.

Any number of viewers share one reader; a viewer says how many nodes it has and gets the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meritree.search import SearchTree
from meritree.search.terms import score_terms
from meritree.view import words
from meritree.view.columns import Texts, columns, term_rows
from meritree.view.run_log import RunLog
from meritree.view.store import read_document, read_journal, view_of
from meritree.view.tree import SearchTreeView, build_tree
from meritree.view.words import Document

READ_EVERY = 0.3  # seconds between two looks at a journal, whoever asks
MOST_NODES = 2000  # in one message
QUIET = 60.0  # seconds without an event until that is said

Message = tuple[str, dict[str, Any]]  # name and data


class Watch:
    """One run's folder; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._log = RunLog(folder=folder)
        self._tree: SearchTreeView = build_tree(())
        self._document: Document | None = None
        self._looked = 0.0
        self._changed = time.monotonic()
        self._scores: tuple[int, SearchTree | None] = (-1, None)

    def now(self) -> tuple[RunLog, SearchTreeView, Document | None]:
        """The run as it stands; the log grows on, the tree and the document do not change.

        Raises:
            MeritreeError: the journal or the result is damaged.
        """
        with self._lock:
            self._look()
            return self._log, self._tree, self._document

    def _look(self) -> None:
        if time.monotonic() - self._looked < READ_EVERY:
            return
        journal = self.folder / "run.db"
        grown = journal.is_file() and read_journal(journal, self._log)
        # The result is written after the last event; that of a resumed run replaces an earlier one.
        status = self._document.get("status") if self._document is not None else None
        if grown or status is None or (self._log.phase == "ended" and status != self._log.status):
            self._document = read_document(self.folder / "result.json")
        if grown or not self._looked:
            self._tree = view_of(self._log, self._document)
            self._changed = time.monotonic()
        self._looked = time.monotonic()

    def messages(self, have: int) -> Iterator[Message | None]:
        """What a viewer with the first ``have`` nodes lacks, then what comes; None: nothing new.

        Ends when the run has ended. The caller waits between two messages.
        """
        told = -1
        while True:
            log, tree, _ = self.now()
            most = min(len(log.nodes), have + MOST_NODES)
            if most > have and tree.nodes:
                part = self._columns(tree, have, most)
                have = most
                yield "nodes", part
                continue
            ended = log.phase == "ended"
            if log.seq != told or self.quiet():
                told = log.seq
                yield ("end" if ended else "state"), self.state()
            else:
                yield None
            if ended:
                return

    def _columns(self, tree: SearchTreeView, first: int, end: int) -> dict[str, Any]:
        with self._lock:
            return columns(tree, since=first, until=end, differences=self._log.differences)

    def quiet(self) -> float:
        """Seconds without an event, 0 while that is nothing unusual."""
        waited = time.monotonic() - self._changed
        return waited if waited > QUIET else 0.0

    def state(self) -> dict[str, Any]:
        """The state of the run besides its nodes."""
        log, tree, document = self.now()
        return {
            "words": self._words(log, tree, document),
            "phase": log.phase,
            "status": log.status,
            "evaluations": log.evaluations,
            "best": list(tree.best),
            "kinds": [[i, "verified"] for i in sorted(log.verified)],
            "repeats": [list(pair) for pair in log.aliases.items()],
            "result": document is not None,
        }

    def _words(self, log: RunLog, tree: SearchTreeView, document: Document | None) -> str:
        if log.status:
            _, title = words.state(log.status, document)
            return f"{'ended' if log.phase == 'ended' else 'stopped'}: {title}"
        said = {"prepare": "preparing", "search": "searching", "verify": "checking patches"}
        line = f"{said.get(log.phase, log.phase)}, {log.seconds:.0f} s"
        if log.nodes:
            budget = log.options.get("budget_tests")
            of = f" of {budget}" if isinstance(budget, int) else ""
            best = tree.nodes[tree.best[-1]].value if tree.best else 0.0
            solved = sum(node.kind in ("passed", "verified") for node in tree.nodes.values())
            line += (
                f": {log.evaluations}{of} evaluations, best value {best:.2f}, "
                f"{solved} candidate{'s' * (solved != 1)} pass the tests"
            )
        quiet = self.quiet()
        return f"{line}; nothing new for {quiet:.0f} s" if quiet else line

    def node(self, number: int) -> dict[str, Any]:
        """The selector's score of one node, term by term."""
        with self._lock:
            log = self._log
            if self._scores[0] != log.seq:
                seed = log.options.get("seed", 0)
                search = log.told.search(log.strategy, seed if isinstance(seed, int) else 0)
                self._scores = (log.seq, search)
            search = self._scores[1]
            known = search is not None and 0 <= number < len(search.tree)
            terms = score_terms(search, number) if search is not None and known else ()
        texts = Texts()
        row = term_rows([terms], 0, texts)
        return {"terms": row, "texts": list(texts.numbers)}
