"""Profiles: the twelve as the specification says them, one's own, which suits a model. No model is loaded here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lorasmith import profiles
from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.core.facts import CacheGroup, ModelFacts, Stack
from lorasmith.plan.accelerators import GpuFacts
from lorasmith.plan.hardware import HardwareFacts
from lorasmith.plan.recommend import recommend_for

RANKS = {
    "donut_standard": 16, "donut_lightweight": 8, "donut_high_precision": 32, "trocr_safe": 8, "trocr_extended": 16,
    "layoutlm_standard": 16, "llama_standard": 16, "llama_qlora": 64, "codellama_coding": 32, "mistral_efficient": 16,
    "mistral_qlora": 32, "universal": "auto",
}  # fmt: skip
LLAMA = {"q_proj": (4096, 4096), "k_proj": (4096, 4096), "v_proj": (4096, 4096), "o_proj": (4096, 4096)}
MLP = {"gate_proj": (11008, 4096), "up_proj": (11008, 4096), "down_proj": (4096, 11008)}


def llama_7b(**changes) -> ModelFacts:
    layers = {
        f"model.layers.{number}.{part}.{name}": shape
        for number in range(32)
        for part, inside in (("self_attn", LLAMA), ("mlp", MLP))
        for name, shape in inside.items()
    }
    fields = {
        "id": "meta/llama-7b", "family": "language", "model_type": "llama", "architecture": "LlamaForCausalLM",
        "hidden_size": 4096, "vocab_size": 32_000, "max_positions": 4096, "num_parameters": 6_738_000_000,
        "weight_bytes": 13_476_000_000, "linear_shapes": list(layers.values()), "linear_names": list(layers),
        "stored_dtype": "bfloat16", "cache": [CacheGroup(count=32, per_token=8192)],
        "stacks": [Stack(layers=32, hidden=4096, middle=11008, queries=4096, keys=4096, heads=32, gated=True)],
    }  # fmt: skip
    return ModelFacts(**{**fields, **changes})


def gpu(gigabytes: float) -> HardwareFacts:
    size = round(gigabytes * 10**9)
    card = GpuFacts(name="GPU", memory_bytes=size, free_bytes=size, capability=8.6)
    return HardwareFacts(
        cpu="x",
        num_cores=8,
        ram_bytes=32 * 10**9,
        ram_free_bytes=30 * 10**9,
        cpu_has_bf16=False,
        gpus=[card],
        described=True,
    )


def names(found) -> list[str]:
    return [one.profile for one in found.profiles]


def test_the_twelve_profiles_and_their_ranks():
    """PRO-1"""
    assert {name: one.r for name, one in profiles.builtin().items()} == RANKS
    for one in profiles.builtin().values():
        assert one.title, one.name
        assert one.recommended_for, one.name
        assert one.description, one.name
        assert (one.quantization == "4bit") == one.name.endswith("qlora")


def test_a_profile_says_the_same_after_yaml_and_json(tmp_path):
    """PRO-2"""
    for one in profiles.builtin().values():
        for name in ("a.yaml", "a.json"):
            profiles.write(one, tmp_path / name)
            assert profiles.read(tmp_path / name) == one


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "x", "alhpa": 3}, "Did you mean 'alpha'"),
        ({"name": "x", "r": 0}, "from 1 to 1024"),
        ({"name": "x", "variant": "dorra"}, "Did you mean 'dora'"),
        ({"name": "x", "variant": "pissa", "quantization": "4bit"}, "'pissa' does not train over a base in 4bit"),
        ({"name": "x", "variant": "qlora"}, "set quantization: 4bit"),
        ({"name": "x", "target_modules": []}, "at least one target"),
        ({"name": "../../x"}, "does not look like one"),
        ({"r": 8}, "needs the key 'name'"),
    ],
)
def test_a_wrong_key_is_named_with_the_reason(values, said):
    """PRO-2"""
    with pytest.raises(UsageProblem) as raised:
        profiles.make(values, source="mine.yaml")
    assert said in str(raised.value)
    assert "mine.yaml" in raised.value.what


def test_files_that_are_no_profiles_are_named(tmp_path):
    """PRO-2, QLT-1"""
    for text, said in (("[1, 2]", "holds no profile"), ("a: [", "cannot be read"), ("{{{", "cannot be read")):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(UsageProblem, match=said):
            profiles.read(tmp_path / "x.yaml")
    with pytest.raises(NotFoundProblem, match="There is no file"):
        profiles.read(tmp_path / "nowhere.yaml")
    with pytest.raises(UsageProblem, match="which format"):
        profiles.write(profiles.get("universal"), tmp_path / "x.txt")


def test_ones_own_profiles_live_in_home(home):
    """PRO-2"""
    mine = profiles.make({"name": "mine", "r": 12, "target_modules": "q_proj, v_proj"})
    assert profiles.add(mine) == home / "profiles" / "mine.yaml"
    assert profiles.get("mine").target_modules == ("q_proj", "v_proj")
    assert profiles.all_profiles()[0] == mine
    with pytest.raises(UsageProblem, match="already"):
        profiles.add(mine)
    profiles.add(mine.model_copy(update={"r": 8}), replace=True)
    assert profiles.get("mine").r == 8
    profiles.remove("mine")
    with pytest.raises(NotFoundProblem, match="no profile 'mine'"):
        profiles.get("mine")


def test_builtin_profiles_are_the_same_everywhere():
    """PRO-2"""
    with pytest.raises(UsageProblem, match="built-in"):
        profiles.add(profiles.get("universal"))
    with pytest.raises(UsageProblem, match="built-in"):
        profiles.remove("universal")


@pytest.mark.parametrize("name", ["../secret", "a/b", ".hidden", "", "A", "x" * 65])
def test_a_name_leads_nowhere_else(name, home):
    """SEC-4"""
    (home / "profiles").mkdir(parents=True)
    (home / "secret.yaml").write_text("name: secret\n")
    with pytest.raises(NotFoundProblem):
        profiles.get(name)
    with pytest.raises(NotFoundProblem):
        profiles.remove(name)
    with pytest.raises(UsageProblem):
        profiles.make({"name": name})


def test_a_broken_profile_of_ones_own_is_not_taken_for_a_missing_one(home):
    """PRO-2"""
    (home / "profiles").mkdir(parents=True)
    (home / "profiles" / "mine.yaml").write_text("name: other\n")
    for ask in (lambda: profiles.get("mine"), profiles.all_profiles):
        with pytest.raises(UsageProblem, match="calls itself 'other'"):
            ask()


def test_a_profile_without_a_target_is_refused_with_the_names_that_exist():
    """PRO-2"""
    gpt2 = llama_7b(
        id="gpt2", model_type="gpt2", linear_names=["h.0.attn.c_attn", "h.0.mlp.c_fc"], linear_shapes=[(8, 8)] * 2
    )
    with pytest.raises(UsageProblem) as raised:
        profiles.require_match(profiles.get("llama_standard"), gpt2)
    assert "q_proj" in raised.value.why
    assert "c_attn, c_fc" in raised.value.fix
    assert len(profiles.require_match(profiles.get("universal"), gpt2).layers) == 2


def test_a_target_is_the_end_of_a_name():
    """PRO-1: as PEFT matches it."""
    layers = ["decoder.layers.0.self_attn.q_proj", "encoder.layers.0.attention.q_proj", "pre_q_proj", "q_proj"]
    assert profiles.targeted(["self_attn.q_proj"], layers) == layers[:1]
    assert profiles.targeted(["q_proj"], layers) == [layers[0], layers[1], layers[3]]


def test_where_no_name_can_be_read_a_profile_is_not_refused():
    """PRO-2: of pickles nobody knows the names before they are loaded."""
    assert (
        profiles.require_match(profiles.get("llama_standard"), llama_7b(linear_names=[], linear_shapes=[])).layers == []
    )


def test_profiles_are_ranked_by_the_plan_for_this_very_model():
    """PRO-2: on 8 GB a 7B model fits packed only; on 24 GB whole weights come first."""
    small = recommend_for(llama_7b(), gpu(8), free=8 * 10**9)
    assert small.best is not None
    assert small.best.profile == "llama_qlora"
    assert "fit packed only" in small.best.why
    assert [one.fits for one in small.profiles] == [True, False, False, False]
    assert "too much" in small.profiles[1].why
    large = recommend_for(llama_7b(), gpu(24), free=24 * 10**9)
    assert names(large) == ["llama_standard", "codellama_coding", "universal", "llama_qlora"]
    assert all(one.fits for one in large.profiles)
    assert 13 * 10**9 < large.profiles[0].memory < 18 * 10**9
    assert large.profiles[1].memory > large.profiles[0].memory  # twice the rank
    assert "need not be saved" in large.profiles[3].why


def test_a_model_that_is_called_codellama_gets_its_own_profile_first():
    """PRO-2: its configuration is a Llama's."""
    found = recommend_for(llama_7b(id="codellama/CodeLlama-7b-hf"), gpu(24), free=24 * 10**9)
    assert sorted(names(found)[:2]) == ["codellama_coding", "llama_standard"]
    assert names(found)[0] == "codellama_coding"


