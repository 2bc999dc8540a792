"""A model server on this machine: any `Model` behind OpenAI's chat completions.

For demos without a key, for tests, and for trying a client against faults. It binds to loopback
only and is no server for the world: one thread a connection, no encryption.
"""

from __future__ import annotations

import hmac
import threading
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from meritree.respond.faults import Faults
from meritree.respond.model import CountTokens, Model, utf8_bytes


@dataclass(frozen=True)
class Service:
    """What a server offers.

    Attributes:
        model: who replies.
        names: under which it may be asked for; empty allows any name.
        faults: what goes wrong, and when.
        key: the key that clients must send; empty for none.
        context: the most tokens of a prompt; None for any.
        retry_after: seconds that refused clients are told to wait.
        hang: seconds that a ``timeout`` lasts.
        count: tokens of a text, to keep ``context``.
    """

    model: Model
    names: tuple[str, ...] = ()
    faults: Faults = field(default_factory=Faults)
    key: str = field(default="", repr=False)
    context: int | None = None
    retry_after: float = 0.0
    hang: float = 3600.0
    count: CountTokens = utf8_bytes

    def is_key(self, header: str) -> bool:
        """Whether an Authorization header holds the key."""
        wanted = f"Bearer {self.key}".encode()
        return not self.key or hmac.compare_digest(header.encode("latin-1", "replace"), wanted)


class ModelServer:
    """A running server; stop it with `close` or leave its ``with`` block.

    Args:
        service: what it offers, or just a model.
        port: 0 takes a free one.
        log: takes one line a request.

    Raises:
        BadInput: the port is taken or not allowed.
    """

    def __init__(self, service: Service | Model, port: int = 0, log: Any = None) -> None:
        from meritree.errors import BadInput
        from meritree.respond.handler import ChatHandler

        self.service = service if isinstance(service, Service) else Service(service)
        try:
            self._server = _Server(("127.0.0.1", port), ChatHandler)
        except (OSError, OverflowError) as error:
            raise BadInput(f"--port {port} cannot be used: {error}; 0 takes a free one") from None
        self._server.service = self.service
        self._server.log = log
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        """What clients give as their base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def calls(self) -> int:
        """Conversations asked so far, refused ones included."""
        return self._server.calls

    def wait(self) -> None:
        """Block until `close` is called (or the process is interrupted)."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop listening and let go of hanging calls."""
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> ModelServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    service: Service
    log: Any

    def __init__(self, *arguments: Any) -> None:
        self.calls = 0
        self.stopping = threading.Event()
        self._mutex = threading.Lock()
        super().__init__(*arguments)

    def count_call(self) -> int:
        """Number this call."""
        with self._mutex:
            self.calls += 1
            return self.calls

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
