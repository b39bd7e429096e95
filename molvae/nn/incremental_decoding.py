"""Incremental decoding: logits of one token at a time, after precomputing everything that is constant over a sequence.

An incremental decoder is built from a trained decoder and stores its weights in the layout and precision of sampling.
Its state tensors keep their shapes and are modified in place, so that a step can be captured as a CUDA graph. Usage::

    conditioning = decoder.condition(z, noise_level)          # tensors with one row per latent
    state = decoder.initial_state(conditioning, rows)         # S sequences that start from these rows
    logits = decoder.step(tokens, state)                      # ids (S,) -> (S, vocab_size); advances the state
    state.reset(slots, finished, conditioning, rows)          # start new sequences where old ones are finished
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.errors import InputError
from molvae.nn.decoders import GRUDecoder, TransformerDecoder
from molvae.nn.layers import TransformerBlock

PRECISIONS = ("auto", "32", "bf16", "int8")

Conditioning = tuple[Tensor, ...]
"""Tensors that a decoder derives from a latent and its noise level, one row per latent."""


class DecoderState:
    """State of S sequences in progress: their conditioning, and optional caches of past tokens (keys and values)."""

    def __init__(self, conditioning: Conditioning, *cache: Tensor) -> None:
        self.conditioning, self.cache = conditioning, cache

    def reset(self, slots: Tensor, finished: Tensor, conditioning: Conditioning, rows: Tensor) -> None:
        """Start new sequences in some slots.

        The cache of the old sequence is not cleared: attention is masked to the positions of the new one.

        Parameters
        ----------
        slots : Tensor of int, shape (K,)
            Slots to consider.
        finished : Tensor of bool, shape (K,)
            Which of them start a new sequence; the others continue.
        conditioning : Conditioning
            Output of `condition` for all latents.
        rows : Tensor of int, shape (K,)
            The row of `conditioning` for each slot.
        """
        for current, new in zip(self.conditioning, conditioning, strict=True):
            replace = finished if new.dim() == 1 else finished[:, None]
            current[slots] = torch.where(replace, new[rows], current[slots])


class IncrementalDecoder(Protocol):
    """Interface of the incremental decoders; see the module's docstring."""

    def condition(self, z: Tensor, noise_level: Tensor) -> Conditioning:
        """Conditioning of latents (B, latent_dim) with noise levels (B,)."""
        ...

    def initial_state(self, conditioning: Conditioning, rows: Tensor) -> DecoderState:
        """State of S new sequences that start from these rows (S,) of the conditioning."""
        ...

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Logits (S, vocab_size) of the token after `tokens` (S,); updates `state` in place."""
        ...


def incremental_decoder(decoder: GRUDecoder | TransformerDecoder, precision: str = "auto") -> IncrementalDecoder:
    """Build the incremental form of a trained decoder.

    Parameters
    ----------
    decoder : GRUDecoder or TransformerDecoder
        The decoder, in evaluation mode. Later changes of its weights have no effect.
    precision : {"auto", "32", "bf16", "int8"}
        Precision of matrix products. "auto" is bf16 on a GPU, int8 on a CPU with VNNI instructions, else 32.

    Raises
    ------
    InputError
        If the precision is unknown, or int8 is requested on a GPU.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    device = decoder.output.weight.device
    if precision == "int8" and device.type != "cpu":
        raise InputError("precision int8 is for CPUs: choose bf16 or 32 on a GPU")
    chosen = _fastest_precision(device) if precision == "auto" else precision
    if isinstance(decoder, GRUDecoder):
        return IncrementalGRU(decoder, chosen)
    return IncrementalTransformer(decoder, chosen)


def _fastest_precision(device: torch.device) -> str:
    if device.type != "cpu":
        return "bf16"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "int8" if capabilities.get("avx512_vnni") or capabilities.get("avx_vnni") else "32"


