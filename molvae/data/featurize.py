"""SMILES to graphs, in this process or in workers, in the order they came, every invalid row with its reason."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.graph import ATOM_FEATURES, BOND_FEATURES, MolGraph, RawGraph, mol_to_graph, mol_to_raw_graph
from molvae.chem.smiles import parse, silence_rdkit, standardize, write
from molvae.chem.tokenizer import END, unsupported_reason
from molvae.data.hashing import hash_text
from molvae.errors import MoleculeError

TURN = 64  # molecules that RDKit writes before their graphs are made


def featurize(smiles: Sequence[str], *, clean: bool = False) -> list[MolGraph | MoleculeError]:
    """One graph per SMILES, in order; where there is none, the `MoleculeError` that says why.

    `clean` standardizes first (normalized groups, salts stripped).
    """
    return [_graph(text, clean) for text in smiles]


def _graph(smiles: str, clean: bool) -> MolGraph | MoleculeError:
    try:
        mol = parse(smiles)
        return mol_to_graph(standardize(mol) if clean else mol)
    except MoleculeError as error:
        return error


@dataclass(frozen=True)
class FeaturizedChunk:
    """The graphs of M of some rows in flat arrays: quick to pass between processes, which M objects are not.

    `atoms`, `bonds`, `bond_index` as in `MolGraph`, one molecule after the other, `sizes` (M, 3) the number of
    atoms, bonds and tokens of each. `tokens` index `symbols`, whose first is the end. `rows` (M,) is the
    place of each among the rows, `keys` a digest of each canonical SMILES. `rejected` gives the others'
    reasons by their place.
    """

    atoms: NDArray[np.uint8]
    bonds: NDArray[np.uint8]
    bond_index: NDArray[np.uint16]
    tokens: NDArray[np.int16]
    sizes: NDArray[np.int64]
    symbols: list[str]
    rows: list[int]
    keys: list[bytes]
    rejected: dict[int, str]


def featurize_chunk(
    texts: Sequence[str | None],
    *,
    clean: bool = False,
    max_length: int | None = None,
    known: Container[str] | None = None,
    observe: Callable[[Chem.Mol], None] | None = None,
) -> FeaturizedChunk:
    """`featurize` into flat arrays. None is a row without SMILES: no molecule, and no reason.

    Molecules of more than `max_length` symbols, or with a symbol outside `known`, are rejected too. `observe` is shown
    each of the others, for whoever wants more of a molecule than its graph.
    """
    ids, rejected = _Numbers({END: 0}), dict[int, str]()
    graphs: list[RawGraph] = []
    rows: list[int] = []
    bare = not clean and observe is None
    for row, mol, smiles in _written(texts, clean, bare, rejected):
        try:
            graph = mol_to_raw_graph(mol, smiles)
        except MoleculeError as error:
            rejected[row] = str(error)
            continue
        if reason := unsupported_reason(graph.tokens, max_length, known):
            rejected[row] = reason
        else:
            rows.append(row)
            graphs.append(graph)
            if observe is not None:
                observe(mol)
    return _flat(graphs, ids, rows, rejected)


def _written(
    texts: Sequence[str | None], clean: bool, bare: bool, rejected: dict[int, str]
) -> Iterator[tuple[int, Chem.Mol, str]]:
    """Row, molecule and canonical SMILES of each text, ready a few at a time.

    RDKit's work and ours in turns, molecule by molecule, would throw each other out of the processor's caches, and so
    would more molecules than fit there: turns of `TURN` make a graph a fifth cheaper than either.
    """
    for start in range(0, len(texts), TURN):
        written = []
        with silence_rdkit():
            for row, text in enumerate(texts[start : start + TURN], start):
                if text is None:
                    continue
                try:
                    mol = parse(text, conjugation=not bare)
                    mol = standardize(mol) if clean else mol
                except MoleculeError as error:
                    rejected[row] = str(error)
                else:
                    written.append((row, mol, write(mol)))
        yield from written


class _Numbers(dict[str, int]):
    """A number for every symbol, in order of first sight."""

    def __missing__(self, symbol: str) -> int:
        self[symbol] = number = len(self)
        return number


def _flat(graphs: list[RawGraph], ids: _Numbers, rows: list[int], rejected: dict[int, str]) -> FeaturizedChunk:
    columns, bond_columns = len(ATOM_FEATURES), len(BOND_FEATURES)
    sizes = [(len(g.atoms) // columns, len(g.bond_index) // 2, len(g.tokens) + 1) for g in graphs]
    tokens = [i for g in graphs for i in (*map(ids.__getitem__, g.tokens), 0)]
    return FeaturizedChunk(
        atoms=np.frombuffer(bytearray().join([g.atoms for g in graphs]), np.uint8).reshape(-1, columns),
        bonds=np.frombuffer(bytearray().join([g.bonds for g in graphs]), np.uint8).reshape(-1, bond_columns),
        bond_index=np.frombuffer(bytearray().join([g.bond_index for g in graphs]), np.uint16).reshape(-1, 2),
        tokens=np.array(tokens, np.int16),
        sizes=np.array(sizes, np.int64).reshape(-1, 3),
        symbols=list(ids),
        rows=rows,
        keys=[hash_text(g.smiles) for g in graphs],
        rejected=rejected,
    )
