"""One HTTP exchange over httpx, under a deadline and a size limit, with errors in our words.

The only module that imports httpx; it is imported when a model is first asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from meritree.errors import MeritreeError
from meritree.respond.errors import BrokenReply, EndpointDown, ModelError, ReplyTooLong, TimedOut

try:
    import httpx
except ImportError:
    raise MeritreeError(
        "asking a model over the network needs httpx: pip install 'meritree[llm]'"
    ) from None

_CONNECT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def make_client(*, use_proxies: bool, encrypted: bool) -> httpx.Client:
    """A client with a pool of connections; safe to share between threads.

    ``encrypted``: load certificates (which takes longer than all else here).
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
    return httpx.Client(
        limits=limits, trust_env=use_proxies, verify=encrypted, follow_redirects=False
    )


def exchange(
    client: httpx.Client,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    *,
    seconds: float,
    most_bytes: int,
    on_bytes: Callable[[bytes], None],
    who: str,
) -> Response:
    """Post ``body`` (or get, where there is none) and return the whole response.

    Args:
        client: of `make_client`.
        seconds: for everything, connecting included.
        most_bytes: of the response's body.
        on_bytes: is shown the body of a 2xx response while it comes; may raise `ModelError`.
        who: model and endpoint, for messages.

    Raises:
        ModelError: dead endpoint, out of time, broken or endless response. Raised without its
            cause, since the cause holds the request and with it the key.
    """
    deadline = time.monotonic() + seconds
    connecting = min(seconds, _CONNECT_SECONDS)
    timeout = httpx.Timeout(seconds, connect=connecting)
    try:
        method = "GET" if body is None else "POST"
        with client.stream(
            method, url, headers=dict(headers), content=body, timeout=timeout
        ) as response:
            chunks: list[bytes] = []
            size = 0
            for chunk in response.iter_bytes():
                size += len(chunk)
                if size > most_bytes:
                    raise _endless(who, most_bytes)
                chunks.append(chunk)
                if response.is_success:
                    on_bytes(chunk)
                if time.monotonic() > deadline:
                    raise _late(who, seconds)
            found = {name.lower(): value for name, value in response.headers.items()}
            return Response(response.status_code, found, b"".join(chunks))
    except (httpx.ConnectTimeout, httpx.PoolTimeout):
        failure: ModelError = EndpointDown(
            f"{who} does not answer: no connection within {connecting:.3g} s; is it running and "
            "reachable?"
        )
    except httpx.TimeoutException:
        failure = _late(who, seconds)
    except (httpx.ConnectError, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
        failure = EndpointDown(
            f"{who} cannot be reached: {error}; check the base URL and that the server runs"
        )
    except httpx.DecodingError as error:
        failure = BrokenReply(
            f"{who} sent a body that cannot be unpacked: {error}", may_be_billed=True
        )
    except httpx.TransportError as error:
        failure = BrokenReply(
            f"the connection to {who} broke before the reply was whole: {error}",
            may_be_billed=True,
        )
    except httpx.InvalidURL as error:
        failure = EndpointDown(f"{who} has no valid address: {error}")
    raise failure


def _late(who: str, seconds: float) -> ModelError:
    return TimedOut(
        f"{who} gave no whole reply within {seconds:.3g} s; allow more time, ask for fewer tokens, "
        "or use a faster model",
        may_be_billed=True,
    )


def _endless(who: str, most_bytes: int) -> ModelError:
    return ReplyTooLong(
        f"the reply of {who} is longer than {most_bytes} bytes and was cut off; ask for fewer "
        "tokens",
        may_be_billed=True,
    )
