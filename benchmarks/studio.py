"""The studio under load: how quickly it answers while two hundred tasks tell of themselves to fifty pages, and what an upload costs it
(STU-10).

    python benchmarks/studio.py [--tasks 200] [--pages 50] [--seconds 30] [--upload-gb 5]

The tasks are rows of its database with files of events; one process stands for theirs: each says every two seconds that it is alive and how
far it is, through the same calls as a real one, and writes a step a second. A page holds the stream of all tasks and the stream of one, and
asks every two seconds for what pages ask for: the list, a task, its curve, the datasets. The streams are read by a process of their own. `one
page` are the same calls by one page, without streams. The upload is a file of examples sent from the same machine; memory is the server's resident set, looked at twenty times
a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import psutil

BEATING = """
import sys, time
from lorasmith.core import paths
from lorasmith.core.events import Metric, Writer
from lorasmith.store.database import Database, url_of
from lorasmith.studio.running import DATABASE_FILE
from lorasmith.studio.tasks import EVENTS_FILE, Tasks, folder_of
from lorasmith.store.tables import Task, now
count = int(sys.argv[1])
database = Database(url_of("", DATABASE_FILE))
tasks = Tasks(database)
with database.session() as session:
    made = [Task(task_name=f"run {n}", kind="train", base_model="demo", status="running", host="elsewhere", process=n + 1,
                 heartbeat=now(), started_at=now(), predicted={"steps": 100_000, "peak_bytes": 10**9}) for n in range(count)]
    session.add_all(made)
writers = [Writer(paths.make_folder(folder_of(task.id)) / EVENTS_FILE) for task in made]
print("ready", flush=True)
step = 0
while True:
    began = time.monotonic()
    for place, (task, writer) in enumerate(zip(made, writers)):
        for more in (1, 2):
            writer.send(Metric(step=step + more, values={"loss/train": 1 / (step + more), "learning_rate": 1e-4, "memory_bytes": 9e8}))
        tasks.beat(task.id, task.process, progress=min(100.0, step / 1000), measured={"step": step, "loss": 1 / (step + 1)})
        time.sleep(max(0.0, began + 2 * (place + 1) / count - time.monotonic()))
    step += 2
    print(time.monotonic() - began, flush=True)
"""


@contextlib.contextmanager
def studio(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    environment = os.environ | {"LORASMITH_HOME": str(home)}
    command = [sys.executable, "-m", "lorasmith", "studio", "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        url = next(found.group(1) for line in process.stdout or () if (found := re.search(r"page\s+(http\S+)", line)))
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{url}/api/health").status_code == 200:
                    break
            time.sleep(0.05)
        yield url, psutil.Process(process.pid)
    finally:
        process.kill()
        process.communicate()


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def told(name: str, seconds: list[float]) -> None:
    print(
        f"  {name:<28} {len(seconds):>6} calls  median {statistics.median(seconds) * 1e3:6.1f} ms  "
        f"p95 {quantile(seconds, 0.95) * 1e3:6.1f} ms  worst {max(seconds) * 1e3:6.1f} ms"
    )


async def calls(client: httpx2.AsyncClient, number: int, seconds: list[float]) -> None:
    for path in ("/api/tasks?limit=50", f"/api/tasks/{number}", f"/api/tasks/{number}/metrics", "/api/datasets"):
        began = time.perf_counter()
        answer = await client.get(path)
        seconds.append(time.perf_counter() - began)
        answer.raise_for_status()


async def listened(client: httpx2.AsyncClient, path: str, events: list[int]) -> None:
    async with client.stream("GET", path, timeout=None) as response:
        async for piece in response.aiter_bytes():
            events[0] += piece.count(b"data:")


async def _listeners(url: str, count: int, tasks: int) -> None:
    events = [0]
    async with httpx2.AsyncClient(base_url=url, trust_env=False, limits=httpx2.Limits(max_connections=None)) as client:
        paths = [
            path for _ in range(count) for path in ("/api/events", f"/api/tasks/{random.randint(1, tasks)}/events")
        ]
        streams = [asyncio.create_task(listened(client, path, events)) for path in paths]
        while True:
            before = events[0]
            await asyncio.sleep(5)
            print((events[0] - before) / 5, sum(not one.done() for one in streams), flush=True)


def listeners(url: str, count: int, tasks: int) -> None:
    """The streams of all pages, in a process of their own: what they cost is not the server's."""
    asyncio.run(_listeners(url, count, tasks))


