"""Templates for what is inside strings: messages, formats, regular expressions and their flags."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import islice

from meritree.swe.repair.ast_text import literal
from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.calls import call_text
from meritree.swe.repair.templates.draft import Draft, replace

_LOOKS_REGEX = re.compile(r"\\[wsdbWSDB.(\[|+*?]|\[\^?[^\]]+\]|\(\?|[)\]][*+?]|^\^|\$$")
_RE_CALLS = frozenset(
    ("compile", "match", "search", "fullmatch", "findall", "finditer", "split", "sub", "subn")
)
_QUOTED = re.compile(r"([rRbBuU]*)('''|\"\"\"|'|\")(.*)\2\Z", re.S)
_FLAGS = ("re.IGNORECASE", "re.DOTALL", "re.MULTILINE", "re.UNICODE", "re.VERBOSE")
_FIELD = re.compile(r"\{(\w*)((?:![rsa])?)((?::[^{}]*)?)\}")
_LONGEST = 200


def _strings(site: Site) -> Iterator[tuple[ast.Constant, str, str, str]]:
    """String constants written in one piece on the line: prefix, quote and inner text too."""
    for node in site.expressions(ast.Constant):
        if not isinstance(node.value, str | bytes) or isinstance(
            site.source.parent(node), ast.JoinedStr
        ):
            continue
        found = _QUOTED.match(site.text(node))
        if found and len(found.group(3)) <= _LONGEST and found.group(2) not in found.group(3):
            yield node, found.group(1), found.group(2), found.group(3)


def _called(site: Site, node: ast.expr) -> str:
    parent = site.source.parent(node)
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute):
        return parent.func.attr
    return ""


@template("regex_edit", 1.0, ast.Constant)
def regex_edit(site: Site) -> Iterator[Draft]:
    """A regular expression anchored, a part made optional, lazy or repeatable, a class widened."""
    for node, prefix, quote, inner in _strings(site):
        parent = site.source.parent(node)
        of_re = (
            _called(site, node) in _RE_CALLS
            and isinstance(parent, ast.Call)
            and node in parent.args[:1]
        )
        if not (of_re or "r" in prefix.lower() or _LOOKS_REGEX.search(inner)):
            continue
        seen = {inner}
        for text, prior in _regex_variants(site, inner, "r" in prefix.lower()):
            if text not in seen and _compiles(text, prefix, quote):
                seen.add(text)
                yield replace(node, f"{prefix}{quote}{text}{quote}", prior)


def _compiles(text: str, prefix: str, quote: str) -> bool:
    try:
        re.compile(ast.literal_eval(f"{prefix}{quote}{text}{quote}"), re.VERBOSE)
    except (re.error, SyntaxError, ValueError, RecursionError):
        return False
    return True


def _regex_variants(site: Site, inner: str, raw: bool) -> Iterator[tuple[str, float]]:
    slash = "\\" if raw else "\\\\"
    for added in ("$", f"{slash}Z", f"{slash}b"):
        yield inner + added, 1.0 if added == "$" else 0.5
    yield "^" + inner, 0.8
    yield f"{slash}b" + inner, 0.4
    for cut in ("^", f"{slash}b"):
        if inner.startswith(cut):
            yield inner[len(cut) :], 0.7
    for cut in ("$", f"{slash}b", f"{slash}Z"):
        if inner.endswith(cut):
            yield inner[: -len(cut)], 0.7
    units = list(re.finditer(r"\\\\?.|\[\^?\]?[^\]]*\]|\(\?[:=!P<]?|.", inner, re.S))[:60]
    marks = _marks(site)
    for unit in units:
        text, start, end = unit.group(), unit.start(), unit.end()
        after = inner[end : end + 1]
        if text in "*+":
            other = "+" if text == "*" else "*"
            yield inner[:start] + other + inner[end:], 1.0
            yield inner[:end] + "?" + inner[end:], 0.7 if after != "?" else 0.01
        elif text == "?":
            yield inner[:start] + inner[end:], 0.6
            yield inner[:start] + "*" + inner[end:], 0.5
        elif text == ".":
            yield inner[:start] + slash + "." + inner[end:], 0.6
        elif text == "(" and after not in ("?", "*"):
            yield inner[:end] + "?:" + inner[end:], 0.4
        elif text.startswith("["):
            for mark in marks:
                yield inner[: end - 1] + mark + inner[end - 1 :], 0.6
            for index in range(1, len(text) - 1):
                yield inner[: start + index] + inner[start + index + 1 :], 0.15
        if (text in ")" or text[:1] in "[\\" or text.isalnum()) and after not in tuple("*+?{"):
            yield inner[:end] + "?" + inner[end:], 0.7 if text[:1] in ")[\\" else 0.3
            yield inner[:end] + "*" + inner[end:], 0.3
            yield inner[:end] + "+" + inner[end:], 0.3
        if text.startswith("\\") and text[-1:] in "wdsS.":
            for new in ("w", "d", "s", "S"):
                if new != text[-1]:
                    yield inner[: end - 1] + new + inner[end:], 0.3


def _marks(site: Site) -> list[str]:
    """Characters of the failing tests' strings that a class may lack."""
    found: dict[str, None] = {}
    for text in site.index.tests.strings[:20]:
        found.update(
            dict.fromkeys(c for c in text[1:-1] if not c.isalnum() and c not in "]\\^'\"\n")
        )
    ordered = [c if c != "-" else "\\-" for c in found if c.isprintable()]
    return list(dict.fromkeys((*ordered[:8], "_", ".", "\\-")))


