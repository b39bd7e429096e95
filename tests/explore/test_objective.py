"""Objectives and their filters, evaluated and compared with RDKit."""

from __future__ import annotations

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator

from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.precedence import PrecedenceTable
from molvae.chem.scoring_functions import ScoringFunctionWarning
from molvae.errors import InputError
from molvae.explore.objective import Objective

SEED, *OTHERS = (DRUGS[name] for name in ("diazepam", "bromazepam", "aspirin", "imatinib"))


def test_only_feasible_molecules_are_scored():
    evaluation = Objective.parse("qed - 0.1*logp", ["similarity>=0.2", "mw<400"]).evaluate(SEED, [SEED, *OTHERS])
    mols = [Chem.MolFromSmiles(smiles) for smiles in (SEED, *OTHERS)]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    fingerprints = [generator.GetFingerprint(mol) for mol in mols]
    similarity = np.array(DataStructs.BulkTanimotoSimilarity(fingerprints[0], fingerprints))
    np.testing.assert_allclose(evaluation.properties["similarity"], similarity)
    feasible = (similarity >= 0.2) & (np.array([Descriptors.MolWt(mol) for mol in mols]) < 400)
    assert list(evaluation.violation == 0) == list(feasible) == [True, True, False, False]
    expected = [QED.qed(mol) - 0.1 * Crippen.MolLogP(mol) for mol in mols[:2]]
    np.testing.assert_allclose(evaluation.score[:2], expected)
    assert np.isnan(evaluation.score[2:]).all()
    assert np.isnan(evaluation.properties["mw"][2:]).all()  # not computed after the similarity filter
    np.testing.assert_allclose(evaluation.violation[2:], 0.2 - similarity[2:])


def test_violation_is_relative_to_the_bound():
    violation = Objective.parse("qed", ["mw 100:150"]).evaluate("C", ["C" * n for n in (7, 11, 14, 2)]).violation
    weight = [Descriptors.MolWt(Chem.MolFromSmiles("C" * n)) for n in (11, 14, 2)]
    np.testing.assert_allclose(violation, [0, weight[0] / 150 - 1, weight[1] / 150 - 1, 1 - weight[2] / 100])


def test_violation_is_positive_on_an_open_bound():
    assert Objective.parse("qed", ["heavy_atoms<3"]).evaluate("C", ["CCC"]).violation[0] > 0


def test_function_is_called_for_feasible_molecules_only():
    n_atoms = []

    def oxygens(mol):
        n_atoms.append(mol.GetNumAtoms())
        return sum(atom.GetSymbol() == "O" for atom in mol.GetAtoms())

    objective = Objective.parse(oxygens, ["mw<100"])
    evaluation = objective.evaluate("C", ["OCCO", DRUGS["imatinib"], "CCO"])
    assert (objective.name, n_atoms) == ("oxygens", [4, 3])
    np.testing.assert_array_equal(evaluation.score, [2, np.nan, 1])


def test_user_scores_are_computed_last_and_once():
    calls = []

    def atoms(smiles):
        calls.append(list(smiles))
        return np.array([Chem.MolFromSmiles(text).GetNumAtoms() for text in smiles], dtype=float)

    objective = Objective.parse("qed - 2*atoms", ["atoms<4", "mw<100"], {"atoms": atoms})
    evaluation = objective.evaluate("C", ["OCCO", DRUGS["imatinib"], "CCO"])
    assert calls == [["OCCO", "CCO"]]
    assert objective.property_names == ("similarity", "qed", "atoms", "mw")
    assert evaluation.violation.tolist()[::2] == [1e-9, 0]
    assert evaluation.score[2] == pytest.approx(QED.qed(Chem.MolFromSmiles("CCO")) - 6)
    assert np.isnan(evaluation.score[:2]).all()


@pytest.mark.filterwarnings("ignore")
def test_function_from_a_file(tmp_path):
    file = tmp_path / "functions.py"
    file.write_text("def rings(mol):\n    return mol.GetRingInfo().NumRings() or 1 / 0\n")
    evaluation = Objective.parse(f"{file}:rings").evaluate("C", ["c1ccccc1", "CCO"])
    np.testing.assert_array_equal(evaluation.score, [1, np.nan])  # the function fails for the second


