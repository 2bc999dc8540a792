"""The selector's score of each node, computed anew from what a journal tells.

The engine is told the same things again; nothing is chosen. Tickets that are out count nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from meritree.errors import MeritreeError
from meritree.search import Child, SearchTree, Unlimited, make_strategy
from meritree.search.features import SweFeatures
from meritree.search.terms import Terms, score_terms
from meritree.value.estimate import Estimate

Row = tuple[int, str, float, float, float | None, bool]

_READ_PRIORS = ("best-first", "puct")
_READ_FEATURES = ("swe-search-dev", "swe-search-moatless")


@dataclass(slots=True)
class Told:
    """What the engine was told, in order.

    Attributes:
        root, root_key: of the root; the value is None before the search began.
        rows: parent, key, value, prior, the parent's next prior as it was read when this child
            was asked for, whether it passed.
        next_priors: node id -> prior of its next proposal at the end.
        priors_known, features_known: whether the journal tells what selectors read of these.
    """

    root: float | None = None
    root_key: str = ""
    rows: list[Row] = field(default_factory=list)
    next_priors: dict[int, float] = field(default_factory=dict)
    priors_known: bool = True
    features_known: bool = True

    def child(
        self,
        parent: int,
        key: str,
        value: float,
        prior: float | None,
        next_prior: float | None,
        passed: bool,
    ) -> None:
        """A child, or (a key told before) an expansion that led to a known state."""
        if prior is None and value:
            self.priors_known = False
        prior = 1.0 if prior is None else prior
        self.rows.append((parent, key, value, prior, next_prior, passed))

    def search(self, strategy: str, seed: int = 0) -> SearchTree | None:
        """The engine's tree; None where the strategy is unknown or reads what is not recorded."""
        unknown = (strategy in _READ_PRIORS and not self.priors_known) or (
            strategy in _READ_FEATURES and not self.features_known
        )
        if self.root is None or unknown:
            return None
        try:
            rules = replace(make_strategy(strategy), widening=Unlimited(), max_depth=None)
            search = SearchTree(rules, seed)
            search.start(self.root_key, Estimate(self.root))
            for parent, key, value, prior, next_prior, passed in self.rows:
                node = search.tree.raw[parent]
                if next_prior is not None:
                    node.next_prior = next_prior
                known = search.tree.find(key)
                estimate = Estimate(value) if known is None else known.estimate
                search.tell(
                    search.ask_at(parent),
                    Child(key, "", estimate, prior, features=SweFeatures(finished=passed)),
                )
            for number, following in self.next_priors.items():
                search.tree[number].next_prior = following
        except (MeritreeError, IndexError, ValueError):
            return None
        return search


def all_terms(search: SearchTree | None) -> list[Terms]:
    """The terms of every node by id; empty without a tree."""
    if search is None:
        return []
    return [score_terms(search, number) for number in range(len(search.tree))]
