"""S068: does a value of the frozen model, added to its logits, do as well as training it?

Against DPO, the best of many answers, a classifier and a reward model as guides, in the laboratory.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING, Any

from meritree.studies.align import _guides, _lab
from meritree.studies.checks import Better, Bound
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE, VAS, FUDGE, ARGS, DPO = "base", "VAS", "FUDGE", "ARGS", "DPO"
BEST = "best of {}"
GRAMMAR, FRONT = "preference grammar", "gold and safety, composed"
# Chosen on seeds from 100 on, which are not reported.
CHOSEN = {VAS: 8.0, FUDGE: 8.0, ARGS: 0.5, DPO: 80}  # strengths, and steps of DPO
WITHIN = 3.0  # nats, how far frontiers are compared
FRONT_BETA, SAFETY_WEIGHT = 4.0, 0.5


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Answers of the base, three guides made of them, DPO on pairs of them, and many draws."""
    from meritree.align.guided import Guided
    from meritree.align.value import Target

    with _lab.one_thread():
        lab = _lab.open_lab(settings)
        n = settings["eval"]
        rows = _guides.drawn(Guided(lab.ref), lab, settings["answers"], seed)
        base = _guides.at(lab, (), n, seed)
        yield from _point(BASE, base)
        best = _guides.best_of(lab, settings["best_of"], n // 2, seed)
        for size, point in best.items():
            yield from _point(BEST.format(size), point)
        value = _guides.guide(lab, rows, Target("td_lambda", lam=0.95), settings, seed)
        guides = {
            VAS: value,
            FUDGE: _guides.fudge(lab, rows, settings, seed),
            ARGS: _guides.args(lab, rows, settings, seed),
        }
        for system, guide in guides.items():
            points = {b: _guides.at(lab, ((b, guide),), n, seed) for b in settings[system]}
            yield from _frontier(system, points, base, "beta")
            if system == VAS:
                share = points[CHOSEN[VAS]].positions / best[128].positions
                yield Row(VAS, GRAMMAR, "share of the tokens of the best of 128", share)
        yield from _frontier(DPO, _guides.dpo(lab, rows, settings, seed), base, "steps")
        yield from _front(lab, rows, value, settings, seed)


def _point(system: str, point: _guides.Point, at: str = "") -> Iterator[Row]:
    place = f"{GRAMMAR}, {at}" if at else GRAMMAR
    yield Row(system, place, "gold", point.gold)
    yield Row(system, place, "KL", point.kl)
    yield Row(system, place, "tokens an answer", point.positions)


def _frontier(system: str, points: Any, base: _guides.Point, knob: str) -> Iterator[Row]:
    for setting, point in points.items():
        yield from _point(system, point, f"{knob} {setting:g}")
    last = list(points.values())[-1]
    yield from _point(system, points.get(CHOSEN[system], last))
    height = _guides.height(points.values(), base, WITHIN)
    yield Row(system, GRAMMAR, "gold along the frontier", height)


def _front(lab: Any, rows: Any, value: Any, settings: Settings, seed: int) -> Iterator[Row]:
    """Weights from all on safety to all on gold; how often a step does what it should."""
    from meritree.align.value import Target

    safe = _guides.reworded(rows, _guides.judge(lab, _guides.SAFETY))
    caution = _guides.guide(lab, safe, Target("td_lambda", lam=0.95), settings, seed)
    weights = settings["weights"]
    points = []
    for weight in weights:
        both = (
            (FRONT_BETA * weight, value),
            (FRONT_BETA * SAFETY_WEIGHT * (1.0 - weight), caution),
        )
        points.append(_guides.at(lab, both, settings["eval"], seed))
        yield Row(VAS, FRONT, "gold", points[-1].gold, f"weight {weight:.2f}")
        yield Row(VAS, FRONT, "cost", points[-1].cost, f"weight {weight:.2f}")
    for metric in ("gold", "cost"):
        values = [getattr(point, metric) for point in points]
        yield Row(VAS, FRONT, f"{metric}, rank correlation with the weight", _ranks(values))


def _ranks(values: list[float]) -> float:
    """Spearman's correlation with the order in which they stand, ties by their mean rank."""
    size = len(values)
    rank = [
        fmean(i for i, other in enumerate(sorted(values)) if other == one) for one in values
    ]  # fmt: skip
    mean = (size - 1) / 2
    over = sum((r - mean) * (i - mean) for i, r in enumerate(rank))
    under = (
        sum((r - mean) ** 2 for r in rank) * sum((i - mean) ** 2 for i in range(size))
    ) ** 0.5  # fmt: skip
    return over / under if under else 0.0


def draw(rows: Rows, figure: Figure) -> str:
    """Worth against distance, worth against tokens, and the front of two guides."""
    axes = figure.subplots(1, 3)
    colours = {VAS: "#4c78a8", FUDGE: "#f58518", ARGS: "#54a24b", DPO: "#e45756"}
    base = rows.mean("gold", BASE, GRAMMAR)
    for system, colour in colours.items():
        places = [
            name for name in rows.where(system=system, metric="KL").datasets
            if name.startswith(f"{GRAMMAR}, ")
        ]  # fmt: skip
        line = sorted(
            (rows.mean("KL", system, p), rows.mean("gold", system, p),
             rows.mean("tokens an answer", system, p))
            for p in places
        )  # fmt: skip
        axes[0].plot(
            [0.0, *(x for x, _, _ in line)], [base, *(y for _, y, _ in line)], "o-",
            color=colour, label=system,
        )  # fmt: skip
        axes[1].plot([t for _, _, t in line], [y for _, y, _ in line], "o", color=colour)
    best = [name for name in rows.systems if name.startswith("best of")]
    several = sorted(
        (rows.mean("tokens an answer", s, GRAMMAR), rows.mean("gold", s, GRAMMAR),
         rows.mean("KL", s, GRAMMAR)) for s in best
    )  # fmt: skip
    axes[0].plot([k for *_, k in several], [g for _, g, _ in several], "s--", color="#9d755d",
                 label="best of n (bound)")  # fmt: skip
    axes[1].plot([t for t, *_ in several], [g for _, g, _ in several], "s--", color="#9d755d")
    axes[1].set_xscale("log")
    front = rows.where(dataset=FRONT)
    units = sorted({row.unit for row in front if row.metric == "gold"})
    for metric in ("gold", "cost"):
        chosen = {u: [r.value for r in front if r.metric == metric and r.unit == u] for u in units}
        axes[2].plot(
            [float(u.split()[1]) for u in units], [fmean(chosen[u]) for u in units], "o-",
            label=metric,
        )  # fmt: skip
    for panel, title, label in (
        (axes[0], "worth and distance", "KL(policy || base), nats an answer"),
        (axes[1], "worth and tokens", "tokens read, an answer"),
        (axes[2], "two guides", "weight of gold against safety"),
    ):
        panel.set_title(title, fontsize=8)
        panel.set_xlabel(label, fontsize=8)
        panel.grid(alpha=0.3)
    axes[0].set_ylabel("gold")
    axes[0].legend(fontsize=7)
    axes[2].legend(fontsize=7)
    return (
        "Left: worth of answers against their distance from the base, for growing strengths of "
        "three guides and growing training of DPO; middle: the same against tokens that models "
        "read for an answer; right: worth and risk as the weight moves from the guide of safety "
        f"to that of gold. Means of {len(rows.seeds)} seeds."
    )


STUDY = Study(
    id="S068",
    name="vas",
    paper=Paper(
        "Value Augmented Sampling for Language Model Alignment and Personalization",
        "S. Han, I. Shenfeld, A. Srivastava, Y. Kim, P. Agrawal",
        2024,
        "2405.06639",
        read="abstract and the released code (trainer and logits processor)",
    ),
    claim=(
        "Adding the value of a frozen model's own answers to its logits gives more reward than "
        "PPO and DPO and as much as the best of 128 answers at a sixth of their cost, and several "
        "rewards can be composed when decoding."
    ),
    parts=(
        "meritree.align.guided.Guided",
        "meritree.align.guides.Valued",
        "meritree.align.value.fit_value",
        "meritree.align.critic.critic_of",
        "meritree.objectives.decoding.tilt",
        "meritree.objectives.extras.ValueTd",
    ),
    data=(
        Data(GRAMMAR, _lab.DATA, "2304 answers a seed with their gold, the same for every system"),
        Data(FRONT, "the same answers, judged by gold and by whether they promise nothing",
             "seven pairs of weights"),
    ),
    baselines=(BASE, "best of n", DPO, FUDGE, ARGS),
    measure=measure,
    checks=(
        Better("more gold than the base", "gold", VAS, BASE, dataset=GRAMMAR),
        Better("more gold than DPO on pairs of the same answers", "gold", VAS, DPO,
               dataset=GRAMMAR),
        Better("not worse than the best of 128 by more than 0.1", "gold", VAS, BEST.format(128),
               by=-0.1, dataset=GRAMMAR),
        Bound("with at most a sixth of its tokens", "share of the tokens of the best of 128", VAS,
              GRAMMAR, at_most=1.0 / 6.0),
        Better("a higher frontier than FUDGE", "gold along the frontier", VAS, FUDGE,
               dataset=GRAMMAR),
        Better("a higher frontier than ARGS", "gold along the frontier", VAS, ARGS,
               dataset=GRAMMAR),
        Better("a higher frontier than DPO", "gold along the frontier", VAS, DPO,
               dataset=GRAMMAR),
        Bound("two guides: gold grows with its weight",
              "gold, rank correlation with the weight", VAS, FRONT, at_least=0.8),
        Bound("two guides: risk grows with it",
              "cost, rank correlation with the weight", VAS, FRONT, at_least=0.8),
    ),
    scales={
        "smoke": Scale(1, {**_lab.SMOKE_BASE, "answers": 24, "value_steps": 4, "batch": 12,
                           VAS: (8.0,), FUDGE: (8.0,), ARGS: (0.5,), "best_of": (2, 128),
                           "dpo_steps": (2,), "weights": (0.0, 1.0), "eval": 12}),
        "full": Scale(3, {**_lab.FULL_BASE, "answers": 2304, "value_steps": 400, "batch": 32,
                          VAS: (2.0, 4.0, 8.0), FUDGE: (2.0, 4.0, 8.0), ARGS: (0.25, 0.5, 1.0),
                          "best_of": (4, 16, 128), "dpo_steps": (20, 40, 80),
                          "weights": tuple(i / 6 for i in range(7)), "eval": 240}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "Tiny models show mechanisms, not benchmark gains: the base has 97 088 parameters, the "
        "critic is a copy of its trunk.",
        "Tokens are positions that a model reads: for a guide the answer once and 20 candidates "
        "beside each of its tokens. The judge of the best of n, called 128 times an answer, is "
        "not counted.",
        "The released code trains the values of states before each token, so that the candidate "
        "that ends an answer has a value nobody trained (Target(final=False) here); the study "
        "trains it.",
        "At equal tokens the best of n, which asks the judge itself about whole answers, is ahead "
        "of every guide here (middle of the figure): the best of 16 reads fewer tokens than VAS. "
        "DPO reads least, once it is trained, and ends higher but further away.",
        "PPO and the paper's models of 1.1 and 7 billion parameters are not repeated; with them "
        "`Guided` takes any causal model of Transformers, and a run of HH with TinyLlama as critic "
        "needs a GPU for some hours.",
        "The critics are still far from fitted after 400 steps: --set value_steps=4000 --set "
        "answers=20000 takes about eight times as long.",
    ),
)  # fmt: skip
