"""What a small transformers model is made of, and how its folder is written: as `save_pretrained` leaves a repository.

No architecture is named here; torch and transformers are loaded only when a model is built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lorasmith.testing.tiny import tokenizers

Fields = Mapping[str, Any]
NOTHING: Fields = MappingProxyType({})


class Part(NamedTuple):
    """A class of transformers by name, and the settings it is made with."""

    kind: str
    settings: Fields = NOTHING


class Recipe(NamedTuple):
    """One small model. Image processors are named without the suffix of their Pillow variant, which is the one that is made."""

    model_type: str
    head: str
    """Class of the model; an Auto class where the model type decides."""
    fields: Fields
    """Of the configuration; None removes one that a shared shape gives and the architecture lacks."""
    tokenizer: Part | None = None
    """`kind` is one of `tokenizers.KINDS`."""
    image_processor: Part | None = None
    feature_extractor: Part | None = None
    processor: Part | None = None
    video_processor: Part | None = None
    is_composed: bool = False
    """Whether `processor_config.json` is put together from its parts: the class takes a library that the tests do without."""
    generation: Fields = NOTHING
    """What its generation configuration says beyond what follows from the configuration."""
    documents: Fields = NOTHING
    """JSON files by name that no class above writes."""
    finish: Callable[[Path], None] | None = None
    """Writes what no class of transformers writes."""

    def write(self, folder: Path, changes: Fields) -> None:
        """The whole repository. `changes` go to the configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model(changes).save_pretrained(folder)
        self._write_processor(folder)
        for name, document in self.documents.items():
            write_json(folder / name, document)
        if self.finish:
            self.finish(folder)

    def model(self, changes: Fields) -> Any:
        """The model with random weights."""
        import transformers

        fields = {key: value for key, value in {**self.fields, **changes}.items() if value is not None}
        config = transformers.AutoConfig.for_model(self.model_type, **fields)
        kind: Any = getattr(transformers, self.head)
        model = kind.from_config(config) if self.head.startswith("Auto") else kind(config)
        if self.generation:  # what is marked as following from the configuration is not read again
            said = {**model.generation_config.to_dict(), **self.generation, "_from_model_config": False}
            model.generation_config = transformers.GenerationConfig(**said)
        return model

    def _write_processor(self, folder: Path) -> None:
        """The processor's files, or those of its parts where the model has none."""
        import transformers

        parts = self._parts()
        if self.processor is None:
            for part in parts.values():
                part.save_pretrained(folder)
        elif not self.is_composed:
            getattr(transformers, self.processor.kind)(**parts, **self.processor.settings).save_pretrained(folder)
        else:
            write_json(folder / "processor_config.json", self._composed(self.processor, parts))
            if "tokenizer" in parts:
                parts["tokenizer"]._set_processor_class(self.processor.kind)
                parts["tokenizer"].save_pretrained(folder)

    def _parts(self) -> dict[str, Any]:
        """What a processor is made of, by the name that it gives each."""
        import transformers

        parts: dict[str, Any] = {}
        if self.image_processor:
            kind, settings = self.image_processor
            parts["image_processor"] = getattr(transformers, f"{kind}Pil")(**settings)
        if self.feature_extractor:
            kind, settings = self.feature_extractor
            parts["feature_extractor"] = getattr(transformers, kind)(**settings)
        if self.tokenizer:
            parts["tokenizer"] = tokenizers.make(self.tokenizer.kind, **self.tokenizer.settings)
        return parts

    def _composed(self, processor: Part, parts: dict[str, Any]) -> dict[str, Any]:
        """What the processor's `save_pretrained` would write."""
        inner = {name: json.loads(part.to_json_string()) for name, part in parts.items() if name != "tokenizer"}
        if self.video_processor:
            inner["video_processor"] = {
                **self.video_processor.settings,
                "video_processor_type": self.video_processor.kind,
            }
        return {**processor.settings, **inner, "processor_class": processor.kind}


def write_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
