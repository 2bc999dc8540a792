"""Sandboxes: start a program that can read little, write less and reach nobody.

Kinds, strongest first: ``bubblewrap``, ``landlock`` (namespaces and Landlock rules, no program
needed), ``docker``, ``podman`` and ``rlimits`` (limits only). Must not know what the program does.
"""

from __future__ import annotations

import functools
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from meritree.errors import BadInput, MeritreeError
from meritree.run import _visible
from meritree.run._confined import Completed, Confined, collect, spawn
from meritree.run._seccomp import call_filter
from meritree.run.containers import (
    ENGINES,
    Engine,
    engine_line,
    find_engine,
    own_ceilings,
    remove_line,
)

__all__ = [
    "CONFINING",
    "HOW_TO_INSTALL",
    "KINDS",
    "Completed",
    "Confined",
    "Kind",
    "Limits",
    "Sandbox",
    "SandboxError",
    "choose",
    "describe",
]

KINDS = ("bubblewrap", "landlock", "docker", "podman", "rlimits")
CONFINING = KINDS[:-1]
"""The kinds that confine files, network and processes, strongest first."""
HOW_TO_INSTALL = (
    "install bubblewrap (`apt-get install bubblewrap`, `dnf install bubblewrap`, "
    "`pacman -S bubblewrap`)"
)
_GIB = 1 << 30
_Stream = int | IO[Any] | None