@template("regex_flags", 0.8, ast.Call)
def regex_flags(site: Site) -> Iterator[Draft]:
    """A flag more for a regular expression."""
    for node in site.expressions(ast.Call):
        func = node.func
        if not (isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name)):
            continue
        if func.value.id != "re" or func.attr not in _RE_CALLS:
            continue
        flags = [
            each
            for each in (*node.args[1:], *(k.value for k in node.keywords))
            if "re." in site.text(each)
        ]
        for flag in _FLAGS:
            if flags and flag not in site.text(flags[0]):
                yield replace(flags[0], f"{site.text(flags[0])} | {flag}")
            elif not flags:
                yield replace(node, call_text(site, node, added=f"flags={flag}"))


@template("text_diff", 3.0, ast.Constant)
def text_diff(site: Site) -> Iterator[Draft]:
    """What the expected text has and the actual one lacks, changed where a string has the same."""
    changes = list(_changes(site))
    for node, prefix, quote, inner in _strings(site):
        for old, new, prior in changes:
            if not old or inner.count(old) == 0:
                continue
            at = inner.find(old)
            while at >= 0:
                text = f"{prefix}{quote}{inner[:at]}{new}{inner[at + len(old) :]}{quote}"
                yield replace(node, text, prior)
                at = inner.find(old, at + 1)


def _changes(site: Site) -> Iterator[tuple[str, str, float]]:
    """(text to find, text in its place, weight) with some context, longest context first."""
    for expected, actual in zip(site.evidence.expected[:3], site.evidence.actual[:3], strict=False):
        want, have = _plain(expected), _plain(actual)
        if want is None or have is None or max(len(want), len(have)) > 2000:
            continue
        codes = SequenceMatcher(None, have, want, autojunk=False).get_opcodes()
        for kind, a, b, c, d in islice((each for each in codes if each[0] != "equal"), 4):
            for reach, prior in ((6, 1.5), (3, 1.0), (1, 0.7), (0, 0.5)):
                head = have[max(0, a - reach) : a]
                tail = have[b : b + reach]
                if kind == "insert" and reach == 0:
                    continue
                pair = head + have[a:b] + tail, head + want[c:d] + tail
                if all(map(str.isprintable, pair)) and not set("'\"\\") & set(pair[1]):
                    yield *pair, prior
                for half in (
                    (head + have[a:b], head + want[c:d]),
                    (have[a:b] + tail, want[c:d] + tail),
                ):
                    if (
                        half[0]
                        and all(map(str.isprintable, half))
                        and not set("'\"\\") & set(half[1])
                    ):
                        yield *half, prior * 0.5


