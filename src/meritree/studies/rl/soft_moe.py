"""S107: do mixtures of experts let value networks use more parameters?

A convolutional DQN whose dense layer gives way to soft or top-1 mixtures of 1 to 8 experts, on
Catch, against dense layers of the same width, of n times the width and
of the same number of parameters, and against one expert, which keeps the tokens only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meritree.studies.checks import Better
from meritree.studies.rl import minatar
from meritree.studies.rl.contest import (
    AUC,
    COLOURS,
    Curve,
    IqmBetter,
    System,
    Task,
    catch,
    learn,
)
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CATCH = "Catch"
SIZE, DORMANT = "parameters", "dormant share of hidden units"
SLOPE = "slope of the score in log2 experts"
SOFT, DENSE, TOP, EQUAL, POOLED = "soft", "dense", "top-1", "dense, equal size", "mean of tokens"
RATE = 1.5e-3  # of Adam, for all; not tuned for these networks


@dataclass(frozen=True)
class Shape:
    """Sizes of the networks on one task.

    Attributes:
        filters, paddings: of the convolutions.
        hidden: width of an expert, and of the dense layer for one expert.
    """

    filters: tuple[int, ...]
    paddings: tuple[str, ...]
    hidden: int


SMALL = Shape((8, 8), ("SAME", "VALID"), 32)


def soft(experts: int) -> str:
    return f"{SOFT}, {experts} expert{'s' if experts > 1 else ''}"


def dense(times: int) -> str:
    return f"{DENSE} x {times}"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """All networks on Catch."""
    yield from _scaling(catch(settings["catch"]), SMALL, CATCH, settings["experts"], seed)


def networks(
    shape: Shape, observation: tuple[int, ...], experts: tuple[int, ...]
) -> dict[str, Any]:
    """Every torso by its name."""
    from meritree.rl.moe import Convolutions, Flattened, SoftMoE, Tokenised, TopOneMoE

    encoder = Convolutions(shape.filters, shape.paddings)
    most = max(experts)
    made: dict[str, Any] = {dense(n): Flattened(encoder, shape.hidden * n) for n in experts}
    for n in experts:
        made[soft(n)] = Tokenised(encoder, SoftMoE(n, hidden=shape.hidden))
    made[f"{TOP}, {most} experts"] = Tokenised(encoder, TopOneMoE(most, hidden=shape.hidden))
    made[POOLED] = Flattened(encoder, shape.hidden, pooled=True)
    made[EQUAL] = Flattened(encoder, equal_width(shape, observation, most))
    return made


def equal_width(shape: Shape, observation: tuple[int, ...], experts: int) -> int:
    """Width of the dense layer that has nearly the parameters of a soft mixture (readout apart)."""
    from meritree.rl.moe import slots_of, soft_moe_size

    shrunk = 2 * sum(padding == "VALID" for padding in shape.paddings)
    tokens, d = (observation[0] - shrunk) * (observation[1] - shrunk), shape.filters[-1]
    size = soft_moe_size(d, experts, slots_of(tokens, experts), shape.hidden)
    return max(1, round(size / (tokens * d + 1)))


def _scaling(
    task: Task, shape: Shape, dataset: str, experts: tuple[int, ...], seed: int
) -> Iterator[Row]:
    import numpy as np

    from meritree.rl.envs import Gymnax

    scores = {}
    observation = Gymnax(task.env).spec.obs_shape
    for name, net in networks(shape, observation, experts).items():
        curve = learn(System(net=net), task, seed, RATE)
        scores[name] = curve.auc
        yield from curve.rows(name, dataset)
        yield Row(name, dataset, SIZE, float(_size(curve)))
        yield Row(name, dataset, DORMANT, _dormant(net, curve))
    for kind, named in ((SOFT, soft), (DENSE, dense)):
        along = [scores[named(n)] for n in experts]
        yield Row(kind, dataset, SLOPE, float(np.polyfit(np.log2(experts), along, 1)[0]))


def _size(curve: Curve) -> int:
    from meritree.rl.nets import parameter_count

    return parameter_count(curve.state.learned.members.online["net"])


def _dormant(net: Any, curve: Curve, threshold: float = 0.1) -> float:
    """Share of hidden units whose mean |activation| is below a tenth of their layer's mean.

    On 256 replayed observations. Source: Sokar et al. (2023), arXiv:2302.12902, eq. 1.
    """
    import jax
    import numpy as np

    members, ring = curve.state.learned.members, curve.state.data
    torso = jax.tree.map(lambda leaf: leaf[0], members.online["net"]["torso"])
    obs = np.asarray(ring.steps.obs[: int(ring.filled)], np.float32)
    obs = obs.reshape(-1, *obs.shape[2:])
    obs = obs[np.linspace(0, len(obs) - 1, 256).astype(int)]
    hidden = np.asarray(_hidden(net)(torso, obs))
    activity = np.abs(hidden).mean(axis=0)
    return float((activity <= threshold * activity.mean()).mean())


def _hidden(net: Any) -> Any:
    """(parameters, observations) to activations [B, units], slots of an expert averaged."""
    import jax

    def one(params: Any, obs: Any) -> Any:
        _, kept = net.apply({"params": params}, obs, None, mutable=["intermediates"])
        (inner,) = jax.tree.leaves(kept)  # [units], or [experts, slots, units]
        return inner if inner.ndim == 1 else jax.numpy.abs(inner).mean(axis=1).reshape(-1)

    return jax.jit(jax.vmap(one, in_axes=(None, 0)))


def draw(rows: Rows, figure: Figure) -> str:
    """Scores over numbers of parameters."""
    datasets = rows.datasets
    panels = figure.subplots(1, len(datasets), squeeze=False)[0]
    for axes, dataset in zip(panels, datasets, strict=True):
        here = rows.where(dataset=dataset)
        kinds = (f"{SOFT},", f"{DENSE} x", TOP, POOLED, EQUAL)
        for kind, colour in zip(kinds, COLOURS, strict=False):
            names = [s for s in here.where(metric=SIZE).systems if s.startswith(kind)]
            found = [here.interval(AUC, name) for name in names]
            axes.errorbar(
                [here.mean(SIZE, name) for name in names], [i.mean for i in found],
                [[i.mean - i.low for i in found], [i.high - i.mean for i in found]],
                marker="o", capsize=3, color=colour, label=kind.rstrip(", x"),
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlabel("parameters")
        axes.set_ylabel(AUC)
        axes.set_title(dataset, fontsize=9)
        axes.legend(fontsize=7)
    return (
        "Mean return while learning as a share of the best over the number of parameters: soft "
        "mixtures and dense layers for 1 and 8 experts, or times the width; "
        f"{len(rows.seeds)} seeds, 95 % intervals."
    )


STUDY = Study(
    id="S107",
    name="soft-moe",
    paper=Paper(
        "Mixtures of Experts Unlock Parameter Scaling for Deep RL",
        "J. Obando-Ceron, G. Sokar, T. Willi, C. Lyle, J. Farebrother et al.",
        2024,
        "2402.08609",
        read="abstract and released code (Dopamine, labs/moes)",
    ),
    claim=(
        "With a soft mixture of experts in place of the penultimate layer, value networks gain "
        "from more parameters; dense layers made wider, and top-1 routing, gain less."
    ),
    parts=(
        "meritree.rl.moe.SoftMoE",
        "meritree.rl.moe.TopOneMoE",
        "meritree.rl.moe.Tokenised",
        "meritree.rl.moe.Convolutions",
        "meritree.rl.value_based.trainer.value_trainer",
    ),
    data=(Data(CATCH, "gymnax, bsuite; 24 tokens of 8 numbers", "4000 steps, 1000 updates"),),
    baselines=(dense(8), EQUAL, "top-1, 8 experts", soft(1), POOLED),
    measure=measure,
    checks=(
        Better(
            "Catch: the score grows more with soft experts than with the width of a dense layer",
            SLOPE,
            SOFT,
            DENSE,
            dataset=CATCH,
        ),
        IqmBetter(
            "Catch: eight soft experts score more than a dense layer of the same size",
            AUC,
            soft(8),
            EQUAL,
            datasets=(CATCH,),
        ),
        IqmBetter(
            "Catch: eight soft experts score more than a dense layer eight times as wide",
            AUC,
            soft(8),
            dense(8),
            datasets=(CATCH,),
        ),
        IqmBetter(
            "Catch: eight soft experts score more than one, so that it is not the tokens alone",
            AUC,
            soft(8),
            soft(1),
            datasets=(CATCH,),
        ),
        IqmBetter(
            "Catch: soft routes score more than top-1 routing",
            AUC,
            soft(8),
            "top-1, 8 experts",
            datasets=(CATCH,),
        ),
    ),
    scales={
        "smoke": Scale(
            1,
            {"catch": 1200, "experts": (1, 8)},
        ),
        "full": Scale(
            5,
            {"catch": 4000, "experts": (1, 8)},
        ),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "jax", "flax", "gymnax", "optax"),
    extra="rl",
    # Sums in another order (another processor) change which action is best, and all after it.
    repeatable=False,
    notes=(
        "As in the release: tokens are positions, experts keep the token's size, what comes back "
        "is flattened and read by one linear layer, and no loss balances the top-1 router.",
        "In the release a dense layer n times as wide has far more parameters than n experts, "
        "whose input is one token; so there is a dense layer of equal size too.",
        "Catch is far smaller than the paper's Atari games (24 tokens of 8 numbers against 121 of "
        "64) and learned within seconds: the score over the run is what can differ. One step size "
        "(1.5e-3, which suits a plain network there) for all networks.",
        "All mixtures score like the network that is given the mean of the tokens. A likely "
        "reason, not tested: soft routes begin nearly even, so that where something is, which "
        "Catch is about, has to be learned first.",
        "After 1000 updates most networks still learn, the mixtures slowest: tuned step sizes or "
        "longer runs could change the order, which this study does not settle.",
        "On MinAtar (`--scale minatar`) eight experts stand in place of the dense layer of 128; "
        "dense layers of other sizes and top-1 routing are not measured there.",
    ),
    further={
        "minatar": minatar.further(
            minatar.SOFT, about="Eight soft experts in place of the dense layer, on games."
        )
    },
)
