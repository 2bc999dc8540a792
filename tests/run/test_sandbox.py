"""Every sandbox kind that works here, against programs that try to get out."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from meritree.run.sandbox import (
    Sandbox,
)

from .sandboxes import run

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
