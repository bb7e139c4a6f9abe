"""What a pickle would call if it were opened: read off its opcodes, so that nothing of it runs (SEC-2)."""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lorasmith.core.errors import UsageProblem

# What tensors and their containers are made of; all else is code that weights have no use for. Narrower than the list of
# torch.load(weights_only=True), which is asked again when the file is opened.
_HARMLESS = re.compile(
    r"""torch\.(?:\w+Storage|Size|device|dtype|Tensor|(?:u?int|float|bfloat|complex|bool|half|double|long)\w*)
    |torch\.storage\.\w*Storage|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_\w+|torch\.nn\.parameter\.(?:Uninitialized)?Parameter
    |torch\.serialization\._get_layout|collections\.(?:OrderedDict|defaultdict)|_codecs\.encode
    |numpy\.(?:dtype|ndarray|_?core\.multiarray\.(?:scalar|_reconstruct)|core\.numeric\._frombuffer)|numpy\.dtypes\.\w+
    |(?:builtins|__builtin__)\.(?:set|frozenset|dict|list|tuple|bytearray|bytes|int|float|complex|bool|str|slice|range)""",
    re.VERBOSE,
)
_UNKNOWN = "?"
_MOST_STREAMS = 64  # torch's format before 1.6 is a handful of pickles, one after another, then the numbers
_LARGEST_STREAM = 2**28


def require_harmless(path: Path, name: str) -> None:
    """Raises UsageProblem where the pickle in `path` would call anything but what tensors are made of, or cannot be followed."""
    try:
        called = sorted({call for stream in _streams(path) for call in _calls(stream) if not _HARMLESS.fullmatch(call)})
    except (ValueError, zipfile.BadZipFile, OSError, RecursionError) as error:
        raise UsageProblem(f"'{name}' is no pickle that can be read", why=f"{error}"[:200]) from error
    if called:
        raise UsageProblem(
            f"'{name}' is refused: opened, it would run code", why=f"It calls {', '.join(called[:5])}.",
            fix="Do not trust this repository. Look for one with safetensors.",
        )  # fmt: skip


def _streams(path: Path) -> Iterator[IO[bytes]]:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        pickles = [entry for entry in archive.infolist() if entry.filename.endswith(".pkl")]
        if not pickles:
            raise ValueError("its archive holds no data.pkl")
        for entry in pickles:
            if entry.file_size > _LARGEST_STREAM:
                raise ValueError(f"its {entry.filename} is of {entry.file_size:,} bytes")
            yield io.BytesIO(archive.read(entry))


def _calls(stream: IO[bytes]) -> Iterator[str]:
    """Every global that the pickles in `stream` name, as `module.name`."""
    for number in range(_MOST_STREAMS):
        start = stream.tell()
        try:
            yield from _globals(stream)
        except ValueError:
            if number == 0:
                raise
            stream.seek(start)
            return  # the numbers of the old format


def _globals(stream: IO[bytes]) -> Iterator[str]:
    """Where a name's two parts cannot be followed for certain, it counts as one that does harm."""
    pushed: list[str] = [_UNKNOWN, _UNKNOWN]  # what the last two opcodes that push have pushed
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in {"GLOBAL", "INST"}:
            yield str(argument).replace(" ", ".")
            pushed.append(_UNKNOWN)
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(pushed[-2:])
            pushed.append(_UNKNOWN)
        elif opcode.name in {"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"}:
            memo[len(memo) if opcode.name == "MEMOIZE" else int(str(argument))] = pushed[-1]
        elif opcode.name in {"GET", "BINGET", "LONG_BINGET"}:
            pushed.append(memo.get(int(str(argument)), _UNKNOWN))
        else:
            pushed.append(argument if isinstance(argument, str) else _UNKNOWN)
        del pushed[:-2]
