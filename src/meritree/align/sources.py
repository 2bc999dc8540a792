"""What a step of the preference trainer minimises: losses on one or more data sets.

Draws batches, has the model and the reference make the keys, adds up gradients and refuses
numbers that are not finite. The loop, its checkpoints and its curve are `prefer`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from meritree.align import checkpoint
from meritree.align._torch import Module, Tensor, torch
from meritree.align.data import Dataset
from meritree.align.forward import (
    POLICY_KEYS,
    REF_KEYS,
    VALUE_KEYS,
    Reference,
    Rows,
    column_keys,
    policy_keys,
    reference,
    rows_of,
)
from meritree.align.loop import Diverged
from meritree.errors import BadInput
from meritree.objectives.rows import KEYS, Objective

_CAL = {"cal_logp": "logp", "cal_ref_logp": "ref_logp", "cal_mask": "mask"}


@dataclass(frozen=True)
class Also:
    """A second loss on data of its own, added to each step's.

    Attributes:
        coef: its weight.
        objective, data: as of `fit_preferences`; its batches have as many units.
    """

    coef: float
    objective: Objective
    data: Dataset


class Sources:
    """The sources of a run with their references, and one step over them."""

    def __init__(
        self,
        policy: Module,
        sources: Sequence[Also],
        calibration: Dataset | None,
        batch: int | None,
        accumulate: int,
        seed: int,
    ) -> None:
        self.policy, self.sources, self.calibration = policy, sources, calibration
        self.batch, self.accumulate, self.seed = batch, accumulate, seed
        self.device = next(policy.parameters()).device
        self.references: list[Reference] = []
        self._all: dict[int, tuple[Tensor, Rows]] = {}
        self.cal_reference = Reference({})
        for source in sources:
            self._check_needs(source)

    def ask_reference(self, ref: Module | None) -> None:
        """Cache what the reference says; copy the policy only where that would be too much."""
        model = self.policy if ref is None else ref
        model.eval()
        for source in self.sources:
            found = reference(model, source.data, source.objective.needs, self.device)
            for name, x in found.cached.items():
                if not bool(torch.isfinite(x).all()):
                    raise BadInput(
                        f"the reference gave {name} that is not finite: mend its weights"
                    )
            if found.model is not None and ref is None:
                found = Reference(found.cached, frozen_copy(self.policy))
            self.references.append(found)
        if self.calibration is not None:
            needs = frozenset({"ref_logp"})
            self.cal_reference = reference(model, self.calibration, needs, self.device)

    def backward(self, step: int) -> dict[str, Tensor]:
        """Add the gradients of the step's losses to the policy's; returns its measures.

        Raises:
            Diverged: a loss is not finite.
        """
        sums: dict[str, Tensor] = {}
        for number, source in enumerate(self.sources):
            for part in range(self.accumulate):
                loss, metrics = self._loss(number, source, (step - 1) * self.accumulate + part)
                self._check_finite(step, loss, source.data)
                mean = loss.mean() * (source.coef / self.accumulate)
                mean.backward()
                add_to(sums, "loss", mean.detach())
                prefix = f"also {number}: " if number else ""
                for name, value in metrics.items():
                    add_to(sums, prefix + name, value.detach() / self.accumulate)
        return sums

    def recipe(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be continued."""
        return {
            "objectives": [f"{source.coef!r} {source.objective!r}" for source in self.sources],
            "data": [
                checkpoint.fingerprint(one.ids, one.start, one.end, *one.columns.values())
                for one in (
                    *(source.data for source in self.sources),
                    *([self.calibration] if self.calibration else []),
                )
            ],
            "reference": [
                checkpoint.fingerprint(*found.cached.values())
                for found in (*self.references, self.cal_reference)
            ],
            "batch": self.batch or 0,
        }

    def _loss(self, number: int, source: Also, turn: int) -> tuple[Tensor, dict[str, Tensor]]:
        data, needs = source.data, source.objective.needs
        units, rows = self._rows(data, turn, self.seed)
        b: dict[str, Tensor] = policy_keys(self.policy, rows, needs)
        b |= self.references[number].keys(rows, needs)
        if "mask" in needs:
            b["mask"] = rows.mask
        if needs & _CAL.keys() and self.calibration is not None:
            b |= self._calibrated(self.calibration, turn)
        like = next(iter(b.values()))
        columns = column_keys(data, units, rows, like)
        loss, metrics = source.objective(b | {k: x for k, x in columns.items() if k in needs})
        if data.weight is not None:
            loss = loss * data.weight[units].to(loss.device, loss.dtype)
        return loss, metrics

    def _calibrated(self, data: Dataset, turn: int) -> dict[str, Tensor]:
        _, rows = self._rows(data, turn, self.seed + 1)
        found = policy_keys(self.policy, rows, frozenset({"logp"}))
        found |= self.cal_reference.keys(rows, frozenset({"ref_logp"}))
        found["mask"] = rows.mask
        return {name: found[plain] for name, plain in _CAL.items()}

    def _rows(self, data: Dataset, turn: int, seed: int) -> tuple[Tensor, Rows]:
        """Units and rows of one pass; where each takes all units, they are made only once."""
        known = self._all.get(id(data))
        if known is not None:
            return known
        units = units_of(data.size, self.batch, turn, seed)
        found = units, rows_of(data, units, self.device)
        if self.batch is None:
            self._all[id(data)] = found
        return found

    def _check_needs(self, source: Also) -> None:
        given = POLICY_KEYS | VALUE_KEYS | REF_KEYS | {"mask"} | source.data.columns.keys()
        if self.calibration is not None:
            given |= _CAL.keys()
        missing = sorted(source.objective.needs - given)
        if missing:
            how = (
                "give calibration="
                if missing[0] in _CAL
                else f"give it as a column of the rows, [{KEYS.get(missing[0], '?')}]"
            )
            raise BadInput(
                f"the objective needs the key {missing[0]!r}, which neither the trainer computes "
                f"nor the data have: {how}"
            )

    def _check_finite(self, step: int, loss: Tensor, data: Dataset) -> None:
        good = torch.isfinite(loss)
        if bool(good.all()):
            return
        bad = int((~good).sum())
        raise Diverged(
            f"step {step}: the loss of {bad} of {loss.numel()} units is not finite ({data.size} "
            "units in all); the policy is as before the step: lower the learning rate or look at "
            "the objective's exponents"
        )


