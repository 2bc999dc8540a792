"""report.html: one self-contained page about one run, readable from disk, light and dark.

Reads the result document, the tree's view and the journal's log. Every string of a run may be
hostile (issue texts, file names, test messages), so all of them pass through `html.text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from meritree.view import words
from meritree.view.explorer import explorer, progress_plot, tree_caption
from meritree.view.html import command, difference, page, script, table, text
from meritree.view.judges import judge_distances
from meritree.view.run_log import RunLog
from meritree.view.store import RunView
from meritree.view.tree import SearchTreeView
from meritree.view.words import Document

GAINS_NOTE = (
    '<p class="soft">Adds: what a channel contributes to the value compared with the code as it '
    "is, averaged over all orders in which the channels could have changed (Shapley value).</p>"
)


ROUNDS = ("round", "speaker", "argument")


def write_report(run: RunView, path: Path) -> None:
    """Write the page of a run that has a result.

    Raises:
        OSError: the file cannot be written.
    """
    assert run.document is not None
    path.write_text(render_report(run.document, run.tree, run.log), encoding="utf-8")


def render_report(document: Document, tree: SearchTreeView, log: RunLog | None = None) -> str:
    """The whole page as HTML."""
    body = [
        *verdict(document),
        *patch(document),
        *partial(document),
        *(flags(document["candidates"][0]) if document["candidates"] else ()),
        *steps(document),
        *chosen(document),
        *why(document),
        *the_tree(tree, log, document),
        *alternatives(document),
        *judges(tree),
        *failing_tests(document),
        *ledger(document, log),
        *sandbox(document),
        *timeline(log),
        *reproduce(document),
    ]
    code = script() if tree.root is not None else ""
    return page(title(document), body, code=code)


def title(document: Document) -> str:
    """The page's title."""
    state, _ = words.headline(document)
    return words.one_line(f"{state}: {name_of(document)}")


def name_of(document: Document) -> str:
    """The repository's name."""
    return Path(words.repository(document)).name or "a repository"


def verdict(document: Document) -> Iterator[str]:
    """Status, message, the evidence for it."""
    state, message = words.headline(document)
    kind, _ = words.state(document["status"], document)
    yield (
        f'<h1><span class="verdict {text(kind)}">{text(state)}</span>: '
        f"{text(name_of(document))}</h1>"
    )
    yield f"<p>{text(message)}</p>"
    if document["candidates"]:
        yield f"<p>{text(document['candidates'][0]['verdict'])}</p>"
    rows = [("tests before", words.counts(document["tests_before"]))]
    if document["tests_after"]:
        fixed, targets = words.targets_fixed(document)
        rows.append(("tests after", words.counts(document["tests_after"])))
        rows.append(("target tests", f"{fixed} of {targets} pass with the patch"))
    yield table(rows)
    for warning in document["warnings"]:
        yield f"<p><strong>Note:</strong> {text(warning)}</p>"
    if document["flaky"]:
        yield f"<p><strong>Flaky tests:</strong> {text(', '.join(document['flaky']))}</p>"
    if words.caution(document):
        yield f"<p>{words.caution(document)}</p>"


def patch(document: Document) -> Iterator[str]:
    """The patch and the command that applies it."""
    if document["patch"]:
        yield "<h2>The patch</h2>"
        yield difference(document["patch"], "the patch")
        if words.suspect(document):
            yield "<p><strong>Only if you find it right:</strong></p>"
        yield command(words.apply_command(document))


def partial(document: Document) -> Iterator[str]:
    """The patch that mends some of the failing tests, where none mends all."""
    part = words.partial(document)
    if part is None:
        return
    yield "<h2>A patch for some of the failing tests</h2>"
    yield f"<p>It {words.partial_words(document)}.</p>"
    yield difference(part["patch"], "the partial patch")
    rows = [*((test, "passes") for test in part["mends"]), *((t, "fails") for t in part["fails"])]
    yield table(rows, ("test", "with it"))
    for shell in words.partial_commands(document):
        yield command(shell)


def flags(candidate: Mapping[str, Any]) -> Iterator[str]:
    """What in a patch looks made for its tests."""
    found = candidate.get("flags", ())  # absent from older documents
    if found:
        yield "<h2>Looks made for the tests</h2>"
        rows = [(f"{f['path']}:{f['line']}", f["rule"], f["code"]) for f in found]
        yield table(rows, ("place", "rule", "code"))


def steps(document: Document) -> Iterator[str]:
    """What an agent did on the way to the patch, and the test that it wrote."""
    best = document["candidates"][0] if document["candidates"] else {}
    if best.get("steps"):
        items = "".join(f"<li>{text(step)}</li>" for step in best["steps"])
        yield f"<h2>The steps to the patch</h2><ol>{items}</ol>"
    for path, source in best.get("own_tests", {}).items():
        yield f"<h2>The test that the model wrote</h2><p>{text(path)}, not part of the patch</p>"
        lines = "".join(f"<span>{text(line) or ' '}</span>" for line in source.splitlines())
        yield f'<pre tabindex="0">{lines}</pre>'


