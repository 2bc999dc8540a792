"""The connections to one endpoint: its address, its key when a call is made, its refusals.

Knows no format of what is sent.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from meritree import __version__
from meritree.respond.address import KEY_OF_HOST, Address
from meritree.respond.errors import ModelError, WrongKey
from meritree.respond.offline import check_host, guard, is_offline
from meritree.respond.refusals import refusal
from meritree.respond.secret import Secret, read_key

if TYPE_CHECKING:
    from meritree.respond._http import Response

_MOST_BYTES = 64_000_000  # of one response, with all the wrapping of its events


class Connection:
    """Connections that threads share; opened when the first call is made.

    Args:
        address: where to.
        model: who is asked there, for messages.
        kind: what it is, for messages.
    """

    def __init__(self, address: Address, model: str, kind: str = "model") -> None:
        self.address = address
        self.who = f"{kind} {model!r} at {address.base}"
        self._model = model
        self._client: Any = None
        self._mutex = threading.Lock()

    def exchange(
        self,
        url: str,
        body: bytes | None,
        seconds: float,
        on_bytes: Callable[[bytes], None] = lambda _: None,
    ) -> Response:
        """Post ``body`` (or get, where there is none) and return the whole response.

        Raises:
            ModelError: as of `meritree.respond._http.exchange`; or a key is needed and missing.
            Offline: the network is switched off and this is another machine.
        """
        from meritree.respond._http import exchange

        check_host(self.address.host)
        return exchange(
            self._connected(),
            url,
            self._headers(),
            body,
            seconds=seconds,
            most_bytes=_MOST_BYTES,
            on_bytes=on_bytes,
            who=self.who,
        )

    def refused(self, response: Response) -> ModelError:
        """What a response that is no success means."""
        where, key = self.address.base, self.address.key_variable
        return refusal(
            response.status, response.body, response.headers, where, self._model, key,
            unsent="" if read_key(key) else _unsent(self.address),
        )  # fmt: skip

    def _headers(self) -> dict[str, str]:
        variable = self.address.key_variable
        key = read_key(variable)
        if key is None and self.address.key_needed:
            raise WrongKey(f"{self.who} needs a key; set {variable}")
        headers = {"content-type": "application/json", "user-agent": f"meritree/{__version__}"}
        return headers if key is None else headers | {"authorization": Secret(f"Bearer {key}")}

    def _connected(self) -> Any:
        from meritree.respond._http import make_client

        with self._mutex:
            if self._client is None:
                if is_offline():
                    guard()
                self._client = make_client(
                    use_proxies=not self.address.loopback,
                    encrypted=self.address.base.startswith("https"),
                )
            return self._client

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._mutex:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def _unsent(address: Address) -> str:
    """Why no key was sent, with those of other providers that are set and stay there."""
    others = [name for name in KEY_OF_HOST.values() if name != address.key_variable]
    kept = " and ".join(name for name in others if os.environ.get(name, "").strip())
    own = f"; {kept} goes to its own provider only" if kept else ""
    return f"{address.key_variable} is not set{own}; set {address.key_variable}"
