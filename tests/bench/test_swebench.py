"""`meritree bench swebench` on a benchmark of our own in the official schema."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meritree.bench.swebench_data import load_instances
from meritree.bench.swebench_judge import judge_locally, matching
from meritree.bench.swebench_repos import Environment, clone_of
from meritree.cli.app import run
from meritree.errors import BadInput
from meritree.respond import FunctionModel, Reply, Request, ToolCall, Usage
from meritree.respond.faults import Faults
from meritree.respond.server import ModelServer, Service
from meritree.run.sandbox import choose

MARKS = ("GOLD-MARK", "SECRET_MARK", "HINT-MARK")


class Fixer:
    """A model that mends the sign and says that it is done; keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        if any("Edited shop/price.py" in message.text for message in request.messages):
            call = ToolCall("1", "finish", {"summary": "added one"})
        else:
            edit = {"path": "shop/price.py", "old": "n - 1", "new": "n + 1"}
            call = ToolCall("1", "replace", edit, json.dumps(edit))
        return Reply("so be it", (call,), Usage(100, 7))


@pytest.fixture
def fixer() -> Iterator[tuple[Fixer, str]]:
    model = Fixer()
    with ModelServer(FunctionModel(model)) as server:
        yield model, server.base_url


def bench(*arguments: object) -> int:
    return run(["bench", "swebench", *map(str, arguments)])


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def every_byte(folder: Path) -> bytes:
    """All files below a folder, git objects unpacked."""
    import zlib

    found = []
    for file in folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            found.append(data)
            if "objects" in file.parts:
                try:
                    found.append(zlib.decompress(data))
                except zlib.error:
                    continue
    return b"".join(found)


