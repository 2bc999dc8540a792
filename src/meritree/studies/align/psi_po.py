"""S110: does IPO stay at its closed form where DPO forgets the reference?

On tables of logits with certain preferences, and in the laboratory over many epochs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

from meritree.align.lab import grammar
from meritree.studies.align import _lab
from meritree.studies.checks import FEWEST, Better, Bound, Own, decide
from meritree.studies.rows import Rows, SeedRow
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from meritree.stats import Interval
    from meritree.studies.checks import Outcome

DPO, IPO = "DPO", "IPO"
STRENGTHS = (0.1, 0.5, 1.0)  # tau of IPO, beta of DPO
CERTAIN = {
    "two answers, one always wins": ((0.5, 1.0), (0.0, 0.5)),
    "three answers in order": ((0.5, 1.0, 1.0), (0.0, 0.5, 1.0), (0.0, 0.0, 0.5)),
    "one of three never wins": ((0.5, 0.5, 1.0), (0.5, 0.5, 1.0), (0.0, 0.0, 0.5)),
}
RANDOM, GRAMMAR = "random preferences, five answers", "preference grammar"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Tables with a reference of the seed, then both losses in the laboratory."""
    with _lab.one_thread():
        yield from _tables(seed, settings["table_steps"])
        yield from _laboratory(seed, settings)


def _tables(seed: int, steps: int) -> Iterator[Row]:
    import torch

    from meritree.objectives.divergences import psi_policy

    generator = torch.Generator().manual_seed(seed)
    draw: Any = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    for name, beats in CERTAIN.items():
        preferred = torch.tensor(beats, dtype=torch.float64)
        ref = draw(len(beats))
        for strength in STRENGTHS:
            uniform = torch.full((len(beats),), 1.0 / len(beats), dtype=torch.float64)
            right = psi_policy(ref.log_softmax(-1), preferred, uniform, strength)
            for system in (IPO, DPO):
                pi = _fitted(system, strength, ref, preferred, steps)
                unit = f"strength {strength:g}"
                off = float((pi - right).abs().max())
                yield Row(system, name, "off the closed form", off, unit)
                yield Row(system, name, "probability of the loser", float(pi[-1]), unit)
    noise = draw(5, 5)
    preferred = torch.sigmoid(noise - noise.T)
    ref, uniform = draw(5), torch.full((5,), 0.2, dtype=torch.float64)
    for strength in STRENGTHS:
        right = psi_policy(ref.log_softmax(-1), preferred, uniform, strength)
        pi = _fitted(IPO, strength, ref, preferred, steps)
        off = float((pi - right).abs().max())
        yield Row(IPO, RANDOM, "off the closed form", off, f"strength {strength:g}")


def _objective(system: str, strength: float, label: str | None = None) -> Any:
    from meritree.objectives.links import Logistic, Square
    from meritree.objectives.preference import LogRatio, PairObjective

    link = Square(strength) if system == IPO else Logistic(strength)
    return PairObjective(LogRatio(), link, label=label)


def _fitted(system: str, strength: float, ref: Any, preferred: Any, steps: int) -> Any:
    """Answer probabilities after full passes over all ordered pairs."""
    import torch

    from meritree.align.data import pairs
    from meritree.align.prefer import fit_preferences
    from meritree.align.tabular import Tabular, every_pair

    policy = Tabular(ref[None])
    fit_preferences(
        policy,
        _objective(system, strength, "preference"),
        pairs(every_pair(preferred.tolist())),
        optimizer=lambda p: torch.optim.Adam(p, lr=0.2),
        schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.01 ** (1.0 / steps)),
        steps=steps,
        batch=None,
        log_every=0,
    )
    return policy.probabilities()[0]


