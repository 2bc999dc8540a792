"""Every sandbox kind that works here, against programs that try to get out."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meritree.errors import BadInput
from meritree.run import sandbox as sandbox_module
from meritree.run.containers import ENGINES
from meritree.run.sandbox import (
    CONFINING,
    KINDS,
    Completed,
    Confined,
    Limits,
    Sandbox,
    SandboxError,
    choose,
    describe,
)


def sandbox_of(kind: str) -> Sandbox:
    if kind in ENGINES and os.environ.get("MERITREE_CONTAINERS") != "1":
        pytest.skip("a container takes a second to start; MERITREE_CONTAINERS=1 tries them")
    try:
        return choose(kind)
    except BadInput as error:
        pytest.skip(f"{kind}: {error}")


@pytest.fixture(params=KINDS)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return sandbox_of(request.param)


@pytest.fixture(params=CONFINING)
def strong(request: pytest.FixtureRequest) -> Sandbox:
    return sandbox_of(request.param)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def run(sandbox: Sandbox, work: Path, code: str, *args: object, **limits: object) -> Completed:
    limits.setdefault("wall_seconds", 20)
    return sandbox.run(
        [sys.executable, "-I", "-c", code, *map(str, args)],
        cwd=work,
        writable=[work],
        env={"PATH": "/usr/bin:/bin"},
        limits=Limits(**limits),  # type: ignore[arg-type]
    )


ATTEMPT = """
import sys
def attempt(action):
    try:
        action()
    except OSError as error:
        print("refused", type(error).__name__)
        sys.exit(3)
    print("done")
