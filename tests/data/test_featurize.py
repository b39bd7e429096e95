"""Conversion of SMILES to graphs, and `map_chunks`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from molecules import DRUGS

from molvae.chem.graph import MolGraph, smiles_to_graph
from molvae.chem.tokenizer import END
from molvae.data import parallel
from molvae.data.featurize import featurize, featurize_chunk
from molvae.data.parallel import chunked, map_chunks, worker_count
from molvae.errors import MoleculeError, MolvaeError

SMILES = ["CCO", "", "C1CC", "[13CH4]", "c1ccccc1"]


def test_one_result_per_smiles_in_order():
    results = featurize(SMILES)
    assert [type(result) for result in results] == [MolGraph, *[MoleculeError] * 2, MolGraph, MolGraph]
    assert [results[0].smiles, results[3].smiles] == ["CCO", "C"]
    assert results[3].note == "isotope labels removed"
    assert [str(result).split(":")[-1].strip() for result in results[1:3]] == [
        "it is empty",
        "ring 1 opened but not closed",
    ]
    assert featurize([]) == []


def test_salts_are_stripped_unless_they_are_kept():
    (plain,), (kept,) = featurize(["C[NH3+].[Cl-]"]), featurize(["C[NH3+].[Cl-]"], keep_salts=True)
    assert (plain.smiles, kept.smiles) == ("C[NH3+]", "C[NH3+].[Cl-]")
    assert (plain.note, kept.note) == ("salt removed: [Cl-]", "")


def test_labelled_molecules_keep_their_identity_in_a_chunk():
    """The graph has no labels, but two isotopologues stay two molecules."""
    chunk = featurize_chunk(["[2H]CCO", "CCO", "OCC[2H]"], keep_isotopes=True)
    assert chunk.labelled == {0: "[2H]CCO", 2: "[2H]CCO"}
    assert chunk.smiles_hashes[0] == chunk.smiles_hashes[2] != chunk.smiles_hashes[1]
    assert chunk.sizes.tolist() == [[3, 2, 4]] * 3


def test_chunk_equals_single_graphs():
    texts = [*DRUGS.values(), None, "C1CC", "C"]
    chunk, graphs = featurize_chunk(texts), [smiles_to_graph(text) for text in [*DRUGS.values(), "C"]]
    for name in ("atoms", "bonds", "bond_index"):
        np.testing.assert_array_equal(getattr(chunk, name), np.concatenate([getattr(graph, name) for graph in graphs]))
    assert chunk.sizes[:, :2].tolist() == [[len(graph.atoms), len(graph.bonds)] for graph in graphs]
    assert chunk.rows == [*range(len(DRUGS)), len(texts) - 1]
    assert list(chunk.errors) == [len(DRUGS) + 1]
    assert len(set(chunk.smiles_hashes)) == len(graphs)
    smiles = "".join(chunk.token_table[i] for i in chunk.tokens).split(END)
    assert smiles == [*(graph.smiles for graph in graphs), ""]


@pytest.mark.parametrize("texts", [[], [None], ["C1"]])
def test_shapes_of_an_empty_chunk(texts):
    chunk = featurize_chunk(texts)
    shapes = [array.shape for array in (chunk.atoms, chunk.bonds, chunk.bond_index, chunk.tokens, chunk.sizes)]
    assert shapes == [(0, 7), (0, 4), (0, 2), (0,), (0, 3)]


def test_max_length_and_vocabulary():
    chunk = featurize_chunk(["CCC", "CCCC", "CN"], max_length=3, vocabulary={"C"})
    assert chunk.rows == [0]
    assert list(chunk.errors) == [1, 2]
    assert chunk.errors[1] == "4 tokens, more than the 3 that the model decodes"
    assert "'N'" in chunk.errors[2]


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (4, [4]), (9, [4, 4, 1])])
def test_chunked(count, sizes):
    chunks = list(chunked(iter(range(count)), 4))
    assert [len(chunk) for chunk in chunks] == sizes
    assert [item for chunk in chunks for item in chunk] == list(range(count))


def slow_sum(chunk):
    time.sleep(0.1 if chunk[0] == 0 else 0)
    return sum(chunk)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_map_chunks_keeps_the_order(workers):
    chunks = [[0], [1, 2], [3], [], [4]]
    assert list(map_chunks(sum, chunks, workers)) == [0, 3, 3, 0, 4]
    assert list(map_chunks(slow_sum, chunks[:3], workers)) == [0, 3, 3]


@pytest.mark.parametrize("workers", [1, 2])
def test_map_chunks_reads_few_chunks_ahead(workers):
    read = []
    results = map_chunks(sum, ([read.append(i) or i] for i in range(1000)), workers)
    next(results)
    results.close()
    assert len(read) <= 2 * workers + 2


def multiply(shared, chunk):
    return [shared["factor"] * number for number in chunk]


@pytest.fixture(params=[True, False], ids=["forked", "spawned"])
def start_method(request, monkeypatch):
    """Workers on Linux, and on systems where a fork is not safe."""
    if request.param and not parallel.FORK_IS_SAFE:
        pytest.skip("fork is not safe on this system")
    monkeypatch.setattr(parallel, "FORK_IS_SAFE", request.param)


@pytest.mark.usefixtures("start_method")
@pytest.mark.parametrize("workers", [0, 2])
def test_shared_data(workers):
    assert list(map_chunks(multiply, [[1, 2], [], [3]], workers, shared={"factor": 10})) == [[10, 20], [], [30]]


def kill_worker(chunk):
    if chunk == [2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk


@pytest.mark.usefixtures("start_method")
def test_killed_worker_raises():
    """The kernel kills a worker with this signal when the system is out of memory."""
    with pytest.raises(MolvaeError, match=r"a worker process died.*fewer workers than 2"):
        list(map_chunks(kill_worker, [[i] for i in range(40)], 2))


def test_spawned_workers_do_not_run_the_script(tmp_path):
    """Workers that are not forked (macOS, Windows) must not import the main module."""
    script = tmp_path / "script.py"
    script.write_text(
        "from molvae.data import featurize, parallel\n"
        "parallel.FORK_IS_SAFE = False\n"
        "print([len(part) for part in parallel.map_chunks(featurize.featurize, [['CCO'], ['C', 'CC(']], 2)])\n"
    )
    completed = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert completed.stdout == "[1, 2]\n"


def fail(chunk):
    raise ValueError(f"chunk {chunk}")


@pytest.mark.parametrize("workers", [1, 2])
def test_exception_in_a_worker(workers):
    with pytest.raises(ValueError, match=r"chunk \[1\]"):
        list(map_chunks(fail, [[1], [2]], workers))


def test_worker_count():
    assert worker_count(3) == 3
    assert worker_count(-1) == worker_count(0) == 0
    assert worker_count() >= 1


def test_lines_of_rdkit_do_not_reach_stderr(capfd):
    """The CIP labeler prints "non kekulizable aromatic bond" for an aromatic bond outside of a ring."""
    smiles = ["CCO", "CC(:C)(CO)[C@@H](O)C(=O)NCC"]
    featurize(smiles)
    featurize(smiles, standardize=True)
    chunk = featurize_chunk(smiles, on_molecule=lambda _: None)
    assert sorted([*chunk.rows, *chunk.errors]) == [0, 1]
    assert capfd.readouterr().err == ""
