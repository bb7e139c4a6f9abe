"""From an export as asked for to its target: what the model is, which adapter, which prompts are asked of both."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from lorasmith.core import paths
from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.core.events import Listener, Warn
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import ModelChanges
from lorasmith.core.specs import make_spec
from lorasmith.data.load import open_source
from lorasmith.data.tokenizer import load_tokenizer
from lorasmith.evaluation.launch import PROBE
from lorasmith.exports import EXPORTS
from lorasmith.exports._base import Wish
from lorasmith.exports.spec import ExportReport, ExportSpec
from lorasmith.families import FAMILIES
from lorasmith.families._calls import TextCall
from lorasmith.hub.bases import base_of, is_quantized_form, require_base
from lorasmith.hub.locate import ModelPlace, locate_adapter, template_of
from lorasmith.hub.recognise import know_model
from lorasmith.hub.repository import LocalRepository
from lorasmith.hub.weights import Weights, installed_files

_PROBE_TOKENS, _MOST_TOKENS, _SPARE_TOKENS = 32, 1024, 16
_WRITERS = ("decoder-only", "encoder-decoder", "hybrid", "state-space")


def export(model: str | ExportSpec, *, on_event: Listener = lambda _: None, **options: Any) -> ExportReport:
    """Take a model, with an adapter, to a target (EXP-1). `options` are ExportSpec's fields.

    Raises NotFoundProblem, UsageProblem, EnvironmentProblem, DoesNotFitProblem; DataProblem where what came of it is not what
    was trained.
    """
    spec = model if isinstance(model, ExportSpec) else make_spec(ExportSpec, model=model, **options)
    target = EXPORTS.get(spec.to)
    _require_meaning(spec)
    wish = _wish(spec, on_event)
    if lacks := target.lacks(wish):
        raise EnvironmentProblem(f"'{wish.facts.id}' cannot go to {spec.to}", why=lacks)
    return target.export(wish)


def merge(
    adapter: str, *, base: str = "", on_event: Listener = lambda _: None, **options: Any
) -> ExportReport:  # fmt: skip
    """`export` of an adapter with the base that it names, as one model. Raises as `export` does."""
    named = base or base_of(locate_adapter(adapter))["id"]
    if not named:
        raise UsageProblem(f"'{adapter}' does not say which model it belongs to", fix="Name it: --base MODEL")
    return export(named, adapter=adapter, to="merged", on_event=on_event, **options)


def _wish(spec: ExportSpec, listener: Listener) -> Wish:
    facts = know_model(spec.model)
    adapter = locate_adapter(spec.adapter) if spec.adapter else None
    if adapter:
        _require_own_base(adapter, facts, listener)
    _require_mergeable(spec, facts, listener)
    name = spec.name or (_name_of(adapter) if adapter else paths.safe_name(facts.id))
    template = template_of(adapter, spec.template)
    out = (
        Path(spec.out).expanduser().absolute()
        if spec.out
        else paths.home() / "exports" / f"{paths.safe_name(name)}-{spec.to}"
    )
    _require_empty(out, spec)
    conversations, wanted = _asked(spec, facts)
    return Wish(
        spec=spec, facts=facts, adapter=adapter, changes=ModelChanges.read(adapter) if adapter else ModelChanges(), name=name,
        out=out, template=template, conversations=conversations, wanted=wanted, max_new_tokens=_longest(wanted, facts),
        beside=_beside(facts), listener=listener,
    )  # fmt: skip


def _require_own_base(adapter: Path, facts: ModelFacts, listener: Listener) -> None:
    """`require_base`; but of an adapter that was trained on stored 4 or 8 bit the model in 16 bit may be named (ADP-3)."""
    try:
        require_base(adapter, facts)
    except UsageProblem:
        if not is_quantized_form(adapter, facts):
            raise
        what = f"The adapter was trained on '{base_of(adapter)['id']}', whose weights are stored quantized."
        listener(Warn(message=f"{what} That they were made of '{facts.id}' is taken from you: no file says so."))


def _require_meaning(spec: ExportSpec) -> None:
    """Raises UsageProblem for an option that the target would leave aside."""
    own = EXPORTS.get(spec.to).own_options
    others = {name: one.name for one in EXPORTS.all() for name in one.own_options if name not in own}
    for name, target in others.items():
        if getattr(spec, name) != ExportSpec.model_fields[name].default:
            raise UsageProblem(
                f"--{name.replace('_', '-')} means nothing to --to {spec.to}",
                why=f"It is an option of: {', '.join(one.name for one in EXPORTS.all() if name in one.own_options)}.",
                fix=f"Leave it out, or take --to {target}.",
            )


def _name_of(adapter: Path) -> str:
    return paths.safe_name(adapter.parent.name if adapter.name == "lora" else adapter.name)


def _require_mergeable(spec: ExportSpec, facts: ModelFacts, listener: Listener) -> None:
    """Raises UsageProblem where the base's weights are stored quantized: a merge keeps what that cost them (ADP-3)."""
    if facts.weight_form == "gguf":
        raise UsageProblem(f"'{facts.id}' is GGUF already", fix="Name the safetensors model that it was made of.")
    is_alone = spec.to == "adapter" or spec.adapter_only or (spec.to == "hub" and not spec.merged)
    if not facts.quantization or (is_alone and spec.adapter):
        return
    if spec.dequantize and spec.adapter and spec.to in ("merged", "hub"):
        why = f"Merged into weights that were quantized ({facts.quantization}): what that cost them stays lost."
        listener(Warn(message=f"{why} Merge into the model that they were made of where you have it."))
        return
    raise UsageProblem(
        f"The weights of '{facts.id}' are stored quantized ({facts.quantization})",
        why="An adapter is merged into the 16-bit weights, never into what is left of them in 4 or 8 bit.",
        fix="Name the model that it was made of, or export the adapter alone: --to adapter. "
        "--to merged --dequantize merges into what is left.",
    )


