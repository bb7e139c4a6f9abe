"""The load test of an installation: every kind of model makes one real call; what stands in the way is told (INS-8, SEC-2)."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from lorasmith.core import events
from lorasmith.core.errors import DoesNotFitProblem, EnvironmentProblem, LorasmithError, UsageProblem, WorkerCrash
from lorasmith.env.spec import LoadTestSpec
from lorasmith.hub.locate import ModelPlace
from lorasmith.hub.recognise import recognise
from lorasmith.hub.repository import LocalRepository
from lorasmith.runners.local import Worker, run
from lorasmith.testing import tiny

# What libraries do to arrays of torch with this version of numpy.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

WRITES = r"wrote 5 tokens"
LABELS = r"labelled a {} '\w+(-\w+)?'"
SAYS = {
    "language": WRITES,
    "state_space": WRITES,
    "multimodal": f"read a question about a picture and {WRITES}",
    "document": f"read a page and {WRITES}",
    "embedding": r"made a vector of 32 numbers",
    "classifier": LABELS.format("text"),
    "diffusion": r"made a picture of 64 × 64 points in 2 steps",
    "audio": r"turned a text into \d+ numbers of sound",
    "vision": LABELS.format("picture"),
    **dict.fromkeys(("layoutlm", "layoutlmv3", "lilt"), LABELS.format("word of a page")),
    **dict.fromkeys(("clip", "siglip"), r"scored a picture and a text -?\d+\.\d\d"),
    **dict.fromkeys(("wav2vec2", "hubert"), r"heard a second of sound and wrote \d+ characters"),
    "whisper": r"heard a second of sound and wrote \d+ tokens",
    "speecht5_vocoder": r"turned a spectrogram into 4096 numbers of sound",
    "dinov2": r"turned a picture into features",
    **dict.fromkeys(("detr", "yolos", "rt_detr"), r"drew 5 boxes in a picture"),
    "sam": r"cut a picture into masks",
    "segformer": r"labelled 256 points of a picture",
    **dict.fromkeys(("depth_anything", "dpt"), r"measured how deep a picture is at \d+ points"),
    "bert_answers": r"looked for an answer among \d+ tokens",
    "time_series": r"forecast 4 values of a series",
}
FAMILY = {name: family for family in tiny.FAMILIES for name in tiny.names_of(family)}
NEEDS = {"speecht5": "sentencepiece"}


@pytest.fixture
def copied(every_tiny_model, tmp_path):
    """A copy of a tiny model, to be spoilt."""
    return lambda name: shutil.copytree(every_tiny_model[name], tmp_path / name)


def change(path: Path, **fields: Any) -> None:
    """Fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def spec_for(folder: Path, family: str, tmp_path: Path, **how: Any) -> LoadTestSpec:
    return LoadTestSpec(model_folder=folder, family=family, events_path=tmp_path / "events.jsonl", **how)


def called(folder: Path, family: str, tmp_path: Path, **how: Any) -> dict[str, Any]:
    """What the job returns, in this process."""
    from lorasmith.workers.loadtest import load_test

    spec = spec_for(folder, family, tmp_path, **how)
    with events.Writer(spec.events_path) as writer:
        return load_test(spec.model_dump_json(), writer)


def warnings_in(tmp_path: Path) -> list[str]:
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    return [event.message for event in map(events.parse, lines) if isinstance(event, events.Warn)]


def worked(folder: Path, family: str, tmp_path: Path, **how: Any) -> dict[str, Any]:
    """The same by a worker of its own, as an installation starts it. Raises what it reports."""
    spec = spec_for(folder, family, tmp_path, **how)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    return run(Worker("loadtest", tmp_path / "spec.json", spec.events_path, tmp_path / "log"), lambda _: None)


