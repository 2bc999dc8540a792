"""``MERITREE_OFFLINE=1``: nothing leaves this machine.

Two locks: models refuse such an address before they ask, and `guard` refuses the socket itself,
whoever opens it in this process.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from typing import Any

from meritree.respond.errors import Offline

VARIABLE = "MERITREE_OFFLINE"
_guarded = False


def is_offline() -> bool:
    """Whether the switch is on (any value but empty and 0)."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def check_host(host: str) -> None:
    """Let an address through or not.

    Raises:
        Offline: the switch is on and the host is another machine.
    """
    if is_offline() and not is_loopback(host):
        raise Offline(
            f"{VARIABLE}=1 forbids to reach {host}; unset it, or use an address of this machine "
            "(`meritree serve-model` starts a model here)"
        )


def guard() -> None:
    """From now on refuse sockets to other machines in this process, while the switch is on.

    An audit hook: it cannot be taken back, sees every socket of every library, and costs a
    comparison of strings for other events.
    """
    global _guarded
    if not _guarded:
        _guarded = True
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not event.startswith("socket.") or not is_offline():
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        if arguments[0].family in (socket.AF_INET, socket.AF_INET6) and arguments[1]:
            check_host(str(arguments[1][0]))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and arguments[0]:
        host = arguments[0]
        check_host(host.decode("ascii", "replace") if isinstance(host, bytes) else str(host))
