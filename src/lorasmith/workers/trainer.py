"""transformers' Trainer with our batches, our loss at answers only, and checkpoints that are whole or not there (TRN-6)."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainingArguments

from lorasmith.core import paths
from lorasmith.plan.choose import TrainPlan
from lorasmith.training.batches import micro_batches
from lorasmith.training.spec import checkpoint_step
from lorasmith.workers import lora
from lorasmith.workers.measure import RowLoss, answer_scores, row_losses
from lorasmith.workers.rows import Rows
from lorasmith.workers.together import Batch, Company

KEPT_CHECKPOINTS = 2
STATE_FILE = "lorasmith_state.json"
_OPTIMIZERS = {
    "adamw": "adamw_torch_fused", "adamw_8bit": "adamw_bnb_8bit", "paged_adamw_8bit": "paged_adamw_8bit",
    "lion_8bit": "lion_8bit", "adafactor": "adafactor",
}  # fmt: skip
_EVEN = 0.8  # rows of like length: with so little padding, taking them apart for attention costs more (docs/lab-log.md)
_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
_PRINTERS = ("PrinterCallback", "ProgressCallback")


class _Batches:
    """A batch sampler over the whole run: every micro-batch of every step, in the order that the seed fixes."""

    def __init__(self, lengths: Sequence[int], plan: TrainPlan, seed: int):
        self._arguments = (lengths, plan.micro_batch, plan.accumulation, plan.steps, seed)
        self._length = plan.accumulation * plan.steps

    def __iter__(self) -> Iterator[list[int]]:
        return micro_batches(*self._arguments)

    def __len__(self) -> int:
        return self._length


class Indices(Dataset[int]):
    """Row numbers as a dataset: the collator makes the batch, so nothing is copied on the way."""

    def __init__(self, size: int):
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> int:
        return index


def training_arguments(plan: TrainPlan, folder: Path, seed: int, *, rate_factor: float = 1.0) -> dict[str, Any]:
    """What transformers' TrainingArguments, and those of TRL that build on them, are given."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": plan.micro_batch,
        "gradient_accumulation_steps": plan.accumulation,
        "max_steps": plan.steps,
        "learning_rate": plan.learning_rate * rate_factor,
        "lr_scheduler_type": _SCHEDULES[plan.schedule],
        "warmup_steps": plan.warmup_steps,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optim": _OPTIMIZERS[plan.optimizer],
        "bf16": plan.precision == "bfloat16",
        "fp16": plan.precision == "float16",
        "use_cpu": plan.device == "cpu",
        "seed": seed,
        "logging_strategy": "no",
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": plan.device == "cuda",
    }


