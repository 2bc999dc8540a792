"""Fit the repair policy's template weights and failure factors to injected faults.

    python benchmarks/fit_priors.py TASKS.json... --work DIR --table OUT.json --report OUT.json

A fault is read as a choice: of all edits that the policy could make first, which ones undo the
slip? Under the policy's own model, P(edit) ~ L(line) w(t) m(t, failure) share(prior, place), the
log-probability of those edits is maximised, drawn towards the hand-set numbers. Tests are run
once a fault (baseline and coverage); no candidate is ever run. Whether it helps is measured on
packages that the fit has not seen: every package is left out once.

Needs NumPy and SciPy. The programs and projects that are used for reporting are not among the
packages.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import pickle
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from meritree.bench.catalogue import PACKAGES
from meritree.bench.compare import same_program
from meritree.bench.packages import fetch, lay_out
from meritree.bench.tasks import Task, inject, load
from meritree.errors import MeritreeError
from meritree.swe.edits import Splice, apply_splices
from meritree.swe.prepare import prepare
from meritree.swe.repair.context import load as parse_file
from meritree.swe.repair.priors import HAND_SET_RULES, FailureSigns, PriorTable
from meritree.swe.repair.templates import TEMPLATES, Site
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import create
from meritree.swe.targets import Ended

NAMES = tuple(sorted(TEMPLATES))
NUMBER = {name: i for i, name in enumerate(NAMES)}
HAND = PriorTable({name: each.weight for name, each in TEMPLATES.items()})
LINES = 35  # most suspicious lines whose edits compete
LEAST, MOST = 3.0, 8.0  # a weight falls and rises at most by these factors
DRAFTS = 60  # edits of one template on one line that compete
_GLUE = str.maketrans("", "", " \n\t()'\",;\\")


@dataclass(frozen=True, slots=True)
class Choice:
    """One fault: every edit that competes, one row each, and which of them undo the slip.

    Attributes:
        template: number of the template, ``[n]``.
        line: log L of its line, ``[n]``.
        prior: log of the edit's prior relative to its template's best there, ``[n]``.
        place: log(1 + place among the edits of its template on its line), ``[n]``.
        right: whether it undoes a slip entirely, ``[n]``.
    """

    task: str
    package: str
    kinds: str
    signs: FailureSigns
    template: np.ndarray
    line: np.ndarray
    prior: np.ndarray
    place: np.ndarray
    right: np.ndarray


# ---- from a task to a choice


def choice_of(task: Task) -> Choice | None:
    """Lay the task out, run its tests once, list what the policy could do; None if nothing fits."""
    package = next(p for p in PACKAGES if p.name == task.package)
    with tempfile.TemporaryDirectory(prefix="meritree-fit-") as scratch:
        clean, repo = Path(scratch) / "clean", Path(scratch) / "repo"
        clean.mkdir()
        lay_out(package, fetch(package), clean)
        shutil.copytree(clean, repo)
        inject(task, repo)
        wanted = _Wanted(task, {p: (clean / p).read_bytes().decode() for p in task.edits})
        options = FixOptions(repo, failing_tests=task.shown, out=Path(scratch) / "run")
        prepared = prepare(options, create(options), lambda _: None)
        try:
            return _choice(task, prepared, wanted)
        finally:
            prepared.close()


class _Wanted:
    """Texts that undo a slip entirely: the original; of two slips, either one undone."""

    def __init__(self, task: Task, originals: Mapping[str, str]) -> None:
        self.texts: dict[str, list[tuple[str, str]]] = {}
        splices = [(path, Splice(*each)) for path, edits in task.edits.items() for each in edits]
        if len(task.faults) == 1:
            for path, text in originals.items():
                self._add(path, text)
        elif len(splices) == 2:
            for (path, _), (other, kept) in (splices, splices[::-1]):
                text = originals[path]
                self._add(path, apply_splices(text, [kept]) if other == path else text)

    def _add(self, path: str, text: str) -> None:
        self.texts.setdefault(path, []).append((_glued(text), text))

    def undone(self, path: str, text: str) -> bool:
        glued = _glued(text)
        return any(
            glued == key and same_program(text, good) for key, good in self.texts.get(path, ())
        )


def _glued(text: str) -> str:
    """Text without layout and comments: a quick test before programs are compared."""
    return re.sub(r"#[^\n]*", "", text).translate(_GLUE)


def _choice(task: Task, prepared: Any, wanted: _Wanted) -> Choice | None:
    suspicion = prepared.suspicion
    factor = {(x.path, x.line): x.factor for x in suspicion.lines}
    near = {(f.path, f.line + d) for f in task.faults for d in range(-4, 5)} & factor.keys()
    competing = {(x.path, x.line) for x in suspicion.lines[:LINES]} | near
    rows: list[tuple[float, ...]] = []
    for path, line in sorted(competing):
        text = prepared.repository.sources[path]
        source = parse_file(path, text)
        if source is None:
            continue
        catalogue = prepared.catalogue
        site = Site(source, line, catalogue.index, catalogue.evidence)
        for name, template in TEMPLATES.items():
            found: Iterable[tuple[float, bool]]
            if (path, line) in near:
                found = [
                    (edit.prior, wanted.undone(path, apply_splices(text, edit.splices)))
                    for edit, _ in zip(template.propose(site), range(200), strict=False)
                ]
            else:
                found = [(draft.prior, False) for draft in template.ordered(site)[:DRAFTS]]
            top = max((prior for prior, _ in found), default=1.0)
            rows += [
                (
                    NUMBER[name],
                    math.log(factor[path, line]),
                    math.log(max(1e-9, prior / top)),
                    math.log1p(place),
                    right,
                )
                for place, (prior, right) in enumerate(found)
            ]
    if not any(row[-1] for row in rows):
        return None
    table = np.array(rows, dtype=float)
    return Choice(
        task.id, task.package, "+".join(f.kind for f in task.faults), prepared.signs,
        table[:, 0].astype(int), table[:, 1], table[:, 2], table[:, 3], table[:, 4] > 0,
    )  # fmt: skip


def choices(tasks: Sequence[Task], work: Path) -> tuple[list[Choice], int]:
    """Choices of all tasks, kept in ``work``; and how many tasks have none."""
    work.mkdir(parents=True, exist_ok=True)
    found = []
    for task in tasks:
        digest = hashlib.sha256(task.diff.encode()).hexdigest()[:16]
        path = work / f"{digest}.pkl"
        if not path.exists():
            try:
                made = choice_of(task)
            except (MeritreeError, Ended) as error:
                print(f"{task.id}: left out: {error}", flush=True)
                made = None
            path.write_bytes(pickle.dumps(made))
            print(f"{task.id}: {'can' if made else 'cannot'} be undone by one edit", flush=True)
        kept = pickle.loads(path.read_bytes())
        if kept is not None:
            found.append(kept)
    return found, len(tasks) - len(found)


# ---- the model


class Model:
    """Parameters: log w of every template, log m of every (rule, template), power, fall."""

    def __init__(self, hand: PriorTable, strength: float, factor_strength: float) -> None:
        self.hand = hand
        self.rules = hand.rules
        count = len(NAMES)
        self.weights = np.log([hand.weights[name] for name in NAMES])
        self.factors = np.zeros((len(self.rules), count))
        for i, rule in enumerate(self.rules):
            for name, factor in rule.factors.items():
                self.factors[i, NUMBER[name]] = math.log(factor)
        self.start = np.concatenate([self.weights, self.factors.ravel(), [1.0, 0.5]])
        pull = np.full(self.start.size, strength)
        pull[count:-2] = factor_strength
        pull[-2:] = 4.0
        self.pull = pull
        # What is injected is not all that happens: templates that the faults do not need must
        # not drown among those that they do.
        lowest, highest = np.full((2, self.start.size), [[-np.inf], [np.inf]])
        lowest[:count] = self.weights - math.log(LEAST)
        highest[:count] = self.weights + math.log(MOST)
        self.bounds = list(zip(lowest, highest, strict=True))

    def split(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
        count = len(NAMES)
        return x[:count], x[count:-2].reshape(len(self.rules), count), float(x[-2]), float(x[-1])

    def applying(self, signs: FailureSigns) -> np.ndarray:
        return np.array([i for i, rule in enumerate(self.rules) if rule.applies(signs)], dtype=int)

    def scores(self, x: np.ndarray, choice: Choice) -> tuple[np.ndarray, np.ndarray]:
        """log of w m share L for every edit, and the rule behind each template's m (or -1)."""
        weights, factors, power, fall = self.split(x)
        behind = np.full(len(NAMES), -1)
        m = np.zeros(len(NAMES))
        applying = self.applying(choice.signs)
        if applying.size:
            part = factors[applying]
            best = part.argmax(axis=0)
            m = np.maximum(0.0, part.max(axis=0))  # the largest factor wins, none is below 1
            behind = np.where(m > 0, applying[best], -1)
        t = choice.template
        scores = (weights + m)[t] + choice.line + power * choice.prior - fall * choice.place
        return scores, behind

    def loss(self, x: np.ndarray, data: Sequence[Choice]) -> tuple[float, np.ndarray]:
        """- sum of log P(right) plus the pull towards the hand-set numbers; with its gradient."""
        count = len(NAMES)
        slope = np.zeros_like(x)
        total = 0.0
        for choice in data:
            scores, behind = self.scores(x, choice)
            all_mass, right_mass = logsumexp(scores), logsumexp(scores[choice.right])
            total += all_mass - right_mass
            excess = np.exp(scores - all_mass)
            excess[choice.right] -= np.exp(scores[choice.right] - right_mass)
            by_template = np.bincount(choice.template, excess, count)
            slope[:count] += by_template
            live = np.flatnonzero(behind >= 0)
            np.add.at(slope, count + behind[live] * count + live, by_template[live])
            slope[-2] += excess @ choice.prior
            slope[-1] -= excess @ choice.place
        moved = x - self.start
        return total + 0.5 * float(self.pull @ moved**2), slope + self.pull * moved

    def fit(self, data: Sequence[Choice]) -> np.ndarray:
        found = minimize(
            self.loss, self.start, args=(data,), jac=True, method="L-BFGS-B",
            bounds=self.bounds, options={"maxiter": 80},
        )  # fmt: skip
        return np.asarray(found.x)

    def rank(self, x: np.ndarray, choice: Choice) -> float:
        """Place of the first right edit in the order of scores; ties count half."""
        scores, _ = self.scores(x, choice)
        best = scores[choice.right].max()
        ahead = int((scores > best + 1e-12).sum())
        tied = int((np.abs(scores - best) <= 1e-12).sum()) - 1
        return 1 + ahead + tied / 2

    def table(self, x: np.ndarray, source: str) -> PriorTable:
        """The parameters as a prior table; factors near 1 are dropped."""
        weights, factors, _, _ = self.split(x)
        rules = []
        for rule, row in zip(self.rules, factors, strict=True):
            kept = {n: round(math.exp(f), 3) for n, f in zip(NAMES, row, strict=True) if f > 0.1}
            rules.append(replace(rule, factors=kept))
        plain = {n: round(math.exp(w), 4) for n, w in zip(NAMES, weights, strict=True)}
        return PriorTable(plain, tuple(rules), self.hand.default, source)


