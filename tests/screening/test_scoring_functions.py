"""Similarity scores agree with RDKit and NumPy; scores of every kind are loaded by name."""

from __future__ import annotations

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import DataStructs

from molvae.chem.fingerprints import morgan, morgan_bits
from molvae.chem.smiles import parse
from molvae.errors import CheckpointError, InputError
from molvae.screening.scoring_functions import CosineScore, TanimotoScore, load_scoring_functions

MOLS = [parse(text) for text in DRUGS.values()]


def test_tanimoto_to_nearest_seed():
    seeds = MOLS[:3]
    expected = np.array([[DataStructs.TanimotoSimilarity(morgan(m), morgan(s)) for s in seeds] for m in MOLS])
    score = TanimotoScore(morgan_bits(seeds))
    np.testing.assert_allclose(score.to_each_seed(MOLS), expected, rtol=1e-6)
    np.testing.assert_allclose(score(MOLS), expected.max(axis=1), rtol=1e-6)
    assert score([]).shape == (0,)


def test_cosine_to_nearest_seed_ignores_length():
    rng = np.random.default_rng(0)
    z, seeds = rng.normal(size=(20, 7)).astype(np.float32), rng.normal(size=(3, 7)).astype(np.float32)
    expected = [max(a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in seeds) for a in z]
    np.testing.assert_allclose(CosineScore(seeds)(5 * z), expected, rtol=1e-5)
    assert np.isfinite(CosineScore(seeds)(np.zeros((1, 7), np.float32))).all()
    assert CosineScore(seeds)(z[:0]).shape == (0,)


def test_scores_by_name(tmp_path):
    rules = tmp_path / "rules.py"
    rules.write_text("def carbons(smiles):\n    return [text.count('C') for text in smiles]\n")
    loaded = load_scoring_functions([f"{rules}:carbons", len])
    assert list(loaded) == ["carbons", "len"]
    assert loaded["carbons"](["CCO"]).tolist() == [2]
    assert list(load_scoring_functions({"c": f"{rules}:carbons"})) == ["c"]
    assert list(load_scoring_functions("qed")) == ["qed"]
    with pytest.raises(InputError, match="no model' as a scoring function"):
        load_scoring_functions([tmp_path / "no model"])
    with pytest.raises(CheckpointError):
        load_scoring_functions([tmp_path])


def test_score_cannot_have_the_name_of_a_column(tmp_path):
    (tmp_path / "rules.py").write_text("def qed(mol):\n    return 1\n")
    with pytest.raises(InputError, match="cannot be called 'qed'"):
        load_scoring_functions([f"{tmp_path / 'rules.py'}:qed"])
    with pytest.raises(InputError, match="cannot be called 'smiles'"):
        load_scoring_functions({"smiles": len})


def test_two_scores_of_one_name_are_an_error(tmp_path):
    for file in ("one.py", "two.py"):
        (tmp_path / file).write_text("def potency(mol):\n    return 1\n")
    with pytest.raises(InputError, match="two scores are called 'potency'"):
        load_scoring_functions([f"{tmp_path / file}:potency" for file in ("one.py", "two.py")])
