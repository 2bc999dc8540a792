"""Real packages for benchmarks: fetched by name, checked by hash, laid out as repositories.

Nothing of a package is ever committed: source distributions live in the user's cache
folder, fetched by pip from whichever index it is set up for. Knows nothing of faults.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from meritree.errors import BadInput

FETCH_SECONDS = 300
MAX_UNPACKED_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Package:
    """One package whose source distribution carries tests that need nothing else.

    Attributes:
        name, version: as on the package index.
        sha256: of the source distribution.
        code: folders or files of the package itself, relative to the distribution's root.
        tests: folders or files of tests.
        without: glob patterns (relative paths) left out of the layout: tests that need
            other packages, generated tables, configuration for tools that are not there.
        skipped: node ids of tests deselected because they are slow or depend on the clock.
        pythonpath: folders from which the package is imported.
        settings: further lines of the layout's ``pytest.ini``.
    """

    name: str
    version: str
    sha256: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    pythonpath: tuple[str, ...] = (".",)
    settings: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """``name-version``, as in file names."""
        return f"{self.name}-{self.version}"


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/meritree`` (``~/.cache/meritree`` where that is not set)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "meritree"


def fetch(package: Package, *, data: Path | None = None, cache: Path | None = None) -> Path:
    """The package's source distribution as a file, from ``data``, the cache or an index.

    Looked for in this order: the folder ``data`` (placed there by hand), the cache folder,
    the index that pip is set up for. pip checks the hash before it looks inside, and it is
    checked again here on every use. Reading the metadata of a source distribution may run
    its build script, as any ``pip download`` of one does.

    Raises:
        BadInput: the file has another hash, or no index can be reached.
    """
    store = (cache or cache_folder()) / "sdists"
    for folder in (data, store):
        found = _find(package, folder)
        if found is not None:
            return _checked(package, found)
    return _download(package, store)


def unpack(archive: Path, destination: Path) -> Path:
    """Unpack a source distribution below ``destination``; return its single top folder.

    Members that would land outside, links that point outside and device files are refused
    (`tarfile` filter ``data``), and so is an archive that unpacks to more than 64 MiB.

    Raises:
        BadInput: the archive is damaged, unsafe, too large, or has several top folders.
    """
    destination.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            size = sum(member.size for member in tar.getmembers())
            if size > MAX_UNPACKED_BYTES:
                raise BadInput(f"{archive.name} unpacks to {size} bytes; 64 MiB is the limit")
            tar.extractall(destination, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(f"{archive} cannot be unpacked ({error}); fetch it again") from error
    tops = [path for path in destination.iterdir() if path.is_dir()]
    if len(tops) != 1:
        raise BadInput(f"{archive.name} holds {len(tops)} top folders; a source distribution has 1")
    return tops[0]


def lay_out(package: Package, archive: Path, destination: Path) -> None:
    """Write the package's code and tests to ``destination`` as a small repository.

    Only what the table names is copied; a ``pytest.ini`` of ours takes the place of the
    package's own tool configuration. The same archive always gives the same files.

    Raises:
        BadInput: the archive cannot be unpacked or lacks a path that the table names.
    """
    with tempfile.TemporaryDirectory(prefix="meritree-sdist-") as scratch:
        root = unpack(archive, Path(scratch))
        for name in (*package.code, *package.tests):
            source, target = root / name, destination / name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=_ignore(package, root))
            elif source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            else:
                raise BadInput(f"{archive.name} holds no {name}; is it {package.key}?")
    (destination / "pytest.ini").write_text(_configuration(package), encoding="utf-8")


def source_files(package: Package, root: Path) -> tuple[str, ...]:
    """Relative paths of the package's own Python files (tests left out), sorted."""
    files = set()
    for name in package.code:
        start = root / name
        for path in [start] if start.is_file() else start.rglob("*.py"):
            relative = path.relative_to(root).as_posix()
            if path.suffix == ".py" and not _is_test(package, relative):
                files.add(relative)
    return tuple(sorted(files))


def select(names: Sequence[str], table: Iterable[Package]) -> tuple[Package, ...]:
    """The packages named (all where ``names`` is empty), in the table's order.

    Raises:
        BadInput: a name that the table does not hold.
    """
    packages = tuple(table)
    known = {package.name for package in packages}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadInput(
            f"no package {unknown[0]!r} in the benchmark; choose from {', '.join(sorted(known))}"
        )
    return tuple(package for package in packages if not names or package.name in names)


def _is_test(package: Package, relative: str) -> bool:
    parts = Path(relative).parts
    return (
        any(relative == test or relative.startswith(f"{test}/") for test in package.tests)
        or parts[-1].startswith("test_")
        or parts[-1] in ("conftest.py", "tests.py", "test.py")
        or any(part in ("tests", "test") for part in parts[:-1])
    )


def _find(package: Package, folder: Path | None) -> Path | None:
    if folder is None or not folder.is_dir():
        return None
    wanted = _normal(f"{package.key}.tar.gz")
    return next((path for path in sorted(folder.iterdir()) if _normal(path.name) == wanted), None)


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _checked(package: Package, path: Path) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise BadInput(
            f"{path} has sha256 {found[:12]}..., expected {package.sha256[:12]}... for "
            f"{package.key}; remove it and run again to fetch a fresh one"
        )
    return path


def _download(package: Package, store: Path) -> Path:
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="meritree-fetch-", dir=store) as scratch:
        wanted = Path(scratch) / "wanted.txt"
        wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        arguments = ["--no-binary", ":all:", "--no-deps", "--require-hashes", "--quiet"]
        command = [sys.executable, "-m", "pip", "download", *arguments]
        command += ["--dest", scratch, "--requirement", str(wanted)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
            )
            reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        except subprocess.TimeoutExpired:
            reason = [f"no answer within {FETCH_SECONDS} s"]
        found = _find(package, Path(scratch))
        if found is None:
            raise BadInput(
                f"package {package.key} cannot be fetched: {' '.join(reason) or 'no file came'}. "
                f"Without an index, place {package.key}.tar.gz in a folder by hand and give "
                "that folder with --data DIR"
            )
        return _checked(package, found.replace(store / f"{package.key}.tar.gz"))


def _ignore(package: Package, root: Path) -> Callable[[str, list[str]], list[str]]:
    def ignore(folder: str, names: list[str]) -> list[str]:
        base = Path(folder).relative_to(root)
        dropped = [name for name in names if name == "__pycache__" or name.endswith(".pyc")]
        for name in names:
            relative = (base / name).as_posix()
            if any(fnmatch(relative, pattern) for pattern in package.without):
                dropped.append(name)
        return dropped

    return ignore


def _configuration(package: Package) -> str:
    options = ["-p no:cacheprovider", *(f'--deselect "{test}"' for test in package.skipped)]
    lines = [
        "[pytest]",
        f"testpaths = {' '.join(package.tests)}",
        f"pythonpath = {' '.join(package.pythonpath)}",
        f"addopts = {' '.join(options)}",
        "filterwarnings = ignore",
        *package.settings,
    ]
    return "\n".join(lines) + "\n"
