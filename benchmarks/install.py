"""Installations: what the second model with the same libraries costs, and what hashing costs a download.

    python benchmarks/install.py

Prints two tables. Models come from `lorasmith.testing.hub` on this machine; packages from where pip is set up to find them. The
home, and with it the store of packages, is a new folder that is removed in the end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from lorasmith.hub.download import download
from lorasmith.hub.repository import open_repository
from lorasmith.testing.hub import HubServer

LARGE_FILES, LARGE_BYTES = 4, 256 * 2**20
MB = 10**6


def used(folder: Path) -> int:
    """Bytes of disk of all files in `folder`, each counted once however many names it has."""
    blocks = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            status = (Path(parent) / name).lstat()
            blocks[status.st_ino] = status.st_blocks * 512
    return sum(blocks.values())


def installations(hub: HubServer, home: Path) -> None:
    print("| installation | seconds | disk MB | of these files of the model MB | packages |")
    print("|---|--:|--:|--:|--:|")
    environment = os.environ | {"LORASMITH_HOME": str(home), "HF_ENDPOINT": hub.url, "LORASMITH_MIN_DISK_SPACE_GB": "0"}
    environment.pop("UV_CACHE_DIR", None)
    before = 0
    for title, arguments in (
        ("first model, load test and all", ["acme/first"]),
        ("second model, the same libraries", ["acme/second"]),
        ("second model again, without load test", ["acme/third", "--no-test"]),
    ):
        started = time.perf_counter()
        command = [sys.executable, "-m", "lorasmith", "install", *arguments, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        seconds, info, now = time.perf_counter() - started, json.loads(done.stdout), used(home)
        print(
            f"| {title} | {seconds:.1f} | {(now - before) / MB:.1f} | {info['model_bytes'] / MB:.1f} | {len(info['versions'])} |",
            flush=True,
        )
        before = now


def downloads(url: str, home: Path) -> None:
    """Verified downloads beside bare ones of the same bytes by the same number of connections."""
    import httpx2

    repository = open_repository("acme/large", only_hub=True)
    names = [name for name in repository.files if name.endswith(".safetensors")]

    def bare(name: str) -> None:
        address = f"{url}/acme/large/resolve/main/{name}"
        with httpx2.stream("GET", address, follow_redirects=True) as answer, (home / name).open("wb") as file:
            for piece in answer.iter_bytes(2**20):
                file.write(piece)

    times: dict[str, list[float]] = {"verified": [], "bare": []}
    for _ in range(3):
        started = time.perf_counter()
        download(repository, names, home / "target", keep=home / "keep", workers=4)
        times["verified"].append(time.perf_counter() - started)
        threads = [threading.Thread(target=bare, args=(name,)) for name in names]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        times["bare"].append(time.perf_counter() - started)
        shutil.rmtree(home / "target")
    verified, plain = (sorted(times[kind])[1] for kind in ("verified", "bare"))
    total = LARGE_FILES * LARGE_BYTES / MB
    print(
        f"\n| download of {LARGE_FILES} × {LARGE_BYTES / MB:.0f} MB over loopback, 4 side by side | seconds | MB/s |\n|---|--:|--:|"
    )
    print(f"| verified by SHA-256 | {verified:.2f} | {total / verified:.0f} |")
    print(f"| the same bytes to disk, unverified | {plain:.2f} | {total / plain:.0f} |")
    print(f"\nratio {verified / plain:.2f}")


def main() -> None:
    if sys.argv[1:2] == ["--downloads"]:
        downloads(sys.argv[2], Path(sys.argv[3]))
        return
    from lorasmith.testing import tiny

    with tempfile.TemporaryDirectory() as name:
        root, home = Path(name) / "hub", Path(name) / "home"
        home.mkdir()
        for model in ("first", "second", "third"):
            tiny.build("llama", root / "acme" / model)
        large = root / "acme" / "large"
        large.mkdir()
        (large / "config.json").write_text("{}")
        for number in range(LARGE_FILES):
            (large / f"model-{number}.safetensors").write_bytes(os.urandom(LARGE_BYTES))
        with HubServer(root) as hub:
            installations(hub, home)
            # The Hub's client reads its address once, when it is imported, and building models has imported it here.
            command = [sys.executable, __file__, "--downloads", hub.url, str(home)]
            subprocess.run(command, env=os.environ | {"HF_ENDPOINT": hub.url}, check=True)


if __name__ == "__main__":
    main()
