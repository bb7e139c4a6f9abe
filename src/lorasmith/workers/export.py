"""The export worker: write the model as it is wanted, and let the trained one answer the prompts of the comparison (EXP-4)."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from lorasmith.core import paths
from lorasmith.core.errors import UsageProblem
from lorasmith.core.events import Progress, Step, Warn, Writer
from lorasmith.data.tokenizer import Tokenizer, load_tokenizer
from lorasmith.env.records import is_trusted
from lorasmith.exports.spec import ExportJob
from lorasmith.families import FAMILIES
from lorasmith.workers import diffusers_form, lora, merging, plain
from lorasmith.workers.generate import answer_of, stop_ids
from lorasmith.workers.runtime import run_job

_TOP = 20
_TEMPLATE = "chat_template.jinja"


def export(text: str, events: Writer) -> dict[str, Any]:
    """Fill the target; leave both models' answers where the job says, and how long the writing took."""
    job = ExportJob.model_validate_json(text)
    begun = time.perf_counter()
    _write(job, events)
    seconds = time.perf_counter() - begun
    answers: dict[str, Any] = {}
    if job.conversations:
        answers["trained"] = _trained(job, events)
        if job.kind in ("merged", "adapter"):
            answers["exported"] = _exported(job, events)
    elif job.kind == "merged" and job.reads_back:
        events.send(Step(title="compare", note="weights read back"))
        merging.require_merged(
            job.model_folder, job.family, job.adapter, job.changes, job.target, dtype=_dtype(job.stored_dtype)
        )
    paths.write_json(job.answers, answers)
    return {"seconds": seconds}


def _write(job: ExportJob, events: Writer) -> None:
    def tell(done: int, total: int) -> None:
        events.send(Progress(stage="export", done=done, total=total, unit="" if job.kind == "gguf" else "bytes"))

    if job.kind == "adapter":
        _copy_adapter(job)
    elif job.kind == "merged":
        _merge(job, events, tell)
    elif job.kind == "gguf_adapter":
        from lorasmith.workers.gguf_file import write_adapter

        if job.adapter is None:
            raise UsageProblem("An adapter is needed for this", fix="Name it: --adapter NAME")
        write_adapter(job.model_folder, job.adapter, job.target)
    else:
        _write_gguf(job, tell)


def _copy_adapter(job: ExportJob) -> None:
    if job.adapter is None:
        raise UsageProblem("An adapter is needed for this", fix="Name it: --adapter NAME")
    lora.require_finite(job.adapter, _all(job.adapter / plain.WEIGHTS))
    for file in sorted(job.adapter.iterdir()):
        if file.is_file() and not file.name.startswith("training_state"):
            shutil.copyfile(file, job.target / file.name)
    diffusers_form.write_beside(job.model_folder, job.target)


