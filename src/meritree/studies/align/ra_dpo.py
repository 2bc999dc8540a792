"""S054: does a nested risk measure keep the policy nearer to its reference at the same worth?

DPO, TDPO and Ra-DPO on the same pairs in the laboratory, compared on their way at equal gold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

from meritree.align.lab import grammar
from meritree.studies.align import _lab
from meritree.studies.checks import Better
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPO, TDPO1, TDPO2, RA1, RA2 = "DPO", "TDPO1", "TDPO2", "Ra-DPO1", "Ra-DPO2"
ARMS = (DPO, TDPO1, TDPO2, RA1, RA2)
GRAMMAR = "preference grammar"
BETA, LEVEL = 0.1, 0.3  # of the CVaR: the worst three tenths of the reference's mass
KL, TAIL = "KL(base || policy)", "95 % quantile of log base / policy"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Every arm on the same pairs; its path through gold and distance."""
    with _lab.one_thread():
        lab = _lab.open_lab(settings)
        rng = Random(f"ra-dpo {seed}")
        both = _lab.draw(lab, lab.ref, _lab.topics(settings["pairs"], rng), 2, seed)
        data = _lab.as_pairs([_lab.judged(two, grammar.gold, rng, sharpness=2.0) for two in both])
        fresh = _lab.draw(lab, lab.ref, _lab.topics(60, rng), 2, seed + 1000)
        own = [one for group in fresh for one in group]
        paths = {arm: _path(lab, arm, data, own, settings, seed) for arm in ARMS}
        start = _lab.measured(lab, lab.ref, settings, seed)["gold"]
    yield Row("base", GRAMMAR, "gold", start)
    level = min(max(point["gold"] for point in path) for path in paths.values())
    level = start + 0.9 * (level - start)
    for arm, path in paths.items():
        whole = [{"gold": start, KL: 0.0, TAIL: 0.0}, *path]
        yield Row(arm, GRAMMAR, "gold", path[-1]["gold"])
        for name in (KL, TAIL):
            yield Row(arm, GRAMMAR, name, path[-1][name])
            yield Row(arm, GRAMMAR, f"{name}, at equal gold", _reached(whole, level, name))


def objective(arm: str) -> Any:
    """The arm's loss: which risk, how much of it, with or without the preferred rows' gradient."""
    from meritree.objectives.links import Logistic
    from meritree.objectives.preference import LogRatio, PairObjective
    from meritree.objectives.risk_ratio import CVaR, Mean, RiskRatio

    if arm == DPO:
        return PairObjective(LogRatio(), Logistic(BETA))
    risk = CVaR(LEVEL) if arm in (RA1, RA2) else Mean()
    softly = arm in (TDPO2, RA2)
    return PairObjective(RiskRatio(risk, 0.5 if softly else 1.0, softly), Logistic(BETA))


def _path(
    lab: _lab.Lab, arm: str, data: Any, own: Sequence[Any], settings: Settings, seed: int
) -> list[dict[str, float]]:
    points: list[dict[str, float]] = []

    def look(policy: Any, step: int) -> dict[str, float]:
        if step:
            gold = _lab.measured(lab, policy, settings, seed)["gold"]
            points.append({"gold": gold, **_distance(lab, policy, own)})
        return {}

    _lab.fit(
        _lab.copy_to_train(lab), objective(arm), data, settings, seed=seed,
        evaluate=look, evaluate_every=settings["look every"],
    )  # fmt: skip
    return points


def _distance(lab: _lab.Lab, policy: Any, own: Sequence[Any]) -> dict[str, float]:
    """On the base's own answers: KL(base || policy) summed over tokens, and the ratios' tail."""
    import torch

    from meritree.align.data import Answer, answers
    from meritree.align.forward import policy_keys, rows_of
    from meritree.objectives.divergences import full_kl

    data = answers([Answer(*one.ids) for one in own])
    with torch.no_grad():
        rows = rows_of(data, torch.arange(data.size), torch.device("cpu"))
        needs = frozenset({"dist", "logp"})
        new, base = (policy_keys(model, rows, needs) for model in (policy, lab.ref))
        kl = full_kl(new["dist"], base["dist"], "ref_pi")
        ratios = (base["logp"] - new["logp"])[rows.mask]
        return {
            KL: float((kl * rows.mask).sum()) / data.size,
            TAIL: float(torch.quantile(ratios, 0.95)),
        }


