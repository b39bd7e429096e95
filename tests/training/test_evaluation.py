"""Metrics of a model, compared with values that are counted by hand or computed by RDKit."""

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

SAMPLES = ["CCO", "OCC", "CCN", "C(", "Cc1ccccc1", "NCc1ccccc1", "C1CCCC1", "NCc1ccccc1"]
"""Four samples of ethanol (the seed twice, one analog, one invalid) and four of toluene (the seed, two analogs)."""


@pytest.fixture
def evaluator(tiny_checkpoint):
    return Evaluator(Codec.from_checkpoint(tiny_checkpoint))


@pytest.fixture
def seeds(tiny_checkpoint):
    return PackedGraphs.from_graphs(featurize(["CCO", "Cc1ccccc1"]), tiny_checkpoint.vocabulary)


def similarity(a, b):
    morgan = GetMorganGenerator(radius=2, fpSize=2048)
    return DataStructs.TanimotoSimilarity(*(morgan.GetFingerprint(MolFromSmiles(s)) for s in (a, b)))


@pytest.mark.parametrize(("training_set", "n_new"), [(None, 3), (["CCO", "C1CCCC1"], 2), (["CCN", "NCc1ccccc1"], 1)])
def test_neighborhood_counts_distinct_analogs(evaluator, seeds, monkeypatch, training_set, n_new):
    monkeypatch.setattr(evaluator, "decode", lambda *_: SAMPLES)
    training_filter = None if training_set is None else BloomFilter.from_smiles(training_set)
    metrics = evaluator.neighborhood(seeds, 0.5, samples_per_seed=4, training_filter=training_filter)
    expected = sorted([similarity("CCO", "CCN"), *(similarity("Cc1ccccc1", s) for s in ("NCc1ccccc1", "C1CCCC1"))])
    assert (metrics.valid, metrics.distinct, metrics.effective_novelty) == (7 / 8, 1.5, n_new / 8)
    assert metrics.similarity == pytest.approx(expected[1])
    assert metrics.frac_similarity_ge_0_4 == sum(s >= 0.4 for s in expected) / 3


def test_noise_level_for_similarity_is_found_by_bisection(evaluator, seeds, monkeypatch):
    metrics = evaluator.neighborhood(seeds, 0.5)
    monkeypatch.setattr(
        evaluator, "neighborhood", lambda _, noise_level, **__: metrics._replace(similarity=1 - noise_level**2)
    )
    assert evaluator.noise_level_for_similarity(seeds, 0.64) == pytest.approx(0.6, abs=0.005)
    assert evaluator.noise_level_for_similarity(seeds, 1.5) < 0.01, "unreachable similarity: the smallest noise level"


def test_exact_reconstructions_are_those_of_reconstruct(evaluator, tiny, tiny_checkpoint):
    smiles = ["CCO", "Cc1ccccc1", "CC(N)=O", "CC(C)Cc1ccc(cc1)C(C)C(=O)O"]
    molecules = PackedGraphs.from_graphs(featurize(smiles), tiny_checkpoint.vocabulary)
    exact = evaluator.exact_reconstructions(molecules)
    assert exact.tolist() == tiny.reconstruct(smiles)["exact"].tolist()
    assert exact[0]
    assert not exact[3]
    optimized = evaluator.exact_reconstructions(molecules, optimize_latents=True)
    assert optimized.tolist() == tiny.reconstruct(smiles, optimize_latents=True)["exact"].tolist()
    assert (optimized >= exact).all()
