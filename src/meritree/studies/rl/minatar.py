"""MinAtar for six studies: plain DQN once, and one learner a paper, on the same games and seeds.

A finished run is kept in the user's cache folder under the digest of its program, so that what one
study has trained the others read. Knows no claim.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meritree.errors import BadInput
from meritree.studies.checks import FEWEST, Finding, Outcome
from meritree.studies.rows import Rows
from meritree.studies.study import Further, Row, Scale, Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from meritree.stats import Interval

GAMES = ("Breakout", "SpaceInvaders", "Asterix", "Freeway", "Seaquest")
DQN, HLG, C51, IQN, SHIFT, MDQN, DVW, SOFT = (
    "DQN", "HL-Gauss", "C51", "i-DQN, K=3", "shift -1", "M-DQN", "M-DQN with DVW",
    "soft, 8 experts",
)  # fmt: skip
LEARNERS = (DQN, HLG, C51, SHIFT, SOFT, MDQN, DVW, IQN)
WHOLE, LATE, COST = "return while learning", "return in the last fifth", "CPU s of a run"
RATE, GAMMA, WORLDS, BATCH, WINDOWS = 5e-4, 0.99, 16, 64, 20
LOW, HIGH = -1.0, 15.0  # support of the heads that have one
STEPS, SEEDS = 100_000, 5


def parts(name: str, actions: int) -> dict[str, Any]:
    """The slots of `value_trainer` in which a learner differs from plain DQN."""
    from meritree.rl.moe import Convolutions, SoftMoE, Tokenised
    from meritree.rl.nets import MinAtarTorso
    from meritree.rl.value_based.act import random_member
    from meritree.rl.value_based.bootstrap import munchausen
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.weights import InverseVariance
    from meritree.value.heads import Categorical, HLGauss
    from meritree.value.transforms import shift

    soft = munchausen()
    made: dict[str, dict[str, Any]] = {
        DQN: {},
        HLG: {"head": HLGauss(LOW, HIGH)},
        C51: {"head": Categorical(LOW, HIGH)},
        IQN: {"chain": TargetChain(3), "act": random_member},
        SHIFT: {"reward": shift(-(1.0 - GAMMA), GAMMA)},
        MDQN: {"bootstrap": soft},
        DVW: {
            "bootstrap": soft,
            "chain": TargetChain(keep_previous=True),
            "weight": InverseVariance(actions, soft, MinAtarTorso()),
        },
        SOFT: {"net": Tokenised(Convolutions((16,), ("VALID",)), SoftMoE(8, hidden=128))},
    }
    return made[name]


@cache
def trainer(name: str, game: str, steps: int) -> Any:
    """All alike but for `parts`: MinAtar's network, Adam, epsilon to 0.05 in the first quarter."""
    import optax

    from meritree.rl.envs import Gymnax
    from meritree.rl.nets import MinAtarTorso
    from meritree.rl.value_based.act import decayed, epsilon_greedy
    from meritree.rl.value_based.trainer import value_trainer

    env = Gymnax(f"{game}-MinAtar")
    own = {"net": MinAtarTorso()} | parts(name, env.spec.actions)
    explore = decayed(1.0, 0.05, max(1, steps // 4))
    own["act"] = epsilon_greedy(explore, own.get("act"))
    return value_trainer(
        env, **own, optimizer=optax.adam(RATE), steps=steps, n_env=WORLDS, batch=BATCH,
        warmup=2000, gamma=GAMMA, windows=WINDOWS,
    )  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """One run.

    Attributes:
        returns: mean return of the episodes that ended in each window; a window in which none
            ended repeats the one before, and is 0 at the beginning.
        cpu_s: processor seconds, compiling left out where another seed had compiled.
        commit: of the code that trained it.
    """

    returns: tuple[float, ...]
    cpu_s: float
    commit: str

    def rows(self, name: str, game: str) -> Iterator[Row]:
        """Mean over the run and over its last fifth, and what it cost."""
        late = self.returns[-max(1, len(self.returns) // 5) :]
        yield Row(name, game, WHOLE, sum(self.returns) / len(self.returns))
        yield Row(name, game, LATE, sum(late) / len(late))
        yield Row(name, game, COST, self.cpu_s)


def trained(name: str, game: str, steps: int, seed: int, folder: Path | None = None) -> Trained:
    """The run of a learner, trained now or read where its very program was run before.

    Args:
        name: one of `LEARNERS`.
        game: one of `GAMES`.
        steps: environment steps, warm-up not counted.
        seed: of the run.
        folder: where runs are kept; the user's cache folder by default.
    """
    made = trainer(name, game, steps)
    place = (folder or kept_at()) / f"{made.recipe()}-{made.windows}-{seed}.json"
    about = {"learner": name, "game": game, "steps": steps, "seed": seed}
    return kept(place, lambda: _train(made, seed), about)


def kept(place: Path, train: Callable[[], Trained], about: Mapping[str, Any]) -> Trained:
    """What the file holds, or what is trained now, which it then holds.

    Args:
        place: the file; a run that was stopped leaves none.
        train: makes the run.
        about: whose run it is, for readers of the file.
    """
    try:
        found = json.loads(place.read_text("utf-8"))
        return Trained(tuple(found["returns"]), found["cpu_s"], found["commit"])
    except (OSError, ValueError, KeyError, TypeError):
        one = train()  # never run, or the file is no such file: it is written anew
    half = place.with_suffix(f".{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(json.dumps({**about, **asdict(one)}, allow_nan=False) + "\n", "utf-8")
        half.replace(place)
    except OSError as error:
        raise BadInput(f"{place}: cannot keep a finished run: {error.strerror}") from None
    return one


def kept_at() -> Path:
    """Where finished runs are kept."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cached / "meritree" / "minatar"


def _train(made: Any, seed: int) -> Trained:
    import math

    from meritree.rl.trainer import fit
    from meritree.studies.runner import commit

    begun = time.process_time()
    log = fit(made, seed)[1]
    returns, before = [], 0.0
    for value in map(float, log["return"]):
        before = value if math.isfinite(value) else before
        returns.append(before)
    return Trained(tuple(returns), time.process_time() - begun, commit())


def measure_of(names: Sequence[str]) -> Callable[[int, Settings], Iterator[Row]]:
    """``measure`` of a study whose learners these are; settings: games, steps."""

    def measure(seed: int, settings: Settings) -> Iterator[Row]:
        for game in settings["games"]:
            for name in names:
                yield from trained(name, game, settings["steps"], seed).rows(name, game)

    return measure


@dataclass(frozen=True, slots=True)
class Gain:
    """The interquartile mean of paired differences over all games lies above 0.

    Differences of a game are divided by the mean of both learners there, because one game pays
    fifty where another pays one; where neither gains anything they are 0.

    Attributes:
        claim: the statement, in words.
        metric: what is compared.
        system, than: the two learners, paired by game and seed.
    """

    claim: str
    metric: str
    system: str
    than: str

    def __call__(self, rows: Rows) -> Finding:
        from meritree.studies.checks import show

        interval = relative_gain(rows, self.metric, self.system, self.than)
        outcome: Outcome = "inconclusive"
        if len(rows.seeds) >= FEWEST:
            if interval.low > 0.0:
                outcome = "holds"
            elif interval.high <= 0.0:
                outcome = "does not hold"
        each = ", ".join(
            f"{game} {rows.mean(self.metric, self.system, game):.3g} against "
            f"{rows.mean(self.metric, self.than, game):.3g}"
            for game in rows.datasets
        )
        text = (
            f"{self.metric}: IQM of the relative difference {self.system} - {self.than} = "
            f"{show(interval)}, {interval.n} pairs ({each})"
        )
        return Finding(self.claim, outcome, text, interval)


def relative_gain(rows: Rows, metric: str, system: str, than: str) -> Interval:
    """See `Gain`; seeds are drawn within games."""
    from meritree.stats.runs import stratified_interval

    strata = []
    for game in rows.datasets:
        one, other = (
            {row.seed: row.value for row in rows.where(metric=metric, system=name, dataset=game)}
            for name in (system, than)
        )
        seeds = sorted(one.keys() & other.keys())
        unit = sum(one[seed] + other[seed] for seed in seeds) / (2.0 * len(seeds))
        strata.append([(one[seed] - other[seed]) / unit if unit else 0.0 for seed in seeds])
    return stratified_interval(strata)


def draw(rows: Rows, figure: Figure) -> str:
    """Returns by game: a panel a game, a dot a learner."""
    from meritree.studies.rl.contest import COLOURS

    panels = figure.subplots(1, len(rows.datasets), squeeze=False)[0]
    for axes, game in zip(panels, rows.datasets, strict=True):
        names = rows.where(dataset=game).systems
        for at, name in enumerate(names):
            found = rows.interval(WHOLE, name, game)
            axes.errorbar(
                at, found.mean, [[found.mean - found.low], [found.high - found.mean]], fmt="o",
                capsize=3, color=COLOURS[at % len(COLOURS)],
            )  # fmt: skip
        axes.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=7)
        axes.set_title(game, fontsize=9)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(bottom=0.0)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel(WHOLE)
    return (
        f"Mean return of the episodes that ended while learning, exploration included; "
        f"{len(rows.seeds)} seeds, 95 % intervals."
    )


def further(system: str, than: str = DQN, *, about: str, others: tuple[str, ...] = ()) -> Further:
    """The scale ``minatar`` of a study: one learner against another, ``others`` beside them."""
    return Further(
        about=(
            f"{about} MinAtar as gymnax has it (no sticky actions, at most 1000 steps), the "
            f"network of its authors, Adam with step size {RATE:g} for all, nothing tuned, "
            f"{STEPS} steps in {WORLDS} worlds with an update of {BATCH} rows after each step of "
            "all: far from the 5 million steps of its authors. Runs of plain DQN are shared with "
            "the other studies that have this scale; what a run cost stands in the table, the "
            "seconds below it are those of reading kept runs."
        ),
        scale=Scale(SEEDS, {"games": GAMES, "steps": STEPS}),
        measure=measure_of((than, system, *others)),
        checks=tuple(
            Gain(f"{system} gains more than {than} {when}", metric, system, than)
            for when, metric in (("over the run", WHOLE), ("in its last fifth", LATE))
        ),
        draw=draw,
    )
