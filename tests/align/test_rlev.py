"""RLEV (S027): where the value of a question counts, and where it cancels."""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.align.prompts import prompts
from meritree.align.rewards import Rewards
from meritree.align.rlvr import RLVR, fit_rlvr
from meritree.align.shaping import Group, ReinforcePp, Rloo, Shaped
from meritree.errors import BadInput
from meritree.objectives import shapes
from meritree.studies.align import rlev as study

VALUE = Shaped(shapes.value_scale, "prompt_value")
PROMPTS = prompts([[2, 3], [2, 4, 5]])
WORTH = PROMPTS.having(prompt_value=[0.0, 0.09])  # scales 1 and 1.9


def even_first(samples: Any) -> Rewards:
    return Rewards([float(s.response[0] % 2 == 0) for s in samples])


def trained(policy: Any, method: RLVR, data: Any = WORTH, optimizer: Any = None) -> Any:
    model = deepcopy(policy)
    fit_rlvr(
        model, method, data, even_first, longest=4, end=1, batch=2, steps=2, seed=1, max_norm=None,
        optimizer=optimizer or (lambda p: torch.optim.SGD(p, lr=0.1)),
    )  # fmt: skip
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def furthest(first: Any, second: Any) -> float:
    return float((first - second).abs().max())


@settings(deadline=None)  # PyTorch imports its own tests at the first comparison
@given(
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_a_groups_deviation_cancels_the_value_and_leave_one_out_keeps_it(
    right: Any, first: float, second: float
) -> None:
    reward = torch.tensor(right, dtype=torch.float64)
    value = torch.tensor([first] * 4 + [second] * 4, dtype=torch.float64)
    scale = 1.0 + (10.0 * value).clip(max=1.0)
    b = {"prompt_value": value}
    shaped = VALUE(reward, b, 4)
    plain = Group()(reward, {}, 4).advantage
    torch.testing.assert_close(Group()(shaped, b, 4).advantage, plain, atol=3e-6, rtol=3e-6)
    for kept in (Rloo(), Group(std="none")):
        expected = scale[:, None] * kept(reward, {}, 4).advantage
        torch.testing.assert_close(kept(shaped, b, 4).advantage, expected)


def test_the_batchs_deviation_and_whitening_keep_the_ratio_of_values() -> None:
    reward = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    b = {"prompt_value": torch.tensor([0.0] * 4 + [0.1] * 4), "mask": torch.ones(8, 1)}
    shaped = VALUE(reward, b, 4)
    for advantage in (Group(std="batch"), ReinforcePp(baseline=True)):
        found = advantage(shaped, b, 4).advantage[:, 0]
        torch.testing.assert_close(found[4:], 2.0 * found[:4], atol=1e-6, rtol=1e-5)


def test_grpo_trains_to_the_same_policy_with_values_as_without(make_llama: Any) -> None:
    policy = make_llama()
    values = {adv: trained(policy, RLVR(adv, shapes=(VALUE,), size=8)) for adv in (Group(), Rloo())}
    plain = {adv: trained(policy, RLVR(adv, size=8)) for adv in (Group(), Rloo())}
    start = torch.cat([p.detach().flatten() for p in policy.parameters()])
    assert furthest(start, plain[Group()]) > 1e-3
    assert furthest(values[Group()], plain[Group()]) < 1e-5
    assert furthest(values[Rloo()], plain[Rloo()]) > 1e-3


def test_adam_is_blind_to_a_uniform_scale_and_sees_values(make_llama: Any) -> None:
    def adam(parameters: Any) -> Any:
        return torch.optim.Adam(parameters, lr=1e-3, eps=1e-20)

    policy = make_llama().double()
    plain = trained(policy, RLVR(Rloo(), size=8), optimizer=adam)
    scaled = trained(policy, RLVR(Rloo(), shapes=(Shaped(study.scaled),), size=8), optimizer=adam)
    valued = trained(policy, RLVR(Rloo(), shapes=(VALUE,), size=8), optimizer=adam)
    assert furthest(plain, scaled) < 1e-6 < 1e-4 < furthest(plain, valued)


@pytest.mark.parametrize("value", [0.0, 0.02, 0.5])
def test_the_gradient_at_the_end_token_is_the_papers(value: float) -> None:
    """Equation 13: dJ / dz_end = s pi_end (1 - pi_end) (p_end - p_other), by enumeration."""
    logits = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64, requires_grad=True)
    chance = torch.tensor([0.8, 0.1, 0.4], dtype=torch.float64)  # to be right after each token
    scale = shapes.value_scale(torch.ones(1), torch.tensor([value]))[0].double()
    pi = logits.softmax(0)
    (gradient,) = torch.autograd.grad((pi * scale * chance).sum(), logits)
    with torch.no_grad():
        other = (pi[1:] * chance[1:]).sum() / pi[1:].sum()  # the mean of going on
        expected = scale * pi[0] * (1 - pi[0]) * (chance[0] - other)
    np.testing.assert_allclose(float(gradient[0]), float(expected), rtol=1e-12)


def test_values_must_be_given_with_the_prompts(make_llama: Any) -> None:
    with pytest.raises(BadInput, match="'prompt_value'"):
        trained(make_llama(), RLVR(Rloo(), shapes=(VALUE,), size=8), data=PROMPTS)


def test_the_studys_values_are_skewed_to_the_right_and_between_nothing_and_all() -> None:
    exam = study.questions()
    assert len({tuple(question) for question in exam}) == 200
    drawn = [value for seed in range(20) for value in study.values_of(exam, Random(seed))]
    assert all(0.0 <= value <= 1.0 for value in drawn)
    assert np.median(drawn) < 0.5 * np.mean(drawn)
    # What is dear goes with the first digit and with nothing else.
    one = np.array(study.values_of(exam, Random(1))).reshape(10, 2, 10)
    by_digit = np.sort(one.mean((1, 2)))
    assert by_digit[5:].mean() > 4 * by_digit[:5].mean()
