"""The product's verbs in one place: the command line, the studio and Python call these and nothing beneath them.

Each is imported when it is first asked for: what reads data costs a third of a second, and a check reads none.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorasmith.adapters.facts import AdapterFacts
    from lorasmith.adapters.launch import combine, import_adapter, resize
    from lorasmith.adapters.registry import adapter_named, adapters, remove_adapter, rename
    from lorasmith.adapters.scan import Found, scan
    from lorasmith.adapters.spec import Resized
    from lorasmith.data.inspection import Inspection
    from lorasmith.data.tokenizer import Tokenizer
    from lorasmith.env.install import InstallResult, install
    from lorasmith.env.listing import InstalledModel, find_installed, installed_models, remove
    from lorasmith.evaluation.launch import evaluate
    from lorasmith.exports.launch import export, merge
    from lorasmith.exports.ollama import Ollama
    from lorasmith.exports.spec import ExportReport
    from lorasmith.hub.recognise import know_model
    from lorasmith.plan.check import check
    from lorasmith.plan.doctor import DoctorReport, doctor
    from lorasmith.plan.recommend import Recommendations, recommend
    from lorasmith.plan.report import CheckReport
    from lorasmith.serve.converse import Conversation, RemoteConversation
    from lorasmith.serve.extract import Extractor, extract
    from lorasmith.serve.launch import serve
    from lorasmith.training.launch import TrainResult, train
    from lorasmith.training.planning import Foreseen, PlanListener, foresee
    from lorasmith.tuning.launch import tune
    from lorasmith.tuning.report import TuneReport
    from lorasmith.tuning.together import Run, read_runs, train_together

__all__ = [
    "AdapterFacts",
    "CheckReport",
    "Conversation",
    "DoctorReport",
    "ExportReport",
    "Extractor",
    "Foreseen",
    "Found",
    "InstallResult",
    "InstalledModel",
    "Ollama",
    "PlanListener",
    "Recommendations",
    "RemoteConversation",
    "Resized",
    "Run",
    "TrainResult",
    "TuneReport",
    "adapter_named",
    "adapters",
    "check",
    "combine",
    "doctor",
    "evaluate",
    "export",
    "extract",
    "find_installed",
    "foresee",
    "import_adapter",
    "inspect_data",
    "install",
    "installed_models",
    "know_model",
    "merge",
    "read_runs",
    "recommend",
    "remove",
    "remove_adapter",
    "rename",
    "resize",
    "scan",
    "serve",
    "train",
    "train_together",
    "tune",
]
_PLACES = {
    "AdapterFacts": "adapters.facts",
    "Resized": "adapters.spec",
    "adapter_named": "adapters.registry",
    "adapters": "adapters.registry",
    "combine": "adapters.launch",
    "import_adapter": "adapters.launch",
    "remove_adapter": "adapters.registry",
    "rename": "adapters.registry",
    "resize": "adapters.launch",
    "scan": "adapters.scan",
    "CheckReport": "plan.report",
    "Conversation": "serve.converse",
    "DoctorReport": "plan.doctor",
    "ExportReport": "exports.spec",
    "Extractor": "serve.extract",
    "Foreseen": "training.planning",
    "Found": "adapters.scan",
    "InstallResult": "env.install",
    "InstalledModel": "env.listing",
    "PlanListener": "training.planning",
    "Ollama": "exports.ollama",
    "Recommendations": "plan.recommend",
    "RemoteConversation": "serve.converse",
    "TrainResult": "training.launch",
    "TuneReport": "tuning.report",
    "check": "plan.check",
    "doctor": "plan.doctor",
    "evaluate": "evaluation.launch",
    "export": "exports.launch",
    "extract": "serve.extract",
    "find_installed": "env.listing",
    "foresee": "training.planning",
    "install": "env.install",
    "installed_models": "env.listing",
    "merge": "exports.launch",
    "recommend": "plan.recommend",
    "remove": "env.listing",
    "know_model": "hub.recognise",
    "serve": "serve.launch",
    "Run": "tuning.together",
    "read_runs": "tuning.together",
    "train": "training.launch",
    "train_together": "tuning.together",
    "tune": "tuning.launch",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"lorasmith.{_PLACES[name]}"), name)


def inspect_data(  # noqa: PLR0913  the options of a verb
    data: str, *, model: str = "", template: str = "", format_name: str = "", columns: str = "", max_length: int = 0,
    eval_fraction: float = 0.1, seed: int = 0, against: str = "", lines: Collection[str] = (),
    on_rows: Callable[[int], None] = lambda _: None,
) -> tuple[Inspection, Tokenizer | None]:  # fmt: skip
    """What is in a file of examples; with a model, as that model would see it. `data.inspect` says more of the arguments."""
    from lorasmith.data.inspect import inspect
    from lorasmith.data.load import open_source
    from lorasmith.data.tokenizer import load_tokenizer
    from lorasmith.hub.recognise import know_model

    source = open_source(Path(data), format_name=format_name, columns=columns)
    other = open_source(Path(against), format_name=format_name, columns=columns) if against else None
    tokenizer, cut = None, 0
    if model:
        facts = know_model(model)
        tokenizer = load_tokenizer(facts.local_folder, template=template)
        cut = max_length or facts.max_positions
    found = inspect(
        source,
        tokenizer,
        max_length=cut,
        eval_fraction=eval_fraction,
        seed=seed,
        other=other,
        lines=lines,
        on_rows=on_rows,
    )
    return found, tokenizer
