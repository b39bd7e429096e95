"""The whole model: any encoder with any latent and any decoder trains; its likelihood is a sum of logs."""

from __future__ import annotations

import pytest
import torch
from tiny_models import VOCABULARY, batch_of, tiny

from molvae.chem.tokenizer import END_ID, PAD_ID, START_ID
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import DECODERS, ENCODERS, LATENTS


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
    noise_level = torch.linspace(0, 1, 12)  # both ends: a root has no slope at 0
    losses = network.losses(batch, noise_level)
    (losses.reconstruction + losses.kl).mean().backward()
    assert losses.reconstruction.shape == losses.kl.shape == (12,)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    optimizer.step()
    torch.manual_seed(1)
    assert network.losses(batch, noise_level).reconstruction.isfinite().all()


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
    z, noise_level = torch.randn(4, 5), torch.tensor([0.0, 0.2, 0.5, 1.0])
    result = network.log_likelihood(z, noise_level, batch.tokens).detach()
    for row in range(4):
        expected, symbols = 0.0, [START_ID]
        for target in batch.tokens[row].tolist():
            if target == PAD_ID:
                break
            logits = network.decoder(z[row : row + 1], noise_level[row : row + 1], torch.tensor([symbols]))[0, -1]
            expected += float(logits.log_softmax(0)[target].detach())
            symbols.append(target)
        assert symbols[-1] == END_ID
        torch.testing.assert_close(float(result[row]), expected, atol=1e-3, rtol=1e-4)


def test_padding_costs_nothing():
    network = model().eval()
    tokens = batch_of(2, 3).tokens
    z, noise_level = torch.randn(2, 5), torch.zeros(2)
    wider = torch.nn.functional.pad(tokens, (0, 9), value=PAD_ID)
    torch.testing.assert_close(
        network.log_likelihood(z, noise_level, wider), network.log_likelihood(z, noise_level, tokens)
    )


@pytest.mark.parametrize("latent", LATENTS)
def test_losses_are_those_of_one_draw(latent):
    """Radius 0 and a clamped seed: the reconstruction is minus the likelihood of the drawn latent."""
    network = model(latent=latent).eval()
    batch, noise_level = batch_of(2, 3, 4), torch.zeros(3)
    torch.manual_seed(7)
    losses = network.losses(batch, noise_level)
    torch.manual_seed(7)
    posterior = network.encode(batch)
    z = posterior.draw(torch.randn_like(posterior.mean))
    torch.testing.assert_close(losses.reconstruction, -network.log_likelihood(z, noise_level, batch.tokens))
    assert (losses.kl > 0).all() if latent == "gaussian" else (losses.kl == 0).all()


def test_the_noise_and_the_prior_of_a_sphere_are_its_own():
    """Whatever moves a latent of the sphere leaves it there: seen by the decoder's input."""
    network, seen = model(latent="hypersphere").eval(), []
    network.decoder.condition.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    losses = network.losses(batch_of(2, 3, 4), torch.tensor([0.0, 0.5, 1.0]), latent_noise=0.3, match_prior=True)
    torch.testing.assert_close(seen[0].norm(dim=1), torch.full((3,), 5**0.5))
    assert losses.mmd.shape == (1,)


def test_discrepancy_is_counted_where_asked_for():
    network = model(latent="deterministic").eval()
    assert network.losses(batch_of(2, 3), torch.zeros(2)).mmd.shape == (0,)
    found = network.losses(batch_of(2, 3), torch.zeros(2), match_prior=True).mmd
    assert found.shape == (1,)
    found.sum().backward()
    assert network.latent.mean.weight.grad.abs().max() > 0


def test_noise_that_is_not_told_moves_the_latent_alone():
    network = model(latent="deterministic").eval()
    batch, seen = batch_of(2, 3, 4), []
    network.decoder.condition.register_forward_pre_hook(lambda _, arguments: seen.append(arguments))
    network.losses(batch, torch.zeros(3), latent_noise=0.5)
    ((moved, told),) = seen
    assert torch.equal(told, torch.zeros(3))
    assert (moved - network.encode(batch).mean).abs().min() > 0


def test_a_corrupted_input_is_to_be_written_whole():
    """Everything masked: all molecules of one size look alike, and still have to be told apart by their tokens."""
    network = model(latent="deterministic").eval()
    batch = batch_of(2, 3, 4)
    whole = network.losses(batch, torch.zeros(3)).reconstruction
    masked = network.losses(batch, torch.zeros(3), corruption=1.0).reconstruction
    assert (whole - masked).abs().min() > 0
    assert int(batch.x.max()) > 0, "the batch itself is left as it was"


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_handful_of_molecules_is_learned(decoder):
    """Fifty steps on six molecules must halve the loss, or something is not connected."""
    network = model(decoder=decoder, decoder_dim=32, latent="deterministic").train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    batch, noise_level, history = batch_of(*range(2, 8)), torch.zeros(6), []
    for _ in range(50):
        loss = network.losses(batch, noise_level).reconstruction.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.6 * history[0]
    assert len(VOCABULARY) > 3
