"""Shared fixtures: a small trained model, created once per session in a few seconds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def tiny_checkpoint():
    """A VAE overfitted to thirty small molecules; most samples around them are valid. Training takes seconds."""
    from tiny_vae import SMALL, trained

    from molvae.checkpoint import Checkpoint, SamplingDefaults
    from molvae.data.bloom_filter import BloomFilter

    model, config, vocabulary = trained("gaussian", "gru", 250)
    return Checkpoint(
        name="tiny", model=model, config=config, vocabulary=vocabulary, defaults=SamplingDefaults(),
        training_filter=BloomFilter.from_smiles(SMALL), card={"data": "thirty small molecules"},
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint, tmp_path_factory):
    """The tiny model as a model directory."""
    from molvae.checkpoint import save

    return save(tiny_checkpoint, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_model):
    """The tiny model as a Generator."""
    from molvae.generator import Generator

    return Generator.load(tiny_model, "cpu")


@pytest.fixture(scope="module")
def few_trees():
    """Random forests of ten trees, which train faster."""
    from molvae.qsar import estimators

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimators, "N_TREES", 10)
        yield


@pytest.fixture(scope="session")
def tiny_transformer():
    """A briefly trained autoencoder with a transformer decoder: model, config, vocabulary."""
    from tiny_vae import trained

    return trained("deterministic", "transformer", 20)


@pytest.fixture
def set_threads():
    """A function that sets torch's number of threads, for the duration of a test."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
