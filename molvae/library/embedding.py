"""A stream of rows into latents, in flat memory: worker processes featurize, and without a GPU encode as well.

A batch goes through the network where it was featurized, so that N cores do N times the work of one; with a GPU the
batches come together in this process, and the workers go on while the GPU encodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.properties import compute_properties, get_property
from molvae.chem.tokenizer import Vocabulary
from molvae.data.featurize import FeaturizedChunk, featurize_chunk
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.parallel import chunked, map_chunks
from molvae.data.rows import InvalidRow, Record
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.devices import repeatable

BATCH = 512
"""Rows that are featurized and encoded together."""


@dataclass(frozen=True)
class Embedded:
    """What became of some rows that follow each other: K molecules, the invalid rows of the others; `read` in all.

    records: the row of each molecule as it was read; smiles: canonical, isomeric; keys: (K,) a digest of it, the same
    for the same molecule; latents: (K, D) means of q(z given x). invalid rows: every other row, with its reason.
    properties: name to (K,), units as in `PROPERTIES`; fingerprints: (K, 256) packed as by `morgan_bits`, or (0, 256)
    where they were not asked for.
    """

    records: list[Record]
    smiles: list[str]
    keys: NDArray[np.uint64]
    latents: NDArray[np.float32]
    invalid_rows: list[InvalidRow]
    properties: dict[str, NDArray[np.float64]]
    fingerprints: NDArray[np.uint8]

    @property
    def read(self) -> int:
        return len(self.records) + len(self.invalid_rows)


def embed(
    model: Autoencoder,
    vocabulary: Vocabulary,
    rows: Iterable[Record | InvalidRow],
    *,
    device: torch.device | str,
    max_length: int,
    properties: Sequence[str] = (),
    fingerprints: bool = False,
    clean: bool = False,
    workers: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[Embedded]:
    """Encode a stream of any length: one `Embedded` for every `batch_size` rows read, in their order.

    `model` is in evaluation mode and on `device`; it writes `max_length` symbols at most, and molecules of more are
    rejected, as are those with a symbol outside `vocabulary`. `properties` and `fingerprints` are computed beside the
    graphs, in `workers` processes (None: one per core; 0 or 1: in this one). `clean` standardizes first and strips
    salts. The same rows give the same numbers, bit for bit on one device, whatever the workers; and rows that come
    later or earlier in the stream change nothing as long as they are whole batches.
    """
    for name in properties:
        get_property(name)  # its error now, and not out of a worker
    task = _Task(
        model, torch.device(device), clean, max_length, frozenset(vocabulary.tokens), tuple(properties), fingerprints
    )
    batches, for_workers = tee(chunked(rows, batch_size))
    texts = ([row.smiles if isinstance(row, Record) else None for row in batch] for batch in for_workers)
    # results first: when they end, zip has not taken a batch yet, and the workers have been sent home
    for described, batch in zip(map_chunks(_describe, texts, workers, shared=task), batches, strict=False):
        yield _embedded(batch, described, task)


@dataclass(frozen=True)
class _Task:
    """What every worker has to know."""

    model: Autoencoder
    device: torch.device
    clean: bool
    max_length: int
    known: frozenset[str]
    properties: tuple[str, ...]
    fingerprints: bool


class _Described(NamedTuple):
    """What a worker makes of a batch; latents only where they need no other device."""

    chunk: FeaturizedChunk
    smiles: list[str]
    properties: dict[str, NDArray[np.float64]]
    fingerprints: NDArray[np.uint8]
    latents: NDArray[np.float32] | None


def _describe(task: _Task, texts: list[str | None]) -> _Described:
    mols: list[Chem.Mol] = []
    observe = mols.append if task.properties or task.fingerprints else None
    chunk = featurize_chunk(
        texts, standardize=task.clean, max_length=task.max_length, vocabulary=task.known, on_molecule=observe
    )
    return _Described(
        chunk=chunk,
        smiles=smiles_of(chunk),
        properties=compute_properties(mols, task.properties),
        fingerprints=morgan_bits(mols if task.fingerprints else []),
        latents=encode_chunk(task.model, chunk, task.device) if task.device.type == "cpu" else None,
    )


def smiles_of(chunk: FeaturizedChunk) -> list[str]:
    """The canonical SMILES of the molecules."""
    symbols = ["\n", *chunk.token_table[1:]]  # the first is the end
    return "".join([symbols[token] for token in chunk.tokens.tolist()]).split("\n")[:-1]


def _embedded(rows: list[Record | InvalidRow], described: _Described, task: _Task) -> Embedded:
    chunk = described.chunk
    invalid_rows = [
        row if isinstance(row, InvalidRow) else InvalidRow(row.source, row.row, row.smiles, chunk.errors[place])
        for place, row in enumerate(rows)
        if isinstance(row, InvalidRow) or place in chunk.errors
    ]
    latents = described.latents
    return Embedded(
        records=[row for row in map(rows.__getitem__, chunk.rows) if isinstance(row, Record)],
        smiles=described.smiles,
        keys=np.frombuffer(b"".join(chunk.smiles_hashes), np.uint64),
        latents=encode_chunk(task.model, chunk, task.device) if latents is None else latents,
        invalid_rows=invalid_rows,
        properties=described.properties,
        fingerprints=described.fingerprints,
    )


@torch.inference_mode()
def encode_chunk(model: Autoencoder, chunk: FeaturizedChunk, device: torch.device) -> NDArray[np.float32]:
    """The means of q(z given x), (K, D). On a CPU one thread computes them: leave the other cores other chunks."""
    sizes = chunk.sizes * np.array([1, 1, 0])  # tokens are for those who decode
    packed = PackedGraphs.from_arrays(chunk.atoms, chunk.bonds, chunk.bond_index, np.zeros(0, np.int16), sizes)
    if not len(packed):  # which the encoder does not take
        return np.zeros((0, model.latent.mean.out_features), np.float32)
    with repeatable(device):
        batch = packed.gather(torch.arange(len(packed))).to(device)
        latents: NDArray[np.float32] = model.encode(batch).mean.float().cpu().numpy()
    return latents
