"""What the doctor says of the libraries that workers need and of the programs that some verbs call. It imports none of them."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from lorasmith.core.errors import LorasmithError
from lorasmith.plan.doctor.finding import Finding, told
from lorasmith.plan.hardware import HardwareFacts
from lorasmith.plan.torch_build import installed_torch, mismatch
from lorasmith.runners.local import LIBRARIES, require_training_libraries

# Name, the commands by which it is known, and what it does.
_TOOLS = (
    ("uv", ("uv",), "makes environments quicker than pip"),
    ("git", ("git",), "fetches sources"),
    ("tesseract", ("tesseract",), "reads the text of scanned pages"),
    ("llama.cpp", ("llama-cli", "llama-server", "llama-quantize"), "makes and runs GGUF files"),
    ("ollama", ("ollama",), "runs exported models on a desktop"),
)


def libraries(machine: HardwareFacts) -> list[Finding]:
    """Whether they are there, recent enough, and torch built for the GPU."""
    versions = {name: _version(name) for name in LIBRARIES}
    try:
        require_training_libraries()
    except LorasmithError as problem:
        return [told("Libraries", "warning", problem, **versions)]
    old = [
        f"{name} {version} (it takes {_wanted(name)})" for name, version in versions.items() if _is_old(name, version)
    ]
    finding = Finding(
        topic="Libraries", what=", ".join(f"{name} {version}" for name, version in versions.items()), details=versions
    )
    if old:
        finding = Finding(
            topic="Libraries", level="warning", what=f"Too old: {', '.join(old)}", details=versions,
            fix="pip install --upgrade 'lorasmith[train]'",
        )  # fmt: skip
    return [finding, *_torch(machine)]


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def _wanted(library: str) -> str:
    """The versions that lorasmith's own metadata asks for, as `>=5`."""
    needs = [Requirement(line) for line in metadata.requires("lorasmith") or []]
    return next((str(need.specifier) for need in needs if need.name == library), "")


def _is_old(library: str, version: str) -> bool:
    return bool(version) and not Requirement(library + _wanted(library)).specifier.contains(version, prereleases=True)


def _torch(machine: HardwareFacts) -> list[Finding]:
    build = installed_torch()
    if build is None:
        return []
    details = {"version": build.version, "build": build.kind, "toolkit": build.toolkit}
    wrong = mismatch(build, machine.gpus[0]) if machine.gpus else None
    if wrong:
        return [Finding(topic="Torch", level="warning", what=wrong.what, why=wrong.why, fix=wrong.fix, details=details)]
    return [Finding(topic="Torch", what=f"{build}, right for this machine", details=details)]


def tools() -> list[Finding]:
    """Programs in PATH or beside this Python; all are optional."""
    search = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    findings: list[Finding] = []
    for name, commands, purpose in _TOOLS:
        place = next((found for command in commands if (found := shutil.which(command, path=search))), "")
        findings.append(
            Finding(
                topic=name, level="ok" if place else "note", what=place or f"not found; it {purpose}",
                details={"path": place, "purpose": purpose},
            )
        )  # fmt: skip
    return findings
