"""The command line's entry: puts the commands together and turns errors into exit codes.

Knows no room below; every command imports what it needs when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from meritree.cli.bench import bench
from meritree.cli.demo import demo
from meritree.cli.doctor import doctor
from meritree.cli.export import export
from meritree.cli.fix import fix
from meritree.cli.import_ import import_
from meritree.cli.judge import judge
from meritree.cli.lab import app as lab
from meritree.cli.resume import resume
from meritree.cli.sandbox import app as sandbox
from meritree.cli.serve_model import serve_model
from meritree.cli.session import (
    EXIT_INTERRUPTED,
    Session,
    report_bug,
    report_error,
    report_interrupt,
    report_meritree_error,
)
from meritree.cli.show import show
from meritree.cli.streams import finish, outlive_readers
from meritree.cli.study import study
from meritree.cli.systems import systems
from meritree.cli.view import view
from meritree.errors import MeritreeError

app = typer.Typer(
    name="meritree",
    help="Repair code by tree search. `meritree demo` shows it, `meritree fix REPO` does it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# What people type for a command that is called otherwise.
_MEANT = {
    "repair": "fix", "solve": "fix", "run": "fix", "patch": "fix", "search": "fix",
    "continue": "resume", "restart": "resume",
    "status": "show", "report": "show", "result": "show", "log": "show", "tree": "show",
    "serve": "view", "web": "view", "watch": "view", "check": "doctor", "info": "doctor",
    "list": "systems", "studies": "systems", "ls": "systems", "measure": "study",
    "benchmark": "bench", "example": "demo", "feedback": "judge",
}  # fmt: skip


def _version(wanted: bool) -> None:
    if wanted:
        from meritree import __version__

        print(f"meritree {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Common options; they act through their callbacks."""


for _command in (fix, resume, demo, show, view, export, judge, study, systems, doctor):
    app.command()(_command)
app.command("import")(import_)
app.command("serve-model")(serve_model)
app.add_typer(sandbox)
app.add_typer(lab)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)(bench)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are said, never raised."""
    session = Session(json="--json" in arguments)
    command = typer.main.get_command(app)
    try:
        code = command.main(
            args=list(arguments), prog_name="meritree", standalone_mode=False, obj=session
        )
    except MeritreeError as error:
        return report_meritree_error(session, error)
    except typer.TyperException as error:  # a wrong option, a missing argument
        return report_error(session, "Usage", _usage(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return report_interrupt(session)
    # The last boundary: whatever nobody foresaw becomes a message and an exit code of its own.
    except Exception as error:  # noqa: BLE001
        return report_bug(session, error)
    if code == EXIT_INTERRUPTED and not session.told:  # Typer keeps the interrupt to itself
        return report_interrupt(session)
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "meritree"
    said = _refused_value(error) or error.format_message().rstrip(".")
    said = said if not said or said.endswith("?") else f"{said}."
    if where == "meritree":
        said += _meant(said)
    return f"{said} `{where} --help` shows what there is.".lstrip()


def _meant(said: str) -> str:
    """The command that may have been meant by one that there is not."""
    wanted = said.removeprefix("No such command '").removesuffix("'.")
    return f" Did you mean '{_MEANT[wanted]}'?" if wanted in _MEANT else ""


def _refused_value(error: typer.TyperException) -> str:
    """Option, value and what is wrong with it, where a validator of Typer's says so."""
    found: list[Any] = getattr(error.__cause__, "errors", list)()
    parameter = getattr(error, "param", None)
    if not found or parameter is None:
        return ""
    first = found[0]
    limits = first.get("ctx", {})
    wrong = {
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "greater_than_equal": f"must be at least {limits.get('ge')}",
        "less_than_equal": f"must be at most {limits.get('le')}",
    }.get(first["type"])
    name = next((one for one in parameter.opts if one.startswith("--")), parameter.opts[0])
    return f"{name} {first['input']}: {wrong}" if wrong else ""


def main() -> NoReturn:
    """Entry point of the `meritree` program."""
    outlive_readers()
    try:
        code = run(sys.argv[1:])
    except SystemExit as leaving:  # of a benchmark's own options
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    sys.exit(finish(code))
