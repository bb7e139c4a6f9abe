"""TRL's trainers for preferences (DPO, KTO, ORPO) on our rows, in our order, with our checkpoints (TRN-1).

They make the losses. They prepare no data and keep no second model or adapter: what the untouched model says of each answer is
computed once, before the first step, and handed to them as TRL's own precomputed reference log-probabilities are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from lorasmith.core.events import Progress, Warn, Writer
from lorasmith.data.tokenizer import Tokenizer
from lorasmith.plan.choose import TrainPlan
from lorasmith.training.batches import micro_batches
from lorasmith.training.spec import REFERENCE_FILE, WorkerSpec
from lorasmith.workers import lora
from lorasmith.workers.learner import Learner
from lorasmith.workers.likelihood import Likelihoods, answer_logps, likelihoods
from lorasmith.workers.measure import RowLoss
from lorasmith.workers.rows import IGNORED, Rows
from lorasmith.workers.stand_ins import AnswersOnly, Mapped, NoModel, as_trl_wants, for_trl, left_as_it_was
from lorasmith.workers.trainer import Indices, Run, training_arguments

_MOST_LIKED = 4 / 3
"""KTO: liked rows over disliked ones, with their weights, are 1 to so many: https://arxiv.org/abs/2402.01306, equation 8."""
_NEARLY = 0.9


