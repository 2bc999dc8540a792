"""S034: in continuous time, which condition on a value function finds the value?

Brownian motion and an Ornstein-Uhlenbeck process with closed-form values: the martingale loss and
orthogonality conditions against the mean squared TD error, on meshes that get finer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from meritree.studies.checks import Better, Bound, Outcome, Own, show
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from meritree.exact.martingale import Family
    from meritree.stats import Interval

ML, TD0, TDL, MSTDE = "martingale loss", "TD(0)", "TD(lambda = 0.3)", "mean squared TD error"
SOUND = (ML, TD0, TDL)
BROWN, OU, POOR = "Brownian, h = x^2", "Ornstein-Uhlenbeck", "family without the value"
THETA, FAR, MESH, OFF = "theta", "largest parameter error", "change when the mesh halves", "MSVE"
MESHES = (10, 40, 160)
HALVINGS = (10, 20, 40, 80)
KAPPA, SIGMA, BETA = 1.5, 0.8, 0.5


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """One set of paths a seed, thinned to each mesh (common random numbers)."""
    import numpy as np

    paths = settings["paths"]
    rng = np.random.default_rng([seed, 34])
    W = _walk(rng, 160, paths)
    for K in MESHES:
        for system, theta in _solutions(_brownian(W[:: 160 // K])).items():
            yield Row(system, f"{BROWN}, {K} steps", THETA, float(theta[0]))
    coarse = [_solutions(_running(W[:: 160 // K])) for K in (*HALVINGS, 160)]
    for K, here, finer in zip(HALVINGS, coarse[:-1], coarse[1:], strict=True):
        for system in SOUND:
            change = float(np.abs(finer[system] - here[system]).sum())
            yield Row(system, "Brownian, running x^2", MESH, change, f"{K} steps")
    for system, theta in _solutions(_ornstein(rng, paths)).items():
        yield Row(system, OU, FAR, float(np.abs(theta - 1.0).max()))
    start = rng.standard_normal(paths)
    test = _walk(rng, 160, paths) + rng.standard_normal(paths)
    for system, theta in _solutions(_cosine(W + start)).items():
        yield Row(system, POOR, OFF, _value_error(test, theta))


def _solutions(family: Family) -> Mapping[str, NDArray[Any]]:
    from meritree.exact import martingale as m

    return {
        ML: m.martingale_loss_minimiser(family),
        TD0: m.orthogonality_solution(family, m.td0(family)),
        TDL: m.orthogonality_solution(family, m.td_lambda(family, 0.3)),
        MSTDE: m.mstde_minimiser(family),
    }


def _walk(rng: Any, K: int, paths: int) -> NDArray[Any]:
    """[K + 1, n] Brownian motion on [0, 1] from 0."""
    import numpy as np

    steps = rng.standard_normal((K, paths)) / K**0.5
    return np.concatenate([np.zeros((1, paths)), np.cumsum(steps, axis=0)])


def _left(X: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.linspace(1.0, 0.0, len(X))[:, None]


def _brownian(X: NDArray[Any]) -> Family:
    """J = x^2 + (T - t) + theta (T - t) x^2: the value at theta = 0."""
    import numpy as np

    from meritree.exact.martingale import Family

    tau = _left(X)
    return Family(X**2 + tau, (tau * X**2)[..., None], np.zeros_like(X[1:]), 1.0 / (len(X) - 1))


def _running(X: NDArray[Any]) -> Family:
    """Reward x^2 a unit of time: J = theta_1 (T - t) x^2 + theta_2 (T - t)^2, value at (1, 1/2)."""
    import numpy as np

    from meritree.exact.martingale import Family

    tau, dt = _left(X), 1.0 / (len(X) - 1)
    phi = np.stack([tau * X**2, tau**2 + 0.0 * X], axis=-1)
    return Family(0.0 * X, phi, X[:-1] ** 2 * dt, dt)


def _cosine(X: NDArray[Any]) -> Family:
    """h = cos x, value cos(x) e^{-(T - t)/2}, which no theta of this family gives."""
    import numpy as np

    from meritree.exact.martingale import Family

    tau = _left(X)
    phi = np.stack([tau * X**2, tau + 0.0 * X], axis=-1)
    return Family(np.cos(X), phi, np.zeros_like(X[1:]), 1.0 / (len(X) - 1))


def _value_error(X: NDArray[Any], theta: NDArray[Any]) -> float:
    """Mean over paths of int (J^theta - J)^2 dt."""
    import numpy as np

    from meritree.exact.martingale import values

    gap = values(_cosine(X), theta) - np.cos(X) * np.exp(-0.5 * _left(X))
    return float((gap[:-1] ** 2).mean())


def _ornstein(rng: Any, paths: int, K: int = 160) -> Family:
    """dX = -kappa X dt + sigma dW, reward x^2 discounted: J = theta_1 A x^2 + theta_2 B.

    A(tau) = (1 - e^{-(beta + 2 kappa) tau})/(beta + 2 kappa) and B(tau) = sigma^2/(2 kappa)
    ((1 - e^{-beta tau})/beta - A(tau)); the value at (1, 1). Steps are drawn exactly.
    """
    import numpy as np

    from meritree.exact.martingale import Family, discounted

    dt = 1.0 / K
    keep = np.exp(-KAPPA * dt)
    noise = SIGMA * ((1.0 - keep**2) / (2.0 * KAPPA)) ** 0.5
    X = np.zeros((K + 1, paths))
    X[0] = rng.standard_normal(paths)
    for k in range(K):
        X[k + 1] = keep * X[k] + noise * rng.standard_normal(paths)
    tau = _left(X)
    rate = BETA + 2.0 * KAPPA
    A = (1.0 - np.exp(-rate * tau)) / rate
    B = SIGMA**2 / (2.0 * KAPPA) * ((1.0 - np.exp(-BETA * tau)) / BETA - A)
    phi = np.stack([A * X**2, B + 0.0 * X], axis=-1)
    return discounted(Family(0.0 * X, phi, X[:-1] ** 2 * dt, dt), BETA)


def unbiased(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """Every sound solver within 3 standard errors of 0 on every mesh."""
    from statistics import mean, stdev

    worst, at = 0.0, ""
    for system in SOUND:
        for K in MESHES:
            found = rows.values(THETA, system, f"{BROWN}, {K} steps")
            z = abs(mean(found)) / (stdev(found) / len(found) ** 0.5) if len(found) > 1 else 0.0
            if z >= worst:
                worst, at = z, f"{system}, {K} steps"
    text = f"largest |mean|/s.e. {worst:.2f} ({at}), asked <= 3"
    return ("holds" if worst <= 3.0 else "does not hold"), text, None


def to_minus_two(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """Its distance from -2 falls with the mesh and is below 0.05 at 160 steps."""
    gaps = [abs(rows.mean(THETA, MSTDE, f"{BROWN}, {K} steps") + 2.0) for K in MESHES]
    ok = gaps[0] > gaps[1] > gaps[2] and gaps[2] < 0.05
    text = "|theta + 2| at 10, 40, 160 steps: " + ", ".join(f"{gap:.4f}" for gap in gaps)
    return ("holds" if ok else "does not hold"), text, None


def first_order(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """Log-log slope of the change against the step length, for each sound solver."""
    from math import log
    from statistics import linear_regression

    slopes = {}
    for system in SOUND:
        chosen = rows.where(system=system, metric=MESH)
        means = [
            sum(v) / len(v)
            for K in HALVINGS
            if (v := [row.value for row in chosen if row.unit == f"{K} steps"])
        ]
        xs = [log(1.0 / K) for K in HALVINGS]
        slopes[system] = linear_regression(xs, [log(m) for m in means]).slope
    ok = all(0.8 <= slope <= 1.2 for slope in slopes.values())
    text = "slopes " + ", ".join(f"{name} {slope:.3f}" for name, slope in slopes.items())
    return ("holds" if ok else "does not hold"), text + ", asked 0.8 to 1.2", None


def draw(rows: Rows, figure: Figure) -> str:
    """Solutions by mesh; value errors of a family without the value."""
    from meritree.studies.figure import bars

    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    for system in (*SOUND, MSTDE):
        found = [rows.interval(THETA, system, f"{BROWN}, {K} steps") for K in MESHES]
        spread = [[i.mean - i.low for i in found], [i.high - i.mean for i in found]]
        left.errorbar(MESHES, [i.mean for i in found], spread, label=system, capsize=3, marker="o")
    left.axhline(-2.0, color="grey", linestyle=":", linewidth=1)
    left.axhline(0.0, color="grey", linewidth=1)
    left.set_xscale("log")
    left.set_xticks(MESHES, [str(K) for K in MESHES])
    left.set_xlabel("steps on [0, 1]")
    left.set_ylabel("theta (truth 0)")
    left.legend(fontsize=8)
    left.set_title("Brownian motion, h = x^2")
    bars(right, rows, OFF, dataset=POOR)
    right.set_title("value not in the family")
    last = show(rows.interval(THETA, MSTDE, f"{BROWN}, 160 steps"))
    return (
        "Left: the parameter that each condition finds, by mesh; the mean squared TD error tends "
        f"to -2 ({last} at 160 steps). Right: mean squared error of the value found in a family "
        f"that does not hold it, on fresh paths. {len(rows.seeds)} seeds, 95 % intervals."
    )


STUDY = Study(
    id="S034",
    name="martingale-td",
    paper=Paper(
        "Policy Evaluation and Temporal-Difference Learning in Continuous Time and Space: "
        "A Martingale Approach",
        "Y. Jia, X. Y. Zhou",
        2022,
        "2108.06655",
        read="abstract; the limits used here are derived and tested against exact expectations",
    ),
    claim=(
        "Minimising the mean squared TD error does not find the value (it minimises a quadratic "
        "variation: here theta = -2 instead of 0); the martingale loss and the orthogonality "
        "conditions do, and their error on a mesh is of the order of its step."
    ),
    parts=(
        "meritree.exact.martingale.martingale_loss_minimiser",
        "meritree.exact.martingale.orthogonality_solution",
        "meritree.exact.martingale.mstde_minimiser",
        "meritree.objectives.advantages.martingale_increments",
        "meritree.objectives.advantages.traces",
    ),
    data=(
        Data(BROWN, "dX = dW on [0, 1] from 0, no running reward", "2000 paths a seed"),
        Data("Brownian, running x^2", "the same paths, reward x^2, thinned", "2000 paths a seed"),
        Data(OU, "kappa 1.5, sigma 0.8, reward x^2, discount rate 0.5", "2000 paths a seed"),
        Data(POOR, "dX = dW from N(0, 1), h = cos x, features tau x^2, tau", "2000 + 2000 paths"),
    ),
    baselines=(MSTDE,),
    measure=measure,
    checks=(
        Own("martingale loss, TD(0), TD(lambda) find theta = 0 on every mesh", unbiased),
        Own("the mean squared TD error tends to theta = -2", to_minus_two),
        Own("the error of a mesh is of the order of its step", first_order),
        *(
            Bound(f"{system} finds the discounted value of the OU process", FAR, system, OU,
                  at_most=0.1)
            for system in SOUND
        ),
        Bound("the mean squared TD error does not", FAR, MSTDE, OU, at_least=0.3),
        Better("where the value is not in the family, the martingale loss comes nearest to it: "
               "nearer than TD(0)", OFF, ML, TD0, higher=False, dataset=POOR),
        Better("and than the mean squared TD error", OFF, ML, MSTDE, higher=False, dataset=POOR),
    ),
    scales={
        "smoke": Scale(3, {"paths": 400}),
        "full": Scale(30, {"paths": 2000}),
    },
    draw=draw,
    notes=(
        "All families are linear, so that every condition is solved in closed form; the paper's "
        "stochastic-approximation versions converge to these solutions.",
        "The limit -2 minimises the quadratic variation int 4 t (1 + theta (1 - t))^2 dt; its "
        "value on every finite mesh is tested against exact expectations "
        "(tests/exact/test_martingale.py).",
        "The paper's own numerical examples (mean-variance, linear-quadratic) are not repeated.",
    ),
)  # fmt: skip
