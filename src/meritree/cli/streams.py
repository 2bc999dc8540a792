"""Standard output and error of the program: a command ends as it would, read by someone or not.

Knows no command. `meritree fix REPO | head` runs to its end and has the exit code of its result;
an output that cannot be written (a full disk) is told once, at the end.
"""

from __future__ import annotations

import io
import sys
from typing import Any, TextIO


class _Patient(io.FileIO):
    """A descriptor that drops what it cannot write, and remembers why."""

    lost = ""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:  # the reader has what it wanted
            pass
        except OSError as error:
            self.lost = error.strerror or str(error)
        return memoryview(data).nbytes


def outlive_readers() -> None:
    """Put streams in place of the standard ones that go on when nothing can be written."""
    sys.stdout = _patient(sys.stdout)
    sys.stderr = _patient(sys.stderr)


def _patient(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):  # closed (None), or captured by a program
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Patient(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def finish(code: int) -> int:
    """Write what is still held back; return the exit code, 1 in place of 0 if output was lost."""
    if sys.stdout is None:
        return code
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Patient) and raw.lost:
        print(f"meritree: standard output was lost: {raw.lost}; send it elsewhere", file=sys.stderr)
        return code or 1
    return code
