"""Corruption of the input: a de-noising autoencoder encodes a damaged graph and writes the whole molecule.

After Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders".
"""

from __future__ import annotations

from dataclasses import replace

import torch

from molvae.data.graph_dataset import GraphBatch


def corrupted(batch: GraphBatch, share: float) -> GraphBatch:
    """The batch with the features of a random `share` of atoms and of bonds masked; its tokens stay whole.

    A masked atom has every feature 0: a wildcard with a charge that no molecule has. A masked bond becomes a
    plain single one, in both directions. Drawn from torch's generator.
    """
    bonds = torch.rand(len(batch.edge_attr) // 2, 1, device=batch.edge_attr.device) < share
    atoms = torch.rand(len(batch.x), 1, device=batch.x.device) < share
    return replace(
        batch, x=batch.x.masked_fill(atoms, 0), edge_attr=batch.edge_attr.masked_fill(torch.cat([bonds, bonds]), 0)
    )
