"""What the server adds to the engine, and what shared batches win: one client and sixteen, with eight adapters (SRV-13).

    python benchmarks/serve.py [--model demo|smollm2-135m] [--tokens 64] [--rounds 5] [--flood 0]
                               [--transformers] [--llama-server PROGRAM --gguf FILE]

Greedy, every answer exactly so many tokens, as a stream over /v1/chat/completions. `generate` is transformers' own in a process of its
own with as many threads. One client: bare and server by turns, so that a machine whose pace changes changes both; the ratio is the
median of the rounds' ratios. `one by one` are the sixteen requests in turn. Other servers get the same requests, without adapters.
`--flood N` asks N short requests and prints the memory of both processes on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import psutil
from models import build

from lorasmith.engines._child_process import free_port

PROMPT = "Copy this text: bread and milk from the shop at the corner, two of each, please."
CLIENTS, ADAPTERS = 16, 8
_REST_SECONDS = 0.2  # the threads of `generate` spin for a while after it
END_TOKEN = "2"  # noqa: S105  of the demo model's tokenizer: never written here
BARE = """
import sys, time, torch, lorasmith.workers; from pathlib import Path
from lorasmith.workers.runtime import quiet_libraries; quiet_libraries()
from lorasmith.families import FAMILIES
from lorasmith.data.tokenizer import load_tokenizer; from lorasmith.data.render import prompt_ids
folder = Path(sys.argv[1])
model = FAMILIES.get('language').load(folder, dtype='float32', device='cpu')
ids = torch.tensor([prompt_ids([{'role': 'user', 'content': sys.argv[2]}], load_tokenizer(folder))])
for line in sys.stdin:
    count, began = int(line), time.perf_counter()
    with torch.inference_mode():
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)
    print(time.perf_counter() - began, flush=True)
"""
MAKE_ADAPTERS = """
import sys, warnings, peft, torch; warnings.simplefilter('ignore')
from pathlib import Path
from lorasmith.families import FAMILIES
for number in range(int(sys.argv[3])):
    base = FAMILIES.get('language').load(Path(sys.argv[1]), dtype='float32', device='cpu')
    torch.manual_seed(number)
    config = peft.LoraConfig(r=8 if number % 2 else 16, target_modules='all-linear', task_type='CAUSAL_LM')
    wrapped = peft.get_peft_model(base, config)
    [w.data.normal_(0, 0.02) for n, w in wrapped.named_parameters() if 'lora_B' in n]
    wrapped.save_pretrained(Path(sys.argv[2]) / f'a{number}', save_embedding_layers=False)
"""


class Answer(NamedTuple):
    """Seconds until the first piece and until the end; tokens as the server counts them."""

    first: float
    whole: float
    tokens: int


class Bare:
    """`model.generate` in a process of its own."""

    def __init__(self, folder: Path):
        command = [sys.executable, "-c", BARE, str(folder), PROMPT]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, tokens: int) -> float:
        if not (self._process.stdin and self._process.stdout):
            raise RuntimeError("no pipes")
        print(tokens, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def make_adapters(model: Path, folder: Path) -> list[str]:
    """Eight LoRA adapters with random weights, of two ranks."""
    command = [sys.executable, "-c", MAKE_ADAPTERS, str(model), str(folder), str(ADAPTERS)]
    subprocess.run(command, check=True, capture_output=True)
    return [f"--adapter=a{number}={folder / f'a{number}'}" for number in range(ADAPTERS)]


@contextlib.contextmanager
def ours(model: Path, options: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Its address and process id."""
    command = [sys.executable, "-m", "lorasmith", "serve", str(model), "--port", "0", "--no-browser", *options]
    with running(command, stdout=subprocess.PIPE) as process:
        url = next(found[0] for line in process.stdout or () if (found := re.findall(r"page +(http://\S+)", line)))
        wait_for(f"{url}/health")
        yield url, process.pid


@contextlib.contextmanager
def theirs(command: list[str]) -> Iterator[str]:
    """The address of another server, whose command lacks its port."""
    port = free_port()
    with running([*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health")
        yield url


@contextlib.contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def wait_for(url: str) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(url).status_code == 200:
                return
        time.sleep(0.2)
    raise TimeoutError(url)


async def ask(url: str, tokens: int, model: str) -> Answer:
    """One streamed answer. A client of few lines, since what it takes of the cores is missing to the server."""
    began, first, count = time.perf_counter(), 0.0, 0
    body = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": tokens, "temperature": 0, "stream": True,
         "stream_options": {"include_usage": True}, "logit_bias": {END_TOKEN: -100.0}}
    )  # fmt: skip
    host = url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.rsplit(":", 1))
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    async for line in reader:
        if not first and re.search(rb'"(reasoning_)?content": ?"[^"]', line):
            first = time.perf_counter() - began
        elif b'"usage"' in line and (found := re.search(rb'"completion_tokens": ?(\d+)', line)):
            count = int(found[1])
        if line.startswith(b"data: [DONE]"):
            break
    writer.close()
    if not first:
        raise RuntimeError(f"{url} gave no answer")
    return Answer(first, time.perf_counter() - began, count)


