"""How much better an action was than expected, and what continuous time makes of that.

Time comes first. Nothing is differentiated except `martingale_loss` and `moments`; the trainer
detaches the rest.
"""

from __future__ import annotations

from meritree.objectives._namespace import Array, check
from meritree.objectives._scan import reverse_terms
from meritree.objectives.td import goes_on


def gae(
    r_t: Array,
    discount_t: Array | float,
    v_tm1: Array,
    v_t: Array,
    last_t: Array | bool,
    lambda_t: Array | float,
) -> Array:
    """A_t = delta_t + discount_t lambda_t A_{t+1}, delta_t = r_t + discount_t v_t - v_tm1.

    Ends of episodes are told apart: at a termination discount_t is 0 and nothing follows; at a
    truncation discount_t stays gamma, ``last_t`` is True, and v_t is the value of the last state
    really reached, so that the delta bootstraps while the sum stops.

    Args:
        r_t: [T, ...].
        discount_t: gamma (1 - terminated), [T, ...] or a number.
        v_tm1: values of the states acted in, [T, ...].
        v_t: values of the states reached, before any reset, [T, ...].
        last_t: booleans [T, ...], terminated or truncated; False when no episode ends.
        lambda_t: in [0, 1], [T, ...] or a number; 0 is the TD error, 1 Monte Carlo minus v_tm1.

    Returns:
        [T, ...]; adding v_tm1 gives the lambda-return, the critic's target.

    Source: Schulman et al. (2016), arXiv:1506.02438, eq. 16.
    """
    xp = check(
        "gae", r_t=(r_t, "T ..."), discount_t=(discount_t, "T ... or number"),
        v_tm1=(v_tm1, "T ..."), v_t=(v_t, "T ..."), last_t=(last_t, "bool T ... or number"),
        lambda_t=(lambda_t, "T ... or number"),
    )  # fmt: skip
    delta = r_t + discount_t * v_t - v_tm1

    def terms(x: Array, discount: Array, lam: Array, last: Array) -> tuple[Array, Array]:
        return x, discount * lam * goes_on(xp, last, x)

    inputs = (delta, discount_t, lambda_t, last_t)
    return reverse_terms(xp, terms, inputs, xp.zeros_like(r_t[0, ...]))


def standardise(advantage: Array, epsilon: float = 1e-8) -> Array:
    """(A - mean) / (std + epsilon) over all entries, as PPO does per batch. Any shape."""
    xp = check("standardise", advantage=(advantage, "..."))
    return (advantage - xp.mean(advantage)) / (xp.std(advantage) + epsilon)


def mixed_baseline(v: Array, v_prior: Array, alpha: Array | float) -> Array:
    """(1 - alpha) v + alpha v_prior: a critic being learned and a prior computation. [...] each.

    As a baseline (lambda = 1) it leaves the policy gradient unbiased for every alpha.

    Args:
        v: [...].
        v_prior: [...].
        alpha: in [0, 1], trust in the prior; a number or [...].
    """
    check("mixed_baseline", v=(v, "..."), v_prior=(v_prior, "..."), alpha=(alpha, "... or number"))
    return v + alpha * (v_prior - v)


def best_mixture(returns: Array, v: Array, v_prior: Array) -> Array:
    """The alpha in [0, 1] for which `mixed_baseline` fits the returns best in least squares.

    clip(<G - v, v_prior - v> / |v_prior - v|^2, 0, 1), and 0 where prior and critic agree.

    Args:
        returns: observed returns G, [...].
        v: [...].
        v_prior: [...].

    Returns:
        An array without axes.
    """
    xp = check("best_mixture", returns=(returns, "..."), v=(v, "..."), v_prior=(v_prior, "..."))
    gap = v_prior - v
    size = xp.sum(gap * gap)
    safe = xp.where(size > 0.0, size, xp.ones_like(size))
    return xp.clip(xp.sum((returns - v) * gap) / safe, 0.0, 1.0)


def martingale_increments(v: Array, reward_dt: Array) -> Array:
    """dM_k = J(t_{k+1}, X_{k+1}) - J(t_k, X_k) + r_k dt: of mean 0 exactly where J is the value.

    Args:
        v: J along the paths, [T+1, ...]; its last entry is the known terminal payment.
        reward_dt: running reward times the step length, [T, ...].

    Returns:
        [T, ...].

    Source: Jia and Zhou (2022), arXiv:2108.06655.
    """
    check("martingale_increments", v=(v, "T+1 ..."), reward_dt=(reward_dt, "T ..."))
    return v[1:, ...] - v[:-1, ...] + reward_dt


def martingale_loss(v_tm1: Array, to_go_sg: Array, dt: Array | float) -> Array:
    """sum_k (h(X_T) + reward still to come - J(t_k, X_k))^2 dt / 2 along each path.

    Args:
        v_tm1: J at the times t_0 .. t_{T-1}, [T, ...].
        to_go_sg: realised rewards after each of them, terminal payment included, [T, ...].
        dt: step length, a number or [T, ...].

    Returns:
        [...], one per path. Its gradient is Monte Carlo regression on the mesh.

    Source: Jia and Zhou (2022), arXiv:2108.06655 (martingale loss).
    """
    xp = check(
        "martingale_loss", v_tm1=(v_tm1, "T ..."), to_go_sg=(to_go_sg, "T ..."),
        dt=(dt, "T ... or number"),
    )  # fmt: skip
    return 0.5 * xp.sum((to_go_sg - v_tm1) ** 2 * dt, axis=0)


def moments(test_sg: Array, increments: Array) -> Array:
    """sum_k xi_k dM_k for each test process: all 0 in mean when J is the value (orthogonality).

    xi = grad J gives TD(0), `traces` of it TD(lambda); for J linear in its parameters the zero is
    LSTD.

    Args:
        test_sg: test processes at the left end of each step, [T, ..., D].
        increments: dM, [T, ...].

    Returns:
        [..., D].

    Source: Jia and Zhou (2022), arXiv:2108.06655 (orthogonality conditions).
    """
    xp = check("moments", test_sg=(test_sg, "T ... D"), increments=(increments, "T ..."))
    return xp.sum(test_sg * xp.expand_dims(increments, axis=-1), axis=0)


def traces(x: Array, decay: float) -> Array:
    """e_k = x_k + decay e_{k-1}, the eligibility trace forward in time. [T, ...] -> [T, ...].

    Args:
        x: [T, ...].
        decay: gamma lambda, or lambda^dt in continuous time.
    """
    xp = check("traces", x=(x, "T ..."))

    def terms(x: Array) -> tuple[Array, float]:
        return x, decay

    backwards = reverse_terms(xp, terms, (xp.flip(x, axis=0),), xp.zeros_like(x[0, ...]))
    return xp.flip(backwards, axis=0)
