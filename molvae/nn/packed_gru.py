"""GRU over sequences of different lengths without computation on padding, for CPUs.

More than half of a padded batch of drug-like SMILES is padding. `torch.nn.GRU` computes the padding as well, and
with a packed sequence it is even slower on a CPU. Here sequences are sorted by length, and step t computes only those
that have a token t. The products with the inputs and the gradients of the weights are single products over all tokens.
The result equals that of `torch.nn.GRU` up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class PackedTokens:
    """Layout of the N tokens of B sequences: sorted by step, and within a step by decreasing sequence length.

    Parameters
    ----------
    order : Tensor, shape (B,)
        Sequences by decreasing length.
    row : Tensor, shape (N,)
        Sequence of each token.
    step : Tensor, shape (N,)
        Position of each token in its sequence.
    batch_sizes : list of int
        Number of sequences that have a token at each step, as in `torch.nn.utils.rnn.PackedSequence`.
    """

    order: Tensor
    row: Tensor
    step: Tensor
    batch_sizes: list[int]

    @classmethod
    def from_lengths(cls, lengths: Tensor) -> Self:
        """Lay out sequences of these lengths, shape (B,)."""
        order = lengths.argsort(descending=True)
        present = lengths[order] > torch.arange(int(lengths.max()))[:, None]  # L x B
        step, column = present.nonzero(as_tuple=True)
        return cls(order, order[column], step, present.sum(1).tolist())

    def to_padded(self, values: Tensor, length: int) -> Tensor:
        """Values per token (N, C) as a padded tensor (B, length, C); padding is 0."""
        padded = values.new_zeros(len(self.order), length, values.shape[1])
        return padded.index_put((self.row, self.step), values)


def packed_gru(gru: nn.GRU, gates: Tensor, initial: Tensor, packed: PackedTokens) -> Tensor:
    """Run a GRU over packed tokens.

    Parameters
    ----------
    gru : nn.GRU
        Weights, number of layers and dropout.
    gates : Tensor, shape (N, 3H)
        Contribution of the inputs to the gates of the first layer, ``weight_ih_l0 @ input + bias_ih_l0``. Overwritten.
    initial : Tensor, shape (B, layers, H)
        Initial states.
    packed : PackedTokens
        Layout of the tokens.

    Returns
    -------
    Tensor, shape (N, H)
        State of the last layer after each token.
    """
    y = gates
    for layer in range(gru.num_layers):
        if layer:
            y = functional.dropout(y, gru.dropout, gru.training)
            y = functional.linear(y, getattr(gru, f"weight_ih_l{layer}"), getattr(gru, f"bias_ih_l{layer}"))
        weight, bias = getattr(gru, f"weight_hh_l{layer}"), getattr(gru, f"bias_hh_l{layer}")
        states = initial[packed.order, layer]
        y = _PackedGRULayer.apply(y, states, weight, bias, packed.batch_sizes)  # type: ignore[no-untyped-call]
    return y


class _PackedGRULayer(torch.autograd.Function):
    """One GRU layer over packed tokens, with its gradient.

    With state h, gates r and z, and candidate n (Cho et al. 2014, in the form of PyTorch):
    n = tanh(x W_n + r (h U_n)), h' = (1 - z) n + z h. The columns of `gates` are r, z, n.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, gates: Tensor, initial: Tensor, weight: Tensor, bias: Tensor, batch_sizes: list[int]
    ) -> Tensor:
        dim = initial.shape[1]  # gates: N x 3H, first the contribution of the inputs, then the activated gates
        recurrent_candidate = gates.new_empty(len(gates), dim)  # h U_n
        y = gates.new_empty(len(gates), dim)
        state, weight_t = initial, weight.t().contiguous()
        for start, end in pairwise(_offsets(batch_sizes)):
            state = state[: end - start]
            recurrent = torch.addmm(bias, state, weight_t)
            reset_update = gates[start:end, : 2 * dim].add_(recurrent[:, : 2 * dim]).sigmoid_()
            recurrent_candidate[start:end] = recurrent[:, 2 * dim :]
            candidate = gates[start:end, 2 * dim :]
            candidate.addcmul_(reset_update[:, :dim], recurrent_candidate[start:end]).tanh_()
            state = torch.lerp(candidate, state, reset_update[:, dim:], out=y[start:end])
        ctx.save_for_backward(initial, weight, recurrent_candidate, y)
        ctx.gates, ctx.batch_sizes = gates, batch_sizes  # modified in place, so it cannot be saved for backward
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        initial, weight, recurrent_candidate, y = ctx.saved_tensors
        (grad_y,) = grads
        dim = initial.shape[1]
        previous = _previous_states(y, initial, ctx.batch_sizes)  # N x H
        r, z, n = ctx.gates.split(dim, dim=1)
        # derivatives of the new state with respect to each gate's pre-activation; multiplied by its gradient below
        d_candidate = (1 - z) * (1 - n.square())
        grad_gates = torch.cat(
            [d_candidate * recurrent_candidate * r * (1 - r), (previous - n) * z * (1 - z), d_candidate * r], dim=1
        )  # N x 3H
        grad_state = torch.zeros_like(initial)  # gradient of the state after a step, B x H
        grad_states = torch.empty_like(y)
        for start, end in reversed(list(pairwise(_offsets(ctx.batch_sizes)))):
            running = grad_state[: end - start]
            grad = torch.add(running, grad_y[start:end], out=grad_states[start:end])
            grad_gates[start:end].view(-1, 3, dim).mul_(grad[:, None])
            torch.mul(grad, z[start:end], out=running)
            running.addmm_(grad_gates[start:end], weight)
        grad_weight, grad_bias = grad_gates.t() @ previous, grad_gates.sum(0)
        grad_gates[:, 2 * dim :] = d_candidate.mul_(grad_states)  # the input's part of n is not multiplied by r
        return grad_gates, grad_state, grad_weight, grad_bias, None


def _offsets(batch_sizes: list[int]) -> list[int]:
    """Index of the first token of each step, and the total number of tokens."""
    return [0, *torch.tensor(batch_sizes, dtype=torch.long).cumsum(0).tolist()]


def _previous_states(y: Tensor, initial: Tensor, batch_sizes: list[int]) -> Tensor:
    """State before each token, shape (N, H)."""
    steps = y.split(batch_sizes)
    return torch.cat([initial[: batch_sizes[0]], *(steps[t - 1][:size] for t, size in enumerate(batch_sizes) if t)])