class Run(Trainer):
    """What every trainer of ours does besides its loss: batches in a fixed order, facts of each step, whole checkpoints.

    `begin` is called after the library's own constructor. `extra_state` is what the run's own bookkeeping wants kept in each
    checkpoint. A subclass for another objective or family overrides `collate` and `losses`.
    """

    def begin(self, *, rows: Rows, plan: TrainPlan, folder: Path, pad: int, rate_factor: float = 1.0) -> None:
        self.rows, self.plan, self.pad = rows, plan, pad
        self.folder = self._save_into = folder
        self.rate_factor = rate_factor
        self.extra_state: dict[str, Any] = {}
        self.step_loss = torch.zeros((), device=self.args.device)
        self.grad_norm = 0.0
        self.step_tokens = self.step_supervised = 0
        self.last_save = time.monotonic()
        self.is_stepping = False
        self._micro = (-1, 0)
        self.model_accepts_loss_kwargs = True  # the loss is normalised by what the whole step learns from
        for callback in list(self.callback_handler.callbacks):
            if type(callback).__name__ in _PRINTERS:
                self.remove_callback(callback)

    company: Company | None = None
    """The trainings over the same base in this process, where there are any."""
    goes_along = False
    """Whether its steps are computed with theirs."""
    ahead: Mapping[str, Any] = MappingProxyType({})
    """Options of DataLoader for those that make batches while the model computes."""

    # What a subclass may change.

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """The batch of these rows: packed where padding would be more than packing costs, else padded. Both learn the same."""
        lengths = [self.rows.lengths[index] for index in indices]
        is_even = sum(lengths) > _EVEN * len(lengths) * max(lengths) and not self.goes_along
        return self.rows.batch(indices, self.pad) if is_even or not self.plan.packing else self.rows.packed(indices)

    def losses(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
        """The summed loss of a micro-batch, over what `count` counts, and the number of answer tokens in it."""
        scores, _ = answer_scores(model, inputs)
        return scores.nll.sum(), len(scores.nll)

    def count(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """How many tokens (or pairs) `losses` will sum over."""
        return (inputs["labels"][:, 1:] != -100).sum()

    def size(self, inputs: dict[str, torch.Tensor]) -> int:
        """How many tokens a micro-batch puts through the model."""
        return inputs["input_ids"].numel()

    def row_losses(self, rows: Rows) -> list[RowLoss]:
        """How well the model does on each held-out row."""
        plan = self.plan
        return row_losses(
            self.model, rows, batch_tokens=plan.micro_batch * plan.max_length, pad=self.pad, device=plan.device
        )

    # The library's hooks.

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(
            Indices(len(self.rows)),
            batch_sampler=_Batches(self.rows.lengths, self.plan, self.args.seed),
            collate_fn=self.collate,
            **self.ahead,
        )

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of this micro-batch, as its part of the mean over the whole step."""
        summed, counted = self.losses(model, inputs)
        loss = summed / num_items_in_batch
        self._note(inputs, loss.detach(), counted)
        more = lora.extra_loss(model, self.plan)
        return loss if more is None else loss + more

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """The loss of a micro-batch that has been walked back: alone, or with those of others."""
        if self.company is None or not self.goes_along:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        inputs = self._prepare_inputs(inputs)
        scaler = self.accelerator.scaler
        factor = 1 / num_items_in_batch
        generator = torch.Generator(self.args.device).manual_seed(self._next_seed())
        factor = factor if scaler is None else scaler.scale(factor)
        batch = Batch(model, inputs, factor, generator, self.compute_loss_context_manager)
        summed, counted = self.company.wait(batch)
        loss = summed / num_items_in_batch
        self._note(inputs, loss, counted)
        return loss

    def _next_seed(self) -> int:
        """Another one for each micro-batch, the same in a run that was resumed."""
        step = self.state.global_step
        self._micro = (step, self._micro[1] + 1 if self._micro[0] == step else 0)
        return self.args.seed + step * self.plan.accumulation + self._micro[1]

    def _note(self, inputs: dict[str, torch.Tensor], loss: torch.Tensor, counted: int) -> None:
        self.step_loss += loss
        self.step_tokens += self.size(inputs)
        self.step_supervised += counted

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor:
        return sum(self.count(batch) for batch in batch_samples).to(device)  # type: ignore[union-attr]

    def create_optimizer(self, model: Any = None) -> Any:
        groups = None if self.optimizer is not None else lora.parameter_groups(self.model, self.plan)
        if groups is None:
            return super().create_optimizer(model)
        kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        scaled = [group | {"lr": group["lr"] * self.rate_factor} for group in groups]
        self.optimizer = kind(scaled, **options)
        return self.optimizer

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

    def use_rate_factor(self, saved: float) -> None:
        """Let the learning rate, as a checkpoint that was made with the factor `saved` restored it, follow our own factor."""
        ratio = self.rate_factor / saved
        if ratio != 1:
            for group in self.optimizer.param_groups:
                group["lr"] *= ratio
                group["initial_lr"] *= ratio
            self.lr_scheduler.base_lrs = [rate * ratio for rate in self.lr_scheduler.base_lrs]

    # Checkpoints.

    def save_now(self) -> Path:
        """A checkpoint of the step that was done last."""
        self._save_checkpoint(self.model, None)
        return self.folder / f"checkpoint-{self.state.global_step}"

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Everything that the run needs to go on as if it had never stopped, renamed into place when it is complete."""
        final = self.folder / f"checkpoint-{self.state.global_step}"
        paths.write_folder(final, lambda partial: self.fill_checkpoint(partial, model, trial))
        point_to(self.folder, final)
        kept = {final, *checkpoints(self.folder)[-KEPT_CHECKPOINTS:], *good_checkpoints(self.folder)[-1:]}
        for old in checkpoints(self.folder):
            if old not in kept:
                shutil.rmtree(old)
        self.last_save = time.monotonic()

    def fill_checkpoint(self, partial: Path, model: Any, trial: Any = None) -> None:
        """All of a checkpoint's files, in `partial`."""
        self._save_into = partial
        super()._save_checkpoint(model, trial)
        inner = partial / f"checkpoint-{self.state.global_step}"
        for file in inner.iterdir():
            file.rename(partial / file.name)
        inner.rmdir()
        (partial / "README.md").unlink(missing_ok=True)
        if self.plan.method != "full":
            lora.save_state(model, partial)
        (partial / STATE_FILE).write_text(json.dumps(self.extra_state), encoding="utf-8")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.plan.method == "full":
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            lora.restore_adapter(model or self.model, Path(resume_from_checkpoint))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._save_into)


class LoraTrainer(Run):
    """Trains what of `model` is trainable on `rows` by `plan`: supervised answers or whole texts."""

    def __init__(
        self, *, model: Any, rows: Rows, plan: TrainPlan, folder: Path, seed: int, pad: int, rate_factor: float = 1.0
    ):
        arguments = TrainingArguments(**training_arguments(plan, folder, seed, rate_factor=rate_factor))
        super().__init__(model=model, args=arguments, train_dataset=Indices(len(rows)))
        self.begin(rows=rows, plan=plan, folder=folder, pad=pad, rate_factor=rate_factor)


def point_to(folder: Path, checkpoint: Path) -> None:
    """Let `folder`/last be this checkpoint, in one move."""
    link = folder / ".last.partial"
    link.unlink(missing_ok=True)
    link.symlink_to(checkpoint.name)
    link.replace(folder / "last")


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in `folder`, oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if (path / STATE_FILE).exists()]
    return sorted(found, key=checkpoint_step)


def good_checkpoints(folder: Path) -> list[Path]:
    """Those made right after an evaluation, oldest first. When they are made depends on the steps alone, not on the clock: a run
    that turns back to one does so in the same way however often it was stopped."""
    return [path for path in checkpoints(folder) if read_state(path).get("is_evaluated")]


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What the run's own bookkeeping kept in a checkpoint."""
    return json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
