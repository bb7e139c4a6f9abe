"""Pictures drawn by a diffusion pipeline: what it is asked for, its steps, the PNG with all of it. Worker plane only.

The weights are never copied: drawing from a picture uses another pipeline of diffusers around the same parts.
"""

from __future__ import annotations

import inspect
import io
import json
import math
import secrets
import time
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lorasmith.families._calls import Answer, DiffusionCall, Tell, blob, refuse
from lorasmith.families._previews import preview_of

MOST_PIXELS = 4096 * 4096
_SEEDS = 2**63
_TRUE_GUIDANCE = 4.0  # for a negative prompt where the pipeline's own guidance is distilled and knows none
_OFFERED = (
    "prompt", "negative_prompt", "num_inference_steps", "guidance_scale", "true_cfg_scale", "width", "height", "image",
    "mask_image", "strength", "generator",
)  # fmt: skip
_NO_PICTURES = {
    "num_frames",
    "audio_length_in_s",
    "ensemble_size",
}  # inputs of those that make video, sound, maps of depth


def draw(pipeline: Any, call: DiffusionCall, media: list[bytes], tell: Tell) -> Answer:
    """The pictures of a call, one after another: each depends on its own seed alone, whatever their number.

    `media` holds the picture to start from and the mask, if any. Raises UsageProblem for what the pipeline cannot do, DataProblem
    for a picture that cannot be read; lets through what `tell` raises, after which the pipeline is as before.
    """
    begun = time.monotonic()
    given = _pictures(media)
    chosen = _pipeline_for(pipeline, given)
    options = _options(chosen, call, given)
    seed = call.seed if call.seed is not None else secrets.randbelow(2**32)
    blobs: list[bytes] = []
    images: list[dict[str, Any]] = []
    with _scheduled(chosen, call.scheduler) as scheduler:
        said = _said(chosen, call, options, scheduler)
        for number in range(call.n):
            steps = _Steps(chosen, options, tell, before=number, of=call.n, preview_every=call.preview_every)
            own = (seed + number) % _SEEDS
            picture, is_flagged = _drawn(chosen, options, own, steps)
            said |= {"width": picture.width, "height": picture.height}
            image = blob(blobs, _png(picture, {**said, "seed": own}), "image/png") | {"seed": own}
            images.append(image | ({"flagged": True} if is_flagged else {}))
    parameters = {**said, "seed": seed, "n": call.n}
    return Answer({"images": images, "parameters": parameters, "seconds": round(time.monotonic() - begun, 3)}, blobs)


def schedulers_of(pipeline: Any) -> dict[str, Any]:
    """The classes of schedulers that the pipeline can be run with, by their names without `Scheduler`, its own first."""
    own = getattr(pipeline, "scheduler", None)
    if own is None:
        return {}
    others = sorted(getattr(own, "compatibles", []), key=lambda kind: kind.__name__)
    # Those with `_backends` lack a package; EDM's count noise in another way, whatever diffusers says of them.
    usable = [
        type(own),
        *(kind for kind in others if not hasattr(kind, "_backends") and not kind.__name__.startswith("EDM")),
    ]
    return {kind.__name__.removesuffix("Scheduler"): kind for kind in usable}


