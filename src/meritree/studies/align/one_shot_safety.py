"""S081: does one multiplier from the base's samples make one training meet a safety constraint?

MoCAN (known rewards) and PeCAN (implicit rewards) on tables of logits and in the laboratory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from meritree.align.lab import grammar
from meritree.studies.align import _lab
from meritree.studies.checks import FEWEST, Bound, Own, decide
from meritree.studies.rows import Rows, SeedRow
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from meritree.stats import Interval
    from meritree.studies.checks import Outcome

TABLE, GRAMMAR = "table of eight answers", "preference grammar"
BETA = 1.0
THRESHOLDS = (0.8, 0.9, 0.96)  # share of answers without a promise; the base has about 0.71
WEIGHTS = (0.0, 1.0, 3.0)  # fixed multipliers, the baseline
MARGIN = 0.3  # PeCAN: rise of the safety model's log-ratio, as a share of what samples reach


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Tables of the seed, then one training a threshold, a fixed weight and for PeCAN."""
    with _lab.one_thread():
        yield from _tables(seed, settings["table_steps"])
        yield from _laboratory(seed, settings)


def _tables(seed: int, steps: int) -> Iterator[Row]:
    """The dual solved exactly, then DPO on relabelled pairs: is E g the threshold?"""
    import numpy as np
    import torch

    from meritree.align.data import pairs
    from meritree.align.prefer import fit_preferences
    from meritree.align.tabular import Tabular, every_pair
    from meritree.objectives import dual
    from meritree.objectives.links import Logistic
    from meritree.objectives.preference import LogRatio, PairObjective

    rng = np.random.default_rng([seed, 81])
    reward = rng.normal(size=8)
    safe = (rng.random(8) < 0.5).astype(float)
    safe[:2] = 0.0, 1.0
    threshold = 0.2 + 0.7 * float(safe.mean())
    found = dual.solve(reward[None], safe[None, :, None], threshold, BETA)
    merged = reward + found.lam[0] * safe
    beats = 1.0 / (1.0 + np.exp(-(merged[:, None] - merged[None, :])))
    policy = Tabular(torch.zeros((1, 8), dtype=torch.float64))
    fit_preferences(
        policy, PairObjective(LogRatio(), Logistic(BETA), label="preference"),
        pairs(every_pair(beats.tolist())), steps=steps, batch=None, log_every=0,
        optimizer=lambda p: torch.optim.Adam(p, lr=0.1),
        schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.01 ** (1.0 / steps)),
    )  # fmt: skip
    reached = float(policy.probabilities()[0] @ torch.as_tensor(safe))
    short = max(0.0, threshold - reached) if found.lam[0] == 0.0 else abs(reached - threshold)
    yield Row("MoCAN", TABLE, "off the threshold", short)


def _laboratory(seed: int, settings: Settings) -> Iterator[Row]:
    import numpy as np

    from meritree.objectives import dual

    lab = _lab.open_lab(settings)
    rng = Random(f"one-shot-safety {seed}")
    asked = [grammar.prompt_of(topic) for topic in grammar.TOPICS]
    drawn = _lab.draw(lab, lab.ref, asked, settings["samples"], seed)
    reward = np.array([[grammar.gold(x.prompt, x.answer) for x in group] for group in drawn])
    safe = np.array([[1.0 - grammar.cost(x.prompt, x.answer) for x in group] for group in drawn])
    both = _lab.draw(lab, lab.ref, _lab.topics(settings["pairs"], rng), 2, seed + 1000)
    start = _lab.measured(lab, lab.ref, settings, seed)
    yield from _points("base", start)
    for weight in WEIGHTS:
        policy = _aligned(lab, both, weight, settings, seed)
        yield from _points(f"weight {weight:g}", _lab.measured(lab, policy, settings, seed))
    for threshold in THRESHOLDS:
        lam = dual.solve(reward, safe[:, :, None], threshold, BETA).lam[0]
        policy = _aligned(lab, both, lam, settings, seed)
        values = _lab.measured(lab, policy, settings, seed)
        arm = f"MoCAN {threshold:g}"
        yield from _points(arm, values)
        yield Row(arm, GRAMMAR, "off the threshold", abs(1.0 - values["cost"] - threshold))
        yield Row(arm, GRAMMAR, "multiplier", lam)
    yield from _pecan(lab, drawn, both, settings, seed)


