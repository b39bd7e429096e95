"""The decoding engine: latents in, token sequences out.

All steps work on the same number of slots, so that all matrices have the same shape and a sample does not depend on the
batch or the number of threads: the same latent, noise level and key give the same sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.grammar import Grammar
from molvae.chem.tokenizer import END_ID, Vocabulary
from molvae.errors import CheckpointError, InputError
from molvae.generation.continuous_batching import DecodingSlots
from molvae.generation.grammar_mask import GrammarMask, GrammarTables, GrammarTensors
from molvae.generation.token_sampling import SamplingOptions
from molvae.nn.decoders import GRUDecoder, TransformerDecoder
from molvae.nn.devices import TorchThreadPool
from molvae.nn.incremental_decoding import Conditioning, incremental_decoder

CPU_SLOTS = 128
GPU_SLOTS = 8192
GPU_SLOTS_TRANSFORMER = 4096  # fewer, because each holds the keys and values of all its tokens

CPU_QUEUE, GPU_QUEUE = 8192, 65_536
"""Latents whose initial decoder states (some kilobytes each) are held at once."""


@dataclass(frozen=True)
class DecodedSamples:
    """N decoded samples, in the order of their latents.

    Attributes
    ----------
    tokens
        Token ids, shape (N, L), ended by END and padded with PAD. A sample of the maximum length has no END.
    log_likelihood
        log p(x|z) in nats at temperature 1 without truncation, shape (N,).
    """

    tokens: NDArray[np.int16]
    log_likelihood: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Raise `CheckpointError` for a likelihood that is NaN."""
        if np.isnan(self.log_likelihood).any():
            raise CheckpointError(
                "the decoder computes probabilities that are not numbers: the latents are not finite, or "
                "weights.safetensors of the model is damaged"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def to_smiles(self, vocabulary: Vocabulary) -> list[str]:
        """The samples as SMILES, not validated; "" for a sample that was truncated at the maximum length."""
        ended = (self.tokens == END_ID).any(1)
        return [vocabulary.decode(row) if complete else "" for row, complete in zip(self.tokens, ended, strict=True)]


class Engine:
    """A decoder prepared for sampling; created once, used for any number of latents.

    Parameters
    ----------
    decoder
        The decoder; the engine works on its device, on a CPU with as many threads as torch may use.
    max_length
        Maximum number of tokens of a sample, the end token excluded.
    precision
        "auto", "32", "bf16" or "int8", as in `Generator`.
    slots
        Number of samples decoded at the same time; 0: by device and decoder.
    vocabulary
        Needed only for options with `grammar`.
    """

    def __init__(
        self,
        decoder: GRUDecoder | TransformerDecoder,
        max_length: int,
        *,
        precision: str = "auto",
        slots: int = 0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.device = next(decoder.parameters()).device
        on_cpu = self.device.type == "cpu"
        self.max_length, self.vocabulary = max_length, vocabulary
        gpu_slots = GPU_SLOTS if isinstance(decoder, GRUDecoder) else GPU_SLOTS_TRANSFORMER
        self.slots = slots or (CPU_SLOTS if on_cpu else gpu_slots)
        self.queue = CPU_QUEUE if on_cpu else GPU_QUEUE
        with torch.inference_mode():
            self.decoder = incremental_decoder(decoder, precision)

    def decode(
        self,
        z: Tensor,
        noise_level: Tensor,
        keys: Tensor,
        options: SamplingOptions,
        progress: Callable[[int], None] | None = None,
        *,
        temperature_scale: Tensor | None = None,
        forced_tokens: Tensor | None = None,
    ) -> DecodedSamples:
        """Decode one sample per latent.

        Parameters
        ----------
        z
            Latents, shape (N, D).
        noise_level
            Noise level that the decoder is conditioned on, 0 to 1, shape (N,).
        keys
            Keys of the random numbers, as of `molvae.generation.rng.row_keys`, shape (N,).
        options
            How tokens are sampled.
        progress
            Callback that receives the number of finished samples.
        temperature_scale
            Factor of the temperature, shape (N,).
        forced_tokens
            Shape (N, at most `max_length`): a token id to force at this position, a negative id to ban it, or PAD.
        """
        parts = []
        for part in self.stream(
            z, noise_level, keys, options, temperature_scale=temperature_scale, forced_tokens=forced_tokens
        ):
            parts.append(part)
            if progress:
                progress(sum(map(len, parts)))
        if not parts:
            return DecodedSamples(np.zeros((0, self.max_length + 1), np.int16), np.zeros(0, np.float32))
        tokens, log_likelihood = zip(*((part.tokens, part.log_likelihood) for part in parts), strict=True)
        return DecodedSamples(np.concatenate(tokens), np.concatenate(log_likelihood))

    def stream(
        self,
        z: Tensor,
        noise_level: Tensor,
        keys: Tensor,
        options: SamplingOptions,
        *,
        temperature_scale: Tensor | None = None,
        forced_tokens: Tensor | None = None,
        block: int = 512,
    ) -> Iterator[DecodedSamples]:
        """`decode` in blocks of about `block` samples, each as soon as it is finished, in the order of the latents."""

        def start(rows: slice) -> DecodingSlots:
            return DecodingSlots(
                self.decoder,
                self._condition(z[rows], noise_level[rows]),
                keys[rows],
                options,
                self.max_length,
                self.slots,
                temperature_scale=None if temperature_scale is None else temperature_scale[rows],
                forced_tokens=None if forced_tokens is None else forced_tokens[rows],
                mask=GrammarMask(self._grammar, self.slots) if options.grammar else None,
            )

        for first in range(0, len(z), self.queue):
            last = min(first + self.queue, len(z))
            n_yielded, count = 0, last - first
            # no more threads than can fill all their slots at the start
            with TorchThreadPool(self.device, -(-count // self.slots)) as pool:
                run = _ThreadedRun(pool, start, first, last)
                while n_yielded < count:
                    finished = run.advance()
                    if finished == count or finished - n_yielded >= block:
                        yield run.rows(n_yielded, finished)
                        n_yielded = finished

    @cached_property
    def _grammar(self) -> GrammarTensors:
        if self.vocabulary is None:
            raise InputError("grammar=True needs an engine with the vocabulary of its decoder: pass vocabulary=...")
        return GrammarTensors(GrammarTables(Grammar.from_vocabulary(self.vocabulary)), self.device)

    @torch.inference_mode()
    def _condition(self, z: Tensor, noise_level: Tensor) -> Conditioning:
        """Initial decoder states, in blocks of one shape: their last digits must not depend on the number of rows."""
        parts = []
        for rows in torch.arange(len(z), device=z.device).split(self.slots):
            padded = torch.cat([rows, rows[-1:].expand(self.slots - len(rows))])
            parts.append(tuple(t[: len(rows)] for t in self.decoder.condition(z[padded], noise_level[padded])))
        return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


class _ThreadedRun:
    """Slots in T threads; row i of all rows is decoded in thread i modulo T."""

    def __init__(self, pool: TorchThreadPool, start: Callable[[slice], DecodingSlots], first: int, last: int) -> None:
        self.pool = pool
        self.slots = pool.map(start, [slice(first + thread, last, pool.n_threads) for thread in range(pool.n_threads)])

    def advance(self) -> int:
        """Decode some steps in every thread; returns the number of rows, counted from the first, that are finished."""
        finished = self.pool.map(DecodingSlots.advance, self.slots)
        return min(thread + rows * len(finished) for thread, rows in enumerate(finished))

    def rows(self, first: int, last: int) -> DecodedSamples:
        """The finished rows from `first` to `last` - 1, on the host."""
        size = len(self.slots)
        parts = [slots.rows(-((i - first) // size), -((i - last) // size)) for i, slots in enumerate(self.slots)]
        tokens = np.empty((last - first, parts[0][0].shape[1]), np.int16)
        log_likelihood = np.empty(last - first, np.float32)
        for i, part in enumerate(parts):
            rows = slice((i - first) % size, None, size)
            tokens[rows], log_likelihood[rows] = part
        return DecodedSamples(tokens, log_likelihood)
