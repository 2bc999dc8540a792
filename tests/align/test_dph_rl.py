"""Rehearsal beside rewards: the gradient by hand, where it ends, and what stage 0 keeps (S025)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from meritree.align.data import Answer, answers
from meritree.align.lab.model import Vocabulary, llama
from meritree.align.lab.tasks import task_named
from meritree.align.prompts import prompts
from meritree.align.rewards import Rewards
from meritree.align.rlvr import RLVR, fit_rlvr
from meritree.align.sources import Also
from meritree.align.tabular import Tabular, every_answer
from meritree.errors import BadInput
from meritree.objectives.extras import Rehearse
from meritree.objectives.preference import RowObjective
from meritree.studies.align import dph_rl
from meritree.studies.align._verifiable import Bench

DOUBLE = torch.float64
START = torch.tensor([[0.2, -0.4, 0.9, 0.0, -1.1]], dtype=DOUBLE)
REF = torch.tensor([[0.0, 0.8, -0.3, 0.5, -0.2]], dtype=DOUBLE)
GENERATORS: list[Any] = ["forward_kl", "js", "alpha"]


def sgd(rate: float) -> Any:
    return lambda parameters: torch.optim.SGD(parameters, lr=rate)


def adam(parameters: Any) -> Any:
    return torch.optim.Adam(parameters, lr=0.15, betas=(0.8, 0.95))


class Worth:
    """A reward of one-token answers that keeps what it judged."""

    def __init__(self, worth: list[float]) -> None:
        self.worth = worth
        self.seen: list[list[int]] = []

    def __call__(self, samples: Any) -> Rewards:
        self.seen += [[s.index, s.response[0]] for s in samples]
        return Rewards([self.worth[s.response[0]] for s in samples])


def slope(f: str, u: Any, a: float = 0.2) -> Any:
    """u f'(u), by which a generator moves log pi."""
    if f == "forward_kl":
        return u - 1.0
    if f == "js":
        return u * np.log(2.0 * u / (1.0 + u))
    return (u ** (1.0 - a) - u) / -a


@pytest.mark.parametrize("f", GENERATORS)
def test_a_step_is_grpos_gradient_plus_kl_plus_rehearsal_by_hand(f: Any, device: str) -> None:
    policy, reward = Tabular(START).to(device), Worth([1.0, 0.0, 0.0, 1.0, 0.0])
    stored, kl, eta, rate = [0, 3, 3], 0.7, 0.4, 0.05
    also = Also(
        eta, RowObjective(((1.0, Rehearse(f)),)), answers(Answer((0,), (a,)) for a in stored)
    )
    fit_rlvr(
        policy, RLVR(size=16, kl=kl), prompts([(0,)]), reward, longest=1, end=9,
        ref=Tabular(REF).to(device), also=(also,), also_batch=3, optimizer=sgd(rate),
        steps=1, batch=1, max_norm=None, seed=3,
    )  # fmt: skip
    pi, ref = START[0].softmax(-1).numpy(), REF[0].softmax(-1).numpy()
    drawn = [token for _, token in reward.seen]
    r = np.array([reward.worth[a] for a in drawn])
    assert len(drawn) == 16
    assert 0.0 < r.mean() < 1.0
    advantage = (r - r.mean()) / (r.std(ddof=1) + 1e-6)

    def score(a: int) -> Any:
        return np.eye(5)[a] - pi

    own = [
        (-x + kl * (1.0 - ref[a] / pi[a])) * score(a) for a, x in zip(drawn, advantage, strict=True)
    ]
    kept = [slope(f, pi[a] / ref[a]) * score(a) for a in stored]
    gradient = np.mean(own, axis=0) + eta * np.mean(kept, axis=0)
    moved = (policy.table.detach()[0].cpu() - START[0]).numpy()
    # Stored log-probabilities and rewards are kept in single precision.
    np.testing.assert_allclose(moved, -rate * gradient, rtol=1e-5, atol=1e-8)


