"""The launcher that stands between us and a confined program: it closes doors, then starts it.

Run, compiled, by our own interpreter; standard library only; must not import meritree. The
process stays outside as supervisor: it dies with its parent, and everything below dies with it.
The names of `_confine_rules` and `_confine_watch` are run into this namespace before it.
"""

from __future__ import annotations

import ctypes
import fcntl
import marshal
import os
import resource
import struct
import sys

TYPE_CHECKING = False  # typing, contextlib and signal's enums would double the start-up time
if TYPE_CHECKING:
    import signal
    from typing import Any

    from meritree.run._confine_rules import (
        DEVICES,
        check,
        drop_capabilities,
        filter_calls,
        leave_keyring,
        libc,
        no_new_privileges,
        prctl,
        restrict,
        set_limits,
    )
    from meritree.run._confine_watch import supervise
else:
    import _signal as signal

_NEWNS, _NEWUTS, _NEWIPC = 0x00020000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT = 1, 2, 4, 8, 32
_BIND, _REC, _PRIVATE, _DETACH = 4096, 16384, 1 << 18, 2
_PDEATHSIG, _SUBREAPER = 1, 36
_PIVOT = {"x86_64": 155, "i686": 217, "ppc64le": 203, "s390x": 217}.get(os.uname().machine, 41)
_MOUNT_SETATTR = 442
_OLD = "/.old"


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    encoded = (os.fsencode(source), os.fsencode(target), kind.encode() if kind else None)
    check(libc.mount(*encoded, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


# -- namespaces ---------------------------------------------------------------------------


def enter_namespaces(flags: int) -> None:
    """New user, (for children) process and the given namespaces; the caller keeps his number."""
    uid, gid = os.geteuid(), os.getegid()
    flags |= _NEWUSER | _NEWPID
    check(libc.unshare(flags), "new namespaces")
    _put("/proc/self/setgroups", "deny")
    _put("/proc/self/uid_map", f"{uid} {uid} 1")
    _put("/proc/self/gid_map", f"{gid} {gid} 1")


def _put(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def build_root(config: dict[str, Any]) -> list[str]:
    """Move into a root that holds only what was listed; return what this kernel refused."""
    # Here and not in the supervisor: pivot_root moves every process of the mount namespace.
    check(libc.unshare(_NEWNS), "new mount namespace")
    _mount("none", "/", None, _REC | _PRIVATE)
    _mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, "mode=0755,size=4m")
    os.mkdir("/tmp" + _OLD)
    check(libc.syscall(_PIVOT, b"/tmp", os.fsencode("/tmp" + _OLD)), "pivot_root")
    os.chdir("/")
    for path, target in config["links"]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
    notes = _special_folders(config["scratch"])
    for source, target, writable in config["binds"]:
        _bind(source, target, writable)
    check(libc.umount2(os.fsencode(_OLD), _DETACH), "leave the old root")
    os.rmdir(_OLD)
    _mount("none", "/", None, _REMOUNT | _RDONLY | _NOSUID | _NODEV)
    return notes


def _special_folders(scratch: int) -> list[str]:
    for folder in ("/proc", "/tmp", "/dev", "/dev/shm", "/dev/pts"):
        os.mkdir(folder)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    _mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={scratch}")
    _mount("tmpfs", "/dev/shm", "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={scratch}")
    for name in DEVICES:
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY))
        _mount(f"{_OLD}/dev/{name}", f"/dev/{name}", None, _BIND)
    for name, target in (("fd", "/proc/self/fd"), ("ptmx", "pts/ptmx")):
        os.symlink(target, f"/dev/{name}")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")
    try:
        _mount("devpts", "/dev/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666")
    except OSError as error:
        return [f"no terminals inside ({error.strerror})"]
    return []


def _bind(source: str, target: str, writable: bool) -> None:
    origin = _OLD + source
    if os.path.isdir(origin):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    _mount(origin, target, None, _BIND | _REC)
    attributes = _NOSUID | _NODEV | (0 if writable else _RDONLY)
    block = struct.pack("4Q", attributes, 0, 0, 0)
    result = libc.syscall(_MOUNT_SETATTR, -100, os.fsencode(target), 0x8000, block, len(block))
    check(result, f"protect {target}")


def tighten(processes: int | None) -> list[str]:
    """Loopback up, no further user namespaces, a bound on processes that holds for root too."""
    notes = []
    try:
        _raise_loopback()
    except OSError as error:
        notes.append(f"no loopback network ({error.strerror})")
    try:
        _put("/proc/sys/user/max_user_namespaces", "0")
    except OSError as error:
        notes.append(f"programs inside may make namespaces of their own ({error.strerror})")
    return notes + bound_processes(processes)


