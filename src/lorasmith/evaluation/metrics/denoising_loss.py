"""How well a diffusion model tells noise from picture, given the text: what it is trained on."""

from __future__ import annotations

from collections.abc import Sequence

from lorasmith.evaluation._base import Answered, Metric, Parts, ratio, sums


class DenoisingLoss(Metric):
    """Mean square of what is left, at fixed levels of noise (families/_learning_drawing.py)."""

    name = "denoising_loss"
    title = "Denoising loss"
    higher_is_better = False
    needs_answers = False
    is_share = False

    def parts(self, row: Answered) -> Parts:
        return row.nll, float(row.tokens)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        return {self.name: ratio(*sums(parts))}


plugin = DenoisingLoss()
