"""Models and adapters as GGUF files, for the architectures whose layout is known here: Llama and Mistral, Qwen2, Qwen3 (EXP-2).

Names, shapes and the turned halves of queries and keys are those that llama.cpp reads:
https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np

from lorasmith.core.errors import UsageProblem
from lorasmith.workers import lora, plain
from lorasmith.workers.gguf_vocabulary import add_vocabulary
from lorasmith.workers.merging import Delta, tensors

_ARCHITECTURES = {
    "LlamaForCausalLM": "llama", "MistralForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3",
}  # fmt: skip
FORMATS = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q5_1": (gguf.GGMLQuantizationType.Q5_1, gguf.LlamaFileType.MOSTLY_Q5_1),
    "q5_0": (gguf.GGMLQuantizationType.Q5_0, gguf.LlamaFileType.MOSTLY_Q5_0),
    "q4_1": (gguf.GGMLQuantizationType.Q4_1, gguf.LlamaFileType.MOSTLY_Q4_1),
    "q4_0": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}
"""What the package quantizes by itself."""
Tell = Callable[[int, int], None]


class Layout(NamedTuple):
    """How an architecture's weights lie in a GGUF file."""

    architecture: str
    config: dict[str, Any]
    names: Any

    def name(self, weight: str) -> str:
        """llama.cpp's name of a weight. Raises UsageProblem where it has none."""
        found = self.names.get_name(weight, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise UsageProblem(
                "This model cannot be written as GGUF here",
                why=f"llama.cpp's {self.architecture} has no weight like '{weight}'.",
            )
        return str(found)

    def turned(self, name: str, weight: np.ndarray) -> np.ndarray:
        """Llama's queries and keys: llama.cpp turns pairs of neighbours by the position, transformers the two halves of a head.

        `weight` is of shape (heads · head size, …), as is what is returned.
        """
        if self.architecture != "llama" or not any(part in name for part in (".attn_q.", ".attn_k.")):
            return weight
        heads = int(self.config["num_attention_heads"])
        if ".attn_k." in name:
            heads = int(self.config.get("num_key_value_heads") or heads)
        halves = weight.reshape(heads, 2, len(weight) // heads // 2, *weight.shape[1:])
        return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def lacks(config: dict[str, Any]) -> str:
    """Why a model of this configuration cannot be written here; empty where it can."""
    named = (config.get("architectures") or [config.get("model_type", "?")])[0]
    if named not in _ARCHITECTURES:
        return f"{named} is none of {', '.join(_ARCHITECTURES)}"
    scaling = _rope(config).get("rope_type", "default")
    if scaling not in ("default", "linear", "llama3", "yarn"):
        return f"its positions are scaled in a way ({scaling}) that is not written here"
    return ""


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def layout_of(folder: Path) -> Layout:
    """Raises UsageProblem for an architecture that is not known here."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if why := lacks(config):
        raise UsageProblem("This model cannot be written as GGUF here", why=f"{why[0].upper()}{why[1:]}.")
    architecture = _ARCHITECTURES[config["architectures"][0]]
    kind = next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    return Layout(architecture, config, gguf.get_tensor_name_map(kind, int(config["num_hidden_layers"])))


def write_model(
    folder: Path, files: list[Path], changes: dict[str, Delta], target: Path, *, quantize: str, template: str, name: str,
    tell: Tell,
) -> None:  # fmt: skip
    """The model in `folder`, merged, in one file, with its vocabulary and chat template.

    Matrices are of the type that is asked for, vectors in fp32. One tensor at a time is in memory.
    """
    layout = layout_of(folder)
    kind, file_type = FORMATS[quantize]
    writer = gguf.GGUFWriter(target, layout.architecture)
    writer.add_name(name)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_shape(writer, layout)
    size = add_vocabulary(writer, folder, layout.config, template)
    shapes = list(_shapes(files, layout, size))
    for given in shapes:
        own = _type_of(given.name, given.shape, kind)
        writer.add_tensor_info(
            given.name, given.shape, np.dtype(np.float32), _bytes_of(given.shape, own), raw_dtype=own
        )
    factors = _rope_factors(layout.config)
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    kept = {given.source for given in shapes}
    for number, weight in enumerate(weight for source, weight in tensors(files, changes) if source in kept):
        given = shapes[number]
        values = layout.turned(given.name, weight.float().numpy())
        values = np.ascontiguousarray(values[: given.shape[0]])
        with _filled(target):
            writer.write_tensor_data(_encoded(values, _type_of(given.name, given.shape, kind)))
        tell(number + 1, len(shapes))
    if factors is not None:
        with _filled(target):
            writer.write_tensor_data(factors)
    writer.close()


class _Given(NamedTuple):
    source: str
    name: str
    shape: tuple[int, ...]


def _shapes(files: list[Path], layout: Layout, vocabulary: int) -> Iterator[_Given]:
    """The weights in the order of the files. What a head shares with the embeddings is left out, as are rows of no token."""
    from safetensors import safe_open

    is_tied = bool(layout.config.get("tie_word_embeddings"))
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for source in opened.keys():  # noqa: SIM118  no dictionary
                if source.endswith("rotary_emb.inv_freq") or (is_tied and source == "lm_head.weight"):
                    continue
                name = layout.name(source)
                shape = tuple(opened.get_slice(source).get_shape())
                if name.startswith(("token_embd", "output.")):
                    shape = (min(shape[0], vocabulary), *shape[1:])
                yield _Given(source, name, shape)


def _type_of(name: str, shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> gguf.GGMLQuantizationType:
    """Vectors stay in fp32, as do matrices that a type's blocks do not part evenly in its half-precision form."""
    if len(shape) < 2 or name.endswith("_norm.weight"):
        return gguf.GGMLQuantizationType.F32
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    return kind if shape[-1] % block == 0 else gguf.GGMLQuantizationType.F16


def _bytes_of(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> int:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    return math.prod(shape) // block * size


def _encoded(values: np.ndarray, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    if kind == gguf.GGMLQuantizationType.F32:
        return values.astype(np.float32, copy=False)
    if kind == gguf.GGMLQuantizationType.F16:
        return values.astype(np.float16)
    return gguf.quants.quantize(values, kind)


def _add_shape(writer: gguf.GGUFWriter, layout: Layout) -> None:
    config = layout.config
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    size = int(config.get("head_dim") or hidden // heads)
    rope = _rope(config)
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(hidden)
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0))
    if rope.get("rope_type") in ("linear", "yarn"):
        kind = gguf.RopeScalingType.LINEAR if rope["rope_type"] == "linear" else gguf.RopeScalingType.YARN
        writer.add_rope_scaling_type(kind)
        writer.add_rope_scaling_factor(float(rope["factor"]))
        if before := rope.get("original_max_position_embeddings"):
            writer.add_rope_scaling_orig_ctx_len(int(before))


def _rope_factors(config: dict[str, Any]) -> np.ndarray | None:
    """Llama 3's divisors of the frequencies, of shape (head size / 2,); None for other models.

    As transformers computes them: modeling_rope_utils._compute_llama3_parameters.
    """
    rope = _rope(config)
    if rope.get("rope_type") != "llama3":
        return None
    size = int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
    theta = float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    frequencies = 1.0 / theta ** (np.arange(0, size, 2, dtype=np.float64) / size)
    low, high, before = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    waves = 2 * math.pi / frequencies
    smooth = (before / waves - low) / (high - low)
    middle = 1 / ((1 - smooth) / rope["factor"] + smooth)
    factors = np.where(waves < before / high, 1.0, np.where(waves > before / low, float(rope["factor"]), middle))
    return factors.astype(np.float32)


def write_adapter(folder: Path, adapter: Path, target: Path) -> None:
    """The LoRA adapter alone, for a base that is served as GGUF; in fp32.

    Raises UsageProblem where it is more than matrices of one scaling.
    """
    layout = layout_of(folder)
    config = plain.read_config(adapter)
    from safetensors.torch import load_file

    state = load_file(adapter / plain.WEIGHTS)
    writer = gguf.GGUFWriter(target, layout.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(config["r"]))
    for key, side in state.items():
        layer, _, half = key.removesuffix(".weight").removeprefix(plain.INSIDE).rpartition(".lora_")
        if half not in ("A", "B"):
            raise UsageProblem("The adapter cannot be written as GGUF", why=f"It is more than LoRA matrices: '{key}'.")
        name = layout.name(f"{layer}.weight")
        values = side.float()
        if (
            half == "B"
        ):  # llama.cpp multiplies by alpha over the layer's own rank; what is left of the scaling is put into B
            rank = side.shape[1]
            values = values * (lora.scaling(layer, config, rank) * rank / float(config["r"]))
        ready = layout.turned(name, values.numpy()) if half == "B" else values.numpy()
        writer.add_tensor(f"{name}.lora_{half.lower()}", np.ascontiguousarray(ready.astype(np.float32)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    with _filled(target):
        writer.write_tensors_to_file()
    writer.close()


@contextmanager
def _filled(target: Path) -> Generator[None]:
    """numpy says of a full disk only how many numbers found room on it."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        raise
