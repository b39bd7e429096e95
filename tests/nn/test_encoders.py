"""Encoders: a vector per molecule, of that molecule alone, that tells molecules apart."""

from __future__ import annotations

import pytest
import torch
from molecules import DRUGS
from tiny_models import GRAPHS, batch_of, batch_of_smiles, tiny

from molvae.nn.config import ENCODERS
from molvae.nn.encoders import DirectedMessages, Encoder


def encoder(**settings):
    torch.manual_seed(0)
    return Encoder(tiny(**settings)).eval()


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("positions", [True, False])
def test_a_vector_does_not_depend_on_its_batch(kind, positions):
    """All together, each alone, and in another order."""
    network = encoder(encoder=kind, position_feature=positions)
    together = network(batch_of())
    assert together.shape == (len(GRAPHS), network.output_width)
    for row in (0, 1, 2, len(GRAPHS) - 1):
        torch.testing.assert_close(network(batch_of(row))[0], together[row], atol=1e-5, rtol=1e-4)
    order = torch.randperm(len(GRAPHS), generator=torch.Generator().manual_seed(1)).tolist()
    torch.testing.assert_close(network(batch_of(*order)), together[order], atol=1e-5, rtol=1e-4)


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
def test_different_molecules_have_different_vectors(kind, a, b):
    one, other = encoder(encoder=kind)(batch_of_smiles(a, b))
    assert not torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_way_a_molecule_is_written_does_not_matter(kind):
    one, other = encoder(encoder=kind)(batch_of_smiles("OC(=O)c1ccccc1OC(C)=O", DRUGS["aspirin"]))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", ENCODERS)
def test_bonds_are_seen_from_both_ends(kind):
    """Turned round, every bond is the same bond."""
    network = encoder(encoder=kind)
    batch = batch_of(2, 3)
    turned = type(batch)(**{**vars(batch), "edge_index": batch.edge_index.flip(0).contiguous()})
    torch.testing.assert_close(network(turned), network(batch), atol=1e-5, rtol=1e-4)


def test_without_positions_order_tells_nothing():
    network = encoder(position_feature=False)
    batch = batch_of(2)
    shifted = type(batch)(**{**vars(batch), "position": batch.position + 7})
    torch.testing.assert_close(network(shifted), network(batch))
    assert not torch.allclose(encoder()(shifted), encoder()(batch), atol=1e-4)


def directed_by_loop(network, x, edges, batch):
    """D-MPNN as its paper writes it: the message u->v sums those that arrive at u, but not the one from v."""
    pairs = [tuple(pair) for pair in batch.edge_index.T.tolist()]
    first = {pair: network.start(torch.cat([x[pair[0]], edge])) for pair, edge in zip(pairs, edges, strict=True)}
    message = {pair: value.relu() for pair, value in first.items()}
    zero = torch.zeros(x.shape[1])
    states = []
    for update, readout, norm in zip(network.update, network.readout, network.norms, strict=True):
        message = {
            (u, v): (first[u, v] + update(sum((message[w, t] for w, t in pairs if t == u and w != v), zero))).relu()
            for u, v in pairs
        }
        arriving = torch.stack([sum((message[w, t] for w, t in pairs if t == u), zero) for u in range(len(x))])
        states.append(norm(readout(torch.cat([x, arriving], dim=1)).relu()))
    return states


def test_directed_messages_are_those_of_the_paper():
    torch.manual_seed(0)
    batch = batch_of_smiles("C", "CC(=O)Oc1ccccc1C(=O)O", "CO")
    network = DirectedMessages(tiny(encoder_layers=3)).eval()
    x, edges = torch.randn(len(batch.x), 8), torch.randn(len(batch.edge_attr) // 2, 8).repeat(2, 1)
    expected = directed_by_loop(network, x, edges, batch)
    for state, slow in zip(network(x, edges, batch), expected, strict=True):
        torch.testing.assert_close(state, slow, atol=1e-5, rtol=1e-4)


def test_pooling_weighs_each_molecule_by_itself():
    """The attention weights of a molecule's atoms sum to 1, so that two equal atoms pool to the same value."""
    network = encoder().pooling
    x = torch.randn(1, network.score.in_features).expand(3, -1)
    pooled = network(x, torch.tensor([0, 1, 1]), 2)
    attended = network.value.out_features
    torch.testing.assert_close(pooled[0, :attended], pooled[1, :attended])
    torch.testing.assert_close(2 * pooled[0, attended:], pooled[1, attended:])


def pooled_atom_by_atom(network, x, owner, size):
    """By its definition: every atom's values, weighted within its molecule, beside a plain sum."""
    rows = []
    for molecule in range(size):
        own = x[owner == molecule]
        weights = network.score(own).softmax(0)  # atoms x heads
        values = network.value(own).view(len(own), weights.shape[1], -1)
        attended = (weights[:, :, None] * values).sum(0).flatten()
        rows.append(torch.cat([attended, network.total(own).sum(0) / 8]))
    return torch.stack(rows)


def test_pooling_is_what_its_definition_says():
    network = encoder().pooling
    x, owner = torch.randn(9, network.score.in_features), torch.tensor([0, 0, 0, 0, 1, 2, 2, 2, 2])
    pooled = network(x, owner, 3)
    assert pooled.shape == (3, network.output_width)
    torch.testing.assert_close(pooled, pooled_atom_by_atom(network, x, owner, 3), atol=1e-5, rtol=1e-4)
