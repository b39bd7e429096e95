"""What belongs together in a batch, atoms of a molecule or bonds of an atom: sums, softmaxes, rows side by side.

As in `torch_geometric.utils`, to the last digit; but importing that takes longer than importing torch, and a model
whose encoder is a D-MPNN, as those that ship, needs nothing else of it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def segment_sum(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """values N x W of owners N, each 0 to `count` - 1 -> count x W."""
    zeros = values.new_zeros(count, values.shape[1])
    return zeros.scatter_add_(0, owner[:, None].expand_as(values), values)


def segment_softmax(scores: Tensor, owner: Tensor, count: int) -> Tensor:
    """Column by column over the rows of an owner: N x W -> N x W."""
    index = owner[:, None].expand_as(scores)
    peak = scores.new_zeros(count, scores.shape[1])
    peak.scatter_reduce_(0, index, scores.detach(), "amax", include_self=False)
    out = (scores - peak.index_select(0, owner)).exp()
    total = segment_sum(out, owner, count) + 1e-16
    return out / total.index_select(0, owner)


def side_by_side(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """values N x W of ascending owners -> count x L x W, zeros behind the rows of an owner; L: of the one with most."""
    sizes = torch.zeros(count, dtype=torch.long, device=owner.device).scatter_add_(0, owner, torch.ones_like(owner))
    before = sizes.cumsum(0) - sizes
    longest = int(sizes.max()) if count else 0
    place = owner * longest + torch.arange(len(owner), device=owner.device) - before[owner]
    out = values.new_zeros(count * longest, values.shape[1])
    out[place] = values
    return out.view(count, longest, values.shape[1])