def chosen(document: Document) -> Iterator[str]:
    """How the first of several verified patches was chosen, where models debated it."""
    choice = document.get("choice")
    if choice:
        yield "<h2>How it was chosen among the verified patches</h2>"
        yield f"<p>{text('; '.join(choice['reasons']))} (decided by: {text(choice['stage'])})</p>"
        rows = [
            (str(turn["round"] or "judge"), turn["speaker"], turn["argument"] or turn["note"])
            for turn in choice["transcript"]
        ]
        yield f"<details><summary>what was said</summary>{table(rows, ROUNDS)}</details>"


def why(document: Document) -> Iterator[str]:
    """The value of the best patch, channel by channel."""
    if document["estimate"]:
        yield "<h2>Why this patch: its value and what it is made of</h2>"
        yield _channels(document["estimate"])


def _channels(estimate: Mapping[str, Any]) -> str:
    gains = estimate.get("gains", {})
    whole = f"{sum(gains.values()):+.2f}" if gains else ""
    rows = [("whole value", float(estimate["mean"]), "", whole)]
    rows += [(*row, words.gain(estimate, row[0])) for row in words.channel_rows(estimate)]
    cells = "".join(
        f'<tr><th scope="row">{text(name)}</th><td><meter min=0 max=1 value={value:.3f} '
        f'aria-label="{text(name)}"></meter></td>'
        f'<td class="n">{value:.2f}</td><td class="n">{added}</td><td>{text(reason)}</td></tr>'
        for name, value, reason, added in rows
    )
    head = "".join(f'<th scope="col">{one}</th>' for one in ("channel", "bar", "value", "adds"))
    return (
        f'<div class="scroll"><table><thead><tr>{head}<th scope="col">reason</th></tr>'
        f"</thead><tbody>{cells}</tbody></table></div>{GAINS_NOTE if gains else ''}"
    )


def the_tree(tree: SearchTreeView, log: RunLog | None, document: Document) -> Iterator[str]:
    """The tree to explore and the course of the search."""
    if tree.root is None:
        return
    strategy = document["strategy"] or "the default strategy"
    yield "<h2>The search tree</h2>"
    yield f'<p class="soft">{text(tree_caption(document["nodes"], document["transpositions"]))}</p>'
    yield from explorer(tree, log, f"{name_of(document)}: search with {strategy}")
    course = progress_plot(tree, log)
    if course:
        yield "<h2>The course of the search</h2>"
        yield course


def alternatives(document: Document) -> Iterator[str]:
    """The other patches that pass."""
    others = document["candidates"][1:]
    if not others:
        return
    yield "<h2>Other patches that pass, in order of rank</h2>"
    for other in others:
        suspect = f" (made for the tests? {words.flagged(other)})" if other.get("flags") else ""
        yield (
            f"<details><summary>{other['rank']}. {words.mark(other)}, "
            f"value {other['estimate']['mean']:.2f}: "
            f"{text('; '.join(other['edits']) + suspect)}</summary><p>{text(other['verdict'])}</p>"
            f"{difference(other['patch'], 'patch of this alternative')}{''.join(flags(other))}"
            f"{_channels(other['estimate'])}</details>"
        )


def judges(tree: SearchTreeView) -> Iterator[str]:
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
    yield table(lines, ("channel", "distance", "in words"))


def failing_tests(document: Document) -> Iterator[str]:
    """The tests that failed, before and after."""
    after = {one["id"]: one for one in document["tests_after"]}
    rows = [
        (one["id"], one["status"], after.get(one["id"], {}).get("status", "-"), one["message"])
        for one in document["tests_before"]
        if one["id"] in document["targets"] or one["status"] not in ("passed", "skipped")
    ]
    if rows:
        yield "<h2>Failing tests</h2>"
        yield table(rows, ("test", "before", "after", "message before"))


def ledger(document: Document, log: RunLog | None) -> Iterator[str]:
    """What it cost against what it was allowed to cost."""
    yield "<h2>The ledger: what it cost</h2>"
    yield table(words.ledger_rows(document, log.spent if log else {}), ("what", "spent", "of"))


def sandbox(document: Document) -> Iterator[str]:
    """Where the tests ran and how."""
    yield "<h2>Where it ran</h2>"
    kind = str(document["sandbox"])
    model = [("model", str(document["model"]))] if document.get("model") else []
    rows = [
        *model,
        ("sandbox", kind or "none: nothing was run"),
        ("what it keeps out", words.SANDBOX_WORDS.get(kind, "-")),
        ("test command", document["test_command"]),
        ("interpreter", document["python"]),
    ]
    yield table(rows)


def timeline(log: RunLog | None) -> Iterator[str]:
    """What happened when, besides the steps of the search."""
    if log is not None and log.timeline:
        yield "<h2>Timeline</h2>"
        rows = [(f"{moment.seconds:.1f}", moment.words) for moment in log.timeline]
        yield table(rows, ("second", "what happened"))


def reproduce(document: Document) -> Iterator[str]:
    """The exact command."""
    yield "<h2>To repeat this run</h2>"
    yield command(words.reproduce_command(document))
    yield (
        f'<p class="soft">Strategy {text(document["strategy"] or "-")}, seed {document["seed"]}, '
        f"meritree {text(document['version'])}. With one worker the same command on the same code "
        "makes the same tree.</p>"
    )
