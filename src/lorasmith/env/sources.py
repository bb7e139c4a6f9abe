"""Where packages come from: what pip is set up with here holds for uv too; else torch's own index for this machine's GPU."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import NamedTuple

from lorasmith.plan.accelerators import GpuFacts
from lorasmith.plan.torch_build import TORCH_INDEX, backend_for

_OWN_SOURCES = ("index-url", "extra-index-url", "find-links")


class Sources(NamedTuple):
    """Where packages come from. Without any address: PyPI, and torch's own index for `torch_backend`."""

    main_index: str = ""
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    torch_backend: str = ""

    def for_uv(self) -> list[str]:
        """As uv's options; of several places the best version counts, as with pip."""
        if self.torch_backend:
            return ["--torch-backend", self.torch_backend]
        options = ["--default-index", self.main_index] if self.main_index else []
        options += [part for url in self.extra_indexes for part in ("--index", url)]
        options += [part for place in self.find_links for part in ("--find-links", place)]
        return [*options, "--index-strategy", "unsafe-best-match"] if options else []

    def for_pip(self) -> list[str]:
        """What pip does not know by its own configuration."""
        return (
            ["--extra-index-url", f"{TORCH_INDEX}/{self.torch_backend}"]
            if self.torch_backend not in {"", "auto"}
            else []
        )


def configured_sources() -> Sources:
    """What pip would ask, by its files and variables. Whoever set them up decides where packages come from."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found: dict[str, str] = {}
    for line in told.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in _OWN_SOURCES:  # files first, then variables, which win
            found[key] = str(ast.literal_eval(value))
    return Sources(
        found.get("index-url", ""),
        tuple(found.get("extra-index-url", "").split()),
        tuple(found.get("find-links", "").split()),
    )


def sources_for(gpu: GpuFacts | None) -> Sources:
    """The places that pip is set up with; where there are none, PyPI and torch's build for the GPU, or for the CPU."""
    configured = configured_sources()
    if configured != Sources() or not sys.platform.startswith("linux"):
        return configured
    return Sources(torch_backend=backend_for(gpu))
