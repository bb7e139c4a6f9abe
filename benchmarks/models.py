"""Models that the benchmarks share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tokenizers

from lorasmith.hub.recognise import know_model
from lorasmith.testing import shapes


def build(name: str, folder: Path) -> Path:
    """A model of a published shape with random weights and the demo model's tokenizer; the demo model is where it is."""
    demo = know_model("demo").local_folder
    if name == "demo":
        return demo
    code = (
        "import sys, torch, transformers; from lorasmith.testing import shapes; torch.manual_seed(0);"
        "config = dict(shapes.LLAMA_LIKE[sys.argv[1]]); kind = config.pop('model_type');"
        "config = transformers.AutoConfig.for_model(kind, **config, bos_token_id=1, eos_token_id=2);"
        "transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, name, str(folder)], check=True, capture_output=True)
    for file in ("tokenizer_config.json", "chat_template.jinja"):
        (folder / file).write_bytes((demo / file).read_bytes())
    _write_tokenizer(demo / "tokenizer.json", folder, shapes.LLAMA_LIKE[name]["vocab_size"])
    return folder


def _write_tokenizer(file: Path, folder: Path, size: int) -> None:
    """The tokenizer in `file` with as many tokens as the model has, so that each that a random model writes has a text."""
    encoder = tokenizers.Tokenizer.from_file(str(file))
    encoder.add_tokens([f" <{number}>" for number in range(encoder.get_vocab_size(), size)])
    encoder.save(str(folder / "tokenizer.json"))
