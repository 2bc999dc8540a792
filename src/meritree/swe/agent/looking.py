"""Searching and showing: what the actions that change nothing let an agent see.

Reads the files of a situation; observations are precise and of bounded size.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from meritree.swe.agent import actions as act
from meritree.swe.agent.actions import Action
from meritree.swe.agent.guards import impossible
from meritree.swe.agent.outline import enclosing, is_python, outline, symbols
from meritree.swe.agent.retrieval import Place, Retriever
from meritree.swe.agent.situation import View, texts

WHOLE = 400  # lines of a file that is shown without being asked for a part
MOST_LINES = 1000
MOST_HITS = 40
MOST_CHARACTERS = 40_000
_LINE = 400  # characters of a line


@dataclass(frozen=True, slots=True)
class Observation:
    """What an action showed.

    Attributes:
        text: for the model.
        expects_correction: something was wrong with the action.
        found: places found (searches), lines shown (views).
        spans: path -> names of the functions and classes shown or changed.
        lines: path -> first and last line shown or changed.
    """

    text: str
    expects_correction: bool = False
    found: int = 0
    spans: Mapping[str, frozenset[str]] = field(default_factory=dict)
    lines: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Wrong(Exception):
    """The action cannot be done; the message says why and what would help."""


def look(view: View, action: Action, retriever: Retriever) -> Observation:
    """What an action that changes nothing shows.

    Raises:
        Wrong: it cannot be done as asked.
    """
    match action:
        case act.ListFiles(folder=folder, pattern=pattern):
            return _listed(view, folder.strip("/").removeprefix("./"), pattern)
        case act.FindClass(name=name):
            return _defined(view, name, "class")
        case act.FindFunction(name=name, class_name=owner):
            return _defined(view, f"{owner}.{name}" if owner else name, "function")
        case act.FindText(text=text, path=path):
            return _lines_with(view, text, path.strip("/"))
        case act.Search(query=query):
            return _passages(view, query, retriever)
        case act.View():
            return _viewed(view, action)
        case act.Plan(text=text):
            return Observation(f"Noted. {len(text.split())} words.")
        case _:
            return Observation("")


def _passages(view: View, query: str, retriever: Retriever) -> Observation:
    if not query.strip():
        raise Wrong("search: the query is empty; say in words what you look for")
    found = retriever.retrieve(query, view, 8)
    if not found:
        return Observation(f"No passage fits {query[:200]!r}; try other words or find_text.")
    shown = [_passage(view, one) for one in found]
    return Observation(bounded("\n\n".join(shown)), found=len(found), spans=_spans(found, view))


def checked_path(path: str) -> str:
    """The path, if it can be one.

    Raises:
        Wrong: it cannot.
    """
    problem = impossible(path)
    if problem:
        raise Wrong(f"the path {path[:120]!r} cannot be used: {problem}")
    return path


def no_file(view: View, path: str) -> str:
    """That there is no such file, and which one may be meant."""
    name = path.rsplit("/", 1)[-1]
    same = [one for one in view.paths() if one.rsplit("/", 1)[-1] == name][:5]
    near = same or difflib.get_close_matches(path, view.paths(), 3, 0.6)
    hint = f"; did you mean {', '.join(near)}?" if near else "; list_files shows what there is"
    return f"there is no file {path[:120]}{hint}"


def text_of(view: View, path: str) -> str:
    """A file's text.

    Raises:
        Wrong: there is none.
    """
    if not view.exists(path):
        raise Wrong(no_file(view, path))
    text = view.text(path)
    if text is None:
        raise Wrong(f"{path} is no text file (or too large); it cannot be shown or edited")
    return text


def _listed(view: View, folder: str, pattern: str) -> Observation:
    prefix = f"{folder}/" if folder not in ("", ".") else ""
    found = [
        path
        for path in view.paths()
        if path.startswith(prefix)
        and (not pattern or fnmatchcase(path, pattern) or fnmatchcase(path[len(prefix) :], pattern))
    ]
    if not found:
        what = f" that fit {pattern[:80]!r}" if pattern else ""
        raise Wrong(f"there are no files{what} in {folder[:120] or 'the repository'}")
    shown = found[:300]
    more = f"\n... and {len(found) - 300} more; name a folder" if len(found) > 300 else ""
    return Observation(bounded("\n".join(shown) + more), found=len(found))


def _defined(view: View, name: str, kind: str) -> Observation:
    last = name.rsplit(".", 1)[-1].strip()
    if not last:
        raise Wrong(f"find_{kind}: the name is empty")
    hits: list[str] = []
    others: set[str] = set()
    spans: dict[str, frozenset[str]] = {}
    for path, text in texts(view.paths(), view):
        if last not in text and len(text) > 100_000:
            continue
        for one in symbols(text, is_python(path)):
            if one.kind != kind:
                continue
            others.add(one.name.rsplit(".", 1)[-1])
            if one.name == name or one.name.endswith(f".{name}"):
                hits.append(f"{path}:{one.start}-{one.end}  {one.text[:160]}")
                spans[path] = spans.get(path, frozenset()) | {one.name}
    if not hits:
        near = difflib.get_close_matches(last, sorted(others), 3, 0.6)
        hint = f"; alike are {', '.join(near)}" if near else ""
        return Observation(f"No {kind} {name[:120]!r} is defined here{hint}.")
    return Observation(_hits(hits), found=len(hits), spans=spans)


def _lines_with(view: View, wanted: str, below: str) -> Observation:
    if not wanted.strip():
        raise Wrong("find_text: the text is empty")
    first = wanted.splitlines()[0]
    hits: list[str] = []
    spans: dict[str, frozenset[str]] = {}
    for path, text in texts(view.paths(), view):
        if below and path != below and not path.startswith(f"{below}/"):
            continue
        at = text.find(wanted)
        while at >= 0 and len(hits) <= 10 * MOST_HITS:
            line = text.count("\n", 0, at) + 1
            end = text.find("\n", at)
            start = text.rfind("\n", 0, at) + 1
            hits.append(f"{path}:{line}: {text[start : end if end >= 0 else None].strip()[:200]}")
            name = enclosing(text, is_python(path), line)
            spans[path] = spans.get(path, frozenset()) | ({name} if name else set())
            at = text.find(wanted, at + max(1, len(wanted)))
    if not hits:
        where = f" in {below[:120]}" if below else ""
        return Observation(f"No line holds {first[:120]!r}{where}.")
    return Observation(_hits(hits), found=len(hits), spans=spans)


def _hits(hits: Sequence[str]) -> str:
    more = f"\n... and {len(hits) - MOST_HITS} more" if len(hits) > MOST_HITS else ""
    return bounded("\n".join(hits[:MOST_HITS]) + more)


def _viewed(view: View, action: act.View) -> Observation:
    path = checked_path(action.path.removeprefix("./"))
    text = text_of(view, path)
    total = text.count("\n") + (not text.endswith("\n") and bool(text))
    if action.symbol:
        start, end = _place_of(text, path, action.symbol)
    elif action.start <= 0 and action.end <= 0 and total > WHOLE:
        said = outline(text, is_python(path)) or numbered(text, 1, 60)
        head = f"{path} has {total} lines; ask for a symbol or for lines. Its outline:\n"
        return Observation(bounded(head + said), found=1, spans={path: frozenset()})
    else:
        start, end = max(1, action.start), action.end if action.end > 0 else total
        if total and start > total:
            raise Wrong(f"{path} has only {total} lines; line {start} was asked for")
        if end < start and total:
            raise Wrong(f"view: the last line {end} comes before the first line {start}")
    end = min(end, total, start + MOST_LINES - 1)
    head = f"{path}, lines {start} to {end} of {total}:\n" if total else f"{path} is empty."
    spans = {path: frozenset(names_at(text, path, start, end))}
    return Observation(
        bounded(head + numbered(text, start, end)), found=max(0, end - start + 1), spans=spans,
        lines={path: (start, end)},
    )  # fmt: skip


def _place_of(text: str, path: str, symbol: str) -> tuple[int, int]:
    found = symbols(text, is_python(path))
    hits = [one for one in found if one.name == symbol or one.name.endswith(f".{symbol}")]
    if not hits:
        names = ", ".join(one.name for one in found[:30]) or "none"
        raise Wrong(f"{path} defines no {symbol[:80]!r}; it defines {names}")
    one = hits[0]
    return one.start, one.end if one.end > one.start or is_python(path) else one.start + 60


def names_at(text: str, path: str, start: int, end: int) -> Sequence[str]:
    """The functions and classes that some lines touch."""
    return [
        one.name for one in symbols(text, is_python(path)) if one.start <= end and one.end >= start
    ]


def _passage(view: View, one: Place) -> str:
    text = view.text(one.path) or ""
    return f"{one.path}, from line {one.start}:\n{numbered(text, one.start, one.end)}"


def _spans(found: Sequence[Place], view: View) -> dict[str, frozenset[str]]:
    spans: dict[str, frozenset[str]] = {}
    for one in found:
        names = names_at(view.text(one.path) or "", one.path, one.start, one.end)
        spans[one.path] = spans.get(one.path, frozenset()) | frozenset(names)
    return spans


def numbered(text: str, start: int, end: int) -> str:
    """Lines with their numbers."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return "\n".join(
        f"{number:>5}\t{line[:_LINE]}"
        for number, line in enumerate(lines[start - 1 : end], max(1, start))
    )


def bounded(text: str) -> str:
    """Cut to what one observation may hold."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return text[:MOST_CHARACTERS] + "\n... (cut; ask for a part)"
