"""Rollouts and steps per CPU second: our verifiable-reward trainer against TRL's GRPOTrainer.

    python benchmarks/align_grpo.py [--rounds 5] [--steps 25]

The same Llama from the laboratory with random weights, the same countdown prompts, 16 prompts with
16 answers of at most 8 tokens a step, one optimizer step a rollout, AdamW, no KL, temperature 1,
clip-higher, losses averaged over tokens, one thread. The reward is a verifier in Python on either
side. Time is the processor's, from the fifth step to the last. The sides take turns; a ratio is
the geometric mean over rounds with a 95 % bootstrap interval. Tokens of an answer are reported for
both sides, so that neither draws less. `tests/align/test_trl_grpo.py` compares the losses.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import warnings
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import torch
import transformers
from align import SKIPPED, rate_of, stamped
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer, __version__

from meritree.align.lab.countdown import TASK
from meritree.align.lab.model import Vocabulary, llama, tokenizer
from meritree.align.prompts import prompts
from meritree.align.rewards import task_reward
from meritree.align.rlvr import RLVR, fit_rlvr
from meritree.run.commit import commit
from meritree.stats import bootstrap_mean, quantile

PROMPTS, SIZE, LONGEST, RATE = 16, 16, 8, 1e-4
WORDS = Vocabulary(TASK)


def drawn(number: int) -> list[list[str]]:
    rng = Random(0)
    return [TASK.draw(rng)[0] for _ in range(number)]


def ours(size: str, steps: int, accumulate: int) -> tuple[list[float], float]:
    made: list[Any] = []

    def optimizer(parameters: Any) -> Any:
        made.append(stamped(torch.optim.AdamW)(parameters, lr=RATE))
        return made[0]

    data = prompts([WORDS.prompt(prompt) for prompt in drawn(PROMPTS * 20)])
    trained = fit_rlvr(
        llama(TASK, 0, size), RLVR(size=SIZE), data, task_reward(TASK), longest=LONGEST,
        end=WORDS.end, optimizer=optimizer, steps=steps, batch=PROMPTS, log_every=1,
        accumulate=accumulate,
    )  # fmt: skip
    lengths = [point.value for point in trained.curve if point.name == "length"]
    return made[0].stamps, fmean(lengths)


def theirs(size: str, steps: int, accumulate: int) -> tuple[list[float], float]:
    model, words = llama(TASK, 0, size), tokenizer(TASK)
    words.padding_side = "left"
    optimizer = stamped(torch.optim.AdamW)(model.parameters(), lr=RATE)
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    lengths: list[int] = []

    def reward(prompts: Any, completions: Any, completion_ids: Any, **_: Any) -> list[float]:
        lengths.extend(len(ids) for ids in completion_ids)
        return [
            TASK.reward(prompt.split(), WORDS.read(list(ids)))
            for prompt, ids in zip(prompts, completion_ids, strict=True)
        ]

    rows = [{"prompt": " ".join(prompt)} for prompt in drawn(PROMPTS * 20)]
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model, reward_funcs=reward, train_dataset=Dataset.from_list(rows),
            processing_class=words, optimizers=(optimizer, constant),
            args=GRPOConfig(
                output_dir=folder, report_to="none", use_cpu=True, bf16=False, max_steps=steps,
                per_device_train_batch_size=PROMPTS * SIZE // accumulate,
                gradient_accumulation_steps=accumulate, num_generations=SIZE,
                max_completion_length=LONGEST, beta=0.0, epsilon=0.2, epsilon_high=0.28,
                loss_type="dapo", temperature=1.0, max_grad_norm=1.0, logging_steps=10**6,
                save_strategy="no", gradient_checkpointing=False, disable_tqdm=True,
                dataloader_pin_memory=False, learning_rate=RATE,
            ),
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return optimizer.stamps, fmean(lengths)


def compare(size: str, rounds: int, steps: int, accumulate: int) -> dict[str, Any]:
    rates: dict[str, list[float]] = {"ours": [], "TRL": []}
    lengths: dict[str, list[float]] = {"ours": [], "TRL": []}
    for number in range(rounds):
        sides = {"ours": ours, "TRL": theirs}
        for name in sorted(sides, reverse=bool(number % 2)):
            stamps, length = sides[name](size, steps, accumulate)
            rates[name].append(rate_of(stamps))
            lengths[name].append(length)
    logs = [math.log(a / b) for a, b in zip(rates["ours"], rates["TRL"], strict=True)]
    interval = bootstrap_mean(logs)
    return {
        "steps per CPU second": {name: round(quantile(x, 0.5), 2) for name, x in rates.items()},
        "tokens an answer": {name: round(fmean(x), 2) for name, x in lengths.items()},
        "ours / TRL": [
            round(math.exp(end), 2) for end in (interval.mean, interval.low, interval.high)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small"])
    home = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=home / "align-grpo.json")
    options = parser.parse_args()
    if options.steps <= SKIPPED + 1:
        parser.error(f"--steps must be above {SKIPPED + 1}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    disable_progress_bar()
    rows = {}
    for size in options.sizes:
        for accumulate in (1, 4):
            name = f"{size}, {accumulate} pass{'es' if accumulate > 1 else ''} a step"
            rows[name] = compare(size, options.rounds, options.steps, accumulate)
            print(name, json.dumps(rows[name], indent=1), flush=True)
    result = {
        "command": " ".join(["python benchmarks/align_grpo.py", *sys.argv[1:]]),
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
