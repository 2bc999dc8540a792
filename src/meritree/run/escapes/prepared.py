"""What a few attempts need beyond the usual stage; each function returns what undoes it.

Where this machine has no such thing, the attempt is told so and cannot be tested here.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meritree.run.escapes.kinds import Stage

_KEYS = {"x86_64": (248, 250), "aarch64": (217, 219)}  # add_key, keyctl
_SESSION = -3
_INVALIDATE, _REVOKE = 21, 3


class NotHere(Exception):
    """This machine lacks what the attempt is about; the message says what."""


def an_address(stage: Stage) -> Callable[[], None]:
    """A listener on this machine's own address towards the outside; sends nothing to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
            listener = socket.create_server((address, 0))
        except OSError as error:
            raise NotHere(f"no network address but loopback ({error.strerror})") from error
    if address.startswith("127."):
        listener.close()
        raise NotHere("no network address but loopback")
    stage.extra |= {"address": address, "out": listener.getsockname()[1]}
    stage.out = listener
    return listener.close


def a_keyring(stage: Stage) -> Callable[[], None]:
    """A key in the session keyring of this process."""
    if platform.machine() not in _KEYS:
        raise NotHere(f"no key calls known for {platform.machine()}")
    add, control = _KEYS[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    name = f"meritree-{os.getpid()}"
    number = libc.syscall(add, b"user", name.encode(), stage.token.encode(), 24, _SESSION)
    if number < 0:
        raise NotHere(f"no kernel keyrings ({os.strerror(ctypes.get_errno())})")
    stage.extra |= {"keyctl": control, "key": name}

    def undo() -> None:
        if libc.syscall(control, _INVALIDATE, number) != 0:
            libc.syscall(control, _REVOKE, number)

    return undo


def a_shared_memory(stage: Stage) -> Callable[[], None]:
    """A System V shared memory segment that holds the token."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    key = int.from_bytes(os.urandom(3), "big") + 1
    number = libc.shmget(key, 4096, 0o1600)  # IPC_CREAT, for this user
    if number < 0:
        raise NotHere(f"no System V shared memory ({os.strerror(ctypes.get_errno())})")
    where = libc.shmat(number, None, 0)
    ctypes.memmove(where, stage.token.encode() + b"\0", len(stage.token) + 1)
    stage.extra["segment"] = key

    def undo() -> None:
        libc.shmdt(ctypes.c_void_p(where))
        libc.shmctl(number, 0, None)  # IPC_RMID

    return undo
