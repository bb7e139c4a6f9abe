"""llama-server out of the package xllamacpp, where llama.cpp itself is not installed: the same server, with our options.

https://github.com/xorbitsai/xllamacpp
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

_TYPES = {"f16": "GGML_TYPE_F16", "f32": "GGML_TYPE_F32"}
_FLASH = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}


def serve(arguments: Sequence[str] | None = None) -> None:
    """Serve until the process is asked to end."""
    import xllamacpp

    asked = _asked(arguments)
    params = xllamacpp.CommonParams()
    params.model.path = str(asked.model)
    params.n_ctx, params.n_parallel = asked.context, asked.slots
    params.n_gpu_layers = asked.gpu_layers
    params.hostnames, params.port = [asked.host], asked.port
    params.api_keys = [key for key in [os.environ.get("LLAMA_API_KEY")] if key]
    params.lora_init_without_apply = asked.lora_init_without_apply
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 1.0) for path in asked.lora]
    params.cache_type_k, params.cache_type_v = (
        getattr(xllamacpp.ggml_type, _TYPES[kind]) for kind in (asked.keys, asked.values)
    )
    params.flash_attn_type = getattr(xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{_FLASH[asked.flash]}")
    params.ui = params.endpoint_metrics = False
    over = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: over.set())
    server = xllamacpp.Server(params)  # it serves as long as it lives
    over.wait()
    del server
    os._exit(0)  # its threads may be at work


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="llama-server", description=__doc__)
    parser.add_argument("-m", dest="model", type=Path, required=True)
    parser.add_argument("-c", dest="context", type=int, default=0)
    parser.add_argument("-np", dest="slots", type=int, default=1)
    parser.add_argument("-ngl", dest="gpu_layers", type=int, default=-1)
    parser.add_argument("-ctk", dest="keys", choices=_TYPES, default="f16")
    parser.add_argument("-ctv", dest="values", choices=_TYPES, default="f16")
    parser.add_argument("-fa", dest="flash", choices=_FLASH, default="auto")
    parser.add_argument("--lora", type=Path, action="append", default=[])
    parser.add_argument("--lora-init-without-apply", action="store_true")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    serve()
