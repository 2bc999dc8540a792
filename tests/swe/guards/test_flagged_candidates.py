"""What the guards find reaches the value, the answer and its JSON form."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from meritree.swe.code_search import CodeSearch, State
from meritree.swe.edits import Edit, Splice
from meritree.swe.guards import Seen
from meritree.swe.passing import SearchLimits
from meritree.swe.prepared import Prepared
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


class Searched:
    """A search whose candidates all pass."""

    def __init__(self, limits: SearchLimits) -> None:
        nothing = cast(Any, None)
        self.search = CodeSearch(
            tree=nothing, policy=nothing, judge=nothing, testers=(), base={},
            key_of=nothing, ledger=nothing, limits=limits,
        )  # fmt: skip

    def ends(self, at: int, made: Edit, channels: dict[str, float] | None = None) -> bool:
        outcome = cast(Any, SimpleNamespace(passed_all=True))
        estimate = Estimate(0.5, channels=channels or {})
        node = len(self.search.states) + 1
        self.search.states[node] = State(str(node), None, made, estimate, outcome, 1.0, at)
        self.search.evaluations = at
        self.search._note_found(node)
        return self.search._ended()


def test_a_search_goes_on_until_a_candidate_passes_that_looks_honest() -> None:
    searched = Searched(SearchLimits(patience=2))
    made = edit("n * n + 1", "n * n")
    assert not searched.ends(1, made, {"honest": 0.0})
    assert not searched.ends(9, made, {"honest": 0.0})
    assert not searched.ends(10, made)
    assert (searched.search.found, searched.search.passing.first_at) == ([1, 2, 3], 10)
    assert searched.ends(12, made)
    assert "enough alternatives" in searched.search.stopped_because


def test_variants_of_one_edit_do_not_fill_the_list_of_passing_candidates() -> None:
    one, other = edit("n * n + 1", "n * n"), replace(edit("n + 1", "n"), template="u")
    searched = Searched(SearchLimits(most_found=4))
    assert not any(searched.ends(at, one) for at in range(1, 9))
    assert searched.ends(9, other)
    assert searched.search.stopped_because == "9 candidates pass all tests"
    alike = Searched(SearchLimits(most_found=4))
    assert [alike.ends(at, one) for at in range(1, 13)] == [False] * 11 + [True]
