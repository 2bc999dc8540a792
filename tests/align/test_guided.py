"""Guided decoding: exact distributions on a tree of answers, cached values, refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
import torch

from meritree.align.adaptors.logits import GuidedProcessor
from meritree.align.blocks import BlockSearch
from meritree.align.critic import ValueModel, critic_of
from meritree.align.data import Answer
from meritree.align.guided import Guided
from meritree.align.guides import Anew, SharedCache, Valued, can_share
from meritree.align.sample import sample
from meritree.align.tabular import TreeValue
from meritree.align.value import Target, fit_value, iterate_value, value_data, value_error
from meritree.errors import BadInput
from meritree.run.ledger import Ledger, Limits

END = 1
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


@pytest.fixture(scope="module")
def tree(make_llama: Any) -> Tree:
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
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-5)
    return Tree(model, prompt, tuple(found), p / p.sum(), reward)


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


def test_iterating_with_soft_targets_converges_to_the_optimal_value(tree: Tree) -> None:
    best = tree.optimal(1.0)
    errors, rounds = iterated(tree, Target("soft"), n=600, keep="all")
    first, *later = errors
    assert later[0] < first / 2
    assert later[-1] < later[0] / 2
    assert later[-1] < 0.1
    kl = float((best * (best / tree.base).log()).sum())
    assert rounds[-1].kl == pytest.approx(kl, rel=0.1)
    assert [r.number for r in rounds] == [0, 1, 2, 3]


def test_iterating_with_mean_targets_goes_past_the_optimal_policy(tree: Tree) -> None:
    best = tree.optimal(1.0)
    errors, rounds = iterated(tree, Target("mc"), n=300, keep="last")
    kl = float((best * (best / tree.base).log()).sum())
    assert rounds[-1].kl > 1.15 * kl
    assert errors[-1] > 0.2


def iterated(tree: Tree, target: Target, n: int, keep: Any) -> tuple[list[float], Any]:
    """Largest errors before each of four rounds and after the last, at beta = 1."""
    best = tree.optimal(1.0)
    likely = [
        s for s in tree.beginnings()
        if float(best[[a[: len(s)] == s for a in tree.answers]].sum()) > 0.02
    ]  # fmt: skip
    assert len(likely) > 10
    critic = TreeValue(WORDS, DEPTH, len(tree.prompt))
    guided = Guided(tree.model, ((1.0, Valued(critic)),), topk=WORDS)
    errors, judged = [], []  # type: ignore[var-annotated]

    def judge(prompt: Any, response: Any) -> float:
        if len(judged) % n == 0:
            errors.append(furthest(tree, critic, 1.0, likely))
        judged.append(response)
        return tree.judge(prompt, response)

    rounds = iterate_value(
        critic, guided, [tree.prompt], judge, target, iterations=4, n=n, keep=keep,
        longest=DEPTH, end=END, **fitting(100),
    )  # fmt: skip
    return [*errors, furthest(tree, critic, 1.0, likely)], rounds


def test_td_with_lambda_one_is_monte_carlo(make_llama: Any) -> None:
    rows = [
        Answer((2, 4, 5), (6, 7, 8, 1), {"reward": 1.5}),
        Answer((2, 4), (9, 1), {"reward": -0.5}),
        Answer((2, 5), (10, 12, 13, 14, 1), {"reward": 0.25}),
    ]
    trained = []
    for target in (Target("td_lambda", lam=1.0, gamma=0.9), Target("mc", gamma=0.9)):
        critic = critic_of(make_llama(), 0, hidden=4)
        fit_value(
            critic, rows, target, steps=5, batch=2, log_every=1,
            optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
        )  # fmt: skip
        trained.append(torch.cat([p.detach().ravel() for p in critic.parameters()]))
    torch.testing.assert_close(*trained, atol=1e-6, rtol=1e-5)
    assert float(trained[0].abs().max()) > 0


def test_the_round_before_any_guide_is_plain_value_augmented_sampling(tree: Tree) -> None:
    """Without iteration and with one answer a prompt IVO is VAS at lambda = 1."""
    one, two = TreeValue(WORDS, DEPTH, 2), TreeValue(WORDS, DEPTH, 2)
    guided = Guided(tree.model, ((1.0, Valued(one)),))
    options = {"longest": DEPTH, "end": END, "seed": 3}
    asked = [tree.prompt] * 5
    iterate_value(
        one, guided, asked, tree.judge, Target("mc"), iterations=1, n=1, **options, **fitting(20)
    )
    drawn = sample(tree.model, asked, n=1, **options)  # type: ignore[arg-type]
    rows = [Answer(tree.prompt, a, {"reward": tree.judge(tree.prompt, a)}) for (a,) in drawn]
    fit_value(two, rows, Target("td_lambda", lam=1.0), seed=3, **fitting(20))
    torch.testing.assert_close(one.table, two.table)
    assert float(one.table.detach().abs().max()) > 0.1


@pytest.mark.parametrize("kind", ["td_lambda", "mc", "bce"])
def test_a_table_learns_what_its_beginnings_are_worth_on_the_average(kind: Any) -> None:
    rows = [
        Answer((2, 3), (3, 1), {"reward": 1.0}), Answer((2, 3), (3, 4, 4), {"reward": 0.0}),
        Answer((2, 3), (3, 4, 1), {"reward": 1.0}), Answer((2, 3), (4, 1), {"reward": 1.0}),
    ]  # fmt: skip
    critic = TreeValue(WORDS, DEPTH, 2)
    fit_value(critic, rows, Target(kind), **fitting(300))
    root, three, after = (critic.table[n].detach() for n in (0, 4, 25))
    if kind == "bce":
        root, three, after = (torch.sigmoid(x) for x in (root, three, after))
    # Rows weigh the same, so a beginning's mean is over rows, each divided by its length.
    weights = torch.tensor([1 / 3, 1 / 4, 1 / 4, 1 / 3])
    wanted = float((weights * torch.tensor([1.0, 0.0, 1.0, 1.0])).sum() / weights.sum())
    inside = torch.tensor([1 / 3, 1 / 4, 1 / 4])
    deeper = float((inside * torch.tensor([1.0, 0.0, 1.0])).sum() / inside.sum())
    slack = 0.1 if kind == "td_lambda" else 0.02  # lambda 0.95 bootstraps a little
    assert float(root) == pytest.approx(wanted, abs=slack)
    assert float(three) == pytest.approx(deeper, abs=slack)
    assert float(after) == pytest.approx(0.5, abs=0.02)


def test_soft_targets_discount_what_the_sampler_preferred() -> None:
    logp = {"old_logp": [-0.1, -0.2, 0.0], "ref_logp": [-0.5, -0.2, 0.0]}
    rows = [Answer((2,), (3, 4, 1), {"reward": 1.0, **logp})]
    data = value_data(rows, Target("soft", beta=0.5))
    assert data.columns["value_target_sg"][0].tolist() == pytest.approx([0.8, 1.0, 1.0, 1.0])
    both = [Answer((2,), (3, 1), {"reward": 1.0}), Answer((2,), (4, 1), {"reward": 0.0})]
    data = value_data(both, Target("soft", beta=0.5))
    shared = 0.5 * math.log((math.exp(2.0) + 1.0) / 2.0)
    assert data.columns["value_target_sg"][1].tolist() == pytest.approx([shared, 0.0, 0.0])


def test_without_the_finished_answer_only_states_before_tokens_are_trained(tree: Tree) -> None:
    rows = [Answer(tree.prompt, (3, 1), {"reward": 1.0})]
    critic = TreeValue(WORDS, DEPTH, 2)
    fit_value(critic, rows, Target("mc", final=False), **fitting(100))
    after_end = (3 + 1) * WORDS + END + 1
    assert float(critic.table.detach()[after_end]) == 0.0
    assert float(critic.table.detach()[4]) > 0.9
    fit_value(critic, rows, Target("mc"), **fitting(100))
    assert float(critic.table.detach()[after_end]) > 0.9
    assert value_error(critic, rows, Target("td_lambda")) < 0.1


def test_a_head_over_the_models_own_trunk_leaves_the_model_as_it_is(make_llama: Any) -> None:
    model = make_llama()
    before = [p.clone() for p in model.parameters()]
    critic = critic_of(model, 0, hidden=8, share=True)
    rows = [Answer((2, 4, 5), (6, 7, 8, 1), {"reward": 1.0})]
    fit_value(
        critic, rows, Target("mc"), steps=60, optimizer=lambda p: torch.optim.Adam(p, lr=0.05)
    )
    assert sum(p.numel() for p in critic.parameters()) == 16 * 8 + 8 + 8 + 1
    assert value_error(critic, rows, Target("mc")) < 0.1
    for old, new in zip(before, model.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.requires_grad
    guided = Guided(model, ((1.0, Valued(critic)),))
    assert isinstance(guided.sessions()[0], SharedCache)
    assert len(guided.sample(PROMPTS, longest=4, end=END)) == 3


def test_iteration_resumes_where_it_was_killed(tree: Tree, tmp_path: Any) -> None:
    def run(folder: Any, iterations: int) -> Any:
        critic = TreeValue(WORDS, DEPTH, 2)
        guided = Guided(tree.model, ((1.0, Valued(critic)),))
        rounds = iterate_value(
            critic, guided, [tree.prompt], tree.judge, Target("mc"), iterations=iterations, n=8,
            longest=DEPTH, end=END, folder=folder, **fitting(10),
        )  # fmt: skip
        return critic.table.detach(), rounds

    run(tmp_path / "a", 1)
    resumed, rounds = run(tmp_path / "a", 2)
    whole, same = run(tmp_path / "b", 2)
    assert torch.equal(resumed, whole)
    assert rounds == same
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["round-0", "round-1"]


def test_a_round_beyond_the_bound_on_kl_is_the_last_and_not_fitted(tree: Tree) -> None:
    critic = TreeValue(WORDS, DEPTH, 2)
    guided = Guided(tree.model, ((20.0, Valued(critic)),))
    rounds = iterate_value(
        critic, guided, [tree.prompt], tree.judge, Target("mc"), iterations=5, n=16, max_kl=0.5,
        longest=DEPTH, end=END, **fitting(40),
    )  # fmt: skip
    assert [bool(one.trained) for one in rounds] == [True, False]
    assert rounds[1].kl > 0.5


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
        (lambda m: Target("best"), "kind is 'best'"),
        (lambda m: Target(lam=1.5), "lam"),
        (lambda m: Target("soft", beta=0.0), "beta"),
        (lambda m: Target("soft", gamma=0.9), "not discounted"),
        (lambda m: fit_value(m, [Answer((2,), (3,))]), "row 0 has no reward"),
        (lambda m: fit_value(m, [Answer((2,), (3,), {"reward": math.inf})], Target("mc")),
         "not finite"),
        (lambda m: fit_value(m, [Answer((2,), (3,), {"reward": 2.0})], Target("bce")), "labels"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make_llama: Any, make: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        make(make_llama())


ONE = torch.tensor([[2, 4]])


def test_iterations_that_make_no_sense_are_refused(tree: Tree) -> None:
    critic = TreeValue(WORDS, DEPTH, 2)
    guided = Guided(tree.model, ((1.0, Valued(critic)),))

    def run(guided: Any = guided, **options: Any) -> Any:
        chosen = {"iterations": 1, "n": 1, "longest": 2, "end": 1, **fitting(1), **options}
        target = chosen.pop("target", Target("mc"))
        return iterate_value(critic, guided, [tree.prompt], lambda p, a: 0.0, target, **chosen)

    for options, said in (
        ({"iterations": 0}, "iterations is 0"),
        ({"keep": "best"}, "keep is 'best'"),
        ({"guided": replace(guided, rest="drop"), "target": Target("soft")}, "every token"),
    ):
        with pytest.raises(BadInput, match=said):
            run(**options)
