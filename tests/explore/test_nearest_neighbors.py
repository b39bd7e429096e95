"""Nearest neighbors in latent space, compared with scikit-learn."""

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
from molvae.explore import nearest_neighbors
from molvae.explore.nearest_neighbors import draw_neighbors, neighbors

LIBRARY = [*SMALL, *DRUGS.values()]
SEEDS = ["OCC", DRUGS["caffeine"]]


def test_neighbors_match_scikit_learn(tiny):
    table = neighbors(tiny, LIBRARY, SEEDS, 6)
    library, queries = (tiny.encode(smiles).filter(regex=r"^z\d+$").to_numpy(float) for smiles in (LIBRARY, SEEDS))
    distance, index = NearestNeighbors(n_neighbors=7).fit(library).kneighbors(queries)
    for row, seed in enumerate(SEEDS):
        found = table[table["seed"] == seed]
        assert list(found["smiles"]) == [LIBRARY[i] for i in index[row][1:]]  # the first is the seed itself
        np.testing.assert_allclose(found["distance"], distance[row][1:], rtol=1e-5)


def test_chunk_size_does_not_change_the_result(tiny, monkeypatch):
    expected = neighbors(tiny, LIBRARY, SEEDS, 6)
    monkeypatch.setattr(nearest_neighbors, "CHUNK_SIZE", 4)
    pd.testing.assert_frame_equal(neighbors(tiny, iter(LIBRARY), SEEDS, 6), expected)


def test_similarity_matches_rdkit(tiny):
    table = neighbors(tiny, LIBRARY, DRUGS["aspirin"], 3)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    seed, *others = (
        generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in [DRUGS["aspirin"], *table["smiles"]]
    )
    np.testing.assert_allclose(table["similarity"], DataStructs.BulkTanimotoSimilarity(seed, others))


def test_duplicates_and_the_seed_are_omitted(tiny):
    table = neighbors(tiny, ["CCO", "OCC", "NCC", "CCN", "C1CC"], "C(O)C", 5)
    assert list(table["smiles"]) == ["NCC"]


def test_rejected_molecules_and_seeds_are_counted(tiny):
    table = neighbors(tiny, ["CCO", "C1CC", "C1CC", "NCC"], ["CCO", "[U]"], 5)
    assert table.attrs["statistics"] == {"seeds": 1, "molecules": 2, "neighbors": 1, "rejected": 3}
    assert table.attrs["summary"] == ["1 neighbors of 1 seeds among 2 molecules; 3 rejected"]
    assert set(table.attrs["errors"]) == {"C1CC", "[U]"}


def test_names_follow_their_molecules(tiny, monkeypatch):
    monkeypatch.setattr(nearest_neighbors, "CHUNK_SIZE", 3)
    names = [f"{i}: {smiles}" for i, smiles in enumerate(LIBRARY)]
    table = neighbors(tiny, iter(["C1CC", *LIBRARY]), SEEDS, 6, names=iter(["invalid", *names]))
    assert list(table.columns[:3]) == ["seed", "smiles", "name"]
    assert table["name"].str.split(": ").str[1].tolist() == table["smiles"].tolist()
    pd.testing.assert_frame_equal(table.drop(columns="name"), neighbors(tiny, LIBRARY, SEEDS, 6))
    assert neighbors(tiny, "CCN", "CCO", names="ethylamine")["name"].tolist() == ["ethylamine"]


def test_name_column_exists_if_any_molecule_has_a_name(tiny):
    """The column exists even if none of the neighbors has a name."""
    assert neighbors(tiny, ["CCCO", LIBRARY[-1]], "CCO", 1, names=["", "a drug"])["name"].tolist() == [""]
    assert "name" not in neighbors(tiny, LIBRARY, SEEDS, names=[""] * len(LIBRARY))


@pytest.mark.parametrize(("names", "message"), [(["a"], "fewer names"), (["a", "b", "c"], "more names")])
def test_wrong_number_of_names_is_rejected(tiny, names, message):
    with pytest.raises(InputError, match=message):
        neighbors(tiny, ["CCN", "CCC"], "CCO", names=names)


def test_empty_library_gives_an_empty_table(tiny):
    assert len(neighbors(tiny, [], "CCO")) == 0


@pytest.mark.parametrize(
    ("seeds", "n", "message"),
    [("CCO", 0, "at least 1, got 0"), (["C1CC"], 3, "0 of 1 could be encoded; 'C1CC': cannot read")],
)
def test_invalid_arguments_are_rejected(tiny, seeds, n, message):
    with pytest.raises(InputError, match=message):
        neighbors(tiny, LIBRARY, seeds, n)


def test_image(tiny, tmp_path):
    assert draw_neighbors(neighbors(tiny, LIBRARY, SEEDS, 2), tmp_path / "n.png").stat().st_size > 3000
