"""Every architecture of language models, recurrent ones too, learns a few texts by heart, is saved, and loaded again has the logits
that it had; served, it writes what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import architectures, lessons, trainings

from lorasmith.core.errors import UsageProblem
from lorasmith.families import FAMILIES
from lorasmith.testing import tiny
from lorasmith.training.spec import WorkerSpec
from lorasmith.workers import lora

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS, TOKENS = 16, 6
# No row is held out: what was trained to the last step is what is kept.
BY_HEART: dict[str, Any] = {**lessons.BY_HEART, "max_steps": STEPS, "learning_rate": 2e-2, "eval_fraction": 0}
# Heads as they are drawn by default cannot tell tokens apart, whatever the layers below them learn.
WIDE: dict[str, dict[str, Any]] = {"t5": {}, "rwkv": {}, "bart": {"init_std": 0.2}}
NAMES = (*tiny.names_of("language"), *tiny.names_of("state_space"))


def logits(model: Any) -> torch.Tensor:
    """Of two made-up rows of tokens."""
    ids = torch.randint(5, tiny.VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(1))
    given = {"decoder_input_ids": ids.flip(1)} if model.config.is_encoder_decoder else {}
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **given).logits


def by_peft(spec: WorkerSpec) -> Any:
    """A fresh base with the adapter on it, as evaluation and export put it there."""
    base = FAMILIES.get(spec.family).load(spec.model_folder, dtype="float32", device="cpu")
    return lora.load_adapters(base, {architectures.OWN: spec.run_folder / "lora"}).eval()


@pytest.mark.parametrize("name", ["mamba", "jamba"])
def test_a_layer_that_the_scan_passes_by_is_refused_by_name(name: str, tmp_path: Path) -> None:
    """TRN-7: its weight is read, and it is never called: PEFT would put an adapter on it that learns nothing."""
    base = tiny.build(name, tmp_path / "base")
    options = {**BY_HEART, "target_modules": "x_proj,dt_proj"}
    with pytest.raises(UsageProblem, match=r"An adapter on '.*mixer\.dt_proj|mamba\.dt_proj' would learn nothing"):
        trainings.train_here(trainings.planned(base, lessons.texts(tmp_path / "data"), tmp_path / "run", **options))


@pytest.mark.parametrize("name", NAMES)
def test_learns_is_loaded_again_with_its_logits_and_is_served(name: str, tmp_path: Path) -> None:
    """TST-3, TRN-7, SRV-8: the loss falls; a fresh base with the saved adapter has the trained model's logits, and is far from the
    base's own; the engine writes the tokens that the trained model writes."""
    base = tiny.build(name, tmp_path / "base", **WIDE.get(name, {"initializer_range": 0.2}))
    spec = trainings.planned(base, lessons.texts(tmp_path / "data"), tmp_path / "run", **BY_HEART)
    learnt = architectures.learn(spec)
    losses = trainings.step_losses(spec.run_folder)
    assert len(losses) == STEPS
    assert sum(losses[-3:]) / 3 < 0.85 * sum(losses[:2]) / 2

    architectures.require_all_learnt(spec, name)

    engine = architectures.Engine(spec)
    wanted = logits(learnt.model)
    assert torch.allclose(logits(by_peft(spec)), wanted, rtol=0, atol=1e-5)
    engine.worker.bank.use([architectures.OWN] * 2)
    assert torch.allclose(logits(engine.worker.model), wanted, rtol=0, atol=1e-5)
    engine.worker.bank.use([""] * 2)
    assert (logits(engine.worker.model) - wanted).abs().max() > 1

    prompt = torch.randint(5, tiny.VOCABULARY, (1, 12), generator=torch.Generator().manual_seed(2))
    said = architectures.greedy(learnt.model, TOKENS, input_ids=prompt, attention_mask=torch.ones_like(prompt))
    assert engine.written(tokens=TOKENS, prompt=prompt[0].tolist()) == said
    if not spec.lesson:  # the others are told of where their own answers are compared, too
        served = "in shared batches" if engine.facts.batches else "one after the other"
        architectures.tell(spec, name, "prompt-completion", losses, again="logits", served=served)
