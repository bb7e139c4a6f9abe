"""`lorasmith extract`: what stands on pages, as fields."""

from __future__ import annotations

import json

import click

from lorasmith import flow
from lorasmith.cli.options import DEVICE
from lorasmith.data.tokenizer import printable


@click.command()
@click.argument("model")
@click.argument("files", nargs=-1, required=True)
@click.option("--adapter", default="", help="A training's folder or its name")
@click.option("--prompt", default="", help="What the model was trained to be asked: a task prompt, a question")
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="One JSON object a page, with boxes and confidence")
def command(model: str, files: tuple[str, ...], adapter: str, prompt: str, device: str, as_json: bool) -> None:
    """Read pictures or PDF FILES with the document model MODEL: Donut, TrOCR, LayoutLM."""
    with flow.Extractor(model, adapter, device=device) as extractor:
        for file in files:
            for page in extractor.read(file, prompt=prompt):
                if as_json:
                    click.echo(json.dumps({"file": file, **page}, ensure_ascii=False))
                    continue
                said = json.dumps(page["fields"], ensure_ascii=False, indent=2) if page["fields"] else page["text"]
                click.echo(printable(f"{file}, page {page['page']} ({page['confidence']:.0%} sure)\n{said}"))
