"""The plug-in for LiteLLM, with an object of its shape in its place: LiteLLM itself is too heavy
to be installed for tests. (The one for pydantic-ai is tested with it in tests/oracles.)"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from meritree.errors import MeritreeError
from meritree.respond import (
    BrokenReply,
    EmptyReply,
    Endpoint,
    EndpointDown,
    Overloaded,
    Patience,
    Prices,
    Request,
    Tool,
    Usage,
    WrongKey,
    ledgered,
    user,
)
from meritree.respond.plugins.litellm import LiteLLMModel
from meritree.run.ledger import Ledger, Limits

HELLO = Request((user("hello"),), (Tool("view", "Shows."),), temperature=0.5, max_tokens=9)


class Failure(Exception):
    def __init__(self, text: str, status_code: int | None = None) -> None:
        super().__init__(text)
        if status_code is not None:
            self.status_code = status_code


class Response:
    def __init__(self, document: Any) -> None:
        self.document = document

    def model_dump(self) -> Any:
        return self.document


class Library:
    """Has the one function of LiteLLM that is used, with its arguments and its kind of answer."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[dict[str, Any]] = []

    def completion(self, **arguments: Any) -> Any:
        self.asked.append(arguments)
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return Response(said)


def model(library: Library, retries: int = 0) -> LiteLLMModel:
    prices = Prices().extended({"m": {"prompt": 1, "completion": 2}}, "test")
    return LiteLLMModel(
        "provider/m", library=library, patience=Patience(retries, first=0.0), prices=prices
    )


def test_a_reply_of_litellm_is_a_reply(said: Any) -> None:
    function = {"name": "view", "arguments": '{"path": "a"}'}
    library = Library(said(None, tool_calls=[{"id": "1", "function": function}]))
    ledger = Ledger(Limits(usd=1))
    one = model(library)
    assert isinstance(one, Endpoint)
    reply = ledgered(one, ledger).ask(HELLO)
    assert reply.tool_calls[0].arguments == {"path": "a"}
    assert reply.usage == Usage(7, 3)
    assert ledger.snapshot().spent.usd == pytest.approx((7 + 6) / 1e6)
    (asked,) = library.asked
    assert (asked["model"], asked["max_tokens"], asked["num_retries"]) == ("provider/m", 9, 0)
    assert asked["tools"][0]["function"]["name"] == "view"


def test_its_failures_are_ours(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789")
    for failure, error in (
        (Failure("bad key sk-0123456789", 401), WrongKey),
        (Failure("busy", 429), Overloaded),
        (Failure("no route"), EndpointDown),
        ({"choices": []}, BrokenReply),
        (said(None), EmptyReply),
    ):
        with pytest.raises(error) as caught:
            model(Library(failure)).ask(HELLO)
        assert "sk-0123456789" not in str(caught.value)
    patient = model(Library(Failure("busy", 503), said("there")), retries=1)
    assert patient.ask(HELLO).text == "there"


def test_a_missing_library_is_named_with_the_command_that_installs_it() -> None:
    if importlib.util.find_spec("litellm") is None:
        with pytest.raises(MeritreeError, match="pip install litellm"):
            LiteLLMModel("m")
    if importlib.util.find_spec("pydantic_ai") is None:
        from meritree.respond.plugins.pydantic_ai import PydanticAIModel

        with pytest.raises(MeritreeError, match="pip install pydantic-ai-slim"):
            PydanticAIModel("openai:m")


def test_nobody_imports_the_plug_ins_unasked() -> None:
    code = (
        "import sys, meritree.respond, meritree.respond.server, meritree.cli.app\n"
        "print(*[m for m in sys.modules if 'plugins' in m and 'meritree' in m], end='')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_a_missing_httpx_is_named_with_the_command_that_installs_it() -> None:
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "from meritree.respond import *\n"
        "try: OpenAIChat('m', 'http://127.0.0.1:9').ask(Request((user('x'),)))\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'meritree[llm]'" in done.stdout
