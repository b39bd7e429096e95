"""Tables as JSON: numbers keep all their digits, and a missing value is null."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table."""
    columns = {str(name): [plain(value) for value in frame[name].tolist()] for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def plain(value: Any) -> Any:
    """A value as JSON has it: no NaN, no type of NumPy."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if value is pd.NA or value is pd.NaT else value


def latent_rows(latents: list[list[float | None] | None], size: int) -> tuple[NDArray[np.float32], list[str]]:
    """Latents of a request as an array (N, `size`), NaN for an invalid one, and the errors of the rows."""
    z = np.full((len(latents), size), np.nan, np.float32)
    errors = [""] * len(latents)
    for row, latent in enumerate(latents):
        if latent is None:
            errors[row] = "no latent"
        elif len(latent) != size:
            errors[row] = f"a latent of this model has {size} numbers, got {len(latent)}"
        else:
            values = np.array([np.nan if value is None else value for value in latent])
            with np.errstate(over="ignore"):
                z[row] = values
    return z, errors
