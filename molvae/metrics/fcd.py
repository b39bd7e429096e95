"""The Fréchet ChemNet distance (Preuer et al. 2018): how far two sets of molecules lie apart, 0 for the same set.

A network that learned to predict assays, ChemNet, reads each SMILES; a Gaussian is fitted to its 512 activations
over each set, and the distance is the one between the two Gaussians. Network and encoding are those of `fcd_torch`,
so the figures compare with published ones. Its loop is not used: that one reads every activation into memory and
draws from torch's global generator. Nor is its square root, whose scipy argument is gone in scipy 1.18.
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

WIDTH = 512
"""Activations of ChemNet's last recurrent layer, each -1 to 1."""

MAX_LENGTH = 349
"""Characters of a canonical SMILES that ChemNet is sure to read whole: its input ends, with a stop, at 350."""

_INPUT = MAX_LENGTH + 1


@dataclass(frozen=True, eq=False)
class Activations:
    """The Gaussian of a set: mean (512,) and unbiased covariance (512, 512) over `count` molecules, repeats included.

    `skipped` molecules were too long to read (`MAX_LENGTH`) and are in neither.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    count: int
    skipped: int = 0


def activations(
    smiles: Iterable[str],
    *,
    device: str = "cpu",
    batch_size: int = 512,
    progress: Callable[[int], None] | None = None,
) -> Activations:
    """Mean and covariance of ChemNet's activations over `smiles`, in memory that does not grow with them.

    Each molecule is read in its canonical SMILES, and of several fragments only the first, as by `fcd_torch`. One
    longer than `MAX_LENGTH` is counted in `skipped`, where `fcd_torch` would cut it off. `progress` is told after
    every batch how many were read. Raises `MoleculeError` for an invalid SMILES, `InputError` where fewer than two
    are left, `MissingExtraError` without `fcd_torch`.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    chemnet, moments, read = _chemnet(device), _Moments(), 0
    remaining = iter(smiles)
    while batch := list(islice(remaining, batch_size)):
        texts = [text for text in _canonical(batch) if len(text) <= MAX_LENGTH]
        if texts:
            moments.add(chemnet(texts))
        read += len(batch)
        if progress is not None:
            progress(read)
    skipped = read - moments.count
    if moments.count < 2:
        raise InputError(
            f"a Fréchet distance needs 2 molecules or more, got {moments.count}"
            f" and {skipped} longer than {MAX_LENGTH} characters"
        )
    return Activations(moments.mean, moments.scatter / (moments.count - 1), moments.count, skipped)


def distance(a: Activations, b: Activations) -> float:
    """The Fréchet distance between two Gaussians, 0 or more, symmetric; squared, as the field reports it.

        |mean_a - mean_b|^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2))        Dowson and Landau 1982

    With C = R R^T, the trace of the root is the sum of the singular values of R_a^T R_b: real, never negative and
    exact where a covariance is singular, as it is for fewer than 513 molecules.
    """
    overlap = np.linalg.svd(_root(a.covariance).T @ _root(b.covariance), compute_uv=False).sum()
    apart = a.mean - b.mean
    squared = apart @ apart + np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return max(0.0, float(squared))


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """R of `covariance` = R R^T; what rounding made negative counts as 0."""
    variances, axes = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = axes * np.sqrt(np.maximum(variances, 0))
    return root


@dataclass
class _Moments:
    """Running mean and scatter, the sum of outer products about the mean: batches are merged (Chan et al. 1983)."""

    count: int = 0
    mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(WIDTH))
    scatter: NDArray[np.float64] = field(default_factory=lambda: np.zeros((WIDTH, WIDTH)))

    def add(self, rows: NDArray[np.float64]) -> None:
        """Take in `rows` (n, 512), n at least 1."""
        total = self.count + len(rows)
        center = rows.mean(axis=0)
        apart, centered = center - self.mean, rows - center
        self.scatter += centered.T @ centered + np.outer(apart, apart) * (self.count * len(rows) / total)
        self.mean += apart * (len(rows) / total)
        self.count = total


def _canonical(smiles: list[str]) -> list[str]:
    with silence_rdkit():
        return [write(parse(text)) for text in smiles]


@cache
def _chemnet(device: str) -> Callable[[list[str]], NDArray[np.float64]]:
    """ChemNet on `device`, loaded once: SMILES of at most `MAX_LENGTH` -> activations (n, 512)."""
    library = import_extra("fcd_torch.utils", "fcd")
    import torch

    weights = Path(library.__file__).parent / "ChemNet_v0.13_pretrained.pt"
    with torch.random.fork_rng(devices=[]):  # layers are drawn at random before the weights replace them
        layers = torch.load(weights, map_location="cpu", weights_only=True)
        model = library.load_imported_model(layers).eval().to(device)

    @torch.no_grad()
    def read(smiles: list[str]) -> NDArray[np.float64]:
        letters = np.stack([library.get_one_hot(text, _INPUT) for text in smiles])  # n, 350, 35
        inputs = torch.from_numpy(letters / letters.shape[2]).float().transpose(1, 2)
        rows: NDArray[np.float64] = model(inputs.to(device)).cpu().double().numpy()
        return rows

    return read
