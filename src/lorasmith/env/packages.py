"""Which packages a model's environment gets, and what to do about those that are hard to install (INS-6)."""

from __future__ import annotations

from typing import NamedTuple

from lorasmith.core.errors import EnvironmentProblem
from lorasmith.env.environment import Environment, own_requirements
from lorasmith.env.records import Quantization
from lorasmith.hub.requirements import Requirements
from lorasmith.plan.hardware import HardwareFacts


class Packages(NamedTuple):
    """Names as pip takes them. `skipped` has a sentence for each that this machine has no use for."""

    ordinary: list[str]
    special: list[str]
    optional: list[str]
    skipped: list[str]


class NeedsHand(EnvironmentProblem):
    """A package that a person has to install; the environment waits for it."""


def packages_for(needs: Requirements, machine: HardwareFacts, quantization: Quantization) -> Packages:
    """What this model needs on this machine, lorasmith's own needs among the ordinary ones."""
    has_cuda = machine.device == "cuda"
    every = [*needs.base, *needs.specific, *needs.optional]
    for_cuda = [one for one in every if one.kind == "kernels" or "requires CUDA" in one.note]
    left_out = [] if has_cuda else [one for one in for_cuda if one.kind in {"kernels", "optional"}]
    kept = [one for one in every if one not in left_out]
    ordinary = [one.package for one in kept if one.kind == "ordinary"]
    extra = ["bitsandbytes"] if quantization != "none" else []
    return Packages(
        ordinary=list(dict.fromkeys([*ordinary, *extra, *own_requirements()])),
        special=[one.package for one in kept if one.kind in {"special", "kernels"}],
        optional=[one.package for one in kept if one.kind == "optional"],
        skipped=[f"{one.package} is left out: there is no CUDA GPU; the model does without" for one in left_out],
    )


def cure(package: str, environment: Environment, model: str) -> NeedsHand:
    """The numbered way to a package that has to be compiled."""
    steps = [
        "Is there a CUDA compiler?  nvcc --version   (if not: the CUDA toolkit of your driver's version, from NVIDIA)",
        "Build tools, on Debian and Ubuntu:  sudo apt install build-essential ninja-build python3-dev"
        "   on macOS:  xcode-select --install",
        f"Install it into this model's environment:  {environment.manual_command(package)}",
        f"Go on:  lorasmith install {model}",
    ]
    return NeedsHand(
        f"'{package}' could not be installed by itself: it is compiled on this machine",
        why="The model needs it. Everything else of its environment is ready and waits.",
        fix="\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1)),
    )
