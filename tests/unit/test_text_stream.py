"""What an engine writes as people read it. Each answer is cut into tokens at random, many times: it has to come out the same."""

from __future__ import annotations

import json
import random
import time

import pytest
from tests.unit.texts import KINDS, TEXT, byte_level, cut, say, sentencepiece

from lorasmith.data.tokenizer import CHATML, load_tokenizer
from lorasmith.demo import MODEL_FOLDER
from lorasmith.families._calls import TextCall
from lorasmith.serve.text.detokenize import Vocabulary
from lorasmith.serve.text.prompt import Prompt
from lorasmith.serve.text.stops import Stops
from lorasmith.serve.text.stream import TextStream
from lorasmith.serve.text.thinking import thinking_of

ROUNDS = 12
THOUGHT = "First: 2 < 3.\n\n你好 мир 🙂"
ANSWER = "It is **four**. Schöne Grüße 🙂\n\n\tdone"
TOOLS = [
    {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {
        "a": {"type": "integer"}, "b": {"type": "number"}, "note": {"type": "string"}, "list": {"type": "array"}}}}},
    {"type": "function", "function": {"name": "wetter_für", "parameters": {"type": "object", "properties": {}}}},
]  # fmt: skip


def mentions(*marks: str) -> str:
    """A template that writes these marks."""
    return "{# " + " ".join(marks).replace("{", "") + " #}" + CHATML


# Detokenising.


@pytest.mark.parametrize("kind", KINDS)
def test_any_text_comes_out_as_it_went_in(kind):
    """SRV-2: characters that are spread over several tokens, blanks at the beginning, signs of every script."""
    tokenizer = KINDS[kind]()
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        text = "".join(chance.choice("ab ▁\n\té你🙂👩‍👩‍👧�<{") for _ in range(chance.randrange(60)))
        for words in (text, TEXT):
            said = say(cut(words, tokenizer, chance), tokenizer, chance=chance)
            assert said.final.text == (words if kind == "byte-level" else words.replace("▁", " "))


def test_texts_of_the_demo_model_come_out_as_its_tokenizer_decodes_them():
    """SRV-2"""
    tokenizer = load_tokenizer(MODEL_FOLDER)
    size = tokenizer.encoder.get_vocab_size()
    for seed in range(40):
        ids = [random.Random(seed * 1000 + index).randrange(4, size) for index in range(50)]
        assert say(ids, tokenizer).final.text == tokenizer.encoder.decode(ids)


def byte_token(tokenizer, byte: int) -> int:
    vocabulary = tokenizer.encoder.get_vocab()
    return next(
        token
        for piece, token in vocabulary.items()
        if len(piece) == 1 and Vocabulary(tokenizer.encoder).bytes_of(token) == bytes([byte])
    )


def test_broken_characters_are_shown_as_such_and_hold_nothing_up():
    """SRV-2: a model may write any bytes."""
    tokenizer = byte_level()
    stream = Vocabulary(tokenizer.encoder).stream()
    rocket = [token for byte in "🚀".encode() for token in [byte_token(tokenizer, byte)]]
    assert [stream.step(token) for token in rocket] == ["", "", "", "🚀"]
    assert stream.step(rocket[0]) == ""
    assert stream.flush() == "�"
    broken = say([*rocket[:3], *tokenizer.encoder.encode("ab").ids], tokenizer)
    assert broken.final.text == "�ab"
    assert say(rocket[:2], tokenizer).final.text == "�"
    assert say(rocket[1:2] * 300, tokenizer).final.text == "�" * 300
    other = sentencepiece()
    part = other.encoder.token_to_id("<0xF0>")
    assert set(say([part] * 300, other).final.text) == {"�"}
    going_on = TextStream(other, TextCall(prompt="x"), None, Prompt([1]))
    assert [going_on.feed([part]) for _ in range(50)].count([]) < 50


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_token_takes_no_longer_than_the_first(kind):
    """SRV-13: work for each token does not grow with the answer."""
    tokenizer = KINDS[kind]()
    stream = TextStream(tokenizer, TextCall(prompt="x", stop=["never!"], tools=TOOLS), None, Prompt([1]))
    ids = tokenizer.encoder.encode("some text, " * 50, add_special_tokens=False).ids

    def seconds() -> float:
        began = time.process_time()
        for token in ids:
            stream.feed([token])
        return time.process_time() - began

    first = min(seconds() for _ in range(3))
    for _ in range(30):
        seconds()
    assert min(seconds() for _ in range(3)) < 5 * first


