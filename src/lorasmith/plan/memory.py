"""How much memory a model takes to answer and to be trained, by cause, in bytes. Arithmetic on shapes; it measures nothing.

Where a figure is not arithmetic but measured, the constant says how.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from lorasmith.core.facts import LOSS_TOKENS, PREFERENCES, ModelFacts, Stack
from lorasmith.plan import activations

Dtype = Literal["float32", "float16", "bfloat16", "int8", "nf4"]
Method = Literal["lora", "qlora", "full"]
BYTES: dict[str, float] = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, "nf4": 0.5}
QUANTIZED_DTYPES = {"8bit": "int8", "4bit": "nf4"}
"""By the names that options have for them."""
# int8 of bitsandbytes keeps one fp32 scale a row; nf4 with double quantization one byte a block of 64 and one fp32 a
# block of 256 of
# those: Dettmers et al. 2023, https://arxiv.org/abs/2305.14314, section 3.
_NF4_SCALES = 1 / 64 + 4 / (64 * 256)
_INT8_ROW_BYTES = 4
# Workers with everything imported and nothing loaded, without the pages of libraries (`hardware.resident_peak_bytes`), on Linux
# with torch 2.13, transformers 5.23 and peft 0.21: bare Python with torch, then what answering and what training add to it.
# benchmarks/memory.py measures both anew.
BARE_CPU = 168 * 10**6
ANSWERING_CPU = 122 * 10**6
TRAINING_CPU = 140 * 10**6
_QUANTIZER_CPU = 50 * 10**6  # bitsandbytes
_PREFERENCES_CPU = 43 * 10**6  # TRL with datasets and pandas
_DIFFUSERS_CPU = 35 * 10**6  # diffusers beside these, and what oneDNN sets up for convolutions
# A CUDA context with cuBLAS' workspace: 250 MiB (gguf-parser's figure) to 457 MiB (an Ollama log); the upper end.
RUNTIME_CUDA = 460 * 2**20
# What glibc wastes: torch asks for aligned blocks, and before glibc 2.38 a freed one does not fit the next request of the same
# size. Measured on glibc 2.36 (docs/lab-log.md, benchmarks/memory.py); logits are wasted with where one tensor of them is small
# enough to lie among the other blocks.
_LOGITS_APART_FROM = 32 * 2**20
_ARRAYS = {True: 3, False: 1}
"""Of logits' size: logits, logarithms and gradients where the head learns too (True), else the logits, in whose place the rest is
computed."""
_WASTED = {"gated": 0.8, "plain": 0.95, "maps": 0.75, "pairs": 0.2}
"""Of what is kept, by kind: gated layers, other layers, feature maps, weights of attention that runs step by step."""
_WASTED_JOINED = {"gated": 0.38, "plain": 0.25}
"""The same where LoRA layers are computed in one step (workers/joined.py): fewer blocks are freed between those that are kept."""
_ENCODER_WALKED_BACK = 1.25
"""What is wasted until an encoder is walked back, after its decoder, against what is wasted at the loss: fitted to Whisper."""
_WASTED_ANSWERING = 0.5
"""Of what passes through layers, none of which is kept."""
_TRAINED_BYTES = 8  # fp32 weight and gradient; in mixed precision the weight is the master copy
MOMENT_BYTES = {"adamw": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2, "lion_8bit": 1, "adafactor": 0.1}
"""What an optimizer keeps for each trained weight."""
# Where no shapes can be read: of the files' size, all causes together; for training, of what answering takes.
_FALLBACK = {"nf4": 1.2, "int8": 1.3, "bfloat16": 1.5, "float16": 1.5, "float32": 2.0}
_FALLBACK_TRAIN = {("lora", 2): 1.3, ("lora", 4): 1.5, ("full", 2): 4.0, ("full", 4): 5.0}


class InferenceNeed(NamedTuple):
    """Peak bytes while answering."""

    weights: int
    cache: int
    activations: int
    runtime: int
    loading: int = 0
    """What is resident beyond all this while weights are loaded: pages of their files, which the system takes back when short.
    Negative where rows of embeddings stay in the file, never read."""
    allocator: int = 0
    """What the allocator and the library that multiplies matrices keep beside all this."""
    learned: int = 0
    """What runs on this machine took beyond their plans, as a share of this; negative where they took less."""

    @property
    def total(self) -> int:
        return sum(self)

    @property
    def required(self) -> int:
        """What must be free: all but what the system can take back."""
        return self.total - self.loading

    @property
    def loaded(self) -> int:
        """What the weights and their libraries hold before anything is asked."""
        return self.weights + self.runtime + min(0, self.loading)


class TrainingNeed(NamedTuple):
    """Peak bytes of a training."""

    weights: int
    adapter: int
    activations: int
    logits: int
    runtime: int
    loading: int = 0
    """What is resident beyond all this while weights are loaded: pages of their files, which the system takes back when short.
    Negative where rows of embeddings stay in the file, never read."""
    allocator: int = 0
    """What the allocator wastes where it is not kept from it, which costs time (`Training.tight`)."""
    learned: int = 0
    """What runs on this machine took beyond their plans, as a share of this; negative where they took less."""

    @property
    def total(self) -> int:
        return sum(self)

    @property
    def required(self) -> int:
        """What must be free: all but what the system can take back."""
        return self.total - self.loading


def nf4_bytes(weights: float) -> float:
    """So many weights in NF4 with double quantization, with their scales."""
    return weights * (0.5 + _NF4_SCALES)


def weight_bytes(model: ModelFacts, dtype: str) -> int:
    """The weights in memory as `dtype`. Quantization takes the linear layers; embeddings, norms and heads stay in 16 bit."""
    if dtype not in {"int8", "nf4"} or model.quantization:
        return round(model.num_parameters * BYTES[dtype]) if not model.quantization else model.weight_bytes
    linear = sum(out * into for out, into in model.linear_shapes)
    if not linear:  # no family rule yet: nine parameters in ten
        linear = model.num_parameters * 9 // 10
    rows = sum(out for out, _ in model.linear_shapes)
    packed = nf4_bytes(linear) if dtype == "nf4" else linear + rows * _INT8_ROW_BYTES
    return round(packed + 2 * (model.num_parameters - linear))


def cache_bytes(model: ModelFacts, context: int, batch: int = 1, *, value_bytes: float = 2) -> int:
    """Keys, values and states that `batch` conversations of `context` tokens keep."""
    elements = sum(
        group.count * (group.per_token * min(context, group.window or context) + group.state) for group in model.cache
    )
    return round(batch * elements * value_bytes)


def _loading(model: ModelFacts, dtype: str, running: int, *, on_gpu: bool) -> int:
    """What is resident while weights are loaded beyond `running`, the bytes that the work itself takes, weights and all.

    Weights that stay as they are stored are used where the file is mapped, and of embeddings that are only looked up few rows are
    ever read: negative. Others are converted, the file's pages beside them.
    """
    if on_gpu:
        return 0
    if model.stored_dtype == dtype:
        return -round(model.lookup_parameters * BYTES[dtype])
    return max(0, weight_bytes(model, dtype) + model.weight_bytes - running)


def inference_bytes(
    model: ModelFacts, dtype: str, *, context: int, batch: int = 1, on_gpu: bool = False
) -> InferenceNeed:
    """Peak bytes while `batch` prompts of `context` tokens are read and answered."""
    if not model.num_parameters:
        return InferenceNeed(round(model.weight_bytes * _FALLBACK[dtype]), 0, 0, 0)
    width = 4 if dtype == "float32" else 2
    weights = weight_bytes(model, dtype)
    cache = cache_bytes(model, context, batch, value_bytes=width)
    # One layer at a time, and the logits of the last position in fp32.
    passed = [batch * _seen(stack, context) * activations.passing(stack) * width for stack in model.stacks]
    passed += [batch * model.widest_maps * width] if model.widest_maps else []
    widest = 8 * model.hidden_size + 2 * max((group.state for group in model.cache), default=0)
    live = round(max(passed, default=batch * context * widest * width)) + batch * model.vocab_size * 4
    beside = 0 if on_gpu else round(_WASTED_ANSWERING * live) + _packed(model, width)
    return InferenceNeed(
        weights=weights,
        cache=cache,
        activations=live,
        runtime=RUNTIME_CUDA if on_gpu else _libraries(model, ANSWERING_CPU),
        loading=_loading(model, dtype, weights + cache + live + beside, on_gpu=on_gpu),
        allocator=beside,
    )


def _libraries(model: ModelFacts, worker: int) -> int:
    """What Python and its libraries hold in a worker on a CPU."""
    return BARE_CPU + worker + (_DIFFUSERS_CPU if model.primary_library == "diffusers" else 0)


def _packed(model: ModelFacts, width: float) -> int:
    """What MKL copies of a layer's weights to multiply with them: measured as twice the largest layer."""
    return round(2 * width * max((out * into for out, into in model.linear_shapes), default=0))


