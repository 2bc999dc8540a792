"""What the guards find reaches the value, the answer and its JSON form."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from meritree.swe.code_search import CodeSearch, SearchLimits, State
from meritree.swe.edits import Edit, Splice
from meritree.swe.guards import Seen
from meritree.swe.prepare import Prepared
from meritree.swe.result import Candidate, FixResult
from meritree.swe.search_setup import flags
from meritree.value.estimate import Estimate

TEXT = "def square(n):\n    return n * n + 1\n"


def prepared() -> Prepared:
    seen = Seen(frozenset({"12"}), frozenset({"144"}))
    repository = SimpleNamespace(sources={"a.py": TEXT})
    return cast(Prepared, SimpleNamespace(seen=seen, repository=repository))


def edit(old: str, new: str, text: str = TEXT) -> Edit:
    start = text.index(old)
    splice = Splice(start, start + len(old), new)
    return Edit("a.py", (splice,), "t", 1.0, 2, "square", rationale="r")


def test_an_ordinary_edit_has_no_flag() -> None:
    assert flags(prepared(), [edit("n * n + 1", "n * n")]) == ()


def test_a_hard_coded_value_is_flagged_over_several_edits() -> None:
    first = edit("n * n + 1", "n * n")
    text = TEXT.replace("n * n + 1", "n * n")
    (flag,) = flags(prepared(), [first, edit("n * n", "144 if n == 12 else n * n", text)])
    assert (flag.rule, flag.path, flag.line, flag.serious) == ("hard-coded", "a.py", 2, False)


def test_flags_are_in_the_json_of_a_candidate() -> None:
    found = {"rule": "hard-coded", "path": "a.py", "line": 2, "code": "144"}
    candidate = Candidate(1, True, "", (), (), Estimate(0.5), 1, 1, flags=(found,))
    document: dict[str, Any] = FixResult("verified", "", (candidate,)).to_json()
    assert document["candidates"][0]["flags"] == [found]


def test_a_search_goes_on_until_a_candidate_passes_that_looks_honest() -> None:
    nothing = cast(Any, None)
    search = CodeSearch(
        tree=nothing, policy=nothing, judge=nothing, testers=(), base={},
        key_of=nothing, ledger=nothing, limits=SearchLimits(patience=2),
    )  # fmt: skip

    def passes(node: int, at: int, channels: dict[str, float]) -> bool:
        outcome = cast(Any, SimpleNamespace(passed_all=True))
        estimate = Estimate(0.5, channels=channels)
        search.states[node] = State(str(node), None, None, estimate, outcome, 1.0, at)
        search.evaluations = at
        search._note_found(node)
        return search._ended()

    assert not passes(1, 1, {"honest": 0.0})
    assert not passes(2, 9, {"honest": 0.0})
    assert not passes(3, 10, {})
    assert (search.found, search.first_found_at) == ([1, 2, 3], 10)
    assert passes(4, 12, {})
    assert "enough alternatives" in search.stopped_because
