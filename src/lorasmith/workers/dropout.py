"""Dropout that draws only the elements to be dropped: on a CPU, one random number for each element costs more than the
adapter it protects (figures in docs/lab-log.md)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


def drawn_places(values: torch.Tensor, probability: float, generator: torch.Generator | None = None) -> torch.Tensor:
    """Numbers of elements to be dropped, each with this probability; some come twice."""
    size = values.numel()
    # Drawing with replacement: after k draws an element is untouched with probability (1 - 1/size)^k ≈ exp(-k/size).
    return torch.randint(size, (round(-size * math.log1p(-probability)),), generator=generator)


class _DropSome(torch.autograd.Function):
    """Zeroes the elements at drawn places and scales the others, forward and backward alike."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, probability: float) -> torch.Tensor:
        places = drawn_places(values, probability)
        ctx.save_for_backward(places)
        ctx.scale = 1 / (1 - probability)
        kept = values.contiguous() * ctx.scale
        kept.view(-1).index_fill_(0, places, 0.0)
        return kept

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        (places,) = ctx.saved_tensors
        passed = gradient.contiguous() * ctx.scale
        passed.view(-1).index_fill_(0, places, 0.0)
        return passed, None


class SparseDropout(nn.Module):
    """As `nn.Dropout`: each element is zero with probability `p`, else divided by 1 - p. For small p on CPUs.

    The number of dropped elements varies less than with independent draws; their places are as random.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return _DropSome.apply(values, self.p) if self.training and self.p else values


def use_sparse_dropout(model: nn.Module) -> None:
    """Give every adapter of a PEFT model this dropout in place of its own."""
    for part in model.modules():
        dropouts = getattr(part, "lora_dropout", None)
        if isinstance(dropouts, nn.ModuleDict):
            for name, dropout in list(dropouts.items()):
                if isinstance(dropout, nn.Dropout):
                    dropouts[name] = SparseDropout(dropout.p)
