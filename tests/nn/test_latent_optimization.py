"""Latent optimization: the decoder reconstructs molecules from optimized latents; converged latents are unchanged."""

from __future__ import annotations

import pytest
import torch
from tiny_vae import SMALL, trained

from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.generation.codec import Codec
from molvae.generation.token_sampling import GREEDY
from molvae.nn.latent_optimization import optimized_latents
from molvae.training.evaluation import Evaluator


@pytest.fixture(scope="module")
def batch(tiny_checkpoint):
    packed = PackedGraphs.from_graphs(featurize(SMALL), tiny_checkpoint.vocabulary)
    return packed.gather(torch.arange(len(packed)))


@pytest.fixture(scope="module")
def displaced(tiny_checkpoint, batch):
    """Latents of the small molecules, moved so far that many are decoded to other molecules."""
    with torch.no_grad():
        z = tiny_checkpoint.model.encode(batch).mean
    return z + 0.6 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))


def is_reconstructed(checkpoint, z):
    evaluator = Evaluator(Codec.from_checkpoint(checkpoint))
    return torch.tensor([a == b for a, b in zip(evaluator.decode(z, 0.0, GREEDY), SMALL, strict=True)])


def test_optimized_latents_reconstruct_their_molecules(tiny_checkpoint, batch, displaced):
    before = is_reconstructed(tiny_checkpoint, displaced)
    found = optimized_latents(tiny_checkpoint.model, displaced, batch.tokens)
    after = is_reconstructed(tiny_checkpoint, found)
    assert after[before].all()
    assert before.float().mean() < 0.8
    assert after.float().mean() > 0.9
    with torch.no_grad():
        log_likelihood = tiny_checkpoint.model.token_log_likelihood(
            displaced, torch.zeros(len(displaced)), batch.tokens
        )
    converged = (log_likelihood.exp() > 0.8).all(1)
    assert 0 < converged.sum() < len(converged)
    assert torch.equal(found[converged], displaced[converged])
    assert not (found[~converged] == displaced[~converged]).all(1).any()


def test_rows_are_independent(tiny_checkpoint, batch, displaced):
    together = optimized_latents(tiny_checkpoint.model, displaced, batch.tokens)
    for row in range(0, len(displaced), 5):
        length = int((batch.tokens[row] != 0).sum())
        alone = optimized_latents(tiny_checkpoint.model, displaced[row : row + 1], batch.tokens[row : row + 1, :length])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-3)


def test_weights_gradients_and_inference_mode_are_unchanged(tiny_checkpoint, batch, displaced):
    model = tiny_checkpoint.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [None if parameter.grad is None else parameter.grad.clone() for parameter in model.parameters()]
    with torch.inference_mode():  # tensors made here cannot have gradients
        found = optimized_latents(model, displaced.clone(), batch.tokens.clone())
        assert torch.is_inference_mode_enabled()
    assert torch.equal(found, optimized_latents(model, displaced, batch.tokens))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert gradient is None if parameter.grad is None else torch.equal(parameter.grad, gradient)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_spherical_latents_stay_on_the_sphere(batch):
    model, config, vocabulary = trained("hypersphere", "gru", 3)
    packed = PackedGraphs.from_graphs(featurize(SMALL), vocabulary)
    tokens = packed.gather(torch.arange(len(packed))).tokens
    with torch.no_grad():
        z = model.encode(batch).mean
    found = optimized_latents(model, z, tokens)
    assert not torch.equal(found, z)
    torch.testing.assert_close(found.norm(dim=1), torch.full((len(z),), config.latent_dim**0.5))


def test_no_latents(tiny_checkpoint, batch):
    assert optimized_latents(tiny_checkpoint.model, torch.zeros(0, 12), batch.tokens[:0]).shape == (0, 12)