# ---- whether it helps


def cross_validate(model: Model, data: Sequence[Choice], seed: int = 0) -> dict[str, Any]:
    """Ranks on every package by a fit to all the others, against the hand-set numbers."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for package in sorted({c.package for c in data}):
        x = model.fit([c for c in data if c.package != package])
        pairs[package] = [
            (model.rank(model.start, c), model.rank(x, c)) for c in data if c.package == package
        ]
    every = np.array([pair for part in pairs.values() for pair in part])
    gain = np.log(every[:, 0]) - np.log(every[:, 1])
    chance = np.random.default_rng(seed)
    means = [gain[chance.integers(0, gain.size, gain.size)].mean() for _ in range(4000)]
    return {
        "faults": len(every),
        "packages": len(pairs),
        "mean log rank": dict(zip(("hand", "fit"), map(_r, np.log(every).mean(0)), strict=True)),
        "gain in mean log rank": {
            "mean": _r(gain.mean()),
            "low": _r(np.quantile(means, 0.025)),
            "high": _r(np.quantile(means, 0.975)),
        },
        "median rank": {"hand": _r(np.median(every[:, 0])), "fit": _r(np.median(every[:, 1]))},
        **{
            f"rank at most {n}": {
                "hand": int((every[:, 0] <= n).sum()),
                "fit": int((every[:, 1] <= n).sum()),
            }
            for n in (10, 50, 200)
        },
        "by package": {
            name: _r(float(np.mean([math.log(a / b) for a, b in part])))
            for name, part in pairs.items()
        },
    }  # fmt: skip


def _r(value: float) -> float:
    return round(float(value), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="+", type=Path, help="task lists of the repair bench")
    parser.add_argument("--work", type=Path, required=True, help="folder for what was prepared")
    parser.add_argument("--table", type=Path, required=True, help="prior table to write")
    parser.add_argument("--report", type=Path, required=True, help="figures to write")
    parser.add_argument("--strength", type=float, default=0.5, help="pull of the hand-set weights")
    parser.add_argument("--factor-strength", type=float, default=4.0, help="the same for factors")
    given = parser.parse_args()
    distinct = {task.diff: task for path in given.tasks for task in load(path)}
    data, without = choices(list(distinct.values()), given.work)
    model = Model(HAND, given.strength, given.factor_strength)
    x = model.fit(data)
    figures = cross_validate(model, data)
    _, _, power, fall = model.split(x)
    source = (
        f"hand-set, then fitted to {len(data)} injected faults in {figures['packages']} packages "
        f"(benchmarks/fit_priors.py, strength {given.strength:g}, {given.factor_strength:g})"
    )
    given.table.write_text(model.table(x, source).to_json() + "\n", encoding="utf-8")
    report = {
        "tasks": len(distinct),
        "no single edit undoes a slip": without,
        "schedule": {"power": _r(power), "fall": _r(fall)},
        "held-out packages": figures,
        "strength": given.strength,
        "factor strength": given.factor_strength,
        "rules": [rule.name for rule in HAND_SET_RULES],
    }
    given.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
