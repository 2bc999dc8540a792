"""Which kind is chosen, and what is said where none can be."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from meritree.errors import BadInput
from meritree.run import sandbox as sandbox_module
from meritree.run.containers import ENGINES
from meritree.run.sandbox import (
    CONFINING,
    KINDS,
    Sandbox,
    SandboxError,
    choose,
    describe,
)

from .sandboxes import run


def test_what_cannot_start_is_named(sandbox: Sandbox, work: Path) -> None:
    with pytest.raises(SandboxError, match="no program no-such-program"):
        sandbox.launch(["no-such-program"], cwd=work)
    if sandbox.kind != "bubblewrap":  # which reports it on the program's stderr
        with pytest.raises(SandboxError, match="gone"):
            sandbox.launch(["true"], cwd=work / "gone")


def test_kinds_are_named_and_described_strongest_first() -> None:
    assert [kind.name for kind in describe()] == list(KINDS)
    assert all(kind.reason for kind in describe())
    available = [kind.name for kind in describe() if kind.available]
    if available != ["rlimits"]:
        assert choose("auto").kind == available[0]
    assert "limits only" in "".join(choose("rlimits").notes)
    with pytest.raises(BadInput, match="no sandbox kind 'jail'"):
        choose("jail")


@pytest.fixture
def fresh_trials() -> Iterator[None]:
    sandbox_module._probe.cache_clear()
    yield
    sandbox_module._probe.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")
def test_a_missing_bubblewrap_is_refused_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch, fresh_trials: None
) -> None:
    monkeypatch.setattr(sandbox_module, "_bubblewrap", lambda: None)
    with pytest.raises(BadInput, match=r"bwrap is not installed .*apt-get install bubblewrap"):
        choose("bubblewrap")
    rest = [one.name for one in describe() if one.available and one.name in CONFINING]
    if rest:
        assert choose("auto").kind == rest[0]
    else:
        with pytest.raises(BadInput, match="apt-get install bubblewrap"):
            choose("auto")


@pytest.mark.skipif(sys.platform != "linux", reason="other kinds are for Linux")
def test_a_machine_that_can_confine_nothing_is_told_so_and_never_gets_limits_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only = {"rlimits": (Sandbox("rlimits", 0), "works")}
    monkeypatch.setattr(sandbox_module, "_probe", lambda kind: only.get(kind, (None, "not here")))
    with pytest.raises(BadInput, match=r"no sandbox works here .*--sandbox rlimits"):
        choose("auto")
    assert choose("rlimits").kind == "rlimits"


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")
def test_a_bubblewrap_that_is_installed_but_refused_does_not_count_as_available(
    monkeypatch: pytest.MonkeyPatch, fresh_trials: None, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sandbox_module, "_bubblewrap", lambda: str(broken))
    found = describe()[0]
    assert (found.name, found.available) == ("bubblewrap", False)
    assert "No permissions" in found.reason
    with pytest.raises(BadInput, match="No permissions"):
        choose("bubblewrap")


@pytest.mark.parametrize("kind", ENGINES)
def test_a_container_engine_that_works_here_confines_a_program(kind: str, work: Path) -> None:
    try:
        sandbox = choose(kind)
    except BadInput as error:
        pytest.skip(str(error))
    done = run(sandbox, work, "import os; open('made', 'w'); print(os.path.exists('/home'))")
    assert (done.returncode, done.stdout) == (0, b"False\n"), done
    assert (work / "made").exists()
    before = set(Path(tempfile.gettempdir()).glob("meritree-control-*"))
    process = sandbox.launch(["sleep", "60"], cwd=work, writable=[work])
    os.killpg(process.pid, signal.SIGKILL)  # no time to tidy up
    process.wait()
    assert set(Path(tempfile.gettempdir()).glob("meritree-control-*")) <= before
