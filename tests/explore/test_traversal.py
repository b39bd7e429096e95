"""Grids along two directions: where the places lie, what the directions are."""

from __future__ import annotations

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import Crippen
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from tiny_vae import SMALL

from molvae import load
from molvae.errors import InputError, MoleculeError
from molvae.explore.latent_points import Points
from molvae.explore.traversal import _directions, draw_traversal, traverse
from molvae.generator import Generator

pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_grid_lies_as_promised(tiny):
    table = traverse(tiny, "CCCCO", axes=(3, 1), steps=5, span=2)
    assert list(table.columns) == ["x", "y", "smiles", "similarity", "log_likelihood"]
    assert list(table["x"][:5]) == [-2, -1, 0, 1, 2]
    assert list(table["y"][::5]) == [2, 1, 0, -1, -2]
    assert table.attrs["axes"] == ("z3", "z1")
    center = table[(table["x"] == 0) & (table["y"] == 0)].iloc[0]
    assert (center["smiles"], center["similarity"]) == ("CCCCO", 1)


def test_an_axis_is_a_dimension_of_the_latent(tiny):
    """Row by row what decoding the shifted latent gives."""
    z = tiny.encode("CCCCO").iloc[0, 2:].to_numpy(float)
    moved = np.stack([z + shift * np.eye(12)[3] for shift in (-2, 0, 2)])
    table = traverse(tiny, "CCCCO", axes=(3, 1), steps=3, span=2)
    assert list(table["smiles"][3:6]) == list(tiny.decode(moved, inversion_steps=4)["smiles"])


@pytest.mark.parametrize("span", [0.9, 3.1, 7.2])
def test_there_is_a_middle(tiny, span):
    """Of which numpy's own seven numbers have 1e-16 instead."""
    assert np.linspace(-span, span, 7)[3] != 0
    table = traverse(tiny, "CCCCO", steps=7, span=span)
    assert table["smiles"][(table["x"] == 0) & (table["y"] == 0)].tolist() == ["CCCCO"]


def test_one_step_is_the_seed(tiny):
    assert list(traverse(tiny, "OCCCC", steps=1)["smiles"]) == ["CCCCO"]


def test_the_middle_is_the_seed_even_where_another_lies_nearer(tiny, monkeypatch):
    """A refined latent is beside the seed's own, and may be nearer to that of another molecule."""
    decode = Generator.decode

    def drawn_to_another(generator, z, **options):
        table = decode(generator, z, **options)
        return table.assign(smiles="CCO") if options.get("inversion_steps") else table

    monkeypatch.setattr(Generator, "decode", drawn_to_another)
    table = traverse(tiny, "CCCCO", steps=3)
    assert list(table["smiles"]) == ["CCO"] * 4 + ["CCCCO"] + ["CCO"] * 4


def test_principal_directions_are_those_of_the_reference(tiny):
    z = Points.of(tiny, SMALL).z
    first, second = _directions(tiny, (0, 2), "principal", SMALL)
    pca = PCA(svd_solver="full").fit(z)
    for direction, component in ((first, 0), (second, 2)):
        unit = direction.step / np.linalg.norm(direction.step)
        assert abs(unit @ pca.components_[component]) == pytest.approx(1)
        assert np.linalg.norm(direction.step) ** 2 == pytest.approx(pca.explained_variance_[component] * 29 / 30)


def test_a_property_rises_along_its_direction(tiny):
    points = Points.of(tiny, SMALL)
    first, second = _directions(tiny, (0, 1), "logp", SMALL)
    logp = [Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in SMALL]
    assert np.corrcoef(points.z @ first.step, logp)[0, 1] > 0.7
    expected = PLSRegression(1, scale=False).fit(points.z, logp).x_weights_[:, 0]
    assert abs(expected @ first.step / np.linalg.norm(first.step)) == pytest.approx(1, abs=1e-6)
    assert first.step @ second.step == pytest.approx(0, abs=1e-6)
    table = traverse(tiny, "CCCCO", directions="logp,mw", reference=SMALL, steps=3)
    good = table["smiles"] != ""
    assert {"logp", "mw"} <= set(table.columns)
    expected = [Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in table["smiles"][good]]
    np.testing.assert_allclose(table["logp"][good].astype(float), expected)


def test_properties_rise_over_the_grid():
    """With the weights that ship, and more than the seed's own molecule on it."""
    drugs = list(DRUGS.values())
    table = traverse(load("druglike", "cpu"), DRUGS["celecoxib"], directions="logp,tpsa", reference=drugs, steps=5)
    good = table[table["smiles"] != ""]
    assert len(good) >= 22
    assert good["smiles"].nunique() >= 12
    for side, name in (("x", "logp"), ("y", "tpsa")):
        assert good[side].corr(good[name].astype(float), method="spearman") > 0.5


def test_without_a_reference_the_prior_is_one(tiny, monkeypatch):
    monkeypatch.setattr("molvae.explore.latent_points.REFERENCE", 25)
    table = traverse(tiny, "CCCCO", directions="principal", steps=2)
    assert len(table) == 4
    assert "component 0" in table.attrs["axes"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": (0, 12)}, "axes 0 to 11, got 12"),
        ({"axes": (1, 1)}, "two different numbers"),
        ({"steps": 0}, "1 step or more"),
        ({"span": -1.0}, "span above 0"),
        ({"directions": "qde"}, "did you mean 'qed'"),
        ({"directions": "qed,mw,logp"}, "two directions, got 3"),
        ({"directions": "mw,mw"}, "two different directions, got mw twice"),
        (
            {"directions": "principal", "reference": SMALL[:5]},
            "20 different molecules or more are needed, and there are 5: 5 of 5",
        ),
        ({"directions": "charge", "reference": SMALL}, "charge does not differ"),
        ({"reference": SMALL}, "a reference is for"),
        ({"directions": "qed,mw", "axes": (2, 3)}, "not of qed,mw"),
    ],
)
def test_what_is_no_direction(tiny, options, message):
    with pytest.raises(InputError, match=message):
        traverse(tiny, "CCO", **options)


def test_a_seed_that_cannot_be_read(tiny):
    with pytest.raises(MoleculeError, match="symbol"):
        traverse(tiny, "[U]")


def test_the_picture_is_as_wide_as_the_grid(tiny, tmp_path):
    table = traverse(tiny, "CCCCO", steps=3)
    text = draw_traversal(table, tmp_path / "grid.svg").read_text()
    assert "width='720px' height='630px'" in text
    assert "#CCE5FF" in text
