"""Writes src/lorasmith/families/native_types.txt from the transformers that is installed:  python scripts/native_types.py"""

from __future__ import annotations

from pathlib import Path

from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

TARGET = Path(__file__).parents[1] / "src/lorasmith/families/native_types.txt"

if __name__ == "__main__":
    TARGET.write_text("\n".join(sorted(CONFIG_MAPPING_NAMES)) + "\n")
