"""What is trained: a frozen base with adapters on it, or all of a model's weights. Made, saved and read back here alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import transformers

from lorasmith.core.errors import DataProblem, EnvironmentProblem
from lorasmith.core.samples import ModelChanges
from lorasmith.env.records import is_trusted
from lorasmith.families import FAMILIES
from lorasmith.families._learning import Learning
from lorasmith.plan.choose import TrainPlan
from lorasmith.training.spec import WorkerSpec, result_folder
from lorasmith.workers import diffusers_form, lora, merging
from lorasmith.workers.joined import join
from lorasmith.workers.packing import use_packing
from lorasmith.workers.quick import use_quick_parts
from lorasmith.workers.targets import lies_in

_FILES_BESIDE = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "vocab.json", "merges.txt",
    "tokenizer.model", "generation_config.json", "preprocessor_config.json", "processor_config.json", "vocab.txt",
    "video_preprocessor_config.json", "added_tokens.json", "spiece.model", "sentencepiece.bpe.model", "normalizer.json",
)  # fmt: skip


def load_base(spec: WorkerSpec) -> Any:
    """The untouched model, frozen, as the plan wants it in memory. Raises EnvironmentProblem for damaged weights."""
    plan = spec.plan
    # All weights are trained in fp32: in half precision most steps would be too small to change them.
    dtype = "float32" if plan.method == "full" else plan.precision
    return FAMILIES.get(spec.family).load(
        spec.model_folder, dtype=dtype, device=plan.device, quantization="4bit" if plan.method == "qlora" else "none",
        trust_remote_code=is_trusted(spec.model_folder), changes=spec.changes,
    )  # fmt: skip


def require_known(base: Any, largest_id: int) -> None:
    """Raises DataProblem where the data's largest token id is of none that the model knows."""
    rows = base.get_input_embeddings().weight.shape[0]
    if largest_id >= rows:
        raise DataProblem(
            f"The tokenizer makes the token {largest_id}, and the model knows only {rows:,}",
            why="Tokens were added and the model's embeddings were not resized, or the two do not belong together.",
            fix="Use the tokenizer of this very model, or resize: model.resize_token_embeddings(len(tokenizer)).",
        )


def require_finite(loss: float, model: torch.nn.Module, folder: Path) -> None:
    """Raises EnvironmentProblem where `loss`, of the untouched model, is no finite number: naming the weight that is to blame, or
    the number format."""
    if math.isfinite(loss):
        return
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            bad = int((~torch.isfinite(weight)).sum())
            raise EnvironmentProblem(
                f"The model's weights are damaged: '{name}' holds {bad:,} values that are no finite numbers",
                why=f"Any loss computed with '{folder.name}' is no number either.",
                fix="Fetch the model again (lorasmith install), or repair the file it came from.",
            )
    raise EnvironmentProblem(
        "The untouched model's loss on these rows is no finite number",
        why="Its weights are finite: numbers grow too large for their format on the way.",
        fix="Compute in another format: --precision float32 (or bfloat16).",
    )


def hold_statistics(model: torch.nn.Module) -> None:
    """Keep the running means of batch norms, which an adapter does not hold: they would follow the data, and the adapter would be
    of a base that nobody else has."""
    for part in model.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.eval()
            part.train = lambda mode=True, part=part: part  # type: ignore[method-assign]  # noqa: ARG005


def with_new_parts(plan: TrainPlan, base: Any, changes: ModelChanges) -> TrainPlan:
    """The plan with what of the model is new, and has to be trained in full: the head of a dataset's classes."""
    if not changes.labels:
        return plan
    heads = [*dict.fromkeys([*plan.modules_to_save, *heads_of(base)])]
    return plan.model_copy(update={"modules_to_save": heads})