def _aligned(lab: _lab.Lab, both: Sequence[Any], lam: float, settings: Settings, seed: int) -> Any:
    """DPO on the pairs relabelled by sigma(dr + lam dg)."""

    def worth(one: Any) -> float:
        safe = 1.0 - grammar.cost(one.prompt, one.answer)
        return grammar.gold(one.prompt, one.answer) + lam * safe

    return _trained(lab, both, [worth(two[0]) - worth(two[1]) for two in both], settings, seed)


def _trained(
    lab: _lab.Lab, both: Sequence[Any], gaps: Sequence[float], settings: Settings, seed: int
) -> Any:
    from math import exp

    from meritree.align.data import Pair, pairs
    from meritree.objectives.links import Logistic
    from meritree.objectives.preference import LogRatio, PairObjective

    data = pairs(
        Pair(one.ids[0], one.ids[1], other.ids[1], preference=1.0 / (1.0 + exp(-gap)))
        for (one, other), gap in zip(both, gaps, strict=True)
    )
    policy = _lab.copy_to_train(lab)
    objective = PairObjective(LogRatio(), Logistic(BETA), label="preference")
    _lab.fit(policy, objective, data, settings, seed=seed)
    return policy


def _pecan(
    lab: _lab.Lab, drawn: Sequence[Any], both: Sequence[Any], settings: Settings, seed: int
) -> Iterator[Row]:
    """Two models aligned with one preference each; their log-ratios in place of the rewards."""
    from meritree.objectives import dual

    helpful = _aligned(lab, both, 0.0, settings, seed)
    safe_gaps = [
        grammar.cost(b.prompt, b.answer) - grammar.cost(a.prompt, a.answer) for a, b in both
    ]
    safe = _trained(lab, both, safe_gaps, settings, seed)
    flat = [one for group in drawn for one in group]
    h_r, h_g = (_ratios(lab, model, flat).reshape(len(drawn), -1) for model in (helpful, safe))
    reach = float(h_g.max(axis=1).mean() - h_g.mean())
    threshold = float(h_g.mean()) + MARGIN * reach
    lam = dual.solve(h_r, h_g[:, :, None], threshold, 1.0).lam[0]
    pairs = [one for two in both for one in two]
    merged = _ratios(lab, helpful, pairs) + lam * _ratios(lab, safe, pairs)
    gaps = (BETA * (merged[::2] - merged[1::2])).tolist()
    policy = _trained(lab, both, gaps, settings, seed)
    yield from _points("PeCAN", _lab.measured(lab, policy, settings, seed))
    yield Row("PeCAN", GRAMMAR, "multiplier", lam)


def _ratios(lab: _lab.Lab, model: Any, drawn: Sequence[Any]) -> Any:
    from meritree.align.data import Answer
    from meritree.align.sample import log_probability

    rows = [Answer(*one.ids) for one in drawn]
    return (log_probability(model, rows) - log_probability(lab.ref, rows)).double().numpy()


def _points(arm: str, values: dict[str, float]) -> Iterator[Row]:
    yield Row(arm, GRAMMAR, "gold", values["gold"])
    yield Row(arm, GRAMMAR, "safe", 1.0 - values["cost"])


