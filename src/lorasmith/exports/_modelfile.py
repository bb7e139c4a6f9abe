"""A chat template as Ollama's: from Jinja, which may compute anything, to Go's text/template, of what is the same in every turn.

The template is rendered with marked contents; what stands between the marks is what a role begins and ends with. Whether that is
the whole truth is tried on other conversations: a template that says more than that is refused (EXP-3).

https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx, https://github.com/ollama/ollama/blob/main/docs/template.mdx
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lorasmith.core.errors import UsageProblem
from lorasmith.core.templates import START, STOP
from lorasmith.data.tokenizer import Tokenizer

_S, _U, _A, _V = "\ue101Ss", "\ue102Uu", "\ue103Aa", "\ue104Vv"
_TRIED: tuple[tuple[tuple[str, str], ...], ...] = (
    (("user", "Hello there"),),
    (("system", "Be brief."), ("user", "Why?")),
    (("user", "a"), ("assistant", "b"), ("user", "c")),
    (("system", "x\ny"), ("user", "1 {} %"), ("assistant", "2"), ("user", "3"), ("assistant", "4"), ("user", "5")),
)


class Turns(NamedTuple):
    """What stands around each role's words."""

    begin: str
    system: tuple[str, str] | None
    """None where a system's words stand before the first user's."""
    user: tuple[str, str]
    assistant: tuple[str, str]
    prompt: str
    """Before the answer."""
    default_system: str

    def render(self, talk: Sequence[Mapping[str, Any]]) -> str:
        """What Ollama makes of a conversation."""
        turns = [(str(one["role"]), str(one["content"])) for one in talk]
        if self.default_system and turns[0][0] != "system":
            turns.insert(0, ("system", self.default_system))
        parts = [self.begin]
        folded = ""
        for role, content in turns:
            if role == "system" and self.system is None:
                folded = f"{content}\n\n"
                continue
            before, after = {"system": self.system or ("", ""), "user": self.user}.get(role, self.assistant)
            parts += [before, folded if role == "user" else "", content, after]
            folded = "" if role == "user" else folded
        return "".join([*parts, self.prompt])

    def template(self) -> str:
        """As Go's text/template."""
        user = f"{_literal(self.user[0])}{{{{ .Content }}}}{_literal(self.user[1])}"
        if self.system is None:
            first = '{{ if and $.System (le $i 1) }}{{ $.System }}{{ "\\n\\n" }}{{ end }}'
            user = f"{_literal(self.user[0])}{first}{{{{ .Content }}}}{_literal(self.user[1])}"
        branches = [("user", user), ("assistant", "{{ .Content }}".join(map(_literal, self.assistant)))]
        if self.system is not None:
            branches.insert(0, ("system", "{{ .Content }}".join(map(_literal, self.system))))
        told = "{{ else ".join(f'if eq .Role "{role}" }}}}{text}' for role, text in branches)
        loop = f"{{{{ range $i, $m := .Messages }}}}{{{{ {told}{{{{ end }}}}{{{{ end }}}}"
        return f"{_literal(self.begin)}{loop}{_literal(self.prompt)}"


def turns_of(tokenizer: Tokenizer, *, adds_bos: bool) -> Turns:
    """Of the tokenizer's chat template. `adds_bos`: whether the begin token is put before a text anyway.

    Raises UsageProblem where turns are not written the same way throughout, which Ollama's templates could not say.
    """
    try:
        found = _turns(tokenizer, adds_bos=adds_bos)
    except ValueError as error:
        raise _inexpressible(str(error)) from None
    for tried in _TRIED:
        talk: Any = [{"role": role, "content": content} for role, content in tried]
        if found.render(talk) != _rendered(tokenizer, talk, prompt=True, adds_bos=adds_bos):
            raise _inexpressible(f"A conversation of {len(talk)} turns is written otherwise than its turns one by one.")
    return found


