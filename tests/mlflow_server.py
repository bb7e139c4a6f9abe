"""A real MLflow server for tests: on loopback, with a database and files of its own; it can be killed, held up and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.databases import free_port

_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class MlflowServer:
    """`url` stays the same however often it is started."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.RLock()  # one thread kills it while another starts it anew

    def start(self) -> MlflowServer:
        command = [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{self.folder}/runs.db",
            "--artifacts-destination", self.folder / "artifacts", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
        ]  # fmt: skip
        with self._turn:
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdout=log, stderr=log, cwd=self.folder, env=os.environ | _QUIET, start_new_session=True
                )
            until = time.monotonic() + 120
            while not self._answers():
                assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
                assert time.monotonic() < until, "MLflow's server does not start"
                time.sleep(0.2)
        return self

    def kill(self) -> None:
        """As a power cut would."""
        with self._turn:
            self.signal(signal.SIGKILL)
            if self._process:
                self._process.wait(30)
                self._process = None

    def signal(self, number: int) -> None:
        if self._process:
            os.killpg(self._process.pid, number)

    def client(self) -> Any:
        """MLflow's own."""
        from mlflow.tracking import MlflowClient

        return MlflowClient(self.url)

    def runs(self, experiment: str) -> dict[str, Any]:
        """By name."""
        client = self.client()
        found = client.get_experiment_by_name(experiment)
        runs = client.search_runs([found.experiment_id], max_results=500) if found else []
        names = [run.info.run_name for run in runs]
        assert len(set(names)) == len(names), names
        return dict(zip(names, runs, strict=True))

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False
