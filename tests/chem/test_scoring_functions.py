"""Scoring functions: every kind of user function is adapted to one contract; a failure affects one molecule only."""

from __future__ import annotations

import pickle
import sys
import warnings

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import QED, Descriptors

from molvae.chem.scoring_functions import (
    FileFunction,
    ScoringFunctionWarning,
    as_scoring_function,
    as_scoring_functions,
)
from molvae.chem.smiles import parse
from molvae.errors import InputError

SMILES = list(DRUGS.values())
MOLS = [parse(text) for text in SMILES]
SIZES = np.array([mol.GetNumAtoms() for mol in MOLS], dtype=float)


def sizes(smiles):
    return [Chem.MolFromSmiles(text).GetNumAtoms() for text in smiles]


def size(mol):
    return mol.GetNumAtoms()


def annotated_size(x: Chem.Mol) -> float:
    return x.GetNumAtoms()


def annotated_sizes(x: list[str]) -> list[float]:
    return sizes(x)


@pytest.mark.parametrize(
    ("function", "takes_mol"),
    [
        (sizes, False),
        (size, True),
        (annotated_size, True),
        (annotated_sizes, False),
        (lambda x: np.array(sizes(x)), False),
        (lambda x: x.GetNumAtoms(), True),
        (lambda *x: x[0].GetNumAtoms(), True),
    ],
)
def test_functions_of_smiles_and_of_molecules(function, takes_mol):
    score = as_scoring_function(function, "size")
    np.testing.assert_array_equal(score(SMILES), SIZES)
    np.testing.assert_array_equal(score.score_molecules(MOLS), SIZES)
    assert score([]).shape == score.score_molecules([]).shape == (0,)
    assert score.takes_mol is takes_mol


def test_rdkit_descriptor_and_property_name():
    np.testing.assert_allclose(as_scoring_function(Descriptors.MolWt)(SMILES), [Descriptors.MolWt(m) for m in MOLS])
    np.testing.assert_allclose(as_scoring_function("qed")(SMILES), [QED.qed(m) for m in MOLS])


def test_invalid_smiles_has_no_score():
    assert np.isnan(as_scoring_function(size)(["C1CC", "C"])).tolist() == [True, False]


@pytest.mark.parametrize("takes_mol", [True, False])
def test_failure_gives_nan_and_warns_once(takes_mol):
    def inverse_size(mol):
        return 1 / (mol.GetNumAtoms() - 2)

    def inverse_lengths(smiles):
        return [1 / (len(text) - 2) for text in smiles]

    score = as_scoring_function(inverse_size if takes_mol else inverse_lengths)
    with pytest.warns(ScoringFunctionWarning, match=r"failed for 1 of 3 molecules.* first for CC with ZeroDivision"):
        np.testing.assert_array_equal(score(["C", "CC", "CCC"]), [-1, np.nan, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(score(["CCC", "CC"]), [1, np.nan])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda smiles: 1.0, "must return 2 numbers for 2 molecules, got a single number"),  # noqa: ARG005
        (lambda smiles: smiles, "one number for each molecule: could not convert"),
        (lambda smiles: [1.0] * 3, r"got an array of shape \(3,\)"),  # noqa: ARG005
    ],
)
def test_wrong_return_value_is_an_error(function, message):
    with pytest.raises(InputError, match=message):
        as_scoring_function(function, "x")(["C", "CC"])


def test_names():
    named = as_scoring_functions({"a": size, "b": "qed"})
    assert {key: function.name for key, function in named.items()} == {"a": "a", "b": "b"}
    assert list(as_scoring_functions([size, "qed"])) == ["size", "qed"]
    assert as_scoring_functions(None) == {}
    with pytest.raises(InputError, match="two scores are called 'size'"):
        as_scoring_functions([size, size])
    with pytest.raises(InputError, match="cannot use 3 as a scoring function"):
        as_scoring_function(3)


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.py"
    path.write_text("SIZE = 2\n\ndef heavy(mol):\n    if mol.GetNumAtoms() > 30:\n        raise ValueError('too big')\n"
                    "    return SIZE * mol.GetNumAtoms()\n")  # fmt: skip
    return path


@pytest.mark.filterwarnings("ignore::molvae.chem.scoring_functions.ScoringFunctionWarning")
def test_function_in_a_file(rules):
    score = as_scoring_function(f"{rules}:heavy")
    expected = np.where(SIZES > 30, np.nan, 2 * SIZES)
    np.testing.assert_array_equal(score(SMILES), expected)
    np.testing.assert_array_equal(score.score_molecules(MOLS), expected)
    assert as_scoring_function(f"{rules}:heavy", "weight").name == "weight"
    rules.write_text("def heavy(smiles):\n    return [len(text) for text in smiles]\n")
    assert as_scoring_function(f"{rules}:heavy")(["CC"]).tolist() == [2]


def test_file_function_is_pickled_without_its_file(rules):
    score = as_scoring_function(f"{rules}:heavy", "weight")
    score.score_molecules(MOLS[:1])
    text = pickle.dumps(score)
    rules.unlink()
    restored = pickle.loads(text)
    assert restored.name == "weight"
    assert restored(["CCO"]).tolist() == [6]


def test_file_may_define_dataclasses(rules):
    """`dataclasses` looks up string annotations in the module, which must not shadow an installed one."""
    rules.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Rule:\n    weight: float\n\n"
        "def heavy(mol):\n    return Rule(3.0).weight * mol.GetNumAtoms()\n"
    )
    before = set(sys.modules)
    np.testing.assert_array_equal(as_scoring_function(f"{rules}:heavy")(SMILES), 3 * SIZES)
    assert not any(name.split(".")[0] in ("rules", "rdkit", "numpy") for name in set(sys.modules) - before)


def test_file_encoding(rules):
    rules.write_bytes(b"# -*- coding: latin-1 -*-\nNAME = 'caf\xe9'\ndef heavy(mol):\n    return len(NAME)\n")
    np.testing.assert_array_equal(as_scoring_function(f"{rules}:heavy")(["C", "CC"]), [4, 4])
    rules.write_bytes(b"\xef\xbb\xbfdef heavy(mol):\n    return 1\n")
    np.testing.assert_array_equal(as_scoring_function(f"{rules}:heavy")(["C", "CC"]), [1, 1])
    rules.write_bytes(b"NAME = 'caf\xe9'\n")
    with pytest.raises(InputError, match="cannot read the scoring function"):
        as_scoring_function(f"{rules}:heavy")


def test_import_of_neighboring_file_is_an_error(rules):
    rules.with_name("helper.py").write_text("W = 1\n")
    rules.write_text("from helper import W\n\ndef heavy(mol):\n    return W\n")
    with pytest.raises(InputError, match="cannot import other files of its folder"):
        as_scoring_function(f"{rules}:heavy")


@pytest.mark.parametrize(
    ("text", "message"),
    [("def other(mol): return 1", "no function 'heavy'"), ("1 / 0", "cannot be run"), ("def (", "cannot be run")],
)
def test_unusable_file_is_an_error_at_once(rules, text, message):
    rules.write_text(text)
    with pytest.raises(InputError, match=message):
        FileFunction.from_spec(f"{rules}:heavy")
    with pytest.raises(InputError, match="cannot read the scoring function"):
        FileFunction.from_spec("nowhere.py:heavy")
