"""Trains lorasmith's demo model from nothing: a small Llama that copies, extracts and rewrites, and knows no invoice.

    python scripts/demo_model/pretrain.py --out src/lorasmith/demo/model

The text is made by `corpus.py`; nothing is downloaded. Same seed, steps and versions give the same weights on one machine;
what it took stands in `made.json` beside the weights. The folder is written at every evaluation.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import corpus
import tokenizers
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
PAD, BOS, END, SYSTEM, USER, ASSISTANT = range(len(SPECIAL))
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% elif message['role'] in ['system', 'user'] %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}<|end|>"
    "{% else %}{{ raise_exception('Unknown role: ' + message['role']) }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
VOCABULARY = 1024
IGNORED = -100
Sample = tuple[list[int], int]  # token ids, how many of them belong to the prompt


def train_tokenizer(seed: int) -> Tokenizer:
    """Byte-level BPE in which a word is cut the same way wherever it stands, so that copying it is copying tokens.

    Spaces are tokens of their own (no leading-space variants), and so are digits. Whatever cuts words, numbers and signs apart,
    as the pre-tokenizer of GPT-2 does, then ends at the same tokens: other engines read the model as it is.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    pieces = Regex(r"\p{N}|\p{L}+|\s|[^\s\p{L}\p{N}]")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pieces, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rows = itertools.islice(corpus.rows(seed, corpus.MIXTURE), 40_000)
    tokenizer.train_from_iterator((f"{question}\n{answer}" for _, (question, answer) in rows), trainer)
    return tokenizer


def samples(tokenizer: Tokenizer, seed: int, mixture: dict) -> Iterator[Sample]:
    rows = corpus.rows(seed, mixture)
    while True:
        chunk = [row for _, row in itertools.islice(rows, 512)]
        questions = tokenizer.encode_batch([question for question, _ in chunk])
        answers = tokenizer.encode_batch([answer for _, answer in chunk])
        for question, answer in zip(questions, answers, strict=True):
            prompt = [BOS, USER, *question.ids, END, ASSISTANT]
            yield prompt + answer.ids + [END], len(prompt)


def batches(stream: Iterator[Sample], batch_tokens: int, longest: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Rows of like length together, about `batch_tokens` tokens a batch → `(ids, labels)` of shape (rows, length)."""
    pool: list[Sample] = []
    while True:
        while len(pool) < 2048:
            sample = next(stream)
            if len(sample[0]) <= longest:
                pool.append(sample)
        pool.sort(key=lambda sample: len(sample[0]))
        groups: list[list[Sample]] = [[]]
        for sample in pool:
            if (len(groups[-1]) + 1) * len(sample[0]) > batch_tokens:
                groups.append([])
            groups[-1].append(sample)
        pool = groups.pop()
        order = torch.randperm(len(groups)).tolist()
        for index in order:
            group = groups[index]
            length = len(group[-1][0])
            ids = torch.full((len(group), length), PAD)
            labels = torch.full((len(group), length), IGNORED)
            for row, (tokens, prompt) in enumerate(group):
                ids[row, : len(tokens)] = torch.tensor(tokens)
                labels[row, prompt : len(tokens)] = ids[row, prompt : len(tokens)]
            yield ids, labels


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon), for the 2-D hidden weights.

    torch's own works in bfloat16, which is several times slower on CPUs without native support; this one stays in fp32
    and treats all weights of one shape together.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.Tensor]] = {}
            for weight in group["params"]:
                by_shape.setdefault(weight.shape, []).append(weight)
            for shape, weights in by_shape.items():
                for weight in weights:
                    self.state[weight].setdefault("momentum", torch.zeros_like(weight)).lerp_(
                        weight.grad, 1 - group["momentum"]
                    )
                stacked = torch.stack(
                    [weight.grad.lerp(self.state[weight]["momentum"], group["momentum"]) for weight in weights]
                )
                update = orthogonalised(stacked) * 0.2 * math.sqrt(max(shape))
                for weight, change in zip(weights, update, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-group["lr"])


def orthogonalised(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton–Schulz iteration towards U·Vᵀ for a stack of matrices of shape (count, rows, columns)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.size(-2) > matrices.size(-1)
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def build(args) -> transformers.LlamaForCausalLM:
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=args.hidden,
        intermediate_size=args.hidden * 8 // 3 // 32 * 32,
        num_hidden_layers=args.layers,
        num_attention_heads=args.hidden // 32,
        num_key_value_heads=args.hidden // 32,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=END,
        initializer_range=0.02,
    )
    return transformers.LlamaForCausalLM(config)


def start_from(model, tokenizer: Tokenizer, folder: Path) -> int:
    """Give `model` the weights in `folder`, and each token of `tokenizer` the embedding that the same text had there. → how many
    tokens had one; the others keep their random ones."""
    before = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    known = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    embeddings = model.get_input_embeddings().weight.detach().clone()
    model.load_state_dict(before.state_dict())
    shared = {index: known[token] for token, index in tokenizer.get_vocab().items() if token in known}
    embeddings[list(shared)] = before.get_input_embeddings().weight.detach()[list(shared.values())]
    model.get_input_embeddings().weight.data.copy_(embeddings)
    return len(shared)


def loss_of(model, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy at the answers' tokens; the head runs only there."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    wanted = labels[:, 1:] != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[:, :-1][wanted]), labels[:, 1:][wanted])


@torch.inference_mode()
def answer_all(model, tokenizer: Tokenizer, questions: list[str], max_new: int = 110) -> list[str]:
    """Greedy answers, rows of equal prompt length together."""
    prompts = [[BOS, USER, *encoding.ids, END, ASSISTANT] for encoding in tokenizer.encode_batch(questions)]
    answers = [""] * len(prompts)
    by_length: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(index)
    for length, indices in by_length.items():
        ids = torch.tensor([prompts[index] for index in indices])
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=max_new,
            pad_token_id=PAD,
        )
        for row, index in enumerate(indices):
            tokens = out[row, length:].tolist()
            tokens = tokens[: tokens.index(END)] if END in tokens else tokens
            answers[index] = tokenizer.decode(tokens)
    return answers


def exact_match(model, tokenizer: Tokenizer, seed: int, count: int) -> dict[str, float]:
    """Share of answers that are right to the letter, by task, on rows that training never saw."""
    hits: dict[str, list[bool]] = {}
    rows = list(itertools.islice(corpus.rows(seed, corpus.MIXTURE), count))
    for (task, (_, wanted)), got in zip(
        rows, answer_all(model, tokenizer, [question for _, (question, _) in rows]), strict=True
    ):
        hits.setdefault(task, []).append(got == wanted)
    table = {task: sum(found) / len(found) for task, found in sorted(hits.items())}
    return {"all": sum(map(sum, hits.values())) / count, **table}


def save(model, tokenizer: Tokenizer, out: Path, facts: dict) -> None:
    out.mkdir(parents=True, exist_ok=True)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[PAD],
        bos_token=SPECIAL[BOS],
        eos_token=SPECIAL[END],
        additional_special_tokens=SPECIAL[SYSTEM:],
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(out)
    half = build_like(model).to(torch.float16)
    half.save_pretrained(out)
    (out / "made.json").write_text(json.dumps(facts, indent=2) + "\n")


def build_like(model):
    copy = transformers.LlamaForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    return copy


def rate(step: int, steps: int, decay_from: float) -> float:
    """Share of the peak rate: 100 steps of warm-up, level until `decay_from`, then straight down to 0 at `steps`."""
    return min(1.0, (step + 1) / 100, (steps - step) / (steps * (1 - decay_from)))


def optimizers_of(model, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings and norms; each group keeps its `peak` rate."""
    hidden = [weight for part, weight in model.named_parameters() if weight.ndim == 2 and "embed" not in part]
    others = [weight for part, weight in model.named_parameters() if weight.ndim != 2 or "embed" in part]
    optimizers = [
        torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
        Muon(hidden, lr=muon_lr),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def train_step(model, optimizers: list[torch.optim.Optimizer], share: float, ids, labels) -> float:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share
    loss = loss_of(model, ids, labels)
    loss.backward()
    for optimizer in optimizers:
        torch.nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], 1.0)
        optimizer.step()
    model.zero_grad(set_to_none=True)
    return loss.item()


