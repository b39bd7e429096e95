"""The query of a screen: the filters that a molecule must pass, and the scores that rank it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.expressions import PropertyFilter, RankExpression
from molvae.chem.filters import Filters
from molvae.chem.properties import get_property
from molvae.chem.tokenizer import Vocabulary
from molvae.data.featurize import FeaturizedChunk
from molvae.library.embedding import encode_chunk
from molvae.nn.autoencoder import Autoencoder
from molvae.screening.scoring_functions import LatentScore, MoleculeScore, TanimotoScore


@dataclass(frozen=True)
class LatentEncoder:
    """The network that encodes molecules, and its device. `max_length`: maximum number of tokens of a molecule."""

    model: Autoencoder
    vocabulary: Vocabulary
    max_length: int
    device: torch.device

    def __call__(self, chunk: FeaturizedChunk) -> NDArray[np.float32]:
        """Return the latents of the K molecules of a chunk: (K, D)."""
        return encode_chunk(self.model, chunk, self.device)


@dataclass(frozen=True)
class ScreenQuery:
    """The filters, scores and options of a screen.

    Attributes
    ----------
    ranking : RankExpression
        Weighted sum of scores; the highest is the best.
    top : int
        Molecules on the shortlist.
    filters : Filters
        Conditions on properties, SMARTS patterns and core.
    score_filters : tuple of PropertyFilter
        Conditions on scores, which `filters` cannot compute.
    molecule_scores, latent_scores : mapping of str to callable
        Scores by name, computed from RDKit molecules and from latents.
    known_tokens, max_length : frozenset of str, int
        Tokens and maximum length that the encoder supports; used only with latent scores.
    seeds : frozenset of str
        Canonical SMILES of the seeds, which come first among molecules with equal scores.
    standardize, keep_salts : bool
        As in `chem.standardization.prepare`.
    """

    ranking: RankExpression
    top: int
    filters: Filters = field(default_factory=Filters)
    score_filters: tuple[PropertyFilter, ...] = ()
    molecule_scores: Mapping[str, MoleculeScore] = field(default_factory=dict)
    latent_scores: Mapping[str, LatentScore] = field(default_factory=dict)
    known_tokens: frozenset[str] = frozenset()
    max_length: int = 0
    seeds: frozenset[str] = frozenset()
    standardize: bool = False
    keep_salts: bool = False

    def best_value(self, name: str) -> float:
        """Return the value of a property that ranks highest: the upper or the lower end of its range."""
        low, high = get_property(name).range
        return high if sum(weight for term, weight in self.ranking.terms if term == name) > 0 else low

    @property
    def fingerprints_only(self) -> bool:
        """Whether only fingerprints are computed from the molecules, so that RDKit can skip a tenth of its parsing."""
        if self.filters or self.standardize:
            return False
        return all(isinstance(score, TanimotoScore) for score in self.molecule_scores.values())
