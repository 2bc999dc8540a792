"""S090: does weighting by recency keep a promised risk when the data drift?

Multilabel classification over time as in the paper's simulations, and the daily moves of the
S&P 500; the promise is an average loss of at most alpha.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from meritree.studies.checks import Better, Bound
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study
from meritree.value.conformal import recency_weights, risk_control

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

ALPHA = 0.2  # promised false negative rate
RHO = 0.99
LABELS = 10
BURN_IN = 200
GRID = 50
WINDOW = 100  # steps of the rolling mean that looks for broken promises
SERIES = ("exchangeable", "change points", "drift")
MARKET = "S&P 500 moves"
MARKET_ALPHA = 0.1  # promised mean exceedance, in points of percent, each at most 1
CRC, NONX = "CRC", "non-exchangeable CRC"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """All series of one seed; the market's seed picks one of ten stretches of two years."""
    for series in SERIES:
        features, labels = simulate(seed, series, settings["steps"])
        losses = _stream_losses(features, labels, settings["refit"])
        yield from _follow(series, losses, ALPHA)
    moves = _market(seed)[: settings["days"]]
    yield from _follow(MARKET, _market_losses(moves), MARKET_ALPHA)


def simulate(seed: int, series: str, steps: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features [N, 10] and labels [N, 10] in {0, 1}, as the authors' notebook makes them.

    Labels are 1 where ``B x - 0.5 + noise > 0``. The noise has deviation 0.1 in the
    exchangeable series and 1 in the others (so in the notebook). B is the identity; its
    columns roll by one at N/4 and at 3N/4 (change points), or it moves in a straight line to
    the identity rolled twice (drift).
    """
    import numpy as np

    rng = np.random.default_rng([seed, 90])
    x = rng.normal(size=(steps, LABELS))
    noise = rng.normal(size=(steps, LABELS))
    eye = np.eye(LABELS)
    if series == "exchangeable":
        score = x @ eye.T - 0.5 + 0.1 * noise
    else:
        time = np.arange(steps)
        if series == "drift":
            share = (time / max(1, steps - 1))[:, None, None]
            weights = eye + share * (np.roll(eye, 2, axis=1) - eye)
        else:
            era = (time >= steps // 4).astype(int) + (time >= 3 * steps // 4)
            weights = np.stack([np.roll(eye, k, axis=1) for k in range(3)])[era]
        score = np.einsum("nij,nj->ni", weights, x) - 0.5 + noise
    return x, (score > 0).astype(float)


def _stream_losses(
    x: NDArray[Any], y: NDArray[Any], refit: int
) -> Iterator[tuple[NDArray[Any], Sequence[int], NDArray[Any]]]:
    """For every step after the burn-in: losses of the calibration steps, their times, own losses.

    Odd steps train ten logistic regressions, even ones calibrate; the models are fitted anew
    every ``refit`` steps. A loss is the share of true labels whose probability is below
    1 - lambda.
    """
    import numpy as np

    thresholds = 1.0 - np.linspace(0.0, 1.0, GRID)
    for start in range(BURN_IN, len(x), refit):
        end = min(start + refit, len(x))
        probabilities = _fit_predict(x[1:start:2], y[1:start:2], x[:end])
        missed = (probabilities[:, None, :] < thresholds[None, :, None]) & (y[:end, None, :] > 0)
        true = np.maximum(y[:end].sum(axis=1), 1.0)
        losses = missed.sum(axis=2) / true[:, None]
        for step in range(start, end):
            times = range(2, step, 2)
            yield losses[2:step:2], times, losses[step]


def _fit_predict(x: NDArray[Any], y: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    columns = []
    for label in range(y.shape[1]):
        if y[:, label].min() == y[:, label].max():  # one class only: nothing to learn
            columns.append(np.full(len(new), y[0, label]))
        else:
            columns.append(LogisticRegression().fit(x, y[:, label]).predict_proba(new)[:, 1])
    return np.stack(columns, axis=1)


def _market(seed: int) -> NDArray[Any]:
    """Absolute daily moves of one stretch, in percent."""
    import numpy as np
    from arch.data import sp500

    close = sp500.load()["Adj Close"].to_numpy()
    moves = np.abs(100.0 * np.diff(np.log(close)))
    length = len(moves) // 10
    first = (seed % 10) * length
    return moves[first : first + length]  # type: ignore[no-any-return]


def _market_losses(
    moves: NDArray[Any],
) -> Iterator[tuple[NDArray[Any], Sequence[int], NDArray[Any]]]:
    """The set is [0, lambda] in percent; the loss is the exceedance, at most one point."""
    import numpy as np

    bands = np.linspace(0.0, 12.0, 241)
    losses = np.clip(moves[:, None] - bands[None, :], 0.0, 1.0)
    for step in range(BURN_IN // 2, len(moves)):
        yield losses[:step], range(step), losses[step]


def _follow(series: str, stream: Iterator[Any], alpha: float) -> Iterator[Row]:
    """Both controls on the same stream: mean loss, worst window, mean parameter (its share)."""
    import numpy as np

    suffered: dict[str, list[float]] = {CRC: [], NONX: []}
    chosen: dict[str, list[float]] = {CRC: [], NONX: []}
    for losses, times, own in stream:
        places = range(len(own))
        recent = recency_weights(times[-1] + 1, RHO)
        for system, weights in ((CRC, None), (NONX, [recent[t] for t in times])):
            place = risk_control(losses, places, alpha, weights)
            place = min(place, len(own) - 1)  # nothing reaches alpha: the largest set
            suffered[system].append(float(own[int(place)]))
            chosen[system].append(place / (len(own) - 1))
    for system, values in suffered.items():
        window = np.convolve(values, np.ones(WINDOW) / WINDOW, mode="valid")
        yield Row(system, series, "mean loss", float(np.mean(values)))
        yield Row(system, series, "worst window", float(window.max()))
        yield Row(system, series, "off the promise", abs(float(np.mean(values)) - alpha))
        yield Row(system, series, "set size", float(np.mean(chosen[system])))


def draw(rows: Rows, figure: Figure) -> str:
    """Mean loss and worst window of both controls on every series."""
    axes = figure.subplots(1, 2, sharey=True)
    names = rows.datasets
    for panel, metric in zip(axes, ("mean loss", "worst window"), strict=True):
        for shift, system, colour in ((-0.17, CRC, "#e45756"), (0.17, NONX, "#4c78a8")):
            found = [rows.interval(metric, system, name) for name in names]
            spread = [[i.mean - i.low for i in found], [i.high - i.mean for i in found]]
            places = [place + shift for place in range(len(names))]
            means = [i.mean for i in found]
            panel.barh(places, means, 0.32, xerr=spread, label=system, color=colour, capsize=2)
        for place, name in enumerate(names):
            promised = MARKET_ALPHA if name == MARKET else ALPHA
            panel.plot([promised] * 2, [place - 0.4, place + 0.4], "k--", linewidth=1)
        panel.set_xlabel(metric)
        panel.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    axes[1].legend(fontsize=8)
    return (
        f"Loss suffered (left: mean over time; right: worst mean of {WINDOW} steps) by conformal "
        "risk control with equal weights and with recency weights 0.99^age; dashed: the promise. "
        f"Bars: means of {len(rows.seeds)} seeds with 95 % intervals; the market's seeds are "
        "stretches of about 500 days."
    )


STUDY = Study(
    id="S090",
    name="conformal-risk",
    paper=Paper(
        "Non-Exchangeable Conformal Risk Control",
        "A. Farinhas, C. Zerva, D. Ulmer, A. F. T. Martins",
        2024,
        "2310.01262",
        read="released code (simulations notebook) and abstract",
    ),
    claim=(
        "With weights that favour relevant (recent) data, conformal risk control keeps the "
        "expected loss near the promise under change points, drift and in time series, where "
        "equal weights do not; on exchangeable data both agree."
    ),
    parts=(
        "meritree.value.conformal.risk_control",
        "meritree.value.conformal.recency_weights",
    ),
    data=(
        Data("exchangeable, change points, drift", "the paper's simulations", "2000 steps a seed"),
        Data(MARKET, "arch.data.sp500", "5030 daily moves 1999-2018 in ten stretches"),
    ),
    baselines=(CRC,),
    measure=measure,
    checks=(
        Bound("change points: the promise holds within 0.02", "mean loss", NONX, "change points",
              at_most=ALPHA + 0.02),
        Bound("drift: the promise holds within 0.02", "mean loss", NONX, "drift",
              at_most=ALPHA + 0.02),
        Bound("exchangeable: the promise holds within 0.02", "mean loss", NONX, "exchangeable",
              at_most=ALPHA + 0.02),
        Bound("change points: equal weights break it by 0.03", "mean loss", CRC, "change points",
              at_least=ALPHA + 0.03),
        Better("change points: recency is nearer to the promise", "off the promise", NONX, CRC,
               higher=False, dataset="change points"),
        Better("drift: its worst window is better", "worst window", NONX, CRC, higher=False,
               dataset="drift"),
        Better("market: its worst window is better", "worst window", NONX, CRC, higher=False,
               dataset=MARKET),
    ),
    scales={
        "smoke": Scale(1, {"steps": 300, "refit": 50, "days": 200}),
        "full": Scale(10, {"steps": 2000, "refit": 50, "days": 10_000}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "sklearn", "arch"),
    notes=(
        "The models are fitted anew every 50 steps; the authors fit them at every step.",
        "The notebook divides by the sum of weights and multiplies again: the rule is the same.",
        "In the notebook the exchangeable series has a tenth of the noise of the others.",
        "Their electricity data are not at hand; the daily moves of the S&P 500 stand in.",
    ),
)  # fmt: skip
