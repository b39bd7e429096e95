"""The decoders one symbol at a time, for writing: what stays the same while a string is written is computed once.

A stepper is made of a trained decoder and holds its weights arranged for steps of many strings side by side. Its
tensors are written in place and keep their shapes, so that a step can be captured on a GPU. The interface:

    begun = stepper.begin(z, noise level)      what a string needs at its beginning: tensors with a row per latent
    state = stepper.state(begun, index)   room for len(index) strings in work, which begin as the rows `index`
    logits = stepper.step(symbols, state) ids S -> S x V, and the state moves on by these symbols
    state.restart(slots, ended, ...)      of the strings in these slots, those that ended give way to others
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.errors import InputError
from molvae.nn.decoders import Block, GRUDecoder, TransformerDecoder

PRECISIONS = ("auto", "32", "bf16", "int8")

Begun = tuple[Tensor, ...]


class State:
    """What `step` needs of the symbols so far, with a row per string; the first tensors are as they began."""

    def __init__(self, begun: Begun, *kept: Tensor) -> None:
        self.begun, self.kept = begun, kept

    def restart(self, slots: Tensor, ended: Tensor, begun: Begun, rows: Tensor) -> None:
        """Where `ended` says so, the string in a slot gives way to one that begins as its row; all are K long.

        What is kept of the old string stays, and is never looked at again.
        """
        for mine, theirs in zip(self.begun, begun, strict=True):
            there = ended if theirs.dim() == 1 else ended[:, None]
            mine[slots] = torch.where(there, theirs[rows], mine[slots])


class Stepper(Protocol):
    """A decoder that writes."""

    def begin(self, z: Tensor, noise_level: Tensor) -> Begun: ...
    def state(self, begun: Begun, index: Tensor) -> State: ...
    def step(self, symbols: Tensor, state: State) -> Tensor: ...


def stepper_of(decoder: GRUDecoder | TransformerDecoder, precision: str = "auto") -> Stepper:
    """The decoder, ready to write with products of this `precision`; one of PRECISIONS.

    "auto" is bf16 on a GPU, int8 on a CPU that has instructions for it, and otherwise 32. Raises `InputError` for an
    unknown precision, and for int8 on a GPU.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}; got {precision!r}")
    weight = decoder.output.weight
    if precision == "int8" and weight.device.type != "cpu":
        raise InputError("precision int8 is for CPUs: choose bf16 or 32 on a GPU")
    kind = _best(weight.device) if precision == "auto" else precision
    return GRUStepper(decoder, kind) if isinstance(decoder, GRUDecoder) else TransformerStepper(decoder, kind)


def _best(device: torch.device) -> str:
    if device.type != "cpu":
        return "bf16"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "int8" if capabilities.get("avx512_vnni") or capabilities.get("avx_vnni") else "32"


class GRUStepper:
    """The symbols' and the latent's parts of the first layer's gates are products of fixed matrices: looked up.

    Gates stand in the order of `nn.GRU`, reset, update, new. Here the new state's are twice as large, which rounds
    nothing: tanh(x) is 2 sigmoid(2x) - 1, and on a CPU its own kernel takes three times as long.
    """

    def __init__(self, decoder: GRUDecoder, precision: str) -> None:
        self.decoder, self.width, self.layers = decoder, decoder.width, decoder.layers
        weights = {name: self._twice_new(weight) for name, weight in decoder.gru.named_parameters()}
        inputs = [weights[f"weight_ih_l{i}"] for i in range(self.layers)]
        biases = [self._input_bias(weights[f"bias_ih_l{i}"], weights[f"bias_hh_l{i}"]) for i in range(self.layers)]
        self.first, self.first_bias = inputs[0], biases[0]
        self.symbols = decoder.embedding.weight @ self.first.T  # V x 3H
        self.between = [
            _product(weight, bias, precision, bounded=True) for weight, bias in zip(inputs[1:], biases[1:], strict=True)
        ]
        self.cells = [
            _Cell(weights[f"weight_hh_l{i}"], weights[f"bias_hh_l{i}"], precision) for i in range(self.layers)
        ]
        self.output = _Output(decoder, precision, bounded=True)

    def _twice_new(self, weight: Tensor) -> Tensor:
        return torch.cat([weight[: 2 * self.width], weight[2 * self.width :] * 2])

    def _input_bias(self, of_input: Tensor, of_state: Tensor) -> Tensor:
        """The biases that are but added to the gates: all but that of the state's part of the new, which is reset."""
        return torch.cat([(of_input + of_state)[: 2 * self.width], of_input[2 * self.width :]])

    def begin(self, z: Tensor, noise_level: Tensor) -> Begun:
        bias, hidden = self.decoder.start(z, noise_level)
        gates = functional.linear(bias, self.first, self.first_bias)
        return *self.output.begin(z, noise_level), gates, *hidden.unbind(1)

    def state(self, begun: Begun, index: Tensor) -> State:
        return State(tuple(tensor[index] for tensor in begun))

    def step(self, symbols: Tensor, state: State) -> Tensor:
        offer, written, gates, *hidden = state.begun
        x = self.symbols.index_select(0, symbols).add_(gates)
        for layer, h in enumerate(hidden):
            self.cells[layer](x, h)
            if layer + 1 < self.layers:
                x = self.between[layer](h)
        return self.output(hidden[-1], offer, written)


