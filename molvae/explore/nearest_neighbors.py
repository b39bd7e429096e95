"""The nearest molecules of a file in latent space, and how similar their structures are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import canonical, parse
from molvae.data.featurize import in_chunks
from molvae.data.rows import one_or_many
from molvae.errors import InputError
from molvae.explore.latent_points import Points
from molvae.generator import Generator
from molvae.viz.molecules import save_grid

CHUNK = 2048  # molecules that are encoded and compared at once


def neighbors(
    generator: Generator,
    smiles: Iterable[str],
    of: str | Iterable[str],
    *,
    n: int = 10,
    names: Iterable[str] | None = None,
) -> pd.DataFrame:
    """The `n` molecules of `smiles` nearest to each seed (`of`) in latent space, nearest first; a seed is not its own.

    The molecules stream through, so there may be any number of them; repeats are kept once. `names`: one for each.

    Columns: seed, smiles (both as given), name (where there are any), distance (Euclidean; an unrelated pair is about
    sqrt(2 D) apart), similarity (Tanimoto of Morgan fingerprints). `attrs`: errors (SMILES to reason, of seeds and
    molecules), how many `seeds`, `molecules` and `rejected` rows there were, summary. Raises `InputError` where no seed
    can be encoded, `n` is below 1, or there are more or fewer names than molecules.
    """
    if n < 1:
        raise InputError(f"the number of neighbors is 1 or more, got {n}")
    seeds = Points.of(generator, of, least=1)
    errors, rejected = _errors(seeds), _rejected(seeds)
    best = [_Nearest(canonical(text), n) for text in seeds.smiles]
    count, named = 0, False
    for chunk in in_chunks(_named(smiles, names), CHUNK):
        points = Points.of(generator, [text for text, _ in chunk])
        errors |= _errors(points)
        rejected += _rejected(points)
        count += len(points.z)
        named = named or any(name for _, name in chunk)
        good = points.table["error"] == ""
        rows = [(canonical(text), text, name) for (text, name), ok in zip(chunk, good, strict=True) if ok]
        for one, distances in zip(best, cdist(seeds.z, points.z), strict=True):
            one.add(rows, distances)
    tables = [_table(text, one.rows) for text, one in zip(seeds.smiles, best, strict=True)]
    frame = pd.concat(tables, ignore_index=True)
    if not named:
        del frame["name"]
    frame.attrs = {"errors": errors, "seeds": len(best), "molecules": count}
    return refusing(frame, rejected)


def refusing(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """The table of `neighbors`, in its summary so many more rows, of seeds or of molecules, that gave none."""
    seeds, molecules = frame.attrs["seeds"], frame.attrs["molecules"]
    frame.attrs["rejected"] = frame.attrs.get("rejected", 0) + rows
    told = f"{len(frame)} neighbors of {seeds} seeds in {molecules:,} molecules; {frame.attrs['rejected']:,} rejected"
    frame.attrs["summary"] = [told]
    return frame


def _named(smiles: Iterable[str], names: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    if names is None:
        yield from ((text, "") for text in one_or_many(smiles))
        return
    end: Any = object()
    for text, name in zip_longest(one_or_many(smiles), one_or_many(names), fillvalue=end):
        if text is end or name is end:
            raise InputError(f"a name for each molecule is needed, and there are {'more' if text is end else 'fewer'}")
        yield text, name


def draw_neighbors(frame: pd.DataFrame, picture: str | Path) -> Path:
    """Each seed in blue and its neighbors with their similarity, as .png or .svg."""
    return save_grid(frame, picture)


class _Nearest:
    """The nearest molecules to one seed so far: canonical SMILES to (distance, SMILES as given, name), in order."""

    def __init__(self, seed: str, n: int) -> None:
        self.seed, self.n = seed, n
        self.known: dict[str, tuple[float, str, str]] = {}

    @property
    def rows(self) -> list[tuple[float, str, str]]:
        return list(self.known.values())

    def add(self, molecules: list[tuple[str, str, str]], distances: NDArray[np.float64]) -> None:
        """Take in more (canonical SMILES, SMILES as given, name); among equally near ones the earlier stays."""
        farthest = self.rows[-1][0] if len(self.known) >= self.n else np.inf
        nearer = dict[str, tuple[float, str, str]]()
        for i in np.argsort(distances, kind="stable"):
            molecule, text, name = molecules[i]
            if len(nearer) >= self.n or distances[i] >= farthest:
                break
            if molecule != self.seed and molecule not in self.known:
                nearer.setdefault(molecule, (float(distances[i]), text, name))
        self.known = dict(sorted((self.known | nearer).items(), key=lambda item: item[1][0])[: self.n])


def _table(seed: str, rows: list[tuple[float, str, str]]) -> pd.DataFrame:
    similarity = tanimoto(morgan(parse(seed)), [morgan(parse(smiles)) for _, smiles, _ in rows])
    return pd.DataFrame(
        {
            "seed": seed,
            "smiles": [smiles for _, smiles, _ in rows],
            "name": np.array([name for *_, name in rows], dtype=object),
            "distance": [distance for distance, _, _ in rows],
            "similarity": similarity,
        }
    )


def _rejected(points: Points) -> int:
    return len(points.table) - len(points.z)


def _errors(points: Points) -> dict[str, str]:
    bad = points.table[points.table["error"] != ""]
    return dict(zip(bad["smiles"], bad["error"], strict=True))
