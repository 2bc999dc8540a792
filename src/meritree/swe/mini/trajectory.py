"""Trajectories of mini-swe-agent: read in every version of its format, and run again.

Needs no package. The commands of a trajectory are run in order in a sandboxed copy of a
repository; what they leave is a git tree like any other state.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.swe.mini.environment import SUBMIT
from meritree.swe.mini.shell import Left, Ran, Shell, is_patch, patched

_BLOCK = re.compile(r"```(?:mswea_bash_command|bash)\s*\n(.*?)\n```", re.S)
_CALLED = re.compile(r"<mswea_bash_command>(.*?)</mswea_bash_command>", re.S)
_LARGEST = 200_000_000  # bytes of a file


@dataclass(frozen=True, slots=True)
class Command:
    """One command, and the return code that was recorded (None: none was)."""

    command: str
    returncode: int | None = None


@dataclass(frozen=True, slots=True)
class Trajectory:
    """What a trajectory says.

    Attributes:
        commands: in order.
        submission: what was submitted: mostly a patch, sometimes nothing.
        status: how the run ended, as mini names it.
        cost: US dollars, as told.
        calls: of the model.
        instance: of a benchmark; may be empty.
        model: may be empty.
    """

    commands: tuple[Command, ...]
    submission: str = ""
    status: str = ""
    cost: float = 0.0
    calls: int = 0
    instance: str = ""
    model: str = ""


def read_trajectory(path: Path) -> Trajectory:
    """Read a trajectory file (formats ``mini-swe-agent-1``, ``1.1`` and bare message lists).

    Raises:
        BadInput: it cannot be read, or is no such trajectory.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise BadInput(f"{path} is larger than {_LARGEST} bytes, too large for a trajectory")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read: {error.strerror}; give a trajectory of mini-swe-agent "
            "(.traj.json)"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is no readable trajectory: {error}") from None
    messages = document if isinstance(document, list) else None
    info: Mapping[str, Any] = {}
    if isinstance(document, dict):
        messages = document.get("messages")
        info = document["info"] if isinstance(document.get("info"), dict) else {}
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise BadInput(
            f"{path} is no trajectory of mini-swe-agent: a list of messages, or an object with "
            "messages, is wanted"
        )
    config = _mapping(info.get("config"))
    stats = _mapping(info.get("model_stats"))
    instance = document.get("instance_id") if isinstance(document, dict) else None
    last = _mapping(messages[-1].get("extra")) if messages else {}
    cost, calls = stats.get("instance_cost"), stats.get("api_calls")
    return Trajectory(
        commands_of(messages),
        _word(info.get("submission")) or _word(last.get("submission")),
        _word(info.get("exit_status")) or _word(last.get("exit_status")),
        float(cost) if isinstance(cost, int | float) else 0.0,
        calls if isinstance(calls, int) else 0,
        _word(instance),
        _word(_mapping(config.get("model")).get("model_name")),
    )


def commands_of(messages: Sequence[Mapping[str, Any]]) -> tuple[Command, ...]:
    """The commands of a conversation, with the return codes that followed them.

    As recorded (``extra.actions``), else as called (tool calls), else as written (one block of
    bash in the text, as version 1 had it).
    """
    found: list[Command] = []
    for place, message in enumerate(messages):
        commands = _asked(message)
        codes = []
        for later in messages[place + 1 : place + 1 + len(commands)]:
            if later.get("role") not in ("tool", "user") and later.get("type") is None:
                break
            codes.append(_mapping(later.get("extra")).get("returncode"))
        codes += [None] * (len(commands) - len(codes))
        found += [
            Command(command, code if isinstance(code, int) else None)
            for command, code in zip(commands, codes, strict=True)
        ]
    return tuple(found)


def _asked(message: Mapping[str, Any]) -> list[str]:
    actions = _mapping(message.get("extra")).get("actions")
    if isinstance(actions, list):
        given = [_mapping(one).get("command") for one in actions]
        return [one for one in given if isinstance(one, str)]
    if message.get("role") != "assistant":
        return []
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        return [one for call in calls if (one := _called(_mapping(call))) is not None]
    content = message.get("content")
    blocks = _BLOCK.findall(content) or _CALLED.findall(content) if isinstance(content, str) else []
    return [blocks[0].strip()] if len(blocks) == 1 else []


def _called(call: Mapping[str, Any]) -> str | None:
    raw = _mapping(call.get("function")).get("arguments")
    try:
        given = json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        return None
    command = _mapping(given).get("command")
    return command if isinstance(command, str) else None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What running a trajectory's commands again led to.

    Attributes:
        left: the files afterwards; those of the submitted patch where one was submitted.
        ran: how each command ended now.
        otherwise: places of commands that end with another return code than was recorded.
        source: ``submission`` or ``files``: where the files come from.
        problem: why the submitted patch was not taken; empty where it was, or none was there.
    """

    left: Left
    ran: tuple[Ran, ...]
    otherwise: tuple[int, ...]
    source: str
    problem: str = ""


def replay(trajectory: Trajectory, shell: Shell) -> Replayed:
    """Run the commands again, one after another in one copy, then take what was submitted.

    The command that submits is run like any other; what it prints is what counts, and where that
    is no patch, what the trajectory says was submitted, else the files as they are.
    """
    shell.begin({})
    ran: list[Ran] = []
    submitted = ""
    try:
        for one in trajectory.commands:
            ended = shell.run(one.command)
            ran.append(ended)
            head, _, rest = ended.output.lstrip().partition("\n")
            if head.strip() == SUBMIT and ended.returncode == 0:
                submitted = rest
                break
        left = shell.left()
    finally:
        shell.end()
    pairs = zip(trajectory.commands, ran, strict=False)
    otherwise = tuple(
        place
        for place, (one, now) in enumerate(pairs)
        if one.returncode is not None and one.returncode != now.returncode
    )
    problem = ""
    for patch in (submitted, trajectory.submission):
        if is_patch(patch):
            found = patched(shell, patch)
            if isinstance(found, Left):
                return Replayed(found, tuple(ran), otherwise, "submission")
            problem = f"the submitted patch does not apply: {found}"
    return Replayed(left, tuple(ran), otherwise, "files", problem)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
