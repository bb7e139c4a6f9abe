"""Rows for models that see, hear or label, written beside their lengths; and what such data change about a model.

The file is read by the same code as token rows are (workers/rows.py): it has one column more.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import tokenizers

from lorasmith.core.errors import DataProblem
from lorasmith.core.facts import DataFacts, ModelFacts
from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.data.examples import Example
from lorasmith.data.formats import FORMATS
from lorasmith.data.load import Source
from lorasmith.data.prepare import BATCH_ROWS, LAST_KEY, SCHEMA, first_problems, quantile, split_key, threshold_of
from lorasmith.families import FAMILIES
from lorasmith.families._lessons import Lesson, Survey, formats_of, lesson_for


class Prior(NamedTuple):
    """Pictures of other things of the class, and the text of them all: learnt beside those of one thing, so that the class can be
    drawn as before (DreamBooth's prior preservation, arXiv 2208.12242)."""

    source: Source
    prompt: str


SAMPLE_SCHEMA = pa.schema([*SCHEMA, ("sample", pa.binary())])
_TAG = re.compile(r"<[^<>\s]+>")
OnCount = Callable[[int], None]


def samples_of(example: Example, root: Path, where: str = "") -> list[Sample]:
    """The samples of one example, mostly one: a conversation is one for each of its answers."""
    plain = Sample(
        text=example.text, images=_absolute(example.images, root), masks=_absolute(example.masks, root),
        audio=_absolute(example.audio, root), words=example.words, boxes=example.boxes, areas=example.areas,
        tags=tuple(map(str, example.tags)), label=example.label or "", target=example.target, key=example.key(), where=where,
        rejected=example.rejected[-1]["content"] if example.rejected else "",
    )  # fmt: skip
    messages: list[dict[str, Any]] = [dict(message) for message in example.messages]
    ends = [at + 1 for at, message in enumerate(messages) if message["role"] == "assistant" and message["content"]]
    return [replace(plain, messages=messages[:end]) for end in ends] if messages else [plain]


def _absolute(names: tuple[str, ...], root: Path) -> tuple[str, ...]:
    return tuple(str(root / name) for name in names)


class Counter:
    """Counts the tokens of texts as the model's own tokenizer does; without one, a third of their letters."""

    def __init__(self, folder: Path):
        files = [folder / "tokenizer.json", folder / "tokenizer" / "tokenizer.json"]
        file = next((file for file in files if file.is_file()), None)
        self._encoder = tokenizers.Tokenizer.from_file(str(file)) if file else None
        self.word = lru_cache(maxsize=100_000)(self._word)

    def text(self, text: str) -> int:
        """Tokens of a text, with what begins and ends it; tags in it are one each."""
        tags = len(_TAG.findall(text))
        rest = _TAG.sub("", text)
        inner = len(self._encoder.encode(rest, add_special_tokens=False)) if self._encoder else -(-len(rest) // 3)
        return inner + tags + 2

    def _word(self, word: str) -> int:
        return max(
            1, len(self._encoder.encode(f" {word}", add_special_tokens=False)) if self._encoder else -(-len(word) // 3)
        )


def lesson_plan(facts: ModelFacts, source: Source) -> Lesson | None:
    """What the model of these facts is taught by `source`; None where it learns from tokens, as language models do.

    Raises DataProblem where it learns nothing from data of this format.
    """
    family = FAMILIES.get(facts.family)
    if facts.architecture_type in family.runs:
        return None
    lessons = family.lessons(facts)
    if lesson := lesson_for(lessons, source.format.name):
        return lesson
    known = formats_of(lessons)
    raise DataProblem(
        f"'{source.path.name}' is {source.format.name}, from which '{facts.id}' cannot learn",
        why=f"It is of the family {facts.family} ({facts.task}) and learns from: {', '.join(known)}.",
        fix="A row of each:\n" + "\n".join(f"  {name:<18} {FORMATS.get(name).example}" for name in known),
    )


def prepare_samples(  # noqa: PLR0913  what decides on a file's rows
    source: Source, lesson: Lesson, folder: Path, out: Path, *, eval_fraction: float, seed: int, instance_prompt: str = "",
    changes: ModelChanges | None = None, prior: Prior | None = None, on_count: OnCount = lambda _: None,
) -> tuple[DataFacts, ModelChanges]:  # fmt: skip
    """Write every row of `source` as the lesson reads it into the Arrow stream `out`; what is in it, and what it changes about
    the model in `folder`.

    With `changes` these are taken instead: rows must do with an adapter's classes. The pictures of `prior` are rows, too, none
    of them held out, and those of `source` come as often as they do. Raises DataProblem, naming the row.
    """
    counter, survey = Counter(folder), Survey()
    lengths, supervised, keys, num_examples = array("I"), 0, array("Q"), 0
    digest = blake2b(digest_size=32)
    with pa.OSFile(str(out), "wb") as file, pa.ipc.new_stream(file, SAMPLE_SCHEMA) as writer:
        rows: list[tuple[int, int, int, bytes]] = []
        own = _checked(source, lesson, instance_prompt, counter)
        given = (
            ((*one, False) for one in own) if prior is None
            else _balanced(list(own), list(_checked(prior.source, lesson, prior.prompt, counter)), eval_fraction, seed)
        )  # fmt: skip
        for example, sample, is_more in given:
            survey.add(sample)
            if changes is not None:
                _require_known(sample, changes, source.where(example))
            length, learnt = _lengths(sample, lesson, counter)
            key = split_key(sample.key, seed)
            if is_more:
                key = LAST_KEY
            else:
                keys.append(key)
            rows.append((length, learnt, key, sample.dumped()))
            digest.update(sample.key.to_bytes(8, "big"))
            lengths.append(length)
            supervised += learnt
            num_examples += 1
            if len(rows) == BATCH_ROWS:
                writer.write_batch(_arrow(rows))
                rows = []
                on_count(num_examples)
        if rows:
            writer.write_batch(_arrow(rows))
    if not lengths:
        why = first_problems(source)
        raise DataProblem(f"No row of '{source.path.name}' could be used", why=why, fix="Repair the file.")
    threshold = threshold_of(keys, eval_fraction)
    num_validation = sum(key < threshold for key in keys)
    ordered = sorted(lengths)
    facts = DataFacts(
        format=source.format.name, objective="sft", num_rows=len(lengths), num_train=len(lengths) - num_validation,
        num_validation=num_validation, num_bad_rows=source.bad_rows.count, num_tokens=sum(lengths),
        num_supervised_tokens=supervised, length_p50=quantile(ordered, 0.5), length_p995=quantile(ordered, 0.995),
        length_max=ordered[-1], max_answer_tokens=ordered[-1], largest_id=-1, threshold=threshold, sha256=digest.hexdigest(),
    )  # fmt: skip
    return facts, lesson.changes(survey) if changes is None else changes


_Row = tuple[Example, Sample]


def _balanced(
    own: list[_Row], prior: list[_Row], eval_fraction: float, seed: int
) -> Iterator[tuple[Example, Sample, bool]]:
    """The own rows, then what is learnt besides and never held out: the class's, and own rows again until there are as many
    of them to learn from."""
    yield from ((*row, False) for row in own)
    keys = array("Q", [split_key(sample.key, seed) for _, sample in own])
    threshold = threshold_of(keys, eval_fraction)
    learnt = [row for row, key in zip(own, keys, strict=True) if key >= threshold]
    yield from ((*row, True) for row in prior)
    yield from ((*row, True) for row in islice(cycle(learnt), max(0, len(prior) - len(learnt))))


def _checked(
    source: Source, lesson: Lesson, instance_prompt: str, counter: Counter
) -> Iterator[tuple[Example, Sample]]:
    """Every sample with the example that it comes from. Raises DataProblem, naming the row, for one that cannot be learnt."""
    for example in source:
        try:
            for sample in samples_of(example, source.root, source.where(example)):
                if instance_prompt and not sample.text:
                    sample = replace(sample, text=instance_prompt)  # noqa: PLW2901
                for part in _windows(lesson.checked(sample), lesson, counter):
                    yield example, part
        except ValueError as problem:
            if not source.skip_bad_rows:
                raise DataProblem(
                    f"{source.where(example)} cannot be learnt: {problem}",
                    fix="Repair it, or leave such rows out with --skip-bad-rows.", line=example.line,
                ) from problem  # fmt: skip
            source.bad_rows.add(example.line, str(problem))


def _windows(sample: Sample, lesson: Lesson, counter: Counter) -> Iterator[Sample]:
    """A page of more words than a model reads at once as several samples, which stay on one side of the split."""
    if not lesson.words_per_row or not sample.words:
        yield sample
        return
    start = size = 0
    for at, word in enumerate(sample.words):
        size += counter.word(word)
        if size > lesson.words_per_row and at > start:
            yield _part(sample, start, at)
            start, size = at, counter.word(word)
    yield _part(sample, start, len(sample.words))


def _part(sample: Sample, start: int, stop: int) -> Sample:
    return replace(sample, words=sample.words[start:stop], boxes=sample.boxes[start:stop], tags=sample.tags[start:stop])


def _lengths(sample: Sample, lesson: Lesson, counter: Counter) -> tuple[int, int]:
    """Tokens of a row, and how many of its things are learnt."""
    if sample.words:
        return sum(map(counter.word, sample.words)) + 2, len(sample.words)
    if lesson.fixed_length:
        return lesson.fixed_length, 1
    written = counter.text(lesson.written(sample))
    if sample.label:
        return counter.text(sample.text), 1
    if lesson.unit == "rows":
        return sum(counter.text(one["content"]) for one in sample.messages) or written, 1
    asked = sum(counter.text(one["content"]) for one in sample.messages[:-1])
    return asked + written, written


def _arrow(rows: list[tuple[int, int, int, bytes]]) -> pa.RecordBatch:
    """Tokens themselves are made by the model's processor: here their number stands, and how many at the end are learnt."""
    columns: list[list[Any]] = [
        [[0] * length for length, _, _, _ in rows], [[max(0, length - learnt), length] for length, learnt, _, _ in rows],
        [key for _, _, key, _ in rows], [sample for _, _, _, sample in rows],
    ]  # fmt: skip
    return pa.record_batch(columns, schema=SAMPLE_SCHEMA)


def _require_known(sample: Sample, changes: ModelChanges, where: str) -> None:
    """Raises ValueError's message as DataProblem for a class that the adapter was not trained on."""
    unknown = (
        {*sample.tags, *([sample.label] if sample.label else [])} - set(changes.labels) if changes.labels else set()
    )
    if unknown:
        raise DataProblem(
            f"{where} has the class '{min(unknown)}', which the adapter was not trained on",
            why=f"It knows: {', '.join(changes.labels[:20])}.", fix="Leave such rows out, or train anew with them.",
        )  # fmt: skip
