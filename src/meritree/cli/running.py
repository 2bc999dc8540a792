"""Run a search under a live view, then show its result: shared by `fix`, `resume`, `demo`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from meritree.cli.session import Session, write_json

if TYPE_CHECKING:
    from meritree.swe.result import FixResult, Listener, Progress

Run = Callable[["Listener"], "FixResult"]


def run_and_show(session: Session, run: Run, *, quiet: bool) -> int:
    """Run, write the report beside the journal, show the result; return the exit code."""
    from meritree.view.terminal import live_view

    with live_view(quiet=quiet) as listener:

        def listen(progress: Progress) -> None:
            session.folder = progress.folder or session.folder  # named if it is interrupted
            listener(progress)

        result = run(listen)
    session.folder = result.out
    if result.out:
        _write_report(Path(result.out))
    return show(session, result, quiet=quiet)


def show(session: Session, result: FixResult, *, quiet: bool) -> int:
    """Show a result in the form that was asked for; return the exit code."""
    from meritree.view.terminal import show_result

    if session.json:
        write_json(result.to_json())
    else:
        show_result(result.to_json(), quiet=quiet)
    session.told = True
    return result.exit_code


def _write_report(folder: Path) -> None:
    """The report is made from what the run folder holds, so that it can be made again."""
    from meritree.view.report import write_report
    from meritree.view.store import load_run

    run = load_run(folder)
    if run.document is None:
        return
    try:
        write_report(run, folder / "report.html")
    except OSError as error:
        print(f"meritree: report.html was not written: {error.strerror}", file=sys.stderr)
