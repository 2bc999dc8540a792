"""Any surrogate, advantage and reward of ours inside TRL's GRPOTrainer: its drawing and logging.

Written for TRL 1.16, whose private ``_compute_loss``, ``_calculate_rewards`` and
``_generate_and_score_completions`` are extended (extra ``trl``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from meritree.align._torch import Module, Tensor, torch
from meritree.align.adaptors.trl import trl_or_refusal
from meritree.align.rewards import Reward, Rewards, Sample, rewards_of
from meritree.align.shaping import Advantage, Shape
from meritree.errors import BadInput
from meritree.objectives import rows
from meritree.objectives.divergences import k3
from meritree.objectives.rows import How, Part

_LOSS_KEYS = frozenset({"logp", "logp_sg", "old_logp", "advantage", "mask"})
_ADVANTAGE_KEYS = frozenset({"mask", "length", "label"})
_BATCH = frozenset({
    "prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages", "tool_mask",
    "num_items_in_batch", "old_per_token_logps", "ref_per_token_logps", "importance_sampling_ratio",
    "sampling_per_token_logps",
})  # fmt: skip
# Options of the loss that is replaced.
_LOSS_OPTIONS = (
    "loss_type", "epsilon", "epsilon_high", "delta", "importance_sampling_level",
    "sapo_temperature_neg", "sapo_temperature_pos", "vespo_k_pos", "vespo_lambda_pos",
    "vespo_k_neg", "vespo_lambda_neg", "top_entropy_quantile", "entropy_coef",
    "use_adaptive_entropy", "off_policy_mask_threshold",
)  # fmt: skip
_ADVANTAGE_OPTIONS = ("scale_rewards", "multi_objective_aggregation")
_NOT_COLUMNS = frozenset({"trainer_state", "log_extra", "log_metric", "environments"})


def grpo_trainer(
    surrogate: Part,
    *,
    divergence: Callable[[Tensor, Tensor], Tensor] = k3,
    div_coef: float = 0.0,
    agg: How = "token",
    const: int = 0,
    advantage: Advantage | None = None,
) -> type[Any]:
    """A subclass of `trl.GRPOTrainer` that minimises the surrogate; made and used like it.

    Options of TRL's own loss in its configuration are refused unless they are left alone, so is
    ``beta`` unless it equals ``div_coef``.

    Args:
        surrogate: of `meritree.objectives.surrogates`; may read ``logp``, ``logp_sg``,
            ``old_logp``, ``advantage`` and ``mask``.
        divergence: of (logp, ref_logp) [B, T] each, added to the tokens' loss as it is; TRL's
            default, ``use_bias_correction_kl``, multiplies its own by the ratio.
        div_coef: its weight; 0: no reference is kept. TRL reads the reference from the folder
            or address that the model came from.
        agg: how tokens become a loss; ``token`` is the mean over all tokens of an optimizer step,
            as in TRL's DAPO, the others are means over rows.
        const: what ``agg="const"`` divides by; 0: ``max_completion_length``.
        advantage: of `meritree.align.shaping`; may read ``mask``, ``length`` and ``label`` (1 where
            the reward is above 0). None: TRL's own.

    Raises:
        BadInput: TRL is missing or of another version; a part needs a key that TRL's batches do
            not have; ``div_coef`` is negative. When the trainer is made: see above.
    """
    trl = trl_or_refusal()
    _check_needs("surrogate", surrogate, _LOSS_KEYS)
    if advantage is not None:
        _check_needs("advantage", advantage, _ADVANTAGE_KEYS)
    if not 0.0 <= div_coef < float("inf"):
        raise BadInput(f"grpo_trainer: div_coef is {div_coef}; it must be a finite number >= 0")
    if agg not in ("token", "seq_mean", "seq_sum", "const"):
        raise BadInput(f"grpo_trainer: agg is {agg!r}; use 'token', 'seq_mean', 'seq_sum', 'const'")
    parts = {
        "surrogate": surrogate, "divergence": staticmethod(divergence), "div_coef": div_coef,
        "how": agg, "const": const, "advantage": advantage,
    }  # fmt: skip
    return type("SurrogateGRPOTrainer", (_Mixed, trl.GRPOTrainer), parts)


def as_reward_func(
    reward: Reward, tokenizer: Any, *, shapes: Sequence[Shape] = (), size: int = 0
) -> Callable[..., list[float]]:
    """A reward of ours as one of TRL's ``reward_funcs``, shaped or not.

    Columns of TRL's data set become the samples' columns. What the reward counts and the means of
    its aspects are logged. ``index`` numbers the prompts of a call, equal neighbours together.

    Args:
        reward: see `meritree.align.rewards`.
        tokenizer: the trainer's ``processing_class``.
        shapes: from left to right; may read ``length``, ``label``, ``aspects`` and columns of
            numbers.
        size: ``num_generations``, for shapes that compare the answers to a prompt.

    Raises:
        BadInput: shapes without a size; when called: a shape needs a key that is not there, or as
            `meritree.align.rewards.rewards_of`.
    """
    if shapes and size < 1:
        raise BadInput("as_reward_func: shapes compare groups; give size=num_generations")
    seen: set[str] = set()

    def judged(
        prompts: Sequence[Any], completion_ids: Sequence[Sequence[int]], **named: Any
    ) -> list[float]:
        columns = {k: v for k, v in named.items() if k not in {*_NOT_COLUMNS, "completions"}}
        samples = _samples(tokenizer, prompts, completion_ids, columns)
        found = rewards_of(reward, samples)
        if "log_metric" in named:
            # A reason that does not occur counts as 0: TRL averages over what it is told.
            seen.update(found.counts)
            for name, value in _told(found, seen).items():
                named["log_metric"](name, value)
        score = torch.tensor(found.score)
        for shape in shapes:
            b = _columns(found, samples, columns)
            _check_needs("shape", shape, frozenset(b))
            score = shape(score, b, size)
        return [float(number) for number in score]

    judged.__name__ = getattr(reward, "__name__", "reward")
    return judged


class _Mixed:
    """What is replaced in TRL's trainer; the rest comes from it."""

    surrogate: Part
    divergence: Callable[[Tensor, Tensor], Tensor]
    div_coef: float
    how: How
    const: int
    advantage: Advantage | None

    def __init__(
        self, model: Any, reward_funcs: Any = None, args: Any = None, *more: Any, **named: Any
    ) -> None:
        import trl

        args = trl.GRPOConfig("grpo") if args is None else copy.copy(args)
        _refuse_changed(args, _LOSS_OPTIONS, "surrogate")
        if self.advantage is not None:
            _refuse_changed(args, _ADVANTAGE_OPTIONS, "advantage")
        if args.beta not in (0.0, self.div_coef):
            raise BadInput(
                f"beta is {args.beta}, div_coef {self.div_coef}: the divergence's weight is "
                "div_coef, leave beta out"
            )
        args.beta = self.div_coef  # whether TRL keeps a reference
        super().__init__(model, reward_funcs, args, *more, **named)  # type: ignore[call-arg]
        if getattr(self, "aux_loss_enabled", False):
            raise BadInput("router_aux_loss_coef is not supported with a surrogate of ours: set 0")

    def _calculate_rewards(self: Any, *given: Any, **named: Any) -> Tensor:
        self._given_rewards = super()._calculate_rewards(*given, **named)  # type: ignore[misc]
        return self._given_rewards

    def _generate_and_score_completions(self: Any, inputs: Any) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        if self.advantage is None:
            return output
        given, ours = self._given_rewards, len(output["advantages"])
        bad = torch.isnan(given).all(1).nonzero()
        if len(bad):
            raise BadInput(f"no reward was given to row {int(bad[0])}; give each answer a number")
        reward = (given * self.reward_weights.to(given.device)).nansum(1)
        size = self.num_generations if self.model.training else self.num_generations_eval
        b = {"label": (reward > 0.0).to(torch.int64)}
        if self.advantage.needs & {"mask", "length"}:
            if len(given) != ours:
                raise BadInput(
                    f"{type(self.advantage).__name__} reads lengths, which one process of several "
                    "does not have of all answers; use Group or Rloo"
                )
            b["mask"] = _mask(output)
            b["length"] = b["mask"].sum(1).to(reward.dtype)
        found = self.advantage(reward, b, size).advantage
        first = self.accelerator.process_index * ours
        output["advantages"] = found[first : first + ours]
        logged = self._logs["advantages"]
        for _ in range(min(len(given), len(logged))):
            logged.pop()
        logged.extend(found.mean(1).tolist())
        return output

    def _compute_loss(self: Any, model: Module, inputs: dict[str, Any]) -> Tensor:
        odd = sorted(set(inputs) - _BATCH)
        if odd:
            raise BadInput(f"the batch has {odd[0]!r}: only texts are supported")
        mask = _mask(inputs)
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        logp, entropy, _ = self._get_per_token_logps_and_entropies(
            model, ids, attention, mask.shape[1], compute_entropy=True
        )
        advantage, old = inputs["advantages"], inputs.get("old_per_token_logps")
        b = {
            "logp": logp,
            "logp_sg": logp.detach(),
            "old_logp": logp.detach() if old is None else old,
            "advantage": advantage[:, None] if advantage.ndim == 1 else advantage,
            "mask": mask,
        }
        # Padding has whatever log-probability: a ratio there must not become infinite.
        b["old_logp"] = torch.where(mask > 0, b["old_logp"], b["logp_sg"])
        tokens = self.surrogate({name: b[name] for name in self.surrogate.needs})
        if "importance_sampling_ratio" in inputs:  # drawn by another program than the one trained
            tokens = tokens * inputs["importance_sampling_ratio"]
        told = {"entropy": entropy}
        if self.div_coef:
            ref = torch.where(mask > 0, inputs["ref_per_token_logps"], b["logp_sg"])
            apart = self.divergence(logp, ref)
            tokens = tokens + self.div_coef * apart
            told["divergence"] = apart
        mode = "train" if self.model.training else "eval"
        for name, x in told.items():
            sums = torch.stack([(x.detach() * mask).sum(), mask.sum().to(x.dtype)])
            total, count = self.accelerator.reduce(sums, reduction="sum").tolist()
            self._metrics[mode][name].append(total / max(count, 1.0))
        return self._joined(tokens, mask, inputs["num_items_in_batch"])

    def _joined(self: Any, tokens: Tensor, mask: Tensor, items: Tensor) -> Tensor:
        """One loss, so that the passes of an optimizer step add up."""
        train = self.model.training
        passes = self.current_gradient_accumulation_steps if train else 1
        if self.how != "token":
            const = self.const or self.max_completion_length
            return rows.agg(tokens, mask, self.how, const) / passes
        # `items` are the tokens of all that was drawn together, on all processes.
        whole = items.clamp(min=1.0) / self.accelerator.num_processes
        share = passes / self.args.steps_per_generation if train else 1.0
        return rows.agg(tokens, mask, "seq_sum") * len(tokens) / (whole * share)