def _reached(path: Sequence[Mapping[str, float]], level: float, name: str) -> float:
    """Where the path first reaches the gold, straight between its points; else at its best."""
    for before, after in pairwise(path):
        if before["gold"] <= level <= after["gold"]:
            share = (level - before["gold"]) / max(after["gold"] - before["gold"], 1e-9)
            return before[name] + share * (after[name] - before[name])
    return max(path, key=lambda point: point["gold"])[name]


def draw(rows: Rows, figure: Figure) -> str:
    """Distances at equal gold, and gold at the end."""
    from meritree.studies.figure import bars

    axes = figure.subplots(1, 3, sharey=True)
    chosen = Rows.of(row for row in rows if row.system != "base")
    for panel, metric in zip(
        axes, ("gold", f"{KL}, at equal gold", f"{TAIL}, at equal gold"), strict=True
    ):
        bars(panel, chosen, metric)
        panel.set_xlabel(metric.replace(", at", ",\nat"), fontsize=8)
    return (
        f"Left: worth of the answers after training with beta {BETA:g} on the same pairs of the "
        "preference grammar; middle and right: how far each had gone from the base when it first "
        f"reached the same worth, on the base's own answers. Means of {len(rows.seeds)} seeds with "
        "95 % intervals."
    )


def _nearer(system: str, than: str, name: str) -> Better:
    return Better(
        f"{system} is nearer to the base than {than} at equal gold: {name}",
        f"{name}, at equal gold", system, than, higher=False, dataset=GRAMMAR,
    )  # fmt: skip


STUDY = Study(
    id="S054",
    name="ra-dpo",
    paper=Paper(
        "Risk-aware Direct Preference Optimization under Nested Risk Measure",
        "L. Zhang, L. Li, Y. Qi, H. Song, Y. Yang, J. Wang, W. Wei",
        2025,
        "2505.20359",
        read="abstract and released code (losses and risk functionals)",
    ),
    claim=(
        "With a nested risk measure (CVaR) in place of TDPO's expectation at every token, the "
        "policy stays nearer to its reference than DPO's at the same alignment."
    ),
    parts=(
        "meritree.align.prefer.fit_preferences",
        "meritree.objectives.risk_ratio.RiskRatio",
        "meritree.objectives.risk_ratio.CVaR",
        "meritree.objectives.links.Logistic",
    ),
    data=(Data(GRAMMAR, _lab.DATA, "200 pairs a seed, labelled by Bradley-Terry on 2 x gold"),),
    baselines=(DPO, TDPO1, TDPO2),
    measure=measure,
    checks=(
        _nearer(RA1, DPO, KL),
        _nearer(RA2, DPO, KL),
        _nearer(RA2, TDPO2, KL),
        _nearer(RA1, TDPO1, KL),
        _nearer(RA2, DPO, TAIL),
        Better("Ra-DPO2 ends with no less gold than DPO less 0.1", "gold", RA2, DPO, by=-0.1,
               dataset=GRAMMAR),
    ),
    scales={
        "smoke": Scale(1, {**_lab.SMOKE_BASE, "pairs": 24, "batch": 12, "steps": 2,
                           "look every": 2, "rate": 1e-3, "eval": 12}),
        "full": Scale(4, {**_lab.FULL_BASE, "pairs": 200, "batch": 40, "steps": 40,
                          "look every": 5, "rate": 1e-3, "eval": 180}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "CVaR is exact (weighted by the reference's probabilities, divided by its level); the "
        "released code takes a quantile over the vocabulary, see "
        "`objectives.risk_ratio.ReleasedCVaR`.",
        "Equal gold: nine tenths of the way from the base to the least of the arms' best worths.",
    ),
)  # fmt: skip