@pytest.mark.parametrize("name", tiny.NAMES)
def test_every_model_makes_its_first_call(every_tiny_model, name, tmp_path):
    """INS-8: of the family that a check finds, with its own tokenizer or processor; no weight is made up."""
    family = recognise(LocalRepository(ModelPlace(every_tiny_model[name], name))).facts.family
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        with pytest.raises(
            EnvironmentProblem, match=f"cannot be loaded: a package is missing: {NEEDS[name]}\n"
        ) as told:
            called(every_tiny_model[name], family, tmp_path)
        assert told.value.fix == f"pip install {NEEDS[name]}"
        return
    value = called(every_tiny_model[name], family, tmp_path)
    wanted = SAYS.get(name) or SAYS[FAMILY[name]]
    assert re.fullmatch(rf"{wanted} in \d+\.\d s", value["call"])
    assert value["dtype"] == "float32"
    assert warnings_in(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("llama", "LlamaForCausalLM"), ("donut", "VisionEncoderDecoderModel"), ("flux", "FluxPipeline")],
)
def test_the_worker_tells_what_it_saw(every_tiny_model, tmp_path, name, kind):
    """INS-8: by a child process."""
    value = worked(every_tiny_model[name], FAMILY[name], tmp_path)
    assert re.fullmatch(rf"{SAYS[FAMILY[name]]} in \d+\.\d s", value["call"])
    assert value["class"] == kind
    assert value["load_seconds"] > 0 < value["call_seconds"]
    assert 50e6 < value["peak_memory_bytes"] < 3e9


def test_a_number_format_is_taken(every_tiny_model, tmp_path):
    """INS-8"""
    assert called(every_tiny_model["llava"], "multimodal", tmp_path, dtype="bfloat16")["dtype"] == "bfloat16"


def failed(folder: Path, family: str, tmp_path: Path, **how: Any) -> LorasmithError:
    """What the worker reports of a model that it cannot load."""
    with pytest.raises(LorasmithError) as told:
        worked(folder, family, tmp_path, **how)
    return told.value


def test_weights_that_are_cut_short_are_told(copied, tmp_path):
    """INS-8"""
    folder = copied("llama")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    problem = failed(folder, "language", tmp_path)
    assert (problem.kind, problem.what) == ("environment", "The model cannot be loaded")
    assert "SafetensorError" in problem.why
    assert "\n" not in problem.why


def test_a_tokenizer_that_is_missing_is_told(copied, tmp_path):
    """INS-8"""
    folder = copied("llama")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    problem = failed(folder, "language", tmp_path)
    assert (problem.kind, problem.what) == ("environment", "The model cannot be loaded")
    assert "tokenizer" in problem.why


def test_a_class_that_nobody_has_is_told(copied, tmp_path):
    """INS-8"""
    folder = copied("llama")
    change(folder / "config.json", architectures=["LlamaOfTomorrowForCausalLM"])
    problem = failed(folder, "language", tmp_path)
    assert (problem.kind, problem.what) == ("environment", "The model cannot be loaded")
    assert "'LlamaOfTomorrowForCausalLM'" in problem.why


OWN_CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path({witness!r}).touch()
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def own_code(copied, tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A model with Python files of its own, and the file that they would create."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder, witness = copied("llama"), tmp_path / "it-ran"
    (folder / "own.py").write_text(OWN_CODE.format(witness=str(witness)))
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    change(folder / "config.json", model_type="own", architectures=["OwnForCausalLM"], auto_map=own)
    return folder, witness


def test_code_of_the_models_own_runs_only_when_it_is_trusted(own_code, tmp_path):
    """SEC-2"""
    folder, witness = own_code
    problem = failed(folder, "language", tmp_path)
    assert problem.kind == "usage"
    assert "own.py" in problem.why
    assert "Read the Python files" in problem.fix
    assert "--trust-remote-code" in problem.fix
    assert not witness.exists()
    value = worked(folder, "language", tmp_path, trust_remote_code=True)
    assert value["class"] == "OwnForCausalLM"
    assert witness.exists()


def test_a_pickle_does_not_get_to_run_anything(copied, tmp_path):
    """SEC-2"""
    import torch

    folder, witness = copied("llama"), tmp_path / "it-ran"
    (folder / "model.safetensors").unlink()

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(witness),)

    torch.save({"lm_head.weight": Payload()}, folder / "pytorch_model.bin")
    problem = failed(folder, "language", tmp_path)
    assert (problem.kind, problem.what) == ("environment", "The model cannot be loaded")
    assert not witness.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert witness.exists()


# What follows runs in this process: the worker adds nothing to it.


def test_a_known_type_with_a_class_of_its_own_asks_for_trust_too(copied, tmp_path):
    """SEC-2: transformers alone would load the library's class, and its weights into the wrong model."""
    folder = copied("llama")
    own = {"AutoModelForCausalLM": "own.OwnForCausalLM"}
    change(folder / "config.json", architectures=["OwnForCausalLM"], auto_map=own)
    with pytest.raises(UsageProblem, match="code of its own"):
        called(folder, "language", tmp_path)


