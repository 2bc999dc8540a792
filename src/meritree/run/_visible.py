"""What a confined program may see of this machine: an allow-list of system and Python folders.

Only computes paths; knows nothing of how they are shown.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
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


Ask = Callable[[list[str], tuple[str, ...]], bytes]
"""Runs a program that sees only the given folders beside the system's; returns its output."""


def program_folders(program: Path, ask: Ask) -> tuple[str, ...]:
    """What a program needs to start: for a Python, all its prefixes and import folders.

    The interpreter may be a stranger's, so it is asked inside the sandbox, and what it names
    beyond its own prefixes is shown only if it looks like a folder of Python code.
    """
    real = program.resolve()
    if not real.name.startswith(("python", "pypy")):
        return (str(real.parent), str(program.parent))
    key = (str(program), real.stat().st_mtime)
    if key not in _known:
        _known[key] = _interpreter_folders(program, ask)
    return _known[key]


_known: dict[tuple[str, float], tuple[str, ...]] = {}


def _interpreter_folders(program: Path, ask: Ask) -> tuple[str, ...]:
    own = own_folders(program)
    try:
        told = json.loads(ask([str(program), "-I", "-c", _ASK], own) or b"[]")
    except ValueError:
        told = []
    folders = [f for f in told if isinstance(f, str) and not _too_broad(f)]
    wanted = [f for f in folders if _below(f, own) or _holds_python(f)]
    return tuple(dict.fromkeys((*wanted, *own)))


def own_folders(program: Path) -> tuple[str, ...]:
    """The prefixes of a Python as far as its place and its pyvenv.cfg tell them."""
    found: list[Path] = []
    for binary in (program, program.resolve()):
        prefix = binary.parent.parent
        found += [prefix / "lib", prefix / "lib64"] if _too_broad(str(prefix)) else [prefix]
        found.append(binary.parent)
    return tuple(dict.fromkeys(str(f) for f in found if not _too_broad(str(f))))


def _below(folder: str, tops: Iterable[str]) -> bool:
    real = os.path.realpath(folder)
    return any((real + "/").startswith(os.path.realpath(top) + "/") for top in tops)


def _holds_python(folder: str) -> bool:
    place = Path(folder)
    if not place.is_dir():
        return place.suffix in (".zip", ".egg", ".whl")
    patterns = ("*.py", "*/__init__.py", "*.dist-info", "*.egg-info", "*.so")
    return any(next(place.glob(pattern), None) is not None for pattern in patterns)


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
