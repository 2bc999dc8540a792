"""`meritree bench swebench`: predictions for SWE-bench instances from a local file.

Reads instances, runs `fix` on each problem statement with workers, writes `preds.json`, has them
judged by the official harness where it can run, or by an offline judge of our own, and says what
everything cost. A stopped run goes on with what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from meritree.bench import swebench_official as official
from meritree.bench.swebench_data import Instance, chosen, load_instances
from meritree.bench.swebench_judge import judge_locally, validated
from meritree.bench.swebench_repos import (
    Environment,
    check_commits,
    interpreter,
    read_environments,
)
from meritree.bench.swebench_run import (
    InstanceRun,
    Work,
    attempt,
    known_runs,
    known_verdicts,
    note_run,
    note_verdict,
    same_settings,
    write_predictions,
)
from meritree.errors import BadInput
from meritree.run._writer_lock import WriterLock
from meritree.run.engines import Engine, add_engine_options, make_engine
from meritree.run.sandbox import choose
from meritree.stats import wilson_interval
from meritree.swe.result import DEFAULT_STRATEGY, DEFAULT_TOKENS, FixOptions
from meritree.swe.run_folder import encode_options

JUDGES = ("auto", "official", "local", "none")
_UNOFFICIAL = "offline judge (not the official one)"


def main(argv: Sequence[str]) -> int:
    """The command line of this benchmark."""
    arguments = parser().parse_args(list(argv))
    ids = [one for part in arguments.instances for one in part.split(",") if one]
    instances = chosen(load_instances(arguments.data), ids, arguments.limit)
    engine = make_engine(arguments.engine, arguments.workers, arguments.ray_address)
    work = _work(arguments)
    _check(work.options)
    check_commits(work.repos, [one.problem for one in instances])
    if arguments.validate:
        return _validate(instances, work)
    if arguments.out is None:
        raise BadInput("--out is missing: where shall the predictions go?")
    work.out.mkdir(parents=True, exist_ok=True)
    lock = WriterLock.acquire(work.out / "preds.json")  # one writer; freed when it dies
    try:
        same_settings(work.out, _settings(work))
        runs = predict(instances, work, engine)
        verdicts = judge(instances, runs, work, arguments)
        report(instances, runs, verdicts, work)
    finally:
        lock.release()
    return 0


# ---- the three parts: predict, judge, report ------------------------------------------------


def predict(instances: Sequence[Instance], work: Work, engine: Engine) -> dict[str, InstanceRun]:
    """Run what has not ended yet; return the runs of these instances.

    Raises:
        KeyboardInterrupt: stopped; the same command goes on.
    """
    known = known_runs(work.out)
    # The answers stay here: what is handed to a search is the problem alone.
    problems = [i.problem for i in instances if i.id not in known or not known[i.id].ended]
    if len(problems) < len(instances):
        print(f"{len(instances) - len(problems)} of {len(instances)} instances are done already")
    for _, run in engine.each(partial(attempt, work), problems):
        if run.status == "interrupted":
            raise KeyboardInterrupt
        note_run(work.out, run)
        known[run.id] = run
        write_predictions(work.out, known.values(), work.name)
        size = f"patch of {len(run.patch.splitlines())} lines" if run.patch else "no patch"
        print(f"{run.id:32} {run.status:15} {size}  {run.message[:120]}", flush=True)
    write_predictions(work.out, known.values(), work.name)
    return {one.id: known[one.id] for one in instances if one.id in known}


def judge(
    instances: Sequence[Instance],
    runs: Mapping[str, InstanceRun],
    work: Work,
    arguments: argparse.Namespace,
) -> dict[str, dict[str, Any]]:
    """The verdict rows of these instances by the judge that was asked for."""
    wanted = arguments.judge
    if wanted == "none":
        return {}
    if wanted == "local":
        return _judged_here(instances, runs, work)
    call = official.Official(
        arguments.harness_python or Path(sys.executable),
        work.out / "official",
        f"meritree-{work.out.name}",
        arguments.workers,
    )
    named = {run.id: run.patch for run in runs.values() if run.ended and run.patch}
    predictions = {i: p for i, p in _predictions(work).items() if i in named}
    official.write_inputs(call, instances, predictions)
    why = official.missing(call.python)
    if why:
        said = f"The official harness was not called: {why}. Where it runs: {call.shown()}"
        if wanted == "official":
            raise BadInput(f"--judge official: {said}")
        print(f"\n{said}\nFor an offline judge that is not the official one: --judge local")
        return {}
    if not predictions:
        return {}
    found = official.evaluate(call, work.name)
    return {
        one: _verdict_row(work.out, one, "official", named[one], "resolved" if yes else
                          "not-resolved", "")
        for one, yes in found.items()
    }  # fmt: skip


def _predictions(work: Work) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((work.out / "preds.json").read_text("utf-8"))
    return found


def _judged_here(
    instances: Sequence[Instance], runs: Mapping[str, InstanceRun], work: Work
) -> dict[str, dict[str, Any]]:
    known = known_verdicts(work.out, "local")
    rows: dict[str, dict[str, Any]] = {}
    for instance in instances:
        run = runs.get(instance.id)
        if run is None or not run.ended:
            continue
        row = known.get(instance.id)
        if not run.patch:
            row = {"id": run.id, "judge": "local", "found": "not-resolved", "why": "no patch"}
        elif row is None or row.get("patch") != run.patch:
            verdict = judge_locally(
                instance,
                run.patch,
                repos=work.repos,
                environment=work.environments.of(instance.problem),
                sandbox=choose(work.options.sandbox),
                folder=work.out / instance.id / "judge",
            )
            row = _verdict_row(work.out, run.id, "local", run.patch, verdict.found, verdict.why)
            print(f"{run.id:32} {_UNOFFICIAL}: {verdict.found}: {verdict.why[:120]}", flush=True)
        rows[run.id] = row
    return rows


def _verdict_row(
    out: Path, one: str, judge: str, patch: str, found: str, why: str
) -> dict[str, Any]:
    row = {"id": one, "judge": judge, "found": found, "why": why, "patch": patch}
    note_verdict(out, row)
    return row


def report(
    instances: Sequence[Instance],
    runs: Mapping[str, InstanceRun],
    verdicts: Mapping[str, Mapping[str, Any]],
    work: Work,
) -> dict[str, Any]:
    """Print the table of costs and verdicts; write it as `summary.json`."""
    rows = [
        {**asdict(runs[one.id]), "judged": verdicts.get(one.id, {}).get("found", "")}
        for one in instances
        if one.id in runs
    ]
    for row in rows:
        row.pop("patch")
    judges = {str(row["judge"]) for row in verdicts.values()}
    figures = {
        "instances": len(instances),
        "ended": sum(run.ended for run in runs.values()),
        "errors": sum(not run.ended for run in runs.values()),
        "with a patch": sum(bool(run.patch) for run in runs.values()),
        "judge": next(iter(judges)) if judges else "none",
        "resolved": sum(row["judged"] == "resolved" for row in rows),
        "cannot be judged": sum(row["judged"] == "cannot-judge" for row in rows),
        "total": totals(runs.values()),
        "runs": rows,
    }
    _print_table(rows, figures)
    path = work.out / "summary.json"
    path.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    return figures


def totals(runs: Any) -> dict[str, Any]:
    """Sums over runs; money is added as decimals, so that the total is the sum of the rows."""
    found = list(runs)
    return {
        "evaluations": sum(run.evaluations for run in found),
        "tokens": sum(run.tokens for run in found),
        "usd": float(sum((Decimal(repr(run.usd)) for run in found), Decimal(0))),
        "seconds": float(sum((Decimal(repr(run.seconds)) for run in found), Decimal(0))),
    }


def _print_table(rows: Sequence[Mapping[str, Any]], figures: Mapping[str, Any]) -> None:
    head = ("instance", "status", "evaluations", "tokens", "usd", "seconds", "judged")
    print(f"\n{head[0]:32} {head[1]:15} {head[2]:>11} {head[3]:>10} {head[4]:>11} {head[5]:>9}  "
          f"{head[6]}")  # fmt: skip
    total = {"id": "total", "status": "", "judged": "", **figures["total"]}
    for row in (*rows, total):
        print(
            f"{row['id']:32} {row['status']:15} {row['evaluations']:11} {row['tokens']:10} "
            f"{row['usd']:11.6f} {row['seconds']:9.1f}  {row['judged']}".rstrip()
        )
    if figures["judge"] == "none":
        print(f"\n{figures['ended']} of {figures['instances']} predictions, judged by nobody")
        return
    low, high = wilson_interval(figures["resolved"], figures["instances"])
    who = "the official harness" if figures["judge"] == "official" else _UNOFFICIAL
    print(
        f"\n{figures['resolved']} of {figures['instances']} resolved, says {who} "
        f"(95 % interval {low:.1%} to {high:.1%})"
    )


def _validate(instances: Sequence[Instance], work: Work) -> int:
    """Say which instances this machine can judge: by their own patches, without any search."""
    bad = 0
    for instance in instances:
        with tempfile.TemporaryDirectory(prefix="meritree-validate-") as folder:
            why = validated(
                instance,
                repos=work.repos,
                environment=work.environments.of(instance.problem),
                sandbox=choose(work.options.sandbox),
                folder=Path(folder) / "judge",
            )
        bad += bool(why)
        print(f"{instance.id:32} {'cannot be judged here: ' + why if why else 'can be judged'}")
    print(f"\n{len(instances) - bad} of {len(instances)} instances can be judged offline here")
    return 1 if bad else 0


# ---- what was asked for ---------------------------------------------------------------------


def _work(arguments: argparse.Namespace) -> Work:
    policy = arguments.policy
    if policy == "auto":
        policy = "model" if arguments.model else "repair"
    options = FixOptions(
        repo=Path(),
        # Tests that fail in this environment say nothing of the issue; the repair policy,
        # which cannot read, has nothing else.
        trust_failing=policy == "repair",
        policy=policy,
        strategy=arguments.strategy,
        budget_tests=arguments.budget_tests,
        budget_seconds=arguments.budget_seconds,
        budget_usd=arguments.budget_usd,
        budget_tokens=arguments.budget_tokens,
        model=arguments.model,
        base_url=arguments.base_url,
        value_model=arguments.value_model,
        temperature=arguments.temperature,
        context_tokens=arguments.context_tokens,
        tools=arguments.tools,
        price_file=_file(arguments.price_file, "--price-file"),
        seed=arguments.seed,
        sandbox=arguments.sandbox,
    )
    python = arguments.python and interpreter(arguments.python.expanduser(), "--python ")
    default = Environment(python, arguments.test)
    out = (arguments.out or Path("swebench")).expanduser().resolve()
    return Work(
        options,
        arguments.repos.expanduser().resolve(),
        read_environments(arguments.environments, default),
        out,
        arguments.name or f"meritree-{arguments.model or policy}",
    )


def _check(options: FixOptions) -> None:
    from meritree.swe.asked import check_options

    choose(options.sandbox)
    check_options(options)


def _settings(work: Work) -> dict[str, Any]:
    """What decides the predictions, and so must not change within one folder."""
    settings = encode_options(work.options)
    for name in ("repo", "issue", "python", "test_command", "out", "apply", "calibration"):
        settings.pop(name)
    plain: dict[str, Any] = json.loads(json.dumps({**settings, "name": work.name}))
    return plain


def _file(path: Path | None, option: str) -> Path | None:
    if path is not None and not path.expanduser().is_file():
        raise BadInput(f"{option} {path}: no such file")
    return None if path is None else path.expanduser().absolute()


def parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    made = argparse.ArgumentParser(prog="meritree bench swebench", description=__doc__)
    usual = FixOptions(Path())
    add = made.add_argument
    add("--data", type=Path, required=True, metavar="FILE", help="instances: parquet, json, jsonl")
    add("--repos", type=Path, required=True, metavar="DIR", help="clones: owner__name, owner/name")
    add("--out", type=Path, metavar="DIR", help="predictions, trajectories, runs; continued")
    add("--instances", action="append", default=[], metavar="ID,...", help="only these")
    add("--limit", type=int, metavar="N", help="only the first N")
    add("--python", type=Path, metavar="PATH", help="interpreter of the tests (detected)")
    add("--test", default="", metavar="COMMAND", help="test command of the search (detected)")
    add("--environments", type=Path, metavar="FILE", help="JSON: interpreter by instance or repo")
    add("--judge", choices=JUDGES, default="auto", help="auto: official where it can run, or none")
    add("--harness-python", type=Path, metavar="PATH", help="interpreter that has swebench (this)")
    add("--validate", action="store_true", help="only say which instances --judge local can judge")
    add("--name", default="", help="model_name_or_path of the predictions (meritree-MODEL)")
    add("--policy", default="auto", help="auto, repair, model or mini")
    add("--model", default="", metavar="NAME", help="as for meritree fix, and so are these:")
    add("--base-url", default="", metavar="URL")
    add("--value-model", default="", metavar="NAME")
    add("--temperature", type=float, metavar="T")
    add("--context-tokens", type=int, default=usual.context_tokens, metavar="N")
    add("--tools", choices=("auto", "own", "text"), default=usual.tools)
    add("--price-file", type=Path, metavar="FILE")
    add("--strategy", default=DEFAULT_STRATEGY, metavar="NAME")
    add("--budget-tests", type=int, default=200, metavar="N", help="of each instance (200)")
    add("--budget-seconds", type=float, default=1800.0, metavar="S", help="of each (1800)")
    add("--budget-usd", type=float, metavar="X", help="of each")
    add("--budget-tokens", type=int, default=DEFAULT_TOKENS, metavar="N", help="of each")
    add("--seed", type=int, default=0, metavar="N")
    add("--sandbox", default="auto", metavar="KIND")
    add_engine_options(made)
    return made
