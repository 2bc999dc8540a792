"""Write the manual page from the program's own options.

Usage: python docs/draw_man.py
"""

from __future__ import annotations

from pathlib import Path

from meritree.cli.manual import manual

if __name__ == "__main__":
    page = Path(__file__).with_name("meritree.1")
    page.write_text(manual(), "utf-8")
    print(page)
