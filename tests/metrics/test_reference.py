"""What a reference says of a set is right, is computed once, and survives a cache that is damaged or cannot be."""

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
    CHARTED,
    GUACAMOL_MOLECULES,
    Reference,
    among,
    content_hash,
    guacamol_columns,
    without_stereo,
)

SMILES = list(DRUGS.values())[:12]
STEREO = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O", "F/C=C/F", "F/C=C\\F"]
PARTS = {
    "molecules": lambda r: r.molecules,
    "keys": lambda r: r.keys,
    "flat": lambda r: r.flat_keys,
    "scaffolds": lambda r: r.scaffold_keys,
    "fingerprints": lambda r: r.fingerprints,
    "structures": lambda r: r.structures.fingerprints,
    "properties": lambda r: r.properties.to_numpy(),
    "charted": lambda r: r.charted.to_numpy(),
    "guacamol": lambda r: np.stack(list(r.guacamol.values())),
}


@pytest.fixture
def of(tmp_path):
    """A reference kept in the test's folder; what it says is in `told`."""

    def made(smiles, **options):
        return Reference(smiles, **{"folder": tmp_path / "kept", "workers": 1, "tell": made.told.append, **options})

    made.told = []
    return made


# --- what it says ---


def test_molecules_are_the_valid_ones_in_order_repeats_included(of):
    given = ["OCC", "", "C1CC", "CCO", " C[C@H](N)C(=O)O", "nonsense", "CC" * 3000, "C[C@@H](N)C(=O)O"]
    found = of(given)
    assert found.molecules == ["CCO", "CCO", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"]
    assert sorted(found.keys.tolist()) == sorted(set(hash_texts(found.molecules).tolist()))
    assert found.flat_keys.tolist() == sorted(set(hash_texts(["CCO", "CC(N)C(=O)O"]).tolist()))
    np.testing.assert_array_equal(found.fingerprints, morgan_bits([parse(text) for text in found.molecules]))


def test_what_cannot_be_read_again_is_left_out(of):
    """500 pyrroles in a row: within the limit as written, beyond it in RDKit's spelling."""
    chain = "C1=CNC(=C1)" * 450 + "C"
    assert len(canonical(chain)) > 5000 > len(chain)
    found = of([chain, "CCO"])
    assert found.molecules == ["CCO"]
    assert len(found.fingerprints) == len(found.properties) == 1


@pytest.mark.parametrize("smiles", [[], ["C1CC", ""]])
def test_a_set_without_a_valid_molecule_is_rejected_by_its_name(of, smiles):
    for ask in PARTS.values():
        with pytest.raises(InputError, match=f"the test set has no valid molecule among {len(smiles)}"):
            ask(of(smiles, name="the test set"))


def test_scaffolds(of):
    expected = {
        Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(parse(text)), isomericSmiles=False) for text in DRUGS.values()
    }
    assert of(list(DRUGS.values())).scaffold_keys.tolist() == sorted(hash_texts(expected).tolist())


def test_structures_and_properties_are_of_every_molecule(of):
    found = of([*SMILES, "C1CC", SMILES[0]])
    assert found.structures.fingerprints.shape == (13, 128)
    biaryl = [text for text in found.molecules if rdMolDescriptors.CalcNumRings(parse(text)) >= 2]
    assert 0 < sum(found.structures.scaffolds.values()) <= len(biaryl)
    assert isinstance(found.structures.fragments, Counter)
    assert list(found.properties.columns) == list(CHARTED)
    np.testing.assert_allclose(
        found.properties["tpsa"], [rdMolDescriptors.CalcTPSA(parse(text)) for text in found.molecules]
    )


def test_drawn_is_everybody_once_and_the_same_ones_every_time(of, monkeypatch):
    found = of(SMILES)
    assert sorted(found.drawn) == sorted(found.molecules)
    assert found.drawn != found.molecules
    assert found.drawn == of(SMILES).drawn
    monkeypatch.setattr(reference, "GUACAMOL_MOLECULES", 5)
    assert len(found.drawn) == 5 < GUACAMOL_MOLECULES
    assert set(found.drawn) <= set(found.molecules)


# --- keys ---

TEXTS = st.lists(st.text(alphabet="CNO=#()1", max_size=4), max_size=30)


@settings(deadline=None, max_examples=60)
@given(TEXTS, TEXTS)
def test_among_is_what_sets_say(asked, known):
    sorted_keys = np.unique(hash_texts(known))
    assert among(hash_texts(asked), sorted_keys).tolist() == [text in set(known) for text in asked]
    assert len(sorted_keys) == len(set(known))


# --- GuacaMol's columns ---


def test_stereoisomers_are_one_molecule_to_guacamol():
    found = guacamol_columns([*STEREO, "CCO"], workers=1)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(guacamol.COLUMNS, 3)
    flat = ["CC(N)C(=O)O", "FC=CF", "CCO"]
    np.testing.assert_allclose(found["TPSA"], [rdMolDescriptors.CalcTPSA(parse(text)) for text in flat])
    assert (found["internal_similarity"] < 1).all()


@pytest.mark.parametrize("smiles", [*STEREO, "[13CH3]O", "[2H]OC", "[NH4+]", "CC[N+](C)(C)C", "c1ccccc1", *SMILES])
def test_stereo_is_taken_off(smiles):
    (found,) = without_stereo([canonical(smiles)])
    assert found == Chem.MolToSmiles(parse(smiles), isomericSmiles=False)


# --- kept ---


