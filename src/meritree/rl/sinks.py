"""Where the numbers of a run go while it runs: a bar, a file, TensorBoard, Weights & Biases.

Each is called with (windows done, windows in all, log of the last window); give one to `fit`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from meritree.errors import BadInput

Log = dict[str, Any]


def all_of(*sinks: Any) -> Any:
    """Every sink, one after the other."""

    def progress(done: int, total: int, log: Log) -> None:
        for sink in sinks:
            sink(done, total, log)

    return progress


class Bar:
    """A progress bar on the terminal that shows some of the numbers.

    Use it as a context manager, so that the terminal is left in order.
    """

    def __init__(self, title: str = "training", show: Sequence[str] = ("return", "loss")) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._show = show
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
            TimeRemainingColumn(), TextColumn("{task.fields[numbers]}"),
        )  # fmt: skip
        self._task = self._bar.add_task(title, numbers="")

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int, log: Log) -> None:
        numbers = "  ".join(f"{name} {log[name]:.4g}" for name in self._show if name in log)
        self._bar.update(self._task, completed=done, total=total, numbers=numbers)


class Lines:
    """One JSON object a window, appended to a file; NaN becomes null.

    Windows that the file already has (a run that was resumed) are not written twice.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._have = 0
        if self._path.exists():
            whole = [line for line in self._path.read_text("utf-8").splitlines(True)
                     if line.endswith("\n")]  # fmt: skip
            self._have = len(whole)
            # Half a line of a killed run is cut off.
            self._path.write_text("".join(whole), "utf-8")

    def __call__(self, done: int, total: int, log: Log) -> None:
        if done <= self._have:
            return
        plain = {name: value if math.isfinite(value) else None for name, value in log.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"window": done, **plain}) + "\n")
        self._have = done


class TensorBoard:
    """Scalars in TensorBoard's event files; needs PyTorch's writer or tensorboardX."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if find_spec("tensorboardX") is not None:
            from tensorboardX import SummaryWriter
        elif find_spec("torch") is not None and find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter
        else:
            raise BadInput("TensorBoard needs a writer: pip install tensorboardX")
        self._writer = SummaryWriter(str(folder))

    def __call__(self, done: int, total: int, log: Log) -> None:
        for name, value in log.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, done)
        self._writer.flush()


class WandB:
    """Scalars of a run of Weights & Biases; the run is the caller's (``wandb.init(...)``)."""

    def __init__(self, run: Any) -> None:
        if not hasattr(run, "log"):
            raise BadInput(f"WandB: {type(run).__name__} has no log; give what wandb.init returned")
        self._run = run

    def __call__(self, done: int, total: int, log: Log) -> None:
        self._run.log(
            {name: value for name, value in log.items() if math.isfinite(value)}, step=done
        )
