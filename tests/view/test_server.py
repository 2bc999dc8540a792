"""The live viewer's server: what it shows, to whom, and that it only reads."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meritree.errors import BadInput
from meritree.run.journal import Journal
from meritree.view.gallery import find_entries
from meritree.view.live import Watch
from meritree.view.server import Viewer, serve

from .pages import HOSTILE, OPTIONS, begin, grow

Start = Callable[..., Viewer]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Viewer] = []

    def run(server: Viewer) -> Viewer:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        started.append(server)
        return server

    yield run
    for server in started:
        server.shutdown()
        server.server_close()


def ask(
    server: Viewer, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read().decode("utf-8", "replace")


def made_run(folder: Path, nodes: int = 8) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with Journal.create(folder / "run.db", {"options": OPTIONS}) as journal:
        begin(journal)
        grow(journal, 1, nodes, passed=3)
    return folder


STUDY = {
    "id": "S001", "name": "a-study", "scale": "full", "verdict": "holds", "caption": "what it is",
    "checks": [{"claim": f"a beats b {HOSTILE}", "outcome": "does not hold", "figures": "1 < 2"}],
    "provenance": {"command": "meritree study a-study", "seeds": [0, 1, 2]},
    "rows": [[seed, system, "data", "loss", seed + len(system), ""]
             for seed in range(3) for system in ("a", "bb")],
}  # fmt: skip


def test_a_folder_shows_runs_studies_and_benches_wherever_they_lie(
    tmp_path: Path, start: Start
) -> None:
    made_run(tmp_path / "runs" / "one")
    (tmp_path / "study.json").write_text(json.dumps({"full": STUDY, "smoke": STUDY}))
    (tmp_path / "study.png").write_bytes(b"\x89PNG")
    (tmp_path / "bench.json").write_text(json.dumps({"command": "bench", "x": {"y": 0.12345}}))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text("[1]")
    assert [one.kind for one in find_entries(tmp_path)] == ["run", "study", "study", "bench"]
    server = start(serve(tmp_path, port=0))
    _, index = ask(server, "/")
    for part in ("runs/one", "best-first", "study.json (full)", "bench.json"):
        assert part in index
    study, bench = (
        next(e for e in server.gallery.entries() if e.kind == kind) for kind in ("study", "bench")
    )
    answer, page = ask(server, f"/study/{study.id}")
    assert answer.status == 200
    for part in ("S001 a-study", "does not hold", "95 % bootstrap interval over seeds (3 seeds)",
                 "what it is", "meritree study a-study", "figure.png"):  # fmt: skip
        assert part in page
    assert "<script>document" not in page
    assert ask(server, f"/study/{study.id}/figure.png")[0].getheader("Content-Type") == "image/png"
    assert "x: y</td><td>0.1235" in ask(server, f"/bench/{bench.id}")[1]
    assert ask(server, "/studies")[1].count("does not hold") == 2


def test_a_comparison_of_strategies_has_intervals_and_curves(tmp_path: Path, start: Start) -> None:
    mean = {"mean": 0.5, "low": 0.25, "high": 0.75}
    settings = [{"setting": name, "correct": mean, "errors": 0} for name in ("uct", "puct")]
    provenance = {"tasks": 2, "seeds": 2, "budget_tests": 100}
    (tmp_path / "summary.json").write_text(
        json.dumps({"settings": settings, "provenance": provenance})
    )
    trials = [
        {"setting": "uct", "task": task, "seed": seed, "budget": 100, "found_at": 10, "kept": True}
        for task in ("a", "b") for seed in (0, 1)
    ]  # fmt: skip
    lines = [*map(json.dumps, trials), '{"cut of']
    (tmp_path / "trials.jsonl").write_text("\n".join(lines))
    server = start(serve(tmp_path, port=0))
    (entry,) = server.gallery.entries()
    _, page = ask(server, f"/bench/{entry.id}")
    assert "0.5 [0.25, 0.75]" in page
    assert "2 tasks, 2 seeds each, at most 100 candidate evaluations" in page
    assert page.count('class="mt-plot"') == 2


def read_events(server: Viewer, path: str, count: int) -> list[tuple[str, dict[str, Any]]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "text/event-stream"
    events = []
    while len(events) < count:
        line = answer.readline().decode()
        if line.startswith("event: "):
            events.append((line[7:].strip(), json.loads(answer.readline()[6:])))
    connection.close()
    return events


def test_events_bring_only_what_a_viewer_lacks(tmp_path: Path, start: Start) -> None:
    made_run(tmp_path, nodes=8)
    server = start(serve(tmp_path, port=0))
    (entry,) = server.gallery.entries()
    (name, columns), (then, state) = read_events(server, f"/run/{entry.id}/events?have=5", 2)
    assert (name, columns["id"]) == ("nodes", [5, 6, 7])
    assert (then, state["phase"], state["evaluations"]) == ("state", "search", 7)
    assert state["best"] == [0, 3]
    _, told = ask(server, f"/run/{entry.id}/node/3")
    assert len(json.loads(told)["terms"]) == 9
    assert ask(server, f"/run/{entry.id}/node/99")[1] == '{"terms": [], "texts": [""]}'
    assert "<svg" in ask(server, f"/run/{entry.id}/curve.svg")[1]


def test_a_patch_that_looks_made_for_the_tests_is_told_wherever_a_run_is_listed(
    tmp_path: Path, start: Start, document: dict[str, Any]
) -> None:
    flag = {"rule": "hard-coded", "path": "a.py", "line": 7, "code": "return 12", "words": "odd"}
    for name, flags in (("honest", []), ("made", [flag])):
        made_run(tmp_path / name)
        with Journal.open(tmp_path / name / "run.db") as journal:
            journal.append("finished", {"status": "verified"})
        document["candidates"][0]["flags"] = flags
        (tmp_path / name / "result.json").write_text(json.dumps(document))
    server = start(serve(tmp_path, port=0))
    made, honest = sorted(server.gallery.entries(), key=lambda one: one.name)[::-1]
    told = "verified, but it looks made for the tests"
    _, index = ask(server, "/")
    assert index.count(f'<span class="badge flagged">{told}</span>') == 1
    assert index.count('<span class="badge verified">verified</span>') == 1
    for bare in ("", "?bare=1"):
        assert f"ended: {told}" in ask(server, f"/run/{made.id}{bare}")[1]
        assert told not in ask(server, f"/run/{honest.id}{bare}")[1]
    _, beside = ask(server, f"/compare?run={made.id}&run={honest.id}")
    assert beside.count(f"<td>{told}</td>") == beside.count("<td>verified</td>") == 1


def test_a_result_that_follows_the_last_event_replaces_that_of_an_interrupted_run(
    tmp_path: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meritree.view.live.READ_EVERY", 0.0)
    made_run(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps({**document, "status": "interrupted"}))
    watch = Watch(tmp_path)
    watch.now()
    with Journal.open(tmp_path / "run.db") as journal:
        journal.append("finished", {"status": "verified"})
    assert watch.state()["words"] == "ended: verified"
    document["candidates"][0]["flags"] = [{"rule": "hard-coded"}]
    (tmp_path / "result.json").write_text(json.dumps(document))
    assert watch.state()["words"] == "ended: verified, but it looks made for the tests"


def test_an_ended_run_ends_its_events(tmp_path: Path, start: Start) -> None:
    made_run(tmp_path)
    with Journal.open(tmp_path / "run.db") as journal:
        journal.append("finished", {"status": "not-found"})
    server = start(serve(tmp_path, port=0))
    (entry,) = server.gallery.entries()
    _, text = ask(server, f"/run/{entry.id}/events?have=8")
    assert text.startswith("event: end\n")
    assert "ended: no patch found" in text


def test_nothing_can_be_changed_or_reached_beside_the_pages(tmp_path: Path, start: Start) -> None:
    made_run(tmp_path / "run")
    (tmp_path / "secret.txt").write_text("secret")
    server = start(serve(tmp_path, port=0))
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/", method)[0].status == 501
    for path in ("/secret.txt", "/../secret.txt", "/assets/../server.py", "/assets/style.css",
                 "/run/x", "/run/%2e%2e", "/study/x/figure.png", "/compare/x"):  # fmt: skip
        answer, text = ask(server, path)
        assert answer.status == 404, path
        assert "secret" not in text
    before = sorted(p.name for p in tmp_path.rglob("*"))
    ask(server, "/")
    assert sorted(p.name for p in tmp_path.rglob("*") if "-" not in p.suffix) == before
    answer, text = ask(server, "/", "HEAD")
    assert (answer.status, text) == (200, "")


def test_a_page_lets_only_our_own_scripts_run(tmp_path: Path, start: Start) -> None:
    made_run(tmp_path)
    server = start(serve(tmp_path, port=0))
    answer, page = ask(server, "/")
    assert "script-src 'self'" in page
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert "frame-ancestors 'self'" in str(answer.getheader("Content-Security-Policy"))
    script, code = ask(server, "/assets/tree.js")
    assert script.getheader("Content-Type") == "text/javascript"
    assert "class TreePicture" in code


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1:1", "", "[::1"])
def test_a_name_that_a_stranger_bound_to_this_machine_is_refused(
    tmp_path: Path, start: Start, host: str
) -> None:
    server = start(serve(tmp_path, port=0))
    assert ask(server, "/", Host=host)[0].status == 403
    for known in ("localhost", "127.0.0.1", "[::1]"):
        assert ask(server, "/", Host=f"{known}:{server.server_port}")[0].status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.5", "::", "example.org"])
def test_an_address_that_others_reach_must_be_wanted(tmp_path: Path, host: str) -> None:
    with pytest.raises(BadInput, match="--expose"):
        serve(tmp_path, host=host, port=0)


def test_whoever_is_let_in_from_outside_must_show_the_token(tmp_path: Path, start: Start) -> None:
    server = start(serve(tmp_path, host="0.0.0.0", port=0, open_to_all=True))
    assert len(server.token) >= 32
    assert server.token in server.address
    assert ask(server, "/")[0].status == 403
    assert ask(server, "/?token=wrong")[0].status == 403
    assert ask(server, "/", Host="evil.example")[0].status == 403
    answer, _ = ask(server, f"/studies?token={server.token}")
    assert (answer.status, answer.getheader("Location")) == (303, "/studies")
    cookie = str(answer.getheader("Set-Cookie"))
    assert "HttpOnly; SameSite=Strict" in cookie
    assert ask(server, "/", Cookie=cookie.split(";")[0])[0].status == 200
    assert ask(server, "/", Cookie="meritree-token=wrong")[0].status == 403


def test_a_folder_or_port_that_cannot_be_used_is_named(tmp_path: Path, start: Start) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        serve(tmp_path / "none")
    taken = start(serve(tmp_path, port=0))
    with pytest.raises(BadInput, match="--port 0"):
        serve(tmp_path, port=taken.server_port)


def test_a_damaged_journal_is_said_and_hides_no_other_run(tmp_path: Path, start: Start) -> None:
    made_run(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.db").write_bytes(b"no database")
    server = start(serve(tmp_path, port=0))
    answer, text = ask(server, "/")
    assert answer.status == 200
    assert "best-first" in text
    assert "not a database" in text
    bad = next(one for one in server.gallery.entries() if one.name == "bad")
    answer, text = ask(server, f"/run/{bad.id}")
    assert answer.status == 500
    assert "run.db" in text
    assert ask(server, "/assets/page.js")[0].status == 200


def test_a_result_that_is_odd_spoils_only_its_own_page(tmp_path: Path, start: Start) -> None:
    odd = {**STUDY, "rows": 7, "provenance": {"seeds": None}}
    (tmp_path / "odd.json").write_text(json.dumps({"full": odd}))
    server = start(serve(tmp_path, port=0))
    (entry,) = server.gallery.entries()
    answer, text = ask(server, f"/study/{entry.id}")
    assert answer.status == 500
    assert "cannot be shown" in text
    assert "Traceback" not in text
    assert ask(server, "/")[0].status == 200
