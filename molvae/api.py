"""The commands as functions: the model is loaded at the first call and kept for the next ones."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from molvae.checkpoint import CONFIG, locate
from molvae.generator import Generator

DEFAULT_MODEL = "druglike"


def load(model: str | Path = DEFAULT_MODEL, device: str = "auto") -> Generator:
    """The generator of a model, by name or path: loaded once per device, until its directory is written anew."""
    folder = locate(model).resolve()
    settings = folder / CONFIG
    return _loaded(folder, settings.stat().st_mtime_ns if settings.exists() else 0, device)


@lru_cache(maxsize=4)
def _loaded(folder: Path, written: int, device: str) -> Generator:  # noqa: ARG001 - `written` is part of the key
    return Generator.load(folder, device)


def analogs(
    seeds: str | Iterable[str],
    n: int = 100,
    *,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    **options: Any,
) -> pd.DataFrame:
    """`n` distinct valid analogs of each seed, the most similar first; options as `Generator.analogs`."""
    return load(model, device).analogs(seeds, n, **options)


def sample(n: int = 100, *, model: str | Path = DEFAULT_MODEL, device: str = "auto", **options: Any) -> pd.DataFrame:
    """`n` distinct valid molecules from the prior; options as `Generator.sample`."""
    return load(model, device).sample(n, **options)


def encode(
    smiles: str | Iterable[str],
    *,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    **options: Any,
) -> pd.DataFrame:
    """Latents, one row out per row in; options as `Generator.encode`."""
    return load(model, device).encode(smiles, **options)


def decode(
    latents: NDArray[Any] | pd.DataFrame,
    *,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    **options: Any,
) -> pd.DataFrame:
    """One molecule per latent; options as `Generator.decode`."""
    return load(model, device).decode(latents, **options)


def reconstruct(
    smiles: str | Iterable[str],
    *,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    **options: Any,
) -> pd.DataFrame:
    """Encode and decode, one row out per row in; options as `Generator.reconstruct`."""
    return load(model, device).reconstruct(smiles, **options)
