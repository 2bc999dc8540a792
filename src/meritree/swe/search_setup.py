"""Puts a code search together from what was prepared: tree, policy, judge, testers.

The programmatic entry for studies and benchmarks as well as for `fix`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meritree.run.ledger import Ledger
from meritree.search import SearchTree, Strategy, make_strategy
from meritree.swe.code_search import CodeSearch, EditPolicy, Tester
from meritree.swe.edits import Edit, apply_splices
from meritree.swe.guards import Flag, special_cases, worth_a_look
from meritree.swe.own_channels import Channel, with_channels, with_opinions
from meritree.swe.passing import SearchLimits
from meritree.swe.prepared import Prepared
from meritree.swe.repair.policy import RepairPolicy
from meritree.swe.replaying import Events
from meritree.swe.sampled_policy import SampledPolicy
from meritree.swe.testing import Outcome
from meritree.swe.tree_policy import TreePolicy
from meritree.swe.value import NO_FACTS, Facts, Reference, ValueWeights, judge, root_value
from meritree.value.estimate import Estimate


def new_search(
    prepared: Prepared,
    *,
    strategy: str | Strategy,
    seed: int,
    ledger: Ledger,
    workers: int = 1,
    limits: SearchLimits | None = None,
    weights: ValueWeights | None = None,
    channels: Sequence[Channel] = (),
    policy: RepairPolicy | None = None,
    testers: Sequence[Tester] = (),
    events: Events | None = None,
    on_step: Callable[[CodeSearch, int], None] | None = None,
) -> CodeSearch:
    """A search over edits of the prepared repository, started but not run.

    Args:
        strategy: a name in `meritree.search.STRATEGIES`, or one made by hand.
        weights: how the channels make one value; the usual when None.
        channels: further ones, of the caller's own.
        policy: what proposes edits, in the state ``prepared.base``; the usual when None.
        testers: judges of candidates; ``workers`` new ones when there are none.
        events: where every step is recorded before it is acted on.

    Raises:
        BadInput: an unknown strategy, or two channels of one name.
    """
    weights = with_channels(weights or ValueWeights(), channels)
    reference = Reference.of(prepared.baseline, prepared.targets)
    rules = make_strategy(strategy) if isinstance(strategy, str) else strategy
    tree_policy: EditPolicy = TreePolicy(
        policy or prepared.policy(seed),
        prepared.base,
        reference.results,
        len(prepared.guards),
    )
    if rules.temperature:
        tree_policy = SampledPolicy(tree_policy, seed, rules.temperature)
    search = CodeSearch(
        tree=SearchTree(rules, seed),
        policy=tree_policy,
        judge=_judge(prepared, reference, weights, channels),
        testers=testers or [prepared.evaluator() for _ in range(workers)],
        base=prepared.repository.sources,
        key_of=lambda files: prepared.store.tree_with(prepared.base, files),
        ledger=ledger,
        limits=limits or SearchLimits(),
        events=events,
        on_step=on_step,
    )
    unchanged = with_opinions(NO_FACTS, channels, reference, reference.results)
    search.start(prepared.base, root_value(reference, weights, unchanged))
    return search


def flags(prepared: Prepared, edits: Sequence[Edit]) -> tuple[Flag, ...]:
    """What in a candidate looks made for its tests."""
    written = [splice.replacement for edit in edits for splice in edit.splices]
    if not worth_a_look(written, prepared.seen):
        return ()
    before = {edit.path: prepared.repository.sources[edit.path] for edit in edits}
    after = dict(before)
    for edit in edits:
        after[edit.path] = apply_splices(after[edit.path], edit.splices)
    return special_cases(before, after, prepared.seen)


def _judge(
    prepared: Prepared, reference: Reference, weights: ValueWeights, channels: Sequence[Channel]
) -> Callable[[Outcome, Sequence[Edit], float], Estimate]:
    top = max((item.factor for item in prepared.suspicion.lines), default=0.0)

    def value(outcome: Outcome, edits: Sequence[Edit], probability: float) -> Estimate:
        item = prepared.suspicion.by_line.get((edits[-1].path, edits[-1].line))
        facts = Facts(
            size=sum(edit.size for edit in edits),
            edits=len(edits),
            suspicion=item.factor / top if item and top else None,
            where=item.reasons[0] if item and item.reasons else "",
            flags=tuple(flag.words for flag in flags(prepared, edits)),
        )
        facts = with_opinions(facts, channels, reference, outcome.results, edits)
        return judge(reference, outcome, facts, weights)

    return value
