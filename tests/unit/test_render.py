"""What a model sees of a row, and what it learns of it: compared with transformers' own rendering."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import write_rows

from lorasmith.core.errors import DataProblem, NotFoundProblem, UsageProblem
from lorasmith.data.examples import Example
from lorasmith.data.load import open_source
from lorasmith.data.prepare import prepare, read_rows
from lorasmith.data.render import TokenRow, mark_answers, prompt_ids, render_rows, truncate
from lorasmith.data.tokenizer import ALPACA, CHATML, HERMES, load_tokenizer

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Two & two?"},
    {"role": "assistant", "content": "Four. ✓ 四"},
    {"role": "user", "content": "And three?"},
    {"role": "assistant", "content": "Six."},
]
GENERATION = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<|im_start|>assistant\n"
    "{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}"
    "{% else %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STRIPPING = CHATML.replace("message['content']", "(message['content'] | trim)")
# As reasoning models do it: thoughts of earlier turns are cut, the last answer gets an empty thought.
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m['content'].split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Qwen3 does it: thoughts as a field, tools, calls, results in the user's turn.
QWEN3 = (Path(__file__).parent / "templates/qwen3_like.jinja").read_text()
# As Gemma does it.
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)
DROPPING = "{% for message in messages if message['role'] != 'system' %}" + CHATML.removeprefix(
    "{% for message in messages %}"
)
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 2}}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}]
TOOL_CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "4"},
    {"role": "assistant", "content": "Now doubled.", "tool_calls": [CALL, CALL]},
    {"role": "tool", "content": "4"},
    {"role": "assistant", "content": "Four."},
]
TOOL_TEMPLATES = {"qwen3": QWEN3, "hermes": HERMES}
TEMPLATES = {"chatml": CHATML, "generation": GENERATION, "stripping": STRIPPING, "thinking": THINKING, "alpaca": ALPACA}


def with_template(folder: Path, tiny_llama: Path, template: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_llama / name).read_bytes())
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def learnt(row, tokenizer):
    return [tokenizer.encoder.decode(row.ids[start:stop], skip_special_tokens=False) for start, stop in row.spans]


@pytest.fixture(scope="module")
def of_transformers(tmp_path_factory, tiny_llama):
    """For each template: its folder, and ids of chats as transformers makes them: whole, prompt, with tools. One process makes all."""
    root = tmp_path_factory.mktemp("templates")
    folders = {
        name: with_template(root / name, tiny_llama, template)
        for name, template in {**TEMPLATES, **TOOL_TEMPLATES}.items()
    }
    code = (
        "import json, sys, transformers\n"
        "chat, tool_chat, tools, folders, with_tools = json.load(sys.stdin)\n"
        "found = {}\n"
        "for name, folder in folders.items():\n"
        "    t = transformers.AutoTokenizer.from_pretrained(folder)\n"
        "    def ids(messages, **more): return t.apply_chat_template(messages, return_dict=True, **more)['input_ids']\n"
        "    found[name] = [ids(chat), ids(chat[:-1], add_generation_prompt=True),\n"
        "        ids(tool_chat, tools=tools) if name in with_tools else []]\n"
        "print(json.dumps(found))"
    )
    question = json.dumps(
        [CHAT, TOOL_CHAT, TOOLS, {name: str(folder) for name, folder in folders.items()}, list(TOOL_TEMPLATES)]
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, input=question
    )
    return {name: (folders[name], *ids) for name, ids in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize("name", TEMPLATES)
def test_ids_are_those_of_transformers_and_answers_are_learnt_with_their_end(of_transformers, name):
    """DAT-3"""
    folder, whole, prompt, _ = of_transformers[name]
    tokenizer = load_tokenizer(folder)
    (row,) = render_rows([Example(1, CHAT)], tokenizer)
    assert row.ids == whole
    assert prompt_ids(CHAT[:-1], tokenizer) == prompt
    last = "<think>\n\n</think>\n\nSix." if name == "thinking" else "Six."
    end = "<|im_end|>"
    assert learnt(row, tokenizer) == ["Four. ✓ 四" + end, last + end]
    assert whole[: len(prompt)] == prompt or name == "alpaca"


def test_a_template_that_rewrites_answers_still_gives_the_last_one(tmp_path, tiny_llama):
    """DAT-3"""
    tokenizer = load_tokenizer(with_template(tmp_path / "t", tiny_llama, STRIPPING))
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "  hello  "}]
    (row,) = render_rows([Example(1, chat)], tokenizer)
    assert learnt(row, tokenizer) == ["hello<|im_end|>"]


GENERATION_TOOLS = HERMES.replace(
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}",
    "<|im_start|>{{ message['role'] }}\n{% generation %}{{ message['content'] }}",
).replace(
    "{% endfor %}<|im_end|>\n{% endif %}{% endfor %}",
    "{% endfor %}<|im_end|>{% endgeneration %}\n{% endif %}{% endfor %}",
)


@pytest.mark.parametrize("name", TOOL_TEMPLATES)
def test_calls_of_tools_are_learnt_like_other_answers(of_transformers, name):
    """DAT-3: from what begins the turn to its end token; what tools say is not learnt."""
    folder, *_, ids = of_transformers[name]
    tokenizer = load_tokenizer(folder)
    assert tokenizer.knows_tools
    assert tokenizer.knows_tool_calls
    (row,) = render_rows([Example(1, TOOL_CHAT, tools=TOOLS)], tokenizer)
    assert row.ids == ids
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 2}}\n</tool_call>'
    last = "<think>\n\n</think>\n\nFour." if name == "qwen3" else "Four."
    assert learnt(row, tokenizer) == [
        f"{call}<|im_end|>",
        f"Now doubled.\n{call}\n{call}<|im_end|>",
        f"{last}<|im_end|>",
    ]
    whole = tokenizer.encoder.decode(row.ids, skip_special_tokens=False)
    assert '"name": "add", "parameters"' in whole
    assert whole.count("Be brief.") == 1
    (row,) = render_rows([Example(1, TOOL_CHAT[:3], tools=TOOLS)], tokenizer)
    thought = "<think>\n\n</think>\n\n" if name == "qwen3" else ""
    assert learnt(row, tokenizer) == [f"{thought}{call}<|im_end|>"]


def test_calls_are_found_by_a_templates_own_marks(tmp_path, tiny_llama):
    """DAT-3"""
    tokenizer = load_tokenizer(with_template(tmp_path / "t", tiny_llama, GENERATION_TOOLS))
    (row,) = render_rows([Example(1, TOOL_CHAT[:3], tools=TOOLS)], tokenizer)
    assert '{"name": "add", "arguments": {"a": 2, "b": 2}}\n</tool_call><|im_end|>' in learnt(row, tokenizer)[-1]


def test_thoughts_are_learnt_where_the_template_keeps_them(tmp_path, tiny_llama):
    """DAT-3"""
    tokenizer = load_tokenizer(with_template(tmp_path / "t", tiny_llama, QWEN3))
    chat = [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "earlier"},
        {"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "reasoning_content": "hm"},
    ]  # fmt: skip
    (row,) = render_rows([Example(1, chat)], tokenizer)
    assert learnt(row, tokenizer) == ["b<|im_end|>", "<think>\nhm\n</think>\n\nd<|im_end|>"]
    in_content = [chat[0], {"role": "assistant", "content": "<think>\nhm\n</think>\n\nd"}]
    (row,) = render_rows([Example(1, in_content)], tokenizer)
    assert learnt(row, tokenizer) == ["<think>\nhm\n</think>\n\nd<|im_end|>"]


def test_templates_that_know_no_tools_are_refused_by_line_with_the_cure(tmp_path, tiny_llama):
    """DAT-4"""
    tokenizer = load_tokenizer(tiny_llama)
    assert not tokenizer.knows_tools
    assert not tokenizer.knows_tool_calls
    plain = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    cases = [
        ({"messages": TOOL_CHAT}, "calls of functions"),
        (plain | {"tools": TOOLS}, "the functions that may be called"),
    ]
    for row, said in cases:
        source = open_source(write_rows(tmp_path / "d.jsonl", [plain, row]), skip_bad_rows=False)
        with pytest.raises(DataProblem, match=f"Line 2 of 'd.jsonl': .* does not write {said}") as caught:
            prepare(source, tokenizer, tmp_path / "x", objective="sft", eval_fraction=0, seed=0)
        assert "--template hermes" in caught.value.fix
        hermes = load_tokenizer(tiny_llama, template="hermes")
        assert prepare(source, hermes, tmp_path / "x", objective="sft", eval_fraction=0, seed=0).num_rows == 2


@pytest.mark.parametrize("name", ["refusing", "dropping"])
def test_a_system_prompt_that_the_template_would_lose_stands_before_the_users_words(tmp_path, tiny_llama, name):
    """DAT-3: in training and in answering alike."""
    template = {"refusing": NO_SYSTEM, "dropping": DROPPING}[name]
    tokenizer = load_tokenizer(with_template(tmp_path / "t", tiny_llama, template))
    assert tokenizer.drops_system
    (row,) = render_rows([Example(1, CHAT)], tokenizer)
    whole = tokenizer.encoder.decode(row.ids, skip_special_tokens=False)
    assert "<|im_start|>user\nBe brief.\n\nTwo & two?<|im_end|>" in whole
    assert "system" not in whole
    assert learnt(row, tokenizer) == ["Four. ✓ 四<|im_end|>", "Six.<|im_end|>"]
    prompt = prompt_ids(CHAT[:2], tokenizer)
    assert row.ids[: len(prompt)] == prompt
    assert "Be brief." in tokenizer.render([CHAT[0], CHAT[2]])
    assert tokenizer.render([CHAT[0]]).count("Be brief.") == 1


def test_templates_that_keep_the_system_prompt_and_broken_ones_are_left_alone(tmp_path, tiny_llama):
    """DAT-3"""
    for name, template in {**TEMPLATES, "qwen3": QWEN3, "broken": "{{ nothing.at.all }}"}.items():
        assert not load_tokenizer(with_template(tmp_path / name, tiny_llama, template)).drops_system


def test_the_largest_id_is_known_of_tokenizer_and_data(tmp_path, tiny_llama):
    """DAT-3: a model whose embedding is smaller cannot be trained with it."""
    tokenizer = load_tokenizer(tiny_llama)
    assert tokenizer.largest_id == tokenizer.encoder.get_vocab_size() - 1
    data = write_rows(
        tmp_path / "d.jsonl", [{"prompt": "abc", "completion": "d"}, {"prompt": "xyz", "completion": "e"}]
    )
    facts = prepare(open_source(data), tokenizer, tmp_path / "x", objective="sft", eval_fraction=0, seed=0)
    assert facts.largest_id == max(max(row.ids) for row in read_rows(tmp_path / "x", 0, "all"))


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path, tiny_llama):
    folder = with_template(tmp_path / "t", tiny_llama, CHATML)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("pad_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(folder)
    assert tokenizer.pad_id == tokenizer.eos_id
    assert render_rows([Example(1, CHAT)], tokenizer)[0].num_supervised


MEDIA_ROWS = {
    "image-text": ({"image": "a.png", "text": "a cat"}, "pictures"),
    "labelled": ({"text": "Great!", "label": "good"}, "classes"),
    "audio-text": ({"audio": "c.wav", "text": "hello"}, "sound"),
    "layout": ({"words": ["a"], "bboxes": [[0, 0, 1, 1]], "ner_tags": [1]}, "words with their places"),
    "donut": ({"file_name": "a.png", "ground_truth": {"gt_parse": {"a": "b"}}}, "pictures"),
    "openai": ({"messages": [{"role": "user", "content": [{"type": "image", "path": "a.png"}]}, {"role": "assistant", "content": "x"}]}, "pictures"),
}  # fmt: skip


@pytest.mark.parametrize("name", MEDIA_ROWS)
def test_a_language_model_refuses_what_it_cannot_see(tmp_path, tiny_llama, name):
    """DAT-4"""
    row, needs = MEDIA_ROWS[name]
    for file in ("a.png", "c.wav"):
        (tmp_path / file).write_bytes(b"x")
    source = open_source(write_rows(tmp_path / "d.jsonl", [row]))
    with pytest.raises(DataProblem) as caught:
        prepare(source, load_tokenizer(tiny_llama), tmp_path / "x", objective="sft", eval_fraction=0, seed=0)
    assert (
        caught.value.what == f"Line 1 of 'd.jsonl' needs a model that knows {needs}; a language model reads text only"
    )
    assert f"read as {name}" in caught.value.why
    assert ("--columns prompt=text,completion=label" in caught.value.fix) == (name == "labelled")


def test_what_was_disliked_is_not_imitated(tmp_path, tiny_llama):
    """DAT-1: a file of judgements, used for supervised training."""
    rows = [{"prompt": f"q{number}", "completion": "a", "label": number % 2 == 0} for number in range(6)]
    source = open_source(write_rows(tmp_path / "d.jsonl", rows))
    facts = prepare(source, load_tokenizer(tiny_llama), tmp_path / "x", objective="sft", eval_fraction=0, seed=0)
    assert facts.num_rows == 3


def test_marks_in_the_data_are_not_taken_for_ours(tmp_path, tiny_llama):
    """DAT-3"""
    tokenizer = load_tokenizer(tiny_llama)
    chat = [{"role": "user", "content": "a\ufdd0b\ufdd1c"}, {"role": "assistant", "content": "d\ufdd1e"}]
    (row,) = render_rows([Example(1, chat)], tokenizer)
    assert learnt(row, tokenizer) == ["de<|im_end|>"]
    hermes = load_tokenizer(tiny_llama, template="hermes")
    called = {"type": "function", "function": {"name": "a\ufdd0", "arguments": {"b\ufdd1": ["\ufdd0c"]}}}
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [called]}]
    (row,) = render_rows([Example(1, chat, tools=[{"type": "function", "function": {"name": "a\ufdd0"}}])], hermes)
    assert learnt(row, hermes) == ['<tool_call>\n{"name": "a", "arguments": {"b": ["c"]}}\n</tool_call><|im_end|>']
    assert mark_answers("a\ufdd0b\ufdd1c\ufdd0\ufdd1") == ("abc", [(1, 2), (3, 3)])


def test_loss_on_all_and_texts_learn_every_token_but_the_first(tiny_llama):
    """DAT-3"""
    tokenizer = load_tokenizer(tiny_llama)
    row, text = render_rows([Example(1, CHAT), Example(2, text="Once upon a time.")], tokenizer, learn_all=True)
    assert row.spans == [(1, len(row.ids))]
    assert text.spans == [(1, len(text.ids))]
    assert text.ids[-1] == tokenizer.eos_id


def test_a_tokenizer_without_template_learns_pairs_but_no_conversations(tmp_path, tiny_llama):
    """DAT-4"""
    tokenizer = load_tokenizer(with_template(tmp_path / "base", tiny_llama, ""))
    data = write_rows(tmp_path / "pairs.jsonl", [{"prompt": "2+2=", "completion": "4"}])
    facts = prepare(open_source(data), tokenizer, tmp_path / "x", objective="sft", eval_fraction=0.1, seed=0)
    (row,) = read_rows(tmp_path / "x", facts.threshold, "all")
    assert learnt(row, tokenizer) == ["4<|im_end|>"]
    chat = write_rows(tmp_path / "chat.jsonl", [{"messages": CHAT}])
    with pytest.raises(DataProblem, match="no chat template"):
        prepare(open_source(chat), tokenizer, tmp_path / "y", objective="sft", eval_fraction=0.1, seed=0)
    assert load_tokenizer(tmp_path / "base", template="chatml").template == CHATML
    with pytest.raises(UsageProblem, match="no chat template 'chatmll'"):
        load_tokenizer(tmp_path / "base", template="chatmll")


def test_a_folder_without_tokenizer_and_a_damaged_one_say_so(tmp_path):
    with pytest.raises(NotFoundProblem, match=r"no tokenizer\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataProblem, match="is no tokenizer"):
        load_tokenizer(tmp_path)


def test_truncation_keeps_the_answer_and_both_ends_of_the_prompt():
    """DAT-3"""
    row = TokenRow(list(range(100)), [(80, 95)], 1)
    cut = truncate(row, 50)
    assert len(cut.ids) == 50
    assert [cut.ids[start:stop] for start, stop in cut.spans] == [list(range(80, 95))]
    assert cut.ids[0] == 0
    assert cut.ids[-5:] == list(range(95, 100))
    assert truncate(row, 100) is row


def test_truncation_never_makes_rows_too_long_or_spans_wrong():
    """DAT-3: many random rows; what is learnt after the cut was learnt before it, in the same order."""
    rng = random.Random(0)
    for _ in range(2000):
        size = rng.randint(1, 60)
        edges = sorted(rng.sample(range(size + 1), min(size + 1, 2 * rng.randint(1, 3))))
        spans = list(zip(edges[::2], edges[1::2], strict=False))
        row, limit = TokenRow(list(range(size)), spans, 0), rng.randint(8, 70)
        cut = truncate(row, limit)
        assert len(cut.ids) == min(size, limit)
        before = [row.ids[i] for a, b in row.spans for i in range(a, b)]
        after = [cut.ids[i] for a, b in cut.spans for i in range(a, b)]
        assert after == before[: len(after)]


def _prepared(tmp_path, tiny_llama, rows, seed=0, name="d"):
    data = write_rows(tmp_path / f"{name}.jsonl", rows)
    out = tmp_path / f"{name}.arrow"
    facts = prepare(open_source(data), load_tokenizer(tiny_llama), out, objective="sft", eval_fraction=0.1, seed=seed)
    held = {row.key for row in read_rows(out, facts.threshold, "validation")}
    return facts, held, [row.key for row in read_rows(out, facts.threshold, "train")]


def test_the_split_follows_content_and_keeps_copies_together(tmp_path, tiny_llama):
    """DAT-3"""
    rows = [{"prompt": f"q{i}", "completion": f"a{i}"} for i in range(300)]
    facts, held, train = _prepared(tmp_path, tiny_llama, rows)
    assert facts.num_train + facts.num_validation == 300
    assert 15 <= facts.num_validation <= 45
    assert not held & set(train)
    _, more, _ = _prepared(tmp_path, tiny_llama, [*rows, *rows[:50], {"prompt": "new", "completion": "x"}], name="e")
    assert held <= more
    assert len(more - held) <= 1
    _, other, _ = _prepared(tmp_path, tiny_llama, rows, seed=1, name="f")
    assert other != held


@pytest.mark.parametrize(("count", "held"), [(1, 0), (3, 0), (6, 1), (12, 1)])
def test_small_datasets_still_hold_a_row_out(tmp_path, tiny_llama, count, held):
    """DAT-3"""
    facts, *_ = _prepared(tmp_path, tiny_llama, [{"prompt": f"q{i}", "completion": "a"} for i in range(count)])
    assert facts.num_validation >= held
    assert facts.num_train >= 1


def test_identical_rows_hold_nothing_out(tmp_path, tiny_llama):
    facts, *_ = _prepared(tmp_path, tiny_llama, [{"prompt": "q", "completion": "a"}] * 20)
    assert (facts.num_train, facts.num_validation) == (20, 0)
