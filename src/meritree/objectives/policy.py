"""Losses and measures of a policy, from log-probabilities, values and detached advantages."""

from __future__ import annotations

import math

from meritree.objectives._namespace import Array, check, take
from meritree.objectives.special import log_softmax, logsumexp, softmax, softplus

_LOG_2PI = math.log(2.0 * math.pi)


def categorical_log_prob(logits: Array, a: Array) -> Array:
    """log softmax(logits)_a. [..., A], integers [...] -> [...]."""
    xp = check("categorical_log_prob", logits=(logits, "... A"), a=(a, "int ..."))
    return take(xp, logits, a) - logsumexp(logits)


def categorical_entropy(logits: Array) -> Array:
    """-sum_a p_a log p_a in nats, p = softmax(logits). [..., A] -> [...]."""
    xp = check("categorical_entropy", logits=(logits, "... A"))
    log_p = log_softmax(logits)
    return -xp.sum(xp.exp(log_p) * log_p, axis=-1)


def categorical_kl(logits: Array, other_logits: Array) -> Array:
    """KL(softmax(logits) || softmax(other_logits)) in nats. [..., A] twice -> [...]."""
    xp = check("categorical_kl", logits=(logits, "... A"), other_logits=(other_logits, "... A"))
    log_p = log_softmax(logits)
    return xp.sum(xp.exp(log_p) * (log_p - log_softmax(other_logits)), axis=-1)


def gaussian_log_prob(a: Array, mean: Array, log_std: Array) -> Array:
    """log density of independent normals, summed over D. [..., D] three times -> [...]."""
    xp = check(
        "gaussian_log_prob", a=(a, "... D"), mean=(mean, "... D"), log_std=(log_std, "... D")
    )
    z = (a - mean) * xp.exp(-log_std)
    return -0.5 * xp.sum(z * z + 2.0 * log_std + _LOG_2PI, axis=-1)


def gaussian_entropy(log_std: Array) -> Array:
    """Entropy of independent normals in nats, summed over D. [..., D] -> [...]."""
    xp = check("gaussian_entropy", log_std=(log_std, "... D"))
    return xp.sum(log_std + 0.5 * (_LOG_2PI + 1.0), axis=-1)


def gaussian_kl(mean: Array, log_std: Array, other_mean: Array, other_log_std: Array) -> Array:
    """KL(N(mean, std) || N(other_mean, other_std)), summed over D. [..., D] each -> [...]."""
    xp = check(
        "gaussian_kl", mean=(mean, "... D"), log_std=(log_std, "... D"),
        other_mean=(other_mean, "... D"), other_log_std=(other_log_std, "... D"),
    )  # fmt: skip
    ratio = 2.0 * (log_std - other_log_std)
    shift = ((mean - other_mean) * xp.exp(-other_log_std)) ** 2
    return 0.5 * xp.sum(xp.expm1(ratio) - ratio + shift, axis=-1)


def tanh_log_det(u: Array) -> Array:
    """sum_d log(1 - tanh(u_d)^2), to subtract from the log density of u for that of tanh(u).

    Written 2 (log 2 - u - softplus(-2u)), which does not underflow. [..., D] -> [...].

    Source: Haarnoja et al. (2018), arXiv:1812.05905, appendix C.
    """
    xp = check("tanh_log_det", u=(u, "... D"))
    return xp.sum(2.0 * (math.log(2.0) - u - softplus(-2.0 * u)), axis=-1)


def reinforce(log_pi: Array, advantage_sg: Array) -> Array:
    """-advantage log pi(a|s). [...] twice -> [...].

    With weights in place of advantages it is weighted behaviour cloning (`weights.awr`: AWR, IQL).

    Source: Williams (1992).
    """
    check("reinforce", log_pi=(log_pi, "..."), advantage_sg=(advantage_sg, "..."))
    return -advantage_sg * log_pi


def all_action(logits: Array, q_sg: Array) -> Array:
    """-sum_a pi(a|s) (q(a) - sum_b pi_sg(b) q(b)): the policy gradient without sampling an action.

    The baseline has no gradient in expectation and is left out: the loss is -sum_a pi(a) q(a).

    Args:
        logits: [..., A].
        q_sg: action values, [..., A].

    Source: Sutton et al. (1999); Srinivasan et al. (2018), arXiv:1810.09026 (QPG).
    """
    xp = check("all_action", logits=(logits, "... A"), q_sg=(q_sg, "... A"))
    return -xp.sum(softmax(logits) * q_sg, axis=-1)


def surrogate(log_pi: Array, log_mu_sg: Array, advantage_sg: Array) -> Array:
    """-exp(log_pi - log_mu) advantage: what TRPO and NPG improve inside their trust region.

    Args:
        log_pi: of the policy being improved at the actions taken, [...].
        log_mu_sg: of the policy that took them, [...].
        advantage_sg: [...].

    Source: Schulman et al. (2015), arXiv:1502.05477, eq. 14.
    """
    xp = check(
        "surrogate", log_pi=(log_pi, "..."), log_mu_sg=(log_mu_sg, "..."),
        advantage_sg=(advantage_sg, "..."),
    )  # fmt: skip
    return -xp.exp(log_pi - log_mu_sg) * advantage_sg


