"""GGUF: one file for llama.cpp and all that is built on it, read back by llama.cpp itself (EXP-2)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from lorasmith.core import paths, settings
from lorasmith.core.errors import EnvironmentProblem
from lorasmith.core.events import Step, Warn
from lorasmith.data.tokenizer import load_tokenizer
from lorasmith.engines import ENGINES
from lorasmith.engines.llama_cpp import server_command
from lorasmith.exports._base import Target, Wish
from lorasmith.exports._llama import said_by_llama
from lorasmith.exports._work import Written, compared, new_files, reported, written
from lorasmith.exports.parity import ParityReport, Said
from lorasmith.exports.spec import ExportReport
from lorasmith.hub.recognise import recognise_folder

USUAL = "q8_0"
OWN = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""What is written here; llama-quantize knows more."""
_WRITTEN = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
_CONVERTER, _QUANTIZER = "convert_hf_to_gguf.py", "llama-quantize"
_ADAPTERS_FORM = "f32"
_UNREAD_CURE = "--allow-mismatch writes it all the same."
_SHARES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 1.07}
"""Bytes for each parameter, nearly; others take less."""
_VOCABULARY = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "config.json",
)


def converter() -> Path | None:
    """llama.cpp's own converter, where it is in PATH or in the folder that LLAMA_CPP names."""
    named = os.environ.get("LLAMA_CPP")
    inside = Path(named).expanduser() / _CONVERTER if named else None
    found = shutil.which(_CONVERTER)
    return inside if inside and inside.is_file() else Path(found) if found else None