def test_a_continued_text_keeps_the_blank_before_its_first_word():
    """SRV-7: sentencepiece cuts blanks at the beginning of a text, but this is not one."""
    tokenizer = sentencepiece(template="")
    ids = tokenizer.encoder.encode("the fox").ids
    assert say(ids, tokenizer, prompt=Prompt(ids), raw=True).final.text == " the fox"
    assert say(ids, sentencepiece(), prompt=Prompt(ids)).final.text == "the fox"


def test_end_tokens_and_other_special_ones_are_not_shown():
    """SRV-2"""
    tokenizer = byte_level(["<|eot|>"])
    ids = [tokenizer.encoder.token_to_id(name) for name in ("<|eot|>", "<|im_end|>")]
    assert say([*tokenizer.encoder.encode("ab").ids, *ids], tokenizer).final.text == "ab"


def test_the_bytes_of_single_tokens():
    """SRV-7: log probabilities name them."""
    tokenizer = byte_level(["<|ü|>"])
    for text in ("🙂", " the", "<|ü|>"):
        ids = tokenizer.encoder.encode(text).ids
        assert b"".join(Vocabulary(tokenizer.encoder).bytes_of(token) for token in ids) == text.encode()
    other = sentencepiece()
    assert Vocabulary(other.encoder).bytes_of(other.encoder.token_to_id("<0xE4>")) == b"\xe4"


# Thoughts.

MARKS = {
    "think": ("<think>\n", "\n</think>\n\n"),
    "mistral": ("[THINK]", "[/THINK]"),
    "seed": ("<seed:think>", "</seed:think>"),
    "gemma": ("<|channel>thought\n", "<channel|>"),
    "begin of thought": ("<|begin_of_thought|>\n\n", "\n\n<|end_of_thought|>\n\n"),
    "command": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "kimi": ("◁think▷", "◁/think▷"),
    "apertus": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "longcat": ("<longcat_think>", "</longcat_think>"),
    "thought": ("<thought>", "</thought>"),
    "thinking": ("<thinking>\n", "\n</thinking>\n"),
    "reasoning": ("<reasoning>\n", "\n</reasoning>\n"),
    "granite": ("Here is my thought process:\n\n", "\n\nHere is my response:\n\n"),
}


def token_of(mark: str) -> str:
    return mark.strip().removesuffix("thought") if mark.startswith("<|channel>") else mark.strip()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["special", "plain", "text"])
@pytest.mark.parametrize("name", MARKS)
def test_thoughts_and_answer_are_told_apart(name, form, kind):
    """UI-2, SRV-2: by tokens of the model's own, special or not, or by what its template writes out in ordinary ones."""
    start, end = MARKS[name]
    tokens = [token_of(start), token_of(end)]
    special, plain = (tokens if form == wanted else [] for wanted in ("special", "plain"))
    tokenizer = KINDS[kind](special, plain, template=mentions(*tokens))
    thinking = thinking_of(tokenizer)
    assert thinking is not None
    assert (thinking.start_text, thinking.end_text) == tuple(tokens)
    assert thinking.has_tokens == (form != "text")
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        said = say(cut(start + THOUGHT + end + ANSWER, tokenizer, chance), tokenizer, chance=chance)
        assert (said.final.thinking, said.final.text) == (THOUGHT, ANSWER)
        opened = cut(start.lstrip("<") and THOUGHT + end + ANSWER, tokenizer, chance)
        said = say(opened, tokenizer, chance=chance, prompt=Prompt([1], is_thinking=True))
        assert (said.final.thinking, said.final.text) == (THOUGHT, ANSWER)


