"""What every worker does around its job: quiet libraries, events, errors told as events, one exit code."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from lorasmith.core.errors import DoesNotFitProblem, EnvironmentProblem, LorasmithError
from lorasmith.core.events import Failure, Result, Writer
from lorasmith.plan.hardware import is_busy

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # malloc.h
_LARGEST_KEPT, _NEVER = 2**25, 2**31 - 1
_GIVEN_BACK_FROM = 2**20
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "cannot allocate memory")


def quiet_libraries(*, may_spin: bool = False) -> None:
    """Before torch and its friends are imported: no progress bars, no advice, no telemetry, no network.

    `may_spin`: whoever calls sees to it that threads which wait do not starve other processes.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # Idle threads that spin are a third quicker on small models, and starve other processes where there are any: two
    # trainings at once would take eight times as long (docs/lab-log.md).
    if not may_spin and is_busy():
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.filterwarnings("ignore")


def give_blocks_back() -> None:
    """Have glibc return every freed block of 1 MiB and more to the system at once: less memory for more time.

    Left alone it keeps them, and before glibc 2.38 wastes a third of what it holds (docs/lab-log.md). Elsewhere than on glibc
    nothing happens.
    """
    _mallopt({_M_MMAP_THRESHOLD: _GIVEN_BACK_FROM, _M_TRIM_THRESHOLD: _GIVEN_BACK_FROM})


def keep_blocks() -> None:
    """Have glibc keep what is freed for what comes next, up to its own limit of 32 MiB for a block.

    Left alone it returns every step's activations to the system, which hands them out again page by page, zeroed: on a virtual
    machine that can take longer than the step's arithmetic (docs/lab-log.md). The peak stays what it is.
    """
    _mallopt({_M_MMAP_THRESHOLD: _LARGEST_KEPT, _M_TRIM_THRESHOLD: _NEVER})


def _mallopt(options: Mapping[int, int]) -> None:
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        for option, value in options.items():
            library.mallopt(option, value)


def limit_memory(room_bytes: int) -> None:
    """Let this process take `room_bytes` beyond what it has now, on Linux: what is more fails with an error that can be handled,
    where the system would end the process, or another one, without a word."""
    if sys.platform == "linux":
        held = psutil.Process().memory_info().data
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (held + max(0, room_bytes), hard))


def unlimit_memory() -> None:
    """Take the limit away again."""
    if sys.platform != "linux":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def end_with_parent() -> None:
    """End this process within a second of the one that started it, however that ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def as_problem(error: Exception) -> LorasmithError:
    """`error` as something a user can be told."""
    if isinstance(error, LorasmithError):
        return error
    if is_out_of_memory(error):
        return DoesNotFitProblem(
            "Memory ran out", why=str(error).split("\n", 1)[0],
            fix="Take fewer rows at a time (--batch-size 1), shorter rows (--max-length 256) or a lower rank (--lora-r 8).",
        )  # fmt: skip
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return EnvironmentProblem(
            "The disk is full", why=f"{error}.", fix="Make room, or name another place for what is written."
        )
    return LorasmithError(f"{type(error).__name__}: {error}", fix="This is a defect; the traceback is in the log.")


def run_job(job: Callable[[str, Writer], dict[str, Any] | None], events_path: Callable[[str], Path]) -> None:
    """Run `job(spec text, events)` for the spec file named on the command line and end the process.

    What `job` returns is sent as the result; None where it has sent its results itself.
    """
    quiet_libraries()
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    events = Writer(events_path(text))
    try:
        value = job(text, events)
    except Exception as error:  # noqa: BLE001  everything must reach the user as an event
        problem = as_problem(error)
        traceback.print_exc()
        events.send(Failure(error=problem.as_dict(), traceback=traceback.format_exc()))
        sys.exit(problem.exit_code)
    if value is not None:
        events.send(Result(value=value))
    # Libraries' threads may hold the interpreter back at exit; all that matters has been flushed.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
