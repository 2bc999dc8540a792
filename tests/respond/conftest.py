"""A real endpoint on loopback that answers whatever bytes a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Answer:
    """One response: status, body (JSON unless it is bytes), headers, cut after some bytes."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass
class RawEndpoint:
    """Answers in order, the last one for ever; keeps what it was asked."""

    base_url: str = ""
    answers: list[Answer] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def endpoint() -> Iterator[Callable[..., RawEndpoint]]:
    servers: list[ThreadingHTTPServer] = []

    def start(*answers: Answer) -> RawEndpoint:
        raw = RawEndpoint(answers=list(answers))

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                raw.bodies.append(json.loads(self.rfile.read(size)))
                raw.headers.append({k.lower(): v for k, v in self.headers.items()})
                self.do_GET()

            def do_GET(self) -> None:
                answer = raw.next()
                body = answer.body
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: answer.cut])
                self.wfile.flush()
                self.close_connection = answer.cut is not None

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
        servers.append(server)
        raw.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        return raw

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def said() -> Callable[..., dict[str, Any]]:
    """A well-formed body."""

    def body(text: str | None = "hi", **message: Any) -> dict[str, Any]:
        return {
            "id": "c1",
            "model": "m",
            "choices": [{"message": {"content": text, **message}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        }

    return body


@pytest.fixture
def stream() -> Callable[..., bytes]:
    """The bytes of a stream of deltas."""

    def body(*deltas: dict[str, Any], end: str = "data: [DONE]\n\n", reason: str = "stop") -> bytes:
        chunks = [{"choices": [{"delta": one, "finish_reason": None}]} for one in deltas]
        if reason:
            chunks.append({"choices": [{"delta": {}, "finish_reason": reason}]})
        return ("".join(f"data: {json.dumps(one)}\n\n" for one in chunks) + end).encode()

    return body
