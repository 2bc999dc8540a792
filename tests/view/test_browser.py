"""The report and the live viewer in a real headless Chromium; skipped where there is none."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meritree.run.journal import Journal
from meritree.view.report import render_report
from meritree.view.run_log import RunLog
from meritree.view.server import Viewer, serve
from meritree.view.store import read_journal, view_of

from .browser import chromium, missing, prefer
from .pages import HOSTILE, OPTIONS, begin, grow

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "there is a browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


def until(browser: Any, question: str) -> Any:
    """Wait until a JavaScript expression is true, at most ten seconds."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 10, 0.05).until(lambda d: d.execute_script(f"return {question}"))


def complaints(browser: Any) -> list[str]:
    return [one["message"] for one in browser.get_log("browser")]


@pytest.fixture
def report(tmp_path: Path, document: dict[str, Any], browser: Any) -> Any:
    """The browser with a report of hostile texts open."""
    with Journal.create(tmp_path / "run.db", {"options": OPTIONS}) as journal:
        begin(journal)
        grow(journal, 1, 40, passed=9)
    log = RunLog()
    log.differences.read = {"a.py": "x = 1\n"}.get
    read_journal(tmp_path / "run.db", log)
    document["message"] += HOSTILE
    page = tmp_path / "report.html"
    page.write_text(render_report(document, view_of(log), log))
    browser.get_log("browser")
    browser.get(page.as_uri())
    until(browser, "window.meritree && meritree.picture.frames > 0")
    return browser


def test_a_report_opens_from_disk_and_hostile_texts_are_text(report: Any) -> None:
    assert complaints(report) == []
    report.execute_script("meritree.picture.select(2)")
    detail = report.find_element("id", "detail").text
    assert HOSTILE in detail
    assert "owned" not in report.title
    assert report.execute_script("return document.images.length") == 0
    assert report.execute_script("return document.scripts.length") == 2
    assert "term by term" in detail
    report.execute_script("meritree.picture.select(3)")
    assert "+# </script>" in report.find_element("id", "detail").text


def test_a_click_selects_the_node_under_it(report: Any) -> None:
    from selenium.webdriver import ActionChains

    place = report.execute_script(
        "const p = meritree.picture, c = p.canvas; c.scrollIntoView({block: 'center'});"
        "const [x, y] = p.at(20); return [x - c.clientWidth / 2, y - c.clientHeight / 2]"
    )
    canvas = report.find_element("id", "tree")
    ActionChains(report).move_to_element_with_offset(canvas, *map(round, place)).click().perform()
    assert report.find_element("css selector", "#detail h3").text.startswith("edit 20")


