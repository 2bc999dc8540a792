"""Values of a chain from its episodes: temporal differences against Monte Carlo, and theory.

Estimators take `Episodes` and know no transition probability; `pooling_coefficient` and
`crossing_time` are computed from the chain itself and say how the estimators will compare.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meritree.errors import BadInput
from meritree.exact.mdp import MDP, Array, chain, policy_table
from meritree.exact.sampling import Episodes
from meritree.exact.solve import check_ends, evaluate
from meritree.objectives.advantages import traces


def mc_first_visit(episodes: Episodes, states: int, gamma: float = 1.0, *, sets: int = 1) -> Array:
    """[S] mean return from the first visit of each state; NaN where it was never visited.

    Args:
        sets: the episodes are that many data sets of equal size, one after the other; with more
            than one, [sets, S].

    Raises:
        BadInput: the episodes do not divide into that many sets.
    """
    G = episodes.returns(gamma)
    n, T = G.shape
    when, rows = np.full((n, states), T), np.arange(n)
    for t in reversed(range(T)):
        now = np.where(episodes.taken[:, t], t, when[rows, episodes.states[:, t]])
        when[rows, episodes.states[:, t]] = now
    seen = when < T
    first = np.take_along_axis(G, np.where(seen, when, 0), axis=1) * seen
    shape = (sets, _size(n, sets), states)
    total, count = first.reshape(shape).sum(axis=1), seen.reshape(shape).sum(axis=1)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return np.asarray(mean if sets > 1 else mean[0])


def certainty_equivalence(
    episodes: Episodes, states: int, gamma: float = 1.0, *, sets: int = 1
) -> Array:
    """[S] values of the estimated chain: what TD(0) converges to. NaN where a state was never left.

    The same numbers as `td_lambda` with lambda = 0, for many data sets at once.

    Args:
        sets: as for `mc_first_visit`.

    Raises:
        BadInput: the episodes do not divide, or a visited state never leads to an end.
    """
    size = _size(len(episodes.states), sets)
    which = np.broadcast_to(np.arange(len(episodes.states))[:, None] // size, episodes.taken.shape)
    s = which[episodes.taken] * states + episodes.states[:, :-1][episodes.taken]
    after = episodes.states[:, 1:][episodes.taken]
    counts = np.bincount(s * states + after, minlength=sets * states * states)
    N = counts.reshape(sets, states, states).astype(float)
    paid = np.bincount(s, episodes.rewards[episodes.taken], minlength=sets * states)
    left = N.sum(axis=2)
    seen = left > 0.0
    A = np.where(seen, left, 1.0)[:, :, None] * np.eye(states) - gamma * N
    try:
        values = np.linalg.solve(A, paid.reshape(sets, states, 1))[..., 0]
    except np.linalg.LinAlgError:
        raise BadInput(
            "the estimated chain has states that never lead to an end: take gamma < 1, or more "
            "episodes"
        ) from None
    values = np.where(seen, values, np.nan)
    return np.asarray(values if sets > 1 else values[0])


def _size(n: int, sets: int) -> int:
    if sets < 1 or n % sets:
        raise BadInput(f"{n} episodes do not make {sets} data sets of equal size")
    return n // sets


def lstd(
    episodes: Episodes,
    phi: ArrayLike,
    gamma: float = 1.0,
    *,
    lambda_: float = 0.0,
    ridge: float = 0.0,
) -> Array:
    """[d] weights of LSTD(lambda): A theta = b, A = sum z (phi - gamma phi')', b = sum z r.

    z is the eligibility trace of phi. For one feature a state, lambda = 0 is the value of the
    estimated chain (certainty equivalence, what TD(0) converges to) and lambda = 1 every-visit
    Monte Carlo. Bradtke and Barto (1996), Boyan (2002).

    Args:
        phi: [S, d] features; an end's row must be 0, as its value is.
        ridge: added to A's diagonal.

    Raises:
        BadInput: A is singular (a state never left, dependent features).
    """
    phi = np.asarray(phi, dtype=float)
    if lambda_ > 0.0 and gamma > 0.0:
        A, b = _traced(episodes, phi, gamma, lambda_)
    else:
        counts, paid = _counted(episodes, len(phi))
        A = phi.T @ (counts.sum(axis=1)[:, None] * phi - gamma * counts @ phi)
        b = phi.T @ paid
    A = A + ridge * np.eye(len(A))
    if np.linalg.matrix_rank(A) < len(A):
        raise BadInput(
            "LSTD: the system is singular; leave out features of states that no episode visits, "
            "or add a ridge above 0"
        )
    return np.linalg.solve(A, b)


def _counted(episodes: Episodes, states: int) -> tuple[Array, Array]:
    """[S, S] how often each step was taken, [S] the reward summed over steps from each state."""
    s, after = episodes.states[:, :-1][episodes.taken], episodes.states[:, 1:][episodes.taken]
    counts = np.bincount(s * states + after, minlength=states * states)
    paid = np.bincount(s, episodes.rewards[episodes.taken], minlength=states)
    return counts.reshape(states, states).astype(float), np.asarray(paid, dtype=float)


def _traced(episodes: Episodes, phi: Array, gamma: float, lambda_: float) -> tuple[Array, Array]:
    """A [d, d] and b [d] with eligibility traces."""
    here = phi[episodes.states[:, :-1]] * episodes.taken[..., None]  # [n, T, d]
    after = phi[episodes.states[:, 1:]] * episodes.taken[..., None]
    z = np.moveaxis(traces(np.moveaxis(here, 1, 0), gamma * lambda_), 0, 1)
    flat = (z * episodes.taken[..., None]).reshape(-1, phi.shape[1])
    A = flat.T @ (here - gamma * after).reshape(-1, phi.shape[1])
    return A, flat.T @ episodes.rewards.reshape(-1)


def td_lambda(
    episodes: Episodes, states: int, gamma: float = 1.0, *, lambda_: float = 0.0
) -> Array:
    """[S] the values that TD(lambda) converges to on these episodes repeated for ever.

    `lstd` with one feature a visited state; NaN where a state was never left.
    """
    seen = np.unique(episodes.states[:, :-1][episodes.taken])
    phi = np.zeros((states, len(seen)))
    phi[seen, np.arange(len(seen))] = 1.0
    values = np.full(states, np.nan)
    values[seen] = lstd(episodes, phi, gamma, lambda_=lambda_)
    return values


def online_td(
    episodes: Episodes, states: int, gamma: float = 1.0, *, power: float = 1.0, start: float = 0.0
) -> Array:
    """[S] values after one pass of TD(0), steps 1/visits^power of each state.

    Args:
        power: 1 averages; smaller forgets the start sooner (0.5 < power <= 1 converges).
        start: first value of every state.
    """
    V, count = [start] * states, [0] * states
    left = np.asarray(~np.isin(np.arange(states), episodes.states[:, :-1][episodes.taken]))
    for s in np.flatnonzero(left):
        V[int(s)] = 0.0  # ends, and states never left
    steps = zip(
        episodes.states[:, :-1][episodes.taken].tolist(),
        episodes.rewards[episodes.taken].tolist(),
        episodes.states[:, 1:][episodes.taken].tolist(),
        strict=True,
    )
    for s, r, after in steps:
        count[s] += 1
        V[s] += (r + gamma * V[after] - V[s]) / count[s] ** power
    return np.asarray(V)


class Pooling(NamedTuple):
    """How well TD and Monte Carlo will do on many episodes of a chain.

    Attributes:
        coefficient: [S] C(s) in (0, 1], the limit of MSE_TD(s) / MSE_MC(s); NaN where a state is
            an end, cannot be reached, or its return is certain.
        td: [S] n MSE of TD, n the number of episodes.
        mc: [S] n MSE of first-visit Monte Carlo.
    """

    coefficient: Array
    td: Array
    mc: Array


def pooling_coefficient(mdp: MDP, policy: ArrayLike | None = None) -> Pooling:
    """The inverse trajectory pooling coefficient of every state (gamma = 1).

    With eta = (I - P)^-1, nu = mu0 eta the expected visits, p_s the chance to visit s, nu_s(x) =
    p_s eta_sx the visits to x after s, and sigma^2(x) = Var(r + V(x')):

        C(s) = sum_x nu_s(x)^2 / nu(x) sigma^2(x) / sum_x nu_s(x) sigma^2(x).

    nu_s(x) / nu(x) is the share of the visits to x that come after s (the paper's coupling
    coefficient): what TD learns from all of them, Monte Carlo learns from that share only. The
    formula is the delta method's; it gives the paper's 1/W on `models.layered_chain`.

    Raises:
        BadInput: gamma < 1, or the policy never ends from some state.

    Source: Cheikhi and Russo (2023), arXiv 2301.13289.
    """
    if mdp.gamma != 1.0:
        raise BadInput(f"gamma = {mdp.gamma}: pooling is worked out for gamma = 1")
    moves, _ = chain(mdp, policy)
    check_ends(moves, mdp.ends)
    live = np.flatnonzero(~mdp.ends)
    eta = np.linalg.inv(np.eye(len(live)) - moves[np.ix_(live, live)])
    nu = mdp.first[live] @ eta
    p = nu / np.diag(eta)
    sigma2 = step_variance(mdp, policy)[live]
    nu_s = p[:, None] * eta
    share = np.divide(nu_s**2, nu, out=np.zeros_like(nu_s), where=nu > 0.0)
    coefficient, td, mc = (np.full(mdp.S, np.nan) for _ in range(3))
    reached = p > 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        top, bottom = share @ sigma2, nu_s @ sigma2
        coefficient[live] = np.where(reached & (bottom > 0.0), top / bottom, np.nan)
        td[live] = np.where(reached, top / p**2, np.nan)
        mc[live] = np.where(reached, bottom / p**2, np.nan)
    return Pooling(coefficient, td, mc)


def step_variance(mdp: MDP, policy: ArrayLike | None = None) -> Array:
    """[S] variance of r + gamma V(s') over one step of a policy, actions included."""
    V = evaluate(mdp, policy)
    joint = policy_table(mdp, policy)[:, :, None] * mdp.P
    worth = mdp.rewards + mdp.gamma * V
    mean = (joint * worth).sum(axis=(1, 2))
    return np.asarray((joint * (worth - mean[:, None, None]) ** 2).sum(axis=(1, 2)))


def crossing_time(P: ArrayLike, ends: ArrayLike | None = None) -> Array:
    """[S, S] expected steps until two independent copies of a chain are in the same state.

    Started at s and s'; all ends count as one state. Infinite where they may never meet. Errors of
    TD in V(s) - V(s') come from the steps before the meeting only, as both estimates use the same
    numbers after it. (Our reading of the paper's crossing time: copies that meet at the same time;
    a crossing of paths at different times would be shorter still.)

    Args:
        P: [S, S].
        ends: [S] booleans; None: no end.
    """
    from scipy.sparse import csr_array, eye_array, kron
    from scipy.sparse.linalg import spsolve

    P = np.asarray(P, dtype=float)
    n = len(P)
    over = np.zeros(n, dtype=bool) if ends is None else np.asarray(ends, dtype=bool)
    met = np.eye(n, dtype=bool) | (over[:, None] & over[None, :])
    apart = np.flatnonzero(~met.reshape(-1))
    joint = csr_array(kron(csr_array(P), csr_array(P)))[apart][:, apart]
    moves = joint.astype(bool)
    meets = _spread(moves, 1.0 - np.asarray(joint.sum(axis=1)).reshape(-1) > 1e-12)
    # Whoever may enter a pair that never meets waits for ever in expectation.
    ok = np.flatnonzero(~_spread(moves, ~meets))
    time = np.full(len(apart), np.inf)
    if len(ok):
        system = (eye_array(len(apart)) - joint).tocsr()[ok][:, ok].tocsc()
        time[ok] = spsolve(system, np.ones(len(ok)))
    full = np.zeros(n * n)
    full[apart] = time
    return full.reshape(n, n)


def _spread(moves: Any, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All pairs from which a marked one can be reached."""
    while True:
        grown = marked | (moves @ marked)
        if (grown == marked).all():
            return np.asarray(grown)
        marked = grown
