"""Write the pages of all benchmarks and of the extras from their own words and stored results.

Usage: python docs/draw_benchmarks.py
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOLDER = HERE.parent / "benchmarks"
# Benchmark -> stored results. Those without one are lists for tuning, helpers, or write elsewhere.
RESULTS: Mapping[str, tuple[str, ...]] = {
    "align": ("align",), "align_grpo": ("align-grpo",), "candidates": ("candidates",),
    "cluster": ("cluster",), "engine": ("engine-quiet", "engine"), "faults": ("faults",),
    "fit_priors": ("priors",), "fit_ranking": ("ranking",), "fit_slips": ("slips",),
    "honest_fixes": ("honest-fixes",), "install": ("install",), "objectives": ("objectives",),
    "objectives_trl": ("objectives_trl",),
    "one_test": ("one-test",), "report": ("report",), "retrieval": ("retrieval",), "rl": ("rl",),
    "rl_parts": ("rl_parts",), "rl_purejaxrl": ("rl_purejaxrl",), "soak": ("soak",),
}  # fmt: skip
# Measured by commands of the program.
COMMANDS = {
    "meritree bench repair": ("repair-compare/summary", "bench.md"),
    "meritree bench histories": ("histories", "bench-histories.md"),
    "meritree bench quixbugs": ("quixbugs", "bench-quixbugs.md"),
}
MADE = "<!-- made by docs/draw_benchmarks.py from here on -->"
HELPERS = {
    "engine_peers": "engine", "rl_peer": "rl", "retrieval_queries": "retrieval",
    "small_programs": "one_test",
}  # fmt: skip


def page() -> str:
    """The page as Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Every file of `benchmarks/`: what it measures, how to repeat it, what it found last. This "
        "page is made from those files and from `benchmarks/results` by "
        "`python docs/draw_benchmarks.py`; a test holds it to them. Times are of two shared "
        "processor cores, so the load stands beside them; ratios are taken in turns in one run, "
        "seconds are not to be compared between pages. Against whom: "
        "[comparison with peers](peers.md).",
        "",
    ]
    for name, (result, guide) in COMMANDS.items():
        stored = load(result)
        lines += [f"## {name}", "", f"Its page: [{guide}]({guide}).", ""]
        lines += [*shown(result, stored), ""]
    for path in sorted(FOLDER.glob("*.py")):
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        what = " ".join(doc.split("\n\n")[0].split())
        lines += [f"## {path.name}", "", what, ""]
        if path.stem in HELPERS:
            lines += [f"Used by `{HELPERS[path.stem]}.py`.", ""]
            continue
        lines += ["```", usage(doc), "```", ""]
        for result in RESULTS.get(path.stem, ()):
            if (FOLDER / "results" / f"{result}.json").exists():
                lines += [*shown(result, load(result)), ""]
    return "\n".join(lines).rstrip() + "\n"


def install_page() -> str:
    """What each extra costs, below what is written by hand."""
    stored = load("install")
    head, _, _ = (HERE / "install.md").read_text("utf-8").partition(MADE)
    rows = [
        f"| {'`' + row['extra'] + '`' if row['extra'] else 'none'} | {row['packages']} "
        f"| {row['megabytes']} | {row['import_cpu_s']} | `{row['imports']}` |"
        for row in stored["rows"]
    ]
    torch = ", ".join(sorted({row["torch"] for row in stored["rows"] if row.get("torch")}))
    dates = " and ".join(sorted({row.get("date", stored["date"]) for row in stored["rows"]}))
    made = [
        MADE,
        "",
        f"Python {stored['python']}, {stored['machine']}, {dates}, with the pins of "
        f"`constraints.txt`{torch and f' (PyTorch {torch}, its build for processors)'}; median of "
        f"{stored['repeats']} imports, CPU time. "
        "[install.json](../benchmarks/results/install.json), `benchmarks/install.py`.",
        "",
        "| extra | packages | MB | import, CPU s | what was imported |",
        "|---|---|---|---|---|",
        *rows,
    ]
    return head + "\n".join(made) + "\n"


def load(result: str) -> dict[str, Any]:
    """A stored result."""
    found: dict[str, Any] = json.loads((FOLDER / "results" / f"{result}.json").read_text("utf-8"))
    return found


def usage(doc: str) -> str:
    """The command lines of a docstring, one to a line."""
    lines = [line.strip() for line in doc.splitlines()]
    starts = [at for at, line in enumerate(lines) if re.match(r"(Usage: )?(python|git) ", line)]
    told = []
    for at in starts:
        line = lines[at].removeprefix("Usage: ")
        if at + 1 < len(lines) and lines[at + 1].startswith(("[", "--")):
            line += " " + lines[at + 1]
        told.append(line)
    return "\n".join(told)


