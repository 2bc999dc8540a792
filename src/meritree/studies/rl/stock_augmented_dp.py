"""S039: objectives of the whole return, optimised by dynamic programming with a stock.

Betting games solved exactly: expected shortfall, nearness to a target, the chance to reach one;
with the stock, without it, and by the best sequence fixed in advance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from meritree.studies.checks import Better, Bound
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from meritree.value.risk import Law

STOCK, GREEDY, NEUTRAL, FIXED = (
    "with the stock", "without the stock", "risk-neutral", "best fixed sequence"
)  # fmt: skip
KNOWN, RANDOM, DISCOUNTED = "two known games", "random games", "random games, gamma 0.9"
CVAR, NEAR, REACH = "CVaR 0.25 of the return", "E |G - target|", "P(G >= target)"
GAP = "planned less realised"
MEASURES = (CVAR, NEAR, REACH)
TAU = 0.25
Bets = tuple[tuple[tuple[float, float], ...], ...]
FIRST: Bets = (
    ((1.0, 0.7), (-6.0, 0.3)), ((1.0, 0.4), (-1.0, 0.6)), ((6.0, 0.8), (-6.0, 0.2))
)  # fmt: skip
SECOND: Bets = (((1.0, 1.0),), ((5.0, 0.5), (-2.0, 0.5)), ((12.0, 0.5), (-8.0, 0.5)))


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """One random game a seed, with and without discount; the known games with the first seed."""
    import numpy as np

    rng = np.random.default_rng([seed, 39])
    rounds = settings["rounds"]
    if seed == 0:
        for unit, bets in (("first", FIRST), ("second", SECOND)):
            yield from _game(KNOWN, unit, bets, 5, 1.0, 6.0)
    bets = _random_bets(rng)
    target = float(rng.integers(2, 9))
    yield from _game(RANDOM, "", bets, rounds, 1.0, target)
    yield from _game(DISCOUNTED, "", bets, rounds - 1, 0.9, target)


def _random_bets(rng: Any) -> Bets:
    """Three bets, each a win or a loss of whole numbers."""
    bets = []
    for _ in range(3):
        win, loss, p = int(rng.integers(1, 9)), int(rng.integers(-8, 1)), rng.uniform(0.3, 0.9)
        bets.append(((float(win), float(p)), (float(loss), float(1.0 - p))))
    return tuple(bets)


def _game(
    data: str, unit: str, bets: Bets, rounds: int, gamma: float, target: float
) -> Iterator[Row]:
    """Every objective under every kind of policy; the stock's plan against its own law."""
    from itertools import product

    import numpy as np

    from meritree.exact import (
        backward_induction,
        best_shortfall,
        law_of,
        models,
        return_law,
        stock_dp,
    )
    from meritree.exact.laws import dist_dp_without_stock, expected_utility
    from meritree.value.risk import ExpectedShortfall, as_score

    game = models.betting_game(rounds, bets, gamma=gamma)
    cvar = as_score(ExpectedShortfall(1.0 - TAU))
    goals: dict[str, Callable[..., Any]] = {
        CVAR: cvar,
        NEAR: expected_utility(lambda x: -np.abs(x - target)),
        REACH: expected_utility(lambda x: (x >= target - 1e-7) * 1.0),
    }
    found = {
        NEUTRAL: [return_law(game, backward_induction(game).action)],
        FIXED: [sequence_law(bets, gamma, each) for each in product(range(3), repeat=rounds)],
    }
    best = best_shortfall(game, TAU)
    near = stock_dp(game, lambda x: -np.abs(x), -target)
    reach = stock_dp(game, lambda x: (x >= -1e-7) * 1.0, -target)
    planned = {CVAR: best.value, NEAR: float(near.best[0]), REACH: float(reach.best[0])}
    laws = {CVAR: best.law, NEAR: law_of(game, near), REACH: law_of(game, reach)}
    for name, score in goals.items():
        sign = -1.0 if name == NEAR else 1.0
        realised = float(score(*laws[name]))
        yield Row(STOCK, data, name, sign * realised, unit)
        yield Row(STOCK, data, GAP, abs(planned[name] - realised), f"{unit} {name}".strip())
        greedy = dist_dp_without_stock(game, score)
        yield Row(GREEDY, data, name, sign * greedy.score, unit)
        for system, options in found.items():
            worth = max(float(score(*law)) for law in options)
            yield Row(system, data, name, sign * worth, unit)


