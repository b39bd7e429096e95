"""Refined latents give back their molecules, checked by writing them; what was right already is left alone."""

from __future__ import annotations

import pytest
import torch
from tiny_vae import SMALL, trained

from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.generation.codec import Codec
from molvae.generation.token_sampling import GREEDY
from molvae.nn.latent_optimization import refined
from molvae.training.evaluation import Evaluator


@pytest.fixture(scope="module")
def batch(tiny_checkpoint):
    packed = PackedGraphs.from_graphs(featurize(SMALL), tiny_checkpoint.vocabulary)
    return packed.gather(torch.arange(len(packed)))


@pytest.fixture(scope="module")
def moved(tiny_checkpoint, batch):
    """Latents of the small molecules, moved so far that many are written as others."""
    with torch.no_grad():
        z = tiny_checkpoint.model.encode(batch).mean
    return z + 0.6 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))


def exact(checkpoint, z):
    evaluator = Evaluator(Codec.of(checkpoint))
    return torch.tensor([a == b for a, b in zip(evaluator.write(z, 0.0, GREEDY), SMALL, strict=True)])


def test_latents_that_were_off_give_back_their_molecules(tiny_checkpoint, batch, moved):
    before, found = exact(tiny_checkpoint, moved), refined(tiny_checkpoint.model, moved, batch.tokens)
    after = exact(tiny_checkpoint, found)
    assert after[before].all()
    assert before.float().mean() < 0.8
    assert after.float().mean() > 0.9
    likelihood = tiny_checkpoint.model.symbol_log_likelihood
    clean = torch.zeros(len(moved))
    with torch.no_grad():
        sure = (likelihood(moved, clean, batch.tokens).exp() > 0.8).all(1)
    assert 0 < sure.sum() < len(sure)
    assert torch.equal(found[sure], moved[sure])
    assert not (found[~sure] == moved[~sure]).all(1).any()


def test_a_latent_does_not_depend_on_those_beside_it(tiny_checkpoint, batch, moved):
    together = refined(tiny_checkpoint.model, moved, batch.tokens)
    for row in range(0, len(moved), 5):
        length = int((batch.tokens[row] != 0).sum())
        alone = refined(tiny_checkpoint.model, moved[row : row + 1], batch.tokens[row : row + 1, :length])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-3)


def test_the_model_and_the_caller_s_settings_stay(tiny_checkpoint, batch, moved):
    model = tiny_checkpoint.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [None if parameter.grad is None else parameter.grad.clone() for parameter in model.parameters()]
    with torch.inference_mode():  # what is made in here knows no gradients
        found = refined(model, moved.clone(), batch.tokens.clone())
        assert torch.is_inference_mode_enabled()
    assert torch.equal(found, refined(model, moved, batch.tokens))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert gradient is None if parameter.grad is None else torch.equal(parameter.grad, gradient)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_on_a_sphere_they_stay_on_it(batch):
    model, config, vocabulary = trained("hypersphere", "gru", 3)
    packed = PackedGraphs.from_graphs(featurize(SMALL), vocabulary)
    tokens = packed.gather(torch.arange(len(packed))).tokens
    with torch.no_grad():
        z = model.encode(batch).mean
    found = refined(model, z, tokens)
    assert not torch.equal(found, z)
    torch.testing.assert_close(found.norm(dim=1), torch.full((len(z),), config.latent_dim**0.5))


def test_none(tiny_checkpoint, batch):
    assert refined(tiny_checkpoint.model, torch.zeros(0, 12), batch.tokens[:0]).shape == (0, 12)