def heads_of(base: Any) -> list[str]:
    """What of a model is trained in full where it has new classes: its outermost parts that are not the body they stand on, and
    whatever in the body was drawn at random for them (RT-DETR has a head after each layer)."""
    body = getattr(base, "base_model_prefix", "")
    parts = {name: part for name, part in base.named_children() if any(True for _ in part.parameters())}
    heads: list[str] = []
    for name, part in parts.items() if body in parts else ():
        if isinstance(part, torch.nn.ModuleList):  # it is never called, its members are
            heads += [f"{name}.{number}" for number in range(len(part))]
        elif name != body:
            heads.append(name)
    drawn = dict.fromkeys(name.rpartition(".")[0] for name in getattr(base, "made_up_weights", ()))
    return [*heads, *(name for name in drawn if name and not lies_in(name, heads))]


def new_tokens(base: Any, changes: ModelChanges, learning: Learning | None) -> dict[str, list[int]]:
    """By the name of the embeddings' module, and of the head's, which rows are new.

    The head is left to PEFT where it is the same weight and PEFT sees that. It looks at the embeddings and configuration of the
    whole model, and so passes over the decoder of an encoder-decoder: its new tokens would be read but never written.
    """
    if not changes.tokens or learning is None:
        return {}
    writer = getattr(base, "decoder", base)
    numbers = learning.tokenizer.convert_tokens_to_ids(list(changes.tokens))
    table, head = writer.get_input_embeddings(), writer.get_output_embeddings()
    is_seen = head is not None and head.weight is table.weight and _ties(base, table)
    found = [table] if head is None or is_seen else [table, head]
    return {name: sorted(numbers) for name, part in base.named_modules() if any(part is one for one in found)}


def _ties(base: Any, table: Any) -> bool:
    """Whether PEFT gives the head what the embeddings learn."""
    return bool(getattr(base.config, "tie_word_embeddings", False)) and base.get_input_embeddings() is table


class Learner:
    """A model ready to learn. `model` is what is called; `save` and `restore` move what has been learnt."""

    def __init__(self, spec: WorkerSpec, base: Any, learning: Learning | None = None):
        self.spec, self.learning = spec, learning
        self.is_full = spec.plan.method == "full"
        self.is_joined = False
        plan = spec.plan
        if learning:
            base = FAMILIES.get(spec.family).wearer(base)
            plan = with_new_parts(plan, base, spec.changes)
        transformers.set_seed(spec.spec.seed)  # adapters start the same however much loading drew from the generator
        if self.is_full:
            self.model: Any = base.requires_grad_(True)
        else:
            name = spec.model_id if "/" in spec.model_id else str(spec.model_folder)
            self.model = lora.apply_lora(base, plan, name, tokens=new_tokens(base, spec.changes, learning))
            hold_statistics(self.model)
            self.is_joined = bool(join(self.model))
            if self.is_joined:
                use_quick_parts(self.model)
        self.is_packing = plan.packing and use_packing(self.model)
        if plan.checkpointing:
            # Not by the Trainer's argument: PEFT would then ask for gradients of the embeddings, and every frozen layer would be
            # walked back.
            enable = getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable
            enable({"use_reentrant": False})

    @property
    def name(self) -> str:
        """The folder, beside the report, in which the result lies."""
        return result_folder(self.spec.plan.method)

    def save(self, folder: Path) -> None:
        """What has been learnt, in a form that loads by itself (a whole model) or onto the base (an adapter)."""
        if not self.is_full:
            lora.save_adapter(self.model, folder)
            self.spec.changes.write(folder)
            if self.learning:
                self.learning.save_beside(folder)
            diffusers_form.write_beside(self.spec.model_folder, folder)
            return
        self.model.save_pretrained(folder, safe_serialization=True)
        if self.learning:
            self.learning.save_beside(folder)
        there = [name for name in _FILES_BESIDE if (self.spec.model_folder / name).is_file()]
        merging.copy_beside(self.spec.model_folder, there, folder)

    def restore(self, folder: Path) -> None:
        """Take up what `save`, or a checkpoint, kept in `folder`."""
        if not self.is_full:
            lora.restore_adapter(self.model, folder)
            return
        kind = type(self.model)
        saved = kind.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        self.model.load_state_dict(saved.state_dict())
