"""`molvae.index`, `molvae.open_library` and `IndexedLibrary.search`."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from molecules import DRUGS
from tiny_vae import SMALL

import molvae
from molvae.chem.cores import has_core
from molvae.chem.smiles import canonical, parse
from molvae.errors import InputError, MolvaeWarning

ASPIRIN = DRUGS["aspirin"]


@pytest.fixture(scope="module")
def library(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    rows = [f"{smiles} {name}" for name, smiles in DRUGS.items()] + list(SMALL)
    (folder / "a.smi").write_text("\n".join(row.replace("(E)-", "E-") for row in rows) + "\n")
    return molvae.index(folder / "a.smi", folder / "lib", model=tiny_model, device="cpu", workers=0)


def test_seed_in_library_ranks_first(library):
    for rank_by in ("tanimoto", "latent", "both"):
        frame = library.search([ASPIRIN, "OCC"], top=3, rank_by=rank_by)
        best = frame[frame["rank"] == 1]
        assert best["smiles"].tolist() == [canonical(ASPIRIN), "CCO"]
        assert best["similarity"].tolist() == [1, 1]
        assert frame["seed"].tolist() == [ASPIRIN] * 3 + ["OCC"] * 3
        assert frame["rank"].tolist() == [1, 2, 3] * 2
        if rank_by == "tanimoto":
            assert "latent_distance" not in frame
            assert (frame.groupby("seed")["similarity"].diff().dropna() <= 0).all()
        else:
            assert best["latent_distance"].max() < 1e-3
    assert frame["id"].iloc[0] == "aspirin"
    assert frame["mw"].iloc[0] == pytest.approx(180.159)


def test_seed_ranks_before_its_stereoisomers(tiny_model, tmp_path):
    alanines = ["CC(N)C(=O)O", "C[C@@H](N)C(=O)O", "C[C@H](N)C(=O)O"]
    (tmp_path / "a.smi").write_text("\n".join([*alanines, "CCO", "CC=O"]) + "\n")
    library = molvae.index(tmp_path / "a.smi", tmp_path / "lib", model=tiny_model, device="cpu", workers=0)
    if len(library) < 5:
        pytest.skip("the vocabulary of the tiny model has no stereo tokens")
    for top in (1, 2, 9):
        frame = library.search(alanines, top=top, rank_by="tanimoto")
        best = frame[frame["rank"] == 1]
        assert best["smiles"].tolist() == alanines
        assert frame.groupby("seed").size().tolist() == [min(top, 5)] * 3
        assert frame["similarity"].tolist()[: min(top, 3)] == [1.0] * min(top, 3)
        both = library.search(alanines, top=top, rank_by="both")
        assert both[both["rank"] == 1]["smiles"].tolist() == alanines


def test_latent_search_is_sorted_by_distance(library):
    for metric in ("cosine", "l2"):
        frame = library.search(ASPIRIN, top=len(library) + 5, rank_by="latent", metric=metric)
        assert len(frame) == len(library)
        assert frame["latent_distance"].is_monotonic_increasing
    assert frame["latent_distance"].max() > 1


def test_invalid_seeds_are_reported(library):
    for rank_by in ("tanimoto", "both"):
        with pytest.warns(MolvaeWarning, match="ring 1 opened"):
            frame = library.search(["C1CC", "CCO", ""], top=2, rank_by=rank_by)
        assert set(frame["seed"]) == {"CCO"}
        assert set(frame.attrs["errors"]) == {"C1CC", ""}
    with pytest.warns(MolvaeWarning):
        frame = library.search(["C1CC"], top=2)
    assert len(frame) == 0
    assert {"seed", "similarity", "latent_distance", "mw"} <= set(frame.columns)
    assert len(library.search([])) == 0


def test_filters(library):
    frame = library.search([ASPIRIN], top=50, core="*CO")
    assert 0 < len(frame) < len(library)
    assert all(has_core(parse(smiles), "*CO") for smiles in frame["smiles"])
    frame = library.search([ASPIRIN], top=50, filters=["mw<100"], include_smarts="[OX2H]", exclude_smarts=["C=O"])
    assert set(frame["smiles"]) == {"CCO", "CCCO", "CC(C)O", "OCCO", "NCCO", "CC(C)CO", "CCCCO", "COCCO", "Oc1ccccc1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank_by": "euclidean"}, "latent, tanimoto, both, got 'euclidean'"),
        ({"metric": "dot"}, "cosine or l2"),
        ({"rank_by": "tanimoto", "metric": "l2"}, "metric and nprobe apply to latents"),
        ({"rank_by": "tanimoto", "nprobe": 3}, "metric and nprobe apply to latents"),
        ({"filters": "mww<3"}, "did you mean 'mw'"),
        ({"filters": "qed>0.5"}, "--properties"),
        ({"include_smarts": "C1("}, "SMARTS"),
        ({"top": 0}, "top must be at least 1"),
    ],
)
def test_invalid_options(library, options, message):
    with pytest.raises(InputError, match=message):
        library.search([ASPIRIN], **options)


def test_other_model_is_an_error(library, tiny_model, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(tiny_model, moved)
    opened = molvae.open_library(library.storage.folder, model=moved, device="cpu")
    assert opened.search("CCO", top=1)["smiles"].tolist() == ["CCO"]
    other = molvae.open_library(library.storage.folder, model="druglike", device="cpu")
    assert other.search("CCO", top=1, rank_by="tanimoto")["smiles"].tolist() == ["CCO"]
    with pytest.raises(InputError, match="weights differ from those of 'druglike'"):
        other.search("CCO", top=1)


def test_counts(library):
    assert library.counts.read == len(DRUGS) + len(SMALL) == library.counts.accepted + library.counts.invalid
    assert len(library) == library.counts.accepted
    assert np.isin([canonical(smiles) for smiles in SMALL], library.storage.molecules(np.arange(len(library)))).all()


@pytest.mark.parametrize("rank_by", ["tanimoto", "both"])
def test_seeds_are_standardized_like_the_library(tiny_model, tmp_path, rank_by):
    (tmp_path / "a.smi").write_text("CC(=O)[O-] acetate\nCCO ethanol\nCCN amine\n")
    library = molvae.index(
        tmp_path / "a.smi", tmp_path / "lib", model=tiny_model, device="cpu", standardize=True, workers=0
    )
    best = library.search("CC(=O)[O-].[Na+]", top=1, rank_by=rank_by).iloc[0]
    assert (best["id"], best["similarity"]) == ("acetate", 1)
