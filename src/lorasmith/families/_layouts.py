"""Words with boxes labelled, or searched for an answer: LayoutLM, LiLT and their like. Worker plane only.

Boxes are [x1, y1, x2, y2], 0 to 1000 of the page's width and height. Pages longer than the model reads are read in windows.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import torch

from lorasmith.core import paths, settings
from lorasmith.core.errors import DataProblem, EnvironmentProblem
from lorasmith.families._batches import reads_at_most, whole_characters
from lorasmith.families._calls import Answer, DocumentCall, Tell, refuse
from lorasmith.families._labels import joined, name_of, ranked, scores_of
from lorasmith.families._pictures import is_blank, pages_of
from lorasmith.families._probes import for_model, output_of
from lorasmith.families._transformers import takes

Box = Sequence[int]
FULL = 1000
_OVERLAP = 4  # a window shares a quarter with the one before
_MOST_ANSWER_TOKENS = 50
_TOP = 5
_OCR = "pytesseract"


class Page(NamedTuple):
    """Words, where they stand, and what the page looks like for models that see it."""

    words: list[str]
    boxes: list[Box]
    seen: dict[str, torch.Tensor]


class Window(NamedTuple):
    """A part of a page, as the model reads it."""

    inputs: dict[str, torch.Tensor]
    """Each of shape (1, tokens, …)."""
    places: list[int | None]
    """Which word each token is of; None for the question's and the special ones."""


@torch.inference_mode()
def read_layout(model: Any, processor: Any, call: DocumentCall, media: list[bytes], tell: Tell) -> Answer:
    """Each word's label, the fields that they make, or the answer to a question.

    Raises UsageProblem for words without boxes, for several pages of words, without a question where one is asked, and for models
    that do neither; DataProblem for a box outside the page or a picture that cannot be read; EnvironmentProblem where words would
    have to be found in a picture and nothing that does is installed.
    """
    _check(model, call, media)
    results: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    sheets = pages_of(media)
    if call.words and len(sheets) > 1:
        raise refuse(f"The words are of one page, and the file has {len(sheets)}", "Call once for each page.")
    for number, sheet in enumerate(sheets or [None], 1):
        page = _page(model, processor, call, sheet and sheet.picture)
        read = _read(model, getattr(processor, "tokenizer", processor), call, page)
        results.append(read | (sheet.told(blobs) if sheet else {}))
        tell(done=number, total=max(1, len(sheets)))
    return Answer({"results": results}, blobs)


def _check(model: Any, call: DocumentCall, media: list[bytes]) -> None:
    kind = type(model).__name__
    if model.can_generate() or "image" in takes(model):
        raise refuse(f"A {kind} cannot be served yet", "LayoutLM, LayoutLMv3 and LiLT can.")
    if call.words and len(call.boxes) != len(call.words):
        raise refuse(
            "This model reads words with their places, and the boxes are missing", "Give one box for each word."
        )
    if call.words and len(media) > 1:
        raise refuse(f"The words are of one page, and {len(media)} pictures were given", "Call once for each page.")
    if call.words and not media and "pixel_values" in takes(model):
        raise refuse("This model also looks at the page, and no picture was given", "Give the page's picture too.")
    if kind.endswith("ForQuestionAnswering") and not call.prompt.strip():
        raise refuse("This model answers questions, and none was asked", "Give a question as the prompt.")
    for number, (x1, y1, x2, y2) in enumerate(call.boxes, 1):
        if not (0 <= x1 <= x2 <= FULL and 0 <= y1 <= y2 <= FULL):
            raise DataProblem(
                f"Box {number} is no place on a page: [{x1}, {y1}, {x2}, {y2}]",
                why="A box is left, top, right, bottom in thousandths of the page: 0 to 1000.",
                fix="Divide pixels by the page's width or height, and multiply by 1000.",
            )


