"""Property models from a table to predictions: rows accounted for, the better representation kept, latents its own."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import Crippen

import molvae
from molvae.chem.smiles import parse
from molvae.errors import CheckpointError, InputError, MissingExtraError
from molvae.qsar.property_model import fit_property_model, latents_of, load_property_model

LOGP = {text: Crippen.MolLogP(parse(text)) for text in DRUGS.values()}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """logP of the drugs, one of them twice, and four rows that cannot be used."""
    path = tmp_path_factory.mktemp("data") / "logp.csv"
    rows = [{"smiles": text, "logP": value} for text, value in LOGP.items()]
    rows += [{"smiles": "OC(=O)c1ccccc1OC(C)=O", "logP": LOGP[DRUGS["aspirin"]] + 1}]
    rows += [{"smiles": "CCO", "logP": text} for text in ("", "high", "inf")] + [{"smiles": "C1CC", "logP": 1}]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fitted(table, tiny_model, few_trees):  # noqa: ARG001
    return fit_property_model(table, "logP", split="random", folds=3, model=tiny_model, device="cpu")


def test_every_row_is_accounted_for(fitted, tiny):
    unreadable = sum(bool(error) for error in latents_of(tiny, list(DRUGS.values()))[1])
    kept = len(DRUGS) - unreadable
    assert (
        fitted.card["Data"]["rows"]
        == f"{kept + 1 + 4 + unreadable} read: {kept} accepted, 1 duplicate, {4 + unreadable} invalid"
    )
    assert fitted.card["Data"]["file"] == "logp.csv"


@pytest.mark.usefixtures("few_trees")
def test_rows_that_cannot_be_used_are_named(table, tiny_model):
    told = []
    fit_property_model(table, "logP", split="random", folds=3, model=tiny_model, device="cpu", progress=told.append)
    assert any(line.startswith(f"{table}, line ") and "cannot read SMILES" in line for line in told)


def test_both_representations_are_reported_and_the_best_is_kept(fitted):
    (figures,) = (value for key, value in fitted.card.items() if key.startswith("Held-out figures (3 folds"))
    assert sum("latents" in name for name in figures) == 3
    assert sum("fingerprints" in name for name in figures) == 2
    r2 = {name: float(text.split()[1]) for name, text in figures.items()}
    assert fitted.card["Chosen"] == max(r2, key=lambda name: r2[name])
    assert set(fitted.card["Best of each representation"]) == {"latent", "fingerprint"}


def test_predictions_learn_something_and_keep_their_places(fitted):
    frame = fitted.predict(["C1CC", *LOGP, ""])
    assert list(frame.columns) == ["smiles", "prediction", "uncertainty", "error"]
    assert frame["error"].iloc[0].startswith("cannot read SMILES 'C1CC'")
    assert np.isnan(frame["prediction"].iloc[[0, -1]]).all()
    good = frame.iloc[1:-1][frame["error"].iloc[1:-1] == ""]
    assert np.corrcoef(good["prediction"], [LOGP[text] for text in good["smiles"]])[0, 1] > 0.7
    assert (good["uncertainty"] > 0).all()
    assert fitted.predict([]).shape == (0, 4)
    assert fitted.predict("CCO").shape == (1, 4)
    assert fitted.predict(pd.Series(["CCO", "C1CC"], index=[5, 3])).index.tolist() == [5, 3]


def test_stored_and_loaded_it_predicts_the_same(fitted, tmp_path):
    path = fitted.save(tmp_path / "logp.molvae-property")
    again = molvae.load_property_model(path, device="cpu")
    pd.testing.assert_frame_equal(again.predict(list(LOGP)), fitted.predict(list(LOGP)))
    assert (path / "card.md").read_text().startswith("# logP, a regression")


def test_another_molecule_of_the_same_kind_has_the_same_prediction(fitted):
    other = Chem.MolToSmiles(parse(DRUGS["warfarin"]), doRandom=True, canonical=False)
    a, b = fitted.predict([DRUGS["warfarin"], other])["prediction"]
    assert a == pytest.approx(b, rel=1e-5)


@pytest.fixture
def on_latents(fitted, tiny, tmp_path):
    """A model that reads latents, whatever was chosen."""
    from dataclasses import replace

    from molvae.qsar.candidates import Candidate
    from molvae.qsar.estimators import Ridge
    from molvae.qsar.fitted_model import Encoder
    from molvae.qsar.property_model import PropertyModel, weights_sha256

    def make(folder):
        z, errors = latents_of(tiny, list(LOGP))
        y = np.array([v for v, error in zip(LOGP.values(), errors, strict=True) if not error])
        encoder = Encoder("tiny", str(folder), weights_sha256(folder))
        ridge = replace(
            fitted.fitted_model, candidate=Candidate("latent", "ridge"), estimator=Ridge.fit(z, y, 0), encoder=encoder
        )
        return PropertyModel(ridge, tiny).save(tmp_path / "latent.molvae-property")

    return make


def test_it_finds_its_encoder_where_it_is_now_and_accepts_no_other(on_latents, tiny_model, tmp_path):
    home = shutil.copytree(tiny_model, tmp_path / "home")
    path = on_latents(home)
    expected = load_property_model(path, device="cpu").predict("CCO")
    moved = home.rename(tmp_path / "moved")
    with pytest.raises(CheckpointError):
        load_property_model(path, device="cpu")
    pd.testing.assert_frame_equal(load_property_model(path, device="cpu", encoder=moved).predict("CCO"), expected)
    config = json.loads((moved / "config.json").read_text())
    config["sha256"]["weights.safetensors"] = "0" * 64
    (moved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="is another model"):
        load_property_model(path, device="cpu", encoder=moved)


@pytest.mark.usefixtures("few_trees")
def test_labels(tmp_path, tiny_model):
    path = tmp_path / "active.csv"
    label = {text: "active" if value > 2.5 else "inactive" for text, value in LOGP.items()}
    pd.DataFrame({"smiles": list(label), "activity": list(label.values())}).to_csv(path, index=False)
    model = fit_property_model(path, "activity", split="random", folds=3, model=tiny_model, device="cpu")
    assert model.fitted_model.task == "classification"
    frame = model.predict(list(label)).query("error == ''")
    assert frame["prediction"].between(0, 1).all()
    active = np.array([label[text] == "active" for text in frame["smiles"]])
    assert frame["prediction"][active].mean() > frame["prediction"][~active].mean() + 0.2


def _rejected(path, message, tiny_model, target="y", **options):
    with pytest.raises(InputError, match=message):
        fit_property_model(path, target, model=tiny_model, device="cpu", **options)


def test_data_that_cannot_be_used_is_an_error_that_says_why(tmp_path, tiny_model):
    path = tmp_path / "d.csv"
    path.write_text("smiles,y\nCCO,1.5\nCCN,1.5\n")
    _rejected(path, "nothing to learn", tiny_model)
    _rejected(path, "no column 'z'", tiny_model, target="z")
    _rejected(path, "split is random or scaffold", tiny_model, split="time")
    _rejected(path, "the task is", tiny_model, task="guess")
    _rejected(path, "2 folds or more", tiny_model, folds=1)
    _rejected(path, "is no label", tiny_model, task="classification")
    path.write_text("smiles,y\nC1CC,1.5\n")
    _rejected(path, "no usable row: .*line 2: cannot read SMILES 'C1CC'", tiny_model)
    path.write_text("smiles,y\nCCO,1.5\nCCN,2.5\n")
    _rejected(path, "5 folds need 5 molecules", tiny_model, split="random")


def test_without_scikit_learn_it_says_which_extra(table, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"molvae\[fit\]"):
        fit_property_model(table, "logP")