@pytest.mark.parametrize("form", ["tokens", "text"])
def test_thoughts_in_every_unusual_place(form):
    """UI-2: none, without end, empty, twice, an end without a beginning, marks that only look like ones."""
    marks = ["<think>", "</think>"] if form == "tokens" else []
    tokenizer = byte_level(plain=marks, template=mentions("<think>", "</think>"))
    cases = {
        "plain answer": ("", "plain answer"),
        "<think>no end": ("no end", ""),
        "<think>no end\n\n": ("no end", ""),
        "<think>\n\n</think>\n\nempty": ("", "empty"),
        "\n<think>a</think>b": ("a", "b"),
        "<think>a</think>\n<think>b</think>\n\nc": ("a\n\nb", "c"),
        "<think>a</think>\n</think>\nb": ("a", "b"),
        "<think><think>a</think>b": ("a", "b"),
        "</think>b": ("", "b"),
        "<thin": ("", "<thin"),
        "<th ink>x": ("", "<th ink>x"),
        "<think>a <b </thin </think >": ("a <b </thin </think >", ""),
        "<think>": ("", ""),
        "": ("", ""),
        "  blanks": ("", "  blanks"),
    }
    for text, (thought, answer) in cases.items():
        for seed in range(ROUNDS):
            chance = random.Random(seed)
            said = say(cut(text, tokenizer, chance), tokenizer, chance=chance)
            assert (said.final.thinking, said.final.text) == (thought, answer), text


def test_a_token_that_begins_a_thought_inside_one_means_nothing():
    """UI-2"""
    tokenizer = byte_level(plain=["<think>", "</think>"])
    said = say(cut("<think>a<think>b</think>c", tokenizer, random.Random(1)), tokenizer)
    assert (said.final.thinking, said.final.text) == ("ab", "c")


def test_raw_texts_are_continued_with_all_that_is_in_them():
    """SRV-7: completions know no thoughts."""
    tokenizer = byte_level(plain=["<think>", "</think>"])
    said = say(cut("<think>a</think>c", tokenizer, random.Random(1)), tokenizer, raw=True)
    assert (said.final.thinking, said.final.text) == ("", "<think>a</think>c")
    assert said.stream.thinking_budget is None


def test_written_out_marks_inside_an_answer_are_part_of_it():
    """UI-2: a model may talk about them."""
    text = "Write `<think>` and `</think>`."
    spelled = byte_level(template=mentions("<think>", "</think>"))
    assert say(cut(text, spelled, random.Random(1)), spelled).final.text == text
    tokens = byte_level(plain=["<think>", "</think>"])
    ids = [number for character in text for number in tokens.encoder.encode(character).ids]
    assert say(ids, tokens).final.text == text


def test_marks_around_the_answer_are_no_part_of_it():
    """SRV-2: never leaking markup into the answer."""
    for around in (("<answer>", "</answer>"), ("<response>", "</response>")):
        tokenizer = byte_level(plain=["<think>", "</think>"], template=mentions(*around))
        for seed in range(ROUNDS):
            chance = random.Random(seed)
            text = f"<think>\na\n</think>\n{around[0]}\n{ANSWER}\n{around[1]}\n"
            said = say(cut(text, tokenizer, chance), tokenizer, chance=chance)
            assert (said.final.thinking, said.final.text) == ("a", ANSWER)
            said = say(cut(f"<think>a</think>{around[0]}b", tokenizer, chance), tokenizer, chance=chance)
            assert said.final.text == "b"


def test_tokens_of_thoughts_and_answer_are_counted_apart():
    """UI-2, SRV-2"""
    tokenizer = byte_level(plain=["<think>", "</think>"])
    ids = [number for text in ("<think>", "abc", "</think>", "de") for number in tokenizer.encoder.encode(text).ids]
    said = say(ids, tokenizer)
    assert said.final.usage == {"prompt_tokens": 3, "thinking_tokens": 5, "answer_tokens": 2, "total_tokens": 10}
    spelled = byte_level(template=mentions("<think>", "</think>"))
    ids = [number for character in "<think>abc</think>de" for number in spelled.encoder.encode(character).ids]
    usage = say(ids, spelled).final.usage
    assert (usage["thinking_tokens"], usage["answer_tokens"]) == (18, 2)


def test_hidden_thoughts_are_counted_and_not_sent():
    """SRV-2: show_thinking"""
    tokenizer = byte_level(plain=["<think>", "</think>"])
    said = say(cut("<think>abc</think>de", tokenizer, random.Random(1)), tokenizer, show_thinking=False)
    assert {piece.kind for piece in said.pieces} == {"answer"}
    assert (said.final.thinking, said.final.text, said.final.usage["thinking_tokens"] > 3) == ("", "de", True)


