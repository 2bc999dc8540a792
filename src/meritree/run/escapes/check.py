"""Tries every attempt: unconfined first, then in each kind; says what was refused.

An attempt that does not succeed unconfined says nothing about a sandbox: it is reported as not
testable here, never as refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from meritree.run.escapes.attempts import ATTEMPTS
from meritree.run.escapes.kinds import Attempt, Seen, Stage
from meritree.run.escapes.prepared import NotHere
from meritree.run.sandbox import Sandbox, SandboxError

_PRELUDE = """
import json, os, sys, time
S = json.loads(sys.argv[1])
def won(text):
    with open(S["work"] + "/won", "w") as file:
        file.write(str(text))
print("ready", flush=True)
def attempt():
"""
_EPILOGUE = """
try:
    attempt()
except (OSError, MemoryError, KeyError) as error:
    print(type(error).__name__, error, flush=True)
"""
_CONTROL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Result:
    """How one attempt went in one kind.

    Attributes:
        attempt, what: its name and what it tries, in words.
        kind: the sandbox kind.
        refused: None where it could not be tested.
        promised: the kind promises to refuse it.
        reason: the evidence, in words.
    """

    attempt: str
    what: str
    kind: str
    refused: bool | None
    promised: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As data."""
        return asdict(self)


def check(
    sandboxes: Sequence[Sandbox],
    attempts: Sequence[Attempt] = ATTEMPTS,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Result]:
    """Try each attempt in each sandbox, after one run of it unconfined."""
    for attempt in attempts:
        say(attempt.name)
        why_not = _control(attempt)
        for sandbox in sandboxes:
            if why_not:
                refused, reason = None, f"not testable here: {why_not}"
            else:
                refused, reason = _confined(attempt, sandbox)
            promised = promises(sandbox, attempt)
            yield Result(attempt.name, attempt.what, sandbox.kind, refused, promised, reason)


def promises(sandbox: Sandbox, attempt: Attempt) -> bool:
    """Whether a kind promises to refuse an attempt on this machine."""
    if attempt.name == "fork-bomb" and any("processes" in note for note in sandbox.notes):
        return False
    return sandbox.strength > 0 or attempt.limits_only


def failures(results: Sequence[Result]) -> tuple[Result, ...]:
    """Escapes from kinds that promise to stop them."""
    return tuple(one for one in results if one.refused is False and one.promised)


def program(attempt: Attempt, stage: Stage) -> list[str]:
    """The command line that runs an attempt on a stage."""
    body = "\n".join(f"    {line}" for line in attempt.code.splitlines())
    code = f"{_PRELUDE}{body}\n{_EPILOGUE}"
    return [sys.executable, "-I", "-c", code, json.dumps(stage.told())]


@contextlib.contextmanager
def _set(attempt: Attempt) -> Iterator[Stage]:
    """The stage of one run, with what the attempt needs.

    Raises:
        NotHere: this machine lacks it.
    """
    with Stage() as stage, contextlib.ExitStack() as undo:
        with contextlib.suppress(OSError):
            stage.extra["uts"] = os.readlink("/proc/self/ns/uts")
        if attempt.prepare is not None:
            undo.callback(attempt.prepare(stage))
        yield stage


def _control(attempt: Attempt) -> str:
    """Run an attempt unconfined; why it does not succeed here, or nothing when it does."""
    try:
        with _set(attempt) as stage:
            seen = _unconfined(attempt, stage)
            time.sleep(attempt.settle)
            if attempt.observe(stage, seen):
                return ""
            return f"fails without a sandbox too ({_last(seen)})"
    except NotHere as error:
        return str(error)


def _unconfined(attempt: Attempt, stage: Stage) -> Seen:
    """The program as the user would run it: his environment, no limits but time."""
    process = subprocess.Popen(
        program(attempt, stage),
        cwd=stage.work,
        env={**os.environ, "MERITREE_CANARY_KEY": stage.token},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=_CONTROL_SECONDS)
        return Seen(out)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        return Seen(out, ended=False)


def _confined(attempt: Attempt, sandbox: Sandbox) -> tuple[bool | None, str]:
    os.environ["MERITREE_CANARY_KEY"] = ""
    try:
        with _set(attempt) as stage:
            # In our own environment, where only a sandbox that passes it on would show it.
            os.environ["MERITREE_CANARY_KEY"] = stage.token
            done = sandbox.run(
                program(attempt, stage),
                cwd=stage.work,
                writable=[stage.work],
                readable=[stage.shown],
                env={"PATH": "/usr/bin:/bin"},
                limits=attempt.limits,
            )
            seen = Seen(done.stdout, not done.timed_out)
            time.sleep(attempt.settle)
            evidence = attempt.observe(stage, seen)
    except SandboxError as error:
        return None, f"not testable here: {error}"
    finally:
        del os.environ["MERITREE_CANARY_KEY"]
    if evidence:
        return False, evidence
    if not seen.stdout.startswith(b"ready"):
        return None, f"the attempt did not run: {done.stderr[-200:].decode(errors='replace')}"
    return True, _ending(done.returncode, done.timed_out, seen)


def _ending(code: int, timed_out: bool, seen: Seen) -> str:
    if timed_out:
        return "ended by the wall clock"
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(number).name}"
    return _last(seen)


def _last(seen: Seen) -> str:
    lines = [line for line in seen.stdout.decode(errors="replace").splitlines() if line.strip()]
    if lines and len(lines[-1]) > 5000:
        return f"only {len(seen.stdout)} bytes of output were kept"
    return lines[-1][:120] if lines and lines[-1] != "ready" else "nothing to be seen outside"
