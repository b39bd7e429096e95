"""Compare molvae's graph layers with the equivalent code of torch_geometric on one CPU thread.

    python benchmarks/pyg_layers.py druglike_test.smi.gz > benchmarks/pyg_layers.md

Measures D-MPNN message passing, the readout, the segment softmax, encoding of 1,000 molecules with either, and import
times. Both variants of a layer share weights and are timed alternately; results are compared before timing.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch
from common import header
from torch import Tensor, nn
from torch_geometric import utils as pyg
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import AttentionalAggregation, SumAggregation

from molvae import checkpoint
from molvae.chem.graph import MolGraph
from molvae.data.featurize import featurize
from molvae.data.graph_dataset import GraphBatch, PackedGraphs
from molvae.data.readers import read_records
from molvae.data.rows import Record
from molvae.nn.encoders import AttentionPooling, BondMessagePassing
from molvae.nn.scatter import softmax

BATCH_SIZE, ROUNDS = 256, 7


class PyGBondMessagePassing(MessagePassing):
    """D-MPNN written with `MessagePassing`: atoms receive the sum of the messages of incoming bonds."""

    def __init__(self, ours: BondMessagePassing) -> None:
        super().__init__(aggr="sum")
        self.ours = ours

    def forward(self, x: Tensor, edge_attr: Tensor, batch: GraphBatch) -> list[Tensor]:
        source, _ = batch.edge_index
        size, ours = (len(x), len(x)), self.ours
        initial = ours.input_layer(torch.cat([x[source], edge_attr], dim=1))
        h, states = initial.relu(), []
        for update, readout, norm in zip(ours.update_layers, ours.readout_layers, ours.norms, strict=True):
            incoming = self.propagate(batch.edge_index, h=h, size=size)
            reverse = h.roll(len(h) // 2, 0)
            h = (initial + ours.dropout(update(incoming[source] - reverse))).relu()
            incoming = self.propagate(batch.edge_index, h=h, size=size)
            states.append(norm(readout(torch.cat([x, incoming], dim=1)).relu()))
        return states

    def message(self, h: Tensor) -> Tensor:
        return h


class PyGPooling(nn.Module):
    """The readout written with one `AttentionalAggregation` per head and a `SumAggregation`."""

    def __init__(self, ours: AttentionPooling) -> None:
        super().__init__()
        self.ours, heads = ours, ours.attention.out_features
        self.heads = nn.ModuleList()
        for head, weight in enumerate(ours.value_projection.weight.chunk(heads)):
            gate, value = nn.Linear(weight.shape[1], 1), nn.Linear(weight.shape[1], weight.shape[0])
            gate.weight.data, gate.bias.data = (
                ours.attention.weight[head : head + 1],
                ours.attention.bias[head : head + 1],
            )
            value.weight.data, value.bias.data = weight, ours.value_projection.bias.chunk(heads)[head]
            self.heads.append(AttentionalAggregation(gate, value))
        self.sum = SumAggregation()

    def forward(self, x: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        attended = [head(x, batch, dim_size=batch_size) for head in self.heads]
        return torch.cat([*attended, self.sum(self.ours.sum_projection(x), batch, dim_size=batch_size) / 8], dim=1)


class SharedPyGPooling(nn.Module):
    """The readout written with `torch_geometric.utils`, all heads together."""

    def __init__(self, ours: AttentionPooling) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, x: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        weights = pyg.softmax(self.ours.attention(x), batch, num_nodes=batch_size)  # A x heads
        values = self.ours.value_projection(x).view(len(x), weights.shape[1], -1)
        attended = pyg.scatter((weights[:, :, None] * values).flatten(1), batch, dim_size=batch_size, reduce="sum")
        total = pyg.scatter(self.ours.sum_projection(x), batch, dim_size=batch_size, reduce="sum") / 8
        return torch.cat([attended, total], dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("molecules", type=Path, help="file of SMILES; the first 1,000 are used")
    parser.add_argument("--model", default="druglike")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    packed = read_molecules(arguments.molecules)
    model = checkpoint.load(arguments.model).model
    batches = [packed.gather(rows) for rows in torch.arange(len(packed)).split(BATCH_SIZE)]
    packages = ("torch", "torch-geometric")
    print("\n".join(header("Graph layers of molvae and of torch_geometric", *packages, model=arguments.model)))
    molecules = f"{len(packed):,} molecules in batches of {BATCH_SIZE}"
    print(f"{molecules}, one CPU thread, median of {ROUNDS} alternating rounds.\n")
    print("| layer | molvae, ms | torch_geometric, ms | ratio |\n|---|---|---|---|")
    for name, ours, theirs in comparisons(model.encoder, batches):
        print_row(name, ours, theirs)
    print("\n| import | seconds |\n|---|---|")
    for module in ("torch", "torch, torch_geometric.utils"):
        print(f"| {module} | {statistics.median(import_time(module) for _ in range(3)):.1f} |")


def read_molecules(path: Path, count: int = 1000) -> PackedGraphs:
    """Packed graphs of the first molecules of a file."""
    records = (row for row in read_records(path) if isinstance(row, Record))
    graphs = featurize([record.smiles for record in islice(records, count)])
    return PackedGraphs.from_graphs([graph for graph in graphs if isinstance(graph, MolGraph)])


def comparisons(
    encoder: nn.Module, batches: list[GraphBatch]
) -> list[tuple[str, Callable[[], Tensor], Callable[[], Tensor]]]:
    """Name, our function and theirs, of each comparison; both return the same tensor."""
    batch, ours, pooling = batches[0], encoder.message_passing, encoder.pooling
    with torch.no_grad():
        x, edge_attr = encoder.atom_embedding(batch.x), encoder.bond_embedding(batch.edge_attr)
        features = torch.cat([x, *ours(x, edge_attr, batch)], dim=1)
        scores = pooling.attention(features)
    theirs, heads, shared = PyGBondMessagePassing(ours), PyGPooling(pooling), SharedPyGPooling(pooling)
    whole = copy.deepcopy(encoder)
    whole.message_passing, whole.pooling = PyGBondMessagePassing(whole.message_passing), SharedPyGPooling(whole.pooling)
    leaf = x.clone().requires_grad_()

    def gradient(layer: nn.Module) -> Tensor:
        return torch.autograd.grad(sum(state.sum() for state in layer(leaf, edge_attr, batch)), [leaf])[0]

    return [
        ("D-MPNN, `MessagePassing`", lambda: ours(x, edge_attr, batch)[-1], lambda: theirs(x, edge_attr, batch)[-1]),
        ("D-MPNN, forward and backward", lambda: gradient(ours), lambda: gradient(theirs)),
        (
            "attention pooling, `AttentionalAggregation` per head",
            lambda: pooling(features, batch.batch, batch.size), lambda: heads(features, batch.batch, batch.size),
        ),
        (
            "attention pooling, `torch_geometric.utils`",
            lambda: pooling(features, batch.batch, batch.size), lambda: shared(features, batch.batch, batch.size),
        ),
        (
            "segment softmax",
            lambda: softmax(scores, batch.batch, batch.size),
            lambda: pyg.softmax(scores, batch.batch, num_nodes=batch.size),
        ),
        (
            "encoding of all molecules",
            lambda: torch.cat([encoder(b) for b in batches]), lambda: torch.cat([whole(b) for b in batches]),
        ),
    ]  # fmt: skip


def print_row(name: str, ours: Callable[[], Tensor], theirs: Callable[[], Tensor]) -> None:
    """Check that both agree, time them alternately, and print a table row."""
    grad = "backward" in name
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(ours(), theirs(), atol=1e-4, rtol=1e-4)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for function, record in zip((ours, theirs), times, strict=True):
                start = time.perf_counter()
                function()
                record.append(1000 * (time.perf_counter() - start))
    mine, other = map(statistics.median, times)
    print(f"| {name} | {mine:.1f} | {other:.1f} | {mine / other:.2f} |", flush=True)


def import_time(modules: str) -> float:
    """Seconds of a fresh interpreter that imports these modules."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
