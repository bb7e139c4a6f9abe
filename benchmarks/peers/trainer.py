"""transformers' Trainer with PEFT, as their documentation says: padded batches with a mask, the model's own loss, all linear layers."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from common import Clock, arguments_of, of_history, padded, read_job, tell
from peft import LoraConfig, get_peft_model


def main() -> None:
    job, clock = read_job(), Clock()
    transformers.set_seed(0)
    base = transformers.AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["precision"]))
    config = LoraConfig(r=job["rank"], lora_alpha=job["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    arguments = transformers.TrainingArguments(**arguments_of(job), remove_unused_columns=False)
    trainer = InOrder(
        model=get_peft_model(base, config), args=arguments, train_dataset=job["rows"], data_collator=padded,
        callbacks=[clock.callback()],
    )  # fmt: skip
    trainer.train()
    tell(clock, *of_history(trainer.state.log_history), "padded, sdpa, the model's own loss")


main()