def _laboratory(seed: int, settings: Settings) -> Iterator[Row]:
    lab = _lab.open_lab(settings)
    rng = Random(f"psi-po {seed}")
    prompts = _lab.topics(settings["pairs"], rng)
    both = _lab.draw(lab, lab.ref, prompts, 2, seed)
    data = _lab.as_pairs([_lab.judged(two, grammar.gold, rng) for two in both])
    passes = -(-data.size // settings["batch"])
    start = _lab.measured(lab, lab.ref, settings, seed)
    for epoch in settings["epochs"]:
        yield from _points("base", epoch, start)
    for system in (DPO, IPO):
        for strength in STRENGTHS:
            told: dict[int, dict[str, float]] = {}

            def look(policy: Any, step: int, told: Any = told) -> dict[str, float]:
                if step and step // passes in settings["epochs"]:
                    told[step // passes] = _lab.measured(lab, policy, settings, seed)
                return {}

            _lab.fit(
                _lab.copy_to_train(lab), _objective(system, strength), data, settings, seed=seed,
                steps=passes * max(settings["epochs"]), evaluate=look, evaluate_every=passes,
            )  # fmt: skip
            for epoch, values in told.items():
                yield from _points(f"{system} {strength:g}", epoch, values)


def _points(arm: str, epoch: int, values: dict[str, float]) -> Iterator[Row]:
    for name in ("gold", "KL"):
        yield Row(arm, f"{GRAMMAR}, epoch {epoch}", name, values[name])


def _controlled(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """KL falls from each strength to the next on paired seeds, at the last epoch."""
    last = _epochs(rows)[-1]
    steps = list(pairwise(STRENGTHS))
    falls = [rows.difference("KL", f"{IPO} {a:g}", f"{IPO} {b:g}", last) for a, b in steps]
    told = ", ".join(
        f"{a:g} to {b:g}: {fall.mean:.2f} [{fall.low:.2f}, {fall.high:.2f}]"
        for (a, b), fall in zip(steps, falls, strict=True)
    )
    text = f"fall of KL with tau, {told}"
    if all(fall.low > 0.0 and fall.n >= FEWEST for fall in falls):
        return "holds", text, None
    return ("does not hold" if any(f.high < 0.0 for f in falls) else "inconclusive"), text, None


def _at_equal_kl(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """IPO's gold at the last epoch against what DPO has on its way at the same KL."""
    gains = []
    for seed in rows.seeds:
        own = Rows.of(row for row in rows if row.seed == seed)
        path = sorted(
            (own.mean("KL", arm, data), own.mean("gold", arm, data))
            for data in _epochs(rows)
            for arm in ("base", *(f"{DPO} {strength:g}" for strength in STRENGTHS))
        )
        for strength in STRENGTHS:
            arm, last = f"{IPO} {strength:g}", _epochs(rows)[-1]
            there = _lab.between(path, own.mean("KL", arm, last))
            gain = own.mean("gold", arm, last) - there
            gains.append(SeedRow(seed, IPO, last, "gain", gain, arm))
    gap = Rows.of(gains).interval("gain")
    text = f"gold of IPO above DPO's at equal KL {gap.mean:.3f} [{gap.low:.3f}, {gap.high:.3f}]"
    if len(rows.seeds) < FEWEST:
        return "inconclusive", text, gap
    return decide(gap, low=0.0), text, gap


def _epochs(rows: Rows) -> list[str]:
    """The grammar's data sets, by epoch."""
    found = [name for name in rows.datasets if name.startswith(GRAMMAR)]
    return sorted(found, key=lambda name: int(name.rsplit(" ", 1)[1]))


def draw(rows: Rows, figure: Figure) -> str:
    """The loser's probability on tables, gold against KL over epochs in the laboratory."""
    left, right = figure.subplots(1, 2)
    first = next(iter(CERTAIN))
    for system, colour in ((DPO, "#e45756"), (IPO, "#4c78a8")):
        chosen = rows.where(metric="probability of the loser", system=system, dataset=first)
        by_unit: dict[str, list[float]] = {}
        for row in chosen:
            by_unit.setdefault(row.unit, []).append(row.value)
        means = [sum(values) / len(values) for values in by_unit.values()]
        left.plot(STRENGTHS, [max(m, 1e-6) for m in means], "o-", color=colour, label=system)
    left.set_yscale("log")
    left.set_xlabel("tau (IPO) or beta (DPO)")
    left.set_ylabel("probability of the answer that never wins")
    left.legend(fontsize=8)
    places = _epochs(rows)
    for system, marker in ((DPO, "s--"), (IPO, "o-")):
        for strength, colour in zip(STRENGTHS, ("#f58518", "#54a24b", "#b279a2"), strict=True):
            arm = f"{system} {strength:g}"
            kl = [rows.mean("KL", arm, place) for place in places]
            gold = [rows.mean("gold", arm, place) for place in places]
            right.plot(kl, gold, marker, color=colour, label=arm, markersize=4)
    right.plot(0.0, rows.mean("gold", "base", places[-1]), "k*", label="base")
    right.set_xlabel("KL(policy || base), nats an answer")
    right.set_ylabel("gold")
    right.legend(fontsize=7)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return (
        f"Left: {first}, after training on both orders; right: gold against KL after "
        f"{', '.join(place.rsplit(' ', 1)[1] for place in places)} epochs over the same pairs of "
        "the preference grammar. "
        f"Means of {len(rows.seeds)} seeds."
    )


STUDY = Study(
    id="S110",
    name="psi-po",
    paper=Paper(
        "A General Theoretical Paradigm to Understand Learning from Human Preferences",
        "M. G. Azar, M. Rowland, B. Piot, D. Guo, D. Calandriello, M. Valko, R. Munos",
        2024,
        "2310.12036",
        read="third parties' summaries and TRL's loss; the closed form proved here by training",
    ),
    claim=(
        "Where preferences are certain, DPO drives the losing answer's probability to nothing "
        "whatever its beta, while IPO ends at pi proportional to ref exp(E p(y > y') / tau): its "
        "strength tau keeps the policy near the reference."
    ),
    parts=(
        "meritree.align.prefer.fit_preferences",
        "meritree.objectives.links.Square",
        "meritree.objectives.links.Logistic",
        "meritree.objectives.preference.LogRatio",
        "meritree.objectives.divergences.psi_policy",
    ),
    data=(
        Data(", ".join(CERTAIN), "tables of certain preferences, random references", "3 tables"),
        Data(RANDOM, "p = sigma(a - a^T) with normal a", "a table a seed"),
        Data(GRAMMAR, _lab.DATA, "160 pairs a seed, labelled by gold"),
    ),
    baselines=(DPO,),
    measure=measure,
    checks=(
        Bound("certain preferences: IPO ends within 0.001 of its closed form",
              "off the closed form", IPO, next(iter(CERTAIN)), at_most=1e-3),
        Bound("three in order: IPO ends within 0.001 of its closed form",
              "off the closed form", IPO, "three answers in order", at_most=1e-3),
        Bound("one never wins: IPO ends within 0.001 of its closed form",
              "off the closed form", IPO, "one of three never wins", at_most=1e-3),
        Bound("preferences that no reward explains: the same", "off the closed form", IPO, RANDOM,
              at_most=1e-3),
        Bound("certain preferences: DPO leaves the loser less than 0.01",
              "probability of the loser", DPO, next(iter(CERTAIN)), at_most=0.01),
        Better("certain preferences: IPO leaves the loser more", "probability of the loser", IPO,
               DPO, dataset=next(iter(CERTAIN))),
        Own("grammar, last epoch: IPO's KL falls as tau grows", _controlled),
        Own("grammar, last epoch: IPO's gold is not below DPO's at equal KL", _at_equal_kl),
    ),
    scales={
        "smoke": Scale(1, {**_lab.SMOKE_BASE, "table_steps": 40, "pairs": 24, "batch": 12,
                           "epochs": (1,), "rate": 1e-3, "eval": 12}),
        "full": Scale(3, {**_lab.FULL_BASE, "table_steps": 300, "pairs": 160, "batch": 40,
                          "epochs": (1, 4, 12), "rate": 1e-3, "eval": 240}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "IPO's log-ratios are summed over tokens as in the paper; TRL averages them, which changes "
        "what tau means (`LogRatio(mean=True)`).",
        "Rows need not repeat to the last digit: single precision sums differ between processors.",
    ),
)  # fmt: skip
