"""Several trainings over one base in one process: each a training of its own, and their steps computed at once (TRN-10).

Each has modules of its own around the base's weights, which are there once, and runs as if it were alone, in a greenlet. Where it
would compute a micro-batch it waits; when all of them wait, the rows of all go through the base as one packed row, and each token
meets the adapter of its own training. Gradients are those that each would have alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from accelerate.state import GradientState
from greenlet import getcurrent, greenlet
from torch import nn

from lorasmith.workers.joined import JoinedLinear, Part, adapter_of, through
from lorasmith.workers.measure import AGREES, answer_scores
from lorasmith.workers.packing import use_packing
from lorasmith.workers.quick import use_quick_parts
from lorasmith.workers.rows import IGNORED

_INSIDE = "base_model.model."
"""Where PEFT keeps the base."""


def shared(base: Any) -> Any:
    """A copy of a model's modules around the very same weights: what is put on one is not on the other."""
    return copy.deepcopy(base, {id(one): one for one in (*base.parameters(), *base.buffers())})


class Batch(NamedTuple):
    """A micro-batch of one training."""

    model: Any
    """The PEFT model that is to learn from it."""
    inputs: dict[str, torch.Tensor]
    """As `Rows.packed` makes them."""
    factor: torch.Tensor
    """What the summed loss is multiplied by before it is walked back."""
    generator: torch.Generator
    """What its dropout draws from: not from what others use, so that a training goes the same way in any company."""
    autocast: Callable[[], AbstractContextManager[Any]]
    """The number format that it computes in, which is the same for all."""


class _Layer(nn.Module):
    """A frozen linear layer of the common model, with the adapters that the trainings have there."""

    def __init__(self, base: nn.Linear, parts: Callable[[torch.Tensor], list[Part]]):
        super().__init__()
        self.base, self.parts = base, parts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return through(x, self.base, self.parts)


class Common:
    """The common model of trainings whose adapters are plain LoRA over `base`, which may pack rows."""

    def __init__(self, base: Any):
        self.model = shared(base).requires_grad_(False)
        self.can_pack = use_packing(self.model)
        use_quick_parts(self.model)
        self._batches: Sequence[Batch] = ()
        self._edges: list[tuple[int, int]] = []
        head = self.model.get_output_embeddings()
        for name, part in list(self.model.named_modules()):
            if type(part) is nn.Linear and part is not head:
                self.model.set_submodule(name, _Layer(part, lambda rows, name=name: self._parts(name, rows)))

    def losses(self, batches: Sequence[Batch]) -> tuple[list[torch.Tensor], list[int]]:
        """The summed loss of each batch, and the number of answer tokens in it."""
        ends = [0, *accumulate(batch.inputs["input_ids"].shape[1] for batch in batches)]
        self._batches, self._edges = batches, list(pairwise(ends))
        whole = {
            name: torch.cat([batch.inputs[name] for batch in batches], 1)
            for name in ("input_ids", "labels", "position_ids")
        }
        begins = [batch.inputs["cu_seq_lens_q"][:-1] + start for batch, start in zip(batches, ends, strict=False)]
        whole["cu_seq_lens_q"] = torch.cat([*begins, begins[0].new_tensor([ends[-1]])])
        try:
            scores, _ = answer_scores(self.model, whole)
        finally:
            self._batches = ()
        counts = [int((batch.inputs["labels"][:, 1:] != IGNORED).sum()) for batch in batches]
        return [part.sum() for part in scores.nll.split(counts)], counts

    def _parts(self, name: str, rows: torch.Tensor) -> list[Part]:
        parts = []
        for batch, (start, stop) in zip(self._batches, self._edges, strict=True):
            layer = batch.model.get_submodule(_INSIDE + name)
            if isinstance(layer, JoinedLinear):
                (adapter,) = layer.active_adapters
                parts.append(adapter_of(layer, adapter, rows, start, stop, batch.generator))
        return parts