def test_a_class_of_the_library_needs_no_trust(copied, tmp_path):
    """SEC-2: code beside a model that transformers knows is left alone."""
    folder = copied("llama")
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.LlamaForCausalLM"}
    change(folder / "config.json", auto_map=own)
    assert called(folder, "language", tmp_path)["class"] == "LlamaForCausalLM"


def test_a_component_of_a_pipeline_with_code_of_its_own_asks_for_trust(copied, tmp_path):
    """SEC-2"""
    folder, witness = copied("stable_diffusion"), tmp_path / "it-ran"
    change(folder / "model_index.json", scheduler=["own_scheduler", "OwnScheduler"])
    (folder / "scheduler" / "own_scheduler.py").write_text(f"open({str(witness)!r}, 'w')")
    with pytest.raises(UsageProblem, match="scheduler/own_scheduler"):
        called(folder, "diffusion", tmp_path)
    assert not witness.exists()


def test_a_module_of_sentence_transformers_with_code_of_its_own_asks_for_trust(copied, tmp_path):
    """SEC-2"""
    folder = copied("sentence_transformers")
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([{**modules[0], "type": "own.Transformer"}, modules[1]]))
    with pytest.raises(UsageProblem, match=r"own\.Transformer"):
        called(folder, "embedding", tmp_path)


@pytest.mark.parametrize(
    ("name", "part"),
    [("vit", "preprocessor_config.json"), ("donut", "processor_config.json"), ("donut", "tokenizer.json"),
     ("clip", "tokenizer.json"), ("bert", "tokenizer.json"), ("llama", "tokenizer.json"),
     ("sentence_transformers", "tokenizer.json"), ("qwen2_vl", "processor_config.json"), ("wav2vec2", "processor_config.json"),
     ("sam", "processor_config.json"), ("stable_diffusion", "tokenizer/tokenizer.json"), ("flux", "vae/config.json")],
)  # fmt: skip
def test_a_part_that_is_missing_is_told(copied, tmp_path, name, part):
    """INS-8"""
    folder = copied(name)
    (folder / part).unlink()
    with pytest.raises(EnvironmentProblem, match="cannot be loaded"):
        called(folder, FAMILY[name], tmp_path)


@pytest.mark.parametrize(
    ("name", "part"), [("bert", "tokenizer.json"), ("whisper", "processor_config.json"), ("bert", "config.json")]
)
def test_a_part_that_is_broken_is_told(copied, tmp_path, name, part):
    """INS-8"""
    folder = copied(name)
    (folder / part).write_text('{"half": ')
    with pytest.raises(EnvironmentProblem, match="cannot be loaded"):
        called(folder, FAMILY[name], tmp_path)


def spoil(path: Path, change_of: Any) -> None:
    """Rewrites weights by what `change_of` makes of them."""
    from safetensors.torch import load_file, save_file

    save_file(change_of(load_file(path)), path, metadata={"format": "pt"})


def test_numbers_that_are_none_are_told(copied, tmp_path):
    """INS-8: greedy writing would go on over them."""
    folder = copied("llama")
    spoil(folder / "model.safetensors", lambda weights: {name: value * float("nan") for name, value in weights.items()})
    with pytest.raises(EnvironmentProblem, match="was loaded, and its first call failed") as told:
        called(folder, "language", tmp_path)
    assert "NaN" in told.value.why


def test_a_weight_that_is_missing_is_told(copied, tmp_path):
    """INS-8: transformers draws it at random."""
    folder, lost = copied("llama"), "model.layers.1.mlp.up_proj.weight"
    spoil(folder / "model.safetensors", lambda weights: {name: weights[name] for name in weights if name != lost})
    assert called(folder, "language", tmp_path)["class"] == "LlamaForCausalLM"
    (message,) = warnings_in(tmp_path)
    assert lost in message


def test_weights_of_another_model_are_told(copied, tmp_path):
    """INS-8: it would answer from random numbers."""
    folder = copied("llama")
    spoil(folder / "model.safetensors", lambda weights: {f"other.{name}": value for name, value in weights.items()})
    with pytest.raises(EnvironmentProblem, match="two models"):
        called(folder, "language", tmp_path)


def test_a_model_that_does_not_fit_is_told(every_tiny_model, tmp_path, monkeypatch):
    """INS-8"""
    from lorasmith.families import FAMILIES

    def load(*_: Any, **__: Any) -> Any:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to …"
        )

    monkeypatch.setattr(FAMILIES.get("language"), "load", load)
    with pytest.raises(DoesNotFitProblem, match="does not fit into memory"):
        called(every_tiny_model["llama"], "language", tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="it is installed")
