"""Answers drawn from a model, with its own cache; and what the model thinks of answers.

Knows no reward. Randomness comes from the seed; the caller's state is left as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from meritree.align._torch import Module, Tensor, own_randomness, torch
from meritree.align.data import Answer, Ids, answers
from meritree.align.forward import policy_keys, rows_of
from meritree.errors import BadInput


def sample(
    policy: Module,
    prompts: Sequence[Ids],
    *,
    n: int = 1,
    longest: int,
    end: int,
    temperature: float = 1.0,
    seed: int = 0,
    batch: int = 512,
    processor: Callable[[Tensor], Any] | None = None,
) -> list[list[list[int]]]:
    """``n`` responses to each prompt, each up to and with its end token.

    Args:
        policy: a `transformers.PreTrainedModel` that can generate.
        prompts: token ids; of any lengths.
        n: responses a prompt.
        longest: most tokens of a response.
        end: the token that ends one.
        temperature: 0 for the likeliest token.
        seed: of the draws.
        batch: rows that are generated side by side.
        processor: from a batch's attention [B, S] to its own `transformers.LogitsProcessor`.

    Raises:
        BadInput: no prompt, an empty one, a policy that cannot generate.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise BadInput("sample: give prompts of at least one token")
    if not hasattr(policy, "generate"):
        raise BadInput(f"sample: a {type(policy).__name__} cannot generate; give a causal model")
    rows = [list(prompt) for prompt in prompts for _ in range(n)]
    device = next(policy.parameters()).device
    before = policy.training
    policy.eval()
    found: list[list[int]] = []
    with torch.no_grad(), own_randomness(seed, device):
        for first in range(0, len(rows), batch):
            part = rows[first : first + batch]
            width = max(map(len, part))
            # Generation wants prompts that end together: padded on the left, masked.
            ids = torch.tensor([[end] * (width - len(row)) + row for row in part], device=device)
            seen = [[0] * (width - len(row)) + [1] * len(row) for row in part]
            attention = torch.tensor(seen, device=device)
            drawn = policy.generate(
                input_ids=ids,
                attention_mask=attention,
                logits_processor=[processor(attention)] if processor else None,
                max_new_tokens=longest,
                do_sample=temperature > 0.0,
                temperature=temperature if temperature > 0.0 else None,
                top_k=0 if temperature > 0.0 else None,
                top_p=1.0 if temperature > 0.0 else None,
                eos_token_id=end,
                pad_token_id=end,
            )
            found += [_until(row, end) for row in drawn[:, width:].tolist()]
    policy.train(before)
    return [found[i : i + n] for i in range(0, len(found), n)]


def log_probability(policy: Module, rows: Iterable[Answer], batch: int = 512) -> Tensor:
    """log pi(response | prompt) of each row, [N], on the CPU and without gradient.

    Raises:
        BadInput: a prompt or response is empty.
    """
    listed = list(rows)
    data = answers(listed)
    if data.size != len(listed):
        raise BadInput(f"log_probability: {len(listed) - data.size} rows are empty")
    device = next(policy.parameters()).device
    before = policy.training
    policy.eval()
    found = []
    with torch.no_grad():
        for units in torch.arange(data.size).split(batch):
            part = rows_of(data, units, device)
            logp = policy_keys(policy, part, frozenset({"logp"}))["logp"]
            found.append((logp * part.mask).sum(-1).cpu())
    policy.train(before)
    return torch.cat(found)


def _until(row: list[int], end: int) -> list[int]:
    return row[: row.index(end) + 1] if end in row else row
