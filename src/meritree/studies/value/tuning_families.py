"""The families of tuning problems of the study tuning-complexity, each with its exact dual.

Draws instances from a generator; knows nothing of samples, of tuning or of checks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from meritree.value.tuning import Steps

THRESHOLD, READOUT, GRAPH = "neuron with threshold", "activation, readout", "graph kernel"
FAMILIES = (THRESHOLD, READOUT, GRAPH)
RIDGE = 0.1
NEURONS = 4
NODES = 24


class Instance(NamedTuple):
    """A dual with what theory allows it: pieces at most ``bound``."""

    dual: Steps
    bound: int


@cache
def pool(family: str, size: int) -> tuple[tuple[Instance, ...], Steps]:
    """``size`` instances, whose uniform mixture is the law that is sampled, and its mean dual."""
    import numpy as np

    from meritree.value.tuning import mean_dual

    make = {THRESHOLD: threshold_instance, READOUT: readout_instance, GRAPH: graph_instance}[family]
    rng = np.random.default_rng([72, FAMILIES.index(family)])
    instances = tuple(make(rng) for _ in range(size))
    return instances, mean_dual([instance.dual for instance in instances])


def threshold_instance(rng: Any, points: int = 20) -> Instance:
    """max_w accuracy of sign(sigma_alpha(z) - w), either sign: f is constant between lines.

    z is a random projection of three features of the breast cancer data, sigma_alpha(z) =
    alpha relu(z) + (1 - alpha) z^2/2. Only the order of the outputs matters, so the dual jumps
    where two of them cross: at most points (points - 1)/2 times.
    """
    import numpy as np

    from meritree.value.tuning import crossings, dual_pieces

    x, y = _cancer()
    rows = rng.choice(len(x), size=points, replace=False)
    z = x[rows][:, rng.choice(x.shape[1], size=3, replace=False)] @ rng.normal(size=3)
    labels = y[rows]
    at_zero, at_one = 0.5 * z * z, np.clip(z, 0.0, None)

    def accuracy(alpha: float) -> float:
        ordered = labels[np.argsort(alpha * at_one + (1.0 - alpha) * at_zero, kind="stable")]
        below = np.concatenate([[0], np.cumsum(ordered)])  # positives below each threshold
        right = below[-1] - below + (np.arange(points + 1) - below)
        return float(np.maximum(right, points - right).max() / points)

    dual = dual_pieces(accuracy, crossings(at_zero, at_one), 0.0, 1.0)
    return Instance(dual, points * (points - 1) // 2 + 1)


def readout_instance(rng: Any, points: int = 20) -> Instance:
    """Validation accuracy of a ridge readout of four random neurons, on two kinds of digits.

    sigma_alpha = alpha relu + (1 - alpha) tanh; the readout is trained on other images.
    """
    import numpy as np

    x, y = _digits()
    first, second = rng.choice(10, size=2, replace=False)
    rows = np.concatenate(
        [
            rng.choice(np.flatnonzero(y == kind), size=points, replace=False)
            for kind in (first, second)
        ]
    )
    z = x[rows] @ rng.normal(size=(x.shape[1], NEURONS)) / 4.0
    labels = np.repeat([1.0, -1.0], points)
    order = rng.permutation(2 * points)
    hidden = (np.clip(z, 0.0, None)[order], np.tanh(z)[order])

    def features(alpha: float) -> NDArray[Any]:
        mixed: NDArray[Any] = alpha * hidden[0] + (1.0 - alpha) * hidden[1]
        return mixed

    return ridge_instance(features, labels[order], points, 1)


def graph_instance(rng: Any, trained: int = 12) -> Instance:
    """Accuracy on the other nodes of a two-block graph, kernel (s_uv + alpha)^2 on its edges.

    One layer: the mean of neighbours' features, weighted by the kernel (their similarity plus
    alpha, squared), and a ridge readout trained on ``trained`` nodes.
    """
    import numpy as np

    labels = np.repeat([1.0, -1.0], NODES // 2)
    chance = np.where(labels[:, None] == labels, 0.45, 0.15)
    upper = np.triu(rng.uniform(size=chance.shape) < chance, 1)
    edges = (upper | upper.T | np.eye(NODES, dtype=bool)) / 1.0
    x = rng.normal(size=(NODES, 3)) + 0.5 * labels[:, None]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    similar = unit @ unit.T
    edges = edges / edges.sum(axis=1, keepdims=True)
    order = rng.permutation(NODES)

    def features(alpha: float) -> NDArray[Any]:
        mixed: NDArray[Any] = ((edges * (similar + alpha) ** 2) @ x)[order]
        return mixed

    return ridge_instance(features, labels[order], trained, 2)


def ridge_instance(
    features: Callable[[float], NDArray[Any]], labels: NDArray[Any], trained: int, degree: int
) -> Instance:
    """The exact dual of validation accuracy, features being polynomials of alpha.

    A prediction times det(H'H + ridge) is a polynomial of alpha of degree 2 * degree * width, so
    its sign changes at most that often.
    """
    import numpy as np

    from meritree.value.tuning import dual_pieces, polynomial_roots

    def predictions(alpha: float) -> tuple[NDArray[Any], float]:
        h = features(alpha)
        gram = h[:trained].T @ h[:trained] + RIDGE * np.eye(h.shape[1])
        w = np.linalg.solve(gram, h[:trained].T @ labels[:trained])
        return h[trained:] @ w, float(np.linalg.det(gram))

    def numerator(alpha: float) -> NDArray[Any]:
        values, determinant = predictions(alpha)
        scaled: NDArray[Any] = values * determinant
        return scaled

    def accuracy(alpha: float) -> float:
        return float(np.mean(np.sign(predictions(alpha)[0]) == labels[trained:]))

    top = 2 * degree * features(0.5).shape[1]
    jumps = polynomial_roots(numerator, top, 0.0, 1.0)
    return Instance(dual_pieces(accuracy, jumps, 0.0, 1.0), top * (len(labels) - trained) + 1)


@cache
def _cancer() -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return (data.data - data.data.mean(axis=0)) / data.data.std(axis=0), data.target


@cache
def _digits() -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data / 8.0 - 1.0, data.target
