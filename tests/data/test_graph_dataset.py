"""Packed graphs: batches compared with a loop over the molecules, saving and loading, and damaged files."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS

from molvae.chem.graph import smiles_to_graph
from molvae.chem.tokenizer import END_ID, PAD_ID, Vocabulary, tokenize
from molvae.data.graph_dataset import FORMAT, GraphBatch, PackedGraphs, concatenate, read_metadata
from molvae.errors import InputError, MoleculeError

# one atom without bonds; two fragments; drugs
GRAPHS = [smiles_to_graph(smiles) for smiles in ["C", "[Na+].[Cl-]", *DRUGS.values()]]
VOCABULARY = Vocabulary.from_tokens(token for graph in GRAPHS for token in tokenize(graph.smiles))
PACKED = PackedGraphs.from_graphs(GRAPHS, VOCABULARY)


def batch_by_loop(graphs, vocabulary):
    """Build the batch molecule by molecule and bond by bond."""
    atoms, position, batch, bonds, bond_index, ids = [], [], [], [], [], []
    for number, graph in enumerate(graphs):
        for bond, (a, b) in zip(graph.bonds.tolist(), graph.bond_index.tolist(), strict=True):
            bonds.append(bond)
            bond_index.append((a + len(atoms), b + len(atoms)))
        for index, atom in enumerate(graph.atoms.tolist()):
            position.append(index)
            batch.append(number)
            atoms.append(atom)
        ids.append(vocabulary.encode(graph.smiles).tolist())
    width = max(map(len, ids), default=0)
    tokens = [row + [PAD_ID] * (width - len(row)) for row in ids]
    edge_index = bond_index + [(b, a) for a, b in bond_index]
    return GraphBatch(
        x=torch.tensor(atoms, dtype=torch.long).view(-1, 7),
        edge_index=torch.tensor(edge_index, dtype=torch.long).view(-1, 2).T,
        edge_attr=torch.tensor(bonds + bonds, dtype=torch.long).view(-1, 4),
        position=torch.tensor(position, dtype=torch.long),
        batch=torch.tensor(batch, dtype=torch.long),
        tokens=torch.tensor(tokens, dtype=torch.long).view(len(graphs), width),
    )


def assert_same(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert a.dtype == b.dtype, field.name
        assert a.shape == b.shape, field.name
        assert torch.equal(a, b), field.name


@given(st.lists(st.integers(0, len(GRAPHS) - 1), max_size=12))
@settings(max_examples=60, deadline=None)
def test_gather_equals_loop(rows):
    """Also for no rows, and for repeated rows."""
    batch = PACKED.gather(torch.tensor(rows, dtype=torch.long))
    assert batch.size == len(rows)
    assert_same(batch, batch_by_loop([GRAPHS[row] for row in rows], VOCABULARY))


def test_edges_are_followed_by_reverse_edges():
    batch = PACKED.gather(torch.arange(len(PACKED)))
    forward, backward = batch.edge_index.chunk(2, dim=1)
    assert torch.equal(forward.flip(0), backward)
    assert torch.equal(*batch.edge_attr.chunk(2))
    assert torch.equal(
        batch.batch[forward[0]], batch.batch[forward[1]]
    )  # both atoms of a bond are in the same molecule


def test_tokens_decode_to_smiles():
    tokens = PACKED.gather(torch.arange(len(PACKED))).tokens
    assert [VOCABULARY.decode(row.tolist()) for row in tokens] == [graph.smiles for graph in GRAPHS]
    assert ((tokens == END_ID).sum(1) == 1).all()


def test_no_tokens_without_vocabulary():
    batch = PackedGraphs.from_graphs(GRAPHS).gather(torch.tensor([3, 1]))
    assert batch.tokens.shape == (2, 0)
    assert batch.size == 2
    assert_same(GraphBatch(**{**vars(PACKED.gather(torch.tensor([3, 1]))), "tokens": batch.tokens}), batch)


@pytest.mark.parametrize("graphs", [[], GRAPHS[:1]])
def test_zero_and_one_graph(graphs):
    packed = PackedGraphs.from_graphs(graphs, VOCABULARY)
    assert len(packed) == len(graphs)
    assert_same(packed.gather(torch.arange(len(graphs))), batch_by_loop(graphs, VOCABULARY))


def test_unknown_token():
    with pytest.raises(MoleculeError, match="'O'"):
        PackedGraphs.from_graphs([smiles_to_graph("CO")], Vocabulary.from_tokens(["C"]))


@given(st.lists(st.integers(0, len(GRAPHS) - 1), max_size=8))
@settings(max_examples=30, deadline=None)
def test_select(rows):
    expected = PackedGraphs.from_graphs([GRAPHS[row] for row in rows], VOCABULARY)
    assert_same(PACKED.select(torch.tensor(rows, dtype=torch.long)), expected)


@pytest.mark.parametrize("cuts", [[], [5], [0, 5, 5, len(GRAPHS)]])
def test_concatenate(cuts):
    edges = [0, *cuts, len(GRAPHS)]
    parts = [PackedGraphs.from_graphs(GRAPHS[a:b], VOCABULARY) for a, b in pairwise(edges)]
    assert_same(concatenate(parts), PACKED)
    assert parts == []


@pytest.mark.parametrize("graphs", [[], GRAPHS])
def test_save_and_load(tmp_path, graphs):
    packed = PackedGraphs.from_graphs(graphs, VOCABULARY)
    packed.save(tmp_path / "packed", source="drugs")
    loaded = PackedGraphs.load(str(tmp_path / "packed"))
    assert_same(loaded, packed)
    assert_same(loaded.gather(torch.arange(len(graphs))), batch_by_loop(graphs, VOCABULARY))
    assert read_metadata(tmp_path / "packed") == {"format": FORMAT, "molecules": len(graphs), "source": "drugs"}


def test_writing_to_loaded_arrays_does_not_change_the_file(tmp_path):
    PACKED.save(tmp_path)
    PackedGraphs.load(tmp_path).atoms.zero_()
    assert_same(PackedGraphs.load(tmp_path), PACKED)


def test_folder_without_packed_data(tmp_path):
    with pytest.raises(InputError, match=r"no packed\.json"):
        PackedGraphs.load(tmp_path)


@pytest.mark.parametrize("content", ["{}", json.dumps({"format": "molvae-packed-0"}), "[]", "{", "null"])
def test_unknown_format(tmp_path, content):
    PACKED.save(tmp_path)
    (tmp_path / "packed.json").write_text(content)
    with pytest.raises(InputError, match=r"packed\.json.*: .*pack the data again"):
        PackedGraphs.load(tmp_path)


@pytest.mark.parametrize("name", [field.name for field in fields(PackedGraphs)])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "text", "too few"])
def test_damaged_folder(tmp_path, name, damage):
    PACKED.save(tmp_path)
    path = tmp_path / f"{name}.npy"
    content = path.read_bytes()
    path.unlink()
    if damage == "too few":
        np.save(path, getattr(PACKED, name)[:-1].numpy())
    elif damage != "missing":
        path.write_bytes({"cut": content[:-7], "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(InputError, match="packed data is damaged"):
        PackedGraphs.load(tmp_path)


def test_nbytes():
    assert PACKED.nbytes == sum(getattr(PACKED, field.name).nbytes for field in fields(PACKED))


def test_to_the_same_device():
    assert_same(PACKED.to("cpu"), PACKED)
    assert PACKED.device == torch.device("cpu")
    assert_same(PACKED.gather(torch.tensor([2])).to("cpu"), batch_by_loop([GRAPHS[2]], VOCABULARY))
