"""What transformers can run and no other family claims: table and extractive question answering, time series, proteins …"""

from __future__ import annotations

from lorasmith.core.evidence import Evidence
from lorasmith.families._base import BY_STRUCTURE, LEFT_OVER, Family, Recognition, task_by_head

_HEADS = {
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
    "ForPrediction": "time-series-forecasting",
    "ForTimeSeries": "time-series-forecasting",
    "ForProteinFolding": "protein-folding",
}


class Specialized(Family):
    name = "specialized"
    title = "Other transformers models"
    tasks = (
        "question-answering",
        "table-question-answering",
        "time-series-forecasting",
        "reinforcement-learning",
        "other",
    )

    def recognise(self, evidence: Evidence) -> Recognition | None:
        if evidence.has("act_dim") and evidence.has("state_dim"):
            return Recognition(BY_STRUCTURE, "decoder-only", "reinforcement-learning", "states and actions go in")
        if not evidence.architectures or not evidence.model_type:
            return None
        kind = "encoder-decoder" if evidence.config.get("is_encoder_decoder") else "encoder-only"
        return Recognition(LEFT_OVER, kind, task_by_head(evidence, _HEADS) or "other", evidence.architectures[0])


plugin = Specialized()
