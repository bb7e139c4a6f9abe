"""One small real model of each architecture, built from its own configuration in seconds, tokenizer included (TST-3).

Weights are random: these models are for loading, training, saving and serving code, not for answers worth reading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorasmith.core.errors import NotFoundProblem
from lorasmith.core.registry import nearest
from lorasmith.data.tokenizer import CHATML

VOCABULARY = 384
_SPECIAL = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
_TEXT = (
    "The quick brown fox jumps over the lazy dog.",
    "Question: what is two and two? Answer: four.",
    "system user assistant invoice total date name number",
    "0 1 2 3 4 5 6 7 8 9 10 20 30 40 50 60 70 80 90 100",
)
_SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 4,
}
_MIXTURE = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "n_inner": 64}

# Name → (model_type, what differs from the small Llama-like shape). `None` removes a key the architecture lacks.
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "mistral": ("mistral", {"sliding_window": 64, "head_dim": 8}),
    "mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 8}),
    "qwen3_moe": ("qwen3_moe", {"num_experts": 4, "head_dim": 8, **_MIXTURE}),
    "gemma2": ("gemma2", {"head_dim": 8, "sliding_window": 64, "query_pre_attn_scalar": 8}),
    "gemma3": ("gemma3_text", {"head_dim": 8, "sliding_window": 64, "query_pre_attn_scalar": 8}),
    "phi": ("phi", {}),
    "phi3": ("phi3", {"original_max_position_embeddings": 256}),
    "gpt2": ("gpt2", {**_GPT2, **dict.fromkeys(_SMALL.keys() - {"vocab_size", "pad_token_id", "bos_token_id", "eos_token_id"})}),
    "gpt_neox": ("gpt_neox", {"num_key_value_heads": None}),
    "gpt_oss": ("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8, "sliding_window": 64}),
    "deepseek_v3": (
        "deepseek_v3",
        {
            "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
            "v_head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_group": 1,
            "topk_group": 1, "first_k_dense_replace": 1,
        },
    ),
    "olmo2": ("olmo2", {}),
    "falcon": ("falcon", {"num_kv_heads": 2, "new_decoder_architecture": True, "num_key_value_heads": None, "intermediate_size": None}),
    "granite": ("granite", {}),
    "smollm3": ("smollm3", {}),
}  # fmt: skip
NAMES = tuple(ARCHITECTURES)


def tokenizer_files(folder: Path, *, template: str = CHATML) -> None:
    """A byte-level BPE tokenizer with ChatML turns, as transformers saves one. An empty template leaves it out."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    encoder = Tokenizer(models.BPE())
    encoder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    encoder.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=_SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    encoder.train_from_iterator(_TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=encoder, pad_token="<pad>", bos_token="<s>", eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"], model_max_length=256, clean_up_tokenization_spaces=False,
    )  # fmt: skip
    if template:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def build(name: str, folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """A small model of architecture `name` in `folder`: configuration, weights, tokenizer. `changes` go to its configuration.

    Raises NotFoundProblem for an unknown name.
    """
    if name not in ARCHITECTURES:
        raise NotFoundProblem(f"There is no tiny model '{name}'", why=nearest(name, NAMES))
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    model_type, differences = ARCHITECTURES[name]
    fields = {key: value for key, value in {**_SMALL, **differences, **changes}.items() if value is not None}
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **fields))
    model.save_pretrained(folder)
    tokenizer_files(folder)
    return folder
