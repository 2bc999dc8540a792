"""The value trainer: exact targets on a tree of answers, iteration, resumption, refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from meritree.align.critic import critic_of
from meritree.align.data import Answer
from meritree.align.guided import Guided
from meritree.align.guides import SharedCache, Valued
from meritree.align.tabular import TreeValue
from meritree.align.value import Target, fit_value, iterate_value, value_data, value_error
from meritree.errors import BadInput

from .trees import DEPTH, END, WORDS, Tree, fitting, furthest


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
    drawn = replace(guided, guides=()).sample(asked, n=1, **options)  # type: ignore[arg-type]
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
    assert len(guided.sample([(2, 4), (2, 5)], longest=4, end=END)) == 2


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


@pytest.mark.parametrize(
    ("make", "said"),
    [
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
def test_targets_and_rows_that_make_no_sense_are_refused(
    make_llama: Any, make: Any, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        make(make_llama())


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
