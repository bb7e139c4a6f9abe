"""Adapters made of adapters, and taken in from other tools: a worker does it, and a manifest says how each came."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lorasmith.adapters.facts import AdapterFacts, adapter_facts
from lorasmith.adapters.registry import new_place
from lorasmith.adapters.spec import SUMS, AdapterJob, CombineSpec, Resized, ResizeSpec
from lorasmith.core import paths, settings
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.events import Listener
from lorasmith.core.paths import read_json
from lorasmith.core.samples import CHANGES_FILE, ModelChanges, common_changes
from lorasmith.core.specs import make_spec
from lorasmith.env.folder import python_for
from lorasmith.hub.bases import CONFIG_FILE, MANIFEST_FILE, base_of, fingerprint, is_hub_id, require_base
from lorasmith.hub.locate import from_hub, locate_adapter, locate_here
from lorasmith.hub.recognise import know_model
from lorasmith.runners.local import Worker, run

_BESIDE = ("chat_template.jinja", CHANGES_FILE)
"""Files beside the weights that belong to the adapter."""
_HISTORY = {
    "dataset": dict, "parameters": dict, "asked": dict, "seed": int, "versions": dict, "stop_reason": str, "final_metrics": dict,
    "comparison": dict,
}  # fmt: skip
"""What of a manifest stays true wherever the adapter lies."""
_PEFT_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


def combine(spec: CombineSpec | None = None, *, on_event: Listener = lambda _: None, **options: Any) -> AdapterFacts:
    """One adapter of several (ADP-3). `options` are CombineSpec's fields.

    Raises UsageProblem where they belong to different bases, or the method cannot join them.
    """
    spec = spec or make_spec(CombineSpec, **options)
    sources = {_name_of(folder): folder for folder in map(locate_adapter, spec.adapters)}
    if len(sources) != len(spec.adapters):
        raise UsageProblem("An adapter is named twice", why=f"Named: {', '.join(spec.adapters)}.")
    base = _common_base(sources)
    weights = combination_weights(spec)
    made = {
        "how": "combined", "of": list(sources), "method": spec.method, "weights": weights, "density": spec.density,
        "seed": spec.seed,
    }  # fmt: skip
    place = new_place(spec.name)
    changes = common_changes(sources.values())
    spec = spec.model_copy(update={"weights": ",".join(map(str, weights))})

    def job(target: Path, events: Path) -> AdapterJob:
        return AdapterJob(combine=spec, sources=sources, target=target, changes=changes, events=events)

    _made(place, job, _python(base), on_event, {"base": base, "made": made}, beside=next(iter(sources.values())))
    return adapter_facts(place / "lora")


def combination_weights(spec: CombineSpec) -> list[float]:
    """A weight for each adapter. Raises UsageProblem where what is given is none, or not as many."""
    count = len(spec.adapters)
    if not spec.weights:
        return [1.0 if spec.method in SUMS else 1 / count] * count
    try:
        found = [float(part) for part in spec.weights.split(",")]
    except ValueError:
        raise UsageProblem(f"--weights '{spec.weights}' holds something that is no number") from None
    if len(found) != count:
        raise UsageProblem(f"--weights names {len(found)} for {count} adapters", fix="Give one for each, with commas.")
    return found


def resize(
    adapter: str | ResizeSpec, *, on_event: Listener = lambda _: None, **options: Any
) -> Resized:  # fmt: skip
    """An adapter of a lower rank, by SVD (ADP-4). `options` are ResizeSpec's fields. Raises UsageProblem, NotFoundProblem."""
    spec = adapter if isinstance(adapter, ResizeSpec) else make_spec(ResizeSpec, adapter=adapter, **options)
    if (spec.rank is None) == (spec.energy is None):
        raise UsageProblem("Say how small", fix="--rank 8, or --energy 0.95: one of them.")
    source = locate_adapter(spec.adapter)
    name = spec.name or f"{_name_of(source)}-{f'r{spec.rank}' if spec.rank else f'e{round(100 * (spec.energy or 0))}'}"
    place, base = new_place(name), base_of(source)
    wish = {"rank": spec.rank} if spec.rank else {"energy": spec.energy}

    def job(target: Path, events: Path) -> AdapterJob:
        return AdapterJob(resize=spec, sources={name: source}, target=target, events=events)

    made = {"how": "resized", "of": [_name_of(source)], **wish}
    found = _made(place, job, _python(base), on_event, {"base": base, "made": made}, beside=source)
    return Resized(
        name=name, folder=place / "lora", bytes_before=adapter_facts(source).num_bytes,
        bytes_after=adapter_facts(place / "lora").num_bytes, **found,
    )  # fmt: skip


