"""Latent traversal: the grid, its directions, and the molecules on it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import Crippen
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from tiny_vae import SMALL

from molvae import load
from molvae.errors import InputError, MoleculeError
from molvae.explore import latent_points
from molvae.explore.latent_points import EncodedMolecules
from molvae.explore.traversal import Direction, _directions, _grid_table, draw_traversal, traverse
from molvae.generator import Generator
from molvae.nn.likelihood_reference import PERCENTILES, LikelihoodReference

pytestmark = pytest.mark.filterwarnings("ignore")


def logp(smiles):
    return Crippen.MolLogP(Chem.MolFromSmiles(smiles))


def center_of(table):
    return table[(table["x"] == 0) & (table["y"] == 0)]["smiles"].tolist()


def test_grid_runs_from_top_left_to_bottom_right(tiny):
    table = traverse(tiny, "CCCCO", axes=(3, 1), steps=5, span=2)
    assert list(table.columns) == ["x", "y", "smiles", "similarity", "log_likelihood"]
    assert list(table["x"][:5]) == [-2, -1, 0, 1, 2]
    assert list(table["y"][::5]) == [2, 1, 0, -1, -2]
    assert table.attrs["axes"] == ("z3", "z1")
    assert table.attrs["statistics"]["points"] == 25
    assert table.attrs["statistics"]["valid"] == (table["smiles"] != "").sum()
    center = table[(table["x"] == 0) & (table["y"] == 0)].iloc[0]
    assert (center["smiles"], center["similarity"]) == ("CCCCO", 1)


def test_axes_are_latent_dimensions(tiny):
    latent = tiny.encode("CCCCO").filter(regex=r"^z\d+$").to_numpy(float)[0]
    row = np.stack([latent + shift * np.eye(12)[3] for shift in (-2, 0, 2)])
    table = traverse(tiny, "CCCCO", axes=(3, 1), steps=3, span=2)
    assert list(table["smiles"][3:6]) == list(tiny.decode(row, inversion_steps=4)["smiles"])


@pytest.mark.parametrize("span", [0.9, 3.1, 7.2])
def test_odd_grid_has_an_exact_center(tiny, span):
    assert np.linspace(-span, span, 7)[3] != 0  # rounding that traverse corrects
    assert center_of(traverse(tiny, "CCCCO", steps=7, span=span)) == ["CCCCO"]


def test_one_step_gives_the_seed(tiny):
    assert list(traverse(tiny, "OCCCC", steps=1)["smiles"]) == ["CCCCO"]


def test_latent_inversion_does_not_change_the_center(tiny, monkeypatch):
    """The optimized latent of the seed may lie closer to another molecule's latent."""
    decode = Generator.decode

    def decode_to_ethanol(generator, latents, **options):
        table = decode(generator, latents, **options)
        return table.assign(smiles="CCO") if options.get("inversion_steps") else table

    monkeypatch.setattr(Generator, "decode", decode_to_ethanol)
    table = traverse(tiny, "CCCCO", steps=3)
    assert list(table["smiles"]) == ["CCO"] * 4 + ["CCCCO"] + ["CCO"] * 4


def test_principal_directions_match_scikit_learn(tiny):
    latents = EncodedMolecules.from_smiles(tiny, SMALL).latents
    directions = _directions(tiny, (0, 2), "principal", SMALL)
    pca = PCA(svd_solver="full").fit(latents)
    for direction, component in zip(directions, (0, 2), strict=True):
        unit = direction.step / np.linalg.norm(direction.step)
        assert abs(unit @ pca.components_[component]) == pytest.approx(1)
        assert np.linalg.norm(direction.step) ** 2 == pytest.approx(pca.explained_variance_[component] * 29 / 30)


def test_property_direction_is_the_first_pls_component(tiny):
    latents = EncodedMolecules.from_smiles(tiny, SMALL).latents
    first, second = _directions(tiny, (0, 1), "logp", SMALL)
    values = [logp(smiles) for smiles in SMALL]
    assert np.corrcoef(latents @ first.step, values)[0, 1] > 0.7
    weights = PLSRegression(1, scale=False).fit(latents, values).x_weights_[:, 0]
    assert abs(weights @ first.step / np.linalg.norm(first.step)) == pytest.approx(1, abs=1e-6)
    assert first.step @ second.step == pytest.approx(0, abs=1e-6)


