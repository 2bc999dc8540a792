"""A bench in a terminal: its own lines, and below them how far it is and how long it takes.

Reads "n of m" and "n/m" in what a bench says; where nobody looks, nothing is added.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from meritree.view import words

_DONE = re.compile(r"\b(\d+)\s*(?:/|of)\s*(\d+)\b")


class BenchView:
    """The latest count and the time; `note` reads what the bench says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.done = self.total = 0
        self._began = time.monotonic()

    def note(self, said: str) -> None:
        """The first count of a line that can be one; later ones tell of its details."""
        for line in said.splitlines():
            found = _DONE.search(line)
            if found and 0 < int(found[1]) <= int(found[2]):
                self.done, self.total = int(found[1]), int(found[2])

    def render(self) -> Table:
        """One line: name, bar, count, time so far and left."""
        seconds = time.monotonic() - self._began
        row = Table.grid(padding=(0, 2))
        parts: list[Any] = [Text(f"bench {words.one_line(self.name)}", "bold cyan")]
        if self.total:
            parts.append(ProgressBar(total=float(self.total), completed=self.done, width=32))
            parts.append(Text(f"{self.done} of {self.total}"))
        parts.append(Text(_span(seconds), "dim"))
        if 0 < self.done < self.total:
            left = seconds / self.done * (self.total - self.done)
            parts.append(Text(f"about {_span(left)} left", "dim"))
        row.add_row(*parts)
        return row


@contextmanager
def bench_view(name: str) -> Iterator[None]:
    """Show a line of progress below what is printed, if standard error is a terminal."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    view = BenchView(name)
    with Live(
        get_renderable=view.render,
        console=console,
        refresh_per_second=2,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # a table that is piped goes where it should
    ):
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (_Noting(stream, view) for stream in before)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


class _Noting:
    """A stream that lets the view read along."""

    def __init__(self, stream: Any, view: BenchView) -> None:
        self._stream, self._view = stream, view

    def write(self, said: str) -> int:
        self._view.note(said)
        written: int = self._stream.write(said)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