def test_what_a_worker_has_to_know_of_thoughts():
    """SRV-2: max_thinking_tokens"""
    tokenizer = byte_level(plain=["<think>", "</think>"])
    start, end = (tokenizer.encoder.token_to_id(name) for name in ("<think>", "</think>"))
    said = say([], tokenizer, max_thinking_tokens=7, prompt=Prompt([1], is_thinking=True))
    assert said.stream.thinking_budget == {"start_ids": [start], "end_ids": [end], "is_open": True, "max": 7}
    assert say([], byte_level()).stream.thinking_budget is None


# gpt-oss.

HARMONY = ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>"]


@pytest.fixture(scope="module")
def harmony():
    return byte_level(HARMONY, template="{# analysis #}" + CHATML)


def harmony_prompt(tokenizer) -> Prompt:
    return Prompt(tokenizer.encoder.encode("<|start|>user<|message|>Hi<|end|><|start|>assistant").ids)


def test_channels_of_gpt_oss(harmony):
    """UI-2: analysis is thought, final is the answer; a commentary is said to the user too."""
    cases = {
        "<|channel|>analysis<|message|>a\nb<|end|><|start|>assistant<|channel|>final<|message|>c<|return|>": (
            "a\nb",
            "c",
        ),
        "<|channel|>final<|message|>c": ("", "c"),
        "<|channel|>analysis<|message|>no end": ("no end", ""),
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b": ("a\n\nb", ""),
        "<|channel|>commentary<|message|>first<|end|><|start|>assistant<|channel|>final<|message|>then": (
            "",
            "first\n\nthen",
        ),
        '{"a": 1} as a grammar wants': ("", '{"a": 1} as a grammar wants'),
        "<|channel|>fin": ("", ""),
    }
    for text, (thought, answer) in cases.items():
        for seed in range(ROUNDS):
            chance = random.Random(seed)
            said = say(cut(text, harmony, chance), harmony, chance=chance, prompt=harmony_prompt(harmony))
            assert (said.final.thinking, said.final.text) == (thought, answer), text


@pytest.mark.parametrize("head", [
    "<|channel|>commentary to=functions.add <|constrain|>json<|message|>", " to=functions.add<|channel|>commentary json<|message|>",
])  # fmt: skip
def test_calls_of_gpt_oss(harmony, head):
    """SRV-2: the recipient may stand before or behind the channel."""
    text = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant" + head + '{"a": 1}<|call|>'
    for words in (text, head + '{"a": 1}'):
        for seed in range(ROUNDS):
            chance = random.Random(seed)
            said = say(cut(words, harmony, chance), harmony, chance=chance, prompt=harmony_prompt(harmony), tools=TOOLS)
            assert said.calls == [("add", '{"a": 1}')]
            assert (said.final.text, said.final.finish_reason) == ("", "tool_calls")


def test_tokens_of_gpt_oss_are_counted(harmony):
    """UI-2"""
    ids = harmony.encoder.encode(
        "<|channel|>analysis<|message|>ab<|end|><|start|>assistant<|channel|>final<|message|>c"
    ).ids
    usage = say(ids, harmony, prompt=harmony_prompt(harmony)).final.usage
    assert usage["thinking_tokens"] + usage["answer_tokens"] == len(ids)
    assert usage["thinking_tokens"] > 0 < usage["answer_tokens"]


# Stops.


def test_stops_are_found_wherever_they_are_cut():
    """SRV-2: nothing of a stop is shown, and the caller hears that it need not go on."""
    tokenizer = byte_level()
    cases = [
        ("one two three", ["two"], "one ", True),
        ("one two three", ["\n", " t"], "one", True),
        ("one two three", ["four", "ee!"], "one two three", False),
        ("aaab", ["aab"], "a", True),
        ("xabc", ["abc", "b"], "xa", True),
        ("你好🙂🙂!", ["🙂🙂"], "你好", True),
        ("abcabd", ["abd"], "abc", True),
        ("stop", ["stop"], "", True),
        ("ends with sto", ["stop"], "ends with sto", False),
    ]
    for text, stops, answer, is_stopped in cases:
        for seed in range(ROUNDS):
            chance = random.Random(seed)
            said = say(cut(text, tokenizer, chance), tokenizer, chance=chance, stop=stops, reason="length")
            assert (said.final.text, said.stream.is_stopped) == (answer, is_stopped), text
            assert said.final.finish_reason == ("stop" if is_stopped else "length")
            assert (said.stream.stop_found in stops) == is_stopped


