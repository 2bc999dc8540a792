"""S027: do rewards scaled by the value of a question make the valuable ones right more often?

Leave-one-out REINFORCE on an examination of sums and products, some of which are worth more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any

from meritree.align.lab import chains
from meritree.studies.align import _lab
from meritree.studies.align._verifiable import asked, fit, open_bench
from meritree.studies.checks import Better
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN, RLEV = "correctness only", "RLEV"
UNIFORM, SHUFFLED, BASE = "uniform scale 1.2", "shuffled values", "base"
ARMS = (PLAIN, RLEV, UNIFORM, SHUFFLED)
CHAINS = "one-step chains"
VALUED = "value-weighted accuracy"
SCALE = 1.2
LONGEST = 4  # tokens: "=", the value, the end and one too many


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Every reward from the same base on the same questions, asked again at the end."""
    with _lab.one_thread():
        bench = open_bench("chains", settings)
        rng = Random(f"rlev {seed}")
        exam = questions()
        values = values_of(exam, rng)
        data = asked(bench, exam)
        yield from _points(bench, bench.ref, BASE, data, exam, values, settings, seed)
        for arm in ARMS:
            given = rng.sample(values, len(values)) if arm == SHUFFLED else values
            policy = bench.policy()
            fit(bench, policy, method(arm), data.having(prompt_value=given), settings,
                seed=seed, ref=bench.ref, longest=LONGEST)  # fmt: skip
            yield from _points(bench, policy, arm, data, exam, values, settings, seed)


def questions() -> list[list[str]]:
    """Every sum and product of two digits, to be answered at once: 200."""
    digits = range(chains.MODULUS)
    return [
        [chains.MODES[1], str(a), sign, str(b)] for a in digits for sign in chains.SIGNS
        for b in digits
    ]  # fmt: skip


def values_of(exam: Sequence[Sequence[str]], rng: Random) -> list[float]:
    """Each question's share of the points: right-skewed, much larger for half of the first digits.

    Exponential with mean 0.05 where the first digit is one of five drawn by lot, 0.005 elsewhere,
    at most 1. Which five has nothing to do with what is hard.
    """
    dear = set(rng.sample([str(digit) for digit in range(chains.MODULUS)], 5))
    return [min(1.0, rng.expovariate(1.0 / (0.05 if q[1] in dear else 0.005))) for q in exam]


def method(arm: str) -> Any:
    """Leave-one-out advantages of the arm's reward."""
    from meritree.align.rlvr import RLVR
    from meritree.align.shaping import Rloo, Shaped
    from meritree.objectives import shapes

    found: tuple[Any, ...] = (Shaped(shapes.value_scale, "prompt_value"),)
    if arm == PLAIN:
        found = ()
    if arm == UNIFORM:
        found = (Shaped(scaled),)
    return RLVR(advantage=Rloo(), shapes=found)


def scaled(reward: Any) -> Any:
    """The same factor for every question: the mean of RLEV's."""
    return SCALE * reward


def _points(
    bench: Any, policy: Any, arm: str, data: Any, exam: Sequence[Sequence[str]],
    values: Sequence[float], settings: Settings, seed: int,
) -> Iterator[Row]:  # fmt: skip
    """Accuracy, plain and weighted, of all questions and of the dearer and cheaper half."""
    from meritree.align.measure import solved

    n = settings["answers"]
    found = solved(
        policy, data, bench.reward, n=n, longest=LONGEST, end=bench.words.end, seed=seed
    )  # fmt: skip
    right = [count / n for count in found.right]
    weighted = sum(v * r for v, r in zip(values, right, strict=True)) / sum(values)
    order = sorted(range(len(exam)), key=lambda i: values[i])
    half = len(order) // 2
    yield Row(arm, CHAINS, "accuracy", fmean(right))
    yield Row(arm, CHAINS, VALUED, weighted)
    yield Row(arm, CHAINS, "accuracy, dearer half", fmean(right[i] for i in order[half:]))
    yield Row(arm, CHAINS, "accuracy, cheaper half", fmean(right[i] for i in order[:half]))
    yield Row(arm, CHAINS, "value density", 100.0 * weighted / found.length)


