"""Calls in plain text: the taught format is exact, slips are forgiven, nothing crashes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meritree.respond import (
    EmptyReply,
    Message,
    NoisyModel,
    Reply,
    Request,
    ScriptedModel,
    TextTools,
    Tool,
    ToolCall,
    Usage,
    complaint_about,
    describe_tools,
    ledgered,
    parse_calls,
    system,
    tool_result,
    user,
    write_call,
)
from meritree.respond.codec import call_from_raw, decode_reply, encode_reply
from meritree.respond.lenient_json import lenient_loads
from meritree.run.ledger import Ledger, Limits

VIEW = Tool(
    "view_file",
    "Shows lines of a file.",
    {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "which file"},
            "start": {"type": "integer", "minimum": 1},
            "numbers": {"type": "boolean"},
        },
        "required": ["path"],
        "additionalProperties": False,
    },
)
REPLACE = Tool(
    "replace",
    "Replaces text.",
    {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "old": {"type": "string"},
            "new": {"type": "string"},
            "tests": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["path", "old", "new"],
    },
)
FINISH = Tool("finish", "Ends the work.")
TOOLS = (VIEW, REPLACE, FINISH)


def only(text: str) -> tuple[str, dict[str, Any]]:
    parsed = parse_calls(text, TOOLS)
    assert parsed.complaint == ""
    (call,) = parsed.calls
    return call.name, dict(call.arguments)


VIEWED = ("view_file", {"path": "a/b.py", "start": 3})


@pytest.mark.parametrize(
    "text",
    [
        "I look first.\n\n```call\nview_file\npath: a/b.py\nstart: 3\n```",
        "```call\nview_file\npath: a/b.py\nstart: 3",  # not closed
        "```call\nView-File\nPath: 'a/b.py'\nSTART: 3\n```\nI hope that helps!",
        "```\nview_file\npath: a/b.py\nstart: 3\n```",
        "~~~call\nview_file\npath: a/b.py\nstart: 3\n~~~",
        "```markdown\nHere:\n```call\nview_file\npath: a/b.py\nstart: 3\n```\n```",
        "````\n```call\nview_file\npath: a/b.py\nstart: 3\n```\n````",
        "```call view_file\npath: a/b.py\nstart: 3\n```",
        "```view_file\npath: a/b.py\nstart: 3\n```",
        "```call\nview_file(path='a/b.py', start=3)\n```",
        "```call\ntool: view_file\n- path: a/b.py\n- start: 3\n```",
        '```call\nview_file\n{"path": "a/b.py", "start": 3}\n```',
        "```call\nview_file {'path': 'a/b.py', 'start': 3,}\n```",
        '```json\n{"name": "view_file", "arguments": {"path": "a/b.py", "start": "3"}}\n```',
        '```json\n{"tool": "view_file", "path": "a/b.py", "start": 3}\n```',
        '<tool_call>\n{"name": "view_file", "arguments": {path: "a/b.py", start: 3}}\n</tool_call>',
        '<tool_call>{"name": "view_file", "arguments": {"path": "a/b.py", "start": 3}}',
        '{"name": "view_file", "arguments": "{\\"path\\": \\"a/b.py\\", \\"start\\": 3}"}',
        'Sure! {"function": {"name": "view_file", "arguments": {"path": "a/b.py", "start": 3}}}',
        "Thought: look\nAction: view_file\nAction Input: {'path': 'a/b.py', 'start': 3}\n"
        "Observation: I guess it says hello",
        "Action: view_file\npath: a/b.py\nstart: 3",
        "```CALL\r\nview_file\r\npath: a/b.py\r\nstart: 3\r\n```\r\n",
    ],
)  # fmt: skip
def test_common_slips_are_forgiven(text: str) -> None:
    assert only(text) == VIEWED


def test_values_of_several_lines_are_exact() -> None:
    name, arguments = only(
        "```call\nreplace\npath: a.py\nold:\n<<<\n    x = 1\n>>>\nnew:\n<<<\n"
        "```call\nnot: a call\n```\n    x = '''2'''\n\n>>>\n```\n"
    )
    assert name == "replace"
    assert arguments["old"] == "    x = 1"
    assert arguments["new"] == "```call\nnot: a call\n```\n    x = '''2'''\n"


def test_values_without_marks_end_at_the_next_argument() -> None:
    _, arguments = only(
        "```call\nreplace\npath: a.py\nold:\n    x = 1\n    return: x\nnew:\n    x = 2\n```"
    )
    assert arguments["old"] == "    x = 1\n    return: x"
    assert arguments["new"] == "    x = 2"


def test_a_list_may_be_written_as_one_or_with_commas() -> None:
    start = "```call\nreplace\npath: a\nold: b\nnew: c\ntests: "
    for written in ("[t1, t2]", '["t1", "t2"]', "t1, t2"):
        assert only(f"{start}{written}\n```")[1]["tests"] == ["t1", "t2"]


def test_several_calls_keep_their_order_and_the_prose_stays() -> None:
    first, second = ToolCall("", "view_file", {"path": "a"}), ToolCall("", "finish")
    parsed = parse_calls(f"One.\n{write_call(first)}\nTwo.\n{write_call(second)}", TOOLS)
    assert [call.name for call in parsed.calls] == ["view_file", "finish"]
    assert parsed.prose == "One.\nTwo."


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```call\nerase_all\n```", "no tool 'erase_all'. The tools are: view_file, replace"),
        ("```call\nview_file\nstart: 2\n```", "path is missing"),
        (
            "```call\nview_file\npath: a\nstart: soon\n```",
            'start must be a whole number, not "soon"',
        ),
        ("```call\nview_file\npath: a\nstart: 0\n```", "start must be at least 1"),
        ("```call\nview_file\npath: a\nend: 9\n```", "no argument 'end'"),
        ("```call\n```", "the block is empty"),
        ("```call\n!!!\n```", "is no name of a tool"),
        ("```call\nview_file\npath: a\nand so on\n```", "'and so on' is no 'name: value'"),
        ('```call\n{"path": "a"}\n```', "names no tool"),
        ("```call\nfinish\n```\n" * 30, "More than 20 calls"),
    ],
)
def test_what_cannot_be_forgiven_is_told_precisely(text: str, complaint: str) -> None:
    parsed = parse_calls(text, TOOLS)
    assert parsed.calls == ()
    assert complaint in parsed.complaint


def test_prose_and_code_are_no_calls() -> None:
    for text in (
        "The fault is in view_file: it does not check its path.",
        "```python\ndef finish():\n    return {'name': 1}\n```",
        '```json\n{"name": "somebody", "age": 3}\n```',
        "",
    ):
        parsed = parse_calls(text, TOOLS)
        assert (parsed.calls, parsed.complaint) == ((), "")


LINES = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=30)
VALUES = st.one_of(
    LINES,
    st.lists(st.sampled_from(["```", "```call", ">>>", "<<<", ">>>>", "path: x", " y", ""])).map(
        "\n".join
    ),
)


@given(VALUES, VALUES, VALUES, st.lists(st.text("ab,'\"", min_size=1, max_size=5), max_size=3))
def test_what_is_written_is_read_back(path: str, old: str, new: str, tests: list[str]) -> None:
    arguments = {"path": path, "old": old, "new": new, "tests": tests}
    parsed = parse_calls("So:\n" + write_call(ToolCall("1", "replace", arguments)), TOOLS)
    assert parsed.complaint == ""
    assert dict(parsed.calls[0].arguments) == arguments


SCRAPS = st.lists(
    st.sampled_from(
        ["```", "```call\n", "call", "view_file", "\n", "path", ":", "{", "}", "[", "]", '"', "'",
         "<<<", ">>>", "<tool_call>", "</tool_call>", "Action:", "name", "arguments", ",", "\\",
         "\\u", "d800", "1e999", "NaN", "=", "(", ")", "|", "#", "//", "/*", "'''", "\x00", "é"]
    ),
    max_size=40,
).map("".join)  # fmt: skip
ANY_TEXT = st.one_of(
    SCRAPS, st.binary(max_size=200).map(lambda b: b.decode("utf-8", "surrogateescape")),
    st.text(max_size=200),
)  # fmt: skip


@given(ANY_TEXT)
@example("[" * 20_000)
@example("{" * 20_000)
@example('{"name":' * 5_000)
@example("```call\n" * 5_000)
@example("```a\n" * 5_000)
@example("<call>" * 5_000)
@example("\ud800")
def test_no_output_of_a_model_crashes_anything(text: str) -> None:
    parsed = parse_calls(text, TOOLS)
    assert not (parsed.calls and parsed.complaint)
    model = TextTools(ScriptedModel([text], again=True), repairs=1)
    reply = model.ask(Request((user("go"),), TOOLS, tool_choice="required"))
    assert bool(reply.tool_calls) != bool(reply.complaint)
    # It can be written down and read back, and every call has arguments of the right types.
    json.dumps(encode_reply(reply), allow_nan=False).encode("ascii")
    assert decode_reply(json.loads(json.dumps(encode_reply(reply)))) == reply
    for call in reply.tool_calls:
        assert complaint_about(call, TOOLS) == ""
    call_from_raw("1", "view_file", text)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ('{"a": NaN}', "NaN is no JSON number"), ('{"a": -Infinity}', "no JSON number"),
        ('{"a": 1e999}', "too large"), ("[1]", "no JSON object but list"), ('{"a": ', "no JSON"),
        ('{"a":' * 100_000, "no JSON"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_written_down_are_an_error(raw: str, error: str) -> None:
    call = call_from_raw("1", "view_file", raw)
    assert error in call.error
    assert call.arguments == {}


def test_half_a_surrogate_pair_does_not_reach_a_file() -> None:
    call = call_from_raw("1", "view_file", '{"a\\ud800": ["\\udfff", "\\ud83d\\ude42"]}')
    assert dict(call.arguments) == {"a?": ["?", "🙂"]}


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab c"), inner, max_size=3),
))  # fmt: skip
def test_strict_json_is_read_strictly(value: Any) -> None:
    assert lenient_loads(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 'it''s', }", {"a": "it''s"}),
        ('{"a": "say "hi" to me", "b": [1, 2,]}', {"a": 'say "hi" to me', "b": [1, 2]}),
        ("{a: True, b: None, c: .5, d: word}", {"a": True, "b": None, "c": 0.5, "d": "word"}),
        ('{"a": "two\nlines" // why\n}', {"a": "two\nlines"}),
        ('{"a": {"b": [1, 2', {"a": {"b": [1, 2]}}),
        ('{"code": """x = "1"\ny"""}', {"code": 'x = "1"\ny'}),
        ('{"a": 1} and more', {"a": 1}),
    ],
)
def test_json_with_slips_is_understood(text: str, value: Any) -> None:
    assert lenient_loads(text) == value


# ---- the model around it ----------------------------------------------------------------


def test_a_complaint_is_sent_back_and_the_repair_is_paid() -> None:
    inner = ScriptedModel(
        [
            Reply("```call\nview\npath: a\n```", usage=Usage(10, 1)),
            Reply("```call\nview_file\npath: a\n```", usage=Usage(20, 2)),
        ]
    )
    ledger = Ledger(Limits(tokens=100_000))
    model = ledgered(TextTools(inner), ledger)
    reply = model.ask(Request((user("go"),), TOOLS))
    assert [call.name for call in reply.tool_calls] == ["view_file"]
    assert reply.finish_reason == "tool_calls"
    assert reply.usage == Usage(30, 3)
    assert ledger.snapshot().spent.tokens == 33
    assert "no tool 'view'" in inner.requests[1].messages[-1].text
    assert inner.requests[1].messages[-2].text.startswith("```call\nview\n")


def test_repairs_end_and_the_complaint_stays() -> None:
    inner = ScriptedModel(["```call\nnonsense\n```"], again=True)
    reply = TextTools(inner, repairs=2).ask(Request((user("go"),), TOOLS))
    assert (reply.tool_calls, len(inner.requests)) == ((), 3)
    assert "no tool 'nonsense'" in reply.complaint


def test_an_empty_reply_is_a_complaint_too() -> None:
    inner = ScriptedModel(
        [EmptyReply("nothing", usage=Usage(5, 0)), write_call(ToolCall("", "finish"))]
    )
    reply = TextTools(inner).ask(Request((user("go"),), TOOLS))
    assert [call.name for call in reply.tool_calls] == ["finish"]
    assert "empty" in inner.requests[1].messages[-1].text


def test_prose_is_a_reply_unless_a_call_is_required() -> None:
    request = Request((user("go"),), TOOLS)
    assert TextTools(ScriptedModel(["All done."])).ask(request).text == "All done."
    inner = ScriptedModel(["All done.", "```call\nfinish\n```"])
    required = Request((user("go"),), TOOLS, tool_choice="required")
    assert TextTools(inner).ask(required).tool_calls[0].name == "finish"


def test_the_conversation_is_told_as_text_in_turns() -> None:
    inner = ScriptedModel(["fine"])
    call = ToolCall("1", "view_file", {"path": "a", "start": 2})
    TextTools(inner).ask(
        Request(
            (
                system("Be brief."),
                user("go"),
                Message("assistant", "I look.", (call,)),
                tool_result(call, "its text"),
                user("go on"),
            ),
            TOOLS,
        )
    )
    (asked,) = inner.requests
    assert [one.role for one in asked.messages] == ["system", "user", "assistant", "user"]
    assert asked.tools == ()
    assert asked.messages[0].text == f"Be brief.\n\n{describe_tools(TOOLS)}"
    assert asked.messages[2].text == f"I look.\n\n{write_call(call)}"
    assert asked.messages[3].text == "Result of view_file:\nits text\n\ngo on"


def test_repair_makes_a_noisy_model_usable() -> None:
    """With a quarter of its replies spoilt, hardly any call is lost; without repair many are."""
    request = Request((user("go"),), TOOLS, tool_choice="required")
    text = write_call(ToolCall("", "view_file", {"path": "a.py", "start": 3}))

    def lost(repairs: int) -> int:
        model = TextTools(NoisyModel(ScriptedModel([text], again=True), 0.5, seed=1), repairs)
        return sum(not model.ask(request).tool_calls for _ in range(200))

    assert lost(3) <= 2 < 20 < lost(0)
