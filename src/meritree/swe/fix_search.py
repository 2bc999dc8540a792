"""The search of a `fix` run, by the repair policy or by an agent: started, replayed, gone on with.

Knows the two kinds of search and the options; nothing of results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from meritree.respond.errors import ModelError
from meritree.respond.model import Model
from meritree.run.ledger import Ledger
from meritree.swe.agent.recorded import EVENTS as AGENT_EVENTS
from meritree.swe.agent.recorded import spent_in
from meritree.swe.agent.search import AgentLimits, AgentSearch
from meritree.swe.agent.setup import limits_of, models_asked, models_of, new_agent_search
from meritree.swe.code_search import CodeSearch, Events, SearchLimits
from meritree.swe.mini.search import MiniSearch
from meritree.swe.prepare import Prepared
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import RunFolder
from meritree.swe.search_setup import new_search
from meritree.value.estimate import Cost

BY_MODEL = AgentSearch | MiniSearch
Search = CodeSearch | BY_MODEL
Past = list[tuple[str, dict[str, Any]]]
_EVENTS = frozenset({"step", "outcome", "alias", "exhausted"})
_LONGEST = 1e9  # seconds


def recorded_events(options: FixOptions, events: Sequence[tuple[str, dict[str, Any]]]) -> Past:
    """Those of a journal's events that the search is replayed from."""
    known = AGENT_EVENTS if options.by_model else _EVENTS
    return [(kind, payload) for kind, payload in events if kind in known]


def started_search(
    prepared: Prepared,
    options: FixOptions,
    folder: RunFolder,
    journal: Events,
    past: Past,
    earlier: float,
    on_step: Callable[[Any, int], None],
) -> tuple[Search, Ledger]:
    """A new search and its ledger, in which what ``past`` spent is booked.

    Args:
        earlier: seconds of earlier parts of the run.
    """
    if not options.by_model:
        return _by_repair(prepared, options, journal, past, earlier, on_step)
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


def _by_repair(
    prepared: Prepared,
    options: FixOptions,
    journal: Events,
    past: Past,
    earlier: float,
    on_step: Callable[[Any, int], None],
) -> tuple[Search, Ledger]:
    ledger = Ledger(limits_of(options, models_asked(options)))
    spent = sum(1 for kind, _ in past if kind == "step")
    ledger.restore(Cost(evaluations=spent, seconds=min(earlier, _LONGEST)))
    search = new_search(
        prepared,
        strategy=options.strategy,
        seed=options.seed,
        workers=options.workers,
        testers=prepared.testers(),
        ledger=ledger,
        limits=SearchLimits(),
        events=journal,
        on_step=on_step,
    )
    return search, ledger


def go_on(search: Search, past: Past, folder: RunFolder) -> None:
    """Replay what is known, finish what was under way, then search.

    Raises:
        ModelError: the model cannot be asked; the message says how to go on.
    """
    if isinstance(search, CodeSearch):
        search.finish_waiting(search.replay(iter(past)))
        search.run()
        return
    try:
        _replayed(search, past)
        search.run()
    except ModelError as error:
        said = str(error).rstrip(".")
        error.args = (
            f"{said}. Nothing is lost: once this is mended `meritree resume {folder.root}` goes on",
        )
        raise


def _replayed(search: BY_MODEL, past: Past) -> None:
    if isinstance(search, AgentSearch):
        search.finish_waiting(search.replay(iter(past)))
    else:
        search.finish_waiting(search.replay(iter(past)))
