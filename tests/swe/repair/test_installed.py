"""Third-party signatures come from source files of the environment, without an import."""

from __future__ import annotations

from pathlib import Path

from meritree.swe.edits import apply_splices
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.ingredients import RepoIndex
from meritree.swe.repair.installed import installed_signature, site_packages
from meritree.swe.repair.templates import propose


def _environment(root: Path) -> Path:
    package = root / "lib" / "python3.11" / "site-packages" / "odd"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("from .inner import load\nraise SystemExit\n")
    (package / "inner" / "__init__.py").write_text("from .files import *\n")
    (package / "inner" / "files.py").write_text(
        "class A:\n    def load(self, wrong): ...\n\ndef load(path, *, strict=False): ...\n"
    )
    return root / "bin" / "python"


def test_a_re_exported_function_is_found_where_it_is_defined(tmp_path: Path) -> None:
    folders = site_packages(_environment(tmp_path))
    found = installed_signature(folders, "odd", "load")
    assert found is not None
    assert found.keywords == ("path", "strict")
    assert found.defaults == {"strict": "False"}


def test_what_is_not_installed_or_not_there_has_no_signature(tmp_path: Path) -> None:
    folders = site_packages(_environment(tmp_path))
    assert installed_signature(folders, "odd", "other") is None
    assert installed_signature(folders, "even", "load") is None
    assert installed_signature((), "odd", "load") is None


def test_a_keyword_of_a_third_party_function_is_offered(tmp_path: Path) -> None:
    text = "import odd\n\ndef f(p):\n    return odd.load(p)\n"
    index = RepoIndex({"m.py": text}, installed=site_packages(_environment(tmp_path)))
    edits = propose(SourceFile("m.py", text), 4, "add_kw", index)
    assert "odd.load(p, strict=True)" in {apply_splices(text, e.splices)[-25:-1] for e in edits}
