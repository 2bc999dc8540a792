"""One harness process: started in a scratch copy, spoken to over pipes, killed when silent.

Knows the launch protocol and where scratch copies live; nothing about candidates.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meritree.errors import HarnessError
from meritree.swe.harness.wire import Channel, Closed, Garbled, TimedOut
from meritree.swe.testing.sandbox import Launcher
from meritree.swe.testing.types import TestCommand, TestLimits

HARNESS = Path(__file__).resolve().parent.parent / "harness"
_BOOTSTRAP = """
import importlib.util, sys
folder, read_fd, write_fd = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sys.path.extend(sys.argv[4:])
spec = importlib.util.spec_from_file_location(
    "_meritree_harness", folder + "/__init__.py", submodule_search_locations=[folder])
package = importlib.util.module_from_spec(spec)
sys.modules["_meritree_harness"] = package
spec.loader.exec_module(package)
sys.argv[:] = ["pytest"]
from _meritree_harness.main import main
main(read_fd, write_fd)
"""
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".hg", "__pycache__", "*.pyc", ".pytest_cache", ".hypothesis", ".mypy_cache",
    ".ruff_cache", ".venv", "venv", ".tox", ".nox", "node_modules", ".eggs",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """All that the harness processes of one session have in common.

    Attributes:
        lent: folders with modules that the interpreter lacks, at the end of its path.
    """

    pristine: Path
    command: TestCommand
    python: Path
    launcher: Launcher
    limits: TestLimits
    seed: int
    guard_network: bool = True
    lent: tuple[Path, ...] = ()


def copy_tree(source: Path, target: Path) -> None:
    """Copy a repository without version control, environments and caches."""
    shutil.copytree(source, target, ignore=_LEFT_OUT, symlinks=True, dirs_exist_ok=True)


def environment(home: Path, temporary: Path) -> dict[str, str]:
    """A small fixed environment: private home and temporary folder, fixed hash seed.

    Whether pytest loads the plugins that happen to be installed is the caller's choice, as it is
    where the caller runs the tests by hand.
    """
    kept = (
        "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
    )  # fmt: skip
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
        "NO_COLOR": "1",
    }


class Server:
    """A running harness process and its scratch copy."""

    def __init__(
        self, setting: Setting, folder: Path, mode: str, files: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.setting = setting
        self.folder = folder
        self.root = folder / "repo"
        home, temporary = folder / "home", folder / "tmp"
        for made in (home, temporary):
            made.mkdir(parents=True, exist_ok=True)
        copy_tree(setting.pristine, self.root)
        write_files(self.root, files or {})
        self.log = folder / "output.txt"
        self._start(home, temporary, mode, dict(extra or {}))

    def _start(self, home: Path, temporary: Path, mode: str, extra: dict[str, Any]) -> None:
        setting = self.setting
        its_read, my_write = os.pipe()
        my_read, its_write = os.pipe()
        env = environment(home, temporary)
        try:
            self.process: subprocess.Popen[bytes] = setting.launcher.launch(
                [
                    str(setting.python),
                    "-c",
                    _BOOTSTRAP,
                    str(HARNESS),
                    str(its_read),
                    str(its_write),
                    *map(str, setting.lent),
                ],
                cwd=self.root,
                writable=[self.folder],
                readable=[setting.pristine, HARNESS, *setting.lent],
                env=env,
                pass_fds=[its_read, its_write],
            )
        finally:
            os.close(its_read)
            os.close(its_write)
        self.channel = Channel(my_read, my_write)
        command, limits = setting.command, setting.limits
        token = secrets.token_hex(16)
        self._tell(
            {
                "token": token,
                "mode": mode,
                "root": os.path.realpath(self.root),
                "pristine": str(setting.pristine),
                "log": str(self.log),
                "path": [os.path.realpath(self.root / r) for r in command.roots],
                "cache": str(temporary / "pytest_cache"),
                "arguments": list(command.arguments),
                "addopts": None if command.addopts is None else list(command.addopts),
                "inifile": command.inifile and str(self.root / command.inifile),
                "seed": setting.seed,
                "guard_network": setting.guard_network,
                "grace": limits.grace_seconds,
                "memory": limits.memory_bytes,
                "collect_seconds": limits.collect_seconds,
                "candidates_per_process": limits.candidates_per_process,
                "canary_every": limits.canary_every,
                **extra,
            }
        )
        self.channel.token = token
        self.first = self.answer(limits.collect_seconds)

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self.channel.send(message)
        except Closed:
            raise HarnessError(f"the test process did not start: {self.output()}") from None

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and wait at most ``seconds`` for the answer.

        Raises:
            HarnessError: the process died, hung or broke its protocol; it is gone now.
        """
        self._tell(message)
        return self.answer(seconds)

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next answer; see `ask`."""
        try:
            return self.channel.receive(time.monotonic() + seconds)
        except TimedOut:
            self.close()
            raise HarnessError(
                f"the test process was silent for {seconds:.0f} s and was ended; "
                f"last output: {self.output()}"
            ) from None
        except (Closed, Garbled) as error:
            self.close()
            code = self.process.returncode
            raise HarnessError(
                f"the test process ended (status {code}, {error}): {self.output()}"
            ) from None

    def output(self, limit: int = 2000) -> str:
        """The end of what the process printed."""
        try:
            size = self.log.stat().st_size
            with self.log.open("rb") as f:
                f.seek(max(0, size - limit))
                return f.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def close(self) -> None:
        """End the process with everything it started; its folder is kept."""
        self.channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.3)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.process.kill()
        self.process.wait()


def write_files(root: Path, files: Mapping[str, str]) -> None:
    """Put texts into a copy, exactly as they are."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="")
