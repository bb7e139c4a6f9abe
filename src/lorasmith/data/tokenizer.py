"""A model's tokenizer and chat template without transformers: `tokenizers` and a sandboxed jinja.

The worker renders with this very code, so what `data inspect` shows is what a training sees. It loads no model.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import tokenizers

from lorasmith.core.errors import DataProblem, NotFoundProblem, UsageProblem
from lorasmith.core.templates import compile_template, marks_answers, template_in
from lorasmith.data.examples import Message

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ALPACA = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
    "{% elif message['role'] == 'assistant' %}### Response:\n{{ message['content'] }}{{ eos_token }}\n\n"
    "{% else %}### Instruction:\n{{ message['content'] }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Response:\n{% endif %}"
)
TEMPLATES = {"chatml": CHATML, "alpaca": ALPACA}


@dataclass(frozen=True)
class Tokenizer:
    """`encoder` turns text into ids; `template` is the chat template's source or empty."""

    encoder: tokenizers.Tokenizer
    template: str
    bos: str
    eos: str
    pad: str
    folder: Path

    @cached_property
    def _compiled(self) -> jinja2.Template:
        try:
            return compile_template(self.template)
        except jinja2.TemplateSyntaxError as error:
            raise DataProblem(
                f"The chat template of '{self.folder.name}' is broken", why=f"Line {error.lineno}: {error.message}"
            ) from error

    @cached_property
    def special_ids(self) -> frozenset[int]:
        return frozenset(number for number, token in self.encoder.get_added_tokens_decoder().items() if token.special)

    @property
    def eos_id(self) -> int | None:
        return self.encoder.token_to_id(self.eos) if self.eos else None

    @property
    def pad_id(self) -> int:
        """The padding token; where there is none, the end token (padding is masked everywhere)."""
        pad = self.encoder.token_to_id(self.pad) if self.pad else None
        return pad if pad is not None else self.eos_id or 0

    @property
    def marks_answers(self) -> bool:
        """Whether the template says itself which parts are the model's."""
        return marks_answers(self.template)

    def render(self, messages: list[Message], *, prompt: bool = False) -> str:
        """The conversation as one text, with START and STOP where the template marks answers.

        `prompt` ends it where the model is to answer. Raises DataProblem where the template refuses.
        """
        try:
            return self._compiled.render(
                messages=messages, add_generation_prompt=prompt, bos_token=self.bos, eos_token=self.eos,
                pad_token=self.pad, tools=None, documents=None,
            )  # fmt: skip
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise DataProblem(
                f"The chat template of '{self.folder.name}' refuses a conversation: {error}", why=f"Its roles: {roles}."
            ) from error


def _token(value: Any) -> str:
    """A special token, which configurations write as a string or as an object."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DataProblem(f"'{path}' is broken JSON", why=f"{error}.") from error
    return value if isinstance(value, dict) else {}


def _template_of(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    return template_in(config) or template_in(_read(folder / "chat_template.json"))


def load_tokenizer(folder: Path, *, template: str = "") -> Tokenizer:
    """The tokenizer in a model's folder. `template` overrides its own: a built-in name or a file.

    Raises NotFoundProblem without tokenizer.json, DataProblem where it is damaged, UsageProblem for an unknown template.
    """
    file = folder / "tokenizer.json"
    if not file.exists():
        raise NotFoundProblem(
            f"There is no tokenizer.json in '{folder}'",
            fix="Save it with transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
        )
    try:
        encoder = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception
        raise DataProblem(f"'{file}' is no tokenizer", why=f"{error}.") from error
    encoder.no_truncation()
    encoder.no_padding()
    config = _read(folder / "special_tokens_map.json") | _read(folder / "tokenizer_config.json")
    return Tokenizer(
        encoder,
        _named_template(template) if template else _template_of(folder, config),
        bos=_token(config.get("bos_token")),
        eos=_token(config.get("eos_token")),
        pad=_token(config.get("pad_token")),
        folder=folder,
    )


def _named_template(name: str) -> str:
    if name in TEMPLATES:
        return TEMPLATES[name]
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageProblem(
            f"There is no chat template '{name}'", fix=f"Name a file, or one of: {', '.join(TEMPLATES)}."
        ) from error


def printable(text: str) -> str:
    """`text` without characters that would steer a terminal."""
    return "".join(char if char in "\n\t" or unicodedata.category(char) != "Cc" else "�" for char in text)
