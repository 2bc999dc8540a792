"""Losses of one distribution against another: categorical, quantiles, particles."""

from __future__ import annotations

from collections.abc import Callable

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, check, namespace
from meritree.objectives.regression import _huber
from meritree.objectives.special import log_softmax, softmax

Kernel = Callable[[Array], Array]
"""k as a function of squared distances, elementwise."""


def cross_entropy(logits: Array, target_sg: Array) -> Array:
    """-sum_i target_i log softmax(logits)_i: the loss of C51, two-hot and HL-Gauss.

    Args:
        logits: [..., m].
        target_sg: probabilities, [..., m].

    Returns:
        [...], >= the entropy of the target. Its gradient is softmax(logits) - target.

    Source: Bellemare et al. (2017), arXiv:1707.06887, algorithm 1.
    """
    xp = check("cross_entropy", logits=(logits, "... m"), target_sg=(target_sg, "... m"))
    return -xp.sum(target_sg * log_softmax(logits), axis=-1)


def cramer(logits: Array, target_sg: Array, support: Array) -> Array:
    """int (F - G)^2 dz of the two laws on the support, the squared Cramer distance.

    Args:
        logits: [..., m].
        target_sg: probabilities, [..., m].
        support: increasing, [m].

    Returns:
        [...]. Unlike the cross-entropy it knows how far apart two bins are, and its sample
        gradients are unbiased.

    Source: Bellemare et al. (2017), arXiv:1705.10743; Rowland et al. (2018), arXiv:1802.08163.
    """
    xp = check(
        "cramer", logits=(logits, "... m"), target_sg=(target_sg, "... m"), support=(support, "m")
    )
    gap = xp.cumulative_sum(softmax(logits) - target_sg, axis=-1)[..., :-1]
    return xp.sum(gap**2 * (support[1:] - support[:-1]), axis=-1)


def quantile_huber(
    theta: Array,
    tau: Array,
    target_sg: Array,
    kappa: float = 1.0,
    weight_sg: Array | None = None,
) -> Array:
    """sum_i mean_j |tau_i - 1[u_ij < 0]| huber_kappa(u_ij) / kappa, u_ij = target_j - theta_i.

    Args:
        theta: quantiles, [..., N].
        tau: their levels in (0, 1), [N].
        target_sg: samples or quantiles of the target, [..., M].
        kappa: where the square becomes linear; 0 is the pinball loss itself.
        weight_sg: probabilities of the targets, [..., M]; equal ones when left out.

    Returns:
        [...].

    Source: Dabney et al. (2018), arXiv:1710.10044, eq. 10, there without 1/kappa (as in rlax);
    with it, as in IQN (arXiv:1806.06923), kappa -> 0 is the pinball loss.
    """
    xp = check(
        "quantile_huber", theta=(theta, "... N"), tau=(tau, "N"),
        target_sg=(target_sg, "... M"), weight_sg=(weight_sg, "... M"),
    )  # fmt: skip
    u = xp.expand_dims(target_sg, axis=-2) - xp.expand_dims(theta, axis=-1)
    size = _huber(xp, u, kappa) / kappa if kappa > 0.0 else xp.abs(u)
    level = xp.expand_dims(tau, axis=-1)
    loss = xp.where(u < 0.0, 1.0 - level, level) * size
    if weight_sg is None:
        return xp.sum(xp.mean(loss, axis=-1), axis=-1)
    return xp.sum(loss * xp.expand_dims(weight_sg, axis=-2), axis=(-2, -1))


def gaussian_kernels(scales: tuple[float, ...], weights: tuple[float, ...]) -> Kernel:
    """d -> sum_i weights_i exp(-d / scales_i), a mixture of Gaussian kernels.

    Args:
        scales: > 0, in units of squared distance.
        weights: > 0, one per scale.
    """
    if not scales or len(scales) != len(weights) or min(*scales, *weights, 1.0) <= 0.0:
        raise BadInput(
            f"gaussian_kernels: {len(scales)} scales and {len(weights)} weights; "
            "give as many of both, all above 0"
        )

    def kernel(d: Array) -> Array:
        xp = namespace(d)
        total = weights[0] * xp.exp(-d / scales[0])
        for scale, weight in zip(scales[1:], weights[1:], strict=True):
            total = total + weight * xp.exp(-d / scale)
        return total

    return kernel


_MD3QN_SCALES = tuple(2.0**k for k in range(-8, 9))
MD3QN_KERNEL = gaussian_kernels(_MD3QN_SCALES, tuple(scale**0.5 for scale in _MD3QN_SCALES))
"""17 bandwidths 2^-8 .. 2^8 with weights sqrt(bandwidth), as in the released MD3QN."""


def energy_kernel(d: Array) -> Array:
    """-sqrt(d): with it `mmd2` is the energy distance (d = 0 is given a flat slope)."""
    xp = namespace(d)
    apart = d > 0.0
    return -xp.where(apart, xp.sqrt(xp.where(apart, d, xp.ones_like(d))), xp.zeros_like(d))


def mmd2(
    x: Array, y_sg: Array, kernel: Kernel = MD3QN_KERNEL, weight_sg: Array | None = None
) -> Array:
    """mean k(x, x') + mean k(y, y') - 2 mean k(x, y), the biased squared MMD of two samples.

    Distances are means over channels of squared differences, so that the joint law of all
    channels is compared, not each margin.

    Args:
        x: N particles of C channels, [..., N, C].
        y_sg: M particles, [..., M, C].
        kernel: positive definite, of squared distances (`energy_kernel`: conditionally so).
        weight_sg: probabilities of the particles y, [..., M]; equal ones when left out.

    Returns:
        [...], >= 0 up to rounding; 0 where the samples agree. Memory grows with (N + M)^2 C.

    Source: Gretton et al. (2012), eq. 5; Zhang et al. (2021), arXiv:2110.13578 (MD3QN).
    """
    xp = check("mmd2", x=(x, "... N C"), y_sg=(y_sg, "... M C"), weight_sg=(weight_sg, "... M"))

    def kernels(a: Array, b: Array) -> Array:
        gap = xp.expand_dims(a, axis=-2) - xp.expand_dims(b, axis=-3)
        return kernel(xp.mean(gap * gap, axis=-1))

    own, other, cross = kernels(x, x), kernels(y_sg, y_sg), kernels(x, y_sg)
    if weight_sg is not None:
        # Scaled so that the means below are the weighted sums.
        w = weight_sg * y_sg.shape[-2]
        cross = cross * xp.expand_dims(w, axis=-2)
        other = other * xp.expand_dims(w, axis=-2) * xp.expand_dims(w, axis=-1)
    both = (-2, -1)
    return xp.mean(own, axis=both) + xp.mean(other, axis=both) - 2.0 * xp.mean(cross, axis=both)
