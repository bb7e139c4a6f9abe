"""The load test: the model is loaded in its own environment by a child process, and called once (INS-8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from lorasmith.core import paths, settings
from lorasmith.core.events import Listener, Result, Warn
from lorasmith.env.folder import LOGS
from lorasmith.env.log import InstallLog
from lorasmith.env.records import ModelConfig, read_model_config
from lorasmith.env.spec import LoadTestSpec
from lorasmith.hub.installed import FILES_FOLDER
from lorasmith.plan.report import CheckReport
from lorasmith.runners.local import SELDOM_NEEDED, Worker

_LEAST_SECONDS = 180
_BYTES_A_SECOND = 50 * 10**6  # what a slow disk reads


def _device(report: CheckReport, config: ModelConfig) -> Literal["cpu", "cuda"]:
    """Where the model would run: as its own settings say, else the user's, else what the machine has."""
    wanted = config.device if config.device != "auto" else settings.load().default_device
    has_cuda = report.hardware.device == "cuda"
    return "cuda" if has_cuda and wanted in {"auto", "cuda"} else "cpu"


def load_test(folder: Path, report: CheckReport, python: Path, log: InstallLog, *, tell: Listener) -> dict[str, Any]:
    """What the first call gave: `call` in words, seconds, bytes; warnings of the worker go to `tell`.

    Raises EnvironmentProblem (a package is missing, the weights or the call fail), DoesNotFitProblem, WorkerCrash.
    """
    config, logs = read_model_config(folder), folder / LOGS
    spec = LoadTestSpec(
        model_folder=folder / FILES_FOLDER, family=report.model_family, dtype=config.dtype,
        device=_device(report, config), quantization=config.quantization,
        trust_remote_code=config.trust_remote_code, events_path=logs / "load_test.jsonl",
    )  # fmt: skip
    spec_path, log_path = logs / "load_test.json", logs / "load_test.log"
    paths.write_text(spec_path, spec.model_dump_json(indent=2))
    limit = _LEAST_SECONDS + report.weight_bytes / _BYTES_A_SECOND
    worker = Worker(
        "loadtest",
        spec_path,
        spec.events_path,
        log_path,
        python=python,
        limit_seconds=limit,
        needs=SELDOM_NEEDED,  # it is the environment as it is that is tested
    )
    told: dict[str, Any] = {}
    try:
        for event in worker.events():
            if isinstance(event, Result):
                told = event.value
            elif isinstance(event, Warn):
                tell(event)
    finally:
        worker.close()
        log.text(log_path.read_text(encoding="utf-8", errors="replace"))
    return told
