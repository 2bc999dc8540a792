"""S080: does a bounded reward, relative to the reference's answers, keep a policy from hacking?

REINFORCE++ on the preference grammar's proxy, which flattery and length fool, under shapes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any

from meritree.align.lab import grammar
from meritree.studies.align import _lab
from meritree.studies.align._verifiable import Bench, asked, fit, open_bench
from meritree.studies.checks import Better, Bound
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VANILLA, PAR1, PAR10 = "vanilla", "PAR, M = 1", "PAR, M = 10"
CENTRED, TANH, CLIPPED = "centred", "tanh", "clipped"
ARMS = (VANILLA, PAR1, PAR10, CENTRED, TANH, CLIPPED)
GRAMMAR, LOOSE = "preference grammar", "preference grammar, KL 0.005"
KL = {GRAMMAR: 0.05, LOOSE: 0.005}
RUNS = (*((arm, GRAMMAR) for arm in ARMS), (VANILLA, LOOSE), (PAR10, LOOSE))
WINDOWS = 10
KEPT = "final gold / peak gold"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Every shape from the same base on the same prompts; gold is read, never trained on."""
    from meritree.align.prompts import reference_rewards

    with _lab.one_thread():
        bench = open_bench("grammar", settings)
        rng = Random(f"par {seed}")
        data = asked(bench, _lab.topics(settings["prompts"], rng))
        paid = replace(bench, reward=Proxy(bench))
        ref = reference_rewards(
            bench.ref, data, paid.reward, n=10, longest=bench.longest, end=bench.words.end,
            seed=seed,
        )  # fmt: skip
        for arm, place in RUNS:
            judge = Proxy(bench)
            compared = ref[:, :1] if arm == PAR1 else ref
            fit(
                replace(bench, reward=judge), bench.policy(), method(arm, place, ref),
                data.having(ref_reward=compared), settings, seed=seed, ref=bench.ref,
            )  # fmt: skip
            yield from _told(arm, place, judge)


def shapes_of(arm: str, ref: Any) -> tuple[Any, ...]:
    """What each arm does to the proxy; ``ref``: the base's own rewards, [prompts, M]."""
    from meritree.align.shaping import Shaped
    from meritree.objectives import shapes

    low, high = float(ref.mean() - ref.std()), float(ref.mean() + ref.std())
    found: dict[str, tuple[Any, ...]] = {
        VANILLA: (),
        PAR1: (Shaped(shapes.par, "ref_reward"),),
        PAR10: (Shaped(shapes.par, "ref_reward"),),
        CENTRED: (Shaped(shapes.centred, "ref_reward"),),
        TANH: (Shaped(shapes.relative_tanh, "ref_reward"),),
        CLIPPED: (Shaped(partial(clipped, low=low, high=high)),),
    }
    return found[arm]


def method(arm: str, place: str, ref: Any) -> Any:
    """REINFORCE++ with the KL penalty in the reward, as PPO has it."""
    from meritree.align.rlvr import RLVR
    from meritree.align.shaping import ReinforcePp
    from meritree.objectives.surrogates import Clip

    return RLVR(
        advantage=ReinforcePp(), surrogate=Clip(0.2, 0.2), shapes=shapes_of(arm, ref),
        kl=KL[place], kl_in="reward", size=4,
    )  # fmt: skip


def clipped(reward: Any, low: float, high: float) -> Any:
    """Rewards cut off at both ends."""
    return reward.clip(low, high)


class Proxy:
    """The proxy as a reward; what it pays for is kept apart.

    Attributes:
        gold, proxy, length: means over the answers of each call.
    """

    def __init__(self, bench: Bench) -> None:
        self.words = bench.words
        self.gold: list[float] = []
        self.proxy: list[float] = []
        self.length: list[float] = []

    def __call__(self, samples: Sequence[Any]) -> Any:
        """The proxy of each answer."""
        from meritree.align.rewards import Rewards

        read = [
            (self.words.read(list(one.prompt)), self.words.read(list(one.response)))
            for one in samples
        ]
        scores = [grammar.proxy(prompt, answer) for prompt, answer in read]
        self.gold.append(fmean(grammar.gold(prompt, answer) for prompt, answer in read))
        self.proxy.append(fmean(scores))
        self.length.append(fmean(len(answer) for _, answer in read))
        return Rewards(scores)


