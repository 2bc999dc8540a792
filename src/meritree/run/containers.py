"""Docker and Podman as sandboxes: their command lines, and whether an engine works here.

No image is fetched: the container's root is empty, and the same folders of this machine are shown
in it, read-only, as in the other kinds. What starts the program inside is `_contained`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENGINES = ("docker", "podman")
CONTROL = "/run/meritree"  # where the container sees the folder with its orders
_START = f"import marshal\nfor part in marshal.load(open('{CONTROL}/orders', 'rb'))[0]: exec(part)"
_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answered.

    Attributes:
        name: ``docker`` or ``podman``.
        program: its absolute path.
        root: what the container's root is made of, as arguments of ``run``.
        rootless: user namespaces of its own map our user to another.
    """

    name: str
    program: str
    root: tuple[str, ...]
    rootless: bool = False


def engine_line(
    engine: Engine,
    name: str,
    config: Mapping[str, Any],
    control: str,
    python: str,
    ids: tuple[int, int],
    ceilings: Mapping[str, tuple[int, int]],
) -> list[str]:
    """The command line that starts a container. A pure function.

    Args:
        name: of the container, to remove it by.
        config: as made by `Sandbox`: binds, limits, scratch.
        control: folder on this machine with the orders.
        python: the interpreter that carries them out; visible inside.
        ids: user and group inside.
        ceilings: soft and hard limits of this process, which an engine may not be able to raise.
    """
    limits, memory = config["limits"], config["limits"].get("AS")
    line = [engine.program, "run", "--rm", "--interactive", "--name", name, "--hostname", "sandbox"]
    line += ["--network", "none", "--ipc", "private", "--cap-drop", "ALL", "--read-only"]
    line += ["--security-opt", "no-new-privileges", "--user", f"{ids[0]}:{ids[1]}"]
    line += ["--log-driver", "none", "--shm-size", str(config["scratch"])]
    line += ["--tmpfs", f"/tmp:rw,nosuid,nodev,mode=1777,size={config['scratch']}"]
    for limit, (soft, hard) in {"core": (0, 0), **ceilings}.items():
        line += ["--ulimit", f"{limit}={soft}:{hard}"]
    if limits.get("NPROC") is not None:
        # The engine's own limit; the ulimit would count all processes of the user.
        line += ["--pids-limit", str(limits["NPROC"] + 16)]
    if memory is not None and not engine.rootless:
        line += ["--memory", str(memory), "--memory-swap", str(memory)]
    if engine.name == "podman":
        line += ["--read-only-tmpfs=false"]
    if engine.rootless:
        line += ["--userns", "keep-id"]
    for source, target, may_write in config["binds"]:
        line += ["--mount", _mount(source, target, may_write)]
    line += ["--mount", _mount(control, CONTROL, False), "--workdir", "/"]
    start = (
        f"import marshal\nfor part in marshal.load(open('{CONTROL}/orders', 'rb'))[0]: exec(part)"
    )
    return [*line, *engine.root, python, "-I", "-S", "-c", start]


def _mount(source: str, target: str, may_write: bool) -> str:
    """One --mount argument; its fields are CSV."""
    fields = ["type=bind", f"source={source}", f"target={target}"]
    if not may_write:
        fields.append("readonly")
    return ",".join(_csv(field) for field in fields)


def _csv(field: str) -> str:
    if not any(letter in field for letter in ',"\n'):
        return field
    return '"' + field.replace('"', '""') + '"'


_CEILINGS = {"nofile": (resource.RLIMIT_NOFILE, 1 << 20), "nproc": (resource.RLIMIT_NPROC, 1 << 14)}


def own_ceilings() -> dict[str, tuple[int, int]]:
    """Limits of open files and processes that an engine need not raise: ours at most."""
    found = {}
    for name, (which, most) in _CEILINGS.items():
        soft, hard = (most if n < 0 else min(n, most) for n in resource.getrlimit(which))
        found[name] = (soft, hard)
    return found


# -- is there one? -------------------------------------------------------------------------


def find_engine(name: str, links: Sequence[tuple[str, str]]) -> tuple[Engine | None, str]:
    """An engine that answers, ready to start containers, or why there is none.

    Args:
        links: symbolic links that the root holds beside its folders (``/bin`` to ``usr/bin``).
    """
    program = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
    if program is None:
        return None, f"{name} is not installed"
    code, told = _ask(program, "info", "--format", "json" if name == "podman" else "{{json .}}")
    try:
        info = json.loads(told) if code == 0 else {}
    except ValueError:
        info = {}
    if not isinstance(info, dict) or not info or info.get("ServerErrors"):
        errors = info.get("ServerErrors") if isinstance(info, dict) else None
        why = (errors or told.strip().splitlines() or ["no answer"])[-1]
        return None, f"{name} is installed, but no engine answers ({why[:200]})"
    if name == "podman":
        return Engine(name, program, _root_folder(links), os.geteuid() != 0), ""
    image, problem = _empty_image(program, links)
    return (None, problem) if problem else (Engine(name, program, (image,)), "")


def remove_line(engine: Engine, name: str) -> list[str]:
    """The command line that ends and removes a container."""
    return [engine.program, "rm", "--force", name]


def _ask(program: str, *arguments: str, given: bytes | None = None) -> tuple[int, str]:
    try:
        done = subprocess.run(
            [program, *arguments], input=given, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    text = done.stdout if done.returncode == 0 else done.stderr or done.stdout
    return done.returncode, text.decode(errors="replace")


def _folders() -> tuple[str, ...]:
    return ("proc", "dev", "sys", "tmp", "run", "etc")


def _root_name(links: Sequence[tuple[str, str]]) -> str:
    return hashlib.sha256(json.dumps([_folders(), sorted(links)]).encode()).hexdigest()[:12]


def _root_folder(links: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = cache / "meritree" / f"root-{_root_name(links)}"
    for folder in _folders():
        (root / folder).mkdir(parents=True, exist_ok=True)
    for path, target in links:
        place = root / path.lstrip("/")
        if not place.is_symlink():
            place.symlink_to(target)
    return ("--rootfs", f"{root}:O")  # O: an overlay, so that the folder stays empty


def _empty_image(program: str, links: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The name of an image without a file in it, imported if need be; or what went wrong."""
    image = f"meritree-empty:{_root_name(links)}"
    if _ask(program, "image", "inspect", image)[0] == 0:
        return image, ""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for folder in _folders():
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, target in links:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    code, told = _ask(program, "import", "-", image, given=data.getvalue())
    return (image, "") if code == 0 else ("", f"cannot make an empty image ({told.strip()[:200]})")
