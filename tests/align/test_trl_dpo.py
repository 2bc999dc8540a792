"""Our trainer and TRL's DPOTrainer take the same step from the same weights on the same pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from meritree.align import curve
from meritree.align.adaptors.trl import dpo_trainer
from meritree.align.data import Dataset
from meritree.align.prefer import fit_preferences
from meritree.align.text import text_pairs
from meritree.errors import BadInput
from meritree.objectives.extras import Nll
from meritree.objectives.links import Logistic, Square
from meritree.objectives.preference import LogRatio, PairObjective, RewardHead
from meritree.objectives.risk_ratio import CVaR, RiskRatio

TEXTS = [
    {"prompt": "w1 w2", "chosen": " w4 w5 w6", "rejected": " w8"},
    {"prompt": "w3", "chosen": " w7", "rejected": " w9 w10 w11 w12"},
    {"prompt": "w3 w1 w4 w1", "chosen": " w5 w9", "rejected": " w2 w6"},
]
RATE = 0.1


def theirs(kind: type[Any], make_llama: Any, tokenizer: Any, folder: Any, **settings: Any) -> Any:
    """A trainer of that class, set to take one step of plain gradient descent."""
    from datasets import Dataset as Table
    from trl import DPOConfig

    return kind(
        model=make_llama(0), ref_model=make_llama(1), processing_class=tokenizer,
        train_dataset=Table.from_list(TEXTS),
        args=DPOConfig(
            output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, max_steps=1,
            per_device_train_batch_size=3, learning_rate=RATE, lr_scheduler_type="constant",
            optim="sgd", max_grad_norm=0.0, logging_steps=1, save_strategy="no",
            gradient_checkpointing=False, disable_tqdm=True, **settings,
        ),
    )  # fmt: skip


def weights(model: Any) -> Any:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()


@pytest.mark.parametrize(
    ("settings", "objective"),
    [
        ({"loss_type": "sigmoid", "beta": 0.3}, PairObjective(LogRatio(), Logistic(0.3))),
        ({"loss_type": "ipo", "beta": 0.3}, PairObjective(LogRatio(mean=True), Square(0.3))),
    ],
    ids=["sigmoid", "ipo"],
)
def test_loss_and_gradient_are_those_of_trl(
    settings: Any, objective: Any, make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    from trl import DPOTrainer

    trainer = theirs(DPOTrainer, make_llama, tokenizer, tmp_path, **settings)
    inputs = next(iter(trainer.get_train_dataloader()))
    expected = trainer._compute_loss(trainer.model, inputs, False).item()
    trainer.train()
    model = make_llama(0)
    begin = weights(model)
    data: Dataset = text_pairs(tokenizer, TEXTS)
    trained = fit_preferences(
        model, objective, data, ref=make_llama(1), steps=1, batch=None,
        optimizer=lambda p: torch.optim.SGD(p, lr=RATE),
    )  # fmt: skip
    loss = curve.column(trained.curve, "loss")[0][1]
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    step = begin - weights(trainer.model)
    assert np.abs(step).max() > 1e-3
    np.testing.assert_allclose(begin - weights(model), step, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "objective",
    [
        PairObjective(LogRatio("js"), Logistic(0.3)),
        PairObjective(RiskRatio(CVaR(0.5), 0.5, detach_plus=True), Logistic(0.3), ((0.1, Nll()),)),
    ],
    ids=["js", "risk"],
)
def test_an_objective_in_trls_trainer_takes_the_step_that_ours_takes(
    objective: Any, make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    trainer = theirs(dpo_trainer(objective), make_llama, tokenizer, tmp_path)
    trainer.train()
    model = make_llama(0)
    begin = weights(model)
    fit_preferences(
        model, objective, text_pairs(tokenizer, TEXTS), ref=make_llama(1), steps=1, batch=None,
        optimizer=lambda p: torch.optim.SGD(p, lr=RATE),
    )  # fmt: skip
    step = begin - weights(trainer.model)
    assert np.abs(step).max() > 1e-3
    np.testing.assert_allclose(begin - weights(model), step, rtol=1e-4, atol=1e-6)
    assert any("margin" in entry for entry in trainer.state.log_history)


def test_adapters_in_trls_trainer_have_the_model_without_them_as_reference(
    make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    pytest.importorskip("peft")
    from datasets import Dataset as Table
    from peft import LoraConfig
    from trl import DPOConfig

    kind = dpo_trainer(PairObjective(LogRatio(), Logistic(0.3)))
    trainer = kind(
        model=make_llama(0), processing_class=tokenizer, train_dataset=Table.from_list(TEXTS),
        peft_config=LoraConfig(r=2, target_modules="all-linear"),
        args=DPOConfig(
            output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False,
            gradient_checkpointing=False,
        ),
    )  # fmt: skip
    inputs = next(iter(trainer.get_train_dataloader()))
    loss = trainer._compute_loss(trainer.model, inputs, False)
    np.testing.assert_allclose(loss.item(), np.log(2.0), rtol=1e-6)  # nothing is learned yet


def test_what_trls_batches_do_not_have_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="needs the key 'label'"):
        dpo_trainer(PairObjective(LogRatio(), Logistic(0.3), ((1.0, Nll(label=1)),)))
    with pytest.raises(BadInput, match="needs the key 'score'"):
        dpo_trainer(PairObjective(RewardHead(), Logistic(1.0)))
