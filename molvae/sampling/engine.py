"""The decode engine: latents in, strings of symbols out, many at once.

A fixed number of slots steps together; a slot whose string is finished takes the next waiting latent. The matrices thus
always have the same shape, which keeps every step full and makes a string independent of what else is decoded: the same
latent, radius and key give the same string, whatever the batch.

A step neither waits for the host nor depends on it: slots that ended go on writing behind their end until the next
refill, and what stands there is cut off when rows leave the device. So on a GPU steps and refill are one captured
graph.
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
from molvae.chem.tokens import END_ID, PAD_ID, START_ID, Vocabulary
from molvae.errors import InputError
from molvae.models.decoders import GRUDecoder, TransformerDecoder
from molvae.models.devices import one_thread
from molvae.models.stepping import Begun, Stepper, stepper_of
from molvae.sampling.mask import GrammarMask, RuleTensors
from molvae.sampling.options import DecodeOptions, choose, log_probability
from molvae.sampling.rules import Rules
from molvae.sampling.streams import uniform

CPU_SLOTS, GPU_SLOTS = 128, 4096
CPU_WAITING, GPU_WAITING = 8192, 65_536
"""Latents whose beginnings are held at once: some kilobytes each."""
BURST = 4  # steps between refills: more leave ended slots idle, fewer cost more refills
LOOK_EVERY = 4  # bursts between looks, by the host, at what is finished


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
    """A decoder ready to write; made once, used for any number of latents.

    `precision` as in `stepping.stepper_of`: "auto", "32", "bf16" or "int8". The `vocabulary` is needed only for options
    with `grammar`.
    """

    def __init__(
        self,
        decoder: GRUDecoder | TransformerDecoder,
        max_symbols: int,
        *,
        precision: str = "auto",
        slots: int = 0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.device = next(decoder.parameters()).device
        on_cpu = self.device.type == "cpu"
        self.max_symbols, self.vocabulary = max_symbols, vocabulary
        self.slots = slots or (CPU_SLOTS if on_cpu else GPU_SLOTS)
        self.waiting = CPU_WAITING if on_cpu else GPU_WAITING
        with torch.inference_mode():
            self.stepper = stepper_of(decoder, precision)

    def decode(
        self,
        z: Tensor,
        radius: Tensor,
        keys: Tensor,
        options: DecodeOptions,
        progress: Callable[[int], None] | None = None,
        *,
        heat: Tensor | None = None,
        prefix: Tensor | None = None,
    ) -> Decoded:
        """Write one string per latent: z N x D, its radius N, the key of its random stream N (`streams.row_keys`).

        `heat` N multiplies the temperature; `prefix` N x at most max_symbols are the ids that a string begins with, PAD
        from where it is free. `progress` is called with the number of finished strings now and then.
        """
        parts = []
        for part in self.stream(z, radius, keys, options, heat=heat, prefix=prefix):
            parts.append(part)
            if progress:
                progress(sum(map(len, parts)))
        if not parts:
            return Decoded(np.zeros((0, self.max_symbols + 1), np.int16), np.zeros(0, np.float32))
        symbols, scores = zip(*((p.symbols, p.log_likelihood) for p in parts), strict=True)
        return Decoded(np.concatenate(symbols), np.concatenate(scores))

    def stream(
        self,
        z: Tensor,
        radius: Tensor,
        keys: Tensor,
        options: DecodeOptions,
        *,
        heat: Tensor | None = None,
        prefix: Tensor | None = None,
        block: int = 512,
    ) -> Iterator[Decoded]:
        """`decode` in blocks of about `block` strings, each as soon as it is there, in the order of the latents."""
        for first in range(0, len(z), self.waiting):
            rows = slice(first, min(first + self.waiting, len(z)))
            count = rows.stop - first
            with torch.inference_mode(), one_thread():
                work = _Slots(
                    self.stepper,
                    self._begin(z[rows], radius[rows]),
                    keys[rows],
                    options,
                    self.max_symbols,
                    self.slots,
                    heat=None if heat is None else heat[rows],
                    prefix=None if prefix is None else prefix[rows],
                    mask=GrammarMask(self._rules, self.slots) if options.grammar else None,
                )
            sent = 0
            while sent < count:
                with torch.inference_mode(), one_thread():
                    ready = work.advance()
                if ready == count or ready - sent >= block:
                    yield work.rows(sent, ready)
                    sent = ready

    @cached_property
    def _rules(self) -> RuleTensors:
        if self.vocabulary is None:
            raise InputError("an engine needs the vocabulary of its decoder to keep to the grammar")
        return RuleTensors(Rules(Grammar.of(self.vocabulary)), self.device)

    def _begin(self, z: Tensor, radius: Tensor) -> Begun:
        """First states; in blocks of one shape, so that the numbers do not depend on how many rows there are."""
        parts = []
        for rows in torch.arange(len(z), device=z.device).split(self.slots):
            padded = torch.cat([rows, rows[-1:].expand(self.slots - len(rows))])
            parts.append(tuple(t[: len(rows)] for t in self.stepper.begin(z[padded], radius[padded])))
        return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


class _Slots:
    """The strings in work: for each slot the row it writes, the last symbol and how many; rows wait in a queue.

    Row `count` is nobody's: idle slots write there.
    """

    def __init__(
        self,
        stepper: Stepper,
        begun: Begun,
        keys: Tensor,
        options: DecodeOptions,
        max_symbols: int,
        slots: int,
        *,
        heat: Tensor | None,
        prefix: Tensor | None,
        mask: GrammarMask | None,
    ) -> None:
        self.stepper, self.begun, self.options, self.max_symbols = stepper, begun, options, max_symbols
        device, self.count = keys.device, len(keys)
        length = max_symbols + 1 + BURST  # room to write behind the end until the next refill
        self.symbols = torch.full((self.count + 1, length), PAD_ID, dtype=torch.int16, device=device)
        self.scores = torch.zeros((self.count + 1, length), device=device)
        places = torch.arange(length, device=device)
        self.random = uniform(torch.cat([keys, keys[-1:]])[:, None], places).float().clamp_(max=1 - 2**-24)
        self.row = torch.arange(slots, device=device).clamp_(max=self.count)
        self.last = torch.full((slots,), START_ID, device=device)
        self.place = torch.zeros(slots, dtype=torch.long, device=device)
        self.ended = torch.zeros(slots, dtype=torch.bool, device=device)
        self.next = (self.row < self.count).sum()
        self.fresh = torch.arange((slots + 1) // 2, device=device)
        self.state = stepper.state(begun, self.row.clamp(max=self.count - 1))
        self.heat = None if heat is None else torch.cat([heat, heat[-1:]])
        self.prefix = None if prefix is None else self._whole(prefix)
        self.mask = mask
        self.burst = _captured(self._burst) if device.type == "cuda" else self._burst

    def _whole(self, prefix: Tensor) -> Tensor:
        """The beginnings in a table as wide and long as that of the symbols, PAD where they end."""
        whole = torch.full_like(self.symbols, PAD_ID, dtype=torch.long)
        whole[:-1, : prefix.shape[1]] = prefix
        return whole

    def advance(self) -> int:
        """Some steps further; how many rows, from the first, are finished."""
        for _ in range(LOOK_EVERY):
            self.burst()
        # a slot always writes a row after all that waited before it, so what lies below the lowest one is done
        return int(self.row.min())

    def rows(self, first: int, last: int) -> Decoded:
        """Finished rows, off the device; what was written behind a string's end is cut off."""
        symbols = self.symbols[first:last, : self.max_symbols + 1].cpu().numpy()
        scores = self.scores[first:last, : self.max_symbols + 1].cpu().numpy()
        behind = np.cumsum(symbols == END_ID, axis=1) - (symbols == END_ID) > 0
        return Decoded(np.where(behind, np.int16(PAD_ID), symbols), np.where(behind, 0, scores).sum(1))

    def _burst(self) -> None:
        for _ in range(BURST):
            self._step()
        self._refill()

    def _step(self) -> None:
        logits = self.stepper.step(self.last, self.state).float()
        heat = None if self.heat is None else self.heat[self.row]
        allowed = None if self.mask is None else self.mask.allowed()
        symbol = choose(logits, self.options, self.random[self.row, self.place], heat, allowed)
        if self.prefix is not None:
            given = self.prefix[self.row, self.place]
            symbol = torch.where(given == PAD_ID, symbol, given)
        if self.mask is not None:
            self.mask.advance(symbol)
        self.symbols[self.row, self.place] = symbol.to(torch.int16)
        self.scores[self.row, self.place] = log_probability(logits, symbol)
        self.ended |= symbol == END_ID
        self.last.copy_(symbol)
        self.place.add_(1).clamp_(max=self.symbols.shape[1] - 1)

    def _refill(self) -> None:
        """Slots that ended take the next waiting rows, or fall idle."""
        due = (self.ended | (self.place > self.max_symbols)) & (self.row < self.count)
        # those that are due first; should they be too many, those due last wait for the next refill
        slots = (due * self.place).topk(len(self.fresh)).indices
        due, rows = due[slots], self.next + self.fresh
        begins = due & (rows < self.count)
        self.next += begins.sum()
        self.row[slots] = torch.where(begins, rows, torch.where(due, self.count, self.row[slots]))
        self.last[slots] = torch.where(due, START_ID, self.last[slots])
        self.place[slots] = torch.where(due, 0, self.place[slots])
        self.state.restart(slots, due, self.begun, rows.clamp(max=self.count - 1))
        self.ended[slots] &= ~due
        if self.mask is not None:
            self.mask.restart(slots, due)


def _captured(function: Callable[[], None]) -> Callable[[], None]:
    """The function as a CUDA graph: one launch instead of some hundred. Its first calls, to warm up, count."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay  # type: ignore[no-any-return]
