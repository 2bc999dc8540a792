"""Losses of models of the world: how likely a transition is, how much its error matters."""

from __future__ import annotations

from meritree.objectives._namespace import Array, check


def gaussian_nll(mean: Array, log_variance: Array, target_sg: Array) -> Array:
    """sum_d ((target - mean)^2 / variance + log variance) / 2, log(2 pi) / 2 left out.

    [..., D] three times -> [...]. Source: Chua et al. (2018), arXiv:1805.12114 (PETS).
    """
    xp = check(
        "gaussian_nll", mean=(mean, "... D"), log_variance=(log_variance, "... D"),
        target_sg=(target_sg, "... D"),
    )  # fmt: skip
    error = (target_sg - mean) ** 2
    return 0.5 * xp.sum(error * xp.exp(-log_variance) + log_variance, axis=-1)


def value_gradient(prediction: Array, target_sg: Array, gradient_sg: Array) -> Array:
    """mean_m sum_d g_md^2 (prediction_d - target_d)^2: errors count where the value notices them.

    Args:
        prediction: predicted next state, [..., D].
        target_sg: the true next state, [..., D].
        gradient_sg: dV_m/ds' at the true next state, one row per critic, [..., M, D].

    Returns:
        [...]; all-one gradients give the squared error, one linear V an upper bound over D of
        `iter_vaml`.

    Source: Voelcker et al. (2022), arXiv:2204.01464 (VaGraM).
    """
    xp = check(
        "value_gradient", prediction=(prediction, "... D"), target_sg=(target_sg, "... D"),
        gradient_sg=(gradient_sg, "... M D"),
    )  # fmt: skip
    error = xp.expand_dims((prediction - target_sg) ** 2, axis=-2)
    return xp.mean(xp.sum(gradient_sg**2 * error, axis=-1), axis=-1)


def iter_vaml(prediction: Array, target_sg: Array, gradient_sg: Array) -> Array:
    """mean_m (sum_d g_md (prediction_d - target_d))^2, IterVAML to first order around the data.

    Args:
        prediction: predicted next state, [..., D].
        target_sg: the true next state, [..., D].
        gradient_sg: dV_m/ds' at the true next state, [..., M, D].

    Returns:
        [...]; exactly (V(prediction) - V(target))^2 for linear V.

    Source: Farahmand (2018), Iterative value-aware model learning; Voelcker et al. (2022).
    """
    xp = check(
        "iter_vaml", prediction=(prediction, "... D"), target_sg=(target_sg, "... D"),
        gradient_sg=(gradient_sg, "... M D"),
    )  # fmt: skip
    error = xp.expand_dims(prediction - target_sg, axis=-2)
    return xp.mean(xp.sum(gradient_sg * error, axis=-1) ** 2, axis=-1)


def clipped_rows(gradient: Array, quantile: float) -> Array:
    """Gradients whose norm exceeds the batch's quantile, shortened to it. [B, ..., D] -> same.

    Source: Voelcker et al. (2022), arXiv:2204.01464: the paper's rule, 0.95 (in the released code
    a second condition switches it off).
    """
    xp = check("clipped_rows", gradient=(gradient, "B ... D"))
    size = xp.sqrt(xp.sum(gradient**2, axis=-1, keepdims=True))
    flat = xp.sort(xp.reshape(size, (-1,)))
    bound = flat[min(flat.shape[0] - 1, int(quantile * flat.shape[0]))]
    return gradient * xp.clip(bound / xp.maximum(size, xp.full_like(size, 1e-30)), max=1.0)
