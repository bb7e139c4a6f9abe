"""What a chat template can do, found by rendering it, in a process of its own with little memory and little time (SEC-2).

echo '{"template": "…"}' | python -m lorasmith.hub.probe
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

SECONDS = 3
MEMORY_BYTES = 2**30
MAX_TEMPLATE_CHARS = 200_000
MAX_RENDERED_CHARS = 1_000_000
_MARK = "qzxv"
_TOOL = {
    "type": "function",
    "function": {
        "name": _MARK, "description": "d",
        "parameters": {"type": "object", "properties": {"a": {"type": "string", "description": "d"}}, "required": ["a"]},
    },
}  # fmt: skip


class TemplateTrouble(ValueError):
    """The template cannot be rendered within the limits."""


def probe(template: str, tokens: Mapping[str, str]) -> dict[str, bool]:
    """Whether the template renders at all, takes a system message, takes tools. Raises TemplateTrouble."""
    if len(template) > MAX_TEMPLATE_CHARS:
        raise TemplateTrouble(f"it has {len(template):,} characters")
    question = json.dumps({"template": template, "tokens": dict(tokens)})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lorasmith.hub.probe"],
            input=question,
            capture_output=True,
            text=True,
            timeout=SECONDS + 5,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TemplateTrouble(f"it did not end within {SECONDS} s") from error
    if done.returncode:
        raise TemplateTrouble(
            done.stderr.strip().splitlines()[-1][:200]
            if done.stderr.strip()
            else f"it took more than {SECONDS} s or 1 GB"
        )
    return json.loads(done.stdout)


def _limit() -> None:
    """Take no more than the limits; what goes beyond ends this process and nothing else."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answers(template: str, tokens: Mapping[str, str]) -> dict[str, bool]:
    import jinja2

    from lorasmith.core.templates import compile_template

    compiled = compile_template(template)
    user = {"role": "user", "content": "hello"}

    def shows(messages: list[dict[str, Any]], tools: list[Any] | None = None) -> bool:
        try:
            text = compiled.render(messages=messages, tools=tools, documents=None, add_generation_prompt=True, **tokens)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError):
            return False
        if len(text) > MAX_RENDERED_CHARS:
            raise MemoryError
        return _MARK in text

    return {
        "renders": shows([{"role": "user", "content": _MARK}]),
        "system": shows([{"role": "system", "content": _MARK}, user]),
        "tools": shows([user], [_TOOL]),
    }


def main() -> None:
    question = json.load(sys.stdin)
    _limit()
    try:
        answers = _answers(question["template"], question["tokens"])
    except MemoryError:
        sys.exit("it asks for too much memory")
    except Exception as error:  # noqa: BLE001  whatever a stranger's template does
        sys.exit(f"{type(error).__name__}: {error}")
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
