"""Puts an agent's search together: models, prompts' task, tests, tree, ledger.

The programmatic entry for studies as well as for `fix`; studies may pass models of their own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from meritree.errors import BadInput
from meritree.respond.errors import ModelError
from meritree.respond.ledgered import ledgered
from meritree.respond.model import Model
from meritree.run.ledger import Ledger, Limits
from meritree.search import SearchTree, Strategy, make_strategy
from meritree.search.chains import Guarded
from meritree.swe.agent.expand import Expander
from meritree.swe.agent.facts import CORRECTABLE
from meritree.swe.agent.looking import Observation
from meritree.swe.agent.policy import AgentPolicy
from meritree.swe.agent.reports import PLACES, task_text
from meritree.swe.agent.retrieval import Retriever
from meritree.swe.agent.search import AgentSearch, AgentSteps, files_and_tests
from meritree.swe.agent.situation import Files, Situation
from meritree.swe.agent.state import AgentState
from meritree.swe.agent.steps import AgentLimits, StepSearch
from meritree.swe.agent.trials import Trials
from meritree.swe.agent.value_agent import AgentWeights, ValueAgent
from meritree.swe.agent.workspace import Workspace
from meritree.swe.code_search import Tester
from meritree.swe.edits import Edit
from meritree.swe.prepared import Prepared
from meritree.swe.replaying import Events
from meritree.swe.result import DEFAULT_USD, Candidate, FixOptions
from meritree.swe.retrieval.trees import TreeRetriever
from meritree.swe.value import Facts, ValueWeights, root_value
from meritree.swe.verify import RUNS, verdict_data
from meritree.value.estimate import Estimate

DEEPEST = 40  # steps of a branch
_NEVER = 10**9  # as `AgentLimits.idle`
_UNJUDGED = 0.3  # value of code that no test judges yet
_CHAINS = frozenset({"linear", "best-of-n"})  # attempts that go on from no other's states
_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    # Steps that gather context are worth less than what they lead to, and a first step is one
    # among few: neither the tolerance nor the root's share of the repair policy fits.
    "best-first": {"tolerance": 1.0, "path_prior": False, "root_share": 0.0},
    "swe-search-moatless": {"correctable": CORRECTABLE},
}


@dataclass(frozen=True, slots=True)
class Models:
    """Who is asked: ``agent`` proposes, ``value`` judges steps (None: rules and tests alone)."""

    agent: Model
    value: Model | None = None

    @property
    def all(self) -> tuple[Model, ...]:
        """Every model."""
        return (self.agent,) if self.value is None else (self.agent, self.value)


def models_of(options: FixOptions) -> Models:
    """The models that the options name; nobody is asked yet.

    Raises:
        BadInput: no model is named, or the address is none.
    """
    if not options.model.strip():
        raise BadInput(
            "--policy model: no model is named; give --model NAME (and --base-url URL, unless it "
            "is OpenAI's); --policy repair needs no model"
        )
    value = endpoint(options.value_model, options) if options.value_model else None
    return Models(endpoint(options.model, options), value)


def endpoint(name: str, options: FixOptions) -> Model:
    """The model of this name at the address that the options say; nobody is asked yet.

    Raises:
        BadInput: the address is none.
    """
    from meritree.respond.address import parse_address
    from meritree.respond.connect import Choice, connect, user_prices

    url = _url_of(name, options)
    # A server on this machine is there or is not; one elsewhere may be busy.
    retries = 2 if parse_address(url).loopback else 5
    choice = Choice(name, options.base_url or None, tools=options.tools, retries=retries)
    prices = user_prices(options.price_file, options.prices, "[tool.meritree.prices]")
    return connect(choice, prices=prices)


def check_model_options(options: FixOptions) -> None:
    """Refuse values that make no sense for a model, naming option, value and what is allowed.

    Raises:
        BadInput: see above.
    """
    if not options.by_model and not options.judge_model:
        return
    _check_local(options)
    if options.budget_tokens < 1:
        raise BadInput(f"--budget-tokens {options.budget_tokens}: must be at least 1")
    if options.context_tokens < 2000:
        raise BadInput(f"--context-tokens {options.context_tokens}: must be at least 2000")
    if options.temperature is not None and not 0 <= options.temperature <= 2:
        raise BadInput(f"--temperature {options.temperature}: must lie in [0, 2]")
    if importlib.util.find_spec("httpx") is None:
        raise BadInput("asking a model over the network needs httpx: pip install 'meritree[llm]'")
    try:
        asked = models_asked(options)
    except ModelError as error:  # a URL in place of a name, and nobody there to tell it
        raise BadInput(str(error)) from None
    ledger = Ledger(limits_of(options, asked))
    for model in asked:
        ledgered(model, ledger)


def _check_local(options: FixOptions) -> None:
    """``local`` is what `meritree demo` calls the model that it serves; OpenAI has none."""
    by_agent = (("--model", options.model), ("--value-model", options.value_model))
    named = (*(by_agent if options.by_model else ()), ("--judge-model", options.judge_model))
    for option, name in named:
        if name == "local" and not options.base_url:
            raise BadInput(
                f"{option} local: no server on this machine is named; start one with `meritree "
                f"serve-model --model repair`, then give {option} local --base-url and the URL "
                "that it prints"
            )


def check_endpoints(options: FixOptions) -> None:
    """Ask each endpoint that the options name whether it is there and knows the key.

    Raises:
        BadInput: it is not, or does not; see `check_reachable`.
    """
    from meritree.respond.connect import check_reachable

    by_agent = (options.model, options.value_model) if options.by_model else ()
    places = {_url_of(name, options): name for name in (*by_agent, options.judge_model) if name}
    for url, name in places.items():
        check_reachable(name, url)


def _url_of(name: str, options: FixOptions) -> str:
    from meritree.respond.address import OPENAI

    return name if name.startswith(("http://", "https://")) else options.base_url or OPENAI


def models_asked(options: FixOptions) -> tuple[Model, ...]:
    """Every model that a run with these options may ask: of the agent and of the debate."""
    agents = models_of(options).all if options.by_model else ()
    return (*agents, *((endpoint(options.judge_model, options),) if options.judge_model else ()))


def limits_of(options: FixOptions, asked: Sequence[Model]) -> Limits:
    """The hard limits of a run with models.

    Money is limited where the user says so, and by `DEFAULT_USD` where every price is known.
    """
    from meritree.respond.model import is_priced

    usd = options.budget_usd
    if usd is None and asked and all(is_priced(model) for model in asked):
        usd = DEFAULT_USD
    return Limits(
        evaluations=options.budget_tests,
        seconds=options.budget_seconds,
        tokens=options.budget_tokens,
        usd=usd,
    )


def strategy_of(name: str) -> Strategy:
    """The named strategy with constants for steps of an agent."""
    made = make_strategy(name, **_PARAMETERS.get(name, {}))
    return replace(made, max_depth=DEEPEST) if made.max_depth is None else made


def new_agent_search(
    prepared: Prepared,
    folder: Path,
    *,
    models: Models,
    strategy: str | Strategy,
    seed: int,
    ledger: Ledger,
    workers: int = 1,
    limits: AgentLimits | None = None,
    weights: AgentWeights | None = None,
    execution: ValueWeights | None = None,
    temperature: float | None = None,
    retriever: Retriever | None = None,
    tester: Tester | None = None,
    events: Events | None = None,
    on_step: Callable[[AgentSearch, int], None] | None = None,
) -> AgentSearch:
    """A search by an agent over the prepared repository, started but not run.

    Args:
        folder: for scratch copies.
        models: who is asked; each call is paid from ``ledger``.
        strategy: a name in `meritree.search.STRATEGIES`, or one made by hand.
        weights: how rules, tests and model make one value.
        execution: how the tests' channels make their part.
        retriever: answers the action `search`; words and structure fused when None.
        tester: judges candidates against the given targets in place of the workers' own
            processes (with one worker only): for studies that share outcomes between searches.
        events: where every step is recorded before it is acted on.

    Raises:
        BadInput: an unknown strategy, or money that cannot be counted.
    """
    rules = strategy_of(strategy) if isinstance(strategy, str) else strategy
    if temperature is None and rules.temperature > 0:
        temperature = rules.temperature
    files = Files(prepared.store, prepared.base)
    trials = Trials(prepared, folder)
    tests = prepared.session.test_files
    workspace = Workspace(
        files,
        test_files=tests,
        roots=prepared.command.roots,
        retriever=retriever or TreeRetriever(),
        test_folder=_test_folder(tests),
    )
    limits = _for_chains(limits or AgentLimits(), rules)
    part = AgentSteps(
        Expander(
            model=ledgered(models.agent, ledger),
            policy=AgentPolicy(temperature=temperature),
            workspace=workspace,
            trials=trials,
            ledger=ledger,
            record=lambda kind, payload: search.record(kind, payload),
            task=task_text(prepared),
            known_key=lambda key: search.knows(key),
            node_with_files=lambda tree: search.with_files(tree),
            known_outcome=lambda situation: part.outcomes.get(files_and_tests(situation)),
            steps=lambda node: search.labels(node),
            path_facts=lambda node: facts_of(search.path(node)),
            suspected=_suspected(prepared),
            value_model=None if models.value is None else ledgered(models.value, ledger),
            value_agent=ValueAgent(temperature=temperature),
            weights=weights or AgentWeights(),
            execution_weights=execution or ValueWeights(),
        ),
        limits,
        seed=seed,
        separate=rules.name in _CHAINS,
        independent=rules.temperature > 0,
    )
    search: AgentSearch = StepSearch(
        tree=SearchTree(rules, seed),
        part=part,
        workers=[trials.desk(tester) for _ in range(workers)],
        limits=limits,
        events=events,
        on_step=on_step,
    )
    base = Situation(prepared.base)
    value, judged = value_of_base(trials, execution)
    search.start(AgentState(base.key, None, None, Observation(""), base, value, judged))
    return search


def value_of_base(
    trials: Trials, weights: ValueWeights | None = None
) -> tuple[Estimate, Estimate | None]:
    """The value of the repository as it is, and the part of it that tests say.

    Without a test that can judge yet: a guess, and None.
    """
    given = trials.given()
    if given is None or given.reference is None:
        return Estimate(_UNJUDGED), None
    value = root_value(given.reference, weights)
    return value, value


def _for_chains(limits: AgentLimits, rules: Strategy) -> AgentLimits:
    """Guarded chains share their states, so each passes through those that others have seen."""
    return replace(limits, idle=_NEVER) if isinstance(rules.selector, Guarded) else limits


def _test_folder(test_files: Sequence[str]) -> str:
    """Where the agent's own test goes: beside the first test file, else into the root."""
    folders = [PurePosixPath(path).parent.as_posix() for path in test_files if "test" in path]
    return "" if not folders or folders[0] == "." else folders[0]


