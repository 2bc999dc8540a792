"""S061: can a policy learn when to think? HGPO on chains whose answers begin with their mode.

The warm start on both modes (HFT), HGPO, and rejection fine-tuning with the same rule for modes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any

from meritree.align.lab import chains, hybrid
from meritree.studies.align import _verifiable
from meritree.studies.align._lab import one_thread, reaches
from meritree.studies.checks import FEWEST, Better, Own, decide, show
from meritree.studies.rows import Rows, SeedRow
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from meritree.stats import Interval
    from meritree.studies.checks import Outcome

HFT, HGPO, RFT = "HFT", "HGPO", "HFT + RFT"
ALWAYS, NEVER = "HGPO, always thinking", "HGPO, never thinking"
CHAINS = "chains, modes of the answer"
LENGTHS = tuple(range(1, chains.LONGEST + 1))
DELTA = 0.2  # by how much thinking must be better, in training and in the measure


@dataclass(frozen=True)
class Told:
    """Answers to one prompt in one way.

    Attributes:
        right: share of right ones.
        think: share of thinking ones.
        tokens: mean length, the mode's and the end token included.
    """

    right: float
    think: float
    tokens: float


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """HGPO and RFT take as many steps; every policy chooses its mode freely in the test."""
    with one_thread():
        bench = _warm_start(settings)
        rng = Random(f"hgpo {seed}")
        test = [
            prompt
            for k in LENGTHS
            for prompt in _verifiable.drawn_prompts(
                bench.task, settings["test"] // len(LENGTHS), rng,
                keep=partial(_has_length, k),
            )
        ]  # fmt: skip
        train = _verifiable.drawn_prompts(bench.task, settings["prompts"], rng, apart=test)
        data = _verifiable.asked(bench, train)
        yield from _judged(HFT, bench, bench.ref, test, seed, settings)
        policy = bench.policy()
        made = method(bench)
        sized = {**settings, "batch": settings["answers"] // made.size}
        _verifiable.fit(bench, policy, made, data, sized, seed=seed)
        yield from _judged(HGPO, bench, policy, test, seed, settings)
        policy = bench.policy()
        _rejected(bench, policy, train, seed, settings)
        yield from _judged(RFT, bench, policy, test, seed, settings)


def _warm_start(settings: Settings) -> _verifiable.Bench:
    """HFT, trained at its first use; smaller batches than the lab's own, for more steps."""
    from meritree.align.lab.base import Recipe, base
    from meritree.align.lab.model import Vocabulary
    from meritree.align.rewards import task_reward

    names = {"steps": "base_steps", "rows": "base_rows", "batch": "base_batch"}
    made = base(Recipe("hybrid", **{name: settings[key] for name, key in names.items()}))
    ref = made.model.requires_grad_(False)
    return _verifiable.Bench(made.task, ref, Vocabulary(made.task), task_reward(made.task))


def method(bench: Any, size: int = 4, alpha: float = 1.0) -> Any:
    """HGPO with the paper's numbers: two answers a mode, clip 0.5, k3 with 0.001."""
    from meritree.align.mixes import ModeForced
    from meritree.align.rlvr import RLVR
    from meritree.align.shaping import HybridMode
    from meritree.objectives.surrogates import Clip

    plain, thinking = (bench.words.prompt([mode])[-1] for mode in (hybrid.DIRECT, hybrid.THINK))
    return RLVR(
        advantage=HybridMode(alpha, DELTA), surrogate=Clip(0.5, 0.5), kl=0.001, agg="seq_mean",
        size=size, mix=ModeForced(plain, thinking),
    )  # fmt: skip


def _rejected(
    bench: Any, policy: Any, train: Sequence[Sequence[str]], seed: int, settings: Settings
) -> None:
    """Train on right answers of the base in the mode that HGPO's rule prefers."""
    import torch

    from meritree.align.data import Answer, answers
    from meritree.align.prefer import fit_preferences
    from meritree.objectives.extras import Nll
    from meritree.objectives.preference import RowObjective

    each = settings["forced"]
    thinking, plain = (
        _drawn(bench, bench.ref, train, each, seed + 70_000 + i, mode)
        for i, mode in enumerate((hybrid.THINK, hybrid.DIRECT))
    )
    kept = []
    for prompt, slow, fast in zip(train, thinking, plain, strict=True):
        right = [[a for a in way if bench.task.reward(prompt, a)] for way in (slow, fast)]
        think = len(right[0]) / each > len(right[1]) / each + DELTA
        ids = bench.words.prompt(prompt)
        kept += [Answer(ids, bench.words.answer(a)) for a in right[0 if think else 1]]
    if not kept:  # a base that is never right leaves nothing to learn from
        return
    fit_preferences(
        policy, RowObjective(((1.0, Nll()),)), answers(kept), steps=settings["steps"],
        batch=settings["answers"] // 2, seed=seed, log_every=0,
        optimizer=lambda p: torch.optim.Adam(p, lr=settings["rate"]),
    )  # fmt: skip


