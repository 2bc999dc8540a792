"""What a confined program may see of this machine: an allow-list of system and Python folders.

Only computes paths; knows nothing of how they are shown.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store")
# Not the whole of /etc: a confined root could read the keys and password hashes in it.
_ETC = """ld.so.cache ld.so.conf ld.so.conf.d localtime timezone passwd group nsswitch.conf hosts
    host.conf services protocols mime.types magic alternatives os-release debian_version terminfo
    fonts locale.alias locale.conf default/locale ssl/certs ssl/openssl.cnf ca-certificates
    pki/tls/certs pki/tls/cert.pem pki/ca-trust/extracted python3 python3.11 python3.12 python3.13
    inputrc shells gai.conf bash.bashrc profile"""
_SYS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
_ASK = (
    "import json, sys, sysconfig; print(json.dumps([sys.prefix, sys.base_prefix, sys.exec_prefix,"
    " sys.base_exec_prefix, *sysconfig.get_paths().values(), *sys.path]))"
)


def system_files() -> list[str]:
    """System folders and files that exist here."""
    etc = [f"/etc/{name}" for name in _ETC.split()]
    return [path for path in (*SYSTEM, *etc, *_SYS) if os.path.exists(path)]


def program_folders(program: Path) -> tuple[str, ...]:
    """What a program needs to start: for a Python, all its prefixes and import folders."""
    real = program.resolve()
    if not real.name.startswith(("python", "pypy")):
        return (str(real.parent), str(program.parent))
    return _interpreter_folders(str(program), real.stat().st_mtime)


@functools.lru_cache(maxsize=64)
def _interpreter_folders(python: str, changed: float) -> tuple[str, ...]:
    # The user's own interpreter, isolated from the working folder and the environment.
    try:
        told = subprocess.run([python, "-I", "-c", _ASK], capture_output=True, timeout=30, env={})
        folders: Iterable[str] = json.loads(told.stdout) if told.returncode == 0 else ()
    except (OSError, subprocess.TimeoutExpired, ValueError):
        folders = ()
    binaries = (os.path.dirname(python), os.path.dirname(os.path.realpath(python)))
    return tuple(dict.fromkeys(f for f in (*folders, *binaries) if f and not _too_broad(f)))


def _too_broad(folder: str) -> bool:
    """A folder that holds the home folder (or is it) would show every secret in it."""
    home = os.path.realpath(os.path.expanduser("~"))
    return not os.path.isabs(folder) or (home + "/").startswith(
        os.path.realpath(folder).rstrip("/") + "/"
    )


Bind = tuple[str, str, bool]  # (real path outside, path inside, writable)


def layout(
    readable: Sequence[str], writable: Sequence[str]
) -> tuple[list[Bind], list[tuple[str, str]]]:
    """Binds (outer before inner) and symbolic links that make these paths appear inside.

    A path is shown under the name given and under its real name, so that either works.
    """
    links = [(p, os.readlink(p)) for p in SYSTEM if os.path.islink(p)]
    linked = {path for path, _ in links}
    shown: dict[str, Bind] = {}
    for paths, may_write in ((readable, False), (writable, True)):
        for path in paths:
            if path in linked or not os.path.exists(path):
                continue
            real = os.path.realpath(path)
            for name in (real, os.path.abspath(path)):
                if name not in shown or may_write:
                    shown[name] = (real, name, may_write)
    needed: list[Bind] = []
    for name in sorted(shown, key=lambda n: (n.count("/"), n)):
        real, _, may_write = shown[name]
        outer = [b for b in needed if name.startswith(b[1].rstrip("/") + "/")]
        inside = outer[-1] if outer else None
        same = inside is not None and inside[0] + name[len(inside[1]) :] == real
        if not (same and inside is not None and inside[2] == may_write):
            needed.append((real, name, may_write))
    return needed, links
