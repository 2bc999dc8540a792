"""S056: can a policy learn from answers that were only bad, as long as a KL holds it?

Positives, negatives and both, on tables of logits and in the laboratory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from meritree.align.lab import grammar
from meritree.studies.align import _lab
from meritree.studies.checks import Better, Bound
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POSITIVES, NEGATIVES, BOTH = "positives only", "negatives only", "both"
UNHELD, DPO = "negatives only, no KL", "DPO"
# Weight of the positives (alpha) and of the KL term (beta). Bad answers are at most twice as likely
# among the bad ones as under the base, so that a beta of 2 suffices to hold negatives alone.
ARMS: dict[str, tuple[float, float]] = {
    POSITIVES: (1.0, 0.5), NEGATIVES: (0.0, 2.0), BOTH: (0.5, 1.0), UNHELD: (0.0, 0.0),
}  # fmt: skip
TABLE, GRAMMAR = "table of five answers", "preference grammar"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Closed forms on a table of the seed, then four mixtures and DPO on the same answers."""
    with _lab.one_thread():
        yield from _tables(seed, settings["table_steps"])
        yield from _laboratory(seed, settings)


def objective(alpha: float, beta: float, *, mean: bool = False) -> Any:
    """-alpha log pi of label 1, + (1 - alpha) log pi of label 0, + beta KL(ref || pi)."""
    from meritree.objectives.extras import FullKl, Nll
    from meritree.objectives.preference import RowObjective

    terms: list[tuple[float, Any]] = []
    if alpha:
        terms.append((alpha, Nll(label=1, mean=mean, balanced=True)))
    if alpha < 1.0:
        terms.append((alpha - 1.0, Nll(label=0, mean=mean, balanced=True)))
    if beta:
        terms.append((beta, FullKl(mean=mean)))
    return RowObjective(tuple(terms))


def _tables(seed: int, steps: int) -> Iterator[Row]:
    import torch

    from meritree.align.data import answers
    from meritree.align.prefer import fit_preferences
    from meritree.align.tabular import Tabular, every_answer

    generator = torch.Generator().manual_seed(seed)
    logits = 0.5 * torch.randn(3, 5, generator=generator, dtype=torch.float64)
    good, bad, ref = logits.softmax(-1)
    for arm, (alpha, beta) in ARMS.items():
        if arm == UNHELD:
            continue
        beta = max(beta, 4.0)  # so that what is taken away never exceeds what ref holds
        rows = every_answer(5, label=[1.0] * 5) + every_answer(5, label=[0.0] * 5)
        data = answers(rows).weighted([*good.tolist(), *bad.tolist()])
        policy = Tabular(ref.log()[None])
        fit_preferences(
            policy, objective(alpha, beta), data, steps=steps, batch=None, log_every=0,
            optimizer=lambda p: torch.optim.Adam(p, lr=0.1),
            schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.01 ** (1.0 / steps)),
        )  # fmt: skip
        mixed = alpha * good - (1.0 - alpha) * bad + beta * ref
        off = (policy.probabilities()[0] - mixed / mixed.sum()).abs().max()
        yield Row(arm, TABLE, "off the closed form", float(off))


