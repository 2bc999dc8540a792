"""What the journal's tests share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from meritree.run.journal import Journal

WRITER = """
import sys
from pathlib import Path
from meritree.run.journal import Journal
path = Path(sys.argv[1])
journal = Journal.open(path) if path.exists() else Journal.create(path, {"seed": 7})
number = journal.last_seq
while True:
    number += 1
    seq = journal.append("step", {"number": number, "text": "x" * (number * 37 % 3000)})
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
"""


def fill(path: Path, count: int) -> None:
    with Journal.create(path, {"seed": 1}) as journal:
        for number in range(count):
            journal.append("step", {"number": number})


def numbers(path: Path) -> list[int]:
    with Journal.open(path, read_only=True) as journal:
        return [event.payload["number"] for event in journal.events()]


def python(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
