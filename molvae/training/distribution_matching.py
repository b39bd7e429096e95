"""Distribution matching: a reward that keeps the average properties of samples equal to those of the training set.

A decoder that is rewarded for valid SMILES alone drifts to molecules whose SMILES are easy to generate, for example
with fewer rings. This reward is higher for molecules that move the averages of the samples towards those of the
training set. Its gradient is that of the squared distance between the averages, a maximum mean discrepancy with a
linear kernel [1]_.

References
----------
.. [1] Gretton et al. (2012), "A Kernel Two-Sample Test", JMLR 13, 723-773.
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

PROPERTIES = ("logp", "mw", "tpsa", "hbd", "hba", "rotatable_bonds", "rings", "heavy_atoms", "fsp3")
"""Properties whose averages are matched, in addition to the number of each token in the canonical SMILES."""
REFERENCE_SIZE = 20_000
"""Training molecules, drawn at random, whose averages are the target; their standard error is below 0.01 std."""
WINDOW = 8_000
"""Length of the running averages, in molecules."""
MIN_STD = 0.25
"""Lower limit of the standard deviations that features are divided by. Without it, a rare token would dominate."""
REWARD_SCALE = 0.5
"""Reward per squared standard deviation: deviation of the molecule times deviation of the averages."""
MAX_REWARD = 0.5
"""Rewards are clipped to the range from -MAX_REWARD to MAX_REWARD."""

FloatArray = NDArray[np.float64]


@dataclass
class DistributionMatching:
    """Rewards samples by their effect on the average features of all samples so far.

    Parameters
    ----------
    vocabulary
        Vocabulary of the decoder.
    mean, std
        Target means and standard deviations of the features, shape (F,): `PROPERTIES`, then the counts of all tokens.

    Attributes
    ----------
    deviation
        Running mean of the samples' features minus `mean`, in units of `std`, shape (F,).
    n_samples
        Number of molecules in the running mean, at most `WINDOW`.
    """

    vocabulary: Vocabulary
    mean: FloatArray
    std: FloatArray
    deviation: FloatArray = field(init=False)
    n_samples: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.deviation = np.zeros_like(self.mean)

    @classmethod
    def from_training_set(cls, data: PackedGraphs, vocabulary: Vocabulary, random_state: int = 0) -> Self:
        """Match the averages of up to `REFERENCE_SIZE` random molecules of a training set."""
        rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(random_state))[:REFERENCE_SIZE]
        with silence_rdkit():
            features = _features(list(data.select(rows.to(data.device)).smiles(vocabulary)), vocabulary)
        return cls(vocabulary, features.mean(0), np.maximum(features.std(0), MIN_STD))

    def rewards(self, smiles: Sequence[str]) -> FloatArray:
        """Rewards of a batch of samples, shape (N,), from -`MAX_REWARD` to `MAX_REWARD`.

        They are computed with the running averages before the batch, which is then added to the averages. Until
        `WINDOW` molecules have been added, the rewards are reduced in proportion.

        Parameters
        ----------
        smiles
            Canonical SMILES. Call inside a `silence_rdkit` block, which is faster than one block per molecule.
        """
        if not smiles:
            return np.empty(0)
        features = (_features(smiles, self.vocabulary) - self.mean) / self.std
        rewards = REWARD_SCALE * (self.n_samples / WINDOW) * (features @ -self.deviation)
        self.n_samples = min(self.n_samples + len(features), WINDOW)
        self.deviation = self.deviation + (features.mean(0) - self.deviation) * (len(features) / self.n_samples)
        return np.clip(rewards, -MAX_REWARD, MAX_REWARD)

    def mean_gap(self) -> float:
        """Root mean square of the deviations of the averages, in standard deviations."""
        return float(np.sqrt(np.mean(self.deviation**2)))

    def state_dict(self) -> dict[str, Any]:
        """The running averages, for a checkpoint."""
        return {"deviation": torch.from_numpy(self.deviation.copy()), "n_samples": self.n_samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the running averages of a checkpoint."""
        self.deviation, self.n_samples = state["deviation"].numpy().copy(), state["n_samples"]


def _features(smiles: Sequence[str], vocabulary: Vocabulary) -> FloatArray:
    """Properties and the counts of all tokens of the vocabulary, one row per molecule, shape (N, F)."""
    properties = compute_properties([parse(s) for s in smiles], PROPERTIES)
    counts = [Counter(tokenize(s)) for s in smiles]
    token_counts = [[float(count[token]) for count in counts] for token in vocabulary.tokens]
    return np.column_stack([*properties.values(), *token_counts])
