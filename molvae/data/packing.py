"""Pack a data set once: records in, a folder of packed graphs out, every row accounted for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import tee

import numpy as np
import torch

from molvae.chem.graph import MolGraph
from molvae.chem.tokens import Vocabulary, tokenize
from molvae.data.featurise import CHUNK, featurise, in_chunks, map_chunks
from molvae.data.packed import PackedGraphs
from molvae.data.records import Record, Refusal
from molvae.errors import InputError, MoleculeError

PackedRow = tuple[Record | Refusal, MolGraph | None, str]
"""A row that was read, its graph, and the reason where it has none."""


@dataclass
class Packing:
    """What became of the rows: read = kept + duplicates + refused, always."""

    read: int = 0
    kept: int = 0
    duplicates: int = 0
    refused: int = 0
    refusals: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.read:,} read = {self.kept:,} kept + {self.duplicates:,} duplicates + {self.refused:,} refused"


def pack(
    rows: Iterable[Record | Refusal],
    *,
    vocabulary: Vocabulary | None = None,
    max_symbols: int = 160,
    clean: bool = False,
    workers: int | None = None,
    progress: Callable[[Packing], None] | None = None,
) -> tuple[PackedGraphs, Vocabulary, Packing]:
    """Featurise, de-duplicate and pack; with no `vocabulary`, the data's own symbols become it.

    Raises `InputError` when no row is usable, with the first reasons.
    """
    packing = Packing()
    parts: list[PackedGraphs] = []
    ids: dict[str, int] = {}
    seen: set[bytes] = set()
    for chunk in in_chunks(_graphs(rows, clean, workers)):
        graphs = [g for row in chunk if (g := _admit(row, packing, seen, vocabulary, max_symbols))]
        parts.append(_pack_part(graphs, ids))
        if progress:
            progress(packing)
    if not packing.kept:
        raise InputError("no usable molecule in the data: " + "; ".join(packing.refusals[:3] or ["it is empty"]))
    vocabulary = vocabulary or Vocabulary.from_tokens(ids)
    return _renumber(_concatenate(parts), ids, vocabulary), vocabulary, packing


def _graphs(rows: Iterable[Record | Refusal], clean: bool, workers: int | None) -> Iterator[PackedRow]:
    for_workers, kept = tee(rows)
    texts = (row.smiles if isinstance(row, Record) else None for row in for_workers)
    results = map_chunks(partial(_featurise_some, clean=clean), texts, workers=workers, chunk=CHUNK)
    for part in results:
        for result, row in zip(part, kept, strict=False):  # part first: zip must not take a row it drops
            if isinstance(row, Refusal):
                yield row, None, row.reason
            elif isinstance(result, MolGraph):
                yield row, result, ""
            else:
                yield row, None, str(result)


def _featurise_some(texts: Sequence[str | None], clean: bool) -> list[MolGraph | MoleculeError | None]:
    return [None if text is None else featurise([text], clean=clean)[0] for text in texts]


def _admit(
    row: PackedRow, packing: Packing, seen: set[bytes], vocabulary: Vocabulary | None, max_symbols: int
) -> MolGraph | None:
    """Count the row; its graph if it is new and fits."""
    record, graph, reason = row
    packing.read += 1
    if graph is not None:
        reason = _unfit(graph, vocabulary, max_symbols)
    if graph is None or reason:
        packing.refused += 1
        packing.refusals.append(f"{record.source}, row {record.row}: {reason}")
        return None
    key = hashlib.blake2b(graph.smiles.encode(), digest_size=8).digest()
    if key in seen:
        packing.duplicates += 1
        return None
    seen.add(key)
    packing.kept += 1
    return graph


def _unfit(graph: MolGraph, vocabulary: Vocabulary | None, max_symbols: int) -> str:
    count = len(tokenize(graph.smiles))
    if count > max_symbols:
        return f"{count} symbols, more than the {max_symbols} that the model writes"
    if vocabulary is not None:
        try:
            vocabulary.encode(graph.smiles)
        except MoleculeError as error:
            return str(error)
    return ""


def _pack_part(graphs: list[MolGraph], ids: dict[str, int]) -> PackedGraphs:
    """Pack some graphs with provisional symbol ids, in order of first sight: the vocabulary is known at the end."""
    rows = [np.array([ids.setdefault(t, len(ids)) for t in tokenize(g.smiles)] + [-1], np.int16) for g in graphs]
    part = PackedGraphs.from_graphs(graphs)
    lengths = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    tokens = np.concatenate(rows) if rows else np.zeros(0, np.int16)
    return PackedGraphs(
        part.atoms, part.bonds, part.ends, torch.from_numpy(tokens), part.atom_start, part.bond_start,
        torch.from_numpy(lengths),
    )  # fmt: skip


def _concatenate(parts: list[PackedGraphs]) -> PackedGraphs:
    def rows(name: str) -> torch.Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    def starts(name: str) -> torch.Tensor:
        lengths = torch.cat([getattr(part, name).diff() for part in parts])
        return torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])

    return PackedGraphs(
        rows("atoms"), rows("bonds"), rows("ends"), rows("tokens"),
        starts("atom_start"), starts("bond_start"), starts("token_start"),
    )  # fmt: skip


def _renumber(packed: PackedGraphs, ids: dict[str, int], vocabulary: Vocabulary) -> PackedGraphs:
    final = {token: i for i, token in enumerate(vocabulary.tokens)}
    table = torch.tensor([final[token] for token in ids] + [final["<end>"]], dtype=torch.int16)
    packed.tokens.copy_(table[packed.tokens.long()])  # -1, the end, is the last entry
    return packed
