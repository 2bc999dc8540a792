"""mini-swe-agent as the policy inside our search; skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meritree.respond import FunctionModel, Reply, Request, ToolCall, Usage
from meritree.respond.server import ModelServer
from meritree.run.ledger import Ledger, Limits
from meritree.swe.agent.steps import AgentLimits
from meritree.swe.mini.package import module
from meritree.swe.mini.search import MiniSearch
from meritree.swe.mini.setup import default_agent, new_mini_search
from meritree.swe.prepare import prepare
from meritree.swe.prepared import Prepared
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import create

os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("minisweagent") is None,
    reason="mini-swe-agent is not installed (extra `mini`)",
)
SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
MEND = "sed -i 's/n - 1/n + 1/' price.py"


class Journal:
    """Events in memory; stops the search before event number ``most``."""

    def __init__(self, most: int = 10**9) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.most = most

    def append(self, kind: str, payload: Any) -> int:
        if len(self.events) >= self.most:
            raise KeyboardInterrupt
        self.events.append((kind, json.loads(json.dumps(payload))))
        return len(self.events)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one fault and two tests."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "price.py").write_text("def price(n):\n    return n - 1\n")
    (folder / "test_price.py").write_text(
        "from price import price\n\n\ndef test_two():\n    assert price(2) == 3\n\n\n"
        "def test_zero():\n    assert price(1) in (0, 2)\n"
    )
    return folder


@pytest.fixture
def prepared(repo: Path, tmp_path: Path) -> Iterator[Prepared]:
    options = FixOptions(repo=repo, policy="mini", issue="one is added", out=tmp_path / "run")
    made = prepare(options, create(options), lambda _: None)
    yield made
    made.close()


def deterministic(*outputs: tuple[str, ...], cost: float = 0.25) -> Any:
    """mini's own deterministic model, which runs these commands in its replies."""
    models = module("models.test_models")
    said = [
        models.make_output("so be it", [{"command": command} for command in commands], cost=cost)
        for commands in outputs
    ]
    return models.DeterministicModel(outputs=said)


def searched(
    prepared: Prepared, folder: Path, model: Any, journal: Journal | None = None, **more: Any
) -> tuple[MiniSearch, Ledger]:
    ledger = more.pop("ledger", None) or Ledger(Limits(evaluations=20, usd=10.0))
    search = new_mini_search(
        prepared, folder, model=model, strategy="linear", seed=0, ledger=ledger,
        agent=default_agent({"system_template": "You fix.", "instance_template": "Do: {{task}}"}),
        events=journal, limits=AgentLimits(most_found=1), **more,
    )  # fmt: skip
    return search, ledger


def conversation(search: MiniSearch, node: int) -> list[dict[str, Any]]:
    """The whole conversation of a node."""
    return search.part.messages(search.chain(node))  # type: ignore[attr-defined]


def step(search: MiniSearch, *nodes: int) -> None:
    """Expand these nodes, one after another."""
    for node in nodes:
        ticket = search.tree.ask_at(node)
        search.finish(search.part.expand(search.task(ticket), search.workers[0]))


def test_a_step_is_a_node_whose_files_are_a_git_tree(prepared: Prepared, tmp_path: Path) -> None:
    model = deterministic(("ls", "cat price.py"), (MEND, "git diff"), (SUBMIT,))
    search, ledger = searched(prepared, tmp_path / "work", model)
    search.run()
    assert search.stopped_because
    first, second = search.states[1], search.states[2]
    assert first.situation.tree == prepared.base
    assert "return n - 1" in first.messages[2]["content"]
    assert second.situation.tree != prepared.base
    assert second.situation.tree == prepared.store.tree_with(
        prepared.base, {"price.py": "def price(n):\n    return n + 1\n"}
    )
    assert "+    return n + 1" in second.messages[2]["content"]  # git works inside
    assert search.found == [2]  # the tests pass: nothing need be submitted
    assert second.estimate.mean == 1.0
    assert search.labels(2) == ("ls; cat price.py", f"{MEND}; git diff")
    assert conversation(search, 2)[0] == {"role": "system", "content": "You fix."}
    assert "one is added" in conversation(search, 2)[1]["content"]
    # Every call is booked at what mini says that it cost; one evaluation for the one edit.
    spent = ledger.snapshot().spent
    assert (spent.usd, spent.evaluations) == (0.5, 1)
    assert not (tmp_path / "work" / "mini-1").exists()


def test_siblings_begin_from_their_parents_files_and_hear_what_was_tried(
    prepared: Prepared, tmp_path: Path
) -> None:
    heard: list[Any] = []
    model = deterministic(
        ("sed -i 's/n - 1/n - 2/' price.py",),
        ("cat price.py; echo elsewhere",),
        (MEND,),
    )
    ask = model.query
    model.query = lambda messages, **more: (heard.append(list(messages)), ask(messages))[1]
    search, _ = searched(prepared, tmp_path / "work", model)
    step(search, 0, 0, 0)
    assert search.states[1].estimate.mean < search.states[2].estimate.mean
    assert "n - 1" in search.states[2].messages[1]["content"]  # not n - 2
    assert search.found == [3]
    assert len(heard[0]) == 2
    assert "tried already" in heard[2][-1]["content"]
    assert "n - 2" in heard[2][-1]["content"]


