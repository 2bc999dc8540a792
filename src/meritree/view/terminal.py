"""A run in the terminal: the live view while it searches, the result when it has ended.

Progress goes to standard error and the result to standard output. Without a terminal a few
plain lines replace the live view; nothing here knows how a run works.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from meritree.swe.result import Listener, Progress
from meritree.view import words
from meritree.view.printing import result_console
from meritree.view.tree import SearchTreeView
from meritree.view.words import Document

REFRESH_PER_SECOND = 6
MAX_BEST_LINE = 6  # edits of the best line that are shown, the latest ones
PLAIN_INTERVAL = 15.0  # seconds between plain lines inside one phase, at first
LAST_WIDTH = 1000  # characters of the last plain line: what came out is not cut
PLAIN_SHARE = 0.05  # later, of the time so far: a long run's log stays short

PHASES = {
    "read": "reading the repository",
    "collect": "collecting the tests",
    "baseline": "running the tests as they are",
    "localise": "looking where the fault may be",
    "replay": "replaying what is known",
    "search": "searching",
    "verify": "checking patches in fresh processes",
    "done": "done",
}

TONES = {"good": "bold green", "doubtful": "bold red", "open": "bold yellow"}


@contextmanager
def live_view(*, quiet: bool) -> Iterator[Listener]:
    """Yield a listener that shows progress on standard error in the way that fits it."""
    if quiet:
        yield lambda progress: None
        return
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield PlainView()
        return
    view = LiveView()
    with Live(
        get_renderable=view.render,
        console=console,
        refresh_per_second=REFRESH_PER_SECOND,
        transient=True,
    ):
        yield view


class PlainView:
    """A line when the phase changes and a line now and then: never a flood."""

    def __init__(self) -> None:
        self._phase = ""
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        interval = max(PLAIN_INTERVAL, PLAIN_SHARE * progress.seconds)
        if progress.phase == self._phase and now - self._last < interval:
            return
        self._phase, self._last = progress.phase, now
        phase = PHASES.get(progress.phase, progress.phase)
        line = f"{progress.seconds:6.1f} s  {phase}"
        if progress.phase == "search" and progress.nodes:
            line += (
                f": {progress.evaluations} of {progress.budget_tests} evaluations, "
                f"best value {progress.best:.2f}, {_patches(progress.found)}"
            )
            if progress.budget_usd:
                line += f", {progress.usd:.4f} of {progress.budget_usd:g} US dollars"
        elif progress.message not in ("", phase):
            width = LAST_WIDTH if progress.phase == "done" else 100
            line += f": {words.one_line(progress.message, width)}"
        print(line, file=sys.stderr, flush=True)


class LiveView:
    """The latest progress as a small picture: budgets, tree, best line, what is done now."""

    def __init__(self) -> None:
        self._latest = Progress("collect", "")
        self._received = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        self._latest, self._received = progress, time.monotonic()

    def render(self) -> RenderableType:
        """The current picture; the clock goes on between two steps."""
        latest = self._latest
        seconds = latest.seconds
        if latest.phase != "done":
            seconds += time.monotonic() - self._received
        parts: list[RenderableType] = [_head(latest)]
        if latest.budget_tests or latest.budget_seconds:
            parts.append(_budgets(latest, seconds))
        if latest.nodes:
            parts.append(_tree_line(latest))
        if latest.best_line:
            parts.append(best_line(latest.best_line, latest.best))
        return Group(*parts)


def _head(progress: Progress) -> Text:
    phase = PHASES.get(progress.phase, words.one_line(progress.phase))
    head = Text.assemble(("meritree  ", "bold"), (phase, "bold cyan"))
    if progress.message not in ("", phase):
        head.append(f"  {words.one_line(progress.message, 200)}", "dim")
    return _cut(head)


def _cut(text: Text) -> Text:
    """One line of the live view never becomes two."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _budgets(progress: Progress, seconds: float) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, used, budget, shown in (
        ("evaluations", progress.evaluations, progress.budget_tests, f"{progress.evaluations}"),
        ("seconds", seconds, progress.budget_seconds, f"{seconds:.1f}"),
        ("US dollars", progress.usd, progress.budget_usd, f"{progress.usd:.4f}"),
    ):
        if budget:
            bar = ProgressBar(total=float(budget), completed=min(used, budget), width=32)
            table.add_row(Text(name, "dim"), bar, Text(f"{shown} of {budget:g}"))
    return table


