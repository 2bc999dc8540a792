"""`fix`, `resume`, `show` and `demo` as a user runs them: real processes on real repositories."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from meritree.view.store import load_run

Started = Callable[..., "subprocess.CompletedProcess[str]"]
FILES = {"patch.diff", "run.db", "report.html", "result.json"}
BRIEFLY = ("--budget-tests", "40", "--final-checks", "1")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".pytest_cache"} & set(path.parts)
    }


def test_fix_prints_one_document_writes_four_files_and_leaves_the_repository_alone(
    meritree: Started, shop: Path, tmp_path: Path
) -> None:
    before, out = contents(shop), tmp_path / "run"
    done = meritree("fix", str(shop), "--json", "--out", str(out))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "verified"
    assert document["files"] == ["price.py"]
    assert document == json.loads((out / "result.json").read_text())
    assert {path.name for path in out.iterdir()} >= FILES
    assert document["patch"] == (out / "patch.diff").read_text()
    assert contents(shop) == before
    assert "verified" in (out / "report.html").read_text()
    if shutil.which("git"):
        subprocess.run(["git", "apply", str(out / "patch.diff")], cwd=shop, check=True)
        tests = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        subprocess.run(tests, cwd=shop, check=True, capture_output=True)


def test_fix_for_people_says_verified_and_writes_no_control_character(
    meritree: Started, shop: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = meritree("fix", str(shop), *BRIEFLY, "--out", str(out))
    assert done.returncode == 0, done.stderr
    for part in ("verified", "tests before", "tests after", f"{out}/report.html", "not proof"):
        assert part in done.stdout, part
    assert "\x1b" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) < 20
    shown = meritree("show", str(out))
    assert shown.returncode == 0, shown.stderr
    assert "the code as it is" in shown.stdout
    assert "verified" in shown.stdout
    document = json.loads((out / "result.json").read_text())
    assert len(load_run(out).tree.best) == 1 + len(document["candidates"][0]["edits"])


def test_the_run_folder_may_be_given_by_a_path_that_goes_up(
    meritree: Started, shop: Path, tmp_path: Path
) -> None:
    done = meritree("fix", ".", *BRIEFLY, "--out", "../run", "--json", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["out"] == str(tmp_path / "run")
    assert (tmp_path / "run" / "patch.diff").is_file()


def test_apply_writes_the_patch_into_the_repository(
    meritree: Started, shop: Path, tmp_path: Path
) -> None:
    before = contents(shop)
    out = tmp_path / "run"
    done = meritree("fix", str(shop), *BRIEFLY, "--apply", "--quiet", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"wrote price.py into {shop}"
    assert json.loads((out / "result.json").read_text())["applied"] is True
    after = contents(shop)
    assert {name for name in after if after[name] != before.get(name)} == {"price.py"}


def test_an_issue_without_a_failing_test_has_no_judge(
    meritree: Started, shop: Path, tmp_path: Path
) -> None:
    (shop / "price.py").write_text("def price(n):\n    return n + 1\n")
    done = meritree(
        "fix", str(shop), "--json", "--issue", "-", "--out", str(tmp_path / "run"),
        input="the price of zero is wrong",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["status"] == "no-judge"
