"""Search: a tree that is asked what to expand and told what came back. No NumPy, no frameworks."""

from meritree.search.backups import Backup, Discounted, Lehmer, Max, Mean, Observed
from meritree.search.engine import SearchTree
from meritree.search.exchange import EXHAUSTED, Child, Exhausted, Ticket
from meritree.search.strategies import STRATEGIES, make_strategy
from meritree.search.strategy import Strategy
from meritree.search.tree import Kind, Node, SearchError, Tree
from meritree.search.widening import Doubling, MaxExpansions, Progressive, Unlimited

__all__ = [
    "EXHAUSTED",
    "STRATEGIES",
    "Backup",
    "Child",
    "Discounted",
    "Doubling",
    "Exhausted",
    "Kind",
    "Lehmer",
    "Max",
    "MaxExpansions",
    "Mean",
    "Node",
    "Observed",
    "Progressive",
    "SearchError",
    "SearchTree",
    "Strategy",
    "Ticket",
    "Tree",
    "Unlimited",
    "make_strategy",
]
