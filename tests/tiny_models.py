"""Settings of models that train in milliseconds per step, and batches of drug molecules for them."""

from __future__ import annotations

import torch
from molecules import DRUGS

from molvae.chem.graph import smiles_to_graph
from molvae.chem.tokenizer import Vocabulary, tokenize
from molvae.data.graph_dataset import PackedGraphs
from molvae.nn.config import ModelConfig

GRAPHS = [smiles_to_graph(smiles) for smiles in ["C", "[Na+].[Cl-]", *DRUGS.values()]]
VOCABULARY = Vocabulary.from_tokens(token for graph in GRAPHS for token in tokenize(graph.smiles))
PACKED = PackedGraphs.from_graphs(GRAPHS, VOCABULARY)


def tiny_config(**settings):
    config = ModelConfig(
        len(VOCABULARY),
        encoder_dim=8,
        encoder_layers=2,
        encoder_heads=2,
        pooling_heads=2,
        latent_dim=5,
        decoder_dim=8,
        decoder_layers=2,
        decoder_heads=2,
        bilinear_dim=3,
        embedding_dim=6,
    )
    return config.replace(**settings)


def batch_of(*rows):
    """A batch of these rows of PACKED; of all rows if none are listed."""
    return PACKED.gather(torch.tensor(rows or range(len(PACKED)), dtype=torch.long))


def batch_of_smiles(*smiles):
    graphs = [smiles_to_graph(text) for text in smiles]
    return PackedGraphs.from_graphs(graphs).gather(torch.arange(len(graphs)))
