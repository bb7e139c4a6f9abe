"""LLaMA-Factory's supervised fine-tuning on rows that are tokens already, so that its templates play no part."""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

# It is imported for sounds, and what is installed is built for another torch than a processor's.
sys.modules["torchaudio"] = ModuleType("torchaudio")
sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)

from common import Clock, arguments_of, labels_of, read_job, tell  # noqa: E402
from datasets import Dataset, DatasetDict  # noqa: E402
from llamafactory.train.tuner import run_exp  # noqa: E402
from transformers import TrainerCallback  # noqa: E402


class Kept(TrainerCallback):
    """What the trainer logs at each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.norms: list[float] = []

    def on_log(self, args: object, state: object, control: object, logs: dict | None = None, **_: object) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))
            self.norms.append(float(logs.get("grad_norm", "nan")))


def as_precise(model: Path, folder: Path, precision: str) -> Path:
    """The model, said to be of this precision: it is trained in what its configuration says."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in model.iterdir():
        if file.name != "config.json" and not (folder / file.name).exists():
            (folder / file.name).symlink_to(file)
    config = json.loads((model / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"torch_dtype": precision, "dtype": precision}))
    return folder


def main() -> None:
    job, clock, kept = read_job(), Clock(), Kept()
    model = as_precise(Path(job["model"]), Path(job["folder"]) / "model", job["precision"])
    rows = [
        {"input_ids": row["ids"], "labels": labels_of(row), "attention_mask": [1] * len(row["ids"])}
        for row in job["rows"]
    ]
    place = Path(job["folder"]) / "rows"
    DatasetDict({"train": Dataset.from_list(rows)}).save_to_disk(str(place))
    run_exp(
        arguments_of(job) | {
            "model_name_or_path": str(model), "stage": "sft", "do_train": True, "finetuning_type": "lora", "lora_target": "all",
            "lora_rank": job["rank"], "lora_alpha": job["alpha"], "lora_dropout": 0.0, "template": "empty", "dataset": "rows",
            "tokenized_path": str(place), "disable_shuffling": True, "flash_attn": "sdpa", "disable_gradient_checkpointing": True,
            "bf16": False, "fp16": False, "overwrite_output_dir": True, "report_to": "none", "infer_dtype": "float32",
        },
        callbacks=[clock.callback(), kept],
    )  # fmt: skip
    tell(clock, kept.losses, kept.norms, "padded, sdpa, no checkpointing")


main()
