"""Encoders: a batch of molecular graphs in, one vector per molecule out.

All four share the ends (feature embeddings in, pooling of every layer's atom states out) and differ in how
messages pass between. Keeping every layer for the pooling, and pooling with several attention heads beside a
sum, follows MoLeR (Maziarz et al. 2022) and jumping knowledge (Xu et al. 2018).
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from molvae.chem.graph import ATOM_FEATURES, BOND_FEATURES, Feature
from molvae.data.graph_dataset import GraphBatch
from molvae.nn.config import ModelConfig
from molvae.nn.decoders import WAVES, waves
from molvae.nn.segments import segment_softmax, segment_sum, side_by_side


class Encoder(nn.Module):
    """Embeds atoms and bonds, passes messages, pools: `forward(batch) -> B x output_width`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.encoder_dim
        self.atom_embedding = FeatureEmbedding(ATOM_FEATURES, width)
        self.bond_embedding = FeatureEmbedding(BOND_FEATURES, width)
        self.position = nn.Linear(2 * WAVES, width) if config.position_feature else None
        self.messages = MESSAGE_PASSING[config.encoder](config)
        self.pooling = Pooling(width * (config.encoder_layers + 1), config.pooling_heads, width)
        self.output_width = self.pooling.output_width

    def forward(self, batch: GraphBatch) -> Tensor:
        x = self.atom_embedding(batch.x)  # A x W
        if self.position is not None:
            x = x + self.position(waves(batch.position).to(x.dtype))
        edges = self.bond_embedding(batch.edge_attr)  # E x W
        states = self.messages(x, edges, batch)
        pooled: Tensor = self.pooling(torch.cat([x, *states], dim=1), batch.batch, batch.size)
        return pooled


class FeatureEmbedding(nn.Module):
    """Sum of one embedding per feature column: N x columns -> N x width."""

    offset: Tensor

    def __init__(self, features: tuple[Feature, ...], width: int) -> None:
        super().__init__()
        *offset, size = accumulate((f.size for f in features), initial=0)
        self.register_buffer("offset", torch.tensor(offset), persistent=False)
        # one table for all columns: one look-up instead of one per column
        self.table = nn.EmbeddingBag(size, width, mode="sum")
        nn.init.normal_(self.table.weight, std=len(features) ** -0.5)

    def forward(self, columns: Tensor) -> Tensor:
        out: Tensor = self.table(columns + self.offset)
        return out


class NodeMessages(nn.Module):
    """Layers of a torch_geometric convolution on atom states, each with a residual and a norm.

    That library is imported where a layer is made: it takes seconds, and a D-MPNN does without.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(self.layer(config) for _ in range(config.encoder_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(config.encoder_dim) for _ in range(config.encoder_layers))
        self.dropout = nn.Dropout(config.dropout)

    def layer(self, config: ModelConfig) -> nn.Module:
        raise NotImplementedError

    def step(self, layer: nn.Module, x: Tensor, edges: Tensor, batch: GraphBatch) -> Tensor:
        out: Tensor = layer(x, batch.edge_index, edge_attr=edges)
        return out

    def forward(self, x: Tensor, edges: Tensor, batch: GraphBatch) -> list[Tensor]:
        states = []
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(x + self.dropout(self.step(layer, x, edges, batch)))
            states.append(x)
        return states


class GINEMessages(NodeMessages):
    """Graph isomorphism network with edge features (Hu et al. 2020)."""

    def layer(self, config: ModelConfig) -> nn.Module:
        from torch_geometric.nn import GINEConv

        conv: nn.Module = GINEConv(_two_layers(config.encoder_dim))
        return conv


class GATv2Messages(NodeMessages):
    """Attention over neighbors that depends on both ends (Brody et al. 2022)."""

    def layer(self, config: ModelConfig) -> nn.Module:
        from torch_geometric.nn import GATv2Conv

        width, heads = config.encoder_dim, config.encoder_heads
        conv: nn.Module = GATv2Conv(width, width // heads, heads=heads, edge_dim=width)
        return conv


class GPSMessages(NodeMessages):
    """A graph transformer: GINE beside attention over all atoms of a molecule (Rampasek et al. 2022)."""

    def layer(self, config: ModelConfig) -> nn.Module:
        from torch_geometric.nn import GINEConv, GPSConv

        width = config.encoder_dim
        conv: nn.Module = GPSConv(
            width,
            GINEConv(_two_layers(width)),
            heads=config.encoder_heads,
            norm="layer_norm",
            dropout=config.dropout,
        )
        return conv

    def step(self, layer: nn.Module, x: Tensor, edges: Tensor, batch: GraphBatch) -> Tensor:
        out: Tensor = layer(x, batch.edge_index, batch.batch, edge_attr=edges)
        return out


class DirectedMessages(nn.Module):
    """Messages live on directed bonds and never turn straight back: D-MPNN (Yang et al. 2019, chemprop)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, layers = config.encoder_dim, config.encoder_layers
        self.start = nn.Linear(2 * width, width)
        self.update = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.readout = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, edges: Tensor, batch: GraphBatch) -> list[Tensor]:
        source, target = batch.edge_index
        # rows are looked up as embeddings, whose gradient is several times as quick on a CPU as that of an index
        first = self.start(torch.cat([embedding(source, x), edges], dim=1))  # E x W
        h, states = first.relu(), []
        for update, readout, norm in zip(self.update, self.readout, self.norms, strict=True):
            arriving = segment_sum(h, target, len(x))  # A x W
            back = h.roll(len(h) // 2, 0)  # edges are forward then backward: the reverse is half a turn away
            h = (first + self.dropout(update(embedding(source, arriving) - back))).relu()
            arriving = segment_sum(h, target, len(x))
            states.append(norm(readout(torch.cat([x, arriving], dim=1)).relu()))
        return states


class Pooling(nn.Module):
    """Atoms into a molecule: heads of attention-weighted sums beside one plain sum, which keeps the size."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, heads)
        self.value = nn.Linear(width, heads * head_width // 2)
        self.total = nn.Linear(width, head_width)
        self.output_width = heads * head_width // 2 + head_width

    def forward(self, x: Tensor, owner: Tensor, size: int) -> Tensor:
        weight = segment_softmax(self.score(x), owner, size)  # A x heads
        weight = torch.cat([weight, torch.ones_like(weight[:, :1])], dim=1)  # the last head is the plain sum
        # sums come before the linear maps, which are the same for all atoms: there are fewer molecules than atoms
        atoms, weights = (side_by_side(t, owner, size) for t in (x, weight))
        sums = weights.transpose(1, 2) @ atoms  # B x (heads + 1) x W
        maps = self.value.weight.view(weight.shape[1] - 1, -1, x.shape[1])  # heads x D x W
        attended = torch.einsum("bhw,hdw->bhd", sums[:, :-1], maps).flatten(1) + self.value.bias
        total = (sums[:, -1] @ self.total.weight.t() + weights[:, :, -1].sum(1, keepdim=True) * self.total.bias) / 8
        return torch.cat([attended, total], dim=1)


def _two_layers(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))


MESSAGE_PASSING: dict[str, type[nn.Module]] = {
    "gine": GINEMessages,
    "gatv2": GATv2Messages,
    "dmpnn": DirectedMessages,
    "gps": GPSMessages,
}
