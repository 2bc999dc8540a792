"""The attempts themselves: small programs, what shows that one got out, and what they need.

Bombs are bounded by themselves, so that they do no harm where nothing stops them.
"""

from __future__ import annotations

import stat
import time
from dataclasses import replace

from meritree.run.escapes.kinds import (
    LIMITS,
    Attempt,
    Seen,
    Stage,
    bytes_in_work,
    changed,
    knows_the_token,
    own_word,
    reached,
    victim_ended,
)
from meritree.run.escapes.prepared import a_keyring, a_shared_memory, an_address

FORKS = 450  # root is bounded at limit + 300 only
_LIBC = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"


def _still_beating(stage: Stage, seen: Seen) -> str:
    beat = stage.work / "beat"
    if not beat.exists():
        return ""
    size = beat.stat().st_size
    time.sleep(0.3)
    return "a daemon goes on after its program" if beat.stat().st_size > size else ""


def _many_files(stage: Stage, seen: Seen) -> str:
    count = len(list((stage.work / "alive").glob("*"))) if (stage.work / "alive").is_dir() else 0
    return f"{count} processes ran at once" if count >= FORKS else ""


def _setuid_file(stage: Stage, seen: Seen) -> str:
    for path in stage.work.iterdir():
        if path.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID):
            return f"a set-user-id program of user {path.lstat().st_uid} stands outside"
    return ""


def _device(stage: Stage, seen: Seen) -> str:
    found = any(stat.S_ISCHR(path.lstat().st_mode) for path in stage.work.iterdir())
    return "a device node stands outside" if found else ""


def _flooded(stage: Stage, seen: Seen) -> str:
    size = len(seen.stdout)
    return f"{size} bytes of output were kept" if size > 2 * LIMITS.output_bytes else ""


_SETUID_PROGRAM = """
import shutil, subprocess
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)  # root gains nothing: become nobody first
for name in ("su", "mount", "umount", "newgrp", "passwd"):
    program = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if program is None or not os.stat(program).st_mode & 0o4000:
        continue
    argv = [program] if name != "su" else [program, "-c", "true"]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True)
    for _ in range(200):
        try:
            uids = open("/proc/%d/status" % child.pid).read().split("Uid:")[1].split()[:2]
        except (OSError, IndexError):
            break
        if uids[0] != uids[1]:
            print("won: %s ran as user %s for user %s" % (name, uids[1], uids[0]), flush=True)
            break
        time.sleep(0.001)
    child.kill()
"""


def _said_won(stage: Stage, seen: Seen) -> str:
    lines = [line for line in seen.stdout.decode(errors="replace").splitlines() if "won: " in line]
    return f"by the program's own word: {lines[0][5:]}" if lines else ""


