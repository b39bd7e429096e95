"""Neighbors in latent space, beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from sklearn.neighbors import NearestNeighbors
from tiny_vae import SMALL

from molvae.errors import InputError
from molvae.explore import nearest_neighbors as neighborhood
from molvae.explore.nearest_neighbors import draw_neighbors, neighbors

LIBRARY = [*SMALL, *DRUGS.values()]
SEEDS = ["OCC", DRUGS["caffeine"]]


def test_they_are_scikit_learns(tiny):
    table = neighbors(tiny, LIBRARY, SEEDS, n=6)
    z = tiny.encode(LIBRARY).iloc[:, 2:].to_numpy(float)
    wanted = tiny.encode(SEEDS).iloc[:, 2:].to_numpy(float)
    distance, index = NearestNeighbors(n_neighbors=7).fit(z).kneighbors(wanted)
    for row, seed in enumerate(SEEDS):
        mine = table[table["seed"] == seed]
        assert list(mine["smiles"]) == [LIBRARY[i] for i in index[row][1:]]  # the first is the seed itself
        np.testing.assert_allclose(mine["distance"], distance[row][1:], rtol=1e-5)


def test_the_chunks_do_not_matter(tiny, monkeypatch):
    whole = neighbors(tiny, LIBRARY, SEEDS, n=6)
    monkeypatch.setattr(neighborhood, "CHUNK", 4)
    pd.testing.assert_frame_equal(neighbors(tiny, iter(LIBRARY), SEEDS, n=6), whole)


def test_similarity_is_rdkits(tiny):
    table = neighbors(tiny, LIBRARY, DRUGS["aspirin"], n=3)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    seed, *others = (
        generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in [DRUGS["aspirin"], *table["smiles"]]
    )
    np.testing.assert_allclose(table["similarity"], DataStructs.BulkTanimotoSimilarity(seed, others))


def test_repeats_are_one_and_a_seed_is_not_its_own(tiny):
    table = neighbors(tiny, ["CCO", "OCC", "NCC", "CCN", "C1CC"], "C(O)C", n=5)
    assert list(table["smiles"]) == ["NCC"]
    assert "ring 1" in table.attrs["errors"]["C1CC"]
    assert table.attrs["summary"] == ["1 neighbors of 1 seeds in 4 molecules; 1 rejected"]
    twice = neighbors(tiny, ["CCO", "C1CC", "C1CC", "NCC"], ["CCO", "[U]"], n=5)
    assert twice.attrs["summary"] == ["1 neighbors of 1 seeds in 2 molecules; 3 rejected"]


def test_names_stay_with_their_molecules(tiny, monkeypatch):
    monkeypatch.setattr(neighborhood, "CHUNK", 3)
    names = [f"{i}: {smiles}" for i, smiles in enumerate(LIBRARY)]
    broken = ["C1CC", *LIBRARY]
    table = neighbors(tiny, iter(broken), SEEDS, n=6, names=iter(["broken", *names]))
    assert table["name"].str.split(": ").str[1].tolist() == table["smiles"].tolist()
    pd.testing.assert_frame_equal(table.drop(columns="name"), neighbors(tiny, LIBRARY, SEEDS, n=6))
    assert list(table.columns[:3]) == ["seed", "smiles", "name"]
    assert neighbors(tiny, "CCN", "CCO", names="ethylamine")["name"].tolist() == ["ethylamine"]
    # whether there is a column does not hang on who is found
    assert neighbors(tiny, ["CCCO", LIBRARY[-1]], "CCO", n=1, names=["", "a drug"])["name"].tolist() == [""]
    assert "name" not in neighbors(tiny, LIBRARY, SEEDS, names=[""] * len(LIBRARY))


@pytest.mark.parametrize(("names", "told"), [(["a"], "fewer"), (["a", "b", "c"], "more")])
def test_a_name_for_each_molecule(tiny, names, told):
    with pytest.raises(InputError, match=f"a name for each molecule is needed, and there are {told}"):
        neighbors(tiny, ["CCN", "CCC"], "CCO", names=names)


def test_an_empty_library(tiny):
    assert len(neighbors(tiny, [], "CCO")) == 0


@pytest.mark.parametrize(
    ("of", "n", "message"),
    [
        ("CCO", 0, "1 or more, got 0"),
        (["C1CC"], 3, "a molecule is needed, and there are 0: 0 of 1 could be encoded; 'C1CC': cannot read"),
    ],
)
def test_what_has_no_neighbors(tiny, of, n, message):
    with pytest.raises(InputError, match=message):
        neighbors(tiny, LIBRARY, of, n=n)


def test_the_picture(tiny, tmp_path):
    assert draw_neighbors(neighbors(tiny, LIBRARY, SEEDS, n=2), tmp_path / "n.png").stat().st_size > 3000
