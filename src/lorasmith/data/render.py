"""A row as the model sees it: token ids, and which of them it is to learn (DAT-3).

Masks come from the template itself: from its `generation` marks, or by rendering the conversation with marked answers
and checking that the marks changed nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tokenizers

from lorasmith.core.errors import DataProblem
from lorasmith.core.templates import START, STOP
from lorasmith.data.examples import Example, Message
from lorasmith.data.tokenizer import Tokenizer

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """`ids` of one row; `spans` are the half-open ranges of ids that carry loss; `key` is the hash of the content."""

    ids: list[int]
    spans: list[Span]
    key: int

    @property
    def num_supervised(self) -> int:
        return sum(stop - start for start, stop in self.spans)


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
    if any(START in message["content"] or STOP in message["content"] for message in messages):
        return [{"role": message["role"], "content": _without_marks(message["content"])} for message in messages]
    return messages


def conversation_text(messages: list[Message], tokenizer: Tokenizer) -> tuple[str, list[Span]]:
    """The rendered conversation and the character ranges of its answers (without what ends a turn).

    Raises DataProblem where the template changes answers so that they cannot be found again.
    """
    messages = _clean(messages)
    if not tokenizer.template:
        return _plain_text(messages, tokenizer)
    if tokenizer.marks_answers:
        return mark_answers(tokenizer.render(messages))
    marked: list[Message] = [
        {"role": "assistant", "content": f"{START}{message['content']}{STOP}"}
        if message["role"] == "assistant"
        else message
        for message in messages
    ]
    text, spans = mark_answers(tokenizer.render(marked))
    plain = tokenizer.render(messages)
    if text != plain:
        # The template rewrites answers (strips blanks, cuts thoughts): only the last one can be told for sure.
        spans = []
    return plain, _from_prompt(messages, plain, spans, tokenizer)


def _from_prompt(messages: list[Message], text: str, spans: list[Span], tokenizer: Tokenizer) -> list[Span]:
    """Let the last answer start right where the prompt ends, so that all that the model must say itself is learnt."""
    last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    prompt = tokenizer.render(messages[:last], prompt=True)
    if text.startswith(prompt):
        end = spans[-1][1] if spans else len(text.rstrip())
        if last == len(messages) - 1 or spans:
            return [*spans[:-1], (len(prompt), end)]
    if not spans:
        raise DataProblem(
            f"The answers cannot be found again in what the chat template of '{tokenizer.folder.name}' makes of them",
            why="It rewrites them, and its prompt is no beginning of the whole conversation.",
            fix="Give another template: --template chatml, or a file with {% generation %} marks.",
        )
    return spans


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
            text, found = conversation_text(example.messages, tokenizer)
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


def prompt_ids(messages: list[Message], tokenizer: Tokenizer) -> list[int]:
    """The ids after which the model is to answer the last turn."""
    messages = _clean(messages)
    if tokenizer.template:
        text = _without_marks(tokenizer.render(messages, prompt=True))
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