async def one_client(bare: Bare, url: str, tokens: int, rounds: int, model: str = "base") -> dict[str, float]:
    """Of `generate` and the server, by turns."""
    bare.seconds(4)
    await ask(url, 4, model)
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        first, whole = bare.seconds(1), bare.seconds(tokens)
        await asyncio.sleep(_REST_SECONDS)
        answer = await ask(url, tokens, model)
        pace = answer.tokens / answer.whole
        found.append(
            {"bare first": first, "bare": whole, "first": answer.first, "pace": pace, "of bare": pace * whole / tokens}
        )
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


async def many(url: str, tokens: int, rounds: int, models: Sequence[str]) -> tuple[float, float]:
    """Tokens per second of these requests one by one (0 where there is one model only), and together."""
    turns, together = [0.0], []
    for _ in range(rounds):
        if len(set(models)) > 1:
            began = time.perf_counter()
            counts = [(await ask(url, tokens, model)).tokens for model in models]
            turns.append(sum(counts) / (time.perf_counter() - began))
        began = time.perf_counter()
        answers = await asyncio.gather(*(ask(url, tokens, model) for model in models))
        together.append(sum(answer.tokens for answer in answers) / (time.perf_counter() - began))
    return statistics.median(turns[1:] or turns), statistics.median(together)


async def flood(url: str, pid: int, count: int) -> None:
    """Short requests of 64 clients; memory at every tenth."""
    gate, done = asyncio.Semaphore(64), 0
    print(f"memory, MB (server + engine), over {count:,} requests: {memory(pid)}", end="", flush=True)
    async with httpx2.AsyncClient(timeout=600) as client:

        async def one(number: int) -> None:
            nonlocal done
            async with gate:
                body = {"prompt": f"Say {number}", "max_tokens": 4, "adapter": f"a{number % ADAPTERS}"}
                response = await client.post(f"{url}/generate", json=body)
                response.raise_for_status()
                done += 1
                if done % max(1, count // 10) == 0:
                    print(f", {memory(pid)}", end="", flush=True)

        await asyncio.gather(*(one(number) for number in range(count)))
    print()


def memory(pid: int) -> str:
    process = psutil.Process(pid)
    return " + ".join(f"{one.memory_info().rss / 1e6:,.0f}" for one in [process, *process.children()])


def others(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[str]]]:
    if arguments.transformers:
        program = str(Path(sys.executable).parent / "transformers")
        # With --continuous-batching it answers 500 where there is no GPU (transformers 5.23).
        yield "transformers serve", [program, "serve", str(folder), "--dtype", "float32", "--port"]
    if arguments.llama_server:
        threads = str(psutil.cpu_count(logical=False))
        options = ["-t", threads, "-np", str(CLIENTS), "-c", str(512 * CLIENTS)]
        yield "llama-server", [arguments.llama_server, "-m", arguments.gguf, *options, "--port"]


def line(name: str, pace: float, first: float = 0, note: str = "") -> None:
    shown = f"{first * 1e3:>10.1f}" if first else " " * 10
    print(f"{name:<46}{pace:>9,.0f}{shown}  {note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flood", type=int, default=0)
    parser.add_argument("--transformers", action="store_true", help="transformers' own server too")
    parser.add_argument("--llama-server", default="", help="llama.cpp's server too")
    parser.add_argument("--gguf", default="", help="the same model for it")
    arguments = parser.parse_args()
    tokens, rounds = arguments.tokens, arguments.rounds
    print(f"{arguments.model}, {tokens} tokens an answer, medians of {rounds}, fp32, CPU, {os.cpu_count()} cores")
    print(f"{'':<46}{'tokens/s':>9}{'first ms':>10}  ratio")
    with tempfile.TemporaryDirectory() as temporary:
        os.environ.setdefault("LORASMITH_HOME", temporary)
        model = build(arguments.model, Path(temporary) / "model")
        options = make_adapters(model, Path(temporary))
        bare = Bare(model)
        with contextlib.closing(bare), ours(model, options) as (url, pid):
            told = asyncio.run(one_client(bare, url, tokens, rounds))
            line("generate", tokens / told["bare"], told["bare first"])
            line("server, one client", told["pace"], told["first"], f"{told['of bare']:.2f} of generate")
            turns, together = asyncio.run(many(url, tokens, rounds, [f"a{n % ADAPTERS}" for n in range(CLIENTS)]))
            line(f"server, {CLIENTS} requests, {ADAPTERS} adapters, one by one", turns)
            line(f"server, {CLIENTS} clients, {ADAPTERS} adapters", together, 0, f"{together / turns:.1f} × one by one")
            line(f"server, {CLIENTS} clients, base", asyncio.run(many(url, tokens, rounds, ["base"] * CLIENTS))[1])
            if arguments.flood:
                asyncio.run(flood(url, pid, arguments.flood))
        for name, command in others(arguments, model):
            bare = Bare(model)
            with contextlib.closing(bare), theirs(command) as url:
                told = asyncio.run(one_client(bare, url, tokens, rounds, str(model)))
                line(f"{name}, one client", told["pace"], told["first"], f"{told['of bare']:.2f} of generate")
                line(f"{name}, {CLIENTS} clients", asyncio.run(many(url, tokens, rounds, [str(model)] * CLIENTS))[1])


if __name__ == "__main__":
    main()
