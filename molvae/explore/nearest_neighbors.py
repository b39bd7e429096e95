"""Nearest neighbors of seeds among molecules, by Euclidean distance in latent space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import parse
from molvae.chem.standardization import prepare
from molvae.data.arguments import as_smiles_iterable
from molvae.data.checked_arguments import checked_arguments
from molvae.data.parallel import chunked
from molvae.errors import InputError
from molvae.explore.latent_points import Array, EncodedMolecules
from molvae.generator import Generator
from molvae.viz.table_image import save_table_image

CHUNK_SIZE = 2048
"""Molecules that are encoded and compared at once."""


@checked_arguments
def neighbors(
    generator: Generator,
    smiles: Iterable[str],
    seeds: str | Iterable[str],
    n: int = 10,
    *,
    names: Iterable[str] | None = None,
    keep_salts: bool = False,
) -> pd.DataFrame:
    """Find the `n` molecules that are nearest to each seed in latent space.

    Parameters
    ----------
    generator : Generator
        The model.
    smiles : iterable of str
        Molecules to search. They are processed in chunks, so the iterable may be of any length; duplicates count once.
    seeds : str or iterable of str
        Query molecules. A seed is not its own neighbor.
    n : int
        Number of neighbors per seed, at least 1.
    names : iterable of str, optional
        One name per molecule.
    keep_salts : bool
        Keep salts and solvents, which few models can represent; otherwise the largest fragment is used.

    Returns
    -------
    DataFrame
        Columns: `seed`, `smiles` (both as given), `name` (if any molecule has one), `distance` (Euclidean; about
        sqrt(2 D) between unrelated molecules in D dimensions) and `similarity` (Tanimoto), nearest first. `attrs`:
        errors (SMILES to reason), notes (SMILES to what was changed), statistics (seeds, molecules, neighbors,
        rejected), summary.

    Raises
    ------
    InputError
        If no seed can be encoded, `n` is below 1, or the numbers of names and molecules differ.

    Examples
    --------
    >>> from molvae import explore, load
    >>> explore.neighbors(load(), ["CCCCCO", "c1ccccc1", "CCCCO"], "CCCCCCO", n=1)["smiles"].tolist()
    ['CCCCCO']
    """
    if n < 1:
        raise InputError(f"the number of neighbors must be at least 1, got {n}")
    queries = EncodedMolecules.from_smiles(generator, seeds, min_distinct=1, keep_salts=keep_salts)
    errors, notes, n_rejected, n_molecules, has_names = queries.errors, queries.notes, queries.n_rejected, 0, False

    def identity(text: str) -> str:
        return prepare(text, keep_salts=keep_salts, keep_isotopes=False).smiles

    found = [_NearestMolecules(identity(seed), n) for seed in queries.smiles]
    for chunk in chunked(_with_names(smiles, names), CHUNK_SIZE):
        molecules = EncodedMolecules.from_smiles(generator, [text for text, _ in chunk], keep_salts=keep_salts)
        errors |= molecules.errors
        notes |= molecules.notes
        n_rejected += molecules.n_rejected
        n_molecules += len(molecules.latents)
        has_names = has_names or any(name for _, name in chunk)
        valid = molecules.table["error"] == ""
        keys = [(identity(text), text, name) for (text, name), ok in zip(chunk, valid, strict=True) if ok]
        distances = cdist(queries.latents, molecules.latents)  # (seeds, molecules)
        for nearest, row in zip(found, distances, strict=True):
            nearest.add(keys, row)
    tables = [_seed_table(seed, nearest.neighbors) for seed, nearest in zip(queries.smiles, found, strict=True)]
    frame = pd.concat(tables, ignore_index=True)
    if not has_names:
        del frame["name"]
    statistics = {"seeds": len(found), "molecules": n_molecules, "neighbors": len(frame), "rejected": 0}
    frame.attrs = {"errors": errors, "notes": notes, "statistics": statistics}
    return add_rejected(frame, n_rejected)


def draw_neighbors(frame: pd.DataFrame, path: str | Path) -> Path:
    """Save each seed of a `neighbors` table, highlighted, and its neighbors with their similarity as an image.

    Parameters
    ----------
    frame : DataFrame
        Result of `neighbors`.
    path : str or Path
        Output file, .png or .svg; replaced atomically.

    Returns
    -------
    Path
        The path of the file.
    """
    return save_table_image(frame, path)


def add_rejected(frame: pd.DataFrame, n_rows: int) -> pd.DataFrame:
    """Count `n_rows` more rejected rows in the statistics and the summary of a `neighbors` table."""
    statistics = frame.attrs["statistics"]
    statistics["rejected"] += n_rows
    frame.attrs["summary"] = [
        f"{statistics['neighbors']} neighbors of {statistics['seeds']} seeds among {statistics['molecules']:,} "
        f"molecules; {statistics['rejected']:,} rejected"
    ]
    return frame


class _Neighbor(NamedTuple):
    distance: float
    smiles: str  # as given
    name: str


class _NearestMolecules:
    """The nearest molecules to one seed so far, in ascending order of distance, by their canonical SMILES."""

    def __init__(self, seed: str, n: int) -> None:
        self.seed, self.n = seed, n
        self._nearest: dict[str, _Neighbor] = {}

    @property
    def neighbors(self) -> list[_Neighbor]:
        return list(self._nearest.values())

    def add(self, molecules: list[tuple[str, str, str]], distances: Array) -> None:
        """Add molecules (canonical SMILES, SMILES as given, name); among equal distances the first added stays."""
        limit = self.neighbors[-1].distance if len(self._nearest) >= self.n else np.inf
        nearer = dict[str, _Neighbor]()
        for i in np.argsort(distances, kind="stable"):
            molecule, text, name = molecules[i]
            if len(nearer) >= self.n or distances[i] >= limit:
                break
            if molecule != self.seed and molecule not in self._nearest:
                nearer.setdefault(molecule, _Neighbor(float(distances[i]), text, name))
        merged = sorted((self._nearest | nearer).items(), key=lambda item: item[1].distance)
        self._nearest = dict(merged[: self.n])


def _with_names(smiles: Iterable[str], names: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """Pairs of SMILES and name, "" without names. Raises `InputError` if their numbers differ."""
    if names is None:
        yield from ((text, "") for text in as_smiles_iterable(smiles))
        return
    end: Any = object()
    for text, name in zip_longest(as_smiles_iterable(smiles), as_smiles_iterable(names), fillvalue=end):
        if text is end or name is end:
            difference = "more names than molecules" if text is end else "fewer names than molecules"
            raise InputError(f"names must contain one name per molecule: there are {difference}")
        yield text, name


def _seed_table(seed: str, neighbors: list[_Neighbor]) -> pd.DataFrame:
    """The rows of one seed."""
    similarity = tanimoto(morgan(parse(seed)), [morgan(parse(neighbor.smiles)) for neighbor in neighbors])
    return pd.DataFrame(
        {
            "seed": seed,
            "smiles": [neighbor.smiles for neighbor in neighbors],
            "name": np.array([neighbor.name for neighbor in neighbors], dtype=object),
            "distance": [neighbor.distance for neighbor in neighbors],
            "similarity": similarity,
        }
    )
