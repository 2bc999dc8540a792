"""Time of a loss and its gradient: ours against TRL's own lines, in one run, on PyTorch.

    python benchmarks/objectives_trl.py [--rounds 40]

TRL's lines are cut out of its trainers' source as installed (from the log-ratios to the loss,
without model and metrics) and run on the same token log-probabilities and masks. Ours is the
objective with its shape checks; `PairObjective` also makes its four metrics, given apart. Both get
one advantage a row [B, 1], as in TRL's trainer: clipping a ratio of sequences is then work on rows
alone. With one a token, given apart, it is not. The two take turns; the ratio is of CPU times, with
a 95 % bootstrap interval over rounds. One thread.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import os
import platform
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from trl import DPOTrainer, GRPOTrainer, __version__
from trl.trainer import dpo_trainer

from meritree.objectives import divergences, rows, surrogates
from meritree.objectives.links import Logistic, Square
from meritree.objectives.preference import LogRatio, PairObjective
from meritree.run.commit import commit
from meritree.stats import bootstrap_mean, quantile

SIZES = {"16 x 128": (16, 128), "32 x 512": (32, 512), "64 x 2048": (64, 2048)}
BETA = 0.1


def lines(method: Callable[..., Any], first: str, last: str) -> str:
    """The method's source from the line that contains ``first`` up to the one with ``last``."""
    source = inspect.getsource(method).splitlines()
    start = next(i for i, line in enumerate(source) if first in line)
    stop = next(i for i, line in enumerate(source) if last in line and i > start)
    return textwrap.dedent("\n".join(source[start:stop]))


def trl_dpo(loss_type: str, f: str) -> Callable[[dict[str, Any]], Any]:
    body = lines(DPOTrainer._compute_loss, "chosen_logratios = ", "if self.aux_loss_enabled")
    code = compile(body, "trl dpo", "exec")
    trainer = SimpleNamespace(
        beta=BETA, loss_types=[loss_type], loss_weights=[1.0], f_divergence_type=f,
        f_alpha_divergence_coef=0.7, label_smoothing=0.0, use_weighting=False,
    )  # fmt: skip

    def loss(b: dict[str, Any]) -> Any:
        mask = b["mask"]
        chosen, rejected = (b["logp"] * mask).sum(dim=1).chunk(2, dim=0)
        ref_chosen, ref_rejected = (b["ref_logp"] * mask).sum(dim=1).chunk(2, dim=0)
        names = {
            **vars(dpo_trainer), "self": trainer, "completion_mask": mask,
            "chosen_logps": chosen, "rejected_logps": rejected,
            "ref_chosen_logps": ref_chosen, "ref_rejected_logps": ref_rejected,
        }  # fmt: skip
        exec(code, names)
        return names["loss"]

    return loss


def trl_grpo(**settings: Any) -> Callable[[dict[str, Any]], Any]:
    body = lines(GRPOTrainer._compute_loss, "log_ratio = per_token", "# Entropy bonus: add")
    code = compile(body, "trl grpo", "exec")
    trainer = SimpleNamespace(
        **{"loss_type": "grpo", "importance_sampling_level": "token", "epsilon_high": 0.28}
        | settings,
        beta=0.05, epsilon_low=0.2, off_policy_mask_threshold=None, use_vllm=False,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False),
        model=SimpleNamespace(training=False), accelerator=SimpleNamespace(num_processes=1),
    )  # fmt: skip

    def loss(b: dict[str, Any]) -> Any:
        names = {
            "self": trainer, "torch": torch, "mask": b["mask"], "entropy_mask": None,
            "per_token_logps": b["logp"], "old_per_token_logps": b["old_logp"],
            "advantages": b["advantage"],
            "inputs": {"ref_per_token_logps": b["ref_logp"], "num_items_in_batch": b["mask"].sum()},
        }  # fmt: skip
        exec(code, names)
        return names["loss"]

    return loss


def our_dpo(objective: PairObjective, *, metrics: bool) -> Callable[[dict[str, Any]], Any]:
    if metrics:
        return lambda b: objective(b)[0].mean()

    def loss(b: dict[str, Any]) -> Any:
        plus, minus = rows.halves("dpo", objective.score(b))
        return objective.link(plus - minus).mean()

    return loss


def our_grpo(surrogate: rows.Part, how: rows.How) -> Callable[[dict[str, Any]], Any]:
    def loss(b: dict[str, Any]) -> Any:
        tokens = surrogate(b) + 0.05 * divergences.k3(b["logp"], b["ref_logp"])
        return rows.agg(tokens, b["mask"], how)

    return loss


