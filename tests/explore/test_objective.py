"""Goals in words, judged beside RDKit."""

from __future__ import annotations

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator

from molvae.chem.scoring_functions import ScoringFunctionWarning
from molvae.errors import InputError
from molvae.explore.objective import Goal

START, *OTHERS = (DRUGS[name] for name in ("diazepam", "bromazepam", "aspirin", "imatinib"))


def test_only_what_is_inside_is_scored():
    goal = Goal.of("qed - 0.1*logp", ["similarity>=0.2", "mw<400"])
    judged = goal.judge(START, [START, *OTHERS])
    mols = [Chem.MolFromSmiles(smiles) for smiles in (START, *OTHERS)]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(mol) for mol in mols]
    similarity = np.array(DataStructs.BulkTanimotoSimilarity(prints[0], prints))
    np.testing.assert_allclose(judged.figures["similarity"], similarity)
    inside = (similarity >= 0.2) & (np.array([Descriptors.MolWt(mol) for mol in mols]) < 400)
    assert list(judged.gap == 0) == list(inside) == [True, True, False, False]
    expected = [QED.qed(mol) - 0.1 * Crippen.MolLogP(mol) for mol in mols[:2]]
    np.testing.assert_allclose(judged.score[:2], expected)
    assert np.isnan(judged.score[2:]).all()
    assert np.isnan(judged.figures["mw"][2:]).all()  # too unlike already: nothing dearer is computed
    np.testing.assert_allclose(judged.gap[2:], 0.2 - similarity[2:])


def test_gaps_grow_with_the_distance_and_are_never_0_outside():
    goal = Goal.of("qed", ["mw 100:150"])
    gap = goal.judge("C", ["CCCCCCC", "CCCCCCCCCCC", "CCCCCCCCCCCCCC", "CC"]).gap
    weight = [Descriptors.MolWt(Chem.MolFromSmiles("C" * n)) for n in (11, 14, 2)]
    np.testing.assert_allclose(gap, [0, (weight[0] - 150) / 150, (weight[1] - 150) / 150, (100 - weight[2]) / 100])
    assert Goal.of("qed", ["heavy_atoms<3"]).judge("C", ["CCC"]).gap[0] > 0  # on the bound of an open window


def test_a_function_is_asked_about_what_is_inside_alone():
    seen = []

    def oxygens(mol):
        seen.append(mol.GetNumAtoms())
        return sum(atom.GetSymbol() == "O" for atom in mol.GetAtoms())

    goal = Goal.of(oxygens, ["mw<100"])
    judged = goal.judge("C", ["OCCO", DRUGS["imatinib"], "CCO"])
    assert (goal.name, seen) == ("oxygens", [4, 3])
    assert judged.score.tolist()[::2] == [2, 1]
    assert np.isnan(judged.score[1])


def test_scores_of_ones_own_in_sums_and_windows():
    """They are the dearest: asked last, and only about what everything else lets pass; and each once."""
    asked = []

    def atoms(smiles):
        asked.append(list(smiles))
        return np.array([Chem.MolFromSmiles(text).GetNumAtoms() for text in smiles], dtype=float)

    goal = Goal.of("qed - 2*atoms", ["atoms<4", "mw<100"], {"atoms": atoms})
    molecules = ["OCCO", DRUGS["imatinib"], "CCO"]
    judged = goal.judge("C", molecules)
    assert asked == [["OCCO", "CCO"]]
    assert goal.names == ("similarity", "qed", "atoms", "mw")
    assert judged.gap.tolist()[::2] == [1e-9, 0]
    assert judged.score[2] == pytest.approx(QED.qed(Chem.MolFromSmiles("CCO")) - 6)
    assert np.isnan(judged.score[:2]).all()
    with pytest.raises(InputError, match="did you mean 'atoms'"):
        Goal.of("-atom", (), {"atoms": atoms})


def test_a_function_of_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def rings(mol):\n    return mol.GetRingInfo().NumRings() or 1 / 0\n")
    judged = Goal.of(f"{file}:rings").judge("C", ["c1ccccc1", "CCO"])
    assert judged.score[0] == 1
    assert np.isnan(judged.score[1])  # it fails on this one


def test_a_property_model_and_its_folder(tiny_model, tmp_path):
    pytest.importorskip("sklearn")
    from molvae.qsar.property_model import fit_property_model

    names = [f"{'C' * n}{end}" for n in range(1, 16) for end in ("", "O", "N", "C(=O)O")]
    table = tmp_path / "table.csv"
    table.write_text("smiles,weight\n" + "".join(f"{n},{Descriptors.MolWt(Chem.MolFromSmiles(n))}\n" for n in names))
    model = fit_property_model(table, "weight", split="random", folds=2, model=tiny_model, device="cpu")
    expected = model.predict(["CCCCC", "CCO"])["prediction"]
    for maximize in (model, str(model.save(tmp_path / "model"))):
        goal = Goal.of(maximize)
        assert goal.name == "weight"
        np.testing.assert_allclose(goal.judge("C", ["CCCCC", "CCO"]).score, expected)


def test_a_function_that_fails_on_a_molecule_gives_it_no_score():
    def odd(mol):
        if mol.GetNumAtoms() % 2:
            raise ValueError("odd")
        return float(mol.GetNumAtoms())

    goal = Goal.of(odd)
    assert goal.name == "odd"
    with pytest.warns(ScoringFunctionWarning, match="odd failed for 1 of 3 molecules"):
        np.testing.assert_array_equal(goal.judge("C", ["CC", "CCC", "CCCC"]).score, [2, np.nan, 4])


def test_nothing_to_judge():
    judged = Goal.of("qed", ["mw<100"]).judge("C", [])
    assert len(judged.gap) == len(judged.score) == 0


@pytest.mark.parametrize(
    ("maximize", "keep", "message"),
    [
        ("qde", [], "did you mean 'qed'"),
        ("qed", ["similarty>0.4"], "did you mean 'similarity'"),
        ("qed", ["about 3"], "cannot read the wish"),
        ("nowhere.py:f", [], "cannot read the scoring function 'nowhere.py:f'"),
    ],
)
def test_what_cannot_be_read(maximize, keep, message):
    with pytest.raises(InputError, match=message):
        Goal.of(maximize, keep)
