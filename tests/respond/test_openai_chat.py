"""The client against real sockets: what endpoints send, and what goes wrong with them."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from meritree.errors import BadInput
from meritree.respond import (
    AdaptiveTools,
    BrokenReply,
    EmptyReply,
    EndpointDown,
    FunctionModel,
    Message,
    ModelError,
    NoToolCalls,
    OpenAIChat,
    OutOfTokens,
    Overloaded,
    Patience,
    Prices,
    PromptTooLong,
    Rejected,
    Reply,
    ReplyTooLong,
    Request,
    ScriptedModel,
    TimedOut,
    Tool,
    ToolCall,
    UnknownModel,
    Usage,
    WrongKey,
    echo_model,
    system,
    tool_result,
    user,
)
from meritree.respond.faults import Faults
from meritree.respond.server import ModelServer, Service

HELLO = Request((user("hello"),))
QUICK = Patience(retries=3, first=0.01, longest=0.05)
NEVER = Patience(retries=0)
VIEW = Tool("view", "Shows a file.", {"type": "object", "properties": {"path": {"type": "string"}}})


def chat(base_url: str, **settings: Any) -> OpenAIChat:
    return OpenAIChat("m", base_url, **({"patience": NEVER} | settings))


@pytest.mark.parametrize("stream", [False, True])
def test_words_calls_and_usage_come_through_the_wire_unchanged(stream: bool) -> None:
    said = Reply(
        "Ich schaue nach: äöü 🙂 \n" * 20,
        (
            ToolCall("a", "view", {"path": "x.py"}, '{"path": "x.py"}'),
            ToolCall("b", "view", {}, '{"path": ', "cut"),
        ),
        usage=Usage(11, 5, 4),
    )
    inner = ScriptedModel([said])
    request = Request(
        (
            system("be brief"),
            user("look"),
            Message("assistant", "", (ToolCall("z", "view", {"path": "y"}, '{"path": "y"}'),)),
            tool_result(ToolCall("z", "view"), "its text"),
        ),
        tools=(VIEW,),
        tool_choice="required",
        temperature=0.5,
        max_tokens=99,
        stop=("END",),
        seed=3,
    )
    with ModelServer(inner) as server, chat(server.base_url, stream=stream) as model:
        reply = model.ask(request)
    assert (reply.text, reply.usage, reply.finish_reason) == (said.text, said.usage, "tool_calls")
    assert [(c.id, c.name, c.raw) for c in reply.tool_calls] == [
        (c.id, c.name, c.raw) for c in said.tool_calls
    ]
    assert reply.tool_calls[0].arguments == {"path": "x.py"}
    assert "no JSON" in reply.tool_calls[1].error
    assert inner.requests == [request]


def test_a_stream_is_shown_piece_by_piece() -> None:
    pieces: list[str] = []
    text = "word " * 50
    with ModelServer(ScriptedModel([text])) as server:
        reply = chat(server.base_url, on_text=pieces.append).ask(HELLO)
    assert "".join(pieces) == reply.text == text
    assert len(pieces) > 3


def test_threads_share_a_model() -> None:
    with ModelServer(echo_model()) as server, chat(server.base_url) as model:
        with ThreadPoolExecutor(8) as pool:
            asked = [f"question {n}" for n in range(60)]
            replies = pool.map(lambda text: model.ask(Request((user(text),))).text, asked)
        assert list(replies) == asked


@pytest.mark.parametrize("fault", ["429", "500", "503", "half", "malformed", "empty", "close"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_may_pass_is_tried_again(fault: str, stream: bool) -> None:
    service = Service(ScriptedModel(["one", "two", "three"]), faults=Faults(f"{fault},ok"))
    with ModelServer(service) as server:
        reply = chat(server.base_url, patience=QUICK, stream=stream).ask(HELLO)
        assert reply.text in ("one", "two")
        assert server.calls == 2


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("429", Overloaded, r"model 'm' at http://127.* cannot answer now \(429; it asks to wait"),
        ("500", Overloaded, r"\(500\).*It says: fault 500 on request"),
        ("half", BrokenReply, "broke before the reply was whole"),
        ("malformed", BrokenReply, "cannot be read"),
        ("empty", BrokenReply, "no body"),
        ("huge", ReplyTooLong, "longer than 1000000 characters"),
        ("timeout", TimedOut, "no whole reply within 0.3 s"),
        ("close", BrokenReply, "broke before the reply was whole"),
    ],
)
def test_every_fault_has_its_name(fault: str, error: type[ModelError], message: str) -> None:
    service = Service(echo_model(), faults=Faults(fault), retry_after=0.01)
    with ModelServer(service) as server, pytest.raises(error, match=message):
        chat(server.base_url, timeout=0.3 if fault == "timeout" else 9).ask(HELLO)


def test_half_a_stream_is_no_reply() -> None:
    service = Service(ScriptedModel(["word " * 50]), faults=Faults("half"))
    with ModelServer(service) as server, pytest.raises(BrokenReply) as caught:
        chat(server.base_url, stream=True).ask(HELLO)
    assert caught.value.may_be_billed


def test_a_stream_that_stops_politely_in_the_middle_is_no_reply(
    endpoint: Any, answer: Any, stream: Any
) -> None:
    half = stream({"content": "half a sen"}, end="", reason="")
    with pytest.raises(BrokenReply, match="ended in the middle"):
        chat(endpoint(answer(200, half)).base_url, stream=True).ask(HELLO)
    for end, reason in (("", "stop"), ("data: [DONE]\n\n", ""), ("data: [DONE]", "")):
        whole = stream({"content": "a sentence."}, end=end, reason=reason)
        raw = endpoint(answer(200, whole))
        assert chat(raw.base_url, stream=True).ask(HELLO).text == "a sentence."


def test_a_huge_stream_is_cut_off() -> None:
    service = Service(echo_model(), faults=Faults("huge"))
    with ModelServer(service) as server, pytest.raises(ReplyTooLong):
        chat(server.base_url, stream=True).ask(HELLO)


def test_patience_ends() -> None:
    service = Service(echo_model(), faults=Faults("500"))
    with ModelServer(service) as server:
        with pytest.raises(Overloaded):
            chat(server.base_url, patience=QUICK).ask(HELLO)
        assert server.calls == 4


def test_a_wait_longer_than_our_patience_is_not_begun() -> None:
    service = Service(echo_model(), faults=Faults("429,ok"), retry_after=3600)
    with ModelServer(service) as server:
        with pytest.raises(Overloaded, match="wait 3600 s"):
            chat(server.base_url, patience=QUICK).ask(HELLO)
        assert server.calls == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_will_not_pass_is_not_tried_again(endpoint: Any, answer: Any, status: int) -> None:
    raw = endpoint(answer(status, {"error": {"message": "no"}}))
    with pytest.raises(Rejected) as caught:
        chat(raw.base_url, patience=QUICK).ask(HELLO)
    assert len(raw.bodies) == 1
    assert caught.value.exit_code == 2


def test_a_wrong_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-wrong-0123456789")
    with ModelServer(Service(echo_model(), key="sk-right")) as server:
        with pytest.raises(WrongKey, match=r"\(401\); set MY_KEY") as caught:
            chat(server.base_url, api_key_env="MY_KEY").ask(HELLO)
        assert "sk-wrong" not in str(caught.value)
        monkeypatch.setenv("MY_KEY", "sk-right")
        assert chat(server.base_url, api_key_env="MY_KEY").ask(HELLO).text == "hello"


def test_a_key_that_stays_with_its_provider_is_told_apart_from_a_wrong_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MERITREE_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai-0123456789")
    with ModelServer(Service(echo_model(), key="sk-right")) as server:
        with pytest.raises(WrongKey) as caught:
            chat(server.base_url).ask(HELLO)
        said = str(caught.value)
        assert "none was sent: MERITREE_API_KEY is not set" in said
        assert "OPENAI_API_KEY goes to its own provider only; set MERITREE_API_KEY" in said
        assert "refuses the key" not in said
        assert "sk-of" not in said
        monkeypatch.setenv("MERITREE_API_KEY", "sk-wrong-0123456789")
        with pytest.raises(WrongKey, match=r"refuses the key \(401\); set MERITREE_API_KEY"):
            chat(server.base_url).ask(HELLO)


def test_an_unknown_model_and_a_long_prompt_are_told_apart() -> None:
    with ModelServer(Service(echo_model(), names=("m",), context=200)) as server:
        with pytest.raises(UnknownModel, match=r"no model 'other'.*/models"):
            OpenAIChat("other", server.base_url).ask(HELLO)
        with pytest.raises(PromptTooLong, match="too long for model 'm'"):
            chat(server.base_url).ask(Request((user("x" * 1000),)))


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "the request exceeds the available context size, try increasing it",
        "prompt is too long: 250000 tokens > 200000 maximum",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ],
)
def test_providers_ways_to_say_too_long_are_known(endpoint: Any, answer: Any, message: str) -> None:
    raw = endpoint(answer(400, [{"error": {"code": 400, "message": message}}]))
    with pytest.raises(PromptTooLong):
        chat(raw.base_url).ask(HELLO)


def test_a_dead_endpoint_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(EndpointDown, match=rf"127.0.0.1:{port}/v1 cannot be reached.*check"):
            chat(f"http://127.0.0.1:{port}").ask(HELLO)


def test_a_trickle_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def trickle() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
                try:
                    for _ in range(100):
                        peer.sendall(b" ")
                        time.sleep(0.03)
                except OSError:
                    return

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        with pytest.raises(TimedOut):
            chat(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=0.2).ask(HELLO)
        thread.join()


def test_fields_that_an_endpoint_refuses_are_renamed_or_left_out(
    endpoint: Any, answer: Any, said: Any
) -> None:
    def no(message: str) -> Any:
        return answer(400, {"error": {"message": message, "type": "invalid_request_error"}})

    raw = endpoint(
        no("Unsupported parameter: 'max_tokens' is not supported with this model. "
           "Use 'max_completion_tokens' instead."),
        no("Unsupported value: 'temperature' does not support 0.2 with this model. Only the "
           "default (1) value is supported."),
        answer(200, said()),
        answer(200, said("again")),
    )  # fmt: skip
    model = chat(raw.base_url)
    request = Request((user("x"),), temperature=0.2, max_tokens=50)
    assert model.ask(request).text == "hi"
    assert model.ask(request).text == "again"
    last = raw.bodies[-1]
    assert (last["max_completion_tokens"], "max_tokens" in last, "temperature" in last) == (
        50, False, False,
    )  # fmt: skip
    assert len(raw.bodies) == 4


def test_a_refused_field_may_be_named_by_its_place(
    endpoint: Any, answer: Any, said: Any, stream: Any
) -> None:
    detail = {"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}
    raw = endpoint(answer(422, {"detail": [detail]}), answer(200, stream({"content": "hi"})))
    assert chat(raw.base_url, stream=True).ask(HELLO).text == "hi"
    assert "stream_options" not in raw.bodies[1]
    assert raw.bodies[1]["stream"] is True


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "registry.ollama.ai/library/gemma:2b does not support tools"),
        (404, "No endpoints found that support tool use. Try disabling tools."),
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser'),
    ],
)
def test_a_model_without_tool_calls_is_spoken_to_in_plain_text(
    endpoint: Any, answer: Any, said: Any, status: int, message: str
) -> None:
    refused = answer(status, {"error": {"message": message}})
    text = "```call\nview\npath: a.py\n```"
    raw = endpoint(refused, answer(200, said(text)), answer(200, said(text)), refused)
    model = AdaptiveTools(chat(raw.base_url))
    request = Request((user("go"),), (VIEW,))
    for _ in range(2):
        assert model.ask(request).tool_calls[0].arguments == {"path": "a.py"}
    assert model.text
    assert ["tools" in body for body in raw.bodies] == [True, False, False]
    with pytest.raises(NoToolCalls, match="use the text protocol"):
        chat(raw.base_url).ask(request)


def test_tool_calls_of_its_own_are_used_where_there_are_some() -> None:
    said = Reply(tool_calls=(ToolCall("1", "view", {"path": "a"}),))
    with ModelServer(ScriptedModel([said])) as server:
        model = AdaptiveTools(chat(server.base_url))
        assert model.ask(Request((user("go"),), (VIEW,))).tool_calls[0].arguments == {"path": "a"}
        assert not model.text


def test_a_value_out_of_range_is_no_dialect(endpoint: Any, answer: Any) -> None:
    raw = endpoint(answer(400, {"error": {"message": "max_tokens is too large: 99999"}}))
    with pytest.raises(Rejected, match="too large"):
        chat(raw.base_url).ask(HELLO)
    assert len(raw.bodies) == 1


def test_calls_without_index_or_id_stay_apart(endpoint: Any, answer: Any, stream: Any) -> None:
    def call(**fragment: Any) -> dict[str, Any]:
        return {"tool_calls": [fragment]}

    one = {"name": "view", "arguments": '{"path": "a"}'}
    two = {"name": "view", "arguments": '{"path": "b"}'}
    # Gemini: no index, whole calls. Ollama: index but no id. Others: everything at index 0.
    for deltas in (
        [call(id="1", function=one), call(id="2", function=two)],
        [{"tool_calls": [{"function": one}, {"function": two}]}],
        [call(index=0, function=one), call(index=1, function=two)],
        [call(index=0, id="1", function=one), call(index=0, id="2", function=two)],
        [
            call(index=0, id="1", function={"name": "view", "arguments": '{"path"'}),
            call(index=0, function={"arguments": ': "a"}'}),
            call(index=1, id="2", function={"name": "view", "arguments": ""}),
            call(index=1, id="2", function={"name": "", "arguments": '{"path": "b"}'}),
        ],
        [
            call(id="1", function={"name": "view", "arguments": '{"path"'}),
            call(function={"arguments": ': "a"}'}),
            call(id="2", function=two),
        ],
    ):
        raw = endpoint(answer(200, stream(*deltas)))
        reply = chat(raw.base_url, stream=True).ask(HELLO)
        assert [c.arguments for c in reply.tool_calls] == [{"path": "a"}, {"path": "b"}], deltas
        assert len({c.id for c in reply.tool_calls}) == 2
        assert reply.finish_reason == "tool_calls"


def test_signatures_of_calls_are_sent_back(endpoint: Any, answer: Any, said: Any) -> None:
    signature = {"google": {"thought_signature": "abc"}}
    function = {"name": "view", "arguments": {"path": "a"}}
    call = {"id": "1", "function": function, "extra_content": signature}
    raw = endpoint(answer(200, said(None, tool_calls=[call])), answer(200, said()))
    model = chat(raw.base_url)
    reply = model.ask(HELLO)
    assert reply.tool_calls[0].arguments == {"path": "a"}
    model.ask(Request((user("x"), reply.message(), tool_result(reply.tool_calls[0], "ok"))))
    assert raw.bodies[1]["messages"][1]["tool_calls"][0]["extra_content"] == signature
    assert raw.bodies[1]["messages"][1]["content"] is None


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 50}, Usage(10, 40)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(9, 0, 4)),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 3}, Usage(9, 0, 3)),
        ({"prompt_tokens": 9, "completion_tokens": None}, Usage(9, 0)),
    ],
)  # fmt: skip
def test_usage_is_read_in_every_dialect(
    endpoint: Any, answer: Any, said: Any, usage: Any, expected: Usage
) -> None:
    raw = endpoint(answer(200, said() | {"usage": usage}))
    assert chat(raw.base_url).ask(HELLO).usage == expected


def test_usage_that_is_not_told_is_counted_upwards() -> None:
    prices = Prices().extended({"m": {"prompt": 1, "completion": 2}}, "test")
    service = Service(FunctionModel(lambda _: "hello"), faults=Faults("no-usage"))
    with ModelServer(service) as server:
        for stream in (False, True):
            reply = chat(server.base_url, stream=stream, prices=prices).ask(HELLO)
            assert not reply.usage.told
            assert reply.usage.prompt >= len("hello")
            assert reply.usage.completion == len("hello")
            assert reply.usd == pytest.approx((reply.usage.prompt + 2 * 5) / 1e6)


def test_other_shapes_of_content_are_read(endpoint: Any, answer: Any, said: Any) -> None:
    parts = said([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])
    thoughts = said("c", reasoning_content="because")
    raw = endpoint(answer(200, parts), answer(200, thoughts))
    model = chat(raw.base_url)
    assert model.ask(HELLO).text == "ab"
    assert model.ask(HELLO).reasoning == "because"


def test_an_empty_reply_is_asked_for_once_more(endpoint: Any, answer: Any, said: Any) -> None:
    raw = endpoint(answer(200, said(None)))
    with pytest.raises(EmptyReply, match="replied with nothing") as caught:
        chat(raw.base_url, patience=QUICK).ask(HELLO)
    assert len(raw.bodies) == 2
    assert caught.value.usage == Usage(7, 3)


def test_thoughts_that_use_up_the_tokens_say_so(endpoint: Any, answer: Any, said: Any) -> None:
    body = said("")
    body["choices"][0]["finish_reason"] = "length"
    with pytest.raises(OutOfTokens, match="raise max_tokens"):
        chat(endpoint(answer(200, body)).base_url, patience=QUICK).ask(HELLO)


@pytest.mark.parametrize(
    "body",
    [b"[]", b"3", b"null", b'{"choices": []}', b'{"choices": [{}]}', b"<html>no</html>", b"\xff",
     b'{"choices": [{"message": 3}]}', b"[" * 5000, b"data: {}\n\n", b"data: [1]\n\n", b"data:",
     b'data: {"choices": 3}\n\ndata: [DONE]\n\n'],
)  # fmt: skip
def test_nonsense_is_a_broken_or_empty_reply(endpoint: Any, answer: Any, body: bytes) -> None:
    with pytest.raises((BrokenReply, EmptyReply)):
        chat(endpoint(answer(200, body)).base_url).ask(HELLO)


def test_an_error_inside_a_good_status_is_an_error(endpoint: Any, answer: Any, stream: Any) -> None:
    busy = {"error": {"code": 502, "message": "provider returned error"}}
    wrong = {"error": {"code": 400, "message": "provider refused"}}
    event = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: {"error": "overloaded"}\n\n'
    for body, error in ((busy, Overloaded), (wrong, Rejected), (event, Overloaded)):
        with pytest.raises(error, match="failed while it replied"):
            chat(endpoint(answer(200, body)).base_url).ask(HELLO)


def test_a_used_up_account_is_not_asked_again(endpoint: Any, answer: Any) -> None:
    body = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    raw = endpoint(answer(429, body))
    with pytest.raises(Rejected, match="no credit left"):
        chat(raw.base_url, patience=QUICK).ask(HELLO)
    assert len(raw.bodies) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/v1", "no http"),
        ("", "no http"),
        ("http://user:pass@host/v1", "holds a user"),
        ("https://host/v1?key=abc", "holds a user, a query"),
        ("http://host:99999/v1", "no URL"),
    ],
)
def test_a_wrong_base_url_is_refused_without_showing_secrets(url: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        OpenAIChat("m", url)
    assert "pass" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_a_missing_path_and_a_whole_path_become_the_base() -> None:
    for url in ("http://h:1", "http://h:1/", "http://h:1/v1/", "http://h:1/v1/chat/completions"):
        assert OpenAIChat("m", url).address.chat == "http://h:1/v1/chat/completions"
