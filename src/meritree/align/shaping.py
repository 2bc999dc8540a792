"""Shapes and advantages of the verifiable-reward trainer: formulas of `objectives`, told which
columns they read. A shape makes a reward of a reward, an advantage what the policy loss weighs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from meritree.align._torch import Tensor, torch
from meritree.errors import BadInput
from meritree.objectives import group_advantages, shapes
from meritree.objectives.rows import within

NONE: frozenset[str] = frozenset()
Columns = Mapping[str, Tensor]


class Shape(Protocol):
    """Makes a reward of a reward; reads the keys that it needs, none with a gradient."""

    @property
    def needs(self) -> frozenset[str]: ...

    def __call__(self, reward: Tensor, b: Columns, size: int, /) -> Tensor:
        """[B] -> [B]; rows of one prompt are neighbours, ``size`` of them."""


class Advantages(NamedTuple):
    """What an advantage gives.

    Attributes:
        advantage: [B, 1], one number a row, or [B, T].
        returns: [B, T], the critic's targets; None without a critic.
    """

    advantage: Tensor
    returns: Tensor | None = None


class Advantage(Protocol):
    """Weighs answers; as `Shape`, but gives `Advantages`.

    ``by_token``: reads rewards of tokens; a penalty in the reward then stands at its token,
    elsewhere its sum is taken from the row's reward.
    """

    by_token: ClassVar[bool]

    @property
    def needs(self) -> frozenset[str]: ...

    def __call__(self, reward: Tensor, b: Columns, size: int, /) -> Advantages: ...


@dataclass(frozen=True)
class Shaped:
    """Any function of the reward and of some columns, as a shape.

    ``Shaped(shapes.value_scale, "prompt_value")`` is RLEV, ``Shaped(shapes.par, "ref_reward")``
    is PAR, ``Shaped(partial(shapes.length_penalty, free=8, per_token=0.1), "length")`` a penalty.

    Attributes:
        function: of the reward and of the columns, in this order.
        columns: their keys; ``length`` is the number of tokens of each answer.
    """

    function: Callable[..., Tensor]
    columns: tuple[str, ...]

    def __init__(self, function: Callable[..., Tensor], *columns: str) -> None:
        object.__setattr__(self, "function", function)
        object.__setattr__(self, "columns", columns)

    @property
    def needs(self) -> frozenset[str]:
        """The columns."""
        return frozenset(self.columns)

    def __call__(self, reward: Tensor, b: Columns, size: int, /) -> Tensor:
        found: Tensor = self.function(reward, *(b[name] for name in self.columns))
        return found

    def __repr__(self) -> str:
        inner = getattr(self.function, "func", self.function)
        options = getattr(self.function, "keywords", {})
        name = getattr(inner, "__name__", type(inner).__name__)
        return f"Shaped({name}, {options}, {self.columns})"


@dataclass(frozen=True)
class Lens:
    """Confident mistakes cost most: `meritree.objectives.shapes.lens` (S046).

    With ``Group(negative_weight=0.25)``, which trains groups without a right answer.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"old_logp", "mask"})

    def __call__(self, reward: Tensor, b: Columns, size: int, /) -> Tensor:
        mask = b["mask"].to(reward.dtype)
        return shapes.lens(reward, (b["old_logp"] * mask).sum(-1), mask.sum(-1), size)


@dataclass(frozen=True)
class Group:
    """Compared with the other answers to the prompt: GRPO, Dr. GRPO, LENS's groups.

    Attributes:
        std: see `meritree.objectives.group_advantages.group`.
        negative_weight: where given, groups without a right answer (``label`` 1) are centred only
            and weighted by it.
    """

    std: Literal["group", "batch", "none"] = "group"
    negative_weight: float | None = None
    by_token: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[str]:
        """``label`` where groups without a right answer are treated apart."""
        return NONE if self.negative_weight is None else frozenset({"label"})

    def __call__(self, reward: Tensor, b: Columns, size: int, /) -> Advantages:
        if self.negative_weight is None:
            return Advantages(group_advantages.group(reward, size, self.std)[:, None])
        wrong = group_advantages.all_wrong(b["label"].to(reward.dtype), size)
        found = group_advantages.group(
            reward, size, self.std, negative=wrong, negative_weight=self.negative_weight
        )
        return Advantages(found[:, None])


