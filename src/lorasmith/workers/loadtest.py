"""The load test: the model as it was installed, in its own environment, makes one real call of its family (INS-8)."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorasmith.core.errors import DoesNotFitProblem, EnvironmentProblem, LorasmithError
from lorasmith.core.events import Progress, Warn, Writer
from lorasmith.env.spec import LoadTestSpec
from lorasmith.families import FAMILIES
from lorasmith.families._transformers import untrusted
from lorasmith.plan.hardware import resident_peak_bytes, where_to_run
from lorasmith.workers.runtime import is_out_of_memory, run_job

NOT_LOADED = "The model cannot be loaded"
NOT_CALLED = "The model was loaded, and its first call failed"
# How libraries say in an ImportError that another one is missing.
_MISSING = re.compile(
    r"No module named '([\w.-]+)'|requires the ([\w.-]+) library|pip3? install (?:-\S+ )*['\"]?([\w.-]+)|install ([\w.-]+) to use"
)
_SHOWN = 3


def load_test(text: str, events: Writer) -> dict[str, Any]:
    """Load the model of a LoadTestSpec and call it once.

    Raises EnvironmentProblem (a package is missing, files cannot be read, the call fails), DoesNotFitProblem, UsageProblem (the
    model runs code of its own that is not trusted).
    """
    spec = LoadTestSpec.model_validate_json(text)
    family = FAMILIES.get(spec.family)
    dtype = where_to_run(spec.device)["precision"] if spec.dtype == "auto" else spec.dtype
    started = time.perf_counter()
    with _problems(NOT_LOADED, spec.model_folder):
        model = family.load(
            spec.model_folder, dtype=dtype, device=spec.device, quantization=spec.quantization,
            trust_remote_code=spec.trust_remote_code,
        )  # fmt: skip
        processor = family.processor(spec.model_folder, model, trust_remote_code=spec.trust_remote_code)
    loaded = time.perf_counter()
    events.send(Progress(stage="load", done=1, total=1, unit="model"))
    if made_up := getattr(model, "made_up_weights", []):
        shown = ", ".join(made_up[:_SHOWN]) + (" …" if len(made_up) > _SHOWN else "")
        events.send(
            Warn(message=f"Weights that are not in the model's files were drawn at random ({len(made_up)}): {shown}")
        )
    import torch

    torch.manual_seed(0)  # what a model draws at random is the same every time
    with _problems(NOT_CALLED, spec.model_folder):
        call = family.probe(model, processor)
    called = time.perf_counter()
    if not call:
        events.send(Warn(message=f"How a {type(model).__name__} is called is not known here: it was loaded only"))
    return {
        "call": f"{call} in {called - loaded:.1f} s" if call else f"was loaded in {loaded - started:.1f} s",
        "load_seconds": loaded - started,
        "call_seconds": called - loaded,
        "peak_memory_bytes": _peak_bytes(spec.device),
        "class": type(model).__name__,
        "dtype": dtype,
    }


def _peak_bytes(device: str) -> int:
    import torch

    return torch.cuda.max_memory_allocated() if device == "cuda" else resident_peak_bytes()


@contextlib.contextmanager
def _problems(what: str, folder: Path) -> Iterator[None]:
    """Whatever a library raises within it, as a problem that a user can act on."""
    try:
        yield
    except LorasmithError:
        raise
    except Exception as error:
        raise _problem(what, error, folder) from error


def _problem(what: str, error: Exception, folder: Path) -> LorasmithError:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no word of why")
    why = f"{type(error).__name__}: {line[:300]}"
    if is_out_of_memory(error):
        return DoesNotFitProblem(
            "The model does not fit into memory",
            why=why,
            fix="Take a smaller model, or load it with smaller numbers: --quantization 4bit.",
        )
    if isinstance(error, ImportError):
        return _missing_package(what, error, why)
    if "trust_remote_code" in str(error):
        return untrusted(folder)
    return EnvironmentProblem(what, why=why, fix="The traceback is in the log.")


def _missing_package(what: str, error: ImportError, why: str) -> EnvironmentProblem:
    found = _MISSING.search(str(error))
    named = next(filter(None, found.groups()), "") if found else ""
    package = (named or error.name or "").split(".")[0].lower()
    if not package or importlib.util.find_spec(package):
        return EnvironmentProblem(f"{what}: a package is missing or of another version than it needs", why=why)
    return EnvironmentProblem(f"{what}: a package is missing: {package}", why=why, fix=f"pip install {package}")


if __name__ == "__main__":
    # Whoever opens a pickle, the code of a model included, reads tensors out of it and nothing else (SEC-2).
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    run_job(load_test, lambda text: Path(json.loads(text)["events_path"]))
