"""How models of transformers are loaded, with their tokenizers and processors; the base of every family of them.

transformers and torch are imported inside the functions: the control plane imports this file.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.core.samples import ModelChanges
from lorasmith.families._base import Family

_LACKING = "torchvision"
_OLD_HEAD = "WithLMHeadModel"  # before transformers 4 had one head for each task
_MOST = 0.5
_SHOWN_FILES = 3


class Parts(NamedTuple):
    """The parts of a processor that cannot be made as a whole: there is none, or it takes torchvision for its videos."""

    tokenizer: Any
    image_processor: Any


class TransformersFamily(Family):
    """A family whose models transformers loads."""

    processor_class: str = "AutoProcessor"

    def auto_class(self, config: Any) -> str:  # noqa: ARG002
        """The Auto class to load by; empty: the class that the configuration names, AutoModel where it names none."""
        return ""

    def load(
        self, folder: Path, *, dtype: str, device: str, quantization: str = "none", trust_remote_code: bool = False,
        changes: ModelChanges | None = None,
    ) -> Any:  # fmt: skip
        from torch.nn import Module

        config = read("AutoConfig", folder, trust_remote_code=trust_remote_code)
        options = load_options(dtype, device, quantization)
        if changes and changes.auto_class:
            kind = _with_head(config, changes)
            options |= {"config": config, "ignore_mismatched_sizes": True}
        else:
            kind = _class_for(folder, config, self.auto_class(config), trust_remote_code=trust_remote_code)
        if getattr(config, "quantization_config", None):  # as its files are: it cannot be moved afterwards
            options["device_map"] = {"": device}
        model, told = kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code, output_loading_info=True, **options
        )
        model.changes = changes or ModelChanges()
        if not _names_embeddings(model):
            model.get_input_embeddings = Module  # PEFT asks every model for them
        model.made_up_weights = _made_up(model, {*told["missing_keys"], *(one[0] for one in told["mismatched_keys"])})
        if changes and changes.tokens:
            teach_tokens(model, folder, changes.tokens, trust_remote_code=trust_remote_code)
        placed = keep_layout(model) if getattr(model, "hf_quantizer", None) else model.to(device)
        return placed.eval().requires_grad_(False)

    def processor(
        self, folder: Path, model: Any, *, trust_remote_code: bool = False, changes: ModelChanges | None = None
    ) -> Any:
        kind = self.processor_kind(model)
        if kind is None:
            return None
        found = read_processor(kind, folder, model, trust_remote_code=trust_remote_code)
        if changes and changes.tokens:
            add_tokens(getattr(found, "tokenizer", found), changes.tokens)
        return found

    def processor_kind(self, model: Any) -> str | None:  # noqa: ARG002
        """The Auto class of what makes the model's inputs; None where it takes numbers as they are."""
        return self.processor_class


def _names_embeddings(model: Any) -> bool:
    """Whether it says which its embeddings are; some that read no words raise instead."""
    try:
        model.get_input_embeddings()
    except NotImplementedError:
        return False
    return True


def _with_head(config: Any, changes: ModelChanges) -> Any:
    """The Auto class that has a head for the changes' classes, which the configuration is told of."""
    import transformers

    config.num_labels = len(changes.labels)
    config.id2label = dict(enumerate(changes.labels))
    config.label2id = {name: number for number, name in enumerate(changes.labels)}
    config.problem_type = None
    return getattr(transformers, changes.auto_class)


def add_tokens(tokenizer: Any, tokens: Sequence[str]) -> None:
    """Teach a tokenizer tokens that are never cut and never stripped of the blanks around them."""
    from transformers import AddedToken

    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in tokens], special_tokens=True)


def teach_tokens(model: Any, folder: Path, tokens: Sequence[str], *, trust_remote_code: bool) -> None:
    """Make room for `tokens` in a model's embeddings and head. A new row is the mean of those of the token's own pieces, so that
    every loading makes the same."""
    import torch

    tokenizer = read("AutoTokenizer", folder, trust_remote_code=trust_remote_code)
    pieces = [
        tokenizer(token.strip("</>").removeprefix("s_"), add_special_tokens=False)["input_ids"] for token in tokens
    ]
    add_tokens(tokenizer, tokens)
    numbers = tokenizer.convert_tokens_to_ids(list(tokens))
    writer = getattr(model, "decoder", model)
    rows = writer.get_input_embeddings().weight.shape[0]
    if max(numbers) >= rows:
        writer.resize_token_embeddings(max(numbers) + 1, mean_resizing=False)
    head = writer.get_output_embeddings()
    tables = [writer.get_input_embeddings().weight, *([head.weight] if head is not None else [])]
    with torch.no_grad():
        for table in tables:
            for number, own in zip(numbers, pieces, strict=True):
                if number >= rows:
                    table[number] = table[own].mean(0) if own else table[:rows].mean(0)
    if hasattr(model.config, "vocab_size"):
        model.config.vocab_size = tables[0].shape[0]


def load_options(dtype: str, device: str, quantization: str) -> dict[str, Any]:
    """What every `from_pretrained` is asked for number formats. Raises EnvironmentProblem without bitsandbytes."""
    import torch

    options: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    if quantization == "none":
        return options
    if importlib.util.find_spec("bitsandbytes") is None:
        raise EnvironmentProblem(
            "Loading the model quantized: a package is missing: bitsandbytes", fix="pip install bitsandbytes"
        )
    from transformers import BitsAndBytesConfig

    how: dict[str, Any] = {"load_in_8bit": True}
    if quantization == "4bit":
        how = {
            "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": options["dtype"],
        }  # fmt: skip
    return options | {"quantization_config": BitsAndBytesConfig(**how), "device_map": {"": device}}


