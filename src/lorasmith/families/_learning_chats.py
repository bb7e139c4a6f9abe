"""Conversations about pictures: the last answer is learnt, what stands before it is given. Worker plane only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from lorasmith.core.samples import Sample
from lorasmith.families._conversations import rendered_answer, visual_inputs
from lorasmith.families._head import scores_at
from lorasmith.families._learning import IGNORED, Batch, Learning, Measured, by_row, padded
from lorasmith.families._pictures import pictures_of
from lorasmith.families._probes import for_model

_FILLS = {"attention_mask": 0, "token_type_ids": 0, "mm_token_type_ids": 0}
_ROOM = 16
_APART = "row{}."
"""Before the names of inputs that cannot be joined with those of other rows."""


class VisualChats(Learning):
    """A language model that sees."""

    uses_model = True  # it says how many places a picture takes

    def prepare(self, model: Any) -> None:
        self.model = model  # for the places that a picture takes among the tokens
        pad = getattr(self.tokenizer, "pad_token_id", None)
        self.pad = pad if pad is not None else 0
        self.crosses = bool(getattr(model.config, "is_encoder_decoder", False))
        names = ("image_token_id", "image_token_index")
        self.places = {getattr(model.config, name) for name in names if getattr(model.config, name, None) is not None}

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        rows = [self._row(one) for one in samples]
        return _joined(rows, self.pad)

    def _prompt(self, sample: Sample) -> dict[str, Any]:
        images = pictures_of([Path(name).read_bytes() for name in sample.images])
        return visual_inputs(self.model, self.processor, sample.messages[:-1], images, {})

    def _row(self, sample: Sample) -> Batch:
        made = {
            name: value.cpu() if isinstance(value, torch.Tensor) else value
            for name, value in self._prompt(sample).items()
        }
        answer = rendered_answer(self.processor, sample.messages)
        ids = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        ends = self.tokenizer.eos_token_id
        if ends is not None and ends not in ids[-2:]:
            ids = [*ids, ends]
        prompt = made["input_ids"]
        # The plan's length is that of texts: a picture takes its places on top of it, not from the answer.
        texts = sum(token not in self.places for token in prompt[0].tolist())
        room = max(1, (self.max_length or 10**9) - texts)
        added = torch.tensor([ids[:room]], dtype=prompt.dtype)
        made["labels"] = torch.cat([torch.full_like(prompt, IGNORED), added], 1)
        made["input_ids"] = torch.cat([prompt, added], 1)
        for name in _FILLS:
            if name in made:
                tail = torch.full_like(added, 1 if name == "attention_mask" or self._marks_answers(name) else 0)
                made[name] = torch.cat([made[name], tail.to(made[name].dtype)], 1)
        return made

    def _marks_answers(self, name: str) -> bool:
        """PaliGemma's token types tell what is to be written (1) from what is given (0)."""
        return name == "token_type_ids" and self.config.model_type == "paligemma"

    def measure(self, model: Any, batch: Batch) -> Measured:
        if not any(name.startswith("row") for name in batch):
            return self._measured(model, batch)
        rows = range(1 + max(int(name[3 : name.index(".")]) for name in batch if name.startswith("row")))
        parts = [self._measured(model, _own(batch, row)) for row in rows]
        return Measured(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _measured(self, model: Any, batch: Batch) -> Measured:
        labels = batch["labels"]
        rows, columns = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        return by_row(scores_at(model, inputs, rows, columns, labels[rows, columns + 1]), rows, len(labels))

    def count(self, batch: Batch) -> torch.Tensor:
        labels = [value for name, value in batch.items() if name.endswith("labels")]
        return torch.stack([(one != IGNORED).sum() for one in labels]).sum()

    def size(self, batch: Batch) -> int:
        return sum(value.numel() for name, value in batch.items() if name.endswith("input_ids"))

    @torch.inference_mode()
    def answers(self, model: Any, samples: Sequence[Sample]) -> Iterator[str]:
        """Greedily, one after the other."""
        longest = max((len(self.tokenizer(one.messages[-1]["content"])["input_ids"]) for one in samples), default=0)
        for sample in samples:
            inputs = for_model(self.model, self._prompt(sample))
            made = model.generate(**inputs, max_new_tokens=longest + _ROOM, do_sample=False, num_beams=1)[0]
            begun = 0 if self.crosses else inputs["input_ids"].shape[1]
            yield self.tokenizer.decode(made[begun:], skip_special_tokens=True).strip()


def _own(batch: Batch, row: int) -> Batch:
    """The inputs of one row of those that could not be joined."""
    start = _APART.format(row)
    return {name.removeprefix(start): value for name, value in batch.items() if name.startswith(start)}


def _joined(rows: list[Batch], pad: int) -> Batch:
    """Rows as one batch: tokens padded on the right, pictures one after another where they are of one shape; else each row's
    inputs under names of their own."""
    fills = {"input_ids": pad, "labels": IGNORED, **_FILLS}
    names = set(rows[0])
    alike = all(set(row) == names for row in rows) and all(
        row[name].shape[1:] == rows[0][name].shape[1:] for row in rows for name in names - set(fills)
    )
    if not alike:
        return {f"{_APART.format(at)}{name}": value for at, row in enumerate(rows) for name, value in row.items()}
    made = {
        name: padded([row[name][0].tolist() for row in rows], fill) for name, fill in fills.items() if name in names
    }
    if "attention_mask" not in made:
        made["attention_mask"] = padded([[1] * row["input_ids"].shape[1] for row in rows], 0)
    return made | {name: torch.cat([row[name] for row in rows]) for name in names - set(fills)}