def sequence_law(bets: Bets, gamma: float, sequence: tuple[int, ...]) -> Law:
    """The law of the return of bets that are fixed in advance."""
    import numpy as np

    from meritree.value.risk import Law

    values, weights = np.zeros(1), np.ones(1)
    for step, bet in enumerate(sequence):
        paid, p = (np.array(each) for each in zip(*bets[bet], strict=True))
        values = np.add.outer(values, gamma**step * paid).reshape(-1)
        weights = np.multiply.outer(weights, p).reshape(-1)
    return Law(values, weights)


def draw(rows: Rows, figure: Figure) -> str:
    """Each objective under each kind of policy."""
    from meritree.studies.figure import bars

    for axes, metric in zip(figure.subplots(1, 3, sharey=True), MEASURES, strict=True):
        bars(axes, rows, metric, dataset=RANDOM)
    return (
        f"Random betting games without discount, means over {len(rows.seeds)} games with 95 % "
        "intervals. Each policy is optimised for the objective shown, except the risk-neutral "
        "one; E |G - target| is better where it is smaller."
    )


STUDY = Study(
    id="S039",
    name="stock-augmented-dp",
    paper=Paper(
        "Optimizing Return Distributions with Distributional Dynamic Programming",
        "B. Avila Pires, M. Rowland, D. Borsa, Z. D. Guo, K. Khetarpal, A. Barreto, D. Abel, "
        "R. Munos, W. Dabney",
        2025,
        "2501.13028",
        read="abstract; the recursions are derived and tested here",
    ),
    claim=(
        "Dynamic programming over state and stock optimises objectives of the whole return, such "
        "as expected shortfall or nearness to a target, that policies without the stock cannot."
    ),
    parts=(
        "meritree.exact.stock.stock_dp",
        "meritree.exact.stock.best_shortfall",
        "meritree.exact.laws.dist_dp",
        "meritree.exact.laws.check_mixtures",
        "meritree.value.contexts.stock",
    ),
    data=(
        Data(KNOWN, "5 rounds; bets in the study's file, target 6", "2 games"),
        Data(RANDOM, "3 bets of a win of 1 to 8 and a loss of 0 to 8, target 2 to 8", "1 a seed"),
        Data(DISCOUNTED, "the same games, a round less, discount 0.9", "1 a seed"),
    ),
    baselines=(GREEDY, NEUTRAL, FIXED),
    measure=measure,
    checks=(
        Bound("what the plan promises is what its law gives", GAP, STOCK, at_most=1e-8),
        *(
            Better(f"{metric}: better with the stock than by {than}", metric, STOCK, than,
                   higher=metric != NEAR, by=1e-6, dataset=RANDOM)
            for metric in MEASURES
            for than in (GREEDY, FIXED)
        ),
        *(
            Better(f"gamma = 0.9, {metric}: better with the stock", metric, STOCK, GREEDY,
                   higher=metric != NEAR, by=1e-6, dataset=DISCOUNTED)
            for metric in MEASURES
        ),
    ),
    scales={
        "smoke": Scale(3, {"rounds": 3}),
        "full": Scale(60, {"rounds": 5}),
    },
    draw=draw,
    part="exact dynamic programming; the deep agent is not measured",
    notes=(
        "The optimum is exact: expected shortfall through its outer maximum over first stocks, all "
        "returns that any policy can have being tried.",
        "'Without the stock' is distributional value iteration that maximises the objective of the "
        "return still to come, as an agent does whose state forgets what it has won; for expected "
        "shortfall that is the usual static-CVaR agent. `dist_dp` refuses objectives that mixtures "
        "upset unless told not to check.",
        "With a discount the utility must be homogeneous; the chance to reach a target and |x| "
        "are, an exponential is not and is refused.",
        "The paper's gridworlds and Atari agent need a deep learner.",
    ),
)  # fmt: skip
