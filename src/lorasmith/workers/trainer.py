"""transformers' Trainer with our batches, our loss at answers only, and checkpoints that are whole or not there (TRN-6)."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainingArguments

from lorasmith.core import paths
from lorasmith.plan.choose import TrainPlan
from lorasmith.training.batches import micro_batches
from lorasmith.workers.measure import answer_logits
from lorasmith.workers.rows import Rows

KEPT_CHECKPOINTS = 2
STATE_FILE = "lorasmith_state.json"


class _Batches:
    """A batch sampler over the whole run: every micro-batch of every step, in the order that the seed fixes."""

    def __init__(self, lengths: list[int], plan: TrainPlan, seed: int):
        self._arguments = (lengths, plan.micro_batch, plan.accumulation, plan.steps, seed)
        self._length = plan.accumulation * plan.steps

    def __iter__(self) -> Iterator[list[int]]:
        return micro_batches(*self._arguments)

    def __len__(self) -> int:
        return self._length


class _Indices(Dataset[int]):
    """Row numbers as a dataset: the collator makes the batch, so nothing is copied on the way."""

    def __init__(self, size: int):
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> int:
        return index


def training_arguments(plan: TrainPlan, folder: Path, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=plan.micro_batch,
        gradient_accumulation_steps=plan.accumulation,
        max_steps=plan.steps,
        learning_rate=plan.learning_rate,
        lr_scheduler_type=plan.schedule,
        warmup_steps=plan.warmup_steps,
        weight_decay=0.0,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        bf16=plan.precision == "bfloat16",
        fp16=plan.precision == "float16",
        use_cpu=plan.device == "cpu",
        seed=seed,
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=plan.device == "cuda",
    )


class LoraTrainer(Trainer):
    """Trains the adapters of a PeftModel on `rows` by `plan`.

    `extra_state` is what the run's own bookkeeping wants kept in each checkpoint.
    """

    def __init__(self, *, model: Any, rows: Rows, plan: TrainPlan, folder: Path, seed: int, pad: int):
        super().__init__(model=model, args=training_arguments(plan, folder, seed), train_dataset=_Indices(len(rows)))
        self.rows, self.plan, self.pad = rows, plan, pad
        self.folder = self._save_into = folder
        self.extra_state: dict[str, Any] = {}
        self.step_loss = torch.zeros((), device=self.args.device)
        self.grad_norm = 0.0
        self.step_tokens = self.step_supervised = 0
        self.last_save = time.monotonic()
        self.model_accepts_loss_kwargs = True  # the loss below is normalised by the tokens of the whole step
        for callback in list(self.callback_handler.callbacks):
            if type(callback).__name__ in ("PrinterCallback", "ProgressCallback"):
                self.remove_callback(callback)

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(
            self.train_dataset,
            batch_sampler=_Batches(self.rows.lengths, self.plan, self.args.seed),
            collate_fn=lambda indices: self.rows.batch(indices, self.pad),
        )

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Cross entropy summed over the answers' tokens of this micro-batch, over their number in the whole step."""
        logits, targets, _ = answer_logits(model, inputs)
        loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / num_items_in_batch
        self.step_loss += loss.detach()
        self.step_tokens += inputs["input_ids"].numel()
        self.step_supervised += len(targets)
        return loss

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor:
        return sum((batch["labels"][:, 1:] != -100).sum() for batch in batch_samples).to(device)  # type: ignore[union-attr]

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # the library's count walks over all parameters at every step, and nobody reads it

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self.grad_norm = float(norm) if norm is not None else 0.0
        return norm

    def take_step_facts(self) -> dict[str, float]:
        """Loss, gradient norm and token counts of the step that has just ended; the counters start anew."""
        facts = {
            "loss": float(self.step_loss),
            "gradient_norm": self.grad_norm,
            "tokens": self.step_tokens,
            "supervised": self.step_supervised,
        }
        self.step_loss.zero_()
        self.step_tokens = self.step_supervised = 0
        return facts

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Everything that the run needs to go on as if it had never stopped, renamed into place when it is complete."""
        final = self.folder / f"checkpoint-{self.state.global_step}"

        def fill(partial: Path) -> None:
            self._save_into = partial
            super(LoraTrainer, self)._save_checkpoint(model, trial)
            inner = partial / final.name
            for file in inner.iterdir():
                file.rename(partial / file.name)
            inner.rmdir()
            (partial / "README.md").unlink(missing_ok=True)
            (partial / STATE_FILE).write_text(json.dumps(self.extra_state), encoding="utf-8")

        paths.write_folder(final, fill)
        link = self.folder / ".last.partial"
        link.unlink(missing_ok=True)
        link.symlink_to(final.name)
        link.replace(self.folder / "last")
        for old in checkpoints(self.folder)[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)
        self.last_save = time.monotonic()

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._save_into)


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in `folder`, oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if (path / STATE_FILE).exists()]
    return sorted(found, key=lambda path: int(path.name.rsplit("-", 1)[1]))