def _all(file: Path) -> dict[str, torch.Tensor]:
    with safe_open(file, framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  no dictionary


def _merge(job: ExportJob, events: Writer, tell: merging.Tell) -> None:
    files = merging.weight_files(job.model_folder, job.weight_files)
    changes = merging.deltas(job.adapter)
    is_plain = not job.dequantize and job.changes.is_empty
    if files and changes is not None and is_plain and merging.fits_files(changes, files, job.model_folder):
        merging.merge_files(files, changes, job.model_folder, job.target, tell)
    elif job.adapter is None:
        raise UsageProblem(
            "The base has no safetensors files to be written", why=f"It has: {', '.join(job.weight_files)}."
        )
    else:
        why = "The adapter is merged with the whole model in memory: it is more than LoRA on plain weights, or they are none."
        events.send(Warn(message=why))
        merging.merge_loaded(
            job.model_folder, job.family, job.adapter, job.changes, job.target, dtype=_dtype(job.stored_dtype)
        )
    merging.copy_beside(job.model_folder, job.beside, job.target)
    if source := _template(job):
        (job.target / _TEMPLATE).write_text(source, encoding="utf-8")


def _dtype(stored: str) -> str:
    return stored if stored in ("float32", "float16", "bfloat16") else "float32"


def _write_gguf(job: ExportJob, tell: merging.Tell) -> None:
    from lorasmith.workers.gguf_file import write_model

    files = merging.weight_files(job.model_folder, job.weight_files)
    changes = merging.deltas(job.adapter)
    if files is None or changes is None or not merging.fits_files(changes, files, job.model_folder):
        raise UsageProblem(
            "This adapter cannot be written into a GGUF file at once",
            why="It is more than LoRA on plain weights, or it has some for layers that the base's files do not name.",
            fix="Merge it first, and export what comes of it:  lorasmith export MODEL --adapter NAME --to merged --out FOLDER",
        )  # fmt: skip
    write_model(
        job.model_folder,
        files,
        changes,
        job.target,
        quantize=job.quantize,
        template=_template(job),
        name=job.name,
        tell=tell,
    )


def _template(job: ExportJob) -> str:
    """Its source; empty for models that no text is put to."""
    if not (job.model_folder / "tokenizer.json").exists():
        return ""
    return load_tokenizer(job.model_folder, template=job.template).template


# What both say.


def _trained(job: ExportJob, events: Writer) -> list[dict[str, Any]]:
    model = FAMILIES.get(job.family).load(
        job.model_folder, dtype=job.precision, device=job.device, trust_remote_code=is_trusted(job.model_folder),
        changes=job.changes,
    )  # fmt: skip
    if job.adapter:
        model = lora.load_adapters(model, {"trained": job.adapter})
    tokenizer = load_tokenizer(job.model_folder, template=job.template)
    prompts = [_rendered(tokenizer, talk) for talk in job.conversations]
    return _said(job, model, tokenizer, prompts, events)


def _rendered(tokenizer: Tokenizer, talk: list[dict[str, Any]]) -> list[int]:
    if not tokenizer.template:
        return tokenizer.encoder.encode(talk[-1]["content"]).ids
    return tokenizer.encoder.encode(tokenizer.render(talk, prompt=True), add_special_tokens=False).ids  # type: ignore[arg-type]


def _exported(job: ExportJob, events: Writer) -> list[dict[str, Any]]:
    """By transformers alone, from the files that were written, as any other program would."""
    from transformers import AutoTokenizer

    folder = job.model_folder if job.kind == "adapter" else job.target
    trust = is_trusted(job.model_folder)  # the code beside what was written is a copy of its base's
    model = FAMILIES.get(job.family).load(folder, dtype=job.precision, device=job.device, trust_remote_code=trust)
    if job.kind == "adapter":
        model = lora.load_adapters(model, {"exported": job.target})
    theirs: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
    if job.kind == "adapter" and (job.target / _TEMPLATE).exists():
        theirs.chat_template = (job.target / _TEMPLATE).read_text(encoding="utf-8")
    if not theirs.chat_template:
        prompts = [theirs(talk[-1]["content"])["input_ids"] for talk in job.conversations]
    else:
        prompts = [
            theirs.apply_chat_template(talk, add_generation_prompt=True, return_dict=True)["input_ids"]
            for talk in job.conversations
        ]
    return _said(job, model, load_tokenizer(folder), prompts, events)


@torch.inference_mode()
def _said(
    job: ExportJob, model: Any, tokenizer: Tokenizer, prompts: list[list[int]], events: Writer
) -> list[dict[str, Any]]:  # fmt: skip
    """Each prompt by itself, as padding would blur what is compared."""
    stops = stop_ids(model, tokenizer)
    said: list[dict[str, Any]] = []
    for ids, talk in zip(prompts, job.conversations, strict=True):
        given = torch.tensor([ids], device=job.device)
        out = model.generate(
            input_ids=given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=job.max_new_tokens,
            eos_token_id=stops, pad_token_id=tokenizer.pad_id, output_scores=True, return_dict_in_generate=True,
        )  # fmt: skip
        tops = [scores[0].float().softmax(-1).topk(min(_TOP, scores.shape[-1])) for scores in out.scores]
        answer = out.sequences[0, -len(out.scores) :].tolist()  # an encoder-decoder's begin with a token of its own
        said.append({
            "ids": ids, "answer": [one for one in answer if one not in stops], "prompt": str(talk[-1]["content"]),
            "text": answer_of(answer, stops, tokenizer),
            "chances": [list(zip(top.indices.tolist(), top.values.tolist(), strict=True)) for top in tops],
            "pieces": [tokenizer.encoder.id_to_token(one) or "" for one in ids],
        })  # fmt: skip
        events.send(Progress(stage="compare", done=len(said), total=len(prompts), unit="prompts"))
    return said


if __name__ == "__main__":
    run_job(export, lambda text: Path(json.loads(text)["events"]))
