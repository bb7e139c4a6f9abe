"""The kinds of adapter that can be trained, by name: what each is, and what it asks for. Data only; how each is built stands
in `workers/variants.py`."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Variant(NamedTuple):
    """One kind of adapter."""

    title: str
    """What it does, in one line."""
    on_quantized: bool = True
    """Whether it trains over a base in 4 or 8 bit; tried with bitsandbytes 0.50 and PEFT 0.21."""
    uses_rank: bool = True
    """Whether the rank counts; where it does not, the sizes follow from the layers."""
    rate_factor: float = 1.0
    """How many times the learning rate of LoRA suits it."""
    is_plain: bool = False
    """Whether its layers are LoRA's own while it is trained: their memory is planned, and they are computed in one step."""
    note: str = ""
    """What is chosen for the user, or what it costs."""


_PATHS = "Its sizes are made to divide the widths of the layers."

VARIANTS: dict[str, Variant] = {
    "lora": Variant("Low-rank matrices beside every layer: the usual one (arXiv 2106.09685)", is_plain=True),
    "qlora": Variant(
        "LoRA over a base in 4 bit (arXiv 2305.14314)", is_plain=True,
        note="Needs bitsandbytes and a base loaded in 4 bit.",
    ),
    "rslora": Variant("LoRA scaled by alpha/√r, for high ranks (arXiv 2312.03732)", is_plain=True),
    "dora": Variant("Direction and length of the weights learnt apart (arXiv 2402.09353)", note="About a quarter slower."),
    "lora+": Variant(
        "LoRA whose B matrices learn 16 times as fast (arXiv 2402.12354)", rate_factor=0.5, is_plain=True,
        note="Wants half of LoRA's rate, as PEFT advises.",
    ),
    "pissa": Variant(
        "LoRA that starts from the largest singular directions of the weights (arXiv 2404.02948)", on_quantized=False,
        note="Saved as a plain LoRA of twice the rank, so that the base stays as it is.",
    ),
    "olora": Variant(
        "LoRA that starts from orthonormal directions of the weights (arXiv 2406.01775)", on_quantized=False,
        note="Saved as a plain LoRA of twice the rank, so that the base stays as it is.",
    ),
    "adalora": Variant(
        "LoRA that moves rank to the layers that need it (arXiv 2303.10512)",
        note="Starts at one and a half times the rank; needs at least 4 steps.",
    ),
    "vera": Variant(
        "Two vectors a layer around frozen random matrices shared by all (arXiv 2310.11454)",
        rate_factor=10,  # a choice: at LoRA's own rate it hardly moves (tests/integration/test_variants.py)
        note="Hardly any weights: four times the rank that is given; wants ten times LoRA's rate.",
    ),
    "oft": Variant("Rotations of the weights in blocks (arXiv 2306.07280)", uses_rank=False, note=_PATHS),
    "boft": Variant("Rotations by butterfly products (arXiv 2311.06243)", uses_rank=False, note=_PATHS + " Slow."),
    "ia3": Variant(
        "One learnt vector a layer scales what passes (arXiv 2205.05638)", uses_rank=False,
        rate_factor=10,  # a choice, as for VeRA
        note="Hardly any weights; wants ten times LoRA's rate.",
    ),
    "loha": Variant("Hadamard products of low-rank matrices (arXiv 2108.06098)", on_quantized=False),
    "lokr": Variant("Kronecker products of small matrices (arXiv 2309.14859)", on_quantized=False),
    "fourierft": Variant(
        "A few learnt frequencies of the change of each layer (arXiv 2405.03003)", uses_rank=False,
        note="Builds each layer's whole change at every step: slow and large for wide layers.",
    ),
    "waveft": Variant(
        "A few learnt wavelet coefficients of the change of each layer (as PEFT has it)",
        note="As many coefficients as LoRA of that rank would have weights; builds each layer's whole change at every step.",
    ),
    "hra": Variant("Chains of Householder reflections (arXiv 2405.17484)", on_quantized=False, note="Takes an even rank."),
    "randlora": Variant(
        "Full-rank changes out of frozen random matrices (arXiv 2502.00987)",
        note="The rank is that of the random matrices: a smaller one learns more weights.",
    ),
    "delora": Variant(
        "LoRA whose change is normalised and bounded (arXiv 2503.18225)", on_quantized=False,
    ),
    "miss": Variant("One small matrix a layer, shared by shards of the input (arXiv 2409.15371)"),
    "gralora": Variant("LoRA cut into blocks that learn apart (arXiv 2505.20355)", note="The rank is made even."),
    "vblora": Variant(
        "Adapters put together out of one shared bank of vectors (arXiv 2405.15179)", note=_PATHS,
    ),
    "hira": Variant("Low-rank change multiplied with the weights themselves (openreview TwJrTz9cRS)"),
    "shira": Variant(
        "As many single weights as LoRA would have are trained (arXiv 2406.13175)",
        note="Which weights is drawn by a fixed seed; their places are saved with the adapter.",
    ),
    "c3a": Variant("Circular convolutions in blocks (arXiv 2407.19342)", uses_rank=False, note=_PATHS),
    "road": Variant("Rotations of pairs of outputs (arXiv 2409.00119)", uses_rank=False, note=_PATHS),
    "lily": Variant("Low-rank matrices shared between layers (arXiv 2407.09946)"),
    "psoft": Variant(
        "Rotations within the largest singular directions (openreview FSHrinMArK)", on_quantized=False,
        note="Takes a singular value decomposition of every layer at the start.",
    ),
}  # fmt: skip

VARIANT_NAMES = tuple(VARIANTS)
QuantizationName = Literal["none", "4bit", "8bit"]
