"""A model that is loaded once and answers one conversation after another, in a worker of its own."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from lorasmith.core import errors, paths, settings
from lorasmith.core.events import Delta, Event, Result
from lorasmith.core.specs import make_spec
from lorasmith.data.examples import Message
from lorasmith.data.tokenizer import load_tokenizer
from lorasmith.env.folder import python_for
from lorasmith.evaluation.spec import GenerateSpec, Request
from lorasmith.hub.locate import locate_adapter, template_of
from lorasmith.hub.recognise import know_model
from lorasmith.plan.hardware import where_to_run
from lorasmith.runners.local import Worker


class Conversation:
    """A loaded model that answers one conversation after another. Use as a context."""

    def __init__(self, model: str, adapter: str = "", *, template: str = "", device: str = "auto"):
        self.facts = know_model(model)
        python = python_for(self.facts.local_folder)
        self.adapter = locate_adapter(adapter) if adapter else None
        template = template_of(self.adapter, template)
        load_tokenizer(self.facts.local_folder, template=template)  # fails here and now, not in the worker
        self._folder = paths.make_folder(
            settings.load().cache_dir / "chat" / f"{os.getpid()}-{random.getrandbits(32):08x}"
        )
        spec = GenerateSpec(
            model_folder=self.facts.local_folder, family=self.facts.family, adapter=self.adapter, template=template,
            events=self._folder / "events.jsonl", **where_to_run(device),
        )  # fmt: skip
        paths.write_text(self._folder / "spec.json", spec.model_dump_json())
        self._worker = Worker(
            "generate",
            self._folder / "spec.json",
            spec.events,
            self._folder / "worker.log",
            takes_input=True,
            python=python,
            needs=(self.facts.quantization,),
        )
        self._events: Iterator[Event] = self._worker.events()
        self._requests = 0

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def answer(
        self, messages: list[Message], *, on_text: Callable[[str], None] = lambda _: None, **options: Any
    ) -> dict[str, Any]:
        """The answer to the last message, its text passed to `on_text` piece by piece. `options` are Request's fields."""
        request = make_spec(Request, messages=messages, **options)
        self._worker.send(request.model_dump_json())
        number, self._requests = self._requests, self._requests + 1
        for event in self._events:
            if isinstance(event, Delta) and event.request == number:
                on_text(event.text)
            if isinstance(event, Result):
                if "error" in event.value:
                    raise errors.from_dict(event.value["error"])
                return event.value
        raise self._worker.crash()
