"""IVF search equals exact search if all lists are searched; recall and options."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from libraries import SMILES, build_library

from molvae.chem.expressions import PropertyFilter
from molvae.errors import InputError, MissingExtraError
from molvae.library.ivf import IVFSearcher, ivf_index, list_count
from molvae.library.nearest_neighbors import LatentSearcher
from molvae.library.storage import LibraryStorage

pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def library(tiny_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    chains = [
        head + "C" * n + tail for n in range(1, 25) for head in ("N", "O", "Cl", "") for tail in ("O", "N", "C#N")
    ]
    (folder / "a.smi").write_text("".join(f"{smiles}\n" for smiles in [*SMILES, *chains]))
    build_library(tiny_checkpoint, folder / "a.smi", folder / "lib", shard_rows=64)
    return LibraryStorage(folder / "lib")


@pytest.fixture(scope="module")
def queries(library):
    rows = np.arange(0, len(library), 7)
    return library.latents_at(rows).astype(np.float32) + np.float32(0.02)


@pytest.mark.parametrize("conditions", [(), (PropertyFilter.from_text("mw<120"),)])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_searching_all_lists_is_exact(library, queries, metric, conditions):
    lists = list_count(len(library))
    assert lists > 3
    found = IVFSearcher(queries, metric, nprobe=lists).nearest(library, 10, conditions)
    for approximate, exact in zip(found, LatentSearcher(queries, metric).nearest(library, 10, conditions), strict=True):
        np.testing.assert_allclose(approximate.scores, exact.scores, rtol=1e-3, atol=1e-3)
        assert len(set(approximate.rows) & set(exact.rows)) >= 9  # the tenth may be a tie


def test_recall_grows_with_nprobe(library, queries):
    def recall(nprobe):
        found = IVFSearcher(queries, nprobe=nprobe).nearest(library, 10)
        exact = LatentSearcher(queries).nearest(library, 10)
        return np.mean([len(set(a.rows) & set(b.rows)) / 10 for a, b in zip(found, exact, strict=True)])

    assert 0.4 < recall(1) < recall(3)


def test_index_is_built_once(library, queries):
    path = ivf_index(library, "cosine")
    before = path.stat().st_mtime_ns
    IVFSearcher(queries).nearest(library, 3)
    assert path.stat().st_mtime_ns == before
    assert path.parent == library.folder


@pytest.mark.parametrize("text", ["CCO\n", "# nothing\n"])
def test_one_molecule_and_no_molecule(tiny_checkpoint, queries, tmp_path, text):
    (tmp_path / "a.smi").write_text(text)
    build_library(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib")
    library = LibraryStorage(tmp_path / "lib")
    assert [len(best.rows) for best in IVFSearcher(queries[:2]).nearest(library, 5)] == [len(library)] * 2


def test_nprobe_must_be_positive(queries):
    with pytest.raises(InputError, match="nprobe must be at least 1"):
        IVFSearcher(queries, nprobe=0)


def test_missing_faiss_names_the_extra(library, queries, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"molvae\[search\]"):
        IVFSearcher(queries).nearest(library, 5)
