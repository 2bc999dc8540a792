"""Fit the repair policy's template weights to slips in small algorithms and other known fixes.

    python benchmarks/fit_slips.py --report OUT.json [--tasks TASKS.json] [--cases CASES.json]
        [--work DIR] [--table OUT.json]

TASKS are injected faults (of the repair bench), CASES real fixes (of the histories bench, of which
only the part `dev` is read).

Like `fit_priors.py`, but no test is run: the function with the slip is taken as known and all its
lines as equally suspicious, which takes a fraction of a second a slip. The report says at which
place of the policy's order the right program stands with the weights that come with meritree (the
only thing measured without `--table`), and with weights that were fitted to the other half of the
programs. Edits that give the same program twice are counted twice. Needs NumPy and SciPy.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import math
import pickle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from classics import PROGRAMS, Program, Slip
from scipy.optimize import minimize

from meritree.bench.history_cases import git, load_cases, show
from meritree.bench.reach import Target
from meritree.errors import MeritreeError
from meritree.swe.edits import Splice, apply_splices
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.evidence import Evidence
from meritree.swe.repair.ingredients import RepoIndex
from meritree.swe.repair.priors import PriorTable, shipped
from meritree.swe.repair.queue import Schedule
from meritree.swe.repair.templates import TEMPLATES, Site
from meritree.swe.repair.templates.draft import Draft, Keep, Replace, Rewrite
from meritree.swe.repair.templates.realise import realise
from meritree.swe.repository import is_subject_path

NAMES = tuple(sorted(TEMPLATES))
NUMBER = {name: i for i, name in enumerate(NAMES)}
HAND = {name: each.weight for name, each in TEMPLATES.items()}
LEAST, MOST = 2.0, 6.0  # a weight falls and rises at most by these factors
STRENGTH = 0.002
SHARE = 0.1  # of the wrong edits of a slip that the fit sees (each counts 1 / SHARE)
WEIGHTS = (1.0, 0.5, 0.5)  # what all slips, all injected faults and all real fixes weigh together
_QUOTES = str.maketrans("<'", '>"', " ()\n\t")


@dataclass(frozen=True)
class Choice:
    """One fault: every edit of its function, one row each, and which of them mend it."""

    name: str
    template: np.ndarray
    prior: np.ndarray  # log of the edit's prior relative to its template's best on the line
    place: np.ndarray  # log(1 + place among the edits of its template on its line)
    right: np.ndarray
    shift: float = 0.0  # added to the log score of wrong edits (thinned choices)


# ---- what is right


class _Same(ast.NodeTransformer):
    """Programs that differ only in the order of operands that commute become equal."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        sides = (node.left, node.right)
        number = any(isinstance(e, ast.Constant) and type(e.value) is int for e in sides)
        swaps = isinstance(node.op, ast.Mult) or (isinstance(node.op, ast.Add) and number)
        if swaps:
            node.left, node.right = sorted(sides, key=ast.dump)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) > 1:
            return node
        mirrored = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}.get(type(node.ops[0]))
        sides = [node.left, node.comparators[0]]
        if mirrored:
            node.ops, sides = [mirrored()], sides[::-1]
        elif isinstance(node.ops[0], ast.Eq | ast.NotEq):
            sides.sort(key=ast.dump)
        node.left, node.comparators = sides[0], [sides[1]]
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        flat = [
            e.values if isinstance(e, ast.BoolOp) and type(e.op) is type(node.op) else [e]
            for e in node.values
        ]
        node.values = [each for part in flat for each in part]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in ("max", "min"):
            node.args.sort(key=ast.dump)
        return node


def _program(text: str) -> str:
    try:
        return ast.dump(_Same().visit(ast.parse(text)))
    except SyntaxError:
        return ""


def _bag(text: str) -> list[str]:
    return sorted(text.translate(_QUOTES))


def _long(text: str) -> int:
    return len(text.translate(_QUOTES))


def _grows(source: SourceFile, draft: Draft) -> int | None:
    """How many characters a draft adds, nearly; None when that is not known."""
    total = 0
    for change in draft.changes:
        if isinstance(change, Replace):
            total += _long(change.text) - _long(source.segment(change.node))
        elif isinstance(change, Rewrite):
            for _, piece in change.pieces:
                if isinstance(piece, Keep):
                    total += sum(_long(source.segment(each)) for each in piece.statements)
                else:
                    total += _long(piece)
            suite = source.siblings(change.first)
            run = suite[suite.index(change.first) : suite.index(change.last) + 1]
            total -= sum(_long(source.segment(each)) for each in run)
        else:
            return None
    return total


# ---- choices