class Training(NamedTuple):
    """One way of training: what is computed at a time, and how."""

    method: str
    """lora, qlora or full."""
    rows: int
    length: int
    """Tokens of a row."""
    dtype: str
    """What is computed in."""
    rank: int = 0
    on_gpu: bool = False
    checkpointing: bool = False
    dropout: bool = True
    supervised: float = 1.0
    """Share of the tokens that are learnt: the head runs at those only."""
    embeddings_aside: bool = False
    """On a GPU: whether the embeddings of the input, which are only looked up, stay in the machine's own memory."""
    moments: float = 8
    """Bytes that the optimizer keeps for each trained weight."""
    tight: bool = False
    """Whether the allocator is told to give every freed block back: less memory, more time (workers/runtime.py)."""
    objective: str = "sft"
    joined: bool = True
    """Whether the adapters are plain LoRA, which is computed in one step where the base is not quantized (workers/joined.py)."""

    @property
    def sequences(self) -> int:
        """What is kept for the backward pass: of a pair both answers. KTO's second ones are only read."""
        return self.rows * (2 if self.objective in ("dpo", "orpo") else 1)

    @property
    def is_joined(self) -> bool:
        return self.joined and self.method == "lora" and not self.on_gpu

    @property
    def is_quick(self) -> bool:
        """Whether gates are computed in few passes (workers/quick.py)."""
        return self.is_joined and self.dtype in ("float32", "bfloat16")


