"""Language models that write: Llama, Mistral, Qwen, Gemma, GPT-2, Phi and their like; T5 and BART with an encoder before."""

from __future__ import annotations

from typing import Any

from lorasmith.core.evidence import Evidence
from lorasmith.core.facts import ModelFacts
from lorasmith.families._base import BY_HEAD, BY_SHAPE, Recognition
from lorasmith.families._calls import TextCall
from lorasmith.families._lessons import Lesson
from lorasmith.families._transformers import TransformersFamily

_WRITING_HEADS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
# Keys of layers that carry a state instead of looking back, in models that are language models otherwise.
_LINEAR_ATTENTION = ("linear_num_key_heads", "linear_key_head_dim", "linear_attn_config", "conv_L_cache", "block_types")


_TEXTS = Lesson(
    "text2text-generation", ("prompt-completion", "question-answer", "alpaca", "self-instruct", "openai", "sharegpt"), "language",
    "lorasmith.families._learning_texts:Texts", ("exact_match", "chrf", "rouge", "perplexity"),
    wanted=lambda sample: sample.messages[-1]["content"], written=lambda sample: sample.messages[-1]["content"],
)  # fmt: skip


class Language(TransformersFamily):
    name = "language"
    title = "Language models"
    runs = ("decoder-only", "hybrid")
    call = TextCall
    processor_class = "AutoTokenizer"
    tasks = ("text-generation", "text2text-generation", "translation", "summarization", "conversational")

    def recognise(self, evidence: Evidence) -> Recognition | None:
        named = evidence.speaks_of(*_WRITING_HEADS) or evidence.ends(
            "EncoderDecoderModel", "GenerationDecoder", "WithLMHead"
        )
        if evidence.config.get("is_encoder_decoder") and (
            named or (evidence.has("vocab_size") and (evidence.ends("Model") or not evidence.architectures))
        ):
            return Recognition(BY_HEAD, "encoder-decoder", "text2text-generation", "text goes in, text comes out")
        kind = "hybrid" if evidence.has(*_LINEAR_ATTENTION) else "decoder-only"
        if named:
            return Recognition(
                BY_HEAD, kind, "text-generation", f"{evidence.architectures[0]} writes from left to right"
            )
        if (
            not evidence.architectures
            and evidence.has("vocab_size")
            and evidence.has("num_key_value_heads", "rms_norm_eps", "n_head", "rotary_dim")
        ):
            return Recognition(BY_SHAPE, kind, "text-generation", "fields of a decoder, no class being named")
        return None

    def lessons(self, facts: ModelFacts) -> tuple[Lesson, ...]:
        """Decoders learn from tokens alone (`runs`); an encoder before them makes it another matter."""
        return (_TEXTS,) if facts.architecture_type == "encoder-decoder" else ()

    def auto_class(self, config: Any) -> str:
        """By its task: where the configuration names the bare model, that one has no head."""
        return "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else "AutoModelForCausalLM"

    def writes(self, model: Any) -> bool:
        return bool(model.can_generate())

    def probe(self, model: Any, processor: Any) -> str:
        from lorasmith.families._probes import TEXT, tokens, write

        return write(model, tokens(model, processor, TEXT))


plugin = Language()
