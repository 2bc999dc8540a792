"""Command lines of container engines, and what is said where no engine answers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from meritree.run import containers
from meritree.run.containers import Engine, engine_line, find_engine, own_ceilings, remove_line
from meritree.run.sandbox import describe

CONFIG: dict[str, Any] = {
    "limits": {"AS": 1 << 30, "NPROC": 100, "FSIZE": 5},
    "scratch": 1 << 20,
    "binds": [("/usr", "/usr", False), ("/w,x", "/w,x", True)],
}
DOCKER = Engine("docker", "/usr/bin/docker", ("meritree-empty:1",))
PODMAN = Engine("podman", "/usr/bin/podman", ("--rootfs", "/r:O"), rootless=True)


def line_of(engine: Engine) -> list[str]:
    ceilings = {"nofile": (10, 20)}
    return engine_line(engine, "box", CONFIG, "/c", "/usr/bin/python3", (7, 8), ceilings)


def after(line: list[str], option: str) -> list[str]:
    return [line[at + 1] for at, word in enumerate(line) if word == option]


@pytest.mark.parametrize("engine", [DOCKER, PODMAN], ids=lambda e: e.name)
def test_a_container_has_no_network_no_capabilities_and_a_read_only_root(engine: Engine) -> None:
    line = line_of(engine)
    assert line[:2] == [engine.program, "run"]
    assert {"--rm", "--read-only"} <= set(line)
    assert after(line, "--network") == ["none"]
    assert after(line, "--cap-drop") == ["ALL"]
    assert after(line, "--security-opt") == ["no-new-privileges"]
    assert after(line, "--user") == ["7:8"]
    assert after(line, "--pids-limit") == ["116"]
    assert after(line, "--ulimit") == ["core=0:0", "nofile=10:20"]
    assert not {"--privileged", "--env", "--pid", "--device", "--cap-add"} & set(line)
    at = line.index(engine.root[-1])
    assert line[at + 1] == "/usr/bin/python3"


def test_only_writable_folders_are_mounted_writable_and_commas_survive() -> None:
    mounts = [next(csv.reader([text])) for text in after(line_of(DOCKER), "--mount")]
    assert mounts == [
        ["type=bind", "source=/usr", "target=/usr", "readonly"],
        ["type=bind", "source=/w,x", "target=/w,x"],
        ["type=bind", "source=/c", "target=/run/meritree", "readonly"],
    ]


def test_memory_is_bounded_for_the_whole_container_where_the_engine_can() -> None:
    assert after(line_of(DOCKER), "--memory") == after(line_of(DOCKER), "--memory-swap")
    assert after(line_of(DOCKER), "--memory") == [str(1 << 30)]
    assert "--memory" not in line_of(PODMAN)
    assert after(line_of(PODMAN), "--userns") == ["keep-id"]
    assert remove_line(PODMAN, "box") == ["/usr/bin/podman", "rm", "--force", "box"]


def test_no_ceiling_is_above_our_own() -> None:
    for soft, hard in own_ceilings().values():
        assert 0 < soft <= hard


def fake_engine(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(containers.shutil, "which", lambda *_, **__: str(program))


def test_a_missing_engine_and_one_without_a_daemon_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers.shutil, "which", lambda *_, **__: None)
    assert find_engine("docker", []) == (None, "docker is not installed")
    fake_engine(tmp_path, 'echo \'{"ServerErrors": ["nobody listens"]}\'', monkeypatch)
    engine, why = find_engine("docker", [])
    assert engine is None
    assert "no engine answers (nobody listens)" in why


def test_docker_gets_an_empty_image_of_its_own_without_any_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"""echo "$@" >> {tmp_path}/calls
case "$1" in
  info) echo '{{"ServerVersion": "1"}}' ;;
  image) exit 1 ;;
  import) tar -tf - > {tmp_path}/listing ;;
esac"""
    fake_engine(tmp_path, script, monkeypatch)
    engine, why = find_engine("docker", [("/bin", "usr/bin")])
    assert why == ""
    assert engine is not None
    assert engine.root[0].startswith("meritree-empty:")
    assert {"bin", "proc", "tmp"} <= set(
        (tmp_path / "listing").read_text().replace("/", "").split()
    )
    assert "pull" not in (tmp_path / "calls").read_text()


def test_the_kinds_say_why_no_engine_can_be_used() -> None:
    for kind in describe():
        if kind.name in ("docker", "podman") and not kind.available:
            assert kind.reason
