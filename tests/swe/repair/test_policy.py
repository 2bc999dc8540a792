from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from meritree.swe.edits import Edit, Splice
from meritree.swe.repair.descend import moved_lines
from meritree.swe.repair.policy import EditOutcome, PolicyOptions, Proposal, RepairPolicy
from meritree.swe.repair.priors import PriorTable
from meritree.swe.repair.queue import Schedule
from meritree.swe.repair.suspicion import LineSuspicion, Suspicion


class Numbers:
    """Edits that write a number over a line's first character; counts the openings."""

    def __init__(self, templates: dict[str, float], priors: list[float]) -> None:
        self.templates = templates
        self.priors = priors
        self.opened: list[tuple[int, str]] = []

    def edits(self, path: str, text: str, line: int, template: str) -> Iterator[Edit]:
        self.opened.append((line, template))
        start = sum(len(each) + 1 for each in text.split("\n")[: line - 1])
        for place, prior in enumerate(self.priors):
            splice = Splice(start, start + 1, f"{template}{place}")
            yield Edit(path, (splice,), template, prior, line, f"f{line // 10}")


def suspicion(factors: list[float]) -> Suspicion:
    lines = [LineSuspicion("m.py", i, f, 1.0, f"f{i // 10}") for i, f in enumerate(factors, 1)]
    return Suspicion(tuple(sorted(lines, key=lambda item: -item.factor)), len(lines))


def policy(
    source: Numbers, factors: list[float], options: PolicyOptions | None = None, seed: int = 0
) -> RepairPolicy:
    files = {"m.py": "\n".join(f"x{i} = {i}" for i in range(1, len(factors) + 1))}
    table = PriorTable(source.templates)
    return RepairPolicy(source, files, suspicion(factors), table, seed=seed, options=options)


def drain(repair: RepairPolicy, most: int = 10_000) -> list[Proposal]:
    found = []
    while len(found) < most and (proposal := repair.propose({}, "")):
        found.append(proposal)
    return found


TEMPLATES = {"a": 3.0, "b": 1.0, "c": 0.25}
weights = st.dictionaries(st.sampled_from("abcde"), st.floats(0.1, 9), min_size=1)


@given(
    weights,
    st.lists(st.floats(0.01, 1), min_size=1, max_size=6),
    st.lists(st.floats(0.001, 10), min_size=1, max_size=25),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_edits_come_in_order_of_probability_and_each_exactly_once(
    templates: dict[str, float], priors: list[float], factors: list[float], fall: float
) -> None:
    priors.sort(reverse=True)
    options = PolicyOptions(schedule=Schedule(fall=fall))
    found = drain(policy(Numbers(templates, priors), factors, options))
    assert len({p.edit for p in found}) == len(found)
    assert len(found) == len(templates) * len(priors) * len(factors)
    probabilities = [p.probability for p in found]
    assert all(a >= b for a, b in pairwise(probabilities))
    assert all(0 < p <= 1 for p in probabilities)


def test_the_first_proposal_opens_only_what_could_beat_it() -> None:
    source = Numbers({f"t{i}": 1.0 + i for i in range(80)}, [1.0] * 50)
    repair = policy(source, [1.0 / i for i in range(1, 5001)])
    first = repair.propose({}, "")
    assert first is not None
    assert (first.edit.line, first.edit.template) == (1, "t79")
    assert source.opened == [(1, "t79")]
    drain(repair, 200)
    assert len(source.opened) < 400


def test_peeking_tells_the_next_probability_and_takes_nothing() -> None:
    repair = policy(Numbers(TEMPLATES, [1.0, 0.5]), [1.0, 0.4])
    while ahead := repair.peek({}, ""):
        proposal = repair.propose({}, "")
        assert proposal is not None
        assert proposal.probability == ahead
    assert repair.propose({}, "") is None


def same_text(edits: int) -> Numbers:
    class Same(Numbers):
        def edits(self, path: str, text: str, line: int, template: str) -> Iterator[Edit]:
            for extra in range(edits):  # the same result from wider and wider splices
                splice = Splice(0, 1 + extra, "y" + text[1 : 1 + extra])
                yield Edit(path, (splice,), template, 1.0, line, "f")

    return Same(TEMPLATES, [])


def test_equal_results_are_proposed_once_whoever_makes_them() -> None:
    assert len(drain(policy(same_text(3), [1.0]))) == 1


def test_an_edit_that_changes_nothing_is_never_proposed() -> None:
    class Idle(Numbers):
        def edits(self, path: str, text: str, line: int, template: str) -> Iterator[Edit]:
            yield Edit(path, (Splice(0, 2, text[:2]),), template, 1.0, line, "f")

    assert drain(policy(Idle(TEMPLATES, []), [1.0])) == []


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 5))
def test_the_same_calls_give_the_same_proposals(outcomes: list[int], seed: int) -> None:
    def run() -> list[Proposal]:
        repair = policy(Numbers(TEMPLATES, [1.0, 0.7, 0.5]), [1.0, 0.9, 0.8] * 8, seed=seed)
        found = []
        for number, kind in enumerate(outcomes):
            proposal = repair.propose({}, "")
            if proposal is None:
                break
            found.append(proposal)
            repair.tell("", proposal.edit, lesson(kind, f"s{number}"))
        return found

    assert run() == run()


