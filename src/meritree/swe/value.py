"""The hybrid value of a candidate: what its tests said, channel by channel, with reasons.

Reads test results and a few facts about the edits as plain data. It knows neither how the
tests were run nor how the search uses the value.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from meritree.errors import BadInput
from meritree.swe.testing.types import Baseline, Outcome, TestResult
from meritree.swe.wording import counted
from meritree.value.attribution import shapley
from meritree.value.combine import gate, weighted_mean
from meritree.value.estimate import Cost, Estimate
from meritree.value.sums import in_order

CHANNELS = ("targets", "near", "changed", "kept", "clean", "suspicion", "size", "natural", "honest")
GATES = frozenset({"kept", "honest"})
UNSOLVED_AT_MOST = 0.99
FLAGGED_AT_MOST = 0.5  # value of a candidate that special-cases its tests, passing or not
REFUSED = 0.3  # value of a candidate that passed in the search and failed the final check
_SHORT = 60


@dataclass(frozen=True, slots=True)
class ValueWeights:
    """How the channels make one value.

    V = sum of weight x channel over the additive channels, divided by the sum of their
    weights, times the gate of ``kept``. Channels of weight 0 are shown, not counted. A patch
    that special-cases its tests has the channel ``honest`` at 0 and at most half a value.
    ``targets``, ``near`` and ``size`` as in a prototype measured on real repositories;
    ``changed`` is lower than there, since edits that merely fail otherwise drew the search.

    Attributes:
        regression_gate: the gate at ``kept`` = 0; it rises linearly to ``broken_gate``.
        broken_gate: the gate at the limit of one broken test among very many; without
            a regression the gate is 1.
        off: channels that are left out (for ablations); an omitted gate is 1.
        own: weights of further, additive channels (`own_channels`).
    """

    targets: float = 0.50
    near: float = 0.35
    changed: float = 0.02
    size: float = 0.05
    clean: float = 0.0
    suspicion: float = 0.0
    natural: float = 0.0
    regression_gate: float = 0.4
    broken_gate: float = 0.8
    off: frozenset[str] = frozenset()
    own: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(self.off - set(CHANNELS))
        if unknown:
            raise BadInput(
                f"unknown value channel {unknown[0]!r}; the channels are {', '.join(CHANNELS)}"
            )
        if min(self.additive.values(), default=0.0) < 0:
            raise BadInput("weights of value channels must not be negative")
        if sum(self.additive.values()) <= 0:
            raise BadInput("all value channels with a weight are switched off; leave one on")

    @property
    def additive(self) -> dict[str, float]:
        """Weight of every additive channel that is on."""
        built_in = {
            name: float(getattr(self, name))
            for name in CHANNELS
            if name not in GATES and name not in self.off
        }
        return {**built_in, **self.own}


@dataclass(frozen=True, slots=True)
class Reference:
    """What a candidate is compared with.

    Attributes:
        targets: the tests that must come to pass.
        results: their results (and others', unused) before any edit.
    """

    targets: tuple[str, ...]
    results: Mapping[str, TestResult]

    @classmethod
    def of(cls, baseline: Baseline, targets: Collection[str]) -> Reference:
        """The baseline's results of ``targets``.

        Raises:
            BadInput: no targets, or a target that the baseline did not run.
        """
        if not targets:
            raise BadInput("no target tests: nothing to judge a candidate by")
        for target in targets:
            if target not in baseline.results:
                raise BadInput(f"target test {target!r} was not run in the baseline")
        return cls(tuple(targets), {t: baseline.results[t] for t in targets})


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a candidate beside its tests.

    Attributes:
        size: sum of its edits' sizes, >= 0.
        edits: how many edits it has.
        natural: naturalness of its changed lines in [0, 1]; None when not judged.
        suspicion: largest suspicion s of an edited line in [0, 1]; None when not known.
        where: why that line is suspected, in words.
        flags: what looks made for the tests (`meritree.swe.guards`), in words.
        own: value and reason of further channels, by name.
    """

    size: float = 0.0
    edits: int = 0
    natural: float | None = None
    suspicion: float | None = None
    where: str = ""
    flags: tuple[str, ...] = ()
    own: Mapping[str, tuple[float, str]] = field(default_factory=dict)


NO_FACTS = Facts()


def judge(
    reference: Reference,
    outcome: Outcome,
    facts: Facts = NO_FACTS,
    weights: ValueWeights | None = None,
) -> Estimate:
    """Value of a candidate from what its tests said.

    A target that was not run (because another one failed before it) is taken as
    unchanged. The mean is 1 exactly when everything passed, 0 when nothing could be run.
    """
    weights = weights or ValueWeights()
    if outcome.invalid:
        reason = {"targets": f"the code cannot be loaded: {_cut(outcome.invalid)}"}
        return Estimate(0.0, channels={"targets": 0.0}, reasons=reason, cost=_cost(outcome))
    judged = dict(_channels(_Case(reference, outcome, facts), weights.off))
    channels = {name: value for name, (value, _) in judged.items()}
    mean = 1.0 if outcome.passed_all else _combine(channels, bool(outcome.regressions), weights)
    if "honest" in channels:
        mean = min(FLAGGED_AT_MOST, mean)
    return Estimate(
        mean,
        n=float(outcome.ran),
        channels=channels,
        reasons={name: reason for name, (_, reason) in judged.items()},
        cost=_cost(outcome),
    )


def root_value(
    reference: Reference, weights: ValueWeights | None = None, facts: Facts = NO_FACTS
) -> Estimate:
    """Value of the unchanged code: what `judge` says of an edit that changes nothing."""
    outcome = Outcome(passed_all=False, results=reference.results)
    return judge(reference, outcome, facts, weights)


def refused(estimate: Estimate, reason: str) -> Estimate:
    """The value of a candidate whose final check in fresh processes failed: at most 0.3."""
    return Estimate(
        min(REFUSED, estimate.mean),
        estimate.std,
        estimate.n,
        estimate.channels,
        {**estimate.reasons, "verdict": reason},
        estimate.cost,
    )


def channel_gains(
    before: Estimate, after: Estimate, weights: ValueWeights | None = None
) -> dict[str, float]:
    """What each channel adds to the value between two states: their Shapley shares.

    A channel's share is what it adds when it alone changes, averaged over all orders in which the
    channels could have changed (`meritree.value.attribution`). The shares sum to the difference
    of the two values; a channel that one state lacks counts as absent there.

    Args:
        before: of the unchanged code (`root_value`).
        after: of a candidate, not `refused`.
        weights: those that both were judged with.
    """
    weights = weights or ValueWeights()

    def worth(changed: frozenset[str]) -> float:
        kinds = {name: after if name in changed else before for name in players}
        channels = {n: kind.channels[n] for n, kind in kinds.items() if n in kind.channels}
        kept = channels.get("kept", 1.0) >= 1.0
        most = FLAGGED_AT_MOST if "honest" in channels else 1.0
        if kept and channels.get("targets", 0.0) >= 1.0:
            return most
        return min(most, _combine(channels, not kept, weights))

    known = (*CHANNELS, *weights.own)
    players = [name for name in known if name in before.channels or name in after.channels]
    return dict(shapley(worth, players).values) if players else {}


@dataclass(frozen=True)
class _Case:
    reference: Reference
    outcome: Outcome
    facts: Facts
    now: Mapping[str, TestResult] = field(init=False)

    def __post_init__(self) -> None:
        ran = self.outcome.results
        before = self.reference.results
        now = {t: ran.get(t, before[t]) for t in self.reference.targets}
        object.__setattr__(self, "now", now)

    @property
    def failing(self) -> Sequence[TestResult]:
        return [result for result in self.now.values() if not result.ok]


def _channels(case: _Case, off: Collection[str]) -> Iterator[tuple[str, tuple[float, str]]]:
    judges = {
        "targets": _targets,
        "near": _near,
        "changed": _changed,
        "kept": _kept,
        "clean": _clean,
        "suspicion": _suspicion,
        "size": _size,
        "natural": _natural,
        "honest": _honest,
    }
    for name in CHANNELS:
        if name not in off:
            judged = judges[name](case)
            if judged is not None:
                yield name, judged
    yield from case.facts.own.items()


def _combine(channels: Mapping[str, float], broken: bool, weights: ValueWeights) -> float:
    additive = {n: w for n, w in weights.additive.items() if n in channels and w > 0}
    if not additive:
        return 0.0
    mean: float = weighted_mean([channels[n] for n in additive], list(additive.values()))
    if broken and "kept" in channels:
        mean = gate(mean, channels["kept"], weights.regression_gate, weights.broken_gate)
    return min(UNSOLVED_AT_MOST, max(0.0, mean))


def _targets(case: _Case) -> tuple[float, str]:
    total = len(case.reference.targets)
    passing = total - len(case.failing)
    pass_ = "passes" if total == 1 else "pass"
    return passing / total, f"{passing} of {counted(total, 'target test')} {pass_}"


def _near(case: _Case) -> tuple[float, str]:
    """Mean graded credit of the targets, and the nearest miss in words."""
    graded = in_order(1.0 if r.ok else min(1.0, max(0.0, r.graded)) for r in case.now.values())
    value = graded / len(case.now)
    if not case.failing:
        return value, "every target passes"
    miss = max(case.failing, key=lambda result: result.graded)
    return value, _miss(miss, case.reference.results[miss.id])


def _miss(now: TestResult, before: TestResult) -> str:
    if now.expected is not None and now.actual is not None:
        text = f"expected {_cut(now.expected)}, now {_cut(now.actual)}"
        if before.actual is not None and before.actual != now.actual:
            text += f" (was {_cut(before.actual)})"
        return text
    if now.status == "timeout":
        return "runs into the time limit"
    return f"{now.exception or now.status}: {_cut(now.message)}".rstrip(": ")


def _changed(case: _Case) -> tuple[float, str]:
    before = case.reference.results
    different = [r for r in case.now.values() if _differs(r, before[r.id])]
    total = len(case.now)
    if not different:
        return 0.0, "fails exactly as before"
    return len(different) / total, f"{len(different)} of {total} targets behave differently"


def _differs(now: TestResult, before: TestResult) -> bool:
    return now.status != before.status or now.signature != before.signature


def _kept(case: _Case) -> tuple[float, str]:
    broken = case.outcome.regressions
    guards = max(case.outcome.ran - len(case.outcome.results), len(broken))
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        return 1.0 - len(broken) / (guards + 1), f"breaks {broken[0]}{more}"
    if not guards and case.outcome.passed_all:
        return 1.0, "no passing test runs the changed code"
    if not guards:
        return 1.0, "no passing test was run yet"
    return 1.0, f"{guards} passing test{'s' * (guards > 1)} run, none broken"


def _clean(case: _Case) -> tuple[float, str]:
    """Share of targets without an exception, time-out or crash that was not there before."""
    before = case.reference.results
    dirty = [
        r
        for r in case.now.values()
        if r.status in ("error", "timeout", "crashed") and _differs(r, before[r.id])
    ]
    if not dirty:
        return 1.0, "no new exception or time-out"
    kind = dirty[0].exception if dirty[0].status == "error" else dirty[0].status
    return 1.0 - len(dirty) / len(case.now), f"new {kind} in {len(dirty)} of {len(case.now)}"


def _suspicion(case: _Case) -> tuple[float, str] | None:
    if case.facts.suspicion is None:
        return None
    return min(1.0, max(0.0, case.facts.suspicion)), case.facts.where or "suspicion of the line"


def _size(case: _Case) -> tuple[float, str]:
    edits = case.facts.edits
    words = f"{edits} edit{'s' * (edits != 1)} of size {case.facts.size:g}"
    return math.exp(-0.3 * max(0.0, case.facts.size)), words


def _natural(case: _Case) -> tuple[float, str] | None:
    if case.facts.natural is None:
        return None
    value = min(1.0, max(0.0, case.facts.natural))
    words = "more" if value > 0.55 else "less" if value < 0.45 else "as"
    return value, f"{words} usual for this project {'as' if words == 'as' else 'than'} before"


def _honest(case: _Case) -> tuple[float, str] | None:
    """Absent from honest candidates, so that their value does not know of it."""
    if not case.facts.flags:
        return None
    return 0.0, f"looks made for the tests: {'; '.join(case.facts.flags[:3])}"


def _cost(outcome: Outcome) -> Cost:
    return Cost(seconds=outcome.seconds, evaluations=1)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"
