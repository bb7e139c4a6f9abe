"""A model loaded for this process alone: no server, no port, the same engine and the same answers."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, Self, TypeVar

from lorasmith.core import errors, paths, settings
from lorasmith.core.errors import LorasmithError, UsageProblem
from lorasmith.core.specs import make_spec
from lorasmith.families._calls import Call
from lorasmith.serve.launch import prepared
from lorasmith.serve.spec import ServeSpec
from lorasmith.serve.state import Served

T = TypeVar("T")
_SECONDS = 24 * 3600  # a request's; it is ended by hand
_STOP_SECONDS = 15


class Loaded:
    """Use as a context. `what` ends the sentence that refuses a model whose calls are not of `kind`.

    Raises NotFoundProblem, UsageProblem, EnvironmentProblem: at once where the model cannot be had, else when it is first asked.
    """

    def __init__(
        self, model: str, adapter: str = "", *, kind: type[Call], what: str, template: str = "", device: str = "auto"
    ):
        adapters = (adapter,) if adapter else ()
        spec = make_spec(
            ServeSpec, model=model, adapter=adapters, template=template, device=device, request_seconds=_SECONDS
        )
        self._folder = paths.make_folder(settings.load().cache_dir / "chat" / f"{os.getpid()}-{os.urandom(4).hex()}")
        try:
            self._served = prepared(spec, self._folder)
        except LorasmithError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        if not issubclass(self._served.family.call or object, kind):
            shutil.rmtree(self._folder, ignore_errors=True)
            raise UsageProblem(f"'{self._served.model.id}' {what}", fix=f"lorasmith serve {model}")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._running = self._start(self._served.keep_running())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._start(self._served.stop(0)).result(_STOP_SECONDS)
        self._running.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, work: Coroutine[Any, Any, T]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of `work`, which is cancelled where this is interrupted."""
        task = self._start(work)
        try:
            return task.result()
        except BaseException:
            task.cancel()
            with suppress(Exception, CancelledError):
                task.result(_STOP_SECONDS)
            raise

    async def ready(self) -> Served:
        """The model, once it is loaded. Raises what loading raised."""
        while self._served.status["status"] == "loading":
            await asyncio.sleep(0.02)
        if self._served.status["status"] == "failed":
            raise errors.from_dict(self._served.status["error"])
        return self._served
