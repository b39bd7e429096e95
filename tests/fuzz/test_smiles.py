"""A short run of the SMILES targets with a fixed seed, and checks that the fuzzer itself finds faults."""

from __future__ import annotations

import os
import sys
from random import Random

import pytest
from rdkit import Chem

from fuzz import batches as batches_module
from fuzz import chemistry as chemistry_module
from fuzz.batches import batches
from fuzz.chemistry import check_smiles, chemistry
from fuzz.driver import CHUNK, tasks
from fuzz.report import Report, stderr_lines
from fuzz.smiles_mutations import lattice, molecules, mutated_smiles, random_regular, smiles_of_graph
from molvae.chem.smiles import parse


def test_chemistry_layer():
    report = chemistry(Random("test"), 120)
    assert report.failures == []
    assert report.n_inputs == 120
    assert 10 < report.n_accepted < 110


def test_batches(tiny):
    report = batches(Random("test"), 40, tiny)
    assert report.failures == []
    assert report.n_inputs == 40


def test_mutations_are_reproducible_and_different():
    pool = molecules()
    texts = [[mutated_smiles(random, pool) for _ in range(200)] for random in (Random(1), Random(1), Random(2))]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts[0])) > 180


@pytest.mark.parametrize(
    ("edges", "atoms"), [(lattice(4, 5, False), 20), (lattice(4, 4, True), 16), ({(0, 1), (1, 2), (0, 2), (2, 3)}, 4)]
)
def test_smiles_of_a_graph(edges, atoms):
    mol = Chem.MolFromSmiles(smiles_of_graph(edges, "*"))
    assert (mol.GetNumAtoms(), mol.GetNumBonds()) == (atoms, len(edges))


def test_random_regular_graph():
    assert max(len([e for e in random_regular(Random(0), 20, 3) if a in e]) for a in range(20)) == 3


def test_faults_are_found(monkeypatch):
    """Another exception, a line on stderr and a long message are failures."""

    def broken(_):
        os.write(2, b"[12:00:00] Explicit valence\n")
        raise RuntimeError("Pre-condition Violation")

    monkeypatch.setattr(chemistry_module, "murcko_smiles", broken)
    report = Report()
    with stderr_lines() as lines:
        check_smiles("CCO", report)
    assert report.counts == {"exception RuntimeError in scaffold": 1}
    assert lines == ["[12:00:00] Explicit valence"]


def test_lost_batch_is_found(monkeypatch):
    def broken(texts, **_):
        return [parse(text) for text in texts]

    monkeypatch.setattr(batches_module, "featurize", broken)
    with pytest.raises(ValueError, match="ring 1"):
        batches_module._featurize(["C", "C1CC", "C"], Report(), standardize=False)
    assert batches_module._culprit(lambda batch, _: broken(batch) and "", ["C", "CC", "C1CC", "C"]) == "C1CC"


def test_stderr_is_restored(capfd):
    with stderr_lines() as lines:
        os.write(2, b"from C\n")
        print("from Python", file=sys.stderr)
    print("after", file=sys.stderr)
    assert lines[0] == "from C"
    assert "after" in capfd.readouterr().err


def test_reports_are_added_up():
    report, other = Report(n_inputs=2, slowest=0.5), Report(n_inputs=3)
    other.took(3.0, "CCO", "write")
    report.merge(other)
    assert (report.n_inputs, report.slowest, report.slowest_input) == (5, 3.0, "write: 'CCO'")
    assert report.counts == {"slow write": 1}
    assert report.failures[0].value == "'CCO'"


def test_tasks_have_all_inputs():
    done = dict.fromkeys(("chemistry", "batches"), 0)
    for name, _, size in tasks(["chemistry", "batches"], 2000):
        assert size <= CHUNK
        done[name] += size
    assert done == {"chemistry": 2000, "batches": 300}
