"""Making a spec out of what a user gave: a wrong field is named as the option that it is."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lorasmith.core.errors import UsageProblem
from lorasmith.core.registry import nearest

S = TypeVar("S", bound=BaseModel)


def make_spec(kind: type[S], **fields: Any) -> S:
    """A spec of that kind. Raises UsageProblem naming the option that is wrong, or the nearest known one."""
    try:
        return kind(**fields)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            raise UsageProblem(f"There is no option '{name}'", fix=nearest(name, kind.model_fields)) from None
        option = "--" + name.replace("_", "-")
        raise UsageProblem(f"{option} {problem['input']!r} is wrong", why=f"{problem['msg']}.") from None
