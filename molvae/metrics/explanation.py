"""`molvae.explain`: why molecules are plausible or not, as a table with one row per finding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem

from molvae.chem.findings import Finding, find
from molvae.chem.precedence import cached_table
from molvae.chem.rdkit_guard import rdkit_guard, silence_rdkit
from molvae.chem.smiles import parse
from molvae.chem.standardization import prepare
from molvae.data.arguments import as_smiles, as_smiles_iterable, with_index_of
from molvae.data.checked_arguments import checked_arguments
from molvae.data.rows import escape_surrogates
from molvae.errors import InputError, MoleculeError

NO_FINDINGS = "no findings"
"""The kind of the only row of a molecule without findings."""

FINDING_COLUMNS = ("plausible", "kind", "fragment", "n_molecules", "level", "reason", "reference", "atoms")
COLUMNS = ("smiles", *FINDING_COLUMNS, "canonical", "error", "note")
"""Columns of the table."""

_FINDINGS = "findings"  # of the table with one row per molecule


@checked_arguments
def explain(
    molecules: str | Path | Iterable[Any],
    *,
    seed: str | None = None,
    max_count: int = 0,
    precedence: str | Path | None = None,
    standardize: bool = False,
    keep_salts: bool = False,
) -> pd.DataFrame:
    """Name the unprecedented ring systems and atom environments and the unstable groups of molecules.

    Parameters
    ----------
    molecules : str, Mol, Path, DataFrame or iterable
        SMILES, RDKit molecules, a table with a column of SMILES, or the path of a file.
    seed : str, optional
        A molecule whose ring systems, environments and groups are not listed, as in analogs of this seed.
    max_count : int
        Ring systems and environments in at most this many real molecules are listed; 0 lists the unprecedented ones.
    precedence : str or Path, optional
        File of a precedence table, written by `molvae precedence build`; default: the table that ships with the
        package.
    standardize : bool
        Clean up functional groups and metals with RDKit's MolStandardize first.
    keep_salts : bool
        Keep salts and solvents; otherwise the largest fragment is explained, and the column `note` says so.

    Returns
    -------
    DataFrame
        One row per finding, the flaws of each molecule first; a molecule without findings has one row with the kind
        "no findings". The index is that of the molecule. Columns:

        - smiles: as passed.
        - plausible: whether the molecule has no flaw, the same for all its rows; missing for an invalid molecule.
        - kind: "ring system", "environment of radius 1", "environment of radius 2" or "unstable group".
        - fragment: SMILES of the ring system or environment, whose central atom comes first; name of the group.
        - n_molecules: number of real molecules with the ring system or environment; missing for a group.
        - level: "unprecedented", or "never" or "seed" for an unstable group: a flaw. "rare" and "information" (an
          environment of radius 2) do not make a molecule implausible.
        - reason, reference: what is wrong, and the source.
        - atoms: indices of the atoms of the fragment in `canonical`, from 0.
        - canonical: the identity of the molecule.
        - error, note: why the molecule is invalid, and what was changed, such as salts that were stripped.

    Raises
    ------
    InputError
        For a seed that is not a molecule, a negative `max_count`, or a file that cannot be read.

    Examples
    --------
    >>> explain("CN1CCN(F)CC1")[["kind", "fragment", "level"]].values.tolist()
    [['environment of radius 1', 'N(F)(C)C', 'unprecedented'], ['unstable group', 'N-halogen', 'never']]
    >>> explain(["Oc1ccccc1", "C1CC"])["plausible"].tolist()
    [True, None]
    """
    texts = list(as_smiles_iterable(molecules))
    explainer = Explainer(seed, max_count, precedence, standardize=standardize, keep_salts=keep_salts)
    return expand(with_index_of(explainer(texts), None if isinstance(molecules, str) else molecules))


class Explainer:
    """Finds the findings of molecules: a table with one row per molecule; `expand` makes it one row per finding.

    Parameters
    ----------
    seed, max_count, precedence, standardize, keep_salts
        As in `explain`.
    """

    def __init__(
        self,
        seed: str | None = None,
        max_count: int = 0,
        precedence: str | Path | None = None,
        *,
        standardize: bool = False,
        keep_salts: bool = False,
    ) -> None:
        if max_count < 0:
            raise InputError(f"max_count must be 0 or more, got {max_count}")
        table_file = None if precedence is None else Path(precedence)
        if table_file is not None:
            cached_table(table_file)
        seed_mol = None if seed is None else _seed_mol(seed)
        self._find = partial(find, max_count=max_count, seed=seed_mol, table_file=table_file)
        self._prepare = partial(prepare, standardize=standardize, keep_salts=keep_salts)

    def __call__(self, texts: Sequence[Any]) -> pd.DataFrame:
        """The table of molecules; the column `findings` has a list of `Finding`, None for an invalid molecule."""
        with silence_rdkit():
            rows = [self._row(text) for text in texts]
        return pd.DataFrame(rows, columns=["smiles", _FINDINGS, "canonical", "error", "note"], dtype=object)

    def _row(self, text: Any) -> dict[str, Any]:
        if not isinstance(text, str):
            return _invalid(str(text), f"the SMILES is {type(text).__name__}, not text")
        text = escape_surrogates(text)
        try:
            prepared = self._prepare(text)
            mol = parse(prepared.smiles)  # its atoms are in the order of the identity
            with rdkit_guard("cannot be explained"):
                findings = self._find(mol)
        except MoleculeError as error:
            return _invalid(text, str(error))
        return {"smiles": text, _FINDINGS: findings, "canonical": prepared.smiles, "error": "", "note": prepared.note}


def expand(molecules: pd.DataFrame) -> pd.DataFrame:
    """One row per finding of a table of an `Explainer`, which may have further columns."""
    found = [None if findings is None else list(findings) for findings in molecules[_FINDINGS]]
    repeats = [len(findings) if findings else 1 for findings in found]
    table = molecules.drop(columns=_FINDINGS).iloc[np.repeat(np.arange(len(molecules)), repeats)]
    rows = [row for findings in found for row in _finding_rows(findings)]
    columns = pd.DataFrame(rows, columns=list(FINDING_COLUMNS), dtype=object, index=table.index)
    columns["n_molecules"] = columns["n_molecules"].astype("Int64")
    position = 2 if "name" in table.columns[1:2] else 1
    return pd.concat([table.iloc[:, :position], columns, table.iloc[:, position:]], axis=1)


def _finding_rows(findings: list[Finding] | None) -> list[dict[str, Any]]:
    empty = {**dict.fromkeys(FINDING_COLUMNS, ""), "plausible": None, "n_molecules": None}
    if not findings:
        return [empty if findings is None else {**empty, "plausible": True, "kind": NO_FINDINGS}]
    plausible = not any(finding.is_flaw for finding in findings)
    return [
        {**finding._asdict(), "plausible": plausible, "atoms": " ".join(map(str, finding.atoms))}
        for finding in findings
    ]


def _invalid(text: str, error: str) -> dict[str, Any]:
    return {"smiles": text, _FINDINGS: None, "canonical": "", "error": error, "note": ""}


def _seed_mol(seed: str) -> Chem.Mol:
    try:
        return prepare(as_smiles(seed)).mol
    except MoleculeError as error:
        raise InputError(f"seed: {error}") from None
