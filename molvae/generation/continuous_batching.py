"""Continuous batching: a fixed number of slots decode one token per step; a slot that has finished takes the next row.

A step depends on no value on the host: slots that have finished keep decoding until the next refill, and tokens after
the end token are removed when rows are copied to the host. On a GPU, several steps and a refill can therefore be
captured as one CUDA graph.
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
from molvae.generation.token_sampling import SamplingOptions, sample_tokens, token_log_probability
from molvae.nn.incremental_decoding import Conditioning, IncrementalDecoder

STEPS_PER_REFILL = 4  # with more, finished slots idle longer; with fewer, refills take more time
REFILLS_PER_POLL = 4  # refills between two queries of the finished rows by the host


class DecodingSlots:
    """Decodes N queued rows in S slots.

    Row N is a dummy that idle slots write to.

    Parameters
    ----------
    decoder
        The decoder.
    conditioning
        Initial tensors of the N rows, from `decoder.condition`.
    keys
        Keys of the random numbers, shape (N,).
    options
        How tokens are sampled.
    max_length
        Maximum number of tokens, the end token excluded.
    slots
        Number of slots S.
    temperature_scale, forced_tokens
        As in `Engine.decode`, for the N rows.
    mask
        The grammar mask of the S slots, or None.
    """

    @torch.inference_mode()
    def __init__(
        self,
        decoder: IncrementalDecoder,
        conditioning: Conditioning,
        keys: Tensor,
        options: SamplingOptions,
        max_length: int,
        slots: int,
        *,
        temperature_scale: Tensor | None,
        forced_tokens: Tensor | None,
        mask: GrammarMask | None,
    ) -> None:
        self.decoder, self.conditioning, self.options, self.max_length = decoder, conditioning, options, max_length
        device, self.n_rows = keys.device, len(keys)
        length = max_length + 1 + STEPS_PER_REFILL  # a finished slot decodes on until the next refill
        self.tokens = torch.full((self.n_rows + 1, length), PAD_ID, dtype=torch.int16, device=device)
        self.log_probabilities = torch.zeros((self.n_rows + 1, length), device=device)
        positions = torch.arange(length, device=device)
        # below 1 also in float32
        self.uniform = uniform(torch.cat([keys, keys[-1:]])[:, None], positions).float().clamp_(max=1 - 2**-24)
        self.row = torch.arange(slots, device=device).clamp_(max=self.n_rows)  # S: the row of each slot
        self.last_token = torch.full((slots,), START_ID, device=device)
        self.position = torch.zeros(slots, dtype=torch.long, device=device)
        self.ended = torch.zeros(slots, dtype=torch.bool, device=device)
        self.next_row = (self.row < self.n_rows).sum()
        self.refill_offsets = torch.arange(
            -(-slots // 4), device=device
        )  # a refill starts at most a quarter of the slots
        self.state = decoder.initial_state(conditioning, self.row.clamp(max=self.n_rows - 1))
        self.temperature_scale = (
            None if temperature_scale is None else torch.cat([temperature_scale, temperature_scale[-1:]])
        )
        self.forced_tokens = None if forced_tokens is None else self._padded(forced_tokens)
        self.mask = mask
        run = self._steps_and_refill
        self.steps_and_refill = capture_cuda_graph(run, device) if device.type == "cuda" else run

    def _padded(self, forced_tokens: Tensor) -> Tensor:
        """The forced tokens, padded to the shape of `tokens`."""
        padded = torch.full_like(self.tokens, PAD_ID, dtype=torch.long)
        padded[:-1, : forced_tokens.shape[1]] = forced_tokens
        return padded

    @torch.inference_mode()
    def advance(self) -> int:
        """Decode some steps; returns the number of rows, counted from the first, that are finished."""
        for _ in range(REFILLS_PER_POLL):
            self.steps_and_refill()
        # rows are started in order, so that all rows before the lowest running one are finished
        return int(self.row.min())

    def rows(self, first: int, last: int) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        """Tokens and log-likelihoods of the finished rows from `first` to `last` - 1, on the host."""
        tokens = self.tokens[first:last, : self.max_length + 1].cpu().numpy()
        log_probabilities = self.log_probabilities[first:last, : self.max_length + 1].cpu().numpy()
        after_end = np.cumsum(tokens == END_ID, axis=1) - (tokens == END_ID) > 0
        return np.where(after_end, np.int16(PAD_ID), tokens), np.where(after_end, 0, log_probabilities).sum(1)

    def _steps_and_refill(self) -> None:
        for _ in range(STEPS_PER_REFILL):
            self._step()
        self._refill()

    def _step(self) -> None:
        """Decode one token in each slot."""
        logits = self.decoder.step(self.last_token, self.state).float()  # S x V
        scale = None if self.temperature_scale is None else self.temperature_scale[self.row]
        allowed = None if self.mask is None else self.mask.allowed()
        forced = None if self.forced_tokens is None else self.forced_tokens[self.row, self.position]
        banned = None if forced is None else -forced
        token = sample_tokens(logits, self.options, self.uniform[self.row, self.position], scale, allowed, banned)
        if forced is not None:
            token = torch.where(forced > PAD_ID, forced, token)
        if self.mask is not None:
            self.mask.advance(token)
        self.tokens[self.row, self.position] = token.to(torch.int16)
        self.log_probabilities[self.row, self.position] = token_log_probability(logits, token)
        self.ended |= token == END_ID
        self.last_token.copy_(token)
        self.position.add_(1).clamp_(max=self.tokens.shape[1] - 1)

    def _refill(self) -> None:
        """Start the next queued rows in slots that have finished; without queued rows these become idle."""
        finished = (self.ended | (self.position > self.max_length)) & (self.row < self.n_rows)
        # finished slots first, the longest first; any beyond the limit wait for the next refill
        slots = (finished * self.position).topk(len(self.refill_offsets)).indices
        finished, rows = finished[slots], self.next_row + self.refill_offsets
        starts = finished & (rows < self.n_rows)
        self.next_row += starts.sum()
        self.row[slots] = torch.where(starts, rows, torch.where(finished, self.n_rows, self.row[slots]))
        self.last_token[slots] = torch.where(finished, START_ID, self.last_token[slots])
        self.position[slots] = torch.where(finished, 0, self.position[slots])
        self.state.reset(slots, finished, self.conditioning, rows.clamp(max=self.n_rows - 1))
        self.ended[slots] &= ~finished
        if self.mask is not None:
            self.mask.restart(slots, finished)


def capture_cuda_graph(function: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """The function as a CUDA graph: one launch instead of hundreds. Two warm-up calls are made before the capture.

    Streams and graphs belong to torch's current device, which need not be the device of the function.
    """
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                function()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may use the GPU
            function()
    return graph.replay  # type: ignore[no-any-return]
