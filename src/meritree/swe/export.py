"""Runs in the formats of others: SWE-bench predictions and mini-swe-agent trajectories.

Reads a run's folder (journal, objects, result) and writes nothing. In a trajectory every edit is
the bash command that makes it, so that whoever replays the commands gets the same files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meritree.errors import BadInput, MeritreeError
from meritree.run.journal import Event, Journal
from meritree.swe.agent import actions as act
from meritree.swe.agent.situation import Files, Situation
from meritree.swe.agent.workspace import Workspace
from meritree.swe.edits import Splice, apply_splices
from meritree.swe.store import ObjectStore

TRAJECTORY_FORMAT = "mini-swe-agent-1.1"  # as mini-swe-agent 2.x names what it writes
_REPAIR = "I am a program that repairs code by searching over small edits; no language model."
_AGENT = "I am an agent that searches over steps; each is shown as the command that does the same."


def prediction(instance: str, model: str, patch: str) -> dict[str, str]:
    """One prediction as the SWE-bench harness reads it."""
    return {"instance_id": instance, "model_name_or_path": model, "model_patch": patch}


def run_prediction(folder: Path, instance: str = "", name: str = "") -> dict[str, dict[str, str]]:
    """A run's best patch as `preds.json`: instance -> prediction.

    Args:
        instance: the instance's id; the folder's name when empty.
        name: ``model_name_or_path``; made of the model's name when empty.

    Raises:
        BadInput: the folder holds no ended run.
    """
    run = _read(folder)
    found = instance or folder.resolve().name
    return {found: prediction(found, name or run.name, run.patch)}


def mini_trajectory(folder: Path, instance: str = "") -> dict[str, Any]:
    """What led to a run's best patch, as mini-swe-agent saves its own runs.

    Costs are those of the whole search, of which the messages show one branch.

    Raises:
        BadInput: the folder holds no ended run.
        MeritreeError: the journal's steps do not fit its objects.
    """
    run = _read(folder)
    messages = run.messages()
    status = "Submitted" if run.patch else str(run.document["status"])
    exit_extra = {"exit_status": status, "submission": run.patch}
    if not messages or messages[-1].get("role") != "exit":
        messages.append({"role": "exit", "content": run.patch, "extra": exit_extra})
    document = run.document
    trajectory: dict[str, Any] = {
        "info": {
            "model_stats": {"instance_cost": document["usd"], "api_calls": run.calls()},
            "config": {
                "agent": {"strategy": document["strategy"], "seed": document["seed"]},
                "agent_type": "meritree",
                "model": {"model_name": run.name},
                "model_type": "meritree",
                "environment": {"sandbox": document["sandbox"]},
                "environment_type": "meritree",
            },
            "mini_version": "",
            "meritree_version": document["version"],
            **exit_extra,
            "meritree": {
                name: document[name]
                for name in ("status", "message", "evaluations", "tokens", "usd", "seconds")
            },
        },
        "messages": messages,
        "trajectory_format": TRAJECTORY_FORMAT,
    }
    if instance:
        trajectory["instance_id"] = instance
    return trajectory


# ---- reading a run -------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    parent: int
    step: Mapping[str, Any]
    seen: str
    value: float
    ticket: int
    when: float


@dataclass(slots=True)
class _Run:
    """An ended run: its document, and its tree as the journal has it."""

    folder: Path
    document: Mapping[str, Any]
    options: Mapping[str, Any]
    events: Sequence[Event]
    nodes: dict[int, _Node] = field(default_factory=dict)

    @property
    def patch(self) -> str:
        return str(self.document.get("patch") or "")

    @property
    def name(self) -> str:
        return f"meritree-{self.document.get('model') or 'repair'}"

    def calls(self) -> int:
        """How often a model was asked."""
        return sum(event.kind == "reply" for event in self.events)

    def cost(self, ticket: int) -> float:
        """Money that one expansion's replies cost, as they told it."""
        replies = (e.payload for e in self.events if e.kind == "reply")
        return sum(
            float((reply.get("reply") or {}).get("usd") or 0.0)
            for reply in replies
            if reply["ticket"] == ticket
        )

    def branch(self) -> list[_Node]:
        """The nodes that lead to the best patch, or to the best node where there is none."""
        candidates = self.document["candidates"]
        if candidates:
            place = int(candidates[0]["node"])
        else:
            place = max(self.nodes, key=lambda n: (self.nodes[n].value, -n), default=0)
        found: list[_Node] = []
        while place in self.nodes:
            found.append(self.nodes[place])
            place = self.nodes[place].parent
        return found[::-1]

    def messages(self) -> list[dict[str, Any]]:
        """The conversation of the branch."""
        branch = self.branch()
        own = [m for node in branch for m in node.step.get("messages", ())]
        if own:  # mini-swe-agent itself proposed: what it saw is what is shown
            root = next((e.payload for e in self.events if e.kind == "conversation"), {})
            return [*root.get("messages", ()), *own]
        by_model = bool(self.document.get("model"))
        issue = str(self.options.get("issue") or "").strip()
        targets = "".join(f"\n- {name}" for name in self.document["targets"])
        task = issue + (f"\n\nThese tests must pass:{targets}" if targets else "")
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": _AGENT if by_model else _REPAIR},
            {"role": "user", "content": task.strip() or "Nothing was asked for in words."},
        ]
        if branch:
            for number, (node, diff) in enumerate(self._with_diffs(branch)):
                messages += _step_messages(number, node, diff, self.cost(node.ticket))
        return messages

    def _with_diffs(self, branch: Sequence[_Node]) -> list[tuple[_Node, str]]:
        base = next(str(e.payload["base"]) for e in self.events if e.kind == "prepared")
        store = ObjectStore(self.folder / "objects")
        files = Files(store, base)
        situation = Situation(base)
        found = []
        for node in branch:
            after = _after(files, situation, node.step)
            changed = after.tree != situation.tree
            found.append((node, store.diff(situation.tree, after.tree) if changed else ""))
            situation = after
        return found


