"""What a model sees of a row, and what it learns of it: compared with transformers' own rendering."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import write_rows

from lorasmith.core.errors import DataProblem, NotFoundProblem, UsageProblem
from lorasmith.data.examples import Example
from lorasmith.data.inspect import inspect
from lorasmith.data.load import open_source
from lorasmith.data.prepare import prepare, read_rows
from lorasmith.data.render import TokenRow, mark_answers, prompt_ids, render_rows, truncate
from lorasmith.data.tokenizer import ALPACA, CHATML, load_tokenizer

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


@pytest.mark.parametrize("name", TEMPLATES)
def test_ids_are_those_of_transformers_and_answers_are_learnt_with_their_end(tmp_path, tiny_llama, name):
    """DAT-3"""
    folder = with_template(tmp_path / "t", tiny_llama, TEMPLATES[name])
    tokenizer = load_tokenizer(folder)
    (row,) = render_rows([Example(1, CHAT)], tokenizer)
    code = (
        "import json, sys, transformers\n"
        f"t = transformers.AutoTokenizer.from_pretrained({str(folder)!r})\n"
        f"chat = {CHAT!r}\n"
        "print(json.dumps([t.apply_chat_template(chat, return_dict=True)['input_ids'],\n"
        "  t.apply_chat_template(chat[:-1], add_generation_prompt=True, return_dict=True)['input_ids']]))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    import json

    whole, prompt = json.loads(done.stdout.splitlines()[-1])
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


def test_marks_in_the_data_are_not_taken_for_ours(tmp_path, tiny_llama):
    """DAT-3"""
    tokenizer = load_tokenizer(tiny_llama)
    chat = [{"role": "user", "content": "a\ufdd0b\ufdd1c"}, {"role": "assistant", "content": "d\ufdd1e"}]
    (row,) = render_rows([Example(1, chat)], tokenizer)
    assert learnt(row, tokenizer) == ["de<|im_end|>"]
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


def test_a_template_cannot_reach_out_of_its_sandbox(tmp_path, tiny_llama):
    """SEC-2"""
    evil = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    tokenizer = load_tokenizer(with_template(tmp_path / "evil", tiny_llama, evil))
    with pytest.raises(DataProblem, match="refuses a conversation"):
        tokenizer.render(CHAT)


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


def test_inspection_finds_copies_contradictions_and_empty_answers(tmp_path, tiny_llama):
    """DAT-2"""
    rows = [{"question": f"What is number {'x' * i}?", "answer": "It is so."} for i in range(10)]
    rows += [rows[0], {"question": "what is NUMBER?", "answer": "it is so"}]
    rows += [{"question": "What is number x?", "answer": "other"}, {"question": "Привет?", "answer": ""}]
    found = inspect(open_source(write_rows(tmp_path / "d.jsonl", rows)), load_tokenizer(tiny_llama), max_length=24)
    assert (found.num_rows, found.num_duplicates, found.num_near_duplicates) == (14, 1, 1)
    assert found.num_conflicts == 1
    assert (found.num_empty_answers, found.empty_answer_lines) == (1, [14])
    assert found.scripts["Cyrillic"] == pytest.approx(1 / 14)
    assert sum(count for _, count in found.histogram) == 14
    assert found.num_truncated > 0
    assert not found.fatal


def test_inspection_calls_what_would_spoil_a_training_fatal(tmp_path, tiny_llama):
    """DAT-2"""
    rows = [{"question": "q", "answer": "long " * 40}] * 5
    source = open_source(write_rows(tmp_path / "d.jsonl", rows))
    tokenizer = load_tokenizer(tiny_llama)
    cut = inspect(source, tokenizer, max_length=50)
    assert any("lose the end of their answer" in reason for reason in cut.fatal)
    endless = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    never = inspect(source, load_tokenizer(with_template(tmp_path / "n", tiny_llama, endless)))
    assert any("never stop" in reason for reason in never.fatal)
    doubled = inspect(
        source, load_tokenizer(with_template(tmp_path / "b", tiny_llama, "{{ bos_token }}{{ bos_token }}" + CHATML))
    )
    assert any("two begin tokens" in reason for reason in doubled.fatal)
