"""The manual page, meritree(1), written from the commands themselves.

Knows how roff is written and how commands are declared; nothing of what they do.
`python docs/draw_man.py` writes it to docs/meritree.1, which the wheel installs.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from typing import Any

import typer

from meritree.cli.bench import BENCHES

EXITS = (
    ("0", "what was asked for: a verified patch, a table, nothing to fix"),
    ("1", "it ran, and the answer is no: no verified patch, an escape, a difference from what "
          "is stored"),
    ("2", "bad input; the message says what and how to go on, and nothing was changed"),
    ("70", "a bug in meritree; a run is kept"),
    ("130", "interrupted; `meritree resume` continues a run"),
)  # fmt: skip
FILES = (
    ("~/.local/state/meritree", "runs, studies and verdicts, unless --out names another folder "
                                "(below XDG_STATE_HOME if that is set)"),
    ("~/.cache/meritree", "what can be made again: tiny models, finished trainings, compiled "
                          "programs (below XDG_CACHE_HOME)"),
    ("pyproject.toml", "its table [tool.meritree] holds defaults of `fix` for a repository"),
)  # fmt: skip
ENVIRONMENT = (
    ("MERITREE_DEBUG", "1: a bug shows its traceback"),
    ("MERITREE_OFFLINE", "1: no language model is asked over the network, this machine excepted"),
    ("OPENAI_API_KEY, ANTHROPIC_API_KEY, ...", "keys of known endpoints of language models"),
    ("MERITREE_API_KEY", "the key of any other endpoint (--base-url)"),
)


def manual() -> str:
    """The page as roff. Benchmarks need the extra `bench` to tell their options."""
    from meritree.cli.app import app

    root: Any = typer.main.get_command(app)
    top = typer.Context(root, info_name="meritree", help_option_names=["-h", "--help"])
    summary = " ".join(root.help.split())
    lines = [
        ".\\\" Made by docs/draw_man.py from the program's own options; do not edit.",
        '.TH MERITREE 1 "" "Meritree" "User Commands"',
        ".SH NAME",
        "meritree \\- repair code by tree search; judge, learn, search and measure",
        ".SH SYNOPSIS",
        ".B meritree",
        "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        _text(summary),
        _text("Each command tells its options with --help; `meritree --install-completion` sets "
              "up completion for the shell it is typed in."),
        ".SH OPTIONS",
        *_parameters(root, top),
        ".SH COMMANDS",
    ]  # fmt: skip
    for name in sorted(root.commands):
        lines += _command(root.commands[name], typer.Context(root.commands[name], parent=top,
                                                             info_name=name))  # fmt: skip
    for title, table in (
        ("EXIT STATUS", EXITS), ("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT),
    ):  # fmt: skip
        lines += [f".SH {title}"]
        for term, meaning in table:
            lines += [".TP", f".B {_escaped(term)}", _text(meaning)]
    lines += [".SH SEE ALSO", _text("The documentation: docs/ of the source distribution.")]
    return "\n".join(lines) + "\n"


def _command(command: Any, context: Any) -> Iterator[str]:
    """A command with its parameters, then those below it."""
    below = getattr(command, "commands", {})
    if not below:
        usage = " ".join(command.collect_usage_pieces(context))
        yield f'.SS "{_escaped(context.command_path)} {_escaped(usage)}"'
        for paragraph in re.split(r"\n\s*\n", command.help or ""):
            yield ".PP"
            yield _text(" ".join(paragraph.split()))
        yield from _parameters(command, context)
    for name in sorted(below):
        yield from _command(below[name], typer.Context(below[name], parent=context, info_name=name))
    if context.command_path == "meritree bench":
        for name in BENCHES:
            yield from _benchmark(name)


def _parameters(command: Any, context: Any) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            head, meaning = record
            yield from (".TP", f".B {_escaped(head.removesuffix(' <str>'))}", _text(meaning))


def _benchmark(name: str) -> Iterator[str]:
    parser = importlib.import_module(f"meritree.bench.{name}").parser()
    yield f'.SS "{_escaped(parser.prog)} [OPTIONS]"'
    yield _text(" ".join((parser.description or "").split("\n\n")[0].split()))
    for action in parser._actions:  # argparse has no public list of its options
        yield from (".TP", f".B {_escaped(_spelled(action))}", _text(action.help or ""))


def _spelled(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper().replace("_", "-"))
    if action.choices:
        value = "|".join(map(str, action.choices))
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}"


def _text(words: str) -> str:
    """A paragraph; what stands between backticks is bold."""
    parts = _escaped(words).split("`")
    bold = "".join(f"\\fB{part}\\fR" if at % 2 else part for at, part in enumerate(parts))
    return re.sub(r"(?m)^([.'])", r"\\&\1", bold)


def _escaped(words: str) -> str:
    return words.replace("\\", "\\e").replace("-", "\\-")
