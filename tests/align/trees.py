"""All answers of a tiny Llama to one prompt: small enough for exact values and exact policies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from meritree.align.guided import Guided
from meritree.align.tabular import TreeValue

END = 1
WORDS, DEPTH = 5, 3  # 1 ends


@dataclass(frozen=True)
class Tree:
    """All answers of a tiny Llama to one prompt, with their probability and a reward."""

    model: Any
    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    base: Any
    reward: Any

    def judge(self, prompt: Sequence[int], response: Sequence[int]) -> float:
        return float(self.reward[self.answers.index(tuple(response))])

    def beginnings(self) -> list[tuple[int, ...]]:
        return sorted({a[:t] for a in self.answers for t in range(len(a) + 1)})

    def expect(self, start: tuple[int, ...], worth: Any) -> float:
        """Mean over answers that begin so, under the base."""
        inside = torch.tensor([a[: len(start)] == start for a in self.answers])
        return float((self.base * worth)[inside].sum() / self.base[inside].sum())

    def soft(self, start: tuple[int, ...], beta: float) -> float:
        return beta * math.log(self.expect(start, torch.exp(self.reward / beta)))

    def optimal(self, beta: float) -> Any:
        tilted = self.base * torch.exp(self.reward / beta)
        return tilted / tilted.sum()

    def spoken(self, guided: Guided) -> Any:
        """Probability of each answer under the guided policy."""
        starts = [s for s in self.beginnings() if len(s) < DEPTH and END not in s]
        after = {
            start: guided.step(torch.tensor([[*self.prompt, *start]])).log_softmax(-1)[0]
            for start in starts
        }
        found = [
            math.exp(sum(float(after[answer[:t]][token]) for t, token in enumerate(answer)))
            for answer in self.answers
        ]
        return torch.tensor(found, dtype=torch.float64)

    def table(self, worth: Any) -> TreeValue:
        """A critic that says ``worth(beginning)``."""
        critic = TreeValue(WORDS, DEPTH, len(self.prompt))
        with torch.no_grad():
            for start in self.beginnings():
                node = 0
                for token in start:
                    node = node * WORDS + token + 1
                critic.table[node] = worth(start)
        return critic


def make_tree() -> Tree:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(5)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WORDS, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=16, initializer_range=0.25,
            pad_token_id=0, eos_token_id=END, bos_token_id=2,
        )
    ).eval()  # fmt: skip
    prompt = (2, 3)
    found = []
    for size in range(1, DEPTH + 1):
        for answer in product(range(WORDS), repeat=size):
            inner = answer[:-1]
            if END not in inner and (size == DEPTH or answer[-1] == END):
                found.append(answer)
    base = []
    with torch.no_grad():
        for answer in found:
            logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits.log_softmax(-1)
            base.append(sum(float(logits[0, 1 + t, a]) for t, a in enumerate(answer)))
    torch.manual_seed(7)
    reward = torch.randn(len(found), dtype=torch.float64)
    p = torch.tensor(base, dtype=torch.float64).exp()
    assert abs(float(p.sum()) - 1.0) < 1e-5
    return Tree(model, prompt, tuple(found), p / p.sum(), reward)


def fitting(steps: int = 150) -> dict[str, Any]:
    return {
        "optimizer": lambda p: torch.optim.Adam(p, lr=0.25),
        "schedule": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.96),
        "steps": steps, "batch": None, "log_every": 0,
    }  # fmt: skip


def furthest(tree: Tree, critic: TreeValue, beta: float, starts: Any) -> float:
    exact = tree.table(lambda start: tree.soft(start, beta))
    off = (critic.table - exact.table).detach().abs()
    nodes = []
    for start in starts:
        node = 0
        for token in start:
            node = node * WORDS + token + 1
        nodes.append(node)
    return float(off[nodes].max())
