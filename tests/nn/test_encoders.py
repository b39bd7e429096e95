"""Encoders: features depend on the molecule alone and differ between molecules."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from molecules import DRUGS
from tiny_models import GRAPHS, batch_of, batch_of_smiles, tiny_config

from molvae.nn.config import ENCODERS
from molvae.nn.encoders import BondMessagePassing, Encoder


def tiny_encoder(**settings):
    torch.manual_seed(0)
    return Encoder(tiny_config(**settings)).eval()


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("position_feature", [True, False])
def test_features_do_not_depend_on_the_batch(kind, position_feature):
    """Molecules are encoded in one batch, alone, and in another order."""
    encoder = tiny_encoder(encoder=kind, position_feature=position_feature)
    together = encoder(batch_of())
    assert together.shape == (len(GRAPHS), encoder.output_dim)
    for row in (0, 1, 2, len(GRAPHS) - 1):
        torch.testing.assert_close(encoder(batch_of(row))[0], together[row], atol=1e-5, rtol=1e-4)
    order = torch.randperm(len(GRAPHS), generator=torch.Generator().manual_seed(1)).tolist()
    torch.testing.assert_close(encoder(batch_of(*order)), together[order], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("CCO", "CCN"),
        ("CCCC", "CCCCC"),
        ("CC(=O)[O-]", "CC(=O)O"),
        ("C=C", "CC"),
        (DRUGS["(S)-naproxen"], DRUGS["(S)-naproxen"].replace("@", "@@")),
        (DRUGS["tamoxifen"], DRUGS["(E)-tamoxifen"]),
        ("C1CCCCC1", "C1CCCC1"),
    ],
)
def test_different_molecules_have_different_features(kind, a, b):
    first, second = tiny_encoder(encoder=kind)(batch_of_smiles(a, b))
    assert not torch.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("kind", ENCODERS)
def test_features_do_not_depend_on_the_smiles_of_a_molecule(kind):
    first, second = tiny_encoder(encoder=kind)(batch_of_smiles("OC(=O)c1ccccc1OC(C)=O", DRUGS["aspirin"]))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("kind", ENCODERS)
def test_features_do_not_depend_on_bond_direction(kind):
    encoder, batch = tiny_encoder(encoder=kind), batch_of(2, 3)
    reversed_edges = replace(batch, edge_index=batch.edge_index.flip(0).contiguous())
    torch.testing.assert_close(encoder(reversed_edges), encoder(batch), atol=1e-5, rtol=1e-4)


def test_positions_matter_only_with_position_feature():
    batch = batch_of(2)
    shifted = replace(batch, position=batch.position + 7)
    without = tiny_encoder(position_feature=False)
    torch.testing.assert_close(without(shifted), without(batch))
    assert not torch.allclose(tiny_encoder()(shifted), tiny_encoder()(batch), atol=1e-4)


def loop_message_passing(network, x, edge_attr, batch):
    """D-MPNN as its paper defines it: the message u->v sums the messages into u except the one from v."""
    edges = [tuple(edge) for edge in batch.edge_index.T.tolist()]
    initial = {
        edge: network.input_layer(torch.cat([x[edge[0]], features]))
        for edge, features in zip(edges, edge_attr, strict=True)
    }
    message = {edge: value.relu() for edge, value in initial.items()}
    zero = torch.zeros(x.shape[1])
    states = []
    for update, readout, norm in zip(network.update_layers, network.readout_layers, network.norms, strict=True):
        message = {
            (u, v): (initial[u, v] + update(sum((message[w, t] for w, t in edges if t == u and w != v), zero))).relu()
            for u, v in edges
        }
        incoming = torch.stack([sum((message[w, t] for w, t in edges if t == u), zero) for u in range(len(x))])
        states.append(norm(readout(torch.cat([x, incoming], dim=1)).relu()))
    return states


def test_bond_message_passing_equals_its_definition():
    torch.manual_seed(0)
    batch = batch_of_smiles("C", "CC(=O)Oc1ccccc1C(=O)O", "CO")
    network = BondMessagePassing(tiny_config(encoder_layers=3)).eval()
    x, edge_attr = torch.randn(len(batch.x), 8), torch.randn(len(batch.edge_attr) // 2, 8).repeat(2, 1)
    expected = loop_message_passing(network, x, edge_attr, batch)
    for state, reference in zip(network(x, edge_attr, batch), expected, strict=True):
        torch.testing.assert_close(state, reference, atol=1e-5, rtol=1e-4)


def test_attention_weights_sum_to_one_per_molecule():
    """Two equal atoms have the same attention features as one atom, and twice the sum."""
    pooling = tiny_encoder().pooling
    x = torch.randn(1, pooling.attention.in_features).expand(3, -1)
    pooled = pooling(x, torch.tensor([0, 1, 1]), 2)
    attention_dim = pooling.value_projection.out_features
    torch.testing.assert_close(pooled[0, :attention_dim], pooled[1, :attention_dim])
    torch.testing.assert_close(2 * pooled[0, attention_dim:], pooled[1, attention_dim:])


def loop_pooling(pooling, x, batch, batch_size):
    """The definition: values of each atom, weighted within its molecule, and a plain sum."""
    rows = []
    for molecule in range(batch_size):
        atoms = x[batch == molecule]
        weights = pooling.attention(atoms).softmax(0)  # atoms x heads
        values = pooling.value_projection(atoms).view(len(atoms), weights.shape[1], -1)
        attended = (weights[:, :, None] * values).sum(0).flatten()
        rows.append(torch.cat([attended, pooling.sum_projection(atoms).sum(0) / 8]))
    return torch.stack(rows)


def test_attention_pooling_equals_its_definition():
    pooling = tiny_encoder().pooling
    x, batch = torch.randn(9, pooling.attention.in_features), torch.tensor([0, 0, 0, 0, 1, 2, 2, 2, 2])
    pooled = pooling(x, batch, 3)
    assert pooled.shape == (3, pooling.output_dim)
    torch.testing.assert_close(pooled, loop_pooling(pooling, x, batch, 3), atol=1e-5, rtol=1e-4)