def test_each_part_is_computed_once_and_read_back_the_same(of, monkeypatch):
    first = {name: ask(of(SMILES)) for name, ask in PARTS.items()}
    assert [line.split("computing ")[1].split(",")[0] for line in of.told] == list(PARTS)
    of.told.clear()

    def again(*_, **__):
        raise AssertionError("computed again")

    for name in ("map_chunks", "structures", "guacamol_columns"):
        monkeypatch.setattr(reference, name, again)
    for name, ask in PARTS.items():
        np.testing.assert_array_equal(ask(of(SMILES)), first[name])
    assert of.told == []


def test_counters_are_read_back(of):
    first, second = of(SMILES).structures, of(SMILES).structures
    assert first.fragments == second.fragments
    assert first.scaffolds == second.scaffolds
    assert first.scaffolds


def test_nothing_is_computed_before_it_is_asked_for(of, tmp_path):
    _ = of(SMILES).molecules
    assert [path.name for path in (tmp_path / "kept").rglob("*.npz")] == ["molecules.npz"]


def test_a_chart_takes_a_sample_of_a_large_reference(of, monkeypatch):
    """Properties of the whole of MOSES train took twenty minutes, for seven curves on a page."""
    monkeypatch.setattr(reference, "GUACAMOL_MOLECULES", 3)
    found = of(SMILES)
    assert len(found.charted) == 3
    assert set(found.charted["mw"]) <= set(found.properties["mw"])


def test_a_file_is_not_read_again_for_what_is_kept(of, tmp_path, monkeypatch):
    """Reading the rows of MOSES train takes longer than all that is then looked up in it."""
    path = tmp_path / "train.csv"
    path.write_text("name,SMILES,other\n" + "".join(f"a,{smiles},CCO\n" for smiles in SMILES))
    source = MoleculeSource(path, "SMILES")
    first = of(source).keys
    np.testing.assert_array_equal(first, of(SMILES).keys)
    of.told.clear()
    monkeypatch.setattr(reference, "read_records", None)
    np.testing.assert_array_equal(of(source).keys, first)
    assert of.told == []
    monkeypatch.undo()
    assert of(MoleculeSource(path, "other")).molecules == ["CCO"] * len(SMILES)
    path.write_text("SMILES\nCCN\n")
    assert of(source).molecules == ["CCN"]


def test_other_contents_have_another_folder(of, monkeypatch):
    folders = {
        of(smiles).folder
        for smiles in (["CCO", "CCN"], ["CCN", "CCO"], ["CCO"], ["CCOCCN"], ["CCO\nCCN"], ["CCO", "", "CCN"], [])
    }
    assert len(folders) == 7
    assert of(["CCO", "CCN"], name="other", workers=0).folder in folders
    before = content_hash(["CCO"])
    monkeypatch.setattr(reference.rdkit, "__version__", "1999.1")
    assert content_hash(["CCO"]) != before


def test_strings_that_are_no_text_have_a_hash():
    assert content_hash(["\ud800"]) != content_hash(["\udcff"])


def test_the_default_folder_is_beside_the_datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLVAE_DATA", str(tmp_path))
    assert Reference(["CCO"]).folder.parent == tmp_path / "references"


def _cut(content):
    return content[: len(content) // 2]


def _changed(content):
    """One byte of the data, which only the checksum shows."""
    at = content.index(b"CCO")
    return content[:at] + b"N" + content[at + 1 :]


@pytest.mark.parametrize("damage", [_cut, _changed, lambda _: b"", lambda _: b"not an archive", lambda c: c[10:]])
def test_a_damaged_part_is_computed_anew(of, damage):
    _ = of(["CCO", "CCN"]).molecules
    path = of(["CCO", "CCN"]).folder / "molecules.npz"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    of.told.clear()
    assert of(["CCO", "CCN"]).molecules == ["CCO", "CCN"]
    assert len(of.told) == 1
    assert of(["CCO", "CCN"]).molecules == ["CCO", "CCN"]
    assert len(of.told) == 1  # mended


def test_any_byte_may_be_wrong(of):
    _ = of(["CCO", "CCN"]).molecules
    path = of(["CCO", "CCN"]).folder / "molecules.npz"
    whole = path.read_bytes()
    for at in range(len(whole)):
        for flipped in (whole[at] ^ 1, whole[at] ^ 255):
            path.write_bytes(whole[:at] + bytes([flipped]) + whole[at + 1 :])
            assert of(["CCO", "CCN"]).molecules == ["CCO", "CCN"], at


def test_where_nothing_can_be_kept_it_works_and_says_so(of, tmp_path):
    (tmp_path / "file").write_text("no folder")
    found = of(SMILES, folder=tmp_path / "file")
    assert found.molecules == [canonical(text) for text in SMILES]
    assert any("molecules.npz cannot be written" in line and "computed again next time" in line for line in of.told)
    assert len(found.fingerprints) == len(SMILES)
    assert (tmp_path / "file").read_text() == "no folder"


def test_workers_make_no_difference(of, tmp_path):
    alone, helped = of(SMILES, workers=0), of(SMILES, workers=2, folder=tmp_path / "other")
    for ask in PARTS.values():
        np.testing.assert_array_equal(ask(alone), ask(helped))


def test_chemnet_is_asked_once(of, monkeypatch):
    asked = []

    def activations(smiles, *, device):
        asked.append((list(smiles), device))
        return reference.fcd.Activations(np.ones(512), np.eye(512), len(smiles), 1)

    monkeypatch.setattr(reference.fcd, "activations", activations)
    for _ in range(2):
        for ask in (lambda r: r.activations, lambda r: r.guacamol_activations):
            found = ask(of(SMILES, device="cuda:7"))
            assert (found.count, found.skipped, found.mean.sum(), found.covariance.sum()) == (12, 1, 512, 512)
    once = of(SMILES)
    assert asked == [(once.molecules, "cuda:7"), (once.drawn, "cuda:7")]
