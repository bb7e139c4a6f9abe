"""Judgements that were made before, by content. Failures are never kept, and a damaged file is as good as none."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from lorasmith.core import paths, settings
from lorasmith.evaluation.judges._base import Judge, Judgement, Question
from lorasmith.evaluation.judges._rubric import RUBRIC_VERSION


class Cache:
    """One file for each judgement, in home's cache folder."""

    def __init__(self, folder: Path | None = None):
        self._folder = folder or settings.load().cache_dir / "judgements"

    @staticmethod
    def key(judge: Judge, question: Question) -> str:
        """All that a judgement depends on."""
        parts = [RUBRIC_VERSION, *judge.identity, question.prompt, question.wanted, question.answer]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def get(self, key: str) -> Judgement | None:
        with contextlib.suppress(OSError, ValidationError):
            return Judgement.model_validate_json(self._path(key).read_bytes())
        return None

    def put(self, key: str, judgement: Judgement) -> None:
        """A full or read-only disk costs the next run a question, and this one nothing."""
        path = self._path(key)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            paths.write_text(path, judgement.model_dump_json(exclude={"score"}))

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key[2:]}.json"
