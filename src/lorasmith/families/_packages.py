"""Which packages a model needs beyond its family's, by model_type (CHK-4). Data, in one place."""

from __future__ import annotations

from typing import NamedTuple


class Package(NamedTuple):
    """One package of Python, and how hard it is to install; nothing is said where pip alone does it."""

    name: str
    note: str = ""


BASE = {
    "transformers": ("torch", "transformers", "accelerate", "safetensors"),
    "diffusers": ("torch", "diffusers", "transformers", "accelerate", "safetensors"),
    "sentence-transformers": ("torch", "sentence-transformers", "transformers", "accelerate", "safetensors"),
    "timm": ("torch", "timm", "safetensors"),
    "llama.cpp": ("llama-cpp-python",),
    "mlx": ("mlx", "mlx-lm"),
    "peft": ("torch", "transformers", "peft", "accelerate", "safetensors"),
}
BY_FAMILY: dict[str, tuple[Package, ...]] = {
    "audio": (Package("librosa"), Package("soundfile")),
    "vision": (Package("pillow"),),
    "document": (Package("pillow"),),
    "multimodal": (Package("pillow"),),
    "diffusion": (Package("pillow"),),
}
_CUDA = "requires CUDA compilation"
_MAMBA = (Package("mamba-ssm", _CUDA), Package("causal-conv1d", _CUDA))
_OCR = (Package("pytesseract", "requires the program tesseract, for images without words"),)
# Processors of transformers 5 that read videos cannot be made without torchvision, whatever is asked of them.
_VIDEO = (Package("qwen-vl-utils"), Package("torchvision"))
BY_TYPE: dict[str, tuple[Package, ...]] = {
    "mamba": _MAMBA, "mamba2": _MAMBA, "falcon_mamba": _MAMBA, "jamba": _MAMBA, "bamba": _MAMBA, "zamba": _MAMBA,
    "zamba2": _MAMBA,
    "nemotron_h": _MAMBA, "falcon_h1": _MAMBA, "granitemoehybrid": _MAMBA,
    "rwkv": (Package("rwkv", "optional, for the original kernels"),),
    "rwkv7": (Package("flash-linear-attention", "requires CUDA (Triton)"),),
    "xlstm": (Package("xlstm", "optional, for the fused kernels"),),
    "layoutlmv2": (*_OCR, Package("detectron2", _CUDA)), "layoutlmv3": _OCR, "layoutlm": _OCR, "lilt": _OCR,
    "qwen2_vl": _VIDEO, "qwen2_5_vl": _VIDEO, "qwen3_vl": _VIDEO,
    "smolvlm": (Package("num2words"), Package("torchvision")), "internvl": (Package("torchvision"),),
    "clip": (Package("pillow"),), "siglip": (Package("pillow"),), "siglip2": (Package("pillow"),),
    "t5": (Package("sentencepiece"),), "mt5": (Package("sentencepiece"),), "mbart": (Package("sentencepiece"),),
    "marian": (Package("sentencepiece"), Package("sacremoses")), "m2m_100": (Package("sentencepiece"),),
    "pegasus": (Package("sentencepiece"),),
    "deberta-v2": (Package("sentencepiece"),), "xlm-roberta": (Package("sentencepiece"),),
    "speecht5": (Package("sentencepiece"),),
    "vits": (Package("phonemizer", "requires the program espeak-ng, for some languages"),),
    "nougat": (Package("nltk"), Package("python-Levenshtein")), "table-transformer": (Package("timm"),),
    "detr": (Package("timm"),),
    "timm_wrapper": (Package("timm"),),
}  # fmt: skip
BY_QUANTIZATION: dict[str, tuple[Package, ...]] = {
    "bitsandbytes": (Package("bitsandbytes"),),
    "gptq": (Package("gptqmodel", "requires CUDA 11.8+"), Package("optimum")),
    "awq": (Package("autoawq", "requires CUDA 11.8+"),),
    "aqlm": (Package("aqlm", "requires CUDA"),),
    "compressed-tensors": (Package("compressed-tensors"),),
    "fp8": (Package("accelerate"),),
    "mxfp4": (Package("kernels", "requires CUDA; without it the weights are widened to 16 bit"),),
    "hqq": (Package("hqq"),),
    "torchao": (Package("torchao"),),
}
FLASH_ATTENTION = Package("flash-attn", "optional, requires CUDA 11.6+")
XFORMERS = Package("xformers", "optional, requires CUDA")
