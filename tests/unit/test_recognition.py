"""What a model is, told by the structure of its configuration: a table of published kinds, and what the table cannot show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.hub.locate import ModelPlace
from lorasmith.hub.recognise import recognise
from lorasmith.hub.repository import LocalRepository

TABLE = [json.loads(line) for line in (Path(__file__).parent / "configurations.jsonl").read_text().splitlines()]


def repository(folder: Path, files: dict, name: str = "") -> LocalRepository:
    for file, content in files.items():
        if file != "(tag)":
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(json.dumps(content))
    found = LocalRepository(ModelPlace(folder, name or folder.name))
    found.pipeline_tag = files.get("(tag)", "")
    return found


def test_the_table_is_long_enough():
    """CHK-3"""
    assert len(TABLE) >= 80
    assert {row["is"][0] for row in TABLE} == {
        "language", "state_space", "multimodal", "document", "embedding", "classifier", "diffusion", "audio", "vision", "specialized",
    }  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=[row["name"] for row in TABLE])
def test_every_kind_is_recognised_by_its_structure(row, tmp_path):
    """CHK-2, CHK-3"""
    facts = recognise(repository(tmp_path, row["files"])).facts
    assert [facts.family, facts.architecture_type, facts.task] == row["is"]


def test_the_folders_name_changes_nothing(tmp_path):
    """CHK-3: a BERT in a folder called llama, on a Hub page that is tagged as a diffusion model, is a BERT."""
    row = next(row for row in TABLE if row["name"] == "bert-base")
    found = repository(
        tmp_path / "stable-diffusion-llama-whisper", row["files"] | {"(tag)": "text-to-image"}, "meta/llama"
    )
    assert recognise(found).facts.family == "embedding"


def test_nothing_that_is_no_model_is_taken_for_one(tmp_path):
    """CHK-2, CHK-15"""
    cases: dict[str, tuple[dict, type[Exception]]] = {
        "empty": ({}, NotFoundProblem),
        "service": ({"bot_config.json": {"model_type": "gpt", "endpoint": "x"}}, NotFoundProblem),
        "package": ({"config.json": {"name": "left-pad", "version": "1"}}, UsageProblem),
        "dataset": ({"dataset_info.json": {"features": {}}}, NotFoundProblem),
        "tokenizer": ({"tokenizer_config.json": {"model_max_length": 512, "vocab_size": 3}}, NotFoundProblem),
        "list": ({"config.json": [1, 2]}, UsageProblem),
    }
    for name, (files, problem) in cases.items():
        (tmp_path / name).mkdir()
        with pytest.raises(problem):
            recognise(repository(tmp_path / name, files))


PAGE = Path(__file__).parents[2] / "docs/how-to/add-a-family.md"
PLUGIN = Path(__file__).parents[2] / "examples/plugin/lorasmith_sniffer"
SNIFFER = {"config.json": {"model_type": "s", "architectures": ["Sniffer"], "sniffed_bytes": 13}}


def page_blocks() -> list[str]:
    """The Python on the how-to page."""
    return [part.split("```")[0] for part in PAGE.read_text().split("```python\n")[1:]]


def page_family(tmp_path: Path) -> Path:
    """The family that the how-to page shows, as a file."""
    folder = tmp_path / "sniffer_package"
    folder.mkdir()
    (folder / "sniffer.py").write_text(page_blocks()[0])
    (folder / "__init__.py").touch()
    return folder


def test_the_page_shows_the_package_that_is_tested():
    """FAM-1: what tests/integration/test_plugin.py installs is what the page says."""
    assert page_blocks() == [(PLUGIN / name).read_text() for name in ("__init__.py", "worker.py")]


def test_a_file_in_a_folder_adds_a_family(tmp_path, monkeypatch):
    """FAM-1: as it stands on the how-to page."""
    from lorasmith import families
    from lorasmith.core.registry import Registry
    from lorasmith.families import Family

    page_family(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = Registry("nothing", "sniffer_package", Family)
    monkeypatch.setitem(families.FAMILIES._plugins, "sniffer", found.get("sniffer"))
    (tmp_path / "model").mkdir()
    facts = recognise(repository(tmp_path / "model", SNIFFER)).facts
    assert (facts.family, facts.task) == ("sniffer", "text-classification")


def test_an_entry_point_adds_a_family(tmp_path, monkeypatch):
    """FAM-1"""
    from lorasmith.core.registry import Registry
    from lorasmith.families import Family

    page_family(tmp_path)
    info = tmp_path / "sniffer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sniffer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lorasmith.families]\nsniffer = sniffer_package.sniffer:plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "sniffer" in Registry("families", "lorasmith.families", Family).names()


def test_a_mixture_of_experts_counts_what_one_token_meets(tmp_path):
    """CHK-3: two of four experts a token."""
    from lorasmith.testing.shapes import write_safetensors

    row = next(row for row in TABLE if row["name"] == "mixtral-8x7b")
    config = row["files"]["config.json"] | {"num_local_experts": 4, "num_experts_per_tok": 2}
    names = {f"model.layers.0.block_sparse_moe.experts.{i}.w1.weight": ("BF16", [10, 10]) for i in range(4)}
    write_safetensors(tmp_path / "model.safetensors", {"model.embed_tokens.weight": ("BF16", [7, 10]), **names})
    facts = recognise(repository(tmp_path, {"config.json": config})).facts
    assert (facts.num_parameters, facts.num_active_parameters, facts.has_experts) == (470, 270, True)


def test_one_weight_format_is_chosen_and_duplicates_are_left(tmp_path):
    """CHK-6, INS-5"""
    from lorasmith.hub.weights import installed_files
    from lorasmith.testing.shapes import write_safetensors

    row = next(row for row in TABLE if row["name"] == "llama-3")
    for number in (1, 2):
        write_safetensors(tmp_path / f"model-0000{number}-of-00002.safetensors", {f"model.w{number}": ("F32", [4])})
    for name in (
        "consolidated.safetensors",
        "pytorch_model.bin",
        "original/consolidated.00.pth",
        "onnx/model.onnx",
        "flax_model.msgpack",
        "model.Q4.gguf",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 50)
    for name in ("tokenizer.model", "tokenizer.json", "README.md", "training_args.bin", "optimizer.pt"):
        (tmp_path / name).write_text("{}")
    found = repository(tmp_path, row["files"])
    chosen = installed_files(found, recognise(found).weights)
    assert set(chosen) == {
        "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "tokenizer.json", "tokenizer.model",
    }  # fmt: skip


def test_a_pipeline_takes_one_variant_of_each_component(tmp_path):
    """CHK-6, INS-5"""
    from lorasmith.testing.shapes import write_safetensors

    row = next(row for row in TABLE if row["name"] == "stable-diffusion-1.5")
    for name in (
        "unet/diffusion_pytorch_model",
        "unet/diffusion_pytorch_model.fp16",
        "vae/diffusion_pytorch_model",
        "text_encoder/model",
    ):
        write_safetensors(tmp_path / f"{name}.safetensors", {"w": ("F16", [3, 2])})
    write_safetensors(tmp_path / "v1-5-pruned.safetensors", {"w": ("F16", [9, 9])})
    found = recognise(repository(tmp_path, row["files"]))
    assert found.weights.files == [
        "text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
    ]  # fmt: skip
    assert found.facts.num_parameters == 18


def test_a_gguf_alone_says_what_it_is(tmp_path):
    """CHK-2, FAM-3: the middle one of several quantizations, read from its header."""
    from tests.unit.test_headers import SOUND

    for name in ("model-Q2_K.gguf", "model-Q4_K_M.gguf", "model-Q8_0.gguf"):
        (tmp_path / name).write_bytes(SOUND + bytes(4000))
    found = recognise(repository(tmp_path, {}))
    assert found.weights.files == ["model-Q4_K_M.gguf"]
    assert (
        found.facts.family,
        found.facts.primary_library,
        found.facts.model_type,
        found.evidence.config["num_hidden_layers"],
    ) == (
        "language",
        "llama.cpp",
        "llama",
        32,
    )


def test_mlx_weights_are_recognised(tmp_path):
    """FAM-3"""
    row = next(row for row in TABLE if row["name"] == "llama-3")
    config = row["files"]["config.json"] | {"quantization": {"group_size": 64, "bits": 4}}
    assert recognise(repository(tmp_path, {"config.json": config})).facts.primary_library == "mlx"


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"max_position_embeddings": 4096}, 4096),
        (
            {
                "max_position_embeddings": 32768,
                "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096},
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
            },
            131072,
        ),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2.0}}, 8192),
        ({"n_positions": 1024}, 1024),
    ],
)
def test_the_longest_context_counts_rope_scaling_once(fields, wanted):
    """CHK-5"""
    from lorasmith.hub.shape import max_positions

    assert max_positions(fields) == wanted