def _mask(inputs: dict[str, Any]) -> Tensor:
    mask = inputs["completion_mask"]
    return mask * inputs["tool_mask"] if "tool_mask" in inputs else mask


def _check_needs(what: str, part: Any, given: frozenset[str]) -> None:
    missing = sorted(part.needs - given)
    if missing:
        raise BadInput(
            f"the {what} {type(part).__name__} needs the key {missing[0]!r}, which TRL's batches "
            "do not have; use meritree.align.rlvr.fit_rlvr"
        )


def _refuse_changed(args: Any, names: Sequence[str], part: str) -> None:
    defaults = {one.name: one.default for one in fields(args)}
    for name in names:
        value = getattr(args, name)
        if value != defaults[name]:
            raise BadInput(
                f"{name}={value!r} is an option of TRL's own loss, in whose place stands the "
                f"{part}: give it there"
            )


def _samples(
    tokenizer: Any, prompts: Sequence[Any], responses: Sequence[Any], columns: dict[str, Any]
) -> list[Sample]:
    found: list[Sample] = []
    index, ids = -1, []
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        if not row or prompt != prompts[row - 1]:
            index, ids = index + 1, _prompt_ids(tokenizer, prompt)
        response = [int(token) for token in response]
        own = {name: values[row] for name, values in columns.items()}
        ended = response[-1:] == [tokenizer.eos_token_id]
        found.append(Sample(ids, response, index, own, ended))
    return found


def _prompt_ids(tokenizer: Any, prompt: Any) -> list[int]:
    if isinstance(prompt, str):
        return list(tokenizer(prompt)["input_ids"])
    options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
    return list(tokenizer.apply_chat_template(prompt, **options)["input_ids"])


def _columns(found: Rewards, samples: list[Sample], columns: dict[str, Any]) -> dict[str, Tensor]:
    """What shapes may read."""
    b = {
        name: torch.tensor(values)
        for name, values in columns.items()
        if all(isinstance(value, int | float) for value in values)
    }
    b["length"] = torch.tensor([float(len(one.response)) for one in samples])
    b["label"] = torch.tensor([int(score > 0.0) for score in found.score])
    if found.aspects is not None:
        b["aspects"] = torch.tensor(found.aspects)
    return b


def _told(found: Rewards, reasons: set[str]) -> dict[str, float]:
    told = {f"rewards/{name}": float(found.counts.get(name, 0)) for name in sorted(reasons)}
    if found.aspects:
        for k, column in enumerate(zip(*found.aspects, strict=True)):
            told[f"rewards/aspect {k}"] = sum(column) / len(column)
    return told
