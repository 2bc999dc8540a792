"""S117: which divergence holds the policy decides between worth and diversity.

Closed forms on tables of logits; gold, diversity and calibration in the laboratory.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Any

from meritree.align.lab import grammar
from meritree.studies.align import _lab
from meritree.studies.checks import FEWEST, Better, Bound, Own, show
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from meritree.stats import Interval
    from meritree.studies.checks import Outcome

# From the strongest pull towards the best answers to the weakest, as in the paper's tables.
ARMS: dict[str, tuple[str, float]] = {
    "reverse KL (DPO)": ("reverse_kl", 0.5), "JS": ("js", 0.5),
    "alpha 0.5": ("alpha", 0.5), "forward KL": ("forward_kl", 0.5),
}  # fmt: skip
REVERSE, FORWARD = "reverse KL (DPO)", "forward KL"
TABLE, GRAMMAR = "Bradley-Terry table, five answers", "preference grammar"
TABLE_BETA = 1.0
BETA = 0.1  # in the laboratory, as in the paper's sentiment task


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Optima on a table of the seed, then one training a divergence on the same pairs."""
    with _lab.one_thread():
        yield from _tables(seed, settings["table_steps"])
        yield from _laboratory(seed, settings)


def _objective(arm: str, beta: float, label: str | None = None) -> Any:
    from meritree.objectives.links import Logistic
    from meritree.objectives.preference import LogRatio, PairObjective

    f, alpha = ARMS[arm]
    return PairObjective(LogRatio(f, alpha), Logistic(beta), label=label)  # type: ignore[arg-type]


def _tables(seed: int, steps: int) -> Iterator[Row]:
    import torch

    from meritree.align.data import pairs
    from meritree.align.prefer import fit_preferences
    from meritree.align.tabular import Tabular, every_pair
    from meritree.objectives.divergences import best_policy

    generator = torch.Generator().manual_seed(seed)
    reward, ref = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    beats = torch.sigmoid(reward[:, None] - reward[None, :])
    for arm, (f, alpha) in ARMS.items():
        policy = Tabular(ref[None])
        fit_preferences(
            policy, _objective(arm, TABLE_BETA, "preference"), pairs(every_pair(beats.tolist())),
            optimizer=lambda p: torch.optim.Adam(p, lr=0.2),
            schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.01 ** (1.0 / steps)),
            steps=steps, batch=None, log_every=0,
        )  # fmt: skip
        right = best_policy(reward, ref.log_softmax(-1), TABLE_BETA, f, alpha)  # type: ignore[arg-type]
        off = (policy.probabilities()[0] - right).abs().max()
        yield Row(arm, TABLE, "off the optimum", float(off))


def _laboratory(seed: int, settings: Settings) -> Iterator[Row]:
    lab = _lab.open_lab(settings)
    rng = Random(f"f-dpo {seed}")
    both = _lab.draw(lab, lab.ref, _lab.topics(settings["pairs"], rng), 2, seed)
    data = _lab.as_pairs([_lab.judged(two, grammar.gold, rng, sharpness=1.0) for two in both])
    fresh = _lab.draw(lab, lab.ref, _lab.topics(settings["held out"], rng), 2, seed + 1000)
    held_out = [_lab.judged(two, grammar.gold, rng, sharpness=1.0) for two in fresh]
    for name, value in _lab.measured(lab, lab.ref, settings, seed).items():
        if name in ("gold", "KL", "entropy", "distinct"):
            yield Row("base", GRAMMAR, name, value)
    for arm in ARMS:
        policy = _lab.copy_to_train(lab)
        _lab.fit(policy, _objective(arm, BETA), data, settings, seed=seed)
        values = _lab.measured(lab, policy, settings, seed)
        for name in ("gold", "KL", "entropy", "distinct"):
            yield Row(arm, GRAMMAR, name, values[name])
        yield Row(arm, GRAMMAR, "gold per nat of KL", _efficiency(values, lab, settings, seed))
        yield Row(arm, GRAMMAR, "calibration error", _calibration(lab, policy, arm, held_out))


def _efficiency(values: dict[str, float], lab: _lab.Lab, settings: Settings, seed: int) -> float:
    base = _lab.measured(lab, lab.ref, settings, seed)["gold"]
    return (values["gold"] - base) / max(values["KL"], 0.05)


