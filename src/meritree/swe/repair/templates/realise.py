"""From draft to edit: render the text, then prove by re-parsing that it means the draft.

The only place that computes splices; an edit that leaves here parses, differs from the
original tree, and differs exactly where the draft said.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from meritree.swe.edits import Edit, Splice
from meritree.swe.repair.ast_text import (
    PLACEHOLDER,
    block,
    expression,
    fill,
    precedence,
    required,
    same,
    short,
)
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.templates.draft import Draft, Keep, Piece, Raw, Replace, Rewrite

Swaps = dict[ast.AST, Sequence[ast.AST]]
_COMPOUND = (
    ast.If,
    ast.While,
    ast.For,
    ast.AsyncFor,
    ast.With,
    ast.AsyncWith,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
)


@dataclass(slots=True)
class _Patch:
    """Text replacements of one draft and the tree they are meant to give."""

    parts: list[tuple[int, int, str]] = field(default_factory=list)
    swaps: Swaps = field(default_factory=dict)
    places: list[tuple[ast.stmt, ast.stmt]] = field(default_factory=list)
    inserted: str = ""  # whole lines put before a statement that stays as it is
    whole: bool = False  # statements change, so a header alone cannot be checked


def realise(source: SourceFile, draft: Draft, template: str, line: int) -> Edit | None:
    """The edit that carries out ``draft``, or ``None`` when no text means exactly that.

    A replacement that parses differently in its place is tried once more in parentheses.
    """
    for forced in (False, True):
        patch = _patch(source, draft, forced)
        if patch is None:
            return None
        if _means(source, patch):
            return _edit(source, draft, patch, template, line)
        if patch.whole:
            return None
    return None


def _patch(source: SourceFile, draft: Draft, forced: bool) -> _Patch | None:
    patch = _Patch()
    changed = False
    for change in draft.changes:
        if isinstance(change, Replace):
            intended = expression(change.text)
            if intended is None:
                return None
            changed = changed or not same(change.node, intended, {})
            start, end = source.span(change.node)
            patch.parts.append((start, end, _in_place(source, change, intended, forced)))
            patch.swaps[change.node] = (intended,)
            statement = source.statement_of(change.node)
            patch.places.append((statement, statement))
        elif isinstance(change, Raw):
            changed = patch.whole = True
            patch.parts.append((change.start, change.end, change.text))
            patch.swaps.update(change.swaps)
            patch.places.append((change.statement, change.statement))
            patch.places.extend((node, node) for node in change.swaps if isinstance(node, ast.stmt))
        else:
            patch.whole = True
            if not _rewrite(source, change, patch):
                return None
            changed = True
    patch.parts.sort(key=lambda part: (part[0], part[1]))
    overlap = any(a[1] > b[0] for a, b in zip(patch.parts, patch.parts[1:], strict=False))
    return None if overlap or not changed else patch


def _in_place(source: SourceFile, change: Replace, new: ast.expr, forced: bool) -> str:
    link = source.link(change.node)
    text = change.text
    bare = isinstance(new, ast.Tuple | ast.GeneratorExp) and text.startswith("(")
    weak = precedence(new) < required(link.parent, link.field) and not bare
    if forced or weak or (_shares_parentheses(source, change.node) and not bare):
        return f"({text})"
    return text


def _shares_parentheses(source: SourceFile, node: ast.expr) -> bool:
    """``f(x for x in y)``: the generator's parentheses are the call's."""
    parent = source.link(node).parent
    return (
        isinstance(node, ast.GeneratorExp)
        and isinstance(parent, ast.Call)
        and source.span(node)[1] == source.span(parent)[1]
    )


# -- statements -------------------------------------------------------------------------------


def _rewrite(source: SourceFile, change: Rewrite, patch: _Patch) -> bool:
    """Add a statement rewrite to ``patch``; False when it cannot be laid out."""
    suite = source.siblings(change.first)
    begin, end = suite.index(change.first), suite.index(change.last)
    run = suite[begin : end + 1]
    pieces = change.pieces
    alone = source.own_lines(run[0]) and source.own_lines(run[-1])
    if not pieces and (len(run) == len(suite) or not alone):
        pieces = ((0, "pass"),)
    kept: list[Sequence[ast.stmt]] = []
    lines: list[str] = []
    for level, piece in pieces:
        if isinstance(piece, Keep):
            lines.append("    " * level + PLACEHOLDER % len(kept))
            kept.append(piece.statements)
        else:
            lines.extend("    " * level + each for each in piece.split("\n"))
    intended = block("\n".join(lines))
    if intended is None:
        return False
    intended = fill(intended, kept)
    if same(list(run), intended, {}):
        return False
    part = _layout(source, run, pieces)
    splice = None if part is None else _trimmed(source.text, *part)
    if splice is None:
        return False
    patch.parts.append((splice.start, splice.end, splice.replacement))
    if alone and len(run) == 1 and pieces[-1:] == ((0, Keep((run[0],))),):
        base, unit = source.indent(run[0]), source.indent_unit(run[0])
        patch.inserted = _render(source, base, unit, pieces[:-1])
    patch.swaps[run[0]] = intended
    for statement in run[1:]:
        patch.swaps[statement] = ()
    patch.places.append((run[0], run[-1]))
    return True


def _layout(
    source: SourceFile, run: Sequence[ast.stmt], pieces: Sequence[Piece]
) -> tuple[int, int, str] | None:
    first, last = run[0], run[-1]
    if source.is_elif(first):
        return None
    if source.own_lines(first) and source.own_lines(last):
        start = source.line_start(source.first_line(first))
        end = source.line_start((last.end_lineno or 0) + 1)
        text = _render(source, source.indent(first), source.indent_unit(first), pieces)
        if not source.text[start:end].endswith(("\n", "\r")) and text:
            text = text[: -len(source.newline)]
        return start, end, text
    return _inline(source, run, pieces)


def _inline(
    source: SourceFile, run: Sequence[ast.stmt], pieces: Sequence[Piece]
) -> tuple[int, int, str] | None:
    """Layout where the run shares its line with a header or with other statements."""
    start, end = source.span(run[0])[0], source.span(run[-1])[1]
    texts: list[str] = []
    simple = True
    for level, piece in pieces:
        if isinstance(piece, Keep):
            texts.extend(source.segment(each) for each in piece.statements)
        else:
            texts.append(piece)
            simple = simple and "\n" not in piece and not piece.rstrip().endswith(":")
        simple = simple and level == 0
    if simple:
        return start, end, "; ".join(texts) or "pass"
    parent = source.parent(run[0])
    header = source.text[:start].rstrip(" \t")
    if len(run) < len(source.siblings(run[0])) or not header.endswith(":"):
        return None
    if any("\n" in text for text in texts) or not isinstance(parent, ast.stmt):
        return None
    line = source.line_text(source.line_at(start))
    outer = line[: len(line) - len(line.lstrip(" \t"))]
    unit = source.indent_unit(parent)
    text = _render(source, outer + unit, unit, pieces)
    return len(header), end, source.newline + text[: -len(source.newline)]


def _render(source: SourceFile, base: str, unit: str, pieces: Sequence[Piece]) -> str:
    out: list[str] = []
    for level, piece in pieces:
        indent = base + unit * level
        if isinstance(piece, Keep):
            out.append(reindented(source, piece.statements, indent))
        else:
            for each in piece.split("\n"):
                depth = (len(each) - len(each.lstrip(" "))) // 4
                out.append(indent + unit * depth + each.lstrip(" ") + source.newline)
    return "".join(out)


def reindented(source: SourceFile, statements: Sequence[ast.stmt], indent: str) -> str:
    """Whole lines of a run of statements moved to ``indent``, ending in a newline.

    Lines inside strings keep their white space; a statement in a one-line suite is put on
    a line of its own.
    """
    first, last = statements[0], statements[-1]
    if not (source.own_lines(first) and source.own_lines(last)):
        return "".join(indent + source.segment(each) + source.newline for each in statements)
    old = source.indent(first)
    lines: list[str] = []
    for number in range(source.first_line(first), (last.end_lineno or 0) + 1):
        line = source.text[source.line_start(number) : source.line_start(number + 1)]
        if number not in source.string_lines and line.startswith(old) and line.strip():
            line = indent + line[len(old) :]
        lines.append(line)
    if not lines[-1].endswith(("\n", "\r")):
        lines[-1] += source.newline
    return "".join(lines)


# -- proof ------------------------------------------------------------------------------------


def _means(source: SourceFile, patch: _Patch) -> bool:
    first = patch.places[0][0]
    if patch.inserted and len(patch.parts) == 1:
        # Complete lines at the indentation of the statement they precede: it stays as parsed.
        new = block(patch.inserted)
        return new is not None and same(list(patch.swaps[first][:-1]), new, {})
    if not patch.whole and all(place == (first, first) for place in patch.places):
        return _header_means(source, first, patch)
    return _run_means(source, patch)


def _header_means(source: SourceFile, statement: ast.stmt, patch: _Patch) -> bool:
    """Check a change of expressions of one statement, without the suites of a compound one."""
    start, end = source.span(statement)
    swaps = patch.swaps
    tail = ""
    if isinstance(statement, _COMPOUND):
        end = source.span(statement.body[0])[0]
        tail = "pass"
        swaps = {**swaps, statement.body[0]: (ast.Pass(),)}
        for other in (*statement.body[1:], *getattr(statement, "orelse", ())):
            swaps[other] = ()
        if source.is_elif(statement):
            start += 2
    elif isinstance(getattr(statement, "body", None), list) or isinstance(statement, ast.Match):
        return _run_means(source, patch)
    new = block(_spliced(source.text, start, end, patch.parts) + tail)
    return new is not None and len(new) == 1 and same(statement, new[0], swaps)


def _run_means(source: SourceFile, patch: _Patch) -> bool:
    run = _common_run(source, patch.places)
    if run is None:
        start, end, old = 0, len(source.text), list(source.tree.body)
    else:
        start = source.line_start(source.first_line(run[0]))
        end = source.line_start((run[-1].end_lineno or 0) + 1)
        old = run
    text = _spliced(source.text, start, end, patch.parts)
    new = block(text.removeprefix("\ufeff"))
    return new is not None and same(old, new, patch.swaps)


def _common_run(
    source: SourceFile, places: Sequence[tuple[ast.stmt, ast.stmt]]
) -> list[ast.stmt] | None:
    """The smallest run of siblings on lines of their own that holds all places; None = module."""
    chains = [_chain(source, statement) for place in places for statement in place]
    depth = min(len(chain) for chain in chains)
    while depth > 0:
        tops = [chain[depth - 1] for chain in chains]
        suite = source.siblings(tops[0])
        if all(any(top is each for each in suite) for top in tops):
            indices = [suite.index(top) for top in tops]
            run = suite[min(indices) : max(indices) + 1]
            free = source.own_lines(run[0]) and source.own_lines(run[-1])
            if free and not source.is_elif(run[0]):
                return run
        depth -= 1
    return None


def _chain(source: SourceFile, statement: ast.stmt) -> list[ast.stmt]:
    """Enclosing statements of ``statement`` from the outermost to itself."""
    above = [each for each in source.ancestors(statement) if isinstance(each, ast.stmt)]
    return [*reversed(above), statement]


def _spliced(text: str, start: int, end: int, parts: Sequence[tuple[int, int, str]]) -> str:
    out: list[str] = []
    position = start
    for begin, stop, replacement in parts:
        out.append(text[position:begin])
        out.append(replacement)
        position = stop
    out.append(text[position:end] if position < end else "")
    return "".join(out)


# -- result -----------------------------------------------------------------------------------


def _edit(source: SourceFile, draft: Draft, patch: _Patch, template: str, line: int) -> Edit | None:
    splices = tuple(
        splice for part in patch.parts if (splice := _trimmed(source.text, *part)) is not None
    )
    if not splices:
        return None
    if len(splices) == 1:
        splices = (_settled(source.text, splices[0]),)
    return Edit(
        path=source.path,
        splices=splices,
        template=template,
        prior=draft.prior,
        line=line,
        function=_function(source, draft),
        size=draft.size,
        rationale=draft.rationale or _words(source, draft),
    )


def _trimmed(text: str, start: int, end: int, new: str) -> Splice | None:
    """The smallest splice with the same effect; ``None`` when there is none to make."""
    limit = min(end - start, len(new))
    head = 0
    while head < limit and text[start + head] == new[head]:
        head += 1
    limit -= head
    tail = 0
    while tail < limit and text[end - tail - 1] == new[len(new) - tail - 1]:
        tail += 1
    if head + tail == len(new) and start + head == end - tail:
        return None
    return Splice(start + head, end - tail, new[head : len(new) - tail])


def _settled(text: str, splice: Splice) -> Splice:
    """The rightmost of the splices with the same effect, so that equal results look equal."""
    start, end, new = splice.start, splice.end, splice.replacement
    while not new and end < len(text) and text[start] == text[end]:
        start, end = start + 1, end + 1
    while start == end and new and end < len(text) and new[0] == text[end]:
        new = new[1:] + new[0]
        start = end = start + 1
    return Splice(start, end, new)


def _function(source: SourceFile, draft: Draft) -> str:
    change = draft.changes[0]
    if isinstance(change, Replace):
        return source.function_name(change.node)
    return source.function_name(change.first if isinstance(change, Rewrite) else change.statement)


def _words(source: SourceFile, draft: Draft) -> str:
    said: list[str] = []
    for change in draft.changes:
        if isinstance(change, Replace):
            said.append(f"`{short(source.segment(change.node))}` becomes `{short(change.text)}`")
        elif isinstance(change, Rewrite):
            new = [piece for _, piece in change.pieces if isinstance(piece, str)]
            kept = [piece for _, piece in change.pieces if isinstance(piece, Keep)]
            old = short(source.segment(change.first))
            if not new:
                said.append(f"`{old}` is moved" if kept else f"`{old}` is removed")
            elif kept:
                said.append(f"`{short(' '.join(new))}` added at `{old}`")
            else:
                said.append(f"`{old}` becomes `{short(' '.join(new))}`")
        else:
            said.append(f"`{short(source.segment(change.statement))}` is re-arranged")
    return "; ".join(said)
