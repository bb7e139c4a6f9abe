"""What a model can do, read off its configuration, tokenizer and chat template (CHK-5)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.core.templates import template_in
from lorasmith.hub.probe import TemplateTrouble, probe
from lorasmith.hub.repository import Repository

_THINKING = (
    "<think>",
    "<|thinking|>",
    "<thinking>",
    "[think]",
    "<|channel|>analysis",
    "<|start_thinking|>",
    "<reasoning>",
    "enable_thinking",
)
_MAX_TEMPLATE_BYTES = 2**20
_WRITES = (
    "text-generation",
    "text2text-generation",
    "image-text-to-text",
    "any-to-any",
    "audio-text-to-text",
    "translation",
    "summarization",
    "image-to-text",
)


class Capabilities(BaseModel):
    """What goes in, what comes out, and how one can talk to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: list[str]
    outputs: list[str]
    chat_template: bool = False
    system_prompt: bool = False
    tool_calls: bool = False
    reasoning: bool = False
    streaming: bool = False
    max_context: int | None = None
    template_trouble: str = ""


_SIGNALS: dict[str, tuple[list[str], list[str]]] = {
    "image-text-to-text": (["text", "image"], ["text"]), "image-to-text": (["image"], ["text"]),
    "any-to-any": (["text", "image", "audio"], ["text"]),
    "video-text-to-text": (["text", "video"], ["text"]), "visual-question-answering": (["text", "image"], ["text"]),
    "feature-extraction": (["text"], ["vectors"]), "sentence-similarity": (["text"], ["vectors"]),
    "fill-mask": (["text"], ["words", "vectors"]),
    "zero-shot-image-classification": (["text", "image"], ["vectors"]),
    "visual-document-retrieval": (["text", "image"], ["vectors"]),
    "text-classification": (["text"], ["labels"]), "token-classification": (["text"], ["labels"]),
    "text-ranking": (["text"], ["scores"]),
    "automatic-speech-recognition": (["audio"], ["text"]), "audio-text-to-text": (["text", "audio"], ["text"]),
    "text-to-speech": (["text"], ["audio"]), "text-to-audio": (["text"], ["audio"]),
    "audio-classification": (["audio"], ["labels"]),
    "image-classification": (["image"], ["labels"]), "object-detection": (["image"], ["boxes"]),
    "zero-shot-object-detection": (["text", "image"], ["boxes"]),
    "image-segmentation": (["image"], ["masks"]), "mask-generation": (["image", "points"], ["masks"]),
    "depth-estimation": (["image"], ["depth"]),
    "image-feature-extraction": (["image"], ["vectors"]), "keypoint-detection": (["image"], ["points"]),
    "video-classification": (["video"], ["labels"]),
    "text-to-image": (["text"], ["image"]), "image-to-image": (["text", "image"], ["image"]),
    "text-to-video": (["text"], ["video"]),
    "image-to-video": (["image"], ["video"]), "unconditional-image-generation": ([], ["image"]),
    "question-answering": (["text"], ["text"]),
    "document-question-answering": (["image", "text"], ["text"]), "time-series-forecasting": (["numbers"], ["numbers"]),
}  # fmt: skip


def capabilities_of(repository: Repository, evidence: Evidence, facts: ModelFacts) -> Capabilities:
    """Capabilities of a recognised model. A template is rendered in a process of its own."""
    template = _template(repository, evidence)
    inputs, outputs = _SIGNALS.get(facts.task, (["text"], ["text"]))
    if facts.family == "document" and facts.task == "token-classification":
        inputs, outputs = ["image", "words", "boxes"], ["labels"]
    if evidence.has("vision_config") and evidence.has("audio_config") and "audio" not in inputs:
        inputs = [*inputs, "audio"]
    found: dict[str, bool] = {}
    trouble = ""
    if template:
        try:
            found = probe(template, _special_tokens(evidence))
        except TemplateTrouble as error:
            trouble = str(error)
    return Capabilities(
        inputs=inputs,
        outputs=outputs,
        chat_template=bool(template),
        system_prompt=found.get("system", False),
        tool_calls=found.get("tools", False),
        reasoning=_thinks(evidence, template),
        streaming=facts.task in _WRITES,
        max_context=facts.max_positions if facts.vocab_size and facts.family != "diffusion" else None,
        template_trouble=trouble,
    )


def _template(repository: Repository, evidence: Evidence) -> str:
    for name in ("chat_template.jinja", "chat_template.json"):
        if 0 < repository.files.get(name, 0) <= _MAX_TEMPLATE_BYTES:
            text = repository.read(name).decode("utf-8", errors="replace")
            return text if name.endswith(".jinja") else template_in(_json(text))
    return template_in(evidence.document("tokenizer_config.json")) or template_in(
        evidence.document("processor_config.json")
    )


def _json(text: str) -> dict[str, Any]:
    import json

    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _special_tokens(evidence: Evidence) -> dict[str, str]:
    config = evidence.document("tokenizer_config.json")
    tokens: dict[str, str] = {}
    for name in ("bos_token", "eos_token", "pad_token"):
        value = config.get(name)
        tokens[name] = str(value.get("content", "")) if isinstance(value, dict) else str(value or "")
    return tokens


def _thinks(evidence: Evidence, template: str) -> bool:
    added = evidence.document("tokenizer_config.json").get("added_tokens_decoder")
    words = (
        [str(entry.get("content", "")) for entry in added.values() if isinstance(entry, dict)]
        if isinstance(added, dict)
        else []
    )
    text = "\n".join([template, *words]).lower()
    return any(word in text for word in _THINKING) or "reasoning" in evidence.tags
