"""A debate puts the patch that it chooses first, over a real wire, and is not asked twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meritree.cli import app
from meritree.cli.settings import read_settings
from meritree.errors import BadInput
from meritree.respond import FunctionModel
from meritree.respond.data import Request
from meritree.respond.faults import Faults
from meritree.respond.server import ModelServer, Service
from meritree.run.journal import Journal
from meritree.swe import choosing
from meritree.swe.fix import fix
from meritree.swe.result import FixOptions
from meritree.swe.resuming import resume
from meritree.view.terminal import show_result

CODE = """
def clamp(x, low, high):
    if x < low:
        return low
    if x > high:
        return low
    return x
"""
TESTS = """
from shop import clamp

def test_high(): assert clamp(9, 0, 5) == 5
def test_low(): assert clamp(-1, 0, 5) == 0
def test_mid(): assert clamp(3, 0, 5) == 3
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "shop.py").write_text(CODE)
    (root / "test_shop.py").write_text(TESTS)
    return root


def votes_for(word: str, asked: list[Request]) -> FunctionModel:
    """A model that wants the patch in which this stands, wherever it is shown."""

    def reply(request: Request) -> str:
        asked.append(request)
        text = "\n".join(message.text for message in request.messages)
        blocks = re.findall(r"<<< patch (\w) (\w+)\n(.*?)\n>>> patch", text, re.S)
        label = next((label for label, _, patch in blocks if word in patch), "NONE")
        return f"It says what is meant.\nVOTE-{blocks[0][1][:4]}: {label}"

    return FunctionModel(reply, "judge")


def options(shop: Path, url: str) -> FixOptions:
    return FixOptions(
        shop, budget_tests=24, out=shop.parent / "run", sandbox="rlimits",
        judge_model="judge", base_url=url,
    )  # fmt: skip


def test_the_chosen_patch_comes_first_and_nobody_is_asked_twice(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Request] = []
    with ModelServer(votes_for("+        return 5", asked)) as server:
        result = fix(options(shop, server.base_url))
        first = result.candidates[0]
        assert result.status == "verified"
        assert "+        return 5" in first.patch
        assert any("+        return high\n" in other.patch for other in result.candidates[1:])
        assert result.choice is not None
        assert result.choice["stage"] == "agreement"
        assert result.tokens == result.choice["spent"]["tokens"] > 0
        assert (shop.parent / "run" / "patch.diff").read_text() == first.patch
        count = len(asked)
        assert count >= 5
        assert app.run(["show", str(shop.parent / "run")]) == 0
        (told,) = [line for line in capsys.readouterr().out.splitlines() if "  debate " in line]
        assert "judged by judge: chose the first (" in told
        assert first.edits[0] in told
        assert told.endswith(f"by agreement of the speakers; {result.tokens} tokens")
        again = resume(shop.parent / "run")
        assert len(asked) == count
    assert again.candidates[0].patch == first.patch
    assert (again.choice or {})["chosen"] == result.choice["chosen"]
    assert again.tokens == result.tokens
    with Journal.open(shop.parent / "run" / "run.db") as journal:
        assert [e.kind for e in journal.events()].count("choice") == 1


@pytest.mark.usefixtures("at_once")
def test_a_judge_that_cannot_be_asked_leaves_the_ranking(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(choosing, "AGENTS", 1)  # each waits for its retries
    busy = Service(votes_for("nothing of the kind", []), faults=Faults("503"))
    with ModelServer(busy) as server:
        result = fix(options(shop, server.base_url))
    assert result.status == "verified"
    assert "+        return high\n" in result.candidates[0].patch
    assert (result.choice or {})["stage"] in ("order", "votes")
    show_result(result.to_json(), quiet=False)
    assert "judged by judge: abstained, the ranking decides; " in capsys.readouterr().out


def test_a_judge_that_is_not_needed_is_not_asked_and_that_is_said(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "shop.py").write_text("def clamp(x, low, high):\n    return max(low, max(x, high))\n")
    asked: list[Request] = []
    with ModelServer(votes_for("min", asked)) as server:
        result = fix(options(shop, server.base_url))
    assert [one.verified for one in result.candidates].count(True) == 1
    show_result(result.to_json(), quiet=False)
    assert "no judge was needed, there is only one verified patch" in capsys.readouterr().out
    assert not asked


def test_a_repository_cannot_name_a_judge(shop: Path) -> None:
    (shop / "pyproject.toml").write_text('[tool.meritree]\njudge-model = "dear"\n')
    with pytest.raises(BadInput, match="--judge-model"):
        read_settings(shop)
