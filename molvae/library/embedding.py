"""Encode a stream of rows in constant memory, with worker processes.

Without a GPU, each worker builds the graphs of a batch and encodes them, so that the speed is proportional to the
number of cores. With a GPU, this process encodes the batches while the workers build the next graphs.
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
from molvae.nn.devices import deterministic

BATCH_SIZE = 512
"""Rows that are featurized and encoded together."""


@dataclass(frozen=True)
class EmbeddedBatch:
    """A batch of consecutive rows: K molecules, and the invalid rows.

    Attributes
    ----------
    records : list of Record
        The rows of the molecules.
    smiles : list of str
        Their identities (see `chem.standardization`).
    hashes : ndarray of shape (K,), uint64
        Hashes of the canonical SMILES, as from `hash_texts`.
    latents : ndarray of shape (K, D), float32
        Means of q(z | x).
    invalid_rows : list of InvalidRow
        All other rows, with their reasons.
    notes : list of InvalidRow
        The rows whose molecule was changed, with the note as the reason.
    properties : dict of str to ndarray of shape (K,)
        Properties by name, with the units of `PROPERTIES`.
    fingerprints : ndarray of shape (K, 256), uint8
        Packed Morgan fingerprints as from `morgan_bits`; (0, 256) if they were not requested.
    """

    records: list[Record]
    smiles: list[str]
    hashes: NDArray[np.uint64]
    latents: NDArray[np.float32]
    invalid_rows: list[InvalidRow]
    notes: list[InvalidRow]
    properties: dict[str, NDArray[np.float64]]
    fingerprints: NDArray[np.uint8]

    @property
    def read(self) -> int:
        """The number of rows."""
        return len(self.records) + len(self.invalid_rows)


def embed_rows(
    model: Autoencoder,
    vocabulary: Vocabulary,
    rows: Iterable[Record | InvalidRow],
    *,
    device: torch.device | str,
    max_length: int,
    properties: Sequence[str] = (),
    fingerprints: bool = False,
    standardize: bool = False,
    keep_salts: bool = False,
    workers: int | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[EmbeddedBatch]:
    """Encode a stream of rows of any length, batch by batch, in order.

    On one device, a batch of the same rows gives bitwise identical results, independent of the number of workers and of
    the position of the batch in the stream.

    Parameters
    ----------
    model : Autoencoder
        In evaluation mode, on `device`.
    vocabulary : Vocabulary
        Tokens of the model; molecules with other tokens are invalid rows.
    rows : iterable of Record or InvalidRow
        Rows to encode.
    device : torch.device or str
        Device of the model.
    max_length : int
        The most tokens that the model decodes; longer molecules are invalid rows.
    properties : sequence of str
        Properties to compute as well.
    fingerprints : bool
        Whether to compute fingerprints as well.
    standardize, keep_salts : bool
        As in `chem.standardization.prepare`. Isotope labels are part of the identity, but not of graph and fingerprint.
    workers : int, optional
        Worker processes; default one per core, 0 or 1 for none.
    batch_size : int
        Rows of a batch.

    Yields
    ------
    EmbeddedBatch
    """
    for name in properties:
        get_property(name)  # raises for an unknown property here and not in a worker
    task = _EmbeddingTask(
        model, torch.device(device), standardize, keep_salts, max_length, frozenset(vocabulary.tokens),
        tuple(properties), fingerprints,
    )  # fmt: skip
    batches, for_workers = tee(chunked(rows, batch_size))
    texts = ([row.smiles if isinstance(row, Record) else None for row in batch] for batch in for_workers)
    # results come first in zip, so that no batch is consumed after the last result
    for result, batch in zip(map_chunks(_process_batch, texts, workers, shared=task), batches, strict=False):
        yield _embedded_batch(batch, result, task)


@dataclass(frozen=True)
class _EmbeddingTask:
    """The settings that all workers share."""

    model: Autoencoder
    device: torch.device
    standardize: bool
    keep_salts: bool
    max_length: int
    known_tokens: frozenset[str]
    properties: tuple[str, ...]
    fingerprints: bool


class _WorkerResult(NamedTuple):
    """The results of a worker for a batch; `latents` is None unless the model is on the CPU."""

    chunk: FeaturizedChunk
    smiles: list[str]
    properties: dict[str, NDArray[np.float64]]
    fingerprints: NDArray[np.uint8]
    latents: NDArray[np.float32] | None


def _process_batch(task: _EmbeddingTask, texts: list[str | None]) -> _WorkerResult:
    mols: list[Chem.Mol] = []
    on_molecule = mols.append if task.properties or task.fingerprints else None
    chunk = featurize_chunk(
        texts,
        standardize=task.standardize,
        keep_salts=task.keep_salts,
        keep_isotopes=True,
        max_length=task.max_length,
        vocabulary=task.known_tokens,
        on_molecule=on_molecule,
    )
    return _WorkerResult(
        chunk=chunk,
        smiles=chunk_smiles(chunk),
        properties=compute_properties(mols, task.properties),
        fingerprints=morgan_bits(mols if task.fingerprints else []),
        latents=encode_chunk(task.model, chunk, task.device) if task.device.type == "cpu" else None,
    )


def _embedded_batch(rows: list[Record | InvalidRow], result: _WorkerResult, task: _EmbeddingTask) -> EmbeddedBatch:
    chunk = result.chunk
    invalid_rows = [
        row if isinstance(row, InvalidRow) else InvalidRow(row.source, row.row, row.smiles, chunk.errors[position])
        for position, row in enumerate(rows)
        if isinstance(row, InvalidRow) or position in chunk.errors
    ]
    latents = result.latents
    notes = [
        InvalidRow(row.source, row.row, row.smiles, "; ".join(filter(None, (row.note, chunk.notes.get(position, "")))))
        for position, row in enumerate(rows)
        if isinstance(row, Record) and position not in chunk.errors and (row.note or position in chunk.notes)
    ]
    return EmbeddedBatch(
        records=[row for row in map(rows.__getitem__, chunk.rows) if isinstance(row, Record)],
        smiles=result.smiles,
        hashes=np.frombuffer(b"".join(chunk.smiles_hashes), "<u8"),
        latents=encode_chunk(task.model, chunk, task.device) if latents is None else latents,
        invalid_rows=invalid_rows,
        notes=notes,
        properties=result.properties,
        fingerprints=result.fingerprints,
    )


def chunk_smiles(chunk: FeaturizedChunk) -> list[str]:
    """Return the identities of the molecules of a chunk."""
    tokens = ["\n", *chunk.token_table[1:]]  # the first token ends a molecule
    smiles = "".join([tokens[token] for token in chunk.tokens.tolist()]).split("\n")[:-1]
    if not chunk.labelled:
        return smiles
    return [chunk.labelled.get(row, text) for row, text in zip(chunk.rows, smiles, strict=True)]


@torch.inference_mode()
def encode_chunk(model: Autoencoder, chunk: FeaturizedChunk, device: torch.device) -> NDArray[np.float32]:
    """Return the means of q(z | x) of the K molecules of a chunk: (K, D). On a CPU one thread computes them."""
    sizes = chunk.sizes * np.array([1, 1, 0])  # only decoders need tokens
    packed = PackedGraphs.from_arrays(chunk.atoms, chunk.bonds, chunk.bond_index, np.zeros(0, np.int16), sizes)
    if not len(packed):  # the encoder does not accept an empty batch
        return np.zeros((0, model.latent.mean.out_features), np.float32)
    with deterministic(device):
        batch = packed.gather(torch.arange(len(packed))).to(device)
        latents: NDArray[np.float32] = model.encode(batch).checked().mean.float().cpu().numpy()
    return latents
