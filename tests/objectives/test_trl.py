"""The same numbers and gradients as TRL's own trainers on a small Llama made on the spot.

TRL's loss code runs unchanged; ours is fed the log-probabilities of the same model.
"""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from meritree.objectives import divergences, extras, rows, surrogates
from meritree.objectives.links import Hinge, Logistic, Robust, Square
from meritree.objectives.preference import LogRatio, PairObjective

WORDS = ["[PAD]", "[EOS]", "[BOS]", *(f"w{i}" for i in range(17))]
PROMPTS = {"prompt": ["w1 w2", "w3"]}
PAIRS = {**PROMPTS, "chosen": [" w4 w5 w6", " w7"], "rejected": [" w8", " w9 w10 w11 w12"]}
PREFERENCES: dict[str, tuple[dict[str, Any], PairObjective]] = {
    "sigmoid": ({}, PairObjective(LogRatio(), Logistic(0.3))),
    "hinge": ({}, PairObjective(LogRatio(), Hinge(0.3))),
    "ipo": ({}, PairObjective(LogRatio(mean=True), Square(0.3))),
    "sigmoid_norm": ({}, PairObjective(LogRatio(mean=True), Logistic(0.3))),
    "robust": ({"label_smoothing": 0.2}, PairObjective(LogRatio(), Robust(0.3, 0.2))),
    "forward KL": (
        {"f_divergence_type": "forward_kl"},
        PairObjective(LogRatio("forward_kl"), Logistic(0.3)),
    ),
    "JS": (
        {"f_divergence_type": "js_divergence"},
        PairObjective(LogRatio("js"), Logistic(0.3)),
    ),
    # TRL's coefficient is one minus the paper's alpha.
    "alpha": (
        {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.7},
        PairObjective(LogRatio("alpha", 0.3), Logistic(0.3)),
    ),
    "alpha and ipo": (
        {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.7,
         "loss_types": ["ipo"]},
        PairObjective(LogRatio("alpha", 0.3, mean=True), Square(0.3)),
    ),
}  # fmt: skip
POLICIES: dict[str, tuple[dict[str, Any], Any, rows.How]] = {
    "grpo": ({"loss_type": "grpo"}, surrogates.Clip(0.2, 0.28), "seq_mean"),
    "bnpo": ({"loss_type": "bnpo"}, surrogates.Clip(0.2, 0.28), "token"),
    "dapo": ({"loss_type": "dapo"}, surrogates.Clip(0.2, 0.28), "token"),
    "dr_grpo": ({"loss_type": "dr_grpo"}, surrogates.Clip(0.2, 0.28), "const"),
    "luspo": ({"loss_type": "luspo"}, surrogates.Clip(0.2, 0.28), "seq_sum"),
    "cispo": ({"loss_type": "cispo", "epsilon_high": 1.1}, surrogates.Cispo(1.1), "token"),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence"},
        surrogates.SeqRatio(0.2, 0.28),
        "seq_mean",
    ),
}


def llama(seed: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=32, initializer_range=0.3,
        pad_token_id=0, eos_token_id=1, bos_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[PAD]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", eos_token="[EOS]", bos_token="[BOS]"
    )


def quiet(folder: Any) -> dict[str, Any]:
    return {"output_dir": str(folder), "report_to": "none", "use_cpu": True, "bf16": False}


@pytest.fixture(scope="module")
def dpo(tokenizer: Any, tmp_path_factory: Any) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    folder = tmp_path_factory.mktemp("dpo")
    return DPOTrainer(
        model=llama(0), ref_model=llama(1), processing_class=tokenizer,
        train_dataset=Dataset.from_dict(PAIRS),
        args=DPOConfig(beta=0.3, per_device_train_batch_size=2, **quiet(folder)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def grpo(tokenizer: Any, tmp_path_factory: Any) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    folder = tmp_path_factory.mktemp("grpo")
    return GRPOTrainer(
        model=llama(2), reward_funcs=lambda completions, **_: [0.0] * len(completions),
        processing_class=tokenizer, train_dataset=Dataset.from_dict(PROMPTS),
        args=GRPOConfig(
            num_generations=2, per_device_train_batch_size=2, max_completion_length=4,
            epsilon=0.2, epsilon_high=0.28, temperature=1.0, **quiet(folder),
        ),
    )  # fmt: skip


def log_probs(model: Any, ids: Any, attention: Any) -> Any:
    logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1]
    return logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]


def gradients(loss: Any, model: Any) -> Any:
    model.zero_grad()
    loss.backward()
    return np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])