def _drawn(
    bench: Any, policy: Any, prompts: Sequence[Sequence[str]], n: int, seed: int, mode: str = ""
) -> list[list[list[str]]]:
    """Answers as words; with a mode, that begins each of them."""
    from meritree.align.sample import sample

    begun = [mode] if mode else []
    found = sample(
        policy, [bench.words.prompt([*prompt, *begun]) for prompt in prompts], n=n, seed=seed,
        longest=bench.longest - len(begun), end=bench.words.end,
    )  # fmt: skip
    return [[[*begun, *bench.words.read(a)] for a in group] for group in found]


def told(bench: Any, prompt: Sequence[str], group: Sequence[Sequence[str]]) -> Told:
    """What a group of answers to one prompt comes to."""
    return Told(
        fmean(bench.task.reward(prompt, answer) for answer in group),
        fmean(answer[:1] == [hybrid.THINK] for answer in group),
        fmean(len(answer) + 1 for answer in group),
    )


def hybrid_accuracy(free: Sequence[Told], slow: Sequence[Told], fast: Sequence[Told]) -> float:
    """Share of free answers in the mode that is right: thinking where it is better by DELTA.

    The right mode is by the policy's own answers in either mode, as in the paper.
    """
    hits = []
    for own, thinking, plain in zip(free, slow, fast, strict=True):
        better = thinking.right > plain.right + DELTA
        hits.append(own.think if better else 1.0 - own.think)
    return fmean(hits)


def _judged(
    arm: str, bench: Any, policy: Any, test: Sequence[Sequence[str]], seed: int, settings: Settings
) -> Iterator[Row]:
    ways = {
        mode: [
            told(bench, prompt, group)
            for prompt, group in zip(test, _drawn(bench, policy, test, n, seed, mode), strict=True)
        ]
        for mode, n in (
            ("", settings["free"]), (hybrid.THINK, settings["forced"]),
            (hybrid.DIRECT, settings["forced"]),
        )
    }  # fmt: skip
    free, slow, fast = ways.values()
    yield Row(arm, CHAINS, "hybrid accuracy", hybrid_accuracy(free, slow, fast))
    yield from _means(arm, free)
    if arm == HGPO:
        yield from _means(ALWAYS, slow)
        yield from _means(NEVER, fast)
    by_length: dict[int, list[Told]] = {}
    for prompt, one in zip(test, free, strict=True):
        by_length.setdefault(_length(prompt), []).append(one)
    for k, group in by_length.items():
        yield Row(arm, f"{k} operations", "think rate", fmean(one.think for one in group))
        yield Row(arm, f"{k} operations", "right", fmean(one.right for one in group))
    yield Row(arm, CHAINS, "rise of the think rate", _slope(by_length))


def _means(arm: str, group: Sequence[Told]) -> Iterator[Row]:
    yield Row(arm, CHAINS, "right", fmean(one.right for one in group))
    yield Row(arm, CHAINS, "tokens", fmean(one.tokens for one in group))
    yield Row(arm, CHAINS, "think rate", fmean(one.think for one in group))


def _slope(by_length: Mapping[int, Sequence[Told]]) -> float:
    """Least-squares slope of the think rate on the number of operations."""
    points = [(k, fmean(one.think for one in group)) for k, group in by_length.items()]
    middle, mean = fmean(k for k, _ in points), fmean(y for _, y in points)
    spread = sum((k - middle) ** 2 for k, _ in points)
    return sum((k - middle) * (y - mean) for k, y in points) / spread


def _has_length(k: int, prompt: Sequence[str]) -> bool:
    return _length(prompt) == k


def _length(prompt: Sequence[str]) -> int:
    return (len(prompt) - 1) // 2


