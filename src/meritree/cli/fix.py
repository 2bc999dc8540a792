"""`meritree fix REPO`: repair a repository by tree search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meritree.cli.options import Json, Quiet, Typed, build, settle, shown
from meritree.cli.running import run_and_show
from meritree.swe.result import DEFAULT_USD

if TYPE_CHECKING:
    from meritree.swe.result import FixResult, Listener


def fix(
    context: typer.Context,
    repo: Annotated[str, typer.Argument(help="A git repository or a plain folder of Python code.")],
    issue: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT|FILE|-",
            help="What is wrong, in words; a traceback in it guides the search.",
            show_default="none",
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="How the tests are run.", show_default="detected"),
    ] = None,
    failing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="A test that must pass afterwards; may be given several times.",
            show_default="every test that fails now",
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Interpreter of the repository's tests.", show_default="detected"
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="auto|repair|model|mini",
            help="Who proposes edits; auto: the model if --model names one, else repair; "
            "mini: mini-swe-agent with that model.",
            show_default=shown("policy"),
        ),
    ] = None,
    budget_tests: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Candidate evaluations, at most.",
            show_default=shown("budget_tests"),
        ),
    ] = None,
    budget_seconds: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Wall-clock seconds of the search, at most.",
            show_default=shown("budget_seconds"),
        ),
    ] = None,
    budget_usd: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Money for model calls, at most (the repair policy spends none).",
            show_default=f"{DEFAULT_USD:g} where prices are known",
        ),
    ] = None,
    budget_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Tokens of model calls, at most.",
            show_default=shown("budget_tokens"),
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|URL",
            help="The language model that proposes, as its endpoint knows it.",
            show_default="none",
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The models' endpoint, OpenAI-compatible.",
            show_default="OpenAI's",
        ),
    ] = None,
    value_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A model that judges each step, beside rules and tests.",
            show_default="none",
        ),
    ] = None,
    judge_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A model that judges a debate over several verified patches.",
            show_default="none: the ranking decides",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T", help="Of the models' sampling.", show_default="the endpoint's own"
        ),
    ] = None,
    context_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="The longest prompt, about; older steps are cut.",
            show_default=shown("context_tokens"),
        ),
    ] = None,
    tools: Annotated[
        str | None,
        typer.Option(
            metavar="auto|own|text",
            help="How the model calls tools: its own way, in plain text, or what works.",
            show_default=shown("tools"),
        ),
    ] = None,
    price_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Prices of models beyond those known, as TOML.",
            show_default="none",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Candidates judged at once; 1 makes runs repeatable.",
            show_default=shown("workers"),
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="local|ray",
            help="Where candidates are judged: on this machine, or on a Ray cluster.",
            show_default=shown("engine"),
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="The cluster, as for ray.init.",
            show_default="a cluster on this machine",
        ),
    ] = None,
    final_checks: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Patches are checked afresh in order of rank until N hold.",
            show_default=shown("final_checks"),
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How the search chooses; `meritree doctor` lists the names.",
            show_default=shown("strategy"),
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Seed of every random choice.", show_default=shown("seed")),
    ] = None,
    sandbox: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Where the tests run; `meritree doctor` lists the kinds. "
            "auto takes the strongest that works here.",
            show_default=shown("sandbox"),
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Journal of judged patches; with it, verified patches carry a calibrated risk.",
            show_default="the one that `meritree judge` keeps, if any",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder of this run; new or empty.",
            show_default="a new folder below ~/.local/state/meritree/runs",
        ),
    ] = None,
    json: Json = None,
    apply: Annotated[
        bool,
        typer.Option(
            "--apply",
            help="Write the verified patch into REPO.",
            show_default="REPO is not touched",
        ),
    ] = False,
    quiet: Quiet = None,
) -> int:
    """Repair REPO: search over edits until its failing tests pass, then check the patch afresh.

    Exit code 0: a verified patch, or nothing to fix; 1: none found; 2: bad input;
    130: interrupted, `meritree resume` continues.
    """
    typed = Typed(
        issue, test, failing, python, policy, strategy, budget_tests, budget_seconds, budget_usd,
        budget_tokens, model, base_url, value_model, judge_model, temperature, context_tokens,
        tools, price_file, final_checks, workers, engine, ray_address, seed, sandbox,
        calibration, out, json, quiet, apply,
    )  # fmt: skip
    path = Path(repo)
    values, as_json, as_quiet = settle(path, typed)
    context.obj.json = as_json
    options = build(path, values)

    def run(listener: Listener) -> FixResult:
        from meritree.swe.fix import fix as run_fix

        return run_fix(options, listener)

    return run_and_show(context.obj, run, quiet=as_quiet)
