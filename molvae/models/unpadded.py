"""Gated recurrent units over strings of different lengths, with no work on padding: for CPUs.

A batch of drug-like SMILES padded to its longest string is more than half padding, and PyTorch's GRU computes all of
it; given a packed sequence it is slower still on a CPU. Here the strings are sorted by length and step t works on those
that are still running; what all steps share, the products with the input and the gradients of the weights, are
single products over all symbols. The result is that of `torch.nn.GRU`, to rounding.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@torch.compiler.disable  # type: ignore[untyped-decorator]
def unpadded_gru(gru: nn.GRU, x: Tensor, first: Tensor, lengths: Tensor) -> Tensor:
    """What `gru` makes of x (B x L x E) from its first states (B x layers x H), B x L x H, 0 beyond `lengths` (B)."""
    order = lengths.argsort(descending=True)
    running = lengths[order] > torch.arange(x.shape[1])[:, None]  # L x B
    step, place = running.nonzero(as_tuple=True)  # of N symbols, step after step
    row = order[place]
    sizes = [size for size in running.sum(1).tolist() if size]
    y = x[row, step]  # N x E
    for layer in range(gru.num_layers):
        if layer:
            y = functional.dropout(y, gru.dropout, gru.training)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = (getattr(gru, f"{name}_l{layer}") for name in names)
        y = _Layer.apply(y, first[order, layer], *weights, sizes)  # type: ignore[no-untyped-call]
    return x.new_zeros(*x.shape[:2], gru.hidden_size).index_put((row, step), y)


class _Layer(torch.autograd.Function):
    """One layer over symbols in the order of their steps; step t has the first `sizes[t]` strings, never more than t-1.

    With states h, gates r, z and candidate n (Cho et al. 2014, in PyTorch's form):
    n' = tanh(x W_n + r (h U_n)), h' = (1 - z) n' + z h. Columns of the gates are r, z, n.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, first: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, sizes: list[int]
    ) -> Tensor:
        width = first.shape[1]
        gates = functional.linear(x, w_ih, b_ih)  # N x 3H, first the input's part, then what the gates were
        candidate = x.new_empty(len(x), width)  # h U_n
        y = x.new_empty(len(x), width)
        state, turned = first, w_hh.t().contiguous()
        for start, end in pairwise(_starts(sizes)):
            state = state[: end - start]
            own = torch.addmm(b_hh, state, turned)
            opened = gates[start:end, : 2 * width].add_(own[:, : 2 * width]).sigmoid_()
            candidate[start:end] = own[:, 2 * width :]
            new = gates[start:end, 2 * width :].addcmul_(opened[:, :width], candidate[start:end]).tanh_()
            state = torch.lerp(new, state, opened[:, width:], out=y[start:end])
        ctx.save_for_backward(x, first, w_ih, w_hh, gates, candidate, y)
        ctx.sizes = sizes
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, first, w_ih, w_hh, gates, candidate, y = ctx.saved_tensors
        (into_y,) = grads
        width = first.shape[1]
        before = _states_before(y, first, ctx.sizes)  # N x H
        r, z, n = gates.split(width, dim=1)
        # what a change of the new state does to each gate's sum, before it is known how large that change is
        by_n = (1 - z) * (1 - n.square())
        by_gates = torch.cat([by_n * candidate * r * (1 - r), (before - n) * z * (1 - z), by_n * r], dim=1)  # N x 3H
        state = torch.zeros_like(first)  # gradient of the state after a step, B x H
        changes = torch.empty_like(y)
        starts = _starts(ctx.sizes)
        for start, end in reversed(list(pairwise(starts))):
            now = state[: end - start]
            change = torch.add(now, into_y[start:end], out=changes[start:end])
            by_gates[start:end].view(-1, 3, width).mul_(change[:, None])
            torch.mul(change, z[start:end], out=now)
            now.addmm_(by_gates[start:end], w_hh)
        into_w_hh, into_b_hh = by_gates.t() @ before, by_gates.sum(0)
        by_gates[:, 2 * width :] = by_n.mul_(changes)  # the input's part of n is not multiplied by r
        return by_gates @ w_ih, state, by_gates.t() @ x, into_w_hh, by_gates.sum(0), into_b_hh, None


def _starts(sizes: list[int]) -> list[int]:
    """Where each step's symbols begin, and the end of the last's."""
    return [0, *torch.tensor(sizes, dtype=torch.long).cumsum(0).tolist()]


def _states_before(y: Tensor, first: Tensor, sizes: list[int]) -> Tensor:
    """The state that each step began with: the first, then what the step before left."""
    left = y.split(sizes)
    return torch.cat([first[: sizes[0]], *(left[t - 1][:size] for t, size in enumerate(sizes) if t)])