def _laboratory(seed: int, settings: Settings) -> Iterator[Row]:
    """Four answers a prompt, the better two labelled good and the worse two bad."""
    from meritree.align.data import Answer, Pair, answers, pairs
    from meritree.objectives.links import Logistic
    from meritree.objectives.preference import LogRatio, PairObjective

    lab = _lab.open_lab(settings)
    rng = Random(f"pmpo {seed}")
    given = _lab.draw(lab, lab.ref, _lab.topics(settings["prompts"], rng), 4, seed)
    ranked = [_ranked(four) for four in given]
    labelled = answers(
        Answer(one.ids[0], one.ids[1], {"label": int(place < 2)})
        for four in ranked
        for place, one in enumerate(four)
    )
    paired = pairs(
        Pair(four[i].ids[0], four[i].ids[1], four[i + 2].ids[1])
        for four in ranked
        for i in (0, 1)
    )  # fmt: skip
    yield from _points("base", _lab.measured(lab, lab.ref, settings, seed))
    for arm, (alpha, beta) in ARMS.items():
        policy = _lab.copy_to_train(lab)
        _lab.fit(policy, objective(alpha, beta), labelled, settings, seed=seed)
        yield from _points(arm, _lab.measured(lab, policy, settings, seed))
    policy = _lab.copy_to_train(lab)
    dpo = PairObjective(LogRatio(), Logistic(0.1))
    _lab.fit(policy, dpo, paired, settings, seed=seed, batch=settings["batch"] // 2)
    yield from _points(DPO, _lab.measured(lab, policy, settings, seed))


def _ranked(four: Sequence[Any]) -> list[Any]:
    return sorted(four, key=lambda one: -grammar.gold(one.prompt, one.answer))


def _points(arm: str, values: dict[str, float]) -> Iterator[Row]:
    for name in ("gold", "KL", "length"):
        yield Row(arm, GRAMMAR, name, values[name])


def draw(rows: Rows, figure: Figure) -> str:
    """Worth of the answers and distance from the base, by arm."""
    from meritree.studies.figure import bars

    axes = figure.subplots(1, 2, sharey=True)
    chosen = rows.where(dataset=GRAMMAR)
    bars(axes[0], chosen, "gold")
    bars(axes[1], chosen, "KL")
    axes[1].set_xlabel("KL(policy || base), nats an answer")
    axes[1].set_xscale("symlog", linthresh=1.0)
    return (
        "Answers after the same number of steps on the same labelled answers of the preference "
        "grammar, four a prompt, two of them good: worth (left) and distance from the base "
        f"(right). Means of {len(rows.seeds)} seeds with 95 % intervals."
    )


STUDY = Study(
    id="S056",
    name="pmpo",
    paper=Paper(
        "Learning from negative feedback, or positive feedback or both",
        "A. Abdolmaleki, B. Piot, B. Shahriari, J. T. Springenberg, T. Hertweck, R. Joshi, J. Oh, "
        "M. Bloesch, T. Lampe, N. Heess, J. Buchli, M. Riedmiller",
        2025,
        "2410.04166",
        read="abstract and a third party's account of equations 6, 8 and 10",
    ),
    claim=(
        "Expectation-maximisation on the probability of success gives likelihood terms for good "
        "and for bad answers and a KL to the reference: either kind of feedback suffices, learning "
        "from bad answers alone is stable with the KL, both together are best."
    ),
    parts=(
        "meritree.align.prefer.fit_preferences",
        "meritree.objectives.extras.Nll",
        "meritree.objectives.extras.FullKl",
        "meritree.objectives.preference.RowObjective",
    ),
    data=(
        Data(TABLE, "random distributions of good and bad answers", "one a seed"),
        Data(GRAMMAR, _lab.DATA, "60 prompts a seed with four answers, two good by gold"),
    ),
    baselines=("base", DPO, UNHELD),
    measure=measure,
    checks=(
        *(
            Bound(f"table, {arm}: ends within 0.001 of its closed form", "off the closed form",
                  arm, TABLE, at_most=1e-3)
            for arm in (POSITIVES, NEGATIVES, BOTH)
        ),
        Better("negatives only, held by the KL, beat the base", "gold", NEGATIVES, "base",
               dataset=GRAMMAR),
        Better("without the KL they end below the base", "gold", "base", UNHELD, dataset=GRAMMAR),
        Better("positives only beat the base", "gold", POSITIVES, "base", dataset=GRAMMAR),
        Better("both beat positives only", "gold", BOTH, POSITIVES, dataset=GRAMMAR),
        Better("both are not worse than DPO by more than 0.1", "gold", BOTH, DPO, by=-0.1,
               dataset=GRAMMAR),
    ),
    scales={
        "smoke": Scale(1, {**_lab.SMOKE_BASE, "table_steps": 40, "prompts": 6, "batch": 12,
                           "steps": 2, "rate": 1e-3, "eval": 12}),
        "full": Scale(5, {**_lab.FULL_BASE, "table_steps": 300, "prompts": 60, "batch": 80,
                          "steps": 45, "rate": 1e-3, "eval": 240}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "The paper's control tasks (RGB stacking) and its models of billions of parameters are not "
        "at hand.",
        "At equal steps DPO goes much further from the base than the mixtures (right of the "
        "figure); whether it is worth more at equal distance is not measured.",
        "The reference is not refreshed during training, as the answers are not drawn anew.",
        "Rows need not repeat to the last digit: single precision sums differ between processors.",
    ),
)  # fmt: skip
