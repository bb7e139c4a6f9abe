"""Environments of the trainers that `train.py` is measured beside: each of its own, with the versions below.

    python benchmarks/peers.py FOLDER [NAME …]

Needs a network and about 3 GB for all three. transformers' Trainer with PEFT needs none: it runs in our own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lorasmith.env.environment import find_uv

SCRIPTS = Path(__file__).parent / "peers"
PACKAGES = {
    "trl": ["torch==2.13.0", "trl==1.16.0", "peft==0.21.2", "transformers==5.23.0", "datasets"],
    "llamafactory": ["torch==2.13.0", "llamafactory==0.9.5"],
    "litgpt": ["torch==2.13.0", "litgpt==0.5.13"],
}
# Brought along, built for another torch than a processor's, and in the way of what is imported; texts need neither.
WITHOUT = {"llamafactory": ["torchvision", "torchaudio"]}


class Peer:
    """One way to train: a script, run by the Python of its environment, with one of its settings."""

    def __init__(self, name: str, script: str, environment: str = "", settings: str = ""):
        self.name, self.script, self.environment, self.settings = name, SCRIPTS / script, environment, settings

    def python(self, environments: Path | None) -> Path | None:
        """None where its environment has not been made."""
        if not self.environment:
            return Path(sys.executable)
        python = environments / self.environment / "bin" / "python" if environments else None
        return python if python and python.exists() else None


PEERS = (
    Peer("Trainer + PEFT", "trainer.py"),
    Peer("TRL", "trl_sft.py", "trl", "default"),
    Peer("TRL packing", "trl_sft.py", "trl", "packing"),
    Peer("TRL whole logits", "trl_sft.py", "trl", "plain"),
    Peer("LLaMA-Factory", "llamafactory_sft.py", "llamafactory"),
    Peer("LitGPT", "litgpt_lora.py", "litgpt"),
)


def make(folder: Path, names: list[str]) -> None:
    uv = find_uv()
    if uv is None:
        raise SystemExit("uv is missing: pip install uv")
    for name in names or PACKAGES:
        subprocess.run([uv, "venv", "--quiet", str(folder / name)], check=True)
        python = str(folder / name / "bin" / "python")
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *PACKAGES[name]], check=True)
        if surplus := WITHOUT.get(name):
            subprocess.run([uv, "pip", "uninstall", "--quiet", "--python", python, *surplus], check=True)
        print(f"{name}: {folder / name}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    make(Path(sys.argv[1]), sys.argv[2:])
