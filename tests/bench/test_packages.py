"""Source distributions: found, checked, unpacked safely, laid out the same every time."""

from __future__ import annotations

import hashlib
import io
import tarfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from meritree.bench import packages as room
from meritree.bench.catalogue import PACKAGES
from meritree.bench.packages import Package, fetch, lay_out, select, source_files, unpack
from meritree.errors import BadInput

FILES = {
    "pkg/__init__.py": "def one():\n    return 1\n",
    "pkg/tables.txt": "1 2\n",
    "pkg/tests/test_one.py": "from pkg import one\n\n\ndef test_one():\n    assert one() == 1\n",
    "pkg/tests/test_slow.py": "import missing\n",
    "setup.py": "raise SystemExit('must never run')\n",
}


def make_sdist(folder: Path, files: dict[str, str], name: str = "pkg-1.0.tar.gz") -> Path:
    path = folder / name
    with tarfile.open(path, "w:gz") as tar:
        for member, text in files.items():
            info = tarfile.TarInfo(f"pkg-1.0/{member}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def package_of(archive: Path) -> Package:
    return Package(
        name="pkg",
        version="1.0",
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        code=("pkg",),
        tests=("pkg/tests",),
        without=("pkg/tests/test_slow.py",),
    )


def test_a_distribution_placed_by_hand_is_used_without_an_index(tmp_path: Path) -> None:
    archive = make_sdist(tmp_path, FILES)
    assert fetch(package_of(archive), data=tmp_path, cache=tmp_path / "cache") == archive


def test_another_spelling_of_the_file_name_is_found(tmp_path: Path) -> None:
    archive = make_sdist(tmp_path, FILES, "My_Pkg-1.0.tar.gz")
    package = replace(package_of(archive), name="my-pkg")
    assert fetch(package, data=tmp_path, cache=tmp_path / "cache") == archive


def test_a_changed_distribution_is_refused_with_its_hash(tmp_path: Path) -> None:
    archive = make_sdist(tmp_path, FILES)
    package = package_of(archive)
    archive.write_bytes(archive.read_bytes() + b"x")
    with pytest.raises(BadInput, match="expected " + package.sha256[:12]):
        fetch(package, data=tmp_path, cache=tmp_path / "cache")


def test_without_an_index_the_message_names_the_package_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("PIP_NO_INDEX", "1"),
        ("PIP_FIND_LINKS", ""),
        ("PIP_CONFIG_FILE", "/dev/null"),
    ):
        monkeypatch.setenv(name, value)
    package = replace(package_of(make_sdist(tmp_path, FILES)), name="no-such-pkg")
    with pytest.raises(BadInput, match=r"no-such-pkg-1\.0 cannot be fetched.*--data DIR"):
        fetch(package, cache=tmp_path / "cache")


def test_a_layout_has_code_and_tests_and_nothing_that_is_left_out(tmp_path: Path) -> None:
    archive = make_sdist(tmp_path, FILES)
    package = package_of(archive)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        lay_out(package, archive, tmp_path / name)
    found = {
        path.relative_to(tmp_path / "a").as_posix(): path.read_text()
        for path in (tmp_path / "a").rglob("*")
        if path.is_file()
    }
    kept = {k: v for k, v in FILES.items() if k not in ("setup.py", "pkg/tests/test_slow.py")}
    configuration = found.pop("pytest.ini")
    assert found == kept
    assert "testpaths = pkg/tests" in configuration
    assert (tmp_path / "b" / "pytest.ini").read_text() == configuration
    assert source_files(package, tmp_path / "a") == ("pkg/__init__.py",)


def test_a_layout_of_the_wrong_archive_says_what_is_missing(tmp_path: Path) -> None:
    archive = make_sdist(tmp_path, FILES)
    with pytest.raises(BadInput, match="holds no other"):
        lay_out(replace(package_of(archive), code=("other",)), archive, tmp_path / "out")


@pytest.mark.parametrize("member", ["../../outside.txt", "/absolute.txt"])
def test_members_that_leave_the_folder_do_not(tmp_path: Path, member: str) -> None:
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("evil-1/ok.txt", member):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    inside = tmp_path / "deep" / "inside"
    with suppress(BadInput):  # refused, or made relative: either way nothing gets out
        unpack(path, inside)
    assert not (tmp_path / "outside.txt").exists()
    assert not Path("/absolute.txt").exists()


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("evil-1/link")
        info.type = tarfile.SYMTYPE
        info.linkname = "../../../etc/passwd"
        tar.addfile(info)
    with pytest.raises(BadInput, match="cannot be unpacked"):
        unpack(path, tmp_path / "inside")


def test_damaged_archives_and_bombs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(b"no archive")
    with pytest.raises(BadInput, match="cannot be unpacked"):
        unpack(broken, tmp_path / "one")
    monkeypatch.setattr(room, "MAX_UNPACKED_BYTES", 10)
    with pytest.raises(BadInput, match="limit"):
        unpack(make_sdist(tmp_path, FILES), tmp_path / "two")


def test_the_catalogue_is_complete_and_unambiguous() -> None:
    names = [package.name for package in PACKAGES]
    assert len(names) == len(set(names)) >= 12
    for package in PACKAGES:
        assert len(package.sha256) == 64
        assert int(package.sha256, 16) >= 0
        assert package.code
        assert package.tests


def test_packages_are_selected_by_name_and_unknown_names_are_refused() -> None:
    assert [p.name for p in select(["toolz", "boltons"], PACKAGES)] == ["boltons", "toolz"]
    assert select([], PACKAGES) == PACKAGES
    with pytest.raises(BadInput, match="no package 'numpy'"):
        select(["numpy"], PACKAGES)
