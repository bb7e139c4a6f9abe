"""How likely a model finds the two answers of preference rows, and what follows from that. It generates and learns nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from lorasmith.workers.measure import answer_scores, by_length
from lorasmith.workers.rows import Rows


class Likelihoods(NamedTuple):
    """Of each row's two answers, arrays of shape (rows, 2): summed log-probability in nats, and tokens."""

    logps: np.ndarray
    tokens: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """Log-probability a token."""
        return self.logps / self.tokens


def answer_logps(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed log-probability of the labelled tokens of each row of a batch, and their number."""
    scores, owner = answer_scores(model, batch)
    rows = len(batch["input_ids"])
    logps = scores.nll.new_zeros(rows).index_add(0, owner, -scores.nll)
    return logps, torch.bincount(owner, minlength=rows)


@torch.no_grad()
def likelihoods(
    model: Any, rows: Rows, *, batch_tokens: int, pad: int, device: str, on_rows: Callable[[int], None] = lambda _: None
) -> Likelihoods:
    """Of every row of `rows`, in order; `on_rows` is called with the number of rows done."""
    found = Likelihoods(np.zeros((len(rows), 2), np.float32), np.ones((len(rows), 2), np.int64))
    was_training, done = model.training, 0
    model.eval()
    for indices in by_length(rows.lengths, batch_tokens):
        batch = {name: tensor.to(device) for name, tensor in rows.pairs(indices, pad).items()}
        for array, values in zip(found, answer_logps(model, batch), strict=True):
            array[indices] = values.view(2, -1).T.cpu().numpy()
        done += len(indices)
        on_rows(done)
    model.train(was_training)
    return found


def summary(found: Likelihoods, rows: Rows, objective: str) -> dict[str, float]:
    """What can be said of any model, trained on these preferences or not.

    `preferred`: the share of pairs whose chosen answer is the likelier one a token; of single judgements (KTO), that of all
    combinations of a liked and a disliked answer whose liked one is. `answer_loss`: nats a token of the answers to be preferred.
    """
    means = found.means.astype(np.float64)
    if objective != "kto":
        good, wins = np.ones(len(rows), bool), means[:, 0] > means[:, 1]
    else:
        good = rows.liked
        wins = means[good, 0][:, None] > means[~good, 0][None, :]
    said = {"preferred": float(wins.mean())} if wins.size else {}
    if good.any():
        said["answer_loss"] = -float(found.logps[good, 0].sum(dtype=np.float64) / found.tokens[good, 0].sum())
    return said


def is_finite(said: dict[str, float]) -> bool:
    return all(math.isfinite(value) for value in said.values())