def shown(result: str, stored: Mapping[str, Any]) -> list[str]:
    """Where a result lies, of which commit and load, and its figures as a list."""
    commits = [one for one in _found(stored, "commit") if isinstance(one, str)]
    made = [f"commit {_short(one.removeprefix('commit '))}" for one in commits]
    loads = list(dict.fromkeys(_load(one) for one in _found(stored, "load")))
    what = "; ".join([*dict.fromkeys(made), *([f"load {', '.join(loads)}"] if loads else [])])
    head = f"[{result}.json](../benchmarks/results/{result}.json)" + (f" ({what})" if what else "")
    return [f"{head}:", "", *(f"- {line}" for line in FIGURES[result](stored))]


def _found(value: Any, key: str, depth: int = 3) -> Iterator[Any]:
    """Values of keys that begin with ``key``, near the top."""
    if isinstance(value, Mapping) and depth:
        for name, inner in value.items():
            if name.startswith(key) and not (isinstance(inner, Mapping) and key == "commit"):
                yield inner
            else:
                yield from _found(inner, key, depth - 1)


def _short(commit: Any) -> str:
    text = str(commit)
    return text[:10] if re.fullmatch(r"[0-9a-f]{12,}", text) else text


def _load(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_load(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " / ".join(_load(one) for one in value)
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _interval(three: Any) -> str:
    middle, low, high = three
    return f"{middle} [{low}, {high}]"


def _repair(d: Any) -> Iterator[str]:
    for one in d["settings"]:
        c = one["correct"]
        yield (f"{one.get('name') or one['setting']}: correct {100 * c['mean']:.0f} % "
               f"[{100 * c['low']:.0f}, {100 * c['high']:.0f}] of {c['n']} tasks")  # fmt: skip


def _histories(d: Any) -> Iterator[str]:
    for name in ("validation", "validation_again", "validation_best_first"):
        one = d[name]
        low, high = one["plausible_interval"]
        yield (f"{name.replace('_', ' ')}: {one['plausible']} of {one['runs']} plausible "
               f"[{low}, {high}], {one['right']} right first, "
               f"{one['any right among the verified']} right among the verified")  # fmt: skip
    later = d["second validation list"]
    low, high = later["plausible_interval"]
    yield (f"second validation list: {later['plausible']} of {later['runs']} plausible "
           f"[{low}, {high}], {later['right when read']} right when read")  # fmt: skip


def _quixbugs(d: Any) -> Iterator[str]:
    one = d["summary"]["all seeds"]
    yield ", ".join(f"{key} {value}" for key, value in one.items())


def _trainer(d: Any) -> Iterator[str]:
    for name, row in d["rows"].items():
        for key, value in row.items():
            if key.startswith("ours / "):
                yield f"{name}, {key}, {d['unit'].split(':')[0]}: {_interval(value)}"


def _candidates(d: Any) -> Iterator[str]:
    for name, one in d["packages"].items():
        rates = {k: v for k, v in one.items() if isinstance(v, int | float | Mapping)}
        yield f"{name}: " + ", ".join(
            f"{key.replace('_', ' ')} {_number(value)}" for key, value in rates.items()
        )


def _number(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{k} {_number(v)}" for k, v in value.items()) + ")"
    if isinstance(value, list):
        return " / ".join(map(_number, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cluster(d: Any) -> Iterator[str]:
    for one in d["rows"]:
        yield (f"{one['engine']}, {one['workers']} workers: {_number(one['seconds'])} s, "
               f"efficiency {one['efficiency']}")  # fmt: skip


def _engine(d: Any) -> Iterator[str]:
    for row in d["rows"]:
        if not row.get("journal"):
            sizes = {n: f"{one['median']:,}" for n, one in row["nodes_per_cpu_s"].items()}
            yield f"{row['strategy']}: nodes per CPU second at {_number(sizes)} nodes"
    for peer, rows in d["peers"].items():
        if isinstance(rows, Mapping):
            for name, sizes in rows.items():
                if isinstance(sizes, Mapping):
                    yield f"{peer} {rows['version']}, {name}: {_number(sizes)}"


def _faults(d: Any) -> Iterator[str]:
    yield f"{d['survived']} of {d['points']} faults survived"


def _priors(d: Any) -> Iterator[str]:
    held = d["held-out packages"]
    yield (f"median place of the right edit in {held['packages']} packages not fitted to: "
           f"{held['median rank']['hand']} by hand-set weights, "
           f"{held['median rank']['fit']} by fitted ones")  # fmt: skip
    gain = held["gain in mean log rank"]
    yield f"gain in mean log rank {gain['mean']} [{gain['low']}, {gain['high']}]"


def _ranking(d: Any) -> Iterator[str]:
    yield d["note"]


def _slips(d: Any) -> Iterator[str]:
    for name in ("before", "after"):
        slips = d[name]["slips"]
        yield (f"{name} ({d[name]['templates']} templates): right edit within 200 of "
               f"{slips['within 200']} of {slips['faults']} slips, within 1000 of "
               f"{slips['within 1000']}")  # fmt: skip


def _honest_fixes(d: Any) -> Iterator[str]:
    yield f"{len(d['flagged'])} of {d['in all']} fixes by developers are flagged"


def _install(d: Any) -> Iterator[str]:
    for row in d["rows"]:
        yield (f"{row['extra'] or 'core'}: {row['packages']} packages, {row['megabytes']} MB, "
               f"import {row['import_cpu_s']} CPU s ({row['imports']})")  # fmt: skip


def _objectives(d: Any) -> Iterator[str]:
    ratios = [row["ratio"] for row in d["rows"]]
    over = ", ".join(d["above_target"]) or "none"
    yield (f"ours / rlax over {len(ratios)} losses and gradients: {min(ratios)} to {max(ratios)}; "
           f"above the target {d['target']}: {over}")  # fmt: skip


def _objectives_trl(d: Any) -> Iterator[str]:
    yield f"ours / TRL {d['versions']['trl']}, geometric mean: {d['geometric_mean_ratio']}"


def _one_test(d: Any) -> Iterator[str]:
    for name in ("small programs", "packages"):
        one = d[name]
        yield f"{name}: first ranked is right in {one['first ranked is right, now']} of " + str(
            one["with right and wrong patches"]
        )


def _report(d: Any) -> Iterator[str]:
    pan = d["pan: frame to frame, ms"]["median"]
    yield (f"{d['nodes']} nodes, {d['megabytes']} MB: opens in {d['opening, ms']['median']} ms "
           f"(median of {d['opens']}), panning {pan} ms a frame")  # fmt: skip


def _retrieval(d: Any) -> Iterator[str]:
    for goal, systems in d["validation"]["scores"]["report"].items():
        for system, row in systems.items():
            yield f"from reports, {goal}, {system}: MRR {_interval(row['MRR'])}"


def _rl(d: Any) -> Iterator[str]:
    for kind, one in d["results"].items():
        for side, runs in one["runs"].items():
            rates = sorted(run["steps"] / run["cpu_s"] for run in runs)
            returns = ", ".join(f"{run['return']:.0f}" for run in runs)
            middle = rates[len(rates) // 2]
            yield f"{kind}, {side}: {middle:,.0f} steps per CPU second, returns {returns}"


def _rl_parts(d: Any) -> Iterator[str]:
    for world in ("cartpole", "breakout"):
        costs = {name: one["cost"] for name, one in d[world]["results"].items()}
        yield f"{world}, cost of a step against DQN's: {_number(costs)}"


def _rl_purejaxrl(d: Any) -> Iterator[str]:
    for name, one in d["results"].items():
        both = {side: sorted(one[side]["cpu_s"]) for side in ("ours", "PureJaxRL")}
        rates = {side: one["steps"] / times[len(times) // 2] for side, times in both.items()}
        yield (f"{name}: {rates['ours']:,.0f} steps per CPU second, PureJaxRL's "
               f"{rates['PureJaxRL']:,.0f}; ratio {one['ratio']:.2f}")  # fmt: skip


def _soak(d: Any) -> Iterator[str]:
    left = {name: n for name, n in d["left_behind"].items() if n > 0}
    yield f"{d['tasks']} repairs in {d['seconds']} s; left behind: {_number(left) if left else 'nothing'}"  # noqa: E501
    rss = d["growth"]["rss bytes"]
    yield (f"growth of memory per 1000 repairs {rss['per_1000'] / 1e6:.2f} MB "
           f"[{rss['low'] / 1e6:.2f}, {rss['high'] / 1e6:.2f}]")  # fmt: skip


FIGURES: Mapping[str, Any] = {
    "repair-compare/summary": _repair, "histories": _histories, "quixbugs": _quixbugs,
    "align": _trainer, "align-grpo": _trainer, "candidates": _candidates, "cluster": _cluster,
    "engine": _engine, "engine-quiet": _engine, "faults": _faults, "priors": _priors,
    "honest-fixes": _honest_fixes, "ranking": _ranking, "slips": _slips,
    "install": _install, "objectives": _objectives,
    "objectives_trl": _objectives_trl, "one-test": _one_test, "report": _report,
    "retrieval": _retrieval, "rl": _rl, "rl_parts": _rl_parts, "rl_purejaxrl": _rl_purejaxrl,
    "soak": _soak,
}  # fmt: skip

if __name__ == "__main__":
    (HERE / "benchmarks.md").write_text(page(), "utf-8")
    (HERE / "install.md").write_text(install_page(), "utf-8")
    print("benchmarks.md, install.md")
