"""A key is in no text, no file and no child process, whatever the endpoint does with it."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from meritree.respond import ModelError, OpenAIChat, Patience, Request, WrongKey, user
from meritree.respond.codec import encode_reply
from meritree.respond.tape import Tape
from meritree.run.journal import Journal
from meritree.run.sandbox import choose, describe

KEY = "sk-test-0123456789abcdef"
HELLO = Request((user("hello"),))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERITREE_API_KEY", KEY)


def model(base_url: str, **settings: Any) -> OpenAIChat:
    return OpenAIChat("m", base_url, patience=Patience(0), timeout=2, **settings)


def shown(error: BaseException) -> str:
    """All that a debugger-friendly report would print: chain, locals, attributes (without the
    frame of the test, whose locals hold what the endpoint received)."""
    assert error.__traceback__ is not None
    ours = error.with_traceback(error.__traceback__.tb_next)
    report = traceback.TracebackException.from_exception(ours, capture_locals=True)
    return "".join(report.format()) + repr(error) + repr(vars(error))


def test_the_key_is_sent(endpoint: Any, answer: Any, said: Any) -> None:
    raw = endpoint(answer(200, said()))
    model(raw.base_url).ask(HELLO)
    assert raw.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 429, 500])
def test_no_error_shows_the_key_even_if_the_endpoint_repeats_it(
    endpoint: Any, answer: Any, status: int
) -> None:
    bodies: list[Any] = [
        {"error": {"message": f"the key {KEY} is bad", "param": KEY}},
        f"<html>{KEY}</html>".encode(),
        f"{KEY}".encode(),
        {"choices": [{"message": {"content": None, KEY: KEY}}]},
        f'data: {{"error": "{KEY}"}}\n\n'.encode(),
    ]
    for body in bodies:
        raw = endpoint(answer(status, body, {"location": f"http://127.0.0.1/{KEY}"}))
        with pytest.raises(ModelError) as caught:
            model(raw.base_url).ask(HELLO)
        assert KEY not in str(caught.value)


def test_no_traceback_with_locals_shows_the_key(endpoint: Any, answer: Any) -> None:
    for raw in (endpoint(answer(401, {"error": "no"})), endpoint(answer(200, b"{}", cut=1))):
        with pytest.raises(ModelError) as caught:
            model(raw.base_url).ask(HELLO)
        assert KEY not in shown(caught.value)
    with pytest.raises(ModelError) as caught:
        model("http://127.0.0.1:9").ask(HELLO)
    assert KEY not in shown(caught.value)


def test_a_model_does_not_hold_the_key(endpoint: Any, answer: Any, said: Any) -> None:
    one = model(endpoint(answer(200, said())).base_url)
    one.ask(HELLO)
    assert KEY not in repr(one)
    assert KEY not in repr(vars(one))
    assert KEY not in repr(vars(one._connection)) + repr(vars(one._connection._client))


def test_a_reply_that_repeats_the_key_is_masked_in_journal_and_recording(
    endpoint: Any, answer: Any, said: Any, tmp_path: Path
) -> None:
    function = {"name": "view", "arguments": json.dumps({"path": KEY})}
    body = said(f"your key is {KEY}", tool_calls=[{"id": "1", "function": function}])
    raw = endpoint(answer(200, body))
    with Tape(tmp_path / "tape.db") as tape:
        reply = model(raw.base_url, tape=tape).ask(HELLO)
    assert KEY not in repr(reply)
    assert reply.tool_calls[0].arguments == {"path": "[key]"}
    journal = Journal.create(tmp_path / "run.db", {})
    journal.append("reply", encode_reply(reply))
    journal.close()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 2
    for file in files:
        assert KEY.encode() not in file.read_bytes(), file


def test_a_key_goes_to_its_own_provider_only(
    monkeypatch: pytest.MonkeyPatch, endpoint: Any, answer: Any, said: Any
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.delenv("MERITREE_API_KEY")
    raw = endpoint(answer(200, said()))
    model(raw.base_url).ask(HELLO)
    assert "authorization" not in raw.headers[0]
    model(raw.base_url, api_key_env="OPENAI_API_KEY").ask(HELLO)
    assert raw.headers[1]["authorization"] == "Bearer sk-openai"
    assert OpenAIChat("m").address.key_variable == "OPENAI_API_KEY"
    assert OpenAIChat("m", "https://api.anthropic.com/v1").address.key_variable == (
        "ANTHROPIC_API_KEY"
    )


def test_a_redirect_does_not_carry_the_key_elsewhere(endpoint: Any, answer: Any, said: Any) -> None:
    other = endpoint(answer(200, said()))
    raw = endpoint(answer(307, {}, {"location": other.base_url}))
    with pytest.raises(ModelError, match="moved elsewhere"):
        model(raw.base_url).ask(HELLO)
    assert other.bodies == []


def test_a_missing_or_unusable_key_is_told_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("MERITREE_OFFLINE", "0")
    with pytest.raises(WrongKey, match="needs a key; set OPENAI_API_KEY"):
        OpenAIChat("m", retries=0).ask(HELLO)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123\n4567")
    with pytest.raises(WrongKey, match="set OPENAI_API_KEY again") as caught:
        OpenAIChat("m", retries=0).ask(HELLO)
    assert "4567" not in shown(caught.value)


KINDS = [kind.name for kind in describe() if kind.available]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sandboxed_child_does_not_see_the_key(kind: str, tmp_path: Path) -> None:
    """Its own environment is empty; other processes' environments are out of its sight (the
    weakest kind, rlimits, hides no processes: it is not claimed there)."""
    code = (
        "import os, glob\n"
        "print(dict(os.environ))\n"
        "for file in glob.glob('/proc/[0-9]*/environ'):\n"
        f"    if {kind!r} == 'rlimits': break\n"
        "    try: print(open(file, 'rb').read())\n"
        "    except OSError: pass\n"
        "print('looked')\n"
    )
    done = choose(kind).run([sys.executable, "-c", code], cwd=tmp_path, writable=[tmp_path])
    assert b"looked" in done.stdout
    assert KEY.encode() not in done.stdout + done.stderr
