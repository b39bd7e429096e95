"""Input types of `molvae.score`: SMILES, files, named datasets and seeds."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest
from molecules import DRUGS

import molvae
from molvae.errors import InputError
from molvae.metrics.reference import Reference
from molvae.metrics.score import load_references, score

SMILES = list(DRUGS.values())[:8]


@pytest.fixture(autouse=True)
def _temporary_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLVAE_DATA", str(tmp_path / "data"))


def scored(smiles, **options):
    return score(smiles, **{"workers": 1, "fcd": False, "device": "cpu", "columns": ("logp",), **options})


def test_score_is_exported():
    assert molvae.score is score


def test_table_has_all_rows_if_metrics_use_a_sample():
    scores = scored([*SMILES, "C1CC"], sample_size=3)
    assert len(scores.molecules) == 9
    assert scores.counts["sampled"] == 3
    assert scores.molecules["error"].astype(bool).tolist() == [False] * 8 + [True]


def test_single_smiles():
    assert scored("CCO").molecules["canonical"].tolist() == ["CCO"]


def test_empty_list():
    scores = scored([], train=SMILES)
    assert len(scores.molecules) == 0
    assert {"smiles", "error", "canonical", "logp", "not_in_training", "nearest_neighbor"} <= set(
        scores.molecules.columns
    )


@pytest.mark.parametrize("smiles", [[], ["C1CC"]])
def test_metrics_without_valid_molecules_are_none(smiles):
    options = {"train": SMILES, "test": SMILES, "test_scaffolds": SMILES, "columns": None}
    full, empty = scored(SMILES, **options).metrics, scored(smiles, **options).metrics
    assert {section: list(found) for section, found in empty.items()} == {s: list(found) for s, found in full.items()}
    of_test_set = [name for name in empty["Plausibility"] if name.endswith("/Test")]
    assert all(empty["Plausibility"].pop(name) is not None for name in of_test_set)
    values = [value for found in empty.values() for value in found.values() if value is not None]
    assert values == ([] if not smiles else [0.0, 0.0])  # the fraction of valid molecules


@pytest.mark.parametrize("kind", [str, Path])
def test_file_with_names(tmp_path, kind):
    (tmp_path / "a.smi").write_text("CCO ethanol\nC1CC\n")
    scores = scored(kind(tmp_path / "a.smi"))
    assert scores.counts["valid"] == 1
    assert scores.molecules["name"].tolist() == ["ethanol", ""]
    with pytest.raises(InputError, match="seeds cannot be combined with a file"):
        scored(kind(tmp_path / "a.smi"), seeds="CCO")
    with pytest.raises(InputError, match=r"b\.smi does not exist"):
        scored(kind(tmp_path / "b.smi"))


@pytest.mark.parametrize("smiles", [None, 3, pd.DataFrame({"x": ["CCO"]})])
def test_input_that_is_not_smiles_raises(smiles):
    with pytest.raises(InputError, match="SMILES"):
        scored(smiles)
    with pytest.raises(InputError, match="SMILES"):
        scored("CCO", train=smiles if smiles is not None else 3)


def test_reference_types(tmp_path):
    (tmp_path / "train.smi").write_text("\n".join([*SMILES, "C1CC"]))
    pd.DataFrame({"smiles": SMILES}).to_csv(tmp_path / "train.csv", index=False)
    expected = scored(["CCO", SMILES[0]], train=SMILES)
    assert expected.molecules["not_in_training"].tolist() == [True, False]
    for train in (
        str(tmp_path / "train.smi"),
        tmp_path / "train.csv",
        iter(SMILES),
        pd.Series([*SMILES, None, float("nan")]),
        Reference(SMILES, workers=1),
    ):
        found = scored(["CCO", SMILES[0]], train=train)
        assert found.metrics == expected.metrics
        pd.testing.assert_frame_equal(found.molecules, expected.molecules)


def test_named_dataset_and_its_splits(tmp_path):
    for split, smiles in (("train", "CCO"), ("test", "CCN"), ("valid", "CCC")):
        path = tmp_path / "data" / "druglike" / f"druglike_{split}.smi.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(smiles.encode()))
    found = load_references("druglike", "druglike", "druglike:valid")
    assert found.train.smiles == ["CCO"]
    assert found.test.smiles == ["CCN"]
    assert found.test_scaffolds.smiles == ["CCC"]
    assert [r.name for r in (found.train, found.test)] == ["druglike:train", "druglike:test"]
    assert found.neighbors is found.train
    assert load_references(test=["CCO"]).neighbors.smiles == ["CCO"]
    assert load_references().neighbors is None


def test_invalid_references_raise(tmp_path):
    (tmp_path / "bad.smi").write_text("C1CC\n")
    for train, reason in (
        ("nowhere.smi", "does not exist"),
        ("nothing", "nothing"),
        ("C" * 5000, "C"),
        ([], "the training set has no valid molecule \\(rows read: 0"),
        ([None], "the training set has no valid molecule \\(rows read: 1"),
        (tmp_path / "bad.smi", "bad.smi has no valid molecule"),
    ):
        with pytest.raises(InputError, match=reason):
            scored(["CCO"], train=train)


def test_progress_messages_of_references(tmp_path):
    (tmp_path / "a.smi").write_text("CCO\n")
    messages = []
    _ = load_references(test=tmp_path / "a.smi", workers=1, progress=messages.append).test.molecules
    assert len(messages) == 1
    assert messages[0].startswith(f"{tmp_path / 'a.smi'}: computing molecules")


def test_one_seed_or_one_per_molecule():
    one = scored(["CCN", "CCC"], seeds="CCO")
    per_molecule = scored(["CCN", "CCC"], seeds=["CCO", "CCO"])
    pd.testing.assert_frame_equal(one.molecules, per_molecule.molecules)
    pd.testing.assert_frame_equal(one.seeds, per_molecule.seeds)
    assert one.seeds["seed"].tolist() == ["CCO"]
    assert scored(iter(["CCN", "CCC"]), seeds="CCO").counts["read"] == 2
    assert scored(["CCN"]).seeds is None
    with pytest.raises(InputError, match="one per molecule"):
        scored(["CCN", "CCC"], seeds=["CCO"])
    missing = scored(["CCN", "CCC", "CCF"], seeds=["CCO", None, float("nan")])
    assert missing.seeds["seed"].tolist() == ["CCO", ""]
    assert missing.seeds["proposed"].tolist() == [1, 2]


def test_unknown_columns_and_devices_raise():
    with pytest.raises(InputError, match="did you mean 'qed'"):
        scored(["CCO"], columns=("qid",))
    with pytest.raises(InputError, match="cannot use the device 'abacus'"):
        scored(["CCO"], device="abacus")


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_do_not_change_results(workers):
    options = {"train": SMILES[:4], "test": SMILES[4:], "columns": None}
    found, expected = scored(SMILES, **options, workers=workers), scored(SMILES, **options)
    pd.testing.assert_frame_equal(found.molecules, expected.molecules)
    assert found.to_json() == expected.to_json()


def test_index_of_series_is_kept():
    column = pd.Series(["CCO", "C1CC", "CCN"], index=[4, 2, 4])
    found = score(column, columns=["qed"], workers=1, fcd=False).molecules
    assert found.index.equals(column.index)
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), score(list(column), columns=["qed"], workers=1, fcd=False).molecules
    )
