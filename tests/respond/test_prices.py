"""What tokens cost: known, stated or unknown, but never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from meritree.errors import BadInput
from meritree.respond import OpenAIChat, Prices, Request, Usage, packaged_prices, read_prices, user
from meritree.respond.prices import Price


def test_the_packaged_prices_are_marked_as_recalled_and_dated() -> None:
    table = packaged_prices().table
    assert table
    assert all(price.recalled and price.date for price in table.values())
    assert all(price.completion >= price.prompt >= price.of_cached for price in table.values())


def test_the_longest_pattern_counts_with_or_without_a_provider() -> None:
    prices = Prices().extended(
        {"a*": {"prompt": 1, "completion": 1}, "a-mini*": {"prompt": 2, "completion": 2}}, "test"
    )
    for name, prompt in (("a", 1), ("A-large", 1), ("a-mini-2", 2), ("openai/a-mini", 2)):
        price = prices.find(name)
        assert price is not None
        assert price.prompt == prompt
    assert prices.find("b") is None


def test_tokens_from_the_cache_have_their_own_price() -> None:
    assert Price(2, 10, 1).usd(Usage(1_000_000, 100_000, 500_000)) == pytest.approx(1 + 0.5 + 1)
    assert Price(2, 10).usd(Usage(1_000_000, 0, 500_000)) == pytest.approx(2)


def test_no_usage_costs_more_than_the_most() -> None:
    for price in (Price(2, 10, 1), Price(1, 1, 3), Price(5, 0)):
        for cached in (0, 50, 100):
            assert price.usd(Usage(100, 20, cached)) <= price.most(100, 20) + 1e-15


def test_an_unknown_price_is_unknown_not_free() -> None:
    model = OpenAIChat("nobody-knows-this", "http://127.0.0.1:9")
    assert model.price is None
    assert model.upper_bound(Request((user("x"),))).usd == float("inf")


def test_a_file_extends_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('["my-*"]\nprompt = 0\ncompletion = 0\n["gpt-4o"]\nprompt=9\ncompletion=9\n')
    prices = read_prices(file)
    assert prices.find("my-model") == Price(0, 0, source=str(file))
    assert prices.find("gpt-4o") == Price(9, 9, source=str(file))
    assert prices.find("gpt-4o-mini") == packaged_prices().find("gpt-4o-mini")


def test_a_repository_can_raise_a_price_but_not_lower_it() -> None:
    mine = Prices().extended({"a*": {"prompt": 2, "completion": 4}}, "me")
    cheap = {"a-b": {"prompt": 0, "completion": 9}, "new": {"prompt": 1, "completion": 1}}
    prices = mine.extended_by_repository(cheap, "pyproject.toml")
    raised = prices.find("a-b")
    assert raised is not None
    assert (raised.prompt, raised.completion) == (2, 9)
    assert prices.find("new") is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m = 3", "write { prompt"),
        ("[m]\nprompt = 1", "lacks 'completion'"),
        ("[m]\nprompt = -1\ncompletion = 1", "must be a number of 0 or more"),
        ("[m]\nprompt = inf\ncompletion = 1", "must be a number of 0 or more"),
        ("[m]\nprompt = true\ncompletion = 1", "must be a number of 0 or more"),
        ("[m]\nprompt = 1\ncompletion = 1\nper = 2", "unknown field 'per'"),
        ("[m", "no TOML"),
    ],
)
def test_a_wrong_table_is_told_where_it_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        read_prices(file)
    assert str(file) in str(caught.value)
