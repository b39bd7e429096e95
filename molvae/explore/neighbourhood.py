"""The nearest molecules of a file in latent space, and how similar their structures are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import canonical, parse
from molvae.data.featurise import in_chunks
from molvae.data.rows import one_or_many
from molvae.errors import InputError
from molvae.explore.points import Points
from molvae.generator import Generator
from molvae.pictures import save_grid

CHUNK = 2048  # molecules that are encoded and compared at once


def neighbours(generator: Generator, smiles: Iterable[str], of: str | Iterable[str], *, n: int = 10) -> pd.DataFrame:
    """The `n` molecules of `smiles` nearest to each seed (`of`) in latent space, nearest first; a seed is not its own.

    The molecules stream through, so there may be any number of them; repeats are kept once.

    Columns: seed, smiles (both as given), distance (Euclidean; an unrelated pair is about sqrt(2 D) apart), similarity
    (Tanimoto of Morgan fingerprints). `attrs`: errors (SMILES to reason, of seeds and molecules), summary. Raises
    `InputError` where no seed can be encoded or `n` is below 1.
    """
    if n < 1:
        raise InputError(f"the number of neighbours is 1 or more, got {n}")
    seeds = Points.of(generator, of, least=1)
    errors = _errors(seeds)
    best = [_Nearest(canonical(text), n) for text in seeds.smiles]
    count = 0
    for chunk in in_chunks(one_or_many(smiles), CHUNK):
        points = Points.of(generator, chunk)
        errors |= _errors(points)
        count += len(points.z)
        names = [canonical(text) for text in points.smiles]
        for one, distances in zip(best, cdist(seeds.z, points.z), strict=True):
            one.add(names, points.smiles, distances)
    tables = [_table(text, one.rows) for text, one in zip(seeds.smiles, best, strict=True)]
    frame = pd.concat(tables, ignore_index=True)
    frame.attrs = {
        "errors": errors,
        "summary": [f"{len(frame)} neighbours of {len(best)} seeds in {count:,} molecules; {len(errors):,} refused"],
    }
    return frame


def draw_neighbours(frame: pd.DataFrame, picture: str | Path) -> Path:
    """Each seed in blue and its neighbours with their similarity, as .png or .svg."""
    return save_grid(frame, picture)


class _Nearest:
    """The nearest molecules to one seed so far: canonical SMILES to (distance, SMILES as given), in order."""

    def __init__(self, seed: str, n: int) -> None:
        self.seed, self.n = seed, n
        self.known: dict[str, tuple[float, str]] = {}

    @property
    def rows(self) -> list[tuple[float, str]]:
        return list(self.known.values())

    def add(self, names: list[str], smiles: list[str], distances: NDArray[np.float64]) -> None:
        """Take in more molecules; among equally near ones the earlier stays."""
        for i in np.argsort(distances, kind="stable"):
            if len(self.known) >= self.n and distances[i] >= self.rows[-1][0]:
                break
            if names[i] != self.seed and names[i] not in self.known:
                self.known[names[i]] = (float(distances[i]), smiles[i])
                self.known = dict(sorted(self.known.items(), key=lambda item: item[1][0])[: self.n])


def _table(seed: str, rows: list[tuple[float, str]]) -> pd.DataFrame:
    similarity = tanimoto(morgan(parse(seed)), [morgan(parse(smiles)) for _, smiles in rows])
    return pd.DataFrame(
        {
            "seed": seed,
            "smiles": [smiles for _, smiles in rows],
            "distance": [distance for distance, _ in rows],
            "similarity": similarity,
        }
    )


def _errors(points: Points) -> dict[str, str]:
    bad = points.table[points.table["error"] != ""]
    return dict(zip(bad["smiles"], bad["error"], strict=True))
