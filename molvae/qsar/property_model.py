"""Models of measured properties: fitted to a table of molecules, stored, and asked about new molecules."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem

from molvae.checkpoint import CONFIG_FILE, SHIPPED_MODELS, WEIGHTS_FILE, card_text, find_model
from molvae.chem.fingerprints import morgan_counts
from molvae.chem.smiles import parse, silence_rdkit
from molvae.data.rows import MAX_INVALID_ROWS_SHOWN, as_smiles_iterable, with_index_of
from molvae.errors import CheckpointError, InputError, MoleculeError, import_extra
from molvae.generator import Generator
from molvae.qsar import fitted_model as storage
from molvae.qsar.candidates import TASKS
from molvae.qsar.fitted_model import Encoder, FittedModel
from molvae.qsar.fitting import Progress, Trial, card_of, compared, fitted
from molvae.qsar.measurements import Measurements

Floats = NDArray[np.float64]


class PropertyModel:
    """Predicts one measured property: `predict` for SMILES, `predict_mols` or `predict_latents` for those who have more.

    `fitted_model` is what was learned, `card` what it scored; `generator` makes the latents of a model that reads latents.
    """

    def __init__(self, fitted_model: FittedModel, generator: Generator | None = None) -> None:
        self.fitted_model = fitted_model
        self.generator = generator

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto", encoder: str | Path | None = None) -> Self:
        """From a folder that `save` wrote; loading runs no code.

        `encoder` says where the model that makes its latents is now, if that was moved. Raises `CheckpointError`.
        """
        fitted = storage.load(Path(path))
        if fitted.encoder is None:
            return cls(fitted)
        place = find_model(encoder or fitted.encoder.place)
        if weights_sha256(place) != fitted.encoder.sha256:
            raise CheckpointError(f"{path} reads the latents of {fitted.encoder.name!r}, and {place} is another model")
        return cls(fitted, Generator.load(place, device))

    def save(self, path: str | Path) -> Path:
        """Write a folder, which appears whole or not at all, in place of an older one."""
        title = f"{self.target}, a {self.fitted_model.task}"
        storage.save(self.fitted_model, card_text(title, self.card), Path(path))
        return Path(path)

    @property
    def target(self) -> str:
        return self.fitted_model.target

    @property
    def card(self) -> dict[str, Any]:
        return self.fitted_model.card

    @property
    def uses_latents(self) -> bool:
        """Whether it needs latents; otherwise it needs fingerprints and no network."""
        return self.fitted_model.encoder is not None

    def predict(self, smiles: str | Iterable[str]) -> pd.DataFrame:
        """One row out per row in: smiles, prediction, uncertainty (one standard deviation), error.

        Prediction is in the unit of the target or, of a classification, the probability of the label 1. Rows with an
        error have NaN. A pandas column is answered under its own index.
        """
        texts = list(as_smiles_iterable(smiles))
        frame = pd.DataFrame({"smiles": texts, "prediction": np.nan, "uncertainty": np.nan, "error": ""})
        features, errors = self._features(texts)
        good = np.array([not error for error in errors], dtype=bool)
        frame["error"] = np.array(errors, dtype=object)
        if good.any():
            frame.loc[good, "prediction"], frame.loc[good, "uncertainty"] = self.fitted_model.predict(features)
        return with_index_of(frame, smiles)

    def __call__(self, smiles: Sequence[str]) -> Floats:
        """The predictions alone, (N,): what `scores` of `analogs` and `score` take."""
        return self.predict(smiles)["prediction"].to_numpy(dtype=np.float64)

    def predict_mols(self, mols: Sequence[Chem.Mol]) -> Floats:
        """Predictions (N,) of a model that reads fingerprints."""
        return self.fitted_model.predict(morgan_counts(mols))[0]

    def predict_latents(self, latents: NDArray[np.float32]) -> Floats:
        """Predictions (N,) of a model that reads latents, (N, D) from its own encoder."""
        return self.fitted_model.predict(latents)[0]

    def _features(self, texts: Sequence[str]) -> tuple[NDArray[Any], list[str]]:
        """Features of those that have any, and for every text what is wrong with it, or nothing."""
        if self.generator is None:
            mols, errors = _parsed(texts)
            return morgan_counts(mols), errors
        return latents_of(self.generator, texts)


def load_property_model(path: str | Path, *, device: str = "auto", encoder: str | Path | None = None) -> PropertyModel:
    """A model that `fit_property_model` or `molvae fit` has stored; see `PropertyModel.load`."""
    return PropertyModel.load(path, device=device, encoder=encoder)


def fit_property_model(
    data: str | Path,
    target: str,
    *,
    column: str | None = None,
    task: str = "auto",
    split: str = "scaffold",
    folds: int = 5,
    random_state: int = 0,
    model: str | Path = "druglike",
    device: str = "auto",
    progress: Progress | None = None,
) -> PropertyModel:
    """Fit models of the column `target` of a table to latents and to fingerprints, and keep what predicts better.

    `task` is regression or classification (of labels 0 and 1, no and yes, inactive and active); auto classifies where
    all values are such labels. Held-out molecules, by scaffold or at random, decide; the card reports every candidate.
    Molecules that occur twice are used once, with the mean of their values. `model` makes the latents. Raises
    `InputError` for data that cannot be used, `MissingExtraError` without scikit-learn.
    """
    import_extra("sklearn", "fit")  # raise before any work is done
    trial = Trial(split, folds, random_state)
    if task not in ("auto", *TASKS):
        raise InputError(f"the task is auto, {' or '.join(TASKS)}, got {task!r}")
    place = find_model(model)
    generator = Generator.load(place, device)
    table = Measurements.read(data, target, column, task, partial(latents_of, generator))
    if progress:
        for invalid_row in table.invalid_rows[:MAX_INVALID_ROWS_SHOWN]:
            progress(str(invalid_row))
    counts = morgan_counts([parse(text) for text in table.smiles])
    features: dict[str, NDArray[Any]] = {"latent": table.latents, "fingerprint": counts}
    trials = compared(features, table.values, table.smiles, table.task, trial, progress)
    encoder = Encoder(generator.checkpoint.name, _place(model, place), weights_sha256(place))
    x = features[trials[0].candidate.representation]
    chosen = fitted(trials[0], x, table.values, target, table.task, encoder, random_state)
    card = {"Data": table.summary(Path(data).name), **card_of(trials, table.values, table.task, trial)}
    card["Encoder of the latents"] = f"{encoder.name}, weights sha256 {encoder.sha256[:16]}"
    return PropertyModel(replace(chosen, card=card), generator if chosen.encoder else None)


def latents_of(generator: Generator, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[str]]:
    """Latents (K, D) of those that the model can read, and for every text what is wrong with it, or nothing."""
    frame = generator.encode(texts)
    errors = [str(error) for error in frame["error"]]
    good = np.array([not error for error in errors], dtype=bool)
    latents: NDArray[np.float32] = frame.filter(regex=r"^z\d+$").to_numpy(np.float32)[good]
    return latents, errors


def _parsed(texts: Sequence[str]) -> tuple[list[Chem.Mol], list[str]]:
    """The molecules that can be read, and for every text what is wrong with it, or nothing."""
    mols, errors = [], []
    with silence_rdkit():
        for text in texts:
            try:
                mols.append(parse(text))
                errors.append("")
            except MoleculeError as error:
                errors.append(str(error))
    return mols, errors


def _place(model: str | Path, place: Path) -> str:
    """What finds the model again: the name of a shipped one, else where it lies."""
    return str(model) if place.parent == SHIPPED_MODELS else str(place.resolve())


def weights_sha256(folder: Path) -> str:
    """What a model directory says of its weights, by which they are known again. Raises `CheckpointError`."""
    try:
        return str(json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))["sha256"][WEIGHTS_FILE])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} cannot be read ({error!r}): it is not a whole model") from None
