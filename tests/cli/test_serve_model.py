"""`meritree serve-model` as a second process, asked as a real client would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meritree.cli.app import run
from meritree.respond import (
    OpenAIChat,
    Overloaded,
    Patience,
    Request,
    TextTools,
    Tool,
    echo_model,
    user,
)
from meritree.respond.server import ModelServer

HELLO = Request((user("hello"),))
VIEW = Tool("view", "Shows.", {"type": "object", "properties": {"path": {"type": "string"}}})
Serve = Callable[..., tuple[str, subprocess.Popen[str]]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[subprocess.Popen[str]] = []

    def start(*options: str, **environment: str) -> tuple[str, subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", "from meritree.cli.app import main; main()", "serve-model",
             *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | environment,
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip(), process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_a_scripted_model_is_served_with_tools_and_faults(serve: Serve, tmp_path: Path) -> None:
    script = tmp_path / "replies.jsonl"
    calls = [{"name": "view", "arguments": {"path": "a.py"}}]
    script.write_text(
        json.dumps({"text": "hi"})
        + "\n\n"
        + json.dumps({"tool_calls": calls})
        + "\n"
        + json.dumps({"text": "```call\nview\npath: b.py\n```"})
    )
    url, process = serve("--model", f"scripted:{script}", "--errors", "429,ok")
    model = OpenAIChat("any", url, patience=Patience(1, first=0.01))
    assert model.ask(HELLO).text == "hi"
    called = OpenAIChat("any", url, patience=Patience(1, first=0.01), stream=True).ask(HELLO)
    assert called.tool_calls[0].arguments == {"path": "a.py"}
    plain = TextTools(model).ask(Request((user("go"),), (VIEW,)))
    assert plain.tool_calls[0].arguments == {"path": "b.py"}
    with pytest.raises(Overloaded):
        OpenAIChat("any", url, retries=0).ask(HELLO)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "served 7 calls" in said


def test_only_this_machine_is_served() -> None:
    with ModelServer(echo_model()) as server:
        assert server._server.socket.getsockname() == ("127.0.0.1", server.port)


def test_names_keys_and_the_list_of_models(serve: Serve) -> None:
    url, _ = serve("--name", "one", "--name", "two", "--key-env", "K", "--quiet", K="sk-1234")
    request = urllib.request.Request(f"{url}/models", headers={"authorization": "Bearer sk-1234"})
    with urllib.request.urlopen(request) as response:
        assert [one["id"] for one in json.load(response)["data"]] == ["one", "two"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{url}/models")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model", "gpt-9"],
            "no such kind of local model; known are echo, noisy, repair, scripted",
        ),
        (["--model", "scripted:/nowhere.jsonl"], "cannot be read"),
        (["--model", "scripted:"], "name its file"),
        (["--model", "noisy:often:echo"], "is no rate"),
        (["--model", "noisy:7:echo"], "impossible; give 0 to 1"),
        (["--model", "echo:x"], "takes no argument"),
        (["--errors", "418"], "known are 429"),
        (["--errors", "429:2"], "between 0 and 1"),
        (["--errors", "429:0.5,ok"], "not both"),
        (["--errors", "429:0.9,500:0.9"], "more than 1"),
        (["--key-env", "NO_SUCH_VARIABLE"], "is empty"),
    ],
)
def test_bad_input_is_told(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve-model", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run(["serve-model", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be used" in capsys.readouterr().err


def test_a_script_with_a_wrong_line_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in (
        "no json",
        "[]",
        '{"text": 3}',
        '{"tool_calls": [{"arguments": {}}]}',
        '{"usd": "x"}',
    ):
        script = tmp_path / "replies.jsonl"
        script.write_text(f'{{"text": "fine"}}\n{line}\n')
        assert run(["serve-model", "--model", f"scripted:{script}"]) == 2
        assert "line 2 is no reply" in capsys.readouterr().err
    script.write_text("\n")
    assert run(["serve-model", "--model", f"scripted:{script}"]) == 2
    assert "is empty" in capsys.readouterr().err
