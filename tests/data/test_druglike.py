"""The druglike dataset: cleaning of molecules and assembly of the splits."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molvae.data.druglike import build_druglike, clean_druglike
from molvae.errors import MoleculeError

DRUGS = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "C[C@H](N)C(=O)N1CCC[C@H]1C(=O)O",
    "CC(=O)[O-].C[NH+]1CCC[C@H]1c1cccnc1",
    "C/C=C/c1ccc(O)c(OC)c1",
    "OB(O)c1ccccc1",
    "CC[Se]c1ccccc1",
]


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("O=C(C)Oc1ccccc1C(=O)O", "CC(=O)Oc1ccccc1C(=O)O"),
        ("[Na+].[O-]C(=O)c1ccccc1", "O=C([O-])c1ccccc1"),  # the charge is kept
        ("Cl.C[NH2+]CCc1ccccc1", "C[NH2+]CCc1ccccc1"),
        ("[2H]C([2H])([2H])Oc1ccccc1", "COc1ccccc1"),  # deuterium becomes an implicit hydrogen
        ("[13CH3][C@H](C)c1ccccc1", "CC(C)c1ccccc1"),  # chiral only by an isotope
        ("C[C@H](N)Cc1ccccc1", "C[C@H](N)Cc1ccccc1"),
    ],
)
def test_clean_druglike(smiles: str, expected: str) -> None:
    assert clean_druglike(smiles) == expected


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("CCO", "3 heavy atoms"),
        ("C" * 65, "65 heavy atoms"),
        ("C[Sn](C)(C)c1ccccc1", "element Sn"),
        ("N1=PN=PN=P1", "no carbon"),
        ("CC1(C)CCCC(C)(C)N1[O]", "a radical"),
        ("[C@@H]1(O)" + "[C@@H](O)" * 20 + "CCCCC1", "characters, more than 160"),
        ("C1CC", "ring 1 opened but not closed"),
        ("", "empty"),
    ],
)
def test_rejected_molecules(smiles: str, reason: str) -> None:
    with pytest.raises(MoleculeError, match=reason):
        clean_druglike(smiles)


@given(st.lists(st.sampled_from(DRUGS), min_size=1, max_size=4))
def test_cleaning_is_idempotent(parts: list[str]) -> None:
    clean = clean_druglike(".".join(parts))
    assert "." not in clean
    assert clean_druglike(clean) == clean
    assert clean == clean_druglike(".".join(reversed(parts)))


def test_build_from_csv_and_zip(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"id,smiles\n1,{DRUGS[0]}\n2,{DRUGS[1]}\n")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("b.txt", f"{DRUGS[0]}\n{DRUGS[2]}\n")
    messages: list[str] = []
    parts = [(tmp_path / "a.csv", "first", None), (tmp_path / "b.zip", "second", None)]
    files = build_druglike(parts, tmp_path, progress=messages.append)
    assert [file.name for file in files] == [f"druglike_{split}.smi.gz" for split in ("train", "valid", "test")]
    assert messages == [
        "a.csv: 2 read: 2 accepted, 0 duplicate, 0 invalid",
        "b.zip: 2 read: 1 accepted, 1 duplicate, 0 invalid",
    ]
    lines = sorted(line for file in files for line in gzip.decompress(file.read_bytes()).decode().splitlines())
    assert lines == sorted([f"{DRUGS[0]}\tfirst", f"{DRUGS[1]}\tfirst", f"{DRUGS[2]}\tsecond"])
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in build_druglike(parts, tmp_path)] == before


@pytest.mark.parametrize("size", [0, 1])
def test_build_from_zero_or_one_molecule(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.smi").write_text("# comment\n" + f"{DRUGS[0]}\n" * size)
    files = build_druglike([(tmp_path / "a.smi", "x", None)], tmp_path)
    assert sum(gzip.decompress(file.read_bytes()).count(b"\n") for file in files) == size
