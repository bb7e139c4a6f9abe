"""`lorasmith generate`: one answer to one prompt, or one for each line of standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import click

from lorasmith import flow
from lorasmith.cli.options import DEVICE
from lorasmith.core.errors import UsageProblem
from lorasmith.data.examples import Message
from lorasmith.data.tokenizer import printable


@click.command()
@click.argument("model")
@click.option("--prompt", "-p", default="", help="What to answer [each line of standard input]")
@click.option("--adapter", default="", help="A training's folder or its name")
@click.option("--system", default="", help="What the model is told beforehand")
@click.option("--max-new-tokens", type=int, default=512, help="Tokens an answer, at most [512]")
@click.option("--temperature", type=float, default=0.0, help="0 is greedy; higher is more varied [0]")
@click.option("--seed", type=int, default=None, help="Seed of the sampling")
@click.option("--template", default="", help="Chat template: chatml, alpaca or a jinja file")
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="One JSON object a prompt, with token counts")
def command(
    model: str, prompt: str, adapter: str, system: str, max_new_tokens: int, temperature: float, seed: int | None,
    template: str, device: str, as_json: bool,
) -> None:  # fmt: skip
    """Answer a prompt with MODEL, with or without an adapter."""
    if not prompt and sys.stdin.isatty():
        raise UsageProblem("There is no prompt", fix="Give one with --prompt, or a line each on standard input.")
    start: list[Message] = [{"role": "system", "content": system}] if system else []
    with flow.Conversation(model, adapter, template=template, device=device) as conversation:
        for text in [prompt] if prompt else _lines():
            answer = conversation.answer(
                [*start, {"role": "user", "content": text}], max_new_tokens=max_new_tokens, temperature=temperature,
                seed=seed,
            )  # fmt: skip
            click.echo(json.dumps(answer, ensure_ascii=False) if as_json else printable(answer["text"]))


def _lines() -> Iterator[str]:
    for line in sys.stdin:
        if line.strip():
            yield line.rstrip("\n")