def test_ones_own_profile_is_recommended_and_one_without_target_is_left_out():
    """PRO-2"""
    profiles.add(profiles.make({"name": "mine", "r": 4, "model_types": ["llama"], "target_modules": ["q_proj"]}))
    profiles.add(profiles.make({"name": "wrong", "r": 4, "model_types": ["llama"], "target_modules": ["c_attn"]}))
    found = recommend_for(llama_7b(), gpu(24), free=24 * 10**9)
    assert names(found)[0] == "mine"
    assert found.profiles[0].layers == 32
    assert found.profiles[0].memory < next(one.memory for one in found.profiles if one.profile == "llama_standard")
    assert found.left_out == {"wrong": "none of its targets is there: c_attn"}


def test_a_model_without_linear_layers_is_refused():
    """PRO-2"""
    with pytest.raises(UsageProblem, match="no layer that an adapter goes on"):
        recommend_for(llama_7b(linear_names=[], linear_shapes=[]), gpu(24), free=10**10)


def test_every_verb_of_profiles_works(lorasmith, tmp_path, home):
    """PRO-2"""
    assert [one["name"] for one in json.loads(lorasmith("profiles", "list", "--json").stdout)] == list(RANKS)
    assert "llama_qlora" in lorasmith("profiles", "list").stdout
    assert json.loads(lorasmith("profiles", "show", "trocr_safe", "--json").stdout)["r"] == 8
    lorasmith("profiles", "create", "mine", "--like", "llama_qlora", "--r", "12", "--quantization", "none")
    assert profiles.get("mine").variant == "lora"
    file = tmp_path / "mine.json"
    lorasmith("profiles", "export", "mine", file)
    assert json.loads(file.read_text())["r"] == 12
    assert "--force" in lorasmith("profiles", "export", "mine", file, code=2).stderr
    lorasmith("profiles", "import", file, "--name", "again")
    assert "--replace" in lorasmith("profiles", "import", file, code=2).stderr
    lorasmith("profiles", "remove", "mine", "--yes")
    assert [path.name for path in (home / "profiles").iterdir()] == ["again.yaml"]
    found = json.loads(lorasmith("profiles", "recommend", "demo", "--json").stdout)
    assert found["profiles"][0]["profile"] == "again"
    assert found["profiles"][0]["memory"] > 10**8
    shown = lorasmith("profiles", "recommend", "demo", "--memory", "50MB").stdout
    assert "None fits" in shown


