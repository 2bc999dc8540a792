"""What is wrong with a model, its key or its address is told before any test is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import FILES, write
from .served import KEY, command, serving


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget-usd", "0"], "no price is known for model 'm'"),
        (["--budget-tokens", "0"], "--budget-tokens 0: must be at least 1"),
        (["--temperature", "3"], "--temperature 3.0: must lie in [0, 2]"),
        (["--context-tokens", "5"], "--context-tokens 5: must be at least 2000"),
        (["--tools", "magic"], "--tools magic: unknown"),
        (["--policy", "model", "--model", " "], "no model is named"),
    ],
)
def test_bad_options_end_with_two_and_a_way_out(
    tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    repo = write(tmp_path / "repo")
    code = run(
        ["fix", str(repo), "--out", str(tmp_path / "out"), "--model", "m", "--base-url",
         "http://127.0.0.1:9/v1", *options]
    )  # fmt: skip
    assert code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--model", "--judge-model"])
def test_a_local_model_without_an_address_is_pointed_to_serve_model(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    assert run(["fix", str(write(tmp_path / "repo")), option, "local"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{option} local: no server on this machine is named" in said
    assert "`meritree serve-model --model repair`" in said
    assert f"{option} local --base-url" in said


@pytest.fixture
def marked(tmp_path: Path) -> tuple[Path, Path]:
    """A repository, and a file that its tests write when they are run."""
    mark = tmp_path / "tests-ran"
    body = f"from pathlib import Path\n\nPath({str(mark)!r}).write_text('ran')\n"
    return write(tmp_path / "repo", FILES | {"tests/conftest.py": body}), mark


@pytest.mark.parametrize(
    ("asked", "key", "said"),
    [
        (("--model", "m"), "", "none was sent: MERITREE_API_KEY is not set"),
        (("--model", "m"), "not-the-key-1", "refuses the key (401); set MERITREE_API_KEY"),
        (("--judge-model", "j"), "not-the-key-1", "model 'j' at"),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_told_before_any_test_is_run(
    tmp_path: Path, marked: tuple[Path, Path], asked: tuple[str, ...], key: str, said: str
) -> None:
    repo, mark = marked
    out = tmp_path / "out"
    with serving("repair", "--key-env", "SERVED", SERVED=KEY) as url:
        common = ("fix", repo, "--out", out, "--base-url", url, "--sandbox", "rlimits", "--quiet")
        done = command(*common, *asked, MERITREE_API_KEY=key)
        assert (done.returncode, mark.exists(), out.exists()) == (2, False, False), done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert not key or key not in done.stderr
        if "--model" in asked and not key:
            right = command(*common, *asked, "--budget-tests", 3, MERITREE_API_KEY=KEY)
            assert right.returncode in (0, 1), right.stderr
            assert mark.exists()


@pytest.mark.parametrize("asked", [("--model", "m", "--base-url"), ("--model",)])
def test_an_address_where_nobody_answers_is_told_before_any_test_is_run(
    tmp_path: Path, marked: tuple[Path, Path], asked: tuple[str, ...]
) -> None:
    repo, mark = marked
    out = tmp_path / "out"
    with serving("repair") as url:
        pass  # it is there no longer
    done = command("fix", repo, "--out", out, "--sandbox", "rlimits", *asked, url)
    assert (done.returncode, mark.exists(), out.exists()) == (2, False, False), done.stderr
    words = " ".join(done.stderr.split())
    assert f"at {url} cannot be reached" in words
    assert "check the base URL and that the server runs" in words


def test_a_provider_s_key_that_is_not_set_is_missed_without_asking_the_provider(
    tmp_path: Path, marked: tuple[Path, Path]
) -> None:
    repo, mark = marked
    out = tmp_path / "out"
    env = {"OPENAI_API_KEY": "", "MERITREE_OFFLINE": ""}
    done = command("fix", repo, "--out", out, "--model", "gpt-4o", "--sandbox", "rlimits", **env)
    assert (done.returncode, mark.exists(), out.exists()) == (2, False, False), done.stderr
    assert "needs a key; set OPENAI_API_KEY" in " ".join(done.stderr.split())
