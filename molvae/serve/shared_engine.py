"""One decoder for all jobs: the samples that several jobs wait for are decoded together.

A sample depends on its own latent, noise level and key only, not on the others in its batch
(`molvae.generation.engine`), so that a job gets the same molecules as alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad

from molvae.chem.tokenizer import PAD_ID
from molvae.generation.codec import Codec
from molvae.generation.engine import DecodedSamples, Engine
from molvae.generation.token_sampling import SamplingOptions
from molvae.serve.turns import current_turn

ROWS_PER_BATCH = 2048
"""Samples that are decoded before other requests have their turn: about half a second on two cores."""

MIN_ROWS_PER_REQUEST = 128
"""Samples of each request in a batch, however many requests there are."""

_SECONDS_TO_CHECK = 0.1  # a job that waits for samples looks this often whether it has been cancelled


@dataclass(eq=False)
class _Request:
    """N samples that a job waits for; blocks of them arrive in order, then None, or an error."""

    z: Tensor
    noise_level: Tensor
    keys: Tensor
    options: SamplingOptions
    temperature_scale: Tensor | None
    forced_tokens: Tensor | None
    n_started: int = 0
    abandoned: bool = False
    blocks: queue.SimpleQueue[DecodedSamples | BaseException | None] = field(default_factory=queue.SimpleQueue)

    def can_join(self, other: _Request) -> bool:
        """Whether both can be decoded in one batch."""
        return (
            self.options == other.options
            and (self.temperature_scale is None) == (other.temperature_scale is None)
            and (self.forced_tokens is None) == (other.forced_tokens is None)
        )

    @property
    def n_left(self) -> int:
        return len(self.z) - self.n_started


class SharedEngine(Engine):
    """An `Engine` for many threads: one thread of its own decodes what they ask for, in common batches.

    Parameters
    ----------
    codec
        The model; its engine is replaced by this one.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec.model.decoder, codec.max_length, precision=codec.precision, vocabulary=codec.vocabulary)
        codec.engine = self
        self._requests: list[_Request] = []
        self._changed, self._closed = threading.Condition(), False
        self.n_decoded = 0
        self._thread = threading.Thread(target=self._run, name="molvae-decoder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread. Jobs that wait for samples get an error."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(5)

    def stream(
        self,
        z: Tensor,
        noise_level: Tensor,
        keys: Tensor,
        options: SamplingOptions,
        *,
        temperature_scale: Tensor | None = None,
        forced_tokens: Tensor | None = None,
        block: int = 512,  # noqa: ARG002 - of the base class
    ) -> Iterator[DecodedSamples]:
        """As `Engine.stream`. The job gives up its turn while it waits; `block` has no effect."""
        if not len(z):
            return
        request = _Request(z, noise_level, keys, options, temperature_scale, forced_tokens)
        with self._changed:
            self._requests.append(request)
            self._changed.notify()
        try:
            while (samples := _next_block(request)) is not None:
                yield samples
        finally:
            request.abandoned = True

    @torch.inference_mode()
    def _run(self) -> None:
        """Decode batches until the engine is closed."""
        while True:
            with self._changed:
                self._requests = [r for r in self._requests if r.n_left and not r.abandoned]
                while not self._requests and not self._closed:
                    self._changed.wait()
                    self._requests = [r for r in self._requests if r.n_left and not r.abandoned]
                if self._closed:
                    for request in self._requests:
                        request.blocks.put(RuntimeError("the server is stopping"))
                    return
                oldest = self._requests[0]
                batch = [request for request in self._requests if request.can_join(oldest)]
                # those with other options are first in the next batch
                self._requests = [request for request in self._requests if request not in batch] + batch
            try:
                self._decode(batch)
            except Exception as error:  # of a request or of the device: its jobs fail, the server goes on
                for request in batch:
                    request.abandoned = True
                    request.blocks.put(error)

    def _decode(self, requests: Sequence[_Request]) -> None:
        """Decode the next rows of each request."""
        size = max(MIN_ROWS_PER_REQUEST, max(ROWS_PER_BATCH, self.slots) // len(requests))
        rows = [slice(request.n_started, min(len(request.z), request.n_started + size)) for request in requests]
        pairs = list(zip(requests, rows, strict=True))
        scales = [r.temperature_scale[part] for r, part in pairs if r.temperature_scale is not None]
        forced = [r.forced_tokens[part] for r, part in pairs if r.forced_tokens is not None]
        length = max((tokens.shape[1] for tokens in forced), default=0)
        forced = [pad(tokens, (0, length - tokens.shape[1]), value=PAD_ID) for tokens in forced]
        blocks = super().stream(
            torch.cat([request.z[part] for request, part in pairs]),
            torch.cat([request.noise_level[part] for request, part in pairs]),
            torch.cat([request.keys[part] for request, part in pairs]),
            requests[0].options,
            temperature_scale=torch.cat(scales) if scales else None,
            forced_tokens=torch.cat(forced) if forced else None,
            block=MIN_ROWS_PER_REQUEST,
        )
        waiting = [(request, part.stop - part.start) for request, part in pairs]
        for samples in blocks:
            self.n_decoded += len(samples)
            first = 0
            while first < len(samples):  # a block may contain rows of several requests
                request, n_missing = waiting[0]
                last = min(len(samples), first + n_missing)
                request.blocks.put(DecodedSamples(samples.tokens[first:last], samples.log_likelihood[first:last]))
                request.n_started += last - first
                if not request.n_left:
                    request.blocks.put(None)
                waiting[0] = (request, n_missing - (last - first))
                if last - first == n_missing:
                    waiting.pop(0)
                first = last


def _next_block(request: _Request) -> DecodedSamples | None:
    """The next block of samples; None after the last one. A job that waits gives up its turn, and may be cancelled."""
    turn = current_turn.get()
    try:
        block = request.blocks.get_nowait()
    except queue.Empty:
        if turn is None:
            block = request.blocks.get()
        else:
            with turn.released():
                block = _wait(request)
    if turn is not None:
        turn.pause()
    if isinstance(block, BaseException):
        raise block
    return block


def _wait(request: _Request) -> DecodedSamples | BaseException | None:
    turn = current_turn.get()
    while True:
        try:
            return request.blocks.get(timeout=_SECONDS_TO_CHECK)
        except queue.Empty:
            if turn is not None:
                turn.check()
