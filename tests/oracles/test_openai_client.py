"""Our model server against OpenAI's own client: it is understood by what others use.

MERITREE_ORACLES=1 pytest tests/oracles (needs the extra [oracles]).
"""

from __future__ import annotations

import os

import pytest

from meritree.respond import Reply, ScriptedModel, ToolCall, Usage
from meritree.respond.faults import Faults
from meritree.respond.server import ModelServer, Service

pytestmark = pytest.mark.skipif(
    "MERITREE_ORACLES" not in os.environ, reason="set MERITREE_ORACLES=1 to ask other libraries"
)
MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "view", "parameters": {"type": "object"}}}]
SAID = Reply(
    "I look: äöü. " * 10,
    (ToolCall("a", "view", {"path": "x" * 60}), ToolCall("b", "view", {"path": "y"})),
    usage=Usage(11, 5, 4),
)


def test_a_whole_reply_with_calls_is_understood() -> None:
    import openai

    with ModelServer(ScriptedModel([SAID])) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="any")
        assert [one.id for one in client.models.list()] == ["scripted"]
        done = client.chat.completions.create(model="scripted", messages=MESSAGES, tools=TOOLS)
    (choice,) = done.choices
    assert (choice.message.content, choice.finish_reason) == (SAID.text, "tool_calls")
    assert [c.function.arguments for c in choice.message.tool_calls] == [
        '{"path": "' + "x" * 60 + '"}', '{"path": "y"}',
    ]  # fmt: skip
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (11, 5)
    assert done.usage.prompt_tokens_details.cached_tokens == 4


def test_a_stream_is_put_together_again() -> None:
    import openai

    with ModelServer(ScriptedModel([SAID])) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="any")
        with client.chat.completions.stream(
            model="scripted", messages=MESSAGES, tools=TOOLS, stream_options={"include_usage": True}
        ) as stream:
            done = stream.get_final_completion()
    (choice,) = done.choices
    assert choice.message.content == SAID.text
    assert [c.function.name for c in choice.message.tool_calls] == ["view", "view"]
    assert done.usage.total_tokens == 16


def test_faults_are_the_errors_that_the_client_knows() -> None:
    import openai

    service = Service(ScriptedModel(["hi"], again=True), faults=Faults("429,500,ok"), names=("m",))
    with ModelServer(service) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0)
        for error in (openai.RateLimitError, openai.InternalServerError):
            with pytest.raises(error):
                client.chat.completions.create(model="m", messages=MESSAGES)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="other", messages=MESSAGES)
        patient = client.with_options(max_retries=2)
        reply = patient.chat.completions.create(model="m", messages=MESSAGES)
        assert reply.choices[0].message.content == "hi"
