"""Tensors a block of tokens at a time: what is in between then stays in the processor's cache."""

from __future__ import annotations

import torch

BLOCK_ELEMENTS = 2**17
"""Of the widest tensor that goes along: half a megabyte in fp32, a quarter in bfloat16."""


def blocks(x: torch.Tensor, *, width: int = 0) -> tuple[torch.Tensor, ...]:
    """Views of the rows of `x` (…, width) in order, as many in each as a block holds of rows of `width`, or of its own."""
    return x.view(-1, x.shape[-1]).split(max(1, BLOCK_ELEMENTS // (width or x.shape[-1])))