def keep_layout(model: Any) -> Any:
    """`model`, whose weights in 4 bit stay as they were quantized.

    On CPUs with AVX512-BF16 bitsandbytes 0.50 repacks them at the first forward pass without gradients, for good: layers of fewer
    than 64 inputs break, and what is trained afterwards gets no gradient through the packed layer.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def takes(model: Any) -> Mapping[str, inspect.Parameter]:
    """The inputs of a model by name."""
    return inspect.signature(model.forward).parameters


def read(kind: str, folder: Path, *, trust_remote_code: bool) -> Any:
    """A configuration, tokenizer or processor by its Auto class. Raises UsageProblem where it is code that is not trusted."""
    import transformers

    reader: Any = getattr(transformers, kind)
    try:
        return reader.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    except ValueError as error:
        if trust_remote_code or "trust_remote_code" not in str(error):
            raise
        raise untrusted(folder) from error


def read_processor(kind: str, folder: Path, model: Any, *, trust_remote_code: bool) -> Any:
    """The processor of the model, or its parts where it has none as a whole or torchvision is missing.

    Raises EnvironmentProblem for a tokenizer without its vocabulary.
    """
    found = _read_processor(kind, folder, model, trust_remote_code=trust_remote_code)
    check_vocabulary(getattr(found, "tokenizer", found), folder)
    return found


def check_vocabulary(tokenizer: Any, folder: Path) -> None:
    """Since transformers 5 a tokenizer whose files are missing is an empty one, and no error. Raises EnvironmentProblem."""
    names = {name for name in getattr(tokenizer, "vocab_files_names", {}).values() if isinstance(name, str)}
    others = ("tokenizer.json", "tokenizer.*.json", "*.model", "*.tiktoken", "tekken.json", "vocab*")
    if (
        names
        and not any((folder / name).is_file() for name in names)
        and not any(any(folder.glob(one)) for one in others)
    ):
        raise EnvironmentProblem(
            "The model cannot be loaded",
            why=f"The vocabulary of its tokenizer is missing: {' or '.join(sorted({'tokenizer.json', *names}))}.",
            fix="Fetch the model again.",
        )


def _read_processor(kind: str, folder: Path, model: Any, *, trust_remote_code: bool) -> Any:
    try:
        whole = read(kind, folder, trust_remote_code=trust_remote_code)
    except ImportError as error:
        if _LACKING not in str(error).lower() or importlib.util.find_spec(_LACKING):
            raise
    else:
        if kind != "AutoProcessor" or "pixel_values" not in takes(model) or hasattr(whole, "image_processor"):
            return whole
    return Parts(
        read("AutoTokenizer", folder, trust_remote_code=trust_remote_code),
        read("AutoImageProcessor", folder, trust_remote_code=trust_remote_code),
    )


def untrusted(folder: Path, code: str = "") -> UsageProblem:
    """The refusal to run a model's own code, which is `code`, or else the Python files in its folder."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    code = code or ", ".join(files[:_SHOWN_FILES]) or "code that is not in its folder"
    return UsageProblem(
        "The model runs code of its own, and you have not said that you trust it",
        why=f"It names {code}.",
        fix=f"Read the Python files in '{folder}'; if you trust them, say so where you install or serve it: --trust-remote-code."
        " A model that was installed so is trained, measured and exported with the same trust.",
    )


def _class_for(folder: Path, config: Any, auto_class: str, *, trust_remote_code: bool) -> Any:
    """The class to load by; `auto_class` is what the family would take.

    Raises UsageProblem where it is the repository's own and not trusted, EnvironmentProblem where nobody has it.
    """
    import transformers

    named = (getattr(config, "architectures", None) or [""])[0]
    own: dict[str, Any] = {
        key: value for key, value in (getattr(config, "auto_map", None) or {}).items() if key.startswith("AutoModel")
    }
    is_known = hasattr(transformers, named) or any(name.lower() == named.lower() for name in dir(transformers))
    if not is_known and own:
        if not trust_remote_code:
            raise untrusted(folder, named or str(next(iter(own.values()))))
        fitting = [key for key, value in own.items() if str(value).endswith(f".{named}")]
        return getattr(transformers, (fitting or list(own))[0])
    if named and not is_known and not named.endswith(_OLD_HEAD):
        raise EnvironmentProblem(
            "The model cannot be loaded",
            why=f"Its configuration names the class '{named}', which transformers {transformers.__version__} does not have.",
            fix="A newer transformers may have it; its page on the Hub says from which version on.",
        )  # fmt: skip
    return getattr(transformers, auto_class or (named if hasattr(transformers, named) else "AutoModel"))


def _made_up(model: Any, missing: Any) -> list[str]:
    """Names of weights that the files lack and that were drawn at random.

    Raises EnvironmentProblem where they are most: then the files hold another model, and random numbers would answer.
    """
    names = sorted(str(name) for name in missing)
    if len(names) > _MOST * len(list(model.state_dict())):
        raise EnvironmentProblem(
            "The model cannot be loaded",
            why=f"Its files lack {len(names)} weights of {type(model).__name__}: {names[0]} …",
            fix="The files and config.json are of two models: fetch them again.",
        )
    return names