def _tree_line(progress: Progress) -> Text:
    return Text.assemble(
        ("tree         ", "dim"),
        f"{progress.nodes} nodes, best value {progress.best:.2f}, ",
        (_patches(progress.found), "bold green" if progress.found else ""),
    )


def _patches(found: int) -> str:
    if not found:
        return "no patch yet"
    return f"{found} patches pass the tests" if found > 1 else "1 patch passes the tests"


def best_line(rationales: tuple[str, ...], value: float) -> Tree:
    """The path to the best node as a small tree."""
    tree = Tree(Text("the code as it is", "dim"), guide_style="dim")
    branch = tree
    hidden = max(0, len(rationales) - MAX_BEST_LINE)
    if hidden:
        branch = branch.add(Text(f"{hidden} edits", "dim"))
    for depth, rationale in enumerate(rationales[hidden:], start=hidden + 1):
        label = Text(words.one_line(rationale, 200))
        if depth == len(rationales):
            value_text = Text(f"{value:.2f}  ", "bold green" if value >= 1 else "yellow")
            label = value_text.append_text(label)
        branch = branch.add(_cut(label))
    return tree


def show_tree(tree: SearchTreeView, *, depth: int, width: int) -> None:
    """Print a search tree: per node the most valuable children, down to ``depth`` levels."""
    console = result_console()
    if tree.root is None:
        console.print("The search had not begun: no tree yet.")
        return
    top = Tree(_node_text(tree, tree.best[0]), guide_style="dim")
    level = [(tree.best[0], top)]
    for _ in range(depth):
        level = [pair for key, branch in level for pair in _grow(tree, key, branch, width)]
    console.print(top, soft_wrap=True)


def _grow(tree: SearchTreeView, key: int, branch: Tree, width: int) -> Iterator[tuple[int, Tree]]:
    children = tree.children.get(key, ())
    best = set(tree.best)
    ranked = sorted(children, key=lambda c: (c not in best, -tree.nodes[c].value, c))
    for child in ranked[:width]:
        yield child, branch.add(_node_text(tree, child))
    if len(ranked) > width:
        branch.add(Text(f"and {len(ranked) - width} of lower value", "dim"))


def _node_text(tree: SearchTreeView, key: int) -> Text:
    node = tree.nodes[key]
    text = Text(words.one_line(node.label, 100), "bold" if key in tree.best else "")
    text.append(f"  {node.value:.2f}", "yellow" if node.value < 1 else "green")
    if node.kind in ("passed", "verified"):
        text.append(f"  {node.kind}", "green")
    return text


def show_result(document: Document, *, quiet: bool) -> None:
    """Print what a run found, why it may be trusted and what to do with it."""
    console = result_console()
    if quiet:
        _line(console, Text(words.clean(document["message"])))
        if document["patch"] and document["out"]:
            _line(console, Text(words.clean(f"{document['out']}/patch.diff")))
        if document["applied"]:
            _line(console, Text(words.applied(document)))
        return
    if document["patch"]:
        console.print()
        show_patch(console, document["patch"])
    console.print()
    show_verdict(console, document)
    show_alternatives(console, document)
    show_partial(console, document)
    show_paths(console, document)


def show_patch(console: Console, patch: str) -> None:
    """A unified diff in colours."""
    for line in words.clean(patch).splitlines():
        style = ""
        if line.startswith(("+++", "---", "diff ", "index ")):
            style = "bold"
        elif line.startswith("+"):
            style = "green"
        elif line.startswith("-"):
            style = "red"
        elif line.startswith("@@"):
            style = "cyan"
        _line(console, Text(line, style))