def _require_empty(out: Path, spec: ExportSpec) -> None:
    """Raises UsageProblem where a folder that was named holds something that no export made."""
    if spec.out and out.exists() and not out.is_dir():
        raise UsageProblem(f"'{out}' is a file", fix="Name a folder: --out FOLDER")
    if (
        spec.out
        and out.is_dir()
        and any(out.iterdir())
        and not any(out.glob("*.gguf"))
        and not any(out.glob("*.safetensors"))
    ):
        raise UsageProblem(f"'{out}' holds other files", fix="Name an empty folder, or a new one.")


def _asked(spec: ExportSpec, facts: ModelFacts) -> tuple[list[list[dict[str, Any]]], list[str]]:
    """The first prompts of the file that was named, with their right answers, or general questions without; nothing for models
    that do not write from text to text."""
    if FAMILIES.get(facts.family).call is not TextCall or facts.architecture_type not in _WRITERS:
        return [], []
    source = open_source(Path(spec.data) if spec.data else PROBE)
    found: list[list[dict[str, Any]]] = []
    wanted: list[str] = []
    for example in islice(source, spec.prompts):
        talk = [dict(message) for message in example.messages]
        answer = ""
        while talk and talk[-1]["role"] == "assistant":
            answer = str(talk.pop().get("content") or "")
        if talk:
            if spec.system and talk[0]["role"] != "system":  # as it will be told there
                talk.insert(0, {"role": "system", "content": spec.system})
            found.append(talk)
            wanted.append(answer)
    return found, wanted if spec.data and all(wanted) else []


def _longest(wanted: list[str], facts: ModelFacts) -> int:
    """Tokens that the longest right answer takes, and a few more; where none is known, what tells two models apart."""
    if not wanted:
        return _PROBE_TOKENS
    encoder = load_tokenizer(facts.local_folder).encoder
    return max(_PROBE_TOKENS, min(_MOST_TOKENS, _SPARE_TOKENS + max(len(encoder.encode(text).ids) for text in wanted)))


def _beside(facts: ModelFacts) -> list[str]:
    folder = facts.local_folder
    repository = LocalRepository(ModelPlace(folder, facts.id))
    chosen = installed_files(repository, Weights(facts.weight_form, facts.weight_files, {}))
    return [name for name in chosen if name not in facts.weight_files]
