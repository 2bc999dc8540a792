"""Rows of tokens for the trainer: what was asked, what was answered, which answer was better.

Data only: no tokenizer (see `text`) and no model. Rows that can teach nothing are left out and
counted; input that makes no sense is refused.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from meritree.align._torch import Tensor, torch
from meritree.errors import BadInput
from meritree.objectives.rows import KEYS

Ids = Sequence[int]
Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to one prompt.

    Attributes:
        prompt, response: token ids.
        columns: further keys of the row that an objective reads (``label``, ``reward``, ``vstar``;
            one number a token for ``step``), see `meritree.objectives.rows.KEYS`.
    """

    prompt: Ids
    response: Ids
    columns: Columns = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers, the first preferred.

    Attributes:
        prompt, chosen, rejected: token ids.
        rejected_prompt: where the rejected answer had another prompt (MAPL); None: the same.
        preference: probability that ``chosen`` is the better one, for soft labels.
        columns: keys of both rows, each as (chosen's, rejected's).
    """

    prompt: Ids
    chosen: Ids
    rejected: Ids
    rejected_prompt: Ids | None = None
    preference: float = 1.0
    columns: Columns = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Units (answers, pairs, pairs of pairs) as padded rows; row ``i + j size`` is unit i's j-th.

    Attributes:
        ids: int64 [rows, S], padded on the right with 0; padding is never read.
        start, end: int64 [rows], the response is ``ids[start:end]``.
        columns: further keys by name: [rows], [rows, T] or, for keys of pairs, [size].
        arity: rows of a unit: 1, 2 or 4.
        weight: of each unit in the loss, [size], mean 1; None: all equal.
        counts: what was kept, skipped (by reason) and seen twice.
    """

    ids: Tensor
    start: Tensor
    end: Tensor
    columns: Mapping[str, Tensor]
    arity: int
    weight: Tensor | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of units."""
        return int(self.ids.shape[0]) // self.arity

    def weighted(self, weight: Sequence[float]) -> Dataset:
        """The same units with weights in the loss (scaled to the mean 1): population losses.

        Raises:
            BadInput: not one a unit, negative, not finite, or all 0.
        """
        w = torch.as_tensor(weight, dtype=torch.float64)
        if tuple(w.shape) != (self.size,):
            raise BadInput(
                f"weight has shape {tuple(w.shape)}, expected ({self.size},), one a unit"
            )
        if not (bool(torch.isfinite(w).all()) and float(w.min()) >= 0.0 and float(w.sum()) > 0.0):
            raise BadInput("weight: entries must be finite and >= 0, and not all 0")
        return replace(self, weight=w / w.mean())


Long = Literal["skip", "refuse"]
_Row = tuple[Ids, Ids, Columns]


def answers(rows: Iterable[Answer], *, context: int | None = None, long: Long = "skip") -> Dataset:
    """Single answers, for `meritree.objectives.preference.RowObjective`.

    Args:
        rows: the answers.
        context: most tokens that the model reads; longer rows are skipped and counted.
        long: ``refuse``: a row that is too long is an error instead.

    Raises:
        BadInput: nothing is left, a number is not finite, or see ``long``.
    """
    units = [_Unit(((row.prompt, row.response, row.columns),)) for row in rows]
    return _build("answers", units, 1, context, long)


def pairs(rows: Iterable[Pair], *, context: int | None = None, long: Long = "skip") -> Dataset:
    """Pairs, for `meritree.objectives.preference.PairObjective`; arguments as `answers`.

    A pair of two equal rows says nothing whatever its label: skipped and counted. The same pair
    twice is counted and kept: two judges may have said so.

    Raises:
        BadInput: nothing is left, a number is not finite, a preference outside [0, 1].
    """
    units = [_Unit(_sides(row), {"preference": row.preference}) for row in rows]
    return _build("pairs", units, 2, context, long)


def gaps(
    rows: Iterable[tuple[Pair, Pair]], *, context: int | None = None, long: Long = "skip"
) -> Dataset:
    """Pairs of pairs (wide, narrow), for `meritree.objectives.links.MarginOfMargins`.

    The first pair should lie further apart than the second. Arguments as `answers`.

    Raises:
        BadInput: as `pairs`.
    """
    units = []
    for wide, narrow in rows:
        (better, worse), (good, bad) = _sides(wide), _sides(narrow)
        units.append(_Unit((better, good, worse, bad)))
    return _build("gaps", units, 4, context, long)


@dataclass(frozen=True, slots=True)
class _Unit:
    rows: tuple[_Row, ...]
    columns: Columns = field(default_factory=dict)


def _sides(pair: Pair) -> tuple[_Row, _Row]:
    other = pair.prompt if pair.rejected_prompt is None else pair.rejected_prompt
    own = [{name: both[side] for name, both in pair.columns.items()} for side in (0, 1)]
    return (pair.prompt, pair.chosen, own[0]), (other, pair.rejected, own[1])


def _build(where: str, units: list[_Unit], arity: int, context: int | None, long: Long) -> Dataset:
    if not units:
        raise BadInput(f"{where}: no rows were given")
    counts: Counter[str] = Counter()
    kept, seen = [], set()
    for number, unit in enumerate(units):
        reason = _reason(unit, context)
        if reason == "too long" and long == "refuse":
            longest = max(len(prompt) + len(response) for prompt, response, _ in unit.rows)
            raise BadInput(
                f"{where}: row {number} has {longest} tokens, the context {context}: shorten it, "
                "or let long='skip' leave it out"
            )
        counts[f"skipped: {reason}" if reason else "kept"] += 1
        if reason:
            continue
        key = tuple((tuple(prompt), tuple(response)) for prompt, response, _ in unit.rows)
        counts["duplicates kept"] += key in seen
        seen.add(key)
        kept.append(unit)
    if not kept:
        why = ", ".join(f"{number} {reason}" for reason, number in counts.items() if number)
        raise BadInput(f"{where}: nothing is left of {len(units)} rows ({why})")
    rows = [unit.rows[j] for j in range(arity) for unit in kept]
    columns = _columns(where, [row[2] for row in rows], "B")
    columns |= _columns(where, [unit.columns for unit in kept], "P")
    preference = columns.get("preference")
    if preference is not None and not bool(((preference >= 0) & (preference <= 1)).all()):
        raise BadInput(f"{where}: preference must lie in [0, 1]: it is a probability")
    return Dataset(
        *_padded(where, rows), columns, arity, None, {k: n for k, n in counts.items() if n}
    )


def _reason(unit: _Unit, context: int | None) -> str:
    """Why a unit is left out, empty if it is kept."""
    for prompt, response, _ in unit.rows:
        if not len(prompt):
            return "empty prompt"
        if not len(response):
            return "empty response"
        if context is not None and len(prompt) + len(response) > context:
            return "too long"
    sides = [(list(prompt), list(response)) for prompt, response, _ in unit.rows]
    half = len(sides) // 2
    same = any(sides[i] == sides[i + half] for i in range(half))
    return "identical" if same else ""


def _padded(where: str, rows: list[_Row]) -> tuple[Tensor, Tensor, Tensor]:
    whole = [[*prompt, *response] for prompt, response, _ in rows]
    longest = max(map(len, whole))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in whole], dtype=torch.int64)
    if int(ids.min()) < 0:
        raise BadInput(f"{where}: the token id {int(ids.min())} is negative")
    start = torch.tensor([len(prompt) for prompt, _, _ in rows])
    return ids, start, torch.tensor([len(row) for row in whole])


def _columns(where: str, found: list[Columns], axis: str) -> dict[str, Tensor]:
    """Stacked columns; every row must have the same ones."""
    names = set(found[0])
    odd = next((number for number, one in enumerate(found) if set(one) != names), None)
    if odd is not None:
        raise BadInput(
            f"{where}: row {odd} has the keys {sorted(found[odd])}, the first {sorted(names)}: "
            "give all rows the same"
        )
    return {
        name: _column(where, name, [one[name] for one in found], axis) for name in sorted(names)
    }


def _column(where: str, name: str, values: list[Any], axis: str) -> Tensor:
    spec = KEYS.get(name)
    if spec is None or spec.removeprefix("int ").split()[0] != axis:
        raise BadInput(f"{where}: {name!r} is no key of a row; there are {', '.join(sorted(KEYS))}")
    kind = torch.int64 if spec.startswith("int ") else torch.float32
    if spec.endswith(" T"):  # padded with -1 (no step) or 0
        longest = max(map(len, values))
        fill = -1 if kind == torch.int64 else 0.0
        values = [[*row, *[fill] * (longest - len(row))] for row in values]
    elif not all(math.isfinite(value) for value in values):
        bad = next(i for i, value in enumerate(values) if not math.isfinite(value))
        raise BadInput(f"{where}: {name} of row {bad} is {values[bad]}; remove the row or mend it")
    column = torch.tensor(values, dtype=torch.float64 if kind == torch.float32 else kind)
    if not bool(torch.isfinite(column).all()):
        raise BadInput(
            f"{where}: {name} has an entry that is not finite; remove the row or mend it"
        )
    return column
