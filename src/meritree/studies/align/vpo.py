"""S050: does a reward's own best value, added to its likelihood, make exploration and caution?

Optimism (+) online and pessimism (-) offline, on bandits and in the laboratory.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Any

from meritree.align.lab import grammar
from meritree.studies.align import _lab
from meritree.studies.checks import Better
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPO, VPO = "DPO", "VPO"
ONLINE, OFFLINE = "bandit online", "bandit offline, arms never seen"
GRAMMAR_OFFLINE = "preference grammar offline"
ARMS = 20
SEEN = 12  # arms of the offline pairs; the others are worth one less
ROUNDS_PAIRS = 4
BETA = 0.2
ONLINE_ALPHA, OFFLINE_ALPHA = 0.3, 0.1  # chosen on seeds from 100 on, which are not reported
LAB_BETA, LAB_ALPHA = 0.1, 0.1


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Bandits of the seed, then offline training in the laboratory over many epochs."""
    with _lab.one_thread():
        for system in (DPO, VPO):
            yield from _online(system, seed, settings["rounds"])
            yield from _offline(system, seed, settings["offline_steps"])
        yield from _laboratory(seed, settings)


def objective(beta: float, strength: float, rows: str = "samples") -> Any:
    """DPO with the calibration term; ``strength`` is sign x alpha, 0 is DPO."""
    from meritree.objectives.extras import Calibration
    from meritree.objectives.links import Logistic
    from meritree.objectives.preference import LogRatio, PairObjective

    extras = ((strength * beta, Calibration(rows)),) if strength else ()  # type: ignore[arg-type]
    return PairObjective(LogRatio(), Logistic(beta), extras)


