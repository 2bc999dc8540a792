"""HTML in small pieces: escaped text, tables, differences with colours, a page's frame.

Every string that comes from a run passes through `text`; the policy of a page lets nothing run
but our own script, named by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files

from meritree.view import words
from meritree.view.syntax import Spans, coloured_lines

SCRIPTS = ("tree.js", "page.js")
STYLES = ("style.css",)


def asset(name: str) -> str:
    """The text of a file that comes with the package."""
    return (files("meritree.view") / "assets" / name).read_text("utf-8")


def script() -> str:
    """The page's whole script, as it is embedded."""
    return "\n".join(asset(name) for name in SCRIPTS)


def text(value: object) -> str:
    """Text made harmless: no control characters, no mark-up."""
    return escape(words.clean(value))


def page(
    title: str,
    body: Iterable[str],
    *,
    code: str = "",
    linked: tuple[str, ...] = (),
    attributes: str = "",
) -> str:
    """A whole page.

    Args:
        code: a script to embed; its hash is all that the policy allows to run.
        linked: addresses of scripts on the own server, in place of ``code``.
        attributes: of the body element, already escaped.
    """
    style = "\n".join(asset(name) for name in STYLES)
    ends = [f"<script>{code}</script>"] if code else []
    ends += [f'<script src="{escape(address)}"></script>' for address in linked]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<link rel="icon" href="data:,">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy(code, bool(linked))}">',
            f"<title>{text(title)}</title><style>{style}</style></head>",
            f"<body {attributes}><main>",
            *body,
            "</main>",
            *ends,
            "</body></html>\n",
        ]
    )


def policy(code: str, linked: bool) -> str:
    """The content security policy: nothing is loaded, and only our own script runs."""
    rules = ["default-src 'none'", "style-src 'unsafe-inline'", "base-uri 'none'"]
    if linked:
        rules += [f"{what} 'self'" for what in ("script-src", "connect-src", "frame-src")]
        rules += ["form-action 'self'", "img-src 'self' data:"]
    else:
        rules += ["form-action 'none'", "img-src data:"]
        if code:
            digest = base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest()).decode()
            rules.append(f"script-src 'sha256-{digest}'")
    return "; ".join(rules)


def table(rows: Iterable[tuple[object, ...]], head: tuple[str, ...] = ()) -> str:
    """A table of texts; without a head the first cell of a row is its head."""
    top = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    lines = []
    for row in rows:
        first, *rest = row
        name = f"<td>{text(first)}</td>" if head else f'<th scope="row">{text(first)}</th>'
        lines.append(f"<tr>{name}{''.join(f'<td>{text(cell)}</td>' for cell in rest)}</tr>")
    return (
        '<div class="scroll"><table>'
        + (f"<thead><tr>{top}</tr></thead>" if top else "")
        + f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def figure(picture: str, caption: str, *, kind: str = "") -> str:
    """A picture (already HTML) with its caption (text)."""
    return f'<figure class="{kind}">{picture}<figcaption>{text(caption)}</figcaption></figure>'


def command(line: str) -> str:
    """A shell command to copy."""
    return f'<pre class="command" tabindex="0">{text(line)}</pre>'


def difference(patch: str, label: str) -> str:
    """A unified difference, its lines in the colours of the language."""
    lines = []
    colours = coloured_lines(patch)
    for number, line in enumerate(patch.splitlines()):
        kind = ""
        if line.startswith(("diff ", "index ", "+++", "---")):
            kind = "head"
        elif line.startswith("@@"):
            kind = "hunk"
        elif line.startswith("+"):
            kind = "add"
        elif line.startswith("-"):
            kind = "del"
        spans = colours.get(number)
        body = text(line) if spans is None else text(line[0]) + "".join(_spans(spans))
        lines.append(f'<span class="{kind}">{body or " "}</span>')
    return f'<pre tabindex="0" aria-label="{text(label)}">{"".join(lines)}</pre>'


def _spans(spans: Spans) -> Iterator[str]:
    for kind, part in spans:
        yield f'<b class="{kind}">{text(part)}</b>' if kind else text(part)
