"""A selector's score term by term, for whoever explains a search.

The same formulas as in `selectors` and `swe_search`, written as sums; the tests hold each sum
equal to the selector's own score. Nothing here decides anything.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from meritree.search.engine import SearchTree
from meritree.search.frontier import Frontier
from meritree.search.global_uct import TINY, GlobalUct
from meritree.search.root_share import RootShare
from meritree.search.selectors import PUCT, UCT, Beam, BestFirst, Newest
from meritree.search.swe_search import (
    MoatlessScorer,
    SweSearchDev,
    SweSearchMoatless,
    SweSearchPaper,
    features_of,
    is_finished,
    is_patched,
    reward_of,
)
from meritree.search.tree import Node, Tree


class Term(NamedTuple):
    """One summand of a score: what it stands for, its formula with the numbers, its value."""

    name: str
    formula: str
    value: float


Terms = tuple[Term, ...]


def score_terms(search: SearchTree, node_id: int) -> Terms:
    """The summands of the score by which the search's selector compares a node with others.

    Empty where there is no such score: the root of a rule that compares siblings, a node that the
    rule never expands (`BestFirst.tolerance`), a rule of somebody else's.
    """
    tree = search.tree
    node = tree.nodes[node_id]
    match search.strategy.selector:
        case UCT() as rule:
            return _uct(rule, tree, node)
        case PUCT() as rule:
            return _puct(rule, tree, node)
        case BestFirst() as rule:
            return _best_first(rule, tree, node)
        case Newest():
            return (Term("age", "the newest first: its number", float(node.id)),)
        case Beam():
            return (Term("own value", "V(s), compared within its level", node.own),)
        case GlobalUct() as rule:
            return _global_uct(rule, tree, node)
        case SweSearchPaper() as rule:
            return _paper(rule, tree, node)
        case SweSearchDev() as rule:
            return _dev(rule, tree, node)
        case SweSearchMoatless() as rule:
            return _moatless(rule, _scorer(search), tree, node)
    return ()


def next_priors(search: SearchTree) -> dict[str, float]:
    """Prior of the next proposal of every expanded node, as the selector reads it now.

    Keys are node ids as text: this is for a journal, so that scores can be explained from it.
    """
    return {
        str(node.id): node.next_prior
        for node in search.tree.raw
        if node.expansions and node.next_prior is not None
    }


def _uct(rule: UCT, tree: Tree, node: Node) -> Terms:
    if node.parent < 0:
        return ()
    parent = tree.raw[node.parent]
    above, n = parent.visits + parent.virtual, node.visits + node.virtual
    return (
        Term("value below", "Q(a)", node.value * node.visits / n),
        Term(
            "exploration",
            f"c sqrt(ln N(s) / N(a)), c = {rule.c:.4g}, N(s) = {above}, N(a) = {n}",
            rule.c * math.sqrt(math.log(above)) / math.sqrt(n),
        ),
    )


def _puct(rule: PUCT, tree: Tree, node: Node) -> Terms:
    if node.parent < 0:
        return ()
    parent = tree.raw[node.parent]
    above, n = parent.visits + parent.virtual, node.visits + node.virtual
    q = (rule.mix * node.value + (1.0 - rule.mix) * node.best) * node.visits / n
    return (
        Term("value below", f"Q(a), {rule.mix:g} of the mean, the rest of the best", q),
        Term(
            "exploration",
            f"c P(a) sqrt(N(s)) / (1 + N(a)), c = {rule.c:g}, P(a) = {node.prior:.3g}, "
            f"N(s) = {above}, N(a) = {n}",
            rule.c * node.prior * math.sqrt(above) / (1.0 + n),
        ),
    )


def _best_first(rule: BestFirst, tree: Tree, node: Node) -> Terms:
    if rule.score(tree, node) is None:
        return ()
    terms = [Term("own value", "V(s)", node.own)]
    weight = rule.prior_weight
    if weight == 0.0:
        return tuple(terms)
    following = 1.0 if node.next_prior is None else node.next_prior
    name = "next proposal"
    if following <= 0.0:
        return (*terms, Term(name, "no proposal is left", -math.inf))
    known = "" if node.next_prior is not None else " (not yet known)"
    formula = f"{weight:g} ln P(next), P = {following:.3g}{known}"
    terms.append(Term(name, formula, weight * math.log(following)))
    if rule.path_prior and node.parent >= 0:
        log_prior, at = 0.0, node
        while at.parent >= 0:
            log_prior += math.log(max(at.prior, 1e-12))
            at = tree.raw[at.parent]
        formula = f"{weight:g} ln P(path), {node.depth} edits"
        terms.append(Term("path to here", formula, weight * log_prior))
    return tuple(terms)


def _global_uct(rule: GlobalUct, tree: Tree, node: Node) -> Terms:
    above = tree.raw[node.parent].visits if node.parent >= 0 else 1
    n = node.visits + node.pending
    weight = max(float(n), rule.c_v)
    if weight == 0.0 or (node.expansions + node.pending) % rule.batch:
        return (Term("turn", "never visited, or an expansion to be finished first", math.inf),)
    return (
        Term(
            "hybrid value",
            f"w prior + (1 - w) W / N, prior = {rule.prior(node):.3g}, N = {n}, c_v = {rule.c_v:g}",
            rule.hybrid(node),
        ),
        Term(
            "exploration",
            f"c sqrt(ln N(parent) / max(N, c_v)), c = {rule.c:g}, N(parent) = {above}",
            rule.c * math.sqrt(max(0.0, math.log(above + TINY)) / weight),
        ),
    )


def _paper(rule: SweSearchPaper, tree: Tree, node: Node) -> Terms:
    above = tree.raw[node.parent].visits if node.parent >= 0 else 1
    d, n = node.depth, node.visits + node.pending
    return (
        Term("value below", "V(s, a) in [-100, 100]", reward_of(node.value * node.visits / n)),
        Term(
            "exploration",
            f"C sqrt(ln N(s) / N(s, a)), C = {rule.c:g}, N(s) = {above}, N(s, a) = {n}",
            rule.c * math.sqrt(math.log(above) / n),
        ),
        Term(
            "early depth",
            f"alpha exp(-beta (d - 1)), alpha = {rule.alpha:g}, beta = {rule.beta:g}, d = {d}",
            rule.alpha * math.exp(-rule.beta * (d - 1)),
        ),
        Term("depth", f"-gamma sqrt(d), gamma = {rule.gamma:g}", -rule.gamma * math.sqrt(d)),
    )


def _dev(rule: SweSearchDev, tree: Tree, node: Node) -> Terms:
    if rule.score(tree, node) is None:
        return ()
    r, d = _reward(rule.root_reward, node), node.depth + 1
    rewards = [reward_of(tree.raw[i].own) for i in node.children]
    terms = [Term("reward", "r", r), Term("depth", "-0.8 sqrt(d)", -0.8 * math.sqrt(d))]
    if rewards:
        if d <= 1:
            early = 200.0 * math.exp(-0.8 * (d - 1))
            terms.append(Term("early depth", "200 exp(-0.8 (d - 1))", early))
        if r >= 55.0 and len(rewards) == 1 and rewards[0] <= 50.0:
            terms.append(Term("bad child", "5 (r - r_child)", 5.0 * (r - rewards[0])))
        if r >= 55.0 and max(rewards) >= 75.0:
            terms.append(Term("good child", "-5", -5.0))
    elif not node.pending:
        if r >= 55.0:
            terms.append(Term("leaf", "+20", 20.0))
        parent = tree.raw[node.parent] if node.parent >= 0 else None
        if r <= 50.0 and parent is not None and _reward(rule.root_reward, parent) > 55.0:
            terms.append(Term("good parent", "5 (55 - r)", 5.0 * (55.0 - r)))
    return tuple(terms)


def _moatless(rule: SweSearchMoatless, scorer: MoatlessScorer, tree: Tree, node: Node) -> Terms:
    raw, features = tree.raw, features_of(node)
    parent = raw[node.parent] if node.parent >= 0 else None
    r = _reward(rule.root_reward, node)
    terms = [Term("reward", "r", r), Term("depth", "-0.8 sqrt(d)", -0.8 * math.sqrt(node.depth))]
    if parent is not None:
        n = node.visits + node.pending
        explore = rule.exploration * math.sqrt(math.log(parent.visits) / n)
        formula = f"w sqrt(ln N(s) / N(s, a)), N(s) = {parent.visits}, N(s, a) = {n}"
        terms.append(Term("exploration", formula, explore))
    elif rule.depth_bonus:
        terms.append(Term("early depth", "factor exp(0.8)", rule.depth_bonus * math.exp(0.8)))
    if node.children:
        terms += _moatless_children(rule, r, [raw[i] for i in node.children])
    elif not node.pending:
        if r >= 50.0:
            terms.append(Term("leaf", "+50", 50.0))
        if r <= 0.0 and parent is not None and _reward(rule.root_reward, parent) > 50.0:
            terms.append(Term("good parent", "50 - r", 50.0 - r))
    aliases = node.expansions - len(node.children)
    if aliases:
        terms.append(Term("duplicates", f"-25 dup^2, dup = {aliases}", -25.0 * aliases * aliases))
    if is_patched(node) and _finished_below(tree, node):
        terms.append(Term("finished below", "-50", -50.0))
    if features.expects_correction and not (parent and features_of(parent).expects_correction):
        terms.append(Term("correction", "50 / (1 + children^2)", 50.0 / (1.0 + node.expansions**2)))
    if rule.diversity and features.files:
        share = scorer.diversity_of(tree, node)
        formula = f"{rule.diversity:g} (1 - mean similarity to the expanded nodes)"
        terms.append(Term("diversity", formula, rule.diversity * share))
    return tuple(terms)


def _moatless_children(rule: SweSearchMoatless, r: float, children: list[Node]) -> list[Term]:
    terms = []
    rewards = [reward_of(child.own) for child in children]
    kinds = [kind for child in children if (kind := features_of(child).action_kind)]
    only_bad = len(children) == 1 and rewards[0] <= 0.0
    if r >= 50.0 and only_bad and kinds and kinds[0] in rule.correctable:
        terms.append(Term("bad child", "5 (r - r_child)", 5.0 * (r - rewards[0])))
    if max(rewards) >= 75.0:
        terms.append(Term("good child", "-5", -5.0))
    repeated = sum((kinds.count(kind) - 1) ** 2 for kind in set(kinds))
    if repeated:
        terms.append(Term("repeated actions", "-50 sum (count - 1)^2", -50.0 * repeated))
    return terms


def _reward(of_root: float, node: Node) -> float:
    return reward_of(node.own) if node.parent >= 0 else of_root


def _finished_below(tree: Tree, node: Node) -> bool:
    stack = list(node.children)
    while stack:
        below = tree.raw[stack.pop()]
        if is_finished(below) and reward_of(below.own) >= 100.0:
            return True
        stack += below.children
    return False


def _scorer(search: SearchTree) -> MoatlessScorer:
    scheduler = search.scheduler
    if isinstance(scheduler, RootShare):
        scheduler = scheduler.inner
    assert isinstance(scheduler, Frontier)
    assert isinstance(scheduler.scorer, MoatlessScorer)
    return scheduler.scorer
