"""Molecules into latents in batches: the same, in the same order, on however many cores."""

from __future__ import annotations

import pytest
import torch
from tiny_vae import SMALL

from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.nn import inference as encoding


@pytest.mark.parametrize("refine", [False, True])
def test_threads_and_batches_do_not_show(tiny_checkpoint, monkeypatch, set_threads, refine):
    packed = PackedGraphs.from_graphs(featurize(SMALL), tiny_checkpoint.vocabulary)
    whole = encoding.posteriors(tiny_checkpoint.model, packed, refine=refine)
    monkeypatch.setattr(encoding, "BATCH", 7)
    found = []
    for threads in (1, 2, 3):
        set_threads(threads)
        done = list[int]()
        found.append(encoding.posteriors(tiny_checkpoint.model, packed, refine=refine, progress=done.append))
        assert done == sorted({*range(7 * threads, len(SMALL), 7 * threads), len(SMALL)})
    assert all(torch.equal(found[0].mean, other.mean) for other in found)
    if not refine:  # what a gradient step makes of a last digit is not for sure
        torch.testing.assert_close(found[0].mean, whole.mean)


def test_what_is_refined_is_refined(tiny_checkpoint):
    packed = PackedGraphs.from_graphs(featurize(SMALL), tiny_checkpoint.vocabulary)
    plain, refined = (
        encoding.posteriors(tiny_checkpoint.model, packed, refine=refine).mean for refine in (False, True)
    )
    batch = packed.gather(torch.arange(len(packed)))
    with torch.no_grad():
        before, after = (
            tiny_checkpoint.model.log_likelihood(z, z.new_zeros(len(z)), batch.tokens) for z in (plain, refined)
        )
    assert (after >= before - 1e-3).all()
    assert (after > before + 0.1).any()
