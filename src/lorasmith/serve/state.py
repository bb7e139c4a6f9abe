"""The served model as the routes see it: what it is, whether it is ready, its adapters, who is being answered.

One event loop owns all of it; nothing here knows a route.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from lorasmith.core.errors import LorasmithError, NotFoundProblem, UsageProblem
from lorasmith.core.facts import ModelFacts
from lorasmith.core.progress import amount
from lorasmith.data.tokenizer import Tokenizer, load_tokenizer
from lorasmith.engines import Engine, EngineFacts, EngineKind, EngineSpec
from lorasmith.families import FAMILIES
from lorasmith.hub.bases import require_base
from lorasmith.hub.locate import locate_adapter, template_of
from lorasmith.plan.memory import QUANTIZED_DTYPES, inference_bytes
from lorasmith.serve.metrics import Metrics
from lorasmith.serve.problems import HttpProblem
from lorasmith.serve.spec import ServeSpec
from lorasmith.serve.text.thinking import Thinking, thinking_of
from lorasmith.serve.uploads import Uploads

log = logging.getLogger("lorasmith.serve")

BASE = "base"
"""The untouched model, where a request names it."""
_CRASHES = 3
_CALM_SECONDS = 60.0


@dataclass(frozen=True)
class Voice:
    """The base or an adapter, with the tokenizer and template that it was trained with."""

    name: str
    folder: Path | None = None
    tokenizer: Tokenizer | None = None
    thinking: Thinking | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


class Served:
    """A model that is being served."""

    def __init__(
        self, spec: ServeSpec, model: ModelFacts, kind: EngineKind, engine_spec: EngineSpec, record: dict[str, Any]
    ):
        self.spec, self.model, self.record = spec, model, record
        self.family = FAMILIES.get(model.family)
        self.started = time.time()
        self.engine: Engine | None = None
        self.engine_facts = EngineFacts()
        self.status: dict[str, Any] = {"status": "loading", "stage": "start", "done": 0, "total": 0, "unit": ""}
        self.uploads = Uploads()
        self.running = 0
        self.is_ending = False
        self.kind = kind
        self.planned_bytes = _planned(model, engine_spec)
        self.on_ready: Callable[[str], None] = lambda _: None
        self._idle = asyncio.Event()
        self._idle.set()
        tokenizer = self._tokenizer(spec.template)
        stops = sorted(tokenizer.end_ids) if tokenizer else []
        self.engine_spec = engine_spec.model_copy(update={"stop_ids": stops})
        self.voices: dict[str, Voice] = {
            BASE: Voice(BASE, None, tokenizer, thinking_of(tokenizer) if tokenizer else None)
        }
        for name, folder in engine_spec.adapters.items():
            self.voices[name] = self._voice(name, folder)
        self.default = next(iter(engine_spec.adapters)) if len(engine_spec.adapters) == 1 else BASE
        self.metrics = Metrics(
            running=lambda: self.running, memory_bytes=self._memory_bytes, adapters=lambda: len(self.voices) - 1
        )

    def _tokenizer(self, template: str) -> Tokenizer | None:
        """None for families without texts, and for processors that only the worker can read."""
        if not (self.model.local_folder / "tokenizer.json").exists():
            return None
        return load_tokenizer(self.model.local_folder, template=template)

    def _voice(self, name: str, folder: Path, facts: dict[str, Any] | None = None) -> Voice:
        tokenizer = self._tokenizer(template_of(folder, self.spec.template))
        return Voice(name, folder, tokenizer, thinking_of(tokenizer) if tokenizer else None, facts or {})

    @property
    def memory(self) -> str:
        """What the loaded model takes, beside what was planned (SRV-11)."""
        return f"{amount(self.engine_facts.memory_bytes)} of memory, {amount(self.planned_bytes)} planned"

    def _memory_bytes(self) -> float:
        pid = self.engine.pid if self.engine else 0
        with contextlib.suppress(psutil.Error):
            return float(psutil.Process(pid).memory_info().rss) if pid else 0.0
        return 0.0

    # Life.

    async def keep_running(self) -> None:
        """Load the engine, and load it again where it dies: not more often than a few times in a row."""
        crashes, last = 0, LorasmithError("The engine ended")
        while crashes < _CRASHES and not self.is_ending:
            begun = time.monotonic()
            try:
                self.engine = await self.kind.start(self.engine_spec, self._on_loading)
            except LorasmithError as problem:
                self._fail(problem)
                return
            self.engine_facts = self.engine.facts
            self._learn_adapters()
            self.status = {"status": "ready"}
            told = f"Ready after {time.monotonic() - begun:.1f} s: {self.memory}."
            log.info("%s", told)
            self.on_ready(told)
            for note in self.engine_facts.notes:
                log.info("%s", note)
            problem = await self.engine.died()
            if self.is_ending:
                return
            crashes = 1 if time.monotonic() - begun > _CALM_SECONDS else crashes + 1
            log.error("the engine ended: %s", str(problem).replace("\n", " | "))
            self.engine = None
            self.status = {"status": "loading", "stage": "restart", "done": 0, "total": 0, "unit": ""}
            last = problem if isinstance(problem, LorasmithError) else LorasmithError(str(problem))
        if not self.is_ending:
            self._fail(last)

    def _on_loading(self, told: dict[str, Any]) -> None:
        self.status = {"status": "loading"} | {key: told[key] for key in ("stage", "done", "total", "unit")}

    def _fail(self, problem: LorasmithError) -> None:
        log.error("the model cannot be served: %s", str(problem).replace("\n", " | "))
        self.status = {"status": "failed", "error": problem.as_dict()}

    def _learn_adapters(self) -> None:
        for name, facts in self.engine_facts.details.get("adapters", {}).items():
            self.voices[name] = self._voice(name, self.engine_spec.adapters[name], facts)

    async def stop(self, seconds: float) -> None:
        """No new requests; those under way have so many seconds to come to their end."""
        self.is_ending = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        if self.engine is not None:
            await self.engine.stop()

    # Requests.

    def ready(self) -> Engine:
        """The engine. Raises HttpProblem while there is none."""
        if self.is_ending:
            raise HttpProblem(503, "The server is ending", code="ending", fix="Try again when it is back.")
        if self.engine is None:
            if self.status["status"] == "failed":
                error = self.status["error"]
                raise HttpProblem(
                    503, "The model could not be loaded", code="failed", why=error["what"], fix=error["fix"]
                )
            raise HttpProblem(
                503, "The model is still being loaded", code="loading", fix="GET /health says how far it is."
            )
        return self.engine

    @contextlib.asynccontextmanager
    async def admitted(self) -> AsyncGenerator[Engine]:
        """A place among those that are answered, with the engine. Raises HttpProblem without one, and after the time limit."""
        engine = self.ready()
        if self.running >= self.spec.max_queue:
            raise HttpProblem(
                429,
                f"{self.running} requests are under way and waiting already",
                code="queue_full",
                fix="Try again in a moment.",
            )
        self.running += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(self.spec.request_seconds):
                yield engine
        except TimeoutError:
            raise HttpProblem(
                408, f"The answer took longer than {self.spec.request_seconds} seconds", code="timeout",
                fix="Ask for fewer tokens, or start the server with a larger --request-seconds.",
            ) from None  # fmt: skip
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()

    def voice(self, name: str) -> Voice:
        """Whom `name` means: an adapter, `base`, or by default the only adapter. Raises NotFoundProblem."""
        if name in ("", self.model.id):
            return self.voices[self.default if name == "" else BASE]
        if name not in self.voices:
            known = ", ".join(self.voices)
            raise NotFoundProblem(
                f"No model or adapter '{name[:100]}' is served here", why=f"There are: {self.model.id}, {known}."
            )
        return self.voices[name]

    # Adapters.

    async def load_adapter(self, name: str, path: str) -> dict[str, Any]:
        """Raises UsageProblem, NotFoundProblem; what already answers is not disturbed."""
        require_name(name)
        if name in self.voices:
            raise UsageProblem(f"'{name}' is taken", fix="Unload that adapter first, or choose another name.")
        folder = await asyncio.to_thread(self._allowed, path)
        engine = self.ready()
        voice = await asyncio.to_thread(self._voice, name, folder)
        facts = await engine.load_adapter(name, folder)
        self.voices[name] = Voice(name, folder, voice.tokenizer, voice.thinking, facts)
        self.engine_spec = self.engine_spec.model_copy(update={"adapters": {**self.engine_spec.adapters, name: folder}})
        log.info("adapter '%s' loaded from %s", name, folder)
        return facts

    async def unload_adapter(self, name: str) -> None:
        """Its name is free at once; what it is writing comes to its end. Raises NotFoundProblem."""
        if name not in self.voices or name == BASE:
            raise NotFoundProblem(
                f"No adapter '{name[:100]}' is loaded", why=f"Loaded: {', '.join(list(self.voices)[1:]) or 'none'}."
            )
        engine = self.ready()
        del self.voices[name]
        left = {key: path for key, path in self.engine_spec.adapters.items() if key != name}
        self.engine_spec = self.engine_spec.model_copy(update={"adapters": left})
        if self.default == name:
            self.default = BASE
        await engine.unload_adapter(name)
        log.info("adapter '%s' unloaded", name)

    def _allowed(self, path: str) -> Path:
        """The adapter's folder, which has to lie where adapters are kept (SEC-1). Raises UsageProblem, NotFoundProblem."""
        if not path or "\0" in path:
            raise UsageProblem("lora_path is empty or no path")
        folder = locate_adapter(path).resolve()
        if not any(folder.is_relative_to(root) for root in allowed_folders(self.model, self.engine_spec.adapters)):
            raise UsageProblem(
                "Adapters are loaded only from where adapters are kept",
                why=f"'{path[:200]}' lies outside.",
                fix="Put it into the adapters folder of lorasmith's home, or name it at the start: --adapter NAME=PATH",
            )  # fmt: skip
        require_base(folder, self.model)
        return folder


def allowed_folders(model: ModelFacts, adapters: dict[str, Path]) -> list[Path]:
    """Where adapters may be loaded from at a client's word: home's, and beside those that were named at the start."""
    from lorasmith.core import settings

    beside = [path.resolve().parent for path in adapters.values()]
    return [settings.load().adapters_dir.resolve(), *beside, model.local_folder.resolve().parent / "lora"]


def require_name(name: str) -> None:
    """Raises UsageProblem for a name that no adapter can have."""
    allowed = name.replace("-", "").replace("_", "").replace(".", "")
    if not name or len(name) > 128 or not allowed.isalnum() or name == BASE:
        raise UsageProblem(
            f"'{name[:100]}' cannot be an adapter's name",
            fix="Use letters, digits, '-', '_' and '.'; 'base' is the model itself.",
        )


def _planned(model: ModelFacts, spec: EngineSpec) -> int:
    """Bytes of the engine's process with the model loaded and nothing asked yet."""
    dtype = QUANTIZED_DTYPES.get(spec.quantization, spec.precision)
    return inference_bytes(model, dtype, context=1, on_gpu=spec.device != "cpu").loaded