def lesson(kind: int, child: str) -> EditOutcome:
    if kind == 0:
        return EditOutcome(child)
    if kind == 1:
        return EditOutcome(child, changed=1.0)
    return (
        EditOutcome(child, changed=1.0, crash="TypeError")
        if kind == 2
        else EditOutcome(child, changed=1.0, gain=0.3)
    )


def lines_after(kind: int, learn: bool = True) -> list[int]:
    """Lines of 20 proposals after six edits in lines 1 to 9 (one function) showed ``kind``."""
    options = (
        PolicyOptions(Schedule(fall=0.5)) if learn else PolicyOptions(Schedule(fall=0.5), None)
    )
    repair = policy(Numbers(TEMPLATES, [1.0] * 12), [1.0] * 9 + [0.5] * 10, options)
    told = 0
    while told < 6:
        proposal = repair.propose({}, "")
        assert proposal is not None
        if proposal.edit.line < 10:
            repair.tell("", proposal.edit, lesson(kind, f"s{told}"))
            told += 1
    return [p.edit.line for p in drain(repair, 20)]


def test_a_function_where_nothing_changes_the_failure_gives_way_to_another() -> None:
    told, untold = lines_after(0), lines_after(0, learn=False)
    assert sum(line >= 10 for line in told[:13]) == 10
    assert all(line < 10 for line in untold[:13])


def test_a_function_whose_edits_gain_is_kept_at() -> None:
    gaining, changing = lines_after(3), lines_after(1)
    assert all(line < 10 for line in gaining)
    assert sum(line < 10 for line in changing) > sum(line < 10 for line in lines_after(0))


def test_a_template_that_only_crashes_on_a_line_falls_behind() -> None:
    repair = policy(Numbers({"a": 1.0, "b": 0.8}, [1.0] * 30), [1.0])
    for number in range(8):
        proposal = repair.propose({}, "")
        assert proposal is not None
        crash = "TypeError" if proposal.edit.template == "a" else ""
        repair.tell("", proposal.edit, EditOutcome(f"s{number}", changed=1.0, crash=crash))
    assert [p.edit.template for p in drain(repair, 8)].count("b") >= 6


def child(repair: RepairPolicy, outcome: EditOutcome) -> tuple[dict[str, str], Edit]:
    proposal = repair.propose({}, "")
    assert proposal is not None
    repair.tell("", proposal.edit, outcome)
    return {"m.py": "x1 = 0\nif x1:\n    x2 = 2\nx3 = 3"}, proposal.edit


def test_a_second_edit_needs_a_changed_failure_or_a_gain() -> None:
    for outcome, allowed in [
        (EditOutcome("c"), False),
        (EditOutcome("c", changed=0.5), True),
        (EditOutcome("c", gain=0.02), True),
        (EditOutcome("c", gain=0.005), False),
        (EditOutcome("c", changed=1.0, broke=0.1), False),
        (EditOutcome("c", changed=1.0, invalid=True), False),
    ]:
        repair = policy(Numbers(TEMPLATES, [1.0]), [1.0, 0.5, 0.2])
        files, _ = child(repair, outcome)
        assert repair.allows("c") is allowed
        assert (repair.propose(files, "c") is not None) is allowed


def test_paths_end_at_the_greatest_number_of_edits() -> None:
    repair = policy(Numbers(TEMPLATES, [1.0]), [1.0, 0.5], PolicyOptions(max_edits=2))
    _, edit = child(repair, EditOutcome("c", changed=1.0))
    assert repair.allows("c")
    repair.tell("c", edit, EditOutcome("d", changed=1.0))
    assert not repair.allows("d")


def test_a_state_nobody_told_of_has_no_proposals() -> None:
    assert policy(Numbers(TEMPLATES, [1.0]), [1.0]).propose({}, "unknown") is None


def test_lines_move_with_the_edits_before_them() -> None:
    kept, fresh = moved_lines("a\nb\nc\nd", "a\nif b:\n    b\nc\nd")
    assert (kept[1], kept[3], kept[4]) == (1, 4, 5)
    assert [new for new, _ in fresh] == [2, 3]
    assert moved_lines("a\nb", "a\nb") == ({1: 1, 2: 2}, ())