def units_of(size: int, batch: int | None, turn: int, seed: int) -> Tensor:
    """Units of one pass: the turn-th slice of an endless row of shuffled epochs.

    ``batch`` None: all of them, in order.
    """
    if batch is None:
        return torch.arange(size)
    first, found = turn * batch, []
    while batch > 0:
        epoch, place = divmod(first, size)
        order = _order(size, seed, epoch)
        taken = order[place : place + batch]
        found.append(taken)
        first, batch = first + len(taken), batch - len(taken)
    return torch.cat(found)


def _order(size: int, seed: int, epoch: int) -> Tensor:
    key = (seed, size, epoch)
    if key not in _ORDERS:
        if len(_ORDERS) > 16:
            _ORDERS.clear()
        generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % (1 << 62))
        _ORDERS[key] = torch.randperm(size, generator=generator)
    return _ORDERS[key]


_ORDERS: dict[tuple[int, int, int], Tensor] = {}  # of the last epochs: one is read many times


def add_to(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    """Add a measure to the sum of its name."""
    sums[name] = sums[name] + value if name in sums else value


def frozen_copy(policy: Module) -> Module:
    """A copy that is not trained."""
    copy = deepcopy(policy).eval()
    for parameter in copy.parameters():
        parameter.requires_grad_(False)
    return copy


def check_fits(policy: Module, data: Dataset) -> None:
    """Whether the model has places and words for these rows; says so before an index error does."""
    config = getattr(policy, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        raise BadInput("the policy is an encoder-decoder; only decoders are trained here")
    places = getattr(config, "max_position_embeddings", None)
    longest = int(data.end.max())
    if isinstance(places, int) and longest > places:
        raise BadInput(
            f"a row has {longest} tokens, the model reads {places}: give context={places} where "
            "the data are made, which leaves longer rows out and counts them"
        )
    words = getattr(config, "vocab_size", None)
    if isinstance(words, int) and int(data.ids.max()) >= words:
        raise BadInput(
            f"the token {int(data.ids.max())} is outside the model's vocabulary of {words}: was it "
            "made by another tokenizer?"
        )
