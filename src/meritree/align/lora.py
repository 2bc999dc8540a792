"""Low-rank adapters through PEFT: only small matrices are trained, the model's own stay."""

from __future__ import annotations

from collections.abc import Sequence

from meritree.align._torch import Module
from meritree.errors import BadInput


def with_lora(
    model: Module,
    rank: int = 16,
    alpha: float | None = None,
    targets: Sequence[str] | str = "all-linear",
    dropout: float = 0.0,
) -> Module:
    """The model with adapters, which alone require gradients; at first it answers as before.

    `fit_preferences` needs no second copy of it: the reference is asked before the first step.

    Args:
        model: a `transformers.PreTrainedModel`.
        rank: of the matrices.
        alpha: scale, divided by the rank; None: twice the rank.
        targets: names of layers; all linear ones but the head by default.
        dropout: on the adapters' input.

    Raises:
        BadInput: PEFT is not installed, or finds no such layers.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise BadInput("adapters need PEFT: pip install 'meritree[lora]'") from error
    if rank < 1:
        raise BadInput(f"with_lora: rank is {rank}; it must be at least 1")
    chosen = targets if isinstance(targets, str) else list(targets)
    config = LoraConfig(
        r=rank,
        lora_alpha=2.0 * rank if alpha is None else alpha,
        target_modules=chosen,
        lora_dropout=dropout,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise BadInput(f"with_lora: {error}") from None
