"""Channels of one's own: they steer, are told, and a run that has them is resumed with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from meritree.cli import app
from meritree.errors import BadInput
from meritree.run.journal import Journal
from meritree.swe.fix import fix
from meritree.swe.own_channels import Channel, Look, with_channels, with_opinions
from meritree.swe.result import FixOptions
from meritree.swe.resuming import Budget, resume
from meritree.swe.testing.types import Outcome, TestResult
from meritree.swe.value import Facts, Reference, ValueWeights, channel_gains, judge, root_value

BEFORE = {"t": TestResult("t", "failed", graded=0.2, signature="s", message="3 wrong")}
REFERENCE = Reference(("t",), BEFORE)


def wrong(look: Look) -> tuple[float, str] | None:
    message = look.targets["t"].message
    return (1 - int(message[0]) / 3, message) if message[:1].isdigit() else None


CHANNEL = Channel("wrong", 0.5, wrong)
WEIGHTS = with_channels(ValueWeights(), [CHANNEL])


def test_an_own_channel_is_weighted_told_and_attributed() -> None:
    now = {"t": TestResult("t", "failed", graded=0.2, signature="s", message="1 wrong")}
    facts = with_opinions(Facts(), [CHANNEL], REFERENCE, now)
    after = judge(REFERENCE, Outcome(False, now, ran=1), facts, WEIGHTS)
    unchanged = with_opinions(Facts(), [CHANNEL], REFERENCE, BEFORE)
    before = root_value(REFERENCE, WEIGHTS, unchanged)
    assert after.channels["wrong"] == pytest.approx(2 / 3)
    assert after.reasons["wrong"] == "1 wrong"
    total = sum(WEIGHTS.additive.values())
    assert after.mean - before.mean == pytest.approx(0.5 * (2 / 3) / total)
    gains = channel_gains(before, after, WEIGHTS)
    assert gains["wrong"] == pytest.approx(after.mean - before.mean)


def test_a_channel_without_an_opinion_changes_nothing() -> None:
    silent = Channel("silent", 9.0, lambda look: None)
    facts = with_opinions(Facts(), [silent], REFERENCE, BEFORE)
    weights = with_channels(ValueWeights(), [silent])
    assert root_value(REFERENCE, weights, facts) == root_value(REFERENCE)


def test_bad_channels_are_refused_by_name() -> None:
    with pytest.raises(BadInput, match="channel 'near': give a name"):
        Channel("near", 1.0, wrong)
    with pytest.raises(BadInput, match="channel 'x' weighs 0"):
        Channel("x", 0.0, wrong)
    with pytest.raises(BadInput, match="two channels are named 'wrong'"):
        with_channels(ValueWeights(), [CHANNEL, CHANNEL])
    loud = Channel("loud", 1.0, lambda look: (2.0, ""))
    with pytest.raises(BadInput, match="channel 'loud' said 2"):
        with_opinions(Facts(), [loud], REFERENCE, BEFORE)
    with pytest.raises(BadInput, match="leave it out"):
        fix(FixOptions(Path("x"), policy="mini", model="m"), channels=[CHANNEL])


def test_a_run_with_own_channels_goes_on_with_the_same_ones_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo, out = tmp_path / "shop", tmp_path / "run"
    repo.mkdir()
    (repo / "price.py").write_text("def price(n):\n    total = n - 1\n    return total\n")
    (repo / "test_price.py").write_text(
        "from price import price\n\ndef test_five():\n    assert price(5) == 771\n"
    )
    looks: list[Look] = []

    def count(look: Look) -> tuple[float, str]:
        looks.append(look)
        return 0.5, "half"

    mine = [Channel("mine", 0.1, count)]
    fix(FixOptions(repo, out=out, budget_tests=4, sandbox="rlimits"), channels=mine)
    with Journal.open(out / "run.db", read_only=True) as journal:
        outcome = next(event.payload for event in journal.events() if event.kind == "outcome")
    assert outcome["estimate"]["reasons"]["mine"] == "half"
    assert not looks[0].edits
    assert looks[1].edits
    assert app.run(["resume", str(out), "--quiet", "--budget-tests", "6"]) == 2
    assert "mine (weight 0.1)" in capsys.readouterr().err
    result = resume(out, budget=Budget(budget_tests=6), channels=mine)
    assert result.evaluations == 6
