"""report.html: complete, self-contained, harmless."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from meritree.view.html import script
from meritree.view.report import render_report, write_report
from meritree.view.store import RunView
from meritree.view.tree import TreeNode, build_tree

HOSTILE = "</pre></title></style><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J\x07"
TREE = build_tree([TreeNode(0, None, "root", 0.1), TreeNode(1, 0, "an edit", 0.9)])
VOID = {"meta", "link", "input"}


class Page(HTMLParser):
    """Collects tags and text, and checks that elements close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data: dict[str, Any] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"] and self.tags[-1][1].get("id") == "tree-data":
            self.data = json.loads(data)
        elif not {"style", "script"} & set(self.open):
            self.text += data


def hostile(value: Any) -> Any:
    """The same document with every free text made hostile."""
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, list):
        return [hostile(item) for item in value]
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    return value


def test_the_page_is_well_formed_and_says_verdict_evidence_and_cost(document: dict) -> None:
    page = Page(render_report(document, TREE))
    assert page.open == []
    for part in ("verified", "1 of 1 pass with the patch", "1 passed, 1 failed", "2 passed",
                 "return n + 1", "1 of 1 pass", "candidate evaluations5100",
                 "git -C /code/shop apply", "evidence, not proof", "assert 1 == 3",
                 "meritree fix /code/shop"):  # fmt: skip
        assert part in page.text, part


def test_nothing_is_loaded_from_anywhere_and_only_our_script_may_run(document: dict) -> None:
    text = render_report(document, TREE)
    page = Page(text)
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "tree-data"}, {}]
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "base")]
    addresses = [v for _, attrs in page.tags for a, v in attrs.items() if a in ("src", "href")]
    assert addresses == ["data:,"]  # an empty icon, so that nothing is asked for
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
    rules = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert rules is not None
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in rules
    assert rules.startswith("default-src 'none'")
    assert f"<script>{script()}</script>" in text
    assert not re.search(r"url\(|@import", text)


def test_the_embedded_script_could_stand_in_any_page() -> None:
    assert "</script" not in script().lower()
    assert "<!--" not in script()
    assert "innerHTML" not in script()


def test_hostile_strings_stay_text(document: dict) -> None:
    wicked = hostile(copy.deepcopy(document))
    tree = build_tree([TreeNode(0, None, HOSTILE, 0.1), TreeNode(1, 0, HOSTILE, 0.9)])
    text = render_report(wicked, tree)
    page = Page(text)
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 2
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in text
    assert "\x07" not in text
    data = text.split('id="tree-data">')[1].split("</script>")[0]
    assert "<" not in data
    assert HOSTILE.replace("\x1b", "\ufffd").replace("\x07", "\ufffd") in page.data["texts"]


def test_alternatives_are_shown_in_their_order(document: dict) -> None:
    text = Page(render_report(document, TREE)).text
    assert "2. unverified" in text


def test_a_run_without_patch_or_tree_has_a_page_too(document: dict) -> None:
    bare = {**document, "status": "not-found", "message": "no patch found", "patch": None,
            "candidates": [], "estimate": None, "tests_after": []}  # fmt: skip
    text = Page(render_report(bare, build_tree([]))).text
    assert "no patch found" in text
    assert "The patch" not in text


def test_large_trees_are_cut_with_a_note(document: dict) -> None:
    nodes = [TreeNode(0, None, "root", 0.1)]
    nodes += [TreeNode(i, 0, f"edit {i}", 0.2) for i in range(1, 1500)]
    page = render_report(document, build_tree(nodes))
    assert "400 most visited" in page
    assert page.count("<title>edit ") < 400
    assert len(Page(page).data["id"]) == 1500  # the picture to explore has them all


def test_text_that_utf8_cannot_hold_is_written_all_the_same(document: dict, tmp_path: Path) -> None:
    document["message"] = "bytes \udcff of a file name"
    write_report(RunView(document, TREE), tmp_path / "report.html")
    assert "bytes ? of a file name" in (tmp_path / "report.html").read_text("utf-8")


def test_the_report_tells_what_each_channel_adds(document: dict[str, Any]) -> None:
    page = render_report(document, build_tree(()))
    assert '<td class="n">+0.62</td>' in page
    assert "Shapley" in page
    for one in (document, *document["candidates"]):
        del one["estimate"]["gains"]
    assert "Shapley" not in render_report(document, build_tree(()))


def test_what_looks_made_for_the_tests_is_listed_as_text(document: dict[str, Any]) -> None:
    assert "Looks made for the tests" not in render_report(document, TREE)
    flag = {"rule": "hard-coded", "path": "a.py", "line": 7, "code": "if n == 12: return '<b>'"}
    document["candidates"][0]["flags"] = [flag]
    page = render_report(document, TREE)
    assert "Looks made for the tests" in page
    assert "a.py:7" in page
    assert "&lt;b&gt;" in page
    del document["candidates"][0]["flags"]  # documents of earlier versions have none
    assert "Looks made for the tests" not in render_report(document, TREE)


def test_a_flagged_patch_is_no_green_verdict(document: dict[str, Any]) -> None:
    assert '<span class="verdict verified">verified</span>' in render_report(document, TREE)
    flag = {"rule": "hard-coded", "path": "a.py", "line": 7, "code": "return 12"}
    document["candidates"][0]["flags"] = [flag]
    page = render_report(document, TREE)
    assert '<span class="verdict flagged">verified, but it looks made for the tests</span>' in page
    assert page.index("Only if you find it right") < page.index("apply /runs/one/patch.diff")
