"""Gated recurrent units over strings of different lengths, with no work on padding: for CPUs.

A batch of drug-like SMILES padded to its longest string is more than half padding, and PyTorch's GRU computes all of
it; given a packed sequence it is slower still on a CPU. Here the strings are sorted by length and step t works on those
that are still running; what all steps share, the products with the input and the gradients of the weights, are
single products over all symbols. The result is that of `torch.nn.GRU`, to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Symbols:
    """The N symbols of B strings, step after step, those of a step by falling length of their strings."""

    order: Tensor  # the strings by falling length, B
    row: Tensor  # of each symbol, N
    step: Tensor  # of each symbol, N
    sizes: list[int]  # how many strings have a symbol at each step

    @classmethod
    def of(cls, lengths: Tensor) -> Self:
        """Of strings with these lengths, B."""
        order = lengths.argsort(descending=True)
        running = lengths[order] > torch.arange(int(lengths.max()))[:, None]  # L x B
        step, place = running.nonzero(as_tuple=True)
        return cls(order, order[place], step, running.sum(1).tolist())

    def padded(self, values: Tensor, length: int) -> Tensor:
        """N x C, one row per symbol, as B x length x C, 0 where there is no symbol."""
        blank = values.new_zeros(len(self.order), length, values.shape[1])
        return blank.index_put((self.row, self.step), values)


def unpadded_gru(gru: nn.GRU, gates: Tensor, first: Tensor, symbols: Symbols) -> Tensor:
    """What `gru` makes of its input from its first states (B x layers x H): the state after each symbol, N x H.

    `gates` (N x 3H) is what the input adds to the first layer's gates, weight_ih_l0 @ input + bias_ih_l0. It is written
    over.
    """
    y = gates
    for layer in range(gru.num_layers):
        if layer:
            y = functional.dropout(y, gru.dropout, gru.training)
            y = functional.linear(y, getattr(gru, f"weight_ih_l{layer}"), getattr(gru, f"bias_ih_l{layer}"))
        weight, bias = getattr(gru, f"weight_hh_l{layer}"), getattr(gru, f"bias_hh_l{layer}")
        y = _Layer.apply(y, first[symbols.order, layer], weight, bias, symbols.sizes)  # type: ignore[no-untyped-call]
    return y


class _Layer(torch.autograd.Function):
    """One layer over symbols in the order of their steps; step t has the first `sizes[t]` strings, never more than t-1.

    With states h, gates r, z and candidate n (Cho et al. 2014, in PyTorch's form):
    n' = tanh(x W_n + r (h U_n)), h' = (1 - z) n' + z h. Columns of the gates are r, z, n.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, gates: Tensor, first: Tensor, weight: Tensor, bias: Tensor, sizes: list[int]
    ) -> Tensor:
        width = first.shape[1]  # gates: N x 3H, first the input's part, then what the gates were
        candidate = gates.new_empty(len(gates), width)  # h U_n
        y = gates.new_empty(len(gates), width)
        state, turned = first, weight.t().contiguous()
        for start, end in pairwise(_starts(sizes)):
            state = state[: end - start]
            own = torch.addmm(bias, state, turned)
            opened = gates[start:end, : 2 * width].add_(own[:, : 2 * width]).sigmoid_()
            candidate[start:end] = own[:, 2 * width :]
            new = gates[start:end, 2 * width :].addcmul_(opened[:, :width], candidate[start:end]).tanh_()
            state = torch.lerp(new, state, opened[:, width:], out=y[start:end])
        ctx.save_for_backward(first, weight, candidate, y)
        ctx.gates, ctx.sizes = gates, sizes  # an input, but not to autograd: nothing else has its present values
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        first, weight, candidate, y = ctx.saved_tensors
        (into_y,) = grads
        width = first.shape[1]
        before = _states_before(y, first, ctx.sizes)  # N x H
        r, z, n = ctx.gates.split(width, dim=1)
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
            now.addmm_(by_gates[start:end], weight)
        into_weight, into_bias = by_gates.t() @ before, by_gates.sum(0)
        by_gates[:, 2 * width :] = by_n.mul_(changes)  # the input's part of n is not multiplied by r
        return by_gates, state, into_weight, into_bias, None


def _starts(sizes: list[int]) -> list[int]:
    """Where each step's symbols begin, and the end of the last's."""
    return [0, *torch.tensor(sizes, dtype=torch.long).cumsum(0).tolist()]


def _states_before(y: Tensor, first: Tensor, sizes: list[int]) -> Tensor:
    """The state that each step began with: the first, then what the step before left."""
    left = y.split(sizes)
    return torch.cat([first[: sizes[0]], *(left[t - 1][:size] for t, size in enumerate(sizes) if t)])
