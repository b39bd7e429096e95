"""Shares of molecules that are plausible, and with each kind of flaw (`molvae.chem.plausibility`)."""

from __future__ import annotations

import hashlib
from functools import cache

import pandas as pd

from molvae.chem.plausibility import FLAWS
from molvae.chem.precedence import SHIPPED_FILE
from molvae.data.files import checksum

SHARES = ("plausible", *FLAWS)
"""Names of the shares."""

HELD_OUT_RATES = dict(zip(SHARES, (0.9297, 0.0040, 0.0253, 0.0463), strict=True))
"""Shares of 10,000 real molecules that were not counted in the shipped table: the test set of the model `druglike`."""


def plausibility(flaws: pd.Series[str]) -> dict[str, float | None]:
    """The shares of a column of flaws, as `molvae.metrics.molecules.COLUMNS` defines it.

    Parameters
    ----------
    flaws : Series of str
        Flaws of each molecule, joined by "; "; "" for a plausible one. Missing values are ignored.

    Returns
    -------
    dict of str to float or None
        By name of `SHARES`; None without values.

    Examples
    --------
    >>> plausibility(pd.Series(["", "unstable group N-halogen", None]))["plausible"]
    0.5
    """
    known = flaws.dropna()
    if not len(known):
        return dict.fromkeys(SHARES)
    shares = {kind: float(known.str.contains(kind, regex=False).mean()) for kind in FLAWS}
    return {"plausible": float((known == "").mean()), **shares}


@cache
def definitions_hash() -> str:
    """A hash of the shipped table and of the list of unstable groups, which changes when shares may change."""
    texts = [checksum(path) for path in (SHIPPED_FILE, SHIPPED_FILE.with_name("unstable_groups.toml"))]
    return hashlib.sha256(" ".join(texts).encode()).hexdigest()[:16]
