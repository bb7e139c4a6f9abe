"""A small model that has just learnt, loaded again and asked as a server asks it, all in this process; and the line that is told of
it for the table of architectures."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from lorasmith.core.channel import Channel, Frame, packed
from lorasmith.core.events import Writer
from lorasmith.core.samples import Sample, common_changes
from lorasmith.engines import EngineSpec, GenerateRequest
from lorasmith.families import FAMILIES
from lorasmith.families._calls import Call, ClassifierCall, DiffusionCall, DocumentCall, EmbeddingCall, VisionCall
from lorasmith.families._learning import Learning
from lorasmith.families._learning_answers import CalledLearning
from lorasmith.hub.recognise import know_model
from lorasmith.training.spec import WorkerSpec
from lorasmith.workers.attempt import Attempt, finish
from lorasmith.workers.serve import Answering

OWN = "own"
"""The name that the adapter just trained is served by."""


class Learnt(NamedTuple):
    """A training that is over, with what it still holds."""

    report: dict[str, Any]
    knows: Any
    """Tokenizer, or Learning."""
    model: Any
    """The base as its family loads it, with the trained adapter on it."""
    called: Any
    """What a batch is put through: `model`, or the part of it that learns."""


def learn(spec: WorkerSpec) -> Learnt:
    """The worker's work in this process, from the first step to the report."""
    with Writer(spec.run_folder / "events.jsonl") as events:
        attempt = Attempt(spec, events)
        attempt.run()
        report = finish(attempt)
    assert attempt.material
    return Learnt(report, attempt.material.knows, attempt.material.model, attempt.learner.model)


class _Heard(Channel):
    """Keeps what the worker says, in place of a socket."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def send(self, header: dict[str, Any], *blobs: bytes) -> None:
        packed(header, blobs)  # what is no JSON is refused here as it is there
        self.frames.append(Frame(header, list(blobs)))


class Engine:
    """The engine worker over a fresh base with the adapter of a training, put there as the server puts it."""

    def __init__(self, spec: WorkerSpec):
        adapter = spec.run_folder / "lora"
        asked = EngineSpec(
            model=know_model(str(spec.model_folder)), adapters={OWN: adapter}, changes=common_changes([adapter]),
            log_path=spec.run_folder / "engine.log",
        )  # fmt: skip
        self._heard = _Heard()
        self.worker = Answering(asked, self._heard)
        self.facts = self.worker.load()

    def ask(self, op: str, *blobs: bytes, **fields: Any) -> list[Frame]:
        """All that it says to one request."""
        self._heard.frames.clear()
        self.worker._guarded(Frame({"op": op, "id": "1", **fields}, list(blobs)))
        while self.worker.batch is not None and self.worker.batch.is_busy:
            self.worker.batch.step()
        assert self._heard.frames[-1].header["event"] == "done", self._heard.frames[-1].header
        return self._heard.frames

    def written(self, *blobs: bytes, adapter: str = OWN, tokens: int, prompt: list[int], **beside: Any) -> list[int]:
        """Tokens after a prompt, or after `messages` about picture files."""
        request = GenerateRequest(prompt_ids=prompt, adapter=adapter, max_tokens=tokens, temperature=0)
        frames = self.ask("generate", *blobs, request=request.model_dump(exclude_defaults=True), **beside)
        return [row[1] for frame in frames if frame.header["event"] == "tokens" for row in frame.header["rows"]]

    def answered(self, call: Call, media: list[bytes]) -> Frame:
        return self.ask("answer", *media, call=call.model_dump(exclude_defaults=True))[-1]


def greedy(model: Any, tokens: int, **inputs: torch.Tensor) -> list[int]:
    """What transformers' own `generate` writes, without the token that ends it."""
    with torch.inference_mode():
        made = model.generate(**inputs, max_new_tokens=tokens, do_sample=False, num_beams=1)[0].tolist()
    given = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    end = model.generation_config.eos_token_id
    return [token for token in made[given:] if token != end]


def call_for(learning: Learning, sample: Sample) -> Call:
    """A request to the trained adapter about a row, of the kind that the row's family answers."""
    return _plain_call(learning, sample).model_copy(update={"adapter": OWN})


def _plain_call(learning: Learning, sample: Sample) -> Call:
    images = ["data:,"] * len(sample.images)
    match FAMILIES.get(learning.lesson.family).name:
        case "classifier":
            return ClassifierCall(texts=[sample.text or " ".join(sample.words)])
        case "embedding":
            return EmbeddingCall(texts=["what is 1", "it is two"], images=images)
        case "diffusion":
            return DiffusionCall(prompt="a red fox", steps=2, seed=1, width=32, height=32)
        case _ if isinstance(learning, CalledLearning):
            return learning.call(sample)
        case "vision":
            return VisionCall(images=images, threshold=0)
        case _:
            return DocumentCall(images=images, max_tokens=6)


def media_of(sample: Sample, call: Call) -> list[bytes]:
    return [Path(name).read_bytes() for name in (*sample.images, *sample.audio)][: len(call.media())]


def is_alike(one: Any, other: Any) -> bool:
    """Whether two answers say the same, up to what sums in another order differ by, however long each took."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_alike(one[key], other[key]) for key in one if key != "seconds")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_alike, one, other))
    if isinstance(one, bytes):
        pixels = [np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (one, other)]
        return pixels[0].shape == pixels[1].shape and int(abs(pixels[0] - pixels[1]).max()) <= 1
    return one == (pytest.approx(other, abs=1e-4) if isinstance(other, float) else other)


def tell(spec: WorkerSpec, model: str, data: str, losses: list[float], **seen: str) -> None:
    """A line for docs/architectures.py, where it asks for one; `seen` is what else the test has just held to be true."""
    if file := os.environ.get("ARCHITECTURES_TABLE"):
        kind = know_model(str(spec.model_folder)).architecture
        line = {
            "family": spec.family,
            "class": kind,
            "model": model,
            "data": data,
            "first": losses[0],
            "last": losses[-1],
        }
        with Path(file).open("a", encoding="utf-8") as table:
            table.write(json.dumps(line | seen) + "\n")


PASSED_BY = {
    # What the last layer makes of places is read by no one.
    "lilt": ("layer.1.attention.self.layout_value", "layer.1.attention.layout_output.dense", "layer.1.layout_intermediate.dense",
             "layer.1.layout_output.dense"),
    # The first layer's queries look at nothing but zeros.
    "detr": tuple(f"decoder.layers.0.self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj")),
}  # fmt: skip


def require_all_learnt(spec: WorkerSpec, model: str) -> None:
    """No adapter lies on a layer that the model passes by: each has left the zeros that it began with."""
    weights = load_file(spec.run_folder / "lora" / "adapter_model.safetensors")
    second = {name: weight for name, weight in weights.items() if "lora_B" in name}
    assert second
    passed_by = [name for name, weight in second.items() if not weight.any()]
    unknown = [
        name for name in passed_by if not name.removesuffix(".lora_B.weight").endswith(PASSED_BY.get(model, (" ",)))
    ]
    assert not unknown, unknown
