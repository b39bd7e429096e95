"""Datasets of molecular graphs in a few flat arrays (`PackedGraphs`), and batches of them (`GraphBatch`).

There is no Python object per molecule. The arrays are in memory, in memory-mapped files or on a GPU; in each case,
`gather` builds a batch with a few tensor operations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.graph import ATOM_FEATURES, BOND_FEATURES, MolGraph
from molvae.chem.tokenizer import PAD_ID, Vocabulary
from molvae.data.array_files import map_npy
from molvae.data.json_files import read_object, reading
from molvae.errors import InputError

FORMAT = "molvae-packed-3"


@dataclass(frozen=True)
class GraphBatch:
    """B molecules as one disconnected graph with A atoms and E directed edges, in the format of PyTorch Geometric.

    Attributes
    ----------
    x : Tensor of int64, shape (A, 7)
        Atom features (columns of `chem.graph.ATOM_FEATURES`).
    edge_index : Tensor of int64, shape (2, E)
        Source and target atom of every directed edge. The second half of the edges is the first half reversed.
    edge_attr : Tensor of int64, shape (E, 4)
        Bond features (columns of `chem.graph.BOND_FEATURES`).
    position : Tensor of int64, shape (A,)
        Position of each atom in the canonical SMILES of its molecule.
    batch : Tensor of int64, shape (A,)
        Index of the molecule that each atom belongs to, ascending.
    tokens : Tensor of int64, shape (B, L)
        Token ids, terminated by END and padded with PAD; L = 0 in a batch for the encoder alone.
    """

    x: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    position: Tensor
    batch: Tensor
    tokens: Tensor

    @property
    def size(self) -> int:
        """Number of molecules, B."""
        return len(self.tokens)

    def to(self, device: torch.device | str) -> GraphBatch:
        """Return a copy on a device."""
        return GraphBatch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


@dataclass(frozen=True)
class PackedGraphs:
    """M molecules in flat arrays, on one device.

    Attributes
    ----------
    atoms : Tensor of uint8, shape (total atoms, 7)
        Atom features (columns of `chem.graph.ATOM_FEATURES`).
    bonds : Tensor of uint8, shape (total bonds, 4)
        Bond features (columns of `chem.graph.BOND_FEATURES`).
    bond_index : Tensor of int16, shape (total bonds, 2)
        The two atoms of each bond, counted within the molecule.
    tokens : Tensor of int16, shape (total tokens,)
        Token ids of the canonical SMILES, each terminated by END.
    atom_start, bond_start, token_start : Tensor of int64, shape (M + 1,)
        Index of the first atom, bond and token of each molecule; the last entry is the total number.
    """

    atoms: Tensor
    bonds: Tensor
    bond_index: Tensor
    tokens: Tensor
    atom_start: Tensor
    bond_start: Tensor
    token_start: Tensor

    def __len__(self) -> int:
        return len(self.atom_start) - 1

    @property
    def device(self) -> torch.device:
        """Device of the arrays."""
        return self.atoms.device

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        return sum(getattr(self, f.name).nbytes for f in fields(self))

    def to(self, device: torch.device | str) -> PackedGraphs:
        """Return a copy on a device."""
        return PackedGraphs(*(getattr(self, f.name).to(device) for f in fields(self)))

    @classmethod
    def from_arrays(
        cls,
        atoms: NDArray[np.uint8],
        bonds: NDArray[np.uint8],
        bond_index: NDArray[np.uint16],
        tokens: NDArray[np.int16],
        sizes: NDArray[np.int64],
    ) -> PackedGraphs:
        """Create packed graphs from flat NumPy arrays.

        Parameters
        ----------
        atoms, bonds, bond_index, tokens : ndarray
            As the attributes.
        sizes : ndarray of int64, shape (M, 3)
            Number of atoms, bonds and tokens of each molecule.
        """
        # atom indices are below 1000 and fit in int16, which torch supports better than uint16
        rows = (torch.from_numpy(array) for array in (atoms, bonds, bond_index.astype(np.int16), tokens))
        return cls(*rows, *(offsets(sizes[:, column]) for column in range(3)))

    @classmethod
    def from_graphs(cls, graphs: Sequence[MolGraph], vocabulary: Vocabulary | None = None) -> PackedGraphs:
        """Pack graphs, with the tokens of their SMILES if a vocabulary is passed.

        Raises `MoleculeError` for a token that is not in the vocabulary.
        """
        ids = [vocabulary.encode(g.smiles) for g in graphs] if vocabulary else [np.zeros(0, np.uint16)] * len(graphs)
        return cls(
            atoms=_stack([g.atoms for g in graphs], np.uint8, len(ATOM_FEATURES)),
            bonds=_stack([g.bonds for g in graphs], np.uint8, len(BOND_FEATURES)),
            bond_index=_stack([g.bond_index for g in graphs], np.int16, 2),
            tokens=_stack(ids, np.int16),
            atom_start=offsets([len(g.atoms) for g in graphs]),
            bond_start=offsets([len(g.bonds) for g in graphs]),
            token_start=offsets([len(row) for row in ids]),
        )

    def gather(self, rows: Tensor) -> GraphBatch:
        """Return the batch of the molecules `rows` (B,), int64 on the device of the arrays, in this order."""
        atom_rows, position, batch = _ragged_index(self.atom_start, rows)
        bond_rows, _, bond_batch = _ragged_index(self.bond_start, rows)
        first_atom = torch.searchsorted(batch, torch.arange(len(rows), device=rows.device))
        bond_index = self.bond_index[bond_rows].long() + first_atom[bond_batch, None]
        bond_attr = self.bonds[bond_rows].long()
        return GraphBatch(
            x=self.atoms[atom_rows].long(),
            edge_index=torch.cat([bond_index, bond_index.flip(1)]).T.contiguous(),
            edge_attr=torch.cat([bond_attr, bond_attr]),
            position=position,
            batch=batch,
            tokens=self.gather_tokens(rows),
        )

    def gather_tokens(self, rows: Tensor) -> Tensor:
        """Return the padded token ids (B, L) of the molecules `rows` (B,)."""
        return pad_rows(self.tokens, self.token_start, rows)

    def smiles(self, vocabulary: Vocabulary) -> Iterator[str]:
        """Yield the canonical SMILES of each molecule."""
        tokens, starts = self.tokens.cpu().numpy(), self.token_start.tolist()
        return (vocabulary.decode(tokens[start:end]) for start, end in pairwise(starts))

    def select(self, rows: Tensor) -> PackedGraphs:
        """Return a copy of the molecules `rows`, in this order."""
        atoms, _, _ = _ragged_index(self.atom_start, rows)
        bonds, _, _ = _ragged_index(self.bond_start, rows)
        tokens, _, _ = _ragged_index(self.token_start, rows)
        starts = (_to_offsets(start.diff()[rows]) for start in (self.atom_start, self.bond_start, self.token_start))
        return PackedGraphs(self.atoms[atoms], self.bonds[bonds], self.bond_index[bonds], self.tokens[tokens], *starts)

    def save(self, folder: Path | str, **metadata: Any) -> None:
        """Write one .npy file per array, then `packed.json` with the format, the number of molecules and `metadata`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "packed.json").unlink(missing_ok=True)  # an older file must not describe incomplete data
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name).cpu().numpy())
        text = json.dumps({"format": FORMAT, "molecules": len(self), **metadata}, indent=2)
        (folder / "packed.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> PackedGraphs:
        """Memory-map the arrays of a folder written by `save`; data is read when it is used.

        Raises `InputError` if the folder has no packed data or is incomplete.
        """
        folder = Path(folder)
        molecules = read_metadata(folder).get("molecules")
        try:
            # copy-on-write, because torch has no read-only tensors
            arrays = {f.name: map_npy(folder / f"{f.name}.npy", "c") for f in fields(cls)}
            packed = cls(**{name: torch.from_numpy(array) for name, array in arrays.items()})
        except (OSError, InputError, TypeError) as error:
            raise _damaged(folder, str(error)) from None
        if len(packed) != molecules:
            raise _damaged(folder, f"{len(packed)} molecules, but packed.json says {molecules}")
        packed._check_lengths(folder)
        return packed

    def _check_lengths(self, folder: Path) -> None:
        """Detect files of different datasets in one folder, such as after an interrupted copy."""
        for start, names in (("atom", ("atoms",)), ("bond", ("bonds", "bond_index")), ("token", ("tokens",))):
            offsets = getattr(self, f"{start}_start")
            for name in names:
                rows = len(getattr(self, name))
                if len(offsets) != len(self.atom_start) or int(offsets[-1]) != rows:
                    raise _damaged(folder, f"{name}.npy and {start}_start.npy do not belong together")


def read_metadata(folder: Path | str) -> dict[str, Any]:
    """Return the content of `packed.json`. Raises `InputError` if it is missing or has another format."""
    path = Path(folder) / "packed.json"
    if not path.exists():
        raise InputError(f"{folder}: not a folder of packed molecules (no packed.json)")
    with reading(path, InputError, "pack the data again"):
        content = read_object(path, surrogates=True)
    if content.get("format") != FORMAT:
        raise InputError(
            f"{path}: format {content.get('format')!r}, this version reads {FORMAT!r}; pack the data again"
        )
    return content


def _damaged(folder: Path, reason: str) -> InputError:
    return InputError(f"{folder}: packed data is damaged ({reason}); delete the folder to pack it again")


def concatenate(parts: list[PackedGraphs]) -> PackedGraphs:
    """Concatenate packed data. Empties `parts`, so that memory is released array by array."""
    columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(PackedGraphs)}
    parts.clear()
    joined = {}
    for name in list(columns):
        rows = columns.pop(name)
        joined[name] = _concatenate_offsets(rows) if name.endswith("_start") else torch.cat(rows)
    return PackedGraphs(**joined)


