"""What in a repository could do harm, said before a byte of it is fetched: code, pickles, templates, file names."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from lorasmith.core.errors import UsageProblem
from lorasmith.core.evidence import Evidence
from lorasmith.core.templates import template_in
from lorasmith.hub.weights import Weights, is_pickle

# Keys by which a configuration has other code run than the library's: CVE-2026-4372
# (`_attn_implementation_internal`), CVE-2026-5241
# (nested `trust_remote_code`), CVE-2026-22807 (`auto_map`), CVE-2026-44513 (a pipeline's own components).
_CODE_KEYS = (
    "auto_map",
    "trust_remote_code",
    "custom_pipelines",
    "_attn_implementation_internal",
    "attn_implementation_internal",
    "hub_kernels",
)
_MAX_LOOPS = 8
_MAX_DEPTH = 64
_SHOWN = 3
_MAX_PART_BYTES = 255  # of a name between two slashes: what file systems take


class Finding(BaseModel):
    """One thing to know before the files are fetched. `danger` ones are refused without the user's word."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["note", "danger"]
    what: str
    where: str


def safety_of(evidence: Evidence, weights: Weights) -> list[Finding]:
    """Findings of one repository, the dangerous ones first."""
    found = [*_names(evidence.files), *_code(evidence), *_pickles(evidence, weights), *_templates(evidence)]
    return sorted(found, key=lambda finding: finding.level != "danger")


_REASONS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("a backslash", lambda name: "\\" in name),
    ("a control character", lambda name: any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in name)),
    (
        "a sign that turns the direction of text",
        lambda name: any("\u202a" <= sign <= "\u202e" or "\u2066" <= sign <= "\u2069" for sign in name),
    ),
    ("an absolute path", lambda name: name.startswith("/") or name[1:2] == ":"),
    ("a step out of its folder", lambda name: any(part in {"", ".", ".."} for part in name.split("/"))),
    ("a sign that is no text", lambda name: any("\ud800" <= sign <= "\udfff" for sign in name)),
    (
        f"a part of more than {_MAX_PART_BYTES} bytes",
        lambda name: any(len(part.encode(errors="surrogatepass")) > _MAX_PART_BYTES for part in name.split("/")),
    ),
)


def bad_name(name: str) -> str:
    """Why a repository's file name must not be written to disk; empty where it may."""
    return next((reason for reason, is_so in _REASONS if is_so(name)), "")


def require_safe_names(names: Collection[str]) -> None:
    """Raises UsageProblem where a repository's file names could lead out of their folder, or two of them to one place."""
    places: dict[str, str] = {}
    for name in names:
        if reason := bad_name(name):
            raise _refused(name, f"It has {reason}.")
        place = _place(name)
        if place in places:
            raise _refused(name, f"On many disks it is the same file as {_shown(places[place])}.")
        places[place] = name
    for name in names:
        for folder in PurePosixPath(_place(name)).parents:
            if str(folder) in places:
                raise _refused(name, f"Its folder is named like the file {_shown(places[str(folder)])}.")


def _place(name: str) -> str:
    """What a disk that knows neither case nor forms of Unicode takes a name for."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shown(name: str) -> str:
    return ascii(name)[:120]


def _refused(name: str, why: str) -> UsageProblem:
    return UsageProblem(
        f"The repository holds a file named {_shown(name)}, which is refused", why=why,
        fix="Nothing was written. Tell the repository's owner, and do not trust it.",
    )  # fmt: skip


def _names(files: Mapping[str, int]) -> Iterator[Finding]:
    for name in files:
        if reason := bad_name(name):
            yield Finding(level="danger", what=f"a file name with {reason}", where=_shown(name))


def _code(evidence: Evidence) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for document, content in {evidence.config_file: evidence.config, **evidence.documents}.items():
        for path, key, value in _walk(content):
            if key in _CODE_KEYS and value and (document, key) not in seen:
                seen.add((document, key))
                yield Finding(level="danger", what=f"asks for code to be run: {path}", where=document)
            elif isinstance(value, str) and key.endswith("implementation") and "/" in value:
                yield Finding(
                    level="danger",
                    what=f"asks for a kernel from another repository: {path} = {value[:80]}",
                    where=document,
                )
    index = evidence.document("model_index.json")
    for part, value in index.items():
        named = value[0] if isinstance(value, list) and value else None
        if isinstance(named, str) and named not in {
            "diffusers",
            "transformers",
            "onnxruntime",
            "stable_diffusion",
            "optimum",
        }:
            yield Finding(
                level="danger",
                what=f"the component '{part}' is code of the repository: {named}",
                where="model_index.json",
            )


def _walk(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, str, Any]]:
    """Every key with its path and value."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else str(key)
            yield here, str(key), inner
            yield from _walk(inner, here, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict | list):
                yield from _walk(inner, path, depth + 1)


def _pickles(evidence: Evidence, weights: Weights) -> Iterator[Finding]:
    pickles = sorted(name for name in evidence.files if is_pickle(name))
    if not pickles:
        return
    shown = ", ".join(pickles[:_SHOWN]) + (f" and {len(pickles) - _SHOWN} more" if len(pickles) > _SHOWN else "")
    if weights.form == "pickle":
        yield Finding(
            level="danger",
            what="its weights are pickles, which can hold code; they are scanned and read with weights_only",
            where=shown,
        )
    else:
        yield Finding(level="note", what="holds pickles beside safer files; they are not fetched", where=shown)


def _templates(evidence: Evidence) -> Iterator[Finding]:
    for name in ("tokenizer_config.json", "processor_config.json"):
        template = template_in(evidence.document(name))
        if template.count("{% for") + template.count("{%- for") > _MAX_LOOPS or "range(" in template.replace(" ", ""):
            yield Finding(level="note", what="the chat template loops a lot; it is rendered with limits", where=name)
