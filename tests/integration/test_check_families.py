"""Every family: what a check says of a small real model of each architecture, and that each model loads and runs."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_calls import run

from lorasmith import check
from lorasmith.plan.report import CheckReport
from lorasmith.testing import tiny

# What libraries do to arrays of torch with this version of numpy.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]
FAMILY = {name: family for family in tiny.FAMILIES for name in tiny.names_of(family)}
# Architecture type and task by family; then those of single models that differ.
MOST = {
    "language": ("decoder-only", "text-generation"),
    "state_space": ("state-space", "text-generation"),
    "multimodal": ("decoder-only", "image-text-to-text"),
    "document": ("encoder-decoder", "image-to-text"),
    "embedding": ("encoder-only", "feature-extraction"),
    "classifier": ("encoder-only", "text-classification"),
    "diffusion": ("diffusion", "text-to-image"),
    "audio": ("encoder-decoder", "text-to-speech"),
    "vision": ("encoder-only", "image-classification"),
    "specialized": ("encoder-only", "question-answering"),
}
SINGLE = {
    "t5": ("encoder-decoder", "text2text-generation"),
    "bart": ("encoder-decoder", "text2text-generation"),
    "jamba": ("hybrid", "text-generation"),
    "bamba": ("hybrid", "text-generation"),
    "rwkv": ("rnn", "text-generation"),
    "layoutlm": ("encoder-only", "token-classification"),
    "layoutlmv3": ("encoder-only", "token-classification"),
    "lilt": ("encoder-only", "token-classification"),
    "sentence_transformers": ("encoder-only", "sentence-similarity"),
    "clip": ("dual-encoder", "zero-shot-image-classification"),
    "siglip": ("dual-encoder", "zero-shot-image-classification"),
    "bert_tokens": ("encoder-only", "token-classification"),
    "whisper": ("encoder-decoder", "automatic-speech-recognition"),
    "wav2vec2": ("encoder-only", "automatic-speech-recognition"),
    "hubert": ("encoder-only", "automatic-speech-recognition"),
    "speecht5_vocoder": ("encoder-only", "text-to-speech"),
    "vits": ("encoder-only", "text-to-speech"),
    "bark": ("decoder-only", "text-to-speech"),
    "musicgen": ("encoder-decoder", "text-to-audio"),
    "dinov2": ("encoder-only", "image-feature-extraction"),
    "detr": ("encoder-decoder", "object-detection"),
    "rt_detr": ("encoder-decoder", "object-detection"),
    "yolos": ("encoder-only", "object-detection"),
    "sam": ("encoder-decoder", "mask-generation"),
    "segformer": ("encoder-only", "image-segmentation"),
    "depth_anything": ("encoder-only", "depth-estimation"),
    "dpt": ("encoder-only", "depth-estimation"),
    "time_series": ("encoder-decoder", "time-series-forecasting"),
}
# Of the packages that a model needs beyond those of its family, those without which its processor cannot be made.
NEEDS = {
    **{name: {"torchvision"} for name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl")},
    "smolvlm": {"torchvision", "num2words"},
    "speecht5": {"sentencepiece"},
    "clip": {"pillow"},
    "siglip": {"pillow"},
}
LIBRARY = {"diffusion": "diffusers", "sentence_transformers": "sentence-transformers"}
SAID_OF_A_MODEL = {
    "model_type", "model_family", "architecture_type", "architectures", "task", "primary_library", "recognised_by", "parameters",
    "weight_bytes", "weight_form", "files", "capabilities", "requirements", "safety", "memory",
}  # fmt: skip
MISLEADING = "bert-whisper-stable-diffusion-llava-gguf"


def stored(folder: Path) -> int:
    """Elements of all tensors in all safetensors files, by their headers."""
    count = 0
    for path in folder.rglob("*.safetensors"):
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        count += sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return count


def said_of_a_model(report: CheckReport) -> dict[str, Any]:
    """What does not follow from the machine, the time or the name."""
    return report.model_dump(include=SAID_OF_A_MODEL)


def expected(name: str) -> tuple[str, str, str, str]:
    family = FAMILY[name]
    library = LIBRARY.get(name) or LIBRARY.get(family, "transformers")
    return (family, *SINGLE.get(name, MOST[family]), library)


@pytest.fixture(scope="module")
def reports(every_tiny_model) -> Callable[[str], CheckReport]:
    """The report on a model by its name, asked for once."""
    return cache(lambda name: check(str(every_tiny_model[name])))


@pytest.mark.parametrize("name", tiny.NAMES)
def test_a_check_says_what_a_model_is(every_tiny_model, reports, name):
    """CHK-3, CHK-4, CHK-7: its family, type and task by structure, its packages, and every parameter counted once."""
    report = reports(name)
    said = (report.model_family, report.architecture_type, report.task, report.primary_library)
    assert said == expected(name)
    assert report.parameters["total"] == stored(every_tiny_model[name])
    assert report.memory["inference"]["float32"]["weights"] == 4 * stored(every_tiny_model[name])
    assert not report.estimated
    packages = {requirement.package for requirement in report.requirements.base}
    assert {"torch", "safetensors", report.primary_library} <= packages
    assert report.requirements.formats


@pytest.mark.parametrize("name", NEEDS)
def test_packages_of_a_processor_are_told(reports, name):
    """CHK-4"""
    assert {requirement.package for requirement in reports(name).requirements.specific} >= NEEDS[name]


@pytest.mark.parametrize(("name", "package"), [("detr", "timm"), ("idefics3", "num2words"), ("t5", "sentencepiece")])
def test_packages_that_this_very_model_does_without_are_not_told(reports, name, package):
    """CHK-4: its backbone is one of transformers, its processor writes no times, its tokenizer.json is there."""
    assert package not in {requirement.package for requirement in reports(name).requirements.specific}


@pytest.mark.parametrize("name", tiny.NAMES)
def test_an_installation_fetches_every_file_of_a_model(every_tiny_model, reports, name):
    """CHK-6: transformers, diffusers and sentence-transformers save nothing that loading does without."""
    saved = {
        path.relative_to(every_tiny_model[name]).as_posix()
        for path in every_tiny_model[name].rglob("*")
        if path.is_file()
    }
    assert set(reports(name).files) == saved


@pytest.mark.parametrize("name", [*tiny.names_of("vision"), *tiny.names_of("embedding"), *tiny.names_of("classifier")])
def test_what_answers_in_one_pass_keeps_no_cache(reports, name):
    """CHK-7"""
    assert {parts["cache"] for parts in reports(name).memory["inference"].values()} == {0}


@pytest.mark.parametrize(
    ("name", "positions"), [("llama", 256), ("bart", 256), ("bert", 130), ("whisper", 64), ("llava", 256)]
)
def test_the_longest_text_is_that_of_the_configuration(reports, name, positions):
    """CHK-5, CHK-7"""
    report = reports(name)
    assert (report.capabilities.max_context, report.memory["context"]) == (positions, positions)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_command_says_the_same(every_tiny_model, lorasmith, family):
    """CHK-3, CHK-4, CHK-7: as a user meets it."""
    name = tiny.names_of(family)[0]
    report = json.loads(lorasmith("check", every_tiny_model[name], "--json").stdout)
    said = (report["model_family"], report["architecture_type"], report["task"], report["primary_library"])
    assert said == expected(name)
    assert report["parameters"]["total"] == stored(every_tiny_model[name])
    assert report["requirements"]["base"]


@pytest.mark.parametrize("name", tiny.NAMES)
def test_the_name_of_a_folder_says_nothing(every_tiny_model, reports, name, tmp_path):
    """CHK-3, CHK-4, CHK-7: by structure, never by name."""
    renamed = shutil.copytree(every_tiny_model[name], tmp_path / MISLEADING)
    assert said_of_a_model(check(str(renamed))) == said_of_a_model(reports(name))


@pytest.mark.parametrize("name", [name for name in tiny.NAMES if FAMILY[name] != "diffusion"])
def test_a_model_loads_by_its_class_and_runs(every_tiny_model, name):
    """TST-3: the class that its configuration names, its tokenizer or processor, one forward pass of finite numbers."""
    import torch
    import transformers

    folder = every_tiny_model[name]
    (kind,) = json.loads((folder / "config.json").read_text())["architectures"]
    model = getattr(transformers, kind).from_pretrained(folder, local_files_only=True).eval()
    tensors = {tensor.data_ptr(): tensor.numel() for tensor in model.state_dict().values()}
    assert sum(tensors.values()) == stored(folder)
    with torch.inference_mode():
        numbers = run(name, FAMILY[name], folder, model)
    assert numbers.numel()
    assert torch.isfinite(numbers).all()


@pytest.mark.parametrize("name", tiny.names_of("diffusion"))
def test_a_pipeline_loads_and_makes_an_image(every_tiny_model, name):
    """TST-3"""
    import diffusers
    import numpy as np

    folder = every_tiny_model[name]
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    assert type(pipeline).__name__ == json.loads((folder / "model_index.json").read_text())["_class_name"]
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a red fox", num_inference_steps=2, height=32, width=32, output_type="np").images[0]
    assert image.shape == (32, 32, 3)
    assert np.isfinite(image).all()
    assert image.std() > 0


def test_families_and_names_are_told(tmp_path):
    """TST-3"""
    from lorasmith.core.errors import NotFoundProblem
    from lorasmith.families import FAMILIES

    assert set(tiny.FAMILIES) == set(FAMILIES.names())
    assert len(set(tiny.NAMES)) == len(tiny.NAMES)
    with pytest.raises(NotFoundProblem, match="Did you mean 'vision'"):
        tiny.names_of("visions")
    with pytest.raises(NotFoundProblem, match="Did you mean 'whisper'"):
        tiny.build("wisper", tmp_path)


@pytest.mark.parametrize("name", ["whisper", "stable_diffusion"])
def test_changes_go_to_the_configuration_and_the_seed_to_the_weights(tmp_path, name):
    """TST-3: of a pipeline to its UNet; the same seed gives the same bytes."""
    changes = {"layers_per_block": 2} if name == "stable_diffusion" else {"encoder_layers": 1}
    config, weights = ("unet/config.json", "unet/diffusion_pytorch_model.safetensors")
    if name == "whisper":
        config, weights = "config.json", "model.safetensors"
    first, again, other = (
        tiny.build(name, tmp_path / str(number), seed=seed, **changes) for number, seed in enumerate((0, 0, 1))
    )
    assert changes.items() <= json.loads((first / config).read_text()).items()
    assert (first / weights).read_bytes() == (again / weights).read_bytes() != (other / weights).read_bytes()
