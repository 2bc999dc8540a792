"""A run in words: sentences that the terminal, the report and `show` share.

Everything here reads the documented result document (docs/fix-json.md) and treats each string
in it as data that may be hostile.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Document = Mapping[str, Any]

NOT_PROOF = "Passing tests is evidence, not proof: read the patch before you merge it."

STATUS_WORDS: Mapping[str, str] = {
    "verified": "verified",
    "unverified": "unverified",
    "not-found": "no patch found",
    "already-passing": "nothing to fix",
    "no-judge": "nothing to judge a patch by",
    "interrupted": "interrupted",
}
_ORDER = ("passed", "failed", "error", "timeout", "skipped")
_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "\ufffd")
del _CONTROL[ord("\n")], _CONTROL[ord("\t")]


def clean(text: object) -> str:
    """Text without control characters (a terminal would obey them) and lone surrogates."""
    return str(text).translate(_CONTROL).encode("utf-8", "replace").decode("utf-8")


def one_line(text: object, width: int = 100) -> str:
    """Cleaned text on one line, cut to ``width`` characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


FLAGGED = "verified, but it looks made for the tests"


def suspect(document: Document) -> bool:
    """Whether the best patch is verified and yet looks made for the tests."""
    best: Document = next(iter(document.get("candidates") or ()), {})
    return document.get("status") == "verified" and bool(best.get("flags"))


def headline(document: Document) -> tuple[str, str]:
    """(the status in words, the message without a repetition of it)."""
    title = STATUS_WORDS.get(document["status"], clean(document["status"]))
    message = clean(document["message"]).removeprefix(f"{title}: ")
    if not suspect(document):
        return title, message
    return FLAGGED, message.replace("It looks made for the tests, so it was", "It was")


def state(status: str, document: Document | None) -> tuple[str, str]:
    """(the kind of a run's state, for its colour, and the state in words, not yet escaped).

    ``document`` is the run's result, None while there is none: only it knows of flags.
    """
    if status == "verified" and document is not None and suspect(document):
        return "flagged", FLAGGED
    return status, STATUS_WORDS.get(status, one_line(status))


def tone(document: Document) -> str:
    """How the status is to be taken: ``good``, ``doubtful`` (flagged) or ``open``."""
    if suspect(document):
        return "doubtful"
    return "good" if document["status"] in ("verified", "already-passing") else "open"


def caution(document: Document) -> str:
    """`NOT_PROOF` where a whole patch is shown and the message does not say it already."""
    said = "not proof" in str(document["message"])
    return NOT_PROOF if document["patch"] and not said else ""


def counts(outcomes: Iterable[Mapping[str, Any]]) -> str:
    """How many tests went how: ``"34 passed, 10 failed"``."""
    tally = Counter(str(outcome["status"]) for outcome in outcomes)
    known = [f"{tally[name]} {name}" for name in _ORDER if tally[name]]
    other = [f"{n} {clean(name)}" for name, n in sorted(tally.items()) if name not in _ORDER]
    return ", ".join(known + other) or "none run"


def targets_fixed(document: Document) -> tuple[int, int]:
    """Return (target tests that pass with the best patch, target tests)."""
    after = {one["id"]: one["status"] for one in document["tests_after"]}
    targets = document["targets"]
    return sum(after.get(target) == "passed" for target in targets), len(targets)