def rehearsed(f: Any, rows: Any, weight: list[float] | None = None) -> Any:
    """Where a policy ends that is only rehearsed: all rewards are equal."""
    policy = Tabular(START)
    data = answers(rows) if weight is None else answers(rows).weighted(weight)
    fit_rlvr(
        policy, RLVR(size=2), prompts([(0,)]), Worth([0.5] * 5), longest=1, end=9, ref=Tabular(REF),
        also=(Also(1.0, RowObjective(((1.0, Rehearse(f)),)), data),), also_batch=data.size,
        optimizer=adam, steps=150, batch=1, log_every=0,
        schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.97),
    )  # fmt: skip
    return policy.probabilities()[0].numpy()


@pytest.mark.parametrize("f", GENERATORS)
def test_where_no_reward_differs_rehearsal_brings_the_reference_back(f: Any) -> None:
    ref = REF[0].softmax(-1)
    found = rehearsed(f, every_answer(5), ref.tolist())
    np.testing.assert_allclose(found, ref.numpy(), atol=1e-3)


@pytest.mark.parametrize("f", GENERATORS)
def test_rehearsing_right_answers_alone_pins_them_and_leaves_the_rest_free(f: Any) -> None:
    ref = REF[0].softmax(-1).numpy()
    found = rehearsed(f, [Answer((0,), (0,)), Answer((0,), (3,))])
    np.testing.assert_allclose(found[[0, 3]], ref[[0, 3]], atol=1e-3)
    assert np.abs(found - ref)[[1, 2, 4]].max() > 0.05


def test_at_the_reference_rehearsal_has_no_slope_where_a_likelihood_has_one() -> None:
    for f in GENERATORS:
        policy = Tabular(REF)
        also = Also(9.0, RowObjective(((1.0, Rehearse(f)),)), answers([Answer((0,), (1,))]))
        fit_rlvr(policy, RLVR(size=2), prompts([(0,)]), Worth([0.0] * 5), longest=1, end=9,
                 also=(also,), optimizer=sgd(1.0), steps=1, batch=1)  # fmt: skip
        assert torch.allclose(policy.table.detach(), REF, atol=1e-6)


def test_further_losses_have_a_batch_of_their_own_that_is_refused_below_one() -> None:
    also = Also(1.0, RowObjective(((1.0, Rehearse()),)), answers(every_answer(5)))

    def run(n: int | None) -> Any:
        policy = Tabular(START)
        fit_rlvr(policy, RLVR(size=2), prompts([(0,)]), Worth([0.0] * 5), longest=1, end=9,
                 ref=Tabular(REF), also=(also,), also_batch=n, optimizer=sgd(1.0), steps=1,
                 batch=1)  # fmt: skip
        return policy.table.detach()

    assert torch.equal(run(None), run(1))
    assert not torch.equal(run(None), run(5))
    with pytest.raises(BadInput, match="also_batch is 0"):
        run(0)


def judge_first(samples: Any) -> Rewards:
    """Prompt 0 is always solved, prompt 1 by answers that begin with an even token."""
    return Rewards([float(s.index == 0 or s.response[0] % 2 == 0) for s in samples])


def test_stage_0_stores_right_answers_and_sends_the_other_prompts_to_the_rewards() -> None:
    task = task_named("sorting")
    bench = Bench(task, llama(task), Vocabulary(task), judge_first)
    data = prompts([bench.words.prompt(["sort", "1"]), bench.words.prompt(["sort", "2"])])
    stored, rest = dph_rl.split(bench, data, {"stage0": 8, "often": 8}, seed=0)
    assert rest == [1]
    assert [row.prompt for row in stored] == [data.ids[0]]
    with pytest.raises(BadInput, match="solves 2 of 2 prompts 0 times in 8"):
        dph_rl.split(bench, data, {"stage0": 8, "often": 0}, seed=0)
