"""S021: what makes PPO with a critic work on long answers? VAPO and what each part is worth.

VAPO, VAPO without one part at a time, PPO and GRPO on remarks that a verifier accepts or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from meritree.align.lab import grammar
from meritree.studies.align import _lab, _verifiable
from meritree.studies.align._lab import one_thread, reaches
from meritree.studies.checks import Better
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VAPO, PPO, GRPO = "VAPO", "PPO", "GRPO"
COLD, COUPLED = "without value pre-training", "without decoupled GAE"
FIXED = "without length-adaptive lambda"
TEST = "fresh prompts"
LEAST = 1.5  # worth of a remark that is accepted
ALPHA = 1.0  # lambda 0.75 to 0.95; the paper's 0.05 is for answers of thousands of tokens
MU = 0.1


@dataclass(frozen=True)
class Arm:
    """A composition of VAPO's parts.

    Attributes:
        lam: of the policy, a number or ``length``.
        critic_lam: of the critic's targets.
        mu: weight of the likelihood of right answers.
        high: upper end of the clipped ratio.
        agg: how tokens become a loss.
        warm: whether the critic is trained alone before.
    """

    lam: Any = "length"
    critic_lam: float = 1.0
    mu: float = MU
    high: float = 0.28
    agg: Any = "token"
    warm: bool = True


FULL = Arm()
ARMS = {
    VAPO: FULL,
    COLD: replace(FULL, warm=False),
    COUPLED: replace(FULL, critic_lam=0.95),
    FIXED: replace(FULL, lam=0.95),
    PPO: Arm(0.95, 0.95, 0.0, 0.2, "seq_mean", warm=False),
}


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Every arm takes as many policy steps on as many answers; the critic's warm-up is beside."""
    with one_thread():
        bench = _accepting(_verifiable.open_bench("grammar", settings))
        rng = Random(f"vapo {seed}")
        test = _verifiable.drawn_prompts(bench.task, settings["test"], rng)
        train = _verifiable.drawn_prompts(bench.task, settings["prompts"], rng, apart=test)
        data, fresh = _verifiable.asked(bench, train), _verifiable.asked(bench, test)
        found = _verifiable.judged(bench, bench.ref, fresh, settings["eval"], seed)
        yield from _solved("base", found)
        warm = _pretrained(bench, data, seed, settings)
        for arm in (*ARMS, GRPO):
            policy = bench.policy()
            trained = _trained(bench, policy, arm, warm, data, seed, settings)
            yield from _curve(arm, trained)
            found = _verifiable.judged(bench, policy, fresh, settings["eval"], seed)
            yield from _solved(arm, found)


def method(arm: Arm, size: int = 16) -> Any:
    """PPO with the parts that the arm names."""
    from meritree.align.rlvr import RLVR
    from meritree.align.shaping import Gae
    from meritree.objectives.extras import Nll
    from meritree.objectives.surrogates import Clip

    extras = ((arm.mu, Nll(label=1, mean=True, balanced=True)),) if arm.mu else ()
    return RLVR(
        advantage=Gae(arm.lam, arm.critic_lam, ALPHA), surrogate=Clip(0.2, arm.high),
        extras=extras, agg=arm.agg, size=size,
    )  # fmt: skip


def accepted(prompt: Sequence[str], answer: Sequence[str]) -> float:
    """1 for a remark that is worth something and heeds all that the prompt asks for, else 0."""
    heeds = grammar.satisfied(prompt, answer) == 1.0
    return float(heeds and grammar.gold(prompt, answer) >= LEAST)


def _accepting(bench: Any) -> Any:
    """The grammar with a verifier in the place of its graded reward."""
    from meritree.align.rewards import verifier

    return replace(bench, reward=verifier(accepted, read=bench.words.read, on_error="refuse"))


def _pretrained(bench: Any, data: Any, seed: int, settings: Settings) -> Any:
    """A critic that was trained alone on what the base's answers earn, one for all warm arms."""
    from meritree.align.critic import critic_of

    policy = bench.policy()
    critic = critic_of(policy)
    _verifiable.fit(
        bench, policy, method(FULL), data, settings, steps=settings["warmup"],
        critic=_taught(critic, settings, settings["warmup"]), seed=seed + 10_000,
    )  # fmt: skip
    return critic


def _taught(model: Any, settings: Settings, warmup: int = 0) -> Any:
    import torch

    from meritree.align.rlvr import Critic

    rate = settings["critic_rate"]
    return Critic(model, lambda p: torch.optim.Adam(p, lr=rate), warmup=warmup)


def _trained(
    bench: Any, policy: Any, arm: str, warm: Any, data: Any, seed: int, settings: Settings
) -> Any:
    from meritree.align.critic import critic_of
    from meritree.align.rlvr import RLVR
    from meritree.objectives.surrogates import Clip

    options: dict[str, Any] = {"seed": seed, "log_every": 1}
    if arm == GRPO:
        plain = RLVR(surrogate=Clip(0.2, 0.2), agg="seq_mean", size=16)
        return _verifiable.fit(bench, policy, plain, data, settings, **options)
    model = deepcopy(warm) if ARMS[arm].warm else critic_of(policy)
    options["critic"] = _taught(model, settings)
    return _verifiable.fit(bench, policy, method(ARMS[arm]), data, settings, **options)


def _solved(arm: str, found: Any) -> Iterator[Row]:
    yield Row(arm, TEST, "pass@1", found.at(1))
    yield Row(arm, TEST, "pass@16", found.at(min(16, found.n)))


