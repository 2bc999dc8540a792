"""What an action does to a situation: new files, and a precise observation of bounded size.

Runs nothing: actions that need tests are only noted as such. Knows no model and no tree.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from meritree.errors import MeritreeError
from meritree.swe.agent import actions as act
from meritree.swe.agent.actions import Action
from meritree.swe.agent.guards import judges, shadows
from meritree.swe.agent.looking import (
    Observation,
    Wrong,
    bounded,
    checked_path,
    look,
    names_at,
    no_file,
    numbered,
    text_of,
)
from meritree.swe.agent.nearest import nearest
from meritree.swe.agent.retrieval import LexicalRetriever, Retriever
from meritree.swe.agent.situation import LARGEST, Changes, Files, Situation, View


@dataclass(frozen=True, slots=True)
class Step:
    """An action's result: where the agent stands now and what it saw."""

    situation: Situation
    observation: Observation


class Workspace:
    """Carries actions out. Safe to share between threads.

    Args:
        files: of the repository.
        test_files: files that judge the patch.
        roots: folders that modules are imported from.
        retriever: answers `Search`.
        test_folder: where the agent's own test is put.
    """

    def __init__(
        self,
        files: Files,
        *,
        test_files: Collection[str] = (),
        roots: Sequence[str] = (".",),
        retriever: Retriever | None = None,
        test_folder: str = "",
    ) -> None:
        self.files = files
        self._test_files = frozenset(test_files)
        self._roots = tuple(roots)
        self._retriever = retriever or LexicalRetriever()
        self.own_test = f"{test_folder}/test_own_reproduction.py".lstrip("/")

    def perform(self, situation: Situation, action: Action) -> Step:
        """What an action leads to. Never raises for what a model may ask."""
        view = self.files.of(situation.changes)
        try:
            match action:
                case act.Replace() | act.Insert() | act.Create() | act.Delete():
                    return self._edited(situation, view, action)
                case act.WriteTest(text=text):
                    return self._test_written(situation, text)
                case _:
                    observation = look(view, action, self._retriever)
        except Wrong as wrong:
            observation = Observation(str(wrong), expects_correction=True)
        return self.after(situation, action, observation)

    def after(self, situation: Situation, action: Action, observation: Observation) -> Step:
        """The step of an action that changes no file, given what it showed."""
        read = f"{act.name_of(action)}\n{observation.text}"
        match action:
            case act.RunTests(tests=tests):  # the same words about other files are news
                read += f"{situation.tree} {' '.join(tests)}"
            case act.Plan(text=said) | act.Finish(summary=said) | act.Reject(reason=said):
                read += said
        return Step(situation.having_read(read), observation)

    # ---- looking --------------------------------------------------------------------

    # ---- editing --------------------------------------------------------------------

    def _edited(self, situation: Situation, view: View, action: Action) -> Step:
        path = checked_path(action.path)  # type: ignore[union-attr]
        objection = judges(path, self._test_files)
        if objection:
            raise Wrong(f"{path}: {objection}")
        match action:
            case act.Replace():
                text, lines = _replaced(text_of(view, path), action)
            case act.Insert():
                text, lines = _inserted(text_of(view, path), action)
            case act.Create():
                text, lines = self._created(view, action)
            case _:
                if not view.exists(path):
                    raise Wrong(no_file(view, path))
                return self._changed(situation, path, None, f"Deleted {path}.", {})
        _check_text(path, text, view.text(path))
        said = f"Edited {path}. Around the change it now reads:\n" + numbered(
            text, max(1, lines[0] - 3), lines[1] + 3
        )
        return self._changed(situation, path, text, said, {path: lines})

    def _changed(
        self, situation: Situation, path: str, text: str | None, said: str,
        lines: Mapping[str, tuple[int, int]],
    ) -> Step:  # fmt: skip
        changes: Changes = {**situation.changes, path: text}
        try:
            tree, real = self.files.named(changes)
        except MeritreeError as error:
            raise Wrong(str(error)) from None
        if tree == situation.tree:
            raise Wrong(f"{path}: the edit changes nothing")
        spans = {}
        if text is not None and path in lines:
            spans = {path: frozenset(names_at(text, path, *lines[path]))}
        observation = Observation(bounded(said), spans=spans, lines=lines)
        return Step(replace(situation, tree=tree, changes=real), observation)

    def _created(self, view: View, action: act.Create) -> tuple[str, tuple[int, int]]:
        path, text = action.path, action.text.replace("\r\n", "\n")
        if view.exists(path):
            raise Wrong(f"{path} exists already; use replace or insert, or delete it first")
        if view.is_folder(path):
            raise Wrong(f"{path} is a folder")
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if view.exists("/".join(parts[:depth])):
                raise Wrong(f"{path}: {'/'.join(parts[:depth])} is a file, not a folder")
        objection = shadows(path, self._roots)
        if objection:
            raise Wrong(f"{path}: {objection}")
        return text, (1, max(1, text.count("\n")))

    def _test_written(self, situation: Situation, text: str) -> Step:
        text = text.replace("\r\n", "\n")
        _check_text(self.own_test, text, None)
        if "def test" not in text and "TestCase" not in text:
            raise Wrong("write_test: there is no test function in it; name it test_something")
        after = replace(situation, tests={self.own_test: text})
        return Step(after, Observation(f"Kept as {self.own_test}, apart from the patch."))


