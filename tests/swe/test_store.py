"""The object store against the git program: equal names, patches that apply, nothing lost."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput, MeritreeError
from meritree.swe.git_diff import patch_bytes
from meritree.swe.source_text import read_source, write_source
from meritree.swe.store import ObjectStore

GIT_ENV = {
    **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(folder: Path, *words: str, data: bytes | None = None) -> str:
    done = subprocess.run(
        ["git", "-c", "core.autocrlf=false", *words],
        cwd=folder,
        env=GIT_ENV,
        input=data,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="surrogateescape").strip()


def git_tree(folder: Path) -> str:
    """The hash that the git program gives to everything in a folder that is not ignored."""
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "-A")
    return git(folder, "write-tree")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "store")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "pkg" / "sub").mkdir(parents=True)
    (root / "pkg.d").mkdir()
    (root / "pkg" / "__init__.py").write_text("")
    (root / "pkg" / "core.py").write_text("def f(x):\n    return x + 1\n")
    (root / "pkg" / "sub" / "crlf.py").write_bytes(b"a = 1\r\nb = 2\r\n")
    (root / "pkg" / "sub" / "latin.py").write_bytes(b"# coding: latin-1\ns = '\xe9'\n")
    (root / "pkg" / "no_newline.py").write_text("x = 1")
    (root / "pkg.d" / "data.bin").write_bytes(bytes(range(256)))
    (root / "pkg-a.txt").write_text("sorts before the folder\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("pkg/core.py")
    (root / "folder-link").symlink_to("pkg")
    return root


def test_a_folder_has_the_name_that_git_gives_it(project: Path, store: ObjectStore) -> None:
    plain = store.snapshot_folder(project)
    assert plain.tree == git_tree(project)
    assert plain.files == len(store.paths(plain.tree)) == 10
    assert store.snapshot_folder(project).tree == plain.tree  # now a git repository
    git(store.path, "fsck", "--strict")
    assert git(store.path, "cat-file", "-t", plain.tree) == "tree"


def test_uncommitted_changes_are_part_of_the_state(project: Path, store: ObjectStore) -> None:
    git_tree(project)
    git(project, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")
    before = store.snapshot_folder(project).tree
    (project / "pkg" / "core.py").write_text("changed = True\n")
    (project / "new.py").write_text("new = True\n")
    (project / "run.sh").unlink()
    status = git(project, "status", "--porcelain")
    after = store.snapshot_folder(project)
    assert after.tree != before
    assert "run.sh" not in store.paths(after.tree)
    assert store.read(after.tree, "new.py") == b"new = True\n"
    assert git(project, "status", "--porcelain") == status  # the index was not touched
    assert after.tree == git_tree(project)


def test_ignore_rules_are_those_of_git(project: Path, store: ObjectStore) -> None:
    (project / ".gitignore").write_text("*.log\n/out/\n!keep.log\npkg/sub/*.tmp\n")
    (project / "pkg" / ".gitignore").write_text("local.py\n")
    for name in ("a.log", "keep.log", "out/x.py", "pkg/local.py", "pkg/sub/b.tmp", "pkg/out/y.py"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("x\n")
    (project / "out" / "tracked.py").write_text("tracked = 1\n")
    git(project, "init", "-q")
    git(project, "add", "-f", "out/tracked.py")
    found = store.snapshot_folder(project)
    paths = store.paths(found.tree)
    assert {"keep.log", "out/tracked.py", "pkg/out/y.py"} <= set(paths)
    assert not {"a.log", "out/x.py", "pkg/local.py", "pkg/sub/b.tmp"} & set(paths)
    assert found.tree == git_tree(project)


def test_a_plain_folder_leaves_out_caches_environments_and_build_output(
    project: Path, store: ObjectStore
) -> None:
    expected = store.snapshot_folder(project).tree
    for name in ("pkg/__pycache__/a.pyc", "build/lib/a.py", "my-env/pyvenv.cfg", "my-env/lib/b.py"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x\n")
    (project / "secret.txt").write_text("x\n")
    assert store.snapshot_folder(project, ignore=["/secret.txt"]).tree == expected


def test_what_cannot_be_stored_is_reported(project: Path, store: ObjectStore) -> None:
    expected = store.snapshot_folder(project).tree
    with (project / "huge.bin").open("wb") as huge:
        huge.truncate(20_000_001)
    os.mkfifo(project / "pipe")
    found = store.snapshot_folder(project)
    assert found.tree == expected
    assert "larger than 20 MB" in found.skipped["huge.bin"]
    assert "not a regular file" in found.skipped["pipe"]
    with pytest.raises(BadInput, match="no such folder"):
        store.snapshot_folder(project / "gone")


def test_changed_states_have_the_names_that_git_gives_them(
    project: Path, store: ObjectStore
) -> None:
    base = store.snapshot_folder(project).tree
    one = store.tree_with(base, {"pkg/core.py": "def f(x):\n    return x + 2\n"})
    (project / "pkg" / "core.py").write_text("def f(x):\n    return x + 2\n")
    assert one == git_tree(project)
    two = store.tree_with(
        one, {"pkg/deep/er/new.py": "n = 1\n", "run.sh": None, "pkg/sub/crlf.py": "a = 3\nb = 4\n"}
    )
    (project / "pkg" / "deep" / "er").mkdir(parents=True)
    (project / "pkg" / "deep" / "er" / "new.py").write_text("n = 1\n")
    (project / "run.sh").unlink()
    (project / "pkg" / "sub" / "crlf.py").write_bytes(b"a = 3\r\nb = 4\r\n")
    assert two == git_tree(project)
    back = {"pkg/core.py": "def f(x):\n    return x + 1\n"}
    assert store.tree_with(store.tree_with(base, {"pkg/core.py": "y\n"}), back) == base


def test_the_last_file_of_a_folder_takes_the_folder_with_it(
    project: Path, store: ObjectStore
) -> None:
    base = store.snapshot_folder(project).tree
    (project / "pkg.d" / "data.bin").unlink()
    assert store.tree_with(base, {"pkg.d/data.bin": None}) == git_tree(project)
    everything: dict[str, str | None] = dict.fromkeys(store.paths(base))
    empty = store.tree_with(base, everything)
    assert empty == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git's empty tree


names = st.sampled_from(["a", "b.py", "c.txt", "d-e", "d.f"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.dictionaries(paths, st.none() | st.text("ab\n", max_size=4)), max_size=3))
def test_any_sequence_of_changes_is_named_as_if_it_had_been_written_to_disk(
    steps: list[dict[str, str | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("steps")
    root = folder / "root"
    root.mkdir()
    store = ObjectStore(folder / "store")
    state = store.snapshot_folder(root).tree
    for step in steps:
        try:
            state = store.tree_with(state, step)
        except MeritreeError:  # a path that is both a file and a folder
            continue
    store.keep(state)
    copy = folder / "copy"
    store.materialise(state, copy)
    assert ObjectStore(folder / "other").snapshot_folder(copy).tree == state
    assert git_tree(copy) == state


def test_only_kept_states_reach_the_disk(project: Path, store: ObjectStore) -> None:
    base = store.snapshot_folder(project).tree
    kept = store.tree_with(base, {"pkg/core.py": "kept = 1\n"})
    dropped = store.tree_with(base, {"pkg/core.py": "dropped = 1\n"})
    store.keep(kept)
    again = ObjectStore(store.path)
    assert again.read(kept, "pkg/core.py") == b"kept = 1\n"
    assert again.read(kept, "run.sh") == b"#!/bin/sh\n"
    with pytest.raises(MeritreeError, match=f"{dropped}.*never kept"):
        again.read(dropped, "pkg/core.py")
    assert store.read(dropped, "pkg/core.py") == b"dropped = 1\n"
    git(store.path, "fsck", "--strict")


def test_a_kept_state_can_still_be_built_upon(project: Path, store: ObjectStore) -> None:
    base = store.snapshot_folder(project).tree
    one = store.tree_with(base, {"a.py": "1\n"})
    two = store.tree_with(one, {"b.py": "2\n"})
    store.keep(one)
    assert store.tree_with(one, {"b.py": "2\n"}) == two
    store.keep(two)
    assert ObjectStore(store.path).read(two, "a.py") == b"1\n"


def test_a_state_comes_back_onto_disk_as_it_was(
    project: Path, store: ObjectStore, tmp_path: Path
) -> None:
    base = store.snapshot_folder(project).tree
    state = store.tree_with(base, {"pkg/new.py": "new = 1\n", "pkg-a.txt": None})
    copy = tmp_path / "copy"
    store.materialise(state, copy)
    assert (copy / "link").readlink() == Path("pkg/core.py")
    assert (copy / "run.sh").stat().st_mode & stat.S_IXUSR
    assert not (copy / "pkg" / "core.py").stat().st_mode & stat.S_IXUSR
    assert (copy / "pkg.d" / "data.bin").read_bytes() == bytes(range(256))
    assert git_tree(copy) == state
    with pytest.raises(MeritreeError, match="not empty"):
        store.materialise(state, copy)


def test_patches_apply_with_git_and_give_the_new_state(
    project: Path, store: ObjectStore, tmp_path: Path
) -> None:
    (project / 'odd näme "q".py').write_text("x = 1\n")
    (project / "with blank.py").write_text("x = 1\n")
    (project / "long.py").write_text("".join(f"line_{n} = {n}\n" for n in range(200)))
    base = store.snapshot_folder(project).tree
    long = [f"line_{n} = {n}\n" for n in range(200)]
    long[3], long[9], long[150] = "three\n", "nine\nmore\n", ""
    changes: dict[str, str | None] = {
        "pkg/core.py": "def f(x):\n    return x + 2",  # loses its last newline
        "pkg/no_newline.py": "x = 1\n",  # gains one
        "pkg/sub/crlf.py": "a = 1\nb = 3\n",
        "pkg/sub/latin.py": "# coding: latin-1\ns = 'éü'\n",
        "pkg/__init__.py": "was_empty = True\n",
        "pkg/deep/new.py": "n = 1\f\n\x0b\n",
        "pkg/empty.py": "",
        "pkg-a.txt": None,
        "run.sh": "#!/bin/sh\nexit\n",
        'odd näme "q".py': "x = 2\n",
        "with blank.py": "x = 2\n",
        "long.py": "".join(long),
    }
    new = store.tree_with(base, changes)
    copy = tmp_path / "copy"
    store.materialise(base, copy)
    git(copy, "init", "-q")
    git(copy, "apply", "--whitespace=nowarn", "-", data=patch_bytes(store.diff(base, new)))
    assert git_tree(copy) == new
    git(copy, "apply", "--whitespace=nowarn", "-", data=patch_bytes(store.diff(new, base)))
    assert git_tree(copy) == base
    assert store.diff(base, base) == ""


lines = st.lists(st.sampled_from(["a", "b", "c\r", "", "\f", "\\"]), max_size=14)


@settings(max_examples=40, deadline=None)
@given(
    old=lines, new=lines, old_end=st.sampled_from(["", "\n"]), new_end=st.sampled_from(["", "\n"])
)
def test_any_two_texts_make_a_patch_that_applies(
    old: list[str],
    new: list[str],
    old_end: str,
    new_end: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("patch")
    (folder / "root").mkdir()
    (folder / "root" / "f.py").write_bytes(("\n".join(old) + old_end).encode())
    store = ObjectStore(folder / "store")
    base = store.snapshot_folder(folder / "root").tree
    (folder / "root" / "f.py").write_bytes(("\n".join(new) + new_end).encode())
    after = store.snapshot_folder(folder / "root").tree
    patch = store.diff(base, after)
    store.materialise(base, folder / "copy")
    if patch:
        git(folder / "copy", "init", "-q")
        git(folder / "copy", "apply", "--whitespace=nowarn", "-", data=patch_bytes(patch))
    assert git_tree(folder / "copy") == after


def test_mode_and_kind_changes_apply_too(project: Path, store: ObjectStore, tmp_path: Path) -> None:
    base = store.snapshot_folder(project).tree
    (project / "pkg" / "core.py").chmod(0o755)
    (project / "run.sh").unlink()
    (project / "run.sh").symlink_to("pkg")
    new = store.snapshot_folder(project).tree
    store.materialise(base, tmp_path / "copy")
    git(tmp_path / "copy", "init", "-q")
    git(tmp_path / "copy", "apply", "-", data=patch_bytes(store.diff(base, new)))
    assert git_tree(tmp_path / "copy") == new


def test_a_binary_change_is_refused_by_name(project: Path, store: ObjectStore) -> None:
    base = store.snapshot_folder(project).tree
    (project / "pkg.d" / "data.bin").write_bytes(b"\0\1")
    new = store.snapshot_folder(project).tree
    with pytest.raises(MeritreeError, match=r"pkg\.d/data\.bin is a binary file"):
        store.diff(base, new)


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("../up.py", "x", "impossible path"),
        ("/etc/passwd", "x", "impossible path"),
        (".git/config", "x", "impossible path"),
        ("pkg", "x", "is a folder"),
        ("pkg/core.py/x.py", "x", "is a file"),
        ("link", "x", "symbolic link"),
        ("pkg/sub/latin.py", "# coding: latin-1\n'→'\n", "iso-8859-1, which lacks '→'"),
    ],
)
def test_impossible_changes_are_named(
    path: str, text: str, message: str, project: Path, store: ObjectStore
) -> None:
    base = store.snapshot_folder(project).tree
    with pytest.raises(MeritreeError, match=message):
        store.tree_with(base, {path: text})


def test_unknown_states_and_files_are_named(project: Path, store: ObjectStore) -> None:
    base = store.snapshot_folder(project).tree
    with pytest.raises(MeritreeError, match=r"no file gone\.py in state"):
        store.read(base, "gone.py")
    with pytest.raises(MeritreeError, match="no state or file"):
        store.tree_with("0" * 40, {})
    with pytest.raises(MeritreeError, match="is no tree hash"):
        store.keep("nonsense")


@pytest.mark.parametrize(
    ("data", "text", "encoding", "newline"),
    [
        (b"x = 1\n", "x = 1\n", "utf-8", "\n"),
        (b"x = 1\r\ny = 2\r\n", "x = 1\ny = 2\n", "utf-8", "\r\n"),
        (b"x = 1\ry = 2\r", "x = 1\ny = 2\n", "utf-8", "\r"),
        (b"x = 1\r\ny = 2\n", "x = 1\r\ny = 2\n", "utf-8", ""),
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n", "utf-8-sig", "\n"),
        (
            b"#!/x\n# -*- coding: cp1252 -*-\n'\x80'\n",
            "#!/x\n# -*- coding: cp1252 -*-\n'€'\n",
            "cp1252",
            "\n",
        ),
        (b"", "", "utf-8", "\n"),
    ],
)
def test_source_files_are_read_by_their_own_rules(
    data: bytes, text: str, encoding: str, newline: str
) -> None:
    assert read_source(data) == (text, encoding, newline)
    assert write_source(text, encoding, newline) == data


@settings(max_examples=100, deadline=None)
@given(st.binary() | st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\xc3\xa9"])).map(b"".join))
def test_whatever_can_be_read_is_written_back_byte_for_byte(data: bytes) -> None:
    try:
        text, encoding, newline = read_source(data)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return
    assert write_source(text, encoding, newline) == data


def test_a_wrong_declaration_is_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        read_source(b"# coding: utf-8\ns = '\xe9'\n")
    with pytest.raises(SyntaxError, match="unknown encoding"):
        read_source(b"# coding: klingon\n")
