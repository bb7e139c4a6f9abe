"""A model in Ollama: GGUF, the chat template in Ollama's language, and its answers compared (EXP-3)."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from lorasmith.core import paths
from lorasmith.core.errors import DataProblem, LorasmithError, UsageProblem
from lorasmith.core.events import Listener, Step, Warn
from lorasmith.core.paths import read_json
from lorasmith.core.templates import START, STOP
from lorasmith.data.tokenizer import Tokenizer, load_tokenizer
from lorasmith.engines._base import GenerateRequest
from lorasmith.engines._sampling import own_defaults, sampling_of
from lorasmith.exports._base import Target, Wish
from lorasmith.exports._modelfile import Turns, modelfile, turns_of
from lorasmith.exports._work import require_equal
from lorasmith.exports.ollama import Ollama
from lorasmith.exports.parity import ParityReport, Said, TextRow, limit_of, num_sure
from lorasmith.exports.spec import ExportReport
from lorasmith.exports.targets import gguf

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(:[A-Za-z0-9._-]+)?")
_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md")
_ASKED = 5
"""So many prompts are asked of Ollama itself: it computes each alone."""
_MOST_CONTEXT = 8192
"""Tokens. What Ollama keeps of them is in memory from the start: a model of 8 billion parameters takes 1 GiB for these."""
FILE = "Modelfile"


class ToOllama(Target):
    name = "ollama"
    title = "A model in Ollama"
    own_options = ("quantize", "system")

    def lacks(self, wish: Wish) -> str:
        return gguf.plugin.lacks(wish)

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
        made, trained = gguf.plugin.made(wish)
        file = Path(made.place)
        wanted = _wanted(wish, tokenizer, turns)
        text = modelfile(
            file.name, wanted["template"], stops=wanted["parameters"]["stop"], system=wanted.get("system", ""),
            parameters={key: value for key, value in wanted["parameters"].items() if key != "stop"},
            licence=wanted.get("license", ""),
        )  # fmt: skip
        paths.write_text(file.parent / FILE, text)
        _require_same_prompts(wish, tokenizer, turns)
        digest = client.upload(file, wish.listener)
        with _on_trial(client, name, {"files": {file.name: digest}, **wanted}, wish.listener) as trial:
            parity = _compared(wish, client, trial, trained, made, tokenizer)
            client.copy(trial, name)
        place = f"{name} in Ollama at {client.url}"
        return made.model_copy(update={"target": self.name, "place": place, "parity": parity})


@contextlib.contextmanager
def _on_trial(client: Ollama, name: str, wanted: dict[str, Any], listener: Listener) -> Generator[str]:
    """The model under a name of its own for as long as it is tried, so that the user's of that name stays until it has passed."""
    trial = f"{name.partition(':')[0]}-trial-{secrets.token_hex(4)}"
    try:
        client.create(trial, wanted, listener)
        yield trial
    finally:
        with contextlib.suppress(LorasmithError):
            client.remove(trial)


def _wanted(wish: Wish, tokenizer: Tokenizer, turns: Turns) -> dict[str, Any]:
    """Template, parameters, system and licence, as Ollama's API takes them."""
    folder = wish.facts.local_folder
    ends = [tokenizer.encoder.id_to_token(one) for one in sorted(tokenizer.end_ids)]
    stops = list(dict.fromkeys([*filter(None, ends), *filter(None, [turns.user[0].strip()])]))
    licence = next((folder / one for one in _LICENCES if (folder / one).is_file()), None)
    system = wish.spec.system or turns.default_system
    return {
        "template": turns.template(), "parameters": {"stop": stops, **_parameters(folder, wish.facts.max_positions)},
        **({"system": system} if system else {}),
        **({"license": licence.read_text(encoding="utf-8", errors="replace")} if licence else {}),
    }  # fmt: skip


def _parameters(folder: Path, context: int | None) -> dict[str, int | float]:
    """Each said outright, as the model is served here: Ollama's own defaults draw, punish repetition and forget early."""
    asked = GenerateRequest(prompt_ids=[], max_tokens=0)
    own = sampling_of(asked, own_defaults(folder))
    return {
        "num_ctx": min(context or _MOST_CONTEXT, _MOST_CONTEXT), "temperature": own.temperature, "top_p": own.top_p,
        "top_k": own.top_k, "min_p": own.min_p, "repeat_penalty": own.repetition_penalty,
    }  # fmt: skip


def _require_same_prompts(wish: Wish, tokenizer: Tokenizer, turns: Turns) -> None:
    """Raises DataProblem where Ollama's template makes other prompts than the model learnt from, unless they are to be kept."""
    begin = tokenizer.bos if adds_bos(wish.facts.local_folder, tokenizer) else ""
    for talk in wish.conversations:
        wanted = tokenizer.render(talk, prompt=True).replace(START, "").replace(STOP, "")  # type: ignore[arg-type]
        own = begin + turns.render(talk)
        if own == wanted:
            continue
        what, why = "Ollama's template writes a prompt otherwise", _parting(wanted, own)
        if not wish.spec.allow_mismatch:
            raise DataProblem(what, why=why, fix="--allow-mismatch keeps it.")
        wish.listener(Warn(message=f"{what}: {why}."))
        return


def _compared(
    wish: Wish, client: Ollama, name: str, trained: Sequence[Said], made: ExportReport, tokenizer: Tokenizer
) -> ParityReport | None:  # fmt: skip
    """What Ollama says to the first prompts, beside what the trained model does; None where nothing could be asked.

    Raises DataProblem where it says nothing, or something else where the trained model was sure, unless that is to be kept.
    """
    asked = list(zip(wish.conversations, trained, strict=True))[:_ASKED]
    if not asked:
        return made.parity
    wish.listener(Step(title="compare", note="answered by Ollama"))
    told = [client.chat(name, talk, max_new_tokens=wish.max_new_tokens).strip() for talk, _ in asked]
    if not any(told) and any(said.text.strip() for _, said in asked):
        own = name.rpartition("-trial-")[0]
        raise DataProblem(
            f"'{own}' does not answer in Ollama, and is not kept there", why=f"{len(told)} prompts got no word back.",
            fix="See Ollama's log; --to gguf works without it.",
        )  # fmt: skip
    form = wish.spec.quantize or gguf.USUAL
    texts = [_text_row(said, text, tokenizer, form) for (_, said), text in zip(asked, told, strict=True)]
    if not any(row.trained for row in texts):
        wish.listener(
            Warn(
                message="The trained model is sure of no word that was asked for: Ollama's answers tell nothing of it."
            )
        )
    file = made.parity or ParityReport(form=form, limit=limit_of(form), reader="", rows=[])
    readers = " and ".join(filter(None, [file.reader, "Ollama"]))
    report = file.model_copy(update={"texts": texts, "reader": readers})
    require_equal(report, wish)
    return report


def _text_row(said: Said, told: str, tokenizer: Tokenizer, form: str) -> TextRow:
    sure = num_sure(said, form)
    is_whole = sure == len(said.chances)
    begun = tokenizer.encoder.decode(list(said.answer[:sure])).rstrip("\ufffd")  # a character may be cut
    return TextRow(prompt=said.prompt, trained=said.text if is_whole else begun, is_whole=is_whole, exported=told)


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
