"""Every language architecture that can be built small trains through the same door (TST-3)."""

from __future__ import annotations

import pytest

import lorasmith
from lorasmith.core.errors import NotFoundProblem
from lorasmith.testing import tiny


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {name: tiny.build(name, folder / name) for name in tiny.DECODERS}


@pytest.mark.parametrize("name", tiny.DECODERS)
def test_a_tiny_model_is_recognised_with_its_shape(built, name):
    """TST-3"""
    from lorasmith.hub.recognise import recognise_folder

    facts = recognise_folder(built[name])
    assert (facts.family, facts.stacks[0].layers, facts.vocab_size) == ("language", 2, tiny.VOCABULARY)
    assert (facts.hidden_size, facts.max_positions) == (32, 256) or name == "falcon"
    assert 20_000 < facts.num_parameters < 200_000
    assert len(facts.linear_shapes) >= 8


@pytest.mark.parametrize("name", tiny.DECODERS)
def test_scores_at_answers_only_are_those_of_the_whole_pass(built, name, monkeypatch):
    """TRN-2: loss, hits and gradient, a few tokens' logits at a time, whatever an architecture does to its logits after the head."""
    import torch

    from lorasmith.families import _head
    from lorasmith.families.language import plugin
    from lorasmith.workers.measure import answer_scores

    monkeypatch.setattr(_head, "LOSS_TOKENS", 5)
    model = plugin.load(built[name], dtype="float32", device="cpu")
    ids = torch.randint(5, tiny.VOCABULARY, (3, 20), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[:, :11] = -100
    labels[1, 15:] = -100
    first = model.get_input_embeddings().register_forward_hook(lambda _, __, output: output.requires_grad_())
    embedded: list[torch.Tensor] = []
    model.get_input_embeddings().register_forward_hook(lambda _, __, output: embedded.append(output))
    scores, owner = answer_scores(model, {"input_ids": ids, "labels": labels})
    (ours,) = torch.autograd.grad(scores.nll.sum(), embedded[-1])
    whole = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    wanted = labels[:, 1:] != -100
    nll = torch.nn.functional.cross_entropy(whole[wanted], labels[:, 1:][wanted], reduction="none")
    (theirs,) = torch.autograd.grad(nll.sum(), embedded[-1])
    first.remove()
    torch.testing.assert_close(scores.nll, nll, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))
    assert scores.hits.tolist() == (whole[wanted].argmax(-1) == labels[:, 1:][wanted]).tolist()
    assert owner.bincount().tolist() == [9, 4, 9]
    assert _head.is_plain(model.get_output_embeddings())
    assert not _head.has_unknown_tail(model)


@pytest.mark.parametrize("tokens", [40, 100])
@pytest.mark.parametrize("name", tiny.DECODERS)
def test_planned_keys_and_values_are_those_that_the_model_keeps(built, name, tokens):
    """CHK-7: to the element; beyond a sliding window transformers keeps one token less than the window."""
    import torch

    from lorasmith.families.language import plugin
    from lorasmith.hub.recognise import recognise_folder
    from lorasmith.plan.memory import cache_bytes

    model = plugin.load(built[name], dtype="float32", device="cpu")
    with torch.inference_mode():
        kept = model(input_ids=torch.full((2, tokens), 7), use_cache=True).past_key_values
    elements = sum(layer.keys.numel() + layer.values.numel() for layer in kept.layers)
    facts = recognise_folder(built[name])
    slack = sum(2 * group.count * group.per_token for group in facts.cache if 0 < group.window < tokens)
    planned = cache_bytes(facts, tokens, batch=2, value_bytes=1)
    assert planned - slack <= elements <= planned


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "qwen3", "mixtral"])
def test_other_architectures_than_llama_learn_too(built, name, sums, tmp_path):
    """TST-3: one each of absolute positions, sliding windows, normed queries and experts."""
    run = lorasmith.train(str(built[name]), sums, output=str(tmp_path / "out"), max_steps=15, learning_rate=5e-3)
    comparison = run.report.comparison
    assert comparison["tuned"]["val_loss"] < comparison["base"]["val_loss"]


def test_an_unknown_tiny_model_suggests_the_nearest(tmp_path):
    with pytest.raises(NotFoundProblem, match="Did you mean 'llama'"):
        tiny.build("lama", tmp_path)
