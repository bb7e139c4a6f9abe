"""How a training is made to fit: rows at a time first, then time for memory, then a base in 4 bit; and what to say where it
does not (AUT-2, TRN-9). Pure arithmetic."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lorasmith.core.errors import DoesNotFitProblem
from lorasmith.core.facts import ModelFacts
from lorasmith.core.progress import amount
from lorasmith.plan.learned import Correction
from lorasmith.plan.memory import Training, TrainingNeed, training_bytes

USABLE_MEMORY = 0.9
_OPTIONS_OF_COMMAND = ("lora_r", "max_length", "batch_size", "gradient_accumulation", "method")


class Fit(NamedTuple):
    """A way of training and what it takes, by cause and with what was learnt on this machine."""

    how: Training
    need: TrainingNeed
    required: int

    @property
    def method(self) -> str:
        return self.how.method


class Fitter:
    """Finds the way with the largest micro-batch that fits into `free` bytes.

    `base` holds what is decided already; its method, rows, checkpointing and tightness are what is to be found.
    """

    def __init__(self, model: ModelFacts, base: Training, free: int, learned: Correction):
        self.model, self.base, self.free, self.learned = model, base, free, learned

    def planned(self, **changes: Any) -> Fit:
        how = self.base._replace(**changes)
        if how.method == "qlora":
            how = how._replace(embeddings_aside=how.on_gpu)
        need = training_bytes(self.model, how)
        return Fit(how, need, need.required + self.learned.of(need.required))

    def fits(self, fit: Fit) -> bool:
        return fit.required <= USABLE_MEMORY * self.free

    def ways(self, method: str | None, *, checkpointing: bool, can_quantize: bool) -> Iterator[dict[str, Any]]:
        """From the quickest to the smallest. `method` None: LoRA, and QLoRA where only that fits."""
        for one in [method] if method else ["lora", "qlora"] if can_quantize else ["lora"]:
            for checkpoints in [True] if checkpointing else [False, True]:
                # Where checkpointing is not asked for, giving freed blocks back at once was tried before it and was not enough.
                tights = [False] if self.base.on_gpu else [True] if checkpoints and not checkpointing else [False, True]
                for tight in tights:
                    yield {"method": one, "tight": tight, "checkpointing": checkpoints}

    def best(self, rows: int, method: str | None, *, checkpointing: bool, can_quantize: bool) -> Fit | None:
        """The quickest way in which `rows` rows at a time fit; None where none does."""
        for way in self.ways(method, checkpointing=checkpointing, can_quantize=can_quantize):
            fit = self.planned(rows=rows, **way)
            if self.fits(fit):
                return fit
        return None

    def largest(self, fit: Fit, effective: int) -> Fit:
        """The same way with the largest micro-batch up to `effective` that fits; at least one row."""
        rows = effective
        while rows > 1 and not self.fits(fit := self.planned(**_way(fit.how, rows))):
            rows = (rows + 1) // 2
        return self.planned(**_way(fit.how, rows))


def _way(how: Training, rows: int) -> dict[str, Any]:
    return {"method": how.method, "tight": how.tight, "checkpointing": how.checkpointing, "rows": rows}


def does_not_fit(fitter: Fitter, given: Mapping[str, Any], smallest: Fit) -> DoesNotFitProblem:
    """What was needed, what there is, and each way out as the command to type with its predicted memory."""
    how = smallest.how
    lines = [
        f"  {_command(given, options)}   needs {amount(fit.required)}{'' if fitter.fits(fit) else ', still too much'}"
        for options, fit in _ways_out(fitter, how)
    ]
    return DoesNotFitProblem(
        f"This training needs {amount(smallest.required)} even one row at a time, and {amount(fitter.free)} are free",
        why=f"Rows are up to {how.length} tokens long; of the free memory a tenth is left alone.",
        fix="\n".join(["What takes less:", *lines, "Or take a smaller model."]),
        needed=smallest.required, free=fitter.free,
    )  # fmt: skip


def _ways_out(fitter: Fitter, how: Training) -> list[tuple[dict[str, Any], Fit]]:
    """Options that take less memory than `how`, each by itself and at last all together."""
    single: list[tuple[dict[str, Any], dict[str, Any]]] = []
    if how.rows > 1:
        single.append(({"batch_size": 1, "gradient_accumulation": how.rows}, {"rows": 1}))
    if how.method != "qlora":
        single.append(({"method": "qlora"}, {"method": "qlora"}))
    if how.method != "full" and how.rank > 8:
        single.append(({"lora_r": 8}, {"rank": 8}))
    if how.length > 64:
        shorter = max(64, how.length // 2 // 64 * 64)
        single.append(({"max_length": shorter}, {"length": shorter}))
    smallest = {"tight": not how.on_gpu, "checkpointing": True}
    ways = [(options, fitter.planned(**_way(how, how.rows) | smallest | change)) for options, change in single]
    if len(single) > 1:
        options = {name: value for one, _ in single for name, value in one.items()}
        change = {name: value for _, one in single for name, value in one.items()}
        ways.append((options, fitter.planned(**_way(how, how.rows) | smallest | change)))
    return ways


def _command(given: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """The command that the user would type with these options."""
    kept = {name: given[name] for name in _OPTIONS_OF_COMMAND if given.get(name) is not None} | dict(options)
    words = ["lorasmith", "train", str(given.get("model") or "MODEL"), "--data", str(given.get("data") or "FILE")]
    for name, value in kept.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