def _page(model: Any, processor: Any, call: DocumentCall, picture: Any) -> Page:
    words, boxes = (list(call.words), list[Box](call.boxes)) if call.words else recognise_words(picture)
    words = [whole_characters(word) for word in words]
    seen: dict[str, torch.Tensor] = {}
    if "pixel_values" in takes(model):
        read = processor.image_processor(picture, apply_ocr=False, return_tensors="pt")
        seen = {"pixel_values": read["pixel_values"]}
    return Page(words, boxes, seen)


def recognise_words(picture: Any) -> tuple[list[str], list[Box]]:
    """The words in a picture and their boxes, by tesseract; the same picture is read once and remembered in home's cache.

    Raises EnvironmentProblem without tesseract.
    """
    if is_blank(picture):
        return [], []
    content = f"{picture.mode}{picture.size}".encode() + picture.tobytes()
    kept = settings.load().cache_dir / "ocr" / f"{blake2b(content, digest_size=16).hexdigest()}.json"
    if kept.is_file():
        with contextlib.suppress(OSError, ValueError):
            words, boxes = json.loads(kept.read_text(encoding="utf-8"))
            return words, boxes
    words, boxes = _recognised(picture)
    with contextlib.suppress(OSError):  # a full disk: it is read anew next time
        paths.make_folder(kept.parent)
        paths.write_text(kept, json.dumps([words, boxes], ensure_ascii=False))
    return words, boxes


def _recognised(picture: Any) -> tuple[list[str], list[Box]]:
    if not importlib.util.find_spec(_OCR):
        raise _no_words(f"The package {_OCR}, which finds them in a picture, is not installed")
    pytesseract = importlib.import_module(_OCR)
    try:
        found = pytesseract.image_to_data(picture, output_type="dict")
    except pytesseract.TesseractNotFoundError as error:
        raise _no_words("The program tesseract, which finds them in a picture, is not installed") from error
    words: list[str] = []
    boxes: list[Box] = []
    for at, word in enumerate(found["text"]):
        if not str(word).strip():
            continue
        x, y, width, height = (int(found[name][at]) for name in ("left", "top", "width", "height"))
        corners = (x / picture.width, y / picture.height, (x + width) / picture.width, (y + height) / picture.height)
        words.append(str(word).strip())
        boxes.append([min(FULL, max(0, int(FULL * corner))) for corner in corners])
    return words, boxes


def _no_words(why: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        "This model reads words and their boxes, and none were given", why=f"{why}.",
        fix="Give words and boxes, or install pytesseract and the program tesseract.",
    )  # fmt: skip


def _read(model: Any, tokenizer: Any, call: DocumentCall, page: Page) -> dict[str, Any]:
    nothing: dict[str, Any] = {"text": "", "fields": {}, "words": []}
    if not page.words:
        return nothing
    asks = type(model).__name__.endswith("ForQuestionAnswering")
    outputs = [
        (window, output_of(model, for_model(model, {**window.inputs, **page.seen})))
        for window in windows_of(
            tokenizer, page, whole_characters(call.prompt) if asks else "", reads_at_most(model, tokenizer)
        )
    ]
    if "start_logits" in outputs[0][1]:
        return nothing | _answered(page, outputs)
    logits = outputs[0][1].get("logits")
    if logits is None:
        raise refuse(f"A {type(model).__name__} has no head: it labels no words", "Serve one that was fine-tuned.")
    if logits.ndim == 2:
        labels = ranked(model.config, logits[0].cpu(), _TOP)
        return nothing | {"text": labels[0]["label"], "labels": labels}
    return nothing | _labelled(model.config, page, outputs)


