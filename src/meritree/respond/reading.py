"""From the bytes of a reply to a `Reply`, while they come or from a recording.

Whole JSON and server-sent events are told apart by their content, since some endpoints answer a
wish for a stream with a whole reply, or the other way round.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from meritree.respond.codec import loads
from meritree.respond.data import Reply, Usage
from meritree.respond.errors import (
    BrokenReply,
    EmptyReply,
    ModelError,
    OutOfTokens,
    Overloaded,
    Rejected,
    ReplyTooLong,
)
from meritree.respond.refusals import spoken
from meritree.respond.wire import Gathered, WireError, decode_reply

MOST_CHARACTERS = 1_000_000  # of text, thoughts and arguments: no sensible reply is longer
_DONE = "[DONE]"
_FINAL = (400, 401, 402, 403, 404, 413, 422)


class Reader:
    """Takes the bytes of one reply; `finish` returns it.

    Args:
        who: model and endpoint, for messages.
        on_text: is shown each piece of text of a stream.
        most: characters of text, thoughts and arguments.
    """

    def __init__(
        self, who: str, on_text: Callable[[str], None] | None = None, most: int = MOST_CHARACTERS
    ) -> None:
        self._who = who
        self._on_text = on_text
        self._most = most
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._data: list[str] = []
        self._whole: list[bytes] = []
        self._gathered = Gathered()
        self._streaming: bool | None = None
        self._done = False

    def take(self, chunk: bytes) -> None:
        """Take some bytes.

        Raises:
            ModelError: they are no reply, or too much of one.
        """
        if self._streaming is None:
            self._whole.append(chunk)
            start = b"".join(self._whole).lstrip()
            if len(start) < 6 and not start.startswith((b"{", b"[")):
                return  # not enough to tell
            self._streaming = start.startswith((b"data:", b"event:", b": ", b":\n", b"id:"))
            chunk, self._whole = b"".join(self._whole), []
        if not self._streaming:
            self._whole.append(chunk)
            return
        lines = (self._line + self._decoder.decode(chunk)).split("\n")
        self._line = lines.pop()
        for line in lines:
            self._take_line(line.rstrip("\r"))

    def _take_line(self, line: str) -> None:
        if line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
        elif not line and self._data:
            data, self._data = "\n".join(self._data), []
            self._take_event(data)

    def _take_event(self, data: str) -> None:
        if data.strip() == _DONE or self._done:
            self._done = True
            return
        try:
            chunk = loads(data)
            self._raise_error_in(chunk)
            text = self._gathered.add_chunk(chunk)
        except ValueError as error:
            raise self._broken(f"an event of its stream is broken: {error}") from None
        if self._gathered.size > self._most:
            raise self._too_long()
        if text and self._on_text is not None:
            self._on_text(text)

    def finish(self) -> Reply:
        """The whole reply.

        Raises:
            ModelError: it is not whole, holds nothing, or is an error in disguise.
        """
        if self._streaming:
            return self._finish_stream()
        body = b"".join(self._whole)
        if not body.strip():
            raise self._broken("its reply has no body")
        try:
            document = loads(body)
            self._raise_error_in(document)
            reply = decode_reply(document)
        except ValueError as error:
            shown = "" if isinstance(error, WireError) else f"; it begins {body[:60]!r}"
            raise self._broken(f"its reply cannot be read: {error}{shown}") from None
        if _size(reply) > self._most:
            raise self._too_long(reply.usage if reply.usage.told else None)
        return self._not_empty(reply)

    def _finish_stream(self) -> Reply:
        for line in (self._line, ""):
            self._take_line(line.rstrip("\r"))
        # Some endpoints close after the finish reason without saying that they are done.
        if not self._done and not self._gathered.finish_reason:
            raise self._broken("its stream ended in the middle")
        return self._not_empty(self._gathered.reply())

    def _not_empty(self, reply: Reply) -> Reply:
        if reply.text.strip() or reply.tool_calls:
            return reply
        usage, untold = _told(reply.usage)
        if reply.finish_reason == "length":
            raise OutOfTokens(
                f"{self._who} used up its tokens before it said anything; raise max_tokens",
                usage=usage,
                may_be_billed=untold,
            )
        because = "" if reply.finish_reason == "stop" else f" ({reply.finish_reason})"
        raise EmptyReply(
            f"{self._who} replied with nothing{because}; ask again or otherwise",
            usage=usage,
            may_be_billed=untold,
        )

    def _raise_error_in(self, document: Any) -> None:
        """Some endpoints put errors into a body or a stream whose status is 200."""
        if isinstance(document, list) and document:
            document = document[0]
        if not isinstance(document, dict) or not document.get("error") or document.get("choices"):
            return
        said = spoken(json.dumps(document).encode("ascii"))
        code = document["error"].get("code") if isinstance(document["error"], dict) else None
        kind = Rejected if code in _FINAL else Overloaded
        raise kind(f"{self._who} failed while it replied; it says: {said}", may_be_billed=True)

    def _broken(self, problem: str) -> ModelError:
        usage = self._gathered.usage
        return BrokenReply(
            f"{self._who}: {problem}; if that repeats, the server or a proxy before it is broken",
            usage=usage,
            may_be_billed=usage is None,
        )

    def _too_long(self, usage: Usage | None = None) -> ModelError:
        return ReplyTooLong(
            f"the reply of {self._who} is longer than {self._most} characters (a model that "
            "repeats itself?); ask for fewer tokens",
            usage=usage,
            may_be_billed=usage is None,
        )


def read_reply(body: bytes, who: str) -> Reply:
    """The reply that a recorded body holds.

    Raises:
        ModelError: none.
    """
    reader = Reader(who)
    reader.take(body)
    return replace(reader.finish(), replayed=True)


def _told(usage: Usage) -> tuple[Usage | None, bool]:
    return (usage, False) if usage.told else (None, True)


def _size(reply: Reply) -> int:
    calls = sum(len(call.raw) for call in reply.tool_calls)
    return len(reply.text) + len(reply.reasoning) + calls
