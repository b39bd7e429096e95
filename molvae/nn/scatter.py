"""Sums, softmaxes and dense batches over groups of rows, such as the atoms of a molecule.

The functions give the same results as `scatter`, `softmax` and `to_dense_batch` of `torch_geometric.utils`. They are
reimplemented because importing torch_geometric takes longer than importing torch, and the D-MPNN encoder of the
shipped models uses nothing else of it. The softmax takes 0.87 of the time (benchmarks/pyg_layers.md).
"""

from __future__ import annotations

import torch
from torch import Tensor


def scatter_sum(src: Tensor, index: Tensor, dim_size: int) -> Tensor:
    """Sum the rows of each group; `torch_geometric.utils.scatter` with ``reduce="sum"``.

    Parameters
    ----------
    src : Tensor, shape (N, C)
        Rows.
    index : Tensor of int, shape (N,)
        Group of each row, 0 to ``dim_size - 1``, in any order.
    dim_size : int
        Number of groups.

    Returns
    -------
    Tensor, shape (dim_size, C)
    """
    zeros = src.new_zeros(dim_size, src.shape[1])
    return zeros.scatter_add_(0, index[:, None].expand_as(src), src)


def softmax(src: Tensor, index: Tensor, num_nodes: int) -> Tensor:
    """Softmax of each column within each group of rows, shape (N, C); see `scatter_sum` for the parameters."""
    expanded = index[:, None].expand_as(src)
    maximum = src.new_zeros(num_nodes, src.shape[1])
    maximum.scatter_reduce_(0, expanded, src.detach(), "amax", include_self=False)
    out = (src - maximum.index_select(0, index)).exp()
    total = scatter_sum(out, index, num_nodes) + 1e-16
    return out / total.index_select(0, index)


def to_dense_batch(x: Tensor, batch: Tensor, batch_size: int) -> Tensor:
    """Pad the rows of each group to the size of the largest group.

    Parameters
    ----------
    x : Tensor, shape (N, C)
        Rows.
    batch : Tensor of int, shape (N,)
        Group of each row, ascending.
    batch_size : int
        Number of groups.

    Returns
    -------
    Tensor, shape (batch_size, L, C)
        Rows of each group, followed by zeros. L is the size of the largest group.
    """
    sizes = torch.zeros(batch_size, dtype=torch.long, device=batch.device).scatter_add_(
        0, batch, torch.ones_like(batch)
    )
    offsets = sizes.cumsum(0) - sizes
    largest = int(sizes.max()) if batch_size else 0
    position = batch * largest + torch.arange(len(batch), device=batch.device) - offsets[batch]
    out = x.new_zeros(batch_size * largest, x.shape[1])
    out[position] = x
    return out.view(batch_size, largest, x.shape[1])