class _Moment(NamedTuple):
    """What is held at one moment of a step, in bytes."""

    states: float
    live: float
    logits: float
    wasted: float


def training_bytes(model: ModelFacts, how: Training) -> TrainingNeed:
    """Peak bytes of a training: at the loss, while the last layer is walked back, or at the optimizer's step."""
    width, is_full = BYTES[how.dtype], how.method == "full"
    if not model.num_parameters:
        answering = model.weight_bytes * _FALLBACK["nf4" if how.method == "qlora" else how.dtype]
        factor = _FALLBACK_TRAIN["full" if is_full else "lora", round(width)]
        return TrainingNeed(round(answering * factor), 0, 0, 0, 0)
    held = "nf4" if how.method == "qlora" else how.dtype
    weights = weight_bytes(model, held)
    if how.on_gpu and how.embeddings_aside:
        weights -= round(model.lookup_parameters * BYTES["float32" if how.dtype == "float32" else "bfloat16"])
    trained = how.rank * sum(out + into for out, into in model.linear_shapes)
    states, gradients = trained * (_TRAINED_BYTES + how.moments), 4 * trained
    if is_full:  # the gradients of one tensor after another, all of them before the step
        states = model.num_parameters * (_TRAINED_BYTES + how.moments) - weights
        gradients = 4 * model.num_parameters
    kept, wasted = _kept(model, how)
    backs = [_tokens(stack, how) * activations.walked_back(stack, quick=how.is_quick) for stack in model.stacks]
    walked = max(backs, default=0) * width
    logits = _logits_at_loss(model, how)
    arrays = _ARRAYS[is_full]
    among_others = _WASTED["plain"] * logits if logits < arrays * _LOGITS_APART_FROM else 0
    later = _ENCODER_WALKED_BACK if model.architecture_type == "encoder-decoder" else 1
    is_wasteful = not (how.on_gpu or how.tight)
    beside = (how.method == "qlora") * _QUANTIZER_CPU + (how.objective in PREFERENCES) * _PREFERENCES_CPU
    moments = [
        _Moment(states - gradients, kept, logits, is_wasteful * (wasted + among_others)),
        _Moment(states - gradients, kept + walked, 0, is_wasteful * (wasted * later + among_others)),
        _Moment(states, 0, 0, is_wasteful * (wasted + among_others)),
    ]
    states, live, of_logits, lost = max(moments, key=sum)
    return TrainingNeed(
        weights=weights,
        adapter=round(states),
        activations=round(live),
        logits=round(of_logits),
        runtime=RUNTIME_CUDA if how.on_gpu else _libraries(model, TRAINING_CPU) + beside,
        loading=_loading(model, held, weights + round(states + live + of_logits + lost), on_gpu=how.on_gpu),
        allocator=round(lost),
    )


