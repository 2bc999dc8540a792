"""VAPO's parts in the trainer: two lambdas, lambda by length, the critic's warm-up, its extras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from meritree.align.critic import critic_of
from meritree.align.prompts import prompts
from meritree.align.rewards import Rewards, Sample
from meritree.align.rlvr import RLVR, Critic, fit_rlvr
from meritree.align.shaping import Gae
from meritree.errors import BadInput
from meritree.objectives.extras import Nll
from meritree.studies.align import vapo

END = 1
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=torch.bool)
VALUES = torch.tensor([[0.2, 0.5, 0.4, 0.9], [0.3, 0.6, 0.0, 0.0]])
REWARD = torch.tensor([1.0, 0.0])
BATCH = {"values_sg": VALUES, "mask": MASK}


def gae(**options: Any) -> Any:
    return Gae(**{"whiten": False, **options})(REWARD, BATCH, 1)


def test_lambda_one_compares_the_reward_with_the_value_and_looks_at_no_later_value() -> None:
    found = gae(lam=1.0, critic_lam=1.0)
    expected = (REWARD[:, None] - VALUES) * MASK
    torch.testing.assert_close(found.advantage, expected)


@pytest.mark.parametrize("lam", [0.0, 0.5, "length"])
def test_the_critics_targets_are_the_rewards_whatever_the_policys_lambda(lam: Any) -> None:
    returns = gae(lam=lam, critic_lam=1.0).returns
    torch.testing.assert_close(returns, REWARD[:, None] * MASK)


def test_equal_lambdas_are_ppos_one_pass() -> None:
    found = gae(lam=0.9, critic_lam=0.9)
    torch.testing.assert_close(found.returns, found.advantage + VALUES * MASK)


def test_a_lambda_by_length_is_that_lambda_for_each_length() -> None:
    found = gae(lam="length", alpha=2.0, critic_lam=1.0).advantage
    for row, length in ((0, 4), (1, 2)):
        same = gae(lam=1.0 - 1.0 / (2.0 * length), critic_lam=1.0).advantage
        torch.testing.assert_close(found[row], same[row])
    assert not torch.allclose(found[0], gae(lam=0.75, critic_lam=1.0).advantage[0])


def test_answers_shorter_than_one_over_alpha_get_the_errors_of_one_step() -> None:
    short = gae(lam="length", alpha=0.05, critic_lam=1.0).advantage
    torch.testing.assert_close(short, gae(lam=0.0, critic_lam=1.0).advantage)
    later = torch.tensor([0.5, 0.4, 0.9])
    torch.testing.assert_close(short[0, :3], later - VALUES[0, :3])


def weights(model: Any) -> Any:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def begins_even(samples: Sequence[Sample]) -> Rewards:
    return Rewards([float(sample.response[0] % 2 == 0) for sample in samples])


def never(samples: Sequence[Sample]) -> Rewards:
    return Rewards([0.0] * len(samples))


DATA = [(2, 3, 4), (2, 5), (2, 6, 7)]


def trained(make_llama: Any, warmup: int, steps: int, **options: Any) -> Any:
    policy = make_llama(0)
    critic = critic_of(policy)
    result = fit_rlvr(
        policy, vapo.method(vapo.FULL, size=4), prompts(DATA), begins_even, longest=4, end=END,
        critic=Critic(critic, lambda p: torch.optim.Adam(p, lr=0.01), warmup=warmup),
        optimizer=lambda p: torch.optim.Adam(p, lr=0.01), steps=steps, batch=3, log_every=1,
        **options,
    )  # fmt: skip
    return policy, critic, result


def test_while_the_critic_warms_up_the_policy_stays_bit_for_bit(make_llama: Any) -> None:
    policy, critic, result = trained(make_llama, warmup=3, steps=3)
    assert torch.equal(weights(policy), weights(make_llama(0)))
    losses = [point.value for point in result.curve if point.name == "critic loss"]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert not torch.equal(weights(critic), weights(critic_of(make_llama(0))))
    moved, _, _ = trained(make_llama, warmup=3, steps=4)
    assert not torch.equal(weights(moved), weights(make_llama(0)))


def test_the_composition_learns_what_is_rewarded(make_llama: Any) -> None:
    _, _, result = trained(make_llama, warmup=5, steps=45)
    right = [point.value for point in result.curve if point.name == "right"]
    assert sum(right[-5:]) / 5 > 0.9 > sum(right[:5]) / 5 + 0.2


def test_right_answers_alone_are_imitated(make_llama: Any) -> None:
    """Without advantages the extra is all that moves the policy; without right answers nothing."""
    method = RLVR(surrogate=None, extras=((0.1, Nll(label=1, mean=True, balanced=True)),), size=4)
    common: Any = {
        "longest": 4, "end": END, "steps": 2, "batch": 3,
        "optimizer": lambda p: torch.optim.SGD(p, lr=1.0),
    }  # fmt: skip
    still, moved = make_llama(0), make_llama(0)
    fit_rlvr(still, method, prompts(DATA), never, **common)
    fit_rlvr(moved, method, prompts(DATA), begins_even, **common)
    assert torch.equal(weights(still), weights(make_llama(0)))
    assert not torch.equal(weights(moved), weights(make_llama(0)))


def test_a_critic_explains_nothing_where_all_returns_are_equal(make_llama: Any) -> None:
    """They are advantage + value, which differ by rounding."""
    policy = make_llama(0)
    critic = critic_of(policy)
    torch.nn.init.normal_(critic.head[-1].weight)
    result = fit_rlvr(
        policy, vapo.method(vapo.FULL, size=4), prompts(DATA), never, longest=4, end=END,
        critic=Critic(critic), optimizer=lambda p: torch.optim.SGD(p, lr=0.01), steps=2, batch=3,
        log_every=1,
    )  # fmt: skip
    explained = [point.value for point in result.curve if point.name == "explained variance"]
    assert explained == [0.0, 0.0]


def test_a_critic_that_nothing_reads_is_refused(make_llama: Any) -> None:
    policy = make_llama(0)
    with pytest.raises(BadInput, match="reads no values"):
        fit_rlvr(
            policy, RLVR(size=4), prompts(DATA), begins_even, longest=4, end=END, steps=1,
            critic=Critic(critic_of(policy)), optimizer=lambda p: torch.optim.SGD(p, lr=1.0),
        )  # fmt: skip


def test_a_fall_in_training_is_measured_against_the_best_so_far() -> None:
    assert vapo.kept([0.1] * 10 + [0.5] * 10) == 1.0
    assert vapo.kept([0.5] * 10 + [0.1] * 10, span=5) == pytest.approx(0.2)
    assert vapo.kept([0.0] * 20) == 1.0
