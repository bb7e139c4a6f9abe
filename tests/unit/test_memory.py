"""The arithmetic of memory: what is counted, what is not, and what a machine's own measurements change."""

from __future__ import annotations

import json

import pytest
from tests.unit.test_decisions import GPU, LAYERS, data, machine, model

from lorasmith.core import settings
from lorasmith.core.facts import LOSS_TOKENS, Stack
from lorasmith.hub.stacks import brought_to, stacks_of
from lorasmith.plan.choose import choose
from lorasmith.plan.learned import NO_CORRECTION, Correction, Measurement, correction, remember
from lorasmith.plan.memory import Training, inference_bytes, training_bytes

NO_NAMES: frozenset[str] = frozenset()


def test_weights_that_are_converted_stand_beside_their_files_pages():
    """CHK-7, CHK-9: such pages are in the peak, and not in what must be free."""
    as_stored, converted = (inference_bytes(model(), dtype, context=64) for dtype in ("bfloat16", "float32"))
    assert (as_stored.loading, as_stored.weights) == (0, 1_200_000_000)
    assert converted.weights == 2_400_000_000
    assert converted.loading == pytest.approx(1_200_000_000, rel=0.05)
    assert converted.required == converted.total - converted.loading


def test_rows_that_are_only_looked_up_are_not_read_from_the_file():
    """CHK-9: of embeddings that no head shares, where the file is mapped."""
    whole, less = (inference_bytes(model(lookup_parameters=n), "bfloat16", context=8) for n in (0, 10**8))
    assert whole.total - less.total == 2 * 10**8
    assert whole.required == less.required


def training(**how) -> Training:
    return Training(**{"method": "lora", "rows": 2, "length": 256, "dtype": "float32", "rank": 16, **how})


def test_the_peak_is_the_greatest_moment_and_not_the_sum_of_all():
    """CHK-8: few answer tokens: while the last layer is walked back; many: at the loss, of which there are a few at a time where
    the head is frozen."""
    words = 256_000
    few, many = (training_bytes(model(vocab_size=words), training(supervised=share)) for share in (0.01, 1.0))
    assert few.logits == 0
    assert many.logits == LOSS_TOKENS * words * 4
    whole = training_bytes(model(num_parameters=10**6), training(supervised=1.0, method="full"))
    assert whole.logits == 3 * 512 * 32_000 * 4
    assert few.activations > many.activations


def test_what_is_done_against_a_peak_lowers_it():
    """CHK-8: checkpointing, no dropout, giving memory back, QLoRA with the embeddings aside."""
    plain = training_bytes(model(), training(rows=8))
    assert training_bytes(model(), training(rows=8, checkpointing=True)).activations < 0.3 * plain.activations
    assert training_bytes(model(), training(rows=8, dropout=False)).activations < plain.activations
    assert training_bytes(model(), training(rows=8, joined=False)).activations > plain.activations
    assert training_bytes(model(), training(rows=8, tight=True)).allocator == 0 < plain.allocator
    on_gpu = training(method="qlora", dtype="bfloat16", on_gpu=True)
    aside = training_bytes(model(lookup_parameters=10**8), on_gpu._replace(embeddings_aside=True))
    assert training_bytes(model(lookup_parameters=10**8), on_gpu).weights - aside.weights == 2 * 10**8


def test_a_mixture_keeps_what_the_experts_of_a_token_need():
    """CHK-8"""
    fields = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "hidden_act": "silu",
    }
    mixture = fields | {"num_local_experts": 8, "num_experts_per_tok": 2}
    assert stacks_of(fields, NO_NAMES)[0].middle == 128
    assert stacks_of(mixture, NO_NAMES)[0].middle == 256
    assert stacks_of(mixture | {"moe_intermediate_size": 32}, NO_NAMES)[0].middle == 64


def test_the_halves_of_a_model_are_told_apart():
    """CHK-8: encoder and decoder, picture and text, and kinds that are no row of like blocks."""
    half = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    bart = {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
    }
    whisper = bart | {"num_mel_bins": 80, "max_source_positions": 1500}
    clip = {"text_config": half, "vision_config": half | {"image_size": 224, "patch_size": 16}}
    assert [(one.layers, one.tokens, one.across) for one in stacks_of(bart, NO_NAMES)] == [(2, 0, None), (3, 0, 0)]
    assert [(one.tokens, one.across) for one in stacks_of(whisper, NO_NAMES)] == [(1500, None), (0, 1500)]
    assert [one.tokens for one in stacks_of(clip, NO_NAMES)] == [0, 197]
    assert stacks_of(half | {"depths": [2, 2], "image_size": 224, "patch_size": 4}, NO_NAMES) == []
    trocr = {"encoder": half | {"image_size": 64, "patch_size": 16}, "decoder": {"d_model": 32, "decoder_layers": 3}}
    assert [(one.layers, one.tokens, one.across) for one in stacks_of(trocr, NO_NAMES)] == [(2, 17, None), (3, 0, 17)]


