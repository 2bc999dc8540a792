"""One HTTP request to a model server: read it, ask the model, write the reply or a fault."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast

from meritree.errors import MeritreeError
from meritree.respond.codec import loads
from meritree.respond.data import Reply, Request, Usage
from meritree.respond.faults import FAULTS, OK
from meritree.respond.model import prompt_bound
from meritree.respond.wire import (
    WireError,
    arguments_of,
    decode_request,
    encode_reply,
    encode_usage,
)

if TYPE_CHECKING:
    from meritree.respond.server import _Server

_MOST_BYTES = 64_000_000
_PIECE = 24  # characters of text in one event of a stream
ERROR_HEADER = "x-meritree-error"


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "", kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.kind = kind or "invalid_request_error"


class ChatHandler(BaseHTTPRequestHandler):
    """``GET /v1/models`` and ``POST /v1/chat/completions``."""

    protocol_version = "HTTP/1.1"
    # Without these two every reply waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 300

    def do_GET(self) -> None:
        """Answer a GET."""
        path = self.path.partition("?")[0].rstrip("/")
        if path in ("", "/v1"):
            self._send(200, {"object": "meritree", "chat": "/v1/chat/completions"})
        elif path not in ("/v1/models", "/models"):
            self._fail(_Refused(404, f"no such path: {path}", "not_found"))
        elif not self._ours.service.is_key(self.headers.get("authorization", "")):
            self._fail(_wrong_key())
        else:
            names = self._ours.service.names or (self._ours.service.model.name,)
            models = [{"id": n, "object": "model", "owned_by": "meritree"} for n in names]
            self._send(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        """Answer a POST."""
        number = self._ours.count_call()
        try:
            body = self._read()
            path = self.path.partition("?")[0].rstrip("/")
            if path not in ("/v1/chat/completions", "/chat/completions"):
                raise _Refused(404, f"no such path: {path}", "not_found")
            if not self._ours.service.is_key(self.headers.get("authorization", "")):
                raise _wrong_key()
            request = self._checked(body)
            fault = self.headers.get(ERROR_HEADER, "") or self._ours.service.faults.next()
            if fault not in (*FAULTS, OK):
                raise _Refused(400, f"{ERROR_HEADER}: {fault} is none of {', '.join(FAULTS)}")
            if not self._shown_before(fault):
                return
            reply = self._asked(request, body, number)
        except _Refused as refused:
            self._fail(refused)
            return
        if body.get("stream"):
            self._stream(reply, body, fault)
        else:
            self._whole(reply, fault)

    # ---- reading --------------------------------------------------------------------

    @property
    def _ours(self) -> _Server:
        return cast("_Server", self.server)

    def _read(self) -> dict[str, Any]:
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > _MOST_BYTES:
            self.close_connection = True
            raise _Refused(411 if not length.isdigit() else 413, "a body of known size is needed")
        try:
            body = loads(self.rfile.read(int(length)))
        except ValueError as error:
            raise _Refused(400, f"the body is no JSON: {error}") from None
        if not isinstance(body, dict):
            raise _Refused(400, "the body is no JSON object")
        return body

    def _checked(self, body: Mapping[str, Any]) -> Request:
        service = self._ours.service
        name = body.get("model")
        if not isinstance(name, str):
            raise _Refused(400, "'model' must be a text")
        if service.names and name not in service.names:
            raise _Refused(404, f"The model `{name}` does not exist", "model_not_found")
        try:
            request = decode_request(body)
        except WireError as error:
            raise _Refused(400, str(error)) from None
        length = prompt_bound(request, service.count)
        if service.context is not None and length > service.context:
            raise _Refused(
                400,
                f"This model's maximum context length is {service.context} tokens. However, your "
                f"messages resulted in {length} tokens.",
                "context_length_exceeded",
            )
        return request

    def _asked(self, request: Request, body: Mapping[str, Any], number: int) -> Reply:
        try:
            reply = self._ours.service.model.ask(request)
        except MeritreeError as error:
            raise _Refused(500, f"the model failed: {error}", kind="server_error") from None
        return replace(reply, id=f"chatcmpl-{number}", model=str(body["model"]))

    # ---- writing --------------------------------------------------------------------

    def _shown_before(self, fault: str) -> bool:
        """Show a fault that needs no reply; False where the call is over."""
        if fault in ("429", "500", "503"):
            kinds = {"429": "rate_limit_error"}
            raise _Refused(int(fault), f"fault {fault} on request", kind=kinds.get(fault, "server"))
        if fault == "timeout":
            self._ours.stopping.wait(self._ours.service.hang)
        if fault in ("timeout", "close"):
            self.close_connection = True
            return False
        return True

    def _whole(self, reply: Reply, fault: str) -> None:
        document = encode_reply(reply, int(time.time()))
        if fault == "no-usage":
            del document["usage"]
        text = json.dumps(document)
        if fault == "malformed":
            text = text[: len(text) // 2]
        elif fault == "empty":
            text = ""
        elif fault == "huge":
            document["choices"][0]["message"]["content"] = "x" * 1_100_000
            text = json.dumps(document)
        if fault == "half":
            self._write(200, text.encode("ascii"), cut=len(text) // 2)
        else:
            self._write(200, text.encode("ascii"))

    def _stream(self, reply: Reply, body: Mapping[str, Any], fault: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        options = body.get("stream_options")
        wants = isinstance(options, dict) and bool(options.get("include_usage"))
        usage = reply.usage if wants and fault != "no-usage" else None
        if fault == "huge":
            reply = replace(reply, text="x" * 1_100_000)
        chunks = [json.dumps(one) for one in _chunks(reply, usage)] if fault != "empty" else []
        kept = len(chunks) // 2 if fault in ("half", "malformed") else len(chunks)
        for chunk in chunks[:kept]:
            self._event(chunk)
        if fault == "half":
            self.close_connection = True
            return
        self._event('{"choices": [{' if fault == "malformed" else "[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode("ascii")
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.wfile.flush()

    def _fail(self, refused: _Refused) -> None:
        error = {
            "message": str(refused),
            "type": refused.kind,
            "param": None,
            "code": refused.code or None,
        }
        headers = {}
        if refused.status in (429, 503) and self._ours.service.retry_after:
            headers["retry-after"] = f"{self._ours.service.retry_after:g}"
        self._send(refused.status, {"error": error}, headers)

    def _send(
        self, status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        self._write(status, json.dumps(document).encode("ascii"), headers or {})

    def _write(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        self.wfile.flush()
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """One line a request, to whoever wants it."""
        if self._ours.log is not None:
            self._ours.log(format % arguments)


def _wrong_key() -> _Refused:
    return _Refused(401, "Incorrect API key provided.", "invalid_api_key")


def _chunks(reply: Reply, usage: Usage | None) -> Iterator[dict[str, Any]]:
    """The events of a stream: text in pieces, arguments in fragments, reason, usage."""

    def chunk(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": dict(delta), "finish_reason": reason}
        return _head(reply) | {"choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    piece = max(_PIECE, len(reply.text) // 100)
    for start in range(0, len(reply.text), piece):
        yield chunk({"content": reply.text[start : start + piece]})
    for index, call in enumerate(reply.tool_calls):
        function = {"name": call.name, "arguments": ""}
        opened = {"index": index, "id": call.id, "type": "function", "function": function}
        yield chunk({"tool_calls": [opened]})
        arguments = arguments_of(call)
        for start in range(0, len(arguments), _PIECE):
            part = {"arguments": arguments[start : start + _PIECE]}
            yield chunk({"tool_calls": [{"index": index, "function": part}]})
    yield chunk({}, reply.finish_reason)
    if usage is not None:
        yield _head(reply) | {"choices": [], "usage": encode_usage(usage)}


def _head(reply: Reply) -> dict[str, Any]:
    return {
        "id": reply.id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": reply.model,
    }