def pad_rows(tokens: Tensor, start: Tensor, rows: Tensor) -> Tensor:
    """Return rows (B,) of flat tokens as a matrix (B, L) padded with PAD; `start` holds the first index of each row."""
    index, column, row = _ragged_index(start, rows)
    width = int(column.max()) + 1 if len(column) else 0
    out = torch.full((len(rows), width), PAD_ID, dtype=torch.long, device=rows.device)
    out[row, column] = tokens[index].long()
    return out


def _concatenate_offsets(starts: list[Tensor]) -> Tensor:
    return _to_offsets(torch.cat([start.diff() for start in starts]))


def _to_offsets(lengths: Tensor) -> Tensor:
    """Return the M + 1 offsets of M lengths, on the same device."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def _ragged_index(start: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return flat index, position in the group, and group (index in `rows`) of each element of the groups `rows`."""
    begin = start[rows]
    length = start[rows + 1] - begin
    group = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), length)
    position = torch.arange(len(group), device=rows.device) - (length.cumsum(0) - length)[group]
    return begin[group] + position, position, group


def offsets(lengths: Sequence[int] | np.ndarray[Any, Any]) -> Tensor:
    """Return the M + 1 offsets, int64, of M groups with these lengths: cumulative sums that begin with 0."""
    return _to_offsets(torch.from_numpy(np.asarray(lengths, dtype=np.int64)))


def _stack(arrays: Sequence[np.ndarray[Any, Any]], dtype: Any, width: int | None = None) -> Tensor:
    empty = np.zeros((0,) if width is None else (0, width), dtype)
    return torch.from_numpy(np.concatenate([empty, *(a.astype(dtype, copy=False) for a in arrays)]))