class Gguf(Target):
    name = "gguf"
    title = "GGUF for llama.cpp, Ollama, LM Studio and others"
    own_options = ("quantize", "adapter_only")

    def lacks(self, wish: Wish) -> str:
        if importlib.util.find_spec("gguf") is None:
            return "The package gguf is not installed. pip install 'lorasmith[gguf]'"
        if wish.spec.adapter_only and wish.adapter is None:
            return "No adapter is named: --adapter NAME."
        if wish.spec.adapter_only and wish.spec.quantize not in ("", _ADAPTERS_FORM):
            return f"An adapter alone is written in {_ADAPTERS_FORM}: leave --quantize out."
        quantize = wish.spec.quantize or USUAL
        if quantize not in OWN and not shutil.which(_QUANTIZER):
            return (
                f"{quantize} is made by {_QUANTIZER}, which is not in PATH: it comes with llama.cpp. "
                f"Without it: {', '.join(OWN)}."
            )
        if wish.facts.architecture not in _WRITTEN and converter() is None:
            return (
                f"{wish.facts.architecture} is none of {', '.join(_WRITTEN)}. Others are written by llama.cpp's {_CONVERTER}: "
                "put it into PATH, or name llama.cpp's folder: LLAMA_CPP=FOLDER."
            )
        unread = _unread(wish) if wish.spec.to == self.name and not wish.spec.allow_mismatch else ""
        return f"Nothing would tell whether it is the model that was trained. {unread} {_UNREAD_CURE}" if unread else ""

    def export(self, wish: Wish) -> ExportReport:
        return self.made(wish)[0]

    def made(self, wish: Wish) -> tuple[ExportReport, list[Said]]:
        """`export`, and what the trained model says to the prompts, for whoever else reads the file."""
        quantize = wish.spec.quantize or USUAL
        found: list[tuple[ExportReport, list[Said]]] = []

        def fill(folder: Path) -> None:
            found.append(self._adapter(wish, folder) if wish.spec.adapter_only else self._model(wish, folder, quantize))

        need = int(wish.facts.num_parameters * _SHARES.get(quantize, 1.0))
        new_files(wish.out, fill, need_bytes=need if quantize in OWN else need + 2 * wish.facts.num_parameters)
        return found[0]

    def _model(self, wish: Wish, folder: Path, quantize: str) -> tuple[ExportReport, list[Said]]:
        file = folder / f"{wish.gguf_stem}-{quantize.upper()}.gguf"
        made = self._written(wish, file, quantize)
        for name in _VOCABULARY:
            if (wish.facts.local_folder / name).is_file():
                shutil.copyfile(wish.facts.local_folder / name, folder / name)
        notes: list[str] = []
        parity = self._compared(wish, folder, made, form=quantize, notes=notes)
        return reported(wish, self.name, wish.out / file.name, folder, made, parity, notes), made.trained

    def _written(self, wish: Wish, file: Path, quantize: str) -> Written:
        """By the package gguf, or by llama.cpp's own tools from the merged model."""
        if wish.facts.architecture in _WRITTEN and quantize in OWN:
            return written(wish, "gguf", file, quantize=quantize)
        with TemporaryDirectory(dir=file.parent) as name:
            if wish.facts.architecture in _WRITTEN:
                plain = Path(name) / "plain.gguf"
                made = written(wish, "gguf", plain, quantize="f16")
            else:
                merged = Path(name) / "merged"
                merged.mkdir()
                made = written(wish, "merged", merged)
                plain = Path(name) / "plain.gguf"
                _run([sys.executable, str(converter()), str(merged), "--outfile", str(plain), "--outtype", "f16"])
            if quantize == "f16":
                plain.rename(file)
            else:
                wish.listener(Step(title="quantize", note=quantize))
                _run([_QUANTIZER, str(plain), str(file), quantize.upper()])
        return made

    def _adapter(self, wish: Wish, folder: Path) -> tuple[ExportReport, list[Said]]:
        """The adapter alone; it is tried on the base as GGUF, in fp32."""
        file = folder / f"{wish.gguf_stem}-lora.gguf"
        made = written(wish, "gguf_adapter", file)
        notes: list[str] = []
        with TemporaryDirectory(dir=folder) as name:
            base = Path(name) / "base"
            base.mkdir()
            written(wish, "gguf", base / "base.gguf", quantize=_ADAPTERS_FORM, adapter=False)
            for one in _VOCABULARY:
                if (wish.facts.local_folder / one).is_file():
                    shutil.copyfile(wish.facts.local_folder / one, base / one)
            parity = self._compared(wish, base, made, form=_ADAPTERS_FORM, notes=notes, adapter=folder)
        return reported(wish, self.name, wish.out / file.name, folder, made, parity, notes), made.trained

    def _compared(
        self, wish: Wish, folder: Path, made: Written, *, form: str, notes: list[str], adapter: Path | None = None
    ) -> ParityReport | None:  # fmt: skip
        if unread := _unread(wish):
            notes.append(f"It was not read back by llama.cpp. {unread}")
            wish.listener(Warn(message=notes[-1]))
            return None
        model = recognise_folder(folder)
        wish.listener(Step(title="compare", note="read back by llama.cpp"))
        exported = said_by_llama(
            model, wish.conversations, templated=_has_template(wish), max_new_tokens=wish.max_new_tokens,
            log=paths.make_folder(settings.load().logs_dir) / "export-llama.log", adapter=adapter,
        )  # fmt: skip
        return compared(wish, made._replace(exported=exported), form=form, reader="llama.cpp")


def _unread(wish: Wish) -> str:
    """Why llama.cpp cannot be asked what it makes of the file; empty where it can."""
    if not wish.conversations:
        return "Only models that write from text to text can be asked."
    if wish.facts.architecture_type == "encoder-decoder":
        return "llama.cpp's server does not answer for encoder-decoders."
    return "" if server_command() else ENGINES.get("llama_cpp").lacks(wish.facts)


def _has_template(wish: Wish) -> bool:
    return bool(load_tokenizer(wish.facts.local_folder, template=wish.template).template)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentProblem(
            f"{Path(command[0]).name} of llama.cpp failed", why=(done.stderr or done.stdout).strip()[-800:],
            fix="Its log says more; a newer llama.cpp may know this model.",
        )  # fmt: skip


plugin = Gguf()
