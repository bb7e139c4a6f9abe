"""Does this model fit here? Facts of the model against the machine: memory, verdicts, what to do next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from lorasmith import profiles
from lorasmith.core.errors import EnvironmentProblem
from lorasmith.core.facts import ModelFacts
from lorasmith.core.progress import amount
from lorasmith.families import FAMILIES
from lorasmith.hub.capabilities import capabilities_of
from lorasmith.hub.evidence import adapter_base
from lorasmith.hub.recognise import recognise
from lorasmith.hub.repository import Repository, open_repository
from lorasmith.hub.requirements import requirements_of
from lorasmith.hub.safety import Finding, safety_of
from lorasmith.hub.weights import installed_files
from lorasmith.plan.hardware import HardwareFacts, describe, observe
from lorasmith.plan.learned import NO_CORRECTION, Correction, correction
from lorasmith.plan.memory import InferenceNeed, Training, TrainingNeed, inference_bytes, training_bytes
from lorasmith.plan.page import text_of
from lorasmith.plan.report import CheckReport, Disk, Question, Verdict
from lorasmith.plan.saved import save, saved
from lorasmith.plan.second_opinion import traced

CLOSE_BYTES = 10**9
MOST_ROWS = 1024
LEARNT = 0.5  # share of a row that is an answer, where no data has been seen
_ENVIRONMENT_BYTES = (
    3 * 10**9
)  # torch for CPU, transformers and what they need; measured once an environment is installed
_INFERENCE_DTYPES = ("float32", "bfloat16", "int8", "nf4")
_QUANTIZED = {"int8", "nf4"}
NOTHING_LEARNT: Mapping[str, Correction] = {"cpu": NO_CORRECTION, "cuda": NO_CORRECTION}
_TRAINING: tuple[tuple[str, str], ...] = (
    ("lora", "float32"),
    ("lora", "bfloat16"),
    ("qlora", "bfloat16"),
    ("full", "float32"),
    ("full", "bfloat16"),
)
DEFAULT_CONTEXT = 4096
TRAIN_LENGTH = 1024


def check(
    model: str, question: Question | None = None, *, refresh: bool = False, trace: bool = False,
    repository: Repository | None = None,
) -> CheckReport:  # fmt: skip
    """What `model` is and whether it fits this machine, or the one that the question describes. No weight is read.

    `trace` asks for a second opinion on the memory: a worker runs the model's own code on tensors without contents.

    `repository` is what `model` means, where that has been opened already. The report is kept in `logs/checks` and answers the
    same question for 24 hours: at once where the revision is the same, and with a warning where the Hub cannot be reached. Raises
    what `open_repository`, `recognise` and `describe` raise.
    """
    question = question or Question()
    if question.profile and isinstance(rank := profiles.get(question.profile).r, int):
        question = question.model_copy(update={"rank": rank})
    machine = describe(question.hardware) if question.hardware else observe()
    try:
        repository = repository or open_repository(model, revision=question.revision)
    except EnvironmentProblem as problem:
        kept = saved(model, question, machine)
        if kept is None or refresh:
            raise
        offline = f"{problem.what}: this is the check of {kept.checked_at:%Y-%m-%d %H:%M} UTC."
        return kept.model_copy(update={"warnings": [*kept.warnings, offline]})
    if repository.revision and not refresh and not trace:
        kept = saved(model, question, machine)
        if kept and kept.revision == repository.revision:
            return kept
    report = _checked(model, repository, question, machine, trace=trace)
    save(model, report, text_of(report))
    return report


def _checked(
    model: str, repository: Repository, question: Question, machine: HardwareFacts, *, trace: bool
) -> CheckReport:
    revision = repository.revision
    adapter_of = adapter_base(repository)
    if adapter_of:
        repository = open_repository(adapter_of, only_hub=repository.folder is None)
    found = recognise(repository)
    facts = found.facts
    if question.profile:
        profiles.require_match(profiles.get(question.profile), facts)
    context = min(question.context or DEFAULT_CONTEXT, facts.max_positions)
    length = min(question.length or TRAIN_LENGTH, facts.max_positions)
    answering, training = (_learned(work, facts.family, machine) for work in ("answer", "train"))
    verdicts = [
        *_inference(facts, machine, context, question.batch, answering),
        *_training(facts, machine, length, question.rank, training),
    ]
    files = installed_files(repository, found.weights)
    disk = _disk(files, machine)
    safety = safety_of(found.evidence, found.weights)
    learned = {"answer": answering[machine.device], "train": training[machine.device]}
    second: dict[str, Any] = {}
    if trace:
        second = traced(
            found.evidence.config, facts, batch=question.batch, context=context, length=length, rank=question.rank,
            supervised=LEARNT,
        )  # fmt: skip
    return CheckReport(
        checked_at=datetime.now(UTC),
        question=question,
        model_id=model if adapter_of else repository.id,
        revision=revision,
        model_type=facts.model_type or facts.architecture,
        model_family=facts.family,
        architecture_type=facts.architecture_type,
        architectures=list(found.evidence.architectures) or [facts.architecture],
        task=facts.task,
        primary_library="peft" if adapter_of else facts.primary_library,
        recognised_by=facts.recognised_by,
        adapter_of=adapter_of,
        parameters={"total": facts.num_parameters, "active": facts.num_active_parameters, "by_dtype": facts.parameters_by_dtype},
        weight_bytes=facts.weight_bytes,
        weight_form=facts.weight_form,
        files=files,
        capabilities=capabilities_of(repository, found.evidence, facts),
        requirements=requirements_of(found.evidence, facts),
        safety=safety,
        disk=disk,
        memory={
            "context": context, "batch": question.batch, "length": length, "rank": question.rank,
            "inference": {one.dtype: one.parts for one in verdicts if one.kind == "inference"},
            "training": {f"{one.method} {one.dtype}": one.parts for one in verdicts if one.kind == "training"},
            "learned": {work: str(one) for work, one in learned.items() if one.runs}, "traced": second,
        },
        hardware=machine,
        verdicts=verdicts,
        estimated=not facts.num_parameters,
        warnings=_warnings(facts, disk, safety, context, question.context),
        next_step=_next_step(model, facts, verdicts, disk, is_here=repository.folder is not None),
    )  # fmt: skip


def _learned(work: str, family: str, machine: HardwareFacts) -> Mapping[str, Correction]:
    """How far plans have been off on this machine, by device; nothing of a machine that was only described."""
    if machine.described:
        return NOTHING_LEARNT
    return {device: correction(work, device, family) for device in NOTHING_LEARNT}


class _Way(NamedTuple):
    """One way of running or training the model on the machine."""

    facts: ModelFacts
    machine: HardwareFacts
    dtype: str
    method: str = ""
    """lora, qlora or full; empty for answering."""
    rank: int = 0
    learned: Mapping[str, Correction] = NOTHING_LEARNT
    """By device."""

    def need(self, rows: int, tokens: int, *, on_gpu: bool) -> InferenceNeed | TrainingNeed:
        """What it takes, corrected by what was measured on this machine."""
        need = self._planned(rows, tokens, on_gpu=on_gpu)
        return need._replace(learned=self.learned["cuda" if on_gpu else "cpu"].of(need.total))

    def _planned(self, rows: int, tokens: int, *, on_gpu: bool) -> InferenceNeed | TrainingNeed:
        if not self.method:
            return inference_bytes(self.facts, self.dtype, context=tokens, batch=rows, on_gpu=on_gpu)
        how = Training(
            self.method,
            rows,
            tokens,
            self.dtype,
            rank=self.rank,
            on_gpu=on_gpu,
            checkpointing=on_gpu,
            supervised=LEARNT,
            embeddings_aside=self.method == "qlora",
            tight=True,
        )
        return training_bytes(self.facts, how)

    def fits(self, rows: int, tokens: int) -> bool:
        """Whether it fits where it would run: on the GPU if there is one."""
        need = self.need(rows, tokens, on_gpu=bool(self.machine.gpu)).required
        return need <= self.machine.free_bytes

    def verdict(self, rows: int, tokens: int) -> Verdict:
        """Fits the GPU → cuda; else the memory → cpu; else, for answering, both → split; else nowhere (CHK-12)."""
        machine = self.machine
        on_gpu, on_cpu = self.need(rows, tokens, on_gpu=True), self.need(rows, tokens, on_gpu=False)
        fits_gpu = bool(machine.gpu) and on_gpu.required <= machine.gpu_free_bytes
        fits_cpu = on_cpu.required <= machine.ram_free_bytes
        both = not self.method and on_cpu.required <= machine.ram_free_bytes + machine.gpu_free_bytes
        device = "cuda" if fits_gpu else "cpu" if fits_cpu else "split" if machine.gpu and both else "none"
        need = on_gpu if device == "cuda" else on_cpu
        spare = (machine.gpu_free_bytes if device == "cuda" else machine.ram_free_bytes) - need.required
        notes = ""
        if device == "split":
            notes = "Part of it runs on the CPU (offload): slow"
        elif device == "cpu" and machine.gpu:
            notes = "Too large for the GPU"
        elif device != "none" and spare < CLOSE_BYTES:
            notes = "Close to limit"
        return Verdict(
            kind="training" if self.method else "inference", method=self.method, dtype=self.dtype, memory=need.required,
            parts=need._asdict(), fits_gpu=fits_gpu, fits_cpu=fits_cpu, device=device, notes=notes,
            longest=_largest(lambda longer: self.fits(rows, longer), self.facts.max_positions),
            batch=_largest(lambda more: self.fits(more, tokens), MOST_ROWS), length=tokens,
        )  # fmt: skip


def _inference(
    facts: ModelFacts, machine: HardwareFacts, context: int, batch: int, learned: Mapping[str, Correction]
) -> list[Verdict]:
    """One row for each dtype; a model that is stored quantized runs as it is."""
    fixed = facts.quantization or facts.weight_form == "gguf"
    dtypes = ("bfloat16",) if fixed else _INFERENCE_DTYPES
    verdicts = [_Way(facts, machine, dtype, learned=learned).verdict(batch, context) for dtype in dtypes]
    whole = any(one.device in {"cuda", "cpu"} for one in verdicts if one.dtype not in _QUANTIZED)
    return [one if whole or one.dtype not in _QUANTIZED else _needs_quantization(one) for one in verdicts]


def _needs_quantization(verdict: Verdict) -> Verdict:
    if not verdict.can_run or verdict.notes:
        return verdict
    return verdict.model_copy(update={"notes": "Requires quantization"})


def _training(
    facts: ModelFacts, machine: HardwareFacts, length: int, rank: int, learned: Mapping[str, Correction]
) -> list[Verdict]:
    """One row for each method and dtype, one row of data at a time; `batch` and `longest` say how far it goes."""
    is_known = bool(facts.stacks or facts.cache or facts.kept_maps) and bool(facts.linear_shapes)
    if facts.num_parameters and not is_known:
        return []  # no rule yet for what its layers keep
    return [_Way(facts, machine, dtype, method, rank, learned).verdict(1, length) for method, dtype in _TRAINING]


def _largest(fits: Callable[[int], bool], most: int) -> int | None:
    """The largest number up to `most` that fits, by halving; None where not even 1 does."""
    if not fits(1):
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _disk(files: dict[str, int], machine: HardwareFacts) -> Disk:
    size = sum(files.values())
    return Disk(
        files=size, environment=_ENVIRONMENT_BYTES, total=size + _ENVIRONMENT_BYTES, free=machine.disk_free_bytes
    )


def _warnings(facts: ModelFacts, disk: Disk, safety: list[Finding], asked: int, context: int) -> list[str]:
    warnings = [f"{finding.what} ({finding.where})" for finding in safety if finding.level == "danger"]
    if not facts.num_parameters:
        warnings.append("No shapes can be read from these weights: memory is estimated from file sizes.")
    if disk.total > disk.free:
        warnings.append(f"An installation takes {amount(disk.total)} of disk and {amount(disk.free)} are free.")
    if context > asked:
        warnings.append(f"The model reads at most {asked:,} tokens; {context:,} were asked for.")
    if not facts.weight_files:
        warnings.append("The repository holds no weights.")
    return warnings


def _next_step(model: str, facts: ModelFacts, verdicts: list[Verdict], disk: Disk, *, is_here: bool) -> str:
    """What to type, or the smallest change that would make it fit."""
    answering = [verdict for verdict in verdicts if verdict.kind == "inference"]
    best = next((verdict for verdict in answering if verdict.device in {"cuda", "cpu"}), None)
    if disk.total > disk.free:
        return f"Free {amount(disk.total - disk.free)} of disk first."
    if best is None:
        smallest = min(answering, key=lambda verdict: verdict.memory, default=None)
        least = f"{amount(smallest.memory)} ({smallest.dtype})" if smallest else "more"
        return f"It does not fit: the least it needs is {least} of memory. Take a smaller model, or a machine with that much."
    can_be_trained = FAMILIES.get(facts.family).can_learn(facts)
    if is_here and can_be_trained:
        return f"lorasmith train {model} --data FILE"
    return f"lorasmith install {model}" + (
        "" if can_be_trained else "   (lorasmith cannot train or serve this kind yet)"
    )
