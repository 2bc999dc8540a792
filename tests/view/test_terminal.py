"""The terminal's live view, its plain replacement and the result."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from meritree.swe.result import Progress
from meritree.view.bench_view import BenchView, bench_view
from meritree.view.terminal import LiveView, PlainView, live_view, show_result, show_tree
from meritree.view.tree import TreeNode, build_tree


def search(evaluations: int, **more: Any) -> Progress:
    return Progress("search", f"trying edit {evaluations}", evaluations, 100, 2.0, 60.0, **more)


def picture(view: LiveView) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    console.print(view.render())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_live_view_shows_budgets_action_tree_and_best_line() -> None:
    view = LiveView()
    line = ("`<=` becomes `<`", "`a` becomes `b`")
    view(search(42, nodes=40, best=0.75, best_line=line, found=2))
    shown = picture(view)
    for part in ("searching", "trying edit 42", "42 of 100", "of 60", "40 nodes",
                 "2 patches pass", *line, "0.75"):  # fmt: skip
        assert part in shown, part


def test_the_live_view_stays_small_however_long_the_messages_are() -> None:
    view = LiveView()
    view(Progress("search", "x" * 5000, nodes=9, best_line=tuple("y" * 900 for _ in range(600))))
    assert len(picture(view).splitlines()) <= 11


def test_the_live_view_can_be_drawn_before_the_first_progress() -> None:
    assert "collecting the tests" in picture(LiveView())


def test_plain_progress_is_a_line_a_phase_and_never_a_flood(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = PlainView()
    view(Progress("baseline", "running all tests"))
    for evaluations in range(1, 1000):
        view(search(evaluations))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert 2 <= len(captured.err.splitlines()) <= 3
    assert "running all tests" in captured.err


def test_progress_does_not_repeat_itself_and_its_last_line_is_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view, live = PlainView(), LiveView()
    ended = "verified: all pass, " + "twice, in fresh processes, " * 6 + "Passing is evidence."
    for progress in (
        Progress("read", "reading the repository"),
        Progress("search", "searching"),
        Progress("done", ended),
    ):
        view(progress)
        live(progress)
        assert picture(live).count("reading the repository") <= 1
        assert picture(live).count("searching") <= 1
    read, search_, done = capsys.readouterr().err.splitlines()
    assert read.endswith("s  reading the repository")
    assert search_.endswith("s  searching")
    assert done.endswith(f"done: {ended}")


def test_quiet_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with live_view(quiet=True) as listener:
        listener(search(1))
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_progress_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    with live_view(quiet=False) as listener:
        listener(search(7, nodes=8))
    captured = capsys.readouterr()
    assert "7 of 100 evaluations" in captured.err
    assert "\x1b" not in captured.err


def test_the_result_tells_verdict_evidence_reasons_and_next_steps(
    document: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    show_result(document, quiet=False)
    out = capsys.readouterr().out
    for part in ("verified", "one target passes", "+    return n + 1", "1 passed, 1 failed",
                 "2 passed", "targets", "1 of 1 pass", "alternatives", "2. unverified",
                 "git -C /code/shop apply /runs/one/patch.diff", "/runs/one/report.html",
                 "/runs/one/run.db", "evidence, not proof"):  # fmt: skip
        assert part in out, part


def test_long_lines_of_a_patch_are_not_broken(
    document: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    document["patch"] = "+" + "x" * 400
    show_result(document, quiet=False)
    assert "+" + "x" * 400 in capsys.readouterr().out.splitlines()


def test_an_interrupted_run_says_how_to_go_on(
    document: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    document.update(status="interrupted", patch=None, candidates=[], estimate=None)
    show_result(document, quiet=False)
    assert "meritree resume /runs/one" in capsys.readouterr().out


def test_a_quiet_result_is_the_message_and_the_patch(
    document: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    show_result(document, quiet=True)
    assert capsys.readouterr().out.splitlines() == [
        "verified: one target passes", "/runs/one/patch.diff",
    ]  # fmt: skip


def test_control_characters_never_reach_the_terminal(
    document: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    document["message"] += "\x1b]0;title\x07[bold]"
    document["patch"] += "+\x1b[2J\r"
    document["candidates"][1]["edits"] = ["\x1b[31mred"]
    show_result(document, quiet=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\r" not in out
    assert "[bold]" in out  # not taken for markup


def test_show_tree_prints_the_most_valuable_children_and_counts_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nodes = [TreeNode(0, None, "root", 0.1)]
    nodes += [TreeNode(i, 0, f"edit {i}", i / 20) for i in range(1, 11)]
    nodes.append(TreeNode(11, 10, "below", 0.3))
    show_tree(build_tree(nodes), depth=1, width=3)
    out = capsys.readouterr().out
    assert out.index("edit 10") < out.index("edit 9") < out.index("edit 8")
    assert "edit 7" not in out
    assert "and 7 of lower value" in out
    assert "below" not in out


def test_show_tree_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show_tree(build_tree([]), depth=2, width=2)
    assert "had not begun" in capsys.readouterr().out


def test_money_is_shown_where_a_run_may_spend_some() -> None:
    view = LiveView()
    view(search(1))
    assert "US dollars" not in picture(view)
    view(search(1, usd=0.25, budget_usd=2.0))
    assert "0.2500 of 2" in picture(view)


def test_the_plain_lines_of_a_long_run_become_rare(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("meritree.view.terminal.time.monotonic", lambda: now[0])
    view = PlainView()
    for second in range(0, 36_000, 5):
        now[0] = 1000.0 + second
        view(Progress("search", "x", 10, 100, float(second), 36_000.0))
    lines = capsys.readouterr().err.splitlines()
    assert 60 < len(lines) < 160  # ten hours


def test_a_bench_tells_how_far_it_is_and_keeps_its_streams(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = BenchView("repair")
    view.note("3/12 task-a (2 slips): 1 of 5 solved\n")
    assert (view.done, view.total) == (3, 12)
    view.note("seed 0: 7 of 40 programs")
    console = Console(file=io.StringIO(), width=100)
    console.print(view.render())
    assert isinstance(console.file, io.StringIO)
    assert "7 of 40" in console.file.getvalue()
    with bench_view("repair"):  # no terminal here: nothing is added
        print("a line")
    assert capsys.readouterr() == ("a line\n", "")


def test_an_alternative_that_looks_made_for_the_tests_or_was_not_checked_is_marked(
    document: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    show_result(document, quiet=False)
    assert "made for the tests" not in capsys.readouterr().out
    other = document["candidates"][1]
    other["flags"] = [{"rule": "hard-coded", "path": "a.py", "line": 7, "code": "return 12"}] * 2
    other["checked"] = False
    show_result(document, quiet=False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  2. ")]
    assert "not checked" in line
    assert line.endswith("[made for the tests? hard-coded]")


def test_a_quiet_result_says_in_one_line_what_was_written(
    document: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    show_result(document, quiet=True)
    assert "wrote" not in capsys.readouterr().out
    document["applied"] = True
    document["files"] = ["shop/price.py", "shop/cart.py"]
    show_result(document, quiet=True)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "wrote shop/price.py and shop/cart.py into /code/shop"
    )


def test_a_verified_patch_that_looks_made_for_the_tests_is_not_announced_as_good(
    document: dict, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    green, red, title = "\x1b[1;32m", "\x1b[1;31m", "verified, but it looks made for the tests"
    show_result(document, quiet=False)
    before = capsys.readouterr().out
    assert f"{green}verified" in before
    assert "to apply  " in before
    flag = {"rule": "hard-coded", "path": "a.py", "line": 7, "code": "return 12"}
    document["candidates"][0]["flags"] = [flag]
    show_result(document, quiet=False)
    after = capsys.readouterr().out
    assert f"{red}{title}" in after
    assert f"{green}verified" not in after
    assert "to apply" not in after
    (line,) = [line for line in after.splitlines() if "apply /runs/one/patch.diff" in line]
    assert "if right " in line


def test_a_line_of_a_result_is_whole_where_a_program_reads_it(
    document: dict, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "why " * 100 + "the end"
    document["estimate"]["reasons"]["targets"] = reason
    monkeypatch.delenv("COLUMNS", raising=False)
    show_result(document, quiet=False)
    assert any(reason in line for line in capsys.readouterr().out.splitlines())
    monkeypatch.setenv("COLUMNS", "80")  # whoever sets it wants that width
    show_result(document, quiet=False)
    assert not any(reason in line for line in capsys.readouterr().out.splitlines())


def test_plain_progress_says_why_the_search_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    view(Progress("verify", "patch 1 of 1", 40, 100))
    view(search(40))
    assert capsys.readouterr().err.splitlines()[-1].endswith("searching: trying edit 40")
