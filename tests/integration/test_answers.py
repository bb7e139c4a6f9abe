"""Models that answer: evaluation, generation, chat; and that what is measured is what a model really does."""

from __future__ import annotations

import json
import math

import pytest
from tests.conftest import write_rows

import lorasmith
from lorasmith import flow
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.demo import MODEL_FOLDER
from lorasmith.evaluation._base import Answered
from lorasmith.evaluation.metrics import METRICS
from lorasmith.evaluation.score import difference, score


@pytest.fixture(scope="module")
def tuned(tiny_llama, tmp_path_factory):
    """A tiny model that has learnt a handful of answers by heart."""
    folder = tmp_path_factory.mktemp("tuned")
    rows = write_rows(folder / "few.jsonl", ({"question": f"{i}?", "answer": f"No. {i * i}"} for i in range(5)))
    options = {"max_steps": 300, "epochs": 1000, "eval_fraction": 0, "learning_rate": 1e-2}
    return lorasmith.train(str(tiny_llama), rows, output=str(folder / "out"), **options), rows


def test_the_base_column_is_answered_with_the_adapter_off(tuned, tiny_llama, tmp_path):
    """EVA-1"""
    run, rows = tuned
    together = lorasmith.evaluate(str(tiny_llama), rows, adapter=(str(run.folder),), output=str(tmp_path / "both"))
    alone = lorasmith.evaluate(str(tiny_llama), rows, output=str(tmp_path / "alone"))
    assert together.scores["base"] == alone.scores["base"]
    both = json.loads((tmp_path / "both" / "answers.json").read_text())["columns"]
    assert both["base"] == json.loads((tmp_path / "alone" / "answers.json").read_text())["columns"]["base"]
    assert both["out"] != both["base"]
    gain = together.scores["out"]["perplexity"]
    assert gain.difference < 0
    assert gain.difference_high < 0


def test_an_evaluation_says_which_rows_got_worse(tuned, tiny_llama, tmp_path):
    """EVA-5: of rows that are equal by the main figure, those whose wanted answer became less likely."""
    run, _ = tuned
    words = ["dog dog dog", "ÿÿÿÿ", "Zebra!", "=====", "quick fox", "Ω", "{}{}{}", "??"]
    other = write_rows(tmp_path / "other.jsonl", ({"question": word, "answer": word} for word in words))
    report = lorasmith.evaluate(str(tiny_llama), other, adapter=(str(run.folder),), output=str(tmp_path / "e"))
    content = json.loads((tmp_path / "e" / "answers.json").read_text())
    change = {
        wanted: (after["nll"] - before["nll"]) / after["tokens"]
        for wanted, before, after in zip(
            content["wanted"], content["columns"]["base"], content["columns"]["out"], strict=True
        )
    }
    worse = sorted((word for word in change if change[word] > 0), key=lambda word: -change[word])
    assert worse
    assert [row["wanted"] for row in report.rows_that_got_worse["out"]] == worse


def test_greedy_exactness_read_off_one_forward_pass_is_that_of_generation():
    """TRN-3: right and wrong answers of the demo model, told apart alike by both ways."""
    from lorasmith.data.examples import Example
    from lorasmith.data.render import render_rows
    from lorasmith.data.tokenizer import load_tokenizer
    from lorasmith.families.language import plugin
    from lorasmith.workers.generate import answer_rows
    from lorasmith.workers.measure import row_losses
    from lorasmith.workers.rows import Rows

    tokenizer = load_tokenizer(MODEL_FOLDER)
    texts = [
        "ka",
        "so-17",
        "Mila Toro",
        "12.10.2031",
        "QXZJ/991-kk-QXJZ/919",
        "the quick brown fox, twice: the quick brown fox",
    ]
    examples = [
        Example(1, [{"role": "user", "content": f"Repeat: {text}"}, {"role": "assistant", "content": text}])
        for text in texts
    ]
    examples.append(Example(1, [{"role": "user", "content": "Repeat: ka"}, {"role": "assistant", "content": "never"}]))
    made = render_rows(examples, tokenizer)
    rows = Rows.of(made)
    model = plugin.load(MODEL_FOLDER, dtype="float32", device="cpu")
    exact = [loss.exact for loss in row_losses(model, rows, batch_tokens=64, pad=0, device="cpu")]
    prompts = [row.ids[: row.spans[-1][0]] for row in made]
    answers = answer_rows(model, prompts, tokenizer, max_new_tokens=60, device="cpu", batch_rows=3)
    wanted = [example.messages[-1]["content"] for example in examples]
    assert exact == [answer == right for answer, right in zip(answers, wanted, strict=True)]
    assert True in exact
    assert False in exact


