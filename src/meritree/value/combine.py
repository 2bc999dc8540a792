"""Hybrid values as pure arithmetic: means, products, gates, schedules, expected costs.

Written with operators only, so that plain numbers and arrays of any library go through the same
lines (the combiners of `hybrid` and the flagship call them too). They know no channel and no node.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from meritree.errors import BadInput
from meritree.value.sums import in_order

Value: TypeAlias = Any
"""A number, or an array of any library; arguments of one call broadcast by that library's rules."""

FAILURE_COST = 5.0  # PDVN's cost of a dead end, in the units of a route's cost


def weighted_mean(values: Sequence[Value], weights: Sequence[Value]) -> Value:
    """``sum_i w_i v_i / sum_i w_i``: lies between the smallest and the largest value.

    Args:
        values: numbers or arrays of one shape.
        weights: as many; >= 0, not all 0. Arrays weigh element by element.

    Raises:
        BadInput: no value, unequal numbers, or a number that is NaN, infinite or (a weight)
            negative; all weights 0. Entries of arrays are not looked at.
    """
    if len(values) != len(weights) or not len(values):
        raise BadInput(
            f"weighted_mean: {len(values)} values and {len(weights)} weights; "
            "give one weight for each value, and at least one value"
        )
    for position, value in enumerate(values):
        _finite("weighted_mean", f"values[{position}]", value)
    for position, weight in enumerate(weights):
        _finite("weighted_mean", f"weights[{position}]", weight, at_least=0.0)
    total = in_order(weights)
    if _is_number(total) and not total > 0.0:
        raise BadInput("weighted_mean: the weights sum to 0; give one value a weight above 0")
    return in_order(w * v for w, v in zip(weights, values, strict=True)) / total


def product(values: Sequence[Value]) -> Value:
    """``prod_i v_i``, 1 if there is none: with values in [0, 1], every judge must agree."""
    return math.prod(values)


def gate(value: Value, signal: Value, closed: Value = 0.0, opened: Value = 1.0) -> Value:
    """``v (closed + (opened - closed) s)``: the value let through as far as the signal says.

    Args:
        value: what passes the gate.
        signal: in [0, 1]; 0 closes, 1 opens.
        closed, opened: factors at the two ends.
    """
    return value * (closed + (opened - closed) * signal)


def visit_weight(n: Value, c: Value) -> Value:
    """``w = c / (c + n)``: what a prior still weighs after n observations (S031).

    Args:
        n: effective number of observations, >= 0.
        c: how many observations the prior is worth, >= 0; ``w n -> c`` as n grows. With c = 0
            the prior weighs nothing (at n = 0 as well for numbers, NaN for arrays).

    Raises:
        BadInput: a number that is negative, NaN or infinite.
    """
    _finite("visit_weight", "n", n, at_least=0.0)
    _finite("visit_weight", "c", c, at_least=0.0)
    if _is_number(c) and _is_number(n) and c + n == 0.0:
        return 0.0
    return c / (c + n)


def visit_schedule(prior: Value, evidence: Value, n: Value, c: Value = 0.2) -> Value:
    """``w prior + (1 - w) evidence`` with ``w = c / (c + n)``: the prior gives way to evidence.

    I-MCTS (Liang et al. 2025, arXiv 2502.14693, as in the released code, c = 0.2): a model's
    judgement counts alone at n = 0 and fades as rewards are observed.

    Args:
        prior: value before any observation.
        evidence: mean of the n observations; any finite number while n = 0.
        n, c: as in `visit_weight`.
    """
    weight = visit_weight(n, c)
    return weight * prior + (1.0 - weight) * evidence


def expected_cost(p_success: Value, cost: Value, failure_cost: float = FAILURE_COST) -> Value:
    """``p clip(cost, 0, F) + (1 - p) F``: lower is better.

    The two value networks of PDVN (Liu et al. 2023, arXiv 2301.13755, as in the released code):
    probability of success and cost if it succeeds make one cost.

    Args:
        p_success: in [0, 1].
        cost: of a success; may be infinite.
        failure_cost: F > 0.

    Raises:
        BadInput: F is not above 0, or a number ``p_success`` outside [0, 1].
    """
    if not 0.0 < failure_cost < math.inf:
        raise BadInput(f"expected_cost: failure_cost={failure_cost}: must be finite and above 0")
    if _is_number(p_success) and not 0.0 <= p_success <= 1.0:
        raise BadInput(f"expected_cost: p_success={p_success}: must lie in [0, 1]")
    return p_success * _clip(cost, failure_cost) + (1.0 - p_success) * failure_cost


def product_compose(scale: Value, direction: Value) -> Value:
    """``scale x direction``: a size common to all actions times what each action makes of it.

    The multiplicative counterpart of a dueling head (S106): subtree sizes differ by factors, not
    by differences.

    Args:
        scale: [..., 1].
        direction: [..., A].

    Returns:
        [..., A].

    Raises:
        BadInput: the last axis of ``scale`` is not 1, or the leading axes differ.
    """
    one, many = tuple(scale.shape), tuple(direction.shape)
    if not one or one[-1] != 1 or one[:-1] != many[:-1]:
        raise BadInput(
            f"product_compose: scale has shape {one} and direction {many}; "
            "give [..., 1] and [..., A] with equal leading axes"
        )
    return scale * direction


def _clip(x: Value, high: float) -> Value:
    """x cut to [0, high]; the one place where an array's library must be asked."""
    if _is_number(x):
        return min(max(x, 0.0), high)
    from meritree.objectives._namespace import namespace

    return namespace(x).clip(x, 0.0, high)


def _is_number(x: Value) -> bool:
    return isinstance(x, (bool, int, float))


def _finite(where: str, name: str, x: Value, at_least: float = -math.inf) -> None:
    if _is_number(x) and not (math.isfinite(x) and x >= at_least):
        asked = "finite" if at_least == -math.inf else f"finite and >= {at_least:g}"
        raise BadInput(f"{where}: {name} is {x}: must be {asked}")
