"""Adapters for pipelines that draw, between here and other tools: what is trained here is read by diffusers, what kohya's scripts and
others write is taken in here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.integration.test_documents import trained

from lorasmith import flow
from lorasmith.core.errors import UsageProblem
from lorasmith.families._worn import Worn
from lorasmith.workers.lora import load_adapters

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept"),  # of diffusers' own schedulers
]

PIPELINES = ("stable_diffusion", "stable_diffusion_xl", "stable_diffusion_3", "flux")
DENOISING = ("to_q", "to_k", "to_v", "to_out.0")
State = dict[str, torch.Tensor]


def pipeline_of(folder: Path) -> Any:
    import diffusers

    made = diffusers.DiffusionPipeline.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return made


def part_of(pipeline: Any) -> tuple[str, Any]:
    """The part that draws, and its name."""
    name = "unet" if hasattr(pipeline, "unet") else "transformer"
    return name, getattr(pipeline, name)


def drawn(pipeline: Any) -> Any:
    return pipeline(
        "one", num_inference_steps=2, height=32, width=32, output_type="np", generator=torch.Generator().manual_seed(0)
    ).images[0]


def put_on(pipeline: Any, adapter: Path) -> Any:
    """With an adapter as it lies here."""
    load_adapters(Worn(pipeline), {"own": adapter})
    return pipeline


@pytest.mark.parametrize("model", PIPELINES)
def test_diffusers_reads_what_was_trained(model: str, tmp_path: Path) -> None:
    """The adapter draws as `load_lora_weights` of diffusers puts it on."""
    spec = trained(model, "image-text", tmp_path, image_size="32x32")
    theirs = pipeline_of(spec.model_folder)
    before = drawn(theirs)
    theirs.load_lora_weights(spec.run_folder / "lora", weight_name="pytorch_lora_weights.safetensors")
    ours = put_on(pipeline_of(spec.model_folder), spec.run_folder / "lora")
    assert np.abs(drawn(theirs) - drawn(ours)).max() < 1e-5
    assert np.abs(drawn(theirs) - before).max() > 1e-5


@pytest.mark.parametrize("model", PIPELINES)
def test_a_text_encoder_learns_where_it_is_asked_to(model: str, tmp_path: Path) -> None:
    """FAM-1: CLIP's attention gets adapters beside the denoiser's and learns; `load_lora_weights` of diffusers draws the same; the
    plan counts them."""
    spec = trained(model, "image-text", tmp_path, image_size="32x32", train_text_encoder=True)
    state = load_file(spec.run_folder / "lora" / "adapter_model.safetensors")
    ups = {name: up for name, up in state.items() if ".text_encoder." in name and "lora_B" in name}
    read = [up for name, up in ups.items() if ".layers.0." in name]  # XL and 3 pass over what the last layer says
    assert len(read) == 4
    assert all(up.abs().max() > 0 for up in read)
    assert len(state) / 2 == len(layers_of(spec.model_folder, *DENOISING)) + len(ups) + sum(
        ".text_encoder_2." in name and "lora_B" in name for name in state
    )
    theirs = pipeline_of(spec.model_folder)
    theirs.load_lora_weights(spec.run_folder / "lora", weight_name="pytorch_lora_weights.safetensors")
    ours = put_on(pipeline_of(spec.model_folder), spec.run_folder / "lora")
    assert np.abs(drawn(theirs) - drawn(ours)).max() < 1e-5
    without = put_on(pipeline_of(spec.model_folder), spec.run_folder / "lora")
    without.text_encoder = pipeline_of(spec.model_folder).text_encoder
    assert np.abs(drawn(without) - drawn(ours)).max() > 1e-6


def test_only_attention_of_the_denoiser_is_adapted_unasked(tmp_path: Path) -> None:
    """FAM-1, AUT-1"""
    spec = trained("stable_diffusion", "image-text", tmp_path, image_size="32x32")
    state = load_file(spec.run_folder / "lora" / "adapter_model.safetensors")
    layers = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in state}
    assert layers == {f"unet.{name}" for name in layers_of(spec.model_folder, *DENOISING)}


@pytest.mark.parametrize("targets", ["all-linear", "attention"])
def test_layers_without_names_are_the_denoisers(targets: str, tmp_path: Path) -> None:
    """AUT-1: the text encoders beside it learn only where they are asked to."""
    spec = trained("stable_diffusion", "image-text", tmp_path, image_size="32x32", target_modules=targets)
    state = load_file(spec.run_folder / "lora" / "adapter_model.safetensors")
    assert {name.removeprefix("base_model.model.").partition(".")[0] for name in state} == {"unet"}


@pytest.mark.parametrize("given", [{"target_modules": "all-linear"}, {"method": "full"}])
def test_a_text_encoder_beside_layers_without_names_is_refused(given: dict[str, str], tmp_path: Path) -> None:
    """QLT-1"""
    with pytest.raises(UsageProblem, match="layers that have names"):
        trained("stable_diffusion", "image-text", tmp_path, train_text_encoder=True, **given)


def test_a_text_encoder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """QLT-1"""
    with pytest.raises(UsageProblem, match="does nothing for this model"):
        trained("vit", "labelled", tmp_path, train_text_encoder=True)


def layers_of(folder: Path, *ends: str) -> dict[str, Any]:
    """Layers of the part that draws whose names end so."""
    named = part_of(pipeline_of(folder))[1].named_modules()
    return {name: layer for name, layer in named if name.endswith(ends)}


def sides(layer: Any, random: torch.Generator, wide: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Low-rank matrices for a layer, or for `wide` of its size in one."""
    down = torch.randn(4, layer.in_features, generator=random) * 0.3
    return down, torch.randn(wide * layer.out_features, 4, generator=random) * 0.3


