"""Models without a network, for tests, demos and studies: a script, a function, an echo, noise.

They are ordinary models: everything that works with them works with an endpoint.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from meritree.errors import BadInput
from meritree.respond.codec import call_from_raw, decode_reply
from meritree.respond.data import Reply, Request, ToolCall, Usage
from meritree.respond.errors import ScriptEnded
from meritree.respond.model import CountTokens, Model, about_tokens, free_bound, untold_usage
from meritree.run.ledger import Spending

Scripted = Reply | str | Exception


def _completed(request: Request, reply: Reply, name: str, count: CountTokens) -> Reply:
    """The reply with the fields that an endpoint would have filled in."""
    if reply.tool_calls and reply.finish_reason == "stop":
        reply = replace(reply, finish_reason="tool_calls")
    if reply.usage == Usage():
        reply = replace(reply, usage=untold_usage(request, reply, count))
    return replace(reply, model=reply.model or name, usd=0.0 if reply.usd is None else reply.usd)


class FunctionModel:
    """A model that is a function of the request; costs no money.

    Args:
        function: returns the reply (or just its text); called from any thread.
        name: what it is called.
        count: tokens of a text, for usage that the function does not fill in.
    """

    def __init__(
        self,
        function: Callable[[Request], Reply | str],
        name: str = "function",
        *,
        count: CountTokens = about_tokens,
    ) -> None:
        self.name = name
        self._function = function
        self._count = count

    def ask(self, request: Request) -> Reply:
        """What the function returns, completed."""
        said = self._function(request)
        reply = Reply(said) if isinstance(said, str) else said
        return _completed(request, reply, self.name, self._count)

    def upper_bound(self, request: Request) -> Spending:
        """The prompt's bound and ``max_tokens``, for no money."""
        return free_bound(request)


class ScriptedModel:
    """A model that says what stands in its script, in that order, whatever it is asked.

    Attributes:
        requests: what it was asked so far.

    Args:
        script: replies, texts of replies, or exceptions to raise.
        name: what it is called.
        again: start over at the end instead of raising `ScriptEnded`.
        count: tokens of a text, for usage that the script does not say.
    """

    def __init__(
        self,
        script: Iterable[Scripted],
        name: str = "scripted",
        *,
        again: bool = False,
        count: CountTokens = about_tokens,
    ) -> None:
        self.name = name
        self.requests: list[Request] = []
        self._script: Sequence[Scripted] = tuple(script)
        self._again = again
        self._count = count
        self._mutex = threading.Lock()

    @classmethod
    def from_file(cls, path: Path, name: str = "scripted", *, again: bool = False) -> ScriptedModel:
        """Read a script: one JSON object a line, with the fields of `Reply` (all optional).

        Raises:
            BadInput: the file cannot be read or a line is no reply.
        """
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise BadInput(f"script {path} cannot be read: {why}") from None
        script = [_line(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if not script:
            raise BadInput(f'script {path} is empty; write one {{"text": "..."}} a line')
        return cls(script, name, again=again)

    @property
    def left(self) -> int:
        """Replies not given yet (0 and more; of no meaning with ``again``)."""
        with self._mutex:
            return max(0, len(self._script) - len(self.requests))

    def ask(self, request: Request) -> Reply:
        """The next reply of the script.

        Raises:
            ScriptEnded: there is none.
            Exception: the script says to raise it.
        """
        with self._mutex:
            turn = len(self.requests)
            self.requests.append(request)
        if turn >= len(self._script) and not (self._again and self._script):
            raise ScriptEnded(
                f"the script of model {self.name!r} has {len(self._script)} replies and was asked "
                f"for number {turn + 1}; add replies or let it start over"
            )
        said = self._script[turn % len(self._script)]
        if isinstance(said, Exception):
            raise said
        reply = Reply(said) if isinstance(said, str) else said
        return _completed(request, reply, self.name, self._count)

    def upper_bound(self, request: Request) -> Spending:
        """The prompt's bound and ``max_tokens``, for no money."""
        return free_bound(request)


def _line(path: Path, number: int, line: str) -> Reply:
    try:
        document = json.loads(line)
        if not isinstance(document, dict):
            raise TypeError(f"it is {type(document).__name__}, not an object")
        return decode_reply(document)
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(
            f"script {path}, line {number} is no reply: {error}; "
            'write {"text": "..."} or {"tool_calls": [{"name": "...", "arguments": {}}]}'
        ) from None


def echo_model(name: str = "echo") -> FunctionModel:
    """A model that repeats the last message."""

    def repeat(request: Request) -> str:
        return request.messages[-1].text if request.messages else ""

    return FunctionModel(repeat, name)


class NoisyModel:
    """Another model, with slips: a share of its replies is spoilt as weak models spoil theirs.

    Args:
        model: who replies.
        rate: share of spoilt replies, 0 to 1.
        seed: same seed, same order of questions, same slips.
    """

    def __init__(self, model: Model, rate: float, seed: int = 0) -> None:
        if not 0 <= rate <= 1:
            raise BadInput(f"a noise rate of {rate} is impossible; give 0 to 1")
        self.name = f"noisy-{model.name}"
        self._model = model
        self._rate = rate
        self._seed = seed
        self._random = random.Random(seed)
        self._mutex = threading.Lock()

    def ask(self, request: Request) -> Reply:
        """The model's reply, sometimes spoilt."""
        reply = self._model.ask(request)
        with self._mutex:
            if self._random.random() >= self._rate:
                return reply
            slip = self._random.choice(_SLIPS)
            place = self._random.random()
        calls = tuple(_respelt(call, slip(call.raw, place)) for call in reply.tool_calls)
        return replace(reply, text=slip(reply.text, place), tool_calls=calls)

    def rewrapped(self, wrap: Callable[[Model], Model]) -> NoisyModel:
        """The same noise, from its beginning, around ``wrap(model)``."""
        return NoisyModel(wrap(self._model), self._rate, self._seed)

    def upper_bound(self, request: Request) -> Spending:
        """As of the model."""
        return self._model.upper_bound(request)


def _respelt(call: ToolCall, raw: str) -> ToolCall:
    return call_from_raw(call.id, call.name, raw)


_SLIPS: Sequence[Callable[[str, float], str]] = (
    lambda text, place: text[: int(len(text) * place)],  # cut off
    lambda text, place: text.replace('"', "'"),
    lambda text, place: text.replace("}", ",}"),
    lambda text, place: text.rstrip().removesuffix("```"),
    lambda text, place: text.upper(),
    lambda text, place: f"Sure, here you are:\n{text}\nI hope this helps!",
    lambda text, place: "",
)