def _calibration(lab: _lab.Lab, policy: Any, arm: str, held_out: Any) -> float:
    """ECE of sigma(beta (f'(u_first) - f'(u_second))), first and second in random order."""
    import torch

    from meritree.align.data import Answer
    from meritree.align.sample import log_probability
    from meritree.objectives.divergences import derivative
    from meritree.stats.calibration import expected_calibration_error

    rows = [Answer(*one.ids) for two in held_out for one in two]
    h = log_probability(policy, rows) - log_probability(lab.ref, rows)
    f, alpha = ARMS[arm]
    worth = derivative(h, f, alpha)  # type: ignore[arg-type]
    gap = BETA * (worth[::2] - worth[1::2])
    sign = torch.tensor([1.0, -1.0]).repeat(len(gap) // 2 + 1)[: len(gap)]
    said = torch.sigmoid(sign * gap).tolist()
    return expected_calibration_error(said, [float(s > 0) for s in sign.tolist()])


def _influence(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """The paired difference of the two outermost divergences' calibration errors is not zero."""
    gap = rows.difference("calibration error", REVERSE, FORWARD, GRAMMAR)
    text = f"calibration error, {REVERSE} - {FORWARD}: {show(gap)}"
    sure = gap.n >= FEWEST and not gap.low <= 0.0 <= gap.high
    return ("holds" if sure else "inconclusive"), text, gap


def draw(rows: Rows, figure: Figure) -> str:
    """Gold against entropy, and calibration errors."""
    from meritree.studies.figure import bars

    left, right = figure.subplots(1, 2)
    for arm in ("base", *ARMS):
        gold, entropy = (rows.interval(name, arm, GRAMMAR) for name in ("gold", "entropy"))
        left.errorbar(
            entropy.mean, gold.mean, fmt="o", capsize=3, label=arm,
            xerr=[[entropy.mean - entropy.low], [entropy.high - entropy.mean]],
            yerr=[[gold.mean - gold.low], [gold.high - gold.mean]],
        )  # fmt: skip
    left.set_xlabel("entropy, nats an answer")
    left.set_ylabel("gold")
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    bars(right, rows, "calibration error")
    return (
        f"Left: worth and entropy of answers after training with beta {BETA:g} on the same pairs "
        "of the preference grammar; right: expected calibration error of the implied preference "
        f"on held-out pairs. Means of {len(rows.seeds)} seeds with 95 % intervals."
    )


STUDY = Study(
    id="S117",
    name="f-dpo",
    paper=Paper(
        "Beyond Reverse KL: Generalizing Direct Preference Optimization with Diverse Divergence "
        "Constraints",
        "C. Wang, Y. Jiang, C. Yang, H. Liu, Y. Chen",
        2024,
        "2309.16240",
        read="abstract, released code (the divergences' derivatives) and TRL's losses",
    ),
    claim=(
        "For divergences whose derivative can be inverted, the optimum of E r - beta D_f is "
        "reached by a DPO-like loss on f'(pi / ref); reverse KL aligns most and keeps least "
        "diversity, forward KL the reverse, JS and alpha lie between; the divergence influences "
        "the calibration error."
    ),
    parts=(
        "meritree.align.prefer.fit_preferences",
        "meritree.objectives.preference.LogRatio",
        "meritree.objectives.divergences.derivative",
        "meritree.objectives.divergences.best_policy",
        "meritree.stats.calibration.expected_calibration_error",
    ),
    data=(
        Data(TABLE, "normal rewards and references", "one table a seed"),
        Data(GRAMMAR, _lab.DATA, "240 pairs a seed, labelled by Bradley-Terry on gold"),
    ),
    baselines=(REVERSE,),
    measure=measure,
    checks=(
        *(
            Bound(f"table: {arm} ends within 0.001 of its optimum", "off the optimum", arm, TABLE,
                  at_most=1e-3)
            for arm in ARMS
        ),
        Better("reverse KL is worth more than forward KL", "gold", REVERSE, FORWARD,
               dataset=GRAMMAR),
        Better("forward KL keeps more entropy than reverse KL", "entropy", FORWARD, REVERSE,
               dataset=GRAMMAR),
        Better("JS keeps more entropy than reverse KL", "entropy", "JS", REVERSE, dataset=GRAMMAR),
        Better("JS is worth more than forward KL", "gold", "JS", FORWARD, dataset=GRAMMAR),
        Own("calibration errors of two divergences differ", _influence),
    ),
    scales={
        "smoke": Scale(1, {**_lab.SMOKE_BASE, "table_steps": 40, "pairs": 24, "held out": 24,
                           "batch": 12, "steps": 3, "rate": 1e-3, "eval": 12}),
        "full": Scale(4, {**_lab.FULL_BASE, "table_steps": 500, "pairs": 240, "held out": 400,
                          "batch": 40, "steps": 60, "rate": 1e-3, "eval": 360}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "TRL's coefficient of the alpha divergence is 1 - alpha of the paper, used here.",
        "PPO with the same penalties, the paper's other baseline, needs the reward trainer and is "
        "left out.",
        "Rows need not repeat to the last digit: single precision sums differ between processors.",
    ),
)  # fmt: skip
