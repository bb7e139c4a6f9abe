"""What transformer blocks keep for the backward pass, as transformers' modules, torch's operators and PEFT's layers keep it.

Walked through by hand and checked against a tracer that counts live bytes (workers/trace.py, tests/integration/test_trace.py).
A frozen linear layer keeps nothing; what is kept is what a trained weight, a norm, an activation or attention multiplies with.
"""

from __future__ import annotations

from typing import NamedTuple

from lorasmith.core.facts import Stack

# What an adapter's dropout keeps beside its output, in elements of it: 64-bit places of 5 % (workers/dropout.py).
_PLACES = 0.0513 * 2
# Copies of the widened row that an activation written in Python keeps beside its input: x³, tanh and the product's halves for
# gelu_new (0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))), the sigmoid for quick_gelu (x·sigmoid(1.702·x)).
_KEPT_BY_ACTIVATION = {"gelu_new": 3, "gelu_fast": 5, "quick_gelu": 1, "gelu_python": 2}


class Kept(NamedTuple):
    """What one layer keeps: numbers of elements for each token, by the width of the tensor, and those for each pair of tokens."""

    widths: list[tuple[int, float]]
    """(elements of a token's row in one tensor, how many such tensors)"""
    across: list[tuple[int, float]]
    """The same for each token that a second attention looks across to."""
    pairs: float = 0.0
    """Tensors of one element for each token, each token that it may look at, and each head."""

    @property
    def per_token(self) -> float:
        return sum(width * count for width, count in self.widths)


def kept_by_layer(stack: Stack, *, rank: int, dropout: bool, joined: bool, quick: bool = False) -> Kept:
    """What one layer of `stack` keeps. `rank` 0: all weights are trained, and no adapter is there. `joined`: adapters compute in
    one step with their base (workers/joined.py) and keep what they read as it was before their dropout. `quick`: SiLU gates are
    computed anew on the way back (workers/gates.py)."""
    hidden, middle, queries, keys = stack.hidden, stack.middle, stack.queries, stack.keys
    attentions = 1 if stack.across is None else 2
    ups = 2 if stack.gated else 1
    drops = bool(rank and dropout)
    copied, places = drops and not joined, _PLACES if drops else 0.0
    # All norms' inputs; queries, keys, values and what attention makes of them.
    widths = [(hidden, 1.0 + attentions), (queries, 2.0 * attentions), (keys, 2.0)]
    # What each adapter reads: its own dropped copy, or one tensor for all that read the same.
    readers = 2 + attentions + ups
    reads = readers if copied else (attentions + 1)
    widths += [(hidden, reads + readers * places), (middle, 1 + places)]
    widths += [(queries, attentions * (copied + places))]  # else what attention has made, which is kept as it is
    # Each norm's factor, and the logarithm of each head's sum.
    widths += [(1, 1.0 + attentions), (stack.heads, 1.0 * attentions)]
    # The gate's output, its activation where that is not computed anew, and the other half; or the activation's input alone.
    halves = 2 if _is_quick(stack, quick) else 3
    widths += [(middle, (halves if stack.gated else 1) + _KEPT_BY_ACTIVATION.get(stack.activation, 0))]
    if stack.head_norms:
        widths += [(queries, 1.0), (keys, 1.0)]
    if stack.hidden_dropout:  # torch's dropout on a CPU keeps its noise
        widths += [(hidden, 1.0 + attentions)]
    across = [(keys, 2.0), (hidden, 2 * (copied + places)), (rank, 2.0)] if stack.across is not None else []
    if rank:
        widths += [(rank, 4.0 + 2 * (attentions - 1) + ups + 1)]
    else:
        widths += [(hidden, 1.0 + attentions)]  # normed rows, for the norms' own weights
    if stack.window:  # partitioned into windows, and put in order for each product
        widths += [(hidden, 1.0)]
    # With dropout inside, attention runs step by step: the weights, the noise and the dropped weights.
    copies = stack.attention_copies
    return Kept(widths, across, attentions * (3.0 * max(1.0, copies) if stack.attention_dropout else copies))


def walked_back(stack: Stack, *, quick: bool = False) -> float:
    """Elements a token, beside what is kept, while the last layer is walked back: gradients of the widened halves, of their
    product (where `quick`, in the place of what the next layer had kept) and of the residual stream."""
    return (3 if stack.gated and not _is_quick(stack, quick) else 2) * stack.middle + 2 * stack.hidden


def _is_quick(stack: Stack, quick: bool) -> bool:
    return quick and stack.activation in ("silu", "swish")


def passing(stack: Stack) -> float:
    """Elements a token while a layer is passed forward and nothing is kept: its input, its residual, its widened halves."""
    return 4 * stack.hidden + (3 if stack.gated else 2) * stack.middle
