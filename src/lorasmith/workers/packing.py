"""Several rows in one, without padding and without a look from one row into the next (DAT-3).

Each row starts anew at position 0, and attention is computed for each row by itself: no mask of all tokens times all tokens is
made, and no product of tokens of different rows is computed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "lorasmith_packed"
_LIKE = 0.75  # rows are padded together where the shortest has at least so much of the longest's length
_goes_packed = ContextVar("_goes_packed", default=False)


class _Pad(torch.autograd.Function):
    """(tokens, …) as (rows, longest, …), zeros behind the ends of rows."""

    @staticmethod
    def forward(ctx: Any, joined: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        ctx.lengths = lengths
        return _apart(joined, lengths)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return _joined(gradient, ctx.lengths), None


class _Join(torch.autograd.Function):
    """(rows, longest, …) as (tokens, …): what `_Pad` does, undone."""

    @staticmethod
    def forward(ctx: Any, apart: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        ctx.lengths = lengths
        return _joined(apart, lengths)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return _apart(gradient, ctx.lengths), None


def _apart(joined: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    padded = joined.new_zeros((len(lengths), max(lengths), *joined.shape[1:]))
    for row, part in zip(padded, joined.split(lengths), strict=True):
        row[: len(part)] = part
    return padded


def _joined(apart: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    return torch.cat([row[:length] for row, length in zip(apart, lengths, strict=True)])


def _groups(lengths: list[int]) -> list[list[int]]:
    """Rows in a row that are of like length, each group to be computed at once: little padding, few calls."""
    groups: list[list[int]] = []
    for length in lengths:
        if groups and min(length, *groups[-1]) >= _LIKE * max(length, *groups[-1]):
            groups[-1].append(length)
        else:
            groups.append([length])
    return groups


def _attend(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: torch.Tensor | None, **rest: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Attention of packed rows, each by itself. `query`, `key`, `value`: (1, heads, tokens, width); `cu_seq_lens_q` says where
    rows begin and where the last one ends. Without it, the ordinary attention. Returns (1, tokens, heads, width).

    Rows of like length are padded for this alone and computed at once: what stands behind a row's end cannot be seen from within
    it. One call a row took three times as long on two cores (docs/lab-log.md).
    """
    edges = rest.pop("cu_seq_lens_q", None)
    if edges is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **rest)
    window = rest.pop("sliding_window", None)
    groups = _groups(edges.diff().tolist())
    sizes = [sum(group) for group in groups]
    joined = [tensor[0].transpose(0, 1).split(sizes) for tensor in (query, key, value)]
    parts: list[torch.Tensor] = []
    for lengths, *three in zip(groups, *joined, strict=True):
        of_group = [_Pad.apply(one, lengths).transpose(1, 2) for one in three]
        attended, _ = sdpa_attention_forward(module, *of_group, _window_mask(of_group[0], window), **rest)
        parts.append(_Join.apply(attended, lengths))
    return torch.cat(parts)[None], None


def _window_mask(query: torch.Tensor, window: int | None) -> torch.Tensor | None:
    """For layers that look back over the last `window` tokens only: what each token of one row may look at."""
    tokens = query.shape[2]
    if not window or tokens <= window:
        return None  # causal, without a mask
    back = torch.arange(tokens, device=query.device)
    distance = back[:, None] - back[None, :]
    return ((distance >= 0) & (distance < window))[None, None]


def _mask(*given: Any, attention_mask: torch.Tensor | None = None, **rest: Any) -> torch.Tensor | None:
    """No mask where rows are packed (`packed_batch` gives none, and `_attend` needs none), else the ordinary one."""
    if _goes_packed.get():
        return None
    return sdpa_mask(*given, attention_mask=attention_mask, **rest)


@contextlib.contextmanager
def packed_rows() -> Generator[None, None, None]:
    """While a packed batch goes forward, no masks are made."""
    token = _goes_packed.set(True)
    try:
        yield
    finally:
        _goes_packed.reset(token)


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask)


def use_packing(model: Any) -> bool:
    """Have `model` attend row by row where rows are packed. False where its attention cannot be replaced."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if base.config._attn_implementation != "sdpa" or not base._can_set_attn_implementation():
        return False  # it caps scores, or has an attention of its own
    base.set_attn_implementation(NAME)
    return all(
        getattr(part.config, "_attn_implementation", NAME) == NAME
        for part in base.modules()
        if hasattr(part, "config") and "Attention" in type(part).__name__
    )


def stop_packing(model: Any) -> None:
    """Give `model` the library's own attention back."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    base.set_attn_implementation("sdpa")
