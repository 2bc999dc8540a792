"""The loop: exact keys, exact resumption, refusals; on a real Llama of 16 dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from meritree.align import checkpoint, curve
from meritree.align.data import Answer, Pair, answers, pairs
from meritree.align.loop import Diverged
from meritree.align.prefer import fit_preferences
from meritree.align.sample import log_probability, sample
from meritree.align.sources import Also
from meritree.align.tabular import Tabular
from meritree.errors import BadInput
from meritree.objectives.extras import FullKl, Nll
from meritree.objectives.links import Logistic
from meritree.objectives.preference import LogRatio, PairObjective, RewardHead, RowObjective
from meritree.objectives.rows import KEYS

DPO = PairObjective(LogRatio(), Logistic(0.3))
PAIRS = [
    Pair((2, 4, 5), (6, 7, 8, 1), (9, 1)),
    Pair((2, 4), (7, 1), (8, 9, 10, 11, 1)),
    Pair((2, 5), (10, 12, 1), (13, 1)),
    Pair((2, 6, 7, 8), (3, 1), (4, 4, 1)),
]


def adam(parameters: Any) -> Any:
    return torch.optim.AdamW(parameters, lr=0.01)


def weights(model: Any) -> Any:
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


@dataclass
class Watching:
    """An objective that keeps what it was given."""

    inner: Any
    seen: list[dict[str, Any]]

    @property
    def needs(self) -> frozenset[str]:
        return self.inner.needs  # type: ignore[no-any-return]

    def __call__(self, b: Any) -> Any:
        self.seen.append(dict(b))
        return self.inner(b)


@pytest.mark.parametrize("extras", [(), ((0.1, FullKl()),), ((0.1, Nll(label=1)),)])
def test_the_objective_gets_the_keys_it_needs_and_no_others(make_llama: Any, extras: Any) -> None:
    rows = [
        Pair(p.prompt, p.chosen, p.rejected, columns={"label": (1, 0), "reward": (0.5, 0.1)})
        for p in PAIRS
    ]
    watching = Watching(PairObjective(LogRatio(), Logistic(0.3), extras), [])
    fit_preferences(make_llama(), watching, pairs(rows), optimizer=adam, steps=1, batch=2)
    (b,) = watching.seen
    assert b.keys() == watching.needs
    for name, x in b.items():
        assert x.ndim == len(KEYS[name].removeprefix("int ").split())


def test_keys_are_those_of_the_whole_rows_whatever_the_padding(make_llama: Any) -> None:
    model, watching = make_llama(), Watching(DPO, [])
    fit_preferences(model, watching, pairs(PAIRS), optimizer=lambda p: torch.optim.SGD(p, lr=0.0),
                    steps=1, batch=None)  # fmt: skip
    (b,) = watching.seen
    flat = [(p.prompt, p.chosen) for p in PAIRS] + [(p.prompt, p.rejected) for p in PAIRS]
    for row, (prompt, response) in enumerate(flat):
        ids = torch.tensor([[*prompt, *response]])
        with torch.no_grad():
            logp = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        expected = logp.gather(-1, ids[0, 1:, None])[len(prompt) - 1 :, 0]
        assert int(b["mask"][row].sum()) == len(response)
        np.testing.assert_allclose(
            b["logp"][row, : len(response)].detach(), expected, rtol=1e-4, atol=1e-5
        )
    torch.testing.assert_close(b["ref_logp"] * b["mask"], b["logp"].detach() * b["mask"])


def test_a_run_that_is_cut_goes_on_bit_for_bit(make_llama: Any, tmp_path: Path) -> None:
    def run(model: Any, steps: int, folder: Path | None) -> Any:
        return fit_preferences(
            model, DPO, pairs(PAIRS), optimizer=adam, steps=steps, batch=3, seed=5, folder=folder,
            schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9), log_every=2,
            evaluate=lambda policy, _: {"first weight": policy.lm_head.weight[0, 0].item()},
            evaluate_every=3, accumulate=2,
        )  # fmt: skip

    whole = make_llama(attention_dropout=0.2)  # so that random numbers matter
    at_once = run(whole, 9, None)
    run(make_llama(attention_dropout=0.2), 4, tmp_path)
    second = make_llama(attention_dropout=0.2)
    resumed = run(second, 9, tmp_path)
    np.testing.assert_array_equal(weights(second), weights(whole))
    cut = {p for p in resumed.curve if p.step != 4}  # the first run also measured its own end
    assert cut == {p for p in at_once.curve if p.step != 4}
    assert curve.read(tmp_path) == list(resumed.curve)
    third = make_llama(attention_dropout=0.2)
    assert run(third, 9, tmp_path).steps == 9  # nothing left to do: the weights come back
    np.testing.assert_array_equal(weights(third), weights(whole))


def test_a_checkpoint_of_another_run_is_refused(make_llama: Any, tmp_path: Path) -> None:
    def run(**options: Any) -> Any:
        settings = {"data": pairs(PAIRS), "steps": 1, "seed": 0, "optimizer": adam} | options
        return fit_preferences(make_llama(), DPO, folder=str(tmp_path), **settings)

    run()
    with pytest.raises(BadInput, match="seed was 0, now 1"):
        run(seed=1)
    with pytest.raises(BadInput, match="data was"):
        run(data=pairs(PAIRS[:2]))
    with pytest.raises(BadInput, match=r"optimizer was 'AdamW\(.*lr=0\.01.*now 'AdamW\(.*lr=0\.02"):
        run(optimizer=lambda p: torch.optim.AdamW(p, lr=0.02))
    path = tmp_path / checkpoint.NAME
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match="cannot be read"):
        run()


def test_a_link_alone_and_an_optimizer_ready_made_are_refused(make_llama: Any) -> None:
    model = make_llama()
    with pytest.raises(BadInput, match=r"a Logistic does not say what it needs.*PairObjective"):
        fit_preferences(model, Logistic(), pairs(PAIRS), optimizer=adam, steps=1)  # type: ignore[arg-type]
    ready: Any = adam(list(model.parameters()))
    with pytest.raises(BadInput, match="give what makes one"):
        fit_preferences(model, DPO, pairs(PAIRS), optimizer=ready, steps=1)


def test_passes_that_are_added_up_are_one_large_pass(make_llama: Any) -> None:
    found = []
    for batch, accumulate in ((4, 1), (2, 2), (1, 4)):
        model = make_llama()
        fit_preferences(model, DPO, pairs(PAIRS), optimizer=lambda p: torch.optim.SGD(p, lr=0.5),
                        steps=3, batch=batch, accumulate=accumulate)  # fmt: skip
        found.append(weights(model))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4, atol=1e-6)


def test_every_unit_is_seen_once_an_epoch_and_the_callers_randomness_is_left_alone(
    make_llama: Any,
) -> None:
    watching = Watching(RowObjective(((1.0, Nll(label=1)),)), [])
    rows = [Answer((2,), (3, 4, 1), {"label": i}) for i in range(7)]
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit_preferences(make_llama(7), watching, answers(rows), optimizer=adam, steps=7, batch=3)
    torch.manual_seed(3)
    assert torch.rand(1) == expected
    labels = torch.cat([b["label"] for b in watching.seen]).tolist()
    assert [sorted(labels[i : i + 7]) for i in (0, 7, 14)] == [list(range(7))] * 3
    assert labels[:7] != labels[7:14]


def test_losses_on_other_data_are_added(make_llama: Any) -> None:
    sgd: Any = lambda p: torch.optim.SGD(p, lr=0.1)  # noqa: E731
    together, alone = make_llama(), make_llama()
    other = RowObjective(((1.0, Nll()),))
    rows = answers([Answer(p.prompt, p.chosen) for p in PAIRS])
    fit_preferences(together, DPO, pairs(PAIRS), optimizer=sgd, steps=1, batch=None,
                    also=[Also(0.2, other, rows)])  # fmt: skip
    extra = PairObjective(LogRatio(), Logistic(0.3), ((0.2, Nll(label=1)),))
    labelled = [Pair(p.prompt, p.chosen, p.rejected, columns={"label": (1, 0)}) for p in PAIRS]
    fit_preferences(alone, extra, pairs(labelled), optimizer=sgd, steps=1, batch=None)
    # The extra is a mean over all eight rows, the other loss one over the four chosen.
    twice = make_llama()
    extra = PairObjective(LogRatio(), Logistic(0.3), ((0.4, Nll(label=1)),))
    fit_preferences(twice, extra, pairs(labelled), optimizer=sgd, steps=1, batch=None)
    np.testing.assert_allclose(weights(together), weights(twice), rtol=1e-4, atol=1e-6)
    assert np.abs(weights(together) - weights(alone)).max() > 1e-4


def test_adapters_alone_are_trained_and_the_reference_is_the_model_without_them(
    make_llama: Any, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    from meritree.align.lora import with_lora

    model = with_lora(make_llama(), rank=2)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    fit_preferences(model, DPO, pairs(PAIRS), optimizer=adam, steps=8, batch=None, folder=tmp_path)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert all("lora" in name for name in changed)
    kept = checkpoint.load(tmp_path, {})
    assert kept is not None
    assert changed <= kept["policy"]["weights"].keys()
    assert not any(name.endswith("base_layer.weight") for name in kept["policy"]["weights"])


def test_a_reward_model_learns_from_the_same_pairs() -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=32, pad_token_id=0, num_labels=1,
    )  # fmt: skip
    model = LlamaForSequenceClassification(config)
    trained = fit_preferences(model, PairObjective(RewardHead(), Logistic(1.0)), pairs(PAIRS),
                              optimizer=adam, steps=30, batch=None)  # fmt: skip
    assert curve.column(trained.curve, "accuracy")[-1] == (30, 1.0)


def test_samples_end_and_repeat_and_prompts_may_differ_in_length(make_llama: Any) -> None:
    model = make_llama()
    prompts = [(2, 4, 5), (2,), (2, 7, 8, 9)]
    drawn = sample(model, prompts, n=3, longest=6, end=1, seed=1)
    assert drawn == sample(model, prompts, n=3, longest=6, end=1, seed=1)
    assert drawn != sample(model, prompts, n=3, longest=6, end=1, seed=2)
    assert all(1 not in a[:-1] and 1 <= len(a) <= 6 for each in drawn for a in each)
    best = sample(model, prompts, longest=6, end=1, temperature=0.0)
    alone = [sample(model, [p], longest=6, end=1, temperature=0.0)[0] for p in prompts]
    assert best == alone
    likely = log_probability(model, [Answer(p, a[0]) for p, a in zip(prompts, best, strict=True)])
    assert likely.shape == (3,)
    assert bool((likely < 0).all())


def test_a_loss_that_is_not_finite_ends_the_run_before_the_step(make_llama: Any) -> None:
    model = make_llama()
    before = weights(model)

    class Broken:
        needs = frozenset({"logp", "mask"})

        def __call__(self, b: Any) -> Any:
            return b["logp"].sum(-1) * float("nan"), {}

    with pytest.raises(Diverged, match="step 1: the loss of 8 of 8 units is not finite"):
        fit_preferences(model, Broken(), pairs(PAIRS), optimizer=adam, steps=3, batch=4)
    np.testing.assert_array_equal(weights(model), before)
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    with pytest.raises(BadInput, match="the reference gave ref_logp that is not finite"):
        fit_preferences(model, DPO, pairs(PAIRS), optimizer=adam, steps=1)


def test_data_that_do_not_fit_the_model_or_the_objective_are_refused(make_llama: Any) -> None:
    def run(data: Any, objective: Any = DPO, **options: Any) -> Any:
        return fit_preferences(make_llama(), objective, data, optimizer=adam, steps=1, **options)

    with pytest.raises(BadInput, match=r"33 tokens, the model reads 32: give context=32"):
        run(pairs([Pair([2] * 31, (3, 1), (4, 1))]))
    with pytest.raises(BadInput, match="token 20 is outside the model's vocabulary of 20"):
        run(pairs([Pair((2,), (20, 1), (4, 1))]))
    with pytest.raises(BadInput, match=r"needs the key 'label'.*column of the rows, \[int B\]"):
        run(pairs(PAIRS), PairObjective(LogRatio(), Logistic(0.3), ((1.0, Nll(label=1)),)))
    with pytest.raises(BadInput, match="batch is 0"):
        run(pairs(PAIRS), batch=0)
    frozen = Tabular(torch.zeros((3, 3))).requires_grad_(False)
    with pytest.raises(BadInput, match="no parameter of the model requires a gradient"):
        fit_preferences(frozen, DPO, pairs(PAIRS), optimizer=adam, steps=1)