def ppo_clip(log_pi: Array, log_mu_sg: Array, advantage_sg: Array, epsilon: float = 0.2) -> Array:
    """-min(ratio A, clip(ratio, 1 - epsilon, 1 + epsilon) A). [...] each -> [...].

    Args:
        log_pi: of the policy being improved at the actions taken, [...].
        log_mu_sg: of the policy that took them, [...].
        advantage_sg: [...].
        epsilon: > 0.

    Source: Schulman et al. (2017), arXiv:1707.06347, eq. 7.
    """
    xp = check(
        "ppo_clip", log_pi=(log_pi, "..."), log_mu_sg=(log_mu_sg, "..."),
        advantage_sg=(advantage_sg, "..."),
    )  # fmt: skip
    ratio = xp.exp(log_pi - log_mu_sg)
    clipped = xp.clip(ratio, 1.0 - epsilon, 1.0 + epsilon)
    return -xp.minimum(ratio * advantage_sg, clipped * advantage_sg)


def ppo_value_clip(v: Array, v_old_sg: Array, target_sg: Array, epsilon: float) -> Array:
    """max of squared(v) and squared(v kept within epsilon of its old value). [...] each -> [...].

    Source: the released PPO (openai/baselines); not in the paper.
    """
    xp = check(
        "ppo_value_clip", v=(v, "..."), v_old_sg=(v_old_sg, "..."), target_sg=(target_sg, "...")
    )
    near = v_old_sg + xp.clip(v - v_old_sg, -epsilon, epsilon)
    return 0.5 * xp.maximum((v - target_sg) ** 2, (near - target_sg) ** 2)


def clip_fraction(log_pi: Array, log_mu: Array, epsilon: float = 0.2) -> Array:
    """Share of ratios outside [1 - epsilon, 1 + epsilon], a number to log. [...] -> no axes."""
    xp = check("clip_fraction", log_pi=(log_pi, "..."), log_mu=(log_mu, "..."))
    outside = xp.abs(xp.exp(log_pi - log_mu) - 1.0) > epsilon
    return xp.mean(xp.astype(outside, log_pi.dtype))


def mirror_ascent(logits: Array, advantage: Array, eta: Array | float) -> Array:
    """Logits of pi(a) exp(eta A(a)) / Z: natural policy gradient of a softmax policy, exactly.

    Args:
        logits: [..., A].
        advantage: advantages or values, [..., A]; a constant per state changes nothing.
        eta: step size >= 0, a number.

    Returns:
        Normalised log-probabilities, [..., A].

    Source: Kakade (2001); Agarwal et al. (2021), arXiv:1908.00261, lemma 15.
    """
    check("mirror_ascent", logits=(logits, "... A"), advantage=(advantage, "... A"))
    return log_softmax(logits + eta * advantage)


def soft_actor(log_pi: Array, q: Array, temperature: Array | float) -> Array:
    """temperature log pi(a|s) - q(s, a) at a reparameterised action a, as in SAC.

    Args:
        log_pi: differentiable through the action, [...].
        q: likewise, minimum over the ensemble, [...].
        temperature: alpha >= 0, detached; a number or [...].

    Source: Haarnoja et al. (2018), arXiv:1812.05905.
    """
    check(
        "soft_actor",
        log_pi=(log_pi, "..."),
        q=(q, "..."),
        temperature=(temperature, "... or number"),
    )
    return temperature * log_pi - q


def temperature_loss(log_temperature: Array, log_pi_sg: Array, target_entropy: float) -> Array:
    """-exp(log_temperature) (log pi + target_entropy): raises alpha while the entropy is too low.

    Args:
        log_temperature: an array without axes, or [...].
        log_pi_sg: [...].
        target_entropy: in nats; minus the number of action dimensions is common.

    Source: Haarnoja et al. (2018), arXiv:1812.05905, section 5.
    """
    xp = check(
        "temperature_loss", log_temperature=(log_temperature, "... or number"),
        log_pi_sg=(log_pi_sg, "..."),
    )  # fmt: skip
    return -xp.exp(log_temperature) * (log_pi_sg + target_entropy)


def dpg(a: Array, dq_da_sg: Array) -> Array:
    """-sum_d a_d dQ/da_d: its gradient in a is -dQ/da, the deterministic policy gradient.

    Args:
        a: the policy's action, [..., D].
        dq_da_sg: gradient of Q at that action, [..., D].

    Source: Silver et al. (2014), eq. 9.
    """
    xp = check("dpg", a=(a, "... D"), dq_da_sg=(dq_da_sg, "... D"))
    return -xp.sum(a * dq_da_sg, axis=-1)


def exponential_utility(gain: Array, alpha: float) -> Array:
    """exp(-alpha gain) / alpha, the loss of an actor that maximises an exponential utility.

    Args:
        gain: r + V(s') - V(s), or a return, differentiable through the action, [...].
        alpha: risk aversion, > 0.
    """
    xp = check("exponential_utility", gain=(gain, "..."))
    return xp.exp(-alpha * gain) / alpha
