"""Which files of a patch would judge the patch itself: tests and the configuration of tests.

Looks at paths only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

CONFIGURATION = frozenset(
    (
        "pyproject.toml", "setup.cfg", "tox.ini", "pytest.ini", ".pytest.ini", "pytest.toml",
        ".pytest.toml", ".coveragerc", "noxfile.py", "sitecustomize.py", "usercustomize.py",
    )
)  # fmt: skip
_TEST_NAME = re.compile(r"test.*\.py|.*_tests?\.py")


@dataclass(frozen=True, slots=True)
class Touched:
    """Files of a patch that have a say in its judgement.

    Attributes:
        judges: collected test files, and any conftest.py: a patch with these is refused.
        new_tests, configuration: not put into the copies that judge.
    """

    judges: tuple[str, ...] = ()
    new_tests: tuple[str, ...] = ()
    configuration: tuple[str, ...] = ()

    @property
    def left_out(self) -> frozenset[str]:
        """What the judging copies keep in its original form."""
        return frozenset((*self.new_tests, *self.configuration))

    @property
    def notes(self) -> tuple[str, ...]:
        """In words, for the verdict."""
        notes = []
        if self.new_tests:
            notes.append(f"adds or edits test files, judged without: {', '.join(self.new_tests)}")
        if self.configuration:
            names = ", ".join(self.configuration)
            notes.append(f"edits configuration, judged with the original: {names}")
        return tuple(notes)


def touched(paths: Iterable[str], test_files: Collection[str]) -> Touched:
    """Sort the paths of a patch.

    Args:
        test_files: files that hold the collected tests, conftest files included.
    """
    judges, tests, configuration = [], [], []
    for path in sorted(paths):
        name = path.rsplit("/", 1)[-1]
        if path in test_files or name == "conftest.py":
            judges.append(path)
        elif name in CONFIGURATION or name.endswith(".pth"):
            configuration.append(path)
        elif _TEST_NAME.fullmatch(name):
            tests.append(path)
    return Touched(tuple(judges), tuple(tests), tuple(configuration))
