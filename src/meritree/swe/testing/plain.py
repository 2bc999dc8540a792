"""Any other test command: run in a fresh copy, judged by its exit code.

Knows nothing about test frameworks; tracebacks in the output are read for what they tell.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from meritree.errors import BadInput
from meritree.swe.testing.server import Setting, copy_tree, environment, write_files
from meritree.swe.testing.types import Frame, TestResult

_OUTPUT = 256 << 10
_FILE = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_SHORT = re.compile(r"^([\w./-]+\.py):(\d+):(?: in (\S+))?", re.MULTILINE)
_LAST = re.compile(r"^(?:E\s+)?([A-Z]\w*(?:Error|Exception|Failure)):? ?(.*)$", re.MULTILINE)
_SHIM = (
    "import os,sys; fd=int(sys.argv[1]); os.dup2(fd,1); os.dup2(fd,2); os.execvp(sys.argv[2],"
    "sys.argv[2:])"
)


def run(setting: Setting, folder: Path, files: Mapping[str, str], seconds: float) -> TestResult:
    """Run the command once in a copy of the repository made in ``folder``.

    Raises:
        BadInput: the program does not exist.
    """
    root, home, temporary = folder / "repo", folder / "home", folder / "tmp"
    for made in (home, temporary):
        made.mkdir(parents=True, exist_ok=True)
    copy_tree(setting.pristine, root)
    write_files(root, files)
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        code = _execute(setting, root, folder, output.fileno(), seconds)
        elapsed = time.monotonic() - started
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _OUTPUT))
        text = output.read().decode("utf-8", "replace")
    if code == 127 or ("FileNotFoundError" in text and "execvp" in text):
        raise BadInput(
            f"--test {setting.command.text}: no such program; give a command that runs the tests "
            'here, such as --test "python -m pytest", or leave --test out to have it detected'
        )
    return _judged(setting.command.text, code, text, elapsed, root)


def _execute(setting: Setting, root: Path, folder: Path, out: int, seconds: float) -> int | None:
    env = environment(folder / "home", folder / "tmp")
    env["PYTHONPATH"] = os.pathsep.join(str(root / place) for place in setting.command.roots)
    env["PATH"] = f"{setting.python.parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    process = setting.launcher.launch(
        [str(setting.python), "-c", _SHIM, str(out), *setting.command.arguments],
        cwd=root,
        writable=[folder],
        readable=[setting.pristine],
        env=env,
        pass_fds=[out],
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()


def _judged(name: str, code: int | None, text: str, seconds: float, root: Path) -> TestResult:
    if code == 0:
        return TestResult(name, "passed", seconds, 1.0)
    if code is None:
        return TestResult(
            name, "timeout", seconds, 0.0, signature="timeout", exception="timeout",
            message=f"`{name}` ran past its limit",
        )  # fmt: skip
    found = _LAST.findall(text)
    exception, message = found[-1] if found else ("ExitCode", str(code))
    failed = "Assert" in exception or exception == "ExitCode"
    return TestResult(
        name,
        "failed" if failed else "error",
        seconds,
        0.3 if failed else 0.05,
        signature=f"{exception}: {message[:80]}",
        exception=exception,
        message=message[:1000],
        frames=_frames(text, root.resolve()),
    )


def _frames(text: str, root: Path) -> tuple[Frame, ...]:
    found = []
    for file, line, name in _FILE.findall(text) or _SHORT.findall(text):
        path = Path(file) if os.path.isabs(file) else root / file
        if path.is_relative_to(root) and path.is_file():
            found.append(Frame(path.relative_to(root).as_posix(), int(line), name))
    return tuple(found[-60:])