def _plain(text: str) -> str | None:
    """The string that a literal spells; the literal itself for other values."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return text if text else None
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else text


@template("format_edit", 0.8, ast.Constant)
def format_edit(site: Site) -> Iterator[Draft]:
    """Another conversion in a format, a forgotten ``f``, white space or marks at an end."""
    marks = [text[1:-1] for text in site.index.tests.strings if 1 <= len(text[1:-1]) <= 2][:4]
    for node, prefix, quote, inner in _strings(site):
        if isinstance(node.value, bytes):
            continue
        for old, new in (
            ("%s", "%r"),
            ("%r", "%s"),
            ("%d", "%s"),
            ("%s", "%d"),
            ("{}", "{!r}"),
            ("%s", "'%s'"),
        ):
            at = inner.find(old)
            while at >= 0:
                if quote not in new:
                    yield replace(
                        node,
                        f"{prefix}{quote}{inner[:at]}{new}{inner[at + len(old) :]}{quote}",
                        0.6,
                    )
                at = inner.find(old, at + 1)
        for field in _FIELD.finditer(inner):
            if field.group(1).isidentifier() and "f" not in prefix:
                if _called(site, node) != "format":
                    yield replace(node, f"f{prefix}{quote}{inner}{quote}", 1.5)
                if not field.group(2):
                    at = field.end(1)
                    yield replace(node, f"{prefix}{quote}{inner[:at]}!r{inner[at:]}{quote}", 0.5)
        for mark in dict.fromkeys((" ", "\\n", ".", ":", "/", *marks)):
            if quote not in mark and (prefix == "" or "\\" not in mark):
                yield replace(node, f"{prefix}{quote}{inner}{mark}{quote}", 0.3)
                yield replace(node, f"{prefix}{quote}{mark}{inner}{quote}", 0.3)
        if len(inner) > 1 and "\\" not in inner:
            yield replace(node, f"{prefix}{quote}{inner[:-1]}{quote}", 0.4)
            yield replace(node, f"{prefix}{quote}{inner[1:]}{quote}", 0.4)


@template("f_prefix", 0.8, ast.Constant)
def f_prefix(site: Site) -> Iterator[Draft]:
    """An ``f`` before every piece of a string in several pieces that names something in braces."""
    for node in site.expressions(ast.Constant):
        text = site.text(node)
        if not isinstance(node.value, str) or "\n" not in text or _called(site, node) == "format":
            continue
        pieces = re.sub(r"(?m)^(\s*)(['\"])(?=[^\n]*\{[A-Za-z_])", r"\1f\2", text)
        if pieces != text:
            yield replace(node, pieces)


@template("word_add", 1.0, ast.Dict, ast.Tuple, ast.List, ast.Set)
def word_add(site: Site) -> Iterator[Draft]:
    """A word of the failing tests added to a table of words, with the value most others have."""
    words = _new_words(site)
    for node in site.expressions(ast.expr):
        if not isinstance(node, ast.Dict | ast.Tuple | ast.List | ast.Set):
            continue
        keys = node.keys if isinstance(node, ast.Dict) else node.elts
        texts = [
            each.value
            for each in keys
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        if not texts or len(texts) < len(keys):
            continue
        own = site.text(node)
        close = own.rstrip()[-1:]
        if close not in ")]}":
            continue
        cut = own.rstrip()[:-1].rstrip()
        comma = "" if cut.endswith((",", "(", "[", "{")) else ","
        values = [site.text(each) for each in node.values] if isinstance(node, ast.Dict) else []
        common = [v for v in sorted(set(values), key=values.count, reverse=True) if len(v) <= 40][
            :4
        ]
        for word in words:
            if word in texts:
                continue
            shaped = word.upper() if all(map(str.isupper, texts[:5])) else word
            entries = [f"{literal(shaped)}: {value}" for value in common] or [literal(shaped)]
            for entry in entries:
                if "#" not in cut.rsplit("\n", 1)[-1]:
                    yield replace(node, f"{cut}{comma} {entry}{close}", 0.6)


def _new_words(site: Site) -> list[str]:
    """Words inside the failing tests' strings that the file does not have, then whole strings."""
    known = site.source.memo.get("new words")
    if isinstance(known, list):
        return known
    have = set(re.findall(r"\w+", site.source.text.lower()))
    found: dict[str, None] = {}
    for text in site.index.tests.strings[:60]:
        found.update(
            dict.fromkeys(
                w for w in re.findall(r"\w+", text) if w.lower() not in have and len(w) > 1
            )
        )
    for text in site.index.tests.strings[:12]:
        if "\\" not in text:
            found.setdefault(text[1:-1])
    words = [word for word in found if word and not word.isdigit()][:24]
    site.source.memo["new words"] = words
    return words
