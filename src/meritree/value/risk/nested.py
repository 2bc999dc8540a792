"""Nested risk: one-step conditional risks applied backwards, time-consistent by construction.

rho_t(Y) = c_t + rho(rho_{t+1}(Y) | what is known at t): over scenario trees and over finite
Markov decision processes. Knows no learning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from meritree.errors import BadInput
from meritree.value._arrays import (
    Array,
    check_floats,
    check_probabilities,
    namespace,
)
from meritree.value.risk.measures import Risk


@dataclass(frozen=True)
class ScenarioTree:
    """Costs along a tree of events; node 0 is the root and parents come before children.

    Attributes:
        parent: parent's index of each node, -1 for the root.
        probability: of each node given its parent (1 for the root), ``[N]``.
        cost: paid on reaching each node, ``[N]``.
    """

    parent: tuple[int, ...]
    probability: Array
    cost: Array

    def __post_init__(self) -> None:
        n = len(self.parent)
        for name, array in (("probability", self.probability), ("cost", self.cost)):
            check_floats(namespace(array), array, name)
            if tuple(array.shape) != (n,):
                raise BadInput(f"{name} has shape {tuple(array.shape)}, the tree {n} nodes")
        for node, parent in enumerate(self.parent):
            if not (parent == -1 if node == 0 else 0 <= parent < node):
                raise BadInput(
                    f"parent[{node}]={parent}: the root (node 0) has parent -1, every other node "
                    "a parent that comes before it"
                )
        for node, children in enumerate(self.children()):
            if children:
                p = self.probability[children[0] : children[-1] + 1]
                if children != list(range(children[0], children[-1] + 1)):
                    raise BadInput(f"the children of node {node} must stand side by side")
                check_probabilities(namespace(p), p, f"probability of the children of node {node}")

    def children(self) -> list[list[int]]:
        """Each node's children."""
        children: list[list[int]] = [[] for _ in self.parent]
        for node, parent in enumerate(self.parent):
            if parent >= 0:
                children[parent].append(node)
        return children


def nested_risk(risk: Risk, tree: ScenarioTree) -> Array:
    """The nested risk of the accumulated cost at every node, ``[N]``; entry 0 is the root's."""
    xp = namespace(tree.cost)
    value = [tree.cost[node] for node in range(len(tree.parent))]
    children = tree.children()
    for node in reversed(range(len(tree.parent))):
        if children[node]:
            first, last = children[node][0], children[node][-1] + 1
            later = xp.stack(value[first:last])
            value[node] = value[node] + risk(later, tree.probability[first:last])
    return xp.stack(value)


def path_risk(risk: Risk, tree: ScenarioTree) -> Array:
    """The static risk of the accumulated cost at the leaves, a number."""
    xp = namespace(tree.cost)
    total = [tree.cost[0]]
    mass = [tree.probability[0]]
    for node, parent in enumerate(tree.parent[1:], start=1):
        total.append(total[parent] + tree.cost[node])
        mass.append(mass[parent] * tree.probability[node])
    leaves = [node for node, each in enumerate(tree.children()) if not each]
    return risk(xp.stack([total[i] for i in leaves]), xp.stack([mass[i] for i in leaves]))


class Plan(NamedTuple):
    """What backward induction found.

    Attributes:
        value: nested risk to go with t steps left, ``[H + 1, S]``, entry 0 the terminal cost.
        action: minimising action with t + 1 steps left, ``[H, S]``.
    """

    value: Array
    action: Array


def backup(risk: Risk, transition: Array, cost: Array, later: Array) -> Array:
    """Q[s, a] = risk of c(s, a, s') + later(s') under P(s'|s, a), ``[S, A]``.

    Args:
        transition: ``[S, A, S]``, probabilities along the last axis.
        cost: ``[S, A, S]``.
        later: ``[S]``, risk to go after the step.
    """
    return risk(cost + later, transition)


def backward_induction(
    risk: Risk, transition: Array, cost: Array, horizon: int, terminal: Array
) -> Plan:
    """The policy of least nested risk over ``horizon`` steps, and its risk.

    Args:
        risk: applied at every step.
        transition: ``[S, A, S]``.
        cost: ``[S, A, S]``.
        horizon: > 0 steps.
        terminal: ``[S]``, paid at the end.

    Raises:
        BadInput: shapes that do not fit, or no probabilities.
    """
    xp = namespace(transition, cost, terminal)
    check_probabilities(xp, transition, "transition")
    shape = tuple(transition.shape)
    fits = len(shape) == 3 and shape[0] == shape[2] == terminal.shape[0]
    if not fits or tuple(cost.shape) != shape or terminal.ndim != 1 or horizon < 1:
        raise BadInput(
            f"transition {shape}, cost {tuple(cost.shape)}, terminal {tuple(terminal.shape)}, "
            f"horizon {horizon}: need (S, A, S), (S, A, S), (S,) and at least one step"
        )
    check_floats(xp, cost, "cost")
    values, actions = [terminal], []
    for _ in range(horizon):
        q = backup(risk, transition, cost, values[-1])
        values.append(xp.min(q, axis=-1))
        actions.append(xp.argmin(q, axis=-1))
    return Plan(xp.stack(values), xp.stack(actions))
