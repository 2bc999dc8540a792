"""Targets of temporal-difference learning: what a value should have been, one step or many.

Nothing here is differentiated: the trainer detaches the result and passes it to a loss as
``target_sg``. ``discount_t`` is gamma (1 - terminated), and gamma^n (1 - terminated) for n steps
summed beforehand; ``last_t`` marks the steps after which another episode begins (terminated or
truncated), False for none.
"""

from __future__ import annotations

from typing import NamedTuple

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, Namespace, check, take
from meritree.objectives._scan import reverse_linear, reverse_terms
from meritree.objectives.special import log_softmax, logsumexp, softmax


def td_target(r_t: Array, discount_t: Array | float, v_t: Array) -> Array:
    """r_t + discount_t v_t, elementwise; v_t is V(s_t), or Q(s_t, a_t) for SARSA. [...] each.

    Source: Sutton and Barto (2018), eq. 6.2.
    """
    check("td_target", r_t=(r_t, "..."), discount_t=(discount_t, "... or number"), v_t=(v_t, "..."))
    return r_t + discount_t * v_t


def q_learning_target(r_t: Array, discount_t: Array | float, q_t: Array) -> Array:
    """r_t + discount_t max_a q_t(a).

    Args:
        r_t: [...].
        discount_t: [...] or a number.
        q_t: action values at time t, [..., A].

    Source: Watkins and Dayan (1992).
    """
    xp = _check_q("q_learning_target", r_t, discount_t, q_t=q_t)
    return r_t + discount_t * xp.max(q_t, axis=-1)


def double_q_target(r_t: Array, discount_t: Array | float, q_t: Array, selector_t: Array) -> Array:
    """r_t + discount_t q_t(argmax_a selector_t(a)): one network chooses, the other judges.

    Args:
        r_t: [...].
        discount_t: [...] or a number.
        q_t: action values that judge (target network), [..., A].
        selector_t: action values that choose (online network), [..., A]; the first of ties.

    Source: van Hasselt et al. (2016), arXiv:1509.06461.
    """
    xp = _check_q("double_q_target", r_t, discount_t, q_t=q_t, selector_t=selector_t)
    return r_t + discount_t * take(xp, q_t, xp.argmax(selector_t, axis=-1))


def expected_sarsa_target(r_t: Array, discount_t: Array | float, q_t: Array, pi_t: Array) -> Array:
    """r_t + discount_t sum_a pi_t(a) q_t(a); uniform pi_t is the target of HRA.

    Args:
        r_t: [...].
        discount_t: [...] or a number.
        q_t: action values, [..., A].
        pi_t: probabilities of the target policy, [..., A].

    Source: van Seijen et al. (2009), expected SARSA.
    """
    xp = _check_q("expected_sarsa_target", r_t, discount_t, q_t=q_t, pi_t=pi_t)
    return r_t + discount_t * xp.sum(pi_t * q_t, axis=-1)


def soft_q_target(r_t: Array, discount_t: Array | float, q_t: Array, temperature: float) -> Array:
    """r_t + discount_t tau log sum_a exp(q_t(a) / tau), the maximum-entropy backup.

    Args:
        r_t: [...].
        discount_t: [...] or a number.
        q_t: action values, [..., A].
        temperature: tau > 0, in units of reward; tau -> 0 is `q_learning_target`.

    Source: Haarnoja et al. (2017), arXiv:1702.08165, section 3.
    """
    _check_q("soft_q_target", r_t, discount_t, q_t=q_t)
    return r_t + discount_t * temperature * logsumexp(q_t / temperature)


def soft_actor_target(
    r_t: Array,
    discount_t: Array | float,
    q_t: Array,
    log_pi_t: Array,
    temperature: Array | float,
) -> Array:
    """r_t + discount_t (min_e q_t[e] - alpha log pi_t), the clipped double target of SAC.

    Args:
        r_t: [...].
        discount_t: [...] or a number.
        q_t: values of the ensemble at a sampled next action, [E, ...].
        log_pi_t: log density of that action, [...].
        temperature: alpha >= 0.

    Source: Haarnoja et al. (2018), arXiv:1812.05905.
    """
    xp = check(
        "soft_actor_target", r_t=(r_t, "..."), discount_t=(discount_t, "... or number"),
        q_t=(q_t, "E ..."), log_pi_t=(log_pi_t, "..."),
    )  # fmt: skip
    return r_t + discount_t * (xp.min(q_t, axis=0) - temperature * log_pi_t)


