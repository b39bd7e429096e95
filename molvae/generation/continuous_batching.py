"""The strings in work: a fixed number of slots step together, and a slot whose string has ended takes the next one.

A step neither waits for the host nor depends on it: slots that ended go on writing behind their end until the next
refill, and what stands there is cut off when rows leave the device. So on a GPU steps and refill are one captured
graph.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.tokenizer import END_ID, PAD_ID, START_ID
from molvae.generation.grammar_mask import GrammarMask
from molvae.generation.rng import uniform
from molvae.generation.token_sampling import DecodeOptions, choose, log_probability
from molvae.nn.incremental_decoding import Conditioning, IncrementalDecoder

BURST = 4  # steps between refills: more leave ended slots idle, fewer cost more refills
LOOK_EVERY = 4  # bursts between looks, by the host, at what is finished


class Slots:
    """The strings in work: for each slot the row it writes, the last symbol and how many; rows wait in a queue.

    Row `count` is nobody's: idle slots write there.
    """

    @torch.inference_mode()
    def __init__(
        self,
        stepper: IncrementalDecoder,
        begun: Conditioning,
        keys: Tensor,
        options: DecodeOptions,
        max_length: int,
        slots: int,
        *,
        heat: Tensor | None,
        given: Tensor | None,
        mask: GrammarMask | None,
    ) -> None:
        self.stepper, self.begun, self.options, self.max_length = stepper, begun, options, max_length
        device, self.count = keys.device, len(keys)
        length = max_length + 1 + BURST  # room to write behind the end until the next refill
        self.symbols = torch.full((self.count + 1, length), PAD_ID, dtype=torch.int16, device=device)
        self.scores = torch.zeros((self.count + 1, length), device=device)
        places = torch.arange(length, device=device)
        self.random = uniform(torch.cat([keys, keys[-1:]])[:, None], places).float().clamp_(max=1 - 2**-24)
        self.row = torch.arange(slots, device=device).clamp_(max=self.count)
        self.last = torch.full((slots,), START_ID, device=device)
        self.place = torch.zeros(slots, dtype=torch.long, device=device)
        self.ended = torch.zeros(slots, dtype=torch.bool, device=device)
        self.next = (self.row < self.count).sum()
        self.fresh = torch.arange(-(-slots // 4), device=device)  # as many may begin at a refill
        self.state = stepper.initial_state(begun, self.row.clamp(max=self.count - 1))
        self.heat = None if heat is None else torch.cat([heat, heat[-1:]])
        self.given = None if given is None else self._whole(given)
        self.mask = mask
        self.burst = captured(self._burst, device) if device.type == "cuda" else self._burst

    def _whole(self, given: Tensor) -> Tensor:
        """What is given, in a table as wide and long as that of the symbols."""
        whole = torch.full_like(self.symbols, PAD_ID, dtype=torch.long)
        whole[:-1, : given.shape[1]] = given
        return whole

    @torch.inference_mode()
    def advance(self) -> int:
        """Some steps further; how many rows, from the first, are finished."""
        for _ in range(LOOK_EVERY):
            self.burst()
        # a slot always writes a row after all that waited before it, so what lies below the lowest one is done
        return int(self.row.min())

    def rows(self, first: int, last: int) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        """Symbols and log-likelihoods of finished rows, off the device; cut off behind a string's end."""
        symbols = self.symbols[first:last, : self.max_length + 1].cpu().numpy()
        scores = self.scores[first:last, : self.max_length + 1].cpu().numpy()
        behind = np.cumsum(symbols == END_ID, axis=1) - (symbols == END_ID) > 0
        return np.where(behind, np.int16(PAD_ID), symbols), np.where(behind, 0, scores).sum(1)

    def _burst(self) -> None:
        for _ in range(BURST):
            self._step()
        self._refill()

    def _step(self) -> None:
        logits = self.stepper.step(self.last, self.state).float()
        heat = None if self.heat is None else self.heat[self.row]
        allowed = None if self.mask is None else self.mask.allowed()
        given = None if self.given is None else self.given[self.row, self.place]
        barred = None if given is None else -given
        symbol = choose(logits, self.options, self.random[self.row, self.place], heat, allowed, barred)
        if given is not None:
            symbol = torch.where(given > PAD_ID, given, symbol)
        if self.mask is not None:
            self.mask.advance(symbol)
        self.symbols[self.row, self.place] = symbol.to(torch.int16)
        self.scores[self.row, self.place] = log_probability(logits, symbol)
        self.ended |= symbol == END_ID
        self.last.copy_(symbol)
        self.place.add_(1).clamp_(max=self.symbols.shape[1] - 1)

    def _refill(self) -> None:
        """Slots that ended take the next waiting rows, or fall idle."""
        due = (self.ended | (self.place > self.max_length)) & (self.row < self.count)
        # those that are due first; should they be too many, those due last wait for the next refill
        slots = (due * self.place).topk(len(self.fresh)).indices
        due, rows = due[slots], self.next + self.fresh
        begins = due & (rows < self.count)
        self.next += begins.sum()
        self.row[slots] = torch.where(begins, rows, torch.where(due, self.count, self.row[slots]))
        self.last[slots] = torch.where(due, START_ID, self.last[slots])
        self.place[slots] = torch.where(due, 0, self.place[slots])
        self.state.reset(slots, due, self.begun, rows.clamp(max=self.count - 1))
        self.ended[slots] &= ~due
        if self.mask is not None:
            self.mask.restart(slots, due)


def captured(function: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """The function as a CUDA graph: one launch instead of some hundred. Its first calls, to warm up, count.

    Streams and graphs are of torch's current device, which need not be the one that the function works on.
    """
    with torch.cuda.device(device):
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