def test_profiles_and_their_python_names_load_no_heavy_library():
    """PRO-3, SPD-4"""
    code = (
        "import sys; from lorasmith import lora, profiles; profiles.builtin(); lora.get_llm_config('llama', 'qlora')\n"
        "import lorasmith.plan.recommend, lorasmith.cli.profiles\n"
        "assert not {'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_profiles_are_found_in_python_by_kind():
    """PRO-3"""
    from lorasmith.lora import (
        ModelType,
        get_donut_config,
        get_layoutlm_config,
        get_llm_config,
        get_profile,
        get_trocr_config,
    )  # fmt: skip

    assert get_donut_config("standard") == get_profile("donut_standard")
    assert get_trocr_config("safe").name == "trocr_safe"
    assert get_layoutlm_config().modules_to_save == ("classifier",)
    assert get_llm_config("llama", "qlora").name == "llama_qlora"
    assert get_llm_config(ModelType.CODELLAMA).name == "codellama_coding"
    assert get_llm_config("mistral").name == "mistral_efficient"
    qwen = get_llm_config("qwen", "qlora")
    assert (qwen.name, qwen.quantization, qwen.r) == ("universal", "4bit", "auto")
    with pytest.raises(UsageProblem, match="no trocr profile 'fast'"):
        get_trocr_config("fast")
    with pytest.raises(UsageProblem, match="Did you mean 'llama'"):
        get_llm_config("lama")
    with pytest.raises(UsageProblem, match="no method"):
        get_llm_config("llama", "full")