def munchausen_target(
    r_t: Array,
    discount_t: Array | float,
    q_tm1: Array,
    a_tm1: Array,
    q_t: Array,
    temperature: float,
    alpha: float = 0.9,
    floor: float = -1.0,
) -> Array:
    """r_t + alpha clip(tau log pi(a_tm1|s_tm1), floor, 0) + discount_t sum_a pi (q_t - tau log pi).

    pi = softmax(q / tau), both from the target network. Implicitly regularised by the KL
    divergence (alpha tau) to the previous policy and by the entropy ((1 - alpha) tau).

    Args:
        r_t: [...].
        discount_t: [...] or a number.
        q_tm1: action values of the state acted in, [..., A].
        a_tm1: the action taken, integers [...].
        q_t: action values of the next state, [..., A].
        temperature: tau > 0.
        alpha: in [0, 1]; 0 is `soft_q_target`.
        floor: <= 0, bounds the log-policy bonus from below.

    Source: Vieillard et al. (2020), arXiv:2007.14430.
    """
    xp = check(
        "munchausen_target", r_t=(r_t, "..."), discount_t=(discount_t, "... or number"),
        q_tm1=(q_tm1, "... A"), a_tm1=(a_tm1, "int ..."), q_t=(q_t, "... A"),
    )  # fmt: skip
    bonus = temperature * take(xp, log_softmax(q_tm1 / temperature), a_tm1)
    soft_v_t = temperature * logsumexp(q_t / temperature)  # = sum_a pi (q - tau log pi)
    return r_t + alpha * xp.clip(bonus, floor, 0.0) + discount_t * soft_v_t


def differential_target(r_t: Array, reward_rate: Array | float, v_t: Array) -> Array:
    """r_t - reward_rate + v_t, for the average reward per step instead of a discount. [...] each.

    Source: Sutton and Barto (2018), eq. 10.10.
    """
    check(
        "differential_target",
        r_t=(r_t, "..."),
        reward_rate=(reward_rate, "... or number"),
        v_t=(v_t, "..."),
    )
    return r_t - reward_rate + v_t


def diffused_target(r_t: Array, gamma: float, reward_samples: Array) -> Array:
    """r_t + gamma mean_k r(s_k) / (1 - gamma), states s_k drawn from the discounted occupancy.

    Args:
        r_t: reward of the step, [...].
        gamma: in [0, 1).
        reward_samples: rewards at K states sampled from the occupancy after the next state,
            [..., K].

    Source: V(s) = E_{s+ ~ rho(.|s)} r(s+) / (1 - gamma), Diffused Value Function (system S028).
    """
    xp = check("diffused_target", r_t=(r_t, "..."), reward_samples=(reward_samples, "... K"))
    return r_t + gamma / (1.0 - gamma) * xp.mean(reward_samples, axis=-1)


def lambda_returns(
    r_t: Array,
    discount_t: Array | float,
    v_t: Array,
    last_t: Array | bool,
    lambda_t: Array | float,
) -> Array:
    """G_t = r_t + discount_t ((1 - lambda_t) v_t + lambda_t G_{t+1}), backwards in time.

    v_t = V(s_t) gives TD(lambda), max_a q_t Q(lambda), q_t(a_t) SARSA(lambda). Where ``last_t``,
    the return stops and bootstraps from v_t, the value of the state that the step led to (not of
    the first state of the next episode). lambda = 1 is Monte Carlo, lambda = 0 `td_target`.

    Args:
        r_t: [T, ...].
        discount_t: [T, ...] or a number.
        v_t: value of the state after each step, [T, ...].
        last_t: booleans [T, ...], or False.
        lambda_t: in [0, 1], [T, ...] or a number.

    Returns:
        [T, ...].

    Source: Sutton and Barto (2018), section 12.1.
    """
    xp = check(
        "lambda_returns", r_t=(r_t, "T ..."), discount_t=(discount_t, "T ... or number"),
        v_t=(v_t, "T ..."), last_t=(last_t, "bool T ... or number"),
        lambda_t=(lambda_t, "T ... or number"),
    )  # fmt: skip

    def terms(r: Array, discount: Array, v: Array, lam: Array, last: Array) -> tuple[Array, Array]:
        mix = lam * goes_on(xp, last, r)
        return r + discount * (1.0 - mix) * v, discount * mix

    return reverse_terms(xp, terms, (r_t, discount_t, v_t, lambda_t, last_t), v_t[-1, ...])


