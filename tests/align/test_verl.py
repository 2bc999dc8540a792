"""Our parts in verl's registries are verl's own losses and advantages where verl has them.

Run where verl 0.9 is installed; elsewhere only its absence is tested.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from meritree.align.adaptors.verl import ADVANTAGES, SURROGATES, estimator, policy_loss, register
from meritree.align.shaping import Gae, Group, ReinforcePp, Rloo
from meritree.errors import BadInput
from meritree.objectives.rows import agg
from meritree.objectives.surrogates import Cispo, Clip, ExternalMis, SeqRatio

needs_verl = pytest.mark.skipif(find_spec("verl") is None, reason="verl is not installed")

ROWS, LONGEST = 8, 6
LENGTH = torch.tensor([6, 1, 4, 3, 5, 2, 6, 4])
MASK = (torch.arange(LONGEST) < LENGTH[:, None]).float()
UID = np.array(list("abababab"), dtype=object)  # rows of a prompt are no neighbours


def arrays(far: float) -> dict[str, Any]:
    random = torch.Generator().manual_seed(2)
    logp = -torch.rand(ROWS, LONGEST, generator=random) * 3.0
    return {
        "old_log_prob": logp + far * torch.randn(ROWS, LONGEST, generator=random),
        "log_prob": logp.requires_grad_(),
        "advantages": torch.randn(ROWS, 1, generator=random).expand(ROWS, LONGEST) * MASK,
        "response_mask": MASK,
    }


def rewards() -> Any:
    scores = torch.tensor([1.0, 0.0, 0.5, 2.0, -1.0, 0.0, 1.0, 0.25])
    paid = torch.zeros(ROWS, LONGEST)
    paid[torch.arange(ROWS), LENGTH - 1] = scores
    return paid


def joined(loss_mat: Any, loss_mask: Any, loss_agg_mode: str, **_: Any) -> Any:
    """A stand-in for verl's function of that name, where verl is not installed."""
    how = {"token-mean": "token", "seq-mean-token-mean": "seq_mean"}[loss_agg_mode]
    return agg(loss_mat, loss_mask, how)  # type: ignore[arg-type]


def test_padding_and_weights_of_tokens_do_what_they_should_without_verl() -> None:
    made = arrays(0.3)
    loss = policy_loss(Clip(), joined)
    plain, told = loss(**made)
    gap = (made["old_log_prob"] - made["log_prob"]).detach()
    assert told["actor/ppo_kl"] == pytest.approx(float((gap * MASK).sum() / MASK.sum()))
    half, _ = loss(**made, rollout_is_weights=torch.full((ROWS, LONGEST), 0.5))
    assert half.item() == pytest.approx(plain.item() / 2)
    wild = dict(made, old_log_prob=torch.where(MASK > 0, made["old_log_prob"], -1e4))
    again, _ = loss(**wild)
    (slope,) = torch.autograd.grad(again, wild["log_prob"])
    assert again.item() == pytest.approx(plain.item())
    assert bool(torch.isfinite(slope).all())


def test_groups_are_found_by_uid_and_must_be_equal() -> None:
    scores = rewards().sum(-1)
    found, returns = estimator(Group("none"))(rewards(), MASK, UID, config=None)
    for name in "ab":
        rows = torch.tensor(name == UID)
        expected = (scores[rows] - scores[rows].mean())[:, None] * MASK[rows]
        torch.testing.assert_close(found[rows], expected)
    assert found is returns
    with pytest.raises(BadInput, match="prompts with 3 and with 5 answers"):
        estimator(Rloo())(rewards(), MASK, list("aaabbbbb"))
    with pytest.raises(BadInput, match="no uid"):
        estimator(Rloo())(rewards(), MASK)


@pytest.mark.skipif(find_spec("verl") is not None, reason="verl is installed")
def test_without_verl_the_way_to_get_it_is_said() -> None:
    with pytest.raises(BadInput, match=r"pip install 'verl==0\.9"):
        register()


