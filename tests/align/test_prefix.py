"""Prompts read once: the same numbers as when every row is read whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from meritree.align import forward
from meritree.align import sample as drawing
from meritree.align.data import Answer, answers
from meritree.align.forward import policy_keys, rows_of
from meritree.align.prefix import cache_argument, fill
from meritree.align.sample import sample

PROMPTS = [(2, 4, 5), (2, 4), (2, 6, 7, 8)]
RESPONSES = [(3, 4, 1), (5, 1), (6, 7, 8, 9, 1), (1,)]
DATA = answers([Answer(p, r) for p in PROMPTS for r in RESPONSES])


def keys(model: Any, units: Any = None) -> tuple[Any, Any, Any]:
    """Log-probabilities, distributions and the gradient of their sum."""
    rows = rows_of(DATA, torch.arange(DATA.size) if units is None else units, torch.device("cpu"))
    found = policy_keys(model, rows, frozenset({"logp", "dist"}), temperature=0.7)
    mask = rows.mask.float()
    model.zero_grad()
    (found["logp"] * mask).sum().backward()
    gradient = torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None])
    return found["logp"] * mask, found["dist"] * mask[..., None], gradient


def test_log_probabilities_and_gradients_are_those_of_whole_rows(
    make_llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls = make_llama(), []
    spread = forward.fill
    monkeypatch.setattr(forward, "fill", lambda *a: calls.append(1) or spread(*a))
    once = keys(model)
    mixed = keys(model, torch.tensor([0, 5, 1, 9, 2, 3, 4, 8, 11, 10, 7, 6]))
    assert len(calls) == 2
    monkeypatch.setattr(forward, "cache_argument", lambda _: None)
    whole = keys(model)
    assert len(calls) == 2
    for a, b in zip(once, whole, strict=True):
        assert float((a - b).abs().max()) < 1e-5 * max(1.0, float(b.abs().max()))
    assert float((mixed[2] - whole[2]).abs().max()) < 1e-4


def test_the_likeliest_answers_are_those_that_transformers_generates(
    make_llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        model = make_llama(seed)
        ours = sample(model, PROMPTS, n=2, longest=8, end=1, temperature=0.0)
        monkeypatch.setattr(drawing, "fill", lambda *_: None)
        assert ours == sample(model, PROMPTS, n=2, longest=8, end=1, temperature=0.0)
        monkeypatch.undo()


def test_draws_have_the_models_frequencies_though_ended_rows_are_taken_out(
    make_llama: Any,
) -> None:
    model, n = make_llama(), 6000
    (rows,) = sample(model, [(2, 4)], n=n, longest=3, end=1, temperature=0.8, batch=4000)
    with torch.no_grad():
        for prefix in [(), *{tuple(row[:1]) for row in rows[:40] if row[0] != 1}]:
            after = [row for row in rows if tuple(row[: len(prefix)]) == prefix]
            logits = model(input_ids=torch.tensor([[2, 4, *prefix]])).logits[0, -1]
            chance = (logits / 0.8).softmax(-1)
            nexts = torch.tensor([row[len(prefix)] for row in after])
            seen = torch.bincount(nexts, minlength=20) / len(after)
            # Six standard deviations of each frequency.
            assert (seen - chance).abs().max() < 6.0 * 0.5 / len(after) ** 0.5


def test_rows_can_be_taken_out_and_put_in_order(make_llama: Any) -> None:
    model = make_llama().eval()
    with torch.no_grad():
        prefix = fill(model, PROMPTS)
        assert prefix is not None
        prefix.select(torch.tensor([2, 0, 0]))
        found = prefix.read(torch.tensor([[5, 6], [7, 8], [9, 9]]))
        whole = model(input_ids=torch.tensor([[2, 4, 5, 7, 8]])).logits[0, -2:]
    assert torch.allclose(found[1], whole, atol=1e-5)


def test_models_that_cannot_spread_a_cache_are_read_whole(make_llama: Any) -> None:
    model = make_llama()
    assert cache_argument(model) is not None
    model.gradient_checkpointing_enable()
    model.train()
    assert cache_argument(model) is None
    assert cache_argument(model.eval()) is not None
    from transformers import MistralConfig, MistralForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 8}
    for window, whole in ((4, True), (None, False)):
        config = MistralConfig(
            vocab_size=20, num_attention_heads=2, num_key_value_heads=2, sliding_window=window,
            pad_token_id=0, **sizes,
        )  # fmt: skip
        mistral = MistralForCausalLM(config)
        assert (cache_argument(mistral) is None) is whole
        answers_ = sample(mistral, PROMPTS, n=2, longest=6, end=1)
        assert [len(group) for group in answers_] == [2, 2, 2]
