"""Which molecules of a training set are alike: what a decoder learns to write around a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from molvae.errors import InputError

FURTHEST = 0.55
"""The largest Tanimoto distance of neighbours: nothing less alike is worth learning to write around a seed."""


@dataclass(frozen=True)
class Neighbours:
    """Up to K neighbours of each of M molecules: `rows` M x K int32 (-1: none), `similarity` M x K float16."""

    rows: Tensor
    similarity: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def share(self) -> float:
        """Of the molecules, those that have a neighbour: 0 to 1."""
        return float((self.rows[:, 0] >= 0).float().mean()) if len(self) else 0.0

    def to(self, device: torch.device | str) -> Neighbours:
        return Neighbours(self.rows.to(device), self.similarity.to(device))

    def at(self, rows: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """Of these molecules, B, the neighbour whose distance is nearest to the radius, B; and that distance.

        The distance is 1 - Tanimoto. A radius of 0 gives the molecule itself; one beyond `FURTHEST` the furthest
        neighbour, and stays. A molecule without neighbours is its own, at a radius of 0 or beyond `FURTHEST`.
        """
        others = self.rows[rows]
        distance = (1 - self.similarity[rows].float()).masked_fill(others < 0, torch.inf)
        nearest = (distance - radius[:, None]).abs().argmin(1, keepdim=True)
        found = (radius > 0) & (others[:, 0] >= 0)
        target = torch.where(found, others.gather(1, nearest)[:, 0].long(), rows)
        near = torch.where(found, distance.gather(1, nearest)[:, 0], 0.0)
        return target, torch.where(radius < FURTHEST, near, radius)

    def save(self, path: Path | str) -> None:
        with Path(path).open("wb") as file:
            np.savez(file, rows=self.rows.numpy(), similarity=self.similarity.numpy())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Raises `InputError` where the file is damaged."""
        try:
            with np.load(path) as arrays:
                return cls(torch.from_numpy(arrays["rows"]), torch.from_numpy(arrays["similarity"]))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, RuntimeError) as error:
            raise InputError(f"{path} is damaged ({error}); delete it to look for neighbours again") from None
