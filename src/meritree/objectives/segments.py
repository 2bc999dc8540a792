"""What a stretch of behaviour is worth to whoever compares two of them: statistics over segments.

A preference is a link (`links`) of the difference of two statistics. Rewards, values and advantages
of the steps come from the caller's models; padding steps have mask 0.
"""

from __future__ import annotations

from meritree.objectives._namespace import Array, check
from meritree.objectives.rows import tokens, within


def partial_return(reward: Array, mask: Array) -> Array:
    """sum_t r_t: [B, T] -> [B]. Christiano et al. 2017 (arXiv 1706.03741), equation 1."""
    xp, mask = tokens("partial_return", reward, mask)
    return xp.sum(reward * mask, axis=-1)


def discounted_return(reward: Array, mask: Array, gamma: float) -> Array:
    """sum_t gamma^t r_t, t from the segment's first step: [B, T] -> [B]."""
    xp, mask = tokens("discounted_return", reward, mask)
    within("discounted_return", 0.0, 1.0, gamma=gamma)
    time = xp.cumulative_sum(xp.ones_like(reward), axis=-1) - 1.0
    return xp.sum(reward * mask * gamma**time, axis=-1)


def minus_regret(
    reward: Array, first_value: Array, last_value: Array, mask: Array, gamma: float = 1.0
) -> Array:
    """(sum_t gamma^t r_t + gamma^T V*(s_T)) - V*(s_0): minus the deterministic regret, <= 0.

    Knox et al. 2022 (arXiv 2206.02231), equation 3: a segment is preferred for how well its
    decisions were made, not for how lucky its states are.

    Args:
        reward, mask: [B, T].
        first_value, last_value: optimal values of the first state and of the one after the last
            step (0 where that is terminal), [B].
        gamma: in [0, 1].

    Returns:
        [B].
    """
    xp, mask = tokens(
        "minus_regret", reward, mask, first=(first_value, "B"), last=(last_value, "B")
    )
    within("minus_regret", 0.0, 1.0, gamma=gamma)
    later = last_value * gamma ** xp.sum(mask, axis=-1)
    return discounted_return(reward, mask, gamma) + later - first_value


def advantage_sum(advantage: Array, mask: Array) -> Array:
    """sum_t A*(s_t, a_t): minus the general regret, <= 0 for optimal advantages. [B, T] -> [B].

    Knox et al. 2022 (arXiv 2206.02231), equation 4; equal to `minus_regret` where transitions are
    deterministic and gamma is 1.
    """
    xp, mask = tokens("advantage_sum", advantage, mask)
    return xp.sum(advantage * mask, axis=-1)


def inverse_bellman(q_tm1: Array, v_t_sg: Array, discount_t: Array | float, mask: Array) -> Array:
    """sum_t (Q(s, a) - gamma V(s')), the reward that Q implies, over a segment: IPL.

    Hejna and Sadigh 2023 (arXiv 2305.15363), equation 4; the sum is undiscounted, V detached, as
    in the released code. [B, T] each (or a number for the discount) -> [B].
    """
    xp, mask = tokens(
        "inverse_bellman",
        q_tm1,
        mask,
        v_t_sg=(v_t_sg, "B T"),
        discount_t=(discount_t, "B T or number"),
    )
    return xp.sum(implied_reward(q_tm1, v_t_sg, discount_t) * mask, axis=-1)


def implied_reward(q_tm1: Array, v_t_sg: Array, discount_t: Array | float) -> Array:
    """Q(s, a) - gamma V(s'): the inverse of the Bellman operator. [...] each -> [...]."""
    check(
        "implied_reward",
        q_tm1=(q_tm1, "..."),
        v_t_sg=(v_t_sg, "..."),
        discount_t=(discount_t, "... or number"),
    )
    return q_tm1 - discount_t * v_t_sg


def linear(theta: Array, features: Array, mask: Array) -> Array:
    """theta . sum_t phi_t, a linear reward's return: [F], [B, T, F] -> [B]."""
    xp = check("linear", theta=(theta, "F"), features=(features, "B T F"))
    return partial_return(xp.sum(features * theta, axis=-1), mask)


def chi2(reward: Array, mask: Array, coef: float = 0.5) -> Array:
    """coef r^2 averaged over the steps of each row: keeps implied rewards small. [B, T] -> [B].

    IPL's regulariser (released: 0.5 on D4RL, 3 on Meta-World); a convex penalty holds rewards to
    about 1 / (2 coef).
    """
    xp, mask = tokens("chi2", reward, mask)
    within("chi2", 0.0, float("inf"), coef=coef)
    count = xp.clip(xp.sum(mask, axis=-1), min=1.0)
    return coef * xp.sum(reward**2 * mask, axis=-1) / count
