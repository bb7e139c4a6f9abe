"""Many LoRA adapters over one base, row by row of a batch: each row's answer is what its adapter alone would give.

All adapters in use are joined along their ranks: two products for a layer, however many there are, and a mask that leaves each
row the ranks of its own. (S-LoRA, arXiv 2311.03285, gathers them by kernels instead; on ranks this small the joined product is
cheaper than the bookkeeping.) What is more than low-rank matrices on linear layers is put on by PEFT and answers in batches of
its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file

from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.workers import lora, plain

BASE = ""
# Options of PEFT's LoRA that change more than two matrices added to a layer.
_BEYOND = (
    "use_dora",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
    "lora_bias",
    "alora_invocation_tokens",
    "use_bdlora",
)


class _Pair(NamedTuple):
    """An adapter's matrices on one layer, transposed: `down` of shape (in, rank), `up` of shape (rank, out), scaled."""

    down: torch.Tensor
    up: torch.Tensor


class _Joined(NamedTuple):
    """Those of all adapters in use, and which ranks are not a row's own, of shape (rows, 1, ranks); None where all rows share
    one adapter."""

    down: torch.Tensor
    up: torch.Tensor
    mask: torch.Tensor | None


class AdapterBank:
    """The adapters that are loaded beside `model`. `use` says which one each row of the next passes has."""

    def __init__(self, model: torch.nn.Module):
        self._model = model
        self._layers: dict[str, torch.nn.Module] = dict(model.named_modules())
        self._pairs: dict[str, dict[str, _Pair]] = {}
        self._alone: set[str] = set()
        """Adapters that PEFT holds."""
        self._wrapped: Any = None
        self._rows: tuple[str, ...] = ()
        self._joined: dict[str, _Joined] = {}
        self._hooked: dict[str, Any] = {}

    @property
    def names(self) -> list[str]:
        return sorted([*self._pairs, *self._alone])

    def group(self, name: str) -> str:
        """Rows of one group may share a batch: the base and all adapters of matrices are one."""
        return name if name in self._alone else BASE

    def load(self, name: str, folder: Path) -> dict[str, Any]:
        """Make the adapter in `folder` known as `name`; what is known of it.

        Raises NotFoundProblem, UsageProblem (damaged, of another base, the name is taken).
        """
        if name in self.names:
            raise UsageProblem(f"An adapter '{name}' is loaded already", fix="Unload it first, or choose another name.")
        config = _config(folder)
        if is_plain(config):
            self._pairs[name] = self._read(folder, config)
            for layer in self._pairs[name]:
                self._hook(layer)
        else:
            self._load_alone(name, folder)
        self._rows = ()
        return {"rank": config.get("r"), "alpha": config.get("lora_alpha"), "base": config.get("base_model_name_or_path") or "",
                "kind": str(config.get("peft_type", "")).lower(), "shares_batches": name in self._pairs}  # fmt: skip

    def unload(self, name: str) -> None:
        """Forget it; no row may use it any more. Raises NotFoundProblem."""
        if name not in self.names:
            raise NotFoundProblem(f"No adapter '{name}' is loaded", why=f"Loaded: {', '.join(self.names) or 'none'}.")
        self._rows, self._joined = (), {}
        if name in self._alone:
            self._alone.discard(name)
            self._wrapped.delete_adapter(name)
            return
        del self._pairs[name]
        for layer in [layer for layer in self._hooked if not any(layer in pairs for pairs in self._pairs.values())]:
            self._hooked.pop(layer).remove()

    def use(self, rows: Sequence[str]) -> None:
        """The adapters' names by row, empty for the base. All are of one group."""
        if tuple(rows) == self._rows:
            return
        self._rows = tuple(rows)
        alone = next((name for name in rows if name in self._alone), None)
        if self._wrapped is not None:
            self._switch(alone)
        used = [name for name in dict.fromkeys(rows) if name in self._pairs]
        self._joined = {layer: self._join(layer, used, rows) for layer in self._hooked if _on(layer, used, self._pairs)}

    def _switch(self, alone: str | None) -> None:
        if alone is None:
            self._wrapped.base_model.disable_adapter_layers()
        else:
            self._wrapped.base_model.enable_adapter_layers()
            self._wrapped.set_adapter(alone)
            self._wrapped.requires_grad_(False)

    def _join(self, layer: str, used: list[str], rows: Sequence[str]) -> _Joined:
        own = [(name, self._pairs[name][layer]) for name in used if layer in self._pairs[name]]
        down = own[0][1].down if len(own) == 1 else torch.cat([pair.down for _, pair in own], 1)
        up = own[0][1].up if len(own) == 1 else torch.cat([pair.up for _, pair in own], 0)
        if len(own) == 1 and all(row == own[0][0] for row in rows):
            return _Joined(down, up, None)
        owners = [name for name, pair in own for _ in range(pair.up.shape[0])]
        mask = torch.tensor([[owner != row for owner in owners] for row in rows], device=up.device)
        return _Joined(down, up, mask[:, None])

    def _hook(self, layer: str) -> None:
        if layer not in self._hooked:
            self._hooked[layer] = self._layers[layer].register_forward_hook(
                lambda _, given, out: self._added(layer, given[0], out)
            )

    def _added(self, layer: str, given: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        joined = self._joined.get(layer)
        if joined is None:
            return out
        inner = given.to(joined.down.dtype) @ joined.down
        if joined.mask is not None:
            mask = joined.mask
            if inner.ndim == 2:  # some models flatten (rows, tokens) before a layer
                mask = mask.expand(-1, len(inner) // len(mask), -1).flatten(0, 1)
            # Not by a product: what overflows in one adapter would reach the others' rows as NaN.
            inner = inner.masked_fill(mask, 0)
        return out + (inner @ joined.up).to(out.dtype)

    def _read(self, folder: Path, config: dict[str, Any]) -> dict[str, _Pair]:
        try:
            saved = load_file(folder / plain.WEIGHTS)
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageProblem(f"The adapter in '{folder}' is damaged", why=str(error).split("\n")[0]) from error
        lora.require_finite(folder, saved)
        pairs: dict[str, _Pair] = {}
        sides = {name.split(".lora_A.")[0]: name for name in saved if ".lora_A." in name}
        for prefix, name in sides.items():
            layer = prefix.removeprefix(plain.INSIDE)
            down, up = saved[name], saved.get(name.replace(".lora_A.", ".lora_B."), torch.empty(0, 0))
            self._require_fitting(folder, layer, down, up)
            scaled = up.float() * lora.scaling(layer, config, down.shape[0])
            device = next(self._layers[layer].parameters()).device
            pairs[layer] = _Pair(down.float().T.contiguous().to(device), scaled.T.contiguous().to(device))
        if not pairs:
            raise UsageProblem(f"The adapter in '{folder}' holds no LoRA weights")
        return pairs

    def _require_fitting(self, folder: Path, layer: str, down: torch.Tensor, up: torch.Tensor) -> None:
        """Raises UsageProblem naming the layer that the base lacks, or whose shape is another."""
        module = self._layers.get(layer)
        fix = "Give the adapter of this very base; its adapter_config.json names the one that it was trained on."
        if module is None or not up.numel():
            what = "weights for" if module is None else "half of the weights for"
            raise UsageProblem(
                f"The adapter in '{folder}' does not fit this model", why=f"It has {what} '{layer}'.", fix=fix
            )
        weight = module.weight
        wide = (weight.shape[0], weight.shape[1]) if type(module).__name__ == "Conv1D" else tuple(weight.shape[::-1])
        if hasattr(module, "in_features"):  # quantized weights are packed
            wide = (module.in_features, module.out_features)
        if (down.shape[1], up.shape[0]) != wide:
            why = f"'{layer}' is {wide[0]} × {wide[1]} and the adapter's is {down.shape[1]} × {up.shape[0]}."
            raise UsageProblem(f"The adapter in '{folder}' does not fit this model", why=why, fix=fix)

    def _load_alone(self, name: str, folder: Path) -> None:
        before = self._wrapped if self._wrapped is not None else self._model
        self._wrapped = lora.load_adapters(before, {name: folder})
        self._wrapped.requires_grad_(False)
        self._wrapped.base_model.disable_adapter_layers()
        self._alone.add(name)


def _on(layer: str, used: Sequence[str], pairs: dict[str, dict[str, _Pair]]) -> bool:
    return any(layer in pairs[name] for name in used)


def _config(folder: Path) -> dict[str, Any]:
    try:
        return plain.read_config(folder)
    except FileNotFoundError:
        raise NotFoundProblem(
            f"There is no adapter in '{folder}'", why="It holds no adapter_config.json.",
            fix="Name the 'lora' folder of a training, or the training's own folder.",
        ) from None  # fmt: skip
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageProblem(f"The adapter in '{folder}' is damaged", why=f"adapter_config.json: {error}") from error


def is_plain(config: dict[str, Any]) -> bool:
    """Whether the adapter is two matrices a layer and nothing more."""
    return (
        config.get("peft_type") == "LORA"
        and not any(config.get(key) for key in _BEYOND)
        and config.get("bias", "none") == "none"
    )
