"""Encoding and decoding shared by the explore functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.chem.sample_parsing import is_radical
from molvae.data.arguments import as_smiles_iterable
from molvae.errors import InputError, MoleculeError
from molvae.generator import Generator

Array = NDArray[np.float64]

N_PRIOR_SAMPLES = 1000
"""Molecules sampled from the prior if the caller passes no reference molecules."""

LATENT_COLUMNS = r"^z\d+$"
"""The columns of latents in a table of `Generator.encode`."""

_DUPLICATE_DECIMALS = 4
"""Latents that agree to this many decimals count as one: further digits depend on the batch size."""

_NULLABLE_TYPES = {"i": "Int64", "b": "boolean"}
"""Integer and Boolean columns need a nullable type to mark missing values."""


@dataclass(frozen=True)
class EncodedMolecules:
    """N input molecules, M of which the model encoded.

    Attributes
    ----------
    table : DataFrame
        N rows with the columns `smiles` (as given), `error` ("" for an encoded molecule) and `note` (what was changed).
    latents : ndarray of shape (M, D)
        Posterior means of the encoded molecules, in the order of the table.
    """

    table: pd.DataFrame
    latents: Array

    @classmethod
    def from_smiles(
        cls, generator: Generator, smiles: str | Iterable[str], *, min_distinct: int = 0, keep_salts: bool = False
    ) -> EncodedMolecules:
        """Encode molecules. Raises `InputError` if fewer than `min_distinct` different ones can be encoded."""
        frame = generator.encode(list(as_smiles_iterable(smiles)), keep_salts=keep_salts)
        valid = frame["error"] == ""
        latents = frame[valid].filter(regex=LATENT_COLUMNS).to_numpy(dtype=np.float64)
        n_distinct = len(latents) if min_distinct <= 1 else n_distinct_rows(latents)
        if n_distinct < min_distinct:
            raise InputError(_too_few(frame, n_distinct, min_distinct))
        return cls(frame[["smiles", "error", "note"]], latents)

    @property
    def smiles(self) -> list[str]:
        """The M encoded molecules, as given."""
        return list(self.table.loc[self.table["error"] == "", "smiles"])

    @property
    def errors(self) -> dict[str, str]:
        """SMILES of each rejected molecule to the reason."""
        rejected = self.table[self.table["error"] != ""]
        return dict(zip(rejected["smiles"], rejected["error"], strict=True))

    @property
    def notes(self) -> dict[str, str]:
        """SMILES of each changed molecule to what was changed, such as "salt removed: Cl"."""
        changed = self.table[self.table["note"] != ""]
        return dict(zip(changed["smiles"], changed["note"], strict=True))

    @property
    def n_rejected(self) -> int:
        """Number of molecules that were not encoded, repeats included."""
        return len(self.table) - len(self.latents)

    def with_columns(self, **columns: NDArray[Any] | list[Any]) -> pd.DataFrame:
        """The table with additional columns of M values each; rows with an error get missing values."""
        rows = self.table.index[self.table["error"] == ""]
        frame = self.table.copy()
        for name, values in columns.items():
            column = pd.Series(values, index=rows)
            dtype: Any = _NULLABLE_TYPES.get(column.dtype.kind, column.dtype)
            frame[name] = column.astype(dtype).reindex(frame.index)
        return frame


def n_distinct_rows(latents: Array) -> int:
    """Number of different latents in an N x D array, compared to 4 decimals."""
    return len(np.unique(latents.round(_DUPLICATE_DECIMALS), axis=0))


def optimized_latent(generator: Generator, smiles: str) -> Array:
    """Latent (D,) of one prepared molecule, optimized until the decoder reconstructs it. Raises `MoleculeError`."""
    frame = generator.encode([smiles], optimize_latents=True, keep_salts=True)
    if frame["error"][0]:
        raise MoleculeError(frame["error"][0])
    latent: Array = frame.filter(regex=LATENT_COLUMNS).to_numpy(np.float64)[0]
    return latent


def decode_molecules(
    generator: Generator,
    latents: Array,
    *,
    noise_level: float | Array = 0.0,
    temperature: float = 0.0,
    random_state: int | NDArray[np.int64] = 0,
    branch_from: Sequence[str] | None = None,
    inversion_steps: int = 0,
) -> pd.DataFrame:
    """Decode latents and treat radicals as invalid samples, because they are not stable compounds.

    See `Generator.decode` for the parameters and the columns of the table.
    """
    table = generator.decode(
        latents,
        noise_level=noise_level,
        temperature=temperature,
        random_state=random_state,
        branch_from=branch_from,
        inversion_steps=inversion_steps,
    )
    radicals = {row: smiles for row, smiles in table["smiles"].items() if is_radical(smiles)}
    table.loc[list(radicals), "error"] = [f"radical: {smiles}" for smiles in radicals.values()]
    table.loc[list(radicals), "smiles"] = ""
    return table


def encode_reference(generator: Generator, smiles: Iterable[str] | None, min_distinct: int) -> EncodedMolecules:
    """Encode the caller's reference molecules, or 1,000 samples from the prior if there are none."""
    if smiles is None:
        smiles = generator.sample(N_PRIOR_SAMPLES)["smiles"]
    return EncodedMolecules.from_smiles(generator, smiles, min_distinct=min_distinct)


def _too_few(frame: pd.DataFrame, n_distinct: int, min_distinct: int) -> str:
    """Error message that names the first rejected molecules of an encoded table."""
    needed = "at least 1 molecule is" if min_distinct == 1 else f"at least {min_distinct} different molecules are"
    if frame.empty:
        return f"{needed} needed, but the input is empty"
    rejected = frame[frame["error"] != ""]
    first = zip(rejected["smiles"].head(3), rejected["error"].head(3), strict=True)
    examples = "".join(f"; {smiles!r}: {error}" for smiles, error in first)
    n_encoded = len(frame) - len(rejected)
    return f"{needed} needed, got {n_distinct}: {n_encoded} of {len(frame)} could be encoded{examples}"
