"""Record and replay: the same question, the same reply, for nothing."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meritree.errors import BadInput
from meritree.respond import (
    BrokenReply,
    FunctionModel,
    NotRecorded,
    OpenAIChat,
    Patience,
    Prices,
    Request,
    ScriptedModel,
    Tool,
    ledgered,
    user,
)
from meritree.respond.faults import Faults
from meritree.respond.server import ModelServer, Service
from meritree.respond.tape import Mode, Tape
from meritree.run.ledger import Ledger, Limits

HELLO = Request((user("hello"),), temperature=1.0)
PRICES = Prices().extended({"m": {"prompt": 1, "completion": 1}}, "test")


def asked(url: str, tape: Tape, request: Request = HELLO, **settings: Any) -> str:
    return OpenAIChat("m", url, tape=tape, patience=Patience(0), **settings).ask(request).text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tape.db"


def test_equal_questions_keep_their_different_replies(path: Path) -> None:
    with ModelServer(ScriptedModel(["one", "two", "three"])) as server:
        with Tape(path) as tape:
            first = [asked(server.base_url, tape) for _ in range(3)]
            assert server.calls == 3
        with Tape(path) as tape:
            again = [asked(server.base_url, tape) for _ in range(3)]
        assert server.calls == 3
    with Tape(path, "strict") as tape:  # the server is gone, another port does not matter
        gone = [asked("http://127.0.0.1:9/v1", tape) for _ in range(3)]
        assert first == again == gone == ["one", "two", "three"]
        with pytest.raises(NotRecorded, match=r"occurrence 4\) to model 'm'"):
            asked("http://127.0.0.1:9/v1", tape)


def test_streams_and_whole_replies_are_the_same_question(path: Path) -> None:
    pieces: list[str] = []
    with ModelServer(ScriptedModel(["a longer text that comes in pieces"])) as server:
        with Tape(path) as tape:
            streamed = asked(server.base_url, tape, stream=True)
        with Tape(path) as tape:
            assert asked(server.base_url, tape, on_text=pieces.append) == streamed
        with Tape(path) as tape:
            assert asked(server.base_url, tape, stream=False) == streamed
        assert server.calls == 1
    assert "".join(pieces) == streamed


def test_what_is_asked_is_told_apart(path: Path) -> None:
    tool = Tool("view", "Shows.")
    variants = [
        HELLO,
        replace(HELLO, temperature=0.5),
        replace(HELLO, max_tokens=7),
        replace(HELLO, seed=1),
        replace(HELLO, stop=("x",)),
        replace(HELLO, tools=(tool,)),
        replace(HELLO, messages=(user("hello "),)),
        replace(HELLO, extra={"top_k": 1}),
    ]
    count = iter(range(100))
    with ModelServer(FunctionModel(lambda _: str(next(count)))) as server, Tape(path) as tape:
        for one in variants:
            asked(server.base_url, tape, one)
        assert server.calls == len(variants)
        tape_again = Tape(path)
        assert asked(server.base_url, tape_again, replace(HELLO, timeout=5)) == "0"
        other = OpenAIChat("other", server.base_url, tape=tape_again)
        assert other.ask(HELLO).text == str(len(variants))
        tape_again.close()


def test_replayed_calls_cost_nothing_and_need_no_budget(path: Path) -> None:
    with ModelServer(ScriptedModel(["one"])) as server:
        with Tape(path) as tape:
            ledger = Ledger(Limits(usd=1))
            paid = ledgered(OpenAIChat("m", server.base_url, tape=tape, prices=PRICES), ledger)
            reply = paid.ask(HELLO)
            assert (reply.replayed, ledger.snapshot().spent.usd) == (False, reply.usd)
            assert ledger.snapshot().spent.tokens == reply.usage.total > 0
        with Tape(path, "strict") as tape:
            ledger = Ledger(Limits(usd=0, tokens=0))
            free = ledgered(OpenAIChat("m", server.base_url, tape=tape, prices=PRICES), ledger)
            again = free.ask(HELLO)
    assert (again.text, again.usage, again.usd) == (reply.text, reply.usage, 0.0)
    assert again.replayed
    assert again.key == reply.key
    assert ledger.snapshot().spent.tokens == 0


def test_recording_anew_replaces(path: Path) -> None:
    with ModelServer(ScriptedModel(["old", "new"])) as server:
        modes: list[tuple[Mode, str]] = [("replay", "old"), ("record", "new"), ("replay", "new")]
        for mode, text in modes:
            with Tape(path, mode) as tape:
                assert asked(server.base_url, tape) == text
                assert len(tape) == 1


def test_failures_are_not_recorded(path: Path) -> None:
    plan = Faults("429,500,half,malformed,empty,ok")
    with ModelServer(Service(ScriptedModel(["good"], again=True), faults=plan)) as server:
        with Tape(path) as tape:
            chat = OpenAIChat("m", server.base_url, tape=tape, patience=Patience(9, first=0.001))
            assert chat.ask(HELLO).text == "good"
            assert len(tape) == 1
        with Tape(path, "strict") as tape:
            assert asked(server.base_url, tape) == "good"


def test_half_a_stream_is_not_recorded(path: Path) -> None:
    service = Service(ScriptedModel(["word " * 50]), faults=Faults("half"))
    with ModelServer(service) as server, Tape(path) as tape:
        with pytest.raises(BrokenReply):
            asked(server.base_url, tape, stream=True)
        assert len(tape) == 0


def test_a_resumed_run_goes_on_after_what_it_used(path: Path) -> None:
    with ModelServer(ScriptedModel(["one", "two"])) as server:
        with Tape(path) as tape:
            used = OpenAIChat("m", server.base_url, tape=tape).ask(HELLO)
            asked(server.base_url, tape)
        with Tape(path, "strict") as tape:
            tape.resume_after([used.key])
            assert asked(server.base_url, tape) == "two"


def test_threads_share_a_recording(path: Path) -> None:
    count = iter(range(1000))
    with ModelServer(FunctionModel(lambda _: str(next(count)))) as server, Tape(path) as tape:
        chat = OpenAIChat("m", server.base_url, tape=tape)
        with ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(lambda _: chat.ask(HELLO).text, range(50)))
        assert len(set(texts)) == len(tape) == 50
    with Tape(path, "strict") as tape:
        again = [asked("http://127.0.0.1:9/v1", tape) for _ in range(50)]
    assert sorted(again) == sorted(texts)


def test_a_lesson_about_the_dialect_does_not_change_the_question(
    path: Path, endpoint: Any, answer: Any, said: Any
) -> None:
    no = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    raw = endpoint(answer(400, {"error": {"message": no}}), answer(200, said("learnt")))
    with Tape(path) as tape:
        assert asked(raw.base_url, tape) == "learnt"
    with Tape(path, "strict") as tape:
        assert asked(raw.base_url, tape) == "learnt"


def test_wrong_files_and_modes_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        Tape(path, "strict")
    with pytest.raises(BadInput, match="allowed are record, replay, strict"):
        Tape(path, "sometimes")  # type: ignore[arg-type]
    path.write_text("no database at all, but long enough to be looked at" * 20)
    with pytest.raises(BadInput, match="cannot be opened"):
        Tape(path)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(BadInput, match="another kind"):
        Tape(other)