@needs_verl
@pytest.mark.parametrize("far", [0.0, 0.2])
@pytest.mark.parametrize(
    ("theirs", "ours", "settings", "mode"),
    [
        ("vanilla", Clip(0.1, 0.15, dual=3.0), {"clip_ratio_low": 0.1, "clip_ratio_high": 0.15},
         "token-mean"),
        ("vanilla", Clip(dual=3.0), {}, "seq-mean-token-mean"),
        ("vanilla", Clip(dual=3.0), {}, "seq-mean-token-sum-norm"),
        ("gspo", SeqRatio(0.15, 0.2), {"clip_ratio_low": 0.15, "clip_ratio_high": 0.2},
         "seq-mean-token-mean"),
        # verl's has a lower end, which 1 switches off.
        ("cispo", Cispo(1.1), {"clip_ratio_low": 1.0, "clip_ratio_high": 0.1}, "token-mean"),
    ],
)  # fmt: skip
def test_loss_and_gradient_are_those_of_verl(
    theirs: str, ours: Any, settings: Any, mode: str, far: float
) -> None:
    from verl.trainer.ppo import core_algos
    from verl.workers.config import ActorConfig

    config = ActorConfig(strategy="fsdp", rollout_n=4, ppo_micro_batch_size_per_gpu=8, **settings)
    register({f"test_{theirs}_{mode}_{ours}": ours}, {})
    found = []
    for name in (theirs, f"test_{theirs}_{mode}_{ours}"):
        made = arrays(far)
        loss, told = core_algos.get_policy_loss_fn(name)(
            **made, loss_agg_mode=mode, config=config, rollout_is_weights=None
        )
        (slope,) = torch.autograd.grad(loss, made["log_prob"])
        found.append((loss.item(), slope, told["actor/ppo_kl"]))
    assert float(found[0][1].abs().max()) > 1e-3
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5, abs=1e-7)
    assert found[1][2] == pytest.approx(found[0][2], rel=1e-5, abs=1e-7)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-5, atol=1e-7)


@needs_verl
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("grpo", Group()),
        ("rloo", Rloo()),
        ("reinforce_plus_plus", ReinforcePp()),
        ("reinforce_plus_plus_baseline", ReinforcePp(baseline=True)),
    ],
)
def test_advantages_are_those_of_verl(theirs: str, ours: Any) -> None:
    from verl.trainer.config import AlgoConfig
    from verl.trainer.ppo import core_algos

    register({}, {f"test_{theirs}": ours})
    config = AlgoConfig(gamma=1.0)
    given = {"token_level_rewards": rewards(), "response_mask": MASK, "config": config}
    expected, _ = core_algos.get_adv_estimator_fn(theirs)(
        **{**given, "token_level_rewards": rewards()}, index=UID
    )
    found, _ = core_algos.get_adv_estimator_fn(f"test_{theirs}")(**given, index=UID)
    # verl's whitening does not zero the padding, which no loss reads.
    torch.testing.assert_close(found, expected * MASK, rtol=1e-5, atol=1e-6)


@needs_verl
def test_verls_trainer_finds_an_estimator_of_ours_by_its_name() -> None:
    ray_trainer = pytest.importorskip("verl.trainer.ppo.ray_trainer")
    from verl import DataProto
    from verl.trainer.config import AlgoConfig

    register()
    data = DataProto.from_dict(
        tensors={"token_level_rewards": rewards(), "response_mask": MASK},
        non_tensors={"uid": UID},
    )
    done = ray_trainer.compute_advantage(data, "meritree_rloo", config=AlgoConfig())
    expected, _ = estimator(Rloo())(rewards(), MASK, UID)
    torch.testing.assert_close(done.batch["advantages"], expected)


@needs_verl
def test_a_process_that_verl_starts_knows_our_names() -> None:
    code = (
        "import verl; from verl.trainer.ppo import core_algos as c;"
        "print(*sorted(n for n in [*c.POLICY_LOSS_REGISTRY, *c.ADV_ESTIMATOR_REGISTRY]"
        " if n.startswith('meritree')))"
    )
    given = {**os.environ, "VERL_USE_EXTERNAL_MODULES": "meritree.align.adaptors.verl_plugin"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == sorted([*SURROGATES, *ADVANTAGES])


@needs_verl
def test_names_that_are_taken_and_keys_that_verl_lacks_are_refused() -> None:
    register()
    register()
    with pytest.raises(BadInput, match="something else named 'vanilla'"):
        register({"vanilla": Clip()}, {})
    with pytest.raises(BadInput, match="something else named 'meritree_rloo'"):
        register({}, {"meritree_rloo": Group()})
    with pytest.raises(BadInput, match="ExternalMis needs the key 'source'"):
        register({"external": ExternalMis()}, {})
    with pytest.raises(BadInput, match="Gae needs the key 'values_sg'"):
        register({}, {"gae2": Gae()})
