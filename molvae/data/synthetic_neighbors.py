"""Makes near neighbors of training molecules, of which a training set has few: `chem.variants` of each.

Like those that are found (`neighbor_search`) they begin and end as the molecule's canonical SMILES does.
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
"""One of the neighbors made is more like the molecule than this, the other less."""

N_ATTEMPTS = 2
SYNTHETIC_CHUNK_SIZE = 256  # molecules whose neighbors a process makes at once
_SAMPLE = 20_000  # molecules that branches are taken from


class _Rules(NamedTuple):
    """What variants are made of, and which of them the model can write."""

    pieces: Substituents
    vocabulary: Vocabulary
    most_symbols: int
    seed: int


class _Some(NamedTuple):
    """Neighbors that were made: of which molecule, how similar, and their symbols, one after the other."""

    row: list[int]
    similarity: list[float]
    tokens: list[NDArray[np.uint16]]


def add_synthetic_neighbors(
    found: Neighbors,
    data: PackedGraphs,
    vocabulary: Vocabulary,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Neighbors:
    """The neighbors found, and beside them up to two that are made of each molecule; ten minutes for a million on two
    cores.

    The same seed gives the same ones, whatever the number of workers. `progress` is called with the number of molecules
    that are done.
    """
    every = max(1, len(data) // _SAMPLE)
    longest = int(data.token_start.diff().max()) if len(data) else 0
    some = data.select(torch.arange(0, len(data), every))
    rules = _Rules(Substituents.from_smiles(some.smiles(vocabulary)), vocabulary, longest, seed)
    parts, done = list[_Some](), 0
    for part in map_chunks(
        _made, chunked(enumerate(data.smiles(vocabulary)), SYNTHETIC_CHUNK_SIZE), workers, shared=rules
    ):
        parts.append(part)
        done = min(done + SYNTHETIC_CHUNK_SIZE, len(data))
        if progress:
            progress(done)
    row = np.array([r for part in parts for r in part.row], np.int64)
    similarity = np.array([s for part in parts for s in part.similarity], np.float16)
    tokens = [ids for part in parts for ids in part.tokens]
    flat = np.concatenate([np.zeros(0, np.int16), *(ids.astype(np.int16) for ids in tokens)])
    made = SyntheticMolecules(torch.from_numpy(flat), offsets([len(ids) for ids in tokens]))
    return found.with_synthetic(made, torch.from_numpy(row), torch.from_numpy(similarity))


def _made(rules: _Rules, rows: list[tuple[int, str]]) -> _Some:
    some = _Some([], [], [])
    with silence_rdkit():
        for row, smiles in rows:
            for similarity, ids in _neighbors(rules, row, smiles):
                some.row.append(row)
                some.similarity.append(similarity)
                some.tokens.append(ids)
    return some


def _neighbors(rules: _Rules, row: int, smiles: str) -> list[tuple[float, NDArray[np.uint16]]]:
    """Of one molecule's variants the first in each band that begins and ends like it."""
    mol, symbols, random = parse(smiles), tokenize(smiles), np.random.default_rng([rules.seed, row])
    fingerprint = morgan(mol)
    fits = partial(_fits, rules, symbols)
    bands: dict[bool, tuple[float, NDArray[np.uint16]]] = {}
    for variant in mutate(mol, smiles, rules.pieces, random, tries=N_ATTEMPTS, accept=fits):
        similarity = float(tanimoto(fingerprint, [morgan(variant.mol)])[0])
        if SIMILARITY_BANDS[0] <= similarity < SIMILARITY_BANDS[-1]:
            bands.setdefault(similarity >= BAND_BOUNDARY, (similarity, rules.vocabulary.encode(variant.smiles)))
    return list(bands.values())


def _fits(rules: _Rules, symbols: list[str], smiles: str) -> bool:
    """Whether a variant begins and ends like its molecule's symbols, and can be written."""
    theirs = tokenize(smiles)
    return (
        len(theirs) < rules.most_symbols
        and shared_ends(symbols, theirs) >= MIN_SHARED_FRACTION
        and rules.vocabulary.contains_all(theirs)
    )
