"""The system call filter, run by a small interpreter of its own language."""

from __future__ import annotations

import errno
import struct

import pytest

from meritree.run._seccomp import MACHINES, call_filter

ALLOW = 0x7FFF0000


def verdict(machine: str, number: int, *args: int, audit: int | None = None) -> int:
    """What the kernel would do with a call: ALLOW, or the error number."""
    arch = MACHINES[machine][0] if audit is None else audit
    data = struct.pack("<IIQ6Q", number, arch, 0, *(*args, *[0] * (6 - len(args))))
    steps = list(struct.iter_unpack("HBBI", call_filter(machine)))
    value, at = 0, 0
    while True:
        code, yes, no, operand = steps[at]
        if code == 0x06:
            return operand if operand == ALLOW else operand & 0xFFFF
        if code == 0x20:
            value = struct.unpack_from("<I", data, operand)[0]
            at += 1
            continue
        true = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
        at += 1 + (yes if true else no)


@pytest.fixture(params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_mounts_keys_and_tracing_are_refused(machine: str) -> None:
    numbers = MACHINES[machine][1]
    for name in ("mount", "keyctl", "ptrace", "setns", "bpf", "io_uring_setup", "umount2"):
        assert verdict(machine, numbers[name]) == errno.EPERM, name
    assert verdict(machine, numbers["clone3"]) == errno.ENOSYS


def test_processes_and_threads_may_be_made_but_no_namespaces(machine: str) -> None:
    clone, unshare = (MACHINES[machine][1][name] for name in ("clone", "unshare"))
    assert verdict(machine, clone, 0x01200011) == ALLOW  # fork
    assert verdict(machine, clone, 0x003D0F00) == ALLOW  # a thread
    assert verdict(machine, clone, 0x10000011) == errno.EPERM
    assert verdict(machine, unshare, 0x00000400) == ALLOW
    assert verdict(machine, unshare, 0x00020000) == errno.EPERM


def test_set_user_id_bits_are_refused_and_ordinary_modes_are_not(machine: str) -> None:
    numbers = MACHINES[machine][1]
    assert verdict(machine, numbers["fchmodat"], 0, 0, 0o755) == ALLOW
    assert verdict(machine, numbers["fchmodat"], 0, 0, 0o4755) == errno.EPERM
    assert verdict(machine, numbers["fchmod"], 0, 0o2755) == errno.EPERM
    assert verdict(machine, numbers["openat"], 0, 0, 0o100, 0o4755) == errno.EPERM
    assert verdict(machine, numbers["openat"], 0, 0, 0o100, 0o644) == ALLOW
    assert verdict(machine, numbers["openat"], 0, 0, 0, 0o4755) == ALLOW  # creates nothing


def test_only_ordinary_sockets_are_left_and_terminals_cannot_be_typed_into(machine: str) -> None:
    numbers = MACHINES[machine][1]
    for family in (1, 2, 10, 16):
        assert verdict(machine, numbers["socket"], family) == ALLOW
    for family in (17, 40, 38):  # packets, virtual machines, kernel cryptography
        assert verdict(machine, numbers["socket"], family) == errno.EAFNOSUPPORT
    assert verdict(machine, numbers["ioctl"], 0, 0x5412) == errno.EPERM
    assert verdict(machine, numbers["ioctl"], 0, 0x5401) == ALLOW


def test_calls_in_another_processor_language_are_refused(machine: str) -> None:
    assert verdict(machine, 0, audit=0x40000003) == errno.ENOSYS
    assert verdict(machine, 999) == ALLOW
    if machine == "x86_64":
        assert verdict(machine, 0x40000000) == errno.ENOSYS
    assert call_filter("pdp11") == b""
