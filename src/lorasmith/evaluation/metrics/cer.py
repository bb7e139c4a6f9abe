"""Character error rate."""

from __future__ import annotations

from lorasmith.evaluation._edits import ErrorRate


class CharacterErrors(ErrorRate):
    name = "cer"
    title = "Character errors"
    counted = "process_characters"

    def length(self, text: str) -> int:
        return len(text)


plugin = CharacterErrors()
