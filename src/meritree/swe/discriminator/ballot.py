"""Reading a vote out of whatever a model wrote.

A vote is a line ``VOTE-<code>: <label>``. The code is a digest of all patches, so that no patch can
contain one that counts. Any text gives a `Ballot`; none raises.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

NONE = "NONE"
_LONGEST = 100_000  # characters of a reply that are read
_ARGUMENT = 2000  # characters of an argument that others are shown


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a reply says.

    Attributes:
        label: the vote; `NONE` for a stated abstention; empty where there is no readable vote.
        argument: the rest, cut to what others are shown.
        problem: why the vote cannot be read; empty when it can.
    """

    label: str
    argument: str
    problem: str = ""


def ballots(labels: Sequence[str], code: str) -> str:
    """The lines that a speaker may end with."""
    return "\n".join(f"VOTE-{code}: {label}" for label in (*labels, NONE))


def read_ballot(reply: str, labels: Collection[str], code: str) -> Ballot:
    """The vote and the argument of a reply; ``labels`` are upper-case words."""
    found: dict[str, None] = {}
    rest = []
    line_of_vote = re.compile(
        rf"^[\s>*_`#-]*vote\s*-\s*{re.escape(code)}[\s*_`]*[:=][\s*_`\"'\[(]*(?:patch\s+)?(\w*)",
        re.IGNORECASE,
    )
    for line in reply[:_LONGEST].splitlines():
        match = line_of_vote.match(line)
        if match:
            found[match.group(1).upper()] = None
        else:
            rest.append(line)
    argument = "\n".join(rest).strip()[:_ARGUMENT]
    if not found:
        return Ballot("", argument, f"there is no line VOTE-{code}: ...")
    if len(found) > 1:
        return Ballot("", argument, f"there are {len(found)} different votes")
    label = next(iter(found))
    if label != NONE and label not in labels:
        return Ballot("", argument, f"there is no patch {label[:20]!r}")
    return Ballot(label, argument)
