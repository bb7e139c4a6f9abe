"""An adapter merged into its base on the way from file to file: no model is built, one tensor at a time is in memory (ADP-3).

What is not LoRA on plain weights (DoRA, heads trained in full, new tokens, weights that a class renames) goes the way of
PEFT's own `merge_and_unload`, with the whole model in memory.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lorasmith.core.errors import DataProblem, UsageProblem
from lorasmith.core.samples import ModelChanges
from lorasmith.env.records import is_trusted
from lorasmith.families import FAMILIES
from lorasmith.workers import lora, plain
from lorasmith.workers.answering.adapters import is_plain

Tell = Callable[[int, int], None]
"""Told the bytes that are written, and all of them."""
_SIDES = (".lora_A.weight", ".lora_B.weight")
_COPY_BYTES = 16 * 2**20


class Delta(NamedTuple):
    """What an adapter adds to one weight: up · down, in fp32; `up` is scaled."""

    down: torch.Tensor
    up: torch.Tensor
    is_transposed: bool
    """Whether the weight is stored (in, out), as GPT-2's are."""

    def onto(self, weight: torch.Tensor) -> torch.Tensor:
        """The merged weight in fp32, for the caller to store as he likes. Raises UsageProblem where the shapes differ."""
        up, down = self.up.flatten(1), self.down.flatten(1)
        left, right = (down.T, up.T) if self.is_transposed else (up, down)
        own = (*left.shape[:1], *right.shape[1:]) if self.down.ndim == 2 else (len(up), *self.down.shape[1:])
        if up.shape[1] != down.shape[0]:
            raise UsageProblem(
                "The adapter is damaged",
                why=f"Its two sides for a weight are of ranks {down.shape[0]} and {up.shape[1]}.",
            )
        if own != tuple(weight.shape):
            raise UsageProblem(
                "The adapter does not fit this model",
                why=f"A weight is {_shape(weight.shape)}, and the adapter's is {_shape(own)}.",
                fix="Give the model that it was trained on; adapter_config.json names it.",
            )
        wide = weight.to(torch.float32, copy=True)  # what is given may be the file itself
        wide.view(left.shape[0], right.shape[1]).addmm_(left, right)
        return wide


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def deltas(adapter: Path | None) -> dict[str, Delta] | None:
    """By the name of the weight; None where the adapter is more than matrices on linear layers. Empty without an adapter.

    Raises UsageProblem where half of a pair is missing, or a value is no finite number.
    """
    if adapter is None:
        return {}
    config = plain.read_config(adapter)
    if not is_plain(config):
        return None
    state = load_file(adapter / plain.WEIGHTS)
    lora.require_finite(adapter, state)
    if any(not name.endswith(_SIDES) for name in state):
        return None
    sides = [{name.removesuffix(side) for name in state if name.endswith(side)} for side in _SIDES]
    if halves := sorted(sides[0] ^ sides[1]):
        raise UsageProblem(
            f"The adapter in '{adapter}' is damaged",
            why=f"It has half of the weights for '{halves[0].removeprefix(plain.INSIDE)}'.",
            fix="Take it from where it was made once more: its file is not as it was written.",
        )
    found: dict[str, Delta] = {}
    for stem in sorted(sides[0]):
        down, up = (state[stem + side] for side in _SIDES)
        layer = stem.removeprefix(plain.INSIDE)
        scaled = up.float() * lora.scaling(layer, config, down.shape[0])
        found[f"{layer}.weight"] = Delta(down.float(), scaled, bool(config.get("fan_in_fan_out")))
    return found


class Entry(NamedTuple):
    """A tensor of a safetensors file."""

    name: str
    start: int
    stop: int


def weight_files(folder: Path, names: list[str]) -> list[Path] | None:
    """The safetensors files, or None where the weights are in another form."""
    files = [folder / name for name in sorted(names)]
    return files if files and all(file.suffix == ".safetensors" for file in files) else None


def fits_files(changes: dict[str, Delta], files: list[Path], base: Path) -> bool:
    """Whether every weight that changes is in the files, which lie in `base`, under that very name."""
    there: set[str] = set()
    for file in files:
        with safe_open(file, framework="pt") as opened:
            there.update(_part(file, base) + name for name in opened.keys())  # noqa: SIM118  no dictionary
    return set(changes) <= there


def _part(file: Path, base: Path) -> str:
    """What stands before the names in a file of one part of a pipeline: `unet.`; nothing for a model's own."""
    return "".join(f"{name}." for name in file.parent.relative_to(base).parts)


def tensors(files: list[Path], changes: dict[str, Delta]) -> Iterator[tuple[str, torch.Tensor]]:
    """Each tensor of the files with what an adapter adds to it, one at a time; where that is something, in fp32."""
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  no dictionary
                weight = opened.get_tensor(name)
                yield name, changes[name].onto(weight) if name in changes else weight


def merge_files(files: list[Path], changes: dict[str, Delta], base: Path, target: Path, tell: Tell) -> None:
    """Write the merged weights to `target`, in files of the same names, headers and order; what does not change is copied."""
    total = sum(file.stat().st_size for file in files)
    done = 0
    for file in files:
        place, part = target / file.relative_to(base), _part(file, base)
        place.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as source, place.open("wb") as sink, safe_open(file, framework="pt") as opened:
            head = int.from_bytes(source.read(8), "little")
            source.seek(0)
            _copy(source, sink, 8 + head)
            for entry in _entries(source, head):
                if part + entry.name in changes:
                    weight = opened.get_tensor(entry.name)
                    merged = changes[part + entry.name].onto(weight).to(weight.dtype).contiguous()
                    sink.write(memoryview(merged.view(torch.uint8).numpy()))
                else:
                    source.seek(8 + head + entry.start)
                    _copy(source, sink, entry.stop - entry.start)
                tell(done + entry.stop, total)
        done += file.stat().st_size


