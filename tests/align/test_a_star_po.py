"""A*-PO in the trainer: TRL's loss and gradient, the fixed point from drawn answers, V*."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from meritree.align.mixes import OnPolicy
from meritree.align.prompts import prompts, reference_rewards
from meritree.align.rewards import Rewards, Sample
from meritree.align.rlvr import RLVR, fit_rlvr
from meritree.align.rollout import Asked, Rollouts
from meritree.align.shaping import Zero
from meritree.align.tabular import Tabular
from meritree.objectives.extras import Regress, soft_value
from meritree.studies.align import a_star_po

END = 1


class Drawn(Tabular):
    """A table that draws its one-token answers."""

    def generate(self, input_ids: Any, **options: Any) -> Any:
        odds = self.table.detach()[input_ids[:, 0]].softmax(-1)
        return torch.cat([input_ids, torch.multinomial(odds, 1)], dim=-1)


def weights(model: Any) -> Any:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def even(samples: Sequence[Sample]) -> Rewards:
    return Rewards([float(sum(sample.response) % 2) for sample in samples])


def test_one_step_with_one_answer_a_prompt_is_trls(make_llama: Any) -> None:
    from trl.experimental.a2po import A2POTrainer

    rate, beta = 0.1, 0.3
    policy, ref = make_llama(0), make_llama(1)
    theirs = make_llama(0)
    data = prompts([(2, 3, 4), (2, 5), (2, 6, 7, 8)], vstar=[0.2, 0.5, 0.7])
    asked = Asked(longest=5, end=END, temperature=1.0, batch=3, seed=4)
    rollout = Rollouts(policy, data, even, OnPolicy(), 1, asked).draw(1)
    method = RLVR(advantage=Zero(), surrogate=None, extras=((1.0, Regress(beta)),), size=1)
    trained = fit_rlvr(
        policy, method, data, even, longest=5, end=END, ref=ref, batch=3, seed=4, steps=1,
        optimizer=lambda p: torch.optim.SGD(p, lr=rate), max_norm=None, log_every=1,
    )  # fmt: skip
    # TRL's batches: prompts padded on the left, answers on the right.
    rows = rollout.data
    answers = (rows.end - rows.start).tolist()
    width, longest = int(rows.start.max()), max(answers)
    ids = torch.zeros(3, width + longest, dtype=torch.int64)
    seen = torch.zeros_like(ids)
    for i, (start, end) in enumerate(zip(rows.start.tolist(), rows.end.tolist(), strict=True)):
        place = slice(width - start, width - start + end)
        ids[i, place], seen[i, place] = rows.ids[i, :end], 1
    trainer = SimpleNamespace(
        args=SimpleNamespace(beta2=beta), model=theirs, model_kwarg_keys=(),
        _metrics=defaultdict(lambda: defaultdict(list)),
    )  # fmt: skip
    trainer._get_sequence_logps = lambda model, x, mask, keep: A2POTrainer._get_sequence_logps(
        trainer, SimpleNamespaceModel(model), x, mask, keep
    )
    with torch.no_grad():
        ref_logps = trainer._get_sequence_logps(ref, ids, seen, longest)
    inputs = {
        "input_ids": ids, "attention_mask": seen, "logits_to_keep": longest,
        "ref_logps": ref_logps, "rewards": rollout.reward, "v_star": rows.columns["vstar"],
    }  # fmt: skip
    loss = A2POTrainer.compute_loss(trainer, theirs, inputs)
    loss.backward()
    with torch.no_grad():
        for p in theirs.parameters():
            if p.grad is not None:
                p -= rate * p.grad
    ours = next(point.value for point in trained.curve if point.name == "loss")
    np.testing.assert_allclose(ours, float(loss.detach()), rtol=1e-5)
    assert float((weights(policy) - weights(make_llama(0))).abs().max()) > 1e-3
    torch.testing.assert_close(weights(policy), weights(theirs), rtol=1e-5, atol=1e-6)


class SimpleNamespaceModel:
    """The model with positions counted from the first real token, which generation does too."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, input_ids: Any, attention_mask: Any) -> Any:
        places = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        return self.model(input_ids=input_ids, attention_mask=attention_mask, position_ids=places)


def test_drawn_answers_lead_to_the_tilted_reference_where_the_noise_dies_out() -> None:
    beta = 0.5
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 4, generator=generator)
    worth = torch.tensor([[1.0, 0.0, 0.5, 0.2], [0.0, 0.0, 1.0, 0.3]])
    tilted = (logits.log_softmax(-1) + worth / beta).softmax(-1)
    vstar = beta * torch.logsumexp(logits.log_softmax(-1) + worth / beta, -1)
    policy = Drawn(logits)

    def judge(samples: Sequence[Sample]) -> Rewards:
        return Rewards([float(worth[s.prompt[0], s.response[0]]) for s in samples])

    method = RLVR(advantage=Zero(), surrogate=None, extras=((1.0, Regress(beta)),), size=1)
    trained = fit_rlvr(
        policy, method, prompts([(0,), (1,)], vstar=vstar.tolist()), judge, longest=1, end=9,
        optimizer=lambda p: torch.optim.SGD(p, lr=2.0), batch=32, steps=400, log_every=1,
    )  # fmt: skip
    torch.testing.assert_close(policy.probabilities(), tilted, atol=1e-3, rtol=0.0)
    losses = [point.value for point in trained.curve if point.name == "loss"]
    assert max(losses[-20:]) < 1e-6 < losses[0]


def test_the_values_of_stage_one_come_closer_to_the_references_own() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0]])
    worth = torch.tensor([0.0, 1.0, 0.5])
    exact = 0.5 * torch.logsumexp(logits[0].log_softmax(-1) + worth / 0.5, -1)

    def judge(samples: Sequence[Sample]) -> Rewards:
        return Rewards([float(worth[s.response[0]]) for s in samples])

    data = prompts([(0,)] * 200)
    drawn = reference_rewards(Drawn(logits), data, judge, n=64, longest=1, end=9)
    few, many = ((soft_value(drawn[:, :n], 0.5) - exact).abs().mean() for n in (4, 64))
    assert many < 0.5 * few < 0.1


def test_the_expected_error_of_a_value_is_that_of_its_draws() -> None:
    found = SimpleNamespace(right=(10, 32, 0), n=64)
    generator = torch.Generator().manual_seed(0)
    p = torch.tensor(found.right) / found.n
    drawn = (torch.rand(40_000, 3, 8, generator=generator) < p[:, None]).double()
    value = soft_value(drawn.reshape(-1, 8), a_star_po.BETA_1).reshape(-1, 3)
    exact = torch.tensor([a_star_po._value(float(share)) for share in p])
    error = float((value - exact).abs().mean())
    assert a_star_po._value_error(found, 8) == pytest.approx(error, abs=2e-3)
    assert a_star_po._value_error(found, 64) < a_star_po._value_error(found, 8)
