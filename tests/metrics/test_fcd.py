"""Fréchet ChemNet distance compared with fcd_torch."""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pytest
import torch
from molecules import DRUGS
from rdkit import Chem, rdBase
from threadpoolctl import threadpool_limits

from molvae.chem.smiles import canonical
from molvae.errors import InputError, MissingExtraError, MoleculeError
from molvae.metrics import fcd
from molvae.metrics.fcd import MAX_LENGTH, N_ACTIVATIONS, ActivationStatistics, activation_statistics, frechet_distance

SUBSTITUENTS = """
C CC CCC CO OC N CN(C) OCC F Cl Br N#C FC(F)(F) OC(=O) NC(=O) CS(=O)(=O) C1CC1 C1COCCN1
"""
CORES = """
c1ccc({})cc1 c1cc({})ccn1 C1CCN({})CC1 c1cnc({})nc1 C(=O)N{} CC({})C c1cc({})cs1 C(C)(C)N{}
"""
DRUG_SMILES = list(DRUGS.values())

IGNORE_DEPRECATIONS = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""fcd_torch calls deprecated functions of NumPy and SciPy."""


def enumerated_molecules():
    """Return distinct small molecules in a fixed order: a core with two substituents."""
    with rdBase.BlockLogs():
        pairs = product(SUBSTITUENTS.split(), SUBSTITUENTS.split(), CORES.split())
        mols = (Chem.MolFromSmiles(a + core.format(b)) for a, b, core in pairs)
        return list(dict.fromkeys(Chem.MolToSmiles(mol) for mol in mols if mol is not None))


def random_statistics(random_state, count, n_activations=N_ACTIVATIONS):
    rows = np.random.default_rng(random_state).normal(size=(count, n_activations)) * np.linspace(0.1, 2, n_activations)
    return ActivationStatistics(rows.mean(axis=0), np.cov(rows.T), count)


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("fcd_torch").FCD()


@IGNORE_DEPRECATIONS
def test_fcd_of_molecules_matches_fcd_torch(library):
    molecules = enumerated_molecules()
    generated, reference = molecules[0:120:3], molecules[1:61:3] + DRUG_SMILES[:17] + molecules[:3]
    assert (len(generated), len(reference)) == (40, 40)
    with threadpool_limits(1):  # the matrix square root of fcd_torch is slow with several threads on a busy machine
        expected = library(reference, generated)
    value = frechet_distance(activation_statistics(generated), activation_statistics(reference))
    assert value == pytest.approx(expected, rel=1e-5)
    assert value > 1


@IGNORE_DEPRECATIONS
def test_activation_statistics_match_fcd_torch(library):
    smiles = ["OCC", "c1ccccc1.Cl", "[Na+].[Cl-]", " C[C@H](O)F ", *DRUG_SMILES[-6:]]
    rows = library.get_predictions([text.strip() for text in smiles]).astype(np.float64)
    counts = []
    statistics = activation_statistics(iter(smiles), batch_size=4, progress=counts.append)
    assert (statistics.count, statistics.skipped, counts) == (10, 0, [4, 8, 10])
    np.testing.assert_allclose(statistics.mean, rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(statistics.covariance, np.cov(rows.T), atol=1e-6)


@pytest.mark.usefixtures("library")
def test_global_state_is_unchanged():
    """Random generators, RDKit log and gradient mode are unchanged, also when the network is loaded."""
    fcd._load_chemnet.cache_clear()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), rdBase.LogStatus()
    activation_statistics(DRUG_SMILES[:3])
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert rdBase.LogStatus() == before[2]
    assert torch.is_grad_enabled()


@pytest.mark.usefixtures("library")
def test_long_molecules_are_skipped_and_counted():
    longest, too_long = "C" * MAX_LENGTH, "C" * (MAX_LENGTH + 1)
    statistics = activation_statistics([too_long, "CCO", longest, too_long, "CCN"], batch_size=1)
    assert (statistics.count, statistics.skipped) == (3, 2)
    np.testing.assert_allclose(statistics.mean, activation_statistics(["CCO", longest, "CCN"]).mean, atol=1e-6)
    with pytest.raises(InputError, match="skipped because of more than 349 characters: 1"):
        activation_statistics(["CCO", too_long])


@pytest.mark.usefixtures("library")
def test_invalid_input_raises():
    with pytest.raises(InputError, match="at least 2 molecules, got 0"):
        activation_statistics([])
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        activation_statistics(DRUG_SMILES, batch_size=0)
    with pytest.raises(MoleculeError, match="ring 1 opened but not closed"):
        activation_statistics(["CCO", "C1CC"])


@pytest.mark.usefixtures("library")
def test_order_and_smiles_form_do_not_change_statistics():
    a = activation_statistics(DRUG_SMILES[:5])
    b = activation_statistics([canonical(text) for text in reversed(DRUG_SMILES[:5])])
    assert frechet_distance(a, b) == pytest.approx(0, abs=1e-9)


def test_missing_fcd_torch_names_the_extra(monkeypatch):
    fcd._load_chemnet.cache_clear()
    monkeypatch.setitem(sys.modules, "fcd_torch", None)
    monkeypatch.setitem(sys.modules, "fcd_torch.utils", None)
    with pytest.raises(MissingExtraError, match=r"molvae\[fcd\]"):
        activation_statistics(["CCO", "CCN"])


@IGNORE_DEPRECATIONS
@pytest.mark.parametrize(("m", "n"), [(2, 2), (2, 80), (40, 30), (80, 90)])
def test_frechet_distance_matches_fcd_torch(m, n):
    """Also for singular covariances, for which the matrix square root of fcd_torch has rounding errors."""
    reference_distance = pytest.importorskip("fcd_torch").calculate_frechet_distance
    a, b = random_statistics(1, m, 64), random_statistics(2, n, 64)
    assert frechet_distance(a, b) == pytest.approx(
        reference_distance(a.mean, a.covariance, b.mean, b.covariance), rel=1e-4
    )
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_known_gaussians():
    """For diagonal covariances: squared differences of the means plus those of the standard deviations."""
    a = ActivationStatistics(np.zeros(3), np.diag([1.0, 4.0, 0.0]), 9)
    b = ActivationStatistics(np.array([3.0, 0.0, 0.0]), np.diag([4.0, 9.0, 25.0]), 9)
    assert frechet_distance(a, b) == pytest.approx(9 + 1 + 1 + 25)
    assert frechet_distance(a, a) == 0


def test_running_moments_match_numpy():
    """For values far from zero, a sum of squares would lose precision."""
    rows = np.random.default_rng(3).normal(size=(50, N_ACTIVATIONS)) + 1e6
    moments = fcd._RunningMoments()
    for start, stop in ((0, 1), (1, 2), (2, 31), (31, 50)):
        moments.add(rows[start:stop])
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0))
    np.testing.assert_allclose(moments.scatter / 49, np.cov(rows.T), atol=1e-6)