def bound_processes(processes: int | None) -> list[str]:
    """Bound the processes of this process namespace, for root too; return what was refused."""
    if processes is not None:
        try:  # per process namespace since Linux 6.14; pids start at 1, the minimum is 301
            _put("/proc/sys/kernel/pid_max", str(processes + 300))
        except OSError:
            if os.geteuid() == 0:
                return ["root may start any number of processes (Linux before 6.14)"]
    return []


def _raise_loopback() -> None:
    handle = check(libc.socket(2, 2, 0), "socket")
    try:
        fcntl.ioctl(handle, 0x8914, struct.pack("16sh22x", b"lo", 1 | 64))  # SIOCSIFFLAGS
    finally:
        os.close(handle)


# -- start -------------------------------------------------------------------------------


def start(config: dict[str, Any]) -> None:
    """Become the confined program. Reports a failure on the status pipe and exits."""
    status = config["status"]
    try:
        for descriptor in (config["lifeline"], *config.get("inner", ())):
            os.close(descriptor)
        os.set_inheritable(status, False)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.chdir(config["cwd"])
        if config["mode"] in ("landlock", "rlimits") and sys.platform == "linux":
            no_new_privileges()
        if config["mode"] == "landlock":
            restrict([*config["writable"], "/tmp", "/dev/shm"])
        set_limits(config["limits"])
        if config["mode"] == "bubblewrap" and config["filter"]:
            config["argv"][1:1] = ["--seccomp", str(_in_memory(config["filter"]))]
        elif config["mode"] == "landlock" and config["filter"]:
            filter_calls(config["filter"])
        os.execve(config["argv"][0], config["argv"], config["env"])
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        os.write(status, f"E{error.strerror}{where}".encode())
    finally:
        os._exit(126)


def _in_memory(data: bytes) -> int:
    """A descriptor from which a program that is started can read these bytes."""
    descriptor = os.memfd_create("filter", 0)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def first_process(config: dict[str, Any], relay: int) -> None:
    """Process 1 of the new namespace: prepare it, start the program, reap, pass its end on."""
    status = config["status"]
    try:
        check(prctl(_PDEATHSIG, signal.SIGKILL), "tie to the supervisor")
        processes = config["limits"].get("NPROC")
        if config["mode"] == "bubblewrap":  # it builds the rest, in namespaces of its own
            notes = bound_processes(processes)
        else:
            notes = build_root(config) + tighten(processes)
            drop_capabilities()
            no_new_privileges()
    except OSError as error:
        os.write(status, f"E{error.strerror}".encode())
        os._exit(126)
    for note in notes:
        os.write(status, f"N{note}\n".encode())
    child = os.fork()
    if child == 0:
        start({**config, "inner": (relay,)})
    let_go(config)
    while True:
        pid, end = os.wait()
        if pid == child:
            os.write(relay, struct.pack("i", end))
            os._exit(0)  # and the kernel ends everything else in the namespace


def let_go(config: dict[str, Any]) -> None:
    """Close what belongs to the program, so that its pipes end when it ends."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    for descriptor in {*config["pass_fds"], config["status"], null}:
        os.close(descriptor)


def main() -> None:
    os.lseek(int(sys.argv[1]), 0, os.SEEK_SET)  # the start-up line has read it once
    with open(int(sys.argv[1]), "rb") as source:
        config: dict[str, Any] = marshal.loads(source.read())[1]
    confined = config["namespaces"]
    read_end, write_end = os.pipe() if confined else (None, None)
    try:
        if sys.platform == "linux":
            leave_keyring()
        if confined:
            enter_namespaces(0 if config["mode"] == "bubblewrap" else _NEWNET | _NEWIPC | _NEWUTS)
        elif sys.platform == "linux":
            check(prctl(_SUBREAPER, 1), "adopt orphans")
        child = os.fork()
    except OSError as error:
        os.write(config["status"], f"E{error.strerror}".encode())
        os._exit(126)
    if child == 0:
        if read_end is not None and write_end is not None:
            os.close(read_end)
            first_process(config, write_end)
        if sys.platform == "linux":
            prctl(_PDEATHSIG, signal.SIGKILL)
        start(config)
    if write_end is not None:
        os.close(write_end)
    let_go(config)
    end = supervise(config, child, read_end)
    if os.WIFSIGNALED(end):  # die the same death, so that the parent sees it
        number = os.WTERMSIG(end)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(end) if os.WIFEXITED(end) else 1)


if __name__ == "__main__":
    main()
