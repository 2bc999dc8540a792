"""Conditions that a missing guard may have: types, attributes, comparisons, those of the file.

Offers texts with weights; makes no edits.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterator

from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.templates.base import Site

_NAME = re.compile(r"(?<![\w.'\"])[A-Za-z_]\w*")
_BUILTINS = frozenset(dir(builtins)) | {"and", "or", "not", "in", "is", "if", "else", "for"}
_TYPES = ("str", "bytes", "list", "tuple", "dict", "int", "bool")
_YES_NO = re.compile(r"(is|has|can|should|supports|needs)_?[a-z]")


def names_in(text: str) -> set[str]:
    """Names that an expression reads, without attributes, keywords and builtins."""
    return set(_NAME.findall(text)) - _BUILTINS


def types_near(site: Site) -> tuple[str, ...]:
    """Types worth asking for: those of the tests first, of the file's own tests, then common."""
    known = site.source.memo.get("types near")
    if isinstance(known, tuple):
        return known
    asked: Counter[str] = Counter()
    for node in ast.walk(site.source.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id in ("isinstance", "issubclass") and len(node.args) == 2:
            given = node.args[1]
            asked.update(
                ast.unparse(each)
                for each in (given.elts if isinstance(given, ast.Tuple) else [given])
            )
    used = set(site.index.tests.names) | set(site.index.tests.attributes)
    here = dict.fromkeys((*asked, *site.index.module_names(site.source)))
    here.update(dict.fromkeys(site.index.imported(site.source)))
    tested = [name for name in here if name[:1].isupper() and name in used]
    tested += [name for name in _TYPES if name in used]
    common = [text for text, _ in asked.most_common(8)]
    found = tuple(dict.fromkeys((*tested[:5], *common, *_TYPES)))[:12]
    site.source.memo["types near"] = found
    return found


def attributes_on(source: SourceFile) -> dict[str, tuple[str, ...]]:
    """Attributes that the file reads per plain name, commonest first; yes-or-no calls too."""
    known = source.memo.get("attributes on")
    if isinstance(known, dict):
        return known
    counts: dict[str, Counter[str]] = {}
    called = {
        id(node.func): not node.args and not node.keywords
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
    }
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            continue
        bare = called.get(id(node))
        if bare is None:
            counts.setdefault(node.value.id, Counter())[node.attr] += 1
        elif bare and _YES_NO.match(node.attr):
            counts.setdefault(node.value.id, Counter())[f"{node.attr}()"] += 1
    found = {name: tuple(a for a, _ in c.most_common(12)) for name, c in counts.items()}
    source.memo["attributes on"] = found
    return found


def conditions_of_file(source: SourceFile) -> tuple[str, ...]:
    """Conditions and clauses written anywhere in the file, commonest first."""
    known = source.memo.get("conditions of file")
    if isinstance(known, tuple):
        return known
    counts: Counter[str] = Counter()
    for node in ast.walk(source.tree):
        parts: list[ast.expr] = []
        if isinstance(node, ast.If | ast.While | ast.IfExp):
            parts = [node.test]
        elif isinstance(node, ast.BoolOp):
            parts = node.values
        elif isinstance(node, ast.comprehension):
            parts = node.ifs
        for part in parts:
            text = ast.unparse(part)
            if len(text) <= 50 and ":=" not in text and "\n" not in text:
                counts[text] += 1
    found = tuple(text for text, _ in counts.most_common(300))
    source.memo["conditions of file"] = found
    return found


def rich_clauses(site: Site, node: ast.AST, first: list[str]) -> Iterator[tuple[str, float]]:
    """Conditions about the variables ``first`` (read near by), then about others in reach."""
    visible = site.variables(node)
    others = [name for name in visible if name not in first]
    for name in first[:5]:
        yield from _about(site, name, [*first, *others], 1.0)
    yield from _about_self(site, node)
    yield from _of_file(site, node)
    for name in others[:4]:
        yield from _about(site, name, first, 0.4)


def _about(site: Site, name: str, others: list[str], weight: float) -> Iterator[tuple[str, float]]:
    for rank, kind in enumerate(types_near(site)):
        prior = weight * (0.9 if rank < 4 else 0.5)
        yield f"isinstance({name}, {kind})", prior
        yield f"not isinstance({name}, {kind})", prior * 0.8
    for rank, attribute in enumerate(attributes_on(site.source).get(name, ())):
        prior = weight * (0.7 if rank < 4 else 0.4)
        yield f"{name}.{attribute}", prior
        yield f"not {name}.{attribute}", prior * 0.8
        if not attribute.endswith(")"):
            yield f"{name}.{attribute} is None", prior * 0.5
            yield f"{name}.{attribute} is not None", prior * 0.6
    yield f"len({name}) > 1", 0.3 * weight
    yield f"len({name}) == 1", 0.3 * weight
    for text in ("''", *(t for t in site.index.tests.strings[:4] if t != "''")):
        yield f"{name} == {text}", 0.3 * weight
        yield f"{name} != {text}", 0.3 * weight
    for text in ("> 0", "< 0", ">= 0", "<= 0", "== 0", "== 1", "> 1"):
        yield f"{name} {text}", 0.25 * weight
    for other in [each for each in others if each != name][:4]:
        for operator in ("in", "not in", "==", "!="):
            yield f"{name} {operator} {other}", 0.35 * weight


def _about_self(site: Site, node: ast.AST) -> Iterator[tuple[str, float]]:
    scope = site.scope(node)
    if scope.self_name is None:
        return
    inside = set(scope.self_attributes)
    known = attributes_on(site.source).get(scope.self_name, ())
    for attribute in dict.fromkeys((*scope.self_attributes, *known)):
        prior = 0.6 if attribute in inside else 0.45
        yield f"{scope.self_name}.{attribute}", prior
        yield f"not {scope.self_name}.{attribute}", prior
        if not attribute.endswith(")"):
            yield f"{scope.self_name}.{attribute} is None", prior * 0.5
            yield f"{scope.self_name}.{attribute} is not None", prior * 0.6


def _of_file(site: Site, node: ast.AST) -> Iterator[tuple[str, float]]:
    """Conditions of other functions whose names all exist here."""
    scope = site.scope(node)
    known = {*site.variables(node), *site.index.module_names(site.source)}
    own = {scope.self_name} if scope.self_name else set()
    known |= set(site.index.imported(site.source)) | own
    here = set(site.variables(node)) | own
    count = 0
    for text in conditions_of_file(site.source):
        names = names_in(text)
        if names and names <= known and names & here:
            yield text, 0.5
            yield negated(text), 0.3
            count += 1
            if count == 16:
                return


def negated(text: str) -> str:
    """The opposite of a condition given as text."""
    if text.startswith("not ") and " and " not in text and " or " not in text:
        return text[4:]
    return f"not {text}" if re.fullmatch(r"[\w.]+(\([^()]*\))?", text) else f"not ({text})"
