"""The promise of the first minute: a small model learns what it could not do."""

from __future__ import annotations

import hashlib
import json

from lorasmith.demo import HELDOUT_FILE, MODEL_FOLDER, TRAIN_FILE


def test_the_demo_teaches_the_model_invoices(lorasmith):
    """PRJ-1, TST-3"""
    done = lorasmith("demo", "--json")
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["base"]["exact_match"] <= 0.05
    assert result["tuned"]["exact_match"] >= 0.80
    assert "lorasmith chat demo --adapter" in done.stdout


def test_the_shipped_model_is_small_and_says_how_it_was_made():
    """TST-3"""
    assert (MODEL_FOLDER / "model.safetensors").stat().st_size <= 12_000_000
    made = json.loads((MODEL_FOLDER / "made.json").read_text())
    assert {"command", "steps", "seconds", "versions", "exact_match_on_its_own_tasks"} <= set(made)
    assert made["steps"] == made["command"]["steps"]


def test_training_and_held_out_invoices_are_three_hundred_and_a_hundred_different_ones():
    """TST-3"""
    train, held = TRAIN_FILE.read_text().splitlines(), HELDOUT_FILE.read_text().splitlines()
    assert (len(train), len(held)) == (300, 100)
    assert len({hashlib.sha256(line.encode()).digest() for line in train + held}) == 400
    assert all(set(json.loads(line)) == {"instruction", "input", "output"} for line in train)


def test_the_base_was_never_told_of_invoices():
    """TST-3: neither the word nor the schema stands in what the base learns from."""
    import itertools
    import runpy

    corpus = runpy.run_path(str(TRAIN_FILE.parents[2] / "scripts" / "demo_model" / "corpus.py"))
    text = "\n".join(f"{q}\n{a}" for _, (q, a) in itertools.islice(corpus["rows"](8, corpus["MIXTURE"]), 20_000))
    keys = json.loads(json.loads(TRAIN_FILE.read_text().splitlines()[0])["output"])
    assert "nvoice" not in text
    assert not [key for key in keys if f'"{key}"' in text]
