"""S027: do rewards scaled by the value of a question make the valuable ones right more often?

Leave-one-out REINFORCE on modular chains, in which multiplying is worth more than adding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any

from meritree.studies.align import _lab
from meritree.studies.align._verifiable import asked, drawn_prompts, fit, open_bench
from meritree.studies.checks import Better
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN, RLEV = "correctness only", "RLEV"
UNIFORM, SHUFFLED, BASE = "uniform scale 1.2", "shuffled values", "base"
ARMS = (PLAIN, RLEV, UNIFORM, SHUFFLED)
CHAINS = "modular chains"
VALUED = "value-weighted accuracy"
SCALE = 1.2


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Every reward from the same base on the same prompts; the test prompts are others."""
    with _lab.one_thread():
        bench = open_bench("chains", settings)
        rng = Random(f"rlev {seed}")
        train = drawn_prompts(bench.task, settings["prompts"], rng)
        test = drawn_prompts(bench.task, settings["eval"], rng, apart=train)
        values = [value_of(prompt, rng) for prompt in train]
        worth = [value_of(prompt, rng) for prompt in test]
        data, held = asked(bench, train), asked(bench, test)
        yield from _points(bench, bench.ref, BASE, held, test, worth, settings, seed)
        for arm in ARMS:
            given = rng.sample(values, len(values)) if arm == SHUFFLED else values
            policy = bench.policy()
            fit(bench, policy, method(arm), data.having(prompt_value=given), settings,
                seed=seed, ref=bench.ref)  # fmt: skip
            yield from _points(bench, policy, arm, held, test, worth, settings, seed)


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


def value_of(prompt: Sequence[str], rng: Random) -> float:
    """A question's share of the points: right-skewed, larger where the first sign multiplies.

    Exponential with mean 0.05 there and 0.005 elsewhere, at most 1.
    """
    return min(1.0, rng.expovariate(1.0 / (0.05 if valuable(prompt) else 0.005)))


def valuable(prompt: Sequence[str]) -> bool:
    """Whether the first sign multiplies."""
    return prompt[2] == "*"


def _points(
    bench: Any, policy: Any, arm: str, held: Any, test: Sequence[Sequence[str]],
    worth: Sequence[float], settings: Settings, seed: int,
) -> Iterator[Row]:  # fmt: skip
    """Accuracy, plain and weighted, and lengths by the class of the question."""
    from meritree.align.sample import sample

    n = settings["answers"]
    drawn = sample(
        policy, held.ids, n=n, longest=bench.longest, end=bench.words.end, seed=seed
    )  # fmt: skip
    right, length = [], []
    for prompt, answers in zip(test, drawn, strict=True):
        read = [bench.words.read(answer) for answer in answers]
        right.append(fmean(bench.task.reward(prompt, answer) for answer in read))
        length.append(fmean(len(answer) for answer in answers))
    accurate = sum(v * r for v, r in zip(worth, right, strict=True)) / sum(worth)
    dear = [valuable(prompt) for prompt in test]
    yield Row(arm, CHAINS, "accuracy", fmean(right))
    yield Row(arm, CHAINS, VALUED, accurate)
    for name, of in (("valuable", True), ("other", False)):
        chosen = [i for i, is_dear in enumerate(dear) if is_dear == of]
        yield Row(arm, CHAINS, f"accuracy, {name}", fmean(right[i] for i in chosen))
        yield Row(arm, CHAINS, f"tokens, {name}", fmean(length[i] for i in chosen))
    yield Row(arm, CHAINS, "value density", 100.0 * accurate / fmean(length))
    gap = fmean(x for x, d in zip(length, dear, strict=True) if d) - fmean(
        x for x, d in zip(length, dear, strict=True) if not d
    )
    yield Row(arm, CHAINS, "extra tokens of valuable questions", gap)


def draw(rows: Rows, figure: Figure) -> str:
    """Accuracies by arm."""
    from meritree.studies.figure import bars

    axes = figure.subplots(1, 2, sharey=True)
    bars(axes[0], rows, VALUED)
    bars(axes[1], rows, "accuracy")
    return (
        "Share of right answers to new chains after training, weighted by the value of the "
        f"question (left) and plain (right). Means of {len(rows.seeds)} seeds with 95 % intervals."
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
             "sums and products modulo ten (meritree.align.lab.chains); a question's value is "
             "exponential with mean 0.05 where its first sign multiplies, 0.005 elsewhere; a Llama "
             "of about 97 000 parameters trained on the task",
             "256 prompts a seed to train on, 200 others with 16 answers each to measure"),
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
        Better("RLEV spends relatively more tokens on valuable questions",
               "extra tokens of valuable questions", RLEV, PLAIN),
    ),
    scales={
        "smoke": Scale(1, {"base_steps": 60, "base_rows": 3000, "prompts": 24, "batch": 6,
                           "steps": 3, "rate": 1e-3, "eval": 30, "answers": 4}),
        "full": Scale(3, {**_lab.FULL_BASE, "prompts": 256, "batch": 16, "steps": 60,
                          "rate": 1e-3, "eval": 200, "answers": 16}),
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
        "Answers cost nothing by length here, so that only the gradient at the end token could "
        "shorten those to low-valued questions.",
    ),
)  # fmt: skip