class _Lane:
    """One training of several."""

    def __init__(self, work: Callable[[], None]):
        self._greenlet = greenlet(work)
        self.waits: Batch | None = None
        """What it waits with; None where it waits for nothing, since it has ended."""
        self.found: Any = None
        """What came of what it waited with."""
        self.away = 0.0
        """Seconds that went to others since it was begun."""
        self._accumulating: dict[str, Any] = {}
        """How far it is in adding up a step's gradients, by accelerate's books: of which a process has only one."""

    @property
    def is_running(self) -> bool:
        return getcurrent() is self._greenlet

    def go_on(self) -> None:
        """Until it waits again, or ends."""
        books = GradientState._shared_state
        books.clear()
        books.update(self._accumulating)
        if not self._greenlet:
            self.waits = self._greenlet.switch()
        elif isinstance(self.found, Exception):
            self.waits = self._greenlet.throw(self.found)
        else:
            self.waits = self._greenlet.switch(self.found)
        self._accumulating = dict(books)


class Company:
    """The trainings that go together over `base`; they are begun, and taken as far as they go, by the hub that calls `turn`."""

    def __init__(self, base: Any):
        self._common = Common(base)
        self._lanes: list[_Lane] = []
        self._is_proven: bool | None = None if self._common.can_pack else False

    def begin(self, work: Callable[[], None]) -> None:
        """Have one more training, which goes on whenever it is its turn."""
        self._lanes.append(_Lane(work))

    @property
    def is_busy(self) -> bool:
        return bool(self._lanes)

    def takes(self, model: Any) -> bool:
        """Whether the steps of a training of this PEFT model can be computed with those of others."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        layers = [part for part in model.modules() if isinstance(part, BaseTunerLayer)]
        return self._is_proven is not False and bool(layers) and all(isinstance(one, JoinedLinear) for one in layers)

    def turn(self) -> None:
        """Let every training go on until it waits or ends; then compute what they wait for."""
        for lane in self._lanes:
            started = time.perf_counter()
            lane.go_on()
            seconds = time.perf_counter() - started
            for other in self._lanes:
                other.away += seconds * (other is not lane)
        self._lanes = [lane for lane in self._lanes if lane.waits]
        batches = [lane.waits for lane in self._lanes if lane.waits]
        if not batches:
            return
        found: Sequence[Any]
        started = time.perf_counter()
        try:
            found = self._step(batches)
        except Exception as error:  # noqa: BLE001  every training deals with it in its own way
            found = [error] * len(batches)
        seconds = time.perf_counter() - started
        tokens = [batch.inputs["input_ids"].numel() for batch in batches]
        for lane, one, size in zip(self._lanes, found, tokens, strict=True):
            lane.found = one
            lane.away += seconds * (1 - size / sum(tokens))

    def away(self) -> float:
        """Called from within a training: how many seconds have gone to others since it was begun; of common steps by tokens."""
        return next((lane.away for lane in self._lanes if lane.is_running), 0.0)

    def wait(self, batch: Batch) -> tuple[torch.Tensor, int]:
        """Called from within a training: the summed loss of its batch and the number of answer tokens, when it has been walked
        back. Raises what that raised."""
        parent = getcurrent().parent
        if parent is None:
            raise RuntimeError("only a training of this company may wait in it")
        return parent.switch(batch)

    def _step(self, batches: list[Batch]) -> Sequence[Any]:
        if self._is_proven is None:
            self._is_proven = self._agrees(batches)
        if not self._is_proven:
            return [_alone(batch) for batch in batches]
        self._common.model.train()
        with batches[0].autocast():
            losses, counts = self._common.losses(batches)
        torch.stack([loss * batch.factor for loss, batch in zip(losses, batches, strict=True)]).sum().backward()
        return [(loss.detach(), count) for loss, count in zip(losses, counts, strict=True)]

    @torch.no_grad()
    def _agrees(self, batches: list[Batch]) -> bool:
        """Whether the common model finds what each training's own does, without dropout."""
        was_training = [batch.model.training for batch in batches]
        for model in (self._common.model, *(batch.model for batch in batches)):
            model.eval()
        try:
            with batches[0].autocast():
                ours, _ = self._common.losses(batches)
                alone = [answer_scores(batch.model, batch.inputs)[0].nll.sum() for batch in batches]
        finally:
            for batch, mode in zip(batches, was_training, strict=True):
                batch.model.train(mode)
        within = AGREES[next(self._common.model.parameters()).dtype]
        return all(abs(one - other) <= within * abs(other) for one, other in zip(ours, alone, strict=True))


def _alone(batch: Batch) -> tuple[torch.Tensor, int]:
    with batch.autocast():
        scores, _ = answer_scores(batch.model, batch.inputs)
    loss = scores.nll.sum()
    (loss * batch.factor).backward()
    return loss.detach(), len(scores.nll)
