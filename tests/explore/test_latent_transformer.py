"""LatentTransformer as part of scikit-learn."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from tiny_vae import SMALL

from molvae.chem.properties import compute_properties
from molvae.chem.smiles import parse
from molvae.errors import CheckpointError, InputError, MoleculeError
from molvae.explore import LatentTransformer

LOGP = compute_properties([parse(smiles) for smiles in SMALL], ["logp"])["logp"]


@pytest.fixture
def transformer(tiny_model):
    return LatentTransformer(model=str(tiny_model), device="cpu")


@pytest.mark.parametrize("container", [list, np.array, pd.Series, lambda smiles: pd.DataFrame({"smiles": smiles})])
def test_transform_returns_the_latents_of_encode(tiny, transformer, container):
    expected = tiny.encode(SMALL).filter(regex=r"^z\d+$").to_numpy()
    np.testing.assert_array_equal(transformer.fit_transform(container(list(SMALL))), expected)


def test_no_molecules_give_no_rows(transformer):
    assert transformer.transform([]).shape == (0, 12)


@pytest.mark.parametrize("inversion_steps", [0, 4])
def test_inverse_transform_decodes(tiny, transformer, inversion_steps):
    latents = transformer.transform(SMALL)
    latents[0] = np.nan
    expected = tiny.decode(latents, inversion_steps=inversion_steps)["smiles"]
    transformer = clone(transformer).set_params(inversion_steps=inversion_steps)
    assert list(transformer.inverse_transform(latents)) == list(expected)
    assert expected[0] == ""


def test_pipeline_cross_validation_and_grid_search(transformer):
    model = make_pipeline(transformer, Ridge(0.01))
    assert model.fit(SMALL, LOGP).score(SMALL, LOGP) > 0.8
    assert cross_val_score(model, np.array(SMALL), LOGP, cv=3).shape == (3,)
    grid = {"ridge__alpha": [0.1, 10], "latenttransformer__errors": ["raise", "nan"]}
    search = GridSearchCV(model, grid, cv=2).fit(np.array(SMALL), LOGP)
    assert search.best_params_["ridge__alpha"] in (0.1, 10)


def test_clone_keeps_parameters(transformer):
    assert clone(transformer).set_params(errors="nan").get_params() == {**transformer.get_params(), "errors": "nan"}


def test_pickle_stores_the_name_of_the_model_only(transformer):
    stored = pickle.dumps(transformer.fit(SMALL))
    assert len(stored) < 1000
    np.testing.assert_array_equal(pickle.loads(stored).transform(SMALL), transformer.transform(SMALL))


def test_feature_names(transformer):
    table = clone(transformer).set_output(transform="pandas").fit_transform(SMALL)
    assert list(table.columns) == [f"z{i}" for i in range(12)]


def test_invalid_molecules_raise_or_become_nan(transformer):
    with pytest.raises(MoleculeError, match=r"row 1 \(counted from 0\): .*ring 1 opened"):
        transformer.transform(["CCO", "C1CC"])
    latents = clone(transformer).set_params(errors="nan").transform(["CCO", "C1CC", None])
    assert list(np.isnan(latents).all(axis=1)) == [False, True, True]


def test_invalid_input_and_parameters_are_rejected(transformer):
    with pytest.raises(InputError, match="got 'CCO'"):
        transformer.transform("CCO")
    with pytest.raises(InputError, match=r"one column of SMILES, got an array of shape \(2, 2\)"):
        transformer.transform([["CCO", "CCN"], ["C", "C"]])
    with pytest.raises(InputError, match="raise or nan, got 'ignore'"):
        LatentTransformer(errors="ignore").fit(SMALL)
    with pytest.raises(CheckpointError, match="nothing"):
        LatentTransformer(model="nothing").fit(SMALL)
