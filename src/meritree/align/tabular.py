"""A policy that is a table of logits: small enough for closed forms, trained like any other.

Prompt x is the one token x, answer a the one token a.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meritree.align._torch import Tensor, torch
from meritree.align.data import Answer, Pair


class Tabular(torch.nn.Module):  # type: ignore[misc]  # PyTorch's types are not followed
    """pi(a | x) = softmax(table[x])_a.

    Attributes:
        table: logits, [X, A].
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.as_tensor(logits).clone())

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits [B, S, A]: at every place those of the row's prompt."""
        rows = self.table[input_ids[:, 0]]
        return rows[:, None, :].expand(-1, input_ids.shape[1], -1)

    def generate(self, input_ids: Tensor, do_sample: bool = True, **_: Any) -> Tensor:
        """The prompt and one answer, [B, 2]; at temperature 1 whatever is asked."""
        table = self.table[input_ids[:, 0]].softmax(-1)
        drawn = torch.multinomial(table, 1) if do_sample else table.argmax(-1, keepdim=True)
        return torch.cat([input_ids, drawn], -1)

    def probabilities(self) -> Tensor:
        """pi, [X, A]."""
        return self.table.detach().softmax(-1)


def every_pair(preferred: Sequence[Sequence[float]], prompt: int = 0) -> list[Pair]:
    """All ordered pairs of different answers to one prompt, with their preference as soft label.

    Under uniform opponents their mean loss is the population's.

    Args:
        preferred: p(a > b), [A, A].
        prompt: which.
    """
    size = range(len(preferred))
    return [
        Pair((prompt,), (a,), (b,), preference=float(preferred[a][b]))
        for a in size
        for b in size
        if a != b
    ]


def every_answer(size: int, prompt: int = 0, **columns: Sequence[float]) -> list[Answer]:
    """All answers to one prompt, each with its entry of the columns."""
    return [
        Answer((prompt,), (a,), {name: values[a] for name, values in columns.items()})
        for a in range(size)
    ]
