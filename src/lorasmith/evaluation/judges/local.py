"""A model of this machine as a judge: `lorasmith serve` as a process of ours for as long as it is asked, and no longer."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import re
import secrets
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from pydantic import Field

from lorasmith.core import paths, settings
from lorasmith.core.errors import NotFoundProblem
from lorasmith.core.registry import nearest
from lorasmith.core.secrets import masked
from lorasmith.evaluation.judges import _http
from lorasmith.evaluation.judges._base import Judge, JudgeSpec, JudgeTrouble
from lorasmith.evaluation.judges.openai import OpenAIJudge, OpenAIKind, OpenAIOptions

_PAGE = re.compile(r"page +(http://\S+)")
_LOOK_SECONDS = 0.1
_STOP_SECONDS = 15.0  # more than the guard's own patience
_TAIL_CHARS = 1000
_REASON_CHARS = 300


class LocalOptions(OpenAIOptions):
    """How a local model is served while it judges."""

    answer_tokens: int | None = Field(
        default=None, ge=64, le=65_536, description="Tokens of an answer, at most [what the context leaves]"
    )
    start_seconds: float = Field(default=900, gt=0, description="Time to be loaded, at most")
    serve: tuple[str, ...] = Field(default=(), description="Options of lorasmith serve: --load-in-4bit …")


class LocalJudge(OpenAIJudge):
    """Opened: the server is started and has loaded the model. It ends with us, however we end, by the guard between us."""

    kind = "local"

    def __init__(self, spec: JudgeSpec, options: LocalOptions, folder: Path):
        super().__init__(spec, options)
        self._start_seconds, self._serve_options, self._folder = options.start_seconds, options.serve, folder
        self._model = "base"  # an adapter that lies in an installed model's folder does not judge
        self._key = ""
        self._guard: asyncio.subprocess.Process | None = None
        self._log: Path | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        """Other weights in the same folder are another judge."""
        files = sorted(path for path in self._folder.iterdir() if path.is_file())
        states = [(path.name, path.stat()) for path in files]
        stamp = ",".join(f"{name}:{state.st_size}:{state.st_mtime_ns}" for name, state in states)
        return (*super().identity, str(self._folder), *self._serve_options, stamp)

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._start_seconds):
                await self._start()
                self._base_url = f"{await self._address()}/v1"
                await super().__aenter__()
                await self._until_ready()
        except TimeoutError:
            await self._stop(is_well=False)
            raise JudgeTrouble(f"{self._named} was not ready within {self._start_seconds:g} seconds") from None
        except BaseException:
            await self._stop(is_well=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop(is_well=error is None)

    async def authorization(self) -> tuple[dict[str, str], tuple[str, ...]]:
        return {"Authorization": f"Bearer {self._key}"}, (self._key,)

    def _optional(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The server keeps to the schema token by token: a reason without an end would be one."""
        schema = copy.deepcopy(schema)
        schema["properties"]["reason"]["maxLength"] = _REASON_CHARS
        return super()._optional(schema)

    @property
    def pid(self) -> int | None:
        """That of the guard, whose end is the server's end; None while it does not run."""
        return self._guard.pid if self._guard and self._guard.returncode is None else None

    @property
    def _named(self) -> str:
        return f"The local judge '{self.model}'"

    async def _start(self) -> None:
        from lorasmith.engines._child_process import _GUARD

        self._key = secrets.token_urlsafe(32)
        handle, name = tempfile.mkstemp(".log", "judge-", paths.make_folder(settings.load().logs_dir))
        self._log = Path(name)
        command = [sys.executable, "-m", "lorasmith", "serve", self._served(), "--port", "0", "--no-browser"]
        try:
            self._guard = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_GUARD), *command, *self._serve_options,
                stdin=asyncio.subprocess.PIPE, stdout=handle, stderr=handle, start_new_session=True,
                # The key goes by the environment: a command line can be read by every user of the machine.
                env=os.environ | {"LORASMITH_API_KEY": self._key, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        finally:
            os.close(handle)

    def _served(self) -> str:
        """As `lorasmith serve` is to be told: an installed model by its name, a folder by its whole path."""
        folder = Path(self.model).expanduser()
        return str(folder.absolute()) if folder.is_dir() else self.model

    async def _address(self) -> str:
        """Where it listens, as it says itself. Raises JudgeTrouble where it ends instead."""
        while True:
            if found := _PAGE.search(self._said()):
                return found[1]
            self._require_alive()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _until_ready(self) -> None:
        """Raises JudgeTrouble where the model cannot be loaded."""
        import httpx2

        if self._client is None:
            raise RuntimeError("use it as a context")
        url = self._base_url.removesuffix("/v1") + "/health"
        while True:
            self._require_alive()
            with contextlib.suppress(httpx2.HTTPError, ValueError):
                response = await self._client.get(url)
                if response.status_code == 200:
                    return
                told = response.json()
                if told.get("status") == "failed":
                    raise JudgeTrouble(f"{self._named} cannot be loaded: {told['error']['what']}")
            await asyncio.sleep(_LOOK_SECONDS)

    def _require_alive(self) -> None:
        if self._guard is None or self._guard.returncode is not None:
            words = _http.printable(self._said()[-_TAIL_CHARS:])
            raise JudgeTrouble(f"{self._named} did not start: {words or 'it said nothing'}")

    def _said(self) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log else ""
        return masked(text, self._key)

    async def _stop(self, *, is_well: bool) -> None:
        """Ask the server to end, by its guard; then end it. What it said is kept where something went wrong."""
        await super().__aexit__(None, None, None)
        guard, self._guard = self._guard, None
        if guard is not None and guard.returncode is None:
            if guard.stdin is not None:
                guard.stdin.close()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await guard.wait()
            except TimeoutError:
                guard.kill()  # the kernel ends the server with it
                await guard.wait()
        if is_well and self._log is not None:
            self._log.unlink(missing_ok=True)


class LocalKind(OpenAIKind):
    name = "local"
    title = "A model of this machine: local:MODEL, installed or a folder"
    base_url = ""
    model = ""
    key_variable = ""
    answer_seconds = 600.0
    options = LocalOptions

    def make(self, spec: JudgeSpec) -> Judge:
        """Raises NotFoundProblem where there is no such model here; nothing is fetched for a judge."""
        from lorasmith.hub.installed import installed_folders
        from lorasmith.hub.locate import locate_here

        known = settings.load()
        place = locate_here(spec.model, known)
        if place is None:
            names = ["demo", *(folder.name for folder in installed_folders(known.models_dir))]
            raise NotFoundProblem(
                f"There is no model '{spec.model}' on this machine that could judge",
                why=nearest(spec.model, names),
                fix=f"Name a folder, or install it:  lorasmith install {spec.model}",
            )
        return LocalJudge(spec, cast(LocalOptions, spec.options), place.folder)


plugin = LocalKind()
