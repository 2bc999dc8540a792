"""S046: do groups of wrong answers teach something, if confident mistakes cost most?

GRPO, LENS and two plainer penalties on countdown problems that the base seldom solves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from meritree.studies.align import _lab
from meritree.studies.align._verifiable import (
    FULL_STEPS,
    Bench,
    asked,
    drawn_prompts,
    fit,
    judged,
    open_bench,
)
from meritree.studies.checks import Better
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRPO, LENS = "GRPO", "LENS"
UNIFORM, NEGATIVES, BASE = "uniform penalty", "negatives -1", "base"
ARMS = (GRPO, LENS, UNIFORM, NEGATIVES)
ALL, HARD, TRAINING = "countdown", "countdown, hard half", "countdown, training"
KS = (1, 4, 16, 64)
WEIGHT = 0.25
FLAT = "answers without an advantage"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Every arm from the same base on the same hard prompts; the test prompts are others."""
    with _lab.one_thread():
        bench = open_bench("countdown", settings)
        rng = Random(f"lens {seed}")
        drawn = drawn_prompts(bench.task, settings["drawn"], rng)
        train = hardest(bench, drawn, settings["prompts"], seed)
        test = drawn_prompts(bench.task, settings["eval"], rng, apart=drawn)
        data, held = asked(bench, train), asked(bench, test)
        base = judged(bench, bench.ref, held, settings["answers"], seed + 1000)
        # The hard half is chosen by other answers than those that are reported.
        first = judged(bench, bench.ref, held, 16, seed + 2000)
        order = sorted(range(len(test)), key=lambda i: first.right[i])
        hard = order[: len(test) // 2]
        yield from _points(BASE, base, hard)
        for arm in ARMS:
            policy = bench.policy()
            trained = fit(bench, policy, method(arm), data, settings, seed=seed, ref=bench.ref,
                          log_every=1)  # fmt: skip
            if arm in (GRPO, LENS):
                flat = [point.value for point in trained.curve if point.name == "flat groups"]
                yield Row(arm, TRAINING, FLAT, fmean(flat))
            found = judged(bench, policy, held, settings["answers"], seed + 1000)
            yield from _points(arm, found, hard)


def method(arm: str, size: int = 16) -> Any:
    """GRPO with clip-higher, and what each arm makes of wrong answers."""
    from meritree.align.rlvr import RLVR
    from meritree.align.shaping import Group, Lens

    if arm == LENS:
        return RLVR(shapes=(Lens(),), advantage=Group(negative_weight=WEIGHT), size=size)
    if arm == UNIFORM:
        return RLVR(advantage=Uniform(WEIGHT), size=size)
    if arm == NEGATIVES:
        return RLVR(advantage=OnlyNegatives(), size=size)
    return RLVR(size=size)


@dataclass(frozen=True)
class Uniform:
    """GRPO, but -weight / G for every answer of a group without a right one.

    The same penalty without LENS's confidence and centring: centred it would be nothing.

    Attributes:
        weight: of such groups.
    """

    weight: float
    needs: ClassVar[frozenset[str]] = frozenset({"label"})
    by_token: ClassVar[bool] = False

    def __call__(self, reward: Any, b: Any, size: int, /) -> Any:
        from meritree.align.shaping import Advantages
        from meritree.objectives.group_advantages import all_wrong, group

        wrong = all_wrong(b["label"].to(reward.dtype), size)
        plain = group(reward, size)
        return Advantages(plain.masked_fill(wrong, -self.weight / size)[:, None])


@dataclass(frozen=True)
class OnlyNegatives:
    """-1 for every wrong answer, nothing for right ones: negative-sample reinforcement."""

    needs: ClassVar[frozenset[str]] = frozenset()
    by_token: ClassVar[bool] = False

    def __call__(self, reward: Any, b: Any, size: int, /) -> Any:
        from meritree.align.shaping import Advantages

        return Advantages((reward - 1.0)[:, None])


def hardest(bench: Bench, drawn: Sequence[Sequence[str]], n: int, seed: int) -> list[Any]:
    """The ``n`` prompts that the base solves least often, in the order in which they were drawn."""
    solved = judged(bench, bench.ref, asked(bench, drawn), 16, seed).right
    chosen = sorted(sorted(range(len(drawn)), key=lambda i: solved[i])[:n])
    return [drawn[i] for i in chosen]


def _points(arm: str, found: Any, hard: Sequence[int]) -> Iterator[Row]:
    from meritree.stats import pass_at_k

    for k in (k for k in KS if k <= found.n):
        yield Row(arm, ALL, f"pass@{k}", found.at(k))
        part = fmean(pass_at_k(found.n, found.right[i], k) for i in hard)
        yield Row(arm, HARD, f"pass@{k}", part)


def draw(rows: Rows, figure: Figure) -> str:
    """pass@k by arm, on all test prompts and on the hard half."""
    axes = figure.subplots(1, 2)
    for panel, dataset in zip(axes, (ALL, HARD), strict=True):
        ks = [k for k in KS if rows.where(metric=f"pass@{k}", dataset=dataset)]
        for system in rows.where(dataset=dataset).systems:
            means = [rows.mean(f"pass@{k}", system, dataset) for k in ks]
            panel.plot(ks, means, "o-", label=system, markersize=4)
        panel.set_xscale("log", base=2)
        panel.set_xlabel("k")
        panel.set_title(dataset, fontsize=9)
        panel.grid(alpha=0.3)
    axes[0].set_ylabel("pass@k")
    axes[0].legend(fontsize=8)
    return (
        "pass@k on new countdown problems after training on hard ones: all of them (left) and the "
        f"half that the base solves least (right). Means of {len(rows.seeds)} seeds."
    )


STUDY = Study(
    id="S046",
    name="lens",
    paper=Paper(
        "Don't Waste Mistakes: Leveraging Negative RL-Groups via Confidence Reweighting",
        "Y. Feng, P. Jain, A. Hartshorn, Y. Duan, J. Kempe",
        2025,
        "2510.08696",
        read="full text, theorems 1 and 2 and the practical reward; no code is released",
    ),
    claim=(
        "Maximum likelihood of correctness gives wrong answers a penalty that grows with the "
        "policy's confidence in them; with it, groups without a right answer train the policy too "
        "and GRPO's pass@k rises, most on hard problems."
    ),
    parts=(
        "meritree.align.rlvr.fit_rlvr",
        "meritree.align.shaping.Group",
        "meritree.align.shaping.Lens",
        "meritree.objectives.group_advantages.all_wrong",
        "meritree.objectives.shapes.lens",
    ),
    data=(
        Data(ALL,
             "four numbers and a target (meritree.align.lab.countdown); a Llama of about 97 000 "
             "parameters trained on the task",
             "the 128 of 320 prompts a seed that the base solves least often to train on; 100 "
             "others with 64 answers each to measure"),
        Data(HARD, "the half of them that the base solves less often, by answers of its own", "50"),
        Data(TRAINING, "groups of 16 answers as they are drawn", "every step"),
    ),
    baselines=(BASE, GRPO, UNIFORM, NEGATIVES),
    measure=measure,
    checks=(
        Better("LENS leaves fewer answers without an advantage than GRPO", FLAT, LENS, GRPO,
               higher=False, by=0.1, dataset=TRAINING),
        *(
            Better(f"LENS solves more than GRPO with {k} answers", f"pass@{k}", LENS, GRPO,
                   dataset=ALL)
            for k in KS
        ),
        Better("on the hard half LENS solves more than GRPO with 16 answers", "pass@16", LENS, GRPO,
               dataset=HARD),
        Better("with 16 answers LENS solves more than with the uniform penalty", "pass@16", LENS,
               UNIFORM, dataset=ALL),
        Better("with 16 answers LENS solves more than with negatives alone", "pass@16", LENS,
               NEGATIVES, dataset=ALL),
    ),
    scales={
        "smoke": Scale(1, {"base_steps": 60, "base_rows": 3000, "drawn": 16, "prompts": 8,
                           "batch": 4, "steps": 3, "rate": 1e-3, "eval": 12, "answers": 64}),
        "full": Scale(3, {"base_steps": FULL_STEPS["countdown"], "base_rows": 20_000,
                          "drawn": 320, "prompts": 128, "batch": 16, "steps": 50, "rate": 3e-4,
                          "eval": 100, "answers": 64}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "Tiny models show mechanisms, not benchmark gains.",
        "After 50 steps on hard problems every arm solves less than the base, with one answer too: "
        "what is compared is how much is lost, not what is gained.",
        "Penalties are at most 1/16 and weighted by 1/4 in negative groups, beside advantages of "
        "the order of 1 in mixed ones: differences of the final policies are small, and 3 seeds "
        "with 100 prompts resolve about 0.03 in pass@k. A larger run: "
        "`--set steps=300 --set eval=400 --seeds 10`, about 45 CPU minutes.",
        "A penalty that is equal for all wrong answers of a group is GRPO exactly once it is "
        "centred (tests/align/test_lens.py); the uniform penalty here is therefore not centred.",
        "The importance weight D_imp uses whole answers' probabilities, computed in logarithms.",
    ),
)  # fmt: skip
