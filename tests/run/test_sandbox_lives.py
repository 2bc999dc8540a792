"""Whatever a confined program starts ends with it, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meritree.run.sandbox import (
    Sandbox,
)

from .sandboxes import beating, launch, run, sandbox_of


def test_a_fork_bomb_stays_inside_and_ends(work: Path) -> None:
    sandbox = sandbox_of("landlock")
    if os.geteuid() == 0 and any("root may start" in note for note in sandbox.notes):
        pytest.skip("; ".join(sandbox.notes))
    done = run(
        sandbox,
        work,
        "import os, time\ncount = 0\ntry:\n    while True:\n"
        "        if os.fork() == 0: time.sleep(60); os._exit(0)\n        count += 1\n"
        "except OSError: print(count)",
        processes=40,
    )
    assert 10 < int(done.stdout) < 400


GRANDCHILDREN = """
import os, subprocess, sys, time
beat = "import time\\nwhile True:\\n    open('beat', 'a').write('x')\\n    time.sleep(0.02)"
if os.fork() == 0:
    os.setsid()  # a daemon: out of the process group, then orphaned
    if os.fork():
        os._exit(0)
    os.execv(sys.executable, [sys.executable, "-I", "-c", beat])
while not os.path.exists("beat"):
    time.sleep(0.01)
print("ready", flush=True)
"""


def test_the_wall_clock_ends_daemons_too(sandbox: Sandbox, work: Path) -> None:
    done = run(sandbox, work, GRANDCHILDREN + "time.sleep(60)", wall_seconds=3)
    assert done.timed_out
    assert done.stdout == b"ready\n"
    assert done.returncode == -signal.SIGKILL
    assert not beating(work / "beat")


def test_nothing_outlives_a_program_that_ends_by_itself(sandbox: Sandbox, work: Path) -> None:
    process = launch(sandbox, work, GRANDCHILDREN)
    assert process.wait(20) == 0
    assert not beating(work / "beat")
    process.stop()


@pytest.mark.parametrize("way", ["stop", "kill", "group", "drop"])
def test_every_way_to_end_a_server_ends_its_family(way: str, strong: Sandbox, work: Path) -> None:
    process = launch(strong, work, GRANDCHILDREN + "time.sleep(60)", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    if way == "stop":
        assert process.stop() != 0
        assert process.stop() != 0
    elif way == "kill":
        process.kill()
        process.wait(10)
    elif way == "group":
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    else:
        with contextlib.suppress(ResourceWarning):
            process._let_go()
        process.wait(10)
    time.sleep(0.1)
    assert not beating(work / "beat")
    process.stop()


PARENT = """
import sys, time
from pathlib import Path
from meritree.run.sandbox import choose
work = Path(sys.argv[2])
code = sys.argv[3] + "time.sleep(60)"
p = choose(sys.argv[1]).launch([sys.executable, "-I", "-c", code], cwd=work, writable=[work])
while not (work / "beat").exists():
    time.sleep(0.01)
print("up", flush=True)
time.sleep(60)
"""


def test_kill_nine_of_the_parent_leaves_nothing_behind(sandbox: Sandbox, work: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, sandbox.kind, str(work), GRANDCHILDREN],
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    parent.kill()
    parent.communicate()
    time.sleep(0.5)
    assert not beating(work / "beat")


@pytest.fixture
def pipes() -> Iterator[tuple[int, int, int, int]]:
    ends = (*os.pipe(), *os.pipe())
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def test_a_server_talks_over_inherited_pipes_and_forks(
    sandbox: Sandbox, work: Path, pipes: tuple[int, int, int, int]
) -> None:
    its_read, my_write, my_read, its_write = pipes
    process = launch(
        sandbox,
        work,
        f"import os\nwhile data := os.read({its_read}, 100):\n"
        "    if os.fork() == 0:\n"
        f"        os.write({its_write}, data.upper()); os._exit(0)\n"
        "    os.wait()\n",
        pass_fds=[its_read, its_write],
    )
    os.close(its_read)
    os.close(its_write)
    for word in (b"one", b"two"):
        os.write(my_write, word)
        assert os.read(my_read, 100) == word.upper()
    os.close(my_write)  # end of input reaches the server: nobody else holds the pipe
    assert process.wait(10) == 0
    assert os.read(my_read, 100) == b""
    process.stop()


def test_a_program_ended_by_a_signal_says_which(sandbox: Sandbox, work: Path) -> None:
    done = run(sandbox, work, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert done.returncode in (-signal.SIGSEGV, 128 + signal.SIGSEGV)


def test_temporary_files_are_private_and_gone_afterwards(sandbox: Sandbox, work: Path) -> None:
    done = run(
        sandbox,
        work,
        "import tempfile; f = tempfile.mkstemp()[1]; print(f)",
    )
    assert done.returncode == 0, done
    assert not Path(done.stdout.decode().strip()).exists()
    assert list(work.iterdir()) == []


def test_multiprocessing_and_pytest_work_inside(sandbox: Sandbox, work: Path) -> None:
    (work / "test_x.py").write_text(
        "import multiprocessing\n"
        "def test_x(tmp_path):\n"
        "    lock = multiprocessing.get_context('fork').Lock()\n"
        "    with lock: (tmp_path / 'a').write_text('x')\n"
    )
    done = sandbox.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_x.py"],
        cwd=work,
        writable=[work],
        env={"PATH": "/usr/bin:/bin", "HOME": str(work)},
    )
    assert b"1 passed" in done.stdout, done


def own_children() -> set[str]:
    """Process ids of this process's children, dead ones that nobody waited for included."""
    lists = Path("/proc/self/task").glob("*/children")
    return {number for one in lists for number in one.read_text().split()}


def test_no_descriptor_and_no_process_is_left_behind(sandbox: Sandbox, work: Path) -> None:
    run(sandbox, work, "pass")
    before, children = len(os.listdir("/proc/self/fd")), own_children()
    for _ in range(5):
        run(sandbox, work, "pass")
    assert len(os.listdir("/proc/self/fd")) == before
    assert own_children() <= children
