"""Recordings and what is said in them."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, RowProblem, text_of
from lorasmith.data.media import AUDIO_ENDINGS, AUDIO_KEYS, audio_of, ending

_TEXT = ("text", "sentence", "transcription", "transcript", "normalized_text")
_OTHERS = frozenset({"label", "messages", "conversations"})


class AudioText(Format):
    name = "audio-text"
    title = "folder of recordings with a .txt beside each, or JSONL/CSV with audio (a file's name) and text"
    example = '{"audio": "clips/1.wav", "text": "good morning"}'
    objectives = ()

    def claims(self, row: dict[str, Any]) -> bool:
        named = [row.get("file_name"), row.get("path")]
        has_audio = any(isinstance(name, str) and ending(name) in AUDIO_ENDINGS for name in named)
        has_audio = has_audio or any(key in row for key in AUDIO_KEYS)
        return has_audio and any(key in row for key in _TEXT) and _OTHERS.isdisjoint(row)

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        audio, text = audio_of(row), text_of(row, *_TEXT)
        if not audio:
            raise RowProblem("'audio' names no file")
        if not text.strip():
            raise RowProblem("the text of the recording is empty")
        return [Example(line, text=text, audio=audio)]


plugin = AudioText()
