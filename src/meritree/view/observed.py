"""What a step's outcome says, in a few plain lines: an observation for people.

Reads journal payloads of any version; whoever records ``observation`` has the word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meritree.view import words

MOST_MESSAGES = 4
_WIDTH = 240


def observation_of(outcome: Mapping[str, Any]) -> str:
    """The recorded observation, else a summary of the tests that were run."""
    told = outcome.get("observation")
    if isinstance(told, Mapping):  # an agent's: text with facts for its selector
        told = told.get("text")
    if isinstance(told, str) and told:
        return words.clean(told)
    lines = []
    if outcome.get("invalid"):
        lines.append(f"not runnable: {words.one_line(outcome['invalid'], _WIDTH)}")
    results = _rows(outcome.get("results"))
    if results:
        lines.append(f"target tests: {words.counts(results)}")
        lines += _messages(results)
    regressions = outcome.get("regressions") or ()
    if regressions:
        lines.append(f"broken, passed before: {len(regressions)}")
        known = _rows(outcome.get("regression_results"))
        lines += _messages(known) or [f"  {words.one_line(one, _WIDTH)}" for one in regressions[:4]]
    if outcome.get("how"):
        lines.append(f"run: {words.one_line(outcome['how'])}")
    return "\n".join(lines)


def _rows(results: object) -> list[Mapping[str, Any]]:
    if not isinstance(results, Sequence) or isinstance(results, str):
        return []
    return [one for one in results if isinstance(one, Mapping) and "status" in one]


def _messages(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The different messages of tests that do not pass, with how many say so."""
    said: dict[str, list[str]] = {}
    for one in results:
        if one["status"] not in ("passed", "skipped"):
            message = words.one_line(one.get("message") or one.get("signature") or one["status"])
            said.setdefault(message, []).append(words.one_line(one.get("id", "?"), _WIDTH))
    lines = []
    for message, tests in list(said.items())[:MOST_MESSAGES]:
        more = f" and {len(tests) - 1} more" if tests[1:] else ""
        lines.append(f"  {tests[0]}{more}: {message}")
    if len(said) > MOST_MESSAGES:
        lines.append(f"  and {len(said) - MOST_MESSAGES} other messages")
    return lines
