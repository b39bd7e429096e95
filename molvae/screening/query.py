"""What is asked of a library: filters that a molecule has to pass, and the figures that rank it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.expressions import Rank, Window
from molvae.chem.filters import Filters
from molvae.chem.properties import lookup
from molvae.chem.tokenizer import Vocabulary
from molvae.data.featurize import FeaturizedChunk
from molvae.library.embedding import encode_chunk
from molvae.nn.autoencoder import Autoencoder
from molvae.screening.scoring_functions import LatentScore, MoleculeScore, Tanimoto


@dataclass(frozen=True)
class Encoder:
    """The network and what goes with it; `max_length` is the longest that it writes."""

    model: Autoencoder
    vocabulary: Vocabulary
    max_length: int
    device: torch.device

    def __call__(self, chunk: FeaturizedChunk) -> NDArray[np.float32]:
        """Latents (K, D) of the K molecules of a chunk."""
        return encode_chunk(self.model, chunk, self.device)


@dataclass(frozen=True)
class Question:
    """The `top` best by `rank`, a sum of figures, each of which is computed of the molecule or of its latent.

    `windows`: of figures, which the filters do not know. `seeds`: canonical SMILES, which come first among equals.
    `clean`: molecules are standardized first. `known` and `max_length`: what the encoder can read, where there are
    figures of latents.
    """

    rank: Rank
    top: int
    filters: Filters = field(default_factory=Filters)
    windows: tuple[Window, ...] = ()
    of_molecules: Mapping[str, MoleculeScore] = field(default_factory=dict)
    of_latents: Mapping[str, LatentScore] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    max_length: int = 0
    seeds: frozenset[str] = frozenset()
    clean: bool = False

    def best_of(self, name: str) -> float:
        """What a property may be at its best for the rank: an end of its range."""
        low, high = lookup(name).range
        return high if sum(weight for term, weight in self.rank.terms if term == name) > 0 else low

    @property
    def bare(self) -> bool:
        """Whether molecules are only looked at by fingerprint: then RDKit can leave out a tenth of its work."""
        if self.filters or self.clean:
            return False
        return all(isinstance(score, Tanimoto) for score in self.of_molecules.values())
