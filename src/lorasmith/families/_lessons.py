"""What a kind of model that does not only write text can be taught, and by which code. Control plane: imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lorasmith.core.errors import DataProblem
from lorasmith.core.samples import ModelChanges, Sample
from lorasmith.families import _tagged

if TYPE_CHECKING:
    from lorasmith.families._learning import Learning

MOST_CLASSES = 10_000


@dataclass
class Survey:
    """What stands in a dataset as a whole."""

    labels: set[str] = field(default_factory=set[str])
    """All classes: of rows, or of their words."""
    keys: set[str] = field(default_factory=set[str])
    """All keys of the JSON that is to be read off pages."""
    lists: set[str] = field(default_factory=set[str])
    """Those of them whose values are lists."""

    def add(self, sample: Sample) -> None:
        self.labels.update(sample.tags)
        if sample.label:
            self.labels.add(sample.label)
        if sample.target is not None:
            keys, lists = _tagged.keys_of(sample.target)
            self.keys |= keys
            self.lists |= lists


def _text(sample: Sample) -> str:
    return sample.text


def _nothing_changes(_: Survey) -> ModelChanges:
    return ModelChanges()


def _as_it_is(sample: Sample) -> Sample:
    return sample


@dataclass(frozen=True)
class Lesson:
    """One thing that a model of a family can be taught."""

    name: str
    """In the Hub's words: image-to-text, token-classification …"""
    formats: tuple[str, ...]
    """Formats of data that teach it, the natural one first."""
    family: str
    learning: str
    """`module:Class` of the worker plane's side, a `Learning`."""
    metrics: tuple[str, ...]
    """What it is measured by, the main one first."""
    wanted: Callable[[Sample], str] = _text
    """The right answer to a row as text, as `Learning.answers` would give it."""
    written: Callable[[Sample], str] = _text
    """What the model itself writes for it: counted in tokens."""
    checked: Callable[[Sample], Sample] = _as_it_is
    """The row as it is learnt. Raises ValueError with the reason why it cannot be."""
    changes: Callable[[Survey], ModelChanges] = _nothing_changes
    """What is changed about the model for such data. Raises DataProblem."""
    unit: str = "tokens"
    """What its losses are means over."""
    words_per_row: int = 0
    """For pages of words: so many tokens a model reads at once; longer pages become several rows."""
    fixed_length: int = 0
    """Tokens of a row where its text says nothing of them; 0: its text does."""

    def make(self, model: Any, processor: Any, changes: ModelChanges) -> Learning:
        """The worker's side for a loaded model."""
        module, _, name = self.learning.partition(":")
        return getattr(importlib.import_module(module), name)(self, model, processor, changes)


def classes(survey: Survey, auto_class: str, *, family: str = "", bio: bool = False, least: int = 2) -> ModelChanges:
    """A new head for the dataset's classes. Raises DataProblem where there are fewer than `least`, or too many to be classes."""
    labels = sorted(survey.labels, key=_by_entity if bio else _naturally)
    if len(labels) < least:
        raise DataProblem(
            f"All rows have the same class: {labels[0] if labels else 'none'}",
            why="A model learns to tell classes apart; here is nothing to be told apart.",
            fix="Add rows of other classes.",
        )
    if len(labels) > MOST_CLASSES:
        raise DataProblem(
            f"There are {len(labels):,} classes, such as '{labels[0]}' and '{labels[1]}'",
            why="That many are hardly classes: perhaps another column was meant.", fix="Name it: --columns …,label=COLUMN",
        )  # fmt: skip
    return ModelChanges(labels=tuple(labels), auto_class=auto_class, family=family)


def _naturally(label: str) -> tuple[bool, float, str]:
    """Numbers by their size, before names."""
    return (False, float(label), "") if label.isdigit() else (True, 0.0, label)


def _by_entity(label: str) -> tuple[bool, str, str]:
    """O first, then B- and I- of each entity side by side."""
    mark, _, name = label.partition("-")
    return (label != "O", name, mark)


def text_lessons() -> tuple[Lesson, Lesson]:
    """Classes of texts, and of their words."""
    texts = Lesson(
        "text-classification", ("labelled",), "classifier", "lorasmith.families._learning_labels:TextClasses", ("accuracy",),
        wanted=lambda sample: sample.label, checked=_with_text, unit="rows",
        changes=lambda survey: classes(survey, "AutoModelForSequenceClassification", family="classifier"),
    )  # fmt: skip
    words = Lesson(
        "token-classification", ("tagged",), "classifier", "lorasmith.families._learning_labels:WordClasses", ("seqeval",),
        wanted=lambda sample: " ".join(sample.tags), unit="words",
        changes=lambda survey: classes(survey, "AutoModelForTokenClassification", family="classifier", bio=True),
    )  # fmt: skip
    return texts, words


def _with_text(sample: Sample) -> Sample:
    if not sample.text.strip():
        raise ValueError("there is no text to be classified")
    return sample


def one_pair(sample: Sample) -> Sample:
    """A question and its answer. Raises ValueError for a conversation of more turns."""
    turns = [message for message in sample.messages if message["role"] != "system"]
    if [message["role"] for message in turns] != ["user", "assistant"]:
        raise ValueError("a pair is two texts, and this is a conversation of several turns")
    return replace(sample, messages=turns)


def lesson_for(lessons: Sequence[Lesson], format_name: str) -> Lesson | None:
    """The lesson that data of this format teach."""
    return next((lesson for lesson in lessons if format_name in lesson.formats), None)


def formats_of(lessons: Sequence[Lesson]) -> list[str]:
    """Names of all formats that some lesson takes."""
    return list(dict.fromkeys(name for lesson in lessons for name in lesson.formats))
