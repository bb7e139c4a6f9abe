"""Preferences as token rows: what is written, what carries loss, how a pair is cut (DAT-1, DAT-3)."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
from tests.conftest import write_rows

from lorasmith.core.errors import DataProblem
from lorasmith.data.load import open_source
from lorasmith.data.pairs import truncate_pair
from lorasmith.data.prepare import PAIR_SCHEMA, SCHEMA, prepare
from lorasmith.data.render import TokenRow
from lorasmith.data.tokenizer import load_tokenizer

PREFS = [
    {"prompt": "Tea?", "chosen": "Gladly: tea.", "rejected": "No."},
    {"prompt": "Milk, and much of it?", "chosen": "Gladly: milk.", "rejected": "Certainly not today."},
    {"prompt": "Rice?", "chosen": "Gladly.", "rejected": "Go."},
]
JUDGED = [
    {"prompt": "Tea?", "completion": "Gladly.", "label": True},
    {"prompt": "Milk?", "completion": "Go away.", "label": False},
    {"prompt": "Rice?", "completion": "Gladly, rice.", "label": True},
]


def prepared(rows: list, model: Path, folder: Path, objective: str, **options):
    tokenizer = load_tokenizer(model)
    source = open_source(write_rows(folder / "rows.jsonl", rows), **options)
    facts = prepare(source, tokenizer, folder / "data.arrow", objective=objective, eval_fraction=0, seed=0)  # type: ignore[arg-type]
    with pa.memory_map(str(folder / "data.arrow")) as file:
        table = pa.ipc.open_stream(file).read_all()
    return facts, table, tokenizer


def learnt(row: dict, tokenizer, ids: str = "ids", spans: str = "spans") -> str:
    edges = row[spans]
    parts = [row[ids][start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    return "|".join(tokenizer.encoder.decode(part, skip_special_tokens=False) for part in parts)


def test_both_answers_are_written_with_their_masks(tiny_llama, tmp_path):
    """DAT-1: preference data gives a chosen and a rejected row, each with loss on its answer and the end of its turn alone."""
    facts, table, tokenizer = prepared(PREFS, tiny_llama, tmp_path, "dpo")
    assert table.schema == PAIR_SCHEMA
    for row, wanted in zip(table.to_pylist(), PREFS, strict=True):
        assert learnt(row, tokenizer).removesuffix("<|im_end|>") == wanted["chosen"]
        assert learnt(row, tokenizer, "rejected", "rejected_spans").removesuffix("<|im_end|>") == wanted["rejected"]
        assert learnt(row, tokenizer).endswith("<|im_end|>")
        shared = row["spans"][0]
        assert row["ids"][:shared] == row["rejected"][:shared]
    assert facts.length_max == max(max(len(row["ids"]), len(row["rejected"])) for row in table.to_pylist())
    assert facts.num_tokens == sum(len(row["ids"]) + len(row["rejected"]) for row in table.to_pylist())


def test_answers_given_before_the_judged_one_carry_no_loss(tiny_llama, tmp_path):
    """DAT-1: of a dialogue only the turns that differ were judged."""
    before = [
        {"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Two?"},
    ]  # fmt: skip
    rows = [{"prompt": before, "chosen": [{"role": "assistant", "content": f"Gladly {i}"}], "rejected": [{"role": "assistant", "content": "No"}]} for i in range(2)]  # fmt: skip
    _, table, tokenizer = prepared(rows, tiny_llama, tmp_path, "orpo")
    first = table.to_pylist()[0]
    assert learnt(first, tokenizer) == "Gladly 0<|im_end|>"
    assert learnt(first, tokenizer, "rejected", "rejected_spans") == "No<|im_end|>"


def test_a_judged_answer_stands_beside_the_answer_to_the_question_before(tiny_llama, tmp_path):
    """TRN-1: KTO's mismatched answers, the first row's from the last one; which were liked is kept."""
    facts, table, tokenizer = prepared(JUDGED, tiny_llama, tmp_path, "kto")
    rows = table.to_pylist()
    assert [row["is_good"] for row in rows] == [True, False, True]
    assert [learnt(row, tokenizer) for row in rows] == [f"{one['completion']}<|im_end|>" for one in JUDGED]
    others = [learnt(row, tokenizer, "rejected", "rejected_spans") for row in rows]
    assert others == [f"{one}<|im_end|>" for one in ("Gladly, rice.", "Gladly.", "Go away.")]
    shared = rows[1]["spans"][0]
    assert rows[1]["ids"][:shared] == rows[1]["rejected"][:shared]
    assert facts.num_supervised_tokens == sum(row["spans"][1] - row["spans"][0] for row in rows)


def test_answers_are_learnt_from_preferences_where_that_is_asked_for(tiny_llama, tmp_path):
    """DAT-1: --objective sft takes what was chosen or liked, and writes what it always writes."""
    facts, table, tokenizer = prepared(PREFS, tiny_llama, tmp_path, "sft")
    assert table.schema == SCHEMA
    assert facts.objective == "sft"
    assert [learnt(row, tokenizer) for row in table.to_pylist()] == [f"{one['chosen']}<|im_end|>" for one in PREFS]
    _, table, tokenizer = prepared(JUDGED, tiny_llama, tmp_path, "sft")
    assert [learnt(row, tokenizer) for row in table.to_pylist()] == ["Gladly.<|im_end|>", "Gladly, rice.<|im_end|>"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"prompt": "Tea?", "chosen": "Yes.", "rejected": "Yes."}, "'chosen' and 'rejected' are the same"),
        ({"prompt": "Tea?", "chosen": "Yes.", "rejected": " "}, "'rejected' is empty"),
        ({"prompt": "Tea?", "chosen": "", "rejected": "No."}, "'chosen' is empty"),
    ],
)
def test_pairs_that_say_nothing_are_named_or_left_out(bad, said, tiny_llama, tmp_path):
    """DAT-4"""
    with pytest.raises(DataProblem) as refused:
        prepared([*PREFS, bad], tiny_llama, tmp_path, "dpo")
    assert said in str(refused.value)
    assert "line 4" in str(refused.value).lower()
    facts, _, _ = prepared([*PREFS, bad], tiny_llama, tmp_path, "dpo", skip_bad_rows=True)
    assert (facts.num_rows, facts.num_bad_rows) == (3, 1)


def test_a_cut_pair_keeps_both_answers_and_one_prompt():
    """DAT-3: for any lengths the prompts stay the same, and answers that fit stay whole."""
    rng = random.Random(7)
    for _ in range(500):
        prompt, first, second = rng.randint(1, 60), rng.randint(1, 20), rng.randint(1, 20)
        chosen = list(range(prompt)) + list(range(1000, 1000 + first))
        rejected = list(range(prompt)) + list(range(2000, 2000 + second))
        row = TokenRow(chosen, [(prompt, prompt + first)], 5, rejected, [(prompt, prompt + second)], is_good=False)
        limit = rng.randint(8, 70)
        cut = truncate_pair(row, limit)
        assert max(len(cut.ids), len(cut.rejected)) <= limit
        assert (cut.key, cut.is_good) == (5, False)
        left = cut.spans[0][0]
        assert cut.ids[:left] == cut.rejected[:left]
        if max(first, second) + min(prompt, 2) <= limit:
            assert cut.ids[left:] == chosen[prompt:]
            assert cut.rejected[left:] == rejected[prompt:]
            assert (cut.num_supervised, cut.num_rejected) == (first, second)
        if max(len(chosen), len(rejected)) <= limit:
            assert cut == row