def test_property_model_and_its_directory(tiny_model, tmp_path):
    pytest.importorskip("sklearn")
    from molvae.qsar.property_model import fit_property_model

    smiles = [f"{'C' * n}{end}" for n in range(1, 16) for end in ("", "O", "N", "C(=O)O")]
    table = tmp_path / "table.csv"
    rows = [f"{text},{Descriptors.MolWt(Chem.MolFromSmiles(text))}\n" for text in smiles]
    table.write_text("smiles,weight\n" + "".join(rows))
    model = fit_property_model(table, "weight", split="random", folds=2, model=tiny_model, device="cpu")
    expected = model.predict(["CCCCC", "CCO"])["prediction"]
    for source in (model, str(model.save(tmp_path / "model"))):
        objective = Objective.parse(source)
        assert objective.name == "weight"
        np.testing.assert_allclose(objective.evaluate("C", ["CCCCC", "CCO"]).score, expected)


def test_molecule_for_which_the_function_fails_has_no_score():
    def even_atoms(mol):
        if mol.GetNumAtoms() % 2:
            raise ValueError("odd number of atoms")
        return float(mol.GetNumAtoms())

    objective = Objective.parse(even_atoms)
    with pytest.warns(ScoringFunctionWarning, match="even_atoms"):
        score = objective.evaluate("C", ["CC", "CCC", "CCCC"]).score
    np.testing.assert_array_equal(score, [2, np.nan, 4])


def test_no_molecules():
    evaluation = Objective.parse("qed", ["mw<100"]).evaluate("C", [])
    assert len(evaluation.violation) == len(evaluation.score) == 0


@pytest.mark.parametrize(
    ("objective", "filters", "message"),
    [
        ("qde", [], "did you mean 'qed'"),
        ("qed", ["similarty>0.4"], "did you mean 'similarity'"),
        ("qed", ["about 3"], "about 3"),
        ("nowhere.py:f", [], "nowhere.py:f"),
    ],
)
def test_invalid_expressions_are_rejected(objective, filters, message):
    with pytest.raises(InputError, match=message):
        Objective.parse(objective, filters)


def test_unknown_name_suggests_a_user_score():
    with pytest.raises(InputError, match="did you mean 'atoms'"):
        Objective.parse("-atom", (), {"atoms": len})


def test_implausible_molecules_are_infeasible_and_not_scored():
    """By the checker itself; what the seed has is allowed, and the score is computed for plausible molecules only."""
    scored = []

    def score(smiles):
        scored.extend(smiles)
        return [1.0] * len(smiles)

    molecules = ["CC(=O)Nc1ccc(O)cc1", "CC(=O)N(F)c1ccc(O)cc1", "O=C(Nc1ccccc1)N1CCN(F)CC1", "Nc1ccc(O)cc1"]
    objective = Objective.parse(score, ["similarity>=0.1", "mw<220"], plausible=True)
    evaluation = objective.evaluate("CC(=O)Nc1ccc(O)cc1", molecules)
    flaws = [PlausibilityChecker().first_flaw(Chem.MolFromSmiles(smiles)) for smiles in molecules]
    assert [bool(flaw) for flaw in flaws] == [False, True, True, False]
    assert evaluation.implausible.tolist() == [False, True, True, False]
    assert evaluation.violation.tolist() == [0, 1, 1, 0]
    assert np.isnan(evaluation.properties["mw"][1:3]).all()
    assert scored == [molecules[0], molecules[3]]
    assert not objective.evaluate("CC(=O)N(F)c1ccc(O)cc1", [molecules[1]]).implausible.any()
    assert not Objective.parse("qed").evaluate("CCO", molecules).implausible.any()


def test_plausibility_by_an_own_table(tmp_path):
    PrecedenceTable.from_molecules(["CCCO", "CCCN"]).save(tmp_path / "own.npz")
    objective = Objective.parse("qed", plausible=True, precedence_file=tmp_path / "own.npz")
    assert objective.evaluate("CCCO", ["CCCN", "CCCCl"]).implausible.tolist() == [False, True]
    with pytest.raises(InputError, match="does not exist"):
        Objective.parse("qed", plausible=True, precedence_file=tmp_path / "none.npz")
