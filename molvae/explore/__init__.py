"""Analysis of a latent space: functions of a `Generator` that return a table, and `draw_*` to save a table as an image.

>>> from molvae import explore, load
>>> path = explore.interpolate(load(), "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1")  # doctest: +SKIP
>>> explore.draw_path(path, "path.png")  # doctest: +SKIP

The public names are imported on first use, like those of `molvae` itself.
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
    from molvae.explore.latent_search import SearchStrategy as SearchStrategy
    from molvae.explore.latent_transformer import LatentTransformer as LatentTransformer
    from molvae.explore.nearest_neighbors import draw_neighbors as draw_neighbors
    from molvae.explore.nearest_neighbors import neighbors as neighbors
    from molvae.explore.optimization import OptimizationInterrupted as OptimizationInterrupted
    from molvae.explore.optimization import draw_best as draw_best
    from molvae.explore.optimization import optimize as optimize
    from molvae.explore.projection import draw_map as draw_map
    from molvae.explore.projection import latent_map as latent_map
    from molvae.explore.traversal import draw_traversal as draw_traversal
    from molvae.explore.traversal import traverse as traverse
    from molvae.nn.likelihood_reference import LikelihoodReference as LikelihoodReference

_MODULE_OF = {
    **dict.fromkeys(("LikelihoodReference", "anomaly", "draw_anomalies"), "anomaly_detection"),
    **dict.fromkeys(("cluster", "draw_clusters"), "clustering"),
    **dict.fromkeys(("interpolate", "draw_path"), "interpolation"),
    "SearchStrategy": "latent_search",
    "LatentTransformer": "latent_transformer",
    **dict.fromkeys(("neighbors", "draw_neighbors"), "nearest_neighbors"),
    **dict.fromkeys(("optimize", "draw_best", "OptimizationInterrupted"), "optimization"),
    **dict.fromkeys(("latent_map", "draw_map"), "projection"),
    **dict.fromkeys(("traverse", "draw_traversal"), "traversal"),
}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'molvae.explore' has no attribute {name!r}")
    return getattr(importlib.import_module(f"molvae.explore.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
