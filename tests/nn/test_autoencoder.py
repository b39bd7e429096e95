"""The model: every combination of encoder, latent and decoder trains; likelihoods, losses and feature masking."""

from __future__ import annotations

import pytest
import torch
from tiny_models import batch_of, batch_of_smiles, tiny_config

from molvae.chem.tokenizer import END_ID, PAD_ID, START_ID
from molvae.nn.autoencoder import Autoencoder, mask_features
from molvae.nn.config import DECODERS, ENCODERS, LATENTS


def tiny_autoencoder(**settings):
    torch.manual_seed(0)
    return Autoencoder.from_config(tiny_config(**settings))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("latent", LATENTS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_combination_trains_every_parameter(encoder, latent, decoder):
    model = tiny_autoencoder(encoder=encoder, latent=latent, decoder=decoder)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    batch = batch_of(*range(2, 14))
    noise_level = torch.linspace(0, 1, 12)  # includes 0 and 1, where derivatives of square roots are infinite
    losses = model.losses(batch, noise_level)
    (losses.reconstruction + losses.kl).mean().backward()
    assert losses.reconstruction.shape == losses.kl.shape == (12,)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    optimizer.step()
    torch.manual_seed(1)
    assert model.losses(batch, noise_level).reconstruction.isfinite().all()


def test_initial_weights_are_reproducible():
    for first, second in zip(tiny_autoencoder().parameters(), tiny_autoencoder().parameters(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_posterior_does_not_depend_on_the_batch(encoder):
    model = tiny_autoencoder(encoder=encoder).eval()
    together = model.encode(batch_of())
    alone = model.encode(batch_of(5))
    torch.testing.assert_close(alone.mean[0], together.mean[5], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone.log_variance[0], together.log_variance[5], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("decoder", DECODERS)
def test_log_likelihood_is_the_sum_over_tokens(decoder):
    model = tiny_autoencoder(decoder=decoder).eval()
    batch = batch_of(0, 1, 2, 3)
    z, noise_level = torch.randn(4, 5), torch.tensor([0.0, 0.2, 0.5, 1.0])
    result = model.log_likelihood(z, noise_level, batch.tokens).detach()
    for row in range(4):
        expected, prefix = 0.0, [START_ID]
        for target in batch.tokens[row].tolist():
            if target == PAD_ID:
                break
            logits = model.decoder(z[row : row + 1], noise_level[row : row + 1], torch.tensor([prefix]))[0, -1]
            expected += float(logits.log_softmax(0)[target].detach())
            prefix.append(target)
        assert prefix[-1] == END_ID
        torch.testing.assert_close(float(result[row]), expected, atol=1e-3, rtol=1e-4)


def test_padding_does_not_change_the_likelihood():
    model = tiny_autoencoder().eval()
    tokens = batch_of(2, 3).tokens
    z, noise_level = torch.randn(2, 5), torch.zeros(2)
    padded = torch.nn.functional.pad(tokens, (0, 9), value=PAD_ID)
    torch.testing.assert_close(
        model.log_likelihood(z, noise_level, padded), model.log_likelihood(z, noise_level, tokens)
    )


@pytest.mark.parametrize("latent", LATENTS)
def test_reconstruction_loss_is_the_negative_log_likelihood(latent):
    model = tiny_autoencoder(latent=latent).eval()
    batch, noise_level = batch_of(2, 3, 4), torch.zeros(3)
    torch.manual_seed(7)
    losses = model.losses(batch, noise_level)
    torch.manual_seed(7)
    posterior = model.encode(batch)
    z = posterior.sample(torch.randn_like(posterior.mean))
    torch.testing.assert_close(losses.reconstruction, -model.log_likelihood(z, noise_level, batch.tokens))
    assert (losses.kl > 0).all() if latent == "gaussian" else (losses.kl == 0).all()


def test_perturbed_spherical_latents_stay_on_the_sphere():
    """The latents are captured at the input of the decoder."""
    model, inputs = tiny_autoencoder(latent="hypersphere").eval(), []
    model.decoder.film.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    losses = model.losses(batch_of(2, 3, 4), torch.tensor([0.0, 0.5, 1.0]), latent_noise=0.3, match_prior=True)
    torch.testing.assert_close(inputs[0].norm(dim=1), torch.full((3,), 5**0.5))
    assert losses.mmd.shape == (1,)


def test_mmd_is_computed_only_on_request():
    model = tiny_autoencoder(latent="deterministic").eval()
    assert model.losses(batch_of(2, 3), torch.zeros(2)).mmd.shape == (0,)
    discrepancy = model.losses(batch_of(2, 3), torch.zeros(2), match_prior=True).mmd
    assert discrepancy.shape == (1,)
    discrepancy.sum().backward()
    assert model.latent.mean.weight.grad.abs().max() > 0


def test_latent_noise_is_not_part_of_the_conditioning():
    model = tiny_autoencoder(latent="deterministic").eval()
    batch, inputs = batch_of(2, 3, 4), []
    model.decoder.film.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments))
    model.losses(batch, torch.zeros(3), latent_noise=0.5)
    ((z, noise_level),) = inputs
    assert torch.equal(noise_level, torch.zeros(3))
    assert (z - model.encode(batch).mean).abs().min() > 0


def test_masking_changes_the_encoder_input_only():
    model = tiny_autoencoder(latent="deterministic").eval()
    batch = batch_of(2, 3, 4)
    without = model.losses(batch, torch.zeros(3)).reconstruction
    masked = model.losses(batch, torch.zeros(3), mask_prob=1.0).reconstruction
    assert (without - masked).abs().min() > 0
    assert int(batch.x.max()) > 0, "the batch must not be modified"


@pytest.mark.parametrize("decoder", DECODERS)
def test_training_reduces_the_loss(decoder):
    """Fifty steps on six molecules reduce the loss by 40% or more."""
    model = tiny_autoencoder(decoder=decoder, decoder_dim=32, latent="deterministic").train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batch, noise_level, history = batch_of(*range(2, 8)), torch.zeros(6), []
    for _ in range(50):
        loss = model.losses(batch, noise_level).reconstruction.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.6 * history[0]


# --- feature masking ---


def test_mask_probability_0_and_1():
    batch = batch_of()
    assert torch.equal(mask_features(batch, 0.0).x, batch.x)
    assert torch.equal(mask_features(batch, 0.0).edge_attr, batch.edge_attr)
    masked = mask_features(batch, 1.0)
    assert int(masked.x.max()) == int(masked.edge_attr.max()) == 0
    assert torch.equal(masked.tokens, batch.tokens)
    assert torch.equal(masked.edge_index, batch.edge_index)


@pytest.mark.parametrize("mask_prob", [0.1, 0.5])
def test_atoms_and_bonds_are_masked_as_a_whole(mask_prob):
    """All features of an atom are masked together, and both directions of a bond."""
    torch.manual_seed(0)
    batch = batch_of_smiles(*["CC(=O)Oc1ccccc1C(=O)O"] * 300)
    out = mask_features(batch, mask_prob)
    atoms = (out.x == 0).all(1)
    assert float(atoms.float().mean()) == pytest.approx(mask_prob, abs=0.03)
    assert torch.equal(out.x[~atoms], batch.x[~atoms])
    changed = (out.edge_attr != batch.edge_attr).any(1)
    forward, backward = changed.chunk(2)
    assert torch.equal(forward, backward)
    assert int(out.edge_attr[changed].max()) == 0


def test_masking_a_molecule_without_bonds():
    assert mask_features(batch_of_smiles("C"), 0.5).edge_attr.shape == (0, 4)