def test_the_stop_that_is_complete_first_counts_however_much_comes_at_once():
    """SRV-2"""
    stops = Stops(["abc", "b"])
    assert (stops.feed("xabc"), stops.found, stops.feed("more")) == ("xa", "b", "")
    stops = Stops(["th"])
    assert [stops.feed("t"), stops.feed("th")] == ["", "t"]
    assert (stops.num_passed, stops.is_stopped) == (1, True)


def test_stops_do_not_end_thoughts():
    """SRV-2"""
    tokenizer = byte_level(plain=["<think>", "</think>"])
    said = say(cut("<think>a\n\nb</think>c\n\nd", tokenizer, random.Random(1)), tokenizer, stop=["\n\n"])
    assert (said.final.thinking, said.final.text) == ("a\n\nb", "c")


def test_no_more_of_an_answer_than_was_asked_for():
    """SRV-2: max_answer_tokens"""
    tokenizer = byte_level(plain=["<think>", "</think>"])
    ids = [
        number for text in ("<think>", "abcdefg", "</think>", "hijk") for number in tokenizer.encoder.encode(text).ids
    ]
    said = say(ids, tokenizer, max_answer_tokens=2)
    assert (said.final.text, said.final.finish_reason, said.num_fed) == ("hi", "length", len(ids) - 2)
    assert (said.final.thinking, said.final.usage["answer_tokens"]) == ("abcdefg", 2)


@pytest.mark.parametrize("reason", ["stop", "length", "cancelled"])
def test_reasons_are_handed_on(reason):
    """SRV-2"""
    tokenizer = byte_level()
    assert say(cut("abc", tokenizer, random.Random(1)), tokenizer, reason=reason).final.finish_reason == reason


# Tools.

