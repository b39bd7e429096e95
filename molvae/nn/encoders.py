"""Graph encoders: a batch of molecular graphs to one feature vector per molecule.

All encoders share the feature embeddings and the readout, which pools the atom states of every layer, and differ in
message passing. Pooling all layers follows jumping knowledge networks [1]_; combining several attention heads with a
sum follows MoLeR [2]_.

References
----------
.. [1] Xu et al. 2018, "Representation learning on graphs with jumping knowledge networks".
.. [2] Maziarz et al. 2022, "Learning to extend molecular scaffolds with structural motifs".
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from molvae.chem.graph import ATOM_FEATURES, BOND_FEATURES, Feature
from molvae.data.graph_dataset import GraphBatch
from molvae.nn.config import ModelConfig
from molvae.nn.layers import ENCODING_DIM, sinusoidal_encoding
from molvae.nn.scatter import scatter_sum, softmax, to_dense_batch


class Encoder(nn.Module):
    """Embeds atoms and bonds, passes messages, and pools atoms to molecules.

    Parameters
    ----------
    config : ModelConfig
        Settings; `config.encoder` selects one of `MESSAGE_PASSING`.

    Attributes
    ----------
    output_dim : int
        Dimension of a molecule's feature vector.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.encoder_dim
        self.atom_embedding = FeatureEmbedding(ATOM_FEATURES, dim)
        self.bond_embedding = FeatureEmbedding(BOND_FEATURES, dim)
        self.position_projection = nn.Linear(ENCODING_DIM, dim) if config.position_feature else None
        self.message_passing = MESSAGE_PASSING[config.encoder](config)
        self.pooling = AttentionPooling(dim * (config.encoder_layers + 1), config.pooling_heads, dim)
        self.output_dim = self.pooling.output_dim

    def forward(self, batch: GraphBatch) -> Tensor:
        """Feature vectors of the molecules of a batch, shape (B, output_dim)."""
        x = self.atom_embedding(batch.x)  # A x dim
        if self.position_projection is not None:
            x = x + self.position_projection(sinusoidal_encoding(batch.position).to(x.dtype))
        edge_attr = self.bond_embedding(batch.edge_attr)  # E x dim
        states = self.message_passing(x, edge_attr, batch)
        pooled: Tensor = self.pooling(torch.cat([x, *states], dim=1), batch.batch, batch.size)
        return pooled


class FeatureEmbedding(nn.Module):
    """Sum of one learned embedding per categorical feature.

    Parameters
    ----------
    features : tuple of Feature
        The feature columns.
    dim : int
        Dimension of the embedding.
    """

    offset: Tensor

    def __init__(self, features: tuple[Feature, ...], dim: int) -> None:
        super().__init__()
        *offset, size = accumulate((f.size for f in features), initial=0)
        self.register_buffer("offset", torch.tensor(offset), persistent=False)
        # one table for all columns needs one look-up instead of one per column
        self.table = nn.EmbeddingBag(size, dim, mode="sum")
        nn.init.normal_(self.table.weight, std=len(features) ** -0.5)

    def forward(self, columns: Tensor) -> Tensor:
        """Category indices (N, columns) -> (N, dim)."""
        out: Tensor = self.table(columns + self.offset)
        return out