def _bandit(seed: int, unseen_loss: float = 0.0) -> tuple[Any, Any, Any]:
    """Rewards, reference logits and a generator of the seed."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    reward = torch.randn(ARMS, generator=generator, dtype=torch.float64)
    ref = torch.randn(ARMS, generator=generator, dtype=torch.float64)
    reward[SEEN:] -= unseen_loss
    return reward, ref, generator


def _judged(pi: Any, reward: Any, generator: Any, n: int) -> list[Any]:
    """Pairs of different arms drawn from pi, labelled by Bradley-Terry."""
    import torch

    from meritree.align.data import Pair

    found = []
    for _ in range(n):
        first, second = torch.multinomial(pi, 2, generator=generator).tolist()
        wins = torch.rand((), generator=generator) < torch.sigmoid(reward[first] - reward[second])
        plus, minus = (first, second) if wins else (second, first)
        found.append(Pair((0,), (plus,), (minus,)))
    return found


def _online(system: str, seed: int, rounds: int) -> Iterator[Row]:
    """Sample pairs from the policy, label, refit on all; regret of the regularised value."""
    import torch

    from meritree.align.data import Answer, answers, pairs
    from meritree.align.prefer import fit_preferences
    from meritree.align.tabular import Tabular

    reward, ref, generator = _bandit(seed)
    ref_logp = ref.log_softmax(-1)
    calibration = answers(
        Answer((0,), (arm,))
        for arm in torch.multinomial(ref_logp.exp(), 200, True, generator=generator).tolist()
    )
    policy, base, seen = Tabular(ref[None]), Tabular(ref[None]), []
    best = float(BETA * torch.logsumexp(ref_logp + reward / BETA, -1))
    regret = 0.0
    for number in range(rounds):
        pi = policy.probabilities()[0]
        value = float((pi * (reward - BETA * (pi.log() - ref_logp))).sum())
        regret += best - value
        if number + 1 in (rounds // 4, rounds):
            yield Row(system, ONLINE, "cumulative regret", regret, f"of {rounds}: {number + 1}")
        seen += _judged(pi, reward, generator, ROUNDS_PAIRS)
        fit_preferences(
            policy, objective(BETA, ONLINE_ALPHA / (number + 1) if system == VPO else 0.0),
            pairs(seen), ref=base, calibration=calibration, steps=25, batch=None, log_every=0,
            optimizer=lambda p: torch.optim.Adam(p, lr=0.1),
        )  # fmt: skip


def _offline(system: str, seed: int, steps: int) -> Iterator[Row]:
    """Pairs among the seen arms only; the true value after long training."""
    import torch

    from meritree.align.data import pairs
    from meritree.align.prefer import fit_preferences
    from meritree.align.tabular import Tabular

    reward, ref, generator = _bandit(seed, unseen_loss=1.0)
    behaviour = ref.softmax(-1)
    covered = torch.where(torch.arange(ARMS) < SEEN, behaviour, 0.0)
    policy = Tabular(ref[None])
    fit_preferences(
        policy,
        objective(BETA, -OFFLINE_ALPHA if system == VPO else 0.0, "chosen"),
        pairs(_judged(covered / covered.sum(), reward, generator, 60)),
        ref=Tabular(ref[None]), steps=steps, batch=None, log_every=0,
        optimizer=lambda p: torch.optim.Adam(p, lr=0.1),
    )  # fmt: skip
    pi = policy.probabilities()[0]
    yield Row(system, OFFLINE, "value", float(pi @ reward))
    yield Row(system, OFFLINE, "mass on unseen arms", float(pi[SEEN:].sum()))
    if system == DPO:
        yield Row("behaviour", OFFLINE, "value", float(behaviour @ reward))
        yield Row("behaviour", OFFLINE, "mass on unseen arms", float(behaviour[SEEN:].sum()))


def _laboratory(seed: int, settings: Settings) -> Iterator[Row]:
    """Few noisy pairs, many epochs: gold on the way."""
    lab = _lab.open_lab(settings)
    rng = Random(f"vpo {seed}")
    both = _lab.draw(lab, lab.ref, _lab.topics(settings["pairs"], rng), 2, seed)
    data = _lab.as_pairs([_lab.judged(two, grammar.gold, rng, sharpness=1.0) for two in both])
    passes = -(-data.size // settings["batch"])
    for system in (DPO, VPO):
        told: dict[int, dict[str, float]] = {}

        def look(policy: Any, step: int, told: Any = told) -> dict[str, float]:
            if step // passes in settings["epochs"]:
                told[step // passes] = _lab.measured(lab, policy, settings, seed)
            return {}

        chosen = objective(LAB_BETA, -LAB_ALPHA if system == VPO else 0.0, "chosen")
        _lab.fit(
            _lab.copy_to_train(lab), chosen, data, settings, seed=seed,
            steps=passes * max(settings["epochs"]), evaluate=look, evaluate_every=passes,
        )  # fmt: skip
        best = max(values["gold"] for values in told.values())
        last = told[max(told)]
        for epoch, values in told.items():
            yield Row(system, f"{GRAMMAR_OFFLINE}, epoch {epoch}", "gold", values["gold"])
        yield Row(system, GRAMMAR_OFFLINE, "gold", last["gold"])
        yield Row(system, GRAMMAR_OFFLINE, "gold lost since the best epoch", best - last["gold"])
        yield Row(system, GRAMMAR_OFFLINE, "KL", last["KL"])


def draw(rows: Rows, figure: Figure) -> str:
    """Regret online, value offline, gold over epochs."""
    axes = figure.subplots(1, 3)
    colours = {DPO: "#e45756", VPO: "#4c78a8", "behaviour": "#9d755d"}
    for panel, name, metric in (
        (axes[0], ONLINE, "cumulative regret"),
        (axes[1], OFFLINE, "value"),
    ):
        chosen = rows.where(dataset=name, metric=metric)
        last = max(chosen, key=lambda row: int(row.unit.rsplit(" ", 1)[-1] or 0)).unit
        chosen = Rows.of(row for row in chosen if row.unit == last)
        for place, system in enumerate(chosen.systems):
            one = chosen.interval(metric, system)
            error = [[one.mean - one.low], [one.high - one.mean]]
            panel.bar(place, one.mean, yerr=error, capsize=3, color=colours[system])
        panel.set_xticks(range(len(chosen.systems)), chosen.systems, fontsize=8)
        panel.set_title(f"{name}\n{metric}", fontsize=8)
    places = [n for n in rows.datasets if n.startswith(f"{GRAMMAR_OFFLINE}, epoch")]
    epochs = [int(name.rsplit(" ", 1)[1]) for name in places]
    for system in (DPO, VPO):
        gold = [rows.mean("gold", system, place) for place in places]
        axes[2].plot(epochs, gold, "o-", color=colours[system], label=system)
    axes[2].set_xlabel("epoch")
    axes[2].set_title("grammar offline\ngold", fontsize=8)
    axes[2].legend(fontsize=8)
    for panel in axes:
        panel.grid(alpha=0.3)
    return (
        "Left: cumulative regret of the regularised value on bandits of 20 arms; middle: true "
        "value after training on pairs that leave arms out; right: worth of the policy's answers "
        f"over epochs on few noisy pairs. Means of {len(rows.seeds)} seeds, 95 % intervals."
    )


STUDY = Study(
    id="S050",
    name="vpo",
    paper=Paper(
        "Value-Incentivized Preference Optimization: A Unified Approach to Online and Offline RLHF",
        "S. Cen, J. Mei, K. Goshvadi, H. Dai, T. Yang, S. Yang, D. Schuurmans, Y. Chi, B. Dai",
        2024,
        "2405.19320",
        read="abstract and third parties' summaries; the loss derived from its definition",
    ),
    claim=(
        "Regularising the likelihood of rewards with their optimal value, with the sign of "
        "optimism online and of pessimism offline, gives a DPO-like loss with a calibration term "
        "that explores better online and avoids over-optimisation offline."
    ),
    parts=(
        "meritree.align.prefer.fit_preferences",
        "meritree.objectives.extras.Calibration",
        "meritree.objectives.links.Logistic",
        "meritree.objectives.preference.LogRatio",
    ),
    data=(
        Data(ONLINE, "normal rewards and references, Bradley-Terry labels",
             f"{ARMS} arms, {ROUNDS_PAIRS} pairs a round"),
        Data(OFFLINE, f"60 pairs among {SEEN} of {ARMS} arms; the others are worth one less",
             "a bandit a seed"),
        Data(GRAMMAR_OFFLINE, _lab.DATA, "80 pairs a seed, labelled by Bradley-Terry on gold"),
    ),
    baselines=(DPO, "behaviour"),
    measure=measure,
    checks=(
        Better("online: less cumulative regret than online DPO", "cumulative regret", VPO, DPO,
               higher=False, dataset=ONLINE),
        Better("offline: a higher value than DPO", "value", VPO, DPO, dataset=OFFLINE),
        Better("offline: a higher value than the behaviour", "value", VPO, "behaviour",
               dataset=OFFLINE),
        Better("offline: less mass on unseen arms than DPO", "mass on unseen arms", VPO, DPO,
               higher=False, dataset=OFFLINE),
        Better("grammar: more gold than DPO after the last epoch", "gold", VPO, DPO,
               dataset=GRAMMAR_OFFLINE),
        Better("grammar: less of it lost since the best epoch", "gold lost since the best epoch",
               VPO, DPO, higher=False, dataset=GRAMMAR_OFFLINE),
    ),
    scales={
        "smoke": Scale(1, {**_lab.SMOKE_BASE, "rounds": 4, "offline_steps": 20, "pairs": 24,
                           "batch": 12, "epochs": (1,), "rate": 1e-3, "eval": 12}),
        "full": Scale(6, {**_lab.FULL_BASE, "rounds": 32, "offline_steps": 300, "pairs": 80,
                          "batch": 40, "epochs": (1, 4, 12, 30), "rate": 1e-3, "eval": 240}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "torch", "transformers"),
    extra="align",
    repeatable=False,
    notes=(
        "Online the optimism is divided by the number of rounds, as the likelihood is a sum there "
        "and a mean over pairs here.",
        "The theorems' rates are not measured: 32 rounds say nothing about a slope.",
        "Online training of language models, which the paper also reports, is not repeated.",
    ),
)  # fmt: skip
