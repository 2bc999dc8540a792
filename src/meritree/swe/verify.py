"""The last word on candidates: rank those that pass, check them in fresh processes.

A patch is verified when, in a new interpreter and a new copy with the original tests, every
target passes and nothing that passed before fails, in each of two runs.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

from meritree.swe.calibration import in_words
from meritree.swe.edits import Edit, apply_splices
from meritree.swe.prepare import Say
from meritree.swe.prepared import Prepared
from meritree.swe.repair.naturalness import TokenModel
from meritree.swe.repair.ranking import WEIGHTS, PlausiblePatch, RankedPatch, rank
from meritree.swe.result import Candidate, Progress, TestOutcome
from meritree.swe.search_setup import flags
from meritree.swe.testing.types import FinalVerdict, Outcome
from meritree.swe.value import ValueWeights, channel_gains, refused
from meritree.swe.wording import counted, passing
from meritree.value.conformal import Acceptance
from meritree.value.estimate import Estimate

RUNS = 2
Note = Callable[[str, dict[str, Any]], None]
Check = Callable[[int], dict[str, Any]]
"""Takes the verdict on a node's patch."""


class Judged(Protocol):
    """What is read of a candidate's state."""

    key: str
    parent: int | None
    estimate: Estimate
    probability: float
    found_at: int
    outcome: Outcome | None


class Searched(Protocol):
    """What is read of a search, whoever proposed its edits."""

    found: list[int]

    @property
    def states(self) -> Mapping[int, Judged]: ...

    def files(self, node: int) -> Mapping[str, str | None]: ...

    def path(self, node: int) -> Sequence[Edit]: ...


@dataclass(frozen=True, slots=True)
class Checks:
    """How many final checks there are, and how one is made.

    Attributes:
        enough: they end once so many patches hold that nothing flags.
        seconds_left: the others are made only while this is positive.
        take: takes the verdict on a node's patch; the usual check against the targets when None.
    """

    enough: int
    seconds_left: Callable[[], float]
    take: Check | None = None

    def unneeded(self, candidates: Sequence[Candidate]) -> str:
        """Why the next patch need not be checked; empty where it must be."""
        verified = [c for c in candidates if c.verified]
        holding = sum(not c.flags for c in verified)
        if holding >= self.enough:
            return f"not checked: {counted(holding, 'patch', 'patches')} of higher rank verified"
        return "not checked: the time was over" if verified and self.seconds_left() <= 0 else ""


def rank_and_verify(
    prepared: Prepared,
    search: Searched,
    note: Note,
    say: Say,
    known: Mapping[str, Mapping[str, Any]],
    checks: Checks,
    acceptance: Acceptance | None = None,
    prefer: Callable[[Sequence[Candidate]], Sequence[Candidate]] | None = None,
    weights: ValueWeights | None = None,
) -> tuple[tuple[Candidate, ...], tuple[TestOutcome, ...]]:
    """Candidates, verified ones first and otherwise by rank, and the best one's tests.

    They are checked in the order of rank until enough hold (`Checks`); until one holds,
    whatever time that takes. Verdicts in ``known`` are not taken again. Where there is an
    ``acceptance`` rule, verified candidates carry their calibrated risk. ``weights``: those of
    the search's values; the usual when None.
    """
    check = checks.take or (lambda node: _check(prepared, search, node))
    ranked = rank([plausible_patch(prepared, search, node) for node in search.found])
    nodes = {search.states[node].key: node for node in search.found}
    candidates: list[Candidate] = []
    after: dict[int, tuple[TestOutcome, ...]] = {}
    for place, item in enumerate(ranked, 1):
        key = item.patch.key
        verdict = known.get(key)
        if verdict is None and (why := checks.unneeded(candidates)):
            verdict = {"verified": False, "checked": False, "reason": why}
        elif verdict is None:
            say(Progress("verify", f"patch {place} of {len(ranked)}"))
            verdict = check(nodes[key])
            note(key, verdict)
        candidate = _candidate(prepared, search, nodes[key], item, verdict, weights)
        candidates.append(_with_risk(candidate, acceptance))
        if verdict["verified"]:
            after[candidate.node] = tuple(TestOutcome(*entry) for entry in verdict["tests"])
    # Stable: rank decides inside each group.
    candidates.sort(key=lambda c: (not c.verified, c.checked, bool(c.flags)))
    if prefer is not None:
        candidates = list(prefer(candidates))
    best = after.get(candidates[0].node, ()) if candidates else ()
    return tuple(_placed(c, n) for n, c in enumerate(candidates, 1)), best


def _check(prepared: Prepared, search: Searched, node: int) -> dict[str, Any]:
    serious = [flag.words for flag in flags(prepared, search.path(node)) if flag.serious]
    if serious:
        reason = f"refused, it is made for the tests: {'; '.join(serious[:3])}"
        return {"verified": False, "reason": reason}
    files = search.files(node)
    prepared.store.keep(prepared.store.tree_with(prepared.base, files))
    texts = {path: text for path, text in files.items() if text is not None}
    verdict = prepared.session.final_check(
        prepared.pristine, texts, prepared.targets, prepared.guards, runs=RUNS
    )
    return verdict_data(verdict)


