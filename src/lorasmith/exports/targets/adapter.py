"""The adapter alone, as PEFT's folder: for whoever has the base."""

from __future__ import annotations

from pathlib import Path

from lorasmith.exports._base import Target, Wish
from lorasmith.exports._work import compared, reported, sizes, whole_folder, written
from lorasmith.exports.parity import EXACT
from lorasmith.exports.spec import ExportReport

_COPIED = "Only models that write texts can be asked: these are the adapter's own files, byte for byte."


class AdapterFolder(Target):
    name = "adapter"
    title = "The adapter alone"

    def lacks(self, wish: Wish) -> str:
        return "" if wish.adapter else "No adapter is named: --adapter NAME."

    def export(self, wish: Wish) -> ExportReport:
        found: list[ExportReport] = []

        def fill(folder: Path) -> None:
            made = written(wish, "adapter", folder)
            parity = compared(wish, made, form=EXACT, reader="PEFT")
            found.append(reported(wish, self.name, wish.out, folder, made, parity, [] if parity else [_COPIED]))

        whole_folder(wish.out, fill, need_bytes=2 * sum(sizes(wish.adapter or wish.out).values()))
        return found[0]


plugin = AdapterFolder()
