"""`meritree sandbox check`: real attempts to get out of each sandbox kind, as a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from meritree.cli.session import write_json

if TYPE_CHECKING:
    from meritree.run.escapes import Result
    from meritree.run.sandbox import Sandbox

app = typer.Typer(
    name="sandbox", help="Look at the sandboxes that test runs are confined in.",
    no_args_is_help=True,
)  # fmt: skip


@app.callback()
def _sandbox() -> None:
    """Look at the sandboxes that test runs are confined in."""


@app.command()
def check(
    context: typer.Context,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A sandbox kind; may be given several times.",
            show_default="every kind that works here",
        ),
    ] = None,
    attempt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="One attempt; may be given several times.",
            show_default="all",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
) -> int:
    """Try to escape from each sandbox kind, and say what was refused; takes about two minutes.

    Each attempt runs unconfined first (harmlessly): one that does not succeed even then says
    nothing and is reported as not testable here. Exit code 0: nothing got out of a kind that
    promises to stop it; 1: something did.
    """
    context.obj.json = json
    sandboxes = _chosen(kind)
    results = list(_results(sandboxes, attempt))
    if json:
        write_json([one.to_json() for one in results])
    else:
        _show(results, sandboxes)
    from meritree.run.escapes import failures

    return 1 if failures(results) else 0


def _chosen(kinds: Sequence[str] | None) -> list[Sandbox]:
    from meritree.run.sandbox import choose, describe

    return [choose(name) for name in kinds or [one.name for one in describe() if one.available]]


def _results(sandboxes: Sequence[Sandbox], names: Sequence[str] | None) -> Iterable[Result]:
    from meritree.errors import BadInput
    from meritree.run.escapes import ATTEMPTS
    from meritree.run.escapes import check as try_out
    from meritree.swe.verdict_attempts import VERDICT_ATTEMPTS, check_verdicts

    known = [*(one.name for one in ATTEMPTS), *(one.name for one in VERDICT_ATTEMPTS)]
    for name in names or ():
        if name not in known:
            raise BadInput(f"--attempt {name}: no such attempt; known are {', '.join(known)}")
    wanted = set(names or known)
    yield from try_out(sandboxes, [a for a in ATTEMPTS if a.name in wanted], _say)
    verdicts = [a for a in VERDICT_ATTEMPTS if a.name in wanted]
    if verdicts:
        yield from check_verdicts(sandboxes, verdicts, _say)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)


def _say(name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[Ktrying {name}", end="", file=sys.stderr, flush=True)


def _show(results: Sequence[Result], sandboxes: Sequence[Sandbox]) -> None:
    from rich.table import Table

    from meritree.run.escapes import failures
    from meritree.view.printing import result_console

    table = Table("attempt", *(one.kind for one in sandboxes), "what it tries", box=None)
    ordered = sorted(results, key=lambda one: one.attempt)
    for name, group in groupby(ordered, lambda one: one.attempt):
        by_kind = {one.kind: one for one in group}
        cells = [_cell(by_kind[s.kind]) for s in sandboxes]
        table.add_row(name, *cells, next(iter(by_kind.values())).what)
    console = result_console()
    console.print(table)
    for sandbox in sandboxes:
        console.print(_summary(sandbox.kind, [r for r in results if r.kind == sandbox.kind]))
    for result in results:
        if result.refused is None and result.kind == sandboxes[0].kind:
            console.print(f"{result.attempt}: {result.reason}", markup=False)
    for result in failures(results):
        text = f"ESCAPED from {result.kind}: {result.attempt}: {result.reason}"
        console.print(text, markup=False)


def _summary(kind: str, results: Sequence[Result]) -> str:
    out = [one for one in results if one.refused is False]
    broken = sum(one.promised for one in out)
    return (
        f"{kind}: {sum(one.refused is True for one in results)} of {len(results)} refused, "
        f"{broken} escaped that must not, {len(out) - broken} escaped that this kind does not "
        f"promise to stop, {sum(one.refused is None for one in results)} not testable here"
    )


def _cell(result: Result) -> str:
    if result.refused is None:
        return "[dim]not testable[/dim]"
    if result.refused:
        return "[green]refused[/green]"
    return "[bold red]ESCAPED[/bold red]" if result.promised else "[yellow]not promised[/yellow]"
