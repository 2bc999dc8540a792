"""Guided decoding: exact distributions on a tree of answers, cached values, refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from meritree.align.adaptors.logits import GuidedProcessor
from meritree.align.blocks import BlockSearch
from meritree.align.critic import ValueModel, critic_of
from meritree.align.guided import Guided
from meritree.align.guides import Anew, SharedCache, Valued, can_share
from meritree.align.sample import sample
from meritree.errors import BadInput
from meritree.run.ledger import Ledger, Limits

from .trees import DEPTH, END, WORDS, Tree

PROMPTS = [(2, 4, 5), (2, 4), (2, 6, 7, 8)]
LONGEST = 6


def loud_critic(model: Any, seed: int = 3) -> ValueModel:
    """A critic whose values differ a good deal."""
    critic = critic_of(model, seed)
    torch.manual_seed(seed)
    torch.nn.init.normal_(critic.head[-1].weight)
    return critic.eval()


def draws(policy: Any, seed: int = 0, **options: Any) -> Any:
    return sample(policy, PROMPTS, n=4, longest=LONGEST, end=END, seed=seed, **options)


def test_strength_zero_draws_what_the_base_draws(make_llama: Any) -> None:
    model = make_llama()
    guide = Valued(loud_critic(model))
    for guides in ((), ((0.0, guide),)):
        guided = Guided(model, guides)
        assert guided.sample(PROMPTS, n=4, longest=LONGEST, end=END) == draws(model)
        drawn = guided.draw(PROMPTS, n=4, longest=LONGEST, end=END)
        assert drawn.responses == draws(model)
        assert drawn.kl == drawn.guide_tokens == 0
        for row in drawn.rows:
            assert row.columns["old_logp"] == row.columns["ref_logp"]
            assert len(row.columns["old_logp"]) == len(row.response)
    assert Guided(model, ((3.0, guide),)).sample(PROMPTS, n=4, longest=LONGEST, end=END) != draws(
        model
    )


def test_with_all_candidates_the_policy_is_the_base_times_exp_beta_q(make_llama: Any) -> None:
    model = make_llama().eval()
    guide = Valued(loud_critic(model))
    ids = torch.tensor([[2, 4, 5], [2, 9, 10]])
    every = torch.arange(20).repeat(2, 1)
    with torch.no_grad():
        base = model(input_ids=ids).logits[:, -1].softmax(-1)
        q = guide.q(ids, torch.ones_like(ids), every)
    wanted = base * torch.exp(1.7 * q)
    wanted = wanted / wanted.sum(-1, keepdim=True)
    for centre in (True, False):
        step = Guided(model, ((1.7, guide),), topk=20, centre=centre).step(ids)
        torch.testing.assert_close(step.softmax(-1), wanted)


def test_centring_moves_mass_between_candidates_and_the_rest_only(make_llama: Any) -> None:
    model = make_llama().eval()
    guide = Valued(loud_critic(model))
    ids = torch.tensor([[2, 4, 5]])
    few = Guided(model, ((2.0, guide),), topk=5)
    chosen = model(input_ids=ids).logits[:, -1].topk(5).indices
    centred, plain = (replace(few, centre=c).step(ids).softmax(-1) for c in (True, False))
    inside = [p.gather(1, chosen) for p in (centred, plain)]
    torch.testing.assert_close(*(p / p.sum() for p in inside))
    assert abs(float(inside[0].sum() - inside[1].sum())) > 1e-3
    base = model(input_ids=ids).logits[:, -1]
    outside = torch.ones(20, dtype=torch.bool).scatter(0, chosen[0], False)
    torch.testing.assert_close(few.step(ids)[:, outside], base[:, outside])
    for centre in (True, False):  # without the rest, centring changes nothing
        alone = replace(few, rest="drop", centre=centre).step(ids).softmax(-1)
        assert float(alone[:, outside].sum()) == 0.0
        torch.testing.assert_close(alone.gather(1, chosen), inside[1] / inside[1].sum())


def test_guides_add_up(make_llama: Any) -> None:
    model = make_llama().eval()
    one, two = Valued(loud_critic(model, 3)), Valued(loud_critic(model, 4))
    ids = torch.tensor([[2, 4, 5]])
    base = Guided(model).step(ids)
    gains = [Guided(model, ((b, g),)).step(ids) - base for b, g in ((0.7, one), (-0.4, two))]
    both = Guided(model, ((0.7, one), (-0.4, two))).step(ids)
    torch.testing.assert_close(both, base + gains[0] + gains[1])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_cached_values_are_those_asked_anew(make_llama: Any, attention: str) -> None:
    guide = Valued(loud_critic(make_llama(attn_implementation=attention)))
    assert can_share(guide.critic)
    cached, anew = guide.session(), replace(guide, cached=False).session()
    assert isinstance(cached, SharedCache)
    assert isinstance(anew, Anew)
    torch.manual_seed(0)
    ids = torch.randint(3, 20, (3, 5))
    seen = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1]])
    with torch.no_grad():
        for step in range(5):
            candidates = torch.stack([torch.randperm(20)[:7] for _ in range(len(ids))])
            q = [session.q(ids, seen, candidates) for session in (cached, anew)]
            torch.testing.assert_close(q[0], q[1], atol=2e-5, rtol=1e-4)
            if step == 2:  # rows change places and one falls away, as in beam search
                keep = torch.tensor([2, 0])
                ids, seen = ids[keep], seen[keep]
            ids = torch.cat([ids, torch.randint(3, 20, (len(ids), 1))], 1)
            seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
    assert cached.tokens == 3 * (5 + 7) + 2 * 3 * 8 + 2 * 2 * 8 < anew.tokens


@pytest.mark.parametrize("cached", [True, False])
def test_a_critic_in_training_is_asked_without_its_dropout(make_llama: Any, cached: bool) -> None:
    critic = loud_critic(make_llama(attention_dropout=0.5)).train()
    ids, candidates = torch.tensor([[2, 4, 5, 6, 7]]), torch.arange(6)[None]
    seen = torch.ones_like(ids)
    found = [Valued(critic, cached=cached).session().q(ids, seen, candidates) for _ in range(2)]
    assert torch.equal(*found)
    assert not found[0].requires_grad
    assert critic.training
    assert critic.core.training


def test_a_whole_generation_is_the_same_with_and_without_a_cache(make_llama: Any) -> None:
    model = make_llama()
    guide = Valued(loud_critic(model))
    cached, anew = (
        Guided(model, ((1.5, g),), topk=8).draw(PROMPTS, n=4, longest=LONGEST, end=END, seed=1)
        for g in (guide, replace(guide, cached=False))
    )
    assert cached.responses == anew.responses
    assert cached.kl == pytest.approx(anew.kl, rel=1e-3)
    assert cached.kl > 0.1
    assert cached.guide_tokens < anew.guide_tokens
    assert cached.base_tokens == anew.base_tokens


def test_recorded_log_probabilities_are_those_of_each_step(make_llama: Any) -> None:
    model = make_llama().eval()
    guided = Guided(model, ((1.5, Valued(loud_critic(model))),), topk=8, temperature=0.8)
    drawn = guided.draw(PROMPTS, n=2, longest=LONGEST, end=END, seed=2, batch=4)
    kl = 0.0
    for row in drawn.rows:
        for t, token in enumerate(row.response):
            ids = torch.tensor([[*row.prompt, *row.response[:t]]])
            own = (guided.step(ids) / 0.8).log_softmax(-1)[0]
            base = Guided(model).step(ids).log_softmax(-1)[0]
            assert row.columns["old_logp"][t] == pytest.approx(float(own[token]), abs=1e-4)
            assert row.columns["ref_logp"][t] == pytest.approx(float(base[token]), abs=1e-4)
            kl += float((own.exp() * (own - base)).sum())
    assert drawn.kl == pytest.approx(kl / len(drawn.rows), abs=1e-4)


@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"num_beams": 3, "do_sample": True}])
def test_any_model_generates_with_the_processor(make_llama: Any, how: Any) -> None:
    from transformers import LogitsProcessorList

    model = make_llama().eval()
    guide = Valued(loud_critic(model))
    ids, seen = torch.tensor([[1, 2, 4], [2, 4, 5]]), torch.tensor([[0, 1, 1], [1, 1, 1]])
    found = []
    for one in (guide, replace(guide, cached=False)):
        processor = GuidedProcessor(Guided(model, ((2.0, one),), topk=6), seen)
        torch.manual_seed(0)
        found.append(
            model.generate(
                input_ids=ids, attention_mask=seen, max_new_tokens=5, pad_token_id=0,
                logits_processor=LogitsProcessorList([processor]), **{"do_sample": False, **how},
            ).tolist()
        )  # fmt: skip
    assert found[0] == found[1]
    plain = model.generate(
        input_ids=ids, attention_mask=seen, max_new_tokens=5, pad_token_id=0, do_sample=False
    )
    if not how:
        assert found[0] != plain.tolist()


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_guided_by_the_exact_soft_value_the_policy_is_the_optimal_one(
    tree: Tree, beta: float
) -> None:
    guide = Valued(tree.table(lambda start: tree.soft(start, beta)))
    guided = Guided(tree.model, ((1.0 / beta, guide),), topk=WORDS)
    torch.testing.assert_close(tree.spoken(guided), tree.optimal(beta), atol=1e-5, rtol=1e-4)
    mean = Valued(tree.table(lambda start: tree.expect(start, tree.reward)))
    off = tree.spoken(replace(guided, guides=((1.0 / beta, mean),))) - tree.optimal(beta)
    assert float(off.abs().max()) > 1e-3  # the base's own value is another tilt


def test_a_wide_block_search_finds_the_best_answer_of_the_tree(tree: Tree) -> None:
    critic = tree.table(lambda start: tree.expect(start, tree.reward))
    wide = BlockSearch(Guided(tree.model), critic, width=64, branch=64, block=1)
    (found,) = wide.sample([tree.prompt], longest=DEPTH, end=END)
    assert found.response == list(tree.answers[int(tree.reward.argmax())])
    assert found.value == pytest.approx(float(tree.reward.max()))
    drawn = sample(tree.model, [tree.prompt], n=100, longest=DEPTH, end=END, seed=1)[0]
    mean = sum(tree.judge(tree.prompt, a) for a in drawn) / 100
    narrow = BlockSearch(Guided(tree.model), critic, width=1, branch=4, block=2)
    best = narrow.sample([tree.prompt] * 10, longest=DEPTH, end=END)
    assert sum(tree.judge(tree.prompt, one.response) for one in best) / 10 > mean + 0.5
    assert best == narrow.sample([tree.prompt] * 10, longest=DEPTH, end=END)
    assert 0 < max(one.tokens for one in best) < found.tokens


def test_a_block_search_ends_at_its_budget(tree: Tree) -> None:
    critic = tree.table(lambda start: float(len(start)))
    rules = BlockSearch(Guided(tree.model), critic, width=2, branch=2, block=1)
    asked = {"longest": DEPTH, "end": END, "seed": 1}
    (cut,) = rules.sample([tree.prompt], budget=Limits(evaluations=1), **asked)  # type: ignore[arg-type]
    assert "evaluations" in cut.stopped_because
    assert len(cut.response) == 1
    ledger = Ledger(Limits(evaluations=1000))
    (whole,) = rules.sample([tree.prompt], budget=ledger, **asked)  # type: ignore[arg-type]
    assert whole.stopped_because == "the space is exhausted"
    assert 0 < ledger.snapshot().spent.tokens <= whole.tokens


class Broken:
    """A guide that says what it is told to."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def q(self, ids: Any, attention: Any, candidates: Any) -> Any:
        return self._value(candidates)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda m: Guided(m, topk=0), "topk is 0"),
        (lambda m: Guided(m, rest="hide"), "rest is 'hide'"),
        (lambda m: Guided(m, temperature=-1.0), "temperature is -1"),
        (lambda m: Guided(m, ((math.nan, Valued(m)),)), "strength nan"),
        (lambda m: Guided(m, ((1.0, m),)), "guides.Valued"),
        (lambda m: Guided(m, temperature=0.0).draw(PROMPTS, longest=2, end=1), "draws nothing"),
        (lambda m: Guided(m, ((1.0, Broken(lambda c: c * math.nan)),)).step(ONE), "not finite"),
        (lambda m: Guided(m, ((1.0, Broken(lambda c: c[:, :2])),)).step(ONE), "one value a cand"),
        (lambda m: Guided(m, ((1.0, Valued(m)),)).step(ONE), "one value a token"),
        (lambda m: GuidedProcessor(Guided(m), ONE)(ONE[:, :1], torch.zeros(1, 20)), "generation"),
        (lambda m: BlockSearch(Guided(m), m, width=0), "width is 0"),
        (lambda m: BlockSearch(Guided(m), m).sample([()], longest=2, end=1), "one token"),
        (lambda m: BlockSearch(Guided(m), m).sample(PROMPTS, longest=2, end=1), "one value a"),
        (lambda m: critic_of(torch.nn.Linear(2, 2)), "no trunk"),
        (lambda m: critic_of(m, hidden=-1), "hidden is -1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make_llama: Any, make: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        make(make_llama())


ONE = torch.tensor([[2, 4]])


def test_a_language_model_in_place_of_a_critic_is_refused(make_llama: Any) -> None:
    model = make_llama()
    guided = Guided(model, ((1.0, Valued(model)),), topk=3)
    with pytest.raises(BadInput, match=r"the critic gave the shape .* one value a token"):
        guided.sample([(2, 4)], n=1, longest=2, end=1)
