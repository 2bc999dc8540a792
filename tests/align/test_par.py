"""PAR (S080): what a bounded reward keeps, and shapes that change nothing under a baseline."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from meritree.align.prompts import prompts, reference_rewards
from meritree.align.rewards import Rewards
from meritree.align.rlvr import RLVR, fit_rlvr
from meritree.align.shaping import ReinforcePp, Rloo, Shaped
from meritree.objectives import shapes
from meritree.objectives.divergences import best_policy
from meritree.studies.align import par as study

PAR = Shaped(shapes.par, "ref_reward")
DATA = prompts([[2, 3], [2, 4, 5]])
OFFSET = (64.0, -128.0)  # of each prompt; sums with quarters are exact


def quarters(samples: Any) -> Rewards:
    """Tokens above 9 count a quarter each."""
    return Rewards([0.25 * sum(token > 9 for token in s.response) for s in samples])


def moved(samples: Any) -> Rewards:
    plain = quarters(samples).score
    return Rewards([r + OFFSET[s.index] for r, s in zip(plain, samples, strict=True)])


def trained(policy: Any, shape: tuple[Any, ...], reward: Any, ref: Any, advantage: Any) -> Any:
    model = deepcopy(policy)
    fit_rlvr(
        model, RLVR(advantage, shapes=shape, size=4, kl=0.005, kl_in="reward"),
        DATA.having(ref_reward=ref), reward, longest=4, end=1, batch=2, steps=2, seed=1,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
    )  # fmt: skip
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_an_offset_of_the_prompt_changes_nothing_bit_for_bit(make_llama: Any) -> None:
    policy = make_llama()
    ref = reference_rewards(policy, DATA, quarters, n=4, longest=4, end=1)
    other = reference_rewards(policy, DATA, moved, n=4, longest=4, end=1)
    torch.testing.assert_close(other, ref + torch.tensor(OFFSET)[:, None], atol=0.0, rtol=0.0)
    plain = trained(policy, (PAR,), quarters, ref, ReinforcePp())
    assert torch.equal(plain, trained(policy, (PAR,), moved, other, ReinforcePp()))
    # The raw reward without a baseline of the prompt is not so lucky.
    raw = trained(policy, (), quarters, ref, ReinforcePp())
    assert not torch.allclose(raw, trained(policy, (), moved, ref, ReinforcePp()), atol=1e-4)


def test_centring_by_the_reference_is_nothing_under_a_baseline_of_the_group(
    make_llama: Any,
) -> None:
    policy = make_llama()
    ref = reference_rewards(policy, DATA, quarters, n=4, longest=4, end=1)
    centred = (Shaped(shapes.centred, "ref_reward"),)
    raw = trained(policy, (), quarters, ref, Rloo())
    torch.testing.assert_close(trained(policy, centred, quarters, ref, Rloo()), raw, atol=1e-6,
                               rtol=0.0)  # fmt: skip
    assert not torch.allclose(trained(policy, (PAR,), quarters, ref, Rloo()), raw, atol=1e-5)


def test_ten_references_are_the_mean_of_ten_with_one() -> None:
    reward, ref = torch.randn(6), torch.randn(6, 10)
    one = torch.stack([shapes.par(reward, ref[:, [m]]) for m in range(10)])
    torch.testing.assert_close(shapes.par(reward, ref), one.mean(0))


def test_what_a_hack_gains_is_bounded_however_much_the_proxy_pays() -> None:
    """The KL-regularised optimum on a table: honest answers up to 4, a hack of 8 or of 800."""
    ref = np.log([0.5, 0.3, 0.19, 0.01])
    honest, references = [0.0, 1.0, 4.0], np.array([[0.0, 0.5, 1.0]] * 4)
    share = {}
    for paid in (8.0, 800.0):
        proxy = np.array([*honest, paid])
        share["raw", paid] = best_policy(proxy, ref, 0.2)[3]
        share["PAR", paid] = best_policy(shapes.par(proxy, references), ref, 0.2)[3]
    assert min(share["raw", 8.0], share["raw", 800.0]) > 0.99
    assert share["PAR", 800.0] < 0.05
    assert abs(share["PAR", 800.0] - share["PAR", 8.0]) < 1e-3
    # Among answers a reference's reward apart, PAR still tells better from worse.
    best = best_policy(shapes.par(np.array([*honest, 8.0]), references), ref, 0.2)
    assert best[2] / np.exp(ref[2]) > 5 * best[0] / np.exp(ref[0])


def test_the_studys_windows_are_means_of_equal_parts() -> None:
    assert study.windows([float(i) for i in range(20)]) == [0.5 + 2 * i for i in range(10)]
    assert study.windows([3.0, 5.0]) == [3.0, 5.0]


@pytest.mark.parametrize("arm", study.ARMS)
def test_shapes_of_the_study_agree_with_the_formulas(arm: str) -> None:
    ref = torch.tensor([[0.0, 1.0], [2.0, 4.0]])
    reward = torch.tensor([3.0, -1.0])
    got = reward
    for shape in study.shapes_of(arm, ref):
        got = shape(got, {"ref_reward": ref}, 1)
    sigma = torch.sigmoid
    expected = {
        study.VANILLA: [3.0, -1.0],
        study.PAR1: [float((sigma(torch.tensor(3.0)) + sigma(torch.tensor(2.0))) / 2),
                     float((sigma(torch.tensor(-3.0)) + sigma(torch.tensor(-5.0))) / 2)],
        study.CENTRED: [2.5, -4.0],
        study.TANH: [(np.tanh(3) + np.tanh(2)) / 2, (np.tanh(-3) + np.tanh(-5)) / 2],
        study.CLIPPED: [3.0, float(ref.mean() - ref.std())],
    }  # fmt: skip
    expected[study.PAR10] = expected[study.PAR1]
    torch.testing.assert_close(got, torch.tensor(expected[arm], dtype=torch.float32))
