"""Ablations: each takes out its own part and leaves the others as they are."""

from __future__ import annotations

import pytest

from meritree.bench.ablations import ABLATIONS, CHANNELS, Parts, parts_without
from meritree.errors import BadInput
from meritree.swe.repair.policy import RepairPolicy
from meritree.swe.repair.priors import FailureSigns, PriorTable
from meritree.swe.repair.suspicion import LineSuspicion, Suspicion
from meritree.swe.repair.templates import TEMPLATES, EditCatalogue

TEXT = "def clamp(n, low, high):\n    if n < low:\n        return low\n    return high\n"
FAULTY = Suspicion((LineSuspicion("clamp.py", 2, 1.0, 1.0, "clamp"),), 1)


def changed(parts: Parts) -> set[str]:
    """Names of the attributes that differ from the usual ones."""
    usual = Parts()
    return {n for n in Parts.__slots__ if getattr(parts, n) != getattr(usual, n)}


def order(parts: Parts) -> list[str]:
    """The first edits of a policy made of these parts."""
    policy = RepairPolicy(
        EditCatalogue(),
        {"clamp.py": TEXT},
        FAULTY,
        parts.priors or PriorTable(EditCatalogue().templates),
        signs=FailureSigns(("TypeError",)),
        options=parts.options,
    )
    found = [policy.propose({}, "") for _ in range(30)]
    return [p.edit.rationale for p in found if p]


@pytest.mark.parametrize("name", CHANNELS)
def test_a_channel_is_left_out_of_the_value_alone(name: str) -> None:
    parts = parts_without([name])
    assert changed(parts) == {"weights"}
    assert parts.weights.off == {name}


def test_without_the_prior_all_templates_weigh_the_same_whatever_the_failure() -> None:
    parts = parts_without(["prior"])
    assert parts.priors is not None
    weights = parts.priors.weigh(TEMPLATES, FailureSigns(("TypeError",), ("NoneType",), ("None",)))
    assert set(weights.values()) == {1.0}
    assert parts.options.learning is not None
    assert order(parts) != order(Parts())


def test_learning_and_canary_are_switched_off_alone() -> None:
    assert changed(parts_without(["learning"])) == {"options"}
    assert parts_without(["learning"]).options.learning is None
    assert changed(parts_without(["canary"])) == {"limits"}
    assert parts_without(["canary"]).limits.canary_every == 0


def test_several_parts_can_be_taken_out_and_unknown_ones_are_refused_by_name() -> None:
    assert changed(parts_without(["canary", "near", "prior"])) == {
        "limits",
        "options",
        "priors",
        "weights",
    }
    assert parts_without([]) == Parts()
    with pytest.raises(BadInput, match=r"ablation 'value': unknown; choose from .*canary"):
        parts_without(["value"])
    assert set(CHANNELS) < set(ABLATIONS)