CALLS = {
    "hermes": ('Let me see.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>', "Let me see.", [("add", {"a": 1})]),
    "several": (
        '<tool_call>{"name": "add", "arguments": {}}</tool_call>\n<tool_call>{"name": "wetter_für", "arguments": {"o": "ö"}}</tool_call>',
        "", [("add", {}), ("wetter_für", {"o": "ö"})],
    ),
    "text after": ('<tool_call>{"name": "add"}</tool_call>\n\nThat was it. ', "That was it. ", [("add", {})]),
    "without end": ('<tool_call>\n{"name": "add", "arguments": {"a": [1, {"b": "}"}]}}', "", [("add", {"a": [1, {"b": "}"}]})]),
    "coder": (
        "<tool_call>\n<function=add>\n<parameter=a>\n7\n</parameter>\n<parameter=note>\n7\nlines <b>\n</parameter>\n"
        "<parameter=list>\n[1, 2]\n</parameter>\n</function>\n</tool_call>",
        "", [("add", {"a": 7, "note": "7\nlines <b>", "list": [1, 2]})],
    ),
    "coder bare": ("<function=add>\n<parameter=b>\n1.5\n</parameter>\n</function>", "", [("add", {"b": 1.5})]),
    "functionary": ('<function=add>{"a": 1}</function>', "", [("add", {"a": 1})]),
    "glm": ("<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>3</arg_value>\n</tool_call>", "", [("add", {"a": 3})]),
    "mistral": ('[TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {}}]', "", [("add", {"a": 1}), ("add", {})]),
    "mistral args": ('[TOOL_CALLS]add[ARGS]{"a": 1}[TOOL_CALLS]add[CALL_ID]123456789[ARGS]{}', "", [("add", {"a": 1}), ("add", {})]),
    "llama": ('{"name": "add", "parameters": {"a": 1}}', "", [("add", {"a": 1})]),
    "llama two": ('{"name": "add", "parameters": {"a": 1}}; {"name": "add", "parameters": {"a": 2}}', "", [("add", {"a": 1}), ("add", {"a": 2})]),
    "llama typed": ('\n{"type": "function", "name": "add", "parameters": {"a": "1"}}', "", [("add", {"a": "1"})]),
    "llama nested": ('{"type": "function", "function": {"name": "add", "arguments": {}}}', "", [("add", {})]),
    "bare list": ('[{"name": "add", "arguments": "{\\"a\\": 1}"}]', "", [("add", {"a": 1})]),
    "python tag": ('<|python_tag|>{"name": "add", "parameters": {}}', "", [("add", {})]),
    "granite": ('<|tool_call|>[{"name": "add", "arguments": {"a": 1}}]', "", [("add", {"a": 1})]),
    "phi": ('<|tool_call|>[{"name": "add", "arguments": {"a": 1}}]<|/tool_call|>', "", [("add", {"a": 1})]),
    "nemotron": ('<TOOLCALL>[{"name": "add", "arguments": {"a": 1}}]</TOOLCALL>', "", [("add", {"a": 1})]),
    "seed": ("<seed:tool_call>\n<function=add>\n<parameter=a>1</parameter>\n</function>\n</seed:tool_call>", "", [("add", {"a": 1})]),
    "minimax": (
        '<minimax:tool_call>\n<invoke name="add">\n<parameter name="a">1</parameter>\n</invoke>\n<invoke name="add">\n</invoke>\n</minimax:tool_call>',
        "", [("add", {"a": 1}), ("add", {})],
    ),
    "deepseek 3.2": (
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="add">\n<｜DSML｜parameter name="note" string="true">x</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
        "", [("add", {"note": "x"})],
    ),
    "deepseek": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "", [("add", {"a": 1})],
    ),
    "deepseek 3.1": (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{"a": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>', "", [("add", {"a": 1})],
    ),
    "kimi": (
        '<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|><|tool_calls_section_end|>',
        "", [("add", {"a": 1})],
    ),
    "command": ('<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "add", "parameters": {"a": 1}}]<|END_ACTION|>', "", [("add", {"a": 1})]),
    "gemma": (
        '<|tool_call>call:add{a:1,note:<|"|>a, {b}<|"|>,list:[true,{x:<|"|>y<|"|>}],b:-1.5}<tool_call|>',
        "", [("add", {"a": 1, "note": "a, {b}", "list": [True, {"x": "y"}], "b": -1.5})],
    ),
    "functiongemma": ("<start_function_call>call:add{note:<escape>Tokyo<escape>}<end_function_call>", "", [("add", {"note": "Tokyo"})]),
    "line breaks": ('<tool_call>{"name": "add", "arguments": {"note": "a\nb"}}</tool_call>', "", [("add", {"note": "a\nb"})]),
}  # fmt: skip


def marks_of(text: str) -> list[str]:
    """What would be special tokens in the model that writes this."""
    from lorasmith.serve.text import toolcalls

    return [mark for mark in toolcalls.TOKENS if mark in text and mark != "｜DSML｜"]


@pytest.mark.parametrize("form", ["tokens", "text"])
@pytest.mark.parametrize("name", CALLS)
def test_calls_of_tools_are_recognised(name, form):
    """SRV-2: as each family writes them, in tokens of its own or in ordinary ones."""
    text, answer, calls = CALLS[name]
    tokenizer = byte_level(marks_of(text) if form == "tokens" else ())
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        said = say(cut(text, tokenizer, chance), tokenizer, chance=chance, tools=TOOLS)
        assert [(name, json.loads(arguments)) for name, arguments in said.calls] == calls
        assert (said.final.text, said.final.finish_reason) == (answer, "tool_calls")
    assert all(call["id"].startswith("call_") for call in said.final.tool_calls)
    assert len({call["id"] for call in said.final.tool_calls}) == len(calls)