class AtomMessagePassing(nn.Module):
    """Base class: layers of a torch_geometric convolution on atom states, each with residual and layer norm.

    torch_geometric is imported when a layer is built, because the import takes seconds and a D-MPNN does not need it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(self.build_layer(config) for _ in range(config.encoder_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(config.encoder_dim) for _ in range(config.encoder_layers))
        self.dropout = nn.Dropout(config.dropout)

    def build_layer(self, config: ModelConfig) -> nn.Module:
        """Create one convolution."""
        raise NotImplementedError

    def apply_layer(self, layer: nn.Module, x: Tensor, edge_attr: Tensor, batch: GraphBatch) -> Tensor:
        """Apply one convolution to atom states (A, dim)."""
        out: Tensor = layer(x, batch.edge_index, edge_attr=edge_attr)
        return out

    def forward(self, x: Tensor, edge_attr: Tensor, batch: GraphBatch) -> list[Tensor]:
        """Atom states after each layer.

        Parameters
        ----------
        x : Tensor, shape (A, dim)
            Embedded atoms.
        edge_attr : Tensor, shape (E, dim)
            Embedded directed bonds.
        batch : GraphBatch
            Gives `edge_index` and `batch`.

        Returns
        -------
        list of Tensor, each of shape (A, dim)
        """
        states = []
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(x + self.dropout(self.apply_layer(layer, x, edge_attr, batch)))
            states.append(x)
        return states


class GINEMessagePassing(AtomMessagePassing):
    """Graph isomorphism network with edge features (Hu et al. 2020, "Strategies for pre-training GNNs")."""

    def build_layer(self, config: ModelConfig) -> nn.Module:
        from torch_geometric.nn import GINEConv

        conv: nn.Module = GINEConv(_mlp(config.encoder_dim))
        return conv


class GATv2MessagePassing(AtomMessagePassing):
    """Graph attention (Brody et al. 2022, "How attentive are graph attention networks?")."""

    def build_layer(self, config: ModelConfig) -> nn.Module:
        from torch_geometric.nn import GATv2Conv

        dim, heads = config.encoder_dim, config.encoder_heads
        conv: nn.Module = GATv2Conv(dim, dim // heads, heads=heads, edge_dim=dim)
        return conv


class GPSMessagePassing(AtomMessagePassing):
    """Graph transformer: GINE and global attention in parallel (Rampasek et al. 2022, GraphGPS)."""

    def build_layer(self, config: ModelConfig) -> nn.Module:
        from torch_geometric.nn import GINEConv, GPSConv

        dim = config.encoder_dim
        conv: nn.Module = GPSConv(
            dim, GINEConv(_mlp(dim)), heads=config.encoder_heads, norm="layer_norm", dropout=config.dropout
        )
        return conv

    def apply_layer(self, layer: nn.Module, x: Tensor, edge_attr: Tensor, batch: GraphBatch) -> Tensor:
        out: Tensor = layer(x, batch.edge_index, batch.batch, edge_attr=edge_attr)
        return out


class BondMessagePassing(nn.Module):
    """D-MPNN: messages on directed bonds; the update of a bond excludes the message of its reverse [1]_.

    It takes 0.92 (forward) to 1.06 (with backward) of the time of the same network written with
    `torch_geometric.nn.MessagePassing`, whose import takes as long as that of torch (benchmarks/pyg_layers.md).

    References
    ----------
    .. [1] Yang et al. 2019, "Analyzing learned molecular representations for property prediction" (chemprop).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, layers = config.encoder_dim, config.encoder_layers
        self.input_layer = nn.Linear(2 * dim, dim)
        self.update_layers = nn.ModuleList(nn.Linear(dim, dim) for _ in range(layers))
        self.readout_layers = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(layers))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, edge_attr: Tensor, batch: GraphBatch) -> list[Tensor]:
        """Atom states after each layer; see `AtomMessagePassing.forward` for the parameters."""
        source, target = batch.edge_index
        # `embedding` gathers rows: on a CPU its gradient is several times faster than that of indexing
        initial = self.input_layer(torch.cat([embedding(source, x), edge_attr], dim=1))  # E x dim
        message, states = initial.relu(), []
        for update, readout, norm in zip(self.update_layers, self.readout_layers, self.norms, strict=True):
            incoming = scatter_sum(message, target, len(x))  # A x dim
            reverse = message.roll(len(message) // 2, 0)  # the second half of the edges are the first half reversed
            message = (initial + self.dropout(update(embedding(source, incoming) - reverse))).relu()
            incoming = scatter_sum(message, target, len(x))
            states.append(norm(readout(torch.cat([x, incoming], dim=1)).relu()))
        return states


class AttentionPooling(nn.Module):
    """Readout of atoms to molecules: heads of attention-weighted sums, concatenated with a plain sum.

    The plain sum keeps the size of the molecule, which weighted averages lose.

    Atoms are summed before they are projected. This takes 0.10 of the time of `AttentionalAggregation` per head and
    0.23 of that of `torch_geometric.utils` (benchmarks/pyg_layers.md).

    Parameters
    ----------
    input_dim : int
        Dimension of an atom's features.
    heads : int
        Number of attention heads.
    dim : int
        Dimension of the plain sum; each head has ``dim // 2``.

    Attributes
    ----------
    output_dim : int
        Dimension of a molecule's features, ``heads * dim // 2 + dim``.
    """

    def __init__(self, input_dim: int, heads: int, dim: int) -> None:
        super().__init__()
        self.attention = nn.Linear(input_dim, heads)
        self.value_projection = nn.Linear(input_dim, heads * dim // 2)
        self.sum_projection = nn.Linear(input_dim, dim)
        self.output_dim = heads * dim // 2 + dim

    def forward(self, x: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        """Pool atoms to molecules.

        Parameters
        ----------
        x : Tensor, shape (A, input_dim)
            Atom features.
        batch : Tensor of int, shape (A,)
            Molecule of each atom, ascending.
        batch_size : int
            Number of molecules B.

        Returns
        -------
        Tensor, shape (B, output_dim)
        """
        weights = softmax(self.attention(x), batch, batch_size)  # A x heads
        weights = torch.cat([weights, torch.ones_like(weights[:, :1])], dim=1)  # the last column is the plain sum
        # Sums before projections: both are linear, and there are fewer molecules than atoms.
        atoms, weights = (to_dense_batch(t, batch, batch_size) for t in (x, weights))
        sums = weights.transpose(1, 2) @ atoms  # B x (heads + 1) x input_dim
        projections = self.value_projection.weight.view(weights.shape[2] - 1, -1, x.shape[1])  # heads x d x input_dim
        attended = torch.einsum("bhw,hdw->bhd", sums[:, :-1], projections).flatten(1) + self.value_projection.bias
        n_atoms = weights[:, :, -1].sum(1, keepdim=True)  # B x 1
        total = (sums[:, -1] @ self.sum_projection.weight.t() + n_atoms * self.sum_projection.bias) / 8
        return torch.cat([attended, total], dim=1)


def _mlp(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))


MESSAGE_PASSING: dict[str, type[nn.Module]] = {
    "gine": GINEMessagePassing,
    "gatv2": GATv2MessagePassing,
    "dmpnn": BondMessagePassing,
    "gps": GPSMessagePassing,
}
