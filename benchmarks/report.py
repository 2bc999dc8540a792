"""How fast a report with a large search tree opens and moves, in a real headless Chromium.

    python benchmarks/report.py [--nodes 10000] [--opens 5] [--out results.json] [--pictures DIR]

The tree is grown by the engine itself (UCT) in a random world with texts like those of a repair;
needs Debian's chromium and chromium-driver, and selenium.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from meritree.run.commit import commit
from meritree.search import Child, SearchTree, make_strategy
from meritree.swe.result import Candidate, FixResult, TestOutcome
from meritree.value.estimate import Estimate
from meritree.view.report import render_report
from meritree.view.run_log import RunLog
from meritree.view.store import view_of

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "view"))

from browser import chromium, missing, prefer  # noqa: E402

FRAMES = 120
PATCH = "--- a/pack/mod.py\n+++ b/pack/mod.py\n@@ -1 +1 @@\n-return n - 1\n+return n + 1\n"
TEMPLATES = ("cmp_op", "var", "arith_op", "ins_call", "guard_ins", "const", "attr", "arg_swap")

# Frames of a movement: time from frame to frame, and time spent drawing.
MOVE = """
const [what, frames, done] = arguments;
const p = window.meritree.picture, gaps = [], drawn = [];
const slider = document.getElementById("slider");
let before = 0, n = 0;
const draw = p.draw.bind(p);
p.draw = () => { const t = performance.now(); draw(); drawn.push(performance.now() - t); };
function step(now) {
  if (before) gaps.push(now - before);
  before = now;
  if (n++ >= frames) { p.draw = draw; done({ gaps, drawn }); return; }
  if (what === "pan") p.pan(Math.sin(n / 9) * 14, Math.cos(n / 9) * 14);
  if (what === "zoom") p.zoom(n < frames / 2 ? 1.04 : 1 / 1.04);
  if (what === "replay") {
    slider.value = (slider.max * n) / frames;
    slider.dispatchEvent(new Event("input"));
  }
  requestAnimationFrame(step);
}
requestAnimationFrame(step);
"""
ONCE = """
const [what] = arguments, page = window.meritree, began = performance.now();
if (what === "filter") {
  document.getElementById("find").value = "return node";
  document.getElementById("find").dispatchEvent(new Event("input"));
} else if (what === "select") page.picture.select(page.picture.data.nodes.length - 1);
else page.picture.collapse(page.picture.data.children[0].find(
  (i) => page.picture.data.children[i].length));
page.picture.draw();
return performance.now() - began;
"""


def grown(nodes: int, seed: int = 0) -> RunLog:
    """A journal's log of a search with that many nodes."""
    rng = random.Random(seed)
    search = SearchTree(make_strategy("uct"), seed)
    search.start("root", Estimate(0.15), next_prior=0.1)
    source = "".join(f"    value_{i} = compute({i}, left[{i}], right)\n" for i in range(400))
    log = RunLog(meta={"options": {"strategy": "uct", "seed": seed}})
    log.differences.read = {f"pack/module_{i}.py": source for i in range(6)}.get
    log.take("root", {"estimate": {"mean": 0.15}}, 1.0)
    levels = {0: 0.15}
    for number in range(1, nodes):
        ticket = search.ask()
        assert ticket is not None
        step, outcome = _event(rng, ticket.id, ticket.node, levels[ticket.node], number)
        step["next_prior"] = search.tree.raw[ticket.node].next_prior
        log.take("step", step, 1.0 + number * 0.02)
        log.take("outcome", outcome, 1.0 + number * 0.02)
        value = levels[number] = outcome["estimate"]["mean"]
        child = Child(step["key"], "", Estimate(value), step["probability"], next_prior=0.01)
        search.tell(ticket, child)
    return log