NO_CALLS = [
    '<tool_call>{"name": "add", "arguments": {"a": __import__("os").system("x")}}</tool_call> and more',
    "<tool_call>{'name': 'add', 'arguments': {}}</tool_call>",
    '<tool_call>{"name": "add", "arguments": [1]}</tool_call>',
    '<tool_call>{"name": 7}</tool_call>  text',
    '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>',
    "<tool_call>" + "[" * 5000 + "</tool_call>",
    "<tool_call>",
    "[TOOL_CALLS][{}]",
    "[TOOL_CALLS]add[ARGS]{",
    '<|python_tag|>brave_search.call(query="x")',
    "<|tool_call>call:add{a:<tool_call|>",
    "<|tool_call>add{a:1}<tool_call|>",
    "<|tool_call>call:add{a:" + "[" * 100 + "1" + "]" * 100 + "}<tool_call|>",
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>nothing<｜tool▁calls▁end｜>",
    '{"name": "Anna", "age": 3}',
    '{"name": "add"',
    '{"name": "add", "parameters": {}} and a word',
    '[{"name": "add", "arguments": {}}, {"name": "other", "arguments": {}}]',
    '{"answer": 4}',
    "[1, 2]",
    "  \n{",
    "a <tool_ca",
    "use <tool> here \n",
]


@pytest.mark.parametrize("text", NO_CALLS)
def test_what_is_no_call_stays_text(text):
    """SRV-2: read as JSON, never evaluated."""
    tokenizer = byte_level()
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        said = say(cut(text, tokenizer, chance), tokenizer, chance=chance, tools=TOOLS)
        assert (said.final.text, said.final.tool_calls, said.final.finish_reason) == (text, [], "stop")


def test_broken_calls_take_no_long_time():
    """SRV-12: a model can be made to write anything."""
    tokenizer = byte_level()
    for text in ("<function=" * 5_000, "<function=a><parameter=" + "<parameter=" * 5_000, "<tool_call>" + "<arg_key>" * 5_000,
                 '<invoke name="' * 5_000, "<tool_call>" * 5_000):  # fmt: skip
        stream = TextStream(tokenizer, TextCall(prompt="x", tools=TOOLS), None, Prompt([1]))
        ids = tokenizer.encoder.encode(text).ids
        began = time.process_time()
        for at in range(0, len(ids), 50):
            stream.feed(ids[at : at + 50])
        stream.end("length")
        assert time.process_time() - began < 5


def test_calls_are_recognised_only_where_there_are_tools():
    """SRV-2: without tools, or where the request forbids them, it is a text like any other."""
    tokenizer = byte_level()
    text = CALLS["hermes"][0]
    for fields in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        said = say(cut(text, tokenizer, random.Random(1)), tokenizer, **fields)
        assert (said.final.text, said.final.tool_calls) == (text, [])


def test_calls_in_thoughts_are_thoughts():
    """SRV-7: parsed from the answer, never from reasoning."""
    tokenizer = byte_level(plain=["<think>", "</think>", "<tool_call>", "</tool_call>"])
    call = '<tool_call>{"name": "add", "arguments": {}}</tool_call>'
    said = say(cut(f"<think>I could {call}</think>{call}", tokenizer, random.Random(1)), tokenizer, tools=TOOLS)
    assert said.final.thinking == f"I could {call}"
    assert len(said.calls) == 1


def test_an_unfinished_call_at_the_token_limit_keeps_its_reason():
    """SRV-2"""
    tokenizer = byte_level()
    said = say(
        cut('<tool_call>{"name": "add", "argum', tokenizer, random.Random(1)), tokenizer, tools=TOOLS, reason="length"
    )
    assert (said.final.text, said.final.finish_reason) == ('<tool_call>{"name": "add", "argum', "length")


def test_calls_before_the_token_limit_are_told_with_its_reason():
    """SRV-2: whoever asked has to know that there might have been more."""
    tokenizer = byte_level()
    said = say(cut(CALLS["hermes"][0], tokenizer, random.Random(1)), tokenizer, tools=TOOLS, reason="length")
    assert (said.final.finish_reason, len(said.calls)) == ("length", 1)


def test_text_before_a_call_is_sent_before_the_call_is_whole():
    """SRV-2: only what may be a call is held back."""
    tokenizer = byte_level()
    stream = TextStream(tokenizer, TextCall(prompt="x", tools=TOOLS), None, Prompt([1]))
    shown = [piece.text for piece in stream.feed(tokenizer.encoder.encode("Let me see.\n<tool_call>{").ids)]
    assert "".join(shown) == "Let me see."


