"""A filter of system calls for confined programs, as the bytes that the kernel wants.

Pure functions of numbers; installing it is the launcher's work. What it refuses is what no test
needs: new namespaces, mounts, set-user-id bits, keyrings, tracing, and the odd socket families
that network namespaces do not hold (AF_VSOCK reaches the host of a virtual machine).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Mapping
from types import MappingProxyType

_LD, _JEQ, _JSET, _JGE, _RET = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCH, _ARGS = 0, 4, 16
_X32 = 0x40000000
_CREATE = 0o100
_SETID = 0o6000
_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag
_TERMINAL = (0x5412, 0x541C)  # TIOCSTI types for the user, TIOCLINUX pastes for him
_FAMILIES = (0, 1, 2, 10, 16)  # unspecified, unix, IPv4, IPv6, netlink

_REFUSED = (
    "acct", "add_key", "bpf", "delete_module", "finit_module", "fsconfig", "fsmount", "fsopen",
    "fspick", "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup",
    "kexec_file_load", "kexec_load", "keyctl", "mount", "mount_setattr", "move_mount",
    "open_by_handle_at", "open_tree", "perf_event_open", "pivot_root", "process_vm_readv",
    "process_vm_writev", "ptrace", "quotactl", "reboot", "request_key", "setns", "swapoff",
    "swapon", "syslog", "umount2", "userfaultfd",
)  # fmt: skip
_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "creat": 1, "mknod": 1,
          "mknodat": 2}  # fmt: skip
_OPENS = {"open": (1, 2), "openat": (2, 3)}  # position of flags and of mode

_COMMON = {
    "clone3": 435, "fchmodat2": 452, "fsconfig": 431, "fsmount": 432, "fsopen": 430,
    "fspick": 433, "io_uring_enter": 426, "io_uring_register": 427, "io_uring_setup": 425,
    "mount_setattr": 442, "move_mount": 429, "open_tree": 428, "openat2": 437,
}  # fmt: skip
_X86_64 = {
    **_COMMON, "acct": 163, "add_key": 248, "bpf": 321, "chmod": 90, "clone": 56, "creat": 85,
    "delete_module": 176, "fchmod": 91, "fchmodat": 268, "finit_module": 313, "init_module": 175,
    "ioctl": 16, "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250, "mknod": 133,
    "mknodat": 259, "mount": 165, "open": 2, "open_by_handle_at": 304, "openat": 257,
    "perf_event_open": 298, "pivot_root": 155, "process_vm_readv": 310, "process_vm_writev": 311,
    "ptrace": 101, "quotactl": 179, "reboot": 169, "request_key": 249, "setns": 308, "socket": 41,
    "swapoff": 168, "swapon": 167, "syslog": 103, "umount2": 166, "unshare": 272,
    "userfaultfd": 323,
}  # fmt: skip
_AARCH64 = {
    **_COMMON, "acct": 89, "add_key": 217, "bpf": 280, "clone": 220, "delete_module": 106,
    "fchmod": 52, "fchmodat": 53, "finit_module": 273, "init_module": 105, "ioctl": 29,
    "kexec_file_load": 294, "kexec_load": 104, "keyctl": 219, "mknodat": 33, "mount": 40,
    "open_by_handle_at": 265, "openat": 56, "perf_event_open": 241, "pivot_root": 41,
    "process_vm_readv": 270, "process_vm_writev": 271, "ptrace": 117, "quotactl": 60,
    "reboot": 142, "request_key": 218, "setns": 268, "socket": 198, "swapoff": 225, "swapon": 224,
    "syslog": 116, "umount2": 39, "unshare": 97, "userfaultfd": 282,
}  # fmt: skip
MACHINES: Mapping[str, tuple[int, Mapping[str, int]]] = MappingProxyType(
    {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}
)
"""Audit number and system call numbers of the processors that a filter can be made for."""

Step = tuple[int, int, int, int]  # code, jump when true, jump when false, operand


def call_filter(machine: str) -> bytes:
    """The filter for a processor (as `os.uname` names it); empty where there is none.

    Refused calls fail with EPERM; clone3 and openat2 with ENOSYS, since their flags cannot be
    seen and libraries then take the older call; odd socket families with EAFNOSUPPORT.
    """
    if machine not in MACHINES:
        return b""
    audit, numbers = MACHINES[machine]
    steps: list[Step] = [_load(_ARCH), (_JEQ, 1, 0, audit), _refuse(errno.ENOSYS), _load(_NUMBER)]
    if machine == "x86_64":
        steps += [(_JGE, 0, 1, _X32), _refuse(errno.ENOSYS)]
    for name in _REFUSED:
        steps += _when(numbers[name], [_refuse(errno.EPERM)])
    for name in ("clone3", "openat2"):
        steps += _when(numbers[name], [_refuse(errno.ENOSYS)])
    for name in ("clone", "unshare"):
        steps += _when(numbers[name], _bits(0, _NAMESPACES))
    for name, position in _MODES.items():
        if name in numbers:
            steps += _when(numbers[name], _bits(position, _SETID))
    for name, (flags, mode) in _OPENS.items():
        if name in numbers:
            body = [_load(_ARGS + 8 * flags), (_JSET, 0, 3, _CREATE), *_bits(mode, _SETID)]
            steps += _when(numbers[name], body)
    steps += _when(numbers["ioctl"], _one_of(1, _TERMINAL, _refuse(errno.EPERM), _allow()))
    families = _one_of(0, _FAMILIES, _allow(), _refuse(errno.EAFNOSUPPORT))
    steps += [*_when(numbers["socket"], families), _allow()]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _load(offset: int) -> Step:
    return (_LD, 0, 0, offset)


def _refuse(code: int) -> Step:
    return (_RET, 0, 0, _ERRNO | code)


def _allow() -> Step:
    return (_RET, 0, 0, _ALLOW)


def _when(number: int, body: list[Step]) -> list[Step]:
    """Run the body (which ends in a return) for one call only."""
    return [(_JEQ, 0, len(body), number), *body]


def _bits(position: int, mask: int) -> list[Step]:
    return [_load(_ARGS + 8 * position), (_JSET, 0, 1, mask), _refuse(errno.EPERM), _allow()]


def _one_of(position: int, values: Iterable[int], then: Step, otherwise: Step) -> list[Step]:
    steps = [_load(_ARGS + 8 * position)]
    for value in values:
        steps += [(_JEQ, 0, 1, value), then]
    return [*steps, otherwise]
