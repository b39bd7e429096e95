"""From a model and its training molecules to the same model with a learned prior."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from molvae import checkpoint as checkpoints
from molvae.data.files import check_folder
from molvae.data.packing import pack
from molvae.data.records import read_records
from molvae.data.rows import REFUSALS_SHOWN, Record, Refusal
from molvae.data.sources import Source, find_source
from molvae.errors import CheckpointError, InputError
from molvae.models.devices import find_device
from molvae.models.encoding import posteriors
from molvae.models.priors import PriorConfig
from molvae.sampling.streams import normal, row_keys
from molvae.training.priors import Tell, fit_prior

MOLECULES = 60_000


def learn_prior(
    model: str | Path,
    data: Sequence[str | Path],
    output: str | Path,
    *,
    kind: str = "mixture",
    radius: float | None = None,
    molecules: int = MOLECULES,
    column: str | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    tell: Tell = lambda _: None,
) -> Path:
    """Fit a prior to the latents of `data` (files, or datasets: NAME or NAME:SPLIT); saved with the model in `output`.

    Up to `molecules` rows are drawn at random. `kind` is "mixture" or "flow"; `radius` the noise that its draws are
    moved by, 0 to 1, by default `PriorConfig`'s, or none where the decoder is not told of it. `output` may be the
    model's own directory. The same seed and data give the same prior. Raises `InputError` for a model, data or settings
    that cannot be used.
    """
    try:
        folder = checkpoints.locate(model)
    except CheckpointError as error:
        raise InputError(str(error)) from None
    check_folder(Path(output), checkpoints.CONFIG)
    checkpoint = checkpoints.load(folder, find_device(device))
    default = PriorConfig.radius if checkpoint.defaults.noise_aware else 0.0
    config = checkpoint.model.prior().config.replace(kind=kind, radius=default if radius is None else radius)
    sources = [find_source(item, column) for item in data]
    rows = drawn_rows(sources, molecules, seed)
    packed, _, packing = pack(
        rows, vocabulary=checkpoint.vocabulary, max_symbols=checkpoint.config.max_symbols, workers=workers
    )
    tell(packing.summary())
    for refusal in packing.refusals[:REFUSALS_SHOWN]:
        tell(str(refusal))
    posterior = posteriors(checkpoint.model, packed)
    keys = row_keys(seed, torch.arange(len(packed), device=posterior.mean.device))
    prior = fit_prior(posterior.draw(normal(keys, posterior.noise_size)), config, seed=seed, tell=tell)
    note = (
        f"{kind} of {len(packed):,} encoded molecules of {', '.join(Path(s.named).name for s in sources)}, seed {seed}"
    )
    card = {**_without_prior(checkpoint.card), "Learned prior": f"{note}, draws moved by radius {config.radius:g}"}
    return checkpoints.save(dataclasses.replace(checkpoint, prior=prior, card=card), output)


def _without_prior(card: dict[str, Any]) -> dict[str, Any]:
    """A card without the figures of a learned prior that is replaced."""
    if "Scores" not in card:
        return card
    return {**card, "Scores": {name: value for name, value in card["Scores"].items() if "learned prior" not in name}}


def drawn_rows(sources: Sequence[Source], count: int, seed: int) -> list[Record | Refusal]:
    """`count` rows at random, each as likely, all where there are no more: reservoir sampling (Vitter 1985)."""
    if count < 1:
        raise InputError(f"the number of molecules must be 1 or more, got {count}")
    random, kept, read = np.random.default_rng(seed), list[Record | Refusal](), 0
    for source in sources:
        for row in read_records(source.path, column=source.column):
            read += 1
            if len(kept) < count:
                kept.append(row)
            elif (place := int(random.integers(read))) < count:
                kept[place] = row
    return kept
