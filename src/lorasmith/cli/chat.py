"""`lorasmith chat`: talk to a model in the terminal."""

from __future__ import annotations

import sys
from typing import Any

import click

from lorasmith import flow
from lorasmith.cli.app import show_problem
from lorasmith.cli.options import DEVICE
from lorasmith.core.errors import UsageProblem
from lorasmith.data.examples import Message
from lorasmith.data.tokenizer import printable

_HELP = "/new forgets what was said, /quit ends; several lines: end each but the last with a backslash."


@click.command()
@click.argument("model")
@click.option("--adapter", default="", help="A training's folder or its name")
@click.option("--system", default="", help="What the model is told beforehand")
@click.option("--max-new-tokens", type=int, default=512, help="Tokens an answer, at most [512]")
@click.option("--temperature", type=float, default=0.0, help="0 is greedy; higher is more varied [0]")
@click.option("--template", default="", help="Chat template: chatml, alpaca or a jinja file")
@DEVICE
def command(
    model: str, adapter: str, system: str, max_new_tokens: int, temperature: float, template: str, device: str
) -> None:
    """Talk to MODEL, with or without an adapter; or to a server that runs: MODEL is then its address, http://127.0.0.1:8000."""
    with opened(model, adapter, template, device) as conversation:
        title = f"{model}{f' with {adapter}' if adapter else ''}"
        talk(conversation, title, system, max_new_tokens=max_new_tokens, temperature=temperature)


def talk(conversation: flow.Conversation | flow.RemoteConversation, title: str, system: str, **sampling: Any) -> None:
    """One answer after another to what the user types, until the end of it; `system` is what the model is told beforehand."""
    start: list[Message] = [{"role": "system", "content": system}] if system else []
    if sys.stdin.isatty():
        click.secho(f"{title}. {_HELP}", dim=True)
    messages = list(start)
    while (text := _ask()) is not None:
        if text in ("/quit", "/exit"):
            return
        if text == "/new":
            messages = list(start)
            continue
        if not text.strip():
            continue
        messages.append({"role": "user", "content": text})
        try:
            answer = conversation.answer(
                messages, on_text=lambda piece: click.echo(printable(piece), nl=False), **sampling
            )
        except UsageProblem as problem:
            show_problem(problem)
            messages = list(start)
            continue
        click.echo()
        messages.append({"role": "assistant", "content": answer["text"]})


def opened(model: str, adapter: str, template: str, device: str) -> flow.Conversation | flow.RemoteConversation:
    """A model here, or a server that runs, by its address."""
    if model.startswith(("http://", "https://")):
        return flow.RemoteConversation(model, adapter)
    return flow.Conversation(model, adapter, template=template, device=device)


def _ask() -> str | None:
    """What the user types next; None at the end."""
    lines: list[str] = []
    while True:
        try:
            line = input("› " if sys.stdin.isatty() and not lines else "")
        except EOFError:
            return "\n".join(lines) if lines else None
        if not line.endswith("\\"):
            return "\n".join([*lines, line])
        lines.append(line[:-1])
