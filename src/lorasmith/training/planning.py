"""From a training as asked for to a plan: read the data, choose what was not given. What a training does, and what a page shows
before one is begun."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

from lorasmith import profiles
from lorasmith.core import settings
from lorasmith.core.errors import DataProblem, EnvironmentProblem, UsageProblem
from lorasmith.core.events import Event, Listener, Progress, Warn
from lorasmith.core.facts import PREFERENCES, DataFacts, ModelFacts, Objective
from lorasmith.core.samples import ModelChanges
from lorasmith.data.examples import Example
from lorasmith.data.findings import Tally, findings
from lorasmith.data.formats import FORMATS
from lorasmith.data.load import Source, open_source
from lorasmith.data.prepare import prepare
from lorasmith.data.render import TokenRow
from lorasmith.data.samples import Prior, lesson_plan, prepare_samples
from lorasmith.data.tokenizer import load_tokenizer
from lorasmith.env.folder import has_package, python_for
from lorasmith.families._lessons import Lesson
from lorasmith.hub.bases import fingerprint
from lorasmith.hub.recognise import know_model
from lorasmith.hub.stacks import brought_to
from lorasmith.plan import hardware, learned
from lorasmith.plan.choose import TrainPlan, choose
from lorasmith.tracking.track import choose_trackers
from lorasmith.training.spec import DATA_FILE, HISTORY_FILE, TrainSpec, WorkerSpec

QUANTIZER = "bitsandbytes"
PlanListener = Callable[[ModelFacts, DataFacts, TrainPlan, Path], None]


def planned(spec: TrainSpec, facts: ModelFacts, folder: Path, on_event: Listener, on_plan: PlanListener) -> WorkerSpec:
    """Read the data into `folder`, choose what was not given, and say so."""
    ready = _prepared(spec, facts, folder / DATA_FILE, on_event)
    data_facts = ready.facts
    plan, can_quantize = _chosen(spec, facts, data_facts)
    on_plan(facts, data_facts, plan, folder)
    told = choose_trackers(spec.tracker)
    return WorkerSpec(
        spec=spec,
        plan=plan,
        model_id=facts.id,
        model_revision=facts.revision,
        model_fingerprint=fingerprint(facts),
        model_quantization=facts.quantization,
        model_folder=facts.local_folder,
        family=facts.family,
        template=ready.template,
        data_facts=data_facts.model_dump(),
        lesson=ready.lesson,
        changes=ready.changes,
        run_folder=folder,
        can_quantize=can_quantize,
        trackers=told.local,
        integrations=told.integrations,
    )


class Foreseen(NamedTuple):
    """What a training would be."""

    model: ModelFacts
    data: DataFacts
    plan: TrainPlan
    warnings: list[str]
    """What is odd about the data."""
    free_bytes: int
    """For the worker, on the plan's device."""
    seconds: float | None
    """As the last trainings of this model took for a token; None where there was none."""


Known = dict[str, tuple[DataFacts, list[str]]]
"""What data was found to hold, by what was asked of it: counting the tokens of a large file again takes minutes."""


def foresee(spec: TrainSpec, known: Known | None = None) -> Foreseen:
    """The plan of a training that is not begun; nothing of it stays on disk. Raises what `train` raises before it begins."""
    facts = know_model(spec.model)
    python_for(facts.local_folder)
    file = Path(spec.data)
    stat = file.stat() if file.is_file() else None
    asked = (
        str(facts.local_folder), str(file), stat and (stat.st_size, stat.st_mtime_ns), spec.template, spec.columns,
        spec.objective, spec.skip_bad_rows, spec.eval_fraction, spec.seed, spec.loss_on, spec.beta is not None,
        spec.instance_prompt, spec.prior_data, spec.prior_prompt, spec.image_size,
    )  # fmt: skip
    key = repr(asked)
    found = (known or {}).get(key)
    if found is None:
        warnings: list[str] = []

        def hear(event: Event) -> None:
            if isinstance(event, Warn):
                warnings.append(event.message)

        with tempfile.TemporaryDirectory(prefix="lorasmith-plan-") as folder:
            data_facts = _prepared(spec, facts, Path(folder) / DATA_FILE, hear).facts
        found = data_facts, warnings
        if known is not None:
            known[key] = found
    plan, _ = _chosen(spec, facts, found[0])
    machine = hardware.observe()
    free = machine.gpu_free_bytes if plan.device == "cuda" else machine.ram_free_bytes
    return Foreseen(facts, found[0], plan, found[1], free, _seconds(facts, found[0], plan))