"""


def test_a_program_runs_writes_where_it_may_and_returns_its_code(
    sandbox: Sandbox, work: Path
) -> None:
    done = run(
        sandbox,
        work,
        "import sys, os; open('made', 'w').write('x'); os.mkdir('d'); os.rename('made', 'd/made');"
        "print('out'); print('err', file=sys.stderr); sys.exit(7)",
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert (work / "d" / "made").read_text() == "x"
    assert not done.timed_out
    assert not done.truncated


def test_the_environment_is_exactly_what_was_given(
    sandbox: Sandbox, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_API_KEY", "sesame")
    done = sandbox.run(["env"], cwd=work, writable=[work], env={"A": "1", "TMPDIR": str(work)})
    lines = set(done.stdout.decode().split())
    assert lines - {f"PWD={work}"} == {"A=1", f"TMPDIR={work}"}  # bubblewrap adds PWD itself


def test_secrets_are_not_in_the_environment_of_any_visible_process(
    strong: Sandbox, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_API_KEY", "sesame")
    child = subprocess.Popen(["sleep", "30"], env={"SECRET_API_KEY": "sesame"})
    try:
        done = run(
            strong,
            work,
            "import glob\n"
            "for path in glob.glob('/proc/[0-9]*/environ'):\n"
            "    try: data = open(path, 'rb').read()\n"
            "    except OSError: continue\n"
            "    print(b'sesame' in data)\n"
            f"print(__import__('os').path.exists('/proc/{child.pid}/cmdline'))",
        )
    finally:
        child.kill()
        child.wait()
    assert b"True" not in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    "target", ["{outside}/new", "{outside}/there", "/usr/x", "/etc/x", "/x", "/bin/sh"]
)
def test_writing_outside_is_refused(
    target: str, strong: Sandbox, work: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "there").write_text("old")
    path = target.format(outside=outside)
    done = run(strong, work, ATTEMPT + "attempt(lambda: open(sys.argv[1], 'a').write('x'))", path)
    assert done.stdout.startswith(b"refused"), done
    assert (outside / "there").read_text() == "old"
    assert not (outside / "new").exists()


def test_what_is_readable_cannot_be_changed_even_inside_a_writable_folder(
    strong: Sandbox, work: Path
) -> None:
    inner = work / "pristine"
    inner.mkdir()
    (inner / "a").write_text("old")
    done = strong.run(
        [sys.executable, "-I", "-c", "print(open('pristine/a').read()); open('pristine/a', 'w')"],
        cwd=work,
        writable=[work],
        readable=[inner],
    )
    if strong.kind == "bubblewrap" or b"Read-only" in done.stderr or b"Permission" in done.stderr:
        assert done.returncode == 1
    assert done.stdout == b"old\n"
    assert (inner / "a").read_text() == "old"


@pytest.mark.parametrize("way", ["{secret}", "link", "/proc/1/root{secret}"])
def test_a_secret_outside_cannot_be_read(
    way: str, strong: Sandbox, work: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sesame")
    (work / "link").symlink_to(secret)
    done = run(
        strong,
        work,
        ATTEMPT + "attempt(lambda: print(open(sys.argv[1]).read()))",
        way.format(secret=secret),
    )
    assert done.stdout.startswith(b"refused"), done


def test_password_hashes_and_home_folders_are_not_there(strong: Sandbox, work: Path) -> None:
    done = run(
        strong,
        work,
        "import os\n"
        "for path in ('/etc/shadow', '/home', '/var', os.path.expanduser('~/.ssh')):\n"
        "    print(os.path.exists(path))\n"
        "there = set(os.listdir('/run')) if os.path.exists('/run') else set()\n"
        "print(bool(there - {'.containerenv', 'meritree', 'secrets'}))",  # an engine's own
    )
    assert done.stdout.split() == [b"False"] * 5


def test_the_outside_network_is_out_of_reach_and_loopback_works(
    strong: Sandbox, work: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run(
            strong,
            work,
            "import socket, sys\n"
            "for address in (('127.0.0.1', int(sys.argv[1])), ('192.0.2.1', 80)):\n"
            "    try: socket.create_connection(address, 2); print('reached')\n"
            "    except OSError as error: print('refused')\n"
            "with socket.create_server(('127.0.0.1', 0)) as own:\n"
            "    socket.create_connection(own.getsockname(), 2); print('own')\n",
            port,
        )
    assert done.stdout.split() == [b"refused", b"refused", b"own"], done


def test_the_parent_cannot_be_signalled(strong: Sandbox, work: Path) -> None:
    done = run(
        strong,
        work,
        ATTEMPT + "import os, signal\nattempt(lambda: os.kill(int(sys.argv[1]), signal.SIGTERM))",
        os.getpid(),
    )
    assert done.stdout.startswith(b"refused ProcessLookupError"), done


@pytest.mark.parametrize(
    "call",
    [
        "libc.unshare(0x10000000)",
        "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
        "libc.mount(b'none', b'/', None, 32 | 4096, None)",
        "libc.chroot(b'/tmp')",
        "libc.sethostname(b'x', 1)",
    ],
)
def test_privileges_cannot_be_used_or_regained(call: str, strong: Sandbox, work: Path) -> None:
    done = run(
        strong,
        work,
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"print({call}, ctypes.get_errno() != 0)\n"
        "print([l for l in open('/proc/self/status') if l.startswith('CapEff')][0].split()[1])",
    )
    assert done.returncode == 0, done
    result, effective = done.stdout.decode().strip().splitlines()
    assert result == "-1 True"
    assert int(effective, 16) == 0


def test_a_memory_bomb_ends(sandbox: Sandbox, work: Path) -> None:
    done = run(sandbox, work, "b = bytearray(1 << 30)", memory_bytes=512 << 20)
    assert done.returncode == 1
    assert b"MemoryError" in done.stderr


def test_a_busy_loop_ends_at_its_processor_limit(sandbox: Sandbox, work: Path) -> None:
    done = run(sandbox, work, "while True: pass", cpu_seconds=1)
    assert not done.timed_out
    assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL, 128 + signal.SIGXCPU)


def test_a_file_cannot_outgrow_its_limit(sandbox: Sandbox, work: Path) -> None:
    done = run(sandbox, work, "open('big', 'wb').write(b'x' * 2_000_000)", file_bytes=1_000_000)
    assert done.returncode == 1
    assert (work / "big").stat().st_size <= 1_000_000


def test_a_flood_of_output_is_capped_and_keeps_both_ends(sandbox: Sandbox, work: Path) -> None:
    done = run(
        sandbox,
        work,
        "import sys\nprint('first')\nfor _ in range(200): sys.stdout.write('x' * 100_000)\n"
        "print('\\nlast')",
        output_bytes=10_000,
    )
    assert done.returncode == 0
    assert done.truncated
    assert done.stdout.startswith(b"first\n")
    assert done.stdout.endswith(b"last\n")
    assert len(done.stdout) < 10_100


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


def beating(path: Path) -> bool:
    """Whether some process still appends to a file."""
    size = path.stat().st_size
    time.sleep(0.3)
    return path.stat().st_size > size


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


def launch(sandbox: Sandbox, work: Path, code: str, **how: object) -> Confined:
    return sandbox.launch(
        [sys.executable, "-I", "-c", code],
        cwd=work,
        writable=[work],
        **how,  # type: ignore[arg-type]
    )


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


def test_what_cannot_start_is_named(sandbox: Sandbox, work: Path) -> None:
    with pytest.raises(SandboxError, match="no program no-such-program"):
        sandbox.launch(["no-such-program"], cwd=work)
    if sandbox.kind != "bubblewrap":  # which reports it on the program's stderr
        with pytest.raises(SandboxError, match="gone"):
            sandbox.launch(["true"], cwd=work / "gone")


def test_kinds_are_named_and_described_strongest_first() -> None:
    assert [kind.name for kind in describe()] == list(KINDS)
    assert all(kind.reason for kind in describe())
    available = [kind.name for kind in describe() if kind.available]
    if available != ["rlimits"]:
        assert choose("auto").kind == available[0]
    assert "limits only" in "".join(choose("rlimits").notes)
    with pytest.raises(BadInput, match="no sandbox kind 'jail'"):
        choose("jail")


@pytest.fixture
def fresh_trials() -> Iterator[None]:
    sandbox_module._probe.cache_clear()
    yield
    sandbox_module._probe.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")
def test_a_missing_bubblewrap_is_refused_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch, fresh_trials: None
) -> None:
    monkeypatch.setattr(sandbox_module, "_bubblewrap", lambda: None)
    with pytest.raises(BadInput, match=r"bwrap is not installed .*apt-get install bubblewrap"):
        choose("bubblewrap")
    rest = [one.name for one in describe() if one.available and one.name in CONFINING]
    if rest:
        assert choose("auto").kind == rest[0]
    else:
        with pytest.raises(BadInput, match="apt-get install bubblewrap"):
            choose("auto")


@pytest.mark.skipif(sys.platform != "linux", reason="other kinds are for Linux")
def test_a_machine_that_can_confine_nothing_is_told_so_and_never_gets_limits_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only = {"rlimits": (Sandbox("rlimits", 0), "works")}
    monkeypatch.setattr(sandbox_module, "_probe", lambda kind: only.get(kind, (None, "not here")))
    with pytest.raises(BadInput, match=r"no sandbox works here .*--sandbox rlimits"):
        choose("auto")
    assert choose("rlimits").kind == "rlimits"


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")
def test_a_bubblewrap_that_is_installed_but_refused_does_not_count_as_available(
    monkeypatch: pytest.MonkeyPatch, fresh_trials: None, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sandbox_module, "_bubblewrap", lambda: str(broken))
    found = describe()[0]
    assert (found.name, found.available) == ("bubblewrap", False)
    assert "No permissions" in found.reason
    with pytest.raises(BadInput, match="No permissions"):
        choose("bubblewrap")


@pytest.mark.parametrize("kind", ENGINES)
def test_a_container_engine_that_works_here_confines_a_program(kind: str, work: Path) -> None:
    try:
        sandbox = choose(kind)
    except BadInput as error:
        pytest.skip(str(error))
    done = run(sandbox, work, "import os; open('made', 'w'); print(os.path.exists('/home'))")
    assert (done.returncode, done.stdout) == (0, b"False\n"), done
    assert (work / "made").exists()
    before = set(Path(tempfile.gettempdir()).glob("meritree-control-*"))
    process = sandbox.launch(["sleep", "60"], cwd=work, writable=[work])
    os.killpg(process.pid, signal.SIGKILL)  # no time to tidy up
    process.wait()
    assert set(Path(tempfile.gettempdir()).glob("meritree-control-*")) <= before


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
