"""Links of the documentation that leave its folder: the file is put into the site beside it.

On a code host `../benchmarks/results/rl.json` and `../../src/.../x.png` are files of the
repository; the site has to carry them, for it is read from disk.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")
LARGEST = 3_000_000  # bytes; larger files are named rather than carried
_GIVEN: dict[str, str] = {}


def on_page_markdown(text: str, page: Any, config: Any, files: Any) -> str:
    """Point links that leave the folder at copies inside the site."""
    home = posixpath.dirname(page.file.src_uri)

    def inside(found: re.Match[str]) -> str:
        target = found[2]
        if "://" in target or target.startswith(("mailto:", "/")):
            return found[0]
        path = posixpath.normpath(posixpath.join("docs", home, target))
        if path.startswith("docs/"):
            return found[0]
        place = _carried(path, config, files)
        if place is None:
            return found[0]
        link = posixpath.relpath(place, home or ".")
        return f"{found[1]}{link}{found[3] or ''}{found[4]}"

    return LINK.sub(inside, text)


def _carried(path: str, config: Any, files: Any) -> str | None:
    """Where the site keeps a file of the repository; None if there is no such file."""
    if path in PAGES:
        return PAGES[path]
    source = ROOT / path
    if not source.is_file() or source.stat().st_size > LARGEST:
        return None
    place = f"files/{path}"
    if place not in _GIVEN:
        files.append(File.generated(config, place, content=source.read_bytes()))
        _GIVEN[place] = path
    return place


PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Files of the root that are pages of the site; made by `site_pages`."""