def kohya_file(folder: Path, target: Path) -> Path:
    """For the attention of a UNet, called as kohya's scripts call it: lora_unet_<path with underscores>."""
    random = torch.Generator().manual_seed(0)
    state: State = {}
    for name, layer in layers_of(folder, "to_q", "to_v").items():
        stem = f"lora_unet_{name.replace('.', '_')}"
        state[f"{stem}.lora_down.weight"], state[f"{stem}.lora_up.weight"] = sides(layer, random)
        state[f"{stem}.alpha"] = torch.tensor(2.0)
    save_file(state, target)
    return target


def kohya_text_file(folder: Path, target: Path) -> Path:
    """For a UNet and a CLIP, of other ranks and scalings."""
    random = torch.Generator().manual_seed(0)
    state: State = load_file(kohya_file(folder, target))
    for name, layer in pipeline_of(folder).text_encoder.named_modules():
        if name.endswith(("q_proj", "k_proj", "v_proj", "out_proj")):
            stem = f"lora_te_text_model_{name.removeprefix('text_model.').replace('.', '_')}"
            down, up = sides(layer, random)
            state[f"{stem}.lora_down.weight"], state[f"{stem}.lora_up.weight"] = down[:2].clone(), up[:, :2].clone()
            state[f"{stem}.alpha"] = torch.tensor(1.5)
    save_file(state, target)
    return target


def kohya_flux_file(folder: Path, target: Path) -> Path:
    """For a FLUX, by the names of its authors, with queries, keys and values in one matrix."""
    random = torch.Generator().manual_seed(0)
    state: State = {}
    for name, layer in layers_of(folder, "attn.to_q", "attn.to_out.0").items():
        if not name.startswith("transformer_blocks"):
            continue
        is_input = name.endswith("to_q")
        stem = f"lora_unet_double_blocks_{name.split('.')[1]}_img_attn_{'qkv' if is_input else 'proj'}"
        state[f"{stem}.lora_down.weight"], state[f"{stem}.lora_up.weight"] = sides(layer, random, 3 if is_input else 1)
        state[f"{stem}.alpha"] = torch.tensor(2.0)
    save_file(state, target)
    return target


