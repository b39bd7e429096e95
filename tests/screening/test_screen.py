"""`molvae.screen` from files to a table and a report."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from typer.testing import CliRunner

import molvae
from molvae.chem.smiles import canonical
from molvae.cli.app import app
from molvae.errors import InputError
from molvae.qsar.property_model import fit_property_model
from molvae.screening.scoring_functions import load_scoring_functions

SEEDS = [DRUGS["aspirin"], DRUGS["warfarin"]]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    names = list(DRUGS)
    (folder / "a.smi").write_text("".join(f"{DRUGS[n]} {n}\n" for n in names[:30]) + "C1CC invalid\n")
    pd.DataFrame({"smiles": [DRUGS[n] for n in names[25:]]}).to_csv(folder / "b.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def potency(tmp_path_factory, tiny_model, few_trees):  # noqa: ARG001
    """A property model of the length of the SMILES, which is easy to learn."""
    folder = tmp_path_factory.mktemp("potency")
    pd.DataFrame({"smiles": list(DRUGS.values()), "size/1": [len(t) / 10 for t in DRUGS.values()]}).to_csv(
        folder / "d.csv", index=False
    )
    model = fit_property_model(folder / "d.csv", "size/1", split="random", folds=3, model=tiny_model, device="cpu")
    return model.save(folder / "size.molvae-property")


def test_seed_comes_before_its_stereoisomers(tmp_path):
    alanines = ["CC(N)C(=O)O", "C[C@@H](N)C(=O)O", "C[C@H](N)C(=O)O"]
    (tmp_path / "a.smi").write_text("\n".join(alanines) + "\n")
    for alanine in alanines:
        table = molvae.screen(tmp_path / "a.smi", seeds=alanine, top=1, workers=0).table
        assert table["smiles"].tolist() == [alanine]


def test_a_string_is_one_filter(tmp_path):
    (tmp_path / "a.smi").write_text("CC(C)=O\nCOC\nCCN\n")

    def found(**options):
        return molvae.screen(tmp_path / "a.smi", seeds="CCO", workers=0, **options).table["smiles"].tolist()

    assert found(include_smarts="CO") == found(include_smarts=["CO"]) == ["COC"]
    assert found(core="*OC") == ["COC"]
    assert sorted(found(exclude_smarts="CN")) == sorted(found(exclude_smarts=["CN"])) == ["CC(C)=O", "COC"]
    assert sorted(found(filters="mw>46")) == ["CC(C)=O", "COC"]


@pytest.mark.parametrize("rank_by", ["tanimoto", "latent", "tanimoto - 0.001*mw"])
def test_salts_are_stripped_unless_they_are_kept(tmp_path, tiny_model, rank_by):
    """In seeds and library, with and without latents; each changed row is told and counted."""
    (tmp_path / "a.smi").write_text("CC(=O)[O-].[Na+]\nCC(=O)[O-]\nCCN.Cl\nCCC(N)=O\nC1CC\n")
    options = {"rank_by": rank_by, "workers": 0, "model": tiny_model, "device": "cpu"}
    notes = []
    result = molvae.screen(
        tmp_path / "a.smi", seeds="CC(=O)[O-].[K+]", on_part=lambda part: notes.extend(map(str, part.notes)), **options
    )
    table = result.table
    assert [note.split(", ")[1] for note in notes] == ["line 1: salt removed: [Na+]", "line 3: salt removed: Cl"]
    assert (result.counts.noted, result.counts.scored, result.counts.invalid) == (2, 4, 1)
    assert sorted(table["smiles"]) == ["CC(=O)[O-]", "CCC(N)=O", "CCN"]
    first = table.iloc[0]
    assert (first["smiles"], first["tanimoto"], first["n_occurrences"]) == ("CC(=O)[O-]", 1, 2)
    assert first["nearest_seed"] == "CC(=O)[O-]"
    filtered = {"filters": "mw<50", **options}
    assert molvae.screen(tmp_path / "a.smi", seeds="CCO", **filtered).table["smiles"].tolist() == ["CCN"]
    if rank_by != "latent":
        kept = molvae.screen(tmp_path / "a.smi", seeds="CC(=O)[O-].[K+]", keep_salts=True, **options).table
        assert "CCN.Cl" in set(kept["smiles"])
        assert kept["tanimoto"].max() < 1


def test_info_shows_property_models(potency):
    text = CliRunner().invoke(app, ["info", str(potency)]).stdout
    assert text.startswith("target: size/1\ntask: regression\n")
    assert "Held-out metrics" in text
    assert json.loads(CliRunner().invoke(app, ["info", str(potency), "--json"]).stdout)["target"] == "size/1"


def test_folder_of_files(library):
    result = molvae.screen(library, seeds=SEEDS, top=8, workers=0)
    table = result.table
    assert list(table.columns) == [
        "smiles", "name", "score", "tanimoto", "nearest_seed", "qed", "sa", "logp", "mw", "n_occurrences", "source",
        "row",
    ]  # fmt: skip
    assert list(table["smiles"][:2]) == sorted(map(canonical, SEEDS))  # both have similarity 1
    assert (table["score"] == table["tanimoto"]).all()
    assert set(table["nearest_seed"]) <= set(map(canonical, SEEDS))
    assert result.counts.read == len(DRUGS) + 5 + 1
    assert result.counts.invalid == 1
    pd.testing.assert_frame_equal(molvae.screen(library, seeds=SEEDS, top=8, workers=2).table, table)


def test_every_kind_of_score_can_rank(library, tmp_path, tiny_model, potency):
    (tmp_path / "rules.py").write_text("def ring_count(mol):\n    return mol.GetRingInfo().NumRings()\n")
    rules = f"{tmp_path / 'rules.py'}:ring_count"
    options = {"seeds": SEEDS, "top": 5, "workers": 0, "model": tiny_model, "device": "cpu"}
    by_rings = molvae.screen(library, scores=[rules], **options).table
    assert list(by_rings["ring_count"]) == sorted(by_rings["ring_count"], reverse=True)
    assert by_rings["ring_count"].iloc[0] == 5
    by_model = molvae.screen(library, scores=[potency, rules], **options).table
    assert {"size/1", "size/1_uncertainty", "ring_count"} <= set(by_model.columns)
    np.testing.assert_allclose(by_model["score"], by_model["size/1"], rtol=1e-4)
    by_sum = molvae.screen(library, rank_by="tanimoto + 0.1*ring_count - qed", scores=[rules], **options).table
    np.testing.assert_allclose(
        by_sum["score"], by_sum["tanimoto"] + 0.1 * by_sum["ring_count"] - by_sum["qed"], rtol=1e-6
    )
    by_latent = molvae.screen(library, rank_by="latent", **options).table
    np.testing.assert_allclose(by_latent["score"], by_latent["latent"], atol=1e-5)
    assert by_latent["latent"].iloc[0] == pytest.approx(1, abs=1e-5)


def test_filters_on_scores(library, tmp_path, tiny_model, potency):
    """Filters on the ranking score, on other scores, and on scores that no other option uses."""
    (tmp_path / "mine.py").write_text("def cycles(mol):\n    return mol.GetRingInfo().NumRings()\n")
    options = {"seeds": SEEDS, "workers": 0, "scores": [potency, f"{tmp_path / 'mine.py'}:cycles"], "device": "cpu"}
    options["model"] = tiny_model
    unfiltered = molvae.screen(library, rank_by="tanimoto", **options).table
    filters = ["size_1>2.5", "cycles 1:3", "tanimoto<0.5", "latent<0.9", "mw<400"]
    result = molvae.screen(library, rank_by="tanimoto", filters=filters, **options)
    latent = molvae.screen(library, rank_by="latent", **options).table.set_index("smiles")["latent"]
    latents = unfiltered["smiles"].map(latent)
    rows = (unfiltered["size/1"] > 2.5) & unfiltered["cycles"].between(1, 3) & (unfiltered["tanimoto"] < 0.5)
    expected = unfiltered[rows & (latents < 0.9) & (unfiltered["mw"] < 400)]
    assert 0 < len(expected) < len(unfiltered)
    assert result.table["smiles"].tolist() == expected["smiles"].tolist()
    np.testing.assert_allclose(result.table["latent"], latents[expected.index], atol=1e-5)
    assert "tpsa" in molvae.screen(library, rank_by="qed", filters="tpsa<90", workers=0).table.columns
    assert result.counts.scored == result.table["n_occurrences"].sum()
    assert result.counts.read == len(DRUGS) + 6


def test_network_is_not_loaded_unless_needed(library):
    assert len(molvae.screen(library, seeds=SEEDS, top=3, workers=0, model="no such model").table) == 3
    assert len(molvae.screen(library, rank_by="-mw", top=3, workers=0, model="no such model").table) == 3


def test_invalid_options(library, tiny_model):
    for message, options in {
        "needs at least one seed": {},
        "latent needs at least one seed": {"rank_by": "latent"},
        "did you mean 'tanimoto'": {"rank_by": "tanimot", "seeds": SEEDS},
        "cannot read SMILES 'C1CC'": {"seeds": "C1CC"},
        "top must be at least 1": {"seeds": SEEDS, "top": 0},
        "cannot read SMARTS": {"seeds": SEEDS, "include_smarts": ["c1cc"]},
        "cannot read the filter": {"seeds": SEEDS, "filters": ["light"]},
    }.items():
        with pytest.raises(InputError, match=message):
            molvae.screen(library, model=tiny_model, device="cpu", **options)
    with pytest.raises(InputError, match="a cluster can screen only files"):
        molvae.screen([[]], seeds=SEEDS, ray="local")


def test_filters_on_unknown_scores_are_errors(library):
    with pytest.raises(InputError, match="latent needs at least one seed"):
        molvae.screen(library, rank_by="qed", filters="latent>0.5")
    with pytest.raises(InputError, match="did you mean"):
        molvae.screen(library, rank_by="qed", filters="tanimto>0.5")


def test_no_molecule_passes(library, tmp_path):
    result = molvae.screen(library, seeds=SEEDS, filters=["mw<1"], workers=0)
    assert len(result.table) == 0
    assert result.counts.filtered == result.counts.read - 1
    result.write_report(tmp_path / "empty.html")


def test_report_has_structures_and_a_map(library, tmp_path):
    molvae.screen(library, seeds=SEEDS, top=8, workers=0).write_report(tmp_path / "s.html", "a <library>")
    page = (tmp_path / "s.html").read_text()
    assert page.count("<circle") == 8
    assert page.count("<title>seed ") == 2
    assert page.count("<svg") > 8  # structures and plots
    assert "a &lt;library&gt;" in page


def test_scores_rank_analogs(tiny, potency, tmp_path):
    (tmp_path / "rules.py").write_text(
        "def carbons(mol):\n    return sum(a.GetSymbol() == 'C' for a in mol.GetAtoms())\n"
    )
    scores = load_scoring_functions([str(potency), f"{tmp_path / 'rules.py'}:carbons"], "cpu")
    table = tiny.analogs("CCO", 6, noise_level=0.8, rank_by="carbons - 0.1*size_1", scores=scores)
    assert {"carbons", "size/1", "rank"} <= set(table.columns)
    np.testing.assert_allclose(table["rank"], table["carbons"] - 0.1 * table["size/1"])
    assert list(table["rank"]) == sorted(table["rank"], reverse=True)


def test_a_dash_among_smiles_is_an_invalid_row():
    result = molvae.screen(["CCO", "-", "CC"], rank_by="mw", workers=0)
    assert (result.counts.scored, result.counts.invalid) == (2, 1)