def facts_of(edits: Sequence[Edit]) -> Facts:
    """What the value of an outcome reads of the edits that led to it."""
    return Facts(size=sum(edit.size for edit in edits), edits=len(edits))


def _suspected(prepared: Prepared) -> Callable[[Mapping[str, tuple[int, int]]], bool]:
    places: dict[str, list[int]] = {}
    for item in prepared.suspicion.lines[:PLACES]:
        places.setdefault(item.path, []).append(item.line)

    def touches(lines: Mapping[str, tuple[int, int]]) -> bool:
        return any(
            first <= line <= last
            for path, (first, last) in lines.items()
            for line in places.get(path, ())
        )

    return touches


# ---- the last word ----------------------------------------------------------------------


class Judging(Protocol):
    """What is read of a search by a model: its part's trials, and where each node stands."""

    @property
    def part(self) -> HasTrials: ...
    @property
    def states(self) -> Mapping[int, HasSituation]: ...
    def labels(self, node: int) -> tuple[str, ...]: ...


class HasTrials(Protocol):
    """Whoever runs tests for the search."""

    @property
    def trials(self) -> Trials: ...


class HasSituation(Protocol):
    """A node's state."""

    @property
    def situation(self) -> Situation: ...


def final_verdict(search: Judging, node: int) -> dict[str, Any]:
    """The last word on a node's patch as JSON data; never verified by the agent's own test."""
    trials = search.part.trials
    prepared, situation = trials.prepared, search.states[node].situation
    prepared.store.keep(prepared.store.tree_with(prepared.base, situation.changes))
    verdict = trials.final_check(situation, RUNS)
    data = verdict_data(verdict)
    if trials.has_targets or not verdict.verified:
        return data
    kept = f"{len(prepared.guards)} tests that passed before still pass"
    if trials.judging(situation) is None:
        reason = f"no test judges this patch; {kept}"
        return {**data, "verified": False, "reason": reason}
    reason = (
        "judged by a test that the model wrote itself: it fails on the code as it was and passes "
        f"with the patch, in {RUNS} fresh processes; {kept}"
    )
    return {**data, "verified": False, "own_test": True, "reason": reason}


def with_steps(candidates: Sequence[Candidate], search: Judging) -> tuple[Candidate, ...]:
    """The candidates with all that led to them, and the tests that the agent wrote."""
    return tuple(
        replace(
            one,
            steps=search.labels(one.node),
            own_tests=dict(search.states[one.node].situation.tests),
        )
        for one in candidates
    )
