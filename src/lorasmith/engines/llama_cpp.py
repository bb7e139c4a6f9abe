"""llama.cpp: GGUF files, by its own server `llama-server` as a child process.

Fields and answers are those of POST /completion: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.core.facts import ModelFacts
from lorasmith.core.progress import amount
from lorasmith.engines._answer import Chunk
from lorasmith.engines._base import Engine, EngineFacts, EngineKind, EngineSpec, GenerateRequest, OnProgress
from lorasmith.engines._child_process import Program
from lorasmith.engines._child_server import ChildServer, Running, adapter_facts, lacks_for_text, run
from lorasmith.engines._pieces import Pieces
from lorasmith.engines._sampling import Sampling
from lorasmith.plan import hardware

_TITLE = "llama.cpp"
_SERVER = "llama-server"
_SERVER_VARIABLE = "LLAMA_SERVER"
# Of the user's variables for llama-server those that make it fast; others would change its address, or what it can be asked.
_TUNING = tuple(
    f"LLAMA_ARG_{name}"
    for name in ("THREADS", "N_GPU_LAYERS", "FLASH_ATTN", "CACHE_TYPE", "BATCH", "UBATCH", "MAIN_GPU", "TENSOR_SPLIT",
                 "SPLIT_MODE", "N_CPU_MOE", "CPU_MOE", "OVERRIDE_TENSOR", "NUMA", "LOAD_MODE", "MMAP", "MLOCK", "DEVICE")
)  # fmt: skip
_NO_WEIGHTS_OF_A_MODEL = ("mmproj", "lora", "adapter", "imatrix")
_ROOM_SHARE = 0.6
"""Of the memory that is free beside the weights: for what conversations keep."""
_CACHE_BYTES = 2  # an element of the cache is of 16 bits
_MOST_SLOTS = 16
_MOST_SEED = 2**31 - 1
_ORDER = (
    "penalties",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
)  # that of transformers; llama.cpp's own has temperature last


class Choice(NamedTuple):
    """The GGUF file that is served, and why this one."""

    file: Path
    note: str


def server_command() -> list[str]:
    """How llama-server is run on this machine: the program itself, or out of the package xllamacpp; empty without either."""
    found = shutil.which(os.environ.get(_SERVER_VARIABLE) or _SERVER)
    if found or os.environ.get(_SERVER_VARIABLE):
        return [found] if found else []
    packed = importlib.util.find_spec("xllamacpp") is not None
    return [sys.executable, "-m", "lorasmith.workers.llama_server"] if packed else []


def choose_file(model: ModelFacts, free_bytes: int) -> Choice | None:
    """Of several quantizations the largest that fits into memory, unless the model's facts name one; None without any."""
    folder = model.local_folder
    if model.weight_form == "gguf" and model.weight_files:
        file = folder / model.weight_files[0]  # of a model in parts the first, which leads to the others
        return Choice(file, f"serves {file.name}")
    found = [
        path for path in folder.glob("*.gguf") if not any(word in path.name.lower() for word in _NO_WEIGHTS_OF_A_MODEL)
    ]
    whole = sorted(path for path in found if "-of-" not in path.stem) or sorted(found)[:1]
    if not whole:
        return None
    sizes = {path: path.stat().st_size for path in whole}
    fitting = [path for path in whole if sizes[path] < free_bytes]
    file = max(fitting, key=sizes.__getitem__) if fitting else min(whole, key=sizes.__getitem__)
    of = f", the largest of {len(whole)} that fits" if len(whole) > 1 and fitting else ""
    return Choice(file, f"serves {file.name} ({amount(sizes[file])}{of}), not the safetensors beside it")


def adapter_file(folder: Path) -> Path:
    """The adapter in `folder` as GGUF. Raises EnvironmentProblem where there is none."""
    found = sorted(folder.glob("*.gguf"))
    if not found:
        raise EnvironmentProblem(
            f"llama.cpp cannot read the adapter in '{folder}'", why="It reads adapters as GGUF files, and there is none in it.",
            fix="Make one:  lorasmith export MODEL --adapter NAME --to gguf --adapter-only\nor serve with --engine transformers.",
        )  # fmt: skip
    return found[0]


