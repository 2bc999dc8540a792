"""`meritree study NAME`: run a system's study and show its verdict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meritree.cli.options import read_out
from meritree.cli.session import write_json
from meritree.errors import BadInput

if TYPE_CHECKING:
    from meritree.run.engines import Engine
    from meritree.studies.result import Result
    from meritree.studies.study import ScaleName, Study


def study(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Short name or number (`S033`).")],
    scale: Annotated[
        str, typer.Option(metavar="smoke|full|...", help="Seconds, the whole study, or more.")
    ] = "full",
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help="How many seeds.", show_default="the scale's")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", help="Processes side by side.")] = 1,
    engine: Annotated[
        str, typer.Option(metavar="local|ray", help="Where seeds are measured.")
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="The cluster, as for ray.init.",
            show_default="a cluster on this machine",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the stored result; exit 1 if it differs.")
    ] = False,
    store: Annotated[
        bool, typer.Option("--store", help="Keep the result with the package (for developers).")
    ] = False,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the run.", show_default="a state folder"),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Measure all seeds again; kept rows are put aside.")
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|URL", help="Measure with this language model, where a study asks one."
        ),
    ] = "",
    base_url: Annotated[str, typer.Option(metavar="URL", help="Endpoint of the model.")] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Another size than the scale's; may be repeated."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Measure a paper's claim: table, verdict, figure.

    A stopped run goes on when the same command is given again; seeds that were measured are kept.
    """
    from meritree.run.engines import make_engine
    from meritree.studies.registry import study_named
    from meritree.studies.result import differences as differences_from

    context.obj.json = json
    declared = with_model(study_named(name), model, base_url).at(scale)
    declared = with_settings(declared, scale, changes or ())
    other = " ".join([*([model] if model else []), *(changes or ())])
    if other and store:
        raise BadInput(f"--store: a result with {other} is yours to keep; it lies in --out")
    folder = read_out(out) or _state_folder() / _folder_name(declared.name, scale, other)
    context.obj.folder = str(folder)
    chosen = make_engine(engine, workers, ray_address)
    kept = _stored(declared, scale, check)
    opening = "" if json else _opening(declared, scale, None if other else kept)
    result = _measure(declared, scale, seeds, chosen, folder, changes or (), opening, anew=anew)
    differences = differences_from(declared, result, kept) if check and kept else []
    if store:
        _keep(result, folder)
    if json:
        extra = {"figure": str(folder / "figure.png"), "differences": differences}
        write_json({**result.to_json(), **extra})
    else:
        _show(declared, result, folder, check, differences)
    return 1 if differences else 0


def with_model(study: Study, model: str, base_url: str) -> Study:
    """The study with a language model in place of the local ones.

    Raises:
        BadInput: the study asks no model, or an endpoint is given without a model.
    """
    if not model and not base_url:
        return study
    if not model:
        raise BadInput(f"--base-url {base_url}: name the model too, with --model NAME")
    scales = {}
    for scale, size in study.scales.items():
        if "model" not in size.settings:
            raise BadInput(f"--model {model}: study {study.name} asks no language model")
        settings = {**size.settings, "model": model, "base_url": base_url}
        scales[scale] = replace(size, settings=settings)
    part = f"the repair policy and {model}" if study.part else ""
    return replace(study, scales=scales, part=part, repeatable=False)


def with_settings(study: Study, scale: ScaleName, changes: Sequence[str]) -> Study:
    """The study with ``NAME=VALUE`` in place of settings of one scale; lists have commas.

    Raises:
        BadInput: no such setting, or a value of another kind than the setting's own.
    """
    settings = dict(study.scales[scale].settings)
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in settings:
            known = ", ".join(settings) or "none"
            raise BadInput(f"--set {change}: settings of {study.name} at scale {scale}: {known}")
        settings[name] = _setting(change, settings[name], text)
    size = replace(study.scales[scale], settings=settings)
    return replace(study, scales={**study.scales, scale: size}) if changes else study


def _setting(change: str, old: Any, text: str) -> Any:
    """``text`` as a value of the old one's kind."""
    if isinstance(old, tuple):
        like = old[0] if old else ""
        return tuple(_setting(change, like, part) for part in text.split(",") if part)
    if isinstance(old, bool) or not isinstance(old, int | float | str):
        raise BadInput(f"--set {change}: {old!r} cannot be set here")
    try:
        return type(old)(text)
    except ValueError:
        raise BadInput(f"--set {change}: expected {type(old).__name__}, as {old!r}") from None


