"""A model that learns to reconstruct thirty small molecules in seconds, for tests that decode."""

from __future__ import annotations

import torch
from molecules import DRUGS

from molvae.chem.tokenizer import Vocabulary, tokenize
from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import ModelConfig
from molvae.nn.devices import single_threaded

_SMILES = (
    "CCO CCN CCC CCCC CCCO CCCN CC(C)O CC(C)C CC(=O)O CC(=O)N CCOC CCC(=O)O CC(C)N C1CCCC1 C1CCOC1 C1CCNC1 OCCO NCCO "
    "c1ccccc1 Cc1ccccc1 Oc1ccccc1 Nc1ccccc1 Clc1ccccc1 c1ccncc1 Cc1ccncc1 CC(C)CO CCCCO CCCCN CC(=O)OC COCCO"
)
SMALL = tuple(_SMILES.split(" "))
"""Training molecules of the tiny model."""


def trained(latent: str, decoder: str, steps: int) -> tuple[Autoencoder, ModelConfig, Vocabulary]:
    """Train a model on the small molecules; its vocabulary also has the tokens of the drugs."""
    vocabulary = Vocabulary.from_tokens(t for s in [*DRUGS.values(), *SMALL] for t in tokenize(s))
    config = ModelConfig(
        len(vocabulary), encoder_dim=16, encoder_layers=2, encoder_heads=2, pooling_heads=2, latent=latent,
        latent_dim=12, decoder=decoder, decoder_dim=48, decoder_heads=2, bilinear_dim=16,
        embedding_dim=16, max_length=80,
    )  # fmt: skip
    packed = PackedGraphs.from_graphs(featurize(SMALL), vocabulary)
    batch = packed.gather(torch.arange(len(packed)))
    with torch.random.fork_rng(), single_threaded():  # weights must not depend on the number of cores
        torch.manual_seed(0)
        model = Autoencoder.from_config(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3)
        for _ in range(steps):
            noise_level = torch.rand(batch.size) * (torch.rand(batch.size) < 0.5)
            losses = model.losses(batch, noise_level)
            loss = (losses.reconstruction + 0.003 * losses.kl).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval(), config, vocabulary
