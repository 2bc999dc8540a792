"""Draw the picture of the README from the folder of a demo's run.

meritree demo --out run && python docs/draw_demo.py run
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from meritree.view.drawing import MAX_NODES, draw_tree
from meritree.view.store import load_run
from meritree.view.tree import most_visited

ASSETS = Path(__file__).parent / "assets"


def main(folder: Path) -> None:
    """Write demo-tree.svg and fix-result.json (with paths made general) below docs/assets."""
    run = load_run(folder)
    assert run.document is not None, f"{folder} holds no ended run"
    found = run.document["candidates"][0]["evaluations"]
    title = f"meritree demo: found after {found} evaluations"
    ASSETS.mkdir(exist_ok=True)
    picture = draw_tree(most_visited(run.tree, MAX_NODES), title)
    (ASSETS / "demo-tree.svg").write_text(picture + "\n", "utf-8")
    text = json.dumps(run.document, indent=2)
    repo = Path(str(run.document["settings"]["repo"]))
    for path, name in ((str(repo), "/home/you/parcel"), (str(repo.parent), "/home/you")):
        text = text.replace(path, name)
    text = text.replace(str(run.document["out"]), "/home/you/run")
    text = text.replace(str(run.document["python"]), "/home/you/.venv/bin/python")
    (ASSETS / "fix-result.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
