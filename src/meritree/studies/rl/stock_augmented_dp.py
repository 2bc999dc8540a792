"""S039: objectives of the whole return, optimised by dynamic programming with a stock.

Betting games solved exactly: expected shortfall, nearness to a target, the chance to reach one;
with the stock, without it, and by the best sequence fixed in advance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from meritree.studies.checks import Better, Bound, Where
from meritree.studies.rl import stock_agent
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
DEEP, SHARE = "the first known game, learned", "share of the optimum"
SQUARED = "E (G - target)^2"
TAU = 0.25
Bets = tuple[tuple[tuple[float, float], ...], ...]
FIRST: Bets = (
    ((1.0, 0.7), (-6.0, 0.3)), ((1.0, 0.4), (-1.0, 0.6)), ((6.0, 0.8), (-6.0, 0.2))
)  # fmt: skip
SECOND: Bets = (((1.0, 1.0),), ((5.0, 0.5), (-2.0, 0.5)), ((12.0, 0.5), (-8.0, 0.5)))


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """One random game a seed, with and without discount; the known games with the first seed.

    Agents learn from the first seeds only.
    """
    import numpy as np

    if seed < settings["learners"]:
        yield from _learned(seed, settings)
    rng = np.random.default_rng([seed, 39])
    rounds = settings["rounds"]
    if seed == 0:
        for unit, bets in (("first", FIRST), ("second", SECOND)):
            yield from _game(KNOWN, unit, bets, 5, 1.0, 6.0)
    bets = _random_bets(rng)
    target = float(rng.integers(2, 9))
    yield from _game(RANDOM, "", bets, rounds, 1.0, target)
    yield from _game(DISCOUNTED, "", bets, rounds - 1, 0.9, target)


def _learned(seed: int, settings: Settings) -> Iterator[Row]:
    """Agents on the first known game, judged exactly and against the optimum of their goal."""

    from meritree.exact import best_shortfall, models, stock_dp
    from meritree.value.risk import ExpectedShortfall, as_score

    rounds, target = settings["rounds"], 6.0
    game = models.betting_game(rounds, FIRST)
    best_cvar = best_shortfall(game, TAU).value
    best_near = -float(stock_dp(game, lambda x: -(x**2), -target).best[0])
    cvar = as_score(ExpectedShortfall(1.0 - TAU))
    for system in settings["agents"]:
        agent = stock_agent.AGENTS[system]
        law = stock_agent.realised(agent, seed, FIRST, rounds, target, settings["steps"])
        safe, away = float(cvar(*law)), float(law.weights @ (law.values - target) ** 2)
        yield Row(system, DEEP, CVAR, safe)
        yield Row(system, DEEP, SQUARED, away)
        if agent.goal == stock_agent.SHORTFALL:
            yield Row(system, DEEP, SHARE, safe / best_cvar)
        elif agent.goal == stock_agent.TARGET:
            yield Row(system, DEEP, SHARE, best_near / away)


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
        "meritree.value.heads.Quantile",
        "meritree.rl.value_based.trainer.value_trainer",
    ),
    data=(
        Data(KNOWN, "5 rounds; bets in the study's file, target 6", "2 games"),
        Data(DEEP, "all payments a tenth as large for the networks, target 6", "1 game"),
        Data(RANDOM, "3 bets of a win of 1 to 8 and a loss of 0 to 8, target 2 to 8", "1 a seed"),
        Data(DISCOUNTED, "the same games, a round less, discount 0.9", "1 a seed"),
    ),
    baselines=(GREEDY, NEUTRAL, FIXED, stock_agent.SAFE_ALONE, stock_agent.NEAR_ALONE,
               stock_agent.MEAN),
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
        *(
            Where(
                Bound(f"{system}: within 5 % of the optimum", SHARE, system, at_least=0.95),
                (system,),
            )
            for system in (stock_agent.SAFE, stock_agent.NEAR)
        ),
        *(
            Where(
                Better(f"{metric}: {system} better than {than}", metric, system, than,
                       higher=metric == CVAR, by=1e-6, dataset=DEEP),
                (system, than),
            )
            for metric, system, others in (
                (CVAR, stock_agent.SAFE, (stock_agent.SAFE_ALONE, stock_agent.MEAN)),
                (SQUARED, stock_agent.NEAR, (stock_agent.NEAR_ALONE, stock_agent.MEAN)),
            )
            for than in others
        ),
    ),
    scales={
        "smoke": Scale(3, {"rounds": 3, "learners": 1, "steps": 1600,
                           "agents": (stock_agent.SAFE, stock_agent.SAFE_ALONE)}),
        "full": Scale(60, {"rounds": 5, "learners": 5, "steps": 40_000,
                           "agents": tuple(stock_agent.AGENTS)}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "array_api_compat", "jax", "flax", "optax"),
    extra="rl",
    repeatable=False,
    notes=(
        "The optimum is exact: expected shortfall through its outer maximum over first stocks, all "
        "returns that any policy can have being tried.",
        "'Without the stock' is distributional value iteration that maximises the objective of the "
        "return still to come, as an agent does whose state forgets what it has won; for expected "
        "shortfall that is the usual static-CVaR agent. `dist_dp` refuses objectives that mixtures "
        "upset unless told not to check.",
        "With a discount the utility must be homogeneous; the chance to reach a target and |x| "
        "are, an exponential is not and is refused.",
        "Agents: two layers of 64, 32 quantiles, stocks drawn anew from [-20, 20] for replayed "
        "steps, 40 000 rounds of play, seeds 0 to 4. Their greedy choices are judged by the exact "
        "law of the return; for expected shortfall the best first stock of 41 counts.",
        "Nearness is the mean square for agents. Settings and that choice come from seeds 100 to "
        "102, where E |G - target| of 60 000 rounds was 1.870 three times, 9 % above the optimum "
        "of 1.713, and 1.738, 1.801 and 1.738 with layers of 128.",
        "The paper's gridworlds and Atari are not measured here: Atari takes a GPU for days.",
    ),
)  # fmt: skip
