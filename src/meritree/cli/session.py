"""What every command shares: how to write a result, how to write an error, which exit code.

Standard output carries results only (with ``--json`` exactly one JSON document); everything
said on the way goes to standard error.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meritree.errors import MeritreeError

ERROR_SCHEMA = 1
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130  # 128 + SIGINT


@dataclass(slots=True)
class Session:
    """One invocation of the command line.

    Attributes:
        json: write one JSON document to standard output, also for an error.
        folder: the run folder once it is known, named when something goes wrong.
        told: a result was shown, also that of an interrupted run.
    """

    json: bool = False
    folder: str = ""
    told: bool = False


def write_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write one JSON document and a newline to standard output (ASCII, so any locale works)."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n")
    sys.stdout.flush()


def report_error(session: Session, kind: str, message: str, code: int) -> int:
    """Say what went wrong, on stderr and as JSON where asked; return ``code``."""
    if session.json:
        error = {"type": kind, "message": message}
        write_json({"schema": ERROR_SCHEMA, "status": "error", "error": error})
    print(f"meritree: {message}", file=sys.stderr)
    return code


def report_meritree_error(session: Session, error: MeritreeError) -> int:
    """An error raised on purpose: its message is the whole story."""
    return report_error(session, type(error).__name__, str(error), error.exit_code)


def report_interrupt(session: Session) -> int:
    """Stopped by the user before there was a result to show."""
    message = "interrupted; nothing was changed"
    if session.folder and (Path(session.folder) / "run.db").is_file():
        message = (
            "interrupted; nothing is lost: "
            f"`meritree resume {shlex.quote(session.folder)}` continues"
        )
    elif session.folder and (Path(session.folder) / "rows.jsonl").is_file():  # a study's
        message = (
            "interrupted; nothing is lost: the same command (without --anew) goes on with the "
            f"seeds that were measured, in {session.folder}"
        )
    return report_error(session, "Interrupted", message, EXIT_INTERRUPTED)


def report_bug(session: Session, error: BaseException) -> int:
    """An error nobody foresaw: say so, keep the run, show the traceback only when debugging."""
    message = f"this is a bug in meritree: {type(error).__name__}: {error}"
    if session.folder:
        message += f"\nThe run is kept in {session.folder} (`meritree resume` may continue it)."
    if os.environ.get("MERITREE_DEBUG") == "1":
        traceback.print_exception(error, file=sys.stderr)
    else:
        message += "\nSet MERITREE_DEBUG=1 to see the traceback, and please report it."
    return report_error(session, "Bug", message, EXIT_BUG)