ATTEMPTS: tuple[Attempt, ...] = (
    Attempt("write-outside", "write a file outside the workspace",
            "open(S['outside'] + '/new', 'w').write('x')", changed("outside")),
    Attempt("write-readable", "change a file that may only be read",
            "open(S['shown'] + '/file', 'a').write('x')", changed("shown")),
    Attempt("remount", "make a read-only folder writable, then write",
            _LIBC + "for place in (S['shown'], '/'):\n"
            "    libc.mount(b'none', place.encode(), None, ctypes.c_ulong(32 | 4096), None)\n"
            "open(S['shown'] + '/file', 'a').write('x')", changed("shown")),
    Attempt("symlink", "write outside through a symbolic link in the workspace",
            "os.symlink(S['outside'] + '/file', S['work'] + '/link')\n"
            "open(S['work'] + '/link', 'r+').write('x')", changed("outside")),
    Attempt("hard-link", "write outside through a hard link in the workspace",
            "os.link(S['outside'] + '/file', S['work'] + '/link')\n"
            "open(S['work'] + '/link', 'a').write('x')", changed("outside")),
    Attempt("hard-link-readable", "change a file that may only be read through a hard link",
            "os.link(S['shown'] + '/file', S['work'] + '/link')\n"
            "open(S['work'] + '/link', 'a').write('x')", changed("shown")),
    Attempt("rename", "move a file from outside into the workspace",
            "os.rename(S['outside'] + '/file', S['work'] + '/stolen')", changed("outside")),
    Attempt("swap-workspace", "replace the workspace by a link to a folder outside",
            "os.rename(S['work'], S['work'] + '-old')\nos.symlink(S['outside'], S['work'])\n"
            "open(S['work'] + '/new', 'w').write('x')", changed("outside")),
    Attempt("read-secret", "read a file of the user",
            "won(open(S['outside'] + '/secret').read())", knows_the_token),
    Attempt("proc-root", "read a file of the user through /proc/PID/root and /proc/PID/cwd",
            "for pid in (S['victim'], os.getppid(), 1):\n"
            "    for way in ('root', 'cwd/../../../../../../..'):\n"
            "        try: won(open('/proc/%d/%s%s/secret' % (pid, way, S['outside'])).read())\n"
            "        except OSError as error: print(error)", knows_the_token),
    Attempt("environment", "read a key from its own environment",
            "won(os.environ['MERITREE_CANARY_KEY'])", knows_the_token, limits_only=True),
    Attempt("proc-environ", "read a key from other processes' environments",
            "import glob\ndata = b''\nfor path in glob.glob('/proc/[0-9]*/environ'):\n"
            "    try: data += open(path, 'rb').read() + b'\\n'\n    except OSError: pass\n"
            "lines = [l for l in data.split(b'\\0') if b'CANARY' in l]\n"
            "won(b' '.join(lines).decode('latin-1'))", knows_the_token),
    Attempt("proc-list", "see what other processes run",
            "won(open('/proc/%d/cmdline' % S['victim']).read())", knows_the_token),
    Attempt("signal", "end a process outside", "os.kill(S['victim'], 9)", victim_ended,
            settle=0.1),
    Attempt("signal-all", "end every process of the user that it can name by its group",
            "os.killpg(S['victim'], 9)", victim_ended, settle=0.1),
    Attempt("ptrace", "take over a process outside as its debugger",
            _LIBC + "if libc.ptrace(0x4206, S['victim'], 0, ctypes.c_ulong(0x100000)) != 0:\n"
            "    raise OSError(ctypes.get_errno(), 'ptrace refused')", victim_ended, settle=0.2),
    Attempt("tcp-loopback", "talk to a service of this machine over TCP",
            "import socket\nsocket.create_connection(('127.0.0.1', S['tcp']), 2)", reached("tcp")),
    Attempt("tcp-out", "talk to this machine's outside address over TCP",
            "import socket\nsocket.create_connection((S['address'], S['out']), 2)",
            reached("out"), prepare=an_address),
    Attempt("udp", "send a datagram to this machine",
            "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.sendto(b'x', ('127.0.0.1', S['udp']))", reached("udp")),
    Attempt("abstract-socket", "talk to an abstract unix socket",
            "import socket\ns = socket.socket(socket.AF_UNIX)\n"
            "s.connect('\\0' + S['abstract'])", reached("abstract")),
    Attempt("unix-socket", "talk to a unix socket of the user",
            "import socket\ns = socket.socket(socket.AF_UNIX)\n"
            "s.connect(S['outside'] + '/socket')", reached("named")),
    Attempt("vsock", "open a socket to the host of a virtual machine",
            "import socket\nsocket.socket(40, socket.SOCK_STREAM)\nwon('AF_VSOCK opened')",
            own_word),
    Attempt("keyring", "read a key from the kernel's keyring of the session",
            _LIBC + "find, read = 10, 11\nbuffer = ctypes.create_string_buffer(100)\n"
            "number = libc.syscall(S['keyctl'], find, -3, b'user', S['key'].encode(), 0)\n"
            "if number < 0 or libc.syscall(S['keyctl'], read, number, buffer, 100) < 0:\n"
            "    raise OSError(ctypes.get_errno(), 'no such key')\n"
            "won(buffer.value.decode())", knows_the_token, prepare=a_keyring),
    Attempt("shared-memory", "read another process's System V shared memory",
            _LIBC + "libc.shmat.restype = ctypes.c_void_p\n"
            "number = libc.shmget(S['segment'], 0, 0)\n"
            "if number < 0: raise OSError(ctypes.get_errno(), 'no such segment')\n"
            "where = libc.shmat(number, None, 0o10000)\nwon(ctypes.string_at(where).decode())",
            knows_the_token, prepare=a_shared_memory),
    Attempt("fork-bomb", f"start {FORKS} processes at once",
            f"os.mkdir('alive')\nfor n in range({FORKS}):\n"
            "    if os.fork() == 0:\n"
            "        open('alive/%d' % n, 'w').close(); time.sleep(2); os._exit(0)\n"
            "time.sleep(0.3)", _many_files),
    Attempt("memory-bomb", "take twice the memory that is allowed",
            "data = bytearray(1 << 30)\nwon('1 GiB taken')", own_word, limits_only=True),
    Attempt("busy-loop", "use twice the processor time that is allowed",
            "while time.process_time() < 2.2: pass\nwon('2.2 seconds used')", own_word,
            limits_only=True, limits=replace(LIMITS, cpu_seconds=1)),
    Attempt("big-file", "write a file of twice the size that is allowed",
            "with open('big', 'wb') as f:\n    for _ in range(8): f.write(b'x' * (1 << 20))",
            bytes_in_work(LIMITS.file_bytes or 0), limits_only=True),
    Attempt("disk-fill", "fill the disk with many files of allowed size",
            "for n in range(40):\n    open('part%d' % n, 'wb').write(b'x' * (2 << 20))\n"
            "    time.sleep(0.06)", bytes_in_work(64 << 20), limits_only=True),
    Attempt("tmp-fill", "fill the temporary folder",
            "import tempfile\nplace = tempfile.mkdtemp()\ntry:\n    for n in range(6):\n"
            "        open('%s/%d' % (place, n), 'wb').write(b'x' * (4 << 20))\n"
            "    won('24 MiB in ' + place)\n"
            "finally:\n    import shutil; shutil.rmtree(place, ignore_errors=True)", own_word),
    Attempt("output-flood", "print more than is kept",
            "sys.stdout.write('x' * 3_000_000)", _flooded, limits_only=True),
    Attempt("daemon", "leave a process behind that hides from its group",
            "if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
            "    for fd in (0, 1, 2): os.close(fd)\n    for _ in range(150):\n"
            "        open('beat', 'a').write('x'); time.sleep(0.02)\n    os._exit(0)\n"
            "while not os.path.exists('beat'): time.sleep(0.01)", _still_beating,
            limits_only=True, settle=0.1),
    Attempt("user-namespace", "make a user namespace (and be root in it)",
            _LIBC + "if libc.unshare(0x10000000) != 0:\n"
            "    raise OSError(ctypes.get_errno(), 'unshare refused')\nwon('made')", own_word),
    Attempt("clone-namespace", "start a process in a new user namespace",
            "import subprocess\n"
            "done = subprocess.run(['unshare', '-U', 'true'], stderr=subprocess.PIPE)\n"
            "if done.returncode: raise OSError(1, done.stderr.decode().strip())\nwon('made')",
            own_word),
    Attempt("mount", "mount a file system",
            _LIBC + "where = S['work'].encode()\n"
            "if libc.mount(b'none', where, b'tmpfs', ctypes.c_ulong(0), None) != 0:\n"
            "    raise OSError(ctypes.get_errno(), 'mount refused')\n"
            "libc.umount2(where, 2)\nwon('mounted')", own_word),
    Attempt("device", "make a device node",
            "import stat\nos.mknod('node', stat.S_IFCHR | 0o666, os.makedev(1, 3))", _device),
    Attempt("setuid-left", "leave a set-user-id program for others to run",
            "open('prog', 'w').write('#!/bin/sh\\n')\nos.chmod('prog', 0o4755)", _setuid_file),
    Attempt("setuid-gain", "gain rights by a set-user-id program", _SETUID_PROGRAM, _said_won),
    Attempt("kernel-settings", "open a setting of the kernel for writing",
            "os.close(os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY))\nwon('opened')",
            own_word),
    Attempt("host-name", "rename the machine to the name that it has",
            "import socket\nsocket.sethostname(socket.gethostname())\n"
            "if os.readlink('/proc/self/ns/uts') == S['uts']: won('renamed')", own_word),
)  # fmt: skip
