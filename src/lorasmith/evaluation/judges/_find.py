"""From a judge's id to the judge: registered in the settings, a provider's own name, or a model of this machine."""

from __future__ import annotations

import os

from pydantic import BaseModel, SecretStr, ValidationError

from lorasmith.core import settings
from lorasmith.core.errors import UsageProblem
from lorasmith.core.registry import Registry, nearest
from lorasmith.core.settings import JudgeEntry, Settings
from lorasmith.evaluation.judges._base import Judge, JudgeKind, JudgeSpec, Limits

JUDGES: Registry[JudgeKind] = Registry("judges", "lorasmith.evaluation.judges", JudgeKind)  # type: ignore[type-abstract]
LOCAL = "local"


def get_judge(judge_id: str, known: Settings | None = None) -> Judge:
    """The judge of that id: a name of the table `judges` in the settings, a provider's own name (`gemini`, `anthropic` …), or
    either with a model (`gemini:gemini-2.5-pro`, `local:demo`, `local:/path/of/a/model`).

    Nothing is asked yet. Raises UsageProblem: unknown, with those known; without a key, with the variable to set; NotFoundProblem
    for a local model that is not there.
    """
    known = known or settings.load()
    name, _, model = judge_id.partition(":")
    entry = known.judges.get(name)
    if entry is None and name not in JUDGES.names():
        raise UsageProblem(
            f"There is no judge '{judge_id}'", why=nearest(judge_id, known_judges(known)),
            fix="Judges of your own are registered under 'judges' in the settings.",
        )  # fmt: skip
    entry = entry or JudgeEntry(kind=name)
    return _made(judge_id, entry.model_copy(update={"model": model}) if model else entry)


def known_judges(known: Settings | None = None) -> list[str]:
    """All ids that `get_judge` knows; of local models the form of the id."""
    known = known or settings.load()
    return [*known.judges, *(name for name in JUDGES.names() if name not in (*known.judges, LOCAL)), f"{LOCAL}:MODEL"]


def _made(judge_id: str, entry: JudgeEntry) -> Judge:
    if entry.kind not in JUDGES.names():
        raise UsageProblem(
            f"The judge '{judge_id}' is of the kind '{entry.kind}', which there is not",
            why=nearest(entry.kind, JUDGES.names()),
        )
    kind = JUDGES.get(entry.kind)
    # What belongs to the provider's own address goes nowhere else: not its key above all.
    is_own = not entry.base_url or entry.base_url == kind.base_url
    model = entry.model or (kind.model if is_own else "")
    if not model:
        raise UsageProblem(
            f"The judge '{judge_id}' names no model",
            fix=f"Write {judge_id.rstrip(':')}:MODEL, or 'model' beside its base_url in the settings.",
        )
    spec = JudgeSpec(
        id=judge_id, base_url=entry.base_url or kind.base_url, model=model,
        key=_key(judge_id, entry.key_env or (kind.key_variable if is_own else "")),
        limits=Limits.of(entry, answer_seconds=kind.answer_seconds), options=_options(judge_id, kind, entry),
    )  # fmt: skip
    return kind.make(spec)


def _key(judge_id: str, variable: str) -> SecretStr:
    """Raises UsageProblem that names the variable."""
    key = os.environ.get(variable, "").strip() if variable else ""
    if variable and not key:
        raise UsageProblem(
            f"The judge '{judge_id}' needs a key", why=f"The variable {variable} is not set.",
            fix=f"Set it:  export {variable}=…   The key is read from there and written nowhere.",
        )  # fmt: skip
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageProblem(
            f"The variable {variable} holds no key", why="A key has no blanks and no letters beyond ASCII."
        )
    return SecretStr(key)


def _options(judge_id: str, kind: JudgeKind, entry: JudgeEntry) -> BaseModel:
    try:
        return kind.options.model_validate(entry.options)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        is_unknown = problem["type"] == "extra_forbidden"
        raise UsageProblem(
            f"The option '{place}' of the judge '{judge_id}' is wrong",
            why=nearest(place, kind.options.model_fields) if is_unknown else f"{problem['msg']}.",
        ) from None