async def page(url: str, tasks: int, seconds: list[float], until: float) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        await asyncio.sleep(random.uniform(0, 2))
        while time.monotonic() < until:
            await calls(client, random.randint(1, tasks), seconds)
            await asyncio.sleep(2)


async def pages(url: str, *, count: int, tasks: int, lasting: float) -> list[float]:
    seconds: list[float] = []
    until = time.monotonic() + lasting
    await asyncio.gather(*(page(url, tasks, seconds, until) for _ in range(count)))
    return seconds


def load(home: Path, tasks: int, count: int, lasting: float) -> None:
    with studio(home) as (url, process):
        first = httpx2.get(url, headers={"Accept-Encoding": "gzip"})
        print(
            f"first page                    {first.num_bytes_downloaded / 1e3:.1f} kB gzip, {first.elapsed.total_seconds() * 1e3:.0f} ms"
        )
        print("API, 4 calls by turns")
        environment = os.environ | {"LORASMITH_HOME": str(home)}
        beating = subprocess.Popen(
            [sys.executable, "-c", BEATING, str(tasks)], stdout=subprocess.PIPE, text=True, env=environment
        )
        if beating.stdout:
            beating.stdout.readline()
        try:
            told("one page", asyncio.run(pages(url, count=1, tasks=tasks, lasting=6)))
            command = [sys.executable, __file__, "--listen", url, "--pages", str(count), "--tasks", str(tasks)]
            listening = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            for _ in range(2):  # until all have come
                (listening.stdout or sys.stdin).readline()
            began, cpu = time.monotonic(), sum(process.cpu_times()[:2])
            told(f"{count} pages, {tasks} tasks", asyncio.run(pages(url, count=count, tasks=tasks, lasting=lasting)))
            share = (sum(process.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
            rate, streams = (listening.stdout or sys.stdin).readline().split()
            listening.kill()
            listening.communicate()
            print(
                f"  {float(rate):,.0f} events a second reach {streams} streams; the server takes {share:.2f} of a core, "
                f"{process.memory_info().rss / 1e6:.0f} MB"
            )
        finally:
            beating.kill()
            beating.communicate()


def upload(home: Path, size: float) -> None:
    row = b'{"question": "What is %09d and one?", "answer": "' + b"It is what comes after it, " * 36 + b'%09d"}\n'
    block = b"".join(row % (number, number + 1) for number in range(1_000))
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="large.jsonl"\r\n\r\n'

    async def body() -> AsyncIterator[bytes]:
        yield head
        sent = 0
        while sent < size * 1e9:
            yield block
            sent += len(block)
        yield b"\r\n--b--\r\n"

    async def send(url: str) -> tuple[httpx2.Response, float]:
        async with httpx2.AsyncClient(timeout=None, trust_env=False) as client:
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
            answer = await client.post(f"{url}/api/upload-dataset", content=body(), headers=headers)
            sent = time.perf_counter()
            while not (await client.get(f"{url}/api/datasets/1")).json()["is_read"]:
                await asyncio.sleep(0.5)
            return answer, sent

    with studio(home) as (url, process):
        before, peak, over = process.memory_info().rss, [0], threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                peak[0] = max(peak[0], process.memory_info().rss)

        threading.Thread(target=watch, daemon=True).start()
        began = time.perf_counter()
        answer, sent = asyncio.run(send(url))
        over.set()
        rows = httpx2.get(f"{url}/api/datasets/1").json()["num_rows"]
        print(
            f"upload of {size:g} GB              {sent - began:.0f} s ({answer.status_code}), read after another "
            f"{time.perf_counter() - sent:.0f} s ({rows:,} rows); ",
            end="",
        )
        print(f"server {before / 1e6:.0f} MB before, {peak[0] / 1e6:.0f} MB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--upload-gb", type=float, default=5)
    parser.add_argument("--listen", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.listen:
        listeners(args.listen, args.pages, args.tasks)
        return
    with tempfile.TemporaryDirectory() as folder:
        load(Path(folder), args.tasks, args.pages, args.seconds)
    if args.upload_gb:
        with tempfile.TemporaryDirectory() as folder:
            upload(Path(folder), args.upload_gb)


if __name__ == "__main__":
    main()
