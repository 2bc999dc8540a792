"""Training steps per CPU second: our preference trainer against TRL's DPOTrainer, in one run.

    python benchmarks/align.py [--rounds 5] [--steps 40]

The same Llama from the laboratory, the same pairs, batches of 32 pairs, AdamW, one thread. Ours
keeps the reference's log-probabilities, which TRL does where asked: it is measured both ways. Time
is the processor's, from the fifth step to the last, so that neither side's start counts. The sides
take turns; a ratio is the geometric mean over rounds with a 95 % bootstrap interval. Before
anything is timed, a step of plain gradient descent must give the same weights.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
import warnings
from pathlib import Path
from random import Random
from typing import Any

import torch
import transformers
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from transformers.trainer_callback import PrinterCallback
from trl import DPOConfig, DPOTrainer, __version__

from meritree.align.lab import grammar
from meritree.align.lab.model import llama, tokenizer
from meritree.align.prefer import fit_preferences
from meritree.align.text import text_pairs
from meritree.objectives.links import Logistic
from meritree.objectives.preference import LogRatio, PairObjective
from meritree.run.commit import commit
from meritree.stats import bootstrap_mean, quantile

BETA, BATCH, SKIPPED = 0.1, 32, 5
OURS, KEPT, PLAIN = "ours", "TRL, reference kept", "TRL, reference at every step"


def stamped(kind: type[Any]) -> type[Any]:
    """The optimizer, noting the processor's time after each step."""

    class Stamped(kind):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.stamps: list[float] = []

        def step(self, *arguments: Any, **named: Any) -> Any:
            found = super().step(*arguments, **named)
            self.stamps.append(time.process_time())
            return found

    return Stamped


def texts(rows: int) -> list[dict[str, str]]:
    rng, found = Random(0), []
    while len(found) < rows:
        prompt, chosen = grammar.TASK.draw(rng)
        rejected = grammar.remark(prompt[1], rng)
        if rejected != chosen:
            text = {"chosen": " " + " ".join(chosen), "rejected": " " + " ".join(rejected)}
            found.append({"prompt": " ".join(prompt), **text})
    return found


def ours(size: str, rows: list[dict[str, str]], steps: int, kind: Any, rate: float) -> Any:
    model, made = llama(grammar.TASK, 0, size), []

    def optimizer(parameters: Any) -> Any:
        made.append(stamped(kind)(parameters, lr=rate))
        return made[0]

    data = text_pairs(tokenizer(grammar.TASK), rows)
    fit_preferences(
        model, PairObjective(LogRatio(), Logistic(BETA)), data, ref=llama(grammar.TASK, 1, size),
        optimizer=optimizer, steps=steps, batch=BATCH, log_every=0,
    )  # fmt: skip
    return model, made[0].stamps


def theirs(
    size: str, rows: list[dict[str, str]], steps: int, kind: Any, rate: float, *, kept: bool
) -> Any:
    model = llama(grammar.TASK, 0, size)
    optimizer = stamped(kind)(model.parameters(), lr=rate)
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = DPOTrainer(
            model=model, ref_model=llama(grammar.TASK, 1, size),
            processing_class=tokenizer(grammar.TASK), train_dataset=Dataset.from_list(rows),
            optimizers=(optimizer, constant),
            args=DPOConfig(
                output_dir=folder, report_to="none", use_cpu=True, bf16=False, max_steps=steps,
                per_device_train_batch_size=BATCH, beta=BETA, max_grad_norm=0.0,
                logging_steps=10**6, save_strategy="no", gradient_checkpointing=False,
                disable_tqdm=True, precompute_ref_log_probs=kept, dataloader_pin_memory=False,
            ),
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return model, optimizer.stamps


def same_step(size: str) -> float:
    """Largest difference of weights after one step over the same 32 pairs, over the step's size."""
    rows = texts(BATCH)
    begin = weights(llama(grammar.TASK, 0, size))
    first = weights(ours(size, rows, 1, torch.optim.SGD, 1.0)[0]) - begin
    second = weights(theirs(size, rows, 1, torch.optim.SGD, 1.0, kept=False)[0]) - begin
    return float((first - second).abs().max() / second.abs().max())


def weights(model: Any) -> Any:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def rate_of(stamps: list[float]) -> float:
    """Steps per CPU second after the first ones."""
    return (len(stamps) - SKIPPED) / (stamps[-1] - stamps[SKIPPED - 1])


def compare(size: str, rounds: int, steps: int) -> dict[str, Any]:
    rows = texts(BATCH * 20)
    rates: dict[str, list[float]] = {OURS: [], KEPT: [], PLAIN: []}
    adam = torch.optim.AdamW
    for number in range(rounds):
        sides = {
            OURS: lambda: ours(size, rows, steps, adam, 1e-4),
            KEPT: lambda: theirs(size, rows, steps, adam, 1e-4, kept=True),
            PLAIN: lambda: theirs(size, rows, steps, adam, 1e-4, kept=False),
        }
        for name in sorted(sides, reverse=bool(number % 2)):
            rates[name].append(rate_of(sides[name]()[1]))
    found: dict[str, Any] = {
        "steps per CPU second": {
            name: round(quantile(each, 0.5), 1) for name, each in rates.items()
        }
    }
    for name in (KEPT, PLAIN):
        logs = [math.log(a / b) for a, b in zip(rates[OURS], rates[name], strict=True)]
        interval = bootstrap_mean(logs)
        ends = (interval.mean, interval.low, interval.high)
        found[f"ours / {name}"] = [round(math.exp(end), 2) for end in ends]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small"])
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "align.json"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    disable_progress_bar()
    rows = {}
    for size in options.sizes:
        off = same_step(size)
        if not off < 1e-3:
            sys.exit(f"{size}: one step differs from TRL's by {off:.2g} of its size")
        rows[size] = {"one step differs by": f"{off:.1e}"} | compare(
            size, options.rounds, options.steps
        )
        print(size, json.dumps(rows[size], indent=1), flush=True)
    result = {
        "command": " ".join(["python benchmarks/align.py", *sys.argv[1:]]),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {
            "trl": __version__, "torch": torch.__version__, "transformers": transformers.__version__
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "load_average": [round(x, 1) for x in os.getloadavg()],
        "unit": "ratio of steps per CPU second: geometric mean, 95 % interval over rounds",
        "rounds": options.rounds,
        "rows": rows,
    }  # fmt: skip
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