def test_a_model_solves_an_instance_without_seeing_the_answer(
    swebench: Any, fixer: tuple[Fixer, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, url = fixer
    data, out = swebench.write(tmp_path / "data.json"), tmp_path / "out"
    asked = [
        "--data", data, "--repos", swebench.repos, "--out", out, "--python", sys.executable,
        "--policy", "model", "--model", "local", "--base-url", url, "--budget-tokens", 500_000,
    ]  # fmt: skip
    assert bench(*asked, "--judge", "none") == 0
    prediction = json.loads((out / "preds.json").read_text())["corner__shop-1"]
    assert prediction.keys() == {"instance_id", "model_name_or_path", "model_patch"}
    assert prediction["model_name_or_path"] == "meritree-local"
    assert "+    return n + 1\n" in prediction["model_patch"]

    # Neither the model nor anything that the search wrote knows the answer.
    told = json.dumps([m.text for request in model.requests for m in request.messages])
    assert "one is to be added" in told
    kept = every_byte(out)
    assert b"def double" in kept
    for mark in MARKS:
        assert mark not in told
        assert mark.encode() not in kept
    assert not (out / "corner__shop-1" / "repo").exists()

    # Costs are the ledger's, to the token.
    (row,) = rows(out / "runs.jsonl")
    assert row["tokens"] == 107 * len(model.requests) > 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["total"] == {
        key: row[key] for key in ("evaluations", "tokens", "usd", "seconds")
    }
    assert summary["judge"] == "none"

    # The same command does nothing twice; a judge may come later, and is not called official.
    before = len(model.requests)
    capsys.readouterr()
    assert bench(*asked, "--judge", "local") == 0
    said = capsys.readouterr().out
    assert len(model.requests) == before
    assert "1 of 1 instances are done already" in said
    assert "1 of 1 resolved, says offline judge (not the official one)" in said
    assert [row["found"] for row in rows(out / "judged.jsonl")] == ["resolved"]
    assert bench(*asked, "--judge", "local") == 0
    assert len(rows(out / "judged.jsonl")) == 1

    # Other settings are not mixed in.
    assert bench(*asked, "--judge", "none", "--seed", 3) == 2
    assert "made with other settings (seed)" in capsys.readouterr().err

    trajectory = json.loads((out / "corner__shop-1" / "corner__shop-1.traj.json").read_text())
    assert trajectory["instance_id"] == "corner__shop-1"
    assert trajectory["info"]["submission"] == prediction["model_patch"]
    assert trajectory["info"]["model_stats"]["api_calls"] == before


def test_the_repair_policy_needs_a_failing_test_and_uses_one_where_there_is(
    swebench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = "from shop.price import price\n\n\ndef test_one():\n    assert price(4) == 5\n"
    commit = swebench.commit("tests/test_one.py", failing)
    second = {"instance_id": "corner__shop-2", "base_commit": commit}
    data, out = swebench.write(tmp_path / "data.json", {}, second), tmp_path / "out"
    asked = ["--data", data, "--repos", swebench.repos, "--python", sys.executable]
    assert bench(*asked, "--out", out, "--judge", "none", "--workers", 2, "--budget-tests", 4) == 0
    found = {row["id"]: row for row in rows(out / "runs.jsonl")}
    assert found["corner__shop-1"]["status"] == "no-judge"
    assert found["corner__shop-2"]["status"] == "verified"
    assert "-    return n - 1\n" in found["corner__shop-2"]["patch"]
    assert 0 < found["corner__shop-2"]["evaluations"] <= 4
    said = capsys.readouterr().out
    assert "2 of 2 predictions, judged by nobody" in said


def test_an_error_is_tried_again_and_its_search_goes_on_where_it_stood(
    swebench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.run.journal import Journal

    data, out = swebench.write(tmp_path / "data.json"), tmp_path / "out"
    busy = Service(FunctionModel(Fixer()), faults=Faults("503"))
    with ModelServer(busy) as server:
        port = server.port
        asked = ["--data", data, "--repos", swebench.repos, "--out", out, "--python",
                 sys.executable, "--policy", "model", "--model", "local", "--base-url",
                 server.base_url, "--judge", "none"]  # fmt: skip
        assert bench(*asked) == 0  # it is there, and answers no question
    (row,) = rows(out / "runs.jsonl")
    assert row["status"] == "error"
    assert json.loads((out / "preds.json").read_text()) == {}
    assert "0 of 1 predictions" in capsys.readouterr().out
    with (out / "runs.jsonl").open("a") as stream:
        stream.write('{"id": "corner__sh')  # a kill in the middle of a line
    with ModelServer(FunctionModel(Fixer()), port):
        assert bench(*asked) == 0
    assert [row["status"] for row in rows(out / "runs.jsonl")] == ["error", "unverified"]
    assert len(json.loads((out / "preds.json").read_text())) == 1
    with Journal.open(out / "corner__shop-1" / "run" / "run.db", read_only=True) as journal:
        assert [event.kind for event in journal.events()].count("prepared") == 1


def test_two_writers_are_refused(
    swebench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.run._writer_lock import WriterLock

    out = tmp_path / "out"
    out.mkdir()
    lock = WriterLock.acquire(out / "preds.json")
    data = swebench.write(tmp_path / "data.json")
    assert bench("--data", data, "--repos", swebench.repos, "--out", out) == 2
    assert "being written by process" in capsys.readouterr().err
    lock.release()


# ---- the judges ------------------------------------------------------------------------------


@pytest.fixture
def verdict_of(swebench: Any, tmp_path: Path) -> Callable[..., Any]:
    def judged(patch: str, **changes: Any) -> Any:
        (instance,) = load_instances(swebench.write(tmp_path / "data.json", changes))
        return judge_locally(
            instance,
            patch,
            repos=swebench.repos,
            environment=Environment(Path(sys.executable)),
            sandbox=choose(),
            folder=tmp_path / "judge",
        )

    return judged


def test_the_offline_judge_tells_right_from_wrong(
    swebench: Any, verdict_of: Callable[..., Any]
) -> None:
    right, wrong = swebench.row["patch"], swebench.row["patch"].replace("+ 1", "+ 2")
    said = verdict_of(wrong, PASS_TO_PASS=["tests/test_price.py::gone"])
    assert said.found == "not-resolved"
    assert said.why == "2 of 2 FAIL_TO_PASS fail; 1 of 1 PASS_TO_PASS fail"
    assert "tests/test_price.py::gone" in said.failed
    assert verdict_of(right.replace("n - 1", "n - 7")).why.startswith("the patch does not apply")
    # A prediction that writes the tests its own way does not keep them.
    forged = (
        "diff --git a/tests/test_price.py b/tests/test_price.py\n"
        "--- a/tests/test_price.py\n+++ b/tests/test_price.py\n@@ -1,5 +1,5 @@\n"
        " from shop.price import double\n \n \n def test_double():\n"
        "-    assert double(2) == 4\n+    assert True\n"
    )
    assert verdict_of(forged + right).found == "resolved"


def test_a_prediction_cannot_write_outside_its_copy(
    tmp_path: Path, verdict_of: Callable[..., Any]
) -> None:
    new = "new file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{text}\n"
    end = "\\ No newline at end of file\n"

    def added(path: str, text: str, mode: str = "100644") -> str:
        head = f"diff --git a/{path} b/{path}\n"
        return head + new.format(mode=mode, path=path, text=text) + end * (mode == "120000")

    outside = tmp_path / "outside"
    outside.mkdir()
    link = added("way", str(outside), "120000")
    for patch in (added("../outside/evil", "x"), link + added("way/evil", "x"), "no patch at all"):
        assert verdict_of(patch).why.startswith("the patch does not apply")
    assert list(outside.iterdir()) == []


def test_a_judge_that_knows_none_of_the_tests_says_so(verdict_of: Callable[..., Any]) -> None:
    django = ["test_price (shop.tests.Price)"]
    said = verdict_of("", FAIL_TO_PASS=django, PASS_TO_PASS=[])
    assert said.found == "cannot-judge"
    assert "use the official harness" in said.why


def test_listed_names_that_were_cut_off_are_matched_as_officially() -> None:
    tests = ("t.py::test_a[x y]", "t.py::test_a[x z]", "t.py::test_b", "u.py::test_c")
    assert matching("t.py::test_b", tests) == ("t.py::test_b",)
    assert matching("t.py::test_a[x", tests) == tests[:2]
    assert matching("test_c", tests) == ("u.py::test_c",)
    assert matching("t.py::test_a", tests) == ()


def test_validation_says_which_instances_can_be_judged(
    swebench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solved = {"instance_id": "a-2", "base_commit": swebench.base, "FAIL_TO_PASS": ["x.py::nope"]}
    data = swebench.write(tmp_path / "data.json", {}, solved)
    asked = ["--data", data, "--repos", swebench.repos, "--python", sys.executable, "--validate"]
    assert bench(*asked) == 1
    said = capsys.readouterr().out
    assert "corner__shop-1                   can be judged" in said
    assert "a-2                              cannot be judged here: the developers' patch" in said
    assert "1 of 2" in said


HARNESS = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
for name in ("dataset_name", "split", "predictions_path", "run_id"):
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--max_workers", type=int)
a = parser.parse_args()
rows = {row["instance_id"]: row for row in json.loads(pathlib.Path(a.dataset_name).read_text())}
preds = json.loads(pathlib.Path(a.predictions_path).read_text())
preds = list(preds.values()) if isinstance(preds, dict) else preds
done = [p["instance_id"] for p in preds if rows[p["instance_id"]]["test_patch"]]
good = [p["instance_id"] for p in preds if "n + 1" in p["model_patch"]]
model = preds[0]["model_name_or_path"].replace("/", "__")
report = {"resolved_ids": good, "unresolved_ids": [i for i in done if i not in good]}
pathlib.Path(f"{model}.{a.run_id}.json").write_text(json.dumps(report))
"""


def test_the_official_harness_is_called_where_it_can_run_and_named_where_not(
    swebench: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A stand-in takes the harness's arguments and leaves a report of its form."""
    data, out = swebench.write(tmp_path / "data.json"), tmp_path / "out"
    asked = ["--data", data, "--repos", swebench.repos, "--out", out, "--python", sys.executable,
             "--name", "me/mine"]  # fmt: skip
    empty = tmp_path / "bin"
    empty.mkdir()
    (empty / "git").symlink_to("/usr/bin/git")
    monkeypatch.setenv("PATH", str(empty))
    assert bench(*asked) == 0
    said = capsys.readouterr().out
    assert "The official harness was not called: the package swebench is not installed" in said
    assert "-m swebench.harness.run_evaluation --dataset_name dataset.json" in said
    assert bench(*asked, "--judge", "official") == 2

    package = tmp_path / "lib" / "swebench" / "harness"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "run_evaluation.py").write_text(HARNESS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    capsys.readouterr()
    assert bench(*asked) == 0
    assert "Docker is not installed" in capsys.readouterr().out

    docker = empty / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    docker.chmod(0o755)
    assert bench(*asked) == 0
    assert "Cannot connect to the Docker daemon" in capsys.readouterr().out

    docker.write_text("#!/bin/sh\nexit 0\n")
    patch = swebench.row["patch"]
    (out / "runs.jsonl").write_text(
        json.dumps({"id": "corner__shop-1", "status": "unverified", "patch": patch}) + "\n"
    )
    assert bench(*asked) == 0
    assert "1 of 1 resolved, says the official harness" in capsys.readouterr().out
    assert json.loads((out / "summary.json").read_text())["judge"] == "official"


# ---- data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instance_id": "../../x"}, "row 1: instance_id '../../x' is none"),
        ({"instance_id": None}, "row 1: the field instance_id is missing"),
        ({"repo": "shop"}, "repo 'shop' is none; owner/name are wanted"),
        ({"base_commit": "--upload-pack=x"}, "base_commit '--upload-pack=x' is none"),
        ({"problem_statement": " "}, "problem_statement is empty"),
        ({"problem_statement": 3}, "problem_statement must be a text, not int"),
        ({"FAIL_TO_PASS": "[]"}, "FAIL_TO_PASS names no test"),
        ({"FAIL_TO_PASS": "[1]"}, "FAIL_TO_PASS must be a list of test names"),
        ({"PASS_TO_PASS": "x"}, "PASS_TO_PASS is no JSON"),
        ({"base_commit": "1234567"}, "has no commit 1234567; git -C"),
        ({"repo": "other/place"}, "no clone of other/place; it is looked for as other__place"),
    ],
)
def test_bad_rows_are_told_before_anything_runs(
    swebench: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    message: str,
) -> None:
    data, out = swebench.write(tmp_path / "data.json", change), tmp_path / "out"
    assert bench("--data", data, "--repos", swebench.repos, "--out", out) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.json", None, "no such file"),
        ("data.csv", "a,b", "it must end in .parquet, .json, .jsonl"),
        ("data.json", "{}", "a JSON list of instances is wanted, not dict"),
        ("data.json", "[]", "holds no instance"),
        ("data.json", "[3]", "row 1: an instance is an object of fields, not int"),
        ("data.jsonl", '{"a": 1}\n{', "line 2 is no JSON"),
        ("data.parquet", "PAR1", "parquet"),
    ],
)
def test_bad_files_are_told(
    swebench: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
    message: str,
) -> None:
    data = tmp_path / name
    if content is not None:
        data.write_text(content)
    assert bench("--data", data, "--repos", swebench.repos, "--out", tmp_path / "o") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--instances", "x__y-1"], "the file has no such instance; it has 1, such as corner"),
        (["--limit", "0"], "--limit 0: must be at least 1"),
        (["--repos", "/nowhere"], "--repos /nowhere: no such folder"),
        (["--python", "/nowhere"], "--python /nowhere: no such file"),
        (["--policy", "model"], "no model is named"),
        (["--policy", "magic"], "choose auto, repair, model or mini"),
        (["--budget-tests", "0"], "--budget-tests 0: must be at least 1"),
        (["--environments", "/nowhere"], "--environments /nowhere cannot be read"),
    ],
)
def test_bad_options_are_told(
    swebench: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    data = swebench.write(tmp_path / "data.json")
    asked = ["--data", data, "--repos", swebench.repos, "--out", tmp_path / "out"]
    assert bench(*asked, *options) == 2
    assert message in capsys.readouterr().err


def test_parquet_and_json_lines_give_the_same_instances(swebench: Any, tmp_path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        pytest.skip("pyarrow is not installed (extra `swebench`)")
    import pyarrow
    import pyarrow.parquet

    lists = {"FAIL_TO_PASS": ["a"], "PASS_TO_PASS": [], "instance_id": "b-2"}
    rows = [swebench.row, {**swebench.row, **lists}]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    typed = [{**row, "FAIL_TO_PASS": str(row["FAIL_TO_PASS"]).replace("'", '"'),
              "PASS_TO_PASS": str(row["PASS_TO_PASS"])} for row in rows]  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(typed), tmp_path / "data.parquet")
    first = load_instances(tmp_path / "data.jsonl")
    second = load_instances(tmp_path / "data.parquet")
    assert [(i.problem, i.answer) for i in first] == [(i.problem, i.answer) for i in second]
    assert first[1].answer.fail_to_pass == ("a",)


def test_clones_and_interpreters_are_found_by_name(swebench: Any, tmp_path: Path) -> None:
    from meritree.bench.swebench_repos import read_environments

    assert clone_of(swebench.repos, "corner/shop") == swebench.clone
    os.rename(swebench.clone, swebench.repos / "shop.git")
    assert clone_of(swebench.repos, "corner/shop") == swebench.repos / "shop.git"
    (problem,) = [one.problem for one in load_instances(swebench.write(tmp_path / "d.json"))]
    (tmp_path / "python").touch()
    table = tmp_path / "environments.json"
    entry = {"python": "python", "test": "python -m pytest tests"}
    table.write_text(json.dumps({"corner/shop": sys.executable, "corner/shop@1.0": entry}))
    found = read_environments(table, Environment(test="t")).of(problem)
    assert found == Environment(tmp_path / "python", "python -m pytest tests")
    table.write_text(json.dumps({"corner/shop": "nowhere"}))
    with pytest.raises(BadInput, match="no such file; give a Python interpreter"):
        read_environments(table, Environment())
