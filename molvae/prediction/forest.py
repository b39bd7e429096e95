"""A random forest (Breiman 2001) as arrays: grown by scikit-learn, walked by NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TREES = 200


@dataclass(frozen=True)
class Forest:
    """T trees with M nodes in all. roots: (T,) the node that each tree begins at.

    feature, left, right: (M,); a molecule goes left where its feature is at most the threshold, (M,). A leaf has
    itself as both children. value: (M,) the mean target of a leaf; of labels, the share of 1.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Floats

    def __post_init__(self) -> None:
        """Raises `ValueError` for arrays that are no trees: those of a file, which might be walked for ever."""
        nodes, parts = np.arange(len(self.value)), (self.feature, self.threshold, self.left, self.right)
        if any(part.shape != nodes.shape for part in parts):
            raise ValueError("the arrays of the trees are of different lengths")
        # a node's children stand behind it, and a leaf is its own
        if any((side < nodes).any() or (side >= len(nodes)).any() for side in (self.left, self.right)):
            raise ValueError("a node's children do not stand behind it")
        if (self.feature < 0).any() or not ((self.roots >= 0) & (self.roots < len(nodes))).all():
            raise ValueError("a tree begins or asks where there is nothing")

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, seed: int) -> Self:
        """From features (N, D) and targets (N,): each tree sees a third of the features at every split."""
        from sklearn.ensemble import RandomForestRegressor

        # labels of 0 and 1 too: the variance of a label is half its Gini impurity, so the trees are the same
        forest = RandomForestRegressor(TREES, max_features=1 / 3, random_state=seed, n_jobs=-1)
        trees = [tree.tree_ for tree in forest.fit(x.astype(np.float32), y).estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])]).astype(np.int32)
        own = np.arange(sum(tree.node_count for tree in trees), dtype=np.int32)
        shift = np.repeat(roots, [tree.node_count for tree in trees])
        children = [np.concatenate([getattr(t, f"children_{side}") for t in trees]) for side in ("left", "right")]
        left, right = (np.where(side < 0, own, side + shift).astype(np.int32) for side in children)
        return cls(
            roots=roots,
            feature=np.maximum(np.concatenate([tree.feature for tree in trees]), 0).astype(np.int32),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            left=left,
            right=right,
            value=np.concatenate([tree.value[:, 0, 0] for tree in trees]),
        )

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Mean and standard deviation over the trees, (N,) each, of features (N, D)."""
        values = self.value[self._leaves(x)]
        return values.mean(axis=1), values.std(axis=1)

    def _leaves(self, x: NDArray[Any]) -> NDArray[np.int32]:
        """The leaf in which each molecule ends in each tree: (N, T)."""
        x, rows = x.astype(np.float32), np.arange(len(x))[:, None]  # as scikit-learn compares
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        while True:
            goes_left = x[rows, self.feature[node]] <= self.threshold[node]
            following = np.where(goes_left, self.left[node], self.right[node])
            if np.array_equal(following, node):
                return following
            node = following
