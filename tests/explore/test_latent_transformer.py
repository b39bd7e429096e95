"""A transformer that scikit-learn takes for one of its own."""

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
def latents(tiny_model):
    return LatentTransformer(model=str(tiny_model), device="cpu")


def test_latents_are_those_of_encode(tiny, latents):
    expected = tiny.encode(SMALL).iloc[:, 2:].to_numpy()
    for molecules in (list(SMALL), np.array(SMALL), pd.Series(SMALL), pd.DataFrame({"smiles": SMALL})):
        np.testing.assert_array_equal(latents.fit_transform(molecules), expected)
    assert latents.transform([]).shape == (0, 12)


def test_back_again(tiny, latents):
    z = latents.transform(SMALL)
    z[0] = np.nan
    expected = tiny.decode(z)["smiles"]
    assert list(latents.inverse_transform(z)) == list(expected)
    assert expected[0] == ""
    latents = clone(latents).set_params(inversion_steps=4)
    assert list(latents.inverse_transform(z)) == list(tiny.decode(z, inversion_steps=4)["smiles"])


def test_in_a_pipeline_with_cross_validation_and_a_search(latents):
    model = make_pipeline(latents, Ridge(0.01))
    assert model.fit(SMALL, LOGP).score(SMALL, LOGP) > 0.8
    assert cross_val_score(model, np.array(SMALL), LOGP, cv=3).shape == (3,)
    search = GridSearchCV(model, {"ridge__alpha": [0.1, 10], "latenttransformer__errors": ["raise", "nan"]}, cv=2)
    assert search.fit(np.array(SMALL), LOGP).best_params_["ridge__alpha"] in (0.1, 10)


def test_parameters_clones_and_pickles(latents):
    assert clone(latents).set_params(errors="nan").get_params() == {**latents.get_params(), "errors": "nan"}
    stored = pickle.dumps(latents.fit(SMALL))
    assert len(stored) < 1000  # the name of the model, not its weights
    np.testing.assert_array_equal(pickle.loads(stored).transform(SMALL), latents.transform(SMALL))


def test_named_columns(latents):
    table = clone(latents).set_output(transform="pandas").fit_transform(SMALL)
    assert list(table.columns) == [f"z{i}" for i in range(12)]


def test_bad_molecules(latents):
    with pytest.raises(MoleculeError, match=r"row 1 \(counted from 0\): .*ring 1 opened"):
        latents.transform(["CCO", "C1CC"])
    z = clone(latents).set_params(errors="nan").transform(["CCO", "C1CC", None])
    assert list(np.isnan(z).all(axis=1)) == [False, True, True]


def test_what_is_no_input_or_model(latents):
    with pytest.raises(InputError, match="not one of them"):
        latents.transform("CCO")
    with pytest.raises(InputError, match="one column of SMILES, got 2 x 2"):
        latents.transform([["CCO", "CCN"], ["C", "C"]])
    with pytest.raises(InputError, match="raise or nan, got 'ignore'"):
        LatentTransformer(errors="ignore").fit(SMALL)
    with pytest.raises(CheckpointError, match="no model 'nothing'"):
        LatentTransformer(model="nothing").fit(SMALL)