def _inputs(pipeline: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(type(pipeline).__call__).parameters


def _pictures(media: list[bytes]) -> dict[str, Image.Image]:
    from lorasmith.families._pictures import mask_of, picture_of

    ways = {"image": (picture_of, "The picture to start from"), "mask_image": (mask_of, "The mask")}
    return {name: read(data, what=what) for (name, (read, what)), data in zip(ways.items(), media, strict=False)}


def _pipeline_for(pipeline: Any, given: Mapping[str, Any]) -> Any:
    """The pipeline itself, or one around its parts that starts from a picture. Raises UsageProblem where there is none."""
    kind = type(pipeline).__name__
    if not hasattr(pipeline, "components"):
        raise refuse("This is one component of a pipeline and draws nothing alone", "Serve the whole pipeline.")
    known = _inputs(pipeline)
    if _NO_PICTURES & set(known) or "generator" not in known:
        raise refuse(f"This pipeline ({kind}) makes no single pictures, and cannot be served yet")
    lacking = [
        name for name, value in known.items()
        if value.default is value.empty and value.kind is value.POSITIONAL_OR_KEYWORD and name not in ("self", *_OFFERED)
    ]  # fmt: skip
    if lacking:
        raise refuse(f"This pipeline ({kind}) cannot be served alone: it needs {', '.join(lacking)} from another model")
    if "mask_image" in known and "mask_image" not in given:
        raise refuse(f"This pipeline ({kind}) fills in parts of a picture", "Give image and mask_image.")
    if set(given) <= set(known):
        return pipeline
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports every pipeline, old ones among them
        from diffusers.pipelines.auto_pipeline import AutoPipelineForImage2Image, AutoPipelineForInpainting

    wanted, what = (
        (AutoPipelineForInpainting, "fill in parts of a picture")
        if "mask_image" in given
        else (AutoPipelineForImage2Image, "start from a picture")
    )
    try:
        other = wanted.from_pipe(pipeline)
    except ValueError as error:  # diffusers has none that is made of these parts
        raise refuse(f"This pipeline ({kind}) cannot {what}", f"Leave {' and '.join(given)} out.") from error
    other.set_progress_bar_config(disable=True)
    return other


def _options(pipeline: Any, call: DiffusionCall, given: Mapping[str, Image.Image]) -> dict[str, Any]:
    """What the pipeline is called with, but for the generator. Raises UsageProblem for a wish that it cannot fulfil."""
    known = _inputs(pipeline)
    wishes: dict[str, Any] = {"negative_prompt": call.negative_prompt or None, "guidance_scale": call.guidance_scale}
    wishes["prompt"] = call.prompt or None
    if unknown := [name for name, wish in wishes.items() if wish is not None and name not in known]:
        raise refuse(f"This pipeline ({type(pipeline).__name__}) takes no {unknown[0]}", f"Leave {unknown[0]} out.")
    options: dict[str, Any] = {name: wish for name, wish in wishes.items() if wish is not None}
    options["num_inference_steps"] = call.steps
    if "prompt" in known:
        options["prompt"] = call.prompt
    if call.negative_prompt and "true_cfg_scale" in known and known["true_cfg_scale"].default <= 1:
        options["true_cfg_scale"] = _TRUE_GUIDANCE
    if given and "strength" in known:
        if call.steps * call.strength < 1:
            what = f"{call.steps} steps of strength {call.strength} leave none to draw"
            raise refuse(what, f"Take at least {math.ceil(1 / call.strength)} steps, or more strength.")
        options["strength"] = call.strength
    return options | _sizes(pipeline, call, given)


def _sizes(pipeline: Any, call: DiffusionCall, given: Mapping[str, Image.Image]) -> dict[str, Any]:
    """Width and height where they are asked for, and the pictures brought to them, or to the next size that the pipeline can."""
    known, unit = _inputs(pipeline), _unit(pipeline)
    own = given["image"].size if given else _own_size(pipeline)
    asked = {"width": call.width, "height": call.height}
    if not given and any(asked.values()) and "width" not in known:
        raise refuse(f"This pipeline draws pictures of {own[0]} × {own[1]} only", "Leave width and height out.")
    for name, side in asked.items():
        if side and side % unit:
            below, above = side // unit * unit, -(-side // unit) * unit
            near = f"{below} or {above}" if below else str(above)
            raise refuse(f"The {name} must be a multiple of {unit}, and {side} is none", f"Take {near}.")
    width, height = _both(call.width, call.height, own, unit, keeps_shape=bool(given))
    if width * height > MOST_PIXELS:
        fix = f"Give a width and a height of at most {MOST_PIXELS:,} pixels: 4096 × 4096, for example."
        raise refuse(f"{width} × {height} are too many pixels", fix)
    sizes = {"width": width, "height": height} if "width" in known and (given or any(asked.values())) else {}
    fitted = {
        name: one if one.size == (width, height) else one.resize((width, height), Image.Resampling.LANCZOS)
        for name, one in given.items()
    }
    return sizes | fitted


def _both(
    width: int | None, height: int | None, own: tuple[int, int], unit: int, *, keeps_shape: bool
) -> tuple[int, int]:
    """Both sides in pixels, of which none, one or both are asked for. Of a picture the other side follows in proportion."""
    scale_x, scale_y = (width or 0) / own[0], (height or 0) / own[1]
    scale = (scale_x or scale_y or 1) if keeps_shape else 1
    rounded = [max(unit, int(side * scale) // unit * unit) for side in own]
    return width or rounded[0], height or rounded[1]


def _unit(pipeline: Any) -> int:
    """What width and height must be multiples of: the VAE's factor, with the patches that a transformer cuts latents into."""
    factor = int(getattr(pipeline, "vae_scale_factor", 1))
    units = [8 if hasattr(pipeline, "unet") else 1, factor]
    processor = getattr(getattr(pipeline, "image_processor", None), "config", None)
    units.append(int(getattr(processor, "vae_scale_factor", 1)))
    patch = getattr(getattr(getattr(pipeline, "transformer", None), "config", None), "patch_size", 1)
    units.append(factor * patch if isinstance(patch, int) else 1)
    return math.lcm(*units)


def _own_size(pipeline: Any) -> tuple[int, int]:
    """Of the pictures that the pipeline draws unasked."""
    side = getattr(pipeline, "default_sample_size", None)
    if side is None:
        denoiser = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
        side = getattr(getattr(denoiser, "config", None), "sample_size", None) or 64
    width, height = (side, side) if isinstance(side, int) else (side[1], side[0])
    factor = int(getattr(pipeline, "vae_scale_factor", 1))
    return width * factor, height * factor


@contextmanager
def _scheduled(pipeline: Any, asked: str) -> Generator[str]:
    """A scheduler of its own for one call, so that one that was broken off leaves no trace; gives its name."""
    if not hasattr(pipeline, "scheduler"):
        if asked:
            raise refuse("This pipeline has no scheduler to choose", "Leave scheduler out.")
        yield ""
        return
    known = schedulers_of(pipeline)
    short = {_plain(name): name for name in known}
    name = short.get(_plain(asked)) if asked else next(iter(known))
    if name is None:
        raise refuse(f"This pipeline has no scheduler '{asked}'", f"It can use: {', '.join(known)}.")
    before = pipeline.scheduler
    pipeline.scheduler = known[name].from_config(before.config)
    try:
        yield name
    finally:
        pipeline.scheduler = before


def _plain(name: str) -> str:
    """`EulerDiscreteScheduler`, `EulerDiscrete`, `euler` and `Euler_discrete` are one."""
    letters = "".join(letter for letter in name.lower() if letter.isalnum())
    return letters.removesuffix("scheduler").removesuffix("discrete")


class _Steps:
    """What a pipeline calls after each step, or whose part that removes noise does: told, perhaps with a preview."""

    def __init__(self, pipeline: Any, options: dict[str, Any], tell: Tell, *, before: int, of: int, preview_every: int):
        self.done = 0
        self._pipeline = pipeline
        self._options = options
        self._tell = tell
        self._before = before
        self._pictures = of
        self._preview_every = preview_every

    def hook(self) -> Any:
        """On the pass of the denoiser, for pipelines that call nobody back."""
        denoiser = getattr(self._pipeline, "unet", None) or self._pipeline.transformer
        return denoiser.register_forward_hook(self._passed)

    def _passed(self, *_: object) -> None:
        self.step(None)

    def __call__(self, pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        self.step(tensors.get("latents"))
        return {}

    def step(self, latents: Any) -> None:
        self.done += 1
        total = getattr(self._pipeline, "_num_timesteps", None) or self._options["num_inference_steps"]
        is_shown = self._preview_every and latents is not None and self.done % self._preview_every == 0
        shown = preview_of(self._pipeline, latents, self._options) if is_shown else b""
        done = self._before * total + min(self.done, total)
        self._tell(done=done, total=total * self._pictures, blob=shown)


def _drawn(pipeline: Any, options: dict[str, Any], seed: int, steps: _Steps) -> tuple[Image.Image, bool]:
    """One picture, and whether the pipeline's safety checker blackened it."""
    calls_back = "callback_on_step_end" in _inputs(pipeline)
    back: dict[str, Any] = {"callback_on_step_end": steps} if calls_back else {}
    hook = None if calls_back else steps.hook()
    try:
        made = pipeline(**options, **back, generator=torch.Generator("cpu").manual_seed(seed))
    except ValueError as error:
        if steps.done:
            raise
        raise refuse(f"The pipeline ({type(pipeline).__name__}) refuses this: {error}") from error
    finally:
        if hook:
            hook.remove()
    if "images" not in made:
        raise refuse(f"This pipeline ({type(pipeline).__name__}) makes no pictures, and cannot be served yet")
    return made["images"][0], bool((made.get("nsfw_content_detected") or [False])[0])


def _said(pipeline: Any, call: DiffusionCall, options: dict[str, Any], scheduler: str) -> dict[str, Any]:
    """The parameters in force, for the answer and the PNG."""
    known = _inputs(pipeline)
    guidance = options.get("guidance_scale", known["guidance_scale"].default if "guidance_scale" in known else None)
    said: dict[str, Any] = {
        "prompt": call.prompt, "negative_prompt": call.negative_prompt, "steps": call.steps, "guidance_scale": guidance,
        "scheduler": scheduler, "pipeline": type(pipeline).__name__, "adapter": call.adapter,
    }  # fmt: skip
    return said | {name: options[name] for name in ("strength", "true_cfg_scale") if name in options}


def _png(picture: Image.Image, parameters: dict[str, Any]) -> bytes:
    """With the parameters as JSON in a tEXt chunk of that name."""
    told = PngInfo()
    told.add_text("parameters", json.dumps(parameters))
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=told)
    return file.getvalue()
