"""The patch that mends some of the failing tests, where none mends all: chosen, checked afresh.

Reads what a search has tried; it never calls such a patch verified, and changes no search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from meritree.errors import HarnessError
from meritree.swe.prepare import Say
from meritree.swe.prepared import Prepared
from meritree.swe.repair.ranking import rank
from meritree.swe.result import Partial, Progress
from meritree.swe.search_setup import flags
from meritree.swe.verify import RUNS, Searched, plausible_patch

PARTIAL = "partial"  # the journal's event: what a check of such a patch said
_TRIED = 3  # patches that are checked, until one holds
_RANKED = 40  # equally good ones that are compared

Note = Callable[[dict[str, Any]], None]
Known = Mapping[str, Mapping[str, Any]]


def partial_patch(
    prepared: Prepared, search: Searched, say: Say, note: Note, known: Known
) -> Partial | None:
    """The best patch that mends some target tests and breaks none, None where there is none.

    It is checked like a whole one, in fresh processes with the original tests, but against those
    targets that it mends. Verdicts in ``known`` (by key of the state) are not taken again.
    """
    for number, node in enumerate(_best_first(prepared, search)):
        if number == _TRIED:
            break
        key = search.states[node].key
        verdict = known.get(key)
        if verdict is None:
            say(Progress("verify", "the best patch for some of the failing tests"))
            verdict = {"key": key, **_verdict(prepared, search, node)}
            note(verdict)
        if verdict["held"]:
            return _partial(prepared, search, node, tuple(verdict["mends"]))
    return None


def _best_first(prepared: Prepared, search: Searched) -> Iterator[int]:
    """Nodes that mend most, with the fewest edits; among those by rank, as far as seen."""
    groups: dict[tuple[int, int], list[int]] = {}
    for node in search.states:
        if mended := _mended(prepared, search, node):
            groups.setdefault((-mended, len(search.path(node))), []).append(node)
    for place in sorted(groups):
        likely = sorted(groups[place], key=lambda n: (-search.states[n].estimate.mean, n))[:_RANKED]
        patches = {search.states[n].key: n for n in likely}
        for item in rank([plausible_patch(prepared, search, n) for n in likely]):
            node = patches[item.patch.key]
            if not flags(prepared, search.path(node)):
                yield node


def _mended(prepared: Prepared, search: Searched, node: int) -> int:
    """How many targets a state mends without breaking a test that was run; 0 if it mends all."""
    outcome = search.states[node].outcome
    if outcome is None or outcome.passed_all or outcome.invalid or outcome.regressions:
        return 0
    mended = sum(t in outcome.results and outcome.results[t].ok for t in prepared.targets)
    return mended if mended < len(prepared.targets) else 0


def _verdict(prepared: Prepared, search: Searched, node: int) -> dict[str, Any]:
    """Which targets pass in a fresh process, and whether the patch holds for these."""
    files = search.files(node)
    prepared.store.keep(prepared.store.tree_with(prepared.base, files))
    texts = {path: text for path, text in files.items() if text is not None}
    session = prepared.session
    try:
        results = session.fresh_results(prepared.targets, texts, prepared.pristine)
    except HarnessError as error:
        return {"held": False, "mends": [], "reason": str(error)}
    mends = [t for t in prepared.targets if t in results and results[t].ok]
    if not mends:
        return {"held": False, "mends": [], "reason": "no target test passes in a fresh process"}
    checked = session.final_check(prepared.pristine, texts, mends, prepared.guards, runs=RUNS)
    return {"held": checked.verified, "mends": mends, "reason": checked.reason}


def _partial(
    prepared: Prepared, search: Searched, node: int, mends: tuple[str, ...]
) -> Partial | None:
    fails = tuple(target for target in prepared.targets if target not in mends)
    if not fails:
        return None
    files = search.files(node)
    new = prepared.store.tree_with(prepared.base, files)
    return Partial(
        patch=prepared.store.diff(prepared.base, new),
        files=tuple(sorted(files)),
        edits=tuple(f"{e.path}:{e.line} {e.rationale}" for e in search.path(node)),
        node=node,
        mends=mends,
        fails=fails,
    )
