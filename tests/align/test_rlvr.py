"""The trainer for verifiable rewards: one step by hand, limits, fixed points, resumption."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from meritree.align import checkpoint, curve
from meritree.align.critic import critic_of
from meritree.align.data import Answer, answers
from meritree.align.forward import policy_keys, rows_of
from meritree.align.loop import Diverged
from meritree.align.mixes import ModeForced, OnPolicy, WithExternal
from meritree.align.prompts import prompts, reference_rewards
from meritree.align.rewards import Rewards, remembered, verifier
from meritree.align.rlvr import RLVR, Critic, fit_rlvr
from meritree.align.rollout import Asked, Rollouts
from meritree.align.sample import sample
from meritree.align.shaping import Gae, Group, Lens, ReinforcePp, Rloo, Shaped, Zero
from meritree.align.sources import Also
from meritree.align.tabular import Tabular
from meritree.align.text import reads, text_prompts
from meritree.errors import BadInput
from meritree.objectives import shapes
from meritree.objectives.divergences import best_policy, k1
from meritree.objectives.extras import Nll, Regress, soft_value
from meritree.objectives.preference import RowObjective
from meritree.objectives.rows import KEYS
from meritree.objectives.surrogates import Clip, ExternalMis, Reinforce

END = 1
PROMPTS = prompts([(2, 4, 5), (2, 4), (2, 6, 7, 8), (2, 9)])
RUN: dict[str, Any] = {"longest": 5, "end": END, "batch": 2, "steps": 3, "seed": 4}


def sixes(rows: Any) -> Rewards:
    """An answer is worth the number of its tokens 6 and 7, less a third of its length."""
    return Rewards([sum(t in (6, 7) for t in r.response) - len(r.response) / 3.0 for r in rows])


def adam(parameters: Any) -> Any:
    return torch.optim.Adam(parameters, lr=0.01)


def sgd(parameters: Any) -> Any:
    return torch.optim.SGD(parameters, lr=1.0)


def weights(model: Any) -> Any:
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


def trained(model: Any, method: RLVR, **options: Any) -> Any:
    fit_rlvr(
        model, method, **({"data": PROMPTS, "reward": sixes, "optimizer": adam} | RUN | options)
    )
    return weights(model)


def drawn(model: Any, step: int = 1, size: int = 4) -> Any:
    asked = Asked(RUN["longest"], END, 1.0, RUN["batch"], RUN["seed"])
    return Rollouts(model, PROMPTS, sixes, OnPolicy(), size, asked).draw(step)


def test_one_step_of_grpo_is_the_gradient_written_out_by_hand(make_llama: Any) -> None:
    model = make_llama()
    rollout = drawn(model)
    rows = rows_of(rollout.data, torch.arange(8), torch.device("cpu"))
    by_hand = deepcopy(model)
    logp = policy_keys(by_hand, rows, frozenset({"logp"}))["logp"]
    reward = rollout.reward.reshape(2, 4)
    advantage = (reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-6)
    # On policy the ratio is 1 and its gradient that of log pi.
    loss = -(advantage.reshape(8, 1) * logp * rows.mask).sum() / rows.mask.sum()
    loss.backward()
    want = weights(model) - np.concatenate([p.grad.numpy().ravel() for p in by_hand.parameters()])
    found = trained(model, RLVR(size=4), steps=1, optimizer=sgd, max_norm=None)
    assert np.abs(found - want).max() < 1e-6
    assert np.abs(found - weights(by_hand)).max() > 1e-3


@pytest.mark.parametrize("agg", ["token", "seq_mean", "seq_sum", "const"])
def test_passes_of_an_optimizer_step_add_up_to_one_pass(make_llama: Any, agg: Any) -> None:
    method = RLVR(size=4, agg=agg, const=5, extras=((0.1, Nll()),), kl=0.1)
    whole = trained(make_llama(), method, optimizer=sgd)
    parts = trained(make_llama(), method, optimizer=sgd, accumulate=3)
    assert np.abs(whole - parts).max() < 1e-4


def test_later_minibatches_are_off_policy_and_clipped(make_llama: Any) -> None:
    method = RLVR(size=4, minibatches=2, epochs=3)
    model = make_llama()
    found = fit_rlvr(model, method, PROMPTS, sixes, optimizer=partial(torch.optim.Adam, lr=0.05),
                     log_every=1, **RUN)  # fmt: skip
    assert curve.column(found.curve, "ratio above 1.2 or below 0.8")[-1][1] > 0.05
    once = trained(make_llama(), RLVR(size=4))
    assert np.abs(weights(model) - once).max() > 1e-3


def test_a_resumed_run_gives_the_same_weights_bit_for_bit(make_llama: Any, tmp_path: Path) -> None:
    method = RLVR(size=4, minibatches=2, kl=0.05, advantage=Gae())
    again = Also(0.2, RowObjective(((1.0, Nll()),)), answers([Answer((2, 4), (6, 7, 1))]))

    def run(steps: int, folder: Path | None) -> Any:
        policy = make_llama(attention_dropout=0.2)
        critic = critic_of(policy, hidden=8)
        fit_rlvr(policy, method, PROMPTS, sixes, critic=Critic(critic, adam, warmup=1),
                 also=[again], optimizer=adam, folder=folder, save_every=1,
                 **RUN | {"steps": steps})  # fmt: skip
        return np.concatenate([weights(policy), weights(critic)])

    whole = run(4, None)
    half = run(2, tmp_path)
    resumed = run(4, tmp_path)
    assert not np.array_equal(half, resumed)
    assert np.array_equal(whole, resumed)
    steps = [step for step, _ in curve.column(curve.read(tmp_path), "loss")]
    assert steps == sorted(set(steps))


def test_a_checkpoint_of_another_method_is_refused(make_llama: Any, tmp_path: Path) -> None:
    trained(make_llama(), RLVR(size=4), folder=tmp_path)
    with pytest.raises(BadInput, match="another run: method was"):
        trained(make_llama(), RLVR(size=4, kl=0.1), folder=tmp_path)
    with pytest.raises(BadInput, match="another run: prompts was"):
        trained(make_llama(), RLVR(size=4), folder=tmp_path, data=prompts([(2, 4)]))
    assert checkpoint.load(tmp_path, {}) is not None


def test_a_reward_of_the_same_name_with_another_body_is_another_run() -> None:
    def made(body: str) -> Any:
        names: dict[str, Any] = {}
        exec(f"def right(prompt, answer):\n    return {body}\n", names)
        return verifier(names["right"], read=list)

    def plain(samples: Any) -> Any:
        return [1.0 for _ in samples]

    first = plain

    def plain(samples: Any) -> Any:  # type: ignore[no-redef]
        # the comment does not count, the body does
        return [2.0 for _ in samples]

    second = plain

    def plain(samples: Any) -> Any:  # type: ignore[no-redef]
        return [2.0 for _ in samples]

    assert checkpoint.body_of(made("len(answer)")) == checkpoint.body_of(made("len(answer)"))
    assert checkpoint.body_of(made("len(answer)")) != checkpoint.body_of(made("sum(answer)"))
    assert checkpoint.body_of(second) == checkpoint.body_of(plain)
    assert checkpoint.body_of(first) != checkpoint.body_of(second)
    assert checkpoint.body_of(remembered(second)) == checkpoint.body_of(second)


def test_the_critics_warm_up_leaves_the_policy_alone_and_explains_the_returns(
    make_llama: Any,
) -> None:
    policy = make_llama()
    before = weights(policy)
    critic = critic_of(policy)
    found = fit_rlvr(
        policy, RLVR(size=16, advantage=Gae(critic_lam=1.0)), PROMPTS, sixes, optimizer=adam,
        critic=Critic(critic, partial(torch.optim.Adam, lr=0.02), warmup=60), log_every=1,
        **RUN | {"steps": 60, "batch": 4},
    )  # fmt: skip
    assert np.array_equal(weights(policy), before)
    explained = [value for _, value in curve.column(found.curve, "explained variance")]
    assert np.mean(explained[-10:]) > 0.15 > 0.1 > np.mean(explained[:5])


def test_gae_with_lambda_one_and_a_critic_of_zeros_is_reinforce(make_llama: Any) -> None:
    model = make_llama()
    free = Gae(lam=1.0, critic_lam=1.0, whiten=False)
    one = trained(deepcopy(model), RLVR(size=4, advantage=free), optimizer=sgd, steps=1,
                  critic=Critic(critic_of(model)))  # fmt: skip
    rollout = drawn(model)
    rows = rows_of(rollout.data, torch.arange(8), torch.device("cpu"))
    logp = policy_keys(model, rows, frozenset({"logp"}))["logp"]
    loss = -(rollout.reward[:, None] * logp * rows.mask).sum() / rows.mask.sum()
    loss.backward()
    grads = [p.grad for p in model.parameters()]
    torch.nn.utils.clip_grads_with_norm_(model.parameters(), 1.0,
                                         torch.nn.utils.get_total_norm(grads))  # fmt: skip
    want = weights(model) - np.concatenate([g.numpy().ravel() for g in grads])
    assert np.abs(one - want).max() < 1e-5


@pytest.mark.parametrize("kl_in", ["loss", "reward"])
def test_a_held_policy_settles_where_reward_and_divergence_balance(kl_in: Any) -> None:
    worth = torch.tensor([0.0, 1.0, 0.5])
    beta = 0.7
    policy = Tabular(torch.zeros(1, 3, dtype=torch.float64))
    method = RLVR(advantage=Rloo(), surrogate=Reinforce(), size=300, kl=beta, kl_in=kl_in)

    def reward(rows: Any) -> Rewards:
        return Rewards([float(worth[r.response[0]]) for r in rows])

    fit_rlvr(
        policy, method, prompts([(0,)]), reward,
        longest=1, end=3, optimizer=partial(torch.optim.SGD, lr=0.3), steps=150, batch=1,
        max_norm=None,
    )  # fmt: skip
    # On the policy's own answers k3 has the gradient of KL(ref || pi); the penalty in the reward
    # is KL(pi || ref).
    held = "forward_kl" if kl_in == "loss" else "reverse_kl"
    uniform = torch.full((3,), 1.0 / 3.0, dtype=torch.float64).log()
    want = best_policy(worth.to(torch.float64), uniform, beta, held)
    assert (policy.probabilities()[0] - want).abs().max() < 0.03


def test_optimal_advantage_regression_ends_at_the_closed_form_from_one_answer_a_prompt() -> None:
    worth = torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 0.0]])
    beta = 0.5
    policy = Tabular(torch.tensor([[0.3, 0.0, -0.2], [0.0, 0.0, 0.0]], dtype=torch.float64))
    start = policy.probabilities()

    def reward(rows: Any) -> Rewards:
        return Rewards([float(worth[r.index, r.response[0]]) for r in rows])

    value = beta * ((worth / beta).exp() * start).sum(-1).log()
    data = prompts([(0,), (1,)]).having(vstar=value.tolist())
    method = RLVR(advantage=Zero(), surrogate=None, extras=((1.0, Regress(beta)),), size=1)
    fit_rlvr(policy, method, data, reward, longest=1, end=3, batch=64,
             optimizer=partial(torch.optim.Adam, lr=0.05), steps=300)  # fmt: skip
    want = start * (worth / beta).exp()
    want = want / want.sum(-1, keepdim=True)
    assert (policy.probabilities() - want).abs().max() < 0.02


def test_rewards_of_the_reference_give_the_soft_value() -> None:
    policy = Tabular(torch.zeros(1, 2, dtype=torch.float64))
    data = prompts([(0,)])

    def reward(rows: Any) -> Rewards:
        return Rewards([float(r.response[0]) for r in rows])

    found = reference_rewards(policy, data, reward, n=4000, longest=1, end=2)
    assert found.shape == (1, 4000)
    want = 0.5 * np.log((1.0 + np.exp(2.0)) / 2.0)
    assert float(soft_value(found, 0.5)) == pytest.approx(want, abs=0.02)


def test_demonstrations_stand_last_in_their_group_and_are_told_apart(make_llama: Any) -> None:
    shown = {0: [(6, 7, END), (7, END)], 2: [(6, END)]}
    mix = WithExternal(shown)
    asked = Asked(5, END, 1.0, 4, 0)
    rollout = Rollouts(make_llama(), PROMPTS, sixes, mix, 3, asked).draw(1)
    source = rollout.data.columns["source"].reshape(4, 3)
    assert sorted(source.sum(1).tolist()) == [0, 0, 1, 1]
    assert (source[:, :2] == 0).all()
    for i in torch.nonzero(rollout.data.columns["source"])[:, 0].tolist():
        row = rollout.data.ids[i, rollout.data.start[i] : rollout.data.end[i]].tolist()
        assert tuple(row) in {answer for rows in shown.values() for answer in rows}
    method = RLVR(Group(std="none"), ExternalMis(), mix=mix, size=3, agg="const", const=5)
    assert np.isfinite(trained(make_llama(), method)).all()


def test_forced_modes_halve_each_group_and_their_token_is_part_of_the_answer(
    make_llama: Any,
) -> None:
    asked = Asked(4, END, 1.0, 2, 0)
    rollout = Rollouts(make_llama(), PROMPTS, sixes, ModeForced(10, 11), 4, asked).draw(1)
    first = rollout.data.ids.gather(1, rollout.data.start[:, None])[:, 0]
    assert first.tolist() == [10, 10, 11, 11] * 2
    assert rollout.data.columns["mode"].tolist() == [0, 0, 1, 1] * 2


def test_flat_groups_and_answers_that_were_cut_can_be_left_out(make_llama: Any) -> None:
    def flat(rows: Any) -> Rewards:
        return Rewards([1.0] * len(rows))

    model = make_llama()
    before = weights(model)
    # Without their groups nothing is left to learn from, not even the likelihood beside them.
    found = trained(model, RLVR(size=4, skip_flat=True, extras=((1.0, Nll()),)), reward=flat)
    assert np.array_equal(found, before)
    assert not np.array_equal(trained(model, RLVR(size=4, extras=((1.0, Nll()),)), reward=flat),
                              before)  # fmt: skip
    never = make_llama()
    with torch.no_grad():
        never.lm_head.weight[END] -= 100.0 * never.lm_head.weight.sum(0).sign()
    kept = trained(deepcopy(never), RLVR(size=4, drop_unended=True))
    ended = sample(never, PROMPTS.ids, n=4, longest=5, end=END)
    assert np.array_equal(kept, weights(never)) or any(END in a for group in ended for a in group)


def test_shapes_apply_from_left_to_right_and_read_columns(make_llama: Any) -> None:
    seen: list[Any] = []

    def keep(reward: Any, length: Any) -> Any:
        seen.append((reward, length))
        return reward

    data = PROMPTS.having(prompt_value=[0.0, 0.1, 0.02, 1.0])
    chain = (Shaped(shapes.value_scale, "prompt_value"), Shaped(keep, "length"))
    trained(make_llama(), RLVR(Rloo(), Reinforce(), chain, size=2), steps=1, data=data, batch=4)
    reward, length = seen[0]
    rollout = Rollouts(make_llama(), data, sixes, OnPolicy(), 2, Asked(5, END, 1.0, 4, 4)).draw(1)
    scale = 1.0 + (10.0 * rollout.data.columns["prompt_value"]).clamp(max=1.0)
    assert torch.allclose(reward, scale * rollout.reward)
    assert torch.equal(length.long(), rollout.data.end - rollout.data.start)


@pytest.mark.parametrize(
    "method",
    [
        RLVR(Group(negative_weight=0.25), shapes=(Lens(),), size=4),
        RLVR(ReinforcePp(), Clip(dual=3.0), size=4, divergence=k1, kl=0.01),
        RLVR(ReinforcePp(baseline=True), Reinforce(), size=4, agg="seq_sum"),
    ],
)
def test_rewards_rise_under_every_method(make_llama: Any, method: RLVR) -> None:
    found = fit_rlvr(make_llama(), method, PROMPTS, sixes, optimizer=adam, log_every=1,
                     **RUN | {"steps": 30, "batch": 4})  # fmt: skip
    reward = [value for _, value in curve.column(found.curve, "reward")]
    assert np.mean(reward[-5:]) > np.mean(reward[:5]) + 0.1


def test_the_callers_randomness_and_the_models_mode_are_left_as_they_were(make_llama: Any) -> None:
    model = make_llama().eval()
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    trained(model, RLVR(size=2))
    assert torch.equal(torch.rand(3), want)
    assert not model.training


@pytest.mark.parametrize(
    ("options", "method", "message"),
    [
        ({"data": prompts([(2, 19)]), "longest": 40}, RLVR(size=2), "prompt 0 has 2 tokens; with"),
        ({"data": prompts([(2, 20)])}, RLVR(size=2), "vocabulary ends at 19"),
        ({"temperature": 0.0}, RLVR(size=2), "temperature is 0.0"),
        ({"batch": 0}, RLVR(size=2), "batch is 0"),
        ({"data": [(2, 4)]}, RLVR(size=2), "data is a list; give meritree.align.prompts"),
        ({"critic": Tabular(torch.zeros(1, 2))}, RLVR(size=2), "critic is a Tabular; give"),
        ({"end": None}, RLVR(size=2), "end is a NoneType; give the id"),
        ({}, RLVR(Gae(), size=2), "needs the key 'values_sg'.*critic=Critic"),
        ({}, RLVR(surrogate=ExternalMis(), size=3, mix=ModeForced(3, 4)), "no two halves"),
        ({}, RLVR(shapes=(Shaped(shapes.par, "ref_reward"),), size=2), r"column of the prompts"),
        ({}, RLVR(mix=WithExternal({9: [(1,)]}), size=2), "there is no prompt 9"),
        ({"reward": lambda rows: Rewards([0.0])}, RLVR(size=2), "1 scores for 4 answers"),
        ({"optimizer": torch.optim.SGD([torch.zeros(1)])}, RLVR(size=2), "give what makes one"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(
    make_llama: Any, options: Any, method: RLVR, message: str
) -> None:
    model = make_llama()
    before = weights(model)
    with pytest.raises(BadInput, match=message):
        trained(model, method, **options)
    assert np.array_equal(weights(model), before)


def test_a_critic_that_nobody_reads_is_refused(make_llama: Any) -> None:
    model = make_llama()
    with pytest.raises(BadInput, match="Group reads no values"):
        trained(model, RLVR(size=2), critic=Critic(critic_of(model), adam))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: prompts([]), "none were given"),
        (lambda: prompts([(1,), ()]), "number 1 is empty"),
        (lambda: PROMPTS.having(vstar=[1.0]), r"has shape \[1\], expected \[4\]"),
        (lambda: PROMPTS.having(vstar=[1.0, 2.0, float("nan"), 0.0]), "not finite"),
        (lambda: PROMPTS.having(logp=[1.0] * 4), "no column of a prompt"),
        (lambda: PROMPTS.part([4]), "no prompt 4"),
        (lambda: RLVR(surrogate=None), "there is no loss"),
        (lambda: RLVR(kl=-1.0), "kl is -1.0"),
        (lambda: RLVR(kl="k3"), "kl is 'k3'"),  # type: ignore[arg-type]
        (lambda: RLVR(divergence="k3"), "divergence is 'k3'; give a function"),
        (lambda: RLVR(Group), "advantage is .*Group.*give a part that is made"),  # type: ignore[arg-type]
        (lambda: RLVR(size=1), "Group compares the answers to a prompt"),
        (lambda: RLVR(agg="tokens"), "agg is 'tokens'; use token"),  # type: ignore[arg-type]
        (lambda: Critic(None, warmup=-1), "warmup is -1"),
        (lambda: RLVR(epochs=1.5), "epochs is 1.5; it must be a whole"),  # type: ignore[arg-type]
        (lambda: RLVR(agg="const"), "give the longest length"),
        (lambda: ModeForced(3, 3), "both modes have the token 3"),
        (lambda: WithExternal({0: [()]}), "demonstration of prompt 0 is empty"),
    ],
)
def test_impossible_settings_are_named(make: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make()


def test_a_loss_that_is_not_finite_stops_the_run_before_its_step(make_llama: Any) -> None:
    class Broken:
        needs = frozenset({"logp"})

        def __call__(self, b: Any) -> Any:
            return b["logp"] * float("inf")

    model = make_llama()
    before = weights(model)
    with pytest.raises(Diverged, match="step 1: the loss is not finite"):
        trained(model, RLVR(surrogate=Broken(), size=2))
    assert np.array_equal(weights(model), before)


def test_every_key_that_parts_may_read_is_declared() -> None:
    assert {"ref_reward", "aspects", "advantage", "source", "mode"} <= KEYS.keys()


def test_adapters_alone_are_trained_and_the_reference_is_the_model_without_them(
    make_llama: Any,
) -> None:
    pytest.importorskip("peft")
    from meritree.align.lora import with_lora

    model = with_lora(make_llama(), rank=2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    found = fit_rlvr(
        model, RLVR(size=4, kl=0.1), PROMPTS, sixes, optimizer=adam, log_every=1, **RUN
    )
    apart = [value for _, value in curve.column(found.curve, "KL to the reference")]
    assert apart[0] == pytest.approx(0.0, abs=1e-6)
    assert apart[-1] > 1e-5
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert all("lora" in name for name in changed)


def test_texts_and_what_is_known_of_them_become_prompts(tokenizer: Any, make_llama: Any) -> None:
    rows = [
        {"prompt": "w1 w2", "solution": "w3", "prompt_value": 0.5},
        {"prompt": "w4", "solution": "w5 w6", "prompt_value": 0.0},
    ]
    data = text_prompts(tokenizer, rows)
    assert data.ids == ((4, 5), (7,))
    assert data.columns["prompt_value"].tolist() == [0.5, 0.0]
    seen: set[tuple[str, str]] = set()

    def right(prompt: str, answer: str, solution: str) -> float:
        seen.add((prompt, solution))
        return float(solution in answer)

    reward = verifier(right, read=reads(tokenizer), columns=["solution"])
    trained(make_llama(), RLVR(size=2), data=data, reward=reward)
    assert seen == {("w1 w2", "w3"), ("w4", "w5 w6")}
    with pytest.raises(BadInput, match=r"row 1 has .* the first"):
        text_prompts(tokenizer, [rows[0], {"prompt": "w1"}])
    assert text_prompts(tokenizer, rows, context=1).ids == ((7,),)
    with pytest.raises(BadInput, match="all 2 prompts have more than 0 tokens"):
        text_prompts(tokenizer, rows, context=0)
    with pytest.raises(BadInput, match="row 0 is a str; give rows as"):
        text_prompts(tokenizer, ["w1"])  # type: ignore[list-item]
    with pytest.raises(BadInput, match="row 0: prompt is ''"):
        text_prompts(tokenizer, [{"prompt": ""}])
    with pytest.raises(BadInput, match="chat template"):
        text_prompts(tokenizer, [{"prompt": [{"role": "user", "content": "w1"}]}])


def test_a_reward_that_fails_on_every_answer_is_told(make_llama: Any) -> None:
    def broken(prompt: Any, answer: Any) -> float:
        raise ValueError("never")

    with pytest.warns(UserWarning, match=r"failed on all 4 answers \(4 raised ValueError\)"):
        found = fit_rlvr(make_llama(), RLVR(size=2), PROMPTS, verifier(broken, read=list),
                         optimizer=adam, **RUN | {"steps": 1})  # fmt: skip
    assert found.counts == {"raised ValueError": 4}


def test_a_checkpoint_of_a_model_of_another_size_is_refused(
    make_llama: Any, tmp_path: Path
) -> None:
    trained(make_llama(), RLVR(size=2), folder=tmp_path)
    with pytest.raises(
        BadInput, match="the checkpoint's policy is of another model: size mismatch"
    ):
        trained(make_llama(num_key_value_heads=1), RLVR(size=2), folder=tmp_path)