def _curve(arm: str, trained: Any) -> Iterator[Row]:
    """The critic's worth before the policy moves, and the deepest fall from a peak of training."""
    explained = [p.value for p in trained.curve if p.name == "explained variance"]
    right = [p.value for p in trained.curve if p.name == "right"]
    if explained:
        early = explained[:5]
        yield Row(arm, TEST, "explained variance, first policy steps", sum(early) / len(early))
    yield Row(arm, TEST, "kept of the best accuracy", kept(right))


def kept(right: list[float], span: int = 10) -> float:
    """Least share of the best running mean so far that training fell to; 1: it never fell."""
    means = [sum(right[i : i + span]) / span for i in range(len(right) - span + 1)]
    best, least = 0.0, 1.0
    for mean in means:
        best = max(best, mean)
        least = min(least, mean / best) if best > 0.0 else least
    return least


def draw(rows: Rows, figure: Figure) -> str:
    """pass@1 by arm."""
    from meritree.studies.figure import bars

    axes = figure.subplots()
    bars(axes, rows.where(dataset=TEST), "pass@1")
    axes.axvline(rows.mean("pass@1", "base"), color="#888888", linewidth=1)
    return (
        "Share of accepted remarks on fresh prompts after as many policy "
        "steps on as many answers each; the line is the base. Means of "
        f"{len(rows.seeds)} seeds with 95 % intervals."
    )


STUDY = Study(
    id="S021",
    name="vapo",
    paper=Paper(
        "VAPO: Efficient and Reliable Reinforcement Learning for Advanced Reasoning Tasks",
        "Y. Yue, Y. Yuan, Q. Yu, X. Zuo, R. Zhu, W. Xu and others (ByteDance Seed)",
        2025,
        "2504.05118",
        read="abstract and third parties' accounts that give the equations",
    ),
    claim=(
        "PPO with a pre-trained critic, decoupled and length-adaptive GAE, a loss of tokens, a "
        "higher upper clip and the likelihood of right answers beats value-free methods (60 "
        "against 50 for DAPO on AIME 2024) and does not collapse; every part helps, value "
        "pre-training and decoupled GAE most."
    ),
    parts=(
        "meritree.align.rlvr.fit_rlvr",
        "meritree.align.shaping.Gae",
        "meritree.align.critic.critic_of",
        "meritree.objectives.group_advantages.length_lambda",
        "meritree.objectives.extras.Nll",
    ),
    data=(
        Data(TEST, "the package's preference grammar (meritree.align.lab.grammar) with a verifier: "
             "1 for a remark worth 1.5 at least that heeds all instructions; a Llama of 97 000 "
             "parameters trained on the grammar, remarks of 3 to 20 tokens",
             "200 training and 100 fresh prompts a seed, 32 answers to each fresh one"),
    ),
    baselines=("base", PPO, GRPO, COLD, COUPLED, FIXED),
    measure=measure,
    checks=(
        Better("VAPO beats the base", "pass@1", VAPO, "base"),
        Better("VAPO beats PPO", "pass@1", VAPO, PPO),
        Better("VAPO beats GRPO", "pass@1", VAPO, GRPO),
        Better("value pre-training helps", "pass@1", VAPO, COLD),
        Better("decoupled GAE helps", "pass@1", VAPO, COUPLED),
        Better("the length-adaptive lambda helps", "pass@1", VAPO, FIXED),
        Better("the pre-trained critic explains more of the returns in the policy's first steps",
               "explained variance, first policy steps", VAPO, COLD),
        reaches("VAPO does not collapse: keeps 0.8 of its best accuracy in training",
                "kept of the best accuracy", VAPO, TEST, 0.8),
    ),
    scales={
        "smoke": Scale(1, {**_lab.SMOKE_BASE, "prompts": 16, "test": 8,
                           "eval": 8, "batch": 2, "steps": 10, "warmup": 1, "rate": 3e-4,
                           "critic_rate": 1e-3}),
        "full": Scale(3, {**_lab.FULL_BASE, "prompts": 200, "test": 100, "eval": 32, "batch": 6,
                          "steps": 20, "warmup": 30, "rate": 3e-4, "critic_rate": 3e-3}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "A tiny model shows mechanisms, not benchmark gains: answers of 3 to 20 tokens, where the "
        "paper's have thousands. Its alpha of 0.05 would make lambda 0 here; it is 1.",
        "All arms draw 96 answers a step, 16 a prompt, at one learning rate chosen on other "
        "seeds. The critic's warm-up draws beside them: 30 steps that PPO and GRPO do without.",
        "The paper's critic begins as a reward model, which is what its value pre-training mends; "
        "ours begins as a copy of the policy's trunk and says 0.",
        "Of the paper's seven parts the likelihood of right answers, the loss of tokens, the upper "
        "clip and the number of answers a prompt are not left out one at a time; PPO is without "
        "the first three. Their likelihood is averaged over tokens of right answers, ours over "
        "right answers and then over each one's tokens.",
        "The mean of running accuracy is over ten steps of six prompts each, so that the share "
        "that is kept falls short of 1 by chance alone.",
        "After its 30 steps the critic explains next to nothing of the returns, so that "
        "pre-training and the two lambdas are hardly put to the test: a longer warm-up is needed.",
        "Twenty steps are short. --set steps=200 --set batch=16 takes about 40 CPU minutes.",
        "Rows need not repeat to the last digit: single precision sums differ between processors.",
    ),
)  # fmt: skip
