"""Advantages of whole responses: compared within a group, within the batch, or by a critic.

Rows of one prompt are neighbours, G of them (`rows.grouped`). Nothing here is differentiated:
the results are inputs of a policy loss. Masks may have any dtype.
"""

from __future__ import annotations

import math
from typing import Literal

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, Namespace, check
from meritree.objectives._scan import reverse_linear
from meritree.objectives.rows import grouped, positive, tokens, within


def group(
    reward: Array,
    size: int,
    std: Literal["group", "batch", "none"] = "group",
    eps: float = 1e-6,
    negative: Array | None = None,
    negative_weight: float = 1.0,
) -> Array:
    """(r - mean of the group) / (std + eps): GRPO; without the division Dr. GRPO, HARMO, RL-PLUS.

    Shao et al. 2024 (arXiv 2402.03300), section 4.1.2, standard deviations with n - 1 as in verl
    and TRL. Rows of ``negative`` groups are centred only and weighted (LENS, S046).

    Args:
        reward: [B].
        size: G, rows a prompt.
        std: divide by the group's deviation, by the batch's, or not at all. The group's cancels
            any factor of the prompt (S027).
        eps: keeps groups of equal rewards at 0.
        negative: [B] booleans, as from `all_wrong`, or None.
        negative_weight: factor of negative rows (LENS: 0.25).

    Returns:
        [B]; the sum over every group is 0.

    Raises:
        BadInput: B is not a multiple of G >= 2, or unknown ``std``.
    """
    xp = check("group", reward=(reward, "B"), negative=(negative, "bool B"))
    r = grouped("group", reward, size)
    centred = r - xp.mean(r, axis=1, keepdims=True)
    if std == "group":
        scaled = centred / (xp.std(r, axis=1, correction=1, keepdims=True) + eps)
    elif std == "batch":
        scaled = centred / (xp.std(r, correction=1) + eps)
    elif std == "none":
        scaled = centred
    else:
        raise BadInput(f"group: std is {std!r}; use 'group', 'batch' or 'none'")
    if negative is None:
        return xp.reshape(scaled, reward.shape)
    return xp.where(
        negative,
        negative_weight * xp.reshape(centred, reward.shape),
        xp.reshape(scaled, reward.shape),
    )


def all_wrong(correct: Array, size: int) -> Array:
    """True for every row of a group in which no answer is right: [B] of 0/1 -> booleans [B]."""
    xp = check("all_wrong", correct=(correct, "B"))
    solved = xp.max(grouped("all_wrong", correct, size), axis=1, keepdims=True)
    rows = xp.broadcast_to(solved, (solved.shape[0], size))
    return xp.reshape(rows <= 0.0, correct.shape)


def rloo(reward: Array, size: int) -> Array:
    """r_i minus the mean of the group's other rewards: REINFORCE leave-one-out.

    Ahmadian et al. 2024 (arXiv 2402.14740), equation 6; G / (G - 1) times the centred reward.
    [B] -> [B].
    """
    xp = check("rloo", reward=(reward, "B"))
    r = grouped("rloo", reward, size)
    centred = r - xp.mean(r, axis=1, keepdims=True)
    return xp.reshape(centred * (size / (size - 1.0)), reward.shape)


def reinforce_pp(token_reward: Array, mask: Array, gamma: float = 1.0) -> Array:
    """Discounted rewards-to-go, whitened over the tokens of the batch: REINFORCE++.

    Hu et al. 2025 (arXiv 2501.03262), with the KL penalty, if any, already in ``token_reward``.
    [B, T] -> [B, T].
    """
    xp, mask = tokens("reinforce_pp", token_reward, mask)
    within("reinforce_pp", 0.0, 1.0, gamma=gamma)
    x = xp.permute_dims(token_reward * mask, (1, 0))
    returns = reverse_linear(xp, x, xp.full_like(x, gamma), xp.zeros_like(x[0, ...]))
    return whiten(xp.permute_dims(returns, (1, 0)), mask)


def reinforce_pp_baseline(reward: Array, mask: Array, size: int) -> Array:
    """Reward minus its group's mean, whitened over the tokens of the batch: [B] -> [B, T].

    The baseline variant of REINFORCE++ (Hu et al. 2025), as in verl.
    """
    xp = check("reinforce_pp_baseline", reward=(reward, "B"))
    r = grouped("reinforce_pp_baseline", reward, size)
    centred = xp.reshape(r - xp.mean(r, axis=1, keepdims=True), reward.shape)
    spread = xp.broadcast_to(centred[:, None], mask.shape)
    return whiten(spread, mask)


def pairwise_group(pair_reward: Array, eps: float = 1e-6) -> Array:
    """Advantages from judgements of pairs: (mean_j d_ij) / sqrt(sum_ij d_ij^2 / (2 G (G-1)) + eps).

    d_ij > 0 where i beat j; antisymmetric, zero diagonal. With d_ij = r_i - r_j this is `group`
    up to eps. Think-RM (Hong et al. 2025), `compute_grpo_difference_advantage` of the released
    code.

    Args:
        pair_reward: [N, G, G].

    Returns:
        [N * G], neighbours belong together.

    Raises:
        BadInput: not square, or G < 2.
    """
    xp = check("pairwise_group", pair_reward=(pair_reward, "N G G"))
    prompts, size, _ = pair_reward.shape
    if size < 2:
        raise BadInput(f"pairwise_group: groups of {size}; pairs need 2 or more")
    square = xp.sum(pair_reward**2, axis=(1, 2), keepdims=True)[:, :, 0]
    scale = xp.sqrt(square / (2.0 * size * (size - 1.0)) + eps)
    return xp.reshape(xp.mean(pair_reward, axis=2) / scale, (prompts * size,))


