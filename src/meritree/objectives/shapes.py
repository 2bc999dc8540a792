"""Reward shapes: what is done to the rewards of responses before advantages are made of them.

Functions of arrays, [B] in and out unless said otherwise; rows of one prompt are neighbours.
Nothing here is differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from meritree.objectives._namespace import Array, Namespace, check
from meritree.objectives.group_advantages import group
from meritree.objectives.rows import grouped, positive, within
from meritree.objectives.special import log_sigmoid, logsumexp, sigmoid

# Least-squares polynomial of degree 5 through sigma at 100 points on [-5, 5]: x, x^3, x^5.
_SIGMOID_FIT = (2.28788512e-01, -1.01309121e-02, 2.02669170e-04)
# The 85th percentile of a standard normal.
_Z85 = 1.0364333894937896


def par(reward: Array, ref_reward: Array, k: float = 1.0) -> Array:
    """mean_m sigma(k (r - r_ref^m)): the chance to beat the reference's answers, in (0, 1).

    Preference As Reward, Fu et al. 2025 (arXiv 2502.18770), as in the released code (k = 1).
    Bounded and steepest at r = r_ref, so that a reward model's extremes are not worth chasing.

    Args:
        reward: [B].
        ref_reward: rewards of M answers of the reference to the same prompt, [B, M].
        k: > 0.
    """
    xp = _reference("par", reward, ref_reward)
    positive("par", k=k)
    return xp.mean(sigmoid(k * (reward[:, None] - ref_reward)), axis=-1)


def centred(reward: Array, ref_reward: Array) -> Array:
    """r minus the mean reward of the reference's answers (PAR's baselines). [B], [B, M] -> [B]."""
    xp = _reference("centred", reward, ref_reward)
    return reward - xp.mean(ref_reward, axis=-1)


def relative_tanh(reward: Array, ref_reward: Array) -> Array:
    """mean_m tanh(r - r_ref^m) (PAR's baselines). [B], [B, M] -> [B]."""
    xp = _reference("relative_tanh", reward, ref_reward)
    return xp.mean(xp.tanh(reward[:, None] - ref_reward), axis=-1)


def relative_arctan(reward: Array, ref_reward: Array) -> Array:
    """mean_m arctan(r - r_ref^m) (PAR's baselines). [B], [B, M] -> [B]."""
    xp = _reference("relative_arctan", reward, ref_reward)
    return xp.mean(xp.atan(reward[:, None] - ref_reward), axis=-1)


def relative_polynomial(reward: Array, ref_reward: Array) -> Array:
    """mean_m p(r - r_ref^m), p the fifth-order fit of sigma on [-5, 5], 0 and 1 outside.

    PAR's baselines, `calculate_relative_fitted_poly`. [B], [B, M] -> [B].
    """
    xp = _reference("relative_polynomial", reward, ref_reward)
    x = reward[:, None] - ref_reward
    first, third, fifth = _SIGMOID_FIT
    p = 0.5 + x * (first + x**2 * (third + x**2 * fifth))
    p = xp.where(x <= -5.0, xp.zeros_like(p), xp.where(x >= 5.0, xp.ones_like(p), p))
    return xp.mean(p, axis=-1)


def slow_then_fast(reward: Array, ref_reward: Array, shift: float = 3.0) -> Array:
    """`par` steepest ``shift`` above the reference (PAR's baselines, `reward_sgfc`)."""
    return par(reward - shift, ref_reward)


def log_sigmoid_centred(reward: Array, ref_reward: Array) -> Array:
    """log sigma(r - q), q the 85th percentile of a normal fitted to the reference's rewards.

    Wang et al. 2024 (arXiv 2402.00742), constants of PAR's baselines. [B], [B, M >= 2] -> [B].
    """
    xp = _reference("log_sigmoid_centred", reward, ref_reward)
    spread = xp.std(ref_reward, axis=-1, correction=1) + 1e-5
    return log_sigmoid(reward - xp.mean(ref_reward, axis=-1) - _Z85 * spread)


def length_penalty(reward: Array, length: Array, free: float, per_token: float) -> Array:
    """r - per_token * max(0, length - free) (PAR's `len_penalty`). [B], [B] -> [B]."""
    xp = check("length_penalty", reward=(reward, "B"), length=(length, "B"))
    within("length_penalty", 0.0, math.inf, free=free, per_token=per_token)
    return reward - per_token * xp.clip(length - free, min=0.0)


def length_vs_correct(
    length: Array, correct: Array, size: int, cap: float = 1.0, slack: float = 0.2
) -> Array:
    """-cap min(1, max(0, |L - L*| / L* - slack)), L* the mean length of the group's right answers.

    0 for groups without one. A term to add to a reward; for HARMO (Gulhane and Indurthi 2025,
    arXiv 2510.05283) after the abstract: that the penalty is relative to right answers, capped
    and has a temperature is theirs, this formula is not checked.

    Args:
        length, correct: [B]; correct is 0 or 1.
        size: G, rows a prompt.
        cap: > 0, largest penalty.
        slack: >= 0, relative difference that costs nothing.
    """
    xp = check("length_vs_correct", length=(length, "B"), correct=(correct, "B"))
    positive("length_vs_correct", cap=cap)
    within("length_vs_correct", 0.0, math.inf, slack=slack)
    lengths, right = (grouped("length_vs_correct", x, size) for x in (length, correct))
    count = xp.sum(right, axis=1, keepdims=True)
    usual = xp.sum(lengths * right, axis=1, keepdims=True) / xp.clip(count, min=1.0)
    off = xp.abs(lengths - usual) / xp.clip(usual, min=1.0)
    penalty = -cap * xp.clip(off - slack, min=0.0, max=1.0)
    return xp.reshape(xp.where(count > 0.0, penalty, xp.zeros_like(penalty)), length.shape)


def value_scale(correct: Array, prompt_value: Array, alpha: float = 10.0) -> Array:
    """(1 + min(alpha v, 1)) * correct, v the prompt's value in [0, 1]: RLEV.

    Yu et al. 2025 (arXiv 2510.20187), equations 5 and 6 after the full text. Division by the
    group's deviation cancels it: use `rloo`, REINFORCE++ or ``std="none"``. [B], [B] -> [B].
    """
    xp = check("value_scale", correct=(correct, "B"), prompt_value=(prompt_value, "B"))
    positive("value_scale", alpha=alpha)
    return (1.0 + xp.clip(alpha * prompt_value, max=1.0)) * correct


def lens(correct: Array, logp: Array, length: Array, size: int) -> Array:
    """1 for right answers, -(1/G) p / (D - p) for wrong ones: confident mistakes cost most.

    p is the geometric mean of the tokens' probabilities; D = max(D_imp, 2 max p of the group),
    1 / D_imp = mean over the group of correct / pi_old(answer); without a right answer D = 2 max p.
    LENS (S046), theorem 1 and its practical form after the full text. Wrong answers get values in
    [-1/G, 0]. Train groups without a right answer with `group(negative=all_wrong(...),
    negative_weight=0.25)`.

    Args:
        correct: [B], 0 or 1.
        logp: log pi_old of the whole answer, [B].
        length: tokens of the answer, [B].
        size: G, rows a prompt.
    """
    xp = check("lens", correct=(correct, "B"), logp=(logp, "B"), length=(length, "B"))
    right, total, tokens = (grouped("lens", x, size) for x in (correct, logp, length))
    log_p = total / xp.clip(tokens, min=1.0)
    # log sum of 1 / pi_old over right answers; in logarithms, since pi_old of a text underflows.
    inverse = xp.where(right > 0.0, -total, xp.full_like(total, -1e30))
    log_d_imp = math.log(size) - logsumexp(inverse, axis=1)[:, None]
    log_d_max = math.log(2.0) + xp.max(log_p, axis=1, keepdims=True)
    solved = xp.max(right, axis=1, keepdims=True) > 0.0
    log_d = xp.where(solved & (log_d_imp > log_d_max), log_d_imp, log_d_max)
    # p / (D - p) = 1 / (D / p - 1); D / p >= 2 and may be huge.
    odds = 1.0 / xp.expm1(xp.clip(log_d - log_p, max=80.0))
    shaped = right - (1.0 - right) * odds / size
    return xp.reshape(shaped, correct.shape)


def dual_reconstruction(distance: Array, lam: float = 1.0) -> Array:
    """e^(-lam d): how well the hidden part of the task comes back from the answer, in (0, 1].

    DuPO, She et al. 2025 (arXiv 2508.14460) after notes with the equation. lam -> infinity is the
    indicator of d = 0. d >= 0, [...] -> [...].
    """
    xp = check("dual_reconstruction", distance=(distance, "..."))
    positive("dual_reconstruction", lam=lam)
    return xp.exp(-lam * distance)


def best_in_mode(reward: Array, mode: Array, size: int) -> Array:
    """1 for the best answers among a prompt's answers of the same mode, else 0: HGPO's r_intra.

    Jiang et al. 2025 (arXiv 2505.14631). Equal best answers all get 1. The reward of an answer's
    mode, 0 or 1, [B]; rewards [B] -> [B].
    """
    xp = check("best_in_mode", reward=(reward, "B"), mode=(mode, "int B"))
    r, m = grouped("best_in_mode", reward, size), xp.reshape(mode, (-1, size))
    worst = xp.full_like(r, -math.inf)
    best = [xp.max(xp.where(m == k, r, worst), axis=1, keepdims=True) for k in (0, 1)]
    won = xp.where(m == 1, r == best[1], r == best[0])
    return xp.reshape(xp.astype(won, reward.dtype), reward.shape)


def better_mode(reward: Array, mode: Array, size: int, delta: float = 0.2) -> Array:
    """1 for answers of the mode with the better mean reward, else 0: HGPO's r_inter.

    Thinking (mode 1) wins where its mean exceeds that of answering at once plus ``delta``; at a
    tie it does not. Jiang et al. 2025 (arXiv 2505.14631). Both modes must occur in every group.
    Rewards [B], modes [B] of 0 and 1 -> [B].
    """
    xp = check("better_mode", reward=(reward, "B"), mode=(mode, "int B"))
    r, m = grouped("better_mode", reward, size), xp.reshape(mode, (-1, size))
    share = [xp.astype(m == k, r.dtype) for k in (0, 1)]
    plain, thinking = (
        xp.sum(r * s, axis=1, keepdims=True) / xp.clip(xp.sum(s, axis=1, keepdims=True), min=1.0)
        for s in share
    )
    won = xp.where(m == 1, thinking > plain + delta, thinking <= plain + delta)
    return xp.reshape(xp.astype(won, reward.dtype), reward.shape)


def normalise_then_sum(aspects: Array, weight: Array, size: int, eps: float = 1e-6) -> Array:
    """sum_k w_k (aspect_k - group mean) / (group std + eps): aspects of unlike scales (GDPO).

    The `normalize_then_sum` of TRL, before its last whitening. [B, K], [K], -> [B].
    """
    xp = check("normalise_then_sum", aspects=(aspects, "B K"), weight=(weight, "K"))
    parts = [weight[k] * group(aspects[:, k], size, eps=eps) for k in range(aspects.shape[1])]
    return xp.sum(xp.stack(parts, axis=-1), axis=-1)


def chain(*shapes: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """One shape that applies the given ones from left to right."""

    def chained(reward: Array) -> Array:
        for shape in shapes:
            reward = shape(reward)
        return reward

    return chained


def _reference(where: str, reward: Array, ref_reward: Array) -> Namespace:
    return check(where, reward=(reward, "B"), ref_reward=(ref_reward, "B M"))
