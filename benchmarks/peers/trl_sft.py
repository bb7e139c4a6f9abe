"""TRL's SFTTrainer. `settings`: 'default' (padded, its fused head), 'packing' (best-fit, without padding), or 'plain' (padded, and
the loss from whole logits, which on a CPU is faster than its fused head; label smoothing of nearly nothing asks for it)."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from common import Clock, arguments_of, of_history, read_job, tell
from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

PLAIN = 1e-12


def main() -> None:
    job, clock = read_job(), Clock()
    transformers.set_seed(0)
    asked = job["settings"]
    rows = [
        {"input_ids": row["ids"], "completion_mask": [0] * row["start"] + [1] * (len(row["ids"]) - row["start"])}
        for row in job["rows"]
    ]
    longest = max(len(row["ids"]) for row in job["rows"])
    more: dict[str, Any] = (
        {"packing": True, "max_length": job["batch"] * longest} if asked == "packing" else {"max_length": None}
    )
    if asked == "packing":  # each packed row holds as much as a micro-batch of the others
        more["per_device_train_batch_size"] = 1
    if asked == "plain":
        more["label_smoothing_factor"] = PLAIN
    arguments = SFTConfig(
        **(arguments_of(job) | more), bf16=False, gradient_checkpointing=False, completion_only_loss=True,
        train_sampling_strategy="sequential", model_init_kwargs={"dtype": job["precision"]},
    )  # fmt: skip
    trainer = SFTTrainer(
        model=job["model"], args=arguments, train_dataset=Dataset.from_list(rows), callbacks=[clock.callback()],
        peft_config=LoraConfig(r=job["rank"], lora_alpha=job["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"),
        processing_class=transformers.AutoTokenizer.from_pretrained(job["model"]),
    )  # fmt: skip
    if next(trainer.model.parameters()).dtype != getattr(torch, job["precision"]):
        raise RuntimeError(f"it does not compute in {job['precision']}")
    packed = [len(row["input_ids"]) for row in trainer.train_dataset] if asked == "packing" else []
    trainer.train()
    said = {
        "default": "padded, its fused head",
        "packing": "packing (bfd), its fused head",
        "plain": "padded, whole logits",
    }
    more = {"tokens_a_step": sum(packed) / len(packed)} if packed else {}
    tell(clock, *of_history(trainer.state.log_history), said[asked], **more)


main()
