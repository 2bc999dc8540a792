"""The named strategies: each a selector, a backup and a limit on children, with its defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from meritree.errors import BadInput
from meritree.search.backups import Mean
from meritree.search.chains import Chains, Guarded
from meritree.search.global_uct import GlobalUct
from meritree.search.selectors import PUCT, SQRT2, UCT, Beam, BestFirst, Newest
from meritree.search.strategy import Strategy
from meritree.search.swe_search import SweSearchDev, SweSearchMoatless, SweSearchPaper
from meritree.search.thompson import AbMcts, Posterior
from meritree.search.tree import UNLIMITED
from meritree.search.widening import Doubling, MaxExpansions, Progressive, Unlimited


def linear(*, chains: int = 1_000_000, max_depth: int | None = None) -> Strategy:
    """One chain: always go on from the newest state (the ordinary agent, no search).

    When the chain ends it starts again from the root with the next most probable proposal, at
    most ``chains`` times in all; 1 is the agent that stops there.
    """
    return Strategy("linear", Newest(), Mean(), MaxExpansions(1, root=chains), max_depth)


def best_of_n(
    *, n: int = 1_000_000, temperature: float = 1.0, max_depth: int | None = None
) -> Strategy:
    """``n`` independent chains from the root, one after the other, drawn from the policy."""
    widening = MaxExpansions(UNLIMITED, root=n)
    return Strategy("best-of-n", Chains(), Mean(), widening, max_depth, temperature=temperature)


def beam(*, width: int = 4, expansions: int = 32, max_depth: int | None = None) -> Strategy:
    """Level by level, the best ``width`` states get ``expansions`` children each."""
    return Strategy("beam", Beam(width, expansions), Mean(), Unlimited(), max_depth)


def best_first(
    *,
    prior_weight: float = 0.03,
    tolerance: float = 0.05,
    path_prior: bool = True,
    root_share: float = 0.8,
    max_depth: int | None = None,
) -> Strategy:
    """The state of highest value, falling as its edits become improbable; the default of `fix`."""
    selector = BestFirst(prior_weight, tolerance, path_prior, root_share)
    return Strategy("best-first", selector, Mean(), Unlimited(), max_depth)


def uct(
    *, c: float = SQRT2, k: float = 4.0, alpha: float = 0.75, max_depth: int | None = None
) -> Strategy:
    """UCT with progressive widening (k N^alpha children)."""
    return Strategy("uct", UCT(c), Mean(), Progressive(k, alpha), max_depth)


def puct(
    *, c: float = 4.0, mix: float = 0.5, fpu: float = 0.05, max_depth: int | None = None
) -> Strategy:
    """PUCT over lazily revealed proposals."""
    return Strategy("puct", PUCT(c, mix, fpu), Mean(), Unlimited(), max_depth)


def swe_search_paper(
    *, max_expansions: int = 3, max_depth: int | None = 20, **score: float
) -> Strategy:
    """SWE-Search's formula as printed; ``score``: c, alpha, beta, gamma.

    Three expansions a node, as printed; where that leaves nothing to expand (the original ends
    there) the number doubles, for this and the two scores below.
    """
    return Strategy(
        "swe-search-paper",
        SweSearchPaper(**score),
        Mean(),
        Doubling(max_expansions),
        max_depth,
    )


def swe_search_dev(
    *, max_expansions: int = 3, max_depth: int | None = None, **score: Any
) -> Strategy:
    """SWE-Search as its development code ran it (greedy best-first with bonuses)."""
    return Strategy(
        "swe-search-dev", SweSearchDev(**score), Mean(), Doubling(max_expansions), max_depth
    )


def swe_search_moatless(
    *, max_expansions: int = 3, max_depth: int | None = None, **score: Any
) -> Strategy:
    """SWE-Search as in moatless-tree-search, with diversity and duplicate penalties."""
    return Strategy(
        "swe-search-moatless",
        SweSearchMoatless(**score),
        Mean(),
        Doubling(max_expansions),
        max_depth,
    )


def ab_mcts(*, max_depth: int | None = None, **prior: float) -> Strategy:
    """AB-MCTS-A: wider or deeper by Thompson sampling; ``prior``: m, kappa, nu, tau2."""
    return Strategy("ab-mcts", AbMcts(Posterior(**prior)), Mean(), Unlimited(), max_depth)


def guarded(
    *,
    share: float = 0.5,
    margin: float = 0.02,
    temperature: float = 1.0,
    max_depth: int | None = None,
) -> Strategy:
    """Best-of-n that leaves its chains for promising states, and falls back on them."""
    selector = Guarded(share, margin)
    return Strategy("guarded", selector, Mean(), Unlimited(), max_depth, temperature=temperature)


def i_mcts(
    *,
    c: float = 2.0,
    c_v: float = 0.2,
    children: int = 5,
    channel: str = "",
    max_depth: int | None = None,
) -> Strategy:
    """I-MCTS's hybrid reward schedule and global UCT; five children at a time, as published.

    Where that leaves nothing to expand, the number of children doubles. For worlds that judge
    each state as it is reached; `introspective.introspective_search` tries fewer states than it
    proposes.
    """
    selector = GlobalUct(c, c_v, children, channel)
    return Strategy("i-mcts", selector, Mean(), Doubling(children), max_depth)


STRATEGIES: Mapping[str, Callable[..., Strategy]] = MappingProxyType(
    {
        "linear": linear,
        "best-of-n": best_of_n,
        "beam": beam,
        "best-first": best_first,
        "uct": uct,
        "puct": puct,
        "swe-search-paper": swe_search_paper,
        "swe-search-dev": swe_search_dev,
        "swe-search-moatless": swe_search_moatless,
        "ab-mcts": ab_mcts,
        "guarded": guarded,
        "i-mcts": i_mcts,
    }
)
"""Strategy factories by name; every parameter has a default."""


def make_strategy(name: str, **parameters: Any) -> Strategy:
    """The named strategy, with some of its parameters replaced.

    Raises:
        BadInput: an unknown name or parameter.
    """
    factory = STRATEGIES.get(name)
    if factory is None:
        raise BadInput(f"unknown strategy {name!r}; choose one of {', '.join(STRATEGIES)}")
    try:
        return factory(**parameters)
    except TypeError as error:
        raise BadInput(f"strategy {name}: {error}") from error
