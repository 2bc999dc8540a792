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
from meritree.swe.agent.search import AgentLimits
from meritree.swe.agent.setup import strategy_of
from meritree.swe.agent.situation import Files, Situation
from meritree.swe.agent.trials import Trials
from meritree.swe.code_search import Events
from meritree.swe.mini.conversation import Messages
from meritree.swe.mini.environment import SandboxEnvironment
from meritree.swe.mini.model import AskedModel, PaidModel
from meritree.swe.mini.package import check_installed, module, settings
from meritree.swe.mini.search import MiniSearch
from meritree.swe.mini.shell import Shell, Template
from meritree.swe.mini.step import MakeAgent, MiniExpander, Place
from meritree.swe.prepare import Prepared
from meritree.swe.value import Facts, root_value
from meritree.value.estimate import Estimate

_UNJUDGED = 0.3  # value of code that no test judges yet
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
    root_messages = opening(make_agent(asked, places[0].environment), task_of(prepared))

    def facts(node: int) -> Facts:
        edits = search.path(node)
        return Facts(size=sum(edit.size for edit in edits), edits=len(edits))

    search = MiniSearch(
        tree=SearchTree(rules, seed),
        expander=MiniExpander(
            asked, make_agent, trials, ledger, files,
            record=lambda kind, payload: search.record(kind, payload),
            known=lambda state, situation: search.known(state, situation),
            facts=facts,
            test_files=frozenset(prepared.session.test_files),
            roots=prepared.command.roots,
        ),
        places=places,
        limits=limits or AgentLimits(),
        root_messages=root_messages,
        events=events,
        on_step=on_step,
    )  # fmt: skip
    given = trials.given()
    judged = given is not None and given.reference is not None
    value = Estimate(_UNJUDGED)
    if given is not None and given.reference is not None:
        value = root_value(given.reference)
    search.start(Situation(prepared.base), value, judged)
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