def test_a_page_is_counted_as_large_as_it_is_read():
    """CHK-8, DOC-1: Swin's stages halve it, attention stays in windows, and `--image-size` changes how many patches there are."""
    swin = {
        "model_type": "donut-swin", "image_size": [128, 64], "patch_size": 4, "embed_dim": 16, "depths": [1, 2],
        "num_heads": [2, 4], "window_size": 10,
    }  # fmt: skip
    donut = {"encoder": swin, "decoder": {"d_model": 32, "decoder_layers": 3, "add_cross_attention": True}}
    stacks = stacks_of(donut, NO_NAMES)
    assert [(one.layers, one.hidden, one.heads) for one in stacks[:2]] == [(1, 16, 2), (2, 32, 4)]
    assert [(one.tokens, one.window, one.across) for one in stacks] == [(512, 100, None), (128, 64, None), (0, 0, 128)]
    larger = brought_to(stacks, 256, 128)
    assert [(one.tokens, one.window, one.across) for one in larger] == [(2048, 100, None), (512, 64, None), (0, 0, 512)]
    small, large = (training_bytes(model(stacks=each), training()).activations for each in (stacks, larger))
    assert large > 2 * small


def runs(*ratios: float, **changes) -> None:
    for ratio in ratios:
        fields = {"work": "train", "device": "cpu", "family": "language", "model": "m", "planned": 10**9}
        remember(Measurement(**{**fields, **changes}, measured=round(ratio * 10**9)))


def test_three_runs_teach_and_fewer_do_not(home):
    """CHK-9: by their median, of the same work, device and family."""
    runs(1.1, 1.2)
    runs(3.0, 3.0, 3.0, device="cuda")
    runs(3.0, 3.0, 3.0, family="audio")
    assert correction("train", "cpu", "language") == NO_CORRECTION
    runs(9.0)
    learned = correction("train", "cpu", "language")
    assert (learned.factor, learned.runs) == (1.2, 3)
    assert str(learned) == "+20% by 3 runs measured on this machine"
    assert learned.of(500) == 100


def test_plans_that_come_true_are_left_alone_and_wrong_ones_are_not_hidden(home):
    """CHK-9"""
    runs(1.01, 0.99, 1.0)
    assert correction("train", "cpu", "language") == NO_CORRECTION
    runs(*[4.0] * 20)
    assert correction("train", "cpu", "language").factor == 1.5


def test_a_line_that_was_cut_off_spoils_nothing(home):
    """CHK-9, REL-1"""
    runs(1.2, 1.2, 1.2)
    file = settings.load().logs_dir / "measurements.jsonl"
    file.write_text(file.read_text() + '{"work": "tra')
    assert correction("train", "cpu", "language").runs == 3
    assert json.loads(file.read_text().splitlines()[0])["measured"] == 1_200_000_000


def test_a_plan_says_that_it_was_corrected():
    """CHK-9, AUT-1: and keeps what it would have said, for the next correction."""
    given = {"batch_size": 2}
    plain, corrected = (choose(given, model(), data(), machine(), one) for one in (NO_CORRECTION, Correction(1.1, 4)))
    assert corrected.predicted_peak_bytes == pytest.approx(1.1 * plain.predicted_peak_bytes, rel=1e-6)
    assert corrected.uncorrected_peak_bytes == plain.predicted_peak_bytes
    assert "+10% by 4 runs" in corrected.reasons["predicted_peak_bytes"]
    assert "predicted_peak_bytes" not in plain.reasons


def test_memory_is_given_back_only_where_it_must_be():
    """AUT-2: it costs time."""
    free = 4_200_000_000
    roomy = choose({"batch_size": 1}, model(), data(), machine())
    tight = choose({"batch_size": 1}, model(), data(), machine(ram_free_bytes=free))
    assert (roomy.tight_memory, tight.tight_memory) == (False, True)
    assert tight.predicted_peak_bytes < roomy.predicted_peak_bytes
    assert "slower" in tight.reasons["tight_memory"]
    on_gpu = choose({"batch_size": 1}, model(), data(), machine(gpus=[GPU]))
    assert on_gpu.tight_memory is False


def test_layers_without_a_gate_keep_less():
    """CHK-8"""
    plain = LAYERS.model_copy(update={"gated": False, "activation": "gelu"})
    assert isinstance(plain, Stack)
    less, more = (training_bytes(model(stacks=[one]), training()).activations for one in (plain, LAYERS))
    assert less < more
