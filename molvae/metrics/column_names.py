"""Names of the columns of scored molecules, checked without torch, so that an unknown name is reported at once."""

from __future__ import annotations

from collections.abc import Collection

from molvae.chem.properties import property_name
from molvae.errors import InputError, did_you_mean

COLUMN_NAMES = (
    "mw", "logp", "tpsa", "hbd", "hba", "rings", "rotatable_bonds", "sa", "np", "qed", "lipinski", "veber", "alerts",
    "moses_filters", "scaffold", "flaws", "plausible",
)  # fmt: skip
"""The columns in the order of the table."""


def check_columns(names: Collection[str] | None) -> set[str]:
    """The requested columns (None: all); properties may be in any case. Raises `InputError` for an unknown name."""
    if names is None:
        return set(COLUMN_NAMES)
    selected = {name if name in COLUMN_NAMES else property_name(name) or name for name in names}
    for name in sorted(map(str, selected - set(COLUMN_NAMES))):
        hint = did_you_mean(name, COLUMN_NAMES)
        raise InputError(f"unknown column {name!r}{hint}; known: {', '.join(COLUMN_NAMES)}")
    return selected
