"""Prompts read once for all their answers: the model's own cache is filled and then spread.

For answers that share prompts, in drawing and in training. Where a model cannot do this (no cache
argument, states that are not kept by position, checkpointed activations) callers fall back to
reading every row whole. Knows no reward and no loss.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meritree.align._torch import Module, Tensor, torch, transformers
from meritree.align.data import Ids


@dataclass
class Prefix:
    """A filled cache and what the model says after it, for each row.

    Attributes:
        model: that filled it.
        cache: of `transformers`; grows with every `read`.
        name: of the model's argument for it.
        attention: [B, S], 0 where a prompt is padded on the left.
        place: position of the next token, [B].
        logits: after the last token read, [B, V].
    """

    model: Module
    cache: Any
    name: str
    attention: Tensor
    place: Tensor
    logits: Tensor

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may stand several times."""
        self.cache.batch_select_indices(rows)
        self.attention, self.place = self.attention[rows], self.place[rows]
        self.logits = self.logits[rows]

    def read(self, tokens: Tensor) -> Tensor:
        """Logits after each of these tokens, [B, T] -> [B, T, V]; the cache grows by them."""
        width = tokens.shape[1]
        self.attention = torch.cat([self.attention, torch.ones_like(tokens)], 1)
        steps = torch.arange(width, device=tokens.device)
        out = self.model(
            input_ids=tokens, attention_mask=self.attention, use_cache=True,
            position_ids=self.place[:, None] + steps, **{self.name: self.cache},
        )  # fmt: skip
        self.place = self.place + width
        self.logits = out.logits[:, -1]
        logits: Tensor = out.logits
        return logits


def fill(model: Module, prompts: Sequence[Ids]) -> Prefix | None:
    """Read prompts, each once; None where this model cannot spread its cache.

    Gradients flow where they are enabled.
    """
    name = cache_argument(model)
    if name is None:
        return None
    device = next(model.parameters()).device
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in prompts], device=device)
    seen = [[0] * (width - len(row)) + [1] * len(row) for row in prompts]
    attention = torch.tensor(seen, device=device)
    place = (attention.cumsum(-1) - 1).clamp(min=0)
    cache = transformers().DynamicCache(config=_plain(model).config.get_text_config())
    out = model(
        input_ids=ids, attention_mask=attention, position_ids=place, use_cache=True,
        logits_to_keep=1, **{name: cache},
    )  # fmt: skip
    return Prefix(model, cache, name, attention, place[:, -1] + 1, out.logits[:, -1])


def cache_argument(model: Module) -> str | None:
    """Name of the argument for a cache that can be spread over rows; None if there is none."""
    plain = _plain(model)
    return None if model.training and _checkpointing(plain) else _name(plain)


def _checkpointing(plain: Module) -> bool:
    """Whether activations are made anew in the backward pass; a cache cannot be kept then."""
    now = getattr(plain, "is_activation_checkpointing", None)  # the older name warns
    return bool(getattr(plain, "is_gradient_checkpointing", False) if now is None else now)


def _name(plain: Module) -> str | None:
    config = getattr(plain, "config", None)
    if config is None or getattr(config, "is_encoder_decoder", False):
        return None
    if not keeps_all_keys(config.get_text_config()):
        return None
    accepted = inspect.signature(plain.forward).parameters
    if not {"attention_mask", "position_ids", "use_cache", "logits_to_keep"} <= accepted.keys():
        return None
    return cache_name(plain)


def keeps_all_keys(config: Any) -> bool:
    """Whether every layer keeps the keys of all tokens, not a window or a running state."""
    kinds = set(getattr(config, "layer_types", None) or ())
    window = not kinds and getattr(config, "sliding_window", None) is not None
    return not window and kinds <= {"full_attention"}


def cache_name(model: Module) -> str | None:
    """What the model calls its cache (newer Transformers renamed it); None: it takes none."""
    accepted = inspect.signature(model.forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in accepted), None)


def _plain(model: Module) -> Module:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