def test_a_submitted_patch_counts_and_not_what_lies_about(
    prepared: Prepared, tmp_path: Path
) -> None:
    model = deterministic(
        ("echo 'print(1)' > reproduce.py; echo > note.txt; sed -i 's/n - 1/n - 3/' price.py",),
        ("sed -i 's/n - 3/n + 0/' price.py; git diff -- price.py > patch.txt",),
        (f"{SUBMIT} && cat patch.txt",),
    )
    search, _ = searched(prepared, tmp_path / "work", model)
    step(search, 0, 1, 2)
    assert set(search.files(2)) == {"price.py", "reproduce.py", "note.txt", "patch.txt"}
    last = search.states[3]
    assert last.status == "Submitted"
    assert dict(last.situation.changes) == {"price.py": "def price(n):\n    return n + 0\n"}
    assert search.found == []  # its tests fail
    assert last.messages[-1]["role"] == "exit"


def test_hostile_commands_reach_nothing_outside(prepared: Prepared, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    os.environ["MERITREE_TEST_SECRET"] = "sk-secret"
    commands = (
        f"echo hacked > {outside}; cat {outside}; env",
        "echo 'assert False' > test_price.py; echo 'x = 1' > random.py; rm -rf .git/objects; "
        "printf '[core]\\nfsmonitor = touch /tmp/x\\n' > .git/config; ln -s /etc/passwd link; "
        "printf '\\0\\1' > blob.bin; sed -i 's/n - 1/n + 7/' price.py",
        "git status --short; cat test_price.py random.py link blob.bin",
    )
    search, _ = searched(
        prepared, tmp_path / "work", deterministic(*((command,) for command in commands))
    )
    step(search, 0, 1, 2)
    del os.environ["MERITREE_TEST_SECRET"]
    assert outside.read_text() == "untouched"
    said = json.dumps(conversation(search, 3))
    assert "sk-secret" not in said
    assert "untouched" not in said
    assert dict(search.files(2)) == {"price.py": "def price(n):\n    return n + 7\n"}
    told = search.states[2].messages[-1]["content"]
    for name in ("random.py", "link", "blob.bin"):
        assert name in told
    third = search.states[3].messages[1]["content"]
    assert "M price.py" in third  # git is whole again
    assert "No such file" in third


def test_a_command_that_hangs_or_floods_costs_only_its_step(
    prepared: Prepared, tmp_path: Path
) -> None:
    model = deterministic(("sleep 60",), ("head -c 5000000 /dev/zero | tr '\\0' x",))
    search, _ = searched(prepared, tmp_path / "work", model, seconds=0.3)
    step(search, 0, 1)
    assert "stopped after 0.3 seconds" in search.states[1].messages[1]["content"]
    assert len(search.states[2].messages[1]["content"]) < 2_100_000


def test_replies_without_a_command_are_complained_about_and_end_a_branch(
    prepared: Prepared, tmp_path: Path
) -> None:
    models = module("models.test_models")
    complaint = {"role": "user", "content": "no command", "extra": {"cost": 0.125}}
    wrong = module("exceptions").FormatError(complaint)
    said = models.make_output("", [{"raise": wrong}])
    model = models.DeterministicModel(outputs=[said] * 9)
    search, ledger = searched(prepared, tmp_path / "work", model)
    step(search, 0, 1, 2)
    assert [search.states[n].wrong for n in (1, 2, 3)] == [1, 2, 3]
    assert search.states[3].status == "RepeatedFormatError"
    assert not search.tree.tree[3].expandable
    assert ledger.snapshot().spent.usd == 0.375


def test_the_budget_stops_before_a_call_and_a_dead_model_is_an_error(
    prepared: Prepared, tmp_path: Path
) -> None:
    from meritree.respond.errors import ModelError

    model = deterministic(*[(f"echo {n}",) for n in range(9)], cost=0.4)
    search, ledger = searched(prepared, tmp_path / "work", model, ledger=Ledger(Limits(usd=1.0)))
    search.run()
    assert "limit of 1 usd" in search.stopped_because
    assert ledger.snapshot().spent.usd == 0.8
    search, _ = searched(prepared, tmp_path / "other", deterministic(("ls",)))
    with pytest.raises(ModelError, match="the model failed: IndexError"):
        search.run()  # the script ends before the work does


def test_a_killed_search_is_replayed_to_the_same_tree_without_asking_again(
    prepared: Prepared, tmp_path: Path
) -> None:
    replies = [("ls",), ("sed -i 's/n - 1/n - 2/' price.py",), ("sed -i 's/- 2/+ 1/' price.py",)]
    whole = Journal()
    search, _ = searched(prepared, tmp_path / "a", deterministic(*replies), whole)
    search.run()
    steps = [place for place, (kind, _) in enumerate(whole.events) if kind == "step"]
    for most in (steps[1], steps[1] + 1, len(whole.events)):
        past = [event for event in whole.events[:most] if event[0] != "conversation"]
        asked = sum(kind == "reply" for kind, _ in past)
        known = sum(kind == "step" for kind, _ in past)
        again, _ = searched(
            prepared, tmp_path / f"b{most}", deterministic(*replies[known:]), Journal()
        )
        again.finish_waiting(again.replay(iter(past)))
        if not again.stopped_because:
            again.run()
        assert asked >= known
        assert again.tree.tree.dump() == search.tree.tree.dump()
        assert again.found == search.found
        said = [[m["content"] for m in conversation(one, 3)] for one in (again, search)]
        assert said[0] == said[1]


def test_a_conversation_that_grows_too_long_loses_old_outputs_and_then_its_branch(
    prepared: Prepared, tmp_path: Path
) -> None:
    from meritree.respond.errors import PromptTooLong
    from meritree.swe.mini.conversation import fitted

    long = [{"role": role, "content": "x" * 4000} for role in ("system", "user", "assistant")]
    long += [{"role": "tool", "content": "y" * 4000}] * 2
    assert fitted(long, 6000) == long
    cut = fitted(long, 4500)
    assert [len(one["content"]) > 3000 for one in cut] == [True, True, True, False, True]
    assert cut[3]["role"] == "tool"

    def refuse(_: Request) -> Reply:
        raise PromptTooLong("no room")

    search, _ = searched(
        prepared, tmp_path / "work", FunctionModel(refuse), ledger=Ledger(Limits(tokens=10**6))
    )
    step(search, 0)
    assert search.states[1].status == "ContextWindowExceeded"
    assert not search.tree.tree[1].expandable


class Mender:
    """A model of ours: looks, mends, and says so; the first reply is nonsense."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        if len(self.requests) == 1:
            return Reply("Let me think.", (), Usage(50, 5))
        done = sum(len(message.tool_calls) for message in request.messages)
        command = ("cat price.py", MEND, SUBMIT)[min(done, 2)]
        raw = json.dumps({"command": command})
        return Reply("so", (ToolCall("c1", "bash", {"command": command}, raw),), Usage(100, 10))


def test_fix_with_policy_mini_and_a_model_behind_an_endpoint(
    repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    model, out = Mender(), tmp_path / "out"
    with ModelServer(FunctionModel(model)) as server:
        code = run(
            ["fix", str(repo), "--policy", "mini", "--model", "local", "--base-url",
             server.base_url, "--out", str(out), "--tools", "own", "--json", "--quiet"]
        )  # fmt: skip
    document = json.loads(capsys.readouterr().out)
    assert (code, document["status"]) == (0, "verified")
    assert "+    return n + 1" in document["patch"]
    assert document["tokens"] == 55 + 110 * (len(model.requests) - 1)
    assert model.requests[0].tools[0].name == "bash"
    assert "Please solve this issue" in model.requests[0].messages[1].text  # mini's own prompt
    assert document["candidates"][0]["steps"][-1].startswith("sed -i")
    assert run(["resume", str(out), "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["patch"] == document["patch"]
    assert run(["export", str(out), "--to", "mini", "--out", str(tmp_path / "t.json")]) == 0
    trajectory = json.loads((tmp_path / "t.json").read_text())
    assert [m["role"] for m in trajectory["messages"][:3]] == ["system", "user", "user"]
    assert trajectory["messages"][-1]["role"] == "exit"


def test_the_environment_serves_mini_alone(prepared: Prepared, tmp_path: Path) -> None:
    """Without any search: mini's agent, our sandbox, our git tree."""
    from meritree.swe.agent.situation import Files
    from meritree.swe.mini.environment import SandboxEnvironment
    from meritree.swe.mini.shell import Shell, Template

    files = Files(prepared.store, prepared.base)
    template = Template(files, tmp_path / "start")
    shell = Shell(template, tmp_path / "copy", prepared.sandbox, prepared.python)
    shell.begin({})
    config = {"system_template": "s", "instance_template": "{{task}} on {{system}}"}
    agent = module("agents.default").DefaultAgent(
        deterministic((MEND,), (SUBMIT,)), SandboxEnvironment(shell), **config
    )
    assert agent.run("fix it")["exit_status"] == "Submitted"
    assert shell.left().changes == {"price.py": "def price(n):\n    return n + 1\n"}
    saved = agent.save(tmp_path / "one.traj.json")
    assert saved["info"]["config"]["environment"]["cwd"] == str(tmp_path / "copy")
    shell.end()