def _on_the_front(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """MoCAN's gold against straight lines between the fixed weights at the same safety."""
    gains = []
    for seed in rows.seeds:
        own = Rows.of(row for row in rows if row.seed == seed)
        front = sorted(
            (own.mean("safe", arm, GRAMMAR), own.mean("gold", arm, GRAMMAR))
            for arm in (f"weight {weight:g}" for weight in WEIGHTS)
        )
        for threshold in THRESHOLDS:
            arm = f"MoCAN {threshold:g}"
            there = _lab.between(front, own.mean("safe", arm, GRAMMAR))
            gain = own.mean("gold", arm, GRAMMAR) - there
            gains.append(SeedRow(seed, "MoCAN", GRAMMAR, "gain", gain, arm))
    gap = Rows.of(gains).interval("gain")
    text = f"gold above the front of fixed weights {gap.mean:.3f} [{gap.low:.3f}, {gap.high:.3f}]"
    return (decide(gap, low=-0.1) if len(rows.seeds) >= FEWEST else "inconclusive"), text, gap


def draw(rows: Rows, figure: Figure) -> str:
    """Worth against safety: the front of fixed weights, MoCAN at its thresholds, PeCAN."""
    axes = figure.subplots()

    def point(arm: str, marker: str, colour: str, label: str | None) -> None:
        safe, gold = (rows.interval(name, arm, GRAMMAR) for name in ("safe", "gold"))
        axes.errorbar(
            safe.mean, gold.mean, fmt=marker, color=colour, label=label, capsize=3,
            xerr=[[safe.mean - safe.low], [safe.high - safe.mean]],
            yerr=[[gold.mean - gold.low], [gold.high - gold.mean]],
        )  # fmt: skip

    point("base", "*", "black", "base")
    for place, weight in enumerate(WEIGHTS):
        point(f"weight {weight:g}", "s", "#9d755d", None if place else "fixed weights")
    for threshold, colour in zip(THRESHOLDS, ("#4c78a8", "#54a24b", "#e45756"), strict=True):
        point(f"MoCAN {threshold:g}", "o", colour, f"MoCAN, asked {threshold:g}")
        axes.axvline(threshold, color=colour, linestyle=":", linewidth=1)
    point("PeCAN", "^", "#b279a2", "PeCAN")
    axes.set_xlabel("share of safe answers (dotted: asked)")
    axes.set_ylabel("gold")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return (
        "Worth and safety of answers in the preference grammar after one training each on the same "
        "pairs, relabelled by gold + multiplier x safety; MoCAN's multiplier comes from the base's "
        f"samples. Means of {len(rows.seeds)} seeds with 95 % intervals."
    )


STUDY = Study(
    id="S081",
    name="one-shot-safety",
    paper=Paper(
        "One-Shot Safety Alignment for Large Language Models via Optimal Dualization",
        "X. Huang, S. Li, E. Dobriban, O. Bastani, H. Hassani, D. Ding",
        2024,
        "2405.19544",
        read="released code (the dual's gradient, the relabelling, PeCAN's threshold) and abstract",
    ),
    claim=(
        "The multiplier of a safety constraint can be found beforehand from the reference's "
        "samples by minimising a convex function; one unconstrained alignment with the merged "
        "reward then meets the constraint and lies on the front of fixed weights."
    ),
    parts=(
        "meritree.objectives.dual.solve",
        "meritree.align.prefer.fit_preferences",
        "meritree.objectives.preference.LogRatio",
        "meritree.objectives.links.Logistic",
    ),
    data=(
        Data(TABLE, "normal rewards, random safety, uniform reference", "a table a seed"),
        Data(GRAMMAR, _lab.DATA, "360 pairs a seed; an answer is safe if it promises nothing"),
    ),
    baselines=tuple(f"weight {weight:g}" for weight in WEIGHTS),
    measure=measure,
    checks=(
        Bound("table: the constraint is met within 0.001", "off the threshold", "MoCAN", TABLE,
              at_most=1e-3),
        *(
            _lab.near(f"grammar: safety is within 0.05 of the {threshold:g} asked",
                      "off the threshold", f"MoCAN {threshold:g}", GRAMMAR, at_most=0.05)
            for threshold in THRESHOLDS
        ),
        Own("grammar: MoCAN is at most 0.1 below the front of fixed weights", _on_the_front),
    ),
    scales={
        "smoke": Scale(1, {**_lab.SMOKE_BASE, "table_steps": 40, "samples": 16, "pairs": 24,
                           "batch": 12, "steps": 2, "rate": 1e-3, "eval": 12}),
        "full": Scale(3, {**_lab.FULL_BASE, "table_steps": 300, "samples": 64, "pairs": 360,
                          "batch": 60, "steps": 60, "rate": 1e-3, "eval": 480}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers", "scipy"),
    extra="align",
    repeatable=False,
    notes=(
        "Primal-dual PPO, the paper's other baseline, needs the reward trainer and is left out.",
        f"PeCAN's margin is {MARGIN:g} of what the best of the samples reach: the spread of a "
        "safety model's log-ratios depends on its training; no safety is asked in its own unit.",
        "Rows need not repeat to the last digit: single precision sums differ between processors.",
    ),
)  # fmt: skip
