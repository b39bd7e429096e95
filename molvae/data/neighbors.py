"""Neighbors (similar molecules) of each training molecule: targets for training a decoder on noisy latents."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from molvae.chem.tokenizer import PAD_ID
from molvae.data.array_files import read_npz
from molvae.data.graph_dataset import PackedGraphs, pad_rows
from molvae.data.json_files import reading
from molvae.errors import InputError

MAX_DISTANCE = 0.55
"""Maximum Tanimoto distance (1 - similarity) between a molecule and its neighbors."""


@dataclass(frozen=True)
class SyntheticMolecules:
    """N molecules that are not in the training set.

    Attributes
    ----------
    tokens : Tensor of int16, shape (total tokens,)
        Token ids, molecule after molecule, each terminated by END.
    start : Tensor of int64, shape (N + 1,)
        First token of each molecule, and the total number of tokens.
    """

    tokens: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int16))
    start: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.start) - 1


@dataclass(frozen=True)
class Neighbors:
    """Up to K neighbors of each of M training molecules.

    Attributes
    ----------
    rows : Tensor of int32, shape (M, K)
        Index of each neighbor: 0 to M - 1 for a training molecule, M + i for synthetic molecule i. Missing neighbors
        are -1 and come last.
    similarity : Tensor of float16, shape (M, K)
        Tanimoto similarity to each neighbor; 0 for a missing one.
    synthetic : SyntheticMolecules
        Neighbors that are not training molecules.
    """

    rows: Tensor
    similarity: Tensor
    synthetic: SyntheticMolecules = field(default_factory=SyntheticMolecules)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def coverage(self) -> float:
        """Fraction of the molecules that have a neighbor."""
        return float((self.rows[:, 0] >= 0).float().mean()) if len(self) else 0.0

    def to(self, device: torch.device | str) -> Neighbors:
        """Return a copy on a device."""
        synthetic = SyntheticMolecules(self.synthetic.tokens.to(device), self.synthetic.start.to(device))
        return Neighbors(self.rows.to(device), self.similarity.to(device), synthetic)

    def with_synthetic(self, synthetic: SyntheticMolecules, row: Tensor, similarity: Tensor) -> Neighbors:
        """Add N synthetic neighbors in front of the others.

        Parameters
        ----------
        synthetic : SyntheticMolecules
            The neighbors.
        row, similarity : Tensor, shape (N,)
            Index of the training molecule of each neighbor, ascending, and the similarity to it.

        Raises
        ------
        InputError
            If synthetic neighbors have been added before.
        """
        if len(self.synthetic):
            raise InputError("synthetic neighbors were added before")
        column = torch.arange(len(row)) - torch.searchsorted(row, row)
        shape = (len(self), int(column.max()) + 1 if len(row) else 0)
        rows, similarities = torch.full(shape, -1, dtype=torch.int32), torch.zeros(shape, dtype=torch.float16)
        rows[row, column] = (len(self) + torch.arange(len(row))).to(torch.int32)
        similarities[row, column] = similarity
        rows, similarities = torch.cat([rows, self.rows], dim=1), torch.cat([similarities, self.similarity], dim=1)
        order = (rows < 0).to(torch.uint8).argsort(dim=1, stable=True)
        return Neighbors(rows.gather(1, order), similarities.gather(1, order), synthetic)

    def nearest_to(self, rows: Tensor, noise_level: Tensor) -> tuple[Tensor, Tensor]:
        """Select for each molecule the neighbor whose Tanimoto distance is closest to the noise level of the latent.

        Parameters
        ----------
        rows : Tensor, shape (B,)
            Indices of training molecules.
        noise_level : Tensor, shape (B,)
            Noise levels, from 0 to 1.

        Returns
        -------
        targets : Tensor, shape (B,)
            Indices of neighbors, as in the attribute `rows`. Molecules without neighbors and molecules with noise
            level 0 are their own targets.
        distance : Tensor, shape (B,)
            Tanimoto distance to the target, or the noise level if that exceeds `MAX_DISTANCE`.
        """
        others = self.rows[rows]  # (B, K)
        distance = (1 - self.similarity[rows].float()).masked_fill(others < 0, torch.inf)
        nearest = (distance - noise_level[:, None]).abs().argmin(1, keepdim=True)
        found = (noise_level > 0) & (others[:, 0] >= 0)
        target = torch.where(found, others.gather(1, nearest)[:, 0].long(), rows)
        target_distance = torch.where(found, distance.gather(1, nearest)[:, 0], 0.0)
        return target, torch.where(noise_level < MAX_DISTANCE, target_distance, noise_level)

    def gather_tokens(self, targets: Tensor, data: PackedGraphs) -> Tensor:
        """Return padded token ids (B, L) of targets (B,) from `nearest_to`; `data` holds the training molecules."""
        is_synthetic = targets >= len(self)
        parts = (
            data.gather_tokens(targets[~is_synthetic]),
            pad_rows(self.synthetic.tokens, self.synthetic.start, targets[is_synthetic] - len(self)),
        )
        width = max(part.shape[1] for part in parts)
        tokens = torch.full((len(targets), width), PAD_ID, dtype=torch.long, device=targets.device)
        for rows, part in zip((~is_synthetic, is_synthetic), parts, strict=True):
            tokens[rows, : part.shape[1]] = part
        return tokens

    def save(self, path: Path | str) -> None:
        """Write an .npz file."""
        with Path(path).open("wb") as file:
            np.savez(
                file, rows=self.rows.numpy(), similarity=self.similarity.numpy(),
                synthetic_tokens=self.synthetic.tokens.numpy(), synthetic_start=self.synthetic.start.numpy(),
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file written by `save`. Raises `InputError` if it is damaged."""
        with reading(Path(path), InputError, "delete it to compute the neighbors again"):
            names = ("rows", "similarity", "synthetic_tokens", "synthetic_start")
            arrays = read_npz(Path(path), names)
            rows, similarity, *synthetic = (torch.from_numpy(arrays[name].copy()) for name in names)
            return cls(rows, similarity, SyntheticMolecules(*synthetic))
