"""From what was typed to `FixOptions`: command line over settings over documented defaults."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from meritree.cli.settings import read_settings
from meritree.errors import BadInput
from meritree.swe.result import FixOptions

DEFAULTS: Mapping[str, Any] = {
    field.name: field.default
    for field in fields(FixOptions)
    if field.name not in ("repo", "prices")
}
_LOOKS_LIKE_A_FILE = (".md", ".txt", ".rst", ".log")


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed for `fix`; None where nothing was."""

    issue: str | None = None
    test: str | None = None
    failing: list[str] | None = None
    python: str | None = None
    policy: str | None = None
    strategy: str | None = None
    budget_tests: int | None = None
    budget_seconds: float | None = None
    budget_usd: float | None = None
    budget_tokens: int | None = None
    model: str | None = None
    base_url: str | None = None
    value_model: str | None = None
    judge_model: str | None = None
    temperature: float | None = None
    context_tokens: int | None = None
    tools: str | None = None
    price_file: str | None = None
    final_checks: int | None = None
    workers: int | None = None
    engine: str | None = None
    ray_address: str | None = None
    seed: int | None = None
    sandbox: str | None = None
    calibration: str | None = None
    out: str | None = None
    json: bool | None = None
    quiet: bool | None = None
    apply: bool = False


def settle(repo: Path, typed: Typed) -> tuple[Mapping[str, Any], bool, bool]:
    """Merge what was typed with the repository's settings: (values, json, quiet).

    Raises:
        BadInput: the repository's settings are wrong, or an endpoint has no model.
    """
    values = read_settings(repo) if repo.is_dir() else {}
    for field in fields(Typed):
        value = getattr(typed, field.name)
        if value is not None and value != []:
            values[field.name.replace("_", "-")] = value
    if typed.model is not None and typed.policy in (None, "auto"):
        values["policy"] = "model"  # whoever names a model wants it
    asks = typed.model or typed.judge_model or values.get("policy") in ("model", "mini")
    if typed.base_url is not None and not asks:
        raise BadInput(
            f"--base-url {typed.base_url}: no model is named that could be asked there; add "
            "--model NAME (or --judge-model NAME), or leave it out"
        )
    return values, bool(values.get("json", False)), bool(values.get("quiet", False))


def build(repo: Path, values: Mapping[str, Any]) -> FixOptions:
    """Return the options of the run; the ranges of its numbers are checked by `fix` itself.

    Raises:
        BadInput: a file is missing, a text is empty, a name is unknown.
    """

    def value(key: str, name: str = "") -> Any:
        return values.get(key, DEFAULTS[name or key.replace("-", "_")])

    return FixOptions(
        repo=repo,
        issue=read_issue(value("issue")),
        test_command=_not_blank("--test", value("test", "test_command")),
        failing_tests=tuple(value("failing", "failing_tests")),
        python=_interpreter(value("python")),
        policy=value("policy"),
        strategy=value("strategy"),
        budget_tests=value("budget-tests"),
        budget_seconds=float(value("budget-seconds")),
        budget_usd=_number(value("budget-usd")),
        budget_tokens=value("budget-tokens"),
        model=value("model"),
        base_url=value("base-url"),
        value_model=value("value-model"),
        judge_model=value("judge-model"),
        temperature=_number(value("temperature")),
        context_tokens=value("context-tokens"),
        tools=_tools(value("tools")),
        prices=values.get("prices", {}),
        price_file=_price_file(value("price-file")),
        final_checks=value("final-checks"),
        workers=value("workers"),
        engine=value("engine"),
        ray_address=value("ray-address"),
        seed=value("seed"),
        sandbox=_sandbox(value("sandbox")),
        calibration=_calibration(value("calibration")),
        out=read_out(value("out")),
        apply=bool(values.get("apply", False)),
    )


def read_issue(given: str) -> str:
    """The issue's text: of standard input for ``-``, of a file if it is one, else as given.

    Raises:
        BadInput: it looks like a file but is none, or cannot be read as text.
    """
    if given == "-":
        return sys.stdin.read()
    if not given or "\n" in given or "\0" in given or len(given) > 1024:
        return given
    path = Path(os.path.expanduser(given))  # a text may begin with ~ and be too long for a name
    try:
        if os.path.isfile(path):
            return path.read_bytes().decode("utf-8", "replace")
        if os.path.isdir(path):
            raise BadInput(f"--issue {given} is a folder; give a file, a text or - for stdin")
    except OSError as error:
        raise BadInput(f"--issue {given} cannot be read: {error.strerror}") from error
    if " " not in given and given.endswith(_LOOKS_LIKE_A_FILE):
        raise BadInput(f"--issue {given}: no such file; give a file, a text or - for stdin")
    return given


def _sandbox(kind: str) -> str:
    if kind == "auto":
        return kind
    from meritree.run.sandbox import describe

    known = ("auto", *(one.name for one in describe()))
    if kind not in known:
        raise BadInput(f"--sandbox {kind}: no such kind; allowed are {', '.join(known)}")
    return kind


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _tools(value: str) -> Any:
    if value not in ("auto", "own", "text"):
        raise BadInput(f"--tools {value}: unknown; choose auto, own or text")
    return value


def _price_file(value: str | None) -> Path | None:
    if value is None:
        return None
    path = Path(value).expanduser()
    if not path.is_file():
        raise BadInput(f"--price-file {value}: no such file; give a TOML table of prices")
    return path.absolute()


def _not_blank(option: str, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise BadInput(f"{option} is empty; give a command such as `python -m pytest -x`")
    return value


def _interpreter(value: str | None) -> Path | None:
    if value is None:
        return None
    path = Path(value).expanduser()
    if not path.is_file():
        raise BadInput(
            f"--python {value}: no such file; give a Python interpreter such as .venv/bin/python"
        )
    return path.absolute()


def _calibration(value: str | None) -> Path | None:
    """The journal that was named, else the user's own if there is one."""
    from meritree.swe.calibration import default_path

    if value is None:
        return default_path() if default_path().is_file() else None
    path = Path(value).expanduser()
    if not path.is_file():
        raise BadInput(
            f"--calibration {value}: no such file; `meritree judge` makes one, or leave it out"
        )
    return path.absolute()


def read_out(value: str | None) -> Path | None:
    """The run folder as an absolute path, None where none was given."""
    if value is None:
        return None
    if not value.strip():
        raise BadInput("--out is empty; give a new or empty folder")
    # Resolved: sandbox and pytest refuse paths that leave a folder by `..`.
    return Path(value).expanduser().resolve()


def shown(name: str) -> str:
    """The default of an option, as its help shows it."""
    value = DEFAULTS[name]
    return f"{value:g}" if isinstance(value, float) else str(value)


Json = Annotated[
    bool | None,
    typer.Option(
        "--json/--no-json", help="One JSON document on standard output.", show_default="no-json"
    ),
]
Quiet = Annotated[
    bool | None,
    typer.Option("--quiet/--no-quiet", "-q", help="No progress.", show_default="no-quiet"),
]
