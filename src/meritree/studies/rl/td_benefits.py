"""S067: how many episodes does temporal-difference learning save against Monte Carlo?

Layered and random absorbing chains: measured errors of the estimated chain's values (what TD
converges to) and of first-visit averages, against the ratio that theory computes from the chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from meritree.studies.checks import Better, Outcome, Own
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from meritree.exact import MDP, Episodes
    from meritree.stats import Interval

TD, MC, ONLINE, THEORY = "TD(0)", "Monte Carlo", "online TD", "theory"
SLOW = ("TD(0)", "TD(0.5)", "TD(0.9)", "TD(1)", ONLINE)
ERROR, C, TIME = "n x squared error", "pooling coefficient", "crossing time"
DIFF = "n x squared error of V(s) - V(s')"
LAYERED, RANDOM, LONGER, LANES = "layered chains", "random chains", "longer chains", "lanes"
BASELINES = "random chains, few sets"
SHAPES = ((2, 2), (2, 3), (2, 6), (4, 2), (4, 3), (4, 6), (8, 2), (8, 3), (8, 6))
DEPTHS = (2, 4, 8, 16)
MIXING = (1.0, 0.5, 0.25, 0.125, 0.0625)
CHAINS, STATES, EPISODES = 12, 6, 300
DEPTH_OF_LANES = 24


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Rows of one seed: ``repeats`` data sets of every chain; the chains are the same for all."""
    import numpy as np

    rng = np.random.default_rng([seed, 67])
    repeats = settings["repeats"]
    yield from _layered(rng, repeats)
    yield from _random(rng, repeats)
    yield from _slow(rng, max(1, repeats // 40))
    yield from _differences(rng, max(1, repeats // 8))


def _layered(rng: Any, repeats: int) -> Iterator[Row]:
    """Error of a first-layer state; the chain has 400 episodes a state of a layer."""
    import numpy as np

    from meritree.exact import models

    for width, depth in SHAPES:
        chain, n = models.layered_chain(width, depth), 400 * width
        V, unit = np.full(width, 0.5), f"width {width}, depth {depth}"
        for system, errors in _errors(chain, V, n, max(1, 2 * repeats // width), rng).items():
            yield Row(system, LAYERED, ERROR, float(errors.mean()), unit)


def _random(rng: Any, repeats: int) -> Iterator[Row]:
    """Errors in every state of 12 chains, with the coefficient that the chain itself gives."""
    from meritree.exact import evaluate, pooling_coefficient

    for k, chain in enumerate(chains()):
        V, theory = evaluate(chain)[:STATES], pooling_coefficient(chain)
        found = _errors(chain, V, EPISODES, repeats, rng)
        for s in range(STATES):
            unit = f"chain {k}, state {s}"
            for system, errors in found.items():
                yield Row(system, RANDOM, ERROR, float(errors[s]), unit)
            yield Row(THEORY, RANDOM, C, float(theory.coefficient[s]), unit)


def _slow(rng: Any, repeats: int) -> Iterator[Row]:
    """TD(lambda) and one pass of online TD on the random chains: mean error over states."""
    import numpy as np

    from meritree.exact import evaluate, online_td, td_lambda

    for k, chain in enumerate(chains()):
        V, total = evaluate(chain)[:STATES], dict.fromkeys(SLOW, 0.0)
        for episodes, sets in _data_sets(chain, EPISODES, repeats, rng):
            for j in range(sets):
                part = episodes.part(j * EPISODES, (j + 1) * EPISODES)
                for system, lambda_ in zip(SLOW, (0.0, 0.5, 0.9, 1.0), strict=False):
                    found = td_lambda(part, chain.S, lambda_=lambda_)[:STATES]
                    total[system] += float(np.mean((found - V) ** 2))
                found = online_td(part, chain.S, power=0.8)[:STATES]
                total[ONLINE] += float(np.mean((found - V) ** 2))
        for system, error in total.items():
            yield Row(system, BASELINES, ERROR, EPISODES * error / repeats, f"chain {k}")


def _differences(rng: Any, repeats: int) -> Iterator[Row]:
    """V(s) - V(s') of two first states: by the length of the chain, and by how fast paths meet."""
    from meritree.exact import certainty_equivalence, crossing_time, mc_first_visit

    for name, cases in ((LONGER, DEPTHS), (LANES, MIXING)):
        for case in cases:
            chain, other = _longer(int(case)) if name == LONGER else _lanes(case)
            unit, n, td, mc = f"{case:g}", 400, 0.0, 0.0
            for episodes, sets in _data_sets(chain, n, repeats, rng):
                V = certainty_equivalence(episodes, chain.S, sets=sets)
                W = mc_first_visit(episodes, chain.S, sets=sets)
                td += float(((V[..., 0] - V[..., other]) ** 2).sum())
                mc += float(((W[..., 0] - W[..., other]) ** 2).sum())
            yield Row(TD, name, DIFF, n * td / repeats, unit)
            yield Row(MC, name, DIFF, n * mc / repeats, unit)
            time = crossing_time(chain.P[:, 0], chain.ends)[0, other]
            yield Row(THEORY, name, TIME, float(time), unit)


def _errors(chain: MDP, V: NDArray[Any], n: int, repeats: int, rng: Any) -> dict[str, Any]:
    """n times the squared error of the first len(V) values, mean over data sets of n episodes."""
    import numpy as np

    from meritree.exact import certainty_equivalence, mc_first_visit

    total = {TD: np.zeros(len(V)), MC: np.zeros(len(V))}
    for episodes, sets in _data_sets(chain, n, repeats, rng):
        for system, estimate in ((TD, certainty_equivalence), (MC, mc_first_visit)):
            found = np.atleast_2d(estimate(episodes, chain.S, sets=sets))[:, : len(V)]
            total[system] += ((found - V) ** 2).sum(axis=0)
    return {system: n * errors / repeats for system, errors in total.items()}


def _data_sets(chain: MDP, n: int, repeats: int, rng: Any) -> Iterator[tuple[Episodes, int]]:
    """(episodes, how many data sets of n they are) until there were ``repeats`` of them."""
    from meritree.exact import sample_episodes

    at_once = max(1, min(repeats, 40_000 // n))
    for low in range(0, repeats, at_once):
        sets = min(at_once, repeats - low)
        yield sample_episodes(chain, None, n * sets, rng), sets


def chains() -> Iterator[MDP]:
    """The 12 random chains, the same for every seed."""
    import numpy as np

    from meritree.exact import models

    for k in range(CHAINS):
        yield models.random_absorbing_chain(STATES, np.random.default_rng([k, 6700]), stop=0.25)


def _signs(P: NDArray[Any], ends: NDArray[Any]) -> NDArray[Any]:
    """[S, S] +1 on arriving at an even state, -1 at an odd one, nothing at ends."""
    import numpy as np

    R = np.where(np.arange(len(P)) % 2 == 0, 1.0, -1.0)[None, :] * np.ones((len(P), 1))
    R[ends], R[:, ends] = 0.0, 0.0
    return R


def _longer(depth: int) -> tuple[MDP, int]:
    """A layered chain of width 4 that pays +-1 at every step, and the second state to compare."""
    from meritree.exact import markov_reward_process, models

    chain = models.layered_chain(4, depth)
    P = chain.P[:, 0]
    return markov_reward_process(P, _signs(P, chain.ends), mu0=chain.mu0), 1


def _lanes(mixing: float) -> tuple[MDP, int]:
    """Two lanes of 24 steps that pay +-1 a step and are chosen anew with a probability."""
    import numpy as np

    from meritree.exact import markov_reward_process

    n = 4 * DEPTH_OF_LANES  # (step, lane, sign)
    P = np.zeros((n + 1, n + 1))
    for s in range(n):
        step, lane = divmod(s // 2, 2)
        if step == DEPTH_OF_LANES - 1:
            P[s, n] = 1.0
            continue
        later = 4 * (step + 1)
        P[s, later : later + 4] = mixing / 4.0
        P[s, later + 2 * lane : later + 2 * lane + 2] += (1.0 - mixing) / 2.0
    P[n, n] = 1.0
    mu0 = np.zeros(n + 1)
    mu0[[0, 2]] = 0.5
    ends = np.arange(n + 1) == n
    return markov_reward_process(P, _signs(P, ends), mu0=mu0), 2


def by_unit(rows: Rows, metric: str, system: str, dataset: str) -> dict[str, float]:
    """Mean of each unit over seeds."""
    found: dict[str, list[float]] = {}
    for row in rows.where(metric=metric, system=system, dataset=dataset):
        found.setdefault(row.unit, []).append(row.value)
    return {unit: sum(values) / len(values) for unit, values in found.items()}


def ratios(rows: Rows, dataset: str) -> dict[str, float]:
    """Measured MSE_TD / MSE_MC of each unit."""
    td, mc = (by_unit(rows, ERROR, system, dataset) for system in (TD, MC))
    return {unit: td[unit] / mc[unit] for unit in td}


def one_over_width(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """The measured ratio against 1/W, over the nine shapes."""
    found = ratios(rows, LAYERED)
    gaps = {unit: abs(r - 1.0 / int(unit.split()[1].strip(","))) for unit, r in found.items()}
    worst = max(gaps, key=lambda unit: gaps[unit])
    text = f"largest |ratio - 1/W| {gaps[worst]:.4f} ({worst}: {found[worst]:.3f}), asked <= 0.03"
    return ("holds" if gaps[worst] <= 0.03 else "does not hold"), text, None


def as_computed(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """The measured ratio against C(s), over all states of the 12 chains."""
    from statistics import correlation

    found, theory = ratios(rows, RANDOM), by_unit(rows, C, THEORY, RANDOM)
    gaps = [abs(found[unit] - theory[unit]) for unit in found]
    mean = sum(gaps) / len(gaps)
    r = correlation([found[unit] for unit in found], [theory[unit] for unit in found])
    text = (
        f"mean |ratio - C(s)| {mean:.4f} over {len(gaps)} states (largest {max(gaps):.4f}), "
        f"correlation {r:.3f}, C(s) from {min(theory.values()):.2f} to {max(theory.values()):.2f}; "
        "asked mean <= 0.03"
    )
    return ("holds" if mean <= 0.03 else "does not hold"), text, None


def slope(rows: Rows, system: str, dataset: str, by: str | None) -> float:
    """Log-log slope of the difference's error by the case itself, or by a metric of theory."""
    from math import log
    from statistics import linear_regression

    errors = by_unit(rows, DIFF, system, dataset)
    at = by_unit(rows, by, THEORY, dataset) if by else {unit: float(unit) for unit in errors}
    pairs = [(log(at[unit]), log(errors[unit])) for unit in errors]
    return linear_regression(*zip(*pairs, strict=True)).slope


def not_with_length(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """Slopes by the length of the chain."""
    td, mc = (slope(rows, system, LONGER, None) for system in (TD, MC))
    text = f"slope by length: TD {td:.3f} (asked within 0.15 of 0), Monte Carlo {mc:.3f} (>= 0.8)"
    return ("holds" if abs(td) <= 0.15 and mc >= 0.8 else "does not hold"), text, None


def with_crossing(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """Slopes by the crossing time, at equal length."""
    td, mc = (slope(rows, system, LANES, TIME) for system in (TD, MC))
    text = f"slope by crossing time: TD {td:.3f} (asked >= 0.5), Monte Carlo {mc:.3f} (within 0.3)"
    return ("holds" if td >= 0.5 and abs(mc) <= 0.3 else "does not hold"), text, None


def draw(rows: Rows, figure: Figure) -> str:
    """Measured ratios against theory; errors of differences by length and by crossing time."""
    left, middle, right = figure.subplots(1, 3)
    found, theory = ratios(rows, RANDOM), by_unit(rows, C, THEORY, RANDOM)
    left.scatter([theory[u] for u in found], [found[u] for u in found], s=12, color="#4c78a8")
    layered = ratios(rows, LAYERED)
    widths = [1.0 / int(u.split()[1].strip(",")) for u in layered]
    left.scatter(widths, list(layered.values()), s=18, marker="s", color="#f58518")
    left.plot([0, 1], [0, 1], color="grey", linewidth=1)
    left.set_xlabel("computed C(s)")
    left.set_ylabel("measured MSE ratio TD / MC")
    for axes, name, by in ((middle, LONGER, None), (right, LANES, TIME)):
        for system in (TD, MC):
            errors = by_unit(rows, DIFF, system, name)
            at = by_unit(rows, by, THEORY, name) if by else {u: float(u) for u in errors}
            axes.loglog([at[u] for u in errors], list(errors.values()), marker="o", label=system)
        ticks = (4, 6, 9, 14) if by else DEPTHS
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel(by or "steps of the chain")
        axes.set_ylabel("n MSE of V(s) - V(s')")
        axes.legend(fontsize=8)
    return (
        "Left: ratio of mean squared errors, measured against the pooling coefficient computed "
        f"from the chain, for all states of {CHAINS} random chains (dots) and the first layers of "
        "layered chains (squares). Middle and right: error of the difference of two values by the "
        "length of the chain, and at equal length by the time until two paths meet. "
        f"{len(rows.seeds)} seeds."
    )


STUDY = Study(
    id="S067",
    name="td-benefits",
    paper=Paper(
        "On the Statistical Benefits of Temporal Difference Learning",
        "D. Cheikhi, D. Russo",
        2023,
        "2301.13289",
        read=(
            "abstract, introduction, and a later paper that states the coupling coefficient and "
            "C = 1/W of the layered chain; the general formula is derived here (delta method)"
        ),
    ),
    claim=(
        "With many episodes, the mean squared error of TD over that of Monte Carlo is the inverse "
        "trajectory pooling coefficient C(s) of the chain (1/W in layered chains of width W); in "
        "differences of values TD's error grows with the time until paths cross, Monte Carlo's "
        "with the horizon."
    ),
    parts=(
        "meritree.exact.estimate.pooling_coefficient",
        "meritree.exact.estimate.crossing_time",
        "meritree.exact.estimate.certainty_equivalence",
        "meritree.exact.estimate.td_lambda",
        "meritree.exact.estimate.mc_first_visit",
        "meritree.exact.estimate.online_td",
        "meritree.exact.models.layered_chain",
    ),
    data=(
        Data(LAYERED, "widths 2, 4, 8, depths 2, 3, 6; a coin at the end", "400 W episodes a set"),
        Data(RANDOM, "12 chains of 6 states, stopped with 0.25 a step", "300 episodes a set"),
        Data(
            BASELINES, "the same chains, a fortieth of the sets, for the other systems", "as above"
        ),
        Data(LONGER, "width 4, depths 2 to 16, +-1 at each step", "400 episodes a set"),
        Data(LANES, "two lanes of 24 steps, chosen anew with 1 to 1/16", "400 episodes a set"),
    ),
    baselines=(MC, "TD(0.5)", "TD(0.9)", "TD(1)", ONLINE),
    measure=measure,
    checks=(
        Own("layered chains: the ratio of errors is 1/W", one_over_width),
        Own("random chains: the ratio of errors is the computed C(s)", as_computed),
        Better("TD errs less than Monte Carlo", ERROR, TD, MC, higher=False, dataset=RANDOM),
        Own("differences: TD's error does not grow with the horizon", not_with_length),
        Own("differences: TD's error grows with the crossing time", with_crossing),
    ),
    scales={
        "smoke": Scale(2, {"repeats": 20}),
        "full": Scale(12, {"repeats": 300}),
    },
    draw=draw,
    needs=("numpy", "scipy", "matplotlib", "array_api_compat"),
    notes=(
        "TD is measured at its limit on a data set, the value of the estimated chain (LSTD with "
        "one feature a state); online TD is one pass over the same episodes with steps "
        "visits^-0.8 and is a baseline only.",
        "Our crossing time is the expected time until two independent copies are in the same state "
        "at the same time; the paper's exact definition was not at hand.",
        "In the figure's right panel TD's error would meet Monte Carlo's where paths never cross "
        "before the end.",
    ),
)