def n_step_returns(
    r_t: Array, discount_t: Array | float, v_t: Array, last_t: Array | bool, n: int
) -> Array:
    """r_t + discount_t (r_{t+1} + ... + discount_{t+n-1} v_{t+n-1}), shorter where a bound is near.

    The sum ends early at ``last_t`` and at the end of the arrays, and bootstraps there.

    Args:
        r_t: [T, ...].
        discount_t: [T, ...] or a number.
        v_t: value of the state after each step, [T, ...].
        last_t: booleans [T, ...], or False.
        n: >= 1; 1 is `td_target`, T or more is Monte Carlo.

    Returns:
        [T, ...].

    Source: Sutton and Barto (2018), eq. 7.1.
    """
    xp = check(
        "n_step_returns", r_t=(r_t, "T ..."), discount_t=(discount_t, "T ... or number"),
        v_t=(v_t, "T ..."), last_t=(last_t, "bool T ... or number"),
    )  # fmt: skip
    if n < 1:
        raise BadInput(f"n_step_returns: n is {n}, must be at least 1")
    mix = goes_on(xp, last_t, r_t)
    one_step = r_t + discount_t * v_t
    returns = one_step
    # After k rounds: the k-step return, made of the reward and the (k-1)-step return one later.
    for _ in range(min(n, r_t.shape[0]) - 1):
        later = xp.concat([returns[1:, ...], v_t[-1:, ...]], axis=0)
        returns = r_t + discount_t * ((1.0 - mix) * v_t + mix * later)
    return returns


def off_policy_returns(
    r_t: Array,
    discount_t: Array | float,
    v_t: Array,
    q_t: Array,
    c_t: Array,
    last_t: Array | bool,
) -> Array:
    """G_t = r_t + discount_t (v_t + c_t (G_{t+1} - q_t)), corrected for another policy's actions.

    The trace c_t of the action taken at time t decides the method: lambda min(1, pi/mu) Retrace,
    pi/mu importance sampling, lambda pi tree backup, lambda Q(lambda) of Harutyunyan et al.

    Args:
        r_t: [T, ...].
        discount_t: [T, ...] or a number.
        v_t: sum_a pi(a|s_t) q(s_t, a), [T, ...].
        q_t: q(s_t, a_t) of the action taken at time t, [T, ...]; the last entry is not used.
        c_t: traces, >= 0, [T, ...]; the last entry is not used.
        last_t: booleans [T, ...], or False.

    Returns:
        [T, ...]: targets for q(s_{t-1}, a_{t-1}).

    Source: Munos et al. (2016), arXiv:1606.02647.
    """
    xp = check(
        "off_policy_returns", r_t=(r_t, "T ..."), discount_t=(discount_t, "T ... or number"),
        v_t=(v_t, "T ..."), q_t=(q_t, "T ..."), c_t=(c_t, "T ..."),
        last_t=(last_t, "bool T ... or number"),
    )  # fmt: skip
    trace = c_t * goes_on(xp, last_t, r_t)
    trace = xp.concat([trace[:-1, ...], xp.zeros_like(trace[-1:, ...])], axis=0)

    def terms(r: Array, discount: Array, v: Array, q: Array, c: Array) -> tuple[Array, Array]:
        return r + discount * (v - c * q), discount * c

    inputs = (r_t, discount_t, v_t, q_t, trace)
    return reverse_terms(xp, terms, inputs, xp.zeros_like(r_t[0, ...]))


