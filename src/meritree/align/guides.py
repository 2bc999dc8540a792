"""What a value says of candidates for the next token: asked anew, or over a cache that is shared.

The candidates of a row stand side by side behind one copy of its keys and values, each seeing the
row and itself only, so that nothing is copied per candidate and nothing is read twice. Knows no
decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from meritree.align._torch import Module, Tensor, torch, transformers
from meritree.align.critic import ValueModel, as_values, prefix_values
from meritree.align.prefix import cache_name, keeps_all_keys
from meritree.errors import BadInput


class ValueFn(Protocol):
    """What can guide: says what every candidate would be worth."""

    def q(self, ids: Tensor, attention: Tensor, candidates: Tensor) -> Tensor:
        """Value after appending each candidate: [B, S], [B, S] and [B, K] -> [B, K].

        Rows may be padded on the left, where ``attention`` is 0.
        """


class Session(Protocol):
    """A value function during one generation: rows grow by a token a call."""

    tokens: int

    def q(self, ids: Tensor, attention: Tensor, candidates: Tensor) -> Tensor:
        """As `ValueFn.q`."""


@dataclass(frozen=True)
class Valued:
    """A critic as a guide.

    Attributes:
        critic: see `meritree.align.critic.Critic`.
        transform: of its values: ``torch.nn.functional.logsigmoid`` for a classifier (FUDGE).
        cached: keep keys and values from one token to the next where the critic can.
    """

    critic: Module
    transform: Callable[[Tensor], Tensor] | None = None
    cached: bool = True

    def q(self, ids: Tensor, attention: Tensor, candidates: Tensor) -> Tensor:
        """Each candidate in a row of its own."""
        size = candidates.shape[1]
        rows = ids.repeat_interleave(size, 0)
        seen = attention.repeat_interleave(size, 0)
        rows = torch.cat([rows, candidates.reshape(-1, 1)], 1)
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
        with at_rest(self.critic):
            values = prefix_values(self.critic, rows, seen)[:, -1]
        return self.shown(values.reshape(candidates.shape))

    def shown(self, values: Tensor) -> Tensor:
        """Values after the transform."""
        return values if self.transform is None else self.transform(values)

    def session(self) -> Session:
        """For one generation."""
        return SharedCache(self) if self.cached and can_share(self.critic) else Anew(self)


class Anew:
    """A session without memory.

    Attributes:
        tokens: positions read so far.
    """

    def __init__(self, value: ValueFn) -> None:
        self._value = value
        self.tokens = 0

    def q(self, ids: Tensor, attention: Tensor, candidates: Tensor) -> Tensor:
        """As `ValueFn.q`."""
        self.tokens += candidates.numel() * (ids.shape[1] + 1)
        return self._value.q(ids, attention, candidates)


class SharedCache:
    """A session that reads each token of a row once and its candidates beside it.

    Rows may change places or fall away from call to call (beam search): the cache follows.

    Attributes:
        tokens: positions read so far.
    """

    def __init__(self, value: Valued) -> None:
        self._value = value
        self._name = cache_name(_core(value.critic)) or ""
        self._past: Any = None
        self._seen: tuple[Tensor, Tensor] | None = None
        self.tokens = 0

    def q(self, ids: Tensor, attention: Tensor, candidates: Tensor) -> Tensor:
        """As `ValueFn.q`."""
        known = self._follow(ids, attention)
        fresh = torch.cat([ids[:, known:], candidates], 1)
        size, width = candidates.shape[1], ids.shape[1]
        place = (attention.cumsum(1) - 1).clamp(min=0)
        after = attention.sum(1, keepdim=True).expand(-1, size)
        critic = self._value.critic
        with at_rest(critic):
            out = critic(
                input_ids=fresh,
                attention_mask=_side_by_side(attention, known, size, _dtype(critic)),
                position_ids=torch.cat([place[:, known:], after], 1),
                use_cache=True,
                **{self._name: self._past},
            )
        self._past.crop(-size)
        self._seen = ids, attention
        self.tokens += fresh.numel()
        return self._value.shown(as_values(out, fresh)[:, width - known :])

    def _follow(self, ids: Tensor, attention: Tensor) -> int:
        """How many tokens of these rows the cache holds, after moving its rows to theirs."""
        if self._seen is not None:
            old, mask = self._seen
            known = int(old.shape[1])
            if ids.shape[1] > known:
                now = torch.stack([ids[:, :known], attention[:, :known]])
                then = torch.stack([old, mask])
                if now.shape == then.shape and bool((now == then).all()):
                    return known
                same = (now[:, :, None] == then[:, None]).all(-1).all(0)
                if bool(same.any(1).all()):
                    self._past.batch_select_indices(same.to(torch.int64).argmax(1))
                    return known
        self._past = transformers().DynamicCache()
        return 0


@contextmanager
def at_rest(model: Module) -> Iterator[None]:
    """In evaluation mode, without gradients; afterwards as before."""
    before = model.training
    if before:  # walks through all modules, and this is called for each token
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if before:
            model.train()


def can_share(critic: Module) -> bool:
    """Whether the critic takes a cache and a mask of its own for every query."""
    if cache_name(_core(critic)) is None:
        return False
    config = getattr(critic, "config", None)
    how = str(getattr(config, "_attn_implementation", None) or "eager")
    return keeps_all_keys(config) and how in ("eager", "sdpa")


def _side_by_side(attention: Tensor, known: int, size: int, dtype: Any) -> Tensor:
    """What may be seen, as numbers to add to scores: [B, 1, S - known + K, S + K].

    The row's new tokens see what stands before them; candidates see the row and themselves.
    """
    batch, width = attention.shape
    column = torch.arange(width + size, device=attention.device)
    query = column[known:]
    real = torch.cat([attention.bool(), attention.new_zeros(batch, size).bool()], 1)
    earlier = column[None, :] <= query[:, None]
    itself = column[None, :] == query[:, None]
    seen = (real[:, None, :] & earlier[None]) | itself[None]
    lowest = torch.finfo(dtype).min
    return torch.where(seen, 0.0, lowest).to(dtype)[:, None]


def _core(critic: Module) -> Module:
    return critic.core if isinstance(critic, ValueModel) else critic


def _dtype(critic: Module) -> Any:
    return next(_core(critic).parameters()).dtype


def check_q(number: int, q: Tensor, candidates: Tensor) -> Tensor:
    """The guide's answer itself.

    Raises:
        BadInput: another shape, or a number that is not finite.
    """
    if tuple(q.shape) != tuple(candidates.shape):
        raise BadInput(
            f"guide {number} gave the shape {tuple(q.shape)}, expected {tuple(candidates.shape)}: "
            "one value a candidate"
        )
    if not bool(torch.isfinite(q).all()):
        raise BadInput(f"guide {number} gave a value that is not finite: mend its weights")
    return q