def same(theirs: Any, ours: Any, model: Any) -> None:
    np.testing.assert_allclose(ours.item(), theirs.item(), rtol=1e-5, atol=1e-7)
    expected = gradients(theirs, model)
    assert np.abs(expected).max() > 0.0
    np.testing.assert_allclose(gradients(ours, model), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PREFERENCES)
def test_preference_losses_are_trls(dpo: Any, name: str, monkeypatch: Any) -> None:
    import torch

    settings, objective = PREFERENCES[name]
    if name in ("hinge", "ipo", "sigmoid_norm", "robust"):
        settings = {**settings, "loss_types": [name]}
    for key, value in settings.items():
        monkeypatch.setattr(dpo, key, value)
    inputs = next(iter(dpo.get_train_dataloader()))
    ids, attention = inputs["input_ids"], inputs["attention_mask"]
    theirs = dpo._compute_loss(dpo.model, dict(inputs), False)
    with torch.no_grad():
        ref_logp = log_probs(dpo.ref_model, ids, attention)
    batch = {"ref_logp": ref_logp, "mask": inputs["completion_mask"][:, 1:]}
    loss, metrics = objective(batch | {"logp": log_probs(dpo.model, ids, attention)})
    assert 0.0 <= float(metrics["accuracy"]) <= 1.0
    same(theirs, loss.mean(), dpo.model)


@pytest.mark.parametrize("name", POLICIES)
def test_policy_losses_are_trls(grpo: Any, name: str, monkeypatch: Any) -> None:
    import torch

    settings, surrogate, how = POLICIES[name]
    for key, value in settings.items():
        monkeypatch.setattr(grpo, key, value)
    monkeypatch.setattr(grpo, "beta", 0.05)
    monkeypatch.setattr(grpo.args, "use_bias_correction_kl", False)
    model = grpo.model.eval()  # TRL's training mode divides by accumulated steps
    prompt, completion = torch.tensor([[3, 4], [3, 4]]), torch.tensor([[5, 6, 7], [8, 9, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    ids = torch.cat([prompt, completion], dim=1)
    attention = torch.cat([torch.ones_like(prompt), mask], dim=1)
    logp = log_probs(model, ids, attention)[:, -3:]
    noise = torch.tensor([[0.3, -0.4, 0.0], [0.1, -0.5, 0.2]])
    old, ref = (logp.detach() + noise), (logp.detach() - 0.5 * noise)
    advantage = torch.tensor([1.0, -0.7])
    theirs = grpo._compute_loss(
        model,
        {
            "prompt_ids": prompt, "prompt_mask": torch.ones_like(prompt),
            "completion_ids": completion, "completion_mask": mask, "advantages": advantage,
            "old_per_token_logps": old, "ref_per_token_logps": ref,
            "num_items_in_batch": mask.sum(),
        },
    )  # fmt: skip
    batch = {
        "logp": logp, "logp_sg": logp.detach(), "old_logp": old, "mask": mask,
        "advantage": advantage[:, None].expand(2, 3),
    }  # fmt: skip
    tokens = surrogate(batch) + 0.05 * divergences.k3(logp, ref)
    same(theirs, rows.agg(tokens, mask, how, const=4), model)


def test_the_regression_of_a_star_po_is_trls() -> None:
    import torch
    from trl.experimental.a2po import A2POTrainer

    rng = np.random.default_rng(0)
    logp, ref_logp = (torch.tensor(rng.normal(size=(4, 3))) for _ in range(2))
    mask, reward = torch.ones(4, 3), torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    sampled = torch.tensor([[1.0, 0.0, 0.0, 1.0]] * 4, dtype=torch.float64)
    vstar = extras.soft_value(sampled, 0.5)
    np.testing.assert_allclose(vstar, 0.5 * np.log((2 * np.exp(2.0) + 2) / 4))
    trainer = SimpleNamespace(
        args=SimpleNamespace(beta2=0.2),
        model=SimpleNamespace(training=True),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _get_sequence_logps=lambda *_: logp.sum(-1),
    )
    keys = ("input_ids", "attention_mask", "logits_to_keep")
    inputs = dict.fromkeys(keys) | {
        "ref_logps": ref_logp.sum(-1), "rewards": reward, "v_star": vstar,
    }  # fmt: skip
    theirs = A2POTrainer.compute_loss(trainer, trainer.model, inputs)
    batch = {"logp": logp, "ref_logp": ref_logp, "mask": mask, "reward": reward, "vstar": vstar}
    np.testing.assert_allclose(extras.Regress(0.2)(batch).mean(), theirs, rtol=1e-12)
