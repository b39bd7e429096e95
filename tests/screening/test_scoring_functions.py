"""Scores are RDKit's and NumPy's; a stranger's function harms nobody but its own molecule."""

from __future__ import annotations

import pickle
import sys
import warnings

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import DataStructs
from rdkit.Chem import Descriptors

from molvae.chem.fingerprints import morgan, morgan_bits
from molvae.chem.smiles import parse
from molvae.errors import InputError
from molvae.screening.scoring_functions import Cosine, Property, PythonScore, ScoreWarning, Tanimoto

MOLS = [parse(text) for text in DRUGS.values()]


def test_tanimoto_is_to_the_nearest_seed():
    seeds = MOLS[:3]
    expected = np.array([[DataStructs.TanimotoSimilarity(morgan(m), morgan(s)) for s in seeds] for m in MOLS])
    score = Tanimoto(morgan_bits(seeds))
    np.testing.assert_allclose(score.to_each(MOLS), expected, rtol=1e-6)
    np.testing.assert_allclose(score(MOLS), expected.max(axis=1), rtol=1e-6)
    assert score([]).shape == (0,)


def test_cosine_is_to_the_nearest_seed_and_no_matter_how_long():
    rng = np.random.default_rng(0)
    z, seeds = rng.normal(size=(20, 7)).astype(np.float32), rng.normal(size=(3, 7)).astype(np.float32)
    expected = [max(a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in seeds) for a in z]
    np.testing.assert_allclose(Cosine(seeds)(5 * z), expected, rtol=1e-5)
    assert np.isfinite(Cosine(seeds)(np.zeros((1, 7), np.float32))).all()
    assert Cosine(seeds)(z[:0]).shape == (0,)


def test_property_is_rdkits():
    np.testing.assert_allclose(Property("mw")(MOLS), [Descriptors.MolWt(mol) for mol in MOLS])


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.py"
    path.write_text("SIZE = 2\n\ndef heavy(mol):\n    if mol.GetNumAtoms() > 30:\n        raise ValueError('too big')\n"
                    "    return SIZE * mol.GetNumAtoms()\n")  # fmt: skip
    return path


def test_a_function_of_ones_own(rules):
    score = PythonScore.read(f"{rules}:heavy")
    got = score(MOLS)
    sizes = np.array([mol.GetNumAtoms() for mol in MOLS])
    np.testing.assert_array_equal(got, np.where(sizes > 30, np.nan, 2 * sizes))


def test_a_function_that_fails_on_all_tells_the_reason_once_and_is_no_error(rules):
    rules.write_text("def heavy(smiles):\n    return len(smiles)\n")
    score = PythonScore.read(f"{rules}:heavy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(score([])) == 0
    with pytest.warns(ScoreWarning, match=r"heavy failed on each of 8 molecules, first with TypeError\(.*RDKit Mol"):
        assert np.isnan(score([MOLS[0]] * 8)).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(score([MOLS[0]] * 8)).all()


def test_it_travels_without_its_file(rules):
    score = PythonScore.read(f"{rules}:heavy")
    score(MOLS[:1])
    sent = pickle.dumps(score)
    rules.unlink()
    np.testing.assert_array_equal(pickle.loads(sent)(MOLS), score(MOLS))


def test_a_file_may_have_dataclasses_and_is_no_module_of_another_name(rules):
    """Whose annotations Python looks up in the module that they are of."""
    rules.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Rule:\n    weight: float\n\n"
        "def heavy(mol):\n    return Rule(3.0).weight * mol.GetNumAtoms()\n"
    )
    before = set(sys.modules)
    score = PythonScore.read(f"{rules}:heavy")
    np.testing.assert_array_equal(score(MOLS), [3 * mol.GetNumAtoms() for mol in MOLS])
    assert not any(name.split(".")[0] in ("rules", "rdkit", "numpy") for name in set(sys.modules) - before)


def test_a_file_is_read_as_python_reads_it(rules):
    """In the encoding that it states, with a mark of its order of bytes or without."""
    rules.write_bytes(b"# -*- coding: latin-1 -*-\nNAME = 'caf\xe9'\ndef heavy(mol):\n    return len(NAME)\n")
    np.testing.assert_array_equal(PythonScore.read(f"{rules}:heavy")(MOLS[:2]), [4, 4])
    rules.write_bytes(b"\xef\xbb\xbfdef heavy(mol):\n    return 1\n")
    np.testing.assert_array_equal(PythonScore.read(f"{rules}:heavy")(MOLS[:2]), [1, 1])
    rules.write_bytes(b"NAME = 'caf\xe9'\n")
    with pytest.raises(InputError, match="cannot read the score"):
        PythonScore.read(f"{rules}:heavy")


def test_a_file_that_needs_another_beside_it_is_told_so(rules):
    rules.with_name("helper.py").write_text("W = 1\n")
    rules.write_text("from helper import W\n\ndef heavy(mol):\n    return W\n")
    with pytest.raises(InputError, match="a score has to stand in one file"):
        PythonScore.read(f"{rules}:heavy")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("def other(mol): return 1", "no function 'heavy'"), ("1 / 0", "cannot be run"), ("def (", "cannot be run")],
)
def test_a_file_without_it_is_an_error_at_once(rules, text, complaint):
    rules.write_text(text)
    with pytest.raises(InputError, match=complaint):
        PythonScore.read(f"{rules}:heavy")
    with pytest.raises(InputError, match="cannot read the score"):
        PythonScore.read("nowhere.py:heavy")
