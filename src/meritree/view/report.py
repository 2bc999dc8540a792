"""report.html: one self-contained page about one run, readable from disk, light and dark.

Reads the result document and the tree's view. Every string of a run may be hostile (issue
texts, file names, test messages), so all of them pass through `_text`; no script runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from meritree.view import words
from meritree.view.drawing import MAX_NODES, colour, draw_tree
from meritree.view.judges import judge_distances
from meritree.view.tree import SearchTreeView, most_visited
from meritree.view.words import Document

STYLE = """
:root { color-scheme: light dark; --page:#fff; --ink:#1f2328; --soft:#59636e; --line:#d1d9e0;
  --panel:#f6f8fa; --add:#dafbe1; --del:#ffebe9; --hunk:#ddf4ff; --good:#1a7f37; --bad:#9a6700; }
@media (prefers-color-scheme: dark) { :root { --page:#0d1117; --ink:#e6edf3; --soft:#9198a1;
  --line:#3d444d; --panel:#151b23; --add:#12341d; --del:#3f1518; --hunk:#0f2a46; --good:#3fb950;
  --bad:#d29922; } }
* { box-sizing: border-box; } body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.2rem 4rem;
  background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
.verdict { color: var(--bad); } .verified, .already-passing { color: var(--good); }
.soft, caption, figcaption { color: var(--soft); } p { margin: .4rem 0; max-width: 46rem; }
pre, code { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; overflow: auto;
  padding: .6rem 0; margin: .5rem 0; }
pre span { display: block; padding: 0 .9rem; white-space: pre; }
pre.command { padding: .6rem .9rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.add { background: var(--add); } .del { background: var(--del); } .hunk { background: var(--hunk); }
.head { color: var(--soft); } table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
td, th { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; } th { font-weight: 600; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; } meter { width: 7rem; }
figure { margin: .5rem 0; border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
figure svg { display: block; width: 100%; height: auto; } figcaption { padding: .4rem .9rem .7rem; }
details { margin: .15rem 0 .15rem 1.1rem; } summary { cursor: pointer; }
details > p { margin-left: 1.1rem; }
.leaf { margin: .15rem 0 .15rem 2.1rem; } .dot { display: inline-block; width: .7em; height: .7em;
  border-radius: 50%; margin-right: .45em; } .best > summary, .best.leaf { font-weight: 600; }
@media print { details { break-inside: avoid; } body { max-width: none; } }
"""


GAINS_NOTE = (
    '<p class="soft">Adds: what a channel contributes to the value compared with the code as it '
    "is, averaged over all orders in which the channels could have changed (Shapley value).</p>"
)
_CLOSE = -1  # on the stack of `_nested`: the open element ends here


def write_report(document: Document, tree: SearchTreeView, path: Path) -> None:
    """Write the page of a run that has a result.

    Raises:
        OSError: the file cannot be written.
    """
    path.write_text(render_report(document, tree), encoding="utf-8")


def render_report(document: Document, tree: SearchTreeView) -> str:
    """The whole page as HTML."""
    title = words.one_line(f"{words.STATUS_WORDS.get(document['status'], '?')}: {_name(document)}")
    body = [
        *_verdict(document),
        *_patch(document),
        *(_flags(document["candidates"][0]) if document["candidates"] else ()),
        *_steps(document),
        *_value(document),
        *_alternatives(document),
        *_tree(tree, document),
        *_judges(tree),
        *_tests(document),
        *_spending(document),
        *_reproduce(document),
    ]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # Nothing may be loaded or run, whatever a run's strings hold.
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{_text(title)}</title><style>{STYLE}</style></head><body><main>",
            *body,
            "</main></body></html>\n",
        ]
    )


def _text(value: object) -> str:
    return escape(words.clean(value))


def _name(document: Document) -> str:
    return Path(words.repository(document)).name or "a repository"


def _verdict(document: Document) -> Iterator[str]:
    title, message = words.headline(document)
    yield (
        f'<h1><span class="verdict {_text(document["status"])}">{_text(title)}</span>: '
        f"{_text(_name(document))}</h1>"
    )
    yield f"<p>{_text(message)}</p>"
    if document["candidates"]:
        yield f"<p>{_text(document['candidates'][0]['verdict'])}</p>"
    rows = [("tests before", words.counts(document["tests_before"]))]
    if document["tests_after"]:
        fixed, targets = words.targets_fixed(document)
        rows.append(("tests after", words.counts(document["tests_after"])))
        rows.append(("target tests", f"{fixed} of {targets} pass with the patch"))
    yield _table(rows)
    for warning in document["warnings"]:
        yield f"<p><strong>Note:</strong> {_text(warning)}</p>"
    if document["flaky"]:
        yield f"<p><strong>Flaky tests:</strong> {_text(', '.join(document['flaky']))}</p>"
    if words.caution(document):
        yield f"<p>{words.caution(document)}</p>"


def _patch(document: Document) -> Iterator[str]:
    if document["patch"]:
        yield "<h2>The patch</h2>"
        yield _diff(document["patch"])
        yield f'<pre class="command">{_text(words.apply_command(document))}</pre>'


def _diff(patch: str) -> str:
    lines = []
    for line in words.clean(patch).splitlines():
        kind = ""
        if line.startswith(("diff ", "index ", "+++", "---")):
            kind = "head"
        elif line.startswith("@@"):
            kind = "hunk"
        elif line.startswith("+"):
            kind = "add"
        elif line.startswith("-"):
            kind = "del"
        lines.append(f'<span class="{kind}">{escape(line) or " "}</span>')
    return f"<pre>{''.join(lines)}</pre>"


def _flags(candidate: Mapping[str, Any]) -> Iterator[str]:
    """What in a patch looks made for its tests."""
    found = candidate.get("flags", ())  # absent from older documents
    if found:
        yield "<h2>Looks made for the tests</h2>"
        rows = [(f"{f['path']}:{f['line']}", f["rule"], f["code"]) for f in found]
        yield _table(rows, ("place", "rule", "code"))


def _steps(document: Document) -> Iterator[str]:
    """What an agent did on the way to the patch, and the test that it wrote."""
    best = document["candidates"][0] if document["candidates"] else {}
    if best.get("steps"):
        items = "".join(f"<li>{_text(step)}</li>" for step in best["steps"])
        yield f"<h2>The steps to the patch</h2><ol>{items}</ol>"
    for path, text in best.get("own_tests", {}).items():
        yield f"<h2>The test that the model wrote</h2><p>{_text(path)}, not part of the patch</p>"
        lines = "".join(f"<span>{_text(line) or ' '}</span>" for line in text.splitlines())
        yield f"<pre>{lines}</pre>"


def _value(document: Document) -> Iterator[str]:
    if document["estimate"]:
        yield "<h2>Why this patch: its value and what it is made of</h2>"
        yield _channels(document["estimate"])


def _channels(estimate: Mapping[str, Any]) -> str:
    gains = estimate.get("gains", {})
    whole = f"{sum(gains.values()):+.2f}" if gains else ""
    rows = [("whole value", float(estimate["mean"]), "", whole)]
    rows += [(*row, words.gain(estimate, row[0])) for row in words.channel_rows(estimate)]
    cells = "".join(
        f"<tr><td>{_text(name)}</td><td><meter min=0 max=1 value={value:.3f}></meter></td>"
        f'<td class="n">{value:.2f}</td><td class="n">{added}</td><td>{_text(reason)}</td></tr>'
        for name, value, reason, added in rows
    )
    return (
        "<table><thead><tr><th>channel</th><th></th><th>value</th><th>adds</th><th>reason</th></tr>"
        f"</thead><tbody>{cells}</tbody></table>{GAINS_NOTE if gains else ''}"
    )


def _alternatives(document: Document) -> Iterator[str]:
    others = document["candidates"][1:]
    if not others:
        return
    yield "<h2>Other patches that pass, in order of rank</h2>"
    for other in others:
        mark = "verified" if other["verified"] else "unverified"
        yield (
            f"<details><summary>{other['rank']}. {mark}, value {other['estimate']['mean']:.2f}: "
            f"{_text('; '.join(other['edits']))}</summary><p>{_text(other['verdict'])}</p>"
            f"{_diff(other['patch'])}{''.join(_flags(other))}{_channels(other['estimate'])}</details>"
        )


def _tree(tree: SearchTreeView, document: Document) -> Iterator[str]:
    if tree.root is None:
        return
    shown = most_visited(tree, MAX_NODES)
    title = f"{_name(document)}: search with {document['strategy'] or 'the default strategy'}"
    yield "<h2>The search tree</h2><figure>"
    yield draw_tree(shown, title)
    note = (
        "Each dot is a version of the code, each ring one edit further from the code as it is. "
        f"{document['nodes']} nodes, {document['transpositions']} reached on more than one way."
    )
    if shown.left_out:
        note += f" Shown are the {len(shown.nodes)} most visited."
    yield f"<figcaption>{_text(note)}</figcaption></figure>"
    yield "<details><summary>The same tree as a list</summary>"
    yield from _nested(shown)
    yield "</details>"


def _judges(tree: SearchTreeView) -> Iterator[str]:
    """Which judges the search followed: STARC distances on its own tree."""
    rows = judge_distances(tree)
    if not rows:
        return
    yield "<h2>Whom the search followed</h2>"
    yield (
        "<p>How differently each channel alone would have steered this search: STARC distance "
        "from the whole value over all nodes of the tree (0: every decision the same, "
        "0.5: no opinion or unrelated, 1: the opposite).</p>"
    )
    lines = [(one.channel, f"{one.distance:.2f}", one.meaning) for one in rows]
    yield _table(lines, ("channel", "distance", "in words"))


def _nested(tree: SearchTreeView) -> Iterator[str]:
    """The tree as nested <details>, with an explicit stack: depth is not bounded."""
    stack = [tree.best[0]]
    best = set(tree.best)
    while stack:
        key = stack.pop()
        if key == _CLOSE:
            yield "</details>"
            continue
        node = tree.nodes[key]
        label = (
            f'<span class="dot" style="background:{colour(node.value)}"></span>'
            f"{_text(node.label or 'the code as it is')} "
            f'<span class="soft">value {node.value:.2f}, visits {node.visits}'
            f"{', ' + node.kind if node.kind in ('passed', 'verified') else ''}</span>"
        )
        mark = "best" if key in best else ""
        children = tree.children.get(key, ())
        if not children:
            yield f'<p class="leaf {mark}">{label}</p>'
            continue
        yield f'<details class="{mark}"{" open" if mark else ""}><summary>{label}</summary>'
        stack.append(_CLOSE)
        stack += sorted(children, key=lambda child: (tree.nodes[child].value, -child))


def _tests(document: Document) -> Iterator[str]:
    after = {one["id"]: one for one in document["tests_after"]}
    rows = [
        (one["id"], one["status"], after.get(one["id"], {}).get("status", "-"), one["message"])
        for one in document["tests_before"]
        if one["id"] in document["targets"] or one["status"] not in ("passed", "skipped")
    ]
    if not rows:
        return
    yield "<h2>Failing tests</h2>"
    yield _table(rows, ("test", "before", "after", "message before"))


def _spending(document: Document) -> Iterator[str]:
    settings = document["settings"]
    yield "<h2>What it cost, and where it ran</h2>"
    rows = [
        ("candidate evaluations", _of(document["evaluations"], settings.get("budget_tests"))),
        ("seconds", _of(f"{document['seconds']:.1f}", settings.get("budget_seconds"))),
        ("money in US dollars", _of(f"{document.get('usd', 0):g}", settings.get("budget_usd"))),
        *_model_rows(document, settings),
        ("test command", document["test_command"]),
        ("interpreter", document["python"]),
        ("sandbox", document["sandbox"]),
        ("strategy, seed", f"{document['strategy']}, {document['seed']}"),
        ("meritree", document["version"]),
    ]
    yield _table(rows)


def _model_rows(document: Document, settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if document.get("model"):
        yield "model", str(document["model"])
        yield "its tokens", _of(document.get("tokens", 0), settings.get("budget_tokens"))


def _of(used: object, budget: float | None) -> str:
    return f"{used}" if budget is None else f"{used} of {budget:g}"


def _reproduce(document: Document) -> Iterator[str]:
    yield "<h2>To repeat this run</h2>"
    yield f'<pre class="command">{_text(words.reproduce_command(document))}</pre>'


def _table(rows: Iterable[tuple[object, ...]], head: tuple[str, ...] = ()) -> str:
    top = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{f'<thead><tr>{top}</tr></thead>' if top else ''}<tbody>{lines}</tbody></table>"
