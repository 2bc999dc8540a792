"""Our surrogates and advantages in verl's registries, where its configuration names them.

Written for verl 0.9, which draws, judges and spreads the work; knows no trainer of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meritree.align._torch import Tensor, torch
from meritree.align.shaping import Advantage, Group, ReinforcePp, Rloo
from meritree.errors import BadInput
from meritree.objectives.rows import Part
from meritree.objectives.surrogates import Cispo, Clip, Reinforce, SeqRatio

VERSION = "0.9"
SURROGATES: Mapping[str, Part] = {
    "meritree_clip": Clip(0.2, 0.28, dual=3.0),
    "meritree_reinforce": Reinforce(),
    "meritree_seq_ratio": SeqRatio(),
    "meritree_cispo": Cispo(),
}
"""What `register` registers for ``actor.policy_loss.loss_mode`` unless it is told otherwise."""
ADVANTAGES: Mapping[str, Advantage] = {
    "meritree_group": Group(),
    "meritree_group_centred": Group("none"),
    "meritree_group_batch": Group("batch"),
    "meritree_rloo": Rloo(),
    "meritree_reinforce_pp": ReinforcePp(),
    "meritree_reinforce_pp_baseline": ReinforcePp(baseline=True),
}
"""The same for ``algorithm.adv_estimator``."""

_LOSS_KEYS = frozenset({"logp", "logp_sg", "old_logp", "advantage", "mask"})
_ADVANTAGE_KEYS = frozenset({"mask", "length", "label"})


def register(
    surrogates: Mapping[str, Part] = SURROGATES, advantages: Mapping[str, Advantage] = ADVANTAGES
) -> None:
    """Give verl our parts under these names; again with the same parts does nothing.

    verl works in several processes: call this in a module of yours and name it in the environment
    variable ``VERL_USE_EXTERNAL_MODULES``, so that each process does. For the parts as they stand
    here that module is `meritree.align.adaptors.verl_plugin`.

    Args:
        surrogates: may read ``logp``, ``logp_sg``, ``old_logp``, ``advantage`` and ``mask``. verl
            joins the tokens by its ``loss_agg_mode`` and adds its own KL term; clipping ranges
            of its configuration are not read.
        advantages: may read ``mask``, ``length`` and ``label`` (1 where the reward is above 0);
            rows of a prompt are found by verl's ``uid``.

    Raises:
        BadInput: verl is missing or of another version, a part needs a key that it does not have,
            or a name is taken.
    """
    core = _core()
    parts: list[tuple[str, Any, dict[str, Any], frozenset[str]]] = [
        *((name, one, core.POLICY_LOSS_REGISTRY, _LOSS_KEYS) for name, one in surrogates.items()),
        *(
            (name, one, core.ADV_ESTIMATOR_REGISTRY, _ADVANTAGE_KEYS)
            for name, one in advantages.items()
        ),
    ]
    for name, part, registry, given in parts:
        missing = sorted(part.needs - given)
        if missing:
            raise BadInput(
                f"{name}: {type(part).__name__} needs the key {missing[0]!r}, which verl's "
                "batches do not have"
            )
        if name in registry and getattr(registry[name], "part", None) != part:
            raise BadInput(f"verl has something else named {name!r}; choose another name")
    for name, one in surrogates.items():
        core.register_policy_loss(name)(policy_loss(one, core.agg_loss))
    for name, other in advantages.items():
        if name not in core.ADV_ESTIMATOR_REGISTRY:
            core.register_adv_est(name)(estimator(other))


def policy_loss(surrogate: Part, agg_loss: Callable[..., Tensor]) -> Callable[..., Any]:
    """A surrogate as one of verl's policy losses; ``agg_loss`` is verl's."""

    def loss(
        old_log_prob: Tensor,
        log_prob: Tensor,
        advantages: Tensor,
        response_mask: Tensor,
        loss_agg_mode: str = "token-mean",
        config: Any = None,
        rollout_is_weights: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch [B, T], and metrics."""
        logp_sg = log_prob.detach()
        counts = response_mask > 0
        b = {
            "logp": log_prob,
            "logp_sg": logp_sg,
            # Padding has whatever log-probability: a ratio there must not become infinite.
            "old_logp": torch.where(counts, old_log_prob, logp_sg),
            "advantage": advantages,
            "mask": response_mask,
        }
        tokens = surrogate({name: b[name] for name in surrogate.needs})
        if rollout_is_weights is not None:
            tokens = tokens * rollout_is_weights
        whole = {} if config is None else config.global_batch_info
        found = agg_loss(
            loss_mat=tokens, loss_mask=response_mask, loss_agg_mode=loss_agg_mode, **whole
        )
        gap = (b["old_logp"] - logp_sg)[counts]
        told = {"actor/ppo_kl": float(gap.mean()) if len(gap) else 0.0}
        return found, told

    loss.part = surrogate  # type: ignore[attr-defined]
    return loss


def estimator(advantage: Advantage) -> Callable[..., tuple[Tensor, Tensor]]:
    """An advantage as one of verl's estimators."""

    def estimate(
        token_level_rewards: Tensor,
        response_mask: Tensor,
        index: Sequence[Any] | None = None,
        **_: Any,
    ) -> tuple[Tensor, Tensor]:
        """Advantages and returns, [B, T] both, of rewards [B, T] that are summed."""
        with torch.no_grad():
            order, size = _neighbours(index, len(token_level_rewards))
            mask = response_mask.to(token_level_rewards.dtype)[order]
            reward = token_level_rewards.sum(-1)[order]
            label = (reward > 0.0).to(torch.int64)
            b = {"mask": mask, "length": mask.sum(-1), "label": label}
            found = advantage(reward, b, size).advantage * mask
            back = torch.empty_like(found)
            back[order] = found
        return back, back

    estimate.part = advantage  # type: ignore[attr-defined]
    return estimate


def _neighbours(index: Sequence[Any] | None, rows: int) -> tuple[Tensor, int]:
    """An order in which rows of one prompt are neighbours, and how many each prompt has."""
    if index is None:
        raise BadInput("verl's batch has no uid: rows of one prompt cannot be told from others")
    places: dict[Any, list[int]] = {}
    for row in range(rows):
        places.setdefault(index[row], []).append(row)
    sizes = sorted({len(group) for group in places.values()})
    if len(sizes) != 1:
        raise BadInput(
            f"verl's batch has prompts with {sizes[0]} and with {sizes[-1]} answers; groups must "
            "be equal"
        )
    return torch.tensor([row for group in places.values() for row in group]), sizes[0]


def _core() -> Any:
    try:
        import verl
        from verl.trainer.ppo import core_algos
    except ImportError as error:
        raise BadInput(
            f"our parts in verl's trainer need verl {VERSION}: pip install 'verl=={VERSION}.*' "
            f"({error})"
        ) from error
    if not verl.__version__.startswith(f"{VERSION}."):
        raise BadInput(f"verl {verl.__version__} is installed, the adaptor is for {VERSION}")
    return core_algos
