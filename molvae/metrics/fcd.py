"""Fréchet ChemNet distance (FCD) between two sets of molecules; 0 for identical sets.

ChemNet, a network trained to predict bioassays, maps each SMILES to 512 activations. A Gaussian is fitted to the
activations of each set, and the FCD is the squared Fréchet distance between the two Gaussians.

The network and the one-hot encoding are those of the package fcd_torch, so the values are comparable with published
ones. Two of its functions are replaced: the loop over batches, which keeps all activations in memory and uses the
global random generator of torch, and the matrix square root, which uses an argument that SciPy 1.18 removed.

References
----------
Preuer et al., "Fréchet ChemNet Distance: A Metric for Generative Models for Molecules in Drug Discovery", Journal of
Chemical Information and Modeling 58:1736 (2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molvae.chem.smiles import parse, silence_rdkit, write
from molvae.errors import InputError, import_extra

N_ACTIVATIONS = 512
"""Width of the last recurrent layer of ChemNet; the activations are between -1 and 1."""

MAX_LENGTH = 349
"""Maximum length in characters of a canonical SMILES; the input of ChemNet has 350 positions, one for the end token."""

_INPUT_LENGTH = MAX_LENGTH + 1


@dataclass(frozen=True, eq=False)
class ActivationStatistics:
    """Gaussian fitted to the ChemNet activations of a set of molecules, repeats included.

    Attributes
    ----------
    mean : ndarray, shape (512,)
        Mean activations.
    covariance : ndarray, shape (512, 512)
        Unbiased covariance.
    count : int
        Number of molecules.
    skipped : int
        Number of molecules excluded because their SMILES is longer than `MAX_LENGTH`.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    count: int
    skipped: int = 0


def activation_statistics(
    smiles: Iterable[str],
    *,
    device: str = "cpu",
    batch_size: int = 512,
    progress: Callable[[int], None] | None = None,
) -> ActivationStatistics:
    """Compute mean and covariance of the ChemNet activations of a set, in constant memory.

    Each molecule is encoded by its canonical SMILES; as in fcd_torch, ChemNet reads only the first of several
    fragments.

    Parameters
    ----------
    smiles : iterable of str
        Valid SMILES. Those whose canonical SMILES is longer than `MAX_LENGTH` are skipped and counted; fcd_torch
        truncates them.
    device : str
        Torch device of the network.
    batch_size : int
        Molecules per forward pass, at least 1.
    progress : callable, optional
        Called after each batch with the number of molecules read so far.

    Returns
    -------
    ActivationStatistics
        Mean, covariance, and numbers of molecules.

    Raises
    ------
    MoleculeError
        If a SMILES is invalid.
    InputError
        If fewer than two molecules remain.
    MissingExtraError
        If fcd_torch is not installed.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    chemnet, moments, n_read = _load_chemnet(device), _RunningMoments(), 0
    remaining = iter(smiles)
    while batch := list(islice(remaining, batch_size)):
        texts = [text for text in _canonical(batch) if len(text) <= MAX_LENGTH]
        if texts:
            moments.add(chemnet(texts))
        n_read += len(batch)
        if progress is not None:
            progress(n_read)
    skipped = n_read - moments.count
    if moments.count < 2:
        raise InputError(
            f"the Fréchet ChemNet distance needs at least 2 molecules, got {moments.count} "
            f"(skipped because of more than {MAX_LENGTH} characters: {skipped})"
        )
    return ActivationStatistics(moments.mean, moments.scatter / (moments.count - 1), moments.count, skipped)


def frechet_distance(a: ActivationStatistics, b: ActivationStatistics) -> float:
    """Compute the squared Fréchet distance between two Gaussians (Dowson and Landau 1982).

        |mean_a - mean_b|^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2))

    With C = R R^T, the trace of the matrix square root is the sum of the singular values of R_a^T R_b. This sum is
    real and not negative, also for singular covariances, which occur with fewer than 513 molecules.

    Parameters
    ----------
    a, b : ActivationStatistics
        The Gaussians.

    Returns
    -------
    float
        0 or more; 0 for equal Gaussians.
    """
    overlap = np.linalg.svd(_matrix_root(a.covariance).T @ _matrix_root(b.covariance), compute_uv=False).sum()
    difference = a.mean - b.mean
    squared = difference @ difference + np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return max(0.0, float(squared))


def _matrix_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R with R R^T = `covariance`. Negative eigenvalues, which are rounding errors, are set to 0."""
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = eigenvectors * np.sqrt(np.maximum(eigenvalues, 0))
    return root


@dataclass
class _RunningMoments:
    """Running mean and scatter matrix (sum of outer products about the mean), merged per batch (Chan et al. 1983)."""

    count: int = 0
    mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(N_ACTIVATIONS))
    scatter: NDArray[np.float64] = field(default_factory=lambda: np.zeros((N_ACTIVATIONS, N_ACTIVATIONS)))

    def add(self, rows: NDArray[np.float64]) -> None:
        """Add activations of shape (n, 512), n at least 1."""
        total = self.count + len(rows)
        batch_mean = rows.mean(axis=0)
        shift, centered = batch_mean - self.mean, rows - batch_mean
        self.scatter += centered.T @ centered + np.outer(shift, shift) * (self.count * len(rows) / total)
        self.mean += shift * (len(rows) / total)
        self.count = total


def _canonical(smiles: list[str]) -> list[str]:
    with silence_rdkit():
        return [write(parse(text)) for text in smiles]


@cache
def _load_chemnet(device: str) -> Callable[[list[str]], NDArray[np.float64]]:
    """Load ChemNet on `device`, once: a function of SMILES up to `MAX_LENGTH` that returns activations (n, 512)."""
    library = import_extra("fcd_torch.utils", "fcd")
    import torch

    weights = Path(library.__file__).parent / "ChemNet_v0.13_pretrained.pt"
    with torch.random.fork_rng(devices=[]):  # the layers are initialized at random before the weights are loaded
        layers = torch.load(weights, map_location="cpu", weights_only=True)
        model = library.load_imported_model(layers).eval().to(device)

    @torch.no_grad()
    def predict(smiles: list[str]) -> NDArray[np.float64]:
        one_hot = np.stack([library.get_one_hot(text, _INPUT_LENGTH) for text in smiles])  # (n, 350, 35)
        inputs = torch.from_numpy(one_hot / one_hot.shape[2]).float().transpose(1, 2)  # (n, 35, 350)
        rows: NDArray[np.float64] = model(inputs.to(device)).cpu().double().numpy()
        return rows

    return predict