def diffusers_file(folder: Path, target: Path) -> Path:
    """As diffusers' own scripts write it; kohya's form is not known to it for this pipeline."""
    random = torch.Generator().manual_seed(0)
    state: State = {}
    for name, layer in layers_of(folder, "attn.to_q", "attn.to_v").items():
        down, up = sides(layer, random)
        state |= {f"transformer.{name}.lora_A.weight": down, f"transformer.{name}.lora_B.weight": up}
    save_file(state, target)
    return target


WRITERS: dict[str, Callable[[Path, Path], Path]] = {
    "stable_diffusion": kohya_file, "stable_diffusion_xl": kohya_file, "flux": kohya_flux_file,
    "stable_diffusion_3": diffusers_file,
}  # fmt: skip


@pytest.mark.parametrize("model", PIPELINES)
def test_files_of_other_tools_are_taken_in_and_draw_the_same(
    model: str, every_tiny_model: dict[str, Path], tmp_path: Path
) -> None:
    """ADP-1: names and alpha of kohya's scripts, and of diffusers; the pictures are those that diffusers draws with the file itself."""
    folder = every_tiny_model[model]
    file = WRITERS[model](folder, tmp_path / "style.safetensors")
    taken = flow.import_adapter(str(file), base=str(folder), name="style")
    assert (taken.rank, taken.origin) == (4, "imported")
    theirs = pipeline_of(folder)
    theirs.load_lora_weights(str(tmp_path), weight_name=file.name)
    wanted = drawn(theirs)
    assert np.abs(drawn(put_on(pipeline_of(folder), taken.folder)) - wanted).max() < 1e-4
    assert np.abs(drawn(pipeline_of(folder)) - wanted).max() > 1e-3


def test_what_a_file_holds_for_the_text_encoder_is_taken_in(every_tiny_model: dict[str, Path], tmp_path: Path) -> None:
    """ADP-1: another rank and scaling than the UNet's; the picture is the one that diffusers draws, and the file written beside is
    read by diffusers."""
    folder = every_tiny_model["stable_diffusion"]
    file = kohya_text_file(folder, tmp_path / "style.safetensors")
    taken = flow.import_adapter(str(file), base=str(folder), name="style")
    theirs = pipeline_of(folder)
    theirs.load_lora_weights(str(tmp_path), weight_name=file.name)
    wanted = drawn(theirs)
    assert np.abs(drawn(put_on(pipeline_of(folder), taken.folder)) - wanted).max() < 1e-4
    again = pipeline_of(folder)
    again.load_lora_weights(taken.folder, weight_name="pytorch_lora_weights.safetensors")
    assert np.abs(drawn(again) - wanted).max() < 1e-4
    alone = pipeline_of(folder)
    alone.load_lora_weights(kohya_file(folder, tmp_path / "unet.safetensors").parent, weight_name="unet.safetensors")
    assert np.abs(drawn(alone) - wanted).max() > 1e-4


@pytest.mark.parametrize("targets", [["to_q"], r".*\.to_q"])
def test_a_folder_of_peft_for_the_denoiser_alone_is_taken_in(
    targets: list[str] | str, every_tiny_model: dict[str, Path], tmp_path: Path
) -> None:
    """ADP-1: its names are those within the UNet."""
    folder = every_tiny_model["stable_diffusion"]
    theirs = pipeline_of(folder)
    wrapped = peft.get_peft_model(theirs.unet, peft.LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    wrapped.save_pretrained(tmp_path / "theirs")
    taken = flow.import_adapter(str(tmp_path / "theirs"), base=str(folder), name="plain")
    assert np.abs(drawn(put_on(pipeline_of(folder), taken.folder)) - drawn(theirs)).max() < 1e-5
    assert np.abs(drawn(pipeline_of(folder)) - drawn(theirs)).max() > 1e-4
