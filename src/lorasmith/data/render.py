"""A row as the model sees it: token ids, and which of them it is to learn (DAT-3).

Masks come from the template itself: from its `generation` marks, or by rendering the conversation with marked answers
and checking that the marks changed nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import tokenizers

from lorasmith.core.errors import DataProblem
from lorasmith.core.templates import START, STOP
from lorasmith.data.examples import Example, Message
from lorasmith.data.tokenizer import Tokenizer

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """`ids` of one row; `spans` are the half-open ranges of ids that carry loss; `key` is the hash of the content.

    Rows of preferences have a second answer to the same (data/pairs.py): `rejected` with its spans, whole as `ids` are.
    """

    ids: list[int]
    spans: list[Span]
    key: int
    rejected: list[int] = field(default_factory=list[int])
    rejected_spans: list[Span] = field(default_factory=list[Span])
    is_good: bool = True
    """For single judgements: whether the answer was liked."""

    @property
    def num_supervised(self) -> int:
        return sum(stop - start for start, stop in self.spans)

    @property
    def num_rejected(self) -> int:
        """Tokens of the second answer."""
        return sum(stop - start for start, stop in self.rejected_spans)


def mark_answers(text: str) -> tuple[str, list[Span]]:
    """The text without its START and STOP marks, and the character ranges that stood between them."""
    pieces: list[str] = []
    spans: list[Span] = []
    length, position = 0, 0
    while (start := text.find(START, position)) >= 0:
        stop = text.find(STOP, start)
        if stop < 0:
            break
        before, answer = text[position:start], text[start + 1 : stop]
        spans.append((length + len(before), length + len(before) + len(answer)))
        length += len(before) + len(answer)
        pieces += [before, answer]
        position = stop + 1
    pieces.append(text[position:])
    return "".join(pieces), spans


def _without_marks(text: str) -> str:
    return text.replace(START, "").replace(STOP, "")


def _clean(messages: list[Message]) -> list[Message]:
    """Noncharacters that happen to stand in the data would be taken for marks."""
    if not any(_is_marked(message) for message in messages):
        return messages
    return orjson.loads(_without_marks(orjson.dumps(messages).decode()))


def _is_marked(message: Message) -> bool:
    """Whether marks stand in what a template may write of a message; keys beside the usual two are rare."""
    text = message["content"] if len(message) == 2 else orjson.dumps(message).decode()
    return START in text or STOP in text


def _clean_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return orjson.loads(_without_marks(orjson.dumps(tools).decode())) if tools else tools


def conversation_text(
    messages: list[Message], tokenizer: Tokenizer, tools: list[dict[str, Any]] | None = None
) -> tuple[str, list[Span]]:
    """The rendered conversation and the character ranges of its answers (without what ends a turn).

    Raises DataProblem where the template changes answers so that they cannot be found again.
    """
    messages, tools = _clean(messages), _clean_tools(tools or [])
    if not tokenizer.template:
        return _plain_text(messages, tokenizer)
    if tokenizer.marks_answers:
        return mark_answers(tokenizer.render(messages, tools=tools))
    marked = [_marked(message) if message["role"] == "assistant" else message for message in messages]
    text, spans = mark_answers(tokenizer.render(marked, tools=tools))
    plain = tokenizer.render(messages, tools=tools)
    if text != plain:
        # The template rewrites answers (strips blanks, cuts thoughts): only the last one can be told for sure.
        spans = []
    spans = _widened(messages, plain, spans, tokenizer, tools)
    return plain, _from_prompt(messages, plain, spans, tokenizer, tools)


def _marked(message: Message) -> Message:
    """An answer with marks around it. Behind the name of its last call stand two, which only say where it is."""
    marked: Message = {**message}
    if calls := message.get("tool_calls"):
        function = calls[-1]["function"]
        last = {**calls[-1], "function": {**function, "name": f"{function['name']}{START}{STOP}"}}
        marked["tool_calls"] = [*calls[:-1], last]
    else:
        marked["content"] = f"{START}{message['content']}{STOP}"
    return marked


def _widened(
    messages: list[Message], text: str, spans: list[Span], tokenizer: Tokenizer, tools: list[dict[str, Any]]
) -> list[Span]:
    """The spans, those of calls and of thoughts from the end of what begins a turn to what ends it."""
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if len(answers) != len(spans) or all(len(messages[index]) == 2 for index in answers):
        return spans
    widened: list[Span] = []
    for index, (start, end) in zip(answers, spans, strict=True):
        if len(messages[index]) > 2:
            header = _header(messages[:index], tokenizer, tools)
            found = text.rfind(header, widened[-1][1] if widened else 0, start) if header else -1
            if found < 0:
                raise _lost(tokenizer)
            start = found + len(header)  # noqa: PLW2901
            if "tool_calls" in messages[index]:
                end = _end_of_turn(text, end, tokenizer)  # noqa: PLW2901
        widened.append((start, end))
    return widened


def _header(before: list[Message], tokenizer: Tokenizer, tools: list[dict[str, Any]]) -> str:
    """What the template writes between the last turn and an answer."""
    without = tokenizer.render(before, tools=tools)
    prompt = tokenizer.render(before, prompt=True, tools=tools)
    return prompt[len(without) :] if prompt.startswith(without) else ""


def _end_of_turn(text: str, start: int, tokenizer: Tokenizer) -> int:
    """Where the first special token after `start` stands: what follows a call's name is its arguments, then the turn ends."""
    found = tokenizer.special_pattern.search(text, start)
    return found.start() if found else len(text.rstrip())