class PreferenceRun(Run):
    """What the three have in common. `reference` holds, by a row's number in its file, the untouched model's log-probabilities of
    both answers."""

    loss_is_scaled_for_ga = True  # by Run.compute_loss: each micro-batch gives its part of the step's mean
    reference: np.ndarray | None = None

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """`input_ids` and `labels` of shape (2 · rows, longest), first answers first; `liked` (rows); `reference` (rows, 2)."""
        batch = self.rows.pairs(indices, self.pad)
        batch["liked"] = torch.from_numpy(self.rows.liked[list(indices)])
        if self.reference is not None:
            batch["reference"] = torch.from_numpy(self.reference[self.rows.numbers[list(indices)]])
        return batch

    def count(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.tensor(len(inputs["liked"]))

    def losses(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
        loss = self.mean_loss(model, inputs)
        return loss * len(inputs["liked"]), self.num_learnt(inputs)

    def num_learnt(self, inputs: dict[str, torch.Tensor]) -> int:
        """Tokens of the answers that are learnt from."""
        return int((inputs["labels"][:, 1:] != IGNORED).sum())

    def mean_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """TRL's loss, a mean over the rows."""
        raise NotImplementedError

    def loss_of_rows(self, found: Likelihoods, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """The same loss for each row by itself, and whether the model prefers as it should."""
        raise NotImplementedError

    def row_losses(self, rows: Rows) -> list[RowLoss]:
        """One for each row: its loss, and whether the model prefers what it should, compared with where it began."""
        losses, is_right = self.loss_of_rows(self.likelihoods(rows), rows)
        return [RowLoss(float(loss), 1, int(right)) for loss, right in zip(losses, is_right, strict=True)]

    def likelihoods(self, rows: Rows, on_rows: Any = lambda _: None) -> Likelihoods:
        """What the model says now of the answers of `rows`."""
        plan = self.plan
        with self.accelerator.autocast():
            return likelihoods(
                self.model, rows, batch_tokens=2 * plan.micro_batch * plan.max_length, pad=self.pad, device=plan.device,
                on_rows=on_rows,
            )  # fmt: skip

    def ratios(self, found: Likelihoods, rows: Rows) -> np.ndarray:
        """How much likelier both answers of each row have become, in nats (rows, 2)."""
        if self.reference is None:
            raise ValueError("there is no reference")
        return found.logps.astype(np.float64) - self.reference[rows.numbers]

    # What TRL would do beside.

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: a checkpoint holds what the run needs."""

    def _send_telemetry(self) -> None:
        """Nothing leaves this machine."""


class DpoRun(PreferenceRun, DPOTrainer):
    """Direct preference optimization: https://arxiv.org/abs/2305.18290, equation 7."""

    def mean_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        chosen, rejected = inputs["reference"].unbind(1)
        given = as_trl_wants(inputs["input_ids"], inputs["labels"])
        loss = DPOTrainer._compute_loss(
            self, AnswersOnly(model), {**given, "ref_chosen_logps": chosen, "ref_rejected_logps": rejected}, False
        )
        self._metrics["train"].clear()
        return loss

    def loss_of_rows(self, found: Likelihoods, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        ratios = self.ratios(found, rows)
        margins = self.beta * (ratios[:, 0] - ratios[:, 1])
        return np.logaddexp(0, -margins), margins > 0


class KtoRun(PreferenceRun, KTOTrainer):
    """Kahneman-Tversky optimization: https://arxiv.org/abs/2402.01306, equation 7. The second answers are those to other
    questions, from which is estimated how far the model has moved."""

    def mean_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        rows = len(inputs["liked"])
        ids, labels, reference = inputs["input_ids"], inputs["labels"], inputs["reference"]
        given = as_trl_wants(ids[:rows], labels[:rows])
        given |= {f"KL_{name}": value for name, value in as_trl_wants(ids[rows:], labels[rows:]).items()}
        given |= {"label": inputs["liked"], "ref_logps": reference[:, 0], "ref_KL_logps": reference[:, 1]}
        loss = KTOTrainer._compute_loss(self, AnswersOnly(model), given, False)
        self._metrics["train"].clear()
        return loss

    def num_learnt(self, inputs: dict[str, torch.Tensor]) -> int:
        return int((inputs["labels"][: len(inputs["liked"]), 1:] != IGNORED).sum())

    def loss_of_rows(self, found: Likelihoods, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        ratios, liked = self.ratios(found, rows), rows.liked
        moved = max(0.0, ratios[:, 1].mean())
        gains = self.beta * np.where(liked, 1, -1) * (ratios[:, 0] - moved)
        weights = np.where(liked, self.desirable_weight, self.undesirable_weight)
        return weights / (1 + np.exp(gains)), gains > 0


class OrpoRun(PreferenceRun, ORPOTrainer):
    """Odds-ratio preference optimization: https://arxiv.org/abs/2403.07691, equation 6. It needs no reference."""

    def concatenated_forward(self, model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Mean log-probability a token of chosen and rejected answers, twice nothing, and the loss of the chosen answers.

        TRL's own computes logits at all tokens and learns the questions, too; the paper's equation 1 has the answers alone.
        """
        logps, tokens = answer_logps(model, batch)
        chosen, rejected = (logps / tokens).chunk(2)
        nothing = chosen.new_zeros(())
        return chosen, rejected, nothing, nothing, -chosen.mean()

    def mean_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return ORPOTrainer.get_batch_loss_metrics(self, model, inputs)[0]

    def loss_of_rows(self, found: Likelihoods, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        chosen, rejected = found.means.astype(np.float64).T
        log_odds = (chosen - rejected) - (np.log1p(-np.exp(chosen)) - np.log1p(-np.exp(rejected)))
        return -chosen + self.beta * np.logaddexp(0, -log_odds), chosen > rejected


_KINDS: dict[str, tuple[type[PreferenceRun], Any]] = {
    "dpo": (DpoRun, DPOConfig), "kto": (KtoRun, KTOConfig), "orpo": (OrpoRun, ORPOConfig),
}  # fmt: skip


def make_trainer(
    learner: Learner, rows: Rows, validation: Rows, spec: WorkerSpec, tokenizer: Tokenizer, events: Writer, *,
    rate_factor: float,
) -> PreferenceRun:  # fmt: skip
    """The trainer for the plan's objective, with what the untouched model says of all rows that it will see."""
    plan, folder = spec.plan, spec.run_folder / "checkpoints"
    kind, config = _KINDS[plan.objective]
    arguments = training_arguments(plan, folder, spec.spec.seed, rate_factor=rate_factor)
    arguments |= {"beta": plan.beta, "gradient_checkpointing": False, "max_length": plan.max_length}
    arguments["disable_dropout"] = False  # the plan's dropout is what was decided
    if plan.objective == "kto":
        # TRL refuses single rows, of which it would make the second answers; ours are made.
        arguments["per_device_train_batch_size"] = max(2, plan.micro_batch)
        arguments |= _weights(rows, events)
    given: dict[str, Any] = {} if plan.objective == "orpo" else {"ref_model": NoModel(learner.model.config)}
    with left_as_it_was(learner.model):
        trainer = kind(
            model=learner.model, args=config(**arguments), data_collator=list, processing_class=for_trl(tokenizer),
            train_dataset=Mapped() if plan.objective == "orpo" else Dataset.from_dict({"row": [0]}), **given,
        )  # fmt: skip
    trainer.begin(rows=rows, plan=plan, folder=folder, pad=tokenizer.pad_id, rate_factor=rate_factor)
    trainer.train_dataset, trainer.processing_class = Indices(len(rows)), None
    trainer.aux_loss_enabled = False
    if plan.objective != "orpo":
        trainer.ref_model, trainer.precompute_ref_logps = None, True
        trainer.reference = _reference(trainer, [_seen(rows, plan, spec.spec.seed), validation], spec, events)
    return trainer


def _weights(rows: Rows, events: Writer) -> dict[str, float]:
    """How much liked and disliked rows count, so that neither outweighs the other."""
    liked = int(rows.liked.sum())
    disliked = len(rows) - liked
    if not liked or not disliked:
        which = "liked" if liked else "disliked"
        message = f"KTO learns from liked and disliked answers, and all {len(rows)} are {which}"
        events.send(
            Warn(message=f"{message}: give some of the other kind, or train on liked ones with --objective sft")
        )
        return {}
    ratio = liked / disliked
    if _NEARLY <= ratio <= _MOST_LIKED / _NEARLY:
        return {}
    name, weight = ("desirable_weight", 1 / ratio) if ratio < 1 else ("undesirable_weight", ratio / _MOST_LIKED)
    which = "a liked one" if ratio < 1 else "a disliked one"
    events.send(Warn(message=f"{liked} answers are liked, {disliked} are not: {which} counts {weight:.2f} times"))
    return {name: weight}


def _seen(rows: Rows, plan: TrainPlan, seed: int) -> Rows:
    """Those rows that the training will come to, and those that it is rehearsed with."""
    seen = set(rows.longest(plan.micro_batch))
    for indices in micro_batches(rows.lengths, plan.micro_batch, plan.accumulation, plan.steps, seed):
        seen.update(indices)
        if len(seen) == len(rows):
            return rows
    return rows.only(sorted(seen))


def _reference(trainer: PreferenceRun, parts: list[Rows], spec: WorkerSpec, events: Writer) -> np.ndarray:
    """The untouched model's log-probabilities of both answers, by the row's number in its file; computed once for a run."""
    file = spec.run_folder / REFERENCE_FILE
    wanted = np.concatenate([part.numbers for part in parts])
    if file.exists():
        with np.load(file) as kept:
            if kept["method"] == spec.plan.method and np.isfinite(kept["logps"][wanted]).all():
                return kept["logps"]
    found = np.full((trainer.rows.num_in_file, 2), np.nan, np.float32)
    untouched = contextlib.nullcontext() if trainer.plan.method == "full" else lora.base_only(trainer.model)
    before, total = 0, len(wanted)
    with untouched:
        for part in parts:
            start = before
            told = lambda done, start=start: events.send(  # noqa: E731
                Progress(stage="reference", done=start + done, total=total, unit="rows")
            )
            found[part.numbers] = trainer.likelihoods(part, told).logps
            before += len(part)
    partial = file.with_name(".reference.partial.npz")
    np.savez(partial, logps=found, method=np.array(spec.plan.method))
    partial.replace(file)
    return found


__all__ = ["PreferenceRun", "make_trainer"]
