"""Who is compared: strategies for either policy, models with their slips, parts taken away.

Plain tables; nothing is run here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from meritree.search import Strategy, make_strategy
from meritree.swe.agent.setup import Models, strategy_of
from meritree.swe.agent.steps import AgentLimits
from meritree.swe.agent.value_agent import AgentWeights

if TYPE_CHECKING:
    from meritree.respond.model import Model

BEST_OF_N, GUARDED, PRIOR, LINEAR = "best-of-n", "guarded", "order of prior", "linear"
GUARDED_PRIOR = f"{GUARDED}, {PRIOR}"
AGAIN = f"{LINEAR}, again"  # chain after chain, each told what the others tried
SEARCHES = (
    "beam",
    "best-first",
    "uct",
    "swe-search-paper",
    "swe-search-dev",
    "swe-search-moatless",
    "ab-mcts",
)
BY_REPAIR = (LINEAR, BEST_OF_N, PRIOR, *SEARCHES, GUARDED, GUARDED_PRIOR)
BY_AGENT = (LINEAR, AGAIN, BEST_OF_N, *SEARCHES, GUARDED)


def for_repair(name: str) -> Strategy:
    """A strategy over single edits. ``linear`` is one chain; the order of prior starts again."""
    if name == LINEAR:
        return make_strategy("linear", chains=1)
    if name == GUARDED_PRIOR:
        return make_strategy(GUARDED, temperature=0.0)
    return make_strategy("linear" if name == PRIOR else name)


@dataclass(frozen=True, slots=True)
class Agent:
    """How a model's search is set up, as far as the study varies it.

    Attributes:
        strategy: a name.
        limits: of the search; the first passing patch ends it.
        weights: of rules, tests and value model.
        judged: a value model is asked.
        temperature: of the actor; None: what the strategy asks for.
        noise, bias: of the local value model, on its scale of -100 to 100.
    """

    strategy: str
    limits: AgentLimits = field(default_factory=lambda: AgentLimits(most_found=1))
    weights: AgentWeights = field(default_factory=AgentWeights)
    judged: bool = True
    temperature: float | None = None
    noise: float = 20.0
    bias: float = 0.0

    @property
    def rules(self) -> Strategy:
        """The strategy with constants for an agent's steps."""
        if self.strategy == LINEAR:
            return make_strategy("linear", chains=1)
        return strategy_of("linear" if self.strategy == AGAIN else self.strategy)


def for_agent(name: str) -> Agent:
    """A model's search by a named strategy."""
    return Agent(name)


def collecting(agent: Agent) -> Agent:
    """The same search, which goes on after its first passing patch as `meritree fix` does."""
    return replace(agent, limits=AgentLimits())


def _warm(agent: Agent) -> Agent:
    return replace(agent, temperature=1.0)


def _no_hindsight(agent: Agent) -> Agent:
    """At temperature 1: at 0 a model that is told nothing would only repeat itself."""
    return replace(_warm(agent), limits=replace(agent.limits, hindsight=False))


def _no_explanations(agent: Agent) -> Agent:
    return replace(agent, limits=replace(agent.limits, explanations=False))


def _no_execution(agent: Agent) -> Agent:
    return replace(agent, weights=replace(agent.weights, execution=0.0))


def _no_model(agent: Agent) -> Agent:
    return replace(agent, judged=False)


WARM = "at temperature 1"
COLD = f"{WARM}, without hindsight"
ABLATIONS: Mapping[str, Callable[[Agent], Agent]] = MappingProxyType(
    {
        WARM: _warm,
        COLD: _no_hindsight,
        "without explanations": _no_explanations,
        "without the execution channel": _no_execution,
        "without the model channel": _no_model,
    }
)
"""By name: the same search with a part taken away."""


def judged_by_model_alone(agent: Agent, bias: float, noise: float) -> Agent:
    """The value model is the only judge of what does not pass: for curves of its quality."""
    weights = AgentWeights(execution=0.0, rules=0.0, model=1.0)
    return replace(agent, weights=weights, bias=bias, noise=noise)


def models(settings: Mapping[str, Any], agent: Agent, seed: int) -> Models:
    """Who is asked: the endpoint that the settings name, else the repair policy with slips.

    A local value model knows what the tests say, with a bias and noise. A curve of value quality
    keeps the local value model also where an endpoint acts.

    Raises:
        BadInput: the settings name an address that is none.
    """
    from meritree.swe.agent.noise import ErringModel, NoisyValueModel
    from meritree.swe.agent.repair_model import RepairModel

    value: Model | None = None
    if settings["model"]:
        actor = _endpoint(settings["model"], settings["base_url"])
        value = actor
    else:
        third = settings["slips"] / 3
        actor = ErringModel(
            RepairModel(), wrong=third, malformed=third, silent=third, seed=seed
        )  # fmt: skip
    if not settings["model"] or agent.weights.rules == 0.0:
        value = NoisyValueModel(agent.bias, agent.noise, seed)
    return Models(actor, value if agent.judged else None)


def _endpoint(name: str, base_url: str) -> Model:
    from meritree.respond.connect import Choice, connect

    return connect(Choice(name, base_url or None))


__all__ = ["ABLATIONS", "BY_AGENT", "BY_REPAIR", "Agent", "collecting", "for_agent", "for_repair",
           "models"]  # fmt: skip
