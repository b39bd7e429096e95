"""Property models: fit to a table of measured molecules, predict new molecules, save and load."""

from __future__ import annotations

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
from molvae.chem.scoring_functions import ScoringFunction
from molvae.chem.smiles import parse, silence_rdkit, write
from molvae.chem.standardization import prepare
from molvae.data.arguments import as_smiles_iterable, with_index_of
from molvae.data.checked_arguments import checked_arguments
from molvae.data.json_files import from_json, read_object, reading
from molvae.data.rows import MAX_INVALID_ROWS_SHOWN
from molvae.errors import CheckpointError, InputError, MoleculeError, import_extra
from molvae.generator import Generator
from molvae.qsar import fitted_model as storage
from molvae.qsar.estimators import Floats
from molvae.qsar.fitted_model import TASKS, EncoderInfo, FittedModel
from molvae.qsar.measurements import Measurements
from molvae.qsar.model_selection import CrossValidation, Progress, build_card, compare_candidates, fit_best


class PropertyModel:
    """A model that predicts a measured property of molecules.

    It is also a scoring function: calling it with a list of SMILES returns the predictions, so that it can be passed
    as a score to `molvae.analogs`, `molvae.score`, `molvae.screen` and `molvae.explore.optimize`.

    Parameters
    ----------
    fitted_model : FittedModel
        The fitted estimator with its card.
    generator : Generator, optional
        Computes the latents, if the model uses latents.
    """

    def __init__(self, fitted_model: FittedModel, generator: Generator | None = None) -> None:
        self.fitted_model = fitted_model
        self.generator = generator

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto", encoder: str | Path | None = None) -> Self:
        """Load a model; see `load_property_model`."""
        fitted_model = storage.load(Path(path))
        if fitted_model.encoder is None:
            return cls(fitted_model)
        try:
            folder = find_model(encoder or fitted_model.encoder.path)
        except CheckpointError as error:
            raise CheckpointError(
                f"{Path(path) / storage.SETTINGS} needs the model {fitted_model.encoder.name!r} for latents: {error}; "
                "if it has moved, give its folder (encoder=)"
            ) from None
        if weights_sha256(folder) != fitted_model.encoder.sha256:
            raise CheckpointError(
                f"{path} needs the latents of the model {fitted_model.encoder.name!r}, "
                f"but those in {folder / WEIGHTS_FILE} have another sha256: "
                "give the encoder it was fitted with, or refit it"
            )
        generator = Generator.load(folder, device)
        with reading(Path(path) / storage.WEIGHTS, CheckpointError, "give the encoder it was fitted with, or refit it"):
            fitted_model.check_n_features(generator.checkpoint.config.latent_dim)
        return cls(fitted_model, generator)

    def save(self, path: str | Path) -> Path:
        """Write the model to a folder, atomically, and return its path. An existing model is replaced."""
        title = f"{self.target}, a {self.fitted_model.task}"
        storage.save(self.fitted_model, card_text(title, self.card), Path(path))
        return Path(path)

    @property
    def target(self) -> str:
        """Name of the property."""
        return self.fitted_model.target

    @property
    def card(self) -> dict[str, Any]:
        """Training data and validation."""
        return self.fitted_model.card

    @property
    def uses_latents(self) -> bool:
        """Whether the features are latents. Otherwise they are fingerprints, and no encoder is needed."""
        return self.fitted_model.encoder is not None

    def predict(
        self, smiles: str | Iterable[str], *, standardize: bool = False, keep_salts: bool = False
    ) -> pd.DataFrame:
        """Predict the property of molecules.

        Parameters
        ----------
        smiles : str or iterable of str
            One or more SMILES.
        standardize : bool
            Clean up functional groups and metals with RDKit's MolStandardize first.
        keep_salts : bool
            Keep salts and solvents; otherwise the property of the largest fragment is predicted.

        Returns
        -------
        DataFrame
            One row per input row, with the index of `smiles` if that is a pandas object. Columns: smiles; prediction,
            in the unit of the target, or the probability of label 1; uncertainty, one standard deviation; error, ""
            for a valid molecule; note, how the molecule differs from the input, such as "salt removed: Cl". Prediction
            and uncertainty are NaN in a row with an error.
        """
        texts = list(as_smiles_iterable(smiles))
        features, errors, notes = self._features(texts, standardize=standardize, keep_salts=keep_salts)
        valid = np.array([not error for error in errors], dtype=bool)
        table = pd.DataFrame({"smiles": pd.Series(texts, dtype=object), "prediction": np.nan, "uncertainty": np.nan})
        table["error"], table["note"] = np.array(errors, dtype=object), np.array(notes, dtype=object)
        if valid.any():
            table.loc[valid, "prediction"], table.loc[valid, "uncertainty"] = self.fitted_model.predict(features)
        return with_index_of(table, smiles)

    def __call__(self, smiles: Sequence[str]) -> Floats:
        """Predict the property of N SMILES: (N,), NaN for an invalid one."""
        return self.predict(smiles)["prediction"].to_numpy(dtype=np.float64)

    def as_scoring_function(self, name: str | None = None) -> PropertyModelFunction:
        """Return the model as a scoring function, named `name` or as its target."""
        return PropertyModelFunction(self, name)

    def predict_mols(self, mols: Sequence[Chem.Mol]) -> Floats:
        """Predict from N RDKit molecules, if the model uses fingerprints: (N,)."""
        return self.fitted_model.predict(morgan_counts(mols))[0]

    def predict_latents(self, latents: NDArray[np.float32]) -> Floats:
        """Predict from latents (N, D) of the encoder, if the model uses latents: (N,)."""
        return self.fitted_model.predict(latents)[0]

    def _features(
        self, texts: Sequence[str], *, standardize: bool, keep_salts: bool
    ) -> tuple[NDArray[Any], list[str], list[str]]:
        """Return the features of the valid SMILES, and for each SMILES its error and its note, "" for none."""
        if self.generator is None:
            mols, errors, notes = _parse_all(texts, standardize=standardize, keep_salts=keep_salts)
            return morgan_counts(mols), errors, notes
        table = self.generator.encode(texts, standardize=standardize, keep_salts=keep_salts)
        return _valid_latents(table), list(table["error"]), list(table["note"])


