"""What became of earlier patches: a journal of scores and verdicts that calibrates new ones.

One JSON object a line. Knows scores and verdicts, not how a patch was found.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.value.conformal import Acceptance

FEWEST = 9  # fewer verdicts can bound no risk below a tenth


@dataclass(frozen=True, slots=True)
class Judged:
    """One patch that passed all tests and of which it became known whether it was right.

    Attributes:
        score: of the ranking, log-odds of being right up to a constant.
        right: the verdict of a person or of hidden tests.
        source: who said so, in words.
        run: what was judged (folder of the run and rank), so that nothing counts twice.
        time: when, ISO 8601.
    """

    score: float
    right: bool
    source: str = ""
    run: str = ""
    time: str = ""


def default_path() -> Path:
    """The user's own journal."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "meritree" / "calibration.jsonl"


def read(path: Path) -> tuple[Judged, ...]:
    """All entries in the order of time; of one patch judged twice the later verdict.

    Raises:
        BadInput: the file cannot be read, or a line is no entry.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadInput(f"calibration journal {path} cannot be read: {reason}") from None
    entries: dict[str, Judged] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            entry = _entry(path, number, line)
            key = entry.run or f"line {number}"
            entries.pop(key, None)
            entries[key] = entry
    return tuple(entries.values())


def append(path: Path, judged: Judged) -> None:
    """Add an entry, with the time if it has none.

    Raises:
        BadInput: the file cannot be written.
    """
    if not judged.time:
        judged = Judged(
            judged.score, judged.right, judged.source, judged.run,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(judged), allow_nan=False) + "\n")
    except OSError as error:
        raise BadInput(f"calibration journal {path}: {error.strerror}") from None


def acceptance(path: Path | None) -> Acceptance | None:
    """The acceptance rule that a journal supports; None without a journal or with too little."""
    if path is None:
        return None
    entries = read(path)
    if len(entries) < FEWEST:
        return None
    return Acceptance(tuple(e.score for e in entries), tuple(e.right for e in entries), rho=0.99)


def in_words(risk: float, known: int) -> str:
    """One clause for people."""
    return (
        f"risk of accepting a wrong patch at its score: at most {math.ceil(100 * risk)} % "
        f"(calibrated on {known} judged patches)"
    )


def _entry(path: Path, number: int, line: str) -> Judged:
    try:
        data: Any = json.loads(line)
        if not isinstance(data, Mapping):
            raise TypeError("no JSON object")
        score, right = data["score"], data["right"]
        if not isinstance(right, bool) or isinstance(score, bool):
            raise TypeError("'right' must be true or false, 'score' a number")
        if not math.isfinite(score):
            raise TypeError("'score' must be finite")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else error
        raise BadInput(
            f"calibration journal {path}, line {number}: {said}; mend or remove the line"
        ) from None
    return Judged(
        float(score), right, str(data.get("source", "")), str(data.get("run", "")),
        str(data.get("time", "")),
    )  # fmt: skip