def _read(folder: Path) -> _Run:
    result, journal = folder / "result.json", folder / "run.db"
    if not result.is_file() or not journal.is_file():
        raise BadInput(f"{folder} holds no ended run; give the --out folder of `meritree fix`")
    try:
        document = json.loads(result.read_bytes())
        with Journal.open(journal, read_only=True) as opened:
            meta, events = opened.meta, list(opened.events())
        run = _Run(folder, document, meta.get("options", {}), events)
        run.nodes = _nodes(events)
        for name in ("candidates", "usd", "strategy", "seed", "sandbox", "version", "targets"):
            document[name]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(
            f"{folder} cannot be exported ({error!r}): it is damaged, or of another version"
        ) from None
    return run


def _nodes(events: Sequence[Event]) -> dict[int, _Node]:
    """Nodes in the order of their outcomes, as the engine numbers them."""
    asked: dict[int, _Node] = {}
    found: dict[int, _Node] = {}
    known: set[str] = set()
    for event in events:
        payload = event.payload
        if event.kind == "step":
            seen = str(payload.get("observation", {}).get("text", ""))
            ticket = int(payload["ticket"])
            asked[ticket] = _Node(int(payload["node"]), payload, seen, 0.0, ticket, event.time)
        elif event.kind == "tests" and payload["ticket"] in asked:
            seen = payload.get("observation", {}).get("text")
            node = asked[payload["ticket"]]
            node.seen = node.seen if seen is None else str(seen)
        elif event.kind == "outcome" and payload["ticket"] in asked:
            node = asked.pop(payload["ticket"])
            node.value = float(payload["estimate"]["mean"])
            if node.step["key"] not in known:
                known.add(node.step["key"])
                found[len(found) + 1] = node
    return found


def _after(files: Files, situation: Situation, step: Mapping[str, Any]) -> Situation:
    """Where a recorded step leads."""
    if "edit" in step:  # of the repair policy
        edit = step["edit"]
        text = files.of(situation.changes).text(edit["path"])
        if text is None:
            raise MeritreeError(f"the journal edits {edit['path']}, which is not there")
        splices = tuple(Splice(*splice) for splice in edit["splices"])
        new = apply_splices(text, splices)
        tree, changes = files.named({**situation.changes, edit["path"]: new})
        return Situation(tree, changes)
    if step["action"] is None or step["tree"] == situation.tree:
        return situation
    done = Workspace(files).perform(situation, act.decode(step["action"])).situation
    if done.tree != step["tree"]:
        raise MeritreeError(f"step {step['label']!r} of the journal leads elsewhere now")
    return done


# ---- writing messages ----------------------------------------------------------------------


def _step_messages(number: int, node: _Node, diff: str, cost: float) -> list[dict[str, Any]]:
    step = node.step
    label = str(step.get("label") or step.get("edit", {}).get("rationale", ""))
    command = as_command(diff) if diff else f": {_shell_word(label)}"
    call = f"call_{number}"
    told = {"name": "bash", "arguments": json.dumps({"command": command})}
    observation = node.seen or ("edited" if diff else "")
    return [
        {
            "role": "assistant",
            "content": str(step.get("said") or label),
            "tool_calls": [{"id": call, "type": "function", "function": told}],
            "extra": {
                "actions": [{"command": command, "tool_call_id": call}],
                "cost": cost,
                "timestamp": node.when,
                "meritree": {"action": step.get("action") or step.get("edit"), "value": node.value},
            },
        },
        {
            "role": "tool",
            "tool_call_id": call,
            "content": observation,
            "extra": {
                "raw_output": observation,
                "returncode": 0,
                "timestamp": node.when,
                "exception_info": "",
            },
        },
    ]


def as_command(diff: str) -> str:
    """The bash command that makes a change."""
    mark = f"EOF_{hashlib.sha256(diff.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return f"git apply <<'{mark}'\n{diff if diff.endswith(chr(10)) else diff + chr(10)}{mark}"


def _shell_word(text: str) -> str:
    """A text as one harmless word of a shell."""
    return "'" + " ".join(text.split()).replace("'", "’") + "'"