def _rendered(tokenizer: Tokenizer, talk: Any, *, prompt: bool, adds_bos: bool) -> str:
    text = tokenizer.render(talk, prompt=prompt).replace(START, "").replace(STOP, "")
    return text.removeprefix(tokenizer.bos) if adds_bos and tokenizer.bos else text


def _inexpressible(why: str) -> UsageProblem:
    return UsageProblem(
        "This chat template cannot be said in Ollama's language", why=why,
        fix="Take GGUF with llama.cpp's server, which reads the template itself: --to gguf. Or train with --template chatml.",
    )  # fmt: skip


def _turns(tokenizer: Tokenizer, *, adds_bos: bool) -> Turns:
    """Raises ValueError where a part does not stand where the others say."""

    def render(*talk: tuple[str, str], prompt: bool = False) -> str:
        messages: Any = [{"role": role, "content": content} for role, content in talk]
        return _rendered(tokenizer, messages, prompt=prompt, adds_bos=adds_bos)

    before_u, to_a, to_v, _ = _parts(render(("user", _U), ("assistant", _A), ("user", _V)), _U, _A, _V)
    after_u = _parts(render(("user", _U)), _U)[1]
    after_a = _parts(render(("user", _U), ("assistant", _A)), _U, _A)[2]
    prompt = _without(_parts(render(("user", _U), prompt=True), _U)[1], after_u, "the end of a user's turn")
    before_a = _without(to_a, after_u, "the end of a user's turn")
    user = _without(to_v, after_a, "the end of an answer")
    if not before_u.endswith(user):
        raise ValueError("The first turn begins otherwise than later ones.")
    begin = before_u.removesuffix(user) if user else before_u
    own = tokenizer.bos if tokenizer.bos and begin.startswith(tokenizer.bos) else ""
    system, default = None, begin[len(own) :]
    if not tokenizer.drops_system:
        before_s, to_u, _ = _parts(render(("system", _S), ("user", _U)), _S, _U)
        if not to_u.endswith(user) or not before_s.startswith(own):
            raise ValueError("A system's words are not a turn of their own.")
        system = (before_s[len(own) :], to_u.removesuffix(user) if user else to_u)
        if default:
            if not (default.startswith(system[0]) and default.endswith(system[1])):
                raise ValueError(f"Every conversation begins with '{default[:60]}'.")
            default = default[len(system[0]) : len(default) - len(system[1])]
    elif default:
        own, default = begin, ""
    return Turns(own, system, (user, after_u), (before_a, after_a), prompt, default)


def _parts(text: str, *marks: str) -> list[str]:
    """What stands before, between and behind the marks. Raises ValueError."""
    found: list[str] = []
    for mark in marks:
        before, there, text = text.partition(mark)
        if not there or mark in text:
            raise ValueError("A turn's words are left out, changed or written twice.")
        found.append(before)
    return [*found, text]


def _without(text: str, start: str, what: str) -> str:
    if not text.startswith(start):
        raise ValueError(f"{what[0].upper()}{what[1:]} depends on what follows.")
    return text[len(start) :]


def _literal(text: str) -> str:
    """Text that stands for itself in a Go template."""
    return text.replace("{{", '{{ "{{" }}') if "{{" in text else text


def modelfile(
    file: str, template: str, *, stops: Sequence[str], parameters: Mapping[str, Any], system: str, licence: str
) -> str:  # fmt: skip
    """The file that `ollama create` reads."""
    lines = [f"FROM ./{file}", _block("TEMPLATE", template)]
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops]
    lines += [f"PARAMETER {name} {value}" for name, value in parameters.items()]
    lines += [_block("SYSTEM", system)] if system else []
    lines += [_block("LICENSE", licence)] if licence else []
    return "\n".join(lines) + "\n"


def _block(word: str, text: str) -> str:
    """Raises UsageProblem for a text that ends the block by itself."""
    if '"""' in text:
        raise UsageProblem(f"{word} of the Modelfile cannot hold three quotation marks", why=f"It is: {text[:200]}")
    return f'{word} """{text}"""'