def test_filters_search_and_replay_count_what_they_leave(report: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    counted = report.find_element("id", "counted")
    assert counted.text == "40 nodes"
    find = report.find_element("id", "find")
    find.send_keys("assert 31")
    assert counted.text == "1 of 40 nodes match"
    find.send_keys(Keys.ENTER)
    assert report.find_element("css selector", "#detail h3").text.startswith("edit 31")
    find.clear()
    report.find_element("css selector", "#action option[value=var]").click()
    assert counted.text == "13 of 40 nodes match"
    report.find_element("css selector", "#action option[value='']").click()
    slider = report.find_element("id", "slider")
    slider.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert counted.text == "3 nodes"
    assert report.find_element("id", "when").text == "step 2 of 39"


def test_the_keyboard_alone_reaches_everything(report: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    canvas = report.find_element("id", "tree")
    report.execute_script("arguments[0].focus()", canvas)

    def shown() -> str:
        return str(report.find_element("css selector", "#detail p").text).split(",")[0]

    for keys, node in ((Keys.HOME, "node 0"), (Keys.ARROW_RIGHT, "node 2"),
                       (Keys.ARROW_DOWN, "node 3"), (Keys.ARROW_LEFT, "node 0"),
                       (Keys.END, "node 9")):  # fmt: skip
        canvas.send_keys(keys)
        assert shown() == node
    before = report.execute_script("return meritree.picture.view.k")
    canvas.send_keys("+")
    assert report.execute_script("return meritree.picture.view.k") > before
    canvas.send_keys(Keys.HOME, Keys.ARROW_DOWN, "c")
    assert report.execute_script("return meritree.picture.place.shown.filter(Boolean).length") == 1
    canvas.send_keys("c", "/")
    assert report.execute_script("return document.activeElement.id") == "find"


def test_dark_mode_is_followed_while_the_page_is_open(report: Any) -> None:
    pixel = "Array.from(meritree.picture.context.getImageData(2, 2, 1, 1).data).slice(0, 3)"
    for scheme, ink in (("dark", [13, 17, 23]), ("light", [255, 255, 255])):
        prefer(report, scheme)
        until(report, f"String({pixel}) === '{','.join(map(str, ink))}'")


def test_without_javascript_the_picture_and_the_list_remain(report: Any) -> None:
    report.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        report.refresh()
        assert report.find_element("css selector", ".still svg").is_displayed()
        assert not report.find_element("id", "explorer").is_displayed()
        assert "the code as it is" in report.page_source
    finally:
        report.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def axe() -> Path | None:
    """axe.min.js: where MERITREE_AXE says, or from a Python package that brings it."""
    told = os.environ.get("MERITREE_AXE")
    if told:
        return Path(told)
    spec = importlib.util.find_spec("axe_playwright_python")
    found = list(Path(spec.origin).parent.glob("axe.min.js")) if spec and spec.origin else []
    return found[0] if found else None


@pytest.mark.skipif(axe() is None, reason="no axe.min.js (MERITREE_AXE names it)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(report: Any, scheme: str) -> None:
    script = axe()
    assert script is not None
    prefer(report, scheme)
    report.execute_cdp_cmd("Runtime.evaluate", {"expression": script.read_text("utf-8")})
    found = report.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then("
        "r => done(JSON.stringify(r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))))"
    )
    assert json.loads(found) == []


@pytest.fixture
def viewer() -> Iterator[Callable[[Path], Viewer]]:
    started: list[Viewer] = []

    def start(folder: Path) -> Viewer:
        server = serve(folder, port=0)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def test_a_running_search_grows_on_the_screen(
    tmp_path: Path, browser: Any, viewer: Callable[[Path], Viewer]
) -> None:
    browser.get_log("browser")
    with Journal.create(tmp_path / "run.db", {"options": OPTIONS}) as journal:
        begin(journal)
        browser.get(viewer(tmp_path).address)
        until(browser, "document.getElementById('live').textContent.startsWith('preparing')")
        grow(journal, 1, 6)
        until(browser, "document.getElementById('counted').textContent === '6 nodes'")
        grow(journal, 6, 30, passed=11)
        until(browser, "document.getElementById('counted').textContent === '30 nodes'")
        until(browser, "document.getElementById('live').textContent.includes('1 candidate pass')")
        browser.execute_script("meritree.picture.select(11)")
        until(browser, "document.getElementById('detail').textContent.includes('term by term')")
        journal.append("verdict", {"key": "k11", "verified": True})
        journal.append("finished", {"status": "verified"})
        until(browser, "document.getElementById('live').textContent === 'ended: verified'")
        assert browser.execute_script("return meritree.picture.data.nodes[11].kind") == "verified"
    assert complaints(browser) == []
    assert "owned" not in browser.title


def test_two_runs_stand_side_by_side(
    tmp_path: Path, browser: Any, viewer: Callable[[Path], Viewer]
) -> None:
    browser.get_log("browser")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with Journal.create(tmp_path / name / "run.db", {"options": OPTIONS}) as journal:
            begin(journal)
            grow(journal, 1, 12, passed=5)
    browser.get(viewer(tmp_path).address)
    for box in browser.find_elements("css selector", "input[type=checkbox]"):
        box.click()
    browser.find_element("css selector", "form button").click()
    for frame in browser.find_elements("tag name", "iframe"):
        browser.switch_to.frame(frame)
        until(browser, "window.meritree && meritree.picture.data.nodes.length === 12")
        browser.switch_to.default_content()
    assert "Runs side by side" in browser.page_source
    assert complaints(browser) == []
