"""What transformers can run and no other family claims: table and extractive question answering, time series, proteins …"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorasmith.core.evidence import Evidence
from lorasmith.core.samples import ModelChanges
from lorasmith.families._base import BY_STRUCTURE, LEFT_OVER, Recognition, task_by_head
from lorasmith.families._transformers import TransformersFamily, read_processor, takes

_HEADS = {
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
    "ForPrediction": "time-series-forecasting",
    "ForTimeSeries": "time-series-forecasting",
    "ForProteinFolding": "protein-folding",
}


class Specialized(TransformersFamily):
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

    def processor(
        self, folder: Path, model: Any, *, trust_remote_code: bool = False, changes: ModelChanges | None = None,  # noqa: ARG002
    ) -> Any:  # fmt: skip
        """None for series of numbers."""
        if not {"input_ids", "pixel_values"} & set(takes(model)):
            return None
        kind = "AutoProcessor" if "pixel_values" in takes(model) else "AutoTokenizer"
        return read_processor(kind, folder, model, trust_remote_code=trust_remote_code)

    def probe(self, model: Any, processor: Any) -> str:
        from lorasmith.families._probes import QUESTION, TEXT, forecast, output_of, tokens

        if "past_values" in takes(model):
            return forecast(model)
        if "input_ids" not in takes(model):
            return super().probe(model, processor)
        output = output_of(model, tokens(model, processor, QUESTION, TEXT))
        if "start_logits" in output:
            return f"looked for an answer among {output['start_logits'].shape[-1]} tokens"
        return "read a pair of texts"


plugin = Specialized()
