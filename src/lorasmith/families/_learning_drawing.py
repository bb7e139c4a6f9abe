"""Pictures that are to be drawn: what noise is to be taken from them, given their captions. Worker plane only.

Pipelines with a UNet (Stable Diffusion 1.5, 2, XL: epsilon or velocity, arXiv 2006.11239 and 2202.00512) and with a transformer
that follows straight paths from noise to picture (SD3, FLUX: rectified flow, arXiv 2403.03206).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from lorasmith.core.errors import UsageProblem
from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.families._calls import DiffusionCall
from lorasmith.families._drawing import draw
from lorasmith.families._learning import Batch, Learning, Measured
from lorasmith.families._lessons import Lesson
from lorasmith.families._pictures import picture_of
from lorasmith.families._worn import DENOISERS, Worn, has_adapters

_LEVELS = (0.15, 0.4, 0.65, 0.9)
"""Shares of the noise at which held-out pictures are measured, so that two evaluations measure the same."""


class Drawing(Learning):
    """The denoiser of a pipeline. `model` is the pipeline at first, later the part of it that has adapters."""

    def __init__(self, lesson: Lesson, model: Any, processor: Any, changes: ModelChanges):
        self.pipeline = model
        self.denoiser: Any = getattr(model, "unet", None) or getattr(model, "transformer", None)
        if self.denoiser is None or not hasattr(model, "vae"):
            raise UsageProblem(
                f"A {type(model).__name__} cannot be trained yet", why="It has no UNet or transformer beside a VAE.",
                fix="Stable Diffusion 1.5, 2, XL and 3 and FLUX can be.",
            )  # fmt: skip
        self.texts: dict[str, Any] = {}
        self.encoders = [part for name, part in Worn(model).named_children() if name not in DENOISERS]
        super().__init__(lesson, self.denoiser, processor, changes)

    def prepare(self, model: Any) -> None:
        pipeline = self.pipeline
        self.is_flow = "prediction_type" not in pipeline.scheduler.config
        self.shape = type(pipeline).__name__
        self.height, self.width = self._picture_size(model)

    def _picture_size(self, model: Any) -> tuple[int, int]:
        """Pixels of what the pipeline draws by default, or as asked."""
        if self.changes.image_size:
            return self.changes.image_size
        side = getattr(model.config, "sample_size", None) or getattr(self.pipeline, "default_sample_size", 64)
        height, width = side if isinstance(side, list | tuple) else (side, side)
        factor = int(getattr(self.pipeline, "vae_scale_factor", 8))
        return height * factor, width * factor

    def batch(self, samples: Sequence[Sample], *, training: bool) -> Batch:  # noqa: ARG002
        pictures = [self._pixels(one) for one in samples]
        captions = [one.text.encode() for one in samples]
        longest = max(1, *map(len, captions))
        letters = [[*one, *[0] * (longest - len(one))] for one in captions]
        return {
            "pixel_values": torch.stack(pictures), "caption": torch.tensor(letters, dtype=torch.uint8),
            "labels": torch.tensor([one.key % 2**31 for one in samples]),
        }  # fmt: skip

    def _pixels(self, sample: Sample) -> torch.Tensor:
        """Cut to the shape that is drawn, around the middle; numbers from -1 to 1, of shape (3, height, width)."""
        fitted = np.asarray(self.right_picture(sample), np.float32)
        return torch.from_numpy(fitted / 127.5 - 1).permute(2, 0, 1)

    def measure(self, model: Any, batch: Batch) -> Measured:
        with torch.no_grad():
            clean = self._latents(batch["pixel_values"])
        given = self._encoded(batch["caption"])
        if model.training:
            errors = self._error(
                model, clean, given, torch.rand(len(clean), device=clean.device), torch.randn_like(clean)
            )
        else:
            noise = torch.stack([_noise(int(key), clean.shape[1:]) for key in batch["labels"]]).to(clean)
            levels = [torch.full((len(clean),), level, device=clean.device) for level in _LEVELS]
            errors = torch.stack([self._error(model, clean, given, level, noise) for level in levels]).mean(0)
        return Measured(errors, torch.ones_like(batch["labels"]), torch.zeros_like(errors))

    def count(self, batch: Batch) -> torch.Tensor:
        return torch.tensor(len(batch["labels"]))

    def size(self, batch: Batch) -> int:
        return batch["pixel_values"].shape[0]

    def _latents(self, pixels: torch.Tensor) -> torch.Tensor:
        vae = self.pipeline.vae
        made = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
        shift = getattr(vae.config, "shift_factor", None) or 0.0
        return ((made - shift) * vae.config.scaling_factor).float()

    def _error(
        self, model: Any, clean: torch.Tensor, given: Any, level: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """Mean square of what is left, of shape (rows,); `level` from 0 (clean) to 1 (noise)."""
        scheduler = self.pipeline.scheduler
        steps = scheduler.config.num_train_timesteps
        wide = level.view(-1, *[1] * (clean.ndim - 1))
        if self.is_flow:
            noisy, target = (1 - wide) * clean + wide * noise, noise - clean
            at = level * steps
        else:
            at = (level * steps).long().clamp(max=steps - 1)
            noisy = scheduler.add_noise(clean, noise, at)
            is_velocity = scheduler.config.prediction_type == "v_prediction"
            target = scheduler.get_velocity(clean, noise, at) if is_velocity else noise
        made = self._denoised(model, noisy, at, given)
        return (made.float() - target).pow(2).flatten(1).mean(1)

    def _denoised(self, model: Any, noisy: torch.Tensor, at: torch.Tensor, given: dict[str, Any]) -> torch.Tensor:
        kind = next(weight.dtype for weight in self.denoiser.parameters() if weight.is_floating_point())
        noisy, states = noisy.to(kind), given["states"].to(kind)
        if self.shape.startswith("Flux"):
            return self._flux(model, noisy, at, given)
        if "pooled_projections" in inspect.signature(self.denoiser.forward).parameters:
            return model(
                noisy, timestep=at, encoder_hidden_states=states, pooled_projections=given["pooled"].to(kind)
            ).sample
        if given["pooled"] is None:
            return model(noisy, at, encoder_hidden_states=states).sample
        sizes = torch.tensor(
            [[self.height, self.width, 0, 0, self.height, self.width]] * len(noisy), device=noisy.device
        )
        added = {"text_embeds": given["pooled"].to(kind), "time_ids": sizes.to(kind)}
        return model(noisy, at, encoder_hidden_states=states, added_cond_kwargs=added).sample

    def _flux(self, model: Any, noisy: torch.Tensor, at: torch.Tensor, given: dict[str, Any]) -> torch.Tensor:
        """FLUX reads latents as rows of two by two."""
        pipeline: Any = type(self.pipeline)
        rows, channels, height, width = noisy.shape
        packed = pipeline._pack_latents(noisy, rows, channels, height, width)
        places = pipeline._prepare_latent_image_ids(rows, height // 2, width // 2, noisy.device, noisy.dtype)
        guided = getattr(self.denoiser.config, "guidance_embeds", False)
        made = model(
            hidden_states=packed, timestep=at / 1000, guidance=torch.ones(rows, device=noisy.device) if guided else None,
            pooled_projections=given["pooled"].to(noisy.dtype), encoder_hidden_states=given["states"].to(noisy.dtype),
            txt_ids=torch.zeros(given["states"].shape[1], 3, device=noisy.device, dtype=noisy.dtype), img_ids=places,
        ).sample  # fmt: skip
        factor = int(self.pipeline.vae_scale_factor)
        return pipeline._unpack_latents(made, height * factor, width * factor, factor)

    def _encoded(self, captions: torch.Tensor) -> dict[str, Any]:
        """What the denoiser is told of each caption. Captions come again and again, and are encoded once; but each time where
        adapters lie on an encoder, which learn or are switched."""
        texts = [bytes(row[row > 0].tolist()).decode(errors="replace") for row in captions.cpu()]
        if any(has_adapters(encoder) for encoder in self.encoders):
            known = {text: self._encode(text) for text in dict.fromkeys(texts)}
        else:
            known = self.texts
            with torch.no_grad():
                known.update({text: self._encode(text) for text in dict.fromkeys(texts) if text not in known})
        states, pooled = zip(*(known[text] for text in texts), strict=True)
        return {"states": torch.cat(states), "pooled": None if pooled[0] is None else torch.cat(pooled)}

    def _encode(self, text: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        """States of the tokens (1, tokens, size), and of the whole (1, size) where the pipeline has it."""
        known = inspect.signature(self.pipeline.encode_prompt).parameters
        options: dict[str, Any] = {"prompt": text, "device": self.denoiser.device, "num_images_per_prompt": 1}
        options |= {name: text for name in ("prompt_2", "prompt_3") if name in known}
        if "do_classifier_free_guidance" in known:
            options["do_classifier_free_guidance"] = False
        made = self.pipeline.encode_prompt(**{name: value for name, value in options.items() if name in known})
        if self.shape.startswith("Flux"):
            return made[0], made[1]
        return made[0], made[2] if len(made) > 2 else None

    def answers(self, model: Any, samples: Sequence[Sample]) -> Iterator[str]:  # noqa: ARG002
        """Names of pictures on the canvas, each drawn of a row's text with the row's own seed; empty where there is none. The
        denoiser's active adapters draw, too: the pipeline holds it."""
        for number, sample in enumerate(samples):
            if self.canvas is None:
                yield ""
                continue
            call = DiffusionCall(
                prompt=sample.text, seed=sample.key % 2**31, width=self.width, height=self.height,
                steps=self.canvas.steps,
            )  # fmt: skip
            drawn = draw(self.pipeline, call, [], _nobody)
            name = f"{number}.png"
            (self.canvas.folder / name).write_bytes(drawn.blobs[0])
            yield name

    def right_picture(self, sample: Sample) -> Image.Image:
        """A row's own picture, cut as it is learnt."""
        picture = picture_of(Path(sample.images[0]).read_bytes(), what=f"'{sample.images[0]}'")
        return ImageOps.fit(picture, (self.width, self.height))


def _noise(key: int, shape: Any) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(key))


def _nobody(**_: Any) -> None:
    """Is not told how far a picture is."""
