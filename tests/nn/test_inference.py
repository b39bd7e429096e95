"""Batched encoding: order, independence of the number of threads, and optimized latents."""

from __future__ import annotations

import pytest
import torch
from tiny_vae import SMALL

from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.nn import inference
from molvae.nn.inference import encode_dataset


@pytest.fixture(scope="module")
def packed(tiny_checkpoint):
    return PackedGraphs.from_graphs(featurize(SMALL), tiny_checkpoint.vocabulary)


@pytest.mark.parametrize("optimize_latents", [False, True])
def test_latents_do_not_depend_on_threads_and_batches(
    tiny_checkpoint, packed, monkeypatch, set_threads, optimize_latents
):
    model = tiny_checkpoint.model
    one_batch = encode_dataset(model, packed, optimize_latents=optimize_latents)
    monkeypatch.setattr(inference, "BATCH_SIZE", 7)
    found = []
    for threads in (1, 2, 3):
        set_threads(threads)
        done = list[int]()
        found.append(encode_dataset(model, packed, optimize_latents=optimize_latents, progress=done.append))
        assert done == sorted({*range(7 * threads, len(SMALL), 7 * threads), len(SMALL)})
    assert all(torch.equal(found[0].mean, other.mean) for other in found)
    if not optimize_latents:  # gradient steps amplify differences in the last digit
        torch.testing.assert_close(found[0].mean, one_batch.mean)


def test_optimized_latents_have_a_higher_likelihood(tiny_checkpoint, packed):
    model, tokens = tiny_checkpoint.model, packed.gather(torch.arange(len(packed))).tokens
    encoded, optimized = (encode_dataset(model, packed, optimize_latents=o).mean for o in (False, True))
    with torch.no_grad():
        before, after = (model.log_likelihood(z, z.new_zeros(len(z)), tokens) for z in (encoded, optimized))
    assert (after >= before - 1e-3).all()
    assert (after > before + 0.1).any()
