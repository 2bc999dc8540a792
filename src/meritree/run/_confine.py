"""The launcher that stands between us and a confined program: it closes doors, then starts it.

Run, compiled, by our own interpreter; standard library only; must not import meritree. The
process stays outside as supervisor: it dies with its parent, and everything below dies with it.
"""

from __future__ import annotations

import ctypes
import fcntl
import marshal
import os
import resource
import select
import struct
import sys

TYPE_CHECKING = False  # typing, contextlib and signal's enums would double the start-up time
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal

_NEWNS, _NEWUTS, _NEWIPC = 0x00020000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT = 1, 2, 4, 8, 32
_BIND, _REC, _PRIVATE, _DETACH = 4096, 16384, 1 << 18, 2
_PDEATHSIG, _NO_NEW_PRIVS, _SUBREAPER, _CAPBSET_DROP, _AMBIENT = 1, 38, 36, 24, 47
_CAPSET = {"x86_64": 126, "i686": 185, "ppc64le": 184, "s390x": 185}.get(os.uname().machine, 91)
_PIVOT = {"x86_64": 155, "i686": 217, "ppc64le": 203, "s390x": 217}.get(os.uname().machine, 41)
_MOUNT_SETATTR, _LANDLOCK = 442, 444
_OLD = "/.old"
_DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    encoded = (os.fsencode(source), os.fsencode(target), kind.encode() if kind else None)
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def _prctl(option: int, value: int) -> int:
    zero = ctypes.c_ulong(0)
    return int(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero))


# -- namespaces ---------------------------------------------------------------------------


def enter_namespaces() -> None:
    """New user, network, IPC, host-name and (for children) process namespaces."""
    uid, gid = os.geteuid(), os.getegid()
    flags = _NEWUSER | _NEWNET | _NEWIPC | _NEWPID | _NEWUTS
    _check(_libc.unshare(flags), "new namespaces")
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
    _check(_libc.unshare(_NEWNS), "new mount namespace")
    _mount("none", "/", None, _REC | _PRIVATE)
    _mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, "mode=0755,size=4m")
    os.mkdir("/tmp" + _OLD)
    _check(_libc.syscall(_PIVOT, b"/tmp", os.fsencode("/tmp" + _OLD)), "pivot_root")
    os.chdir("/")
    for path, target in config["links"]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
    notes = _special_folders(config["scratch"])
    for source, target, writable in config["binds"]:
        _bind(source, target, writable)
    _check(_libc.umount2(os.fsencode(_OLD), _DETACH), "leave the old root")
    os.rmdir(_OLD)
    _mount("none", "/", None, _REMOUNT | _RDONLY | _NOSUID | _NODEV)
    return notes


def _special_folders(scratch: int) -> list[str]:
    for folder in ("/proc", "/tmp", "/dev", "/dev/shm", "/dev/pts"):
        os.mkdir(folder)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    _mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={scratch}")
    _mount("tmpfs", "/dev/shm", "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={scratch}")
    for name in _DEVICES:
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
    result = _libc.syscall(_MOUNT_SETATTR, -100, os.fsencode(target), 0x8000, block, len(block))
    _check(result, f"protect {target}")


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
    if processes is not None:
        try:  # per process namespace since Linux 6.14; pids start at 1, the minimum is 301
            _put("/proc/sys/kernel/pid_max", str(processes + 300))
        except OSError:
            if os.geteuid() == 0:
                notes.append("root may start any number of processes (Linux before 6.14)")
    return notes


def _raise_loopback() -> None:
    handle = _check(_libc.socket(2, 2, 0), "socket")
    try:
        fcntl.ioctl(handle, 0x8914, struct.pack("16sh22x", b"lo", 1 | 64))  # SIOCSIFFLAGS
    finally:
        os.close(handle)


def drop_capabilities() -> None:
    """Give up every privilege inside the namespaces too, for good."""
    _prctl(_AMBIENT, 4)
    capability = 0
    while _prctl(_CAPBSET_DROP, capability) == 0:
        capability += 1
    header = struct.pack("Ii", 0x20080522, 0)
    _check(_libc.syscall(_CAPSET, header, b"\0" * 24), "drop capabilities")


# -- Landlock -----------------------------------------------------------------------------

_FILE_READ, _ALL_V1 = (1 << 0) | (1 << 2) | (1 << 3), (1 << 13) - 1
_WRITE_FILE, _READ_FILE, _TRUNCATE, _IOCTL = 1 << 1, 1 << 2, 1 << 14, 1 << 15


def landlock_version() -> int:
    """The kernel's Landlock version; 0 when it has none."""
    return max(0, int(_libc.syscall(_LANDLOCK, None, 0, 1)))


