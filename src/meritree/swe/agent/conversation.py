"""From a node's trajectory to the messages for the model, cut to its context.

The task and the latest step are always kept; what older steps showed goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from meritree.respond.data import Message, Tool, system, tool_result, user
from meritree.respond.model import about_tokens
from meritree.swe.agent.actions import Action, as_call
from meritree.swe.agent.prompts import template

_THOUGHTS = 2000  # characters of what was said beside a call
_SHORT = 300  # characters of an old result that was cut
_LEAST = 600  # characters of the latest result, whatever the budget


@dataclass(frozen=True, slots=True)
class Turn:
    """One step as the model took it: what it said, what it did, what it saw.

    ``action`` is None for a reply without one; ``saw`` is then the complaint.
    """

    said: str
    action: Action | None
    saw: str


def conversation(
    task: str, turns: Sequence[Turn], lessons: str, *, tokens: int, tools: Sequence[Tool] = ()
) -> tuple[Message, ...]:
    """System, task, steps and lessons in about ``tokens`` tokens (four bytes each).

    Cut in this order, until it fits: results of old steps, old steps as a whole, the task's
    end, the latest result.
    """
    head = system(template("system"))
    fixed = about_tokens(head.text) + sum(about_tokens(t.description) + 60 for t in tools)
    room = max(400, tokens - fixed - about_tokens(lessons))
    kept_task = _cut(task, max(2000, room * 2))
    room -= about_tokens(kept_task)
    kept = _fitted(list(turns), room)
    messages = [head, user(kept_task)]
    if len(kept) < len(turns):
        messages.append(user(f"({len(turns) - len(kept)} earlier steps are left out.)"))
    for number, turn in enumerate(kept, len(turns) - len(kept)):
        messages += _messages(turn, number)
    if lessons:
        messages.append(user(lessons))
    return tuple(messages)


def _messages(turn: Turn, number: int) -> list[Message]:
    said = turn.said[:_THOUGHTS]
    if turn.action is None:
        return [Message("assistant", said or "(nothing)"), user(turn.saw)]
    call = as_call(turn.action, f"call_{number}")
    return [Message("assistant", said, (call,)), tool_result(call, turn.saw)]


def _size(turn: Turn) -> int:
    call = as_call(turn.action, "").raw if turn.action is not None else ""
    return about_tokens(turn.said[:_THOUGHTS]) + about_tokens(call) + about_tokens(turn.saw) + 20


def _fitted(turns: list[Turn], room: int) -> list[Turn]:
    sizes = [_size(turn) for turn in turns]
    for place in range(len(turns) - 1):
        if sum(sizes) <= room:
            return turns
        if len(turns[place].saw) > _SHORT:
            turns[place] = replace(turns[place], saw=_cut(turns[place].saw, _SHORT))
            sizes[place] = _size(turns[place])
    while len(turns) > 1 and sum(sizes) > room:
        del turns[0], sizes[0]
    if turns and sizes[0] > room:
        most = max(_LEAST, len(turns[-1].saw) - 4 * (sizes[0] - room))
        turns[-1] = replace(turns[-1], saw=_cut(turns[-1].saw, most))
    return turns


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}\n... (cut)"
