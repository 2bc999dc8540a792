"""The search of a `fix` run in which a language model proposes: the agent's, or mini-swe-agent's.

Apart from `fix_search`, so that the repair policy starts without loading what only models need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from meritree.respond.model import Model
from meritree.run.ledger import Ledger
from meritree.swe.agent.recorded import spent_in
from meritree.swe.agent.setup import limits_of, models_asked, models_of, new_agent_search
from meritree.swe.agent.steps import AgentLimits, StepSearch
from meritree.swe.mini.search import MiniSearch
from meritree.swe.prepared import Prepared
from meritree.swe.replaying import Events
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import RunFolder

ModelSearch: TypeAlias = StepSearch[Any, Any, Any, Any]
_LONGEST = 1e9  # seconds


def search_by_model(
    prepared: Prepared,
    options: FixOptions,
    folder: RunFolder,
    journal: Events,
    past: list[tuple[str, dict[str, Any]]],
    earlier: float,
    on_step: Callable[[Any, int], None],
) -> tuple[ModelSearch, Ledger]:
    """A new search by the models that the options name; see `fix_search.started_search`."""
    models = models_of(options)
    ledger = Ledger(limits_of(options, models_asked(options)))
    ledger.restore(replace(spent_in(past), seconds=min(earlier, _LONGEST)))
    if options.policy == "mini":
        return _by_mini(prepared, options, folder, journal, ledger, models.agent, on_step), ledger
    search = new_agent_search(
        prepared,
        folder.work,
        models=models,
        strategy=options.strategy,
        seed=options.seed,
        workers=options.workers,
        ledger=ledger,
        limits=AgentLimits(context_tokens=options.context_tokens),
        temperature=options.temperature,
        events=journal,
        on_step=on_step,
    )
    return search, ledger


def _by_mini(
    prepared: Prepared,
    options: FixOptions,
    folder: RunFolder,
    journal: Events,
    ledger: Ledger,
    model: Model,
    on_step: Callable[[Any, int], None],
) -> MiniSearch:
    from meritree.swe.mini.setup import new_mini_search

    return new_mini_search(
        prepared,
        folder.work,
        model=model,
        strategy=options.strategy,
        seed=options.seed,
        ledger=ledger,
        workers=options.workers,
        limits=AgentLimits(context_tokens=options.context_tokens),
        temperature=options.temperature,
        events=journal,
        on_step=on_step,
    )
