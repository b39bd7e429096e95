"""Limits of a server: how much a request may ask for."""

from __future__ import annotations

import re
from collections.abc import Sized
from dataclasses import dataclass

from molvae.errors import InputError

_ATOM = re.compile(r"\[[^\]]*\]|Cl|Br|[A-Za-z*]")


@dataclass(frozen=True)
class Limits:
    """Limits of the requests; a request beyond them is refused with a message that names the limit.

    Attributes
    ----------
    max_body_bytes
        Size of the body of a request.
    max_rows
        Molecules, seeds or latents that a request contains.
    max_molecules
        Molecules that a request asks for, over all its seeds.
    max_samples
        Samples that a request may draw, over all its seeds.
    max_smiles_length, max_atoms
        Characters of a SMILES, and its atoms; a longer one is an error of its row.
    max_seconds
        Time of a request. A search then returns what it has found.
    max_jobs
        Requests in progress, those that wait included; more are refused with status 429.
    keep_seconds, keep_rows
        How long the result of a job can be fetched, and how many rows of results are kept.
    """

    max_body_bytes: int = 8_000_000
    max_rows: int = 1000
    max_molecules: int = 10_000
    max_samples: int = 1_000_000
    max_smiles_length: int = 1000
    max_atoms: int = 200
    max_seconds: float = 300.0
    max_jobs: int = 64
    keep_seconds: float = 600.0
    keep_rows: int = 100_000

    def check_rows(self, name: str, rows: Sized) -> None:
        """Raise `InputError` for too many rows of an argument, and for none."""
        if not len(rows):
            raise InputError(f"{name} is empty: give at least one")
        if len(rows) > self.max_rows:
            raise InputError(f"{name} has {len(rows):,} rows; the limit of this server is {self.max_rows:,}")

    def check_molecules(self, n: int, n_seeds: int = 1) -> None:
        """Raise `InputError` if a request asks for too many molecules."""
        if n * n_seeds > self.max_molecules:
            times = f" for each of {n_seeds:,} seeds" if n_seeds > 1 else ""
            raise InputError(f"{n:,} molecules{times} are more than the limit of this server, {self.max_molecules:,}")

    def check_samples(self, max_samples: int, n_seeds: int = 1) -> None:
        """Raise `InputError` if a request may draw too many samples."""
        if max_samples * n_seeds > self.max_samples:
            times = f" for each of {n_seeds:,} seeds" if n_seeds > 1 else ""
            raise InputError(
                f"{max_samples:,} samples{times} are more than the limit of this server, {self.max_samples:,}"
            )

    def smiles_error(self, smiles: str) -> str:
        """Why a SMILES is too large for this server; "" if it is not."""
        if len(smiles) > self.max_smiles_length:
            return f"the SMILES has {len(smiles):,} characters; the limit of this server is {self.max_smiles_length:,}"
        n_atoms = len(_ATOM.findall(smiles))
        if n_atoms > self.max_atoms and not smiles.startswith("InChI="):
            return f"the molecule has {n_atoms:,} atoms; the limit of this server is {self.max_atoms:,}"
        return ""
