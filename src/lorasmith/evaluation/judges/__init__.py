"""Models that mark answers (EVA-3). One file per provider."""

from __future__ import annotations

from lorasmith.evaluation.judges._base import (
    Judge,
    JudgeKind,
    Judgement,
    JudgeSpec,
    JudgeTrouble,
    Limits,
    Message,
    Question,
    Reply,
)
from lorasmith.evaluation.judges._find import JUDGES, get_judge, known_judges
from lorasmith.evaluation.judges._judgements import Failure, Judgements
from lorasmith.evaluation.judges._panel import judged, judged_async

__all__ = [
    "JUDGES", "Failure", "Judge", "JudgeKind", "JudgeSpec", "JudgeTrouble", "Judgement", "Judgements", "Limits", "Message",
    "Question", "Reply", "get_judge", "judged", "judged_async", "known_judges",
]  # fmt: skip