class PropertyModelFunction(ScoringFunction):
    """The predictions of a property model; in a table, also their uncertainty."""

    def __init__(self, model: PropertyModel, name: str | None = None) -> None:
        self.model, self.name = model, name or model.target

    @property
    def column_names(self) -> tuple[str, ...]:
        """The name, and that of the uncertainty."""
        return (self.name, f"{self.name}_uncertainty")

    def columns(self, smiles: Sequence[str]) -> dict[str, Floats]:
        """Return the predictions for SMILES and their uncertainty, one standard deviation: (N,) each."""
        table = self.model.predict(smiles)
        values = (table[name].to_numpy(dtype=np.float64) for name in ("prediction", "uncertainty"))
        return dict(zip(self.column_names, values, strict=True))

    def __call__(self, smiles: Sequence[str]) -> Floats:
        """Return the predictions for SMILES: (N,)."""
        return self.model(smiles)

    def score_molecules(self, mols: Sequence[Chem.Mol]) -> Floats:
        """Return the predictions for RDKit molecules: (N,)."""
        return self([write(mol) for mol in mols]) if self.model.uses_latents else self.model.predict_mols(mols)


@checked_arguments
def load_property_model(path: str | Path, *, device: str = "auto", encoder: str | Path | None = None) -> PropertyModel:
    """Load a model written by `PropertyModel.save` or `molvae fit`. No code of the model is executed.

    Parameters
    ----------
    path : str or Path
        Folder of the model.
    device : str
        Torch device of the encoder.
    encoder : str or Path, optional
        Name or folder of the model that computes the latents, if it has been moved.

    Raises
    ------
    CheckpointError
        If the folder is missing or damaged, or if the encoder is missing or has different weights.
    """
    return PropertyModel.load(path, device=device, encoder=encoder)


