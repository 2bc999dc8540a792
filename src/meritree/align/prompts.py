"""Prompts that a policy answers itself, with what is known of each before it answers.

Data only, apart from `reference_rewards`, which asks a model once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from meritree.align._torch import Module, Tensor, torch
from meritree.align.data import Ids
from meritree.align.rewards import Reward, Sample, rewards_of
from meritree.align.sample import sample
from meritree.errors import BadInput
from meritree.objectives.rows import KEYS


@dataclass(frozen=True)
class Prompts:
    """Prompts and their columns.

    Attributes:
        ids: token ids of each prompt.
        columns: keys of `meritree.objectives.rows.KEYS` with one number a prompt (``vstar``,
            ``prompt_value``) or M of them (``ref_reward``): every answer of a prompt gets them.
        about: what a reward wants to know of each prompt (its solution, the table it asks about);
            the columns of its `meritree.align.rewards.Sample`.
    """

    ids: tuple[tuple[int, ...], ...]
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    about: tuple[Mapping[str, Any], ...] = ()

    @property
    def size(self) -> int:
        """Number of prompts."""
        return len(self.ids)

    def row(self, i: int, answer: Ids, end: int, **columns: Any) -> Sample:
        """An answer to prompt i, with what is known of it."""
        about = self.about[i] if self.about else {}
        return Sample(self.ids[i], tuple(answer), i, {**about, **columns}, answer[-1] == end)

    def having(self, **columns: Sequence[float] | Sequence[Sequence[float]]) -> Prompts:
        """The same prompts with further columns.

        Raises:
            BadInput: as `prompts`.
        """
        made = {name: _column(name, values, self.size) for name, values in columns.items()}
        return replace(self, columns={**self.columns, **made})

    def part(self, indices: Sequence[int]) -> Prompts:
        """These prompts alone, in this order.

        Raises:
            BadInput: none is left, or an index is outside the prompts.
        """
        odd = next((i for i in indices if not 0 <= i < self.size), None)
        if odd is not None or not indices:
            raise BadInput(
                f"part: {'no index is given' if odd is None else f'there is no prompt {odd}'}; "
                f"there are {self.size} prompts"
            )
        rows = torch.tensor(list(indices))
        return Prompts(
            tuple(self.ids[i] for i in indices),
            {name: column[rows] for name, column in self.columns.items()},
            tuple(self.about[i] for i in indices) if self.about else (),
        )


def prompts(
    ids: Iterable[Ids], *, about: Sequence[Mapping[str, Any]] = (), **columns: Any
) -> Prompts:
    """Prompts from token ids.

    Args:
        ids: of each prompt; at least one token.
        about: see `Prompts`.
        columns: see `Prompts`, as sequences.

    Raises:
        BadInput: no prompt, an empty one, an unknown column, one of another length or with a
            number that is not finite.
    """
    rows = tuple(tuple(int(i) for i in row) for row in ids)
    if not rows:
        raise BadInput("prompts: none were given")
    empty = next((number for number, row in enumerate(rows) if not row), None)
    if empty is not None:
        raise BadInput(f"prompts: number {empty} is empty; begin it with a token")
    if about and len(about) != len(rows):
        raise BadInput(f"prompts: {len(about)} entries of about for {len(rows)} prompts")
    return Prompts(rows, {}, tuple(about)).having(**columns)


def reference_rewards(
    policy: Module,
    data: Prompts,
    reward: Reward,
    *,
    n: int,
    longest: int,
    end: int,
    temperature: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """Rewards of ``n`` answers of a policy to each prompt, [prompts, n].

    PAR compares with them (``ref_reward``), A*-PO makes its values of them (``vstar``, by
    `meritree.objectives.extras.soft_value`).

    Raises:
        BadInput: as `meritree.align.sample.sample`, or a reward that is not finite.
    """
    _, score = answered(
        policy, data, reward, n=n, longest=longest, end=end, temperature=temperature, seed=seed
    )
    return torch.tensor(score).reshape(data.size, n)


def answered(
    policy: Module,
    data: Prompts,
    reward: Reward,
    *,
    n: int,
    longest: int,
    end: int,
    temperature: float = 1.0,
    seed: int = 0,
) -> tuple[list[Sample], list[float]]:
    """``n`` answers of a policy to each prompt, neighbours, and what they are worth.

    Raises:
        BadInput: as `reference_rewards`.
    """
    drawn = sample(policy, data.ids, n=n, longest=longest, end=end, temperature=temperature,
                   seed=seed)  # fmt: skip
    rows = [data.row(i, answer, end) for i, answers in enumerate(drawn) for answer in answers]
    return rows, rewards_of(reward, rows).score


def _column(name: str, values: Any, size: int) -> Tensor:
    spec = KEYS.get(name, "")
    if spec.removeprefix("int ") not in ("B", "B M"):
        known = sorted(k for k, s in KEYS.items() if s.removeprefix("int ") in ("B", "B M"))
        raise BadInput(f"prompts: {name!r} is no column of a prompt; there are {', '.join(known)}")
    column = torch.as_tensor(values)
    kind = torch.int64 if spec.startswith("int ") else torch.float32
    if column.shape[:1] != (size,) or column.ndim != (2 if spec == "B M" else 1):
        shape = f"[{size}, M]" if spec == "B M" else f"[{size}]"
        raise BadInput(f"prompts: {name} has shape {list(column.shape)}, expected {shape}")
    if not bool(torch.isfinite(column.to(torch.float64)).all()):
        raise BadInput(f"prompts: {name} has a number that is not finite")
    return column.to(kind)
