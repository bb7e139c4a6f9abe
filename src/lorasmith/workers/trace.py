"""The second opinion on memory: a model's own code run on tensors without contents, its live bytes counted.

Nothing is computed and no weight is read, so a model of any size can be traced on any machine in seconds. What it gives is the
most bytes that tensors hold at one moment; what an allocator wastes and what libraries hold is not in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lorasmith.core.events import Writer
from lorasmith.plan.memory import Training
from lorasmith.plan.second_opinion import DTYPE, TraceJob
from lorasmith.workers.dropout import use_sparse_dropout
from lorasmith.workers.joined import join
from lorasmith.workers.quick import use_quick_parts
from lorasmith.workers.runtime import run_job
from lorasmith.workers.sample import adapted_modules, class_and_config, inputs_for, loss_for

DROPOUT = 0.05
_STEPS = 2  # the optimizer's states exist from the second on


class Traced(NamedTuple):
    """Bytes of live tensors: of the model as loaded, and the most at any moment."""

    weights: int
    peak: int


class LiveBytes(TorchDispatchMode):
    """While it is entered, every tensor that an operator returns is counted until its storage dies."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return

        def gone(_: Any) -> None:
            self.live -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.count(leaf)
        return out


@contextmanager
def as_when_it_runs() -> Iterator[None]:
    """transformers takes tensors without contents for an export and builds masks that it would not build."""
    with mock.patch("transformers.masking_utils.find_packed_sequence_indices", return_value=None):
        yield


def with_fake_tensors(model: torch.nn.Module) -> LiveBytes:
    """Give a model on the meta device tensors that say they lie on the CPU; tied ones stay one, and
    count them. In a FakeTensorMode."""
    made: dict[int, torch.Tensor] = {}
    for part in model.modules():
        for held in (part._parameters, part._buffers):
            for name, old in held.items():
                if old is None:
                    continue
                if id(old) not in made:
                    new = torch.empty(old.shape, dtype=old.dtype, device="cpu")
                    is_parameter = isinstance(old, torch.nn.Parameter)
                    made[id(old)] = torch.nn.Parameter(new, requires_grad=old.requires_grad) if is_parameter else new
                held[name] = made[id(old)]
    live = LiveBytes()
    for tensor in (*model.parameters(), *model.buffers()):
        live.count(tensor)
    return live


def trace_answer(folder: Path, rows: int, length: int, dtype: str) -> Traced:
    """Live bytes of one forward pass over `rows` prompts of `length` tokens, the cache kept where there is one."""
    with torch.device("meta"):
        kind, config = class_and_config(folder)
        model = kind._from_config(config, dtype=getattr(torch, dtype)).eval()
    with FakeTensorMode(), torch.inference_mode(), as_when_it_runs():
        live = with_fake_tensors(model)
        weights = live.live
        inputs = inputs_for(model, rows, length)
        if model.can_generate() and "input_ids" in inputs:
            inputs |= {"logits_to_keep": 1}  # type: ignore[dict-item]
        with live:
            kept = model(**inputs)
            del kept
    return Traced(weights, live.peak)


def trace_training(folder: Path, family: str, how: Training) -> Traced:
    """Live bytes of two training steps, AdamW's included. `how` as the plan would be asked."""
    import peft

    with torch.device("meta"):
        kind, config = class_and_config(folder)
        model = kind._from_config(config, dtype=getattr(torch, how.dtype))
        if how.method == "lora":
            targets = adapted_modules(model, family)
            adapters = peft.LoraConfig(r=how.rank, lora_dropout=DROPOUT * how.dropout, target_modules=targets)
            model = peft.get_peft_model(model.requires_grad_(False), adapters)
            if how.dropout:
                use_sparse_dropout(model)
            join(model)
    if how.method == "lora" and how.dtype in ("float32", "bfloat16"):
        use_quick_parts(model, ("gates",))
    model.train()
    with FakeTensorMode(), as_when_it_runs():
        live = with_fake_tensors(model)
        weights = live.live
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, fused=True)
        inputs = inputs_for(model, how.rows, how.length)
        with live:
            for _ in range(_STEPS):
                loss_for(model, inputs, how.supervised).backward()
                torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                optimizer.zero_grad()
    return Traced(weights, live.peak)


def trace(text: str, _: Writer) -> dict[str, Any]:
    """Both traces of a TraceJob; for a model that cannot be traced, why."""
    job = TraceJob.model_validate_json(text)
    how = Training("lora", 1, job.length, DTYPE, rank=job.rank, supervised=job.supervised)
    works = {
        "answer": lambda: trace_answer(job.folder, job.batch, job.context, DTYPE),
        "train": lambda: trace_training(job.folder, job.family, how),
    }
    return {work: _told(run) for work, run in works.items()}


def _told(run: Callable[[], Traced]) -> dict[str, Any]:
    try:
        return dict(run()._asdict())
    except Exception as error:  # noqa: BLE001  code of any model may ask tensors what they hold, and these hold nothing
        return {"trouble": f"{type(error).__name__}: {str(error).split(chr(10), 1)[0][:200]}"}


if __name__ == "__main__":
    run_job(trace, lambda text: TraceJob.model_validate_json(text).events)