def draw(rows: Rows, figure: Figure) -> str:
    """Accuracies by arm."""
    from meritree.studies.figure import bars

    axes = figure.subplots(1, 2, sharey=True)
    bars(axes[0], rows, VALUED)
    bars(axes[1], rows, "accuracy")
    return (
        "Share of right answers after training, weighted by the value of the question (left) and "
        f"plain (right). Means of {len(rows.seeds)} seeds with 95 % intervals."
    )


STUDY = Study(
    id="S027",
    name="rlev",
    paper=Paper(
        "Every Question Has Its Own Value: Reinforcement Learning with Explicit Human Values",
        "D. Yu, Y. Zhao, K. Panaganti, L. Song, H. Mi, D. Yu",
        2025,
        "2510.20187",
        read="full text, equations 5, 6 and 13; no code is released",
    ),
    claim=(
        "Rewards of right answers scaled by 1 + min(10 v, 1), v the question's value, raise the "
        "value-weighted accuracy above that of rewards for correctness alone, because of the "
        "values' alignment (not of the scale), and make answers to low-valued questions short."
    ),
    parts=(
        "meritree.align.rlvr.fit_rlvr",
        "meritree.align.shaping.Rloo",
        "meritree.align.shaping.Shaped",
        "meritree.objectives.shapes.value_scale",
    ),
    data=(
        Data(CHAINS,
             "every sum and product of two digits modulo ten, answered at once "
             "(meritree.align.lab.chains); values are exponential with mean 0.05 for five first "
             "digits drawn by lot and 0.005 for the others; a Llama of about 97 000 parameters "
             "trained on chains for 300 steps only",
             "the 200 questions, to train on and, with 32 answers each, to measure"),
    ),
    baselines=(BASE, PLAIN, UNIFORM, SHUFFLED),
    measure=measure,
    checks=(
        Better("training raises the value-weighted accuracy of the base", VALUED, RLEV, BASE),
        Better("RLEV's value-weighted accuracy exceeds correctness only", VALUED, RLEV, PLAIN),
        Better("it exceeds the uniform scale", VALUED, RLEV, UNIFORM),
        Better("it exceeds shuffled values", VALUED, RLEV, SHUFFLED),
        Better("RLEV's plain accuracy is not below correctness only by more than 0.02",
               "accuracy", RLEV, PLAIN, by=-0.02),
        Better("RLEV's value density exceeds correctness only", "value density", RLEV, PLAIN),
    ),
    scales={
        "smoke": Scale(1, {"base_steps": 60, "base_rows": 3000, "batch": 6, "steps": 3,
                           "rate": 5e-4, "answers": 4}),
        "full": Scale(3, {"base_steps": 300, "base_rows": 20_000, "batch": 20, "steps": 50,
                          "rate": 5e-4, "answers": 32}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "Tiny models show mechanisms, not benchmark gains.",
        "Division by a group's deviation cancels any factor of the prompt exactly "
        "(tests/align/test_rlev.py), so that RLEV's scale needs RLOO, REINFORCE++ or `std='none'`; "
        "the paper nevertheless reports gains with its GRPO.",
        "Adam is blind to a factor of the whole loss, so that the uniform scale is next to nothing "
        "here; it would matter under plain gradient steps.",
        "Questions are measured that were trained on: the claim is about which facts a limited "
        "training learns first. On longer chains RLOO lowered this model's accuracy (rate 3e-4) "
        "or hardly moved it (1e-4) in 60 and 40 steps of a trial seed.",
        "Answers have one length here, so that only the accuracy and the gradient at the end token "
        "(an exact test of equation 13) are checked, not the length of answers after training.",
        "The uniform scale and correctness only are one method but for rounding and the cut of "
        "long gradients; single seeds of the two differ by up to 0.1. RLEV's gain over correctness "
        "only is 0.12 in one seed and 0.004 in two, so that these three seeds say little; over "
        "shuffled values nothing is resolved.",
        "A larger run: `--set steps=200 --seeds 10`, about 20 CPU minutes.",
    ),
)  # fmt: skip
