"""The decode engine: latents in, strings of symbols out, many at once.

A fixed number of slots steps together; a slot whose string is finished takes the next waiting latent. The matrices thus
always have the same shape, which keeps every step full and makes a string independent of what else is decoded: the same
latent, noise level and key give the same string, whatever the batch and however many threads.
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
from molvae.errors import InputError
from molvae.generation.continuous_batching import Slots
from molvae.generation.grammar_mask import GrammarMask, Rules, RuleTensors
from molvae.generation.token_sampling import DecodeOptions
from molvae.nn.decoders import GRUDecoder, TransformerDecoder
from molvae.nn.devices import TorchThreadPool
from molvae.nn.incremental_decoding import Conditioning, incremental_decoder

CPU_SLOTS, GPU_SLOTS, GPU_SLOTS_WITH_KEYS = 128, 8192, 4096
"""Strings in work. On a GPU a transformer has fewer: each holds keys and values of its whole length."""

CPU_WAITING, GPU_WAITING = 8192, 65_536
"""Latents whose beginnings are held at once: some kilobytes each."""


@dataclass(frozen=True)
class Decoded:
    """N strings, in the order of their latents.

    `symbols` N x L ids, ended by END and padded by PAD; a string that reached the longest length has no END.
    `log_likelihood` N, float32: log p(string given z) in nats under the model itself (temperature 1, nothing cut off).
    """

    symbols: NDArray[np.int16]
    log_likelihood: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.symbols)

    def strings(self, vocabulary: Vocabulary) -> list[str]:
        """The SMILES, unchecked; one that was cut at the longest length is the empty string."""
        done = (self.symbols == END_ID).any(1)
        return [vocabulary.decode(row) if ok else "" for row, ok in zip(self.symbols, done, strict=True)]


class Engine:
    """A decoder ready to write; made once, used for any number of latents. On a CPU it uses as many cores as torch may.

    `precision` as in `stepping.incremental_decoder`: "auto", "32", "bf16" or "int8". The `vocabulary` is needed only for options
    with `grammar`.
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
        many = GPU_SLOTS if isinstance(decoder, GRUDecoder) else GPU_SLOTS_WITH_KEYS
        self.slots = slots or (CPU_SLOTS if on_cpu else many)
        self.waiting = CPU_WAITING if on_cpu else GPU_WAITING
        with torch.inference_mode():
            self.stepper = incremental_decoder(decoder, precision)

    def decode(
        self,
        z: Tensor,
        noise_level: Tensor,
        keys: Tensor,
        options: DecodeOptions,
        progress: Callable[[int], None] | None = None,
        *,
        heat: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Decoded:
        """Write one string per latent: z N x D, its noise level N, the key of its random stream N (`streams.row_keys`).

        `heat` N multiplies the temperature. `given` N x at most max_length is what is said of symbols beforehand: an
        id that is to stand there, minus an id that is not to, or PAD. `progress` is called with the number of finished
        strings now and then.
        """
        parts = []
        for part in self.stream(z, noise_level, keys, options, heat=heat, given=given):
            parts.append(part)
            if progress:
                progress(sum(map(len, parts)))
        if not parts:
            return Decoded(np.zeros((0, self.max_length + 1), np.int16), np.zeros(0, np.float32))
        symbols, scores = zip(*((p.symbols, p.log_likelihood) for p in parts), strict=True)
        return Decoded(np.concatenate(symbols), np.concatenate(scores))

    def stream(
        self,
        z: Tensor,
        noise_level: Tensor,
        keys: Tensor,
        options: DecodeOptions,
        *,
        heat: Tensor | None = None,
        given: Tensor | None = None,
        block: int = 512,
    ) -> Iterator[Decoded]:
        """`decode` in blocks of about `block` strings, each as soon as it is there, in the order of the latents."""

        def slots(rows: slice) -> Slots:
            return Slots(
                self.stepper,
                self._begin(z[rows], noise_level[rows]),
                keys[rows],
                options,
                self.max_length,
                self.slots,
                heat=None if heat is None else heat[rows],
                given=None if given is None else given[rows],
                mask=GrammarMask(self._rules, self.slots) if options.grammar else None,
            )

        for first in range(0, len(z), self.waiting):
            last = min(first + self.waiting, len(z))
            sent, count = 0, last - first
            # no more lanes than have a string for each slot at first
            with TorchThreadPool(self.device, -(-count // self.slots)) as lanes:
                work = _Work(lanes, slots, first, last)
                while sent < count:
                    ready = work.advance()
                    if ready == count or ready - sent >= block:
                        yield work.rows(sent, ready)
                        sent = ready

    @cached_property
    def _rules(self) -> RuleTensors:
        if self.vocabulary is None:
            raise InputError("an engine needs the vocabulary of its decoder to keep to the grammar")
        return RuleTensors(Rules(Grammar.from_vocabulary(self.vocabulary)), self.device)

    @torch.inference_mode()
    def _begin(self, z: Tensor, noise_level: Tensor) -> Conditioning:
        """First states; in blocks of one shape, so that the numbers do not depend on how many rows there are."""
        parts = []
        for rows in torch.arange(len(z), device=z.device).split(self.slots):
            padded = torch.cat([rows, rows[-1:].expand(self.slots - len(rows))])
            parts.append(tuple(t[: len(rows)] for t in self.stepper.condition(z[padded], noise_level[padded])))
        return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


class _Work:
    """Slots in lanes, row i of all rows in the lane of i modulo their number."""

    def __init__(self, lanes: TorchThreadPool, begin: Callable[[slice], Slots], first: int, last: int) -> None:
        self.lanes = lanes
        self.slots = lanes.map(begin, [slice(first + lane, last, lanes.n_threads) for lane in range(lanes.n_threads)])

    def advance(self) -> int:
        """Some steps further in every lane; how many rows, from the first, are finished."""
        done = self.lanes.map(Slots.advance, self.slots)
        return min(lane + rows * len(done) for lane, rows in enumerate(done))

    def rows(self, first: int, last: int) -> Decoded:
        """Finished rows, off the device."""
        size = len(self.slots)
        parts = [slots.rows(-((i - first) // size), -((i - last) // size)) for i, slots in enumerate(self.slots)]
        symbols = np.empty((last - first, parts[0][0].shape[1]), np.int16)
        scores = np.empty(last - first, np.float32)
        for i, part in enumerate(parts):
            places = slice((i - first) % size, None, size)
            symbols[places], scores[places] = part
        return Decoded(symbols, scores)
