"""Which metrics an evaluation takes: those that are named, else what suits a file's right answers."""

from __future__ import annotations

import importlib.util
import json
import statistics
from collections.abc import Sequence

from lorasmith.evaluation._base import Metric
from lorasmith.evaluation.metrics import AUTO, METRICS, metrics_of
from lorasmith.evaluation.spec import EvaluateSpec

_MOSTLY = 0.9
_MOST_LABELS = 20
_LABEL_WORDS, _PHRASE_WORDS = 4, 6


def chosen(spec: EvaluateSpec, own: Sequence[str]) -> list[Metric]:
    """The metrics that are measured, the main one first; `own` are taken where none is named. Raises NotFoundProblem."""
    named = own if spec.metrics == AUTO else [metric.name for metric in metrics_of(spec.metrics)]
    asked = [("bertscore", spec.bertscore_model), ("clip_score", spec.clip_model), ("judge", spec.judge)]
    return [METRICS.get(name) for name in dict.fromkeys([*(name for name, given in asked if given), *named])]


def suitable(wanted: Sequence[str]) -> list[str]:
    """Names of metrics for these right answers: always exact match and perplexity; field F1 where they are JSON, accuracy where
    they are a few labels, chrF and ROUGE where they are texts that may be worded in other ways."""
    found = ["exact_match", "perplexity"]
    if sum(map(_is_json, wanted)) >= _MOSTLY * len(wanted):
        return [*found, "field_f1"]
    labels = {text.strip().casefold() for text in wanted}
    words = [len(text.split()) for text in wanted]
    if len(labels) <= _MOST_LABELS and len(labels) * 2 <= len(wanted) and max(words, default=0) <= _LABEL_WORDS:
        return [*found, "accuracy"]
    if statistics.median(words or [0]) >= _PHRASE_WORDS:
        libraries = {"chrf": "sacrebleu", "rouge": "rouge_score"}
        found += [name for name, module in libraries.items() if importlib.util.find_spec(module)]
    return found


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False
