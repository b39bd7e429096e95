"""Masked atoms and bonds: as many as asked for, both directions of a bond alike, tokens untouched."""

from __future__ import annotations

import pytest
import torch
from tiny_models import batch_of, batch_of_smiles

from molvae.nn.feature_masking import corrupted


def test_nothing_and_everything():
    batch = batch_of()
    assert torch.equal(corrupted(batch, 0.0).x, batch.x)
    assert torch.equal(corrupted(batch, 0.0).edge_attr, batch.edge_attr)
    blank = corrupted(batch, 1.0)
    assert int(blank.x.max()) == int(blank.edge_attr.max()) == 0
    assert torch.equal(blank.tokens, batch.tokens)
    assert torch.equal(blank.edge_index, batch.edge_index)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_share_is_masked_row_by_row(share):
    torch.manual_seed(0)
    batch = batch_of_smiles(*["CC(=O)Oc1ccccc1C(=O)O"] * 300)
    out = corrupted(batch, share)
    masked = (out.x == 0).all(1)
    assert float(masked.float().mean()) == pytest.approx(share, abs=0.03)
    assert torch.equal(out.x[~masked], batch.x[~masked])
    changed = (out.edge_attr != batch.edge_attr).any(1)
    forward, backward = changed.chunk(2)
    assert torch.equal(forward, backward)
    assert int(out.edge_attr[changed].max()) == 0


def test_an_atom_without_bonds():
    assert corrupted(batch_of_smiles("C"), 0.5).edge_attr.shape == (0, 4)