def windows_of(tokenizer: Any, page: Page, question: str, limit: int) -> Iterator[Window]:
    """The page in parts of `limit` tokens, which the model can read, each after the whole question."""
    asked = len(tokenizer(question)["input_ids"]) if question and not _knows_boxes(tokenizer) else 0
    options: dict[str, Any] = {
        "truncation": "only_second" if question else True, "max_length": limit, "return_overflowing_tokens": True,
        "stride": max(0, limit - asked) // _OVERLAP,
    }  # fmt: skip
    if _knows_boxes(tokenizer):
        given = (question, page.words) if question else (page.words,)
        options["boxes"] = page.boxes
    else:
        given = (question.split(), page.words) if question else (page.words,)
        options["is_split_into_words"] = True
    try:
        read = tokenizer(*given, **options)
    except Exception as error:
        if question:  # the tokenizers library says it in many ways
            raise refuse("The question leaves no place for the page's words", "Ask in fewer words.") from error
        raise
    for at in range(len(read["input_ids"])):
        sides = read.sequence_ids(at)
        places = [
            word if side == bool(question) and word is not None else None
            for word, side in zip(read.word_ids(at), sides, strict=True)
        ]
        inputs = {name: read[name][at] for name in ("input_ids", "attention_mask", "token_type_ids") if name in read}
        inputs["bbox"] = read["bbox"][at] if "bbox" in read else _placed(tokenizer, page, inputs["input_ids"], places)
        yield Window({name: torch.tensor([values]) for name, values in inputs.items()}, places)


def _knows_boxes(tokenizer: Any) -> bool:
    return "boxes" in inspect.signature(tokenizer.__call__).parameters


def _placed(tokenizer: Any, page: Page, ids: list[int], places: list[int | None]) -> list[Box]:
    """The boxes of tokens, as LayoutLM was trained: what ends a part stands in the far corner."""
    return [
        page.boxes[word] if word is not None else [FULL] * 4 if token == tokenizer.sep_token_id else [0] * 4
        for token, word in zip(ids, places, strict=True)
    ]


def _labelled(config: Any, page: Page, outputs: list[tuple[Window, Any]]) -> dict[str, Any]:
    """Each word's label, by its first token in the window where most of its surroundings are seen."""
    labels, scores = [""] * len(page.words), [0.0] * len(page.words)  # as a word without any token keeps them
    margins = [-1] * len(page.words)
    for window, output in outputs:
        best = scores_of(config, output["logits"][0].float().cpu()).max(-1)
        of_words = [at for at, word in enumerate(window.places) if word is not None]
        for at in of_words:
            word = window.places[at]
            margin = min(at - of_words[0], of_words[-1] - at)
            if word is None or window.places[at - 1] == word or margin <= margins[word]:
                continue
            labels[word], scores[word] = name_of(config, int(best.indices[at])), float(best.values[at])
            margins[word] = margin
    fields: dict[str, Any] = {}
    for entity in joined(config, labels, scores):
        text = " ".join(page.words[entity.first : entity.last + 1])
        fields[entity.label] = [*fields.get(entity.label, []), text]
    words = [
        {"text": word, "box": list(box), "label": label, "score": score}
        for word, box, label, score in zip(page.words, page.boxes, labels, scores, strict=True)
    ]
    return {
        "text": " ".join(page.words), "words": words,
        "fields": {name: texts[0] if len(texts) == 1 else texts for name, texts in fields.items()},
    }  # fmt: skip


def _answered(page: Page, outputs: list[tuple[Window, Any]]) -> dict[str, Any]:
    """The words from the likeliest start to the likeliest end, over all windows."""
    best = (0.0, 0, 0)
    for window, output in outputs:
        outside = torch.tensor([word is None for word in window.places])
        start, end = (
            output[name][0, : len(outside)].float().cpu().masked_fill(outside, -torch.inf).softmax(-1).nan_to_num()
            for name in ("start_logits", "end_logits")
        )
        both = (start[:, None] * end[None, :]).triu().tril(_MOST_ANSWER_TOKENS - 1)
        first, last = divmod(int(both.argmax()), len(outside))
        first_word, last_word = window.places[first], window.places[last]
        if first_word is not None and last_word is not None and float(both[first, last]) > best[0]:
            best = (float(both[first, last]), first_word, last_word)
    score, first, last = best
    words = range(first, last + 1) if score else range(0)
    found = [{"text": page.words[at], "box": list(page.boxes[at]), "label": "answer", "score": score} for at in words]
    return {"text": " ".join(page.words[at] for at in words), "words": found}