def held_once(model: ModelFacts, method: str, dtype: str, *, on_gpu: bool) -> int:
    """Bytes of a training that several over one base have only once: the base and the libraries."""
    weights = weight_bytes(model, "nf4" if method == "qlora" else dtype)
    return weights + (RUNTIME_CUDA if on_gpu else _libraries(model, TRAINING_CPU))


def _logits_at_loss(model: ModelFacts, how: Training) -> int:
    """Bytes of a decoder's logits in fp32 and of their logarithms: of a few tokens at a time, where the head is frozen. Where it
    learns too, of all learnt tokens, and the gradient of the logits beside them; behind an encoder all tokens are learnt."""
    if not model.cache:
        return 0
    share = 1 if model.architecture_type == "encoder-decoder" else how.supervised
    tokens = share * how.sequences * how.length
    arrays = _ARRAYS[how.method == "full"]
    held = tokens if how.method == "full" else min(tokens, LOSS_TOKENS)
    return round(arrays * held * model.vocab_size * 4)


def _tokens(stack: Stack, how: Training) -> int:
    return how.sequences * _seen(stack, how.length)


def _seen(stack: Stack, length: int) -> int:
    """Tokens of one example, whose text has `length`."""
    return stack.tokens or length + stack.beside


def _kept(model: ModelFacts, how: Training) -> tuple[float, float]:
    """Bytes that all layers keep for the backward pass, and those that the allocator wastes with them."""
    width, rank = BYTES[how.dtype], 0 if how.method == "full" else how.rank
    if model.kept_maps:
        kept = how.sequences * model.kept_maps * width
        return kept, _WASTED["maps"] * kept
    if not model.stacks:  # layers of an unknown kind: what their linear layers read and give, once for each
        through = sum(1.1 * into + out for out, into in model.linear_shapes)
        # A scan without its fused kernel keeps each token's state twice: as it comes in and as it is added up.
        through += sum(group.count * group.state for group in model.cache)
        kept = 2 * how.sequences * how.length * through * width
        return kept, _WASTED["plain"] * kept
    kept = wasted = 0.0
    joined = how.is_joined
    for stack in model.stacks:
        tokens = _tokens(stack, how)
        layer = activations.kept_by_layer(stack, rank=rank, dropout=how.dropout, joined=joined, quick=how.is_quick)
        blocks = [(tokens * size * width, count) for size, count in layer.widths]
        blocks += [(how.sequences * (stack.across or how.length) * size * width, count) for size, count in layer.across]
        seen = stack.window or _seen(stack, how.length)
        pairs = tokens * seen * stack.heads * width * layer.pairs
        whole = sum(size * count for size, count in blocks)
        wasted_of = _WASTED_JOINED if joined else _WASTED
        lost = wasted_of["gated" if stack.gated else "plain"] * whole + _WASTED["pairs"] * pairs
        whole += pairs
        if width < 4:  # both norms compute in fp32
            whole += 2 * 4 * tokens * stack.hidden
        # With checkpointing of every layer its input, and of one at a time the rest.
        kept += tokens * stack.hidden * width * stack.layers + whole if how.checkpointing else whole * stack.layers
        wasted += lost if how.checkpointing else lost * stack.layers
    return kept, wasted
