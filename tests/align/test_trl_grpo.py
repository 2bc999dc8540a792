"""Our surrogates in TRL's GRPOTrainer are TRL's own losses where TRL has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from meritree.align.adaptors.trl_grpo import as_reward_func, grpo_trainer
from meritree.align.rewards import Rewards, Sample, verifier
from meritree.align.shaping import Gae, Group, Lens, ReinforcePp, Rloo, Shaped
from meritree.errors import BadInput
from meritree.objectives import shapes
from meritree.objectives.divergences import k2
from meritree.objectives.surrogates import Cispo, Clip, ExternalMis, Reinforce, SeqRatio

RATE, LONGEST, SIZE = 0.5, 6, 4
PROMPTS = [{"prompt": "w1 w2", "gold": 4}, {"prompt": "w3", "gold": 9}]


def share_of_fours(prompts: Any, completions: Any, completion_ids: Any, **_: Any) -> list[float]:
    """A number that is seldom the same twice."""
    return [sum(int(t) % 7 for t in ids) / (1.0 + len(ids)) for ids in completion_ids]


def trainer_of(
    kind: type[Any], make_llama: Any, tokenizer: Any, folder: Any, reward: Any = share_of_fours,
    **settings: Any,
) -> Any:  # fmt: skip
    """A trainer of that class, set to take steps of plain gradient descent."""
    from datasets import Dataset as Table
    from transformers import LlamaForCausalLM
    from trl import GRPOConfig

    # TRL reads its reference from where the model came from.
    make_llama(0).save_pretrained(folder / "model")
    model = LlamaForCausalLM.from_pretrained(folder / "model", local_files_only=True)
    given = {"max_steps": 1, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}
    given |= settings
    return kind(
        model=model, reward_funcs=reward, processing_class=tokenizer,
        train_dataset=Table.from_list(PROMPTS),
        args=GRPOConfig(
            output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, seed=3,
            num_generations=SIZE, max_completion_length=LONGEST,
            learning_rate=RATE, lr_scheduler_type="constant", optim="sgd", max_grad_norm=0.0,
            logging_steps=1, save_strategy="no", gradient_checkpointing=False, disable_tqdm=True,
            **given,
        ),
    )  # fmt: skip


def batch(make_llama: Any, *, reference: bool, far: float) -> dict[str, Any]:
    """Answers of 1 to `LONGEST` tokens to prompts of two lengths, with old log-probabilities."""
    random = torch.Generator().manual_seed(1)
    length = torch.tensor([6, 1, 4, 3, 5, 2, 6, 4])
    mask = (torch.arange(LONGEST) < length[:, None]).long()
    ids = torch.randint(3, 20, (8, LONGEST), generator=random) * mask
    prompt = torch.tensor([[4, 5]] * 4 + [[0, 6]] * 4)
    seen = (prompt > 0).long()
    made = {
        "prompt_ids": prompt, "prompt_mask": seen, "completion_ids": ids, "completion_mask": mask,
        "advantages": torch.randn(8, generator=random), "num_items_in_batch": mask.sum(),
    }  # fmt: skip
    whole = torch.cat([prompt, ids], 1)
    attention = torch.cat([seen, mask], 1)
    place = attention.cumsum(1) - 1

    def logp(model: Any) -> Any:
        with torch.no_grad():
            logits = model(whole, attention_mask=attention, position_ids=place.clamp(min=0)).logits
        return torch.log_softmax(logits, -1)[:, 1:-1].gather(-1, ids[..., None])[..., 0]

    noise = torch.randn(8, LONGEST, generator=random)
    made["old_per_token_logps"] = logp(make_llama(0)) + far * noise
    if reference:
        made["ref_per_token_logps"] = logp(make_llama(1))
    return made


def loss_and_gradient(trainer: Any, inputs: dict[str, Any]) -> tuple[float, Any]:
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer._compute_loss(trainer.model, dict(inputs))
    parts = torch.autograd.grad(loss, list(trainer.model.parameters()))
    return loss.item(), torch.cat([part.reshape(-1) for part in parts]).numpy()


METHODS = {
    "grpo": (
        {
            "loss_type": "grpo",
            "epsilon": 0.2,
            "epsilon_high": 0.28,
            "beta": 0.3,
            "use_bias_correction_kl": False,
        },
        {"surrogate": Clip(0.2, 0.28), "agg": "seq_mean", "div_coef": 0.3},
    ),
    "dr_grpo": ({"loss_type": "dr_grpo"}, {"surrogate": Clip(), "agg": "const"}),
    "dapo": (
        {"loss_type": "dapo", "epsilon_high": 0.28},
        {"surrogate": Clip(0.2, 0.28), "agg": "token"},
    ),
    "cispo": ({"loss_type": "cispo", "epsilon_high": 1.1}, {"surrogate": Cispo(1.1)}),
    "gspo": (
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "epsilon": 0.15,
            "epsilon_high": 0.2,
        },
        {"surrogate": SeqRatio(0.15, 0.2), "agg": "seq_mean"},
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_loss_and_gradient_are_those_of_trl(
    name: str, make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    from trl import GRPOTrainer

    settings, ours = METHODS[name]
    theirs = trainer_of(GRPOTrainer, make_llama, tokenizer, tmp_path, **settings)
    mine = trainer_of(grpo_trainer(**ours), make_llama, tokenizer, tmp_path)
    for far in (0.0, 0.3):  # on the policy and off it, where ratios are clipped
        inputs = batch(make_llama, reference="beta" in settings, far=far)
        expected, direction = loss_and_gradient(theirs, inputs)
        loss, gradient = loss_and_gradient(mine, inputs)
        assert np.abs(direction).max() > 1e-3
        np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(gradient, direction, rtol=1e-4, atol=1e-6)


def test_a_ratio_from_the_program_that_drew_weights_the_tokens_as_in_trl(
    make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    mine = trainer_of(grpo_trainer(Clip(), agg="seq_mean"), make_llama, tokenizer, tmp_path)
    inputs = batch(make_llama, reference=False, far=0.3)
    plain, direction = loss_and_gradient(mine, inputs)
    weighted = {**inputs, "importance_sampling_ratio": torch.full((8, LONGEST), 0.5)}
    half, halved = loss_and_gradient(mine, weighted)
    np.testing.assert_allclose(half, plain / 2, rtol=1e-5)
    np.testing.assert_allclose(halved, direction / 2, rtol=1e-4, atol=1e-7)


def weights(model: Any) -> Any:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()


@pytest.mark.parametrize(
    ("settings", "ours", "more"),
    [
        (
            {"loss_type": "dr_grpo", "scale_rewards": "none"},
            {"surrogate": Clip(), "agg": "const", "advantage": Group("none")},
            {},
        ),
        (
            {"loss_type": "dapo", "scale_rewards": "none"},
            {"surrogate": Clip(), "advantage": Group("none")},
            # Two passes to one optimizer step: the mean over tokens goes over both.
            {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
        ),
    ],
    ids=["dr_grpo", "dapo in two passes"],
)
def test_a_run_draws_judges_and_steps_as_trls_own(
    settings: Any, ours: Any, more: Any, make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    from trl import GRPOTrainer

    more = {"max_steps": 2} | more
    theirs = trainer_of(GRPOTrainer, make_llama, tokenizer, tmp_path, **settings, **more)
    mine = trainer_of(grpo_trainer(**ours), make_llama, tokenizer, tmp_path, **more)
    begin = weights(mine.model)
    for trainer in (theirs, mine):
        torch.manual_seed(5)
        trainer.train()
    step = begin - weights(theirs.model)
    assert np.abs(step).max() > 1e-3
    np.testing.assert_allclose(begin - weights(mine.model), step, rtol=1e-3, atol=1e-6)
    rewards = [[e["reward"] for e in t.state.log_history if "reward" in e] for t in (theirs, mine)]
    assert rewards[0] == rewards[1]


def test_advantages_of_ours_reach_the_loss_and_the_table_of_completions(
    make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    seen: dict[str, Any] = {}

    class Spy(Reinforce):
        def __call__(self, b: Any, /) -> Any:
            seen.update(b)
            return super().__call__(b)

    for advantage, wide in ((Rloo(), 1), (ReinforcePp(baseline=True), LONGEST)):
        kind = grpo_trainer(Spy(), advantage=advantage)
        trainer = trainer_of(kind, make_llama, tokenizer, tmp_path)
        trainer.train()
        assert seen["advantage"].shape[1] in (wide, seen["logp"].shape[1])
        rewards = np.array(list(trainer._logs["rewards"]["share_of_fours"])).reshape(2, SIZE)
        logged = np.array(list(trainer._logs["advantages"])).reshape(2, SIZE)
        centred = rewards - rewards.mean(1, keepdims=True)
        if wide == 1:
            np.testing.assert_allclose(logged, centred * SIZE / (SIZE - 1), rtol=1e-4, atol=1e-6)
        else:
            assert (np.sign(logged) == np.sign(centred)).mean() > 0.7


def test_the_divergence_is_asked_of_the_reference_and_logged(
    make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    kind = grpo_trainer(Clip(), divergence=k2, div_coef=0.7)
    trainer = trainer_of(kind, make_llama, tokenizer, tmp_path, max_steps=2)
    inputs = batch(make_llama, reference=True, far=0.0)
    logp = inputs["old_per_token_logps"]
    apart = 0.5 * (logp - inputs["ref_per_token_logps"]) ** 2
    plain = trainer_of(grpo_trainer(Clip()), make_llama, tokenizer, tmp_path)
    gap = loss_and_gradient(trainer, inputs)[0] - loss_and_gradient(plain, inputs)[0]
    mask = inputs["completion_mask"]
    np.testing.assert_allclose(gap, 0.7 * float((apart * mask).sum() / mask.sum()), rtol=1e-4)
    trainer._metrics["train"].clear()
    trainer.train()
    told = [entry["divergence"] for entry in trainer.state.log_history if "divergence" in entry]
    assert told[0] == 0.0  # the reference is the policy as it was given
    assert told[1] > 0.0


def even(prompt: Any, answer: list[int], gold: int) -> float:
    if len(answer) == LONGEST:
        raise ValueError("too long")
    return float(gold in answer)


def test_a_reward_of_ours_judges_for_trl_with_its_columns_counts_and_shapes(
    make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    got: list[Sample] = []

    def reward(samples: Sequence[Sample]) -> Rewards:
        got.extend(samples)
        return verifier(even, read=list, columns=("gold",))(samples)

    penalty = Shaped(partial(shapes.length_penalty, free=2.0, per_token=0.1), "length")
    function = as_reward_func(reward, tokenizer, shapes=(penalty,), size=SIZE)
    kind = grpo_trainer(Clip(), advantage=Group("none"))
    trainer = trainer_of(kind, make_llama, tokenizer, tmp_path, reward=function, max_steps=3)
    trainer.train()
    assert [one.index for one in got[:8]] == [0] * 4 + [1] * 4
    both = {tuple(one.prompt): one.columns["gold"] for one in got}
    assert both == {(4, 5): 4, (6,): 9}
    assert all(one.ended == (one.response[-1] == tokenizer.eos_token_id) for one in got)
    cut = [not one.ended for one in got]
    told = [e for e in trainer.state.log_history if "rewards/raised ValueError" in e]
    assert sum(e["rewards/raised ValueError"] for e in told) == sum(
        len(one.response) == LONGEST for one in got
    )
    assert any(cut)
    scores = list(trainer._logs["rewards"]["reward"])
    expected = [
        (len(one.response) < LONGEST and one.columns["gold"] in one.response)
        - 0.1 * max(0, len(one.response) - 2)
        for one in got[-8:]
    ]
    np.testing.assert_allclose(sorted(scores), sorted(expected), atol=1e-6)


def test_what_trl_does_not_have_is_refused_by_name(
    make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    with pytest.raises(BadInput, match="surrogate ExternalMis needs the key 'source'"):
        grpo_trainer(ExternalMis())
    with pytest.raises(BadInput, match="advantage Gae needs the key 'values_sg'"):
        grpo_trainer(Clip(), advantage=Gae())
    with pytest.raises(BadInput, match="div_coef is -1"):
        grpo_trainer(Clip(), div_coef=-1.0)
    with pytest.raises(BadInput, match="agg is 'mean'"):
        grpo_trainer(Clip(), agg="mean")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="give size=num_generations"):
        as_reward_func(lambda s: Rewards([]), tokenizer, shapes=(Lens(),))
    function = as_reward_func(lambda s: Rewards([0.0]), tokenizer, shapes=(Lens(),), size=1)
    with pytest.raises(BadInput, match="shape Lens needs the key 'mask'"):
        function(prompts=["w1"], completions=["w2"], completion_ids=[[5]])
    for settings, said in (
        ({"loss_type": "grpo"}, "loss_type='grpo' is an option of TRL's own loss"),
        ({"beta": 0.1}, "beta is 0.1, div_coef 0.0"),
        ({"scale_rewards": "none"}, "scale_rewards='none'.*the advantage: give it there"),
    ):
        with pytest.raises(BadInput, match=said):
            trainer_of(
                grpo_trainer(Clip(), advantage=Group()), make_llama, tokenizer, tmp_path, **settings
            )


def test_an_answer_without_a_reward_is_refused(
    make_llama: Any, tokenizer: Any, tmp_path: Any
) -> None:
    def silent(prompts: Any, **_: Any) -> list[float | None]:
        return [None if row == 2 else 1.0 for row in range(len(prompts))]

    kind = grpo_trainer(Clip(), advantage=Group())
    trainer = trainer_of(kind, make_llama, tokenizer, tmp_path, reward=silent)
    with pytest.raises(BadInput, match="no reward was given to row 2"):
        trainer.train()