# ---- writing ------------------------------------------------------------------------


def _replaced(text: str, action: act.Replace) -> tuple[str, tuple[int, int]]:
    old, new = action.old.replace("\r\n", "\n"), action.new.replace("\r\n", "\n")
    if not old:
        raise Wrong("replace: old is empty; use insert, or give the text to replace")
    if old == new:
        raise Wrong("replace: old and new are the same")
    count = text.count(old)
    if count > 1:
        places = _places(text, old)
        raise Wrong(
            f"replace: old occurs {count} times in {action.path}, on lines {places}; give more "
            "of the lines around it so that it occurs once"
        )
    if not count:
        raise Wrong(_not_found(text, action.path, old))
    at = text.index(old)
    first = text.count("\n", 0, at) + 1
    return text[:at] + new + text[at + len(old) :], (first, first + new.count("\n"))


def _not_found(text: str, path: str, old: str) -> str:
    near = nearest(old, text)
    if near is None:
        return f"replace: old does not occur in {path}, nor anything like it; view the file first"
    return (
        f"replace: old does not occur in {path}. Nearest are lines {near.start} to {near.end} "
        f"({near.ratio:.0%} alike):\n{numbered(text, near.start, near.end)}\n"
        "Give old exactly as it stands there, indentation included."
    )


def _places(text: str, old: str) -> str:
    lines: list[str] = []
    at = text.find(old)
    while at >= 0 and len(lines) < 10:
        lines.append(str(text.count("\n", 0, at) + 1))
        at = text.find(old, at + 1)
    return ", ".join(lines)


def _inserted(text: str, action: act.Insert) -> tuple[str, tuple[int, int]]:
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    if not 0 <= action.line <= len(lines):
        raise Wrong(f"insert: {action.path} has {len(lines)} lines; line {action.line} is none")
    if not action.text:
        raise Wrong("insert: the text is empty")
    new = action.text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    joined = [*lines[: action.line], *new, *lines[action.line :]]
    return "\n".join(joined) + "\n", (action.line + 1, action.line + len(new))


def _check_text(path: str, text: str, before: str | None) -> None:
    """Refuse what cannot be a text file, and Python that stops being Python."""
    if "\0" in text:
        raise Wrong(f"{path}: the text holds NUL characters, so it is no text file")
    if len(text) > LARGEST:
        raise Wrong(f"{path}: {len(text)} characters are too many; at most {LARGEST}")
    if not path.endswith(".py"):
        return
    problem = _syntax(text)
    if problem and (before is None or not _syntax(before)):
        raise Wrong(f"{path} would not be Python any more: {problem}. Nothing was changed.")


def _syntax(text: str) -> str:
    try:
        ast.parse(text)
    except SyntaxError as error:
        line = (error.text or "").strip()[:120]
        return f"line {error.lineno}: {error.msg}" + (f" (`{line}`)" if line else "")
    except (ValueError, RecursionError, MemoryError, UnicodeEncodeError) as error:
        return str(error) or type(error).__name__
    return ""
