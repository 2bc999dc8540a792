"""Which of several patches that pass is most likely right: named features, one table of weights.

A patch that passes may still be overfitted to its tests (it removes or bypasses behaviour).
Reads texts and edits; runs nothing, and knows nothing about the search.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from meritree.errors import BadInput
from meritree.swe.edits import Edit
from meritree.swe.repair.patch_facts import PatchFacts, patch_facts
from meritree.value.sums import in_order


@dataclass(frozen=True, slots=True)
class PlausiblePatch:
    """A patch that passed every test that was run.

    Attributes:
        key: identity of the patched state.
        edits: its edits, in the order in which they were made.
        before, after: text of the changed files, by path.
        probability: the policy's probability of all its edits together, in (0, 1].
        natural: naturalness of the changed lines, 0.5 when not judged or no more usual than before.
        suspicion: largest suspicion of an edited line relative to the file's top, in [0, 1].
        behaviour: fingerprint of what the patched code did on the observed runs; patches
            with equal fingerprints have the same effect there. Empty when unknown.
        test_literals: source of the constants in the failing tests (expected values).
    """

    key: str
    edits: tuple[Edit, ...]
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    probability: float = 1.0
    natural: float = 0.5
    suspicion: float = 0.0
    behaviour: str = ""
    test_literals: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Feature:
    """One piece of evidence: its value (mostly in [0, 1]) and, if it says something, why."""

    name: str
    value: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RankedPatch:
    """A patch with its score (log-odds of being right, up to a constant) and the evidence."""

    patch: PlausiblePatch
    score: float
    features: tuple[Feature, ...]

    def reasons(self, weights: Mapping[str, float], most: int = 4) -> tuple[str, ...]:
        """What weighs most, in words, strongest first."""
        told = [f for f in self.features if f.reason and f.value and weights.get(f.name)]
        told.sort(key=lambda f: -abs(f.value * weights[f.name]))
        sign = {True: "for it", False: "against it"}
        return tuple(f"{f.reason} ({sign[f.value * weights[f.name] > 0]})" for f in told[:most])


WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        # Behaviour removed or bypassed: what overfitted patches do.
        "exit_added": -1.0,  # a return, raise, break or continue that was not there
        "literal_returned": -1.2,  # ... or a return changed so that it gives a constant
        "test_literal": -1.5,  # a constant of the failing test written into the code
        "constant_condition": -2.0,  # a condition that is always true or false
        "removed": -1.2,  # share of the changed statements' nodes that went without substitute
        "statement_removed": -1.0,  # whole statements deleted
        "attribute_dropped": -1.0,  # x.y became x
        "call_dropped": -0.8,  # f(x) became x
        "swallowed": -1.5,  # exceptions caught that were not caught before
        "odd": -1.5,  # code that nobody means, made or (below 0) mended: x < x, 4 == x
        # Ordinary corrections.
        "ordinary": 1.0,  # operator, bound, variable, argument, attribute, constant +-1
        # How plausible the patch is in itself.
        "prior": 0.8,  # log10 of the probability, against the most probable patch (<= 0)
        "natural": 0.5,  # naturalness - 0.5
        "distance": -0.5,  # log2(1 + syntax nodes removed and added)
        "edits": -1.0,  # edits beyond the first
        "local": 0.8,  # suspicion of the edited line
        # What the other patches say.
        "agreement": 1.2,  # share of the patches with the same observed behaviour
    }
)

ORDINARY: frozenset[str] = frozenset(
    [
        "add_arg",
        "add_kw",
        "arith_ins",
        "attr",
        "attr_family",
        "aug_op",
        "bin_op",
        "bool_op",
        "call_family",
        "cmp_op",
        "cmp_op_const",
        "cond_var",
        "const",
        "drop_unary",
        "ifexp",
        "index_get",
        "loop_ctl",
        "module_attr",
        "negate",
        "off_by_one",
        "reassoc",
        "slice",
        "slice_ins",
        "swap_args",
        "swap_operands",
        "swap_tuple",
        "target",
        "var",
        "var_attr",
    ]
)


def features(patch: PlausiblePatch) -> tuple[Feature, ...]:
    """All features of one patch that do not depend on the other patches."""
    facts = patch_facts(patch.before, patch.after)
    ordinary = sum(edit.template in ORDINARY for edit in patch.edits)
    if facts.literal_returned or facts.constant_condition:
        ordinary = 0  # a constant in place of behaviour is no correction, whatever made it
    elif facts.new_literals:  # nor is one passed where nothing was
        ordinary -= sum(edit.template == "add_arg" for edit in patch.edits)
    total = max(1, len(patch.edits))
    kinds = ", ".join(dict.fromkeys(edit.template for edit in patch.edits))
    return (
        *_bypass(facts, patch.test_literals),
        Feature("ordinary", ordinary / total, f"ordinary correction ({kinds})"),
        Feature("natural", patch.natural - 0.5, "how usual the new line is for the project"),
        Feature("distance", math.log2(1 + facts.distance), f"{facts.distance} nodes changed"),
        Feature("edits", float(total - 1), f"{total} edits"),
        Feature("local", patch.suspicion, "suspicion of the edited line"),
    )


def _bypass(facts: PatchFacts, test_literals: frozenset[str]) -> tuple[Feature, ...]:
    special = sorted(facts.new_literals & test_literals)

    def flag(name: str, found: bool, reason: str) -> Feature:
        return Feature(name, float(found), reason)

    return (
        flag("exit_added", facts.exits_added > 0, "adds an early exit"),
        flag("literal_returned", facts.literal_returned, "returns a constant it did not return"),
        flag("test_literal", bool(special), f"uses {special[0] if special else ''} of the test"),
        flag("constant_condition", facts.constant_condition, "makes a condition constant"),
        Feature("removed", facts.removed_share, "removes code without a substitute"),
        flag("statement_removed", facts.statements_removed > 0, "deletes a statement"),
        flag("attribute_dropped", facts.attribute_dropped, "drops an attribute access"),
        flag("call_dropped", facts.call_dropped, "drops a call"),
        flag("swallowed", facts.swallowed, "catches exceptions that went through before"),
        Feature("odd", float(facts.oddities), _odd(facts.oddities)),
    )


def _odd(count: int) -> str:
    if not count:
        return ""
    return "makes code that nobody means" if count > 0 else "mends code that nobody means"


def rank(
    patches: Sequence[PlausiblePatch], weights: Mapping[str, float] = WEIGHTS
) -> tuple[RankedPatch, ...]:
    """Order patches so that the first is most likely right.

    Of equal scores the smaller change comes first, then the order that was given.
    """
    ranked = [
        RankedPatch(patch, score(evidence, weights), evidence)
        for patch, evidence in zip(patches, all_features(patches), strict=True)
    ]
    return tuple(sorted(ranked, key=lambda item: (-item.score, _size(item))))


def _size(item: RankedPatch) -> float:
    return sum(feature.value for feature in item.features if feature.name in ("distance", "edits"))


def score(evidence: Sequence[Feature], weights: Mapping[str, float] = WEIGHTS) -> float:
    """Sum of weight x value."""
    return in_order(weights.get(feature.name, 0.0) * feature.value for feature in evidence)


def all_features(patches: Sequence[PlausiblePatch]) -> list[tuple[Feature, ...]]:
    """Features of every patch, with those that compare it with the others."""
    if not patches:
        return []
    best = max(patch.probability for patch in patches)
    classes = Counter(patch.behaviour for patch in patches if patch.behaviour)
    return [
        (*features(patch), _prior(patch, best), _agreement(patch, classes, len(patches)))
        for patch in patches
    ]


def _prior(patch: PlausiblePatch, best: float) -> Feature:
    value = max(-4.0, math.log10(max(1e-12, patch.probability) / max(1e-12, best)))
    return Feature("prior", value, f"prior probability {patch.probability:.2g}")


def _agreement(patch: PlausiblePatch, classes: Mapping[str, int], total: int) -> Feature:
    same = classes.get(patch.behaviour, 1) if patch.behaviour else 1
    if total < 2:
        return Feature("agreement", 0.0)
    others = f"{same - 1} of {total - 1} other patches behave the same"
    return Feature("agreement", (same - 1) / (total - 1), others if same > 1 else "")


@dataclass(frozen=True, slots=True)
class LabelledPatch:
    """One plausible patch of a known task: its features and whether it was right."""

    values: Mapping[str, float]
    right: bool


def fit(
    tasks: Sequence[Sequence[LabelledPatch]],
    base: Mapping[str, float] = WEIGHTS,
    *,
    strength: float = 1.0,
    rounds: int = 500,
) -> dict[str, float]:
    """Weights that put right patches before wrong ones of the same task.

    Logistic regression on the differences of all (right, wrong) pairs of a task (the
    Bradley-Terry model), each task weighing one, with a Gaussian prior of precision
    ``strength`` around ``base``; gradient ascent with a step that is sure to converge.

    Raises:
        BadInput: ``strength`` is not positive.
    """
    if strength <= 0:
        raise BadInput(f"strength of the prior is {strength}; it must be positive")
    names = tuple(base)
    pairs = [pair for task in tasks for pair in _pairs(task, names)]
    # The curvature is at most strength + sum of w |d|^2 / 4: its inverse is a safe step.
    bound = strength + sum(w * sum(d * d for d in diff) for w, diff in pairs) / 4
    centre = [base[name] for name in names]
    weights = list(centre)
    for _ in range(rounds):
        slope = [strength * (c - w) for c, w in zip(centre, weights, strict=True)]
        for share, diff in pairs:
            margin = sum(w * d for w, d in zip(weights, diff, strict=True))
            pull = share / (1.0 + math.exp(min(700.0, margin)))
            for i, d in enumerate(diff):
                slope[i] += pull * d
        weights = [w + s / bound for w, s in zip(weights, slope, strict=True)]
        if max(map(abs, slope)) < 1e-6:
            break
    return dict(zip(names, weights, strict=True))


def _pairs(
    task: Sequence[LabelledPatch], names: Sequence[str]
) -> list[tuple[float, tuple[float, ...]]]:
    right = [patch.values for patch in task if patch.right]
    wrong = [patch.values for patch in task if not patch.right]
    share = 1.0 / max(1, len(right) * len(wrong))
    return [
        (share, tuple(r.get(name, 0.0) - w.get(name, 0.0) for name in names))
        for r in right
        for w in wrong
    ]
