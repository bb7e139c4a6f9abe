"""Made-up and broken requests to every route: refused in the one form, never a 500, and the server answers on (REL-4)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.servers import serving

_EXAMPLES = 6
_SECONDS = 45


def test_no_request_makes_it_fail(tmp_path: Path) -> None:
    """REL-4, SRV-9: schemathesis over the whole OpenAPI."""
    with serving("demo", tmp_path, "--max-context", "96", "--request-seconds", "20") as server:
        worker = server.worker_pid()
        command = [
            Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json", "--checks", "not_a_server_error",
            "--max-examples", str(_EXAMPLES), "--phases", "examples,coverage,fuzzing", "--seed", "1", "--max-time", str(_SECONDS), "--no-color",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-6000:]
        assert server.worker_pid() == worker
        server.wait_until_ready(30)
        assert server.post("/generate", {"prompt": "Say hello", "max_tokens": 4}).status == 200
