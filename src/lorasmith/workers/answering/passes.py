"""One pass of a model over several conversations at once, each with its own adapter, length and positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lorasmith.workers.answering.adapters import AdapterBank
from lorasmith.workers.answering.cache import SharedCache
from lorasmith.workers.answering.threads import Threads


class Passes:
    """The model with its adapters. Scores, of shape (rows, vocabulary), are those after each row's last token."""

    def __init__(self, model: Any, bank: AdapterBank):
        self.model, self.bank = model, bank
        self._threads = Threads(None if model.device.type == "cpu" else 1)

    def read(self, cache: SharedCache, prompts: Sequence[Sequence[int]], adapters: Sequence[str]) -> torch.Tensor:
        """Read whole prompts into empty rows of `cache`; the shorter ones are padded on the left."""
        longest = max(map(len, prompts))
        ids = torch.zeros((len(prompts), longest), dtype=torch.long)
        positions = torch.zeros_like(ids)
        for index, prompt in enumerate(prompts):
            ids[index, longest - len(prompt) :] = torch.tensor(prompt)
            positions[index, longest - len(prompt) :] = torch.arange(len(prompt))
        return self._forward(cache, ids, positions, list(map(len, prompts)), adapters)

    def read_on(self, cache: SharedCache, piece: Sequence[int], adapter: str) -> torch.Tensor:
        """Read the next piece of the one prompt in `cache`."""
        positions = torch.arange(cache.columns, cache.columns + len(piece))[None]
        return self._forward(cache, torch.tensor([piece]), positions, [len(piece)], [adapter])

    def write(self, cache: SharedCache, tokens: Sequence[int], adapters: Sequence[str]) -> torch.Tensor:
        """One step: the last token of each row."""
        positions = torch.tensor(cache.lengths)[:, None]
        return self._forward(cache, torch.tensor(tokens)[:, None], positions, [1] * len(tokens), adapters)

    def _forward(
        self, cache: SharedCache, ids: torch.Tensor, positions: torch.Tensor, added: list[int], adapters: Sequence[str]
    ) -> torch.Tensor:
        device = self.model.device
        self.bank.use(adapters)
        cache.make_room(ids.shape[1])
        mask = cache.mask(added)
        with self._threads.chosen(ids.numel()):
            out = self.model(
                input_ids=ids.to(device), position_ids=positions.to(device), past_key_values=cache, use_cache=True,
                attention_mask=None if mask is None else mask.to(device), logits_to_keep=1,
            )  # fmt: skip
        cache.advance(added)
        return out.logits[:, -1].float().cpu()
