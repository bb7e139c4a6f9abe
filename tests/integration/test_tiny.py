"""Every language architecture that can be built small trains through the same door (TST-3)."""

from __future__ import annotations

import pytest

import lorasmith
from lorasmith.core.errors import NotFoundProblem
from lorasmith.testing import tiny


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {name: tiny.build(name, folder / name) for name in tiny.NAMES}


@pytest.mark.parametrize("name", tiny.NAMES)
def test_a_tiny_model_is_recognised_with_its_shape(built, name):
    """TST-3"""
    from lorasmith.hub.recognise import recognise

    facts = recognise(built[name])
    assert (facts.family, facts.num_layers, facts.vocab_size) == ("language", 2, tiny.VOCABULARY)
    assert (facts.hidden_size, facts.max_positions) == (32, 256) or name == "falcon"
    assert 20_000 < facts.num_parameters < 200_000
    assert len(facts.linear_shapes) >= 8


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "qwen3", "mixtral"])
def test_other_architectures_than_llama_learn_too(built, name, sums, tmp_path):
    """TST-3: one each of absolute positions, sliding windows, normed queries and experts."""
    run = lorasmith.train(str(built[name]), sums, output=str(tmp_path / "out"), max_steps=15, learning_rate=5e-3)
    comparison = run.report.comparison
    assert comparison["tuned"]["val_loss"] < comparison["base"]["val_loss"]


def test_an_unknown_tiny_model_suggests_the_nearest(tmp_path):
    with pytest.raises(NotFoundProblem, match="Did you mean 'llama'"):
        tiny.build("lama", tmp_path)
