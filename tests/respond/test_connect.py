"""From what a user types to a model that is ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meritree.errors import BadInput
from meritree.respond import (
    AdaptiveTools,
    BrokenReply,
    Choice,
    EndpointDown,
    Reply,
    Request,
    ScriptedModel,
    Tool,
    Usage,
    WrongKey,
    connect,
    served_models,
    user,
    user_prices,
)
from meritree.respond.connect import resolved
from meritree.respond.server import ModelServer, Service
from meritree.respond.tape import Tape
from meritree.run.ledger import Ledger, Limits

VIEW = Tool("view", "Shows.", {"type": "object", "properties": {"path": {"type": "string"}}})
GO = Request((user("go"),), (VIEW,))
TEXT = Reply("```call\nview\npath: a.py\n```", usage=Usage(10, 5))


def test_a_url_alone_is_enough_where_one_model_is_served() -> None:
    with ModelServer(Service(ScriptedModel([TEXT]), names=("small",))) as server:
        model = connect(Choice(server.base_url, tools="text"))
        assert model.name == "small"
        assert model.ask(GO).tool_calls[0].arguments == {"path": "a.py"}


def test_several_models_are_listed_to_choose_from() -> None:
    with ModelServer(Service(ScriptedModel([TEXT]), names=("small", "large"))) as server:
        assert served_models(server.base_url) == ("small", "large")
        with pytest.raises(BadInput, match=r"2 models \(small, large\); choose one"):
            connect(Choice(server.base_url))


def test_repairs_and_replays_are_paid_as_they_should_be(tmp_path: Path) -> None:
    prices = user_prices(None, {"m": {"prompt": 1, "completion": 1}}, "pyproject.toml")
    wrong = Reply("```call\nvue\n```", usage=Usage(8, 2))
    with ModelServer(ScriptedModel([wrong, TEXT])) as server:
        choice = Choice("m", server.base_url, tools="text", stream=True)
        for total in (25, 0):
            ledger = Ledger(Limits(usd=1))
            with Tape(tmp_path / "tape.db") as tape:
                model = connect(choice, ledger=ledger, prices=prices, tape=tape)
                assert model.ask(GO).tool_calls[0].name == "view"
            assert ledger.snapshot().spent.tokens == total
        assert server.calls == 2


def test_tools_are_what_was_chosen() -> None:
    with ModelServer(ScriptedModel([TEXT], again=True)) as server:
        own = connect(Choice("m", server.base_url, tools="own"))
        assert own.ask(GO).tool_calls == ()
        assert isinstance(connect(Choice("m", server.base_url)), AdaptiveTools)
        with pytest.raises(BadInput, match="allowed are auto, own and text"):
            connect(Choice("m", server.base_url, tools="some"))  # type: ignore[arg-type]


def test_a_budget_of_money_without_a_price_does_not_begin() -> None:
    with pytest.raises(BadInput, match="no price is known for model 'mine'"):
        connect(Choice("mine", "http://127.0.0.1:9"), ledger=Ledger(Limits(usd=0)))


def test_an_endpoint_that_lists_nothing_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(EndpointDown, match="cannot be reached"):
        served_models("http://127.0.0.1:9")
    monkeypatch.setenv("MERITREE_API_KEY", "sk-wrong-one")
    with ModelServer(Service(ScriptedModel([TEXT]), key="sk-right-one")) as server:
        with pytest.raises(WrongKey, match="set MERITREE_API_KEY") as caught:
            served_models(server.base_url)
        assert "sk-wrong-one" not in str(caught.value)
        monkeypatch.setenv("MERITREE_API_KEY", "sk-right-one")
        assert served_models(server.base_url) == ("scripted",)
        with pytest.raises(WrongKey):
            served_models(server.base_url, "NO_SUCH_VARIABLE")


def test_an_answer_that_is_no_list_is_told(endpoint: Any, answer: Any) -> None:
    for body in (b"", b"[]", b'{"data": 3}', b"<html>"):
        with pytest.raises(BrokenReply, match="no list of models; name the model"):
            served_models(endpoint(answer(200, body)).base_url)


def test_a_name_is_left_alone_and_two_urls_are_too_many() -> None:
    choice = Choice("gpt-x")
    assert resolved(choice) is choice
    with pytest.raises(BadInput, match="not both"):
        resolved(Choice("http://127.0.0.1:9", base_url="http://127.0.0.1:9"))


def test_prices_come_from_the_user_and_the_repository(tmp_path: Path, said: Any) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('["mine*"]\nprompt = 2\ncompletion = 2\n')
    prices = user_prices(file, {"mine-1": {"prompt": 0, "completion": 3}}, "pyproject.toml")
    found = prices.find("mine-1")
    assert found is not None
    assert (found.prompt, found.completion) == (2, 3)
    assert prices.find("gpt-4o") is not None
