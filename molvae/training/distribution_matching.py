"""Likeness: on average, what a decoder writes by itself is to be as what it was trained on.

A decoder that is rewarded for molecules alone soon writes those that are easy to get right, with fewer rings, say. So a
molecule is worth more that moves the averages of what is written towards those of the training set: the gradient is
that of their squared distance, a maximum mean discrepancy with a linear kernel (Gretton et al. 2012).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.properties import compute_properties
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.tokenizer import Vocabulary, tokenize
from molvae.data.graph_dataset import PackedGraphs

COMPARED = ("logp", "mw", "tpsa", "hbd", "hba", "rotatable_bonds", "rings", "heavy_atoms", "fsp3")
"""Properties whose averages are compared, beside how often each symbol stands in a canonical SMILES."""
REFERENCE = 20_000
"""Training molecules whose averages are wanted, drawn at random: they err by less than a hundredth of a spread."""
REMEMBERED = 8_000
"""Molecules, about, over which the averages of what is written run."""
LEAST_SPREAD = 0.25
"""Differences are in units of a spread, but of none smaller than this: else a rare symbol would outweigh all others."""
PULL = 0.5
"""What a molecule is worth for each spread that it lies where a spread is missing."""
LARGEST = 0.5
"""What it is worth for that at most, or at least with the sign turned."""

Rows = NDArray[np.float64]


@dataclass
class Likeness:
    """What is wanted on average, and how far what was written is from it so far."""

    vocabulary: Vocabulary
    mean: Rows
    spread: Rows
    off: Rows = field(init=False)
    """Running means of what was written, in spreads off the mean that is wanted."""
    count: int = field(init=False, default=0)
    """Molecules that these are of."""

    def __post_init__(self) -> None:
        self.off = np.zeros_like(self.mean)

    @classmethod
    def to(cls, data: PackedGraphs, vocabulary: Vocabulary, seed: int = 0) -> Self:
        """To some molecules of a training set, drawn by a seed."""
        rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:REFERENCE]
        with silence_rdkit():
            found = _features(list(data.select(rows.to(data.device)).smiles(vocabulary)), vocabulary)
        return cls(vocabulary, found.mean(0), np.maximum(found.std(0), LEAST_SPREAD))

    def worth(self, molecules: Sequence[str]) -> Rows:
        """What each is worth, -0.5 to 0.5, given what was written before; from now on these were written, too.

        Canonical SMILES; keep a `silence_rdkit` block open. While little was written it is less.
        """
        if not molecules:
            return np.empty(0)
        found = (_features(molecules, self.vocabulary) - self.mean) / self.spread
        worth = PULL * (self.count / REMEMBERED) * (found @ -self.off)
        self.count = min(self.count + len(found), REMEMBERED)
        self.off = self.off + (found.mean(0) - self.off) * (len(found) / self.count)
        return np.clip(worth, -LARGEST, LARGEST)

    def gap(self) -> float:
        """How far off averages are: the root of their mean square, in spreads."""
        return float(np.sqrt(np.mean(self.off**2)))

    def state_dict(self) -> dict[str, Any]:
        """What was written so far, for a run to go on from."""
        return {"off": torch.from_numpy(self.off.copy()), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.off, self.count = state["off"].numpy().copy(), state["count"]


def _features(molecules: Sequence[str], vocabulary: Vocabulary) -> Rows:
    """A row each: properties, then how often each symbol of the vocabulary stands there."""
    properties = compute_properties([parse(smiles) for smiles in molecules], COMPARED)
    counts = [Counter(tokenize(smiles)) for smiles in molecules]
    symbols = [[float(count[symbol]) for count in counts] for symbol in vocabulary.tokens]
    return np.column_stack([*properties.values(), *symbols])
