"""Warm starts: a tiny model that has read answers of a task; trained once, then read from a cache.

Runs with the same code, settings and seed share one; nothing is kept with the package.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

from meritree.align._torch import Module, torch, transformers
from meritree.align.data import Answer, answers
from meritree.align.lab.model import Vocabulary, llama, tokenizer
from meritree.align.lab.tasks import Task, task_named
from meritree.align.prefer import fit_preferences
from meritree.errors import BadInput
from meritree.objectives.extras import Nll
from meritree.objectives.preference import RowObjective

RECORD = "base.json"


@dataclass(frozen=True)
class Recipe:
    """How a base is made.

    Attributes:
        task: name of the task.
        seed: of weights, answers and their order.
        size: of the model.
        steps, batch, rate: of the training; the rate falls to nothing in a straight line.
        rows: how many answers are drawn.
    """

    task: str
    seed: int = 0
    size: str = "tiny"
    steps: int = 800
    batch: int = 128
    rate: float = 3e-3
    rows: int = 20_000


@dataclass(frozen=True)
class Base:
    """A warm start.

    Attributes:
        task: what it was trained on.
        model: the policy, a fresh copy for each caller.
        folder: where it lies, readable by ``from_pretrained``.
        loss: mean negative log-probability of an answer at the end of training, in nats.
    """

    task: Task
    model: Module
    folder: Path
    loss: float


def base(recipe: Recipe, *, say: Callable[[str], None] = lambda _: None) -> Base:
    """The base of a recipe, trained if it is not in the cache.

    Args:
        recipe: how it is made.
        say: told once if training begins.

    Raises:
        BadInput: an unknown task or size, numbers below 1, a cache that cannot be written.
    """
    task = task_named(recipe.task)
    for name in ("steps", "batch", "rows"):
        if getattr(recipe, name) < 1:
            raise BadInput(f"lab base: {name} is {getattr(recipe, name)}; it must be at least 1")
    folder = cache_folder() / f"{recipe.task}-{_key(recipe)}"
    if not (folder / RECORD).is_file():
        say(f"training the base of {recipe.task} ({recipe.steps} steps)")
        _make(recipe, task, folder)
    record = json.loads((folder / RECORD).read_text("utf-8"))
    with _no_bars():
        model = transformers().LlamaForCausalLM.from_pretrained(folder, local_files_only=True)
    return Base(task, model, folder, record["loss"])


def cache_folder() -> Path:
    """Where bases lie: ``meritree/lab`` in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "meritree" / "lab"


def _key(recipe: Recipe) -> str:
    """Changes with the recipe, with the code of the laboratory and with PyTorch."""
    home = Path(__file__).parent
    made_of = getattr(import_module(f"meritree.align.lab.{recipe.task}"), "MADE_OF", ())
    files = [home / f"{name}.py" for name in ("base", "model", recipe.task, *made_of)]
    trainer = ("data", "forward", "loop", "prefer", "sources")
    files += [home.parent / f"{name}.py" for name in trainer]
    digest = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode())
    for file in files:
        digest.update(file.read_bytes())
    digest.update(torch.__version__.encode())
    return digest.hexdigest()[:12]


def _make(recipe: Recipe, task: Task, folder: Path) -> None:
    words = Vocabulary(task)
    rng = Random(f"{recipe.task} {recipe.seed}")
    drawn = [task.draw(rng) for _ in range(recipe.rows)]
    rows = [Answer(words.prompt(prompt), words.answer(answer)) for prompt, answer in drawn]
    model = llama(task, recipe.seed, recipe.size)

    def falling(optimizer: Any) -> Any:
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: max(0.02, 1.0 - step / recipe.steps)
        )

    trained = fit_preferences(
        model,
        RowObjective(((1.0, Nll()),)),
        answers(rows),
        optimizer=lambda p: torch.optim.AdamW(p, lr=recipe.rate, weight_decay=0.01),
        schedule=falling,
        steps=recipe.steps,
        batch=recipe.batch,
        seed=recipe.seed,
        max_norm=1.0,
    )
    losses = [point.value for point in trained.curve if point.name == "loss"]
    record = {"recipe": asdict(recipe), "loss": sum(losses[-5:]) / len(losses[-5:])}
    _write(model, tokenizer(task), record, folder)


def _write(model: Module, words: Any, record: dict[str, Any], folder: Path) -> None:
    """Whole or not at all; another process may write the same at the same time."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}."))
        with _no_bars():
            model.save_pretrained(half)
        words.save_pretrained(half)
        (half / RECORD).write_text(json.dumps(record, indent=1), "utf-8")
        try:
            half.rename(folder)
        except OSError:  # the other was first, or what lies there is no whole base
            if not (folder / RECORD).is_file():
                shutil.rmtree(folder)
                half.rename(folder)
            shutil.rmtree(half, ignore_errors=True)
    except OSError as error:
        raise BadInput(
            f"the cache {folder.parent} cannot be written: {error.strerror}; set XDG_CACHE_HOME"
        ) from None


@contextmanager
def _no_bars() -> Iterator[None]:
    """Files of half a megabyte need no progress bar."""
    log = transformers().utils.logging
    shown = log.is_progress_bar_enabled()
    log.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            log.enable_progress_bar()
