"""LENS (S046): groups of wrong answers train the policy, and equal penalties are no penalty."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from meritree.align.prompts import prompts
from meritree.align.rewards import Rewards
from meritree.align.rlvr import RLVR, fit_rlvr
from meritree.align.shaping import Group, Lens, Shaped
from meritree.objectives import group_advantages, shapes
from meritree.studies.align import lens as study

SIZE = 4
DATA = prompts([[2, 3], [2, 4, 5]])
LENS = RLVR(shapes=(Lens(),), advantage=Group(negative_weight=0.25), size=SIZE)


def wrong(samples: Any) -> Rewards:
    return Rewards([0.0] * len(samples))


def some_right(samples: Any) -> Rewards:
    """Answers whose first token is even; none to the first prompt."""
    return Rewards([float(s.index == 1 and s.response[0] % 2 == 0) for s in samples])


def trained(policy: Any, method: Any, reward: Any, steps: int = 2) -> list[Any]:
    model = deepcopy(policy)
    fit_rlvr(
        model, method, DATA, reward, longest=4, end=1, batch=2, steps=steps, seed=3,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
    )  # fmt: skip
    return [p.detach() for p in model.parameters()]


def furthest(first: list[Any], second: list[Any]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def test_a_policy_that_is_always_wrong_learns_under_lens_and_not_under_grpo(
    make_llama: Any,
) -> None:
    policy = make_llama()
    start = [p.detach() for p in policy.parameters()]
    assert furthest(start, trained(policy, RLVR(size=SIZE), wrong)) == 0.0
    assert furthest(start, trained(policy, LENS, wrong)) > 1e-5


def test_one_penalty_for_all_wrong_answers_is_grpo_once_it_is_centred(make_llama: Any) -> None:
    def same(reward: Any) -> Any:
        return reward - (1.0 - reward) / 16.0

    alike = RLVR(shapes=(Shaped(same),), advantage=Group(negative_weight=0.25), size=SIZE)
    plain = RLVR(size=SIZE)
    policy = make_llama()
    by_grpo = trained(policy, plain, some_right)
    assert furthest([p.detach() for p in policy.parameters()], by_grpo) > 1e-4
    assert furthest(by_grpo, trained(policy, alike, some_right)) < 1e-6
    # Confidence is what makes the difference.
    assert furthest(by_grpo, trained(policy, LENS, some_right)) > 1e-5


def test_the_likeliest_mistake_of_a_wrong_group_is_pushed_down_most() -> None:
    logp = torch.tensor([-0.1, -1.0, -3.0, -9.0])
    b = {"old_logp": logp[:, None], "mask": torch.ones(4, 1), "label": torch.zeros(4)}
    reward = Lens()(torch.zeros(4), b, 4)
    advantage = Group(negative_weight=0.25)(reward, b, 4).advantage[:, 0]
    assert (advantage.diff() > 0).all()
    assert advantage[0] < 0 < advantage[-1]
    np.testing.assert_allclose(float(advantage.sum()), 0.0, atol=1e-8)
    assert float(advantage.abs().max()) <= 0.25 / 4
    # D = 2 max p: odds p / (D - p), divided by G, centred, weighted.
    p = np.exp(logp.numpy().astype(float))
    penalty = -p / (2 * p.max() - p) / 4
    np.testing.assert_allclose(advantage.numpy(), 0.25 * (penalty - penalty.mean()), rtol=1e-5)


def test_a_mixed_group_keeps_its_right_answers_above_all_mistakes() -> None:
    logp = torch.tensor([[-0.2, -0.1], [-2.0, -2.0], [-0.3, 0.0], [-5.0, -1.0]])
    mask = torch.tensor([[1, 1], [1, 1], [1, 0], [1, 1]])
    label = torch.tensor([1, 0, 0, 0])
    b = {"old_logp": logp, "mask": mask, "label": label}
    reward = Lens()(label.float(), b, 4)
    advantage = Group(negative_weight=0.25)(reward, b, 4).advantage[:, 0]
    assert advantage[0] > 0 > advantage[1:].max()
    assert advantage[2] < min(advantage[1], advantage[3])  # the surest mistake
    expected = group_advantages.group(shapes.lens(label.float(), (logp * mask).sum(-1),
                                                  mask.sum(-1).float(), 4), 4)  # fmt: skip
    torch.testing.assert_close(advantage, expected)


def test_the_studys_uniform_penalty_reaches_wrong_groups_alone() -> None:
    reward = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    b = {"label": reward.to(torch.int64)}
    found = study.Uniform(0.25)(reward, b, 4).advantage[:, 0]
    torch.testing.assert_close(found[:4], torch.full((4,), -0.0625))
    torch.testing.assert_close(found[4:], group_advantages.group(reward, 4)[4:])
    only = study.OnlyNegatives()(reward, b, 4).advantage[:, 0]
    assert only.tolist() == [-1.0] * 4 + [0.0, -1.0, -1.0, -1.0]


@pytest.mark.parametrize("arm", study.ARMS)
def test_every_arm_of_the_study_trains(arm: str, make_llama: Any) -> None:
    policy = make_llama()
    moved = trained(policy, study.method(arm, size=SIZE), some_right)
    assert furthest([p.detach() for p in policy.parameters()], moved) > 0.0
