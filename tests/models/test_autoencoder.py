"""The whole model: any encoder with any latent and any decoder trains; its likelihood is a sum of logs."""

from __future__ import annotations

import pytest
import torch
from tiny_models import VOCABULARY, batch_of, tiny

from molvae.chem.tokens import END_ID, PAD_ID, START_ID
from molvae.models.autoencoder import Autoencoder
from molvae.models.config import DECODERS, ENCODERS, LATENTS


def model(**settings):
    torch.manual_seed(0)
    return Autoencoder.from_config(tiny(**settings))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("latent", LATENTS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_combination_trains_every_parameter(encoder, latent, decoder):
    network = model(encoder=encoder, latent=latent, decoder=decoder)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    batch = batch_of(*range(2, 14))
    radius = torch.linspace(0, 1, 12)  # both ends: a root has no slope at 0
    losses = network.losses(batch, radius)
    (losses.reconstruction + losses.kl).mean().backward()
    assert losses.reconstruction.shape == losses.kl.shape == (12,)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    optimizer.step()
    torch.manual_seed(1)
    assert network.losses(batch, radius).reconstruction.isfinite().all()


def test_the_same_seed_gives_the_same_weights():
    for one, other in zip(model().parameters(), model().parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_latent_does_not_depend_on_the_batch(encoder):
    network = model(encoder=encoder).eval()
    together = network.encode(batch_of())
    alone = network.encode(batch_of(5))
    torch.testing.assert_close(alone.mean[0], together.mean[5], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone.log_variance[0], together.log_variance[5], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("decoder", DECODERS)
def test_likelihood_is_the_sum_of_what_each_symbol_costs(decoder):
    network = model(decoder=decoder).eval()
    batch = batch_of(0, 1, 2, 3)
    z, radius = torch.randn(4, 5), torch.tensor([0.0, 0.2, 0.5, 1.0])
    result = network.log_likelihood(z, radius, batch.tokens).detach()
    for row in range(4):
        expected, state, symbol = 0.0, network.decoder.start(z[row : row + 1], radius[row : row + 1]), START_ID
        for target in batch.tokens[row].tolist():
            if target == PAD_ID:
                break
            logits, state = network.decoder.step(torch.tensor([symbol]), state)
            expected += float(logits.log_softmax(1)[0, target].detach())
            symbol = target
        assert symbol == END_ID
        torch.testing.assert_close(float(result[row]), expected, atol=1e-3, rtol=1e-4)


def test_padding_costs_nothing():
    network = model().eval()
    tokens = batch_of(2, 3).tokens
    z, radius = torch.randn(2, 5), torch.zeros(2)
    wider = torch.nn.functional.pad(tokens, (0, 9), value=PAD_ID)
    torch.testing.assert_close(network.log_likelihood(z, radius, wider), network.log_likelihood(z, radius, tokens))


@pytest.mark.parametrize("latent", LATENTS)
def test_losses_are_those_of_one_draw(latent):
    """Radius 0 and a clamped seed: the reconstruction is minus the likelihood of the drawn latent."""
    network = model(latent=latent).eval()
    batch, radius = batch_of(2, 3, 4), torch.zeros(3)
    torch.manual_seed(7)
    losses = network.losses(batch, radius)
    torch.manual_seed(7)
    posterior = network.encode(batch)
    z = posterior.draw(torch.randn_like(posterior.mean))
    torch.testing.assert_close(losses.reconstruction, -network.log_likelihood(z, radius, batch.tokens))
    assert (losses.kl > 0).all() if latent == "gaussian" else (losses.kl == 0).all()


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_handful_of_molecules_is_learned(decoder):
    """Fifty steps on six molecules must halve the loss, or something is not connected."""
    network = model(decoder=decoder, decoder_width=32, latent="deterministic").train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    batch, radius, history = batch_of(*range(2, 8)), torch.zeros(6), []
    for _ in range(50):
        loss = network.losses(batch, radius).reconstruction.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.6 * history[0]
    assert len(VOCABULARY) > 3