def verdict_data(verdict: FinalVerdict) -> dict[str, Any]:
    """A final verdict as JSON data for the journal."""
    tests = [[r.id, r.status, r.message] for r in verdict.runs[-1].values()] if verdict.runs else []
    return {
        "verified": verdict.verified,
        "reason": verdict.reason,
        "seconds": round(verdict.seconds, 3),
        "tests": tests if verdict.verified else [],
        "notes": list(verdict.notes),
    }


def plausible_patch(prepared: Prepared, search: Searched, node: int) -> PlausiblePatch:
    files = search.files(node)
    top = max((item.factor for item in prepared.suspicion.lines), default=0.0)
    edits = search.path(node)
    sources = prepared.repository.sources
    suspected = max((prepared.suspicion.factor(e.path, e.line) for e in edits[-1:]), default=0.0)
    return PlausiblePatch(
        key=search.states[node].key,
        edits=tuple(edits),
        before={path: sources.get(path, "") for path in files},
        after={path: text or "" for path, text in files.items()},
        probability=max(1e-12, _probability(search, node)),
        natural=_natural(sources, edits),
        suspicion=min(1.0, suspected / top) if top else 0.0,
        test_literals=_literals(prepared),
    )


def _natural(sources: Mapping[str, str], edits: Sequence[Edit]) -> float:
    """How usual the changed lines are for the project: 0.5 for no change, summed over edits."""
    model, texts, natural = _model(tuple(sorted(sources.items()))), dict(sources), 0.5
    for edit in edits:
        if edit.path in texts and edit.splices:
            natural += model.naturalness(edit, texts[edit.path]) - 0.5
            texts[edit.path] = apply_splices(texts[edit.path], edit.splices)
    return natural


@lru_cache(maxsize=1)  # all patches of a run are judged by one model
def _model(sources: tuple[tuple[str, str], ...]) -> TokenModel:
    return TokenModel(dict(sources))


def _probability(search: Searched, node: int) -> float:
    """The policy's probability of all edits of a node: of several edits each must be believed."""
    found, current = 1.0, search.states[node]
    while current.parent is not None:
        found *= current.probability
        current = search.states[current.parent]
    return found


def _literals(prepared: Prepared) -> frozenset[str]:
    """Constants that the failing tests expect: a patch that writes them in is suspect."""
    found = set()
    for target in prepared.targets:
        expected = prepared.baseline.results[target].expected
        if expected is None:
            continue
        try:
            value = ast.literal_eval(expected)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if value not in (None, True, False, 0, 1, -1, ""):
            found.add(repr(value))
    return frozenset(found)


def _candidate(
    prepared: Prepared,
    search: Searched,
    node: int,
    item: RankedPatch,
    verdict: Mapping[str, Any],
    weights: ValueWeights | None,
) -> Candidate:
    state = search.states[node]
    files = search.files(node)
    new = prepared.store.tree_with(prepared.base, files)
    checked = bool(verdict.get("checked", True))
    held = verdict["verified"] or verdict.get("own_test") or not checked
    estimate = state.estimate if held else refused(state.estimate, verdict["reason"])
    reasons = {"ranking": "; ".join(item.reasons(WEIGHTS))}
    words = str(verdict.get("reason", ""))
    if verdict["verified"]:
        words, fresh = passing(len(prepared.targets), "target test"), f"in {RUNS} fresh processes"
        reasons["kept"] = "no other test passed before"
        if prepared.guards:
            others = passing(len(prepared.guards), "other", "still ")
            words, reasons["kept"] = f"{words} and {others}", f"{others}, {fresh}"
        words = f"{words}, {fresh}"
    suspect = flags(prepared, search.path(node))
    if suspect and verdict["verified"]:
        words += f"; but it looks made for the tests: {'; '.join(f.words for f in suspect[:3])}"
    words = "; ".join((words, *verdict.get("notes", ())))
    return Candidate(
        rank=0,
        verified=bool(verdict["verified"]),
        patch=prepared.store.diff(prepared.base, new),
        files=tuple(sorted(files)),
        edits=tuple(f"{e.path}:{e.line} {e.rationale}" for e in search.path(node)),
        estimate=_with_reasons(estimate, reasons),
        node=node,
        evaluations=state.found_at,
        verdict=words,
        score=item.score,
        gains=_gains(search, state.estimate, weights) if verdict["verified"] else {},
        flags=tuple(asdict(flag) for flag in suspect),
        checked=checked,
    )


def _gains(search: Searched, estimate: Estimate, weights: ValueWeights | None) -> dict[str, float]:
    """What each channel adds, compared with the code as it is; rounded, without zeros."""
    root = next(state for state in search.states.values() if state.parent is None)
    gains = channel_gains(root.estimate, estimate, weights)
    return {name: round(gain, 4) for name, gain in gains.items() if round(gain, 4)}


def _with_risk(candidate: Candidate, acceptance: Acceptance | None) -> Candidate:
    if acceptance is None or not candidate.verified:
        return candidate
    risk = acceptance.risk(candidate.score)
    words = f"{candidate.verdict}; {in_words(risk, len(acceptance.scores))}"
    return replace(candidate, risk=risk, verdict=words)


def _with_reasons(estimate: Estimate, more: Mapping[str, str]) -> Estimate:
    """The estimate with what ranking and final check say, of channels that it has."""
    told = {n: w for n, w in more.items() if w and (n == "ranking" or n in estimate.channels)}
    return estimate._replace(reasons={**estimate.reasons, **told})


def _placed(candidate: Candidate, place: int) -> Candidate:
    return replace(candidate, rank=place)
