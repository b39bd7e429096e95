"""Module-level functions: each loads a model on the first call, keeps it, and calls the method of `Generator`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from molvae.checkpoint import CONFIG_FILE, find_model
from molvae.data.checked_arguments import checked_arguments
from molvae.generation.options import ANALOG_PROPERTIES, Progress, ScoresLike
from molvae.generator import Generator

DEFAULT_MODEL = "druglike"


@checked_arguments
def load(model: str | Path = DEFAULT_MODEL, device: str = "auto") -> Generator:
    """Load a model and keep it for later calls.

    Parameters
    ----------
    model
        Name of a shipped model ("druglike", "druglike-ae", "moses") or path of a model directory. A directory is
        loaded again after it has been rewritten.
    device
        "cpu", "cuda", "cuda:1", ..., or "auto": a GPU if there is one, else the CPU.

    Returns
    -------
    Generator

    Examples
    --------
    >>> import molvae
    >>> molvae.load("druglike") is molvae.load("druglike")
    True
    """
    folder = find_model(model).resolve()
    config = folder / CONFIG_FILE
    return _load(folder, config.stat().st_mtime_ns if config.exists() else 0, device)


@lru_cache(maxsize=4)
def _load(folder: Path, modified: int, device: str) -> Generator:  # noqa: ARG001 - `modified` is part of the key
    return Generator.load(folder, device)


def analogs(
    seeds: str | Iterable[str],
    n: int = 100,
    *,
    preset: str | None = None,
    pool_size: int = 0,
    similarity: str | float | tuple[float, float] | None = None,
    noise_level: float | None = None,
    samples_per_latent: int = 1,
    temperature: float | None = None,
    top_k: int = 0,
    top_p: float = 1.0,
    grammar: bool = False,
    max_samples: int = 0,
    filters: str | Sequence[str] = (),
    include_smarts: str | Sequence[str] = (),
    exclude_smarts: str | Sequence[str] = (),
    core: str | None = None,
    keep_scaffold: bool = False,
    change_scaffold: bool = False,
    allow_unprecedented: bool = False,
    precedence: str | Path | None = None,
    allow_isomers: bool = False,
    any_stereo: bool = False,
    alerts: str | Sequence[str] = (),
    exclude_training_set: bool = False,
    makeable: bool = False,
    project: bool = False,
    by_synthesis: bool = False,
    stock: str | Path | None = None,
    max_steps: int = 4,
    rank_by: str | None = None,
    scores: ScoresLike = None,
    n_diverse: int = 0,
    properties: str | Sequence[str] = ANALOG_PROPERTIES,
    optimize_latents: bool = True,
    standardize: bool = False,
    keep_salts: bool = False,
    random_state: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
) -> pd.DataFrame:
    """Generate `n` distinct valid analogs of each seed, the most similar first.

    Parameters
    ----------
    seeds, n, ..., progress
        As in `Generator.analogs`, which describes each option and the returned table.
    model, device
        As in `load`.

    Examples
    --------
    >>> import molvae
    >>> table = molvae.analogs("CC(=O)Oc1ccccc1C(=O)O", n=10, similarity="0.4:0.8")
    >>> len(table), table["similarity"].is_monotonic_decreasing
    (10, True)
    """
    return load(model, device).analogs(
        seeds,
        n,
        preset=preset,
        pool_size=pool_size,
        similarity=similarity,
        noise_level=noise_level,
        samples_per_latent=samples_per_latent,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        grammar=grammar,
        max_samples=max_samples,
        filters=filters,
        include_smarts=include_smarts,
        exclude_smarts=exclude_smarts,
        core=core,
        keep_scaffold=keep_scaffold,
        change_scaffold=change_scaffold,
        allow_unprecedented=allow_unprecedented,
        precedence=precedence,
        allow_isomers=allow_isomers,
        any_stereo=any_stereo,
        alerts=alerts,
        exclude_training_set=exclude_training_set,
        makeable=makeable,
        project=project,
        by_synthesis=by_synthesis,
        stock=stock,
        max_steps=max_steps,
        rank_by=rank_by,
        scores=scores,
        n_diverse=n_diverse,
        properties=properties,
        optimize_latents=optimize_latents,
        standardize=standardize,
        keep_salts=keep_salts,
        random_state=random_state,
        workers=workers,
        progress=progress,
    )


def sample(
    n: int = 100,
    *,
    prior: str = "auto",
    temperature: float | None = None,
    top_k: int = 0,
    top_p: float = 1.0,
    grammar: bool = False,
    max_samples: int = 0,
    random_state: int = 0,
    progress: Progress | None = None,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
) -> pd.DataFrame:
    """Generate `n` distinct valid molecules from the prior.

    Parameters
    ----------
    n, prior, ..., progress
        As in `Generator.sample`.
    model, device
        As in `load`.

    Examples
    --------
    >>> import molvae
    >>> list(molvae.sample(5).columns)
    ['smiles', 'log_likelihood', 'qed', 'sa', 'logp', 'mw', 'not_in_training']
    """
    return load(model, device).sample(
        n,
        prior=prior,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        grammar=grammar,
        max_samples=max_samples,
        random_state=random_state,
        progress=progress,
    )


def encode(
    smiles: str | Iterable[str],
    *,
    standardize: bool = False,
    keep_salts: bool = False,
    optimize_latents: bool = False,
    progress: Progress | None = None,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
) -> pd.DataFrame:
    """Encode molecules: one row of latents per input row.

    Parameters
    ----------
    smiles, standardize, keep_salts, optimize_latents, progress
        As in `Generator.encode`.
    model, device
        As in `load`.

    Examples
    --------
    >>> import molvae
    >>> molvae.encode(["CCO", "c1ccccc1"]).filter(regex=r"^z\\d").shape
    (2, 128)
    """
    return load(model, device).encode(
        smiles,
        standardize=standardize,
        keep_salts=keep_salts,
        optimize_latents=optimize_latents,
        progress=progress,
    )


def decode(
    latents: NDArray[Any] | pd.DataFrame,
    *,
    noise_level: float | Sequence[float] | NDArray[Any] = 0.0,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    grammar: bool = False,
    random_state: int | Sequence[int] | NDArray[Any] = 0,
    branch_from: Sequence[str] | None = None,
    inversion_steps: int = 0,
    progress: Progress | None = None,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
) -> pd.DataFrame:
    """Decode latents: one molecule per row, greedily by default.

    Parameters
    ----------
    latents, noise_level, ..., progress
        As in `Generator.decode`.
    model, device
        As in `load`; the model that encoded the latents.

    Examples
    --------
    >>> import molvae
    >>> molvae.decode(molvae.encode(["OCc1ccccc1O"]))["smiles"].tolist()
    ['OCc1ccccc1O']
    """
    return load(model, device).decode(
        latents,
        noise_level=noise_level,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        grammar=grammar,
        random_state=random_state,
        branch_from=branch_from,
        inversion_steps=inversion_steps,
        progress=progress,
    )


def reconstruct(
    smiles: str | Iterable[str],
    *,
    standardize: bool = False,
    keep_salts: bool = False,
    optimize_latents: bool = False,
    inversion_steps: int = 0,
    progress: Progress | None = None,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
) -> pd.DataFrame:
    """Encode molecules and decode them greedily: one row per input row.

    Parameters
    ----------
    smiles, standardize, keep_salts, optimize_latents, inversion_steps, progress
        As in `Generator.reconstruct`.
    model, device
        As in `load`.

    Examples
    --------
    >>> import molvae
    >>> molvae.reconstruct(["OCc1ccccc1O"])["exact"].tolist()
    [True]
    """
    return load(model, device).reconstruct(
        smiles,
        standardize=standardize,
        keep_salts=keep_salts,
        optimize_latents=optimize_latents,
        inversion_steps=inversion_steps,
        progress=progress,
    )
