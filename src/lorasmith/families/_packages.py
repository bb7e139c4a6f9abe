"""Which packages a model needs beyond its family's, by model_type (CHK-4). Data, in one place."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["ordinary", "kernels", "special", "optional"]


class Package(NamedTuple):
    """One package of Python, and how hard it is to install; nothing is said where pip alone does it.

    `kernels` are compiled for CUDA and wanted where there is some: without, the model runs by slower code. `special` ones are
    needed and hard to install. `optional` ones are left out where they do not come or do not import.
    """

    name: str
    note: str = ""
    kind: Kind = "ordinary"


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
    "document": (Package("pillow"), Package("pypdfium2", "for PDF files", "optional")),
    "multimodal": (Package("pillow"),),
    "diffusion": (Package("pillow"),),
}
BY_TASK: dict[str, tuple[Package, ...]] = {
    "object-detection": (Package("scipy", "to be trained: it matches boxes found with those that are there"),),
}
_CUDA = "requires CUDA compilation"
_MAMBA = (Package("mamba-ssm", _CUDA, "kernels"), Package("causal-conv1d", _CUDA, "kernels"))
_OCR = (Package("pytesseract", "requires the program tesseract, for images without words"),)
# Processors of transformers 5 that read videos cannot be made whole without torchvision; their parts for images can.
_TORCHVISION = Package("torchvision", "for videos", "optional")
_VIDEO = (Package("qwen-vl-utils"), _TORCHVISION)
BY_TYPE: dict[str, tuple[Package, ...]] = {
    "mamba": _MAMBA, "mamba2": _MAMBA, "falcon_mamba": _MAMBA, "jamba": _MAMBA, "bamba": _MAMBA, "zamba": _MAMBA,
    "zamba2": _MAMBA,
    "nemotron_h": _MAMBA, "falcon_h1": _MAMBA, "granitemoehybrid": _MAMBA,
    "rwkv": (Package("rwkv", "optional, for the original kernels", "optional"),),
    "rwkv7": (Package("flash-linear-attention", "requires CUDA (Triton)", "kernels"),),
    "xlstm": (Package("xlstm", "optional, for the fused kernels", "optional"),),
    "layoutlmv2": (*_OCR, Package("detectron2", _CUDA, "special")), "layoutlmv3": _OCR, "layoutlm": _OCR, "lilt": _OCR,
    "qwen2_vl": _VIDEO, "qwen2_5_vl": _VIDEO, "qwen3_vl": _VIDEO,
    "smolvlm": (Package("num2words"), _TORCHVISION), "internvl": (_TORCHVISION,),
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
    "gptq": (Package("gptqmodel", "requires CUDA 11.8+", "special"), Package("optimum")),
    "awq": (Package("autoawq", "requires CUDA 11.8+", "special"),),
    "aqlm": (Package("aqlm", "requires CUDA", "special"),),
    "compressed-tensors": (Package("compressed-tensors"),),
    "fp8": (Package("accelerate"),),
    "mxfp4": (Package("kernels", "requires CUDA; without it the weights are widened to 16 bit", "kernels"),),
    "hqq": (Package("hqq"),),
    "torchao": (Package("torchao"),),
}
FLASH_ATTENTION = Package("flash-attn", "optional, requires CUDA 11.6+", "optional")
XFORMERS = Package("xformers", "optional, requires CUDA", "optional")