class _Cell:
    """Moves the state h, S x H, on by what the input adds to its gates, S x 3H; both are written to."""

    def __init__(self, weight: Tensor, bias: Tensor, precision: str) -> None:
        self.width = weight.shape[1]
        reset_update, new = weight.split([2 * self.width, self.width])
        self.reset_update = _product(reset_update, torch.zeros_like(bias[: 2 * self.width]), precision, bounded=True)
        self.new = _product(new, bias[2 * self.width :], precision, bounded=True)

    def __call__(self, x: Tensor, h: Tensor) -> None:
        reset_update, new = x.split([2 * self.width, self.width], dim=1)
        reset, update = self.reset_update.onto(reset_update, h).sigmoid_().chunk(2, dim=1)
        new.addcmul_(reset, self.new(h)).sigmoid_().mul_(2).sub_(1)
        torch.lerp(new, h, update, out=h)


class TransformerStepper:
    """Keys and values of the symbols so far are kept, S x heads x length x d for each block."""

    def __init__(self, decoder: TransformerDecoder, precision: str) -> None:
        self.decoder = decoder
        self.blocks = [_BlockStepper(block, precision) for block in decoder.blocks if isinstance(block, Block)]
        self.output = _Output(decoder, precision)

    def begin(self, z: Tensor, noise_level: Tensor) -> Begun:
        return *self.output.begin(z, noise_level), self.decoder.condition(z, noise_level)

    def state(self, begun: Begun, index: Tensor) -> State:
        offer, written, condition = (tensor[index] for tensor in begun)
        heads, length = self.blocks[0].heads, self.decoder.position.num_embeddings
        shape = (len(index), heads, length, condition.shape[1] // heads)
        return State((offer, written, condition), *(condition.new_zeros(shape) for _ in range(2 * len(self.blocks))))

    def step(self, symbols: Tensor, state: State) -> Tensor:
        offer, written, condition = state.begun
        x = self.decoder.embedding(symbols) + self.decoder.position(written) + condition
        # S x 1 x 1 x L: a new string does not see what the last one left behind
        seen = (torch.arange(state.kept[0].shape[2], device=x.device) <= written[:, None])[:, None, None]
        for i, block in enumerate(self.blocks):
            x = block(x, state.kept[2 * i], state.kept[2 * i + 1], written, seen)
        return self.output(self.decoder.norm(x), offer, written)


class _BlockStepper:
    def __init__(self, block: Block, precision: str) -> None:
        self.block, self.heads = block, block.heads
        layers = (layer for layer in (block.qkv, block.out, *block.mlp) if isinstance(layer, nn.Linear))
        self.qkv, self.out, self.up, self.down = (_product(x.weight, x.bias, precision) for x in layers)

    def __call__(self, x: Tensor, keys: Tensor, values: Tensor, written: Tensor, seen: Tensor) -> Tensor:
        rows, heads = torch.arange(len(x), device=x.device), self.heads
        q, k, v = self.qkv(self.block.before_attention(x)).view(len(x), 3, heads, -1).unbind(1)  # each S x heads x d
        keys[rows, :, written], values[rows, :, written] = k, v
        y = functional.scaled_dot_product_attention(q[:, :, None], keys, values, seen)
        x = x + self.out(y.flatten(1))
        return x + self.down(functional.gelu(self.up(self.block.before_mlp(x))))


class _Output:
    """The last layer, and what the state reads of z where the decoder has a reading; counts the symbols written."""

    def __init__(self, decoder: GRUDecoder | TransformerDecoder, precision: str, *, bounded: bool = False) -> None:
        self.reading, self.max_length = decoder.reading, decoder.max_length
        layers: list[nn.Linear] = [decoder.output]
        if self.reading is not None:
            self.places = self.reading.places()
            layers.insert(0, self.reading.ask)
        # one product for what is asked and the state's own logits; GPUs are slower where its width is no multiple of 8
        spare = -sum(layer.out_features for layer in layers) % 8
        self.sizes = [sum(layer.out_features for layer in layers[:-1]), decoder.output.out_features, spare]
        weight = functional.pad(torch.cat([layer.weight for layer in layers]), (0, 0, 0, spare))
        bias = functional.pad(torch.cat([layer.bias for layer in layers]), (0, spare))
        self.product = _product(weight, bias, precision, bounded=bounded)

    def begin(self, z: Tensor, noise_level: Tensor) -> Begun:
        """What the latents have to offer, S x R (S x 0 where nothing is read), and no symbol written, S."""
        offer = z[:, :0] if self.reading is None else self.reading.offer(z, noise_level)
        return offer, torch.zeros(len(z), dtype=torch.long, device=z.device)

    def __call__(self, states: Tensor, offer: Tensor, written: Tensor) -> Tensor:
        """S x H -> S x V, and one more symbol is written."""
        parts: tuple[Tensor, ...] = self.product(states).split(self.sizes, dim=1)
        asked, logits, _ = parts
        if self.reading is not None:  # the answer is a small product, and has the rounding of two others before it
            asked.add_(self.places.index_select(0, written)).mul_(offer)
            logits.addmm_(asked, self.reading.answer.weight.T)
        written.add_(1).clamp_(max=self.max_length)  # strings that ended run along
        return logits


def _product(weight: Tensor, bias: Tensor, precision: str, *, bounded: bool = False) -> _Product:
    """The linear layer x W^T + b with products of a precision; `bounded`: x is known to lie in -1 to 1."""
    if precision == "int8":
        return _Int8(weight, bias, bounded)
    return _Bf16(weight, bias) if precision == "bf16" else _Full(weight, bias)


class _Product(Protocol):
    """A linear layer, S x K -> S x N, of float32."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def onto(self, y: Tensor, x: Tensor) -> Tensor:
        """The products, without the bias, are added to y, S x N, in place."""
        ...


class _Full:
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.T, bias  # K x N, N

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)

    def onto(self, y: Tensor, x: Tensor) -> Tensor:
        return y.addmm_(x, self.weight)


class _Bf16:
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.bfloat16(), bias.bfloat16()

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x.bfloat16(), self.weight, self.bias).float()

    def onto(self, y: Tensor, x: Tensor) -> Tensor:
        return y.add_(functional.linear(x.bfloat16(), self.weight))


class _Int8:
    """Weights in 8 bits with a scale per output, inputs in 8 bits with a scale per row: sums of integers are exact.

    So a row's result does not depend on the rows beside it, to the last bit.
    """

    def __init__(self, weight: Tensor, bias: Tensor, bounded: bool) -> None:
        scale = weight.abs().amax(1).clamp(min=1e-12) / 127
        self.weight = (weight / scale[:, None]).round().to(torch.int8).T.contiguous()  # K x N
        self.scale, self.bias, self.bounded = scale / 127 if bounded else scale, bias, bounded

    def __call__(self, x: Tensor) -> Tensor:
        return self._products(x).add_(self.bias)

    def onto(self, y: Tensor, x: Tensor) -> Tensor:
        return y.add_(self._products(x))

    def _products(self, x: Tensor) -> Tensor:
        if self.bounded:
            return torch._int_mm((x * 127).round_().to(torch.int8), self.weight).mul(self.scale)
        size = x.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        return torch._int_mm((x / size).round_().to(torch.int8), self.weight).mul(self.scale).mul_(size)
