"""A model in Ollama: GGUF, the chat template in Ollama's language, and its answers compared (EXP-3)."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from lorasmith.core import paths
from lorasmith.core.errors import DataProblem, LorasmithError, UsageProblem
from lorasmith.core.paths import read_json
from lorasmith.core.templates import START, STOP
from lorasmith.data.tokenizer import Tokenizer, load_tokenizer
from lorasmith.exports import EXPORTS
from lorasmith.exports._base import Target, Wish
from lorasmith.exports._modelfile import Turns, modelfile, turns_of
from lorasmith.exports.ollama import Ollama
from lorasmith.exports.parity import ParityReport, ParityRow
from lorasmith.exports.spec import ExportReport

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(:[A-Za-z0-9._-]+)?")
_PARAMETERS = ("temperature", "top_p", "top_k", "min_p")
_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md")
_SMOKE_TOKENS = 32
FILE = "Modelfile"


class ToOllama(Target):
    name = "ollama"
    title = "A model in Ollama"

    def lacks(self, wish: Wish) -> str:
        if wish.spec.adapter_only:
            return "Ollama takes the merged model: leave --adapter-only out."
        return EXPORTS.get("gguf").lacks(wish)

    def export(self, wish: Wish) -> ExportReport:
        name = ollama_name(wish.spec.name or wish.name.lower())
        tokenizer = load_tokenizer(wish.facts.local_folder, template=wish.template)
        if not tokenizer.template:
            raise UsageProblem(
                "The model has no chat template", why="Ollama would not know how a conversation is written.",
                fix="Name the one that it was trained with: --template chatml.",
            )  # fmt: skip
        turns = turns_of(tokenizer, adds_bos=adds_bos(wish.facts.local_folder, tokenizer))
        client = Ollama()
        client.version()  # before minutes are spent on the file
        made = EXPORTS.get("gguf").export(wish)
        file = Path(made.place)
        wanted = self._wanted(wish, tokenizer, turns)
        text = modelfile(
            file.name, wanted["template"], stops=wanted["parameters"]["stop"], system=wanted.get("system", ""),
            parameters={key: value for key, value in wanted["parameters"].items() if key != "stop"},
            licence=wanted.get("license", ""),
        )  # fmt: skip
        paths.write_text(file.parent / FILE, text)
        digest = client.upload(file, wish.listener)
        client.create(name, {"files": {file.name: digest}, **wanted}, wish.listener)
        try:
            parity = self._compared(wish, client, name, tokenizer, turns)
        except LorasmithError:
            with contextlib.suppress(LorasmithError):
                client.remove(name)
            raise
        return made.model_copy(
            update={
                "target": self.name,
                "place": f"{name} in Ollama at {client.url}",
                "parity": _both(made.parity, parity),
            }
        )

    def _wanted(self, wish: Wish, tokenizer: Tokenizer, turns: Turns) -> dict[str, Any]:
        folder = wish.facts.local_folder
        own = read_json(folder / "generation_config.json")
        ends = [tokenizer.encoder.id_to_token(one) for one in sorted(tokenizer.end_ids)]
        stops = list(dict.fromkeys([*filter(None, ends), *filter(None, [turns.user[0].strip()])]))
        parameters: dict[str, Any] = {"stop": stops}
        parameters |= {name: own[name] for name in _PARAMETERS if isinstance(own.get(name), int | float)}
        licence = next((folder / one for one in _LICENCES if (folder / one).is_file()), None)
        system = wish.spec.system or turns.default_system
        return {
            "template": turns.template(), "parameters": parameters,
            **({"system": system} if system else {}),
            **({"license": licence.read_text(encoding="utf-8", errors="replace")} if licence else {}),
        }  # fmt: skip

    def _compared(self, wish: Wish, client: Ollama, name: str, tokenizer: Tokenizer, turns: Turns) -> list[ParityRow]:
        """What the template makes of the prompts, and that Ollama answers at all.

        Raises DataProblem where a prompt becomes another than the model was trained on, unless that is to be kept.
        """
        begin = tokenizer.bos if adds_bos(wish.facts.local_folder, tokenizer) else ""
        rows = [_row(talk, tokenizer, begin + turns.render(talk)) for talk in wish.conversations]
        wrong = next((row for row in rows if not row.same_ids), None)
        if wrong and not wish.spec.allow_mismatch:
            fix = "--allow-mismatch keeps it."
            raise DataProblem("Ollama's template writes a prompt otherwise", why=wrong.difference, fix=fix)
        if wish.conversations and not client.chat(name, wish.conversations[0], max_new_tokens=_SMOKE_TOKENS).get(
            "message"
        ):
            raise DataProblem(
                f"'{name}' does not answer in Ollama", fix="See Ollama's log; --to gguf works without it."
            )
        return rows


def _row(talk: list[dict[str, Any]], tokenizer: Tokenizer, own: str) -> ParityRow:
    wanted = tokenizer.render(talk, prompt=True).replace(START, "").replace(STOP, "")  # type: ignore[arg-type]
    same = own == wanted
    difference = "" if same else _parting(wanted, own)
    return ParityRow(
        prompt=str(talk[-1]["content"]), same_ids=same, same_answer=True, distance=0.0, difference=difference
    )


def _both(file: ParityReport | None, rows: list[ParityRow]) -> ParityReport | None:
    """The file's comparison, in which a prompt counts as equal where Ollama's template writes it equally, too."""
    if file is None:
        return None
    joined = [
        one.model_copy(
            update={"same_ids": one.same_ids and other.same_ids, "difference": one.difference or other.difference}
        )
        for one, other in zip(file.rows, rows, strict=True)
    ]
    return file.model_copy(update={"rows": joined, "reader": f"{file.reader}, and Ollama's template"})


def adds_bos(folder: Path, tokenizer: Tokenizer) -> bool:
    """Whether the begin token is put before any text, so that a template must not write it."""
    steps = read_json(folder / "tokenizer.json").get("post_processor") or {}
    single = next(
        (one["single"] for one in steps.get("processors", [steps]) if one.get("type") == "TemplateProcessing"), []
    )
    return bool(tokenizer.bos) and any(one.get("SpecialToken", {}).get("id") == tokenizer.bos for one in single)


def ollama_name(name: str) -> str:
    """Raises UsageProblem for what Ollama would not take."""
    if not _NAME.fullmatch(name):
        raise UsageProblem(
            f"'{name[:100]}' cannot be a model's name in Ollama",
            fix="Use small letters, digits, '.', '_' and '-', and a tag behind a colon: --name my-model:latest",
        )
    return name


def _parting(one: str, other: str) -> str:
    place = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    told = [f"'…{text[max(0, place - 20) : place + 20]}…'" for text in (one, other)]
    return f"{told[0]} as trained, and {told[1]} by the template"


plugin = ToOllama()