def restrict(writable: list[str]) -> None:
    """Read anything in the root, write only below ``writable``; signal and trace only our own."""
    version = landlock_version()
    if not version:
        raise OSError(0, "this kernel has no Landlock (Linux 5.13 or newer, lsm=landlock)")
    known = _ALL_V1
    for since, right in ((2, 1 << 13), (3, _TRUNCATE), (5, _IOCTL)):
        known |= right if version >= since else 0
    scoped = 0b11 if version >= 6 else 0
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    attributes = struct.pack("3Q", known, 0, scoped)[:size]
    rules = _check(_libc.syscall(_LANDLOCK, attributes, len(attributes), 0), "Landlock")
    _allow(rules, "/", _FILE_READ)
    full = known & ~((1 << 6) | (1 << 11))  # no device nodes
    for path in writable:
        _allow(rules, path, full)
    for name in _DEVICES:
        _allow(rules, f"/dev/{name}", known & (_READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL))
    if os.path.exists("/dev/pts/ptmx"):
        _allow(rules, "/dev/pts", known & (_FILE_READ | _WRITE_FILE | _IOCTL))
    _check(_libc.syscall(_LANDLOCK + 2, rules, 0), "Landlock")
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, handle)
        _check(_libc.syscall(_LANDLOCK + 1, rules, 1, rule, 0), f"Landlock rule for {path}")
    finally:
        os.close(handle)


# -- limits and start ---------------------------------------------------------------------


def set_limits(limits: dict[str, int]) -> None:
    for name, value in {"CORE": 0, **limits}.items():
        which = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        # The soft processor limit ends the program with SIGXCPU, the hard one with SIGKILL.
        ceiling = value + 2 if name == "CPU" and hard == resource.RLIM_INFINITY else value
        resource.setrlimit(which, (value, ceiling))


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
        if config["mode"] != "bubblewrap" and sys.platform == "linux":
            _check(_prctl(_NO_NEW_PRIVS, 1), "no new privileges")
        if config["mode"] == "landlock":
            restrict([*config["writable"], "/tmp", "/dev/shm"])
        set_limits(config["limits"])
        os.execve(config["argv"][0], config["argv"], config["env"])
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        os.write(status, f"E{error.strerror}{where}".encode())
    finally:
        os._exit(126)


def first_process(config: dict[str, Any], relay: int) -> None:
    """Process 1 of the new namespace: prepare it, start the program, reap, pass its end on."""
    status = config["status"]
    try:
        _check(_prctl(_PDEATHSIG, signal.SIGKILL), "tie to the supervisor")
        notes = build_root(config) + tighten(config["limits"].get("NPROC"))
        drop_capabilities()
        _check(_prctl(_NO_NEW_PRIVS, 1), "no new privileges")
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


def supervise(config: dict[str, Any], child: int, relay: int | None) -> int:
    """Wait for the program or for the parent's death; then end whatever is left below us."""
    wake, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    poll = select.poll()
    poll.register(config["lifeline"], select.POLLIN)
    poll.register(wake, select.POLLIN)
    while True:
        try:
            done, end = os.waitpid(child, os.WNOHANG)
        except ChildProcessError:
            done, end = child, signal.SIGKILL
        if done == child:
            break
        events = dict(poll.poll(1000))
        heard = os.read(wake, 512) if wake in events else b""
        if config["lifeline"] in events or signal.SIGTERM in heard:
            os.kill(child, signal.SIGKILL)
            end = signal.SIGKILL
            break
    if relay is not None:
        told = os.read(relay, 4)
        end = struct.unpack("i", told)[0] if len(told) == 4 else signal.SIGKILL
    else:
        end_descendants()
    return end


def end_descendants() -> None:
    """Kill everything that was left to us (we are the reaper of orphans), however it hid."""
    own = os.getpid()
    for _ in range(1000):
        try:
            with open(f"/proc/{own}/task/{own}/children") as listing:
                below = listing.read().split()
        except OSError:
            below = []
        for pid in below:
            os.kill(int(pid), signal.SIGKILL)
        try:
            os.waitpid(-1, 0 if below else os.WNOHANG)
        except ChildProcessError:
            return


def main() -> None:
    os.lseek(int(sys.argv[1]), 0, os.SEEK_SET)  # the start-up line has read it once
    with open(int(sys.argv[1]), "rb") as source:
        config: dict[str, Any] = marshal.loads(source.read())[1]
    confined = config["mode"] == "landlock"
    read_end, write_end = os.pipe() if confined else (None, None)
    try:
        if confined:
            enter_namespaces()
        elif sys.platform == "linux":
            _check(_prctl(_SUBREAPER, 1), "adopt orphans")
        child = os.fork()
    except OSError as error:
        os.write(config["status"], f"E{error.strerror}".encode())
        os._exit(126)
    if child == 0:
        if read_end is not None and write_end is not None:
            os.close(read_end)
            first_process(config, write_end)
        if sys.platform == "linux":
            _prctl(_PDEATHSIG, signal.SIGKILL)
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
