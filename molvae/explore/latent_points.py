"""Molecules as points of latent space, those that cannot be encoded set aside with their reasons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.chem.sample_parsing import is_radical
from molvae.data.rows import one_or_many
from molvae.errors import InputError, MoleculeError
from molvae.generator import Generator

_WITH_GAPS = {"i": "Int64", "b": "boolean"}  # types that may miss a value; floats and text may anyhow

REFERENCE = 1000
"""Molecules drawn from the prior, where a tool needs some and is given none."""


@dataclass(frozen=True)
class Points:
    """N molecules, of which M could be encoded.

    `table`: smiles, error ("" where there is none), a row for each of the N. `z`: M x D, means of their posteriors.
    """

    table: pd.DataFrame
    z: NDArray[np.float64]

    @classmethod
    def of(cls, generator: Generator, smiles: str | Iterable[str], *, least: int = 0) -> Points:
        """Encode molecules. Raises `InputError` where fewer than `least` different ones can be."""
        frame = generator.encode(list(one_or_many(smiles)))
        good = frame["error"] == ""
        z = frame[good].iloc[:, 2:].to_numpy(dtype=np.float64)
        different = len(z) if least <= 1 else len(np.unique(z.round(4), axis=0))  # digits beyond depend on the batch
        if different < least:
            if not len(frame):
                raise InputError("a molecule is needed, and there is none that can be read")
            needed = "a molecule is" if least == 1 else f"{least} different molecules or more are"
            first = "".join(f"; {row['smiles']!r}: {row['error']}" for _, row in frame[~good].head(3).iterrows())
            raise InputError(
                f"{needed} needed, and there are {different}: {good.sum()} of {len(frame)} could be encoded{first}"
            )
        return cls(frame[["smiles", "error"]], z)

    @property
    def smiles(self) -> list[str]:
        """The M molecules as they were given."""
        return list(self.table.loc[self.table["error"] == "", "smiles"])

    def with_columns(self, **columns: NDArray[Any] | list[Any]) -> pd.DataFrame:
        """The table with a column of each M values; missing where there is an error."""
        rows = self.table.index[self.table["error"] == ""]
        frame = self.table.copy()
        for name, values in columns.items():
            column = pd.Series(values, index=rows)
            kind: Any = _WITH_GAPS.get(column.dtype.kind, column.dtype)
            frame[name] = column.astype(kind).reindex(frame.index)
        return frame


def latent_of(generator: Generator, smiles: str) -> NDArray[np.float64]:
    """The latent, D, of one molecule, refined so that it gives it back. Raises `MoleculeError` where there is none."""
    frame = generator.encode(smiles, refine=True)
    if frame["error"][0]:
        raise MoleculeError(frame["error"][0])
    return frame.iloc[0, 2:].to_numpy(dtype=np.float64)


def proposed(generator: Generator, latents: NDArray[np.float64], **options: Any) -> pd.DataFrame:
    """`Generator.decode` for proposals: a radical, which nobody can use, is no molecule."""
    table = generator.decode(latents, **options)
    radicals = {row: text for row, text in table["smiles"].items() if is_radical(text)}
    table.loc[list(radicals), "error"] = [f"a radical: {text}" for text in radicals.values()]
    table.loc[list(radicals), "smiles"] = ""
    return table


def reference_points(generator: Generator, smiles: Iterable[str] | None, least: int) -> Points:
    """The molecules that say how a latent space lies: the caller's, or draws from the prior."""
    if smiles is None:
        smiles = generator.sample(REFERENCE)["smiles"]
    return Points.of(generator, smiles, least=least)