def _seconds(facts: ModelFacts, data: DataFacts, plan: TrainPlan) -> float | None:
    """Tokens to be read over tokens a second of the last training of the same base and method on this machine."""
    try:
        history = json.loads((settings.load().adapters_dir / HISTORY_FILE).read_text(encoding="utf-8"))
        rates = [
            one["tokens_per_second"] for one in history if (one["model_id"], one["method"]) == (facts.id, plan.method)
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not rates or not rates[-1]:
        return None
    return plan.steps * plan.effective_batch * data.num_tokens / max(1, data.num_rows) / rates[-1]


class _Ready(NamedTuple):
    """Prepared data, and what else was found on the way."""

    facts: DataFacts
    template: str = ""
    """The chat template that was asked for, as source."""
    lesson: str = ""
    changes: ModelChanges = ModelChanges()


def _prepared(spec: TrainSpec, facts: ModelFacts, file: Path, on_event: Listener) -> _Ready:
    """The data in `file`, as token rows or as samples. Raises DataProblem."""
    source = open_source(Path(spec.data), columns=spec.columns, skip_bad_rows=spec.skip_bad_rows)
    if (lesson := lesson_plan(facts, source)) is not None:
        return _samples(spec, facts, source, lesson, file, on_event)
    tokenizer = load_tokenizer(facts.local_folder, template=spec.template)
    objective = _objective(spec, source)
    _require_for(objective, spec, facts)
    tally = Tally(tokenizer)

    def count(examples: list[Example], rows: list[TokenRow]) -> None:
        for example, row in zip(examples, rows, strict=True):
            tally.add(example, row)
        on_event(Progress(stage="prepare", done=tally.num_rows, total=0, unit="rows"))

    data_facts = prepare(
        source, tokenizer, file, objective=objective, eval_fraction=spec.eval_fraction, seed=spec.seed,
        learn_all=spec.loss_on == "all", on_rows=count,
    )  # fmt: skip
    _judge(tally, on_event)
    return _Ready(data_facts, tokenizer.template if spec.template else "")


def _samples(
    spec: TrainSpec, facts: ModelFacts, source: Source, lesson: Lesson, file: Path, on_event: Listener
) -> _Ready:
    """Rows of pictures, sounds, classes or pairs. Raises DataProblem, UsageProblem."""
    if spec.objective not in ("auto", "sft"):
        raise UsageProblem(
            f"--objective {spec.objective} is for language models", why=f"'{facts.id}' is of the family {facts.family}.",
            fix="Leave it out.",
        )  # fmt: skip
    if spec.beta is not None:
        raise UsageProblem("--beta is for language models that learn preferences", fix="Leave it out.")

    def told(count: int) -> None:
        on_event(Progress(stage="prepare", done=count, total=0, unit="rows"))

    data_facts, changes = prepare_samples(
        source, lesson, facts.local_folder, file, eval_fraction=spec.eval_fraction, seed=spec.seed,
        instance_prompt=spec.instance_prompt, prior=_prior(spec, lesson), on_count=told,
    )  # fmt: skip
    if spec.image_size:
        changes = changes.model_copy(update={"image_size": spec.image_sides})
    return _Ready(data_facts, lesson=source.format.name, changes=changes)


def _prior(spec: TrainSpec, lesson: Lesson) -> Prior | None:
    """Pictures of the class beside those of one thing. Raises DataProblem, UsageProblem."""
    if not spec.prior_data and not spec.prior_prompt:
        return None
    if "images" not in lesson.formats:
        raise UsageProblem("--prior-data and --prior-prompt are for models that draw", fix="Leave them out.")
    if not spec.prior_data:
        raise UsageProblem(
            "--prior-prompt without pictures", fix="Name a folder of pictures of the class: --prior-data"
        )
    source = open_source(Path(spec.prior_data), skip_bad_rows=spec.skip_bad_rows)
    if source.format.name not in lesson.formats:
        raise DataProblem(
            f"'{spec.prior_data}' is {source.format.name}, not pictures of a class", fix="Name a folder of pictures."
        )
    if source.format.name == "images" and not spec.prior_prompt.strip():
        raise UsageProblem(
            "--prior-data needs the caption of its pictures", fix="Such as: --prior-prompt 'a photo of a cat'"
        )
    return Prior(source, spec.prior_prompt)


def _chosen(spec: TrainSpec, facts: ModelFacts, data: DataFacts) -> tuple[TrainPlan, bool]:
    """The plan, and whether the base can be held in 4 bit. Raises DoesNotFitProblem, EnvironmentProblem."""
    if spec.image_size:
        facts = facts.model_copy(update={"stacks": brought_to(facts.stacks, *spec.image_sides)})
    text_targets: list[str] = []
    if spec.train_text_encoder:
        facts, text_targets = _with_text_encoders(spec, facts)
    machine = hardware.observe()
    given = given_in(spec)
    device = machine.device if given.get("device") in (None, "auto") else given["device"]
    profile = profiles.get(spec.profile) if spec.profile else None
    if profile:
        profiles.require_match(profile, facts)
    can_quantize = has_package(python_for(facts.local_folder), QUANTIZER)
    plan = choose(
        given, facts, data, machine, learned.correction("train", device, facts.family), profile=profile,
        can_quantize=can_quantize,
    )  # fmt: skip
    if plan.method == "qlora" and not can_quantize:
        raise EnvironmentProblem(
            "QLoRA needs a package that is missing: bitsandbytes",
            why="It holds the base in 4 bit (NF4, double quantization), on GPUs and CPUs.",
            fix="pip install bitsandbytes, or for an installed model: lorasmith install MODEL --quantization 4bit",
        )
    if text_targets:
        plan = plan.model_copy(update={"target_modules": [*plan.target_modules, *text_targets]})
    return plan, can_quantize


def _with_text_encoders(spec: TrainSpec, facts: ModelFacts) -> tuple[ModelFacts, list[str]]:
    """The model with the layers of its text encoders among those that are adapted, and what these are called.

    Raises UsageProblem where it has none, or all of a kind are asked for."""
    if not facts.text_linear:
        raise UsageProblem(
            "--train-text-encoder does nothing for this model", why="It has no CLIP text encoder that could be adapted.",
            fix="Leave it out.",
        )  # fmt: skip
    if spec.target_modules in (profiles.ALL_LINEAR, profiles.ATTENTION) or spec.method == "full":
        raise UsageProblem(
            "--train-text-encoder needs layers that have names",
            fix="Leave --target-modules and --method out, or name layers.",
        )
    names, shapes = [*facts.linear_names, *facts.text_linear], [*facts.linear_shapes, *facts.text_linear.values()]
    last = sorted({name.rsplit(".", 1)[-1] for name in facts.text_linear})
    return facts.model_copy(update={"linear_names": names, "linear_shapes": shapes}), last


def _judge(tally: Tally, on_event: Listener) -> None:
    """Raises DataProblem for what would spoil the training; what is only odd is told (DAT-2)."""
    found = findings(tally)
    if found and found[0].level == "fatal":
        raise DataProblem(
            f"This data would spoil the training: {found[0]}",
            why="; ".join(str(other) for other in found[1:]),
            fix=found[0].fix,
        )
    for finding in found:
        on_event(Warn(message=f"{finding}."))


def given_in(spec: TrainSpec) -> dict[str, Any]:
    """What the user gave, as the rules want it."""
    given = {name: value for name, value in spec.model_dump().items() if value is not None}
    targets = given.get("target_modules")
    if targets and targets not in (profiles.ALL_LINEAR, profiles.ATTENTION):
        given["target_modules"] = [name.strip() for name in targets.split(",") if name.strip()]
    return given


def _objective(spec: TrainSpec, source: Source) -> Objective:
    """What is asked for, where the format can serve it, else what the format is for. Raises DataProblem."""
    fitting = source.format.objectives
    if spec.objective == "auto" and fitting:
        return cast("Objective", fitting[0])
    if spec.objective in fitting:
        return cast("Objective", spec.objective)
    serving = [one.name for one in FORMATS.all() if spec.objective in one.objectives]
    raise DataProblem(
        f"'{source.path.name}' is {source.format.name}, from which nothing can be learnt with --objective {spec.objective}",
        why=f"It serves: {', '.join(fitting)}." if fitting else "It is for models that see or hear.",
        fix=f"Formats for {spec.objective}: {', '.join(serving)}."
        if serving
        else "Give conversations, pairs or texts.",
    )


def _require_for(objective: Objective, spec: TrainSpec, facts: ModelFacts) -> None:
    """Raises EnvironmentProblem where preferences are to be learnt and their trainers are missing, UsageProblem for an option
    that belongs to them alone."""
    if objective not in PREFERENCES:
        if spec.beta is not None:
            raise UsageProblem(
                f"--beta says nothing to --objective {objective}", why="It holds a model that learns preferences back.",
                fix=f"Leave it out, or take one of: {', '.join(PREFERENCES)}.",
            )  # fmt: skip
        return
    python = python_for(facts.local_folder)
    if missing := [name for name in ("trl", "datasets") if not has_package(python, name)]:
        raise EnvironmentProblem(
            f"--objective {objective} needs packages that are missing: {', '.join(missing)}",
            why="Preferences are learnt by TRL's trainers.",
            fix=f"pip install 'lorasmith[preferences]', or for an installed model: uv pip install --python {python} trl datasets",
        )
