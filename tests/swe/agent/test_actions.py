"""Actions: schemas, parsing, and complaints that name field and type."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.respond.data import ToolCall
from meritree.swe.agent import actions as act
from meritree.swe.agent.actions import KINDS, Malformed, as_call, decode, encode, parse, tools


def call(name: str, **given: object) -> ToolCall:
    return ToolCall("1", name, given)


def test_every_action_has_a_tool_that_describes_each_argument() -> None:
    assert {tool.name for tool in tools()} == set(KINDS)
    for tool in tools():
        assert tool.description
        properties = tool.parameters["properties"]
        assert set(properties) == {one.name for one in fields(KINDS[tool.name])}
        assert all(one["description"] for one in properties.values())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (call("fly"), "no tool 'fly'"),
        (call("view"), "argument 'path' (a text) is missing"),
        (call("view", path=3), "argument 'path' must be a text, not 3"),
        (call("view", path="a", start="soon"), "'start' must be a whole number, not 'soon'"),
        (call("view", path="a", start=True), "'start' must be a whole number"),
        (call("run_tests", tests="all"), "'tests' must be a list of texts"),
        (call("view", path="a", colour="red"), "no argument 'colour'; it takes path"),
        (ToolCall("1", "plan", {}, "{", "the arguments are no JSON"), "no JSON"),
    ],
)
def test_a_wrong_call_is_answered_with_its_field_and_type(wrong: ToolCall, said: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(wrong)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_defaults_nulls_and_whole_floats_are_understood() -> None:
    assert parse(call("view", path="a.py", start=None, end=12.0)) == act.View("a.py", 0, 12)
    assert parse(call("list_files")) == act.ListFiles()


texts = st.text(max_size=20)
ACTIONS = st.one_of(
    st.builds(act.View, texts, st.integers(0, 99), st.integers(0, 99), texts),
    st.builds(act.Replace, texts, texts, texts),
    st.builds(act.Insert, texts, st.integers(0, 99), texts),
    st.builds(act.RunTests, st.lists(texts, max_size=3).map(tuple)),
    st.builds(act.Plan, texts),
    st.builds(act.ListFiles, texts, texts),
)


@given(ACTIONS)
def test_actions_survive_the_journal_and_the_wire(action: act.Action) -> None:
    assert decode(encode(action)) == action
    assert parse(as_call(action, "1")) == action
    assert "\n" not in act.label(action)
