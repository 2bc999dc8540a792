"""Tables in place of networks: small enough for closed forms, trained like any other model.

In the policy's table prompt x is the one token x, answer a the one token a; the values' table is
a tree of the answers to one prompt.
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


class TreeValue(torch.nn.Module):  # type: ignore[misc]  # PyTorch's types are not followed
    """A critic with one number for each beginning of an answer to one prompt; all 0 at first.

    Attributes:
        table: values, [nodes]; node 0 is the prompt, node n's child by token a is n V + a + 1.
        words: V, size of the vocabulary.
        prompt: tokens of the prompt.
    """

    def __init__(self, words: int, depth: int, prompt: int = 1) -> None:
        super().__init__()
        self.words, self.prompt = words, prompt
        nodes = sum(words**level for level in range(depth + 1))
        self.table = torch.nn.Parameter(torch.zeros(nodes, dtype=torch.float64))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Values [B, S]; 0 before the prompt's end and below the tree."""
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        count = attention_mask.cumsum(-1)
        nodes = torch.full_like(input_ids[:, 0], 0)
        found = []
        for t in place.tolist():
            grown = nodes * self.words + input_ids[:, t] + 1
            nodes = torch.where(count[:, t] > self.prompt, grown, nodes)
            nodes = nodes.clamp(max=len(self.table))  # below the tree it stays below
            inside = (count[:, t] >= self.prompt) & (nodes < len(self.table))
            found.append(self.table[nodes.clamp(max=len(self.table) - 1)] * inside)
        return torch.stack(found, dim=1)


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