def _from_prompt(
    messages: list[Message], text: str, spans: list[Span], tokenizer: Tokenizer, tools: list[dict[str, Any]]
) -> list[Span]:
    """Let the last answer start right where the prompt ends, so that all that the model must say itself is learnt."""
    last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    prompt = tokenizer.render(messages[:last], prompt=True, tools=tools)
    if text.startswith(prompt):
        end = spans[-1][1] if spans else len(text.rstrip())
        if last == len(messages) - 1 or spans:
            return [*spans[:-1], (len(prompt), end)]
    if not spans:
        raise _lost(tokenizer)
    return spans


def _lost(tokenizer: Tokenizer) -> DataProblem:
    return DataProblem(
        f"The answers cannot be found again in what the chat template of '{tokenizer.folder.name}' makes of them",
        why="It rewrites them, and its prompt is no beginning of the whole conversation.",
        fix="Give another template: --template chatml, or a file with {% generation %} marks.",
    )


def _plain_text(messages: list[Message], tokenizer: Tokenizer) -> tuple[str, list[Span]]:
    """One prompt and one completion side by side: what a base model without a template can learn."""
    roles = [message["role"] for message in messages]
    if roles != ["user", "assistant"]:
        raise no_template(tokenizer)
    prompt, answer = messages[0]["content"], messages[1]["content"]
    return prompt + answer, [(len(prompt), len(prompt) + len(answer))]


def no_template(tokenizer: Tokenizer) -> DataProblem:
    return DataProblem(
        f"The tokenizer of '{tokenizer.folder.name}' has no chat template",
        why="It belongs to a base model, which knows no turns; without a template questions and answers run together.",
        fix="Choose one with --template chatml (or alpaca, or a jinja file), use the instruct version of the model,\n"
        "or give prompt/completion pairs or plain text.",
    )


def require_template(examples: Sequence[Example], format_name: str, tokenizer: Tokenizer) -> None:
    """Raises DataProblem where conversations meet a tokenizer without a template; plain pairs and texts need none."""
    if tokenizer.template:
        return
    for example in examples:
        is_pair = format_name == "prompt-completion" and len(example.messages) == 2
        if not example.is_text and not is_pair:
            raise no_template(tokenizer)


