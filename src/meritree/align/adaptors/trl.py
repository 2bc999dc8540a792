"""Any `PairObjective` inside TRL's DPOTrainer: its data, distribution and logging, our loss.

Written for TRL 1.16, whose private ``_compute_loss`` is replaced (extra ``trl``).
"""

from __future__ import annotations

from typing import Any

from meritree.align._torch import Module, Tensor, torch
from meritree.align.forward import POLICY_KEYS, REF_KEYS, Rows, policy_keys
from meritree.errors import BadInput
from meritree.objectives.preference import PairObjective

VERSION = "1.16"


def dpo_trainer(objective: PairObjective) -> type[Any]:
    """A subclass of `trl.DPOTrainer` that minimises the objective; made and used like it.

    ``loss_type``, ``beta`` and ``f_divergence_type`` of its configuration are not read. Metrics
    are logged under the objective's own names. The reference is asked at every step, as TRL does.

    Raises:
        BadInput: TRL is missing or of another version, or the objective needs a key that TRL's
            batches do not have. When the trainer is made: reference log-probabilities summed in
            advance, or images.
    """
    trl = trl_or_refusal()
    missing = sorted(objective.needs - POLICY_KEYS - REF_KEYS - {"mask"})
    if missing or "score" in objective.needs:
        raise BadInput(
            f"the objective needs the key {(missing or ['score'])[0]!r}, which TRL's batches of "
            "pairs do not have; use meritree.align.prefer.fit_preferences"
        )
    return type("ObjectiveDPOTrainer", (_Mixed, trl.DPOTrainer), {"objective": objective})


def trl_or_refusal() -> Any:
    """The package, of the version that the adaptors are for.

    Raises:
        BadInput: it is missing or of another version.
    """
    way_out = "give the objective to TRL's trainer: pip install 'meritree[trl]'"
    try:
        import trl
    except ImportError as error:
        raise BadInput(way_out) from error
    if not trl.__version__.startswith(f"{VERSION}."):
        raise BadInput(
            f"TRL {trl.__version__} is installed, the adaptor is for {VERSION}: {way_out}"
        )
    return trl


class _Mixed:
    """What is replaced in TRL's trainer; the rest comes from it."""

    objective: PairObjective

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if getattr(self, "precompute_ref_logps", False):
            raise BadInput(
                "precompute_ref_log_probs keeps sums over tokens, the objective needs each token: "
                "switch it off"
            )

    def _compute_loss(
        self: Any, model: Module, inputs: dict[str, Any], return_outputs: bool = False
    ) -> Any:
        if return_outputs:
            raise BadInput("compute_metrics is not supported with an objective of ours")
        odd = sorted(set(inputs) - {"input_ids", "attention_mask", "completion_mask"})
        if odd:
            raise BadInput(f"the batch has {odd[0]!r}: only pairs of texts are supported")
        rows = _rows(inputs)
        needs = self.objective.needs
        b: dict[str, Tensor] = {"mask": rows.mask} | policy_keys(model, rows, needs)
        asked = frozenset(name.removeprefix("ref_") for name in needs & REF_KEYS)
        with torch.no_grad():
            b |= {f"ref_{k}": x for k, x in self._reference_keys(model, rows, asked).items()}
        loss, metrics = self.objective(b)
        mode = "train" if self.model.training else "eval"
        for name, value in metrics.items():
            whole = self.accelerator.gather_for_metrics(value.detach()).mean().item()
            self._metrics[mode][name].append(whole)
        return loss.mean()

    def _reference_keys(
        self: Any, model: Module, rows: Rows, asked: frozenset[str]
    ) -> dict[str, Tensor]:
        if self.ref_model is not None:
            return policy_keys(self.ref_model, rows, asked)
        plain = self.accelerator.unwrap_model(model)
        with plain.disable_adapter():  # without adapters TRL makes a reference of its own
            return policy_keys(plain, rows, asked)


def _rows(inputs: dict[str, Any]) -> Rows:
    ids, attention, completion = (
        inputs[name] for name in ("input_ids", "attention_mask", "completion_mask")
    )
    places = torch.arange(ids.shape[1], device=ids.device)
    start = torch.where(completion > 0, places, ids.shape[1]).amin(1).clamp(min=1)
    end = (places * completion).amax(1) + 1
    steps = torch.arange(max(1, int((end - start).max())), device=ids.device)
    place = start[:, None] + steps
    mask = place < torch.where(completion.sum(1) > 0, end, start)[:, None]
    tokens = ids.gather(1, place.clamp(max=ids.shape[1] - 1)) * mask
    return Rows(ids, attention, start, end, torch.arange(len(ids)), tokens, mask)