def channel_rows(estimate: Document | None) -> list[tuple[str, float, str]]:
    """(channel, value, reason) of an estimate, strongest first."""
    if not estimate:
        return []
    reasons = estimate["reasons"]
    rows = [(name, float(v), reasons.get(name, "")) for name, v in estimate["channels"].items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def gain(estimate: Document | None, channel: str) -> str:
    """What a channel added to the value (``+0.43``), empty where nothing is known or added."""
    value = float((estimate or {}).get("gains", {}).get(channel, 0.0))
    return f"{value:+.2f}" if abs(value) >= 0.005 else ""


def repository(document: Document) -> str:
    """The repository's path as it was given, empty where unknown."""
    return str(document.get("settings", {}).get("repo", ""))


def apply_command(document: Document, name: str = "patch.diff") -> str:
    """The shell command that applies a patch of the run's folder, the best one by default."""
    patch = shlex.quote(str(Path(str(document["out"])) / name))
    repo = repository(document)
    return f"git -C {shlex.quote(repo)} apply {patch}" if repo else f"git apply {patch}"


def partial(document: Document) -> Document | None:
    """The patch that mends some of the failing tests, where there is one and none mends all."""
    return document.get("partial") or None


def partial_words(document: Document) -> str:
    """What a partial patch is, on one line; empty where there is none."""
    part = partial(document)
    if part is None:
        return ""
    mends, fails = len(part["mends"]), len(part["fails"])
    return (
        f"mends {mends} of {mends + fails} failing tests and breaks none; not verified as a whole"
    )


def partial_commands(document: Document) -> tuple[str, str]:
    """The shell commands that apply the partial patch, and that go on with the other tests."""
    return apply_command(document, "partial.diff"), shlex.join(
        ("meritree", "fix", repository(document) or "REPO")
    )


def resume_command(document: Document) -> str:
    """The shell command that continues the run."""
    return f"meritree resume {shlex.quote(str(document['out']))}"


def applied(document: Document) -> str:
    """What was written where: ``wrote a.py and b.py into /repo``."""
    names = [clean(path) for path in document["files"]]
    listed = " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
    return f"wrote {listed} into {clean(repository(document)) or 'the repository'}"


def mark(candidate: Document) -> str:
    """Whether a patch is verified, was refused, or was not checked afresh."""
    if candidate["verified"]:
        return "verified"
    return "unverified" if candidate.get("checked", True) else "not checked"


def flagged(candidate: Document) -> str:
    """The rules by which a patch looks made for its tests, on one line."""
    return ", ".join(dict.fromkeys(one_line(f["rule"], 40) for f in candidate.get("flags", ())))


def debate(document: Document) -> str:
    """What the judge of several verified patches did; empty where none was named or needed."""
    judge = one_line(document.get("settings", {}).get("judge_model") or "", 60)
    choice = document.get("choice")
    if not choice:
        able = sum(one["verified"] and not one.get("flags") for one in document["candidates"])
        if not judge or document["status"] != "verified":
            return ""
        which = "only one verified patch" if able == 1 else "no verified patch without flags"
        return f"{judge} was not asked: no judge was needed, there is {which}"
    spent = f"{choice['spent']['tokens']} tokens"
    turns, why = choice["transcript"], one_line((choice["reasons"] or [""])[-1])
    if not turns:
        return f"{judge} was not asked: {why}; {spent}"
    among = len(turns[0]["shown"])
    edits = "; ".join(one_line(edit) for edit in document["candidates"][0]["edits"])
    if choice["stage"] == "order":
        said = "abstained, the ranking decides"
    else:
        said = f"chose the first ({edits}) by {_DECIDED.get(choice['stage'], 'its last word')}"
    return f"over {among} verified patches, judged by {judge}: {said}; {spent}"


_DECIDED: Mapping[str, str] = {
    "agreement": "agreement of the speakers",
    "judge": "the judge's word",
    "votes": "most votes",
}


SANDBOX_WORDS: Mapping[str, str] = {
    "bubblewrap": "no network, no files but the scratch copy and the interpreter, own processes",
    "landlock": "no network, no files but the scratch copy and the interpreter (kernel rules)",
    "rlimits": "only limits on memory, time and processes: files and network are within reach",
}


def ledger_rows(document: Document, spent: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """(what, spent, allowed) of a run; ``spent`` are sums over its steps, by name."""
    settings = document.get("settings", {})
    rows = [
        ("candidate evaluations", f"{document['evaluations']}", _limit(settings, "budget_tests")),
        ("seconds in all", f"{document['seconds']:.1f}", _limit(settings, "budget_seconds")),
        (
            "US dollars",
            f"{document.get('usd') or spent.get('usd', 0.0):.4g}",
            _limit(settings, "budget_usd"),
        ),
    ]
    if spent.get("seconds"):
        rows.append(("seconds of tests and tools", f"{spent['seconds']:.1f}", "-"))
    tokens = document.get("tokens") or spent.get("tokens")
    if tokens:
        rows.append(("tokens", f"{tokens:.0f}", _limit(settings, "budget_tokens")))
    return rows


def _limit(settings: Mapping[str, Any], name: str) -> str:
    limit = settings.get(name)
    return f"{limit:g}" if isinstance(limit, int | float) else "-"


_REPRODUCE = (
    ("test_command", "--test"),
    ("python", "--python"),
    ("policy", "--policy"),
    ("model", "--model"),
    ("base_url", "--base-url"),
    ("value_model", "--value-model"),
    ("judge_model", "--judge-model"),
    ("temperature", "--temperature"),
    ("final_checks", "--final-checks"),
    ("strategy", "--strategy"),
    ("budget_tests", "--budget-tests"),
    ("budget_seconds", "--budget-seconds"),
    ("budget_usd", "--budget-usd"),
    ("workers", "--workers"),
    ("seed", "--seed"),
    ("sandbox", "--sandbox"),
)


def reproduce_command(document: Document) -> str:
    """The shell command that runs the same search again (the issue's text inline)."""
    settings = document.get("settings", {})
    words = ["meritree", "fix", repository(document) or "REPO"]
    for name, option in _REPRODUCE:
        value = settings.get(name)
        if value is not None and value != "":
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    for test in settings.get("failing_tests", ()):
        words += ["--failing", str(test)]
    if settings.get("issue"):
        words += ["--issue", str(settings["issue"])]
    return shlex.join(words)