def test_a_call_that_must_be_made_binds_the_answer():
    """SRV-7: tool_choice"""
    tokenizer = byte_level()
    assert say([], tokenizer, tools=TOOLS).stream.json_schema is None
    schema = say([], tokenizer, tools=TOOLS, tool_choice="add").stream.json_schema
    assert isinstance(schema, dict)
    assert schema["properties"]["name"] == {"const": "add"}
    assert schema["properties"]["arguments"]["properties"]["a"] == {"type": "integer"}
    required = say([], tokenizer, tools=TOOLS, tool_choice="required", json_schema=True).stream.json_schema
    assert isinstance(required, dict)
    assert len(required["anyOf"]) == 2
    assert say([], tokenizer, json_schema={"type": "array"}).stream.json_schema == {"type": "array"}


def test_the_engines_grammars_take_forced_calls():
    """SRV-7: what such an answer looks like is recognised as a call."""
    guidance = pytest.importorskip("llguidance")
    tokenizer = byte_level()
    for choice in ("add", "required"):
        schema = say([], tokenizer, tools=TOOLS, tool_choice=choice).stream.json_schema
        grammar = guidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
        text = tokenizer.encoder.to_str()
        size = tokenizer.encoder.get_vocab_size()
        matcher = guidance.LLMatcher(guidance.LLTokenizer(text, n_vocab=size), grammar)
        assert not matcher.is_error(), matcher.get_error()
        ids = tokenizer.encoder.encode('{"name":"add","arguments":{"a":1}}').ids
        assert matcher.try_consume_tokens(ids) == len(ids)
        said = say(ids, tokenizer, tools=TOOLS, tool_choice=choice)
        assert said.calls == [("add", '{"a": 1}')]


# Log probabilities.


def told(ids: list[int]) -> list[dict]:
    return [
        {"id": token, "logprob": -index / 8, "top": [(token, -index / 8), (5, -9.0)]} for index, token in enumerate(ids)
    ]


def test_log_probabilities_belong_to_the_tokens_of_the_answer():
    """SRV-7: each comes with the piece that its token is in, none is lost or told twice."""
    tokenizer = byte_level(plain=["<think>", "</think>"])
    thought = tokenizer.encoder.encode("<think>ab</think>").ids
    answer = tokenizer.encoder.encode("Schöne Grüße 🙂 sto").ids
    ids = [*thought, *answer]
    for seed in range(ROUNDS):
        said = say(ids, tokenizer, told=told(ids), logprobs=2, stop=["stop"], chance=random.Random(seed))
        assert [entry["id"] for entry in said.final.logprobs] == answer
        sent = [entry for piece in said.pieces if piece.kind == "answer" for entry in piece.logprobs]
        assert sent == said.final.logprobs
        assert bytes(byte for entry in sent for byte in entry["bytes"]).decode() == "Schöne Grüße 🙂 sto"
        assert sent[0]["top_logprobs"][1] == {
            "id": 5,
            "token": sent[0]["top_logprobs"][1]["token"],
            "bytes": [Vocabulary(tokenizer.encoder).bytes_of(5)[0]],
            "logprob": -9.0,
        }
    assert say(ids, tokenizer).final.logprobs is None


def test_log_probabilities_of_what_a_stop_cut_off_are_not_told():
    """SRV-7"""
    tokenizer = byte_level()
    ids = [number for character in "abcSTOPd" for number in tokenizer.encoder.encode(character).ids]
    said = say(ids, tokenizer, told=told(ids), logprobs=0, stop=["STOP"])
    assert [entry["token"] for entry in said.final.logprobs] == ["a", "b", "c"]


def test_a_token_that_a_stop_cut_off_whole_is_not_told_with_the_one_before():
    """SRV-7"""
    tokenizer = sentencepiece()
    ids = [tokenizer.encoder.token_to_id(piece) for piece in ("t", "th")]
    said = say(ids, tokenizer, told=told(ids), logprobs=0, stop=["th"])
    assert (said.final.text, [entry["token"] for entry in said.final.logprobs]) == ("t", ["t"])


def test_tokens_without_log_probabilities_are_passed_over():
    """SRV-7: an engine that ends a thought writes tokens that nobody chose."""
    tokenizer = byte_level()
    ids = tokenizer.encoder.encode("abc").ids
    given = [None, *told(ids)[1:]]
    assert len(say(ids, tokenizer, told=given, logprobs=0).final.logprobs) == len(ids) - 1
