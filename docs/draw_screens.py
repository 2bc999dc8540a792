"""Take the pictures of docs/view.md and the README: report and live viewer, light and dark.

meritree demo --out RUN && python docs/draw_screens.py RUN

Needs Debian's chromium and chromium-driver, selenium and Pillow (extra `dev`).
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image

from meritree.view.report import write_report
from meritree.view.server import serve
from meritree.view.store import load_run

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
sys.path.insert(0, str(HERE.parent / "tests" / "view"))

from browser import chromium, missing, prefer  # noqa: E402


def main(folder: Path) -> None:
    """Write report-light.png, report-dark.png and view-side-by-side.png below docs/assets."""
    if missing():
        sys.exit(f"docs/draw_screens.py: {missing()}")
    write_report(load_run(folder), folder / "report.html")
    server = serve(folder.parent, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with chromium() as driver:
        for scheme in ("light", "dark"):
            prefer(driver, scheme)
            driver.get((folder / "report.html").as_uri())
            _picture(driver, "explorer", f"report-{scheme}.png")
        prefer(driver, "light")
        runs = [one.id for one in server.gallery.entries() if one.kind == "run"][:2]
        query = "&".join(f"run={number}" for number in runs)
        driver.get(f"http://127.0.0.1:{server.server_port}/compare?{query}")
        _picture(driver, "", "view-side-by-side.png")
    server.shutdown()


def _picture(driver: Any, element: str, name: str) -> None:
    if element:
        driver.execute_script("document.getElementById(arguments[0]).scrollIntoView()", element)
    time.sleep(1.5)  # the picture rests
    driver.save_screenshot(str(ASSETS / name))
    with Image.open(ASSETS / name) as shot:  # 128 colours: a third of the size
        shot.convert("RGB").quantize(128).save(ASSETS / name, optimize=True)
    print(ASSETS / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
