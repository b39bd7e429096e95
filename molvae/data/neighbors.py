"""Molecules that are like those of a training set: what a decoder learns to write around a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from molvae.chem.tokenizer import PAD_ID
from molvae.data.graph_dataset import PackedGraphs, pad_rows
from molvae.errors import InputError

MAX_DISTANCE = 0.55
"""The largest Tanimoto distance of neighbors: nothing less alike is worth learning to write around a seed."""


@dataclass(frozen=True)
class SyntheticMolecules:
    """N molecules that were made to be neighbors: flat `tokens` int16, each ended by END; `start`, N + 1 offsets."""

    tokens: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int16))
    start: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.start) - 1


@dataclass(frozen=True)
class Neighbors:
    """Up to K neighbors of each of M molecules: `rows` M x K int32, `similarity` M x K float16.

    A row below M is one of the molecules, M + i the i-th that was made, and -1 none; those come last.
    """

    rows: Tensor
    similarity: Tensor
    synthetic: SyntheticMolecules = field(default_factory=SyntheticMolecules)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def coverage(self) -> float:
        """Of the molecules, those that have a neighbor: 0 to 1."""
        return float((self.rows[:, 0] >= 0).float().mean()) if len(self) else 0.0

    def to(self, device: torch.device | str) -> Neighbors:
        made = SyntheticMolecules(self.synthetic.tokens.to(device), self.synthetic.start.to(device))
        return Neighbors(self.rows.to(device), self.similarity.to(device), made)

    def with_synthetic(self, made: SyntheticMolecules, row: Tensor, similarity: Tensor) -> Neighbors:
        """These and those that were made, N, in the order of the molecules that they are of (`row` N, `similarity` N).

        Raises `InputError` where some were made before.
        """
        if len(self.synthetic):
            raise InputError("neighbors were made of these molecules before")
        place = torch.arange(len(row)) - torch.searchsorted(row, row)
        shape = (len(self), int(place.max()) + 1 if len(row) else 0)
        rows, likeness = torch.full(shape, -1, dtype=torch.int32), torch.zeros(shape, dtype=torch.float16)
        rows[row, place] = (len(self) + torch.arange(len(row))).to(torch.int32)
        likeness[row, place] = similarity
        rows, likeness = torch.cat([rows, self.rows], dim=1), torch.cat([likeness, self.similarity], dim=1)
        order = (rows < 0).to(torch.uint8).argsort(dim=1, stable=True)
        return Neighbors(rows.gather(1, order), likeness.gather(1, order), made)

    def nearest_to(self, rows: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """Of these molecules, B, the neighbor whose distance is nearest to the radius, B; and that distance.

        The distance is 1 - Tanimoto. A radius of 0 gives the molecule itself; one beyond `MAX_DISTANCE` the furthest
        neighbor, and stays. A molecule without neighbors is its own, at a radius of 0 or beyond `MAX_DISTANCE`.
        """
        others = self.rows[rows]
        distance = (1 - self.similarity[rows].float()).masked_fill(others < 0, torch.inf)
        nearest = (distance - radius[:, None]).abs().argmin(1, keepdim=True)
        found = (radius > 0) & (others[:, 0] >= 0)
        target = torch.where(found, others.gather(1, nearest)[:, 0].long(), rows)
        near = torch.where(found, distance.gather(1, nearest)[:, 0], 0.0)
        return target, torch.where(radius < MAX_DISTANCE, near, radius)

    def gather_tokens(self, targets: Tensor, data: PackedGraphs) -> Tensor:
        """What the decoder is to write for `targets`, B, as `at` gives them; `data` are the molecules. B x L."""
        made = targets >= len(self)
        parts = (
            data.gather_tokens(targets[~made]),
            pad_rows(self.synthetic.tokens, self.synthetic.start, targets[made] - len(self)),
        )
        width = max(part.shape[1] for part in parts)
        tokens = torch.full((len(targets), width), PAD_ID, dtype=torch.long, device=targets.device)
        for rows, part in zip((~made, made), parts, strict=True):
            tokens[rows, : part.shape[1]] = part
        return tokens

    def save(self, path: Path | str) -> None:
        with Path(path).open("wb") as file:
            np.savez(
                file, rows=self.rows.numpy(), similarity=self.similarity.numpy(),
                synthetic_tokens=self.synthetic.tokens.numpy(), synthetic_start=self.synthetic.start.numpy(),
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Raises `InputError` where the file is damaged."""
        try:
            with np.load(path) as arrays:
                parts = (
                    torch.from_numpy(arrays[name])
                    for name in ("rows", "similarity", "synthetic_tokens", "synthetic_start")
                )
                rows, similarity, *made = parts
                return cls(rows, similarity, SyntheticMolecules(*made))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, RuntimeError) as error:
            raise InputError(f"{path} is damaged ({error}); delete it to look for neighbors again") from None