def _cheaper(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """Tokens of the policy's own choice as a share of those of always thinking."""
    own, slow = (rows.where(metric="tokens", system=arm, dataset=CHAINS) for arm in (HGPO, ALWAYS))
    share = Rows.of(
        SeedRow(a.seed, HGPO, CHAINS, "share", a.value / b.value)
        for a, b in zip(own, slow, strict=True)
    ).interval("share")
    few = len(rows.seeds) < FEWEST
    text = f"tokens of the free choice / of always thinking: {show(share)}, asked <= 0.6"
    return "inconclusive" if few else decide(share, high=0.6), text, share


def draw(rows: Rows, figure: Figure) -> str:
    """Think rate by length of the chain; right answers against tokens."""
    left, right = figure.subplots(1, 2)
    for arm in (HFT, HGPO, RFT):
        found = [rows.interval("think rate", arm, f"{k} operations") for k in LENGTHS]
        means = [one.mean for one in found]
        error = [[i.mean - i.low for i in found], [i.high - i.mean for i in found]]
        left.errorbar(LENGTHS, means, yerr=error, fmt="o-", capsize=3, label=arm)
    left.set_xlabel("operations of the chain")
    left.set_ylabel("share of answers that think")
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    for arm in (HFT, HGPO, RFT, ALWAYS, NEVER):
        at = rows.mean("tokens", arm, CHAINS), rows.mean("right", arm, CHAINS)
        right.plot(*at, "o", label=arm)
        right.annotate(arm, at, textcoords="offset points", xytext=(5, 4), fontsize=7)
    right.set_xlabel("mean tokens of an answer")
    right.set_ylabel("share of right answers")
    right.margins(x=0.25)
    right.grid(alpha=0.3)
    return (
        "Fresh chains of one to six operations, the policy choosing its mode by itself (left, and "
        "right unless said otherwise). Means of "
        f"{len(rows.seeds)} seeds, with 95 % intervals on the left."
    )


STUDY = Study(
    id="S061",
    name="hgpo",
    paper=Paper(
        "Think Only When You Need with Large Hybrid-Reasoning Models",
        "L. Jiang, X. Wu, S. Huang, Q. Dong, Z. Chi, L. Dong, X. Zhang, T. Lv, L. Cui, F. Wei",
        2025,
        "2505.14631",
        read="paper (its equations); no code is released",
    ),
    claim=(
        "A warm start on thinking and plain answers (HFT), then groups with half of the answers in "
        "each mode, rewarded for being the best of their mode and for the better mode (HGPO), "
        "teach a model to think only where it helps: higher hybrid accuracy at fewer tokens."
    ),
    parts=(
        "meritree.align.rlvr.fit_rlvr",
        "meritree.align.mixes.ModeForced",
        "meritree.align.shaping.HybridMode",
        "meritree.objectives.group_advantages.hybrid_mode",
        "meritree.align.lab.hybrid.TASK",
    ),
    data=(
        Data(CHAINS, "the package's chains modulo ten whose answers begin with their mode "
             "(meritree.align.lab.hybrid); a Llama of 97 000 parameters trained on right answers "
             "of both modes (HFT)",
             "256 training and 120 fresh chains a seed, 8 free answers to each fresh one and 12 "
             "in either mode"),
    ),
    baselines=(HFT, RFT, ALWAYS, NEVER),
    measure=measure,
    checks=(
        reaches("HGPO's hybrid accuracy is at least 0.85", "hybrid accuracy", HGPO, CHAINS, 0.85),
        Better("it is higher than HFT's by 0.2", "hybrid accuracy", HGPO, HFT, by=0.2,
               dataset=CHAINS),
        Better("it is higher than RFT's", "hybrid accuracy", HGPO, RFT, dataset=CHAINS),
        Better("HGPO answers better than HFT", "right", HGPO, HFT, dataset=CHAINS),
        Better("right within 0.02 of the same policy always thinking", "right", HGPO, ALWAYS,
               by=-0.02, dataset=CHAINS),
        Own("with at most 0.6 of the tokens of always thinking", _cheaper),
        reaches("the think rate rises with the chain's length", "rise of the think rate", HGPO,
                CHAINS, 0.02),
        Better("HGPO answers better than RFT", "right", HGPO, RFT, dataset=CHAINS),
    ),
    scales={
        "smoke": Scale(1, {"base_steps": 60, "base_rows": 2000, "base_batch": 128,
                           "prompts": 16, "test": 12,
                           "free": 4, "forced": 4, "answers": 32, "steps": 2, "rate": 5e-4}),
        "full": Scale(3, {"base_steps": 2400, "base_rows": 40_000, "base_batch": 64,
                          "prompts": 256, "test": 120, "free": 8, "forced": 12, "answers": 256,
                          "steps": 40, "rate": 3e-4}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "A tiny model shows mechanisms, not benchmark gains.",
        "The warm start does not think equally well at all lengths: written steps help most at two,"
        " three and six operations, so that the right mode does not simply follow the length.",
        "As in the paper: two answers a mode, delta 0.2, alpha 1, clip 0.5, k3 with 0.001; the "
        "right mode of a chain is by the policy's own answers in either mode, twelve each, "
        "thinking where its share of right ones is higher by more than 0.2.",
        "Forty steps taught what the modes are worth on average: HGPO hardly thinks any more, a "
        "little less on short chains than on long ones. Two answers a mode tie often, and ties "
        "go to the plain mode; whether more steps make the choice follow the chain is not "
        "measured.",
        "HFT + RFT imitates right answers of the warm start in the mode that the same rule prefers."
        " The paper's HFT + DPO is not run.",
        "A larger run: --set steps=300 --set prompts=1000 takes about 10 CPU minutes.",
        "Rows need not repeat to the last digit: single precision sums differ between processors.",
    ),
)  # fmt: skip
