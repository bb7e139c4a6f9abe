"""A model card for the Hub: what a model is, what it was made of, how good it is, how it is used (EXP-5).

It tells of the data only its size and its hash, and nothing of the machine that it was made on.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from lorasmith.adapters.facts import AdapterFacts, adapter_facts
from lorasmith.core.paths import read_json
from lorasmith.evaluation.page import interval, shown
from lorasmith.evaluation.report import EvaluationReport
from lorasmith.exports._base import Wish
from lorasmith.exports.spec import ExportReport
from lorasmith.hub.bases import MANIFEST_FILE, is_hub_id

_PARAMETERS = (
    "method", "variant", "objective", "rank", "alpha", "dropout", "target_modules", "learning_rate", "optimizer", "schedule",
    "micro_batch", "accumulation", "steps", "epochs", "max_length", "packing", "precision",
)  # fmt: skip
_DATA = {"num_train": "rows learnt from", "num_validation": "rows held out", "format": "format", "sha256": "SHA-256"}
_LOSSES = {"val_loss": "Validation loss", "token_accuracy": "Token accuracy", "exact_match": "Exact match"}
_DIFFUSERS_FILE = "pytorch_lora_weights.safetensors"
_MARKS = re.compile(r"([\\`*_{}\[\]<>|#])")


def card(wish: Wish, repository: str, made: ExportReport, *, is_merged: bool) -> str:
    """The whole of README.md: metadata, then text."""
    facts = adapter_facts(wish.adapter) if wish.adapter else None
    manifest = read_json(wish.adapter / MANIFEST_FILE) if wish.adapter else {}
    parts = [
        f"---\n{yaml.safe_dump(_metadata(wish, is_merged=is_merged), allow_unicode=True, sort_keys=False)}---",
        f"# {_plain(_own_name(repository))}",
        _lead(wish, facts, is_merged=is_merged),
        _use(wish, repository, is_merged=is_merged),
        _scores(wish, manifest),
        _data(manifest),
        _parameters(manifest),
        _check(made),
        "Made with lorasmith.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _metadata(wish: Wish, *, is_merged: bool) -> dict[str, Any]:
    diffuses = wish.facts.primary_library == "diffusers"
    found: dict[str, Any] = {}
    if is_hub_id(wish.facts.id):
        found |= {"base_model": wish.facts.id, "base_model_relation": "merge" if is_merged else "adapter"}
    found["library_name"] = wish.facts.primary_library if is_merged or diffuses else "peft"
    if wish.facts.task:
        found["pipeline_tag"] = wish.facts.task
    return found | {"tags": ["lorasmith", "lora"]}


def _lead(wish: Wish, facts: AdapterFacts | None, *, is_merged: bool) -> str:
    base = (
        f"[{wish.facts.id}](https://huggingface.co/{wish.facts.id})"
        if is_hub_id(wish.facts.id)
        else _plain(wish.facts.id)
    )
    revision = f" at revision `{wish.facts.revision[:12]}`" if wish.facts.revision else ""
    if facts is None:
        return f"A copy of {base}{revision}."
    rank = f" of rank {facts.rank}" if facts.rank else ""
    if is_merged:
        return f"{base}{revision} with {_article(facts.kind)}{rank} merged into it."
    kind = _article(facts.kind)
    size = f"{facts.num_parameters:,} parameters"
    return f"{kind[0].upper()}{kind[1:]}{rank} for {base}{revision}, with {size}. It needs that base."


def _article(kind: str) -> str:
    return "a LoRA adapter" if kind == "lora" else f"an adapter ({_plain(kind)})"


def _use(wish: Wish, repository: str, *, is_merged: bool) -> str:
    has_code = is_merged or is_hub_id(wish.facts.id)
    auto = f"AutoModelFor{'Seq2Seq' if wish.facts.architecture_type == 'encoder-decoder' else 'Causal'}LM"
    if wish.facts.primary_library == "diffusers":
        has_code = has_code and (is_merged or (wish.out / _DIFFUSERS_FILE).exists())
        loads = f'pipeline = DiffusionPipeline.from_pretrained("{repository if is_merged else wish.facts.id}")'
        adds = "" if is_merged else f'\npipeline.load_lora_weights("{repository}", weight_name="{_DIFFUSERS_FILE}")'
        code = f"from diffusers import DiffusionPipeline\n\n{loads}{adds}"
    elif is_merged:
        code = (
            f"from transformers import {auto}, AutoTokenizer\n\n"
            f'model = {auto}.from_pretrained("{repository}")\n'
            f'tokenizer = AutoTokenizer.from_pretrained("{repository}")'
        )
    else:
        code = (
            f"from peft import PeftModel\nfrom transformers import {auto}, AutoTokenizer\n\n"
            f'base = {auto}.from_pretrained("{wish.facts.id}")\n'
            f'model = PeftModel.from_pretrained(base, "{repository}")\n'
            f'tokenizer = AutoTokenizer.from_pretrained("{wish.facts.id}")'
        )
    name = _own_name(repository)
    base = shlex.quote(wish.facts.id)
    shell = (
        f"lorasmith serve {repository}" if is_merged
        else f"lorasmith adapters import {repository} --base {base}\nlorasmith serve {base} --adapter {name}"
    )  # fmt: skip
    python = f"```python\n{code}\n```\n\n" if has_code and wish.facts.family in ("language", "diffusion") else ""
    return f"## Use\n\n{python}```sh\n{shell}\n```"


def _own_name(repository: str) -> str:
    """Without its owner, who is not known before it is pushed."""
    return repository.rpartition("/")[2]


def _scores(wish: Wish, manifest: dict[str, Any]) -> str:
    evaluated = _evaluations(wish)
    if evaluated:
        return "## Scores\n\n" + "\n\n".join(evaluated)
    compared = manifest.get("comparison") or {}
    base, tuned = compared.get("base") or {}, compared.get("tuned") or {}
    rows = [
        f"| {title} | {base[name]:.4g} | {tuned[name]:.4g} |"
        for name, title in _LOSSES.items()
        if isinstance(base.get(name), int | float) and isinstance(tuned.get(name), int | float)
    ]
    if not rows:
        return ""
    told = f"On {compared.get('rows')} held-out rows:\n\n| | base | tuned |\n|---|--:|--:|\n"
    return f"## Scores\n\n{told}" + "\n".join(rows)


def _evaluations(wish: Wish) -> list[str]:
    """Tables of what was measured of this adapter, from the reports beside it."""
    if wish.adapter is None:
        return []
    found: list[str] = []
    for file in sorted(wish.adapter.parent.glob("evaluations/*/evaluation.json")):
        try:
            report = EvaluationReport.model_validate(read_json(file) | {"folder": ""})
        except ValueError:  # of another version
            continue
        name = next((one for one in report.scores if one in (wish.adapter.parent.name, wish.adapter.name)), "")
        if not name or "base" not in report.scores:
            continue
        rows = [
            f"| {_plain(kind.title)} | {shown(report.scores['base'][figure].value, kind)} | {shown(own.value, kind)} | "
            f"{interval(own.low, own.high, kind)} |"
            for figure, kind in report.kinds.items()
            if figure in report.scores["base"] and (own := report.scores[name].get(figure))
        ]
        head = "| | base | tuned | 95 % interval |\n|---|--:|--:|--:|\n"
        found.append(f"On {report.rows:,} rows of {_plain(Path(report.data).name)}:\n\n{head}" + "\n".join(rows))
    return found


def _data(manifest: dict[str, Any]) -> str:
    data = manifest.get("dataset") or {}
    rows = [f"| {title} | {_plain(data[name])} |" for name, title in _DATA.items() if data.get(name) not in (None, "")]
    return "## Data\n\n| | |\n|---|---|\n" + "\n".join(rows) if rows else ""


def _parameters(manifest: dict[str, Any]) -> str:
    known = manifest.get("parameters") or {}
    rows = [
        f"| {name.replace('_', ' ')} | {_plain(known[name]['value'])} |"
        for name in _PARAMETERS
        if isinstance(known.get(name), dict) and known[name].get("value") not in (None, "", [])
    ]
    seed = f"| seed | {_plain(manifest['seed'])} |" if isinstance(manifest.get("seed"), int) else ""
    versions = ", ".join(
        f"{_plain(name)} {_plain(version)}" for name, version in (manifest.get("versions") or {}).items()
    )
    told = f"\n\n{versions}." if versions else ""
    return "## Parameters\n\n| | |\n|---|---|\n" + "\n".join(filter(None, [*rows, seed])) + told if rows else ""


def _check(made: ExportReport) -> str:
    if made.parity is None:
        return ""
    rows = len(made.parity.rows)
    return (
        f"Before these files were pushed, {rows} prompts went through them and through the model as it was trained: "
        f"{made.parity.same_ids} became the same tokens, and {made.parity.same_answers} greedy answers were equal."
    )


def _plain(value: Any) -> str:
    """A value as a line of text: no markup of its own."""
    return _MARKS.sub(r"\\\1", re.sub(r"\s+", " ", str(value)))
