"""Property models: fitting, prediction, saving and loading."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import Crippen

import molvae
from molvae.chem.smiles import parse
from molvae.errors import CheckpointError, InputError, MissingExtraError
from molvae.qsar.estimators import BayesianRidge
from molvae.qsar.fitted_model import Candidate, EncoderInfo
from molvae.qsar.property_model import (
    PropertyModel,
    encode_valid,
    fit_property_model,
    load_property_model,
    weights_sha256,
)

LOGP = {text: Crippen.MolLogP(parse(text)) for text in DRUGS.values()}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of the logP of drugs, one of them twice, with four invalid rows."""
    path = tmp_path_factory.mktemp("data") / "logp.csv"
    rows = [{"smiles": text, "logP": value} for text, value in LOGP.items()]
    rows += [{"smiles": "OC(=O)c1ccccc1OC(C)=O", "logP": LOGP[DRUGS["aspirin"]] + 1}]
    rows += [{"smiles": "CCO", "logP": text} for text in ("", "high", "inf")] + [{"smiles": "C1CC", "logP": 1}]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fitted(table, tiny_model, few_trees):  # noqa: ARG001
    return fit_property_model(table, "logP", split="random", folds=3, model=tiny_model, device="cpu")


def test_row_counts(fitted, tiny):
    n_unreadable = sum(bool(error) for error in encode_valid(tiny, list(DRUGS.values()))[1])
    accepted = len(DRUGS) - n_unreadable
    assert (
        fitted.card["Data"]["rows"]
        == f"{accepted + 1 + 4 + n_unreadable} read: {accepted} accepted, 1 duplicate, {4 + n_unreadable} invalid"
    )
    assert fitted.card["Data"]["file"] == "logp.csv"


@pytest.mark.usefixtures("few_trees")
def test_invalid_rows_are_reported(table, tiny_model):
    messages = []
    fit_property_model(table, "logP", split="random", folds=3, model=tiny_model, device="cpu", progress=messages.append)
    assert any(line.startswith(f"{table}, line ") and "cannot read SMILES" in line for line in messages)


def test_best_candidate_is_selected(fitted):
    (metrics,) = (value for key, value in fitted.card.items() if key.startswith("Held-out metrics (3 folds"))
    assert sum("latents" in name for name in metrics) == 3
    assert sum("fingerprints" in name for name in metrics) == 2
    r2 = {name: float(text.split()[1]) for name, text in metrics.items()}
    assert fitted.card["Selected model"] == max(r2, key=lambda name: r2[name])
    assert set(fitted.card["Best model per representation"]) == {"latent", "fingerprint"}


def test_predict_table(fitted):
    frame = fitted.predict(["C1CC", *LOGP, ""])
    assert list(frame.columns) == ["smiles", "prediction", "uncertainty", "error", "note"]
    assert frame["error"].iloc[0].startswith("cannot read SMILES 'C1CC'")
    assert np.isnan(frame["prediction"].iloc[[0, -1]]).all()
    valid = frame.iloc[1:-1][frame["error"].iloc[1:-1] == ""]
    assert np.corrcoef(valid["prediction"], [LOGP[text] for text in valid["smiles"]])[0, 1] > 0.7
    assert (valid["uncertainty"] > 0).all()
    assert fitted.predict([]).shape == (0, 5)
    assert fitted.predict("CCO").shape == (1, 5)
    assert fitted.predict(pd.Series(["CCO", "C1CC"], index=[5, 3])).index.tolist() == [5, 3]


@pytest.mark.parametrize("uses_latents", [False, True])
def test_predict_notes(fitted, save_latent_model, tiny_model, uses_latents):
    """The salt is predicted as its largest fragment, and the table says so; `keep_salts` predicts it as it is."""
    model = molvae.load_property_model(save_latent_model(tiny_model), device="cpu") if uses_latents else fitted
    frame = model.predict(["CCO", "CCN.Cl", "CCN", "C1CC"])
    assert frame["note"].tolist() == ["", "salt removed: Cl", "", ""]
    assert frame["prediction"][1] == pytest.approx(frame["prediction"][2], rel=1e-5)
    assert model.predict("CCN.Cl", keep_salts=True)["note"].tolist() == [""]