def slots(spec: EngineSpec, context: int, file_bytes: int) -> int:
    """How many answers are written at once: each has its whole context to itself, so none fails for another's length."""
    per_token = _CACHE_BYTES * sum(group.count * group.per_token for group in spec.model.cache)
    room = _ROOM_SHARE * max(0, hardware.observe().free_bytes - file_bytes)
    fitting = int(room / (per_token * context)) if per_token and context else 4
    return max(1, min(spec.max_rows, _MOST_SLOTS, fitting))


class LlamaServer(ChildServer):
    title = _TITLE
    route = "/completion"

    def __init__(self, running: Running, spec: EngineSpec, facts: EngineFacts):
        super().__init__(running, spec, facts)
        self._pieces = Pieces(spec.model.local_folder / "tokenizer.json")
        self.adapters = dict(spec.adapters)
        self._numbers = {name: number for number, name in enumerate(spec.adapters)}

    def body(self, request: GenerateRequest, sampling: Sampling) -> dict[str, Any]:
        penalises = sampling.repetition_penalty != 1 or request.frequency_penalty or request.presence_penalty
        asked: dict[str, Any] = {
            "prompt": request.prompt_ids, "n_predict": request.max_tokens, "stream": True, "return_tokens": True,
            "samplers": list(_ORDER), "temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p,
            "min_p": sampling.min_p, "repeat_penalty": sampling.repetition_penalty,
            "repeat_last_n": len(request.prompt_ids) + request.max_tokens if penalises else 0,
            "frequency_penalty": request.frequency_penalty, "presence_penalty": request.presence_penalty,
            "seed": -1 if request.seed is None else request.seed % _MOST_SEED, "ignore_eos": request.ignore_stop,
            "logit_bias": [[token, bias] for token, bias in request.logit_bias.items()],
            "lora": [{"id": number, "scale": float(name == request.adapter)} for name, number in self._numbers.items()],
        }  # fmt: skip
        if request.logprobs is not None:
            asked["n_probs"] = max(1, request.logprobs)
        if request.json_schema is not None:
            asked["json_schema"] = request.json_schema
        return asked

    def reader(self, request: GenerateRequest) -> Callable[[dict[str, Any]], Chunk]:
        return _Reader(self._pieces, request.logprobs).read

    async def load_adapter(self, name: str, folder: Path) -> dict[str, Any]:
        raise EnvironmentProblem(
            "llama.cpp takes no adapters while it runs", why="It reads them when it starts.",
            fix=f"Start the server again with  --adapter {name}={folder}  (a GGUF adapter), or with --engine transformers.",
        )  # fmt: skip

    async def details(self) -> int:
        """The context of one answer in tokens."""
        told = await self.get("/props")
        return int(told["default_generation_settings"]["n_ctx"])


class _Reader:
    """Reads one answer.

    llama.cpp sends nothing while a character is not whole, and then the last of its tokens alone, with the text of all. And it
    sends the token that ends the answer like any other; having no text, it waits here until the next piece says what it was.
    Pieces of a character that an answer's limit cuts off are never sent.
    """

    def __init__(self, pieces: Pieces, num_logprobs: int | None):
        self._pieces, self._num_logprobs = pieces, num_logprobs
        self._seen = 0
        self._held = Chunk([], [])

    def read(self, told: dict[str, Any]) -> Chunk:
        held, self._held = self._held, Chunk([], [])
        if told.get("stop"):
            ended = {"eos": "stop", "word": "stop"}.get(told.get("stop_type", ""), "length")
            return Chunk([], [], "stop") if told.get("stop_type") == "eos" else held._replace(reason=ended)
        own = self._own(told)
        if own.ids and not told.get("content"):
            own, self._held = Chunk([], []), own
        return Chunk(held.ids + own.ids, held.logprobs + own.logprobs)

    def _own(self, told: dict[str, Any]) -> Chunk:
        ids: list[int] = told.get("tokens") or []
        if not ids:
            return Chunk([], [])
        count = max(len(ids), int(told.get("tokens_predicted", 0)) - self._seen)
        self._seen += count
        if count > len(ids) and told.get("content"):
            ids = self._pieces.of(told["content"], count, ids[-1])
        logprobs: list[dict[str, Any] | None] = []
        if self._num_logprobs is not None:
            shown = [self._logprobs(one) for one in told.get("completion_probabilities") or []][-1:]
            logprobs = [*([None] * (len(ids) - len(shown))), *shown]
        return Chunk(list(ids), logprobs)

    def _logprobs(self, told: dict[str, Any]) -> dict[str, Any]:
        top = [(one["id"], one["logprob"]) for one in told.get("top_logprobs", ())][: self._num_logprobs]
        return {"id": told["id"], "logprob": told["logprob"], "top": top}


