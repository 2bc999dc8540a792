"""Answers drawn from a model, with its own cache; and what the model thinks of answers.

Knows no reward. Randomness comes from the seed; the caller's state is left as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from meritree.align._torch import Module, Tensor, own_randomness, torch
from meritree.align.data import Answer, Ids, answers
from meritree.align.forward import policy_keys, rows_of
from meritree.align.prefix import fill
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

    Raises:
        BadInput: no prompt, an empty one, a policy that cannot generate.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise BadInput("sample: give prompts of at least one token")
    if not hasattr(policy, "generate"):
        raise BadInput(f"sample: a {type(policy).__name__} cannot generate; give a causal model")
    if n < 1 or batch < 1:
        raise BadInput(f"sample: n is {n} and batch {batch}; both must be at least 1")
    rows = [tuple(prompt) for prompt in prompts for _ in range(n)]
    device = next(policy.parameters()).device
    before = policy.training
    policy.eval()
    found: list[list[int]] = []
    with torch.no_grad(), own_randomness(seed, device):
        for first in range(0, len(rows), batch):
            part = rows[first : first + batch]
            drawn = _draw(policy, part, longest, end, temperature)
            if drawn is None:
                drawn = _generate(policy, part, longest, end, temperature)
            found += drawn
    policy.train(before)
    return [found[i : i + n] for i in range(0, len(found), n)]


def _draw(
    policy: Module, rows: Sequence[Ids], longest: int, end: int, temperature: float
) -> list[list[int]] | None:
    """Token by token, equal prompts read once and ended rows left out; None: it cannot be done."""
    number = {row: i for i, row in enumerate(dict.fromkeys(map(tuple, rows)))}
    prefix = fill(policy, list(number))
    if prefix is None:
        return None
    device = prefix.logits.device
    prefix.select(torch.tensor([number[tuple(row)] for row in rows], device=device))
    drawn = torch.full((len(rows), longest), end, device=device)
    active = torch.arange(len(rows), device=device)
    going = torch.ones_like(active, dtype=torch.bool)
    for place in range(longest):
        if temperature > 0.0:
            chances = (prefix.logits.float() / temperature).softmax(-1)
            token = torch.multinomial(chances, 1)
        else:
            token = prefix.logits.argmax(-1, keepdim=True)
        drawn[active, place] = token[:, 0]
        going = going & (token[:, 0] != end)
        left = int(going.sum())
        if place + 1 == longest or not left:
            break
        # Taking rows out of the cache copies it: done when a fifth of the work is saved.
        if left <= 0.8 * len(active):
            kept = going.nonzero()[:, 0]
            prefix.select(kept)
            active, token, going = active[kept], token[kept], going[kept]
        prefix.read(token)
    return [_until(row, end) for row in drawn.tolist()]


def _generate(
    policy: Module, rows: Sequence[Ids], longest: int, end: int, temperature: float
) -> list[list[int]]:
    width = max(map(len, rows))
    device = next(policy.parameters()).device
    # Generation wants prompts that end together: padded on the left, masked.
    ids = torch.tensor([[end] * (width - len(row)) + list(row) for row in rows], device=device)
    seen = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    drawn = policy.generate(
        input_ids=ids,
        attention_mask=torch.tensor(seen, device=device),
        max_new_tokens=longest,
        do_sample=temperature > 0.0,
        temperature=temperature if temperature > 0.0 else None,
        top_k=0 if temperature > 0.0 else None,
        top_p=1.0 if temperature > 0.0 else None,
        eos_token_id=end,
        pad_token_id=end,
    )
    return [_until(row, end) for row in drawn[:, width:].tolist()]


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
