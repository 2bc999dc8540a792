"""An objective that TRL does not have, inside TRL's own DPOTrainer.

Jensen-Shannon DPO with a supervised term on the chosen answer: a score, a link and an extra. The
model is a Llama of 0.1 million parameters made on the spot; any causal model is used the same way.
"""

import tempfile
from random import Random

from datasets import Dataset
from trl import DPOConfig

from meritree.align.adaptors.trl import dpo_trainer
from meritree.align.lab.model import llama, tokenizer
from meritree.align.lab.tasks import task_named
from meritree.objectives.extras import Nll
from meritree.objectives.links import Logistic
from meritree.objectives.preference import LogRatio, PairObjective

objective = PairObjective(LogRatio("js"), Logistic(beta=0.5), ((0.1, Nll()),))

rng = Random(0)
rows = []
for _ in range(64):
    digits = [rng.randrange(10) for _ in range(5)]
    words = {"right": sorted(digits), "wrong": sorted(digits, reverse=True)}
    if words["right"] != words["wrong"]:
        said = {name: " " + " ".join(map(str, answer)) for name, answer in words.items()}
        prompt = "sort " + " ".join(map(str, digits))
        rows.append({"prompt": prompt, "chosen": said["right"], "rejected": said["wrong"]})

task = task_named("sorting")
with tempfile.TemporaryDirectory() as folder:
    trainer = dpo_trainer(objective)(
        model=llama(task, seed=0),
        ref_model=llama(task, seed=0),
        processing_class=tokenizer(task),
        train_dataset=Dataset.from_list(rows),
        args=DPOConfig(
            output_dir=folder, max_steps=30, per_device_train_batch_size=8, learning_rate=3e-3,
            logging_steps=10, report_to="none", save_strategy="no", use_cpu=True, bf16=False,
            gradient_checkpointing=False, disable_tqdm=True,
        ),
    )  # fmt: skip
    trainer.train()
for entry in trainer.state.log_history:
    if "loss" in entry:
        print(f"step {entry['step']}: loss {float(entry['loss']):.3f}, "
              f"margin {float(entry['margin']):.2f}")  # fmt: skip
