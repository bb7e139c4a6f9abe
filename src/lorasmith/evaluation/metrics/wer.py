"""Word error rate."""

from __future__ import annotations

from lorasmith.evaluation._edits import ErrorRate


class WordErrors(ErrorRate):
    name = "wer"
    title = "Word errors"
    counted = "process_words"

    def length(self, text: str) -> int:
        return len(text.split())


plugin = WordErrors()