def test_named_properties_are_columns(tiny):
    table = traverse(tiny, "CCCCO", directions="logp,mw", reference=SMALL, steps=3)
    valid = table["smiles"] != ""
    assert {"logp", "mw"} <= set(table.columns)
    expected = [logp(smiles) for smiles in table["smiles"][valid]]
    np.testing.assert_allclose(table["logp"][valid].astype(float), expected)


def test_properties_increase_over_the_grid_of_a_shipped_model():
    drugs = list(DRUGS.values())
    table = traverse(load("druglike", "cpu"), DRUGS["celecoxib"], directions="logp,tpsa", reference=drugs, steps=4)
    valid = table[table["smiles"] != ""]
    assert len(valid) >= 13
    assert valid["smiles"].nunique() >= 8
    for side, name in (("x", "logp"), ("y", "tpsa")):
        assert valid[side].corr(valid[name].astype(float), method="spearman") > 0.5


def test_prior_samples_are_the_default_reference(tiny, monkeypatch):
    monkeypatch.setattr(latent_points, "N_PRIOR_SAMPLES", 25)
    table = traverse(tiny, "CCCCO", directions="principal", steps=2)
    assert len(table) == 4
    assert "component 0" in table.attrs["axes"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": (0, 12)}, "dimensions 0 to 11, got 12"),
        ({"axes": (1, 1)}, "two different indices"),
        ({"steps": 0}, "steps >= 1"),
        ({"span": -1.0}, "positive, finite span"),
        ({"directions": "qde"}, "did you mean 'qed'"),
        ({"directions": "qed,mw,logp"}, "two directions, got 3"),
        ({"directions": "mw,mw"}, "two different directions, got mw twice"),
        ({"directions": "principal", "reference": SMALL[:5]}, "at least 20 different molecules are needed, got 5"),
        ({"directions": "charge", "reference": SMALL}, "charge is the same for all"),
        ({"reference": SMALL}, "uses no reference"),
        ({"directions": "qed,mw", "axes": (2, 3)}, "'qed,mw' has none"),
    ],
)
def test_invalid_options_are_rejected(tiny, options, message):
    with pytest.raises(InputError, match=message):
        traverse(tiny, "CCO", **options)


def test_invalid_seed_is_rejected(tiny):
    with pytest.raises(MoleculeError):
        traverse(tiny, "[U]")


def test_image_is_as_wide_as_the_grid_and_highlights_the_seed(tiny, tmp_path):
    text = draw_traversal(traverse(tiny, "CCCCO", steps=3), tmp_path / "grid.svg").read_text()
    assert text.count('<g role="img">') == 9
    assert len(set(re.findall(r'<rect x="([^"]*)"', text))) == 3
    assert text.count('fill="#e6f1fd"') == 1


def test_points_far_from_the_data_are_marked(tiny, tmp_path):
    """They are below percentile 1 of the likelihood per token; without a reference there is no such column."""
    values = np.linspace(-1.0, 0.0, len(PERCENTILES))
    reference = LikelihoodReference("tiny", "", 100, tuple(values))
    table = _grid_table(
        pd.DataFrame({"smiles": ["CCO", "CCCO", "", "c1ccccc1"], "log_likelihood": [-0.1, -50.0, np.nan, -0.2]}),
        np.array([-1.0, 1.0, 2.0, 3.0]), np.zeros(4), "CCO", (Direction("a", np.ones(2)), Direction("b", np.ones(2))),
        reference,
    )  # fmt: skip
    assert (table["percentile"] < 1).tolist() == [False, True, False, False]
    # four tokens with the end of the string
    assert table["percentile"][0] == pytest.approx(np.interp(-0.1 / 4, values, PERCENTILES))
    assert table.attrs["statistics"]["far"] == 1
    assert "1 far from the data" in table.attrs["summary"][0]
    image = draw_traversal(table, tmp_path / "grid.svg").read_text()
    assert image.count('fill="#ececec"') == 1
    assert image.count("   far from the data</text>") == image.count("no valid molecule</text>") == 1
    assert "percentile" not in traverse(tiny, "CCCCO", steps=1).columns
