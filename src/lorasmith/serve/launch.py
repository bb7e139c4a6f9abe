"""From a server as asked for to one that runs: what the model is, where it runs, its adapters, its key, its address."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lorasmith.core import paths, settings
from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.core.facts import ModelFacts
from lorasmith.core.samples import common_changes
from lorasmith.core.specs import make_spec
from lorasmith.engines import ENGINES, EngineKind, EngineSpec
from lorasmith.env.records import ModelConfig, read_model_config
from lorasmith.hub.bases import require_base
from lorasmith.hub.installed import FILES_FOLDER, is_complete, read_info
from lorasmith.hub.locate import locate_adapter
from lorasmith.hub.recognise import know_model
from lorasmith.plan.hardware import parse_bytes, where_to_run
from lorasmith.serve.guard import is_loopback
from lorasmith.serve.spec import ServeSpec
from lorasmith.serve.state import Served, require_name

_KEPT_LOGS = 5
_BACKLOG = 2048
_NOT_TOLD = {"linear_shapes", "linear_names", "stacks", "cache", "folder"}


class Address(NamedTuple):
    """Where a server listens. `key` is empty where none is asked for; `is_new_key` says that it was made just now."""

    url: str
    key: str
    is_new_key: bool


OnStart = Callable[[Address, ModelFacts], None]


def serve(
    model: str | ServeSpec, *, on_start: OnStart = lambda _, __: None, on_ready: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> None:  # fmt: skip
    """Serve a model until it is ended by SIGINT or SIGTERM. `options` are ServeSpec's fields; `on_ready` is told whenever the
    model has been loaded: after how long, and how much memory it takes.

    Raises UsageProblem, NotFoundProblem, EnvironmentProblem (the port is taken, libraries are missing).
    """
    spec = model if isinstance(model, ServeSpec) else make_spec(ServeSpec, model=model, **options)
    key, is_new = _key(spec)
    listening = listen(spec.host, spec.port)
    try:
        served = prepared(spec)
        served.on_ready = on_ready
        log_to(served.engine_spec.log_path.parent)
        url = f"http://{shown(spec.host)}:{listening.getsockname()[1]}"
        on_start(Address(url, key, is_new), served.model)
        asyncio.run(_run(served, listening, key))
    finally:
        listening.close()


def prepared(spec: ServeSpec, logs: Path | None = None) -> Served:
    """The model that is asked for, ready to be loaded; logs go to `logs`, else to its own folder or to home's.

    Raises UsageProblem, NotFoundProblem, EnvironmentProblem.
    """
    facts = know_model(spec.model, serving=True)
    parent = facts.local_folder.parent
    installed = parent if facts.local_folder.name == FILES_FOLDER and is_complete(parent) else None
    kind = _engine(spec, facts)
    folder = logs or (installed / "logs" if installed else settings.load().logs_dir)
    engine_spec = _engine_spec(spec, facts, installed, paths.make_folder(folder))
    if engine_spec.changes.family:  # adapters that make a classifier of an encoder
        facts = facts.model_copy(update={"family": engine_spec.changes.family})
    record = read_info(installed) if installed else facts.model_dump(mode="json", exclude=_NOT_TOLD)
    return Served(spec, facts, kind, engine_spec, record)


async def _run(served: Served, listening: socket.socket, key: str) -> None:
    import uvicorn

    from lorasmith.serve.app import DRAIN_SECONDS, create_app
    from lorasmith.serve.connections import patient

    spec = served.spec
    app = create_app(served, key=key, hosts=(spec.host, *spec.allow_host))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, limit_concurrency=spec.max_connections,
        timeout_graceful_shutdown=int(DRAIN_SECONDS), timeout_keep_alive=30, ws_max_size=spec.max_body_mb * 10**6,
        http=patient(spec.body_seconds), ws="websockets-sansio",
        h11_max_incomplete_event_size=64 * 1024, lifespan="on",
    )  # fmt: skip
    await uvicorn.Server(config).serve([listening])


def _engine(spec: ServeSpec, facts: ModelFacts) -> EngineKind:
    """The engine that was named, or the default one. Raises EnvironmentProblem where it cannot answer for this model."""
    name = spec.engine
    if name == "auto":
        name = "llama_cpp" if facts.weight_form == "gguf" else "transformers"
    kind = ENGINES.get(name)
    if lacks := kind.lacks(facts):
        raise EnvironmentProblem(f"The engine '{name}' cannot serve '{facts.id}'", why=lacks)
    return kind


def _engine_spec(spec: ServeSpec, facts: ModelFacts, installed: Path | None, logs: Path) -> EngineSpec:
    config = read_model_config(installed) if installed else ModelConfig()
    wanted = spec.device if spec.device != "auto" else config.device
    place = where_to_run(wanted if wanted != "mps" else "cpu")
    adapters = _adapters(spec, installed)
    for folder in adapters.values():
        require_base(folder, facts)
    dtype: Any = next((one for one in (spec.dtype, config.dtype) if one != "auto"), place["precision"])
    return EngineSpec(
        model=facts, precision=dtype, device=place["device"], quantization=_quantization(spec, config),
        trust_remote_code=spec.trust_remote_code or config.trust_remote_code, adapters=adapters,
        changes=common_changes(adapters.values()), max_context=spec.max_context, max_rows=spec.max_parallel,
        log_path=logs / f"engine-{os.getpid()}.log",
    )  # fmt: skip


def _quantization(spec: ServeSpec, config: ModelConfig) -> Any:
    asked = {name for name, given in (("8bit", spec.load_in_8bit), ("4bit", spec.load_in_4bit)) if given}
    asked |= {spec.quantization} - {"auto"}
    if len(asked) > 1:
        raise UsageProblem(f"The weights cannot be in {' and in '.join(sorted(asked))}", fix="Ask for one of them.")
    return next(iter(asked), config.quantization)


def _adapters(spec: ServeSpec, installed: Path | None) -> dict[str, Path]:
    """By name; of an installed model also the one in `lora/`, unless another takes its place."""
    given = list(spec.adapter)
    own = installed / "lora" if installed else None
    if spec.load_lora:
        given.insert(0, spec.load_lora)
    elif own and (own / "adapter_config.json").exists():
        given.insert(0, f"lora={own}")
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        folder = locate_adapter(path if equals else text)
        if not equals:
            parent = folder.parent.name if folder.name == "lora" else folder.name
            name = paths.safe_name(parent)
        require_name(name)
        if name in found:
            raise UsageProblem(f"Two adapters are called '{name}'", fix="Name them:  --adapter NAME=PATH")
        found[name] = folder
    return found


def _key(spec: ServeSpec) -> tuple[str, bool]:
    """The key that clients need: the one given; without one, a new one where others than this machine can reach the server."""
    given = spec.api_key or os.environ.get("LORASMITH_API_KEY", "")
    if given:
        if len(given) < 8 or not given.isascii() or not given.isprintable() or " " in given:
            raise UsageProblem("The key has to be 8 letters, digits or signs at least, without blanks")
        return given, False
    return ("", False) if is_loopback(spec.host) else (secrets.token_urlsafe(32), True)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound before the model is loaded. Raises EnvironmentProblem, UsageProblem."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError:
        raise UsageProblem(f"'{host}' is no address of this machine", fix="Try --host 127.0.0.1") from None
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. Without it the kernel keeps small answers back until the client has acknowledged the last: 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise EnvironmentProblem(
            f"Port {port} of {host} cannot be had",
            why=f"{error.strerror}.",
            fix=f"Take another one: --port {port + 1} (0 takes a free one).",
        ) from None
    listening.listen(_BACKLOG)
    return listening


def shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _OneEntry(logging.Formatter):
    """Whatever a client had a hand in can begin no line of the log, and says nothing to the terminal that shows it."""

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")
        return "\n    ".join("".join(map(_seen, line)) for line in lines)


def _seen(sign: str) -> str:
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii")


def log_to(folder: Path) -> None:
    """`server.log` in `folder`, turned over into `archive/` by size (SRV-10)."""
    known = settings.load()
    size = parse_bytes(known.log_rotation)
    archive = paths.make_folder(folder / "archive")
    handler = logging.handlers.RotatingFileHandler(
        folder / "server.log", maxBytes=size, backupCount=_KEPT_LOGS, encoding="utf-8"
    )
    handler.namer = lambda name: str(archive / Path(name).name)
    handler.setFormatter(_OneEntry("%(asctime)s %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
    for name in ("lorasmith.serve", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.setLevel(known.log_level.upper())
        logger.handlers = [handler]
        logger.propagate = False
