"""From verdicts on patches to a calibrated risk, as a user types it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Started = Callable[..., "subprocess.CompletedProcess[str]"]


def test_verdicts_become_the_risk_of_later_patches(
    meritree: Started, shop: Path, tmp_path: Path
) -> None:
    own = tmp_path / "verdicts.jsonl"
    brief = ("--budget-tests", "40", "--final-checks", "1", "--json")
    first = meritree("fix", str(shop), *brief, "--out", str(tmp_path / "one"))
    assert json.loads(first.stdout)["candidates"][0]["risk"] is None

    said = meritree("judge", str(tmp_path / "one"), "right", "--calibration", str(own))
    assert said.returncode == 0, said.stderr
    assert "1 verdicts" in said.stdout
    again = meritree("judge", str(tmp_path / "one"), "wrong", "--calibration", str(own))
    assert "1 verdicts" in again.stdout  # the same patch counts once

    score = json.loads(own.read_text("utf-8").splitlines()[0])["score"]
    lines = [{"score": score - 1.0, "right": n > 2, "run": f"r{n}"} for n in range(20)]
    own.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    second = meritree(
        "fix", str(shop), *brief, "--out", str(tmp_path / "two"), "--calibration", str(own)
    )
    best = json.loads(second.stdout)["candidates"][0]
    assert 1 / 21 < best["risk"] < 0.1
    assert "calibrated on 20 judged patches" in best["verdict"]


def test_a_verdict_needs_a_run_a_word_and_a_patch(meritree: Started, shop: Path) -> None:
    nowhere = meritree("judge", str(shop), "right")
    assert nowhere.returncode == 2
    assert "no result.json" in nowhere.stderr
    unclear = meritree("judge", str(shop), "perhaps")
    assert unclear.returncode == 2
    assert "say right or wrong" in unclear.stderr


def test_a_damaged_journal_stops_a_run_before_it_begins(
    meritree: Started, shop: Path, tmp_path: Path
) -> None:
    own = tmp_path / "verdicts.jsonl"
    own.write_text("{}\n", "utf-8")
    done = meritree("fix", str(shop), "--calibration", str(own), "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "line 1: no 'score'" in done.stderr
    assert not (tmp_path / "run").exists()
