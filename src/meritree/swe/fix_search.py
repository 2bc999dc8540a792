"""The search of a `fix` run, by the repair policy or by an agent: started, replayed, gone on with.

Knows the two kinds of search and the options; nothing of results.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from meritree.run.ledger import Ledger, Limits
from meritree.swe.code_search import CodeSearch
from meritree.swe.own_channels import Channel
from meritree.swe.passing import SearchLimits
from meritree.swe.prepared import Prepared
from meritree.swe.replaying import Events
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import RunFolder
from meritree.swe.search_setup import new_search
from meritree.swe.setting_aside import set_aside
from meritree.value.estimate import Cost

if TYPE_CHECKING:  # what models need is loaded when one is named
    from meritree.swe.model_search import ModelSearch

Search: TypeAlias = "CodeSearch | ModelSearch"
Past = list[tuple[str, dict[str, Any]]]
BUDGET = "budget"  # a resumed run was given another budget
ENDPOINT = "endpoint"  # a resumed run asks elsewhere, or another model
_EVENTS = frozenset({"step", "outcome", "alias", "exhausted"})
_LONGEST = 1e9  # seconds


def recorded_events(options: FixOptions, events: Sequence[tuple[str, dict[str, Any]]]) -> Past:
    """Those of a journal's events that the search is replayed from."""
    known = _EVENTS
    if options.by_model:
        from meritree.swe.agent.recorded import EVENTS as known
    return [(kind, payload) for kind, payload in events if kind in known]


def since_budget(events: Past, *others: str) -> Past:
    """Those of a journal's events that no later, larger budget (or other kind) has overtaken."""
    overtaking = (BUDGET, *others)
    last = max((n for n, (kind, _) in enumerate(events) if kind in overtaking), default=-1)
    return events[last + 1 :]


def lengthens_nothing(events: Past, search: Search) -> bool:
    """Whether a budget was the journal's last word and yet the search made no step under it."""
    steps = sum(1 for kind, _ in events if kind == "step")
    return any(kind == BUDGET for kind, _ in events[-1:]) and search.evaluations == steps


def started_search(
    prepared: Prepared,
    options: FixOptions,
    folder: RunFolder,
    journal: Events,
    past: Past,
    earlier: float,
    on_step: Callable[[Any, int], None],
    channels: Sequence[Channel] = (),
) -> tuple[Search, Ledger]:
    """A new search and its ledger, in which what ``past`` spent is booked.

    Args:
        earlier: seconds of earlier parts of the run.
        channels: of the user's own; the repair policy's search has them.
    """
    if not options.by_model:
        return _by_repair(prepared, options, journal, past, earlier, on_step, channels)
    from meritree.swe.model_search import search_by_model

    return search_by_model(prepared, options, folder, journal, past, earlier, on_step)


def _by_repair(
    prepared: Prepared,
    options: FixOptions,
    journal: Events,
    past: Past,
    earlier: float,
    on_step: Callable[[Any, int], None],
    channels: Sequence[Channel],
) -> tuple[Search, Ledger]:
    ledger = Ledger(_limits(options))
    spent = sum(1 for kind, _ in past if kind == "step")
    ledger.restore(Cost(evaluations=spent, seconds=min(earlier, _LONGEST)))
    search = new_search(
        prepared,
        strategy=options.strategy,
        seed=options.seed,
        channels=channels,
        workers=options.workers,
        testers=prepared.testers(),
        ledger=ledger,
        limits=SearchLimits(),
        events=journal,
        on_step=on_step,
    )
    return search, ledger


def _limits(options: FixOptions) -> Limits:
    if options.judge_model:
        from meritree.swe.agent.setup import limits_of, models_asked

        return limits_of(options, models_asked(options))
    return Limits(options.budget_tests, options.budget_seconds, usd=options.budget_usd)


def go_on(search: Search, past: Past, folder: RunFolder, aside: Collection[str] = ()) -> None:
    """Replay what is known, finish what was under way, then search.

    Args:
        aside: keys of found patches that do not hold.

    Raises:
        ModelError: the model cannot be asked; the message says how to go on.
    """
    if isinstance(search, CodeSearch):
        search.finish_waiting(search.replay(iter(past)))
        set_aside(search, aside)
        search.run()
        return
    from meritree.respond.errors import ModelError

    try:
        search.finish_waiting(search.replay(iter(past)))
        set_aside(search, aside)
        search.run()
    except ModelError as error:
        said = str(error).rstrip(".")
        error.args = (
            f"{said}. Nothing is lost: once this is mended `meritree resume {folder.root}` goes on "
            "(with --base-url URL at another address; with --model NAME if none has answered yet)",
        )
        raise
