"""The engine worker: loads a model once and answers the requests that come over its channel, many at a time where it can.

It knows frames (core/channel.py), no HTTP. Its end is the channel's end.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from lorasmith.core.channel import Channel, Frame
from lorasmith.core.errors import DoesNotFitProblem, LorasmithError, UsageProblem
from lorasmith.core.progress import amount
from lorasmith.core.samples import ModelChanges
from lorasmith.engines import EngineFacts, EngineSpec, GenerateRequest
from lorasmith.families import FAMILIES
from lorasmith.families._calls import Cancelled
from lorasmith.plan import hardware
from lorasmith.workers.runtime import as_problem, end_with_parent, is_out_of_memory, quiet_libraries

if TYPE_CHECKING:
    from lorasmith.workers.answering.adapters import AdapterBank

_TELL_SECONDS = 0.25
_ROOM_SHARE = 0.6
"""Of the memory that is free after loading: for what conversations keep."""


class _Loading:
    """Tells, while the model is read, how much of it is in memory."""

    def __init__(self, channel: Channel, total: int):
        self._channel, self._total = channel, max(1, total)
        self._over = threading.Event()
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss

    def __enter__(self) -> _Loading:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(_TELL_SECONDS):
            done = min(self._total, max(0, self._process.memory_info().rss - self._before))
            self._channel.send(
                {"event": "loading", "stage": "load", "done": done, "total": self._total, "unit": "bytes"}
            )


class Answering:
    """A loaded model with what makes it answer."""

    def __init__(self, spec: EngineSpec, channel: Channel):
        self.spec, self.channel = spec, channel
        self._inbox: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._leaving: dict[str, str] = {}
        """Adapters that go when nobody uses them any more, with the request that asked for it."""

    # Loading.

    def load(self) -> EngineFacts:
        """Raises LorasmithError, and what the libraries raise."""
        from lorasmith.workers.answering.adapters import AdapterBank
        from lorasmith.workers.answering.passes import Passes

        spec, started = self.spec, time.perf_counter()
        self.family = FAMILIES.get(spec.model.family)
        folder = spec.model.local_folder
        with _Loading(self.channel, spec.model.weight_bytes):
            self.model = self.family.load(
                folder, dtype=spec.precision, device=spec.device, quantization=spec.quantization,
                trust_remote_code=spec.trust_remote_code, changes=spec.changes,
            )  # fmt: skip
        self.writes = self.family.writes(self.model)
        self.processor = None
        if not self.writes or self.family.name == "multimodal":
            self.processor = self.family.processor(
                folder, self.model, trust_remote_code=spec.trust_remote_code, changes=spec.changes
            )
        if spec.changes.family:
            self.family = FAMILIES.get(spec.changes.family)
        facts = EngineFacts(can=self.family.can(self.model))
        self.batch = None
        wearer = self.family.wearer(self.model)
        self._bank = None if wearer is None else AdapterBank(wearer)
        if self.writes:
            self._prepare_writing(facts, Passes(self.model, self.bank))
        for name, path in spec.adapters.items():
            facts.details.setdefault("adapters", {})[name] = self.bank.load(name, path)
        facts.load_seconds = time.perf_counter() - started
        facts.memory_bytes = psutil.Process().memory_info().rss - hardware.library_bytes()
        if made_up := getattr(self.model, "made_up_weights", []):
            facts.notes.append(
                f"{len(made_up)} weights are not in the model's files and were drawn at random: {made_up[0]} …"
            )
        return facts

    @property
    def bank(self) -> AdapterBank:
        """Raises UsageProblem where the model takes no adapters."""
        if self._bank is None:
            raise UsageProblem(f"Models of this kind take no adapters here yet: {self.spec.model.family}")
        return self._bank

    def _prepare_writing(self, facts: EngineFacts, passes: Any) -> None:
        from lorasmith.workers.answering import selfcheck
        from lorasmith.workers.answering.batching import Batch
        from lorasmith.workers.answering.grammar import Grammars

        spec = self.spec
        config = getattr(self.model, "generation_config", None)
        told = config.to_diff_dict() if config is not None else {}
        names = ("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty")
        self.defaults = {name: told[name] for name in names if told.get(name) is not None}
        if self.defaults.get("do_sample"):
            self.defaults.setdefault("temperature", 1.0)
        facts.generation = dict(self.defaults)
        own = getattr(config, "eos_token_id", None)
        self.stops = frozenset([*(own if isinstance(own, list) else [own] if own is not None else []), *spec.stop_ids])
        limits = [limit for limit in (spec.max_context, spec.model.max_positions) if limit]
        facts.context_tokens = min(limits, default=0)
        self.context = 0 if spec.model.architecture_type == "encoder-decoder" else facts.context_tokens
        vocabulary = self.model.get_output_embeddings()
        size = vocabulary.weight.shape[0] if vocabulary is not None else spec.model.vocab_size
        self.grammars = Grammars(spec.model.local_folder / "tokenizer.json", size, sorted(self.stops))
        shared = spec.model.architecture_type == "decoder-only" and self.family.name == "language"
        why_not = selfcheck.why_not(passes) if shared else f"its kind is {spec.model.architecture_type}"
        if why_not:
            facts.notes.append(f"requests are answered one after the other: {why_not}")
            return
        facts.batches = True
        self.batch = Batch(passes, max_rows=spec.max_rows, room_bytes=self._room(), send=self._tokens, end=self._ended)

    def _room(self) -> int:
        """Bytes for what conversations keep."""
        return int(hardware.observe().free_bytes * _ROOM_SHARE)

    # Serving.

    def run(self) -> None:
        """Answer until the channel ends."""
        threading.Thread(target=self._receive, daemon=True).start()
        while True:
            batch = self.batch if self.batch is not None and self.batch.is_busy else None
            try:
                frame = self._inbox.get(block=batch is None)
            except queue.Empty:
                frame = None
            if frame is not None:
                self._guarded(frame)
            elif batch is not None:
                batch.step()
                self._let_go()

    def _receive(self) -> None:
        """In a thread of its own, so that a call under way hears of its cancellation."""
        while (frame := self.channel.receive()) is not None:
            if frame.header["op"] == "cancel":
                self._cancelled.add(frame.header["id"])
            self._inbox.put(frame)
        os._exit(0)

    def _guarded(self, frame: Frame) -> None:
        """Whatever one request raises is its own."""
        id_ = str(frame.header.get("id", ""))
        try:
            getattr(self, f"_do_{frame.header['op']}")(id_, frame)
        except Cancelled:
            self._done(id_, finish_reason="cancelled")
        except Exception as error:  # noqa: BLE001  the worker lives on
            self._failed(id_, error)

    def _failed(self, id_: str, error: Exception) -> None:
        if not isinstance(error, LorasmithError):
            traceback.print_exc()
            sys.stderr.flush()
        self._cancelled.discard(id_)
        self.channel.send({"event": "error", "id": id_, "error": told_as(error, self.spec).as_dict()})

    def _done(self, id_: str, *blobs: bytes, **fields: Any) -> None:
        self._cancelled.discard(id_)
        self.channel.send({"event": "done", "id": id_, **fields}, *blobs)

    def _do_cancel(self, id_: str, _: Frame) -> None:
        """A call under way has heard of it already."""
        if self.batch is not None:
            self.batch.cancel(id_)
        self._cancelled.discard(id_)

    def _do_generate(self, id_: str, frame: Frame) -> None:
        from lorasmith.workers.answering.rows import Row
        from lorasmith.workers.answering.sampling import Sampler

        request = GenerateRequest.model_validate(frame.header["request"])
        if request.adapter and (request.adapter not in self.bank.names or request.adapter in self._leaving):
            raise UsageProblem(f"No adapter '{request.adapter}' is loaded")
        matcher = self.grammars.matcher(request.json_schema)
        sampler = Sampler(request, self.defaults, matcher)
        row = Row(id_, request, sampler=sampler, stops=self.stops, context=self.context)
        if self.batch is not None:
            self.batch.add(row)
            return
        inputs = self._inputs(request, frame)
        self.bank.use([request.adapter])
        from lorasmith.workers.answering import one_by_one

        reason = one_by_one.write(
            self.model, row, inputs, send=lambda token, told: self._tokens([(row, token, told)]),
            is_cancelled=lambda: id_ in self._cancelled,
        )  # fmt: skip
        self._done(id_, finish_reason=reason, prompt_tokens=len(row.prompt))

    def _inputs(self, request: GenerateRequest, frame: Frame) -> Any:
        import torch

        if messages := frame.header.get("messages"):
            family: Any = self.family
            return family.inputs(
                self.model, self.processor, messages, frame.blobs, frame.header.get("template_options") or {}
            )
        ids = torch.tensor([request.prompt_ids], device=self.model.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def _tokens(self, written: list[tuple[Any, int, Any]]) -> None:
        if written:
            rows = [[row.id, token, told] if told else [row.id, token] for row, token, told in written]
            self.channel.send({"event": "tokens", "rows": rows})

    def _ended(self, row: Any, reason: str | LorasmithError) -> None:
        if isinstance(reason, LorasmithError):
            self._failed(row.id, reason)
        else:
            self._done(row.id, finish_reason=reason, prompt_tokens=len(row.prompt))

    def _do_answer(self, id_: str, frame: Frame) -> None:
        kind = self.family.call
        if kind is None:
            raise UsageProblem(
                f"No handler found for model type: {self.spec.model.model_type}. This model type is not yet supported."
            )
        call = kind.model_validate(frame.header["call"])

        def tell(*, done: int, total: int, blob: bytes = b"") -> None:
            if id_ in self._cancelled:
                raise Cancelled
            self.channel.send({"event": "progress", "id": id_, "done": done, "total": total}, *([blob] if blob else []))

        tell(done=0, total=0)
        if call.adapter or self._bank is not None:
            self.bank.use([call.adapter])
        answer = self.family.answer(self.model, self.processor, call, frame.blobs, tell)
        self._done(id_, *answer.blobs, value=answer.value)

    def _do_project(self, id_: str, frame: Frame) -> None:
        from lorasmith.workers.answering.planes import plane

        self._done(id_, value={"points": plane(frame.header["vectors"], frame.header["method"])})

    def _do_load_adapter(self, id_: str, frame: Frame) -> None:
        folder = Path(frame.header["folder"])
        if ModelChanges.read(folder) != self.spec.changes:
            raise UsageProblem(
                f"The adapter '{frame.header['name']}' changes the model itself: its classes, or the tokens that it knows",
                why="What is loaded has others.", fix="Start a server with it:  lorasmith serve MODEL --adapter NAME",
            )  # fmt: skip
        told = self.bank.load(frame.header["name"], folder)
        self._done(id_, value=told)

    def _do_unload_adapter(self, id_: str, frame: Frame) -> None:
        name = frame.header["name"]
        if name not in self.bank.names:
            self.bank.unload(name)  # says so
        self._leaving[name] = id_
        self._let_go()

    def _let_go(self) -> None:
        for name, id_ in list(self._leaving.items()):
            if self.batch is None or not self.batch.uses(name):
                self.bank.unload(name)
                del self._leaving[name]
                self._done(id_, value={})


def told_as(error: Exception, spec: EngineSpec) -> LorasmithError:
    """`error` as something that a client, or whoever started the server, can be told."""
    if isinstance(error, LorasmithError) or not is_out_of_memory(error):
        return as_problem(error)
    free = amount(hardware.observe().free_bytes)
    return DoesNotFitProblem(
        "Memory ran out", why=f"The weights take {amount(spec.model.weight_bytes)} as they are stored; {free} are free now.",
        fix="Ask for less at once, or start with smaller numbers:  ./start.sh --load-in-8bit   (or --load-in-4bit)",
    )  # fmt: skip


def main() -> None:
    spec = EngineSpec.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    quiet_libraries(
        may_spin=spec.model.family == "language"
    )  # whose passes choose their threads (answering/threads.py)
    end_with_parent()
    channel = Channel(socket.socket(fileno=int(os.environ["LORASMITH_CHANNEL"])))
    answering = Answering(spec, channel)
    try:
        facts = answering.load()
    except Exception as error:  # noqa: BLE001  everything must reach the user
        traceback.print_exc()
        problem = told_as(error, spec)
        channel.send({"event": "failed", "error": problem.as_dict()})
        sys.exit(problem.exit_code)
    channel.send({"event": "ready", "facts": facts.model_dump()})
    answering.run()
    os._exit(0)


if __name__ == "__main__":
    main()