def environment() -> dict[str, str]:
    """llama-server's variables: those that change what it is to us are not the user's."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("LLAMA_") or name.startswith(_TUNING)
    }
    return kept | {"LLAMA_ARG_CORS_ORIGINS": "localhost", "LLAMA_ARG_UI": "false"}


def command(spec: EngineSpec, file: Path, context: int, num_slots: int) -> Callable[[int], Sequence[str]]:
    """The command line of llama-server for a port. Raises EnvironmentProblem for an adapter that it cannot read."""
    fixed = [*server_command(), "-m", str(file), "-c", str(context * num_slots), "-np", str(num_slots)]
    if spec.device == "cpu":
        fixed += ["-ngl", "0"]
    for folder in spec.adapters.values():
        fixed += ["--lora", _one_value(adapter_file(folder))]
    if spec.adapters:
        fixed += ["--lora-init-without-apply"]
    if (
        spec.cache_dtype == "float32"
    ):  # and flash attention would compute with it in fp16, where the processor has units for that
        fixed += ["-ctk", "f32", "-ctv", "f32", "-fa", "off"]
    return lambda port: [*fixed, "--host", "127.0.0.1", "--port", str(port)]


def _one_value(path: Path) -> str:
    """A path for an option that takes several, parted by commas."""
    text = str(path).replace('"', '""')
    return f'"{text}"' if "," in text or '"' in text else text


class LlamaCpp(EngineKind):
    name = "llama_cpp"
    title = _TITLE

    def lacks(self, model: ModelFacts) -> str:
        if lacks := lacks_for_text(model, _TITLE):
            return lacks
        if not server_command():
            named = os.environ.get(_SERVER_VARIABLE)
            where = (
                f"{_SERVER_VARIABLE} names '{named}', which is no program"
                if named
                else f"There is no {_SERVER} in PATH"
            )
            cure = f"pip install 'lorasmith[gguf]' brings it, or name your own: {_SERVER_VARIABLE}=/path/to/{_SERVER}"
            return f"{where}. {cure}"
        if choose_file(model, hardware.observe().free_bytes) is None:
            folder = model.local_folder
            return (
                f"There is no GGUF file in '{folder}'. Make one:  lorasmith export {model.id} --to gguf --out {folder}"
            )
        return ""

    async def start(self, spec: EngineSpec, on_progress: OnProgress) -> Engine:
        if spec.quantization != "none":
            raise UsageProblem(
                f"llama.cpp cannot quantize to {spec.quantization} while it loads", why="A GGUF file is served as it is.",
                fix="Leave the option out; export another quantization:  lorasmith export MODEL --to gguf --quantize q4_k_m",
            )  # fmt: skip
        choice = choose_file(spec.model, hardware.observe().free_bytes)
        if choice is None:
            raise EnvironmentProblem(f"'{spec.model.id}' cannot be served", why=self.lacks(spec.model))
        file_bytes = choice.file.stat().st_size
        context = min([limit for limit in (spec.max_context, spec.model.max_positions) if limit], default=0)
        num_slots = slots(spec, context, file_bytes)
        smaller = f"lorasmith serve {spec.model.id} --engine {self.name} --max-context {max(256, context // 2 or 4096)}"
        program = Program(
            _SERVER, command(spec, choice.file, context, num_slots), environment(), "LLAMA_API_KEY", f"Try:  {smaller}"
        )
        running = await run(program, spec, on_progress, file_bytes)
        facts = EngineFacts(notes=[choice.note], details={"file": choice.file.name, "slots": num_slots})
        facts.details["adapters"] = {name: adapter_facts(folder) for name, folder in spec.adapters.items()}
        facts.notes.append("repetition, frequency and presence penalties count the prompt's tokens too")
        if spec.adapters:
            facts.notes.append("requests for different adapters are not computed in one batch")
        engine = LlamaServer(running, spec, facts)
        try:
            engine.facts.context_tokens = min(room := await engine.details(), context or room)  # it rounds up
        except BaseException:
            await engine.stop()
            raise
        return engine


plugin = LlamaCpp()
