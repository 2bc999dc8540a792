"""Puts a search with mini-swe-agent together: agent, model, sandboxed places, tests, tree.

The programmatic entry as well: any model with mini's interface, any of its configurations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from meritree.respond.ledgered import ledgered
from meritree.respond.model import Model
from meritree.run.ledger import Ledger
from meritree.search import SearchTree
from meritree.swe.agent.reports import result_words
from meritree.swe.agent.setup import facts_of, strategy_of, value_of_base
from meritree.swe.agent.situation import Files, Situation
from meritree.swe.agent.steps import AgentLimits, StepSearch
from meritree.swe.agent.trials import Trials
from meritree.swe.mini.conversation import Messages
from meritree.swe.mini.environment import SandboxEnvironment
from meritree.swe.mini.model import AskedModel, PaidModel
from meritree.swe.mini.package import check_installed, module, settings
from meritree.swe.mini.search import MiniSearch, MiniSteps
from meritree.swe.mini.shell import Shell, Template
from meritree.swe.mini.step import MakeAgent, MiniExpander, MiniState, Place
from meritree.swe.prepared import Prepared
from meritree.swe.replaying import Events

_TESTS = 10


def new_mini_search(
    prepared: Prepared,
    folder: Path,
    *,
    model: Any,
    strategy: str,
    seed: int,
    ledger: Ledger,
    workers: int = 1,
    limits: AgentLimits | None = None,
    agent: MakeAgent | None = None,
    config: Mapping[str, Any] | None = None,
    temperature: float | None = None,
    seconds: float = 60.0,
    events: Events | None = None,
    on_step: Callable[[MiniSearch, int], None] | None = None,
) -> MiniSearch:
    """A search over the prepared repository in which mini-swe-agent takes the steps.

    Args:
        folder: for copies.
        model: of this package (`meritree.respond.Model`), or with mini's interface (``query`` and
            its companions); paid from ``ledger``. With several workers it is asked from several
            threads.
        agent: makes the agent; mini's `DefaultAgent` with ``config`` when None.
        config: the agent's settings, as in the ``agent`` part of mini's files; those of its own
            ``mini.yaml`` when None. Its limits of steps and cost are left to the ledger.
        seconds: wall clock of one command.

    Raises:
        BadInput: mini-swe-agent is not installed, an unknown strategy, or money that cannot be
            counted.
    """
    check_installed()
    rules = strategy_of(strategy)
    if temperature is None and rules.temperature > 0:
        temperature = rules.temperature
    asked: Any
    if isinstance(model, Model):
        asked = AskedModel(ledgered(model, ledger), temperature)
    else:
        asked = PaidModel(model, ledger)
    make_agent = agent or default_agent(config)
    trials = Trials(prepared, folder)
    files = Files(prepared.store, prepared.base)
    template = Template(files, folder / "mini-start")
    places = [
        Place(
            SandboxEnvironment(
                Shell(template, folder / f"mini-{number}", prepared.sandbox, prepared.python,
                      seconds)
            ),
            trials.desk(),
        )
        for number in range(1, workers + 1)
    ]  # fmt: skip
    first = opening(make_agent(asked, places[0].environment), task_of(prepared))

    limits = limits or AgentLimits()
    expander = MiniExpander(
        asked, make_agent, trials, ledger, files,
        record=lambda kind, payload: search.record(kind, payload),
        known_key=lambda key: search.knows(key),
        node_with_files=lambda tree: search.with_files(tree),
        path_facts=lambda node: facts_of(search.path(node)),
        test_files=frozenset(prepared.session.test_files),
        roots=prepared.command.roots,
    )  # fmt: skip
    search: MiniSearch = StepSearch(
        tree=SearchTree(rules, seed),
        part=MiniSteps(expander, limits, first),
        workers=places,
        limits=limits,
        events=events,
        on_step=on_step,
    )
    base = Situation(prepared.base)
    value, judged = value_of_base(trials)
    search.start(MiniState(base.key, None, base, value, execution=judged))
    return search


def default_agent(config: Mapping[str, Any] | None = None) -> MakeAgent:
    """Makes mini's `DefaultAgent`; limits of steps and cost are the ledger's business."""
    chosen = {**(settings()["agent"] if config is None else config)}
    chosen |= {"step_limit": 0, "cost_limit": 0.0, "output_path": None}
    chosen.pop("mode", None)  # of its interactive agent
    kind = module("agents.default").DefaultAgent
    return lambda model, environment: kind(model, environment, **chosen)


def opening(agent: Any, task: str) -> Messages:
    """The messages with which the agent begins a task."""
    agent.extra_template_vars |= {"task": task}
    render, tell = agent._render_template, agent.model.format_message
    return [
        tell(role="system", content=render(agent.config.system_template)),
        tell(role="user", content=render(agent.config.instance_template)),
    ]


def task_of(prepared: Prepared) -> str:
    """What is wrong: the issue, and how the failing tests fail."""
    issue = prepared.options.issue.strip()
    results = prepared.baseline.results
    told = [f"- {result_words(results[test])}" for test in prepared.targets[:_TESTS]]
    if len(prepared.targets) > _TESTS:
        told.append(f"- and {len(prepared.targets) - _TESTS} more")
    failing = "\n".join(["These tests fail and must come to pass:", *told]) if told else ""
    parts = [issue, failing, "Do not edit existing tests."]
    return "\n\n".join(part for part in parts if part)
