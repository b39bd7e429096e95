"""Looking into a latent space: each tool takes a `Generator` and gives a table, which its drawing makes a picture of.

>>> from molvae import explore, load
>>> path = explore.interpolate(load(), "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1")
>>> explore.draw_path(path, "path.png")

The names below are imported when first used, as those of the package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molvae.explore.anomaly_detection import anomaly as anomaly
    from molvae.explore.anomaly_detection import draw_anomalies as draw_anomalies
    from molvae.explore.clustering import cluster as cluster
    from molvae.explore.clustering import draw_clusters as draw_clusters
    from molvae.explore.interpolation import draw_path as draw_path
    from molvae.explore.interpolation import interpolate as interpolate
    from molvae.explore.latent_transformer import LatentTransformer as LatentTransformer
    from molvae.explore.nearest_neighbors import draw_neighbors as draw_neighbors
    from molvae.explore.nearest_neighbors import neighbors as neighbors
    from molvae.explore.optimization import Interrupted as Interrupted
    from molvae.explore.optimization import draw_best as draw_best
    from molvae.explore.optimization import optimize as optimize
    from molvae.explore.projection import draw_map as draw_map
    from molvae.explore.projection import latent_map as latent_map
    from molvae.explore.traversal import draw_traversal as draw_traversal
    from molvae.explore.traversal import traverse as traverse
    from molvae.nn.likelihood_reference import LikelihoodReference as LikelihoodReference

_HOME = {
    **dict.fromkeys(("LikelihoodReference", "anomaly", "draw_anomalies"), "anomaly_detection"),
    **dict.fromkeys(("cluster", "draw_clusters"), "clustering"),
    **dict.fromkeys(("interpolate", "draw_path"), "interpolation"),
    **dict.fromkeys(("neighbors", "draw_neighbors"), "nearest_neighbors"),
    **dict.fromkeys(("optimize", "draw_best", "Interrupted"), "optimization"),
    **dict.fromkeys(("latent_map", "draw_map"), "projection"),
    "LatentTransformer": "latent_transformer",
    **dict.fromkeys(("traverse", "draw_traversal"), "traversal"),
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'molvae.explore' has no attribute {name!r}")
    return getattr(importlib.import_module(f"molvae.explore.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