class SandboxError(MeritreeError):
    """A confined program could not be started."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one confined program; None means none.

    Attributes:
        memory_bytes: address space of each process (RLIMIT_AS).
        cpu_seconds: processor time of each process.
        processes: processes and threads. The kernel exempts root from it; in the landlock
            kind since Linux 6.14 root is bounded too (a few hundred at least).
        file_bytes: size of each file written.
        wall_seconds: kept by `Sandbox.run`; who calls `launch` keeps the clock itself.
        output_bytes: of each of stdout and stderr, kept by `Sandbox.run` (start and end).
        scratch_bytes: of each of the private /tmp and /dev/shm.
        disk_bytes: what may be added to all writable folders together. Looked at four times a
            second, so a quick writer gets a little further before it ends (by SIGXFSZ).
    """

    memory_bytes: int | None = 3 * _GIB
    cpu_seconds: int | None = None
    processes: int | None = 512
    file_bytes: int | None = _GIB
    wall_seconds: float | None = None
    output_bytes: int = 1_000_000
    scratch_bytes: int = 512 << 20
    disk_bytes: int | None = 4 * _GIB

    def resources(self) -> dict[str, int]:
        """The limits that the kernel keeps, by the names of RLIMIT_*."""
        named = {
            "AS": self.memory_bytes,
            "CPU": self.cpu_seconds,
            "NPROC": self.processes,
            "FSIZE": self.file_bytes,
        }
        return {name: int(value) for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A way to confine programs that was seen to work on this machine.

    Attributes:
        kind: one of KINDS.
        strength: 2 confines files, network and processes, 1 does so by an engine that runs with
            more rights than we have; 0 only sets limits.
        notes: what it does not promise here, in words.
        bound: bubblewrap runs inside namespaces of ours, which bound its processes.
        engine: of the kinds docker and podman.
    """

    kind: str
    strength: int
    notes: tuple[str, ...] = field(default=())
    bound: bool = True
    engine: Engine | None = None

    def launch(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        writable: Sequence[Path] = (),
        readable: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        stdin: _Stream = subprocess.DEVNULL,
        stdout: _Stream = subprocess.DEVNULL,
        stderr: _Stream = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> Confined:
        """Start a program; returns when it runs.

        It sees the system's programs and libraries, its interpreter with everything installed
        there, ``readable`` and ``writable`` under their own names, a private /tmp, no other
        process and no network but its own loopback. Its environment is ``env`` and nothing
        else (in the rlimits kind a missing TMPDIR is set to a folder inside ``writable``).
        It ends with this process, with `Confined.stop` or with a kill of the process group,
        and with it everything it started.

        Args:
            argv: the program (an absolute path, or a name found on the system's PATH) and its
                arguments.
            cwd: where it starts; must be visible inside.
            writable: folders it may change.
            readable: further files and folders it may read.
            env: its whole environment.
            limits: `Limits` when None.
            stdin, stdout, stderr: as for `subprocess.Popen`; the null device by default.
            pass_fds: descriptors that it inherits under the same numbers.

        Raises:
            SandboxError: the program or the folder is missing, or the kernel refuses a layer.
        """
        limits = limits or Limits()
        program = _program(argv)
        shown = [str(path) for path in readable]
        if self.kind != "rlimits":
            shown += _visible.program_folders(Path(program), self._asked)
        argv = [program, *map(str, argv[1:])]
        config = self._config(argv, cwd, writable, shown, env or {}, limits)
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        process, notes, problem = spawn(config, tuple(pass_fds), streams)
        if problem is not None:
            process.stop()
            raise SandboxError(
                f"cannot start {program} in a {self.kind} sandbox: {problem}; is it readable "
                "inside (give `readable`), and does `meritree doctor` list this kind as available?"
            )
        process.notes = notes
        return process

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        writable: Sequence[Path] = (),
        readable: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Completed:
        """Run a program to its end, or to the end of ``limits.wall_seconds``.

        Raises:
            SandboxError: as for `launch`.
        """
        limits = limits or Limits()
        process = self.launch(
            argv,
            cwd=cwd,
            writable=writable,
            readable=readable,
            env=env,
            limits=limits,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return collect(process, limits.wall_seconds, limits.output_bytes)

    def _asked(self, argv: list[str], folders: tuple[str, ...]) -> bytes:
        """What a Python says of itself, in a sandbox that shows its prefixes only."""
        limits = Limits(wall_seconds=30.0)
        config = self._config(argv, Path("/"), (), folders, {}, limits)
        streams = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        process, _, problem = spawn(config, (), {"stdin": subprocess.DEVNULL, **streams})
        if problem is not None:
            process.stop()
            return b""
        done = collect(process, limits.wall_seconds, limits.output_bytes)
        return done.stdout if done.returncode == 0 else b""

    def _config(
        self,
        argv: Sequence[str],
        cwd: Path,
        writable: Sequence[Path],
        shown: Sequence[str],
        env: Mapping[str, str],
        limits: Limits,
    ) -> dict[str, Any]:
        config: dict[str, Any] = {
            "mode": self.kind,
            "argv": list(argv),
            "cwd": str(cwd),
            "env": dict(env),
            "limits": limits.resources(),
            "writable": [str(path) for path in writable],
            "scratch": limits.scratch_bytes,
            "disk": limits.disk_bytes,
            "filter": b"" if self.kind == "rlimits" else call_filter(platform.machine()),
            "namespaces": self.kind == "landlock" or (self.kind == "bubblewrap" and self.bound),
        }
        if self.kind == "rlimits":
            # The kernel counts every process of this user against it, not only the program's.
            config["limits"].pop("NPROC", None)
            return config
        visible = [*_visible.system_files(), *shown]
        config["binds"], config["links"] = _visible.layout(visible, config["writable"])
        if self.kind == "bubblewrap":
            if not self.bound:  # would count all processes of this user
                config["limits"].pop("NPROC", None)
            config["argv"] = _bubblewrap_line(config)
            config["cwd"], config["env"] = "/", {"PATH": "/usr/bin:/bin"}
        if self.engine is not None:
            self._contain(self.engine, config)
        return config

    def _contain(self, engine: Engine, config: dict[str, Any]) -> None:
        """Add what starts a container and ends it."""
        own = _visible.own_folders(Path(sys.executable))
        visible = [*_visible.system_files(), *own, *(b[1] for b in config["binds"] if not b[2])]
        config["binds"], _ = _visible.layout(visible, config["writable"])
        control = tempfile.mkdtemp(prefix="meritree-control-")
        name = f"meritree-{secrets.token_hex(8)}"
        ids = os.geteuid(), os.getegid()
        config["control"] = control
        config["line"] = engine_line(
            engine, name, config, control, sys.executable, ids, own_ceilings()
        )
        config["remove"] = remove_line(engine, name)
        config["engine_env"] = dict(os.environ)  # the client's: where its daemon is, its settings
        config["limits"].pop("NPROC", None)


def _program(argv: Sequence[str]) -> str:
    if not argv:
        raise SandboxError("no program to start: the command is empty")
    found = shutil.which(argv[0], path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    if found is None:
        raise SandboxError(f"no program {argv[0]}; give its absolute path")
    return found


def _bubblewrap_line(config: Mapping[str, Any]) -> list[str]:
    line = [_bubblewrap() or "bwrap", "--unshare-all", "--unshare-user", "--uid", "65534"]
    line += ["--gid", "65534", "--cap-drop", "ALL", "--disable-userns", "--die-with-parent"]
    line += ["--new-session", "--clearenv", "--proc", "/proc", "--dev", "/dev"]
    line += ["--size", str(config["scratch"]), "--tmpfs", "/tmp"]
    for path, target in config["links"]:
        line += ["--symlink", target, path]
    for source, target, may_write in config["binds"]:
        line += ["--bind" if may_write else "--ro-bind", source, target]
    for name, value in config["env"].items():
        line += ["--setenv", name, value]
    # /proc too: bubblewrap leaves /proc/sys open to who is root outside, and so /proc/*/mem.
    # /proc too: bubblewrap leaves /proc/sys writable for who is root outside, and /proc/*/mem.
    line += ["--remount-ro", "/proc", "--remount-ro", "/", "--chdir", config["cwd"]]
    return [*line, "--", *config["argv"]]


def _bubblewrap() -> str | None:
    return shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")


# -- choosing -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind as `describe` found it: whether it works here, and why (not)."""

    name: str
    available: bool
    reason: str


_STRENGTH = {"bubblewrap": 2, "landlock": 2, "docker": 1, "podman": 1, "rlimits": 0}
_WARNING = (
    "limits only: programs can read and change every file that you can, and use the network; "
    "run only code that you trust"
)


def choose(kind: str = "auto") -> Sandbox:
    """Return the sandbox of a kind, or the strongest that works here (``auto``).

    ``auto`` never takes ``rlimits``, which confines nothing: it must be named.

    Raises:
        BadInput: no such kind, or it does not work on this machine; the message says why.
    """
    if kind != "auto" and kind not in KINDS:
        raise BadInput(f"no sandbox kind {kind!r}; allowed are auto, {', '.join(KINDS)}")
    for name in CONFINING if kind == "auto" else (kind,):
        sandbox, reason = _probe(name)
        if sandbox is not None:
            return sandbox
    if kind == "auto":
        why = "; ".join(f"{one.name}: {one.reason}" for one in describe() if not one.available)
        raise BadInput(
            f"no sandbox works here ({why}); {HOW_TO_INSTALL}, or name --sandbox rlimits if you "
            "trust the code: it then runs with your rights"
        )
    works = ", ".join(found.name for found in describe() if found.available) or "none"
    raise BadInput(f"sandbox kind {kind} does not work here: {reason}; kinds that work: {works}")


def describe() -> tuple[Kind, ...]:
    """Every kind, strongest first, tried on this machine."""
    found = []
    for name in KINDS:
        sandbox, reason = _probe(name)
        found.append(Kind(name, sandbox is not None, reason))
    return tuple(found)


@functools.cache
def _probe(kind: str) -> tuple[Sandbox | None, str]:
    """Try a kind for real, once per process."""
    if sys.platform != "linux" and kind != "rlimits":
        return None, f"needs Linux, this is {sys.platform}"
    if kind == "bubblewrap" and _bubblewrap() is None:
        return None, "bwrap is not installed (`apt-get install bubblewrap`, or the like)"
    engine = None
    if kind in ENGINES:
        engine, reason = find_engine(kind, _visible.layout([], [])[1])
        if engine is None:
            return None, reason
    sandbox, reason = _try(Sandbox(kind, _STRENGTH[kind], engine=engine))
    if sandbox is None and kind == "bubblewrap":  # namespaces within namespaces are not everywhere
        loose = ("the number of processes is not bounded (no namespaces around bubblewrap here)",)
        sandbox, again = _try(Sandbox(kind, _STRENGTH[kind], loose, bound=False))
        reason = again if sandbox is not None else reason
    return sandbox, reason


def _try(bare: Sandbox) -> tuple[Sandbox | None, str]:
    """Start a program that does nothing."""
    kind = bare.kind
    try:
        process = bare.launch(["true"], cwd=Path("/"), stderr=subprocess.PIPE)
    except SandboxError as error:
        return None, str(error)
    _, complaint = process.communicate(timeout=30)
    process.stop()
    if process.returncode:
        text = complaint.decode(errors="replace").strip()
        return None, text or f"a trial run ended with {process.returncode}"
    notes = (_WARNING,) if kind == "rlimits" else (*bare.notes, *process.notes)
    return replace(bare, notes=notes), "; ".join(("works", *notes))