def test_save_and_load(fitted, tmp_path):
    path = fitted.save(tmp_path / "logp.molvae-property")
    loaded = molvae.load_property_model(path, device="cpu")
    pd.testing.assert_frame_equal(loaded.predict(list(LOGP)), fitted.predict(list(LOGP)))
    assert (path / "card.md").read_text().startswith("# logP, a regression")


def test_prediction_does_not_depend_on_smiles_form(fitted):
    other = Chem.MolToSmiles(parse(DRUGS["warfarin"]), doRandom=True, canonical=False)
    a, b = fitted.predict([DRUGS["warfarin"], other])["prediction"]
    assert a == pytest.approx(b, rel=1e-5)


@pytest.fixture
def save_latent_model(fitted, tiny, tmp_path):
    """A function that saves a model that uses latents."""

    def make(folder):
        z, errors = encode_valid(tiny, list(LOGP))
        y = np.array([v for v, error in zip(LOGP.values(), errors, strict=True) if not error])
        encoder = EncoderInfo("tiny", str(folder), weights_sha256(folder))
        ridge = replace(
            fitted.fitted_model,
            candidate=Candidate("latent", "bayesian_ridge"),
            estimator=BayesianRidge.fit(z, y, 0),
            encoder=encoder,
        )
        return PropertyModel(ridge, tiny).save(tmp_path / "latent.molvae-property")

    return make


def test_encoder_can_be_moved_but_not_replaced(save_latent_model, tiny_model, tmp_path):
    original = shutil.copytree(tiny_model, tmp_path / "original")
    path = save_latent_model(original)
    expected = load_property_model(path, device="cpu").predict("CCO")
    moved = original.rename(tmp_path / "moved")
    with pytest.raises(CheckpointError):
        load_property_model(path, device="cpu")
    pd.testing.assert_frame_equal(load_property_model(path, device="cpu", encoder=moved).predict("CCO"), expected)
    config = json.loads((moved / "config.json").read_text())
    config["sha256"]["weights.safetensors"] = "0" * 64
    (moved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"weights\.safetensors have another sha256"):
        load_property_model(path, device="cpu", encoder=moved)


@pytest.mark.usefixtures("few_trees")
def test_classification(tmp_path, tiny_model):
    path = tmp_path / "active.csv"
    label = {text: "active" if value > 2.5 else "inactive" for text, value in LOGP.items()}
    pd.DataFrame({"smiles": list(label), "activity": list(label.values())}).to_csv(path, index=False)
    model = fit_property_model(path, "activity", split="random", folds=2, model=tiny_model, device="cpu")
    assert model.fitted_model.task == "classification"
    frame = model.predict(list(label)).query("error == ''")
    assert frame["prediction"].between(0, 1).all()
    active = np.array([label[text] == "active" for text in frame["smiles"]])
    assert frame["prediction"][active].mean() > frame["prediction"][~active].mean() + 0.2


def assert_rejected(path, message, tiny_model, target="y", **options):
    with pytest.raises(InputError, match=message):
        fit_property_model(path, target, model=tiny_model, device="cpu", **options)


def test_invalid_data_and_options_raise(tmp_path, tiny_model):
    path = tmp_path / "d.csv"
    path.write_text("smiles,y\nCCO,1.5\nCCN,1.5\n")
    assert_rejected(path, "nothing to learn", tiny_model)
    assert_rejected(path, "no column 'z'", tiny_model, target="z")
    assert_rejected(path, "split must be random or scaffold", tiny_model, split="time")
    assert_rejected(path, "task must be", tiny_model, task="guess")
    assert_rejected(path, "folds must be at least 2", tiny_model, folds=1)
    assert_rejected(path, "is not a label", tiny_model, task="classification")
    path.write_text("smiles,y\nC1CC,1.5\n")
    assert_rejected(path, "no usable row: .*line 2: cannot read SMILES 'C1CC'", tiny_model)
    path.write_text("smiles,y\nCCO,1.5\nCCN,2.5\n")
    assert_rejected(path, "5 folds need at least 5 molecules", tiny_model, split="random")


def test_missing_scikit_learn_names_the_extra(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"molvae\[fit\]"):
        fit_property_model(table, "logP")
