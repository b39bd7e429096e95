"""Paths that only a CUDA device takes: the captured decoding step, latents, and similarities as matrix products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from molecules import DRUGS
from rdkit import Chem
from tiny_vae import SMALL

from molvae.chem.fingerprints import morgan_bits
from molvae.generator import Generator
from molvae.similarity.nearest_neighbors import NearestNeighbors

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def on_gpu(tiny_model):
    return Generator.load(tiny_model, "cuda", precision="32")


def test_latents_equal_those_of_the_cpu(tiny, on_gpu):
    expected, found = (generator.encode(SMALL).filter(regex=r"^z\d").to_numpy() for generator in (tiny, on_gpu))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_captured_step_decodes_greedily_as_the_cpu(tiny, on_gpu):
    expected, found = (generator.reconstruct(SMALL)["reconstruction"].tolist() for generator in (tiny, on_gpu))
    assert found == expected


def test_optimized_latents_reconstruct(on_gpu):
    assert on_gpu.reconstruct(SMALL, optimize_latents=True)["exact"].mean() > 0.9


def test_nearest_neighbors_equal_those_of_the_cpu():
    packed = morgan_bits([Chem.MolFromSmiles(smiles) for smiles in DRUGS.values()])
    expected = NearestNeighbors(packed[10:]).query(packed[:10], workers=0)
    found = NearestNeighbors(packed[10:], device="cuda").query(packed[:10])
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1])