@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_quantization_without_its_package_is_told(every_tiny_model, tmp_path, quantization):
    """INS-8"""
    with pytest.raises(EnvironmentProblem, match="a package is missing: bitsandbytes"):
        called(every_tiny_model["llama"], "language", tmp_path, quantization=quantization)


def test_how_a_model_is_quantized_while_it_is_loaded(monkeypatch):
    """INS-8"""
    import transformers

    from lorasmith.families import _transformers

    monkeypatch.setattr(_transformers.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(transformers, "BitsAndBytesConfig", lambda **how: how)
    eight, four = (_transformers.load_options("bfloat16", "cuda", how) for how in ("8bit", "4bit"))
    assert eight["quantization_config"] == {"load_in_8bit": True}
    assert four["quantization_config"]["bnb_4bit_quant_type"] == "nf4"
    assert four["quantization_config"]["bnb_4bit_use_double_quant"]
    assert four["device_map"] == {"": "cuda"}


@pytest.mark.parametrize(
    ("error", "package"),
    [(ModuleNotFoundError("No module named 'einops_exts'", name="einops_exts"), "einops_exts"),
     (ImportError("\nLlamaTok requires the SentencePiece library but it was not found in your environment."), "sentencepiece"),
     (ImportError("This modeling file requires the following packages that were not found: x. Run `pip install flash_att`"),
      "flash_att"),
     (ImportError("You need to install sacremoses to use XLMTokenizer. See https://pypi.org"), "sacremoses"),
     (ImportError("Using a `device_map` requires Accelerate: `pip install 'accelerat>=0.26.0'`"), "accelerat")],
)  # fmt: skip
def test_the_package_that_is_missing_is_named(every_tiny_model, tmp_path, monkeypatch, error, package):
    """INS-8: as libraries say it."""
    from lorasmith.families import FAMILIES

    def processor(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(FAMILIES.get("language"), "processor", processor)
    with pytest.raises(EnvironmentProblem, match=f"a package is missing: {package}\n"):
        called(every_tiny_model["llama"], "language", tmp_path)


@pytest.mark.parametrize(
    ("said", "pooling"),
    [({"pooling_mode": "mean"}, "mean"), ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
     ({"pooling_mode_max_tokens": True}, "max"), ({"pooling_mode": "lasttoken"}, "lasttoken")],
)  # fmt: skip
def test_sentences_are_pooled_as_the_model_says(copied, said, pooling):
    """INS-8: without the package too; padding counts for nothing."""
    import torch
    import transformers

    from lorasmith.families.embedding import plugin

    folder = copied("sentence_transformers")
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 32, **said}))
    model = plugin.load(folder, dtype="float32", device="cpu")
    if importlib.util.find_spec("sentence_transformers"):
        pytest.skip("the package is installed and does it")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "the quick brown fox"
    hidden = model.model(**tokenizer(text, return_tensors="pt"))[0][0]
    wanted = {"mean": hidden.mean(0), "cls": hidden[0], "max": hidden.amax(0), "lasttoken": hidden[-1]}[pooling]
    torch.testing.assert_close(model.encode([text, f"{text} and {text}"])[0], wanted, rtol=1e-4, atol=1e-5)


def test_modules_that_only_their_package_knows_ask_for_it(copied, tmp_path):
    """INS-8"""
    if importlib.util.find_spec("sentence_transformers"):
        pytest.skip("it is installed")
    folder = copied("sentence_transformers")
    modules = json.loads((folder / "modules.json").read_text())
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps([*modules, dense]))
    with pytest.raises(EnvironmentProblem, match="a package is missing: sentence-transformers"):
        called(folder, "embedding", tmp_path)


def test_a_component_alone_is_loaded_and_not_called(every_tiny_model, tmp_path):
    """INS-8"""
    value = called(every_tiny_model["stable_diffusion"] / "unet", "diffusion", tmp_path)
    assert (value["class"], value["call"][:13]) == ("UNet2DConditionModel", "was loaded in")
    assert "not known" in warnings_in(tmp_path)[0]


def test_a_load_that_takes_too_long_is_ended(every_tiny_model, tmp_path):
    """INS-8: with a time limit."""
    spec = spec_for(every_tiny_model["llama"], "language", tmp_path)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    worker = Worker("loadtest", tmp_path / "spec.json", spec.events_path, tmp_path / "log", limit_seconds=0.2)
    with pytest.raises(WorkerCrash, match="took longer than"):
        run(worker, lambda _: None)
    assert worker.process.returncode == -9
