"""The Fréchet ChemNet distance has to be the one of fcd_torch, without what fcd_torch does to the process."""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pytest
import torch
from molecules import DRUGS
from rdkit import Chem, rdBase

from molvae.chem.smiles import canonical
from molvae.errors import InputError, MissingExtraError, MoleculeError
from molvae.metrics import fcd
from molvae.metrics.fcd import MAX_LENGTH, WIDTH, Activations, activations, distance

ENDS = """
C CC CCC CO OC N CN(C) OCC F Cl Br N#C FC(F)(F) OC(=O) NC(=O) CS(=O)(=O) C1CC1 C1COCCN1
"""
CORES = """
c1ccc({})cc1 c1cc({})ccn1 C1CCN({})CC1 c1cnc({})nc1 C(=O)N{} CC({})C c1cc({})cs1 C(C)(C)N{}
"""
DRUG_SMILES = list(DRUGS.values())

IGNORE_DROPPED_NAMES = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""The library calls what numpy and scipy are about to drop."""


def made_up():
    """Distinct small molecules in a fixed order: two ends on a core, where that is a molecule."""
    with rdBase.BlockLogs():
        pairs = product(ENDS.split(), ENDS.split(), CORES.split())
        mols = (Chem.MolFromSmiles(a + core.format(b)) for a, b, core in pairs)
        return list(dict.fromkeys(Chem.MolToSmiles(mol) for mol in mols if mol is not None))


def gaussian(seed, count, width=WIDTH):
    rows = np.random.default_rng(seed).normal(size=(count, width)) * np.linspace(0.1, 2, width)
    return Activations(rows.mean(axis=0), np.cov(rows.T), count)


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("fcd_torch").FCD()


@IGNORE_DROPPED_NAMES
def test_distance_of_500_molecules_is_the_librarys(library):
    made = made_up()
    generated, reference = made[0:750:3], made[1:600:3] + DRUG_SMILES + made[:3]
    assert (len(generated), len(reference)) == (250, 250)
    expected = library(reference, generated)
    ours = distance(activations(generated), activations(reference))
    assert ours == pytest.approx(expected, rel=1e-5)
    assert ours > 1


@IGNORE_DROPPED_NAMES
def test_moments_are_those_of_the_librarys_activations(library):
    smiles = ["OCC", "c1ccccc1.Cl", "[Na+].[Cl-]", " C[C@H](O)F ", *DRUG_SMILES[-20:]]
    rows = library.get_predictions([text.strip() for text in smiles]).astype(np.float64)
    read = []
    found = activations(iter(smiles), batch_size=7, progress=read.append)
    assert (found.count, found.skipped, read) == (24, 0, [7, 14, 21, 24])
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(rows.T), atol=1e-6)


@pytest.mark.usefixtures("library")
def test_the_process_is_left_as_it_was():
    """Loading included: random generators, RDKit's log, torch's gradients."""
    fcd._chemnet.cache_clear()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), rdBase.LogStatus()
    activations(DRUG_SMILES[:3])
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert rdBase.LogStatus() == before[2]
    assert torch.is_grad_enabled()


@pytest.mark.usefixtures("library")
def test_too_long_molecules_are_skipped_and_counted():
    fits, too_long = "C" * MAX_LENGTH, "C" * (MAX_LENGTH + 1)
    found = activations([too_long, "CCO", fits, too_long, "CCN"], batch_size=1)
    assert (found.count, found.skipped) == (3, 2)
    np.testing.assert_allclose(found.mean, activations(["CCO", fits, "CCN"]).mean, atol=1e-6)
    with pytest.raises(InputError, match="got 1 and 1 longer than 349 characters"):
        activations(["CCO", too_long])


@pytest.mark.usefixtures("library")
def test_unusable_input_is_rejected():
    with pytest.raises(InputError, match="2 molecules or more, got 0"):
        activations([])
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        activations(DRUG_SMILES, batch_size=0)
    with pytest.raises(MoleculeError, match="ring 1 opened but not closed"):
        activations(["CCO", "C1CC"])


@pytest.mark.usefixtures("library")
def test_order_and_spelling_make_no_difference():
    a, b = activations(DRUG_SMILES[:12]), activations([canonical(text) for text in reversed(DRUG_SMILES[:12])])
    assert distance(a, b) == pytest.approx(0, abs=1e-9)


def test_without_the_library_the_extra_is_named(monkeypatch):
    fcd._chemnet.cache_clear()
    monkeypatch.setitem(sys.modules, "fcd_torch", None)
    monkeypatch.setitem(sys.modules, "fcd_torch.utils", None)
    with pytest.raises(MissingExtraError, match=r"molvae\[fcd\]"):
        activations(["CCO", "CCN"])


@IGNORE_DROPPED_NAMES
@pytest.mark.parametrize(("m", "n"), [(2, 2), (2, 600), (40, 30), (600, 700)])
def test_distance_is_the_librarys_for_few_and_for_many(m, n):
    """Singular covariances too; the library's root is then off by its rounding."""
    theirs = pytest.importorskip("fcd_torch").calculate_frechet_distance
    a, b = gaussian(1, m), gaussian(2, n)
    assert distance(a, b) == pytest.approx(theirs(a.mean, a.covariance, b.mean, b.covariance), rel=1e-4)
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-9)
    assert distance(a, a) == pytest.approx(0, abs=1e-9)


def test_distance_of_known_gaussians():
    """Independent axes: |mean apart|^2 plus the squared differences of the standard deviations."""
    a = Activations(np.zeros(3), np.diag([1.0, 4.0, 0.0]), 9)
    b = Activations(np.array([3.0, 0.0, 0.0]), np.diag([4.0, 9.0, 25.0]), 9)
    assert distance(a, b) == pytest.approx(9 + 1 + 1 + 25)
    assert distance(a, a) == 0


def test_moments_merge_as_if_read_at_once():
    """Batches far from zero, where a plain sum of squares would cancel."""
    rows = np.random.default_rng(3).normal(size=(50, WIDTH)) + 1e6
    moments = fcd._Moments()
    for start, stop in ((0, 1), (1, 2), (2, 31), (31, 50)):
        moments.add(rows[start:stop])
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0))
    np.testing.assert_allclose(moments.scatter / 49, np.cov(rows.T), atol=1e-6)