def _told(arm: str, place: str, judge: Proxy) -> Iterator[Row]:
    """Gold over the run in windows, its peak, and what is left of it at the end."""
    gold = windows(judge.gold)
    for number, value in enumerate(gold):
        yield Row(arm, place, "gold", value, f"{number + 1} of {len(gold)}")
    last = slice(-max(1, len(judge.gold) // WINDOWS), None)
    # A base that was hardly trained may never be worth anything: then nothing was kept.
    yield Row(arm, place, KEPT, gold[-1] / max(gold) if max(gold) > 0.0 else 0.0)
    yield Row(arm, place, "peak gold", max(gold))
    yield Row(arm, place, "final gold", gold[-1])
    yield Row(arm, place, "final proxy", fmean(judge.proxy[last]))
    yield Row(arm, place, "final length, words", fmean(judge.length[last]))


def windows(values: Sequence[float]) -> list[float]:
    """Means of `WINDOWS` equal parts, or of every number where there are fewer."""
    width = max(1, len(values) // WINDOWS)
    return [fmean(values[i : i + width]) for i in range(0, len(values) - width + 1, width)]


def draw(rows: Rows, figure: Figure) -> str:
    """Gold over training, and how much of its peak is left."""
    from meritree.studies.figure import bars

    axes = figure.subplots(1, 2)
    for system in rows.systems:
        chosen = rows.where(metric="gold", system=system, dataset=GRAMMAR)
        places = list(dict.fromkeys(row.unit for row in chosen))
        means = [fmean(row.value for row in chosen if row.unit == place) for place in places]
        axes[0].plot([(i + 1) / len(places) for i in range(len(places))], means, label=system)
    axes[0].set_xlabel("share of the training steps")
    axes[0].set_ylabel("gold")
    axes[0].legend(fontsize=7)
    axes[0].grid(alpha=0.3)
    bars(axes[1], rows, "final gold", dataset=GRAMMAR)
    return (
        "Worth of the drawn answers while a proxy of it is maximised (left) and at the "
        f"end (right), by shape of the proxy, KL coefficient {KL[GRAMMAR]:g}. Means of "
        f"{len(rows.seeds)} seeds, right with 95 % intervals."
    )


STUDY = Study(
    id="S080",
    name="par",
    paper=Paper(
        "Reward Shaping to Mitigate Reward Hacking in RLHF",
        "J. Fu, X. Zhao, C. Yao, H. Wang, Q. Han, Y. Xiao",
        2025,
        "2502.18770",
        read="abstract; shapes as in the released code, PorUna-byte/PAR",
    ),
    claim=(
        "A reward that is bounded and steepest at the reference's own rewards, the sigmoid of the "
        "difference, trains as well as the raw reward model and does not fall back when training "
        "goes on; one reference answer a prompt suffices."
    ),
    parts=(
        "meritree.align.rlvr.fit_rlvr",
        "meritree.align.shaping.Shaped",
        "meritree.align.prompts.reference_rewards",
        "meritree.objectives.shapes.par",
    ),
    data=(
        Data(GRAMMAR, f"{_lab.DATA}; the proxy pays for every compliment and for any length",
             "96 prompts a seed, ten answers of the base to each; KL coefficient 0.05"),
        Data(LOOSE, "the same prompts with the released code's KL coefficient", "two arms"),
    ),
    baselines=(VANILLA, CENTRED, TANH, CLIPPED),
    measure=measure,
    checks=(
        Bound("the raw proxy is hacked: at most 0.85 of the peak gold is left", KEPT, VANILLA,
              GRAMMAR, at_most=0.85),
        Bound("PAR with ten references keeps 0.95 of its peak", KEPT, PAR10, GRAMMAR,
              at_least=0.95),
        Bound("PAR with one reference keeps 0.95 of its peak", KEPT, PAR1, GRAMMAR,
              at_least=0.95),
        Better("PAR ends with more gold than the raw proxy", "final gold", PAR10, VANILLA,
               dataset=GRAMMAR),
        Better("PAR ends with more gold than the centred proxy", "final gold", PAR10, CENTRED,
               dataset=GRAMMAR),
        Better("PAR's peak is not below the raw proxy's by more than 0.1", "peak gold", PAR10,
               VANILLA, by=-0.1, dataset=GRAMMAR),
        Better("PAR's peak is not below tanh's by more than 0.1", "peak gold", PAR10, TANH,
               by=-0.1, dataset=GRAMMAR),
        Better("PAR's peak is not below the clipped proxy's by more than 0.1", "peak gold", PAR10,
               CLIPPED, by=-0.1, dataset=GRAMMAR),
        Better("one reference ends within 0.1 of ten", "final gold", PAR1, PAR10, by=-0.1,
               dataset=GRAMMAR),
        Bound("with the released code's KL of 0.005 too PAR keeps 0.95 of its peak", KEPT, PAR10,
              LOOSE, at_least=0.95),
    ),
    scales={
        "smoke": Scale(1, {**_lab.SMOKE_BASE, "prompts": 12, "batch": 6, "steps": 3, "rate": 1e-3}),
        "full": Scale(3, {**_lab.FULL_BASE, "prompts": 96, "batch": 16, "steps": 90,
                          "rate": 5e-4}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "Tiny models show mechanisms, not benchmark gains.",
        "The released code trains by PPO with a critic and whitened advantages; here REINFORCE++ "
        "whitens the same rewards without a critic.",
        "The KL coefficient of 0.05 was chosen on another seed: there the released 0.005, made for "
        "texts of hundreds of tokens, let both the raw proxy and PAR be hacked; both are shown.",
        "Peaks are means of ten windows of a run; a share below 0 is a gold below 0. What a "
        "longer run does to PAR is open: `--set steps=300`, about 15 CPU minutes.",
        "The released clipping uses running statistics of training; here the ends are mean and "
        "deviation of the base's own rewards. Its min-max and mean-deviation scalings are not run.",
        "Here the proxy is right wherever the base's own answers lie, so that cutting it off there "
        "takes most of the hack away and does better than PAR; a reward model's noise has no such "
        "edge.",
        "Reward models trained otherwise (ODIN, WARM) are not compared: the proxy is a function.",
    ),
)  # fmt: skip
