"""PackedGraphs: many molecules in a few flat arrays, from which a batch is one gather.

There is no object per molecule. The arrays live in memory, in memory-mapped files or on a GPU; `gather` is
the same handful of tensor operations in each case, so the network never waits for Python.
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
from molvae.errors import InputError

FORMAT = "molvae-packed-3"


@dataclass(frozen=True)
class GraphBatch:
    """B molecules as one disconnected graph of A atoms and E directed edges, as PyG's layers take it.

    Attributes
    ----------
    x
        Atom features, A x 7 (columns of `chem.graph.ATOM_FEATURES`).
    edge_index
        Source and target atom of every directed edge, 2 x E; the second half are the first half reversed.
    edge_attr
        Bond features, E x 4 (columns of `chem.graph.BOND_FEATURES`).
    position
        Position of each atom in the canonical SMILES of its molecule, A.
    batch
        Index of the molecule that each atom belongs to, A, ascending.
    tokens
        Token ids, B x L, terminated by END and padded with PAD; L = 0 in a batch for the encoder alone.
    """

    x: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    position: Tensor
    batch: Tensor
    tokens: Tensor

    @property
    def size(self) -> int:
        return len(self.tokens)

    def to(self, device: torch.device | str) -> GraphBatch:
        return GraphBatch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


@dataclass(frozen=True)
class PackedGraphs:
    """M molecules: flat rows, and where each molecule's rows start (M + 1 offsets, int64).

    `atoms` (total, 7) uint8, `bonds` (total, 4) uint8, `bond_index` (total, 2) int16 within the molecule, `tokens`
    (total,) int16. All on one device.
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
        return self.atoms.device

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, f.name).nbytes for f in fields(self))

    def to(self, device: torch.device | str) -> PackedGraphs:
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
        """From flat rows, molecule after molecule; `sizes` (M, 3) counts their atoms, bonds and tokens."""
        # positions stay below 1000, so that the signed type, which torch can index by, holds them
        rows = (torch.from_numpy(array) for array in (atoms, bonds, bond_index.astype(np.int16), tokens))
        return cls(*rows, *(offsets(sizes[:, column]) for column in range(3)))

    @classmethod
    def from_graphs(cls, graphs: Sequence[MolGraph], vocabulary: Vocabulary | None = None) -> PackedGraphs:
        """Pack graphs; with a vocabulary their SMILES are packed too, as the decoder's targets.

        Raises `MoleculeError` on a symbol that the vocabulary lacks: check rows one by one beforehand.
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
        """The batch of these molecules, in this order; `rows` B int64 on the arrays' device."""
        atom_rows, position, batch = _ragged(self.atom_start, rows)
        bond_rows, _, bond_batch = _ragged(self.bond_start, rows)
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
        """What the decoder is to write for these molecules, B x L: the `tokens` of their batch."""
        return pad_rows(self.tokens, self.token_start, rows)

    def smiles(self, vocabulary: Vocabulary) -> Iterator[str]:
        """The canonical SMILES that each molecule was packed with, one after the other."""
        tokens, starts = self.tokens.cpu().numpy(), self.token_start.tolist()
        return (vocabulary.decode(tokens[start:end]) for start, end in pairwise(starts))

    def select(self, rows: Tensor) -> PackedGraphs:
        """Some of the molecules, in this order, as packed arrays of their own."""
        atoms, _, _ = _ragged(self.atom_start, rows)
        bonds, _, _ = _ragged(self.bond_start, rows)
        tokens, _, _ = _ragged(self.token_start, rows)
        starts = (_starts(start.diff()[rows]) for start in (self.atom_start, self.bond_start, self.token_start))
        return PackedGraphs(self.atoms[atoms], self.bonds[bonds], self.bond_index[bonds], self.tokens[tokens], *starts)

    def save(self, folder: Path | str, **metadata: Any) -> None:
        """Write one `.npy` per array and `packed.json`, last, with `metadata` in it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "packed.json").unlink(missing_ok=True)  # an older one must not vouch for half of a new one
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name).cpu().numpy())
        text = json.dumps({"format": FORMAT, "molecules": len(self), **metadata}, indent=2)
        (folder / "packed.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> PackedGraphs:
        """Map the arrays of a folder that `save` wrote: nothing is read before it is used.

        Raises `InputError` when the folder is not such a folder, or is incomplete.
        """
        folder = Path(folder)
        molecules = read_metadata(folder).get("molecules")
        try:
            # copy-on-write, since torch has no read-only tensors
            arrays = {f.name: np.load(folder / f"{f.name}.npy", mmap_mode="c") for f in fields(cls)}
            packed = cls(**{name: torch.from_numpy(array) for name, array in arrays.items()})
        except (OSError, ValueError, TypeError, EOFError) as error:
            raise _damaged(folder, str(error)) from None
        if len(packed) != molecules:
            raise _damaged(folder, f"{len(packed)} molecules, but packed.json says {molecules}")
        packed._check_lengths(folder)
        return packed

    def _check_lengths(self, folder: Path) -> None:
        """A copy that was broken off leaves arrays that do not belong together: found here, not in a batch."""
        for start, names in (("atom", ("atoms",)), ("bond", ("bonds", "bond_index")), ("token", ("tokens",))):
            offsets = getattr(self, f"{start}_start")
            for name in names:
                rows = len(getattr(self, name))
                if len(offsets) != len(self.atom_start) or int(offsets[-1]) != rows:
                    raise _damaged(folder, f"{name}.npy and {start}_start.npy do not belong together")


def read_metadata(folder: Path | str) -> dict[str, Any]:
    """What `packed.json` says of a packed folder. Raises `InputError` when there is none of this format."""
    path = Path(folder) / "packed.json"
    if not path.exists():
        raise InputError(f"{folder}: not a folder of packed molecules (no packed.json)")
    try:
        content: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise InputError(f"{path}: not a JSON object; pack the data again") from None
    if content.get("format") != FORMAT:
        raise InputError(
            f"{path}: format {content.get('format')!r}, this version reads {FORMAT!r}; pack the data again"
        )
    return content


def _damaged(folder: Path, reason: str) -> InputError:
    return InputError(f"{folder}: packed data is damaged ({reason}); delete the folder to pack it again")


def concatenate(parts: list[PackedGraphs]) -> PackedGraphs:
    """All molecules of all parts, in order. Empties `parts`, so that the data is not held twice."""
    columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(PackedGraphs)}
    parts.clear()
    joined = {}
    for name in list(columns):
        rows = columns.pop(name)
        joined[name] = _joined_offsets(rows) if name.endswith("_start") else torch.cat(rows)
    return PackedGraphs(**joined)


def pad_rows(tokens: Tensor, start: Tensor, rows: Tensor) -> Tensor:
    """Rows B of flat `tokens`, of which each begins at its `start`: B x L, filled up with PAD."""
    index, column, owner = _ragged(start, rows)
    width = int(column.max()) + 1 if len(column) else 0
    out = torch.full((len(rows), width), PAD_ID, dtype=torch.long, device=rows.device)
    out[owner, column] = tokens[index].long()
    return out


def _joined_offsets(starts: list[Tensor]) -> Tensor:
    return _starts(torch.cat([start.diff() for start in starts]))


def _starts(lengths: Tensor) -> Tensor:
    """`offsets`, on the device that the lengths are on."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def _ragged(start: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the flat rows that `rows` own: index, place within the owner, and the owner's place in `rows`."""
    begin = start[rows]
    length = start[rows + 1] - begin
    owner = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), length)
    place = torch.arange(len(owner), device=rows.device) - (length.cumsum(0) - length)[owner]
    return begin[owner] + place, place, owner


def offsets(lengths: Sequence[int] | np.ndarray[Any, Any]) -> Tensor:
    return _starts(torch.from_numpy(np.asarray(lengths, dtype=np.int64)))


def _stack(arrays: Sequence[np.ndarray[Any, Any]], dtype: Any, width: int | None = None) -> Tensor:
    empty = np.zeros((0,) if width is None else (0, width), dtype)
    return torch.from_numpy(np.concatenate([empty, *(a.astype(dtype, copy=False) for a in arrays)]))
