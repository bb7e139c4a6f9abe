"""The model with the adapter merged into it: a folder of safetensors that any program loads (ADP-3)."""

from __future__ import annotations

from pathlib import Path

from lorasmith.exports._base import Target, Wish
from lorasmith.exports._work import compared, reported, whole_folder, written
from lorasmith.exports.spec import ExportReport

_READ_BACK = (
    "Only models that write texts can be asked. The files were read back: all weights are those of base and adapter."
)

_UNREAD = (
    "Nothing was compared: only models that write texts can be asked, and --allow-mismatch leaves the weights unread."
)


class Merged(Target):
    name = "merged"
    title = "Safetensors with the adapter merged in"
    own_options = ("dequantize",)

    def export(self, wish: Wish) -> ExportReport:
        found: list[ExportReport] = []

        def fill(folder: Path) -> None:
            made = written(wish, "merged", folder)
            parity = compared(wish, made, form=wish.facts.stored_dtype, reader="transformers")
            notes = [] if parity else [_UNREAD if wish.spec.allow_mismatch else _READ_BACK]
            found.append(reported(wish, self.name, wish.out, folder, made, parity, notes))

        whole_folder(wish.out, fill, need_bytes=wish.facts.weight_bytes)
        return found[0]


plugin = Merged()
