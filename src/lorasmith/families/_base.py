"""What a family file must say of itself. No family is named here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import ModelChanges
from lorasmith.families._calls import Answer, Call, Tell
from lorasmith.families._lessons import Lesson

ArchitectureType = Literal[
    "decoder-only", "encoder-only", "encoder-decoder", "state-space", "rnn", "hybrid", "diffusion", "dual-encoder"
]


class Recognition(NamedTuple):
    """A family's claim to a model. The highest `weight` wins; `why` is one clause for the report."""

    weight: int
    architecture_type: ArchitectureType
    task: str
    """In the Hub's words: its pipeline tags, https://huggingface.co/tasks."""
    why: str


# Weights, from what cannot mean anything else to what is left over.
BY_LAYOUT = 100  # files that only such repositories hold
BY_STRUCTURE = 80  # parts of the configuration
BY_SIGNAL = 70  # what goes in: sound, pixels
BY_HEAD = 60  # the class that is named
BY_SHAPE = 40  # what the fields look like, no class being named
LEFT_OVER = 10


# Parts of the names of weights with two sides that are no linear layers, or that are trained in full or not at all.
NOT_ADAPTED = (
    "embed", "wte", "wpe", "lm_head", "norm", "ln_", "embed_out", "shared", "score", "rotary", "classifier", "pooler",
    "cls.", "proj_out", "position", "relative_attention_bias", "qa_outputs", "quantizer", "codevectors", "predictions",
    "dt_proj",  # of Mamba, Falcon-Mamba, Jamba: the scan reads its weight and passes the layer by
)  # fmt: skip


class Family(ABC):
    """One model family. A plug-in module in `families/` holds one as `plugin`."""

    name: str
    title: str
    primary_library: str = "transformers"
    runs: tuple[ArchitectureType, ...] = ()
    """Kinds that learn from tokens alone, as language models do; others are taught by `lessons`."""
    tasks: tuple[str, ...] = ()
    """Pipeline tags that are this family's: one of them on the Hub's page refines the task."""
    call: type[Call] | None = None
    """What a request to a served model of this family holds; None: it cannot be served yet."""

    @abstractmethod
    def recognise(self, evidence: Evidence) -> Recognition | None:
        """The claim to a model, or None: by structure, never by its name."""

    def adapts(self, name: str, shape: list[int]) -> bool:
        """Whether LoRA adapts the weight of this name and shape: every linear layer but embeddings and heads."""
        return name.endswith(".weight") and len(shape) == 2 and not any(part in name for part in NOT_ADAPTED)

    usual_targets: tuple[str, ...] = ()
    """Names of the layers that LoRA goes on where nobody says which; empty: all that `adapts`."""

    def adapts_texts(self, name: str, shape: list[int]) -> bool:  # noqa: ARG002
        """Whether the weight is one of a text encoder beside the model, which LoRA adapts where it is asked to."""
        return False

    def lessons(self, facts: ModelFacts) -> tuple[Lesson, ...]:  # noqa: ARG002
        """What this model can be taught besides texts, by the formats of data that teach it; the natural one first."""
        return ()

    def can_learn(self, facts: ModelFacts) -> bool:
        """Whether the model can be trained at all."""
        return facts.architecture_type in self.runs or bool(self.lessons(facts))

    # The hooks below belong to the worker plane: they import torch. Files are read from `folder` alone, never from the network,
    # and Python files among them run only with `trust_remote_code`. Errors of libraries pass through as they are.

    def load(
        self, folder: Path, *, dtype: str, device: str, quantization: str = "none", trust_remote_code: bool = False,
        changes: ModelChanges | None = None,
    ) -> Any:  # fmt: skip
        """The model, frozen, in `dtype` on `device`; `quantization` is none, 8bit or 4bit. `changes` are those that a training,
        or an adapter, makes of it.

        Raises NotImplementedError where the family cannot be loaded yet.
        """
        raise NotImplementedError(f"{self.title} cannot be loaded yet")

    def processor(
        self, folder: Path, model: Any, *, trust_remote_code: bool = False, changes: ModelChanges | None = None,  # noqa: ARG002
    ) -> Any:  # fmt: skip
        """What makes inputs for the loaded `model` of texts, images or sound; None where it takes numbers as they are."""
        return None

    def probe(self, model: Any, processor: Any) -> str:  # noqa: ARG002
        """Make one real, small call of a loaded model on made-up input, and say what came of it: "wrote 5 tokens".

        Empty where nobody has written down yet how such a model is called.
        """
        return ""

    def writes(self, model: Any) -> bool:  # noqa: ARG002
        """Whether a loaded model answers token by token, by `generate`; else it answers by `answer`."""
        return False

    def can(self, model: Any) -> dict[str, bool]:  # noqa: ARG002
        """Of what the family's calls may ask, by its name in /info: what not every model of it can."""
        return {}

    def wearer(self, model: Any) -> Any:
        """The module of a loaded model that adapters are put on; None where it takes none."""
        return model if hasattr(model, "named_modules") else None

    def answer(self, model: Any, processor: Any, call: Call, media: list[bytes], tell: Tell) -> Answer:
        """Answer one call of the family's own kind; `media` are the files that `call.media()` names, as bytes.

        Raises UsageProblem where this model cannot do what is asked, DataProblem for a file that cannot be read, and lets through
        what `tell` raises. Families that write token by token are called otherwise (workers/serve.py) and leave this out.
        """
        raise NotImplementedError(f"{self.title} cannot be served yet")


def task_by_head(evidence: Evidence, heads: Mapping[str, str]) -> str:
    """The task of the first head (part of a class name) that the model names; empty without one."""
    return next((task for part, task in heads.items() if evidence.speaks_of(part)), "")