def hybrid_mode(
    intra: Array, inter: Array, mode_token: Array, mask: Array, size: int, alpha: float = 1.0
) -> Array:
    """norm(r_intra) on all tokens + alpha norm(r_inter) on the token that chose the mode: HGPO.

    Jiang et al. 2025 (arXiv 2505.14631), both normalised as in `group`; rewards from
    `shapes.best_in_mode` and `shapes.better_mode`.

    Args:
        intra, inter: [B].
        mode_token: [B, T], non-zero at the mode token; inside ``mask``.
        mask: [B, T].
        size: G, rows a prompt, both modes together.
        alpha: weight of the choice of mode, >= 0.

    Returns:
        [B, T].
    """
    within("hybrid_mode", 0.0, math.inf, alpha=alpha)
    xp = check("hybrid_mode", intra=(intra, "B"), inter=(inter, "B"))
    like = xp.broadcast_to(intra[:, None], mask.shape)
    _, mask = tokens("hybrid_mode", like, mask)
    _, at = tokens("hybrid_mode", like, mode_token)
    own, choice = group(intra, size)[:, None], group(inter, size)[:, None]
    return (own + alpha * at * choice) * mask


def frozen_q(q: Array, mask: Array) -> Array:
    """A critic's token values, whitened: DVPO's static advantage with a frozen value model.

    Huang et al. 2025 (arXiv 2502.16944), second version, after a third party's notes. For the
    sane form of GAE with that critic call `token_gae` with `terminal_reward`; the released code
    calls it with whitened values and none, which at lambda = 1 leaves minus the value.
    [B, T] -> [B, T].
    """
    return whiten(q, mask)


def terminal_reward(value: Array, mask: Array) -> Array:
    """Rewards of tokens that pay a row's number at its last token: [B], [B, T] -> [B, T]."""
    xp = check("terminal_reward", value=(value, "B"))
    spread = xp.broadcast_to(value[:, None], mask.shape)
    _, mask = tokens("terminal_reward", spread, mask)
    after = xp.concat([mask[:, 1:], xp.zeros_like(mask[:, :1])], axis=-1)
    return spread * mask * (1.0 - after)


def token_gae(
    token_reward: Array,
    values: Array,
    mask: Array,
    lam: float | Array = 1.0,
    gamma: float = 1.0,
) -> tuple[Array, Array]:
    """Generalised advantages of tokens, and returns: A_t = delta_t + gamma lambda A_{t+1}.

    The value after the last token is 0. Schulman et al. 2016 (arXiv 1506.02438), equation 16.
    VAPO calls it twice, with `length_lambda` for the policy and 1 for the critic (decoupled GAE).

    Args:
        token_reward, values: [B, T].
        mask: [B, T], ones first, then padding.
        lam: in [0, 1], one number or one a row [B].
        gamma: in [0, 1].

    Returns:
        advantages and advantages + values, both [B, T], 0 at padding.
    """
    xp, mask = tokens("token_gae", token_reward, mask, values=(values, "B T"))
    within("token_gae", 0.0, 1.0, gamma=gamma)
    if isinstance(lam, (int, float)):
        within("token_gae", 0.0, 1.0, lam=lam)
    else:
        check("token_gae", token_reward=(token_reward, "B T"), lam=(lam, "B"))
    values = values * mask
    later = xp.concat([values[:, 1:], xp.zeros_like(values[:, :1])], axis=-1)
    delta = xp.permute_dims((token_reward + gamma * later - values) * mask, (1, 0))
    decay = gamma * lam + xp.zeros_like(delta)
    advantage = reverse_linear(xp, delta, decay, xp.zeros_like(delta[0, ...]))
    advantage = xp.permute_dims(advantage, (1, 0))
    return advantage, advantage + values


def length_lambda(length: Array, alpha: float = 0.05) -> Array:
    """1 - 1 / (alpha l), at least 0: VAPO's length-adaptive lambda, [B] -> [B].

    Chosen so that the weights of a response's errors sum to alpha l. Yu et al. 2025 (arXiv
    2504.05118), section 4.2 after notes that give the equation. For l < 1 / alpha the formula is
    negative and 0 is used: rescale alpha for short responses.
    """
    xp = check("length_lambda", length=(length, "B"))
    positive("length_lambda", alpha=alpha)
    return xp.clip(1.0 - 1.0 / (alpha * xp.clip(length, min=1.0)), min=0.0)


def whiten(x: Array, mask: Array, *, centre: bool = True, eps: float = 1e-8) -> Array:
    """(x - mean) / sqrt(variance + eps) over the batch's tokens, 0 at padding: [B, T] -> [B, T].

    Variance with n - 1. Without ``centre`` the mean is added back.
    """
    xp, mask = tokens("whiten", x, mask)
    mean, variance = _moments(xp, x, mask)
    scaled = (x - mean) / xp.sqrt(variance + eps)
    return (scaled if centre else scaled + mean) * mask


def _moments(xp: Namespace, x: Array, mask: Array) -> tuple[Array, Array]:
    n = xp.sum(mask)
    mean = xp.sum(x * mask) / xp.clip(n, min=1.0)
    return mean, xp.sum((x - mean) ** 2 * mask) / xp.clip(n - 1.0, min=1.0)
