"""The model with the adapter merged into it: a folder of safetensors that any program loads (ADP-3)."""

from __future__ import annotations

from pathlib import Path

from lorasmith.exports._base import Target, Wish
from lorasmith.exports._work import compared, reported, whole_folder, written
from lorasmith.exports.spec import ExportReport

_NOT_COMPARED = "Nothing was asked of both models: only texts can be, so far."


class Merged(Target):
    name = "merged"
    title = "Safetensors with the adapter merged in"

    def export(self, wish: Wish) -> ExportReport:
        found: list[ExportReport] = []

        def fill(folder: Path) -> None:
            made = written(wish, "merged", folder)
            parity = compared(wish, made, form=wish.facts.stored_dtype, reader="transformers")
            notes = [] if parity else [_NOT_COMPARED]
            found.append(reported(wish, self.name, wish.out, folder, made, parity, notes))

        whole_folder(wish.out, fill, need_bytes=wish.facts.weight_bytes)
        return found[0]


plugin = Merged()
