"""Pages and lines read to text by models that write: Donut, Nougat, TrOCR. Worker plane only."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import torch

from lorasmith.core.samples import ModelChanges
from lorasmith.families import _tagged
from lorasmith.families._batches import whole_characters
from lorasmith.families._calls import Answer, DocumentCall, Tell, refuse
from lorasmith.families._pictures import is_blank, pages_of
from lorasmith.families._probes import checked, for_model
from lorasmith.families._transformers import takes

_TAG = re.compile(r"<[^<>\s]+>")
_QUESTION, _DOCVQA = "<s_question>", "<s_docvqa>"
_SHOWN_TAGS = 12


def read_document(model: Any, processor: Any, call: DocumentCall, media: list[bytes], tell: Tell) -> Answer:
    """What stands on each page, or in the words and boxes of one."""
    if "bbox" in takes(model):
        from lorasmith.families._layouts import read_layout

        return read_layout(model, processor, call, media, tell)
    return read_pages(model, processor, call, media, tell)


@torch.inference_mode()
def read_pages(model: Any, processor: Any, call: DocumentCall, media: list[bytes], tell: Tell) -> Answer:
    """The text of each picture, and its fields where the text is tagged with them; nothing of one on which nothing stands, where
    a model would write what it has learnt to expect.

    Raises UsageProblem for words (they are what such a model finds), for a prompt with tags that the model does not know, and for
    more tokens than it can write; DataProblem for a picture that cannot be read.
    """
    if call.words:
        raise refuse("This model reads a picture, and takes no words and boxes", "Give the page's picture alone.")
    tokenizer = getattr(processor, "tokenizer", processor)
    changes: ModelChanges = model.changes if call.adapter else ModelChanges()
    begins = _beginning(model, tokenizer, whole_characters(call.prompt) or changes.start)
    limit = _most_new_tokens(model, call, begins.shape[1])
    results: list[dict[str, Any]] = []
    size = changes.image_size
    options = {"size": {"height": size[0], "width": size[1]}} if size else {}
    pages = pages_of(media)
    blobs: list[bytes] = []
    for number, page in enumerate(pages, 1):
        if is_blank(page.picture):
            results.append({"text": "", "fields": {}, "words": [], "confidence": 0.0} | page.told(blobs))
            tell(done=number, total=len(pages))
            continue
        pixels = for_model(model, processor.image_processor(page.picture, return_tensors="pt", **options))
        written = write_ids(
            model, {**pixels, "decoder_input_ids": begins}, tokenizer, limit, tell, done=number - 1, total=len(pages)
        )
        said = _page(processor, tokenizer, written.ids, changes)
        results.append(said | {"confidence": written.confidence} | page.told(blobs))
        tell(done=number, total=len(pages))
    return Answer({"results": results}, blobs)


class Written(NamedTuple):
    """Tokens with how sure the model was of them: the geometric mean of their probabilities, 0 to 1."""

    ids: torch.Tensor
    confidence: float


def write_ids(
    model: Any, inputs: dict[str, Any], tokenizer: Any, limit: int, tell: Tell, *, done: int, total: int
) -> Written:
    """The tokens of one answer, as the model's own generation_config says; `tell` is called at each, so that it can be ended."""
    from transformers import LogitsProcessorList

    def watch(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG001  as generate calls it
        tell(done=done, total=total)
        return checked(scores)

    unknown = getattr(tokenizer, "unk_token_id", None)
    made = model.generate(
        **inputs, max_new_tokens=limit, bad_words_ids=None if unknown is None else [[unknown]],
        logits_processor=LogitsProcessorList([watch]), return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    beams = {"beam_indices": made.beam_indices} if "beam_indices" in made else {}
    scores = model.compute_transition_scores(made.sequences, made.scores, normalize_logits=True, **beams)[0]
    known = scores[scores.isfinite()]
    return Written(made.sequences[0], round(float(known.mean().exp()), 4) if len(known) else 0.0)


def _beginning(model: Any, tokenizer: Any, prompt: str) -> torch.Tensor:
    """What the decoder starts from, of shape (1, tokens): the task that the model was made for, or the prompt's."""
    start = model.generation_config.decoder_start_token_id
    if start is None:
        start = model.generation_config.bos_token_id
    if start is None:
        start = tokenizer.bos_token_id
    known = tokenizer.get_added_vocab()
    if prompt and _QUESTION in known and not _TAG.search(prompt):  # Donut's form of a question
        first = _DOCVQA if _DOCVQA in known else ""
        prompt = f"{first}{_QUESTION}{prompt}</s_question><s_answer>"
    if unknown := [tag for tag in _TAG.findall(prompt) if tag not in known]:
        tags = sorted(tag for tag in known if tag.startswith("<s"))
        shown = ", ".join(tags[:_SHOWN_TAGS]) + (" …" if len(tags) > _SHOWN_TAGS else "")
        raise refuse(
            f"The model knows no {unknown[0]}",
            f"Its tags: {shown}." if tags else "It has no task prompts: leave it out.",
        )
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
    begins_itself = bool(ids) and (ids[0] == start or bool(_TAG.match(prompt)))
    return torch.tensor([ids if begins_itself else [start, *ids]], device=model.device)


def _most_new_tokens(model: Any, call: DocumentCall, num_begun: int) -> int:
    """As many tokens as were asked for, or as the model writes by default, within its positions.

    Raises UsageProblem where the prompt leaves none.
    """
    config, said = getattr(model.config, "decoder", model.config), model.generation_config
    room = (getattr(config, "max_position_embeddings", None) or 1024) - num_begun
    if room < 1:
        raise refuse(f"The prompt is {num_begun} tokens long, and the model reads and writes {room + num_begun}")
    default = said.max_new_tokens or ((said.max_length or 0) - num_begun)
    return min(call.max_tokens or (default if default > 0 else room), room)


def _page(processor: Any, tokenizer: Any, ids: torch.Tensor, changes: ModelChanges) -> dict[str, Any]:
    """The text without the marks of its beginning and end, and the fields that its tags name."""
    tagged = tokenizer.batch_decode([ids])[0]
    for mark in (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token):
        tagged = tagged.replace(mark or "\0", "")
    fields: dict[str, Any] = {}
    if "<s_" in tagged:
        found = _tagged.to_json(_without_task(tagged), changes.lists)
        fields = found if isinstance(found, dict) else {"pages": found} if isinstance(found, list) else {}
    if fields:
        return {"text": _without_task(tagged), "fields": fields, "words": []}
    text = tokenizer.batch_decode([ids], skip_special_tokens=True)[0].strip()
    return {"text": _tidied(processor, text), "fields": {}, "words": []}


def _without_task(tagged: str) -> str:
    """Without the task's own tag, which is not closed."""
    first = _TAG.match(tagged.strip())
    if first and f"</{first.group()[1:]}" not in tagged:
        return tagged.strip()[first.end() :].strip()
    return tagged.strip()


def _tidied(processor: Any, text: str) -> str:
    """Nougat's own clean-up, where its packages are installed: without, the text is as it was written."""
    if not hasattr(processor, "post_process_generation"):
        return text
    try:
        return processor.post_process_generation(text, fix_markdown=False)
    except (ImportError, LookupError):  # nltk or Levenshtein, or nltk's list of words
        return text