class IncrementalGRU:
    """Incremental GRU decoder.

    The gates of the first layer are sums of a row per token and a row per latent, which are precomputed. Gates are in
    the order of `nn.GRU`: reset, update, new. Weights of the new gate are doubled, because tanh(x) is computed as
    2 sigmoid(2x) - 1: doubling is exact, and on a CPU the kernel of tanh takes three times as long.
    """

    def __init__(self, decoder: GRUDecoder, precision: str) -> None:
        self.decoder, self.hidden_dim, self.layers = decoder, decoder.hidden_dim, decoder.layers
        weights = {name: self._double_new_gate(weight) for name, weight in decoder.gru.named_parameters()}
        inputs = [weights[f"weight_ih_l{i}"] for i in range(self.layers)]
        biases = [self._input_bias(weights[f"bias_ih_l{i}"], weights[f"bias_hh_l{i}"]) for i in range(self.layers)]
        self.input_weight, self.input_bias = inputs[0], biases[0]
        self.token_gates = decoder.embedding.weight @ self.input_weight.T  # V x 3H
        self.input_layers = [  # of the second and later layers
            _linear(weight, bias, precision, bounded=True) for weight, bias in zip(inputs[1:], biases[1:], strict=True)
        ]
        self.cells = [
            _GRUCell(weights[f"weight_hh_l{i}"], weights[f"bias_hh_l{i}"], precision) for i in range(self.layers)
        ]
        self.output = _OutputLayer(decoder, precision, bounded=True)

    def _double_new_gate(self, weight: Tensor) -> Tensor:
        return torch.cat([weight[: 2 * self.hidden_dim], weight[2 * self.hidden_dim :] * 2])

    def _input_bias(self, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
        """Biases of the gates, without the recurrent bias of the new gate, which the reset gate multiplies."""
        return torch.cat([(bias_ih + bias_hh)[: 2 * self.hidden_dim], bias_ih[2 * self.hidden_dim :]])

    def condition(self, z: Tensor, noise_level: Tensor) -> Conditioning:
        bias, hidden = self.decoder.initial_state(z, noise_level)
        gates = functional.linear(bias, self.input_weight, self.input_bias)
        return *self.output.condition(z, noise_level), gates, *hidden.unbind(1)

    def initial_state(self, conditioning: Conditioning, rows: Tensor) -> DecoderState:
        return DecoderState(tuple(tensor[rows] for tensor in conditioning))

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        latent_features, position, gates, *hidden = state.conditioning
        x = self.token_gates.index_select(0, tokens).add_(gates)
        for layer, h in enumerate(hidden):
            self.cells[layer](x, h)
            if layer + 1 < self.layers:
                x = self.input_layers[layer](h)
        return self.output(hidden[-1], latent_features, position)


class _GRUCell:
    """Updates the state h (S, H) in place, given the contribution of the input to the gates (S, 3H), overwritten."""

    def __init__(self, weight: Tensor, bias: Tensor, precision: str) -> None:
        self.hidden_dim = weight.shape[1]
        reset_update, new = weight.split([2 * self.hidden_dim, self.hidden_dim])
        no_bias = torch.zeros_like(bias[: 2 * self.hidden_dim])  # it is in the contribution of the input
        self.reset_update = _linear(reset_update, no_bias, precision, bounded=True)
        self.new = _linear(new, bias[2 * self.hidden_dim :], precision, bounded=True)

    def __call__(self, gates: Tensor, h: Tensor) -> None:
        reset_update, new = gates.split([2 * self.hidden_dim, self.hidden_dim], dim=1)
        reset, update = self.reset_update.add_product(reset_update, h).sigmoid_().chunk(2, dim=1)
        new.addcmul_(reset, self.new(h)).sigmoid_().mul_(2).sub_(1)
        torch.lerp(new, h, update, out=h)


class IncrementalTransformer:
    """Incremental transformer decoder with a key-value cache, two tensors (S, heads, length, d) per block."""

    def __init__(self, decoder: TransformerDecoder, precision: str) -> None:
        self.decoder = decoder
        self.blocks = [_CachedBlock(b, precision) for b in decoder.blocks if isinstance(b, TransformerBlock)]
        self.output = _OutputLayer(decoder, precision)

    def condition(self, z: Tensor, noise_level: Tensor) -> Conditioning:
        return *self.output.condition(z, noise_level), self.decoder.film(z, noise_level)

    def initial_state(self, conditioning: Conditioning, rows: Tensor) -> DecoderState:
        latent_features, position, film = (tensor[rows] for tensor in conditioning)
        heads, length = self.blocks[0].heads, self.decoder.position_embedding.num_embeddings
        shape = (len(rows), heads, length, film.shape[1] // heads)
        cache = (film.new_zeros(shape) for _ in range(2 * len(self.blocks)))
        return DecoderState((latent_features, position, film), *cache)

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        latent_features, position, film = state.conditioning
        x = self.decoder.embedding(tokens) + self.decoder.position_embedding(position) + film
        # S x 1 x 1 x L; also masks the tokens that a previous sequence of the slot left in the cache
        mask = (torch.arange(state.cache[0].shape[2], device=x.device) <= position[:, None])[:, None, None]
        for i, block in enumerate(self.blocks):
            x = block(x, state.cache[2 * i], state.cache[2 * i + 1], position, mask)
        return self.output(self.decoder.norm(x), latent_features, position)


class _CachedBlock:
    """One step of a transformer block; writes keys and values of the current token to the cache."""

    def __init__(self, block: TransformerBlock, precision: str) -> None:
        self.block, self.heads = block, block.heads
        layers = (layer for layer in (block.qkv, block.attention_output, *block.mlp) if isinstance(layer, nn.Linear))
        self.qkv, self.attention_output, self.mlp_in, self.mlp_out = (
            _linear(layer.weight, layer.bias, precision) for layer in layers
        )

    def __call__(self, x: Tensor, keys: Tensor, values: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        rows, heads = torch.arange(len(x), device=x.device), self.heads
        q, k, v = self.qkv(self.block.attention_norm(x)).view(len(x), 3, heads, -1).unbind(1)  # each S x heads x d
        keys[rows, :, position], values[rows, :, position] = k, v
        y = functional.scaled_dot_product_attention(q[:, :, None], keys, values, mask)
        x = x + self.attention_output(y.flatten(1))
        return x + self.mlp_out(functional.gelu(self.mlp_in(self.block.mlp_norm(x))))


class _OutputLayer:
    """Linear output and bilinear head of a decoder; also advances the position of each sequence."""

    def __init__(self, decoder: GRUDecoder | TransformerDecoder, precision: str, *, bounded: bool = False) -> None:
        self.head, self.max_length = decoder.bilinear_head, decoder.max_length
        layers: list[nn.Linear] = [decoder.output]
        if self.head is not None:
            self.position_features = self.head.position_features()
            layers.insert(0, self.head.state_projection)
        # one product for both layers; padded to a multiple of 8 columns, which GPUs need for their fast kernels
        padding = -sum(layer.out_features for layer in layers) % 8
        self.sizes = [sum(layer.out_features for layer in layers[:-1]), decoder.output.out_features, padding]
        weight = functional.pad(torch.cat([layer.weight for layer in layers]), (0, 0, 0, padding))
        bias = functional.pad(torch.cat([layer.bias for layer in layers]), (0, padding))
        self.linear = _linear(weight, bias, precision, bounded=bounded)

    def condition(self, z: Tensor, noise_level: Tensor) -> Conditioning:
        """Latent features (B, bilinear_dim), of 0 columns without a bilinear head, and positions (B,), all 0."""
        latent_features = z[:, :0] if self.head is None else self.head.latent_film(z, noise_level)
        return latent_features, torch.zeros(len(z), dtype=torch.long, device=z.device)

    def __call__(self, states: Tensor, latent_features: Tensor, position: Tensor) -> Tensor:
        """Hidden states (S, H) -> logits (S, vocab_size); adds 1 to `position` in place."""
        parts: tuple[Tensor, ...] = self.linear(states).split(self.sizes, dim=1)
        state_features, logits, _ = parts
        if self.head is not None:  # the last product stays in float32: it is small, and adds no rounding error
            state_features.add_(self.position_features.index_select(0, position)).mul_(latent_features)
            logits.addmm_(state_features, self.head.output.weight.T)
        position.add_(1).clamp_(max=self.max_length)  # finished sequences are still computed until their slot is reset
        return logits


def _linear(weight: Tensor, bias: Tensor, precision: str, *, bounded: bool = False) -> _Linear:
    """The linear layer x W^T + b in the given precision; set `bounded` if x always lies in -1 to 1."""
    if precision == "int8":
        return _Int8Linear(weight, bias, bounded)
    return _BFloat16Linear(weight, bias) if precision == "bf16" else _Float32Linear(weight, bias)


class _Linear(Protocol):
    """A linear layer (S, K) -> (S, N) with float32 input and output."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def add_product(self, y: Tensor, x: Tensor) -> Tensor:
        """Add x W^T, without the bias, to y (S, N) in place."""
        ...


class _Float32Linear:
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.T, bias  # K x N, N

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)

    def add_product(self, y: Tensor, x: Tensor) -> Tensor:
        return y.addmm_(x, self.weight)


class _BFloat16Linear:
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.bfloat16(), bias.bfloat16()

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x.bfloat16(), self.weight, self.bias).float()

    def add_product(self, y: Tensor, x: Tensor) -> Tensor:
        return y.add_(functional.linear(x.bfloat16(), self.weight))


class _Int8Linear:
    """8-bit weights with a scale per output column, 8-bit inputs with a scale per row.

    Sums of integers are exact, so a row's result does not depend on the other rows of the batch, to the last bit.
    """

    def __init__(self, weight: Tensor, bias: Tensor, bounded: bool) -> None:
        scale = weight.abs().amax(1).clamp(min=1e-12) / 127
        self.weight = (weight / scale[:, None]).round().to(torch.int8).T.contiguous()  # K x N
        self.scale, self.bias, self.bounded = scale / 127 if bounded else scale, bias, bounded

    def __call__(self, x: Tensor) -> Tensor:
        return self._product(x).add_(self.bias)

    def add_product(self, y: Tensor, x: Tensor) -> Tensor:
        return y.add_(self._product(x))

    def _product(self, x: Tensor) -> Tensor:
        if self.bounded:  # the input scale is 1 / 127, and part of `scale`
            return torch._int_mm((x * 127).round_().to(torch.int8), self.weight).mul(self.scale)
        row_scale = x.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        return torch._int_mm((x / row_scale).round_().to(torch.int8), self.weight).mul(self.scale).mul_(row_scale)
