"""What TRL's trainers are given in place of what they would make for themselves: rows, a tokenizer, a head, a second model.

Nothing here knows an objective.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from lorasmith.data.tokenizer import Tokenizer
from lorasmith.workers.measure import answer_scores
from lorasmith.workers.rows import IGNORED
from lorasmith.workers.trainer import Indices


class AnswersOnly:
    """A model as TRL calls one whose head it has made part of its own: with it, on a CPU, logits of all tokens would be held
    several times over; ours are those of the answers."""

    def __init__(self, model: Any):
        self._model = model

    def __call__(self, *, input_ids: torch.Tensor, labels: torch.Tensor, **_: Any) -> SimpleNamespace:
        scores, _ = answer_scores(self._model, {"input_ids": input_ids, "labels": labels})
        places = labels[:, 1:] != IGNORED
        logps = scores.nll.new_zeros(places.shape).masked_scatter(places, -scores.nll)
        unasked = torch.zeros_like(logps)  # figures of TRL's own that nobody reads
        return SimpleNamespace(log_probs=logps, entropy=unasked, mean_logits=unasked, is_top1=unasked.bool())


def as_trl_wants(ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """A batch by TRL's names. Nothing is masked: rows are padded on the right, where under causal attention nothing that counts
    can see it."""
    mask = (labels != IGNORED).long()
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": mask}


class NoModel(torch.nn.Module):
    """Stands where TRL wants a reference, so that it makes none: neither a second model nor a second adapter."""

    def __init__(self, config: Any):
        super().__init__()
        self.config = config

    def forward(self) -> None:
        raise NotImplementedError


class Mapped(Indices):
    """Stands where TRL wants rows to tokenize: ours are tokens already."""

    def __init__(self) -> None:
        super().__init__(1)

    def map(self, *_: Any, **__: Any) -> Mapped:
        return self


def for_trl(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer that TRL asks for, and never uses."""
    pad = tokenizer.encoder.id_to_token(tokenizer.pad_id)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer.encoder, pad_token=pad, eos_token=tokenizer.eos or pad)


@contextlib.contextmanager
def left_as_it_was(model: Any) -> Iterator[None]:
    """Undo what TRL does to a model: it names a padding token in its configurations, rounds adapters over a quantized base to
    bfloat16, and changes what happens when it is called."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    own = base.__dict__.get("forward")
    weights = {weight: weight.data for weight in model.parameters() if weight.requires_grad}
    configs = [model.config.get_text_config(), *filter(None, [getattr(model, "generation_config", None)])]
    pads = [config.pad_token_id for config in configs]
    yield
    for weight, data in weights.items():
        weight.data = data
    for config, pad in zip(configs, pads, strict=True):
        config.pad_token_id = pad
    if own is None:
        base.__dict__.pop("forward", None)
    else:
        base.forward = own
