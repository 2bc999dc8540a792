"""What a search strategy is made of; the named ones are in `strategies`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from meritree.errors import BadInput
from meritree.search.andor import Conjunction
from meritree.search.backups import Backup, Mean
from meritree.search.scheduling import Scheduler
from meritree.search.tree import Tree
from meritree.search.widening import MaxExpansions, Widening


class Selector(Protocol):
    """A rule for where to expand next; `bind` gives it the memory it needs for one tree."""

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler: ...


@dataclass(frozen=True, slots=True)
class Strategy:
    """Everything that decides how a tree grows.

    Attributes:
        name: for people, journals and tables.
        selector: where to expand next.
        backup: what ancestors learn from a new value.
        widening: how many children a node may have.
        max_depth: nodes at this depth are not expanded; None: no limit.
        conjunction: value of an AND node from its children.
        temperature: how whoever asks the policy should take its proposals: 0 the most probable
            first, T > 0 drawn with probability ~ P^(1/T), without replacement.
        close_solved: a node known to be solved needs no further expansion. Set it to False to
            go on looking for other solutions below solved nodes.
    """

    name: str
    selector: Selector
    backup: Backup = field(default_factory=Mean)
    widening: Widening = field(default_factory=MaxExpansions)
    max_depth: int | None = None
    conjunction: Conjunction = Conjunction.PRODUCT
    temperature: float = 0.0
    close_solved: bool = True

    def __post_init__(self) -> None:
        if self.max_depth is not None and self.max_depth < 1:
            raise BadInput(f"max_depth={self.max_depth}: must be at least 1, or None for no limit")
        takes_unvisited = getattr(self.selector, "takes_unvisited", False)
        if not (self.backup.counts_estimates or takes_unvisited):
            raise BadInput(
                f"strategy {self.name}: backup {type(self.backup).__name__} leaves new nodes "
                f"unvisited, which {type(self.selector).__name__} cannot score; take GlobalUct"
            )
        if not 0.0 <= self.temperature < math.inf:
            raise BadInput(f"temperature={self.temperature}: must be a finite number >= 0")