def import_adapter(
    source: str, *, base: str = "", name: str = "", on_event: Listener = lambda _: None
) -> AdapterFacts:  # fmt: skip
    """Take in an adapter that another tool made: PEFT's folder, here or on the Hub, or a safetensors file as kohya's scripts or
    diffusers write it for a diffusion model. It is put on its base once, so that whatever is missing or foreign is told now.

    Raises NotFoundProblem, UsageProblem (no adapter, of another base, damaged).
    """
    path = paths.named(source)
    is_fetched = not path.exists() and is_hub_id(source)
    given = _given(from_hub(source, settings.load()).folder if is_fetched else path)
    told = base_of(given) if given.is_dir() else {"id": "", "revision": "", "fingerprint": ""}
    if not (base or told["id"]):
        raise UsageProblem(
            f"'{source}' does not say which model it belongs to", fix="Name it: --base MODEL",
        )  # fmt: skip
    facts = know_model(base or told["id"])
    if given.is_dir():
        require_base(given, facts)
    place = new_place(name or paths.safe_name(_own_name(source if is_fetched else given)))
    changes = ModelChanges.read(given) if given.is_dir() else ModelChanges()

    def job(target: Path, events: Path) -> AdapterJob:
        return AdapterJob(
            sources={place.name: given}, target=target, model_folder=facts.local_folder, model_id=facts.id,
            family=facts.family, changes=changes, events=events,
        )  # fmt: skip

    known = {
        "id": facts.id, "revision": facts.revision, "fingerprint": fingerprint(facts), "quantization": facts.quantization,
    }  # fmt: skip
    made = {"how": "imported", "of": [source if is_fetched else given.name]}
    _made(
        place, job, python_for(facts.local_folder), on_event, {**_history(given), "base": known, "made": made},
        beside=given if given.is_dir() else None, needs=facts.seldom_needed,
    )  # fmt: skip
    return adapter_facts(place / "lora")


def _history(given: Path) -> dict[str, Any]:
    """Of the manifest of an adapter that was trained elsewhere: on what, how, and how well. Anybody may have written it."""
    told = read_json(given / MANIFEST_FILE)
    return {name: told[name] for name, kind in _HISTORY.items() if isinstance(told.get(name), kind)}


def _given(path: Path) -> Path:
    """The PEFT folder or the safetensors file that is meant."""
    if path.is_file() and path.name in _PEFT_WEIGHTS and (path.parent / CONFIG_FILE).exists():
        return path.parent
    if path.is_file() and path.suffix == ".safetensors":
        return path
    for folder in (path, path / "lora"):
        if (folder / CONFIG_FILE).is_file():
            return folder
    loose = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    if len(loose) == 1:
        return loose[0]
    if not path.exists():
        raise NotFoundProblem(f"There is no '{path}'", fix="See what is there:  lorasmith adapters scan FOLDER")
    why = (
        f"It holds {len(loose)} safetensors files and no {CONFIG_FILE}."
        if path.is_dir()
        else "It is no safetensors file."
    )
    raise UsageProblem(
        f"'{path}' is no adapter", why=why, fix=f"Name a folder with {CONFIG_FILE}, or one safetensors file."
    )


def _own_name(source: str | Path) -> str:
    """What an adapter is called where it comes from: a repository without its owner, a file, a folder."""
    if isinstance(source, str):
        return source.partition("/")[2]
    return source.stem if source.is_file() else _name_of(source)


def _name_of(folder: Path) -> str:
    return paths.safe_name(folder.parent.name if folder.name == "lora" else folder.name).replace(".", "_")


def _common_base(sources: dict[str, Path]) -> dict[str, str]:
    """The base of all of them. Raises UsageProblem where it is not one."""
    bases = {name: base_of(folder) for name, folder in sources.items()}
    marks = {one["fingerprint"] for one in bases.values()}
    names = {Path(one["id"]).name.lower() for one in bases.values() if one["id"]}
    if len(marks - {""}) > 1 or ("" in marks and len(names) > 1):
        told = "; ".join(f"{name}: {one['id'] or '?'} {one['revision'][:10]}".strip() for name, one in bases.items())
        raise UsageProblem("Adapters of different bases cannot be combined", why=f"{told}.")
    return next((one for one in bases.values() if one["fingerprint"]), next(iter(bases.values())))


def _python(base: dict[str, str]) -> Path:
    """That of the base's environment, where it is here; else ours. Nothing is fetched for it: the base itself is not needed."""
    try:
        here = locate_here(base["id"], settings.load()) if base["id"] else None
    except UsageProblem:  # its name is none
        here = None
    return python_for(here.folder if here else Path())


def _made(
    place: Path, job: Callable[[Path, Path], AdapterJob], python: Path, listener: Listener,
    manifest: dict[str, Any], *, beside: Path | None, needs: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """Have a worker fill a new adapter's folder, whole or not at all; what it says of it."""
    paths.make_folder(place.parent)
    logs = paths.make_folder(settings.load().logs_dir)
    told: dict[str, Any] = {}

    def fill(folder: Path) -> None:
        target = paths.make_folder(folder / "lora")
        with TemporaryDirectory() as name:
            spec, events = Path(name) / "spec.json", Path(name) / "events.jsonl"
            paths.write_text(spec, job(target, events).model_dump_json())
            told.update(
                run(Worker("adapters", spec, events, logs / "adapters.log", python=python, needs=needs), listener)
            )
        for file in _files(beside, _BESIDE):
            shutil.copyfile(file, target / file.name)
        known = {key: value for key, value in manifest["base"].items() if value}
        paths.write_json(target / MANIFEST_FILE, {**manifest, "schema": 1, "base": known})

    paths.write_folder(place, fill)
    return told


def _files(folder: Path | None, names: Iterable[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()] if folder else []
