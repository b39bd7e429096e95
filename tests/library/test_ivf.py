"""Cells of latents: looking into all of them is exact, into few nearly so."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from libraries import SMILES, indexed

from molvae.chem.expressions import PropertyFilter
from molvae.errors import InputError, MissingExtraError
from molvae.library.ivf import ByLatentCells, cell_count, cells_of
from molvae.library.measures import ByLatent
from molvae.library.storage import Library

pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def library(tiny_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    chains = [
        head + "C" * n + tail for n in range(1, 25) for head in ("N", "O", "Cl", "") for tail in ("O", "N", "C#N")
    ]
    (folder / "a.smi").write_text("".join(f"{smiles}\n" for smiles in [*SMILES, *chains]))
    indexed(tiny_checkpoint, folder / "a.smi", folder / "lib", shard_rows=64)
    return Library(folder / "lib")


@pytest.fixture(scope="module")
def queries(library):
    rows = np.arange(0, len(library), 7)
    return library.latents_at(rows).astype(np.float32) + np.float32(0.02)


@pytest.mark.parametrize("windows", [(), (PropertyFilter.from_text("mw<120"),)])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_all_cells_are_the_whole_library(library, queries, metric, windows):
    cells = cell_count(len(library))
    assert cells > 3
    found = ByLatentCells(queries, metric, nprobe=cells).best(library, 10, windows)
    for near, exact in zip(found, ByLatent(queries, metric).best(library, 10, windows), strict=True):
        np.testing.assert_allclose(near.scores, exact.scores, rtol=1e-3, atol=1e-3)
        assert len(set(near.rows) & set(exact.rows)) >= 9  # the tenth may be a tie


def test_few_cells_find_most(library, queries):
    def recall(probes):
        found = ByLatentCells(queries, nprobe=probes).best(library, 10)
        exact = ByLatent(queries).best(library, 10)
        return np.mean([len(set(a.rows) & set(b.rows)) / 10 for a, b in zip(found, exact, strict=True)])

    assert 0.4 < recall(1) < recall(3)


def test_cells_are_made_once(library, queries):
    path = cells_of(library, "cosine")
    before = path.stat().st_mtime_ns
    ByLatentCells(queries).best(library, 3)
    assert path.stat().st_mtime_ns == before
    assert path.parent == library.folder


@pytest.mark.parametrize("text", ["CCO\n", "# nothing\n"])
def test_one_molecule_and_none(tiny_checkpoint, queries, tmp_path, text):
    (tmp_path / "a.smi").write_text(text)
    indexed(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib")
    library = Library(tmp_path / "lib")
    assert [len(best.rows) for best in ByLatentCells(queries[:2]).best(library, 5)] == [len(library)] * 2


def test_no_cell_is_no_search(queries):
    with pytest.raises(InputError, match="at least one cell"):
        ByLatentCells(queries, nprobe=0)


def test_without_faiss_the_extra_is_named(library, queries, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"molvae\[search\]"):
        ByLatentCells(queries).best(library, 5)