def retrace_trace(pi_a: Array, mu_a: Array, lambda_: float = 1.0) -> Array:
    """lambda min(1, pi(a) / mu(a)), the trace of Retrace; mu(a) > 0. [...] each."""
    xp = check("retrace_trace", pi_a=(pi_a, "..."), mu_a=(mu_a, "..."))
    return lambda_ * xp.clip(pi_a / mu_a, max=1.0)


class VTrace(NamedTuple):
    """What V-trace gives to the critic and to the actor."""

    target: Array  # [T, ...], for V(s_{t-1})
    advantage: Array  # [T, ...], of the action a_{t-1}


def v_trace(
    r_t: Array,
    discount_t: Array | float,
    v_tm1: Array,
    v_t: Array,
    rho_tm1: Array,
    last_t: Array | bool,
    lambda_: float = 1.0,
    rho_max: float = 1.0,
    rho_max_actor: float = 1.0,
) -> VTrace:
    """Targets and advantages of an actor-critic whose data come from an older policy.

    vs = V + sum_k (prod c) rho delta with c = lambda min(1, rho), rho clipped at rho_max; the
    advantage is rho (r + discount vs' - V), where vs' = lambda vs(next) + (1 - lambda) V(next).

    Args:
        r_t: [T, ...].
        discount_t: [T, ...] or a number.
        v_tm1: V of the states acted in, [T, ...].
        v_t: V of the states reached, [T, ...].
        rho_tm1: pi(a|s) / mu(a|s) of the actions taken, [T, ...].
        last_t: booleans [T, ...], or False.
        lambda_: in [0, 1].
        rho_max: clip of the ratios in the target, decides the fixed point.
        rho_max_actor: clip of the ratio in the advantage.

    Source: Espeholt et al. (2018), arXiv:1802.01561, section 4.1 and remark 2.
    """
    xp = check(
        "v_trace", r_t=(r_t, "T ..."), discount_t=(discount_t, "T ... or number"),
        v_tm1=(v_tm1, "T ..."), v_t=(v_t, "T ..."), rho_tm1=(rho_tm1, "T ..."),
        last_t=(last_t, "bool T ... or number"),
    )  # fmt: skip
    go_on = goes_on(xp, last_t, r_t)
    delta = xp.clip(rho_tm1, max=rho_max) * (r_t + discount_t * v_t - v_tm1)
    trace = discount_t * (lambda_ * go_on) * xp.clip(rho_tm1, max=1.0)
    gain = reverse_linear(xp, delta, trace, xp.zeros_like(r_t[0, ...]))
    later = xp.concat([gain[1:, ...], xp.zeros_like(gain[:1, ...])], axis=0)
    next_v = v_t + lambda_ * go_on * later
    rho = xp.clip(rho_tm1, max=rho_max_actor)
    return VTrace(v_tm1 + gain, rho * (r_t + discount_t * next_v - v_tm1))


def greedy_policy(q: Array) -> Array:
    """Probability 1 on the first best action. [..., A] -> [..., A]."""
    xp = check("greedy_policy", q=(q, "... A"))
    best = xp.expand_dims(xp.argmax(q, axis=-1), axis=-1)
    return xp.astype(xp.arange(q.shape[-1]) == best, q.dtype)


def softmax_policy(q: Array, temperature: float) -> Array:
    """softmax(q / temperature), temperature > 0. [..., A] -> [..., A]."""
    check("softmax_policy", q=(q, "... A"))
    return softmax(q / temperature)


def goes_on(xp: Namespace, last_t: Array | bool, like: Array) -> Array | float:
    """1 where the episode goes on after the step and 0 where it does not, in the dtype of like."""
    if isinstance(last_t, bool):
        return 0.0 if last_t else 1.0
    return xp.astype(~last_t, like.dtype)


def _check_q(where: str, r_t: Array, discount_t: Array | float, **q: Array) -> Namespace:
    return check(
        where,
        r_t=(r_t, "..."),
        discount_t=(discount_t, "... or number"),
        **{name: (array, "... A") for name, array in q.items()},
    )