def render_rows(examples: Sequence[Example], tokenizer: Tokenizer, *, learn_all: bool = False) -> list[TokenRow]:
    """Examples as token rows. With `learn_all` every token but the first carries loss."""
    texts: list[str] = []
    spans: list[list[Span]] = []
    for example in examples:
        if example.is_text:
            texts.append(_without_marks(example.text))
            spans.append([])
        else:
            text, found = conversation_text(example.messages, tokenizer, example.tools)
            texts.append(text)
            spans.append(found)
    # A template writes the begin token itself; plain text gets it from the tokenizer.
    has_template = [bool(tokenizer.template) and not example.is_text for example in examples]
    encodings = _encode(texts, has_template, tokenizer)
    return [
        _row(example, text, found, encoding, templated, tokenizer, learn_all)
        for example, text, found, encoding, templated in zip(
            examples, texts, spans, encodings, has_template, strict=True
        )
    ]


def _encode(texts: list[str], templated: list[bool], tokenizer: Tokenizer) -> list[tokenizers.Encoding]:
    if all(templated) or not any(templated):
        return tokenizer.encoder.encode_batch(texts, add_special_tokens=not templated[0])
    return [
        tokenizer.encoder.encode(text, add_special_tokens=not has) for text, has in zip(texts, templated, strict=True)
    ]


def _row(
    example: Example, text: str, spans: list[Span], encoding: tokenizers.Encoding, templated: bool,
    tokenizer: Tokenizer, learn_all: bool,
) -> TokenRow:  # fmt: skip
    ids = list(encoding.ids)
    token_spans: list[Span] = []
    for start, stop in spans:
        first, end = _token_at(encoding, start, len(text), len(ids)), _token_at(encoding, stop, len(text), len(ids))
        ends_itself = templated and tokenizer.marks_answers
        if (
            not ends_itself
            and end < len(ids)
            and ids[end] in tokenizer.special_ids
            and (not token_spans or token_spans[-1][1] < end)
        ):
            end += 1  # what ends the turn is learnt too, else the model never stops
        token_spans.append((first, max(first, end)))
    eos = tokenizer.eos_id
    if not templated and eos is not None:
        if ids[-1] != eos:
            ids.append(eos)
        if token_spans:
            token_spans[-1] = (token_spans[-1][0], len(ids))
    if learn_all or example.is_text:
        token_spans = [(1, len(ids))]
    return TokenRow(ids, token_spans, example.key())


def _token_at(encoding: tokenizers.Encoding, char: int, num_chars: int, num_tokens: int) -> int:
    """The index of the first token at or after a character; some characters belong to no token."""
    while char < num_chars:
        token = encoding.char_to_token(char)
        if token is not None:
            return token
        char += 1
    return num_tokens


def prompt_ids(
    messages: list[Message], tokenizer: Tokenizer, *, tools: list[dict[str, Any]] | None = None
) -> list[int]:
    """The ids after which the model is to answer the last turn."""
    messages = _clean(messages)
    if tokenizer.template:
        text = _without_marks(tokenizer.render(messages, prompt=True, tools=tools))
        return tokenizer.encoder.encode(text, add_special_tokens=False).ids
    if len(messages) != 1:
        raise no_template(tokenizer)
    ids = tokenizer.encoder.encode(messages[0]["content"]).ids
    return ids[:-1] if ids and ids[-1] == tokenizer.eos_id else ids


def truncate(row: TokenRow, max_length: int) -> TokenRow:
    """At most `max_length` tokens, cut out of the middle of the longest stretch without loss, so that answers stay.

    Only where the answers alone are too long is their end lost.
    """
    excess = len(row.ids) - max_length
    if excess <= 0:
        return row
    edges = [0, *(edge for span in row.spans for edge in span), len(row.ids)]
    gaps = [(edges[index], edges[index + 1]) for index in range(0, len(edges), 2)]
    start, stop = max(gaps, key=lambda gap: gap[1] - gap[0])
    cut = min(excess, max(0, stop - start - 2))
    middle = (start + stop - cut) // 2
    ids = row.ids[:middle] + row.ids[middle + cut :]
    spans = [(a - cut, b - cut) if a >= stop else (a, b) for a, b in row.spans]
    spans = [(a, min(b, max_length)) for a, b in spans if a < max_length]
    return TokenRow(ids[:max_length], spans, row.key)
