"""The page about models says what the code does."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import typer

from meritree.cli.app import app
from meritree.respond import errors, packaged_prices
from meritree.respond.address import KEY_OF_HOST
from meritree.respond.faults import FAULTS

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_every_example_of_the_page_is_right() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 30
    assert failed == 0


def test_the_page_names_every_error_fault_and_key() -> None:
    text = PAGE.read_text("utf-8")
    names = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and value.__module__ == errors.__name__
    ]
    for name in {*names, *FAULTS, *KEY_OF_HOST.values()} - {"ModelError", "ScriptEnded"}:
        assert f"`{name}`" in text, name


def test_the_options_that_the_page_shows_exist() -> None:
    command = typer.main.get_command(app).commands["serve-model"]  # type: ignore[attr-defined]
    known = {option for one in command.params for option in one.opts}
    shown = re.findall(r"^meritree serve-model (.*)$", PAGE.read_text("utf-8"), flags=re.M)
    assert shown
    for line in shown:
        assert set(re.findall(r"--[\w-]+", line)) <= known


def test_the_prices_that_the_page_shows_can_be_read() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), flags=re.S)
    stated = tomllib.loads(block)["tool"]["meritree"]["prices"]
    prices = packaged_prices().extended(stated, "the page")
    found = prices.find("llama-of-mine")
    assert found is not None
    assert found.prompt == 0
