"""A studio for tests: `lorasmith studio` as a process, in a home of its own, and a client for its API."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil

QUICK = {"max_steps": 12, "eval_fraction": 0.3, "no_tensorboard": True}
LONG = QUICK | {"max_steps": 100_000, "epochs": 1000, "patience": 10_000, "overfitting_threshold": 1e6}


class StudioServer:
    """`lorasmith studio` on a free port, in a home of its own."""

    def __init__(self, home: Path, *options: str, **environment: str):
        self.home, self.options, self.environment = home, options, environment
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> StudioServer:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LORASMITH_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lorasmith", "studio", "--port", "0", "--no-browser", *self.options], stdout=subprocess.PIPE,
            text=True, env=environment | self.environment | {"LORASMITH_HOME": str(self.home)},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.printed: list[str] = []
        for line in self.process.stdout:
            self.printed.append(line)
            if found := re.search(r"http://\S+/api$", line.strip()):
                self.url = found.group(0)
            if line.startswith("Ctrl+C"):
                break
        while True:
            try:
                if httpx2.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return self
            except httpx2.HTTPError:
                assert self.process.poll() is None
                time.sleep(0.05)

    def again(self) -> StudioServer:
        """At the same address, after it was killed."""
        port = self.url.removesuffix("/api").rsplit(":", 1)[1]
        self.options = (*self.options, "--port", port)
        return self.start()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process:
            self.process.send_signal(how)
            self.process.communicate(timeout=30)

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        return self._said(httpx2.get(self.url + path, params=query, timeout=60), status)

    def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        return self._said(httpx2.post(self.url + path, json=body, timeout=60), status)

    def put(self, path: str, body: Any, status: int = 200) -> Any:
        return self._said(httpx2.put(self.url + path, json=body, timeout=60), status)

    def patch(self, path: str, body: Any, status: int = 200) -> Any:
        return self._said(httpx2.patch(self.url + path, json=body, timeout=60), status)

    def delete(self, path: str, status: int = 204, **query: Any) -> Any:
        return self._said(httpx2.delete(self.url + path, params=query, timeout=60), status)

    def upload(self, name: str, data: bytes, status: int = 201) -> Any:
        files = {"file": (name, data, "application/octet-stream")}
        return self._said(httpx2.post(f"{self.url}/upload-dataset", files=files, timeout=60), status)

    def until(self, number: int, *statuses: str, seconds: float = 90) -> Any:
        deadline = time.monotonic() + seconds
        while (task := self.get(f"/tasks/{number}"))["status"] not in statuses:
            assert time.monotonic() < deadline, task
            time.sleep(0.1)
        return task

    @staticmethod
    def _said(response: Any, status: int) -> Any:
        assert response.status_code == status, response.text
        kind = response.headers.get("content-type", "")
        return response.json() if "json" in kind else response.text


@contextmanager
def running(home: Path, *options: str, **environment: str) -> Iterator[StudioServer]:
    server = StudioServer(home, *options, **environment).start()
    try:
        yield server
    finally:
        server.kill()
        for one in psutil.process_iter(["cmdline", "environ"]):
            is_ours = (one.info["environ"] or {}).get("LORASMITH_HOME") == str(home)
            if is_ours and "lorasmith.studio.running" in (one.info["cmdline"] or []):
                one.kill()


def begin(
    studio: StudioServer, model: Path, dataset: Any, params: dict[str, Any], status: int = 201, **more: Any
) -> Any:
    asked = {"task_name": "a run", "base_model": str(model), "dataset_id": dataset["id"], "training_params": params}
    return studio.post("/train", asked | more, status)