def stream(tokenizer: Tokenizer, args) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """`args.steps` batches: `args.copy_steps` of copying in short rows, then the mixture."""
    copying = batches(samples(tokenizer, args.seed + 1, corpus.COPYING), args.batch_tokens, longest=160)
    mixture = batches(samples(tokenizer, args.seed + 2, corpus.MIXTURE), args.batch_tokens, longest=320)
    yield from itertools.islice(copying, args.copy_steps)
    yield from itertools.islice(mixture, args.steps - args.copy_steps)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--steps", type=int, default=14_000)
    parser.add_argument("--copy-steps", type=int, default=800, help="steps of the first stage, copying only")
    parser.add_argument(
        "--decay-from", type=float, default=0.25, help="share of the steps after which the rate falls to 0"
    )
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--muon-lr", type=float, default=5e-3)
    parser.add_argument("--adam-lr", type=float, default=3e-3)
    parser.add_argument("--start-from", type=Path, help="folder of an earlier one, to go on from [nothing]")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--eval-every", type=int, default=2_000)
    return parser.parse_args()


def main() -> None:
    args = parse()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer = train_tokenizer(args.seed)
    model = build(args)
    if args.start_from:
        print(f"{start_from(model, tokenizer, args.start_from)} of {VOCABULARY} tokens are known", flush=True)
    optimizers = optimizers_of(model, args.muon_lr, args.adam_lr)
    facts = {
        "command": {key: value for key, value in vars(args).items() if key not in ("out", "start_from")},
        "went_on_from": json.loads((args.start_from / "made.json").read_text()) if args.start_from else None,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }
    print(f"{facts['parameters'] / 1e6:.2f}M parameters", flush=True)
    tokens, running, started = 0, math.nan, time.time()
    for step, (ids, labels) in enumerate(stream(tokenizer, args)):
        loss = train_step(model, optimizers, rate(step, args.steps, args.decay_from), ids, labels)
        running = loss if math.isnan(running) else 0.95 * running + 0.05 * loss
        tokens, done = tokens + ids.numel(), step + 1
        if done % 50 == 0:
            print(f"{done:6} {time.time() - started:7.0f}s {tokens / 1e6:7.2f}M loss {running:.4f}", flush=True)
        if done % args.eval_every == 0 or done == args.steps:
            model.eval()
            table = exact_match(model, tokenizer, 10**6, 1000 if done == args.steps else 200)
            model.train()
            facts |= {
                "steps": done,
                "tokens": tokens,
                "seconds": round(time.time() - started),
                "loss": round(running, 4),
            }
            facts["exact_match_on_its_own_tasks"] = {task: round(value, 3) for task, value in table.items()}
            save(model, tokenizer, args.out, facts)
            print(facts["exact_match_on_its_own_tasks"], flush=True)


if __name__ == "__main__":
    main()
