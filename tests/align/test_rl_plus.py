"""Demonstrations in the group: whose rows, which weights, which gradient by hand (S004)."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from meritree.align.lab import countdown
from meritree.align.mixes import OnPolicy, WithExternal
from meritree.align.prompts import prompts
from meritree.align.rewards import Rewards
from meritree.align.rlvr import RLVR, fit_rlvr
from meritree.align.shaping import Group
from meritree.align.tabular import Tabular
from meritree.objectives.surrogates import Clip, ExternalMis
from meritree.studies.align import rl_plus

END = 1
DEMONSTRATION = (9, 4, 12, END)


class Kept:
    """Pays answers that hold a token above 6, and keeps what it judged."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, samples: Any) -> Rewards:
        self.seen += samples
        return Rewards([float(max(s.response) > 6) for s in samples])


def method(surrogate: Any, size: int = 4, mix: Any = None, longest: int = 5) -> RLVR:
    return RLVR(advantage=Group(std="none"), surrogate=surrogate, agg="const", const=longest,
                size=size, mix=mix or OnPolicy())  # fmt: skip


def step(model: Any, how: RLVR, data: Any, reward: Any, rate: float, longest: int = 5) -> None:
    fit_rlvr(
        model, how, data, reward, longest=longest, end=END, steps=1, batch=data.size,
        max_norm=None, optimizer=lambda p: torch.optim.SGD(p, lr=rate),
    )  # fmt: skip


