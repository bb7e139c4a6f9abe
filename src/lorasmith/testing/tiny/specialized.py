"""What no other family claims: answers cut out of a text, forecasts of a series. Data only."""

from __future__ import annotations

from lorasmith.testing.tiny._recipe import Part, Recipe
from lorasmith.testing.tiny.sizes import ENCODER

MODELS: dict[str, Recipe] = {
    "bert_answers": Recipe("bert", "BertForQuestionAnswering", ENCODER, Part("bert")),
    "time_series": Recipe(
        "time_series_transformer",
        "TimeSeriesTransformerForPrediction",
        {"prediction_length": 4, "context_length": 8, "lags_sequence": [1, 2], "d_model": 16, "num_time_features": 1},
    ),
}
