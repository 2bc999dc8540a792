"""What a program gives up before it starts: privileges, places, system calls, resources.

Part of the launcher (`_confine`), which runs it in one namespace with this; standard library only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct

_CAPBSET_DROP, _AMBIENT, _NO_NEW_PRIVS, _SECCOMP = 24, 47, 38, 22
_CAPSET = {"x86_64": 126, "i686": 185, "ppc64le": 184, "s390x": 185}.get(os.uname().machine, 91)
_KEYCTL = {"x86_64": 250, "i686": 288, "ppc64le": 271, "s390x": 280}.get(os.uname().machine, 219)
_LANDLOCK = 444
DEVICES = ("null", "zero", "full", "random", "urandom")

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def prctl(option: int, value: int) -> int:
    zero = ctypes.c_ulong(0)
    return int(libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def leave_keyring() -> None:
    """Take an empty session keyring: the user's own keys would be inherited otherwise."""
    libc.syscall(_KEYCTL, 1, None)  # a kernel without keyrings has none to read


def no_new_privileges() -> None:
    check(prctl(_NO_NEW_PRIVS, 1), "no new privileges")


def filter_calls(program: bytes) -> None:
    """Install a system call filter for good (see `_seccomp`)."""
    steps = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps))
    block = ctypes.create_string_buffer(head, len(head))
    zero = ctypes.c_ulong(0)
    address = ctypes.c_ulong(ctypes.addressof(block))
    check(libc.prctl(_SECCOMP, ctypes.c_ulong(2), address, zero, zero), "system call filter")


def drop_capabilities() -> None:
    """Give up every privilege inside the namespaces too, for good."""
    prctl(_AMBIENT, 4)
    capability = 0
    while prctl(_CAPBSET_DROP, capability) == 0:
        capability += 1
    header = struct.pack("Ii", 0x20080522, 0)
    check(libc.syscall(_CAPSET, header, b"\0" * 24), "drop capabilities")


_FILE_READ, _ALL_V1 = (1 << 0) | (1 << 2) | (1 << 3), (1 << 13) - 1
_WRITE_FILE, _READ_FILE, _TRUNCATE, _IOCTL = 1 << 1, 1 << 2, 1 << 14, 1 << 15


def landlock_version() -> int:
    """The kernel's Landlock version; 0 when it has none."""
    return max(0, int(libc.syscall(_LANDLOCK, None, 0, 1)))


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
    rules = check(libc.syscall(_LANDLOCK, attributes, len(attributes), 0), "Landlock")
    _allow(rules, "/", _FILE_READ)
    full = known & ~((1 << 6) | (1 << 11))  # no device nodes
    for path in writable:
        _allow(rules, path, full)
    for name in DEVICES:
        _allow(rules, f"/dev/{name}", known & (_READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL))
    if os.path.exists("/dev/pts/ptmx"):
        _allow(rules, "/dev/pts", known & (_FILE_READ | _WRITE_FILE | _IOCTL))
    check(libc.syscall(_LANDLOCK + 2, rules, 0), "Landlock")
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, handle)
        check(libc.syscall(_LANDLOCK + 1, rules, 1, rule, 0), f"Landlock rule for {path}")
    finally:
        os.close(handle)


def set_limits(limits: dict[str, int]) -> None:
    for name, value in {"CORE": 0, **limits}.items():
        which = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        # The soft processor limit ends the program with SIGXCPU, the hard one with SIGKILL.
        ceiling = value + 2 if name == "CPU" and hard == resource.RLIM_INFINITY else value
        resource.setrlimit(which, (value, ceiling))