@pytest.mark.parametrize("uniform", [1.0, 1.0 / 20.0])
def test_a_step_of_a_llama_is_the_papers_gradient_row_by_row(
    make_llama: Any, uniform: float, device: str
) -> None:
    model, plain = make_llama().to(device), make_llama()
    data, reward = prompts([(2, 5), (2, 6, 7)]), Kept()
    mix = WithExternal({0: [DEMONSTRATION], 1: [(10, END)]})
    step(model, method(ExternalMis(0.5, uniform), mix=mix), data, reward, 0.1)
    assert [s.columns["source"] for s in reward.seen] == [0, 0, 0, 1] * 2
    assert tuple(reward.seen[3].response) == DEMONSTRATION
    r = np.array([float(max(s.response) > 6) for s in reward.seen]).reshape(2, 4)
    assert 0.0 < r[:, :3].mean() < 1.0
    advantage = (r - r.mean(1, keepdims=True)).ravel()  # the group's mean has the demonstration in
    loss = torch.zeros(())
    for sample, a in zip(reward.seen, advantage, strict=True):
        ids = [*sample.prompt, *sample.response]
        logits = plain(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        for place in range(len(sample.prompt), len(ids)):
            p = logits[place - 1, ids[place]].exp()
            old = p.detach()
            if sample.columns["source"] == 1:
                other = 0.5 * (old + uniform)
                weight = 2.0 * p / (old + other) * (1.0 - old) ** 0.5
            else:
                weight = p / old
            loss = loss - weight * float(a) / (5 * 8)
    loss.backward()
    for found, begun in zip(model.parameters(), plain.parameters(), strict=True):
        expected = begun - 0.1 * begun.grad
        np.testing.assert_allclose(found.detach().cpu(), expected.detach(), atol=2e-6)


def test_a_prompt_without_a_demonstration_is_drawn_alone() -> None:
    policy, reward = Tabular(torch.zeros(2, 4)), Kept()
    mix = WithExternal({1: [(3,)]}, each=2)
    step(policy, method(ExternalMis(), mix=mix, longest=1), prompts([(0,), (1,)]), reward, 0.1, 1)
    assert {s.index: [t.columns["source"] for t in reward.seen if t.index == s.index]
            for s in reward.seen} == {0: [0, 0, 0, 0], 1: [0, 0, 1, 1]}  # fmt: skip
    assert [s.response[0] for s in reward.seen if s.columns["source"] == 1] == [3, 3]


def test_without_demonstrations_it_is_dr_grpo_that_clips_nothing(make_llama: Any) -> None:
    found = []
    for surrogate in (ExternalMis(), Clip(1.0, float("inf"))):
        model = make_llama()
        step(model, method(surrogate), prompts([(2, 5), (2, 6, 7)]), Kept(), 0.1)
        found.append(torch.cat([p.detach().ravel() for p in model.parameters()]))
    assert torch.allclose(*found, atol=1e-7)
    assert not torch.equal(found[0], torch.cat([p.ravel() for p in make_llama().parameters()]))


def pull(p: float, **options: Any) -> float:
    """How hard a demonstration of advantage 1 pulls at log pi of a token of probability p."""
    logp = torch.tensor([[p]], dtype=torch.float64).log().requires_grad_()
    fixed = logp.detach()
    loss = ExternalMis(**options)({
        "logp": logp, "logp_sg": fixed, "old_logp": fixed, "source": torch.tensor([1]),
        "advantage": torch.ones(1, 1, dtype=torch.float64),
    })  # fmt: skip
    loss.sum().backward()
    return -float(logp.grad)  # type: ignore[arg-type]


def test_the_pull_is_bounded_and_lets_go_of_what_is_already_known() -> None:
    for uniform in (1.0, 1.0 / 30.0):
        for p in (1e-9, 1e-3, 0.1, 0.5, 0.999):
            mixture = 0.75 * p + 0.25 * uniform
            expected = p / mixture * (1.0 - p) ** 0.5
            assert pull(p, uniform=uniform) == pytest.approx(expected, rel=1e-9)
            assert pull(p, uniform=uniform) < 4.0 / 3.0
    assert pull(0.999) < 0.05
    assert pull(0.999, gamma=0.0) == pytest.approx(1.0, abs=1e-3)


def test_rare_tokens_are_pulled_by_their_probability_alone_under_the_released_density() -> None:
    assert pull(1e-6) == pytest.approx(4e-6, rel=1e-3)
    assert pull(1e-6, density="one") == pytest.approx(1e-6, rel=1e-3)
    assert pull(0.02) < 0.08
    assert pull(0.02, uniform=1.0 / 30.0) > 0.8


def test_two_densities_vary_less_than_one_wrong_guess_and_stay_bounded() -> None:
    """Variance of a demonstration's weight under its author, who is not the one guessed."""
    rng, better = np.random.default_rng(0), 0
    for _ in range(200):
        pi, old, author, guess = rng.dirichlet(np.ones(6), 4)
        pi = 0.9 * old + 0.1 * pi

        def variance(density: Any, pi: Any = pi, author: Any = author) -> float:
            w = pi / density
            return float(author @ w**2 - (author @ w) ** 2)

        mixed = variance(0.75 * old + 0.25 / 6.0)
        assert (pi / (0.75 * old + 0.25 / 6.0)).max() < 4.0
        better += mixed < variance(guess)
    assert better > 190


def test_an_answer_that_is_never_drawn_is_learned_from_a_demonstration_alone() -> None:
    def seven(samples: Any) -> Rewards:
        return Rewards([float(s.response[0] == 7) for s in samples])

    logits = torch.zeros(1, 12)
    logits[0, 7] = -14.0  # one in thirteen million
    right = []
    for mix in (WithExternal({0: [(7,)]}), OnPolicy()):
        policy = Tabular(logits)
        fit_rlvr(
            policy, method(ExternalMis(), 4, mix, 1), prompts([(0,)]), seven, longest=1, end=END,
            optimizer=lambda p: torch.optim.Adam(p, lr=0.3), steps=80, batch=1, log_every=0,
        )  # fmt: skip
        right.append(float(policy.probabilities()[0, 7]))
    assert right[0] > 0.9
    assert right[1] < 1e-5


def test_the_expert_knows_all_right_answers_to_a_prompt() -> None:
    prompt, answer = countdown.TASK.draw(Random(5))
    found = rl_plus.solutions(prompt)
    assert answer in found
    assert all(countdown.TASK.reward(prompt, one) == 1.0 for one in found)
    assert len({tuple(one) for one in found}) == len(found)
    assert found == rl_plus.solutions(prompt)
