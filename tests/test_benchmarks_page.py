"""The pages that tell figures tell the stored ones."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PEERS = " ".join((ROOT / "docs/peers.md").read_text("utf-8").split())


def stored(name: str) -> Any:
    return json.loads((ROOT / "benchmarks/results" / f"{name}.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs/draw_benchmarks.py"))


def test_the_page_of_benchmarks_is_the_one_that_is_drawn(drawn: dict[str, Any]) -> None:
    page = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    assert page == drawn["page"](), "python docs/draw_benchmarks.py writes it anew"


def test_the_table_of_extras_is_the_measured_one(drawn: dict[str, Any]) -> None:
    assert (ROOT / "docs/install.md").read_text("utf-8") == drawn["install_page"]()


def test_every_benchmark_and_every_stored_result_stands_on_it(drawn: dict[str, Any]) -> None:
    page = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    for path in (ROOT / "benchmarks").glob("*.py"):
        assert f"## {path.name}\n" in page
        assert path.stem in drawn["HELPERS"] or f"python benchmarks/{path.name}" in page
    results = ROOT / "benchmarks/results"
    for path in (*results.glob("*.json"), *results.glob("*/summary.json")):
        assert f"(../benchmarks/results/{path.relative_to(results)})" in page


def test_the_figures_of_the_comparison_are_the_stored_ones() -> None:
    engine = stored("engine-quiet")
    uct = next(row for row in engine["rows"] if row["strategy"] == "uct" and not row["journal"])
    tree, mini = engine["peers"]["treequest"], engine["peers"]["mini-swe-agent"]
    rl = stored("rl")["results"]

    def rate(kind: str, side: str) -> str:
        rates = sorted(run["steps"] / run["cpu_s"] for run in rl[kind]["runs"][side])
        return f"{rates[1]:,.0f}"

    peer = "stable-baselines3"
    ratios = [row["ratio"] for row in stored("objectives")["rows"]]
    dpo = stored("align")["rows"]["tiny"]["ours / TRL, reference kept"]
    grpo = stored("align-grpo")["rows"]["tiny, 1 pass a step"]["ours / TRL"]
    told = [
        f"Ours: {uct['nodes_per_cpu_s']['1000']['median']:,} (`uct`)",
        f"TreeQuest {tree['version']}: {tree['StandardMCTS, step(inplace=True)']['1000']:,}",
        f"in place), {tree['StandardMCTS, step()']['1000']} as",
        f"mini-swe-agent {mini['version']} with a model that costs nothing: "
        f"{mini['not saving']['1000']} steps",
        f"reference kept: {dpo[0]} [{dpo[1]}, {dpo[2]}]",
        f"GRPOTrainer: {grpo[0]} [{grpo[1]}, {grpo[2]}]",
        f"own lines: {stored('objectives_trl')['geometric_mean_ratio']} in time",
        f"our PPO {rate('ppo', 'ours')} against Stable-Baselines3's {rate('ppo', peer)}",
        f"our DQN {rate('dqn', 'ours')} against {rate('dqn', peer)}",
        f"DQN {rate('dqn-breakout', 'ours')} against {rate('dqn-breakout', peer)}",
        f"has {stored('rl_purejaxrl')['results']['4 worlds']['ratio']:.2f} of its speed",
        f"{len(ratios)} losses and gradients take {min(ratios)} to {max(ratios)} times",
    ]
    assert [line for line in told if line not in PEERS] == []


def test_every_part_of_the_comparison_says_what_was_not_measured() -> None:
    parts = re.split(r" ## ", PEERS)[1:]
    assert len(parts) == 4
    assert all("Not measured: " in part and "Measured" in part for part in parts)