def _rows(
    site: Site, judge: Mapping[int, object], right: object
) -> Iterator[tuple[int, float, float, bool]]:
    for name, template in TEMPLATES.items():
        drafts = template.ordered(site)
        for place, draft in enumerate(drafts):
            mends = site.line in judge and bool(right(site, draft, name))  # type: ignore[operator]
            prior = math.log(max(1e-9, draft.prior / drafts[0].prior))
            yield NUMBER[name], prior, math.log1p(place), mends


def _choice(name: str, rows: Sequence[tuple[int, float, float, bool]]) -> Choice:
    table = np.array(rows, dtype=np.float64)
    return Choice(name, table[:, 0].astype(int), table[:, 1], table[:, 2], table[:, 3] > 0)


def of_slip(program: Program, slip: Slip) -> Choice:
    """All edits of a faulty program."""
    text = slip.applied(program.text)
    wanted, bag = _program(program.text), _bag(program.text)
    more = _long(program.text) - _long(text)
    old, new = text.split("\n"), program.text.split("\n")
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    near = {n: True for code in codes if code[0] != "equal" for n in range(code[1], code[2] + 4)}

    def right(site: Site, draft: Draft, template: str) -> bool:
        grows = _grows(site.source, draft)
        if grows is not None and abs(grows - more) > 1:
            return False
        edit = realise(site.source, draft, template, site.line)
        changed = apply_splices(text, edit.splices) if edit else ""
        return _bag(changed) == bag and _program(changed) == wanted

    source = SourceFile(f"{program.name}.py", text)
    index = RepoIndex({source.path: text})
    rows = [
        row
        for line, code in enumerate(old, 1)
        if code.strip() and not code.startswith(("from ", "import "))
        for row in _rows(Site(source, line, index, Evidence()), near, right)
    ]
    return _choice(program.name, rows)


def of_tasks(path: Path) -> Iterator[Choice]:
    """All edits of the functions around the single faults of a task list of the repair bench."""
    from meritree.bench.catalogue import PACKAGES
    from meritree.bench.packages import fetch, lay_out
    from meritree.bench.tasks import load

    texts: dict[str, dict[str, str]] = {}
    for task in load(path):
        if sum(map(len, task.edits.values())) != 1:
            continue
        if task.package not in texts:
            package = next(each for each in PACKAGES if each.name == task.package)
            with tempfile.TemporaryDirectory(prefix="meritree-fit-") as scratch:
                lay_out(package, fetch(package), Path(scratch))
                texts[task.package] = {
                    str(file.relative_to(scratch)): file.read_text("utf-8", "replace")
                    for file in Path(scratch).rglob("*.py")
                    if is_subject_path(str(file.relative_to(scratch)))
                }
        ((name, edits),) = task.edits.items()
        clean = texts[task.package].get(name)
        if clean is None:
            continue
        faulty = apply_splices(clean, [Splice(*each) for each in edits])
        try:
            target = Target(faulty, clean)
        except MeritreeError:
            continue
        if not target.added_only:
            yield _of_target(
                task.id, name, faulty, target, {**texts[task.package], name: faulty}, clean
            )


def _of_target(
    task: str, path: str, text: str, target: Target, sources: Mapping[str, str], clean: str
) -> Choice:
    near = dict.fromkeys(target.places(clean), True)
    lines = [n for n in target.lines() if min((abs(n - m) for m in near), default=99) < 35]

    def right(site: Site, draft: Draft, template: str) -> bool:
        edit = realise(site.source, draft, template, site.line)
        return edit is not None and target.made_by(edit)

    source, index = SourceFile(path, text), RepoIndex(sources)
    return _choice(
        task,
        [row for n in lines for row in _rows(Site(source, n, index, Evidence()), near, right)],
    )


def of_cases(path: Path) -> Iterator[Choice]:
    """All edits of the functions that real fixes changed."""
    for case in load_cases(path):
        repo = Path(case.repo)
        if case.part != "dev":
            continue
        names = git(repo, "ls-tree", "-r", "--name-only", "-z", case.parent).split("\0")
        sources = {
            name: show(repo, f"{case.parent}:{name}").decode("utf-8", "replace")
            for name in names
            if name.endswith(".py") and is_subject_path(name)
        }
        before, after = case.buggy_text(), case.developer_text()
        target = Target(before, after)
        if not target.added_only:
            yield _of_target(case.name, case.source, before, target, sources, after)


# ---- the model: log w of a template + power x prior - fall x place, as in `queue.Schedule`


def scores(choice: Choice, weights: np.ndarray, schedule: Schedule) -> np.ndarray:
    """log of w x share for every edit."""
    found: np.ndarray = (
        weights[choice.template] + schedule.power * choice.prior - schedule.fall * choice.place
    )
    return np.where(choice.right, found, found + choice.shift)


def place(choice: Choice, weights: np.ndarray, schedule: Schedule) -> int:
    """Place of the first right edit; 0 when none is."""
    if not choice.right.any():
        return 0
    found = scores(choice, weights, schedule)
    return 1 + int((found > found[choice.right].max() + 1e-9).sum())


