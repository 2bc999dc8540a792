"""Networks that value prefixes of answers: a language model's trunk with a scalar head.

The protocol of a critic: called with ``input_ids`` and ``attention_mask`` it gives values [B, S]
(or an object whose ``.logits`` are [B, S, 1]); place t is worth the tokens up to and with t. Knows
no target.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Protocol

from meritree.align._torch import Module, Tensor, own_randomness, torch
from meritree.errors import BadInput

if TYPE_CHECKING:
    from meritree.align.forward import Rows


class Critic(Protocol):
    """What can value prefixes: any `torch.nn.Module` that is called like this.

    `critic_of` makes one; a `transformers` token classifier with ``num_labels=1`` is one, and so is
    a table of values (`tabular.TreeValue`).
    """

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """Values [B, S] (or an object with ``.logits`` [B, S, 1]) of the tokens up to each."""


class ValueModel(torch.nn.Module):  # type: ignore[misc]  # PyTorch's types are not followed
    """A trunk that gives hidden states, and a head that makes one number of each.

    Attributes:
        head: from hidden states to values.
        config: the trunk's.
    """

    def __init__(self, trunk: Module, head: Module, *, own: bool) -> None:
        super().__init__()
        self.head, self.config = head, trunk.config
        if own:
            self.trunk = trunk
        else:  # kept out of the module's parameters: it is trained, moved and saved by its owner
            self._lent = (trunk,)

    @property
    def core(self) -> Module:
        """The trunk, its own or lent."""
        return self._lent[0] if hasattr(self, "_lent") else self.trunk

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any
    ) -> Tensor:
        """Values [B, S]; ``options`` are the trunk's (``position_ids``, ``use_cache``)."""
        options.setdefault("use_cache", False)
        learns = torch.is_grad_enabled() and not hasattr(self, "_lent")
        with torch.set_grad_enabled(learns):
            out = self.core(input_ids=input_ids, attention_mask=attention_mask, **options)
        hidden = out.last_hidden_state.to(next(self.head.parameters()).dtype)
        return self.head(hidden)[..., 0]


def critic_of(model: Module, seed: int = 0, *, hidden: int = 0, share: bool = False) -> ValueModel:
    """A value model over the trunk of a causal language model; 0 everywhere before training.

    Args:
        model: a `transformers` causal model (adapters looked through); it is not changed.
        seed: of the hidden layer's weights; a head without one begins at 0 and draws nothing.
        hidden: width of a hidden layer in the head; 0: the head is linear.
        share: use the model's own trunk, frozen, rather than a copy: only the head is trained.

    Raises:
        BadInput: a model without a trunk that gives hidden states, or a negative width.
    """
    if hidden < 0:
        raise BadInput(f"critic_of: hidden is {hidden}; it must be 0 or a width")
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    trunk = getattr(plain, "base_model", None)
    config = getattr(plain, "config", None)
    if trunk is None or trunk is plain or config is None:
        raise BadInput(
            f"critic_of: a {type(model).__name__} has no trunk below its head; give a causal "
            "language model of transformers, or write a critic of your own (align.critic.Critic)"
        )
    width = int(config.get_text_config().hidden_size)
    device = next(plain.parameters()).device
    with own_randomness(seed, torch.device("cpu")):
        head = _head(width, hidden)
    if not share:
        trunk = deepcopy(trunk).requires_grad_(True)
    return ValueModel(trunk, head.to(device), own=not share)


def _head(width: int, hidden: int) -> Module:
    last = torch.nn.Linear(hidden or width, 1)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    if not hidden:
        return torch.nn.Sequential(last)
    return torch.nn.Sequential(torch.nn.Linear(width, hidden), torch.nn.GELU(), last)


def prefix_values(critic: Module, ids: Tensor, attention: Tensor) -> Tensor:
    """What the critic says of every prefix, [B, S], at least in single precision.

    Raises:
        BadInput: it gave another shape.
    """
    return as_values(critic(input_ids=ids, attention_mask=attention), ids)


def as_values(out: Any, ids: Tensor) -> Tensor:
    """A critic's output to these tokens as values [B, S], at least in single precision.

    Raises:
        BadInput: it has another shape, as a language model's logits.
    """
    values = out if isinstance(out, torch.Tensor) else out.logits
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if tuple(values.shape) != tuple(ids.shape):
        raise BadInput(
            f"the critic gave the shape {tuple(values.shape)}, expected {tuple(ids.shape)} or "
            f"{(*ids.shape, 1)}: one value a token"
        )
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def response_values(critic: Module, rows: Rows) -> Tensor:
    """Values of the states before each token of the response, [B, T]; 0 where there is none.

    The last token is never read: nothing is left to value after it.
    """
    length = rows.ids.shape[1] - 1
    values = prefix_values(critic, rows.ids[:, :length], rows.attention[:, :length])
    steps = torch.arange(rows.tokens.shape[1], device=rows.ids.device)
    place = (rows.start[:, None] + steps - 1).clamp(max=length - 1)
    return values.gather(1, place) * rows.mask