def per_token(loss: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda b: loss(b | {"advantage": b["advantage"].expand(b["logp"].shape)})


def cases() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """Ours and TRL's, by name."""
    pairs = {
        "sigmoid": (PairObjective(LogRatio(), Logistic(BETA)), "sigmoid", "reverse_kl"),
        "ipo": (PairObjective(LogRatio(mean=True), Square(BETA)), "ipo", "reverse_kl"),
        "js": (PairObjective(LogRatio("js"), Logistic(BETA)), "sigmoid", "js_divergence"),
        "alpha": (
            PairObjective(LogRatio("alpha", 0.3), Logistic(BETA)), "sigmoid", "alpha_divergence",
        ),
    }  # fmt: skip
    found = {}
    for name, (objective, loss_type, f) in pairs.items():
        found[f"dpo {name}"] = (our_dpo(objective, metrics=False), trl_dpo(loss_type, f))
    found["dpo sigmoid, with our metrics"] = (
        our_dpo(pairs["sigmoid"][0], metrics=True),
        trl_dpo("sigmoid", "reverse_kl"),
    )
    found["grpo"] = (our_grpo(surrogates.Clip(0.2, 0.28), "seq_mean"), trl_grpo())
    found["cispo"] = (
        our_grpo(surrogates.Cispo(5.0), "token"),
        trl_grpo(loss_type="cispo", epsilon_high=5.0),
    )
    found["gspo"] = (
        our_grpo(surrogates.SeqRatio(0.2, 0.28), "seq_mean"),
        trl_grpo(importance_sampling_level="sequence"),
    )
    ours, theirs = found["gspo"]
    found["gspo, an advantage a token"] = (per_token(ours), per_token(theirs))
    return found


def batch(size: tuple[int, int]) -> dict[str, Any]:
    torch.manual_seed(0)
    old = -torch.rand(size)
    mask = torch.ones(size, dtype=torch.int64)
    mask[::2, size[1] // 2 :] = 0
    logp = (old + 0.1 * torch.randn(size)).requires_grad_()
    return {
        "logp": logp, "logp_sg": logp.detach(), "old_logp": old,
        "ref_logp": old + 0.1 * torch.randn(size), "mask": mask,
        "advantage": torch.randn(size[0], 1),
    }  # fmt: skip


def seconds(loss: Callable[..., Any], b: dict[str, Any], calls: int) -> float:
    """CPU seconds a call of the loss and its gradient."""
    start = time.process_time()
    for _ in range(calls):
        b["logp"].grad = None
        loss(b).backward()
    return (time.process_time() - start) / calls


def compare(ours: Any, theirs: Any, size: tuple[int, int], rounds: int) -> dict[str, float]:
    b = batch(size)
    values, slopes = [], []
    for loss in (ours, theirs):
        b["logp"].grad = None
        value = loss(b)
        value.backward()
        values.append(value.item())
        slopes.append(b["logp"].grad.clone())
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-7)
    calls = max(3, math.ceil(0.02 / seconds(theirs, b, 5)))
    logs, times = [], ([], [])
    for number in range(rounds):
        pair = [(0, ours), (1, theirs)]
        for which, loss in pair if number % 2 else pair[::-1]:
            times[which].append(seconds(loss, b, calls))
        logs.append(math.log(times[0][-1] / times[1][-1]))
    interval = bootstrap_mean(logs)
    return {
        "ours_us": round(1e6 * quantile(times[0], 0.5), 1),
        "trl_us": round(1e6 * quantile(times[1], 0.5), 1),
        "ratio": round(math.exp(interval.mean), 3),
        "low": round(math.exp(interval.low), 3),
        "high": round(math.exp(interval.high), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "objectives_trl.json"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, (ours, theirs) in cases().items():
        for label, size in SIZES.items():
            row = compare(ours, theirs, size, options.rounds)
            found.setdefault(name, {})[label] = row
            print(f"{name:32} {label:10}", row, flush=True)
    ratios = [
        math.log(row["ratio"])
        for name, sizes in found.items()
        if "," not in name  # the cases given apart
        for row in sizes.values()
    ]
    result = {
        "command": "python benchmarks/objectives_trl.py " + " ".join(sys.argv[1:]),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {"trl": __version__, "torch": torch.__version__},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_average": [round(x, 1) for x in os.getloadavg()],
        "rounds": options.rounds,
        "unit": "CPU microseconds of loss and gradient, median; ratio ours / TRL, geometric mean",
        "geometric_mean_ratio": round(math.exp(sum(ratios) / len(ratios)), 3),
        "rows": found,
    }
    print("all:", result["geometric_mean_ratio"])
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
