"""Loading an adapter while others are being answered (ADP-2, SRV-8): how long it takes, and how long the answers stand still.

    python benchmarks/adapter_load.py [--model demo|smollm2-135m] [--clients 4] [--loads 10]

Clients ask without a pause, each with an adapter of its own, and what is measured are the seconds from one piece of an answer to the
next. First nothing else happens; then an adapter is loaded, asked once and unloaded, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import httpx2
from models import build
from serve import END_TOKEN, PROMPT, make_adapters, ours

_QUIET_SECONDS = 15.0
_TOKENS = 128


class Traffic:
    """Clients that ask until they are told to end; `gaps` are the seconds between pieces since the last `take`."""

    def __init__(self, url: str, clients: int):
        self._url, self._clients, self._over = url, clients, asyncio.Event()
        self._gaps: list[float] = []

    async def __aenter__(self) -> Traffic:
        self._tasks = [asyncio.create_task(self._ask(number)) for number in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await asyncio.gather(*self._tasks)

    def take(self) -> list[float]:
        gaps, self._gaps = self._gaps, []
        return gaps

    async def _ask(self, number: int) -> None:
        body = {
            "model": f"a{number}", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": _TOKENS, "temperature": 0,
            "stream": True, "logit_bias": {END_TOKEN: -100.0},
        }  # fmt: skip
        async with httpx2.AsyncClient(timeout=600) as client:
            while not self._over.is_set():
                async with client.stream("POST", f"{self._url}/v1/chat/completions", json=body) as answer:
                    before = 0.0
                    async for line in answer.aiter_lines():
                        if not line.startswith("data: {"):
                            continue
                        now = time.perf_counter()
                        if before:
                            self._gaps.append(now - before)
                        before = now


async def measure(url: str, folder: Path, clients: int, loads: int) -> None:
    async with Traffic(url, clients) as traffic, httpx2.AsyncClient(timeout=600, base_url=url) as client:
        await asyncio.sleep(_QUIET_SECONDS / 3)
        traffic.take()
        await asyncio.sleep(_QUIET_SECONDS)
        quiet = traffic.take()
        seconds: list[float] = []
        for number in range(loads):
            name = f"late{number}"
            began = time.perf_counter()
            answer = await client.post(
                "/v1/load_lora_adapter", json={"lora_name": name, "lora_path": str(folder / "a7")}
            )
            answer.raise_for_status()
            seconds.append(time.perf_counter() - began)
            body = {"prompt": PROMPT, "adapter": name, "max_tokens": 4}
            (await client.post("/generate", json=body)).raise_for_status()
            (await client.post("/v1/unload_lora_adapter", json={"lora_name": name})).raise_for_status()
        busy = traffic.take()
    size = sum(file.stat().st_size for file in (folder / "a7").iterdir())
    print(
        f"loading an adapter of {size / 1e6:.1f} MB, {loads} times: median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s"
    )
    for name, gaps in (("nothing else", quiet), ("while loading", busy)):
        middle, worst = 1e3 * statistics.median(gaps), 1e3 * max(gaps)
        print(f"between two pieces, {name:<14}: median {middle:6.0f} ms, longest {worst:6.0f} ms, {len(gaps):,} pieces")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--loads", type=int, default=10)
    arguments = parser.parse_args()
    print(f"{arguments.model}, {arguments.clients} clients with an adapter each, fp32, CPU, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as temporary:
        os.environ.setdefault("LORASMITH_HOME", temporary)
        folder = Path(os.environ["LORASMITH_HOME"]) / "adapters"
        folder.mkdir(exist_ok=True)
        model = build(arguments.model, Path(temporary) / "model")
        options = make_adapters(model, folder)[: arguments.clients]
        with ours(model, options) as (url, _):
            asyncio.run(measure(url, folder, arguments.clients, arguments.loads))


if __name__ == "__main__":
    main()