def fit(
    groups: Sequence[tuple[Sequence[Choice], float]], start: np.ndarray, schedule: Schedule
) -> np.ndarray:
    """Weights that make the right edits likely, drawn towards ``start``."""
    items = []
    for choices, weight in groups:
        able = [choice for choice in choices if choice.right.any()]
        items += [(choice, weight / len(able)) for choice in able]

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = 0.0, np.zeros_like(x)
        for choice, weight in items:
            mass = scores(choice, x, schedule)
            mass = np.exp(mass - mass.max())
            right = choice.right
            total += weight * float(np.log(mass.sum()) - np.log(mass[right].sum()))
            excess = mass / mass.sum()
            excess[right] -= mass[right] / mass[right].sum()
            slope += weight * np.bincount(choice.template, excess, len(NAMES))
        moved = x - start
        return total + 0.5 * STRENGTH * float(moved @ moved), slope + STRENGTH * moved

    bounds = [(each - math.log(LEAST), each + math.log(MOST)) for each in start]
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60}
    )
    return np.asarray(found.x)


def thinned(choices: Sequence[Choice], seed: int = 0) -> list[Choice]:
    """Choices with a tenth of their wrong edits, which weigh ten times as much."""
    rng = np.random.default_rng(seed)
    found = []
    for choice in choices:
        kept = choice.right | (rng.random(choice.right.size) < SHARE)
        parts = (choice.template, choice.prior, choice.place, choice.right)
        found.append(Choice(choice.name, *(part[kept] for part in parts), -math.log(SHARE)))
    return found


def counts(places: Sequence[int]) -> dict[str, int]:
    found = {f"within {n}": sum(0 < p <= n for p in places) for n in (10, 50, 200, 1000, 3000)}
    return {"faults": len(places), **found, "one edit mends it": sum(p > 0 for p in places)}


Groups = tuple[list[Choice], list[Choice], list[Choice]]


def fitted(groups: Groups, start: np.ndarray, schedule: Schedule) -> np.ndarray:
    """A fit to slips, injected faults and real fixes."""
    pairs = [(thinned(each), weight) for each, weight in zip(groups, WEIGHTS, strict=True) if each]
    return fit(pairs, start, schedule)


def held_out(groups: Groups, start: np.ndarray, schedule: Schedule) -> list[int]:
    """Places of the slips of each half of the programs, by a fit to the other half."""
    slips, injected, real = groups
    names = sorted({choice.name for choice in slips})
    found = []
    for half in (0, 1):
        known = [c for c in slips if names.index(c.name) % 2 != half]
        weights = fitted((known, injected, real), start, schedule)
        new = [c for c in slips if names.index(c.name) % 2 == half]
        found += [place(choice, weights, schedule) for choice in new]
    return found


def collected(work: Path | None, tasks: Path | None, cases: Path | None) -> Groups:
    """Choices of all slips, tasks and cases; kept in ``work``."""
    file = work / "choices.pickle" if work else None
    if file and file.exists():
        known: Groups = pickle.loads(file.read_bytes())
        return known
    slips = [of_slip(each, slip) for each in PROGRAMS.values() for slip in each.slips]
    found = slips, list(of_tasks(tasks)) if tasks else [], list(of_cases(cases)) if cases else []
    if file and work:
        work.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--tasks", type=Path, help="task list of the repair bench")
    add("--cases", type=Path, help="case list of the histories bench")
    add("--work", type=Path, help="a folder for what was collected")
    add("--report", type=Path, required=True, help="figures to write")
    add("--table", type=Path, help="prior table to write; without it nothing is fitted")
    given = parser.parse_args()
    groups = collected(given.work, given.tasks, given.cases)
    table, schedule = shipped(HAND), Schedule()
    weights = np.log([table.weights.get(name, table.default) for name in NAMES])
    report: dict[str, Any] = {"templates": len(NAMES), "table": table.source}
    for name, choices in zip(("slips", "injected", "real fixes"), groups, strict=True):
        if choices:
            report[name] = counts([place(choice, weights, schedule) for choice in choices])
    if given.table:
        start = (weights + np.log([HAND[name] for name in NAMES])) / 2
        unseen = held_out(groups, start, schedule)
        report["slips of programs that the fit has not seen"] = counts(unseen)
        found = fitted(groups, start, schedule)
        plain = {name: round(math.exp(w), 4) for name, w in zip(NAMES, found, strict=True)}
        sizes = "{} slips, {} injected faults, {} real fixes".format(*map(len, groups))
        made: PriorTable = replace(table, weights=plain, source=f"{table.source}; {sizes}")
        given.table.write_text(made.to_json() + "\n", encoding="utf-8")
    given.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
