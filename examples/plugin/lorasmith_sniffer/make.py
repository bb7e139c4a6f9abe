"""python -m lorasmith_sniffer.make FOLDER: a model of the family with random weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from lorasmith_sniffer.worker import Config, Sniffer


def make(folder: Path, *, width: int = 64) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"model_type": "sniffer", "architectures": ["Sniffer"], "sniffed_bytes": 200, "hidden_size": width,
              "max_position_embeddings": 200, "id2label": {"0": "text", "1": "noise"}}  # fmt: skip
    torch.manual_seed(0)
    model = Sniffer(Config(fields | {"id2label": {0: "text", 1: "noise"}}))
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
