"""A tokenizer.json in a GGUF file: its tokens, merges, special tokens and chat template as llama.cpp reads them.

llama.cpp parts a text by rules that are in its own code, chosen by a name; what is written here is the name of those that part
as the tokenizer does. Where it has none, the nearest is written, and the comparison after the export shows what that changes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gguf

from lorasmith.core.errors import UsageProblem
from lorasmith.core.paths import read_json
from lorasmith.data.tokenizer import load_tokenizer

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# By the regular expressions in a tokenizer's pre_tokenizer: llama-vocab.cpp, llm_tokenizer_bpe.
_BY_PATTERN = {
    _CONTRACTIONS + _WORDS + r"\p{N}{1,3}" + _REST: "llama-bpe",
    _CONTRACTIONS + _WORDS + r"\p{N}" + _REST: "qwen2",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+": "tekken",
}  # fmt: skip
_SPACE = "▁"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def add_vocabulary(writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any], template: str) -> int:
    """Write the tokenizer in `folder`; the number of tokens. `template` is the chat template's source, empty without one.

    Raises UsageProblem for a tokenizer that llama.cpp has no kind for.
    """
    told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    model = told["model"]
    if model.get("type") != "BPE":
        raise UsageProblem(
            "This tokenizer cannot be written as GGUF here", why=f"It is {model.get('type')}, and only BPE is."
        )
    added = {one["id"]: one for one in told.get("added_tokens", [])}
    known = {number: token for token, number in model["vocab"].items()} | {
        number: one["content"] for number, one in added.items()
    }
    size = max(int(config["vocab_size"]), max(known) + 1)
    tokens = [known.get(number, f"[PAD{number}]") for number in range(size)]
    writer.add_vocab_size(size)
    pieces = bool(model.get("byte_fallback"))
    writer.add_tokenizer_model("llama" if pieces else "gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([_type(number, tokens[number], added, known, pieces=pieces) for number in range(size)])
    if pieces:
        writer.add_token_scores(_scores(tokens, model))
        writer.add_add_space_prefix(_has_prefix(told))
    else:
        writer.add_tokenizer_pre(pre_tokenizer(told))
        writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    _add_special(writer, folder, told, model)
    if template:
        writer.add_chat_template(template)
    return size


def _type(number: int, token: str, added: dict[int, Any], known: dict[int, str], *, pieces: bool) -> gguf.TokenType:
    if number in added:
        return gguf.TokenType.CONTROL if added[number].get("special") else gguf.TokenType.USER_DEFINED
    if number not in known:
        return gguf.TokenType.UNUSED
    return gguf.TokenType.BYTE if pieces and _BYTE.fullmatch(token) else gguf.TokenType.NORMAL


def _scores(tokens: list[str], model: dict[str, Any]) -> list[float]:
    """llama.cpp joins the two neighbours that make the token of the highest score: those of the first merge come first."""
    first: dict[str, int] = {}
    for rank, merge in enumerate(model["merges"]):
        first.setdefault("".join(merge.split(" ", 1) if isinstance(merge, str) else merge), rank)
    last = float(len(model["merges"]))
    return [-float(first[token]) if token in first else -last - number for number, token in enumerate(tokens)]


def _has_prefix(told: dict[str, Any]) -> bool:
    """Whether a text is given a blank before its first word."""
    text = json.dumps([told.get("normalizer"), told.get("pre_tokenizer")], ensure_ascii=False)
    return '"type": "Prepend"' in text or '"prepend_scheme": "first"' in text or '"prepend_scheme": "always"' in text


def pre_tokenizer(told: dict[str, Any]) -> str:
    """llama.cpp's name for how the tokenizer parts a text before it joins pairs; that of GPT-2 where it has none."""
    steps = _steps(told.get("pre_tokenizer") or {})
    patterns = [one["pattern"].get("Regex", "") for one in steps if one["type"] == "Split"]
    if any(one["type"] == "Digits" and one.get("individual_digits") for one in steps) and not patterns:
        return "smollm"
    return next((_BY_PATTERN[pattern] for pattern in patterns if pattern in _BY_PATTERN), "gpt-2")


def _steps(one: dict[str, Any]) -> list[dict[str, Any]]:
    return (
        [inner for part in one["pretokenizers"] for inner in _steps(part)] if one.get("type") == "Sequence" else [one]
    )


def _add_special(writer: gguf.GGUFWriter, folder: Path, told: dict[str, Any], model: dict[str, Any]) -> None:
    tokenizer = load_tokenizer(folder)
    number = tokenizer.encoder.token_to_id
    own = read_json(folder / "generation_config.json").get("eos_token_id")
    ends = [one for one in (own if isinstance(own, list) else [own]) if isinstance(one, int)]
    begin, end = number(tokenizer.bos) if tokenizer.bos else None, tokenizer.eos_id
    end = ends[0] if ends and end not in ends else end
    for given, add in ((begin, writer.add_bos_token_id), (end, writer.add_eos_token_id)):
        if given is not None:
            add(given)
    others = [one for one in (*ends, *sorted(tokenizer.end_ids)) if one != end]
    if others:
        writer.add_eot_token_id(others[0])
    if tokenizer.pad and number(tokenizer.pad) is not None:
        writer.add_pad_token_id(number(tokenizer.pad))
    if isinstance(unknown := model.get("unk_token"), str) and unknown in model["vocab"]:
        writer.add_unk_token_id(model["vocab"][unknown])
    single = [one["SpecialToken"]["id"] for one in _template(told) if "SpecialToken" in one]
    writer.add_add_bos_token(bool(tokenizer.bos) and tokenizer.bos in single)
    writer.add_add_eos_token(False)


def _template(told: dict[str, Any]) -> list[dict[str, Any]]:
    """What the tokenizer writes around a single text."""
    steps = told.get("post_processor") or {}
    parts = steps.get("processors", [steps])
    return next((one["single"] for one in parts if one.get("type") == "TemplateProcessing"), [])
