"""Conversations about pictures, as models read them: turns, pictures in their places, tokens and pixels. Worker plane only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lorasmith.families._batches import whole_characters
from lorasmith.families._calls import refuse
from lorasmith.families._transformers import Parts, takes

Turn = dict[str, Any]
_PLACE: dict[str, str] = {"type": "image"}
_PLACES = ("image_token", "boi_token", "video_token", "start_image_token", "context_image_token", "audio_token")


def visual_inputs(
    model: Any, processor: Any, messages: Sequence[Turn], images: Sequence[Any], template_options: dict[str, Any]
) -> dict[str, Any]:
    """What the model reads of a conversation and its pictures (PIL): input_ids of shape (1, tokens), pixel_values and more.

    A content is a text, or parts {"type": "text", "text": …} and {"type": "image"}; the latter stand for `images` in their order.
    Pictures without a part go before the last user's text. Raises UsageProblem for parts of another kind, for more parts than
    pictures, for a text with the token that stands for a picture, and for what the chat template refuses.
    """
    from lorasmith.families._probes import for_model

    turns, shown = _placed(messages, images)
    _check_texts(processor, turns)
    if isinstance(processor, Parts):
        return _put_together(model, processor, turns, shown, template_options)
    given: dict[str, Any] = {"images": shown} if shown else {}
    if getattr(processor, "chat_template", None):
        text = _rendered(processor.apply_chat_template, turns, template_options)
        if _has_beginning(getattr(processor, "tokenizer", processor), text):
            given["add_special_tokens"] = False
    else:  # those without turns are told by a token where the picture goes, or need not be told
        text = _plain(turns, getattr(processor, "image_token", None) or "")
    try:
        read = processor(text=[text], **given, return_tensors="pt")
    except ValueError as error:  # as those that want a picture, or only one
        raise refuse(f"The model does not take this conversation: {error}") from error
    return for_model(model, {name: value for name, value in read.items() if name != "labels"})


def rendered_answer(processor: Any, messages: Sequence[Turn]) -> str:
    """The last message, an answer, as the chat template writes it after its prompt, with what ends the turn; the answer alone
    where there is no template or it writes prompts and answers in different ways."""
    owner = processor.tokenizer if isinstance(processor, Parts) else processor
    plain = str(messages[-1]["content"])
    if not getattr(owner, "chat_template", None):
        return plain
    turns = [{**message, "content": _parts(message.get("content"))} for message in messages]
    prompt = _rendered(owner.apply_chat_template, turns[:-1], {})
    whole = _rendered(owner.apply_chat_template, turns, {"add_generation_prompt": False})
    return whole.removeprefix(prompt) if whole.startswith(prompt) else plain


def _placed(messages: Sequence[Turn], images: Sequence[Any]) -> tuple[list[Turn], list[Any]]:
    """The messages with all contents as parts, and the pictures in the order in which the parts name them."""
    turns = [{**message, "content": _parts(message.get("content"))} for message in messages]
    named = sum(part == _PLACE for turn in turns for part in turn["content"])
    if named > len(images):
        raise refuse(f"The messages have places for {named} pictures, and {len(images)} were given")
    given = iter(images)
    shown: list[Any] = [[next(given) for part in turn["content"] if part == _PLACE] for turn in turns]
    if rest := list(given):
        last = max((at for at, turn in enumerate(turns) if turn["role"] == "user"), default=None)
        if last is None:
            raise refuse("There are pictures, and no message of the user that they belong to")
        parts = turns[last]["content"]
        first_text = next((at for at, part in enumerate(parts) if part != _PLACE), len(parts))
        before = parts[:first_text]
        turns[last]["content"] = [*before, *(dict(_PLACE) for _ in rest), *parts[first_text:]]
        shown[last][len(before) : len(before)] = rest
    return turns, [image for some in shown for image in some]


def _parts(content: Any) -> list[dict[str, str]]:
    if content is None:  # as beside tool calls
        return []
    parts: list[dict[str, str]] = []
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image":
            parts.append(dict(_PLACE))  # nothing else of it: a template's processor would fetch what it names
        elif kind in ("text", "input_text") and isinstance(part.get("text"), str):
            parts.append({"type": "text", "text": whole_characters(part["text"])})
        else:
            raise refuse(f"A content has a part of the kind '{kind}'", "Parts are of the type text or image.")
    return parts


def _check_texts(processor: Any, turns: list[Turn]) -> None:
    """A text that holds the token of a picture would be taken for one."""
    owners = (
        (*processor, processor) if isinstance(processor, Parts) else (processor, getattr(processor, "tokenizer", None))
    )
    tokens = {token for owner in owners for name in _PLACES if isinstance(token := getattr(owner, name, None), str)}
    for turn in turns:
        for part in turn["content"]:
            if held := [token for token in tokens if token and token in part.get("text", "")]:
                raise refuse(f"A text holds {held[0]}, which stands for a picture in this model", "Write it otherwise.")


def _rendered(apply: Callable[..., str], turns: list[Turn], options: dict[str, Any]) -> str:
    """The conversation by the model's own template.

    Some templates want parts in every content, some take a text where there is nothing else: what loses a text or prints a part
    as it stands in Python is not what the model was trained on.
    """
    texts = [
        part["text"].strip()
        for turn in turns if turn["role"] != "assistant"  # of whose earlier turns some templates drop the thoughts
        for part in turn["content"] if part != _PLACE
    ]  # fmt: skip
    problem: Exception | None = None
    made: list[str] = []
    for is_plain in (False, True):
        given = [_without_parts(turn) if is_plain else turn for turn in turns]
        try:
            text = apply(given, **{"add_generation_prompt": True, **options, "tokenize": False})
        except Exception as error:  # noqa: BLE001  a template is a program, and refuses by raising what it likes
            problem = problem or error
            continue
        if "'type':" not in text and all(one in text for one in texts):
            return text
        made.append(text)
    if made:
        return made[0]
    raise refuse(f"The model's chat template does not take this conversation: {problem}") from problem


def _has_beginning(tokenizer: Any, text: str) -> bool:
    """Whether the template wrote the token that begins a text, so that the tokenizer is not to add another."""
    return bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)


def _without_parts(turn: Turn) -> Turn:
    """A content of text alone as a text."""
    if _PLACE in turn["content"]:
        return turn
    return {**turn, "content": "\n".join(part["text"] for part in turn["content"])}


def _plain(turns: list[Turn], image: str) -> str:
    """One text of a conversation for models that know no turns."""
    return "\n".join("".join(image if part == _PLACE else part["text"] for part in turn["content"]) for turn in turns)


@torch.inference_mode()
def _put_together(
    model: Any, parts: Parts, turns: list[Turn], images: list[Any], options: dict[str, Any]
) -> dict[str, Any]:
    """The same without the whole processor: as many image tokens for each picture as the model makes of it."""
    from lorasmith.families._probes import for_model

    tokenizer = parts.tokenizer
    inputs: dict[str, Any] = {}
    if images:
        inputs = for_model(model, parts.image_processor(images, return_tensors="pt"))
    if "input_ids" not in takes(model):
        return inputs
    image = model.config.image_token_id if hasattr(model.config, "image_token_id") else model.config.image_token_index
    counts = [_num_features(model, parts, one) for one in images]
    token = tokenizer.convert_ids_to_tokens(image)
    if getattr(tokenizer, "chat_template", None):
        text = _rendered(tokenizer.apply_chat_template, turns, options)
        ids = tokenizer(text, add_special_tokens=not _has_beginning(tokenizer, text))["input_ids"]
    else:
        ids = tokenizer(_plain(turns, token))["input_ids"]
    if ids.count(image) != len(images):  # the template writes another token, which the whole processor would replace
        ids = [image] * len(images) + [one for one in ids if one != image]
    left = iter(counts)
    ids = [one for each in ids for one in ([each] * next(left) if each == image else [each])]
    inputs["input_ids"] = torch.tensor([ids], device=model.device)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if "mm_token_type_ids" in takes(model):
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == image).long()
    return for_model(model, inputs)


def _num_features(model: Any, parts: Parts, image: Any) -> int:
    """Places that one picture takes among the tokens."""
    from lorasmith.families._probes import for_model

    features = model.get_image_features(
        **for_model(model, parts.image_processor([image], return_tensors="pt"))
    ).pooler_output
    each = features if isinstance(features, list | tuple) else [features]
    return sum(feature.shape[:-1].numel() for feature in each)
