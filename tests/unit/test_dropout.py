"""The sparse dropout drops as often as torch's, scales as torch's, and passes gradients where it passed values."""

from __future__ import annotations

import pytest
import torch

from lorasmith.workers.dropout import SparseDropout


@pytest.mark.parametrize("p", [0.01, 0.05, 0.3])
def test_rate_and_scale_are_those_of_dropout(p):
    torch.manual_seed(0)
    values = torch.ones(2000, 500)
    out = SparseDropout(p).train()(values)
    assert (out == 0).float().mean().item() == pytest.approx(p, rel=0.02)
    assert out.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)])
    assert out.mean().item() == pytest.approx(1.0, rel=0.01)


def test_gradients_pass_exactly_where_values_did():
    torch.manual_seed(0)
    values = torch.randn(40, 50, requires_grad=True)
    out = SparseDropout(0.2).train()(values)
    out.sum().backward()
    assert torch.equal(values.grad, torch.where(out == 0, 0.0, 1 / 0.8))


def test_it_is_off_outside_training_and_follows_the_generator_in_it():
    """REL-5"""
    values = torch.randn(100, 30)
    dropout = SparseDropout(0.1)
    assert torch.equal(dropout.eval()(values), values)
    dropout.train()
    torch.manual_seed(5)
    first = dropout(values)
    torch.manual_seed(5)
    assert torch.equal(dropout(values), first)
    assert not torch.equal(dropout(values), first)