def _folder_name(study: str, scale: str, model: str) -> str:
    plain = "".join(c if c.isalnum() else "-" for c in model)
    return f"{study}-{scale}-{plain}" if model else f"{study}-{scale}"


def _state_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "meritree" / "studies"


def _measure(
    study: Study,
    scale: ScaleName,
    seeds: int | None,
    engine: Engine,
    folder: Path,
    changes: Sequence[str],
    opening: str,
    *,
    anew: bool,
) -> Result:
    """Measure into ``folder``; ``opening`` is said first, and where it is empty nothing is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from meritree.studies.figure import draw
    from meritree.studies.result import write
    from meritree.studies.runner import run

    console, quiet = Console(stderr=True), not opening

    def say(line: str) -> None:
        if not quiet:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(f"{study.name}, seeds", total=None)

        first = True

        def told(done: int, total: int) -> None:
            nonlocal first
            if first:
                say(f"{total} seed{'s' * (total != 1)} of {opening}")
            if first and done:
                say(
                    f"{done} of {total} seeds lie in {folder} from an earlier run and are kept "
                    "(--anew measures them again)"
                )
            first = False
            bar.update(task, completed=done, total=total)

        result = run(study, scale, seeds=seeds, out=folder, anew=anew, engine=engine, progress=told)
    caption = draw(study, result.rows, folder / "figure.png")
    made = result.provenance
    command = " ".join([made.command, *(f"--set {change}" for change in changes)])
    result = replace(result, caption=caption, provenance=replace(made, command=command))
    (folder / "result.json").write_text(write(result.to_json()), "utf-8")
    return result


def _stored(study: Study, scale: ScaleName, check: bool) -> Result | None:
    """The result that comes with the package; a check without one ends before it measures."""
    from meritree.studies.result import stored

    kept = stored(study.name).get(scale)
    if check and kept is None:
        raise BadInput(
            f"--check: no {scale} result of {study.name} is stored; "
            "run without --check, or with --store to keep one"
        )
    return kept


def _opening(study: Study, scale: ScaleName, kept: Result | None) -> str:
    """What is measured, how long it took before, and the quick way."""
    words = f"{study.name} at {scale} scale"
    if kept is not None:
        made = kept.provenance
        words += (
            f"; the stored run took {made.seconds:.0f} s for {len(made.seeds)} ({made.machine})"
            if made.seconds >= 1
            else "; the stored run took less than a second"
        )
    if scale != "smoke":
        words += "; `--scale smoke` is the quick one"
    return f"{words}. Ctrl-C stops it, and the same command goes on."


def _keep(result: Result, folder: Path) -> None:
    import meritree.studies
    from meritree.studies.result import figure_name, store

    home = Path(meritree.studies.__file__).parent / "results"
    try:
        store(result, home)
        if result.scale != "smoke":
            name = figure_name(result.name, result.scale)
            (home / name).write_bytes((folder / "figure.png").read_bytes())
    except OSError as error:
        raise BadInput(f"--store: {home} cannot be written: {error.strerror}") from None


def _show(study: Study, result: Result, folder: Path, check: bool, differences: list[str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from meritree.studies.result import table
    from meritree.view.printing import result_console

    console = result_console()
    head, rows = table(result.rows)
    figures = Table(*head, title=f"{study.id} {study.name}", title_justify="left")
    for row in rows:
        figures.add_row(*map(escape, row))
    console.print(figures)
    for finding in result.findings:
        console.print(f"[bold]{finding.outcome}[/]: {escape(finding.claim)}")
        console.print(f"    {finding.figures}", markup=False)
    made: Any = result.provenance
    console.print(f"\nclaim: {study.claim}", markup=False)
    console.print(f"verdict: [bold]{result.verdict}[/] ({result.scale} scale, "
                  f"{len(made.seeds)} seeds, {made.seconds:g} s)")  # fmt: skip
    if result.scale == "smoke":
        console.print("A smoke run only shows that everything works; its verdict decides nothing.")
    console.print(
        f"figure: {folder / 'figure.png'}\nresult: {folder / 'result.json'}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    if check:
        agree = "agrees with the stored result" if not differences else "differs from it:"
        console.print(f"check: {agree}", markup=False)
        for line in differences[:20]:
            console.print(f"    {line}", markup=False)