def _event(
    rng: random.Random, ticket: int, node: int, level: float, number: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    line = rng.randrange(400)
    start = sum(len(f"    value_{i} = compute({i}, left[{i}], right)\n") for i in range(line))
    template = rng.choice(TEMPLATES)
    name = rng.choice(["node", "left", "right", "total"])
    edit = {
        "path": f"pack/module_{rng.randrange(6)}.py",
        "line": line + 1,
        "template": template,
        "rationale": f"`return {name}` added, {template} of `value_{line}`",
        "splices": [[start, start, f"    if {name} is None:\n        return {name}\n"]],
    }
    value = min(1.0, max(0.0, level + rng.gauss(0.01, 0.12)))
    channels = {c: round(rng.random(), 3) for c in ("near", "changed", "kept", "clean", "size")}
    message = f"assert {rng.randrange(200)} == {rng.randrange(200)}"
    result = {"id": f"tests/test_{line}.py::test", "status": "failed", "message": message}
    estimate = {
        "mean": value,
        "channels": {"targets": value, **channels},
        "reasons": {c: f"{c}: {rng.randrange(12)} of 12 differ" for c in ("targets", *channels)},
    }
    step = {"ticket": ticket, "node": node, "key": f"s{number}", "probability": rng.random() / 50}
    outcome = {"ticket": ticket, "estimate": estimate, "results": [result], "seconds": 0.02}
    return {**step, "edit": edit}, {**outcome, "passed_all": rng.random() < 0.001}


def document(nodes: int) -> dict[str, Any]:
    """A result to go with the tree."""
    best = Candidate(1, True, PATCH, ("pack/mod.py",), ("an edit",), Estimate(0.9), 9, 9, "passes")
    tests = (TestOutcome("t.py::t", "failed", "assert 1 == 2"),)
    result = FixResult(
        "verified", "verified: one test", (best,), nodes - 1, 200.0, tests, targets=("t.py::t",),
        nodes=nodes, strategy="uct", settings={"repo": "/code/pack", "seed": 0},
    )  # fmt: skip
    made: dict[str, Any] = json.loads(json.dumps(result.to_json()))
    return made


def opened(driver: Any, address: str) -> float:
    """Milliseconds from the navigation to the first whole picture."""
    driver.get("about:blank")
    driver.get(address)
    return float(
        driver.execute_async_script(
            "const done = arguments[0]; (function look() { const p = window.meritree;"
            "if (p && p.picture.frames) done(performance.now()); else setTimeout(look, 5); })();"
        )
    )


def spread(values: list[float]) -> dict[str, float]:
    """Median, the 95th of 100 and the largest, in milliseconds."""
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "largest": round(ordered[-1], 1),
    }


def measure(page: Path, opens: int, pictures: Path | None) -> dict[str, Any]:
    """Open and move the page in a browser."""
    with chromium() as driver:
        found: dict[str, Any] = {"browser": driver.capabilities["browserVersion"]}
        times = [opened(driver, page.as_uri()) for _ in range(opens)]
        found["opening, ms"] = spread(times)
        found["opening of the script alone, ms"] = round(
            driver.execute_script("return window.meritree.opened.script"), 1
        )
        for what in ("pan", "zoom", "replay"):
            told = driver.execute_async_script(MOVE, what, FRAMES)
            found[f"{what}: frame to frame, ms"] = spread(told["gaps"])
            found[f"{what}: drawing a frame, ms"] = spread(told["drawn"])
            driver.execute_script("window.meritree.picture.fit()")
        for what in ("filter", "select", "collapse"):
            found[f"{what}, ms"] = round(driver.execute_script(ONCE, what), 1)
        if pictures is not None:
            _pictures(driver, page, pictures)
        return found


def _pictures(driver: Any, page: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        prefer(driver, scheme)
        opened(driver, page.as_uri())
        driver.execute_script("document.getElementById('explorer').scrollIntoView()")
        time.sleep(0.5)
        driver.save_screenshot(str(folder / f"large-{scheme}.png"))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--opens", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder for screenshots, light and dark")
    given = parser.parse_args(arguments)
    if missing():
        print(f"benchmarks/report.py: {missing()}", file=sys.stderr)
        return 2
    log = grown(given.nodes)
    began = time.perf_counter()
    text = render_report(document(given.nodes), view_of(log), log)
    writing = time.perf_counter() - began
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(text, "utf-8")
        load = os.getloadavg()[0]
        figures = measure(page, given.opens, given.pictures)
    told = {
        "command": f"python benchmarks/report.py --nodes {given.nodes} --opens {given.opens}",
        "commit": commit(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, no GPU",
        "load": round(load, 1),
        "nodes": given.nodes,
        "opens": given.opens,
        "frames": FRAMES,
        "megabytes": round(len(text.encode()) / 1e6, 2),
        "writing the page, s": round(writing, 2),
        **figures,
    }
    print(json.dumps(told, indent=1))
    if given.out is not None:
        given.out.write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
