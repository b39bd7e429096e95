"""Statistics of reference sets, and their cache on disk, including damaged files."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors
from rdkit.Chem.Scaffolds import MurckoScaffold

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.smiles import canonical, parse
from molvae.data.datasets import MoleculeSource
from molvae.data.hashing import hash_texts
from molvae.errors import InputError
from molvae.metrics import guacamol, reference
from molvae.metrics.reference import (
    REFERENCE_PROPERTIES,
    SUBSET_SIZE,
    Reference,
    content_hash,
    guacamol_features,
    isin_sorted,
    without_stereo,
)

SMILES = list(DRUGS.values())[:12]
STEREO = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O", "F/C=C/F", "F/C=C\\F"]
STATISTICS = {
    "molecules": lambda r: r.molecules,
    "hashes": lambda r: r.hashes,
    "flat_hashes": lambda r: r.flat_hashes,
    "scaffold_hashes": lambda r: r.scaffold_hashes,
    "fingerprints": lambda r: r.fingerprints,
    "structures": lambda r: r.structures.fingerprints,
    "properties": lambda r: r.properties.to_numpy(),
    "subset_properties": lambda r: r.subset_properties.to_numpy(),
    "guacamol_features": lambda r: np.stack(list(r.guacamol_features.values())),
}


@pytest.fixture
def make_reference(tmp_path):
    """A function that creates references with a temporary cache and records their messages."""

    def make(smiles, **options):
        return Reference(
            smiles, **{"folder": tmp_path / "cache", "workers": 1, "progress": make.messages.append, **options}
        )

    make.messages = []
    return make


# --- statistics ---


def test_molecules_are_valid_ones_in_order(make_reference):
    smiles = ["OCC", "", "C1CC", "CCO", " C[C@H](N)C(=O)O", "nonsense", "CC" * 3000, "C[C@@H](N)C(=O)O"]
    found = make_reference(smiles)
    assert found.molecules == ["CCO", "CCO", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"]
    assert sorted(found.hashes.tolist()) == sorted(set(hash_texts(found.molecules).tolist()))
    assert found.flat_hashes.tolist() == sorted(set(hash_texts(["CCO", "CC(N)C(=O)O"]).tolist()))
    np.testing.assert_array_equal(found.fingerprints, morgan_bits([parse(text) for text in found.molecules]))


def test_unparsable_canonical_smiles_is_skipped(make_reference):
    """450 linked pyrroles: the input is within the length limit, the canonical SMILES exceeds it."""
    chain = "C1=CNC(=C1)" * 450 + "C"
    assert len(canonical(chain)) > 5000 > len(chain)
    found = make_reference([chain, "CCO"])
    assert found.molecules == ["CCO"]
    assert len(found.fingerprints) == len(found.properties) == 1


@pytest.mark.parametrize("smiles", [[], ["C1CC", ""]])
def test_set_without_valid_molecule_raises(make_reference, smiles):
    for get in STATISTICS.values():
        with pytest.raises(InputError, match=rf"the test set has no valid molecule \(rows read: {len(smiles)}\)"):
            get(make_reference(smiles, name="the test set"))


def test_scaffold_hashes(make_reference):
    expected = {
        Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(parse(text)), isomericSmiles=False) for text in DRUGS.values()
    }
    assert make_reference(list(DRUGS.values())).scaffold_hashes.tolist() == sorted(hash_texts(expected).tolist())


def test_structures_and_properties_of_all_molecules(make_reference):
    found = make_reference([*SMILES, "C1CC", SMILES[0]])
    assert found.structures.fingerprints.shape == (13, 128)
    multi_ring = [text for text in found.molecules if rdMolDescriptors.CalcNumRings(parse(text)) >= 2]
    assert 0 < sum(found.structures.scaffolds.values()) <= len(multi_ring)
    assert isinstance(found.structures.fragments, Counter)
    assert list(found.properties.columns) == list(REFERENCE_PROPERTIES)
    np.testing.assert_allclose(
        found.properties["tpsa"], [rdMolDescriptors.CalcTPSA(parse(text)) for text in found.molecules]
    )


def test_subset_is_reproducible_and_limited(make_reference, monkeypatch):
    found = make_reference(SMILES)
    assert sorted(found.subset) == sorted(found.molecules)
    assert found.subset != found.molecules
    assert found.subset == make_reference(SMILES).subset
    monkeypatch.setattr(reference, "SUBSET_SIZE", 5)
    assert len(found.subset) == 5 < SUBSET_SIZE
    assert set(found.subset) <= set(found.molecules)


# --- hashes ---

TEXTS = st.lists(st.text(alphabet="CNO=#()1", max_size=4), max_size=30)


@settings(deadline=None, max_examples=60)
@given(TEXTS, TEXTS)
def test_isin_sorted_matches_sets(values, known):
    sorted_keys = np.unique(hash_texts(known))
    assert isin_sorted(hash_texts(values), sorted_keys).tolist() == [text in set(known) for text in values]
    assert len(sorted_keys) == len(set(known))


# --- GuacaMol features ---


def test_guacamol_features_merge_stereoisomers():
    found = guacamol_features([*STEREO, "CCO"], workers=1)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(guacamol.FEATURES, 3)
    flat = ["CC(N)C(=O)O", "FC=CF", "CCO"]
    np.testing.assert_allclose(found["TPSA"], [rdMolDescriptors.CalcTPSA(parse(text)) for text in flat])
    assert (found["internal_similarity"] < 1).all()


@pytest.mark.parametrize("smiles", [*STEREO, "[13CH3]O", "[NH4+]", "CC[N+](C)(C)C", "c1ccccc1", *SMILES])
def test_without_stereo_matches_rdkit(smiles):
    (found,) = without_stereo([canonical(smiles)])
    assert found == Chem.MolToSmiles(parse(smiles), isomericSmiles=False)


def test_without_stereo_removes_deuterium():
    """RDKit would keep it as an explicit hydrogen."""
    assert list(without_stereo([canonical("[2H]OC")])) == ["CO"]


# --- cache ---


def test_statistics_are_computed_once(make_reference, monkeypatch):
    first = {name: get(make_reference(SMILES)) for name, get in STATISTICS.items()}
    assert [line.split("computing ")[1].split(" ")[0] for line in make_reference.messages] == list(STATISTICS)
    make_reference.messages.clear()

    def fail(*_, **__):
        raise AssertionError("computed again")

    for name in ("map_chunks", "compute_structures", "guacamol_features"):
        monkeypatch.setattr(reference, name, fail)
    for name, get in STATISTICS.items():
        np.testing.assert_array_equal(get(make_reference(SMILES)), first[name])
    assert make_reference.messages == []


def test_counters_are_cached(make_reference):
    first, second = make_reference(SMILES).structures, make_reference(SMILES).structures
    assert first.fragments == second.fragments
    assert first.scaffolds == second.scaffolds
    assert first.scaffolds


def test_statistics_are_computed_lazily(make_reference, tmp_path):
    _ = make_reference(SMILES).molecules
    assert [path.name for path in (tmp_path / "cache").rglob("*.npz")] == ["molecules.npz"]


def test_subset_properties_of_large_reference(make_reference, monkeypatch):
    """The properties of the whole MOSES training set would take 20 minutes; histograms need only a sample."""
    monkeypatch.setattr(reference, "SUBSET_SIZE", 3)
    found = make_reference(SMILES)
    assert len(found.subset_properties) == 3
    assert set(found.subset_properties["mw"]) <= set(found.properties["mw"])


def test_cached_statistics_do_not_read_the_file(make_reference, tmp_path, monkeypatch):
    """Reading the rows of the MOSES training set takes longer than a lookup of its molecules."""
    path = tmp_path / "train.csv"
    path.write_text("name,SMILES,other\n" + "".join(f"a,{smiles},CCO\n" for smiles in SMILES))
    source = MoleculeSource(path, "SMILES")
    first = make_reference(source).hashes
    np.testing.assert_array_equal(first, make_reference(SMILES).hashes)
    make_reference.messages.clear()
    monkeypatch.setattr(reference, "read_records", None)
    np.testing.assert_array_equal(make_reference(source).hashes, first)
    assert make_reference.messages == []
    monkeypatch.undo()
    assert make_reference(MoleculeSource(path, "other")).molecules == ["CCO"] * len(SMILES)
    path.write_text("SMILES\nCCN\n")
    assert make_reference(source).molecules == ["CCN"]


def test_cache_key_depends_on_contents_and_rdkit_version(make_reference, monkeypatch):
    folders = {
        make_reference(smiles).folder
        for smiles in (["CCO", "CCN"], ["CCN", "CCO"], ["CCO"], ["CCOCCN"], ["CCO\nCCN"], ["CCO", "", "CCN"], [])
    }
    assert len(folders) == 7
    assert make_reference(["CCO", "CCN"], name="other", workers=0).folder in folders
    before = content_hash(["CCO"])
    monkeypatch.setattr(reference.rdkit, "__version__", "1999.1")
    assert content_hash(["CCO"]) != before


def test_content_hash_of_surrogates():
    assert content_hash(["\ud800"]) != content_hash(["\udcff"])


def test_default_folder_is_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLVAE_DATA", str(tmp_path))
    assert Reference(["CCO"]).folder.parent == tmp_path / "references"


def _truncate(content):
    return content[: len(content) // 2]


def _change_byte(content):
    """Change one byte of the data, which only the checksum detects."""
    index = content.index(b"CCO")
    return content[:index] + b"N" + content[index + 1 :]


@pytest.mark.parametrize(
    "damage", [_truncate, _change_byte, lambda _: b"", lambda _: b"not an archive", lambda c: c[10:]]
)
def test_damaged_cache_file_is_replaced(make_reference, damage):
    _ = make_reference(["CCO", "CCN"]).molecules
    path = make_reference(["CCO", "CCN"]).folder / "molecules.npz"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    make_reference.messages.clear()
    assert make_reference(["CCO", "CCN"]).molecules == ["CCO", "CCN"]
    assert len(make_reference.messages) == 1
    assert make_reference(["CCO", "CCN"]).molecules == ["CCO", "CCN"]
    assert len(make_reference.messages) == 1


def test_any_damaged_byte_is_detected(make_reference):
    _ = make_reference(["CCO", "CCN"]).molecules
    path = make_reference(["CCO", "CCN"]).folder / "molecules.npz"
    whole = path.read_bytes()
    for index in range(len(whole)):
        for changed in (whole[index] ^ 1, whole[index] ^ 255):
            path.write_bytes(whole[:index] + bytes([changed]) + whole[index + 1 :])
            assert make_reference(["CCO", "CCN"]).molecules == ["CCO", "CCN"], index


def test_unwritable_cache_is_reported(make_reference, tmp_path):
    (tmp_path / "file").write_text("no folder")
    found = make_reference(SMILES, folder=tmp_path / "file")
    assert found.molecules == [canonical(text) for text in SMILES]
    assert any("cannot write" in line and "computed again in the next run" in line for line in make_reference.messages)
    assert len(found.fingerprints) == len(SMILES)
    assert (tmp_path / "file").read_text() == "no folder"


def test_workers_do_not_change_statistics(make_reference, tmp_path):
    serial, parallel = make_reference(SMILES, workers=0), make_reference(SMILES, workers=2, folder=tmp_path / "other")
    for get in STATISTICS.values():
        np.testing.assert_array_equal(get(serial), get(parallel))


def test_chemnet_is_called_once(make_reference, monkeypatch):
    calls = []

    def activation_statistics(smiles, *, device):
        calls.append((list(smiles), device))
        return reference.fcd.ActivationStatistics(np.ones(512), np.eye(512), len(smiles), 1)

    monkeypatch.setattr(reference.fcd, "activation_statistics", activation_statistics)
    for _ in range(2):
        for get in (lambda r: r.activations, lambda r: r.subset_activations):
            found = get(make_reference(SMILES, device="cuda:7"))
            assert (found.count, found.skipped, found.mean.sum(), found.covariance.sum()) == (12, 1, 512, 512)
    expected = make_reference(SMILES)
    assert calls == [(expected.molecules, "cuda:7"), (expected.subset, "cuda:7")]
