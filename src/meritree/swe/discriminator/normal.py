"""When two patches are the same: their normal form, in which comments and layout are gone.

Python is compared by its syntax tree without docstrings; other files by their lines.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Mapping

_HUNK = re.compile(r"^@@ -(\d{1,9})(?:,\d+)? \+\d+(?:,\d+)? @@")


def normal_form(patch: str, files: Mapping[str, str] | None = None) -> str:
    """A text that is equal for two patches of the same code that differ in how they are written.

    Args:
        patch: a unified diff.
        files: text of every changed file after the patch. With it, Python files are compared by
            their syntax trees; without it, changed lines are compared with their place in the old
            file, blanks and comments apart.
    """
    if files:
        return "\n".join(f"{path}\n{_file(path, text)}" for path, text in sorted(files.items()))
    return "\n".join(_changes(patch))


def _file(path: str, text: str) -> str:
    if path.endswith((".py", ".pyi")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
            for node in ast.walk(tree):
                _drop_docstring(node)
            return ast.unparse(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return
    if node.body and isinstance(node.body[0], ast.Expr):
        value = node.body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            node.body[0] = ast.Pass()  # as if a body of one docstring were ``pass``
            if len(node.body) > 1:
                del node.body[0]


def _changes(patch: str) -> Iterator[str]:
    path, line = "", 0
    for row in patch.splitlines():
        if row.startswith(("--- ", "+++ ")):
            name = row[4:].split("\t")[0].strip()
            if name != "/dev/null":
                path = name[2:] if name[:2] in ("a/", "b/") else name
        elif match := _HUNK.match(row):
            line = int(match.group(1))
        elif row.startswith("-"):
            if code := _code(row[1:], path):
                yield f"{path}:{line}-{code}"
            line += 1
        elif row.startswith("+"):
            if code := _code(row[1:], path):
                yield f"{path}:{line}+{code}"
        elif not row.startswith("\\"):
            line += 1


def _code(line: str, path: str) -> str:
    """A line without what does not act; its indentation acts in Python."""
    if not path.endswith((".py", ".pyi")):
        return " ".join(line.split())
    stripped = line.strip()
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(stripped + "\n").readline))
    except (tokenize.TokenError, SyntaxError, UnicodeEncodeError):
        # Part of a string or bracket that goes on, or characters that no file can hold (3.12).
        words = stripped
    else:
        words = " ".join(
            t.string for t in tokens if t.string.strip() and t.type != tokenize.COMMENT
        )
    return f"{len(line) - len(line.lstrip())} {words}" if words else ""
