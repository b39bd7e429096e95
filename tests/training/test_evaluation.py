"""What a model is worth, by decoding: the figures against what can be counted by hand."""

from __future__ import annotations

import pytest
from rdkit import DataStructs
from rdkit.Chem import MolFromSmiles
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

from molvae.data.bloom_filter import BloomFilter
from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.generation.codec import Codec
from molvae.training.evaluation import Evaluator

WRITTEN = ["CCO", "OCC", "CCN", "C(", "Cc1ccccc1", "NCc1ccccc1", "C1CCCC1", "NCc1ccccc1"]
"""Four strings for each of two seeds: of ethanol itself twice, a neighbor and none; of toluene itself, and two."""


@pytest.fixture
def evaluator(tiny_checkpoint):
    return Evaluator(Codec.of(tiny_checkpoint))


@pytest.fixture
def seeds(tiny_checkpoint):
    return PackedGraphs.from_graphs(featurize(["CCO", "Cc1ccccc1"]), tiny_checkpoint.vocabulary)


def similarity(a, b):
    morgan = GetMorganGenerator(radius=2, fpSize=2048)
    return DataStructs.TanimotoSimilarity(*(morgan.GetFingerprint(MolFromSmiles(s)) for s in (a, b)))


@pytest.mark.parametrize(("seen", "effective"), [(None, 3), (["CCO", "C1CCCC1"], 2), (["CCN", "NCc1ccccc1"], 1)])
def test_a_neighborhood_counts_molecules_once_and_never_the_seed(evaluator, seeds, monkeypatch, seen, effective):
    monkeypatch.setattr(evaluator, "write", lambda *_: WRITTEN)
    known = None if seen is None else BloomFilter.from_smiles(seen)
    found = evaluator.neighborhood(seeds, 0.5, draws=4, seen=known)
    to_seed = sorted([similarity("CCO", "CCN"), *(similarity("Cc1ccccc1", s) for s in ("NCc1ccccc1", "C1CCCC1"))])
    assert (found.valid, found.distinct, found.effective) == (7 / 8, 1.5, effective / 8)
    assert found.similarity == pytest.approx(to_seed[1])
    assert found.frac_similarity_ge_0_4 == sum(s >= 0.4 for s in to_seed) / 3


def test_the_noise_level_of_a_similarity_is_found(evaluator, seeds, monkeypatch):
    real = evaluator.neighborhood(seeds, 0.5)
    monkeypatch.setattr(
        evaluator, "neighborhood", lambda _, noise_level, **__: real._replace(similarity=1 - noise_level**2)
    )
    assert evaluator.noise_level_at(seeds, 0.64) == pytest.approx(0.6, abs=0.005)
    assert evaluator.noise_level_at(seeds, 1.5) < 0.01, "more than there is anywhere: as near as can be"


def test_what_is_written_from_the_mean_is_compared_letter_by_letter(evaluator, tiny, tiny_checkpoint):
    molecules = ["CCO", "Cc1ccccc1", "CC(N)=O", "CC(C)Cc1ccc(cc1)C(C)C(=O)O"]
    known = PackedGraphs.from_graphs(featurize(molecules), tiny_checkpoint.vocabulary)
    exact = evaluator.exact(known)
    assert exact.tolist() == tiny.reconstruct(molecules)["exact"].tolist()
    assert exact[0]
    assert not exact[3]
    mended = evaluator.exact(known, refine=True)
    assert mended.tolist() == tiny.reconstruct(molecules, optimize_latents=True)["exact"].tolist()
    assert (mended >= exact).all()
