"""What is odd about rows as they stand, without a tokenizer: empty answers, always the same one, damaged text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lorasmith.data.examples import Example, Message
from lorasmith.data.findings import Finding, place_of, rows
from lorasmith.data.tokenizer import Tokenizer

_SAME_SHARE = 0.9
_MANY_ANSWERS = 1000
_FEW = 5

_SAID = {
    "empty": ("have an empty answer", "Fill in the answers, or leave these rows out."),
    "unanswered": ("end with a turn that nobody answers", "What follows the last answer is read but not learnt."),
    "damaged": ("hold the sign � of text that was read in a wrong encoding", "Convert the original again, as UTF-8."),
    "marks": (
        "hold a special token of the model in their text",
        "The model takes it for the begin or end of a turn; write it otherwise.",
    ),
    "silent": (
        "have files but no text beside them",
        "Give each a text, or one to all of them with --instance-prompt, or leave them out.",
    ),
}
_SINGULAR = {"need": "needs", "have": "has", "end": "ends", "hold": "holds"}


@dataclass
class Oddities:
    """Counts of rows by what is odd about them, with the places of the first few."""

    num_rows: int = 0
    num_turns: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    places: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    answers: Counter[str] = field(default_factory=Counter[str])
    """How often each answer occurs, of those that stand in the first thousand rows."""
    needs: str = ""
    """What a model must know beside text."""

    def add(self, example: Example, *, marks: tuple[str, ...] = ()) -> None:
        """`marks` is how the model's special tokens are written."""
        self.num_rows += 1
        counts = self.counts
        if example.needs:
            self._note("media", example)
            self.needs = example.needs
        if example.images or example.audio:
            counts["pictures"] += bool(example.images)
            counts["recordings"] += bool(example.audio)
            counts["things"] += bool(example.areas)
            if not _teaches(example):
                self._note("silent", example)
        if example.tools:
            counts["tools"] += 1
        if example.rejected:
            counts["preferences"] += 1
        if example.messages:
            self._conversation(example)
        for message in example.messages or ({"content": example.text},):
            text = message["content"]
            if "\ufffd" in text:
                self._note("damaged", example)
            if any(mark in text for mark in marks):
                self._note("marks", example)

    def _conversation(self, example: Example) -> None:
        messages = example.messages
        self.num_turns += len(messages)
        last = messages[-1]
        if last["role"] != "assistant":
            self._note("unanswered", example)
        if any(is_empty_answer(message) for message in messages):
            self._note("empty", example)
            return
        answer = last["content"]
        self.counts["blank"] += answer[:1].isspace()
        self.counts["seamless"] += not answer[:1].isspace() and not messages[-2:][0]["content"][-1:].isspace()
        if answer[:200] in self.answers or self.num_rows <= _MANY_ANSWERS:
            self.answers[answer[:200]] += 1

    def _note(self, what: str, example: Example) -> None:
        self.counts[what] += 1
        places = self.places.setdefault(what, [])
        if len(places) < _FEW:
            places.append(place_of(example))

    def findings(self, tokenizer: Tokenizer | None) -> list[Finding]:
        """All of them are warnings."""
        found: list[Finding] = []
        for code, (said, fix) in _SAID.items():
            if code == "silent" and self.counts["things"]:
                continue  # a picture without boxes has nothing that is to be found
            if count := self.counts[code]:
                places = tuple(dict.fromkeys(self.places[code]))
                found.append(Finding(code, "warning", f"{rows(count)} {_agreeing(said, count)}", fix, count, places))
        return found + self._same_answers() + self._beginnings() + (self._unshown(tokenizer) if tokenizer else [])

    def _same_answers(self) -> list[Finding]:
        answer, count = (self.answers.most_common(1) or [("", 0)])[0]
        if self.num_rows < 10 or count < _SAME_SHARE * self.num_rows:
            return []
        shown = answer if len(answer) <= 40 else answer[:39] + "…"
        share = "all rows" if count == self.num_rows else f"{100 * count / self.num_rows:.0f} % of the rows"
        return [
            Finding(
                "same-answer", "warning", f"{share} have the same answer: {shown!r}",
                "A model learns to say that to everything; add rows with other answers.", count,
            )
        ]  # fmt: skip

    def _beginnings(self) -> list[Finding]:
        count = self.counts["blank"]
        if not 0.01 * self.num_rows < count < 0.99 * self.num_rows or self.num_rows < 10:
            return []
        return [
            Finding(
                "blank", "warning", f"{rows(count)} {_agreeing('have', count)} an answer that begins with a blank, others not",
                "A blank makes another first token: let all answers begin alike.", count,
            )
        ]  # fmt: skip

    def _unshown(self, tokenizer: Tokenizer) -> list[Finding]:
        """What the chat template leaves out."""
        found: list[Finding] = []
        if count := self.counts["media"]:
            found.append(
                Finding(
                    "media", "warning", f"{rows(count)} {_agreeing('need', count)} a model that knows {self.needs}",
                    "A language model reads their text only.", count, tuple(self.places["media"]),
                )
            )  # fmt: skip
        seams = self.counts["seamless"]
        if seams and not tokenizer.template:
            found.append(
                Finding(
                    "seam", "warning", f"in {rows(seams)} nothing stands between question and answer: they run together",
                    "End the question with a blank or a line break, or choose a --template.", seams,
                )
            )  # fmt: skip
        return found


def is_empty_answer(message: Message) -> bool:
    """Whether an answer says nothing and calls nothing."""
    return message["role"] == "assistant" and not message["content"].strip() and not message.get("tool_calls")


def _agreeing(said: str, count: int) -> str:
    verb, _, rest = said.partition(" ")
    return f"{_SINGULAR.get(verb, verb)} {rest}".strip() if count == 1 else said


def _teaches(example: Example) -> bool:
    """Whether anything stands beside an example's files that is to be learnt of them."""
    said = example.text or example.messages or example.words or example.masks or example.areas
    return bool(said) or example.label is not None or example.target is not None