def show_verdict(console: Console, document: Document) -> None:
    """The status, the evidence for it and the value's channels with their reasons."""
    title, message = words.headline(document)
    style = TONES[words.tone(document)]
    _line(console, Text.assemble((title, style), f"  {message}"))
    if document["patch"]:
        verdict = document["candidates"][0]["verdict"]
        if verdict:
            _line(console, Text(f"  {words.clean(verdict)}"))
    for warning in document["warnings"]:
        _line(console, Text(f"  note: {words.clean(warning)}", "yellow"))
    if document["tests_before"]:
        _line(console, Text(f"  tests before  {words.counts(document['tests_before'])}"))
    if document["tests_after"]:
        _line(console, Text(f"  tests after   {words.counts(document['tests_after'])}"))
    if document["evaluations"]:
        spent = (
            f"{document['evaluations']} evaluations, {document['seconds']:.1f} s, "
            f"{document['nodes']} nodes, seed {document['seed']}"
        )
        _line(console, Text(f"  search        {spent}"))
    if document.get("model"):
        cost = f"{document['model']}, {document['tokens']} tokens, {document['usd']:g} usd"
        _line(console, Text(f"  model         {words.one_line(cost)}"))
    if told := words.debate(document):
        _line(console, Text(f"  debate        {told}"))
    best = document["candidates"][0] if document["candidates"] else {}
    for number, step in enumerate(best.get("steps", ()), 1):
        _line(
            console, Text(f"  {'steps' if number == 1 else '':14}{number}. {words.one_line(step)}")
        )
    estimate = document["estimate"]
    if words.channel_rows(estimate):
        gained = sum(estimate.get("gains", {}).values())
        head = Text(f"\nvalue {estimate['mean']:.2f}", "bold")
        if gained:
            head.append(f"  {gained:+.2f} over the code as it is, by channel:", "not bold dim")
        _line(console, head)
        console.print(_channels(estimate))


def _channels(estimate: Document) -> Table:
    """Each channel with its value, what it added to the whole, and why."""
    table = Table.grid(padding=(0, 2))
    for name, value, reason in words.channel_rows(estimate):
        bar = ProgressBar(total=1.0, completed=value, width=12)
        added = Text(words.gain(estimate, name), "dim")
        why = Text(words.clean(reason))
        table.add_row("", words.one_line(name), bar, f"{value:.2f}", added, why)
    return table


def show_alternatives(console: Console, document: Document) -> None:
    """The other patches that passed, in order of rank."""
    others = document["candidates"][1:]
    if not others:
        return
    _line(console, Text("\nalternatives", "bold"))
    for other in others:
        edits = "; ".join(words.one_line(edit) for edit in other["edits"])
        value = f"{other['estimate']['mean']:.2f}"
        text = f"  {other['rank']}. {words.mark(other):11}  {value}  {edits}"
        if other.get("flags"):
            text += f"  [made for the tests? {words.flagged(other)}]"
        _line(console, Text(text, "" if other["verified"] else "dim"))


def show_partial(console: Console, document: Document) -> None:
    """The patch that mends some of the failing tests, and which these are."""
    part = words.partial(document)
    if part is None:
        return
    _line(
        console, Text.assemble(("\npartial", "bold yellow"), f"  {words.partial_words(document)}")
    )
    show_patch(console, part["patch"])
    for what, tests in (("mends", part["mends"]), ("still fails", part["fails"])):
        for number, test in enumerate(tests):
            _line(console, Text(f"  {'' if number else what:12}{words.one_line(test, 400)}"))


def show_paths(console: Console, document: Document) -> None:
    """Where the run lies and what can be done next."""
    out = words.clean(document["out"])
    _line(console, Text(""))
    if document["status"] == "interrupted" and out:
        _line(
            console,
            Text.assemble("to continue   ", (words.clean(words.resume_command(document)), "bold")),
        )
    for what, shell, style in _next_steps(document):
        _line(console, Text.assemble(f"{what:14}", (words.clean(shell), style)))
    if document["applied"]:
        _line(console, Text(f"applied       {words.applied(document)}", "bold"))
    if out:
        if document["patch"]:
            _line(console, Text(f"patch         {out}/patch.diff"))
        if words.partial(document):
            _line(console, Text(f"partial       {out}/partial.diff"))
        _line(console, Text(f"report        {out}/report.html"))
        _line(console, Text(f"journal       {out}/run.db"))
    if words.caution(document):
        _line(console, Text(words.caution(document), "dim"))


def _next_steps(document: Document) -> Iterator[tuple[str, str, str]]:
    """(what for, shell command, style) of what may be done with the patch."""
    if document["patch"] and not document["applied"]:
        if words.suspect(document):
            yield "if right", words.apply_command(document), "red"
        else:
            yield "to apply", words.apply_command(document), "bold"
    if words.partial(document):
        apply, rest = words.partial_commands(document)
        yield "to apply it", apply, "yellow"
        yield "and go on", rest, "yellow"


def _line(console: Console, text: Text) -> None:
    """Print without wrapping: paths and patches must survive a copy."""
    console.print(text, soft_wrap=True)
