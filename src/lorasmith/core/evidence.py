"""What was read of a model's repository, for the families to recognise it by. Names of folders and repositories are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """Configurations and file names of one repository. `config` is the one that says what the model is, `{}` without one."""

    config: Config
    config_file: str = ""
    files: Mapping[str, int] = field(default_factory=dict[str, int])
    """Sizes in bytes by name."""
    documents: Mapping[str, Config] = field(default_factory=dict[str, Config])
    """Every JSON file that was read, by name; a list, as in `modules.json`, as `{"modules": [...]}`."""
    tags: tuple[str, ...] = ()
    pipeline_tag: str = ""

    @cached_property
    def model_type(self) -> str:
        return str(self.config.get("model_type") or "")

    @cached_property
    def architectures(self) -> tuple[str, ...]:
        """Class names, without a task's prefix that some exporters write (`MLX…`)."""
        named = self.config.get("architectures") or ()
        return tuple(name for name in named if isinstance(name, str)) if isinstance(named, list | tuple) else ()

    def ends(self, *suffixes: str) -> bool:
        """Whether one of the class names ends so."""
        return any(name.endswith(suffixes) for name in self.architectures)

    def speaks_of(self, *parts: str) -> bool:
        """Whether one of the class names holds one of these parts."""
        return any(part in name for name in self.architectures for part in parts)

    def has(self, *keys: str) -> bool:
        """Whether the configuration holds one of these keys with something in it."""
        return any(self.config.get(key) not in (None, {}, [], "") for key in keys)

    def part(self, *keys: str) -> Config:
        """The first of these nested configurations that is there; `{}` without one."""
        return next((self.config[key] for key in keys if isinstance(self.config.get(key), Mapping)), {})

    def document(self, name: str) -> Config:
        return self.documents.get(name, {})

    @cached_property
    def processor(self) -> str:
        """The class of the processor, feature extractor or image processor that the repository names; empty without one."""
        for name in ("processor_config.json", "preprocessor_config.json"):
            for key in ("processor_class", "feature_extractor_type", "image_processor_type"):
                if value := self.document(name).get(key):
                    return str(value)
        return str(self.document("tokenizer_config.json").get("processor_class") or "")