def _entries(source: IO[bytes], head: int) -> list[Entry]:
    """The tensors in the order of their bytes."""
    source.seek(8)
    told = json.loads(source.read(head))
    told.pop("__metadata__", None)
    return sorted((Entry(name, *one["data_offsets"]) for name, one in told.items()), key=lambda one: one.start)


def _copy(source: IO[bytes], sink: IO[bytes], count: int) -> None:
    while count:
        part = source.read(min(count, _COPY_BYTES))
        if not part:
            raise UsageProblem(
                f"'{source.name}' ends before its last weight", why="Its download may have been cut off."
            )
        sink.write(part)
        count -= len(part)


def merge_loaded(
    folder: Path, family_name: str, adapter: Path, changes: ModelChanges, target: Path, *, dtype: str
) -> None:  # fmt: skip
    """By PEFT, with the model in memory in fp32, saved in `dtype`: for all that `deltas` cannot say. Weights that are stored
    quantized are widened first."""
    family = FAMILIES.get(family_name)
    trust = is_trusted(folder)
    whole, wearer, merged = _merged(folder, family_name, adapter, changes)
    holder = _holder(whole, wearer)
    if holder is not None:
        setattr(*holder, merged)
    saved: Any = whole if whole is not wearer else merged
    saved.to(getattr(torch, dtype))
    saved.save_pretrained(target)
    processor = family.processor(folder, merged if whole is wearer else whole, trust_remote_code=trust, changes=changes)
    if hasattr(processor, "save_pretrained"):
        processor.save_pretrained(target)


def _merged(folder: Path, family_name: str, adapter: Path | None, changes: ModelChanges) -> tuple[Any, Any, Any]:
    """The base in fp32, its part that takes adapters, and that part as PEFT merges it."""
    family = FAMILIES.get(family_name)
    whole = family.load(
        folder, dtype="float32", device="cpu", trust_remote_code=is_trusted(folder), changes=changes
    )  # fmt: skip
    if getattr(whole, "is_quantized", False):
        whole = _widened(whole)
    wearer = family.wearer(whole)
    if adapter is None:
        return whole, wearer, wearer
    _untie(wearer, adapter)
    return whole, wearer, lora.load_adapters(wearer, {"merged": adapter}).merge_and_unload(adapter_names=["merged"])


def _untie(model: Any, adapter: Path) -> None:
    """Give the head a weight of its own where an adapter has learnt new tokens' rows for it apart from the embeddings'."""
    writer = getattr(model, "decoder", model)
    learnt = plain.read_config(adapter).get("trainable_token_indices")
    if not isinstance(learnt, dict) or len(learnt) < 2:
        return
    head, table = writer.get_output_embeddings(), writer.get_input_embeddings()
    if head.weight is table.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        writer.config.tie_word_embeddings = False


def require_merged(
    folder: Path, family_name: str, adapter: Path | None, changes: ModelChanges, target: Path, *, dtype: str
) -> None:  # fmt: skip
    """Read `target` back as any other program would, and compare each weight with what PEFT makes of base and adapter: for models
    that no prompt can be put to. Raises DataProblem where one differs by more than `dtype` rounds."""
    wanted = dict(_merged(folder, family_name, adapter, changes)[2].state_dict())
    own = dict(_merged(target, family_name, None, ModelChanges())[2].state_dict())
    rounding = 2 * torch.finfo(getattr(torch, dtype)).eps
    for name, weight in wanted.items():
        other = own.get(name)
        is_same = other is not None and other.shape == weight.shape
        if is_same and weight.is_floating_point():  # what cancels out is rounded as what it came of
            is_same = torch.allclose(other, weight, rtol=rounding, atol=float(1e-2 * rounding * weight.abs().mean()))
        if not is_same:
            raise DataProblem(
                "The exported model is not the one that was trained, and is not kept",
                why=f"'{name}' is another weight when its files are read back.",
                fix="--allow-mismatch keeps it all the same.",
            )


def _widened(model: Any) -> Any:
    """The model with plain weights, as its quantized ones are read."""
    widened = model.dequantize()

    def can_be_undone(conversion: Any) -> bool:
        try:
            conversion.reverse_transform()
        except NotImplementedError:
            return False
        return True

    # How quantized weights were read from files; saving would try to undo it (transformers 5.23).
    conversions = getattr(widened, "_weight_conversions", None)
    if conversions:
        widened._weight_conversions = list(filter(can_be_undone, conversions))
    return widened


def _holder(whole: Any, wearer: Any) -> tuple[Any, str] | None:
    """Where the part is that takes adapters, in a whole that only holds it; a pipeline's parts are merged in their places."""
    if whole is wearer:
        return None
    return (whole, "model") if getattr(whole, "model", None) is wearer else None


def copy_beside(folder: Path, names: list[str], target: Path) -> None:
    """Configurations, tokenizers and processors: what a model needs besides its weights."""
    for name in names:
        place = target / name
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, place)