@checked_arguments
def fit_property_model(
    data: str | Path | pd.DataFrame,
    target: str,
    *,
    column: str | None = None,
    task: str = "auto",
    split: str = "scaffold",
    folds: int = 5,
    random_state: int = 0,
    model: str | Path = "druglike",
    device: str = "auto",
    standardize: bool = False,
    keep_salts: bool = False,
    progress: Progress | None = None,
) -> PropertyModel:
    """Fit a model of a measured property.

    Several estimators, on latents and on Morgan count fingerprints, are compared by cross-validation; the best is
    fitted to all molecules. The values of a repeated molecule are averaged; of labels, the most frequent one is used.

    Parameters
    ----------
    data : str, Path or DataFrame
        Table of molecules: a DataFrame, or a file such as .csv, .tsv, .sdf, .xlsx or .parquet.
    target : str
        Column of the values.
    column : str, optional
        Column of the SMILES; by default smiles, canonical_smiles, structure or mol.
    task : {"auto", "regression", "classification"}
        "auto" is a classification if the values are labels: 0 and 1, no and yes, false and true, inactive and active.
    split : {"scaffold", "random"}
        How molecules are held out. With "scaffold", molecules with the same scaffold are held out together, which
        measures the performance on new chemotypes.
    folds : int
        Number of folds of the cross-validation, at least 2.
    random_state : int
        Random number seed.
    model : str or Path
        Name or folder of the model that computes the latents.
    device : str
        Torch device of that model.
    standardize : bool
        Clean up functional groups and metals with RDKit's MolStandardize first.
    keep_salts : bool
        Keep salts and solvents, which few models can represent; otherwise the largest fragment is used.
    progress : callable, optional
        Called with messages about invalid and changed rows and the results of the candidates.

    Returns
    -------
    PropertyModel
        Its `card` reports the metrics of every candidate.

    Raises
    ------
    InputError
        For an invalid option, or data that cannot be used.
    MissingExtraError
        If scikit-learn is not installed.
    """
    import_extra("sklearn", "fit")  # raises an error if scikit-learn is missing, before any work is done
    settings = CrossValidation(split, folds, random_state)
    if task not in ("auto", *TASKS):
        raise InputError(f"task must be auto, {' or '.join(TASKS)}, got {task!r}")
    folder = find_model(model)
    generator = Generator.load(folder, device)
    encode = partial(encode_valid, generator, standardize=standardize, keep_salts=keep_salts)
    table = Measurements.read(data, target, column, task, encode, standardize=standardize, keep_salts=keep_salts)
    if progress:
        for row in [*table.invalid_rows[:MAX_INVALID_ROWS_SHOWN], *table.notes[:MAX_INVALID_ROWS_SHOWN]]:
            progress(str(row))
    counts = morgan_counts([parse(text) for text in table.smiles])
    features: dict[str, NDArray[Any]] = {"latent": table.latents, "fingerprint": counts}
    results = compare_candidates(features, table.values, table.smiles, table.task, settings, progress)
    encoder = EncoderInfo(generator.checkpoint.name, _stored_path(model, folder), weights_sha256(folder))
    x = features[results[0].candidate.representation]
    fitted = fit_best(results[0], x, table.values, target, table.task, encoder, random_state)
    card = {
        "Data": table.summary("a DataFrame" if isinstance(data, pd.DataFrame) else Path(data).name),
        **build_card(results, table.values, table.task, settings),
    }
    card["Encoder"] = f"{encoder.name}, weights sha256 {encoder.sha256[:16]}"
    return PropertyModel(replace(fitted, card=card), generator if fitted.encoder else None)


def encode_valid(
    generator: Generator, texts: Sequence[str], *, standardize: bool = False, keep_salts: bool = False
) -> tuple[NDArray[np.float32], list[str]]:
    """Return latents (K, D) of the valid SMILES, and an error message for each SMILES, "" if it is valid."""
    table = generator.encode(texts, standardize=standardize, keep_salts=keep_salts)
    return _valid_latents(table), [str(error) for error in table["error"]]


def _valid_latents(table: pd.DataFrame) -> NDArray[np.float32]:
    """Return the latents of the rows without an error: (K, D)."""
    latents: NDArray[np.float32] = table[table["error"] == ""].filter(regex=r"^z\d+$").to_numpy(np.float32)
    return latents


def _parse_all(
    texts: Sequence[str], *, standardize: bool, keep_salts: bool
) -> tuple[list[Chem.Mol], list[str], list[str]]:
    """Return the valid molecules, and for each SMILES its error and its note, "" for none."""
    mols, errors, notes = [], [], []
    with silence_rdkit():
        for text in texts:
            try:
                molecule = prepare(text, standardize=standardize, keep_salts=keep_salts, keep_isotopes=False)
                mols.append(molecule.mol)
                errors.append("")
                notes.append(molecule.note)
            except MoleculeError as error:
                errors.append(str(error))
                notes.append("")
    return mols, errors, notes


def _stored_path(model: str | Path, folder: Path) -> str:
    """Return the name of a shipped model, or an absolute path, by which the model can be found again."""
    return str(model) if folder.parent == SHIPPED_MODELS else str(folder.resolve())


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of the weights from the configuration of a model directory. Raises `CheckpointError`."""
    path = folder / CONFIG_FILE
    with reading(path, CheckpointError, f"{folder} is not a model directory"):
        digests = read_object(path).get("sha256")
        return from_json(dict[str, str], digests, "sha256").get(WEIGHTS_FILE, "")
