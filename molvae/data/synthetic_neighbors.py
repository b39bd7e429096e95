"""Generate close neighbors of training molecules by mutation, because a training set has few of them.

The mutations are those of `chem.mutations`. As in `neighbor_search`, the SMILES of a molecule and of its neighbor have
a long common prefix and suffix.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.mutations import Substituents, mutate, shared_ends
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.tokenizer import Vocabulary, tokenize
from molvae.data.graph_dataset import PackedGraphs, offsets
from molvae.data.neighbor_search import MIN_SHARED_FRACTION, SIMILARITY_BANDS
from molvae.data.neighbors import Neighbors, SyntheticMolecules
from molvae.data.parallel import chunked, map_chunks

BAND_BOUNDARY = 0.75
"""A molecule has at most one synthetic neighbor with at least this Tanimoto similarity, and at most one with less."""

N_ATTEMPTS = 2
"""Number of mutations tried per molecule."""

SYNTHETIC_CHUNK_SIZE = 256
"""Number of molecules that a worker processes at once; `progress` is called after each chunk."""

_N_SUBSTITUENT_MOLECULES = 20_000  # number of training molecules that substituents are taken from


class _MutationSettings(NamedTuple):
    """Data and settings for all workers."""

    substituents: Substituents
    vocabulary: Vocabulary
    max_tokens: int  # including END
    random_state: int


class _Mutants(NamedTuple):
    """Synthetic neighbors: for each, the row of its molecule, the similarity to it, and the token ids."""

    row: list[int]
    similarity: list[float]
    tokens: list[NDArray[np.uint16]]


def add_synthetic_neighbors(
    neighbors: Neighbors,
    data: PackedGraphs,
    vocabulary: Vocabulary,
    *,
    random_state: int = 0,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Neighbors:
    """Add up to two synthetic neighbors to each molecule; ten minutes for a million on two cores.

    Parameters
    ----------
    neighbors : Neighbors
        Neighbors in the training set, from `find_neighbors`.
    data : PackedGraphs
        The molecules, with tokens.
    vocabulary : Vocabulary
        Vocabulary of the tokens. Synthetic neighbors have only these tokens, and are not longer than the longest
        molecule.
    random_state : int
        Random number seed for the choice of the mutations.
    workers : int, optional
        Number of processes, as in `parallel.worker_count`. The result does not depend on it.
    progress : callable, optional
        Called with the number of completed molecules.
    """
    step = max(1, len(data) // _N_SUBSTITUENT_MOLECULES)
    max_tokens = int(data.token_start.diff().max()) if len(data) else 0
    subset = data.select(torch.arange(0, len(data), step))
    substituents = Substituents.from_smiles(subset.smiles(vocabulary))
    settings = _MutationSettings(substituents, vocabulary, max_tokens, random_state)
    chunks = chunked(enumerate(data.smiles(vocabulary)), SYNTHETIC_CHUNK_SIZE)
    parts, completed = list[_Mutants](), 0
    for part in map_chunks(_mutate_chunk, chunks, workers, shared=settings):
        parts.append(part)
        completed = min(completed + SYNTHETIC_CHUNK_SIZE, len(data))
        if progress:
            progress(completed)
    row = np.array([r for part in parts for r in part.row], np.int64)
    similarity = np.array([s for part in parts for s in part.similarity], np.float16)
    tokens = [ids for part in parts for ids in part.tokens]
    flat = np.concatenate([np.zeros(0, np.int16), *(ids.astype(np.int16) for ids in tokens)])
    synthetic = SyntheticMolecules(torch.from_numpy(flat), offsets([len(ids) for ids in tokens]))
    return neighbors.with_synthetic(synthetic, torch.from_numpy(row), torch.from_numpy(similarity))


def _mutate_chunk(settings: _MutationSettings, rows: list[tuple[int, str]]) -> _Mutants:
    mutants = _Mutants([], [], [])
    with silence_rdkit():
        for row, smiles in rows:
            for similarity, ids in _mutate_one(settings, row, smiles):
                mutants.row.append(row)
                mutants.similarity.append(similarity)
                mutants.tokens.append(ids)
    return mutants


def _mutate_one(settings: _MutationSettings, row: int, smiles: str) -> list[tuple[float, NDArray[np.uint16]]]:
    """Return similarity and token ids of the first suitable mutant on each side of `BAND_BOUNDARY`."""
    mol, tokens, random = parse(smiles), tokenize(smiles), np.random.default_rng([settings.random_state, row])
    fingerprint = morgan(mol)
    accept = partial(_is_suitable, settings, tokens)
    chosen: dict[bool, tuple[float, NDArray[np.uint16]]] = {}
    for mutant in mutate(mol, smiles, settings.substituents, random, tries=N_ATTEMPTS, accept=accept):
        similarity = float(tanimoto(fingerprint, [morgan(mutant.mol)])[0])
        if SIMILARITY_BANDS[0] <= similarity < SIMILARITY_BANDS[-1]:
            chosen.setdefault(similarity >= BAND_BOUNDARY, (similarity, settings.vocabulary.encode(mutant.smiles)))
    return list(chosen.values())


def _is_suitable(settings: _MutationSettings, tokens: list[str], smiles: str) -> bool:
    """Return whether a mutant shares prefix and suffix with its molecule, is not too long, and has known tokens."""
    mutant_tokens = tokenize(smiles)
    return (
        len(mutant_tokens) < settings.max_tokens
        and shared_ends(tokens, mutant_tokens) >= MIN_SHARED_FRACTION
        and settings.vocabulary.contains_all(mutant_tokens)
    )
