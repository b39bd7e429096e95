"""Search against a comparison with every molecule: RDKit for fingerprints, NumPy for latents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from libraries import SMILES, build_library
from rdkit import Chem, DataStructs

from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import Filters
from molvae.chem.fingerprints import morgan, morgan_bits
from molvae.chem.properties import compute_properties
from molvae.chem.smiles import parse
from molvae.errors import InputError
from molvae.library.nearest_neighbors import FingerprintSearcher, LatentSearcher
from molvae.library.search import reciprocal_rank_fusion, search_library
from molvae.library.storage import LibraryStorage
from molvae.similarity.top_k import TopK

SEEDS = ["CC(=O)Oc1ccccc1C(=O)O", "OCCC", "C[n+]1ccccc1"]
CHAINS = [head + "C" * n + tail for n in range(1, 25) for head in ("N", "O", "Cl") for tail in ("O", "N", "C#N")]


@pytest.fixture(scope="module")
def library(tiny_checkpoint, tmp_path_factory):
    """About 290 molecules in shards of 64 rows."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "a.smi").write_text("".join(f"{smiles}\n" for smiles in [*SMILES, *CHAINS]))
    build_library(tiny_checkpoint, folder / "a.smi", folder / "lib", shard_rows=64)
    opened = LibraryStorage(folder / "lib")
    assert len(opened.shards) > 3
    return opened


@pytest.fixture(scope="module")
def mols(library):
    return [parse(smiles) for smiles in library.molecules(np.arange(len(library)))["smiles"]]


def similarities(mols, seed):
    return np.array(DataStructs.BulkTanimotoSimilarity(morgan(parse(seed)), [morgan(mol) for mol in mols]))


def latents(library):
    return np.concatenate([library.latents(shard) for shard in library.shards]).astype(np.float64)


def latent_searcher(library, metric, rows=(5, 17, 100)):
    return LatentSearcher(latents(library)[list(rows)].astype(np.float32) + np.float32(0.01), metric)


def compute_scores(library, searcher, query):
    """The scores of all rows, computed with NumPy."""
    z, all_latents = searcher.latents[query].astype(np.float64), latents(library)
    if searcher.metric == "l2":
        return -np.square(all_latents - z).sum(1)
    return (all_latents @ z) / np.linalg.norm(all_latents, axis=1) / np.linalg.norm(z)


def best_rows(scores, k, allowed=None):
    """The k best rows by score; of equal scores the lower row comes first."""
    rows = np.lexsort((np.arange(len(scores)), -scores))
    return [row for row in rows.tolist() if allowed is None or allowed[row]][:k]


@pytest.mark.parametrize("k", [1, 7, 70, 1000])
def test_fingerprint_search_equals_brute_force(library, mols, k):
    found = FingerprintSearcher(morgan_bits([parse(seed) for seed in SEEDS])).nearest(library, k)
    for seed, best in zip(SEEDS, found, strict=True):
        expected = similarities(mols, seed)
        assert best.rows.tolist() == best_rows(expected, k)
        np.testing.assert_array_equal(best.scores, expected[best.rows])


@pytest.mark.parametrize("k", [1, 7, 1000])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_latent_search_equals_brute_force(library, metric, k):
    searcher = latent_searcher(library, metric)
    for query, best in enumerate(searcher.nearest(library, k)):
        expected = compute_scores(library, searcher, query)
        assert best.rows.tolist() == best_rows(expected, k)
        np.testing.assert_allclose(best.scores, expected[best.rows], atol=1e-9)


def test_distances():
    cosine, euclid = LatentSearcher(np.ones((1, 2), np.float32)), LatentSearcher(np.ones((1, 2), np.float32), "l2")
    assert cosine.distance(np.array([1.0, 0.25])).tolist() == [0, 0.75]
    assert euclid.distance(np.array([0.0, -25.0])).tolist() == [0, 5]
    with pytest.raises(InputError, match="metric must be cosine or l2, got 'dot'"):
        LatentSearcher(np.ones((1, 2), np.float32), "dot")


def test_scores_of_given_rows(library):
    rows = np.array([250, 3, 64, 3, 128])
    by_bits = FingerprintSearcher(morgan_bits([parse(SEEDS[0])]))
    all_rows = by_bits.nearest(library, len(library))[0]
    all_scores = dict(zip(all_rows.rows.tolist(), all_rows.scores.tolist(), strict=True))
    (scores,) = by_bits.score_rows(library, [rows])
    assert scores.tolist() == [all_scores[row] for row in rows.tolist()]
    searcher = latent_searcher(library, "cosine")
    scores_per_query = searcher.score_rows(library, [rows, rows[:1], rows[:0]])
    for query, scores in enumerate(scores_per_query):
        expected = compute_scores(library, searcher, query)[rows[: len(scores)]]
        np.testing.assert_allclose(scores, expected, atol=1e-9)
    assert [len(scores) for scores in scores_per_query] == [5, 1, 0]


@pytest.mark.parametrize("k", [5, 200])
def test_filters_apply_before_ranking(library, mols, k):
    filters = Filters(
        (PropertyFilter.from_text("mw<150"), PropertyFilter.from_text("hbd 1:2")),
        include_smarts=("[OX2H]",),
        exclude_smarts=("C(=O)[OX2H]",),
    )
    (hits,) = search_library(
        library,
        {"t": FingerprintSearcher(morgan_bits([parse(SEEDS[0])]))},
        k,
        rank_by=["t"],
        filters=filters,
        workers=0,
    )
    properties = compute_properties(mols, ["mw", "hbd"])
    alcohol, acid = Chem.MolFromSmarts("[OX2H]"), Chem.MolFromSmarts("C(=O)[OX2H]")
    allowed = [
        mw < 150 and 1 <= hbd <= 2 and mol.HasSubstructMatch(alcohol) and not mol.HasSubstructMatch(acid)
        for mol, mw, hbd in zip(mols, properties["mw"], properties["hbd"], strict=True)
    ]
    assert 5 < sum(allowed) < 200
    assert hits.rows.tolist() == best_rows(similarities(mols, SEEDS[0]), k, allowed)
    assert not len(hits.rows) or library.molecules(hits.rows)["mw"].max() < 150


def test_no_molecule_passes(library):
    searchers = {
        "t": FingerprintSearcher(morgan_bits([parse(seed) for seed in SEEDS])),
        "l": latent_searcher(library, "l2"),
    }
    for filters in (Filters((PropertyFilter.from_text("mw>9999"),)), Filters(include_smarts=("[U]",))):
        hits = search_library(library, searchers, 3, rank_by=["t", "l"], filters=filters, workers=0)
        assert [len(found.rows) for found in hits] == [0, 0, 0]


def test_filter_on_missing_property_is_an_error(library):
    with pytest.raises(InputError, match=r"has no property qed .*--properties mw,.*,qed"):
        library.passing(0, [PropertyFilter.from_text("qed>0.5")])


def test_reciprocal_rank_fusion(library, mols):
    """Equal to the formula; the fused lists contain all molecules."""
    searchers = {
        "t": FingerprintSearcher(morgan_bits([parse(seed) for seed in SEEDS])),
        "l": latent_searcher(library, "cosine"),
    }
    hits = search_library(library, searchers, 20, rank_by=["t", "l"], workers=0)
    for query, found in enumerate(hits):
        query_scores = [similarities(mols, SEEDS[query]), compute_scores(library, searchers["l"], query)]
        ranks = [1 + (values[None, :] > values[:, None]).sum(axis=1) for values in map(np.asarray, query_scores)]
        assert len(set(ranks[0])) < len(ranks[0])  # some similarities are equal
        total = sum(1 / (60 + rank) for rank in ranks)
        np.testing.assert_allclose(found.scores, np.sort(total)[::-1][:20])
        np.testing.assert_allclose(found.scores, total[found.rows])
        np.testing.assert_array_equal(found.by_searcher["t"], query_scores[0][found.rows])
        np.testing.assert_allclose(found.by_searcher["l"], query_scores[1][found.rows], atol=1e-9)


def test_fusion_of_one_list_keeps_its_order():
    best = TopK(3)
    best.add(np.array([7, 2, 5]), np.array([0.1, 0.9, 0.5]))
    assert reciprocal_rank_fusion([best], 2).rows.tolist() == [2, 5]


@given(st.lists(st.lists(st.integers(0, 5), max_size=30), max_size=5), st.integers(1, 12))
def test_top_k_equals_head_of_sorted_list(blocks, k):
    best, all_rows = TopK(k), []
    for block in blocks:
        rows = np.arange(len(all_rows), len(all_rows) + len(block))
        all_rows += block
        best.add(rows, np.array(block, float))
    assert best.rows.tolist() == best_rows(np.array(all_rows, float), k)
    assert best.threshold == (sorted(all_rows)[-k] if len(all_rows) >= k else -np.inf)


def test_molecules_in_requested_order(library):
    rows = np.array([200, 1, 70, 1])
    frame = library.molecules(rows)
    assert frame["row"].tolist()[1] == frame["row"].tolist()[3] == 2
    assert frame["smiles"].tolist() == [library.molecules(np.array([row]))["smiles"].item() for row in rows]
    assert library.molecules(np.zeros(0, np.int64)).columns.tolist() == frame.columns.tolist()
    np.testing.assert_array_equal(library.latents_at(rows), latents(library)[rows].astype(np.float16))


@pytest.mark.parametrize(("text", "size"), [("CCO\n", 1), ("# nothing\n", 0), ("C1CC\n", 0)])
def test_one_molecule_and_no_molecule(tiny_checkpoint, tmp_path, text, size):
    (tmp_path / "a.smi").write_text(text)
    build_library(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib")
    library = LibraryStorage(tmp_path / "lib")
    searchers = {
        "t": FingerprintSearcher(morgan_bits([parse("CCO")])),
        "l": LatentSearcher(np.ones((1, tiny_checkpoint.config.latent_dim), np.float32)),
    }
    for rank_by in (["t"], ["l"], ["t", "l"]):
        (hits,) = search_library(
            library, searchers, 10, rank_by=rank_by, filters=Filters(include_smarts=("O",)), workers=0
        )
        assert len(hits.rows) == size
    assert len(library) == size


def test_missing_or_damaged_library_is_an_error(tmp_path):
    with pytest.raises(InputError, match="is not a library"):
        LibraryStorage(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "molvae-library-9"}')
    with pytest.raises(InputError, match="molvae-library-9"):
        LibraryStorage(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        LibraryStorage(tmp_path)
