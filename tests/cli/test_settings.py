"""[tool.meritree] of the repository's pyproject.toml."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from meritree.cli.options import Typed, build, read_issue, settle
from meritree.cli.settings import ONLY_ON_COMMAND_LINE, TYPES, read_settings
from meritree.errors import BadInput


def write(repo: Path, body: str) -> Path:
    (repo / "pyproject.toml").write_text(body)
    return repo


def test_every_option_is_a_setting_or_refused_with_a_reason() -> None:
    options = {field.name.replace("_", "-") for field in fields(Typed)}
    tables = {"prices"}  # too much for a command line
    assert options == (set(TYPES) - tables) | set(ONLY_ON_COMMAND_LINE)


def test_prices_are_a_table_of_prices(tmp_path: Path) -> None:
    stated = "[tool.meritree.prices]\n'm*' = { prompt = 1, completion = 2 }\n"
    settings = read_settings(write(tmp_path, stated))
    assert settings["prices"] == {"m*": {"prompt": 1, "completion": 2}}
    with pytest.raises(BadInput, match="must be a table"):
        read_settings(write(tmp_path, "[tool.meritree]\nprices = 3\n"))
    with pytest.raises(BadInput, match=r"prices\]: the price of 'm' lacks 'completion'"):
        read_settings(write(tmp_path, "[tool.meritree.prices.m]\nprompt = 3\n"))


def test_no_file_and_no_table_mean_no_settings(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == {}
    assert read_settings(write(tmp_path, "[project]\nname = 'x'\n")) == {}


def test_keys_may_be_written_with_dashes_or_underscores(tmp_path: Path) -> None:
    write(tmp_path, "[tool.meritree]\nbudget-tests = 7\nbudget_seconds = 1\n")
    assert read_settings(tmp_path) == {"budget-tests": 7, "budget-seconds": 1}


def test_the_command_line_wins_over_settings_and_settings_over_defaults(tmp_path: Path) -> None:
    write(tmp_path, "[tool.meritree]\nseed = 3\nworkers = 2\nquiet = true\n")
    values, as_json, quiet = settle(tmp_path, Typed(seed=9))
    options = build(tmp_path, values)
    assert (options.seed, options.workers, options.budget_tests) == (9, 2, 2000)
    assert (as_json, quiet) == (False, True)


def test_a_flag_of_the_settings_can_be_switched_off(tmp_path: Path) -> None:
    write(tmp_path, "[tool.meritree]\njson = true\n")
    assert settle(tmp_path, Typed())[1] is True
    assert settle(tmp_path, Typed(json=False))[1] is False


def test_paths_in_the_file_are_relative_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    write(repo, "[tool.meritree]\nout = 'runs/one'\nissue = 'bug.md'\n")
    (repo / "bug.md").write_text("it is wrong")
    monkeypatch.chdir(tmp_path)
    options = build(Path("repo"), settle(Path("repo"), Typed())[0])
    assert options.out == repo / "runs" / "one"
    assert options.issue == "it is wrong"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("worker = 2", "worker = 2: no such setting; known are budget-seconds"),
        ("workers = '2'", "workers = '2' must be a whole number"),
        ("workers = true", "workers = True must be a whole number"),
        ("workers = 1.5", "workers = 1.5 must be a whole number"),
        ("budget-seconds = 'long'", "must be a number"),
        ("issue = 3", "must be a string"),
        ("failing = 't.py::a'", "must be a list of strings"),
        ("failing = [1]", "must be a list of strings"),
        ("json = 'yes'", "must be true or false"),
        ("apply = true", "cannot ask to be changed"),
        ("sandbox = 'none'", "cannot switch its own sandbox off"),
        ("sandbox = 'rlimits'", "cannot switch its own sandbox off"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(
    tmp_path: Path, line: str, named: str
) -> None:
    write(tmp_path, f"[tool.meritree]\n{line}\n")
    with pytest.raises(BadInput) as caught:
        read_settings(tmp_path)
    assert named in str(caught.value)
    assert "pyproject.toml" in str(caught.value)


@pytest.mark.parametrize("body", ["[tool", "[tool]\nmeritree = 3\n"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, body: str) -> None:
    with pytest.raises(BadInput, match=r"pyproject\.toml"):
        read_settings(write(tmp_path, body))


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="not valid TOML"):
        read_settings(tmp_path)


def test_an_issue_is_a_text_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bug").write_bytes(b"caf\xe9")
    assert read_issue("bug") == "caf\ufffd"
    assert read_issue("the price is wrong") == "the price is wrong"
    assert read_issue("a\nb.md") == "a\nb.md"
    assert read_issue("x" * 5000) == "x" * 5000
    with pytest.raises(BadInput, match="no such file"):
        read_issue("missing.md")
    with pytest.raises(BadInput, match="folder"):
        read_issue(str(tmp_path))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("policy = 'model'", "cannot have models paid"),
        ("base-url = 'http://elsewhere/v1'", "cannot choose where your code and key go"),
        ("price-file = 'prices.toml'", r"states prices in \[tool.meritree.prices\]"),
        ("budget-usd = 100", "can only lower what models may cost"),
        ("budget-tokens = 9000000", "can only lower what models may cost"),
    ],
)
def test_a_repository_cannot_spend_or_send_what_is_the_users(
    tmp_path: Path, line: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        read_settings(write(tmp_path, f"[tool.meritree]\n{line}\n"))


@pytest.mark.parametrize("more", [{}, {"value_model": "v"}, {"policy": "repair"}])
def test_an_endpoint_without_a_model_is_refused(tmp_path: Path, more: dict[str, str]) -> None:
    url = "http://127.0.0.1:9/v1"
    write(tmp_path, "[tool.meritree]\nmodel = 'm'\n")  # which alone is not asked
    with pytest.raises(BadInput, match=r"--base-url .*: no model is named .* --model NAME"):
        settle(tmp_path, Typed(base_url=url, **more))
    for named in ({"model": "m"}, {"judge_model": "j"}, {"policy": "model"}):
        assert settle(tmp_path, Typed(base_url=url, **named))[0]["base-url"] == url


def test_whoever_names_a_model_on_the_command_line_wants_it(tmp_path: Path) -> None:
    write(tmp_path, "[tool.meritree]\nmodel = 'm'\nbudget-usd = 0.5\n")
    assert build(tmp_path, settle(tmp_path, Typed())[0]).policy == "auto"
    options = build(tmp_path, settle(tmp_path, Typed(model="other"))[0])
    assert (options.policy, options.model, options.budget_usd) == ("model", "other", 0.5)
    assert (
        build(tmp_path, settle(tmp_path, Typed(model="m", policy="repair"))[0]).policy == "repair"
    )
