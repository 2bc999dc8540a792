"""What an attempt is, and the stage on which it is tried: folders, secrets, victims, listeners.

Everything on a stage belongs to the check and is removed with it; nothing else is touched.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from meritree.run.sandbox import Limits

LIMITS = Limits(
    memory_bytes=512 << 20, processes=64, file_bytes=4 << 20, wall_seconds=15.0,
    output_bytes=100_000, scratch_bytes=16 << 20, disk_bytes=16 << 20,
)  # fmt: skip
"""What the attempts run under: small, so that a bomb that is stopped is stopped early."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a program that ran on a stage left to be seen.

    Attributes:
        stdout: what it printed, at most what the limits keep.
        ended: it ended by itself.
    """

    stdout: bytes
    ended: bool = True


Observe = Callable[["Stage", Seen], str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to get out.

    Attributes:
        name: short, with dashes.
        what: the attempt in words.
        code: a Python program's body; it sees the stage as ``S`` (see `Stage.told`) and may
            call ``won(text)`` to claim success.
        observe: evidence that it succeeded, in words; empty where there is none. Looks from
            outside wherever something can be seen from there.
        limits_only: a sandbox that only sets limits stops it as well.
        limits: what it runs under.
        settle: seconds to wait before looking.
        prepare: sets up what the attempt needs beyond the usual stage; returns what undoes it.
    """

    name: str
    what: str
    code: str
    observe: Observe
    limits_only: bool = False
    limits: Limits = LIMITS
    settle: float = 0.0
    prepare: Callable[[Stage], Callable[[], None]] | None = None


@dataclass
class Stage:
    """A fresh world around one run: use it in a ``with``.

    Attributes:
        token: what only someone who got out can know.
        work: the folder that the program may change.
        shown: a folder that it may read; ``shown/file`` holds ``old``.
        outside: a folder that it may not even see; ``outside/file`` holds ``old``,
            ``outside/secret`` the token.
        victim: a process of the same user, with the token in environment and command line.
        extra: more for the program to know.
    """

    token: str = field(default_factory=lambda: secrets.token_hex(12))
    extra: dict[str, Any] = field(default_factory=dict)
    out: socket.socket | None = None

    def __enter__(self) -> Stage:
        self.top = Path(tempfile.mkdtemp(prefix="meritree-escape-")).resolve()
        self.work, self.shown, self.outside = (self.top / n for n in ("work", "shown", "outside"))
        for folder in (self.work, self.shown, self.outside):
            folder.mkdir()
        for folder in (self.shown, self.outside):
            (folder / "file").write_text("old")
        (self.outside / "secret").write_text(self.token)
        self.victim = subprocess.Popen(
            ["/bin/sh", "-c", f"sleep 120; : {self.token}"],
            env={"MERITREE_CANARY_KEY": self.token, "PATH": "/usr/bin:/bin"},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract = self._listening(f"\0meritree-{secrets.token_hex(8)}")
        self.named = self._listening(str(self.outside / "socket"))
        self.listeners = [self.tcp, self.udp, self.abstract, self.named]
        return self

    def _listening(self, address: str) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.bind(address)
        made.listen()
        return made

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.victim.pid, signal.SIGKILL)
        self.victim.wait()
        for listener in self.listeners:
            listener.close()
        shutil.rmtree(self.top, ignore_errors=True)

    def told(self) -> dict[str, Any]:
        """What the program knows: places and addresses, never the token."""
        return {
            "work": str(self.work),
            "shown": str(self.shown),
            "outside": str(self.outside),
            "victim": self.victim.pid,
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "abstract": str(self.abstract.getsockname(), "ascii")[1:],
            **self.extra,
        }

    def claim(self) -> str:
        """What the program wrote by ``won``; empty when it did not."""
        try:
            return (self.work / "won").read_text(errors="replace")
        except OSError:
            return ""


# -- ways to look --------------------------------------------------------------------------


def knows_the_token(stage: Stage, seen: Seen) -> str:
    found = stage.token in stage.claim() or stage.token.encode() in seen.stdout
    return "the secret came back" if found else ""


def own_word(stage: Stage, seen: Seen) -> str:
    claim = stage.claim()
    return f"by the program's own word: {claim}" if claim else ""


def victim_ended(stage: Stage, seen: Seen) -> str:
    return "the other process is gone" if stage.victim.poll() is not None else ""


def changed(folder: str) -> Observe:
    """Look whether ``file`` in one of the stage's folders was changed, or one was added."""

    def look(stage: Stage, seen: Seen) -> str:
        place = stage.top / folder
        names = sorted(path.name for path in place.iterdir())
        if "new" in names:
            return f"a new file stands in {folder}"
        if "file" not in names:
            return f"a file of {folder} is gone"
        return "" if (place / "file").read_text() == "old" else f"a file of {folder} was changed"

    return look


def reached(listener: str) -> Observe:
    """Look whether something came to one of the stage's listeners."""

    def look(stage: Stage, seen: Seen) -> str:
        ear: socket.socket = getattr(stage, listener)
        ear.settimeout(0.05)
        try:
            if ear.type == socket.SOCK_DGRAM:
                ear.recv(100)
            else:
                ear.accept()[0].close()
        except OSError:
            return ""
        return "a listener outside was reached"

    return look


def bytes_in_work(most: int) -> Observe:
    """Look whether more than ``most`` bytes lie in the folder that may be written."""

    def look(stage: Stage, seen: Seen) -> str:
        total = sum(p.stat().st_size for p in stage.work.rglob("*") if p.is_file())
        return f"{total >> 20} MiB were written" if total > most else ""

    return look