@dataclass(frozen=True)
class Rloo:
    """Minus the mean of the prompt's other answers: `meritree.objectives.group_advantages.rloo`."""

    needs: ClassVar[frozenset[str]] = NONE
    by_token: ClassVar[bool] = False

    def __call__(self, reward: Tensor, b: Columns, size: int, /) -> Advantages:
        return Advantages(group_advantages.rloo(reward, size)[:, None])


@dataclass(frozen=True)
class ReinforcePp:
    """Whitened over the batch's tokens: REINFORCE++, or its variant with a group's mean.

    Attributes:
        baseline: subtract the mean of the prompt's answers first.
    """

    baseline: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"mask"})
    by_token: ClassVar[bool] = False

    def __call__(self, reward: Tensor, b: Columns, size: int, /) -> Advantages:
        mask = b["mask"].to(reward.dtype)
        if self.baseline:
            return Advantages(group_advantages.reinforce_pp_baseline(reward, mask, size))
        paid = group_advantages.terminal_reward(reward, mask)
        return Advantages(group_advantages.reinforce_pp(paid, mask))


@dataclass(frozen=True)
class Gae:
    """Generalised advantages of tokens by a critic, the reward at the last one: PPO, VAPO.

    Attributes:
        lam: the policy's lambda, a number in [0, 1], or ``length``: 1 - 1 / (alpha l) by the
            answer's length l, VAPO's.
        critic_lam: of the critic's targets; VAPO takes 1.
        alpha: of ``length``, > 0.
        gamma: in [0, 1].
        whiten: advantages over the batch's tokens to mean 0 and deviation 1.
    """

    lam: float | Literal["length"] = 0.95
    critic_lam: float = 0.95
    alpha: float = 0.05
    gamma: float = 1.0
    whiten: bool = True
    needs: ClassVar[frozenset[str]] = frozenset({"values_sg", "mask"})
    by_token: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.lam != "length":
            if isinstance(self.lam, str):
                raise BadInput(f"Gae: lam is {self.lam!r}; give a number or 'length'")
            within("Gae", 0.0, 1.0, lam=self.lam)
        within("Gae", 0.0, 1.0, critic_lam=self.critic_lam, gamma=self.gamma)

    def __call__(self, reward: Tensor, b: Columns, size: int, /) -> Advantages:
        mask = b["mask"].to(reward.dtype)
        paid = group_advantages.terminal_reward(reward, mask)
        if "token_reward" in b:
            paid = paid + b["token_reward"]
        lam: Any = self.lam
        if lam == "length":
            lam = group_advantages.length_lambda(mask.sum(-1), self.alpha)
        values = b["values_sg"].to(reward.dtype)
        advantage, returns = group_advantages.token_gae(paid, values, mask, lam, self.gamma)
        if self.lam == "length" or self.lam != self.critic_lam:
            _, returns = group_advantages.token_gae(paid, values, mask, self.critic_lam, self.gamma)
        if self.whiten:
            advantage = group_advantages.whiten(advantage, mask)
        return Advantages(advantage, returns)


@dataclass(frozen=True)
class HybridMode:
    """Best answers within each mode, and the better mode at its token: HGPO (S061).

    With the mix `meritree.align.mixes.ModeForced`; makes both rewards itself.

    Attributes:
        alpha: weight of the choice of mode.
        delta: by how much thinking must be better.
    """

    alpha: float = 1.0
    delta: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"mode", "mask"})
    by_token: ClassVar[bool] = False

    def __call__(self, reward: Tensor, b: Columns, size: int, /) -> Advantages:
        mode, mask = b["mode"], b["mask"].to(reward.dtype)
        intra = shapes.best_in_mode(reward, mode, size)
        inter = shapes.better_mode(reward, mode, size, self.delta)
        first = torch.zeros_like(mask)
        first[:, 0] = 1.0
        return Advantages(group_advantages.hybrid_mode(intra, inter, first, mask, size, self.alpha))


@dataclass(frozen=True)
class Zero:
    """No advantage: for losses that read the reward themselves, as A*-PO's regression."""

    needs: ClassVar[frozenset[str]] = NONE
    by_token: ClassVar[bool] = False

    def __call__(self, reward: Tensor, b: Columns, size: int, /) -> Advantages:
        return Advantages(torch.zeros_like(reward)[:, None])
