"""MERITREE_OFFLINE=1 refuses every socket but loopback, whoever opens it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from meritree.respond import Offline, OpenAIChat, Patience, Request, echo_model, user
from meritree.respond.offline import check_host, is_loopback, is_offline
from meritree.respond.server import ModelServer

ELSEWHERE = "192.0.2.1"  # kept for documentation: nobody is there


def test_the_tests_run_offline_here_and_in_ci() -> None:
    assert os.environ["MERITREE_OFFLINE"] == "1"
    assert is_offline()
    script = (Path(__file__).parents[2] / ".ci" / "run").read_text("utf-8")
    assert "\nexport MERITREE_OFFLINE=1" in script


def test_a_socket_to_another_machine_is_refused() -> None:
    with socket.socket() as tcp, pytest.raises(Offline, match=f"forbids to reach {ELSEWHERE}"):
        tcp.connect((ELSEWHERE, 80))
    with socket.socket() as tcp, pytest.raises(Offline):
        tcp.connect_ex((ELSEWHERE, 80))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(Offline):
        udp.sendto(b"x", (ELSEWHERE, 53))
    with socket.socket(socket.AF_INET6) as tcp6, pytest.raises(Offline):
        tcp6.connect(("2001:db8::1", 80))


def test_not_even_a_name_is_looked_up() -> None:
    with pytest.raises(Offline, match=r"example\.org"):
        socket.getaddrinfo("example.org", 443)
    with pytest.raises(Offline):
        socket.gethostbyname("example.org")


def test_other_libraries_are_held_too() -> None:
    with pytest.raises((Offline, urllib.error.URLError)) as caught:
        urllib.request.urlopen(f"http://{ELSEWHERE}/", timeout=5)
    reason = getattr(caught.value, "reason", caught.value)
    assert isinstance(reason, Offline)


def test_loopback_is_open() -> None:
    with ModelServer(echo_model()) as server:
        port = server.port
        socket.create_connection(("localhost", port)).close()
        assert OpenAIChat("m", f"http://127.0.0.1:{port}").ask(Request((user("x"),))).text == "x"
    left, right = socket.socketpair()
    left.sendall(b"x")
    assert right.recv(1) == b"x"
    left.close()
    right.close()


def test_the_switch_can_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "0"):
        monkeypatch.setenv("MERITREE_OFFLINE", value)
        check_host("example.org")


def test_a_model_elsewhere_is_refused_before_a_socket_is_made() -> None:
    model = OpenAIChat("m", f"http://{ELSEWHERE}", patience=Patience(0))
    with pytest.raises(Offline, match="serve-model"):
        model.ask(Request((user("x"),)))
    assert model._connection._client is None


def test_a_process_of_its_own_is_held_by_the_variable_alone() -> None:
    code = (
        "import socket\n"
        "from meritree.respond import OpenAIChat, Request, user\n"
        "try: OpenAIChat('m', 'http://127.0.0.1:9', retries=0).ask(Request((user('x'),)))\n"
        "except Exception as error: print(type(error).__name__)\n"
        f"try: socket.create_connection(('{ELSEWHERE}', 80), 5)\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    environment = os.environ | {"MERITREE_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["EndpointDown", "Offline"]


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True),
        ("localhost", True), ("LOCALHOST.", True), ("a.localhost", True),
        ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("10.0.0.1", False),
        ("localhost.example.org", False), ("127.0.0.1.example.org", False), ("", False),
        ("::ffff:192.0.2.1", False),
    ],
)  # fmt: skip
def test_loopback_is_told_from_what_looks_like_it(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours
