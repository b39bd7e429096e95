"""Searches against comparing every molecule with every seed: RDKit for fingerprints, NumPy for latents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from libraries import SMILES, indexed
from rdkit import Chem, DataStructs

from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import Filters
from molvae.chem.fingerprints import morgan, morgan_bits
from molvae.chem.properties import compute_properties
from molvae.chem.smiles import parse
from molvae.errors import InputError
from molvae.library.measures import ByFingerprint, ByLatent, fused
from molvae.library.search import search
from molvae.library.storage import Library
from molvae.similarity.top_k import TopK

SEEDS = ["CC(=O)Oc1ccccc1C(=O)O", "OCCC", "C[n+]1ccccc1"]
CHAINS = [head + "C" * n + tail for n in range(1, 25) for head in ("N", "O", "Cl") for tail in ("O", "N", "C#N")]


@pytest.fixture(scope="module")
def library(tiny_checkpoint, tmp_path_factory):
    """Some 290 molecules in shards of 64 rows."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "a.smi").write_text("".join(f"{smiles}\n" for smiles in [*SMILES, *CHAINS]))
    indexed(tiny_checkpoint, folder / "a.smi", folder / "lib", shard_rows=64)
    opened = Library(folder / "lib")
    assert len(opened.shards) > 3
    return opened


@pytest.fixture(scope="module")
def mols(library):
    return [parse(smiles) for smiles in library.molecules(np.arange(len(library)))["smiles"]]


def similarities(mols, seed):
    return np.array(DataStructs.BulkTanimotoSimilarity(morgan(parse(seed)), [morgan(mol) for mol in mols]))


def latents(library):
    return np.concatenate([library.latents(shard) for shard in library.shards]).astype(np.float64)


def by_latent(library, metric, rows=(5, 17, 100)):
    return ByLatent(latents(library)[list(rows)].astype(np.float32) + np.float32(0.01), metric)


def scores_of(library, measure, query):
    """What the measure means, of all rows."""
    z, all_latents = measure.latents[query].astype(np.float64), latents(library)
    if measure.metric == "l2":
        return -np.square(all_latents - z).sum(1)
    return (all_latents @ z) / np.linalg.norm(all_latents, axis=1) / np.linalg.norm(z)


def first(scores, most, allowed=None):
    """Rows by score, the smaller row first among equals."""
    rows = np.lexsort((np.arange(len(scores)), -scores))
    return [row for row in rows.tolist() if allowed is None or allowed[row]][:most]


@pytest.mark.parametrize("most", [1, 7, 70, 1000])
def test_by_fingerprint_is_brute_force(library, mols, most):
    found = ByFingerprint(morgan_bits([parse(seed) for seed in SEEDS])).best(library, most)
    for seed, best in zip(SEEDS, found, strict=True):
        wanted = similarities(mols, seed)
        assert best.rows.tolist() == first(wanted, most)
        np.testing.assert_array_equal(best.scores, wanted[best.rows])


@pytest.mark.parametrize("most", [1, 7, 1000])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_by_latent_is_brute_force(library, metric, most):
    measure = by_latent(library, metric)
    for query, best in enumerate(measure.best(library, most)):
        wanted = scores_of(library, measure, query)
        assert best.rows.tolist() == first(wanted, most)
        np.testing.assert_allclose(best.scores, wanted[best.rows], atol=1e-9)


def test_distances_are_those_of_their_names():
    cosine, euclid = ByLatent(np.ones((1, 2), np.float32)), ByLatent(np.ones((1, 2), np.float32), "l2")
    assert cosine.distance(np.array([1.0, 0.25])).tolist() == [0, 0.75]
    assert euclid.distance(np.array([0.0, -25.0])).tolist() == [0, 5]
    with pytest.raises(InputError, match="cosine or l2, got 'dot'"):
        ByLatent(np.ones((1, 2), np.float32), "dot")


def test_a_measure_of_some_rows_is_that_of_all(library):
    rows = np.array([250, 3, 64, 3, 128])
    by_bits = ByFingerprint(morgan_bits([parse(SEEDS[0])]))
    everything = by_bits.best(library, len(library))[0]
    of_all = dict(zip(everything.rows.tolist(), everything.scores.tolist(), strict=True))
    (of_some,) = by_bits.of_rows(library, [rows])
    assert of_some.tolist() == [of_all[row] for row in rows.tolist()]
    measure = by_latent(library, "cosine")
    of_each = measure.of_rows(library, [rows, rows[:1], rows[:0]])
    for query, figures in enumerate(of_each):
        wanted = scores_of(library, measure, query)[rows[: len(figures)]]
        np.testing.assert_allclose(figures, wanted, atol=1e-9)
    assert [len(figures) for figures in of_each] == [5, 1, 0]


@pytest.mark.parametrize("most", [5, 200])
def test_filters_come_before_ranks(library, mols, most):
    filters = Filters(
        (PropertyFilter.from_text("mw<150"), PropertyFilter.from_text("hbd 1:2")),
        include_smarts=("[OX2H]",),
        exclude_smarts=("C(=O)[OX2H]",),
    )
    (hits,) = search(
        library, {"t": ByFingerprint(morgan_bits([parse(SEEDS[0])]))}, most, by=["t"], filters=filters, workers=0
    )
    properties = compute_properties(mols, ["mw", "hbd"])
    alcohol, acid = Chem.MolFromSmarts("[OX2H]"), Chem.MolFromSmarts("C(=O)[OX2H]")
    allowed = [
        mw < 150 and 1 <= hbd <= 2 and mol.HasSubstructMatch(alcohol) and not mol.HasSubstructMatch(acid)
        for mol, mw, hbd in zip(mols, properties["mw"], properties["hbd"], strict=True)
    ]
    assert 5 < sum(allowed) < 200
    assert hits.rows.tolist() == first(similarities(mols, SEEDS[0]), most, allowed)
    assert not len(hits.rows) or library.molecules(hits.rows)["mw"].max() < 150


def test_what_nothing_passes_is_empty(library):
    measures = {"t": ByFingerprint(morgan_bits([parse(seed) for seed in SEEDS])), "l": by_latent(library, "l2")}
    for filters in (Filters((PropertyFilter.from_text("mw>9999"),)), Filters(include_smarts=("[U]",))):
        hits = search(library, measures, 3, by=["t", "l"], filters=filters, workers=0)
        assert [len(found.rows) for found in hits] == [0, 0, 0]


def test_a_window_on_what_is_not_in_the_library_says_how_to_get_it(library):
    with pytest.raises(InputError, match=r"holds mw, .* and not qed: .* --properties mw,.*,qed"):
        library.accepted(0, [PropertyFilter.from_text("qed>0.5")])


def test_fusion_is_reciprocal_rank(library, mols):
    """Written out; lists deep enough to hold every molecule."""
    measures = {"t": ByFingerprint(morgan_bits([parse(seed) for seed in SEEDS])), "l": by_latent(library, "cosine")}
    hits = search(library, measures, 20, by=["t", "l"], workers=0)
    for query, found in enumerate(hits):
        orders = [similarities(mols, SEEDS[query]), scores_of(library, measures["l"], query)]
        ranks = [1 + (order[None, :] > order[:, None]).sum(axis=1) for order in map(np.asarray, orders)]
        assert len(set(ranks[0])) < len(ranks[0])  # some are equals
        total = sum(1 / (60 + rank) for rank in ranks)
        np.testing.assert_allclose(found.scores, np.sort(total)[::-1][:20])
        np.testing.assert_allclose(found.scores, total[found.rows])
        np.testing.assert_array_equal(found.measured["t"], orders[0][found.rows])
        np.testing.assert_allclose(found.measured["l"], orders[1][found.rows], atol=1e-9)


def test_of_one_list_fusion_keeps_the_order():
    best = TopK(3)
    best.add(np.array([7, 2, 5]), np.array([0.1, 0.9, 0.5]))
    assert fused([best], 2).rows.tolist() == [2, 5]


@given(st.lists(st.lists(st.integers(0, 5), max_size=30), max_size=5), st.integers(1, 12))
def test_best_is_the_head_of_everything_sorted(blocks, most):
    best, everything = TopK(most), []
    for block in blocks:
        rows = np.arange(len(everything), len(everything) + len(block))
        everything += block
        best.add(rows, np.array(block, float))
    assert best.rows.tolist() == first(np.array(everything, float), most)
    assert best.threshold == (sorted(everything)[-most] if len(everything) >= most else -np.inf)


def test_molecules_come_in_the_order_asked_for(library):
    rows = np.array([200, 1, 70, 1])
    frame = library.molecules(rows)
    assert frame["row"].tolist()[1] == frame["row"].tolist()[3] == 2
    assert frame["smiles"].tolist() == [library.molecules(np.array([row]))["smiles"].item() for row in rows]
    assert library.molecules(np.zeros(0, np.int64)).columns.tolist() == frame.columns.tolist()
    np.testing.assert_array_equal(library.latents_at(rows), latents(library)[rows].astype(np.float16))


@pytest.mark.parametrize(("text", "size"), [("CCO\n", 1), ("# nothing\n", 0), ("C1CC\n", 0)])
def test_one_molecule_and_none(tiny_checkpoint, tmp_path, text, size):
    (tmp_path / "a.smi").write_text(text)
    indexed(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib")
    library = Library(tmp_path / "lib")
    measures = {
        "t": ByFingerprint(morgan_bits([parse("CCO")])),
        "l": ByLatent(np.ones((1, tiny_checkpoint.config.latent_dim), np.float32)),
    }
    for by in (["t"], ["l"], ["t", "l"]):
        (hits,) = search(library, measures, 10, by=by, filters=Filters(include_smarts=("O",)), workers=0)
        assert len(hits.rows) == size
    assert len(library) == size


def test_what_is_no_library_is_named(tmp_path):
    with pytest.raises(InputError, match="is no library"):
        Library(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "molvae-library-9"}')
    with pytest.raises(InputError, match="molvae-library-9"):
        Library(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        Library(tmp_path)
