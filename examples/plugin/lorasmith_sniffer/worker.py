"""The worker plane's side of the family: the network itself, how it answers, how it learns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file

from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.families import CalledLearning, ClassifierCall


class Config(dict[str, Any]):
    """config.json, by attribute too."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        return self[name]


class Sniffer(torch.nn.Module):
    """The mean of the bytes' vectors, two layers, a score for each class."""

    base_model_prefix = "body"

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.body = torch.nn.ModuleDict(
            {
                "table": torch.nn.Embedding(257, width),
                "first": torch.nn.Linear(width, width),
                "second": torch.nn.Linear(width, width),
            }
        )
        self.classifier = torch.nn.Linear(width, len(config.id2label))

    @property
    def device(self) -> torch.device:
        return self.classifier.weight.device

    def forward(self, input_ids: torch.Tensor) -> SimpleNamespace:
        """Scores of shape (texts, classes) for bytes of shape (texts, longest); 256 fills up."""
        there = (input_ids < 256)[..., None].float()
        mean = (self.body["table"](input_ids) * there).sum(1) / there.sum(1).clamp(min=1)
        hidden = torch.relu(self.body["second"](torch.relu(self.body["first"](mean))))
        return SimpleNamespace(logits=self.classifier(hidden))


def load(folder: Path, dtype: str, changes: ModelChanges) -> Sniffer:
    """The model in `folder`, frozen; with a new head where a dataset has classes of its own."""
    config = Config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    weights = load_file(folder / "model.safetensors")
    if changes.labels:
        config["id2label"] = dict(enumerate(changes.labels))
        weights = {name: weight for name, weight in weights.items() if not name.startswith("classifier.")}
    config["id2label"] = {int(number): name for number, name in config["id2label"].items()}
    torch.manual_seed(0)  # a new head is the same every time
    model = Sniffer(config)
    model.load_state_dict(weights, strict=False)
    return model.to(getattr(torch, dtype)).eval().requires_grad_(False)


def as_bytes(model: Any, texts: Sequence[str], most: int) -> torch.Tensor:
    """Bytes of shape (texts, longest)."""
    rows = [list(text.encode()[:most]) or [256] for text in texts]
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[256] * (longest - len(row))] for row in rows], device=model.device)


@torch.inference_mode()
def sniff(model: Any, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
    """For each text all classes with their scores, the likeliest first."""
    scores = model(as_bytes(model, texts, model.config.sniffed_bytes)).logits.softmax(-1)
    names = model.config.id2label
    return [
        sorted(
            ({"label": names[at], "score": float(score)} for at, score in enumerate(row)), key=lambda one: -one["score"]
        )
        for row in scores
    ]


class Sniffing(CalledLearning):
    """How it learns: a batch is all that has to be said."""

    def batch(self, samples: Sequence[Sample], *, training: bool) -> dict[str, torch.Tensor]:
        numbers = {name: number for number, name in self.config.id2label.items()}
        rows = [list(one.text.encode()[: self.config.sniffed_bytes]) or [256] for one in samples]
        longest = max(map(len, rows))
        return {
            "input_ids": torch.tensor([[*row, *[256] * (longest - len(row))] for row in rows]),
            "labels": torch.tensor([numbers[one.label] for one in samples]),
        }

    def call(self, sample: Sample) -> ClassifierCall:
        return ClassifierCall(texts=[sample.text])

    def said(self, value: dict[str, Any]) -> str:
        return value["results"][0]["labels"][0]["label"]
