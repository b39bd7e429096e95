"""The decode engine: latents in, strings of symbols out, many at once.

A fixed number of slots steps together; a slot whose string is finished takes the next waiting latent. The matrices thus
always have the same shape, which keeps every step full and makes a string independent of what else is decoded: the same
latent, radius and key give the same string, whatever the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.tokens import END_ID, PAD_ID, START_ID, Vocabulary
from molvae.models.decoders import DecoderState, GRUDecoder, TransformerDecoder
from molvae.sampling.options import DecodeOptions, choose
from molvae.sampling.streams import uniform

CPU_SLOTS, GPU_SLOTS = 128, 4096


@dataclass(frozen=True)
class Decoded:
    """N strings, in the order of their latents.

    `symbols` N x L ids, ended by END and padded by PAD; a string that reached the longest length has no END.
    `log_likelihood` N, float32: log p(string given z) in nats under the model itself (temperature 1, nothing cut off).
    """

    symbols: NDArray[np.int16]
    log_likelihood: NDArray[np.float32]

    def strings(self, vocabulary: Vocabulary) -> list[str]:
        """The SMILES, unchecked; one that was cut at the longest length is the empty string."""
        done = (self.symbols == END_ID).any(1)
        return [vocabulary.decode(row) if ok else "" for row, ok in zip(self.symbols, done, strict=True)]


@torch.inference_mode()
def decode(
    decoder: GRUDecoder | TransformerDecoder,
    z: Tensor,
    radius: Tensor,
    keys: Tensor,
    options: DecodeOptions,
    max_symbols: int,
    progress: Callable[[int], None] | None = None,
) -> Decoded:
    """Write one string per latent: z N x D, its radius N, the key of its random stream N (`streams.row_keys`).

    `progress` is called with the number of finished strings now and then.
    """
    slots = _Slots(decoder, z, radius, keys, options, max_symbols)
    while slots.busy:
        slots.step()
        if progress and slots.steps % 32 == 0:
            progress(slots.finished)
    return Decoded(slots.symbols.cpu().numpy(), slots.score.cpu().numpy())


class _Slots:
    """The strings in work: for each slot the row it writes, the last symbol and how many; rows wait in a queue."""

    def __init__(
        self,
        decoder: GRUDecoder | TransformerDecoder,
        z: Tensor,
        radius: Tensor,
        keys: Tensor,
        options: DecodeOptions,
        max_symbols: int,
    ) -> None:
        self.decoder, self.options, self.max_symbols = decoder, options, max_symbols
        self.z, self.radius, self.keys = z, radius, keys
        device, count = z.device, len(z)
        slots = CPU_SLOTS if device.type == "cpu" else GPU_SLOTS
        self.symbols = torch.full((count, max_symbols + 1), PAD_ID, dtype=torch.int16, device=device)
        self.score = torch.zeros(count, device=device)
        self.row = torch.arange(slots, device=device)  # a row of `count` or more: the slot is idle
        self.last = torch.full((slots,), START_ID, device=device)
        self.place = torch.zeros(slots, dtype=torch.long, device=device)
        self.next, self.count, self.steps, self.finished = slots, count, 0, 0
        self.state = self._start(self.row) if count else None

    @property
    def busy(self) -> bool:
        return self.finished < self.count

    def step(self) -> None:
        assert self.state is not None
        logits, self.state = self.decoder.step(self.last, self.state)
        logits = logits.float()
        known = self.row.clamp(max=self.count - 1)
        symbol = choose(logits, self.options, uniform(self.keys[known], self.place))
        score = logits.log_softmax(1).gather(1, symbol[:, None])[:, 0]
        live = self.row < self.count
        rows = self.row[live]
        self.symbols[rows, self.place[live]] = symbol[live].to(torch.int16)
        self.score[rows] += score[live]
        self.last, self.place = symbol, self.place + 1
        self._refill(live & ((symbol == END_ID) | (self.place > self.max_symbols)))
        self.steps += 1

    def _refill(self, done: Tensor) -> None:
        """Give finished slots the next waiting rows, or leave them idle."""
        slots = done.nonzero()[:, 0]
        if len(slots):
            first, waiting = self.next, min(len(slots), max(0, self.count - self.next))
            self.next, self.finished = first + len(slots), self.finished + len(slots)
            rows = torch.arange(first, self.next, device=slots.device)
            self.row[slots] = rows
            self._begin(slots[:waiting], rows[:waiting])
        if self.next > self.count:
            # idle slots run along, and must not run past the last position that a transformer knows
            slots = ((self.row >= self.count) & (self.place > self.max_symbols)).nonzero()[:, 0]
            self._begin(slots, self.row[slots])

    def _begin(self, slots: Tensor, rows: Tensor) -> None:
        if len(slots) and self.state is not None:
            self.last[slots] = START_ID
            self.place[slots] = 0
            self.state.put(slots, self._start(rows))

    def _start(self, rows: Tensor) -> DecoderState:
        """First states; in blocks of one shape, so that the numbers do not depend on how many rows are started."""
        block = len(self.row)
        known = rows.clamp(max=self.count - 1)
        padded = torch.cat([known, known[-1:].expand(block - len(known))])
        state = self.decoder.start(self.z[padded], self.radius[padded])
        return state.rows(torch.arange(len(rows), device=rows.device))