def test_loss_of_padded_rows_without_a_mask_is_that_of_transformers_with_one(tiny_llama):
    """TRN-2: rows padded on the right, no attention mask, logits at answers only: the same loss as the plain way."""
    import torch

    from lorasmith.data.render import TokenRow
    from lorasmith.families.language import plugin
    from lorasmith.workers.measure import answer_scores
    from lorasmith.workers.rows import Rows

    made = [TokenRow(list(range(5, 5 + size)), [(size // 2, size)], size) for size in (7, 19, 40)]
    batch = Rows.of(made).batch([0, 1, 2], pad=0)
    model = plugin.load(tiny_llama, dtype="float32", device="cpu")
    scores, owner = answer_scores(model, batch)
    ours = scores.nll.mean()
    mask = (torch.arange(40)[None] < torch.tensor([7, 19, 40])[:, None]).long()
    theirs = model(input_ids=batch["input_ids"], attention_mask=mask, labels=batch["labels"]).loss
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    assert owner.bincount().tolist() == [4, 10, 20]


def test_perplexity_is_the_exponential_of_the_mean_loss(tuned, tiny_llama, tmp_path):
    """EVA-5"""
    _, rows = tuned
    report = lorasmith.evaluate(str(tiny_llama), rows, metrics="perplexity", output=str(tmp_path / "e"))
    answers = json.loads((tmp_path / "e" / "answers.json").read_text())["columns"]["base"]
    mean = sum(row["nll"] for row in answers) / sum(row["tokens"] for row in answers)
    assert report.scores["base"]["perplexity"].value == pytest.approx(math.exp(mean))
    assert all(row["answer"] == "" for row in answers)  # nothing is generated for it


def hits_and_misses(hits: list[bool]) -> list[tuple[float, ...] | None]:
    return [(float(hit),) for hit in hits]


def test_intervals_cover_what_they_should_and_differences_are_paired():
    """EVA-5"""
    exact = METRICS.get("exact_match")
    half = score(exact, hits_and_misses([True, False] * 50), seed=0)["exact_match"]
    assert half.value == 0.5
    assert half.low == pytest.approx(0.4, abs=0.03)
    assert half.high == pytest.approx(0.6, abs=0.03)
    assert score(exact, hits_and_misses([True] * 20), seed=0)["exact_match"] == (1.0, 1.0, 1.0)
    base = [True, False] * 50
    better = [True, True] * 25 + base[50:]
    gain = difference(exact, hits_and_misses(base), hits_and_misses(better), seed=0)["exact_match"]
    assert gain.value == pytest.approx(0.25)
    assert gain.low > 0.15
    assert difference(exact, hits_and_misses(base), hits_and_misses(base), seed=0)["exact_match"] == (0, 0, 0)


def test_rows_without_a_figure_are_left_out_and_never_count_as_zero():
    """EVA-3, EVA-5: a judgement that failed is no score, and a difference is told of the rows that both have."""
    exact = METRICS.get("exact_match")
    full, holed = [(1.0,), (0.0,), (1.0,), (1.0,)], [(1.0,), None, None, (1.0,)]
    assert score(exact, holed, seed=0)["exact_match"].value == 1.0
    assert difference(exact, full, holed, seed=0)["exact_match"] == (0, 0, 0)
    assert score(exact, [None, None], seed=0) == {}
    assert difference(exact, [None, (1.0,)], [(1.0,), None], seed=0) == {}


def test_exact_match_forgives_blanks_at_the_ends_only():
    exact = METRICS.get("exact_match")
    row = Answered(prompt="", wanted="a b", answer=" a b\n", nll=0, tokens=1)
    assert exact.parts(row) == (1.0,)
    assert exact.parts(Answered(prompt="", wanted="a b", answer="a  b", nll=0, tokens=1)) == (0.0,)


def test_unknown_metrics_and_adapters_are_refused_with_what_is_known(tiny_llama, sums):
    """QLT-1"""
    with pytest.raises(NotFoundProblem, match="Did you mean 'exact_match'"):
        lorasmith.evaluate(str(tiny_llama), sums, metrics="exact_mach")
    with pytest.raises(NotFoundProblem, match="no adapter 'nobody'"):
        lorasmith.evaluate(str(tiny_llama), sums, adapter=("nobody",))


def test_an_adapter_of_another_base_is_refused(tuned, tmp_path, lorasmith):
    """ADP-1"""
    run, _ = tuned
    done = lorasmith("generate", "demo", "--adapter", run.folder, "-p", "hi", code=2)
    assert "belongs to another base" in done.stderr
    assert "trained on 'llama', and this is 'demo'" in done.stderr


def test_chat_answers_line_by_line_and_streams_what_it_says(tuned, tiny_llama, lorasmith):
    run, _ = tuned
    done = lorasmith("chat", tiny_llama, "--adapter", run.folder, text="2?\n/new\n3?\n/quit\nnever\n")
    assert done.stdout.splitlines() == ["No. 4", "No. 9"]


def test_generate_answers_every_line_and_counts_tokens(tuned, tiny_llama, lorasmith):
    run, _ = tuned
    done = lorasmith("generate", tiny_llama, "--adapter", run.folder, "--json", text="2?\n\n4?\n")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["text"], second["text"]) == ("No. 4", "No. 16")
    assert first["finish_reason"] == "stop"
    assert first["answer_tokens"] > 1
    assert lorasmith("generate", tiny_llama, "-p", "x", "--max-new-tokens", "1", "--json").stdout.count('"length"') == 1


def test_a_prompt_longer_than_the_model_reads_is_refused_and_the_conversation_goes_on(tiny_llama):
    with flow.Conversation(str(tiny_llama)) as conversation:
        with pytest.raises(UsageProblem, match="the model reads 256"):
            conversation.answer([{"role": "user", "content": "word " * 400}])
        assert "text" in conversation.answer([{"role": "user", "content": "hi"}], max_new_tokens=2)


def test_sampling_follows_its_seed(tiny_llama):
    with flow.Conversation(str(tiny_llama)) as conversation:
        ask = [{"role": "user", "content": "hi"}]
        texts = [conversation.answer(ask, temperature=1.0, max_new_tokens=12, seed=seed)["text"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
