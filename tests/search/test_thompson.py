"""Wider or deeper: the posterior's closed form, what is counted where, and draws from the seed."""

from __future__ import annotations

import random
import statistics

import pytest

from meritree.errors import BadInput
from meritree.search import EXHAUSTED, Child, SearchTree, make_strategy
from meritree.search.thompson import Posterior, Sums, ThompsonDescent
from meritree.value.estimate import Estimate


def sums(*values: float) -> Sums:
    told = Sums()
    for value in values:
        told = told.plus(value)
    return told


def test_the_posterior_is_the_closed_form_of_the_textbook() -> None:
    found = Posterior(0.0, 1.0, 1.0, 0.1).given(sums(0.2, 0.6))
    # kappa 3, nu 3, m = 0.8 / 3, nu tau2 = 0.1 + 0.08 + 2 * 0.4^2 / 3
    assert (found.kappa, found.nu) == (3.0, 3.0)
    assert found.m == pytest.approx(0.8 / 3)
    assert found.tau2 == pytest.approx((0.1 + 0.08 + 2 * 0.16 / 3) / 3)
    assert Posterior().given(Sums()) == Posterior()


def test_draws_have_the_mean_and_the_variance_of_the_students_t() -> None:
    posterior = Posterior(0.3, 4.0, 10.0, 0.2)
    rng = random.Random(1)
    drawn = [posterior.draw(rng) for _ in range(20_000)]
    assert statistics.fmean(drawn) == pytest.approx(0.3, abs=0.01)
    # variance of the marginal t: tau2 / kappa * nu / (nu - 2)
    assert statistics.variance(drawn) == pytest.approx(0.2 / 4 * 10 / 8, rel=0.06)


@pytest.mark.parametrize("field", ["kappa", "nu", "tau2"])
def test_an_improper_prior_is_refused(field: str) -> None:
    with pytest.raises(BadInput, match=field):
        make_strategy("ab-mcts", **{field: 0.0})


def test_children_count_as_wider_and_what_is_below_them_as_deeper() -> None:
    engine = SearchTree(make_strategy("ab-mcts"))
    schedule = engine._scheduler
    assert isinstance(schedule, ThompsonDescent)
    engine.start("root", Estimate(0.5))
    engine.tell(engine.ask_at(0), Child("a", None, Estimate(0.25)))
    engine.tell(engine.ask_at(0), Child("b", None, Estimate(0.75)))
    engine.tell(engine.ask_at(1), Child("a1", None, Estimate(1.0)))
    engine.tell(engine.ask_at(1), Child("b", None, Estimate(0.75)))  # known: counts as a child
    assert schedule._made[0] == sums(0.25, 0.75)
    assert schedule._made[1] == sums(1.0, 0.75)
    assert schedule._below[1] == sums(0.25, 1.0, 0.75)
    deeper = schedule._below[0].minus(schedule._made[0]).minus(sums(0.5))
    assert (deeper.n, deeper.total) == (2, 1.75)


def grown(seed: int, values: dict[int, float], steps: int = 60) -> SearchTree:
    """Each child worth what its depth says."""
    engine = SearchTree(make_strategy("ab-mcts"), seed)
    engine.start("root", Estimate(0.2))
    for step in range(steps):
        ticket = engine.ask()
        assert ticket is not None
        depth = engine.tree.raw[ticket.node].depth + 1
        engine.tell(ticket, Child(step, None, Estimate(values.get(depth, 0.0))))
    return engine


def test_it_goes_deeper_where_depth_pays_and_wider_where_it_does_not() -> None:
    deep = [grown(seed, {1: 0.3, 2: 0.6, 3: 0.9, 4: 0.95}).tree for seed in range(8)]
    wide = [grown(seed, {1: 0.8}).tree for seed in range(8)]
    assert statistics.fmean(len(tree.root.children) for tree in deep) < 12
    assert statistics.fmean(len(tree.root.children) for tree in wide) > 30


def test_the_same_seed_draws_the_same_tree_and_another_another() -> None:
    first, again, other = (grown(seed, {1: 0.5, 2: 0.5}).tree.dump() for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_what_is_exhausted_or_terminal_has_no_part_in_the_draw() -> None:
    engine = SearchTree(make_strategy("ab-mcts"), 1)
    engine.start("root", Estimate(0.2))
    engine.tell(engine.ask_at(0), Child("end", None, Estimate(0.9), terminal=True))
    engine.tell(engine.ask_at(0), Child("open", None, Estimate(0.1)))
    engine.tell(engine.ask_at(0), EXHAUSTED)
    ticket = engine.ask()
    assert ticket is not None
    assert ticket.node == 2
    engine.tell(ticket, EXHAUSTED)
    assert engine.ask() is None
